/* SPDX-License-Identifier: MIT */
/*
 * The record of a task, and what the rest of the core may do with it.
 *
 * A record belongs to the worker that runs the task, from spawn until it is released; what others
 * may touch of it is said in core/share.h. Its memory is never unmapped (core/record.c), so that a
 * stale handle can be checked by reading `id`. What only a started task needs lies at the top of
 * its stack (struct task_body).
 */
#ifndef WEFT_CORE_TASK_H
#define WEFT_CORE_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/task.h>

#include "base/list.h"
#include "core/sanitize.h"
#include "core/stack.h"
#include "core/timer.h"
#include "core/wait.h"

struct worker;
struct scope;

/*
 *   FREE -> UNSTARTED -> RUNNING <-> READY        READY: in a ready queue
 *                           |          ^
 *                           +-> PARKED-+          PARKED: only reachable through its wait
 *                           +-> ENDED -> FREE     ENDED: kept for a join
 */
enum task_state {
    TASK_FREE = 0,
    TASK_UNSTARTED,
    TASK_READY,
    TASK_RUNNING,
    TASK_PARKED,
    TASK_ENDED,
};

/* Bits of task.flags. */
enum {
    TASK_DETACHED = 1 << 0,    /* nobody will join: released when it ends */
    TASK_ARGS_INLINE = 1 << 1, /* fn gets the address of args */
    TASK_ARGS_OWNED = 1 << 2,  /* fn gets a heap block, freed at the end */
    TASK_EXTRAS = 1 << 3,      /* plain.extras holds the spawn options */
    TASK_ROOT = 1 << 4,        /* what weft_run() started */
    TASK_NAMED_BUSY = 1 << 5,  /* ignored its cancellation 1,000 calls in a row; in the reports */
    TASK_JOINED = 1 << 6,      /* line 2 says something: it has, or had, joiners ... */
    TASK_MARKED = 1 << 7,      /* `marks` is not zero */
    TASK_SPREAD = 1 << 8,      /* counted in spread_live of its worker */
    TASK_REMOTE = 1 << 9,      /* in the remote part of its home scope; set under the lock */
    TASK_MOVES = 1 << 10,      /* it may continue on another worker: core/migrate.c */
    TASK_STAYS = 1 << 11,      /* ... but not from this sleep, which is bound to its worker */
    TASK_SCOPED = 1 << 12,     /* ... or it was spawned into a scope, or has opened one */
    TASK_HOOKED = 1 << 13,     /* the runtime wants to know of its start or its end */
    TASK_OWES = 1 << 14,       /* it has, or had, deferred calls or local values */
};

/* Bits of task.marks. */
enum {
    MARK_CANCELLED = 1 << 0, /* weft_cancel() was called on it */
    MARK_ENDING = 1 << 1,    /* its function returned: deferred calls run, shielded */
};

/* Options that differ from the default; owned by the record. */
struct task_extras {
    const char *name;
    size_t stack_size;
    void (*on_drop)(void *arg);
};

#define TASK_ARGS_SIZE 48
#define TASK_SIZE      256
#define TASK_AHEAD     8

/*
 * A free record is zero but for `next` and line 1. A spawn writes lines 0 and 1 only; line 2 is
 * first touched when somebody joins the task, or it is in a scope, line 3 when it sleeps. So most
 * tasks that never sleep live and die in two lines: TASK_JOINED and TASK_SCOPED say whether to look
 * further.
 */
struct task {
    /* Line 0: touched by every switch. */
    struct task *next;    /* in a ready queue, a batch or a free list */
    void *sp;             /* of a suspended task */
    int wake_result;      /* what the blocking call returns; set by the waker */
    int result;           /* of its function, once it has ended */
    _Atomic(uint64_t) id; /* 0 in a free record; other threads read it, relaxed */
    struct worker *worker;
    struct stack *stack; /* NULL before the first run and after the end */
    union {              /* C11, 6.5.2.3: to be read and written together, too */
        struct {
            uint8_t state; /* enum task_state */
            uint16_t flags;
            int16_t interrupt; /* what a blocking call fails with at entry: 0, -ECANCELED, ... */
            int16_t no_sleep;  /* in a try scope: what it fails with instead of sleeping */
        };
        struct {
            uint32_t kind;     /* the first two */
            uint32_t refusals; /* the other two */
        };
        uint64_t condition; /* all four */
    };
    uint16_t ignored;        /* failed entries in a row */
    _Atomic(uint8_t) marks;  /* its worker writes, tasks below it on other workers read; relaxed */
    _Atomic(uint8_t) shared; /* enum sharing: whether others may join it; core/share.h */
    int saved_errno;         /* of a suspended task */

