/* SPDX-License-Identifier: MIT */
/* Sorting what a poll has woken: any order, any number, equal ones, and numbers that wrap round. */
#include <criterion/criterion.h>

#include "core/random.h"
#include "core/ready.h"

#define TASKS_MAX 300

struct queue {
    struct ready ready;
    struct task tasks[TASKS_MAX + 1];
};

static void push(struct queue *queue, size_t index, uint32_t order)
{
    queue->tasks[index].wait.order = order;
    ready_push_woken(&queue->ready, &queue->tasks[index]);
}

/* Rising, and equal ones in the order in which they were pushed; then the tail is the last one. */
static void check_sorted(const struct queue *queue, const struct task *first, size_t count)
{
    size_t seen = 1;
    const struct task *task = first;
    for (; task->next; task = task->next) {
        int32_t step = (int32_t)(task->next->wait.order - task->wait.order);
        cr_assert(step > 0 || (step == 0 && task < task->next), "%zu of %zu", seen, count);
        seen++;
    }
    cr_assert_eq(seen, count);
    cr_assert_eq(queue->ready.tail, task);
}

Test(ready_sort, sorts_any_order)
{
    static struct queue queue;
    struct random random = {.state = 3};
    for (int round = 0; round < 3000; round++) {
        size_t count = 1 + weft__random_below(&random, round < 2000 ? 12 : TASKS_MAX);
        uint32_t range = 1 + weft__random_below(&random, 400);
        uint32_t start = (uint32_t)weft__random_next(&random);
        if (round % 3 == 0) start = UINT32_MAX - range / 2;

        queue.ready = (struct ready){0};
        for (size_t i = 0; i < count; i++)
            push(&queue, i, start + weft__random_below(&random, range));
        weft__ready_sort_from(&queue.ready, NULL);
        check_sorted(&queue, queue.ready.head, count);
    }
}

Test(ready_sort, sorts_what_is_sorted_or_falls)
{
    static struct queue queue;
    for (uint32_t count = 1; count <= TASKS_MAX; count++) {
        for (int falls = 0; falls <= 1; falls++) {
            queue.ready = (struct ready){0};
            for (uint32_t i = 0; i < count; i++)
                push(&queue, i, falls ? count - i : i);
            weft__ready_sort_from(&queue.ready, NULL);
            check_sorted(&queue, queue.ready.head, count);
        }
    }
}

Test(ready_sort, leaves_alone_who_was_ready_before)
{
    static struct queue queue;
    queue.ready = (struct ready){0};
    push(&queue, 0, 100);
    push(&queue, 1, 50);
    struct task *last = queue.ready.tail;

    weft__ready_sort_from(&queue.ready, last);
    cr_assert_eq(queue.ready.tail, last);

    push(&queue, 2, 9);
    push(&queue, 3, 7);
    push(&queue, 4, 8);
    weft__ready_sort_from(&queue.ready, last);
    cr_assert_eq(queue.ready.head, &queue.tasks[0]);
    cr_assert_eq(queue.tasks[0].next, last);
    cr_assert_eq(last->next, &queue.tasks[3]);
    check_sorted(&queue, last->next, 3);
}

Test(ready_sort, leaves_an_empty_queue_empty)
{
    struct ready ready = {0};
    weft__ready_sort_from(&ready, NULL);
    cr_assert_null(ready.head);
    cr_assert_null(ready.tail);
}
