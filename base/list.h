/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list: the nodes live inside the things that are listed.
 *
 * The list is a ring through its head, so a node is removed without knowing its list and without
 * a branch. An unlinked node is {NULL, NULL}; linking it twice or removing it twice asserts in
 * debug builds. An open list points at itself and is therefore never copied.
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list_node {
    struct list_node *next;
    struct list_node *previous;
};

struct list {
    struct list_node head; /* head.next is the first node, head.previous the last */
};

/* The `type` whose field `member` is at `pointer`, which must not be NULL. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Walks front to back; the body must not unlink `node` (pop from a list of one's own instead). */
#define list_for_each(node, list)                                                                  \
    for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)

static inline void list_open(struct list *list)
{
    list->head.next = &list->head;
    list->head.previous = &list->head;
}

/* Opens it with one node in it. */
static inline void list_open_with(struct list *list, struct list_node *node)
{
    list->head = (struct list_node){.next = node, .previous = node};
    *node = (struct list_node){.next = &list->head, .previous = &list->head};
}

static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static inline bool list_node_is_linked(const struct list_node *node)
{
    return node->next != NULL;
}

static inline struct list_node *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline void list_insert_after(struct list_node *position, struct list_node *node)
{
    WEFT_DEBUG_ASSERT(node->next == NULL);
    WEFT_DEBUG_ASSERT(node->previous == NULL);
    node->next = position->next;
    node->previous = position;
    position->next->previous = node;
    position->next = node;
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_insert_after(&list->head, node);
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
    list_insert_after(list->head.previous, node);
}

static inline void list_remove(struct list_node *node)
{
    WEFT_DEBUG_ASSERT(node->next != NULL);
    WEFT_DEBUG_ASSERT(node->previous != NULL);
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = NULL;
    node->previous = NULL;
}

/* NULL if the list is empty. */
static inline struct list_node *list_pop_front(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node) list_remove(node);
    return node;
}

/* Moves all of `source`, in order, behind what is in `target`; `source` is empty afterwards. */
static inline void list_append(struct list *target, struct list *source)
{
    if (list_is_empty(source)) return;

    struct list_node *first = source->head.next;
    struct list_node *last = source->head.previous;
    first->previous = target->head.previous;
    target->head.previous->next = first;
    last->next = &target->head;
    target->head.previous = last;
    list_open(source);
}

#endif