    /* Line 1: how it starts. */
    union {
        _Alignas(16) unsigned char args[TASK_ARGS_SIZE];
        struct {
            void *arg; /* also the heap block of TASK_ARGS_OWNED */
            struct task_extras *extras;
        } plain;
    };
    weft_fn fn;
    const char *site;

    /* Line 2: its place among tasks. */
    struct list joiners;      /* waiters for its end; opened by the first, {NULL, NULL} before */
    struct list_node sibling; /* in its home scope's children (never for the root scope) */
    struct scope *home;       /* where it was spawned; NULL: the root scope. Ends after the task */
    struct scope *scope;      /* its current scope; `home` if it has none of its own open */
    uint64_t since_turn;      /* the worker's turn in which it went to sleep */

    /* Line 3: what it waits for. */
    _Alignas(64) struct wait wait;
    uintptr_t remote_next; /* in the inbox of its worker */
    atomic_uint remote;    /* enum remote_request and remote_fact in worker.h */
};

_Static_assert(sizeof(struct task) == TASK_SIZE, "four cache lines");

/* What a started task has besides its record, at the top of its stack. */
struct task_body {
    struct task *task;
    struct timer timer; /* of a sleep or a select */
    void **locals;      /* WEFT_LOCAL_KEYS_MAX task-local values, or NULL */
    struct deferred *deferred;
    void *cxa_caught;      /* of a suspended task: the first word of __cxa_get_globals() ... */
    unsigned cxa_uncaught; /* ... and the second */
    struct sanitizer_fiber fiber;
};

_Static_assert(sizeof(struct task_body) <= WEFT_STACK_BODY_SIZE, "it lies in struct stack");

static inline struct task_body *task_body(const struct task *task)
{
    return (struct task_body *)(void *)task->stack->body;
}

/* Written by the owning worker only; a stale reader sees 0 or a newer id, never its own again. */
static inline uint64_t task_id(const struct task *task)
{
    return atomic_load_explicit(&((struct task *)(uintptr_t)task)->id, memory_order_relaxed);
}

/* Its worker's; of a shared task others read TASK_DETACHED. */
static inline void task_set_flag(struct task *task, unsigned flag)
{
    __atomic_store_n(&task->flags, (uint16_t)(task->flags | flag), __ATOMIC_RELAXED);
}

/* The worker of a task that may be moving, for who does not hold the lock: right only if it is the
 * reader's own. */
static inline struct worker *task_worker_hint(const struct task *task)
{
    return __atomic_load_n(&task->worker, __ATOMIC_RELAXED);
}

static inline void task_set_worker(struct task *task, struct worker *worker)
{
    __atomic_store_n(&task->worker, worker, __ATOMIC_RELAXED);
}

static inline void task_clear_flag(struct task *task, unsigned flag)
{
    __atomic_store_n(&task->flags, (uint16_t)(task->flags & ~flag), __ATOMIC_RELAXED);
}

/* Its worker's; read by tasks below it. */
static inline void task_set_mark(struct task *task, unsigned mark)
{
    unsigned marks = atomic_load_explicit(&task->marks, memory_order_relaxed);
    atomic_store_explicit(&task->marks, (uint8_t)(marks | mark), memory_order_relaxed);
    task_set_flag(task, TASK_MARKED);
}

static inline unsigned task_marks(const struct task *task)
{
    return atomic_load_explicit(&task->marks, memory_order_relaxed);
}

/* Also by others than its worker, with the lock or after a wait for its worker. */
static inline bool task_is_remote(const struct task *task)
{
    return __atomic_load_n(&task->flags, __ATOMIC_RELAXED) & TASK_REMOTE;
}

static inline void task_add_joiner(struct task *task, struct waiter *waiter)
{
    task_set_flag(task, TASK_JOINED);
    if (__builtin_expect(!task->joiners.head.next, 1)) {
        list_open_with(&task->joiners, &waiter->link);
        return;
    }
    list_push_back(&task->joiners, &waiter->link);
}

