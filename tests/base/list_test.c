/* SPDX-License-Identifier: MIT */
/* The intrusive list: order, removal, and the assertions of debug builds. */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/assert.h"

/* Checked in optimised builds of this test too; base/list.h must therefore come after it. */
#undef WEFT_DEBUG_ASSERT
#define WEFT_DEBUG_ASSERT(condition) WEFT_ASSERT(condition)

#include "base/list.h"

struct item {
    int value;
    struct list_node link; /* not first, so that container_of has work to do */
};

static struct item *item_of(struct list_node *node)
{
    return container_of(node, struct item, link);
}

/* Reads the list as a decimal number, front first, both ways round. */
static int digits(const struct list *list)
{
    int number = 0;
    list_for_each(node, list) {
        cr_assert_eq(node->next->previous, node);
        cr_assert_eq(node->previous->next, node);
        number = number * 10 + item_of(node)->value;
    }
    return number;
}

Test(list, is_empty_when_opened)
{
    struct list list;

    list_open(&list);

    cr_assert(list_is_empty(&list));
    cr_assert_null(list_first(&list));
    cr_assert_null(list_pop_front(&list));
}

Test(list, keeps_the_order_of_pushes)
{
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}};
    struct list list;
    list_open(&list);

    list_push_back(&list, &items[1].link);
    list_push_back(&list, &items[2].link);
    list_push_front(&list, &items[0].link);

    cr_assert_eq(digits(&list), 123);
    cr_assert_eq(item_of(list_first(&list)), &items[0]);
    cr_assert(list_node_is_linked(&items[1].link));
}

Test(list, pops_from_the_front_and_unlinks)
{
    struct item items[] = {{.value = 1}, {.value = 2}};
    struct list list;
    list_open(&list);
    list_push_back(&list, &items[0].link);
    list_push_back(&list, &items[1].link);

    struct list_node *node = list_pop_front(&list);

    cr_assert_eq(node, &items[0].link);
    cr_assert_null(node->next);
    cr_assert_null(node->previous);
    cr_assert_eq(digits(&list), 2);
}

Test(list, removes_from_front_middle_and_back)
{
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list list;
    list_open(&list);
    for (size_t i = 0; i < 4; i++) {
        list_push_back(&list, &items[i].link);
    }

    list_remove(&items[1].link);
    cr_assert_eq(digits(&list), 134);
    list_remove(&items[0].link);
    cr_assert_eq(digits(&list), 34);
    list_remove(&items[3].link);
    cr_assert_eq(digits(&list), 3);
    list_remove(&items[2].link);

    cr_assert(list_is_empty(&list));
    cr_assert_not(list_node_is_linked(&items[2].link));
}

Test(list, takes_a_removed_node_again)
{
    struct item item = {.value = 7};
    struct list list;
    list_open(&list);

    list_push_back(&list, &item.link);
    list_remove(&item.link);
    list_push_front(&list, &item.link);

    cr_assert_eq(digits(&list), 7);
}

Test(list, appends_all_of_another_in_order)
{
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list target;
    struct list source;
    list_open(&target);
    list_open(&source);
    list_push_back(&target, &items[0].link);
    list_push_back(&target, &items[1].link);
    list_push_back(&source, &items[2].link);
    list_push_back(&source, &items[3].link);

    list_append(&target, &source);

    cr_assert_eq(digits(&target), 1234);
    cr_assert(list_is_empty(&source));
}

Test(list, appends_to_and_from_an_empty_list)
{
    struct item item = {.value = 5};
    struct list target;
    struct list source;
    list_open(&target);
    list_open(&source);
    list_push_back(&source, &item.link);

    list_append(&target, &source);
    list_append(&target, &source);

    cr_assert_eq(digits(&target), 5);
    cr_assert(list_is_empty(&source));
}

Test(list, refuses_to_link_a_node_twice, .signal = SIGABRT)
{
    struct item item = {.value = 1};
    struct list list;
    list_open(&list);
    list_push_back(&list, &item.link);

    list_push_back(&list, &item.link);
}

Test(list, refuses_to_remove_a_node_twice, .signal = SIGABRT)
{
    struct item item = {.value = 1};
    struct list list;
    list_open(&list);
    list_push_back(&list, &item.link);
    list_remove(&item.link);

    list_remove(&item.link);
}
