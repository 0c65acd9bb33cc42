/* SPDX-License-Identifier: MIT */
/*
 * The only place where a task goes to sleep or is woken.
 *
 * Every blocking call ends in `return weft__park(...)` or `return weft__yield_to_all(...)`: a tail
 * call, so that the task continues in its user's frame with the result that the waker chose.
 */
#ifndef WEFT_CORE_PARK_H
#define WEFT_CORE_PARK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/task.h"
#include "core/worker.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Puts the running task to sleep; task->wait is filled in and linked. Returns what
 * weft__wake() is given. Call it last. */
int weft__park(struct worker *worker, struct task *self);

/* As weft__park(), for a caller that goes on in this worker's affairs afterwards: the task does not
 * move. Need not be called last. */
int weft__park_here(struct worker *worker, struct task *self);

/* Lets everybody else run first; returns 0. Call it last. */
int weft__yield_to_all(struct worker *worker, struct task *self);

/* Continues with whoever is next; the current stack is given up. For a task that ended. Never
 * returns; not declared so, as the compiler would make no tail call of it. */
void weft__leave(struct worker *worker, struct stack *stack);

/* As weft__wake(joiner, 0) and weft__leave(); its wait.kind is NULL already. */
void weft__leave_to(struct worker *worker, struct task *joiner, struct stack *stack);

/* The first thing on a task's stack. */
#if WEFT__SANITIZED
void weft__arrive(struct task *self);
#else
static inline void weft__arrive(struct task *self)
{
    (void)self;
}
#endif

/* From the worker's own stack: runs tasks until none is ready or a turn is due. */
void weft__run_ready(struct worker *worker);

/* The slow part of weft__enter(): the budget is used up, or the call must fail. */
int weft__enter_late(struct worker *worker, struct task *self);

/* Charges the budget. True: weft__enter_late() must be asked. */
static inline bool weft__enters_late(struct worker *worker, const struct task *self)
{
    return unlikely(--worker->budget < 0 || self->interrupt);
}

/*
 * Every cancellation point begins here: charges the budget (and lets others run when it is used
 * up), and tells whether the call must fail: 0, -ECANCELED or -ETIMEDOUT. May switch, but the task
 * stays with the worker.
 */
static inline int weft__enter(struct worker *worker, struct task *self)
{
    return weft__enters_late(worker, self) ? weft__enter_late(worker, self) : 0;
}

/* Marks a task ready that has been unlinked from everything, to run after those that are ready. */
static inline void weft__wake_queued(struct task *task, int result)
{
    task->state = TASK_READY;
    task->wake_result = result;
    task->wait.kind = NULL;
    ready_push_woken(&task->worker->ready, task);
}

/* As weft__wake_queued(), but next if nobody was woken before it in this slice: for hand-overs. */
static inline void weft__wake(struct task *task, int result)
{
    struct ready *ready = &task->worker->ready;
    task->state = TASK_READY;
    task->wake_result = result;
    task->wait.kind = NULL;
    if (likely(!ready->slot)) {
        ready->slot = task;
        return;
    }
    ready_push_woken(ready, task);
}

/* In select.c: completes a select through one of its cases. */
void weft__select_complete(struct weft_case *winner, int status);

/* In select.c: the sleep of a select that includes shared channels. */
extern const struct wait_kind weft__select_shared_wait;
bool weft__select_claim(struct task *task);

/* Before a waiter that was taken off a local queue gets anything: false if another thread has
 * completed its select meanwhile. */
static inline bool weft__waiter_claim(struct waiter *waiter)
{
    if (likely(waiter->task->wait.kind != &weft__select_shared_wait)) return true;
    return weft__select_claim(waiter->task);
}

/* The waiter's operation has taken effect (with `status`): unlinks the rest and wakes it. The
 * waiter itself is off its queue already. */
static inline void weft__waiter_complete(struct waiter *waiter, int status)
{
    if (likely(waiter == &waiter->task->wait.waiter)) {
        weft__wake(waiter->task, status);
        return;
    }
    weft__select_complete(case_of_waiter(waiter), status);
}

/* Where a waiter's value comes from or goes to. */
static inline void *waiter_value(struct waiter *waiter)
{
    if (likely(waiter == &waiter->task->wait.waiter)) return waiter->task->wait.value;
    return case_of_waiter(waiter)->value;
}

/* Fills in task->wait; the caller links the waiter. */
static inline void weft__wait_for(struct task *self,
                                  const struct wait_kind *kind,
                                  void *object,
                                  void *value)
{
    self->wait.waiter.task = self;
    self->wait.kind = kind;
    self->wait.object = object;
    self->wait.value = value;
}

#endif
