/* SPDX-License-Identifier: MIT */
/*
 * What others do with a task through its handle: join, detach, cancel.
 *
 * Each call has two ways: a task that is private to the caller's worker is touched at once, any
 * other one under weft__shared_lock, once it is shared.
 */
#include <errno.h>

#include "core/chan_shared.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"
#include "core/task.h"

static bool join_abandon(struct task *task)
{
    if (unlikely(task->worker->runtime->has_many)) return weft__shared_abandon(task);
    list_remove(&task->wait.waiter.link);
    return true;
}

static const struct wait_kind join_wait = {.name = "join", .abandon = join_abandon};

bool weft__task_has_ended(const struct task *target)
{
    /* also while it is only asked for: then its worker asks, and it may have ended privately */
    if (!is_settled(&target->shared)) return target->state == TASK_ENDED;
    /* relaxed: the lock is held */
    return atomic_load_explicit(&target->remote, memory_order_relaxed) & REMOTE_ENDED;
}

int weft__join_take(struct task *target, int *ret_result)
{
    if (!weft__task_has_ended(target)) return -EAGAIN;
    if (ret_result) *ret_result = target->result;
    weft__task_release(target);
    return 0;
}

void weft__join_enlist(struct task *target, struct waiter *waiter)
{
    if (likely(!is_shared(&target->shared))) {
        task_add_joiner(target, waiter);
        return;
    }
    /* its flags are its worker's; the end of a shared task looks at line 2 in any case */
    if (!target->joiners.head.next) list_open(&target->joiners);
    list_push_back(&target->joiners, &waiter->link);
}

/* With the lock held, or a private task: the call proper. -EINPROGRESS: go to sleep. */
static inline int begin_join(struct task *self, struct task *target, int *ret_result)
{
    int result = weft__join_take(target, ret_result);
    if (result != -EAGAIN) return result;
    if (unlikely(self->no_sleep)) return self->no_sleep;

    weft__wait_for(self, &join_wait, target, ret_result);
    weft__join_enlist(target, &self->wait.waiter);
    return -EINPROGRESS;
}

/* A task of another worker, or one that others may join. */
__attribute__((noinline)) static int join_shared(struct worker *worker,
                                                 struct task *self,
                                                 weft_task handle,
                                                 int *ret_result)
{
    core_leave(worker);
    if (!weft__task_is_here(worker, handle.slot)) return -EPERM;
    if (!weft__share_task(handle, worker)) return -ESRCH;
    weft__shared_lock();
    struct task *target = task_of_handle(handle);
    int result = target ? begin_join(self, target, ret_result) : -ESRCH;
    weft__shared_unlock(); /* a wake-up from now on waits in the inbox until we sleep */
    return result == -EINPROGRESS ? weft__park(worker, self) : result;
}

/* A private one that has ended, or a caller that must not sleep. */
__attribute__((noinline)) static int join_now(struct worker *worker,
                                              struct task *self,
                                              struct task *target,
                                              int *ret_result)
{
    int result = weft__join_take(target, ret_result);
    core_leave(worker);
    return result == -EAGAIN ? self->no_sleep : result;
}

/* The call proper, after its entry. `no_sleep`: the caller's. */
static inline int join(
    struct worker *worker, struct task *self, weft_task handle, int *ret_result, int no_sleep)
{
    struct task *target = task_of_handle(handle);
    if (unlikely(!target)) return -ESRCH;
    if (unlikely(target == self)) return -EDEADLK;
    core_enter(worker);
    if (unlikely(!weft__task_is_mine(worker, target))) {
        return join_shared(worker, self, handle, ret_result);
    }
    if (target->state == TASK_ENDED || unlikely(no_sleep)) {
        return join_now(worker, self, target, ret_result);
    }
    weft__wait_for(self, &join_wait, target, ret_result);
    task_add_joiner(target, &self->wait.waiter);
    return weft__park(worker, self);
}

/* A function of its own, so that the usual case needs no stack frame. */
__attribute__((noinline)) static int join_late(struct worker *worker,
                                               struct task *self,
                                               weft_task handle,
                                               int *ret_result)
{
    int refused = weft__enter_late(worker, self);
    return refused ? refused : join(worker, self, handle, ret_result, self->no_sleep);
}

int weft_join(weft_task handle, int *ret_result)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;
    if (unlikely(--worker->budget < 0 || self->refusals)) { /* or it must not sleep */
        return join_late(worker, self, handle, ret_result);
    }
    return join(worker, self, handle, ret_result, 0);
}

/* It counts no more among those that its scope can join. */
static void leave_joinable(struct task *target)
{
    bool needs_lock = scope_lists_with_lock(target);
    if (unlikely(needs_lock)) weft__shared_lock();
    scope_part(target->home, target)->joinable--;
    if (unlikely(needs_lock)) weft__shared_unlock();
}

static void detach_private(struct task *target)
{
    if (target->state == TASK_ENDED) {
        weft__task_release(target);
        return;
    }
    bool is_first = !(target->flags & TASK_DETACHED);
    if (is_first && target->home) leave_joinable(target);
    task_set_flag(target, TASK_DETACHED);
}

/* Since it was spawned. Of a shared task, whose flags its worker may be changing. */
static bool task_is_detached(const struct task *task)
{
    return __atomic_load_n(&task->flags, __ATOMIC_RELAXED) & TASK_DETACHED;
}

static int detach_shared(struct worker *worker, weft_task handle)
{
    if (!weft__task_is_here(worker, handle.slot)) return -EPERM;
    if (!weft__share_task(handle, worker)) return -ESRCH;
    weft__shared_lock();
    struct task *target = task_of_handle(handle);
    if (target && weft__task_has_ended(target)) {
        weft__task_release(target);
    } else if (target) {
        unsigned before =
            atomic_fetch_or_explicit(&target->remote, REMOTE_DETACHED, memory_order_relaxed);
        bool is_first = !(before & REMOTE_DETACHED) && !task_is_detached(target);
        if (is_first && target->home) leave_joinable(target);
    }
    weft__shared_unlock();
    return target ? 0 : -ESRCH;
}

int weft_detach(weft_task handle)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    struct task *target = task_of_handle(handle);
    if (!target) return -ESRCH;
    core_enter(worker);
    bool is_mine = weft__task_is_mine(worker, target);
    if (likely(is_mine)) detach_private(target);
    core_leave(worker);
    return is_mine ? 0 : detach_shared(worker, handle);
}

/* Of a task that is shared, and runs on this worker: true if it was there to be cancelled. What it
 * calls next fails, as if it were private. */
static bool cancel_shared_here(struct worker *worker, weft_task handle)
{
    core_enter(worker);
    weft__shared_lock();
    struct task *target = task_of_handle(handle);
    bool is_here =
        target && weft__task_is_here(worker, target) && weft__task_worker(target) == worker;
    if (is_here && !weft__task_has_ended(target)) weft__task_cancel(target);
    weft__shared_unlock();
    core_leave(worker);
    return is_here;
}

int weft_cancel(weft_task handle)
{
    struct worker *worker = weft__worker();
    struct task *target = task_of_handle(handle);
    if (!target) return -ESRCH;
    if (unlikely(!worker)) return weft__cancel_from_elsewhere(handle);
    core_enter(worker);
    bool is_mine = weft__task_is_mine(worker, target);
    if (likely(is_mine)) weft__task_cancel(target);
    core_leave(worker);
    if (likely(is_mine) || cancel_shared_here(worker, handle)) return 0;
    return weft__cancel_from_elsewhere(handle);
}
