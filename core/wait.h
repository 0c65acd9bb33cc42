/* SPDX-License-Identifier: MIT */
/*
 * How a sleeping task stands in the queues of what it waits for.
 *
 * A waiter is one place in one queue. A plain blocking call uses the one in the task's record; a
 * select uses one in each of its cases. Whoever wakes the task has unlinked all of them before:
 * nothing is left to do when the task continues.
 */
#ifndef WEFT_CORE_WAIT_H
#define WEFT_CORE_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/select.h>

#include "base/list.h"

struct task;

struct waiter {
    struct list_node link; /* in the queue of a channel, descriptor, task or scope */
    struct task *task;     /* who sleeps */
};

/* What a task sleeps in; one constant per blocking call. */
struct wait_kind {
    const char *name; /* as dumps show it: "chan send" */
    /* Unlinks everything of the sleeping task; false if its operation has completed on another
     * thread, whose wake-up is under way. NULL: nothing interrupts this sleep. */
    bool (*abandon)(struct task *task);
};

/* What a task waits for; written by the task before it sleeps. */
struct wait {
    struct waiter waiter;
    const struct wait_kind *kind; /* NULL while it does not sleep */
    void *object;                 /* the channel, task, scope, ..., or select's array of cases */
    union {
        void *value; /* where a value comes from or goes to */
        struct {
            union {
                uint32_t count; /* select: how many cases */
                int fd;
            };
            uint32_t order; /* among the waits for descriptors on its worker; wraps round */
        };
    };
};

static inline struct waiter *waiter_of_link(struct list_node *link)
{
    return container_of(link, struct waiter, link);
}

/* A case's waiter lies in its reserved words. */
static inline struct waiter *waiter_of_case(struct weft_case *which)
{
    return (struct waiter *)(void *)which->reserved;
}

static inline struct weft_case *case_of_waiter(struct waiter *waiter)
{
    return container_of((void **)(void *)waiter, struct weft_case, reserved);
}

_Static_assert(sizeof(struct waiter) == sizeof(((struct weft_case *)0)->reserved),
               "a waiter fills the reserved words of a case");
_Static_assert(sizeof(struct weft_case) == 64, "part of the ABI");

#endif
