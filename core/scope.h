/* SPDX-License-Identifier: MIT */
/*
 * Scopes as the core sees them: the tree along which deadlines and cancellation travel.
 *
 * A task's open scopes form a chain from task->scope outwards; the outermost one's parent is the
 * task's home scope, which belongs to another task or is the root scope. task->interrupt and
 * task->no_sleep are functions of that chain, recomputed whenever something on it changes.
 */
#ifndef WEFT_CORE_SCOPE_H
#define WEFT_CORE_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include <weft/scope.h>

#include "base/list.h"
#include "core/timer.h"
#include "core/wait.h"

struct task;

/* Bits of scope.flags. */
enum {
    SCOPE_OPEN = 0x5c09e000, /* a pattern that memory which was never opened does not hold */
    SCOPE_CANCELLED = 1 << 1,
    SCOPE_EXPIRED = 1 << 2,
    SCOPE_SHIELD = 1 << 3,
    SCOPE_TRY = 1 << 4,
};

struct scope {
    unsigned flags;
    int failure;          /* the first child result below zero that counts */
    struct scope *parent; /* NULL: the root scope, which has no struct */
    struct task *owner;   /* who opened it */
    struct timer timer;   /* the deadline */
    struct list children; /* live tasks, by their sibling link */
    struct list ended;    /* ended children that can be joined, in order of completion */
    struct list waiters;  /* the owner, asleep in close or next */
    int *ret_status;      /* NULL, or where weft_scope_leave() stores the status */
    const char *site;
    size_t joinable; /* children with a handle, alive or ended */
};

static inline struct scope *scope_of(struct weft_scope *scope)
{
    return (struct scope *)(void *)scope;
}

/* False also for NULL, for what was closed, and for memory that was never opened. */
static inline bool scope_is_open(const struct scope *scope)
{
    const unsigned states = SCOPE_CANCELLED | SCOPE_EXPIRED | SCOPE_SHIELD | SCOPE_TRY;
    return scope && (scope->flags & ~states) == SCOPE_OPEN;
}

/* Recomputes interrupt and no_sleep of one task; wakes it if that interrupts its sleep. */
void weft__scope_refresh(struct task *task);

/* The scope's deadline has come. */
void weft__scope_expire(struct scope *scope);

void weft__scope_cancel(struct scope *scope);

/* Everything inside a task whose cancellation flag was just set. */
void weft__scope_cancel_task(struct task *task);

/* A child has ended: takes it off the children; unless its result was `taken` already, keeps it
 * for a join; a failure cancels the rest; wakes the owner if it waits for this. */
void weft__scope_child_ended(struct task *task, bool taken);

/* Closes whatever the ending task left open, last opened first. */
void weft__scope_close_all(struct task *task);

#endif
