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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/scope.h>

#include "base/list.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"

struct worker;

/* Bits of scope.flags. */
enum {
    SCOPE_OPEN = 0x5c09e000, /* a pattern that memory which was never opened does not hold */
    SCOPE_CANCELLED = 1 << 1,
    SCOPE_EXPIRED = 1 << 2,
    SCOPE_SHIELD = 1 << 3,
    SCOPE_TRY = 1 << 4,
};

struct scope_part {
    struct list children; /* live tasks, by their sibling link */
    struct list ended;    /* ended children that can be joined, in order of completion */
    size_t joinable;      /* children with a handle, alive or ended */
};

/*
 * Flags and timer are changed by the owner's worker only; others ask it for a cancellation, or for
 * another deadline, which counts as soon as they have asked. Children that run on it are in
 * `local`, which is private to it until somebody elsewhere joins one of them: then `shared`.
 * Children that run, or may be going to run, elsewhere are in `remote`, which the lock guards, and,
 * once there is a remote part, `waiters`, too. So a spawn and an end on the owner's worker need no
 * lock, though siblings were stolen.
 */
struct scope {
    atomic_uint flags;           /* relaxed: tasks below it on other workers read them */
    _Atomic(uint8_t) shared;     /* enum sharing, of `local` */
    _Atomic(uint8_t) has_remote; /* enum sharing, of `waiters`; PRIVATE: there is no remote part */
    atomic_bool is_asked;        /* to be cancelled, by a task on another worker; under the lock */
    atomic_int failure;          /* the first child result below zero that counts */
    struct scope *parent;        /* NULL: the root scope, which has no struct */
    struct task *owner;          /* who opened it */
    struct timer timer;          /* the deadline; WEFT_FOREVER: none, and not armed */
    /* Another deadline that a task elsewhere wants, 0: none. Under the lock; who only reads the
     * deadline needs no lock: scope_deadline(). */
    _Atomic(int64_t) asked_deadline_ns;
    struct scope_part local;
    struct scope_part remote; /* opened by the first who needs it */
    struct list waiters;      /* the owner, asleep in close or next */
    int *ret_status;          /* NULL, or where weft_scope_leave() stores the status */
    const char *site;
};

static inline struct scope *scope_of(struct weft_scope *scope)
{
    return (struct scope *)(void *)scope;
}

static inline unsigned scope_flags(const struct scope *scope)
{
    return atomic_load_explicit(&scope->flags, memory_order_relaxed);
}

static inline bool scope_has_remote(const struct scope *scope)
{
    return atomic_load_explicit(&scope->has_remote, memory_order_relaxed) != 0; /* PRIVATE */
}

/* Of a child of it: where it is listed. */
static inline struct scope_part *scope_part(struct scope *scope, const struct task *child)
{
    return task_is_remote(child) ? &scope->remote : &scope->local;
}

/* The scopes that a task has open, the current one first. */
static inline struct scope *scope_first_own(const struct task *task)
{
    return task->scope == task->home ? NULL : task->scope;
}

static inline struct scope *scope_next_own(const struct task *task, const struct scope *scope)
{
    return scope->parent == task->home ? NULL : scope->parent;
}

/* WEFT_FOREVER: it has none. By any task inside of it, on any worker. */
static inline int64_t scope_deadline(const struct scope *scope)
{
    /* acquire: when what was asked for is gone, it is in the timer; pairs with ask_deadline() in
     * scope.c */
    int64_t asked_ns = atomic_load_explicit(&scope->asked_deadline_ns, memory_order_acquire);
    return asked_ns ? asked_ns : __atomic_load_n(&scope->timer.deadline_ns, __ATOMIC_RELAXED);
}

/* By its owner's worker. The timer is not armed. */
static inline void scope_set_deadline(struct scope *scope, int64_t deadline_ns)
{
    __atomic_store_n(&scope->timer.deadline_ns, deadline_ns, __ATOMIC_RELAXED);
}

/* By its owner's worker. */
static inline void scope_set_flags(struct scope *scope, unsigned flags)
{
    atomic_store_explicit(&scope->flags, flags, memory_order_relaxed);
}

/* False also for NULL, for what was closed, and for memory that was never opened. */
static inline bool scope_is_open(const struct scope *scope)
{
    const unsigned states = SCOPE_CANCELLED | SCOPE_EXPIRED | SCOPE_SHIELD | SCOPE_TRY;
    return scope && (scope_flags(scope) & ~states) == SCOPE_OPEN;
}

static inline bool scope_is_cancelled(const struct scope *scope)
{
    return scope_flags(scope) & SCOPE_CANCELLED ||
           atomic_load_explicit(&scope->is_asked, memory_order_relaxed);
}

/* Must who touches what its home scope lists of this child hold the lock? Also of a private one. */
static inline bool scope_lists_with_lock(const struct task *child)
{
    const struct scope *home = child->home;
    if (__builtin_expect(!home, 1)) return false;
    return task_is_remote(child) ||
           atomic_load_explicit(&home->shared, memory_order_relaxed) != 0; /* PRIVATE */
}

/* All below are called in an operation of the worker, and take the lock where it is needed.
 *
 * Recomputes interrupt and no_sleep of one task of the calling worker; wakes it if that interrupts
 * its sleep. */
void weft__scope_refresh(struct task *task);

/* The scope's deadline has come; unless it was asked to be another one meanwhile. */
void weft__scope_expire(struct scope *scope);

/* On the worker of the owner of the scope, with the lock: its deadline shall be what was asked for,
 * if anything was; true then. */
bool weft__scope_take_deadline(struct worker *worker, struct scope *scope);

/* So for all scopes that the task has open. */
void weft__scope_take_deadlines(struct worker *worker, struct task *task);

/* Of any task of the runtime. */
void weft__scope_cancel(struct worker *worker, struct scope *scope);

/* The task and everything below it: something above, or its own cancellation mark, has changed. */
void weft__scope_walk(struct task *task);

/* Opens the remote part, if that has not been done. With the lock. */
void weft__scope_open_remote(struct scope *scope);

/* The task, which its worker has spawned into a scope, may be going to run elsewhere: into the
 * remote part. With the lock, in an operation of the worker. */
void weft__scope_make_remote(struct worker *worker, struct task *task);

/* A child has ended: takes it off the children; unless its result was `taken` already, keeps it
 * for a join; a failure cancels the rest; wakes the owner if it waits for this. */
void weft__scope_child_ended(struct worker *worker, struct task *task, bool taken);

/* weft__task_leave() for a task that was spawned into a scope. */
void weft__scope_leave(struct worker *worker, struct task *task, struct stack *stack);

/* Closes whatever the ending task left open, last opened first. */
void weft__scope_close_all(struct task *task);

#endif
