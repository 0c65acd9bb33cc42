/* SPDX-License-Identifier: MIT */
/*
 * What others do with a task through its handle: join, detach, cancel.
 */
#include <errno.h>

#include "core/park.h"
#include "core/runtime.h"
#include "core/task.h"

static bool join_abandon(struct task *task)
{
    list_remove(&task->wait.waiter.link);
    return true;
}

static const struct wait_kind join_wait = {.name = "join", .abandon = join_abandon};

bool weft__task_is_here(const struct worker *worker, const struct task *target)
{
    const struct record_pool *pool = record_pool(target);
    return pool == &worker->records || pool == &worker->runtime->foreign_records;
}

int weft__join_take(struct task *target, int *ret_result)
{
    if (target->state != TASK_ENDED) return -EAGAIN;
    if (ret_result) *ret_result = target->result;
    weft__task_release(target);
    return 0;
}

/* The call proper, after its entry. */
static inline int join(struct worker *worker, struct task *self, weft_task handle, int *ret_result)
{
    struct task *target = task_of_handle(handle);
    if (unlikely(!target)) return -ESRCH;
    if (unlikely(target == self)) return -EDEADLK;
    if (unlikely(!weft__task_is_here(worker, target))) return -EPERM;
    if (target->state == TASK_ENDED) return weft__join_take(target, ret_result);
    if (unlikely(self->no_sleep)) return self->no_sleep;

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
    return refused ? refused : join(worker, self, handle, ret_result);
}

int weft_join(weft_task handle, int *ret_result)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;
    if (weft__enters_late(worker, self)) return join_late(worker, self, handle, ret_result);
    return join(worker, self, handle, ret_result);
}

int weft_detach(weft_task handle)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    struct task *target = task_of_handle(handle);
    if (!target) return -ESRCH;
    if (!weft__task_is_here(worker, target)) return -EPERM;

    if (target->state == TASK_ENDED) {
        weft__task_release(target);
        return 0;
    }
    if (!(target->flags & TASK_DETACHED) && target->home) {
        target->home->joinable--;
    }
    target->flags |= TASK_DETACHED;
    return 0;
}

int weft_cancel(weft_task handle)
{
    struct worker *worker = weft__worker();
    struct task *target = task_of_handle(handle);
    if (!target) return -ESRCH;
    if (unlikely(!worker || !weft__task_is_here(worker, target))) {
        return weft__cancel_from_elsewhere(handle);
    }
    weft__task_cancel(target);
    return 0;
}
