/* SPDX-License-Identifier: MIT */
/*
 * Moving started tasks: who goes, where to, and what is taken along.
 *
 * What a sleeping task is entangled with belongs to its worker (queues of descriptors, its sleep's
 * timer, private channels); a ready one has left all that, but for the deadlines of its scopes,
 * which are taken out of the old worker's timers and put into the new one's. Its record and its
 * stack remain their worker's, and are given back when it ends.
 */
#include "core/migrate.h"

#include <errno.h>

#include "core/chan_shared.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"

enum {
    LONG_SLICE_NS = 2000, /* mean length of slices for which a move is worth its price */
    LOOKED_AT_MAX = 64,   /* ready tasks in one turn */
};

void weft__migrate_allow(struct runtime *runtime, struct task *task)
{
    task->flags |= TASK_MOVES;
    atomic_store_explicit(&runtime->crew.has_migratable, true, memory_order_relaxed);
}

/* ---- who goes, and where to ---- */

/* How many ready tasks it had in its last turn; none, if it rests. A hint. */
static unsigned crowd_of(const struct worker *worker)
{
    if (atomic_load_explicit(&worker->is_resting, memory_order_relaxed)) return 0;
    return atomic_load_explicit(&worker->crowd, memory_order_relaxed);
}

/* Counts those that were woken, up to a limit, and the batches as one each. */
static unsigned count_crowd(const struct worker *worker)
{
    unsigned count = 1; /* the one that runs next, or has just run */
    for (const struct task *task = worker->ready.head; task && count < LOOKED_AT_MAX;
         task = task->next)
        count++;
    return count + (unsigned)worker->ready.batch_count + (worker->ready.newest.head != NULL);
}

/* The worker with the smallest crowd, if that is smaller by two or more; NULL: nobody. */
static struct worker *better_place(const struct worker *worker, unsigned crowd)
{
    const struct runtime *runtime = worker->runtime;
    struct worker *best = NULL;
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        unsigned index = (worker->index + i) % runtime->worker_count;
        struct worker *other = runtime->workers[index];
        unsigned its = crowd_of(other);
        if (its + 2 > crowd) continue;
        crowd = its + 1;
        best = other;
    }
    return best;
}

/* Tasks that only pass something on to each other belong together: to move one of them costs more
 * than all that they do. */
static bool slices_are_long(struct worker *worker, bool has_slept)
{
    bool is_first = worker->last_turn_slices == 0;
    int64_t elapsed_ns = worker->turn_start_ns - worker->last_turn_ns;
    uint64_t slices = worker_slices(worker) - worker->last_turn_slices;
    worker->last_turn_ns = worker->turn_start_ns;
    worker->last_turn_slices = worker_slices(worker);
    return !is_first && !has_slept && elapsed_ns >= (int64_t)(slices + 1) * LONG_SLICE_NS;
}

static bool may_go(const struct task *task)
{
    return (task->flags & (TASK_MOVES | TASK_STAYS)) == TASK_MOVES && task->state == TASK_READY;
}

/* ---- the move ---- */

static void pack(struct worker *worker, struct task *task)
{
    struct scope *scope = scope_first_own(task);
    for (; scope; scope = scope_next_own(task, scope)) {
        if (!weft__timer_is_armed(&scope->timer)) continue;
        weft__timer_remove(&worker->timers, &scope->timer);
        scope->timer.kind = TIMER_MOVING;
    }
}

static void unpack(struct worker *worker, struct task *task)
{
    struct scope *scope = scope_first_own(task);
    for (; scope; scope = scope_next_own(task, scope)) {
        if (scope->timer.kind != TIMER_MOVING) continue;
        scope->timer.kind = TIMER_SCOPE;
        weft__timer_add(&worker->timers, &scope->timer);
    }
}

/* With the lock; it is off the queue. */
static void send(struct worker *worker, struct task *task, struct worker *target)
{
    pack(worker, task);
    task_set_worker(task, target);
    weft__mail(task, REMOTE_MOVE);
}

void weft__migrate_arrive(struct worker *worker, struct task *task)
{
    unpack(worker, task);
    weft__scope_refresh(task); /* what was asked of it on its way */
    ready_push_woken(&worker->ready, task);
}

/* Up to `count` of those that may go, but not the first in the queue, which runs next. */
static void send_some(struct worker *worker, struct worker *target, unsigned count)
{
    struct ready *ready = &worker->ready;
    struct task *before = ready->head;
    for (int i = 0; i < LOOKED_AT_MAX && before->next && count > 0; i++) {
        struct task *task = before->next;
        if (!may_go(task)) {
            before = task;
            continue;
        }
        before->next = task->next;
        if (ready->tail == task) ready->tail = before;
        count--;
        atomic_fetch_add_explicit(&target->crowd, 1, memory_order_relaxed);
        send(worker, task, target);
    }
}

void weft__migrate(struct worker *worker, bool has_slept)
{
    /* relaxed: set by a spawn, which this worker made itself or was told of by mail */
    if (!atomic_load_explicit(&worker->runtime->crew.has_migratable, memory_order_relaxed)) return;
    unsigned crowd = count_crowd(worker);
    atomic_store_explicit(&worker->crowd, crowd, memory_order_relaxed);
    if (!slices_are_long(worker, has_slept) || worker->ready.is_shuffled) return;
    if (!worker->ready.head) return;
    struct worker *target = better_place(worker, crowd);
    unsigned its = target ? crowd_of(target) : crowd;
    if (its >= crowd) return;
    weft__shared_lock();
    send_some(worker, target, (crowd - its) / 2);
    weft__shared_unlock();
}

void weft__migrate_offer(struct worker *worker)
{
    unsigned crowd = count_crowd(worker);
    if (crowd > 1 && better_place(worker, crowd)) worker_end_period(worker);
}

/* ---- errno ---- */

__attribute__((noinline)) int weft_errno(void)
{
    return errno;
}

__attribute__((noinline)) void weft_set_errno(int number)
{
    errno = number;
}