/* Usable bytes that were asked for at spawn; 0: the default. */
static inline size_t task_stack_size(const struct task *task)
{
    return task->flags & TASK_EXTRAS ? task->plain.extras->stack_size : 0;
}

/* Gives a task that is about to start its stack: a new one, whose memory is zero, or that of one
 * that ended, which left no timer, no local and no deferred call behind. */
static inline void task_settle(struct task *task, struct stack *stack)
{
    task->stack = stack;
    stack->task_id = task_id(task);
    struct task_body *body = (struct task_body *)(void *)stack->body;
    body->task = task;
    WEFT_DEBUG_ASSERT(!weft__timer_is_armed(&body->timer) && !body->locals && !body->deferred);
    weft__san_open(&body->fiber, stack);
}

/*
 * Of two neighbours in a list: where they lie side by side, as records do of which many were made
 * together, asks for the memory of the one TASK_AHEAD places further, whose address follows. The
 * processor does not do so itself when half of each record is touched. Of others it would be asked
 * in vain, and for what may not be mapped.
 */
static inline void task_fetch_ahead(const struct task *task, const struct task *following)
{
    uintptr_t step = (uintptr_t)following - (uintptr_t)task;
    bool is_neighbour = step + sizeof *task <= 2 * sizeof *task;
    if (!is_neighbour) return;
    const unsigned char *ahead = (const unsigned char *)((uintptr_t)task + TASK_AHEAD * step);
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch(ahead + TASK_SIZE / 4, 1);
}

static inline weft_task task_handle(struct task *task)
{
    return (weft_task){.id = task_id(task), .slot = task};
}

/* The live or ended task of a handle; NULL if the handle is stale. */
static inline struct task *task_of_handle(weft_task handle)
{
    struct task *task = handle.slot;
    if (!task || handle.id == 0) return NULL;
    return task_id(task) == handle.id ? task : NULL;
}

const char *weft__task_name(const struct task *task); /* NULL if it has none */

/* What fn is called with. */
void *weft__task_arg(struct task *task);

/* The first function on a task's stack; never returns. */
void weft__task_main(intptr_t task);

/* The end of a private task, whose state is TASK_ENDED, whatever it has; and weft__leave(). */
void weft__task_leave(struct worker *worker, struct task *task, struct stack *stack);

/* Ends a task that never ran: on_drop, result -ENOMEM, joiners. On the worker's own stack. */
void weft__task_drop(struct task *task);

/* Gives up an ended task: frees what it owns and its record. */
void weft__task_release(struct task *task);

/* Frees what a task that will not run any more owns besides its record. */
void weft__task_forsake(struct task *task);

/* Makes a record; not yet queued. NULL: no memory. `home` NULL is the root scope. */
struct spawn_request {
    weft_fn fn;
    void *arg;        /* when args_size is 0 and args is NULL */
    const void *args; /* bytes to copy */
    size_t args_size;
    const struct weft_spawn_options *options; /* NULL: defaults */
    const char *site;
    struct scope *home;
    weft_task *ret;
};
int weft__spawn(struct worker *worker, const struct spawn_request *request);

/* The two halves of weft__spawn(), for other threads: the record is made by the caller's thread,
 * and queued by the worker. */
struct record_pool;
int weft__task_prepare(struct record_pool *pool,
                       const struct spawn_request *request,
                       struct task **ret);
void weft__task_adopt(struct worker *worker, struct task *task);

/* One that came too late: it never runs. */
void weft__task_drop_foreign(struct worker *worker, struct task *task);

/* Cancels one task (flag, interrupt, wake). */
void weft__task_cancel(struct task *task);

/* Has it a result that can be taken? Private, or the lock is held; so too below. */
bool weft__task_has_ended(const struct task *target);

/* Puts a waiter into the queue of those that join it. */
void weft__join_enlist(struct task *target, struct waiter *waiter);

/* Takes an ended task's result and releases it: 0; -EAGAIN if it has not ended. */
int weft__join_take(struct task *target, int *ret_result);

/* weft_cancel() on another thread than the task's: -ESRCH, -ENOMEM or 0. */
int weft__cancel_from_elsewhere(weft_task handle);

/* Runs fn(arg) for each deferred call, last first; and the destructors of task-locals. */
void weft__defer_run(struct task *task);
void weft__locals_free(struct task_body *body);

#endif
