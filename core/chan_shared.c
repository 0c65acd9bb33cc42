/* SPDX-License-Identifier: MIT */
/*
 * Shared channels: the same calls for plain threads and for tasks of any worker and runtime.
 *
 * One process-wide lock guards all that is shared, the waiters in it, and REMOTE_WAKE of the tasks
 * that sleep there. Under it a partner completes a waiter: a thread by a word that it
 * sleeps on, a task by its worker's inbox. From that moment on the task's fate is fixed: whoever
 * else wants to wake it (deadline, cancel, another case) asks under the lock, and is refused.
 */
#include "core/chan_shared.h"

#include <errno.h>
#include <string.h>

#include "core/chan.h"
#include "core/lock.h"
#include "core/park.h"
#include "core/post.h"
#include "core/runtime.h"
#include "core/select.h"

enum { LATE_MAX = 16 }; /* more are woken with the lock held */

static struct lock shared_lock;
static struct worker *late_workers[LATE_MAX]; /* to be woken when it is free; guarded by it */
static unsigned late_count;

/* A plain thread in the queue of a channel; waiter.task is NULL. */
struct thread_wait {
    struct waiter waiter;
    void *value;
    int status;
    atomic_int is_done; /* a futex */
};

static int thread_wait(struct list *queue, void *value, bool is_first);
static int task_wait(struct worker *worker,
                     const struct wait_kind *kind,
                     struct weft_chan *chan,
                     void *value);

static const struct wait_kind send_wait = {.name = "chan send", .abandon = weft__shared_abandon};
static const struct wait_kind recv_wait = {.name = "chan recv", .abandon = weft__shared_abandon};

void weft__shared_lock(void)
{
    lock_enter(&shared_lock);
}

void weft__shared_unlock(void)
{
    unsigned count = lock_is_deep(&shared_lock) ? 0 : late_count;
    if (likely(count == 0)) {
        lock_leave(&shared_lock);
        return;
    }
    struct worker *workers[LATE_MAX];
    memcpy(workers, late_workers, count * sizeof workers[0]);
    late_count = 0;
    lock_leave(&shared_lock);
    for (unsigned i = 0; i < count; i++)
        weft__inbox_wake(workers[i]);
}

void weft__shared_wake(struct worker *worker)
{
    if (!lock_is_mine(&shared_lock) || late_count == LATE_MAX) {
        weft__inbox_wake(worker);
        return;
    }
    for (unsigned i = 0; i < late_count; i++) {
        if (late_workers[i] != worker) continue;
        weft__inbox_forgo(worker);
        return;
    }
    late_workers[late_count++] = worker;
}

bool weft__shared_try_lock(void)
{
    return lock_try(&shared_lock);
}

void weft__shared_forget(void)
{
    shared_lock = (struct lock){0};
    late_count = 0;
}

/* ---- with the lock held ---- */

bool weft__shared_is_done(const struct waiter *waiter)
{
    if (!waiter->task) return false;
    /* relaxed: it is set under the lock */
    return atomic_load_explicit(&waiter->task->remote, memory_order_relaxed) & REMOTE_WAKE;
}

/* The longest waiting of a queue, off it. A select that was completed elsewhere may still stand
 * there, if this was nobody's but its own worker's then. */
static struct waiter *pop(struct list *queue)
{
    struct list_node *link = NULL;
    while ((link = list_pop_front(queue)) != NULL) {
        struct waiter *waiter = waiter_of_link(link);
        if (!weft__shared_is_done(waiter)) return waiter;
    }
    return NULL;
}

static void *value_of(struct waiter *waiter)
{
    if (!waiter->task) return container_of(waiter, struct thread_wait, waiter)->value;
    return waiter_value(waiter);
}

int weft__shared_send_now(struct weft_chan *chan, const void *value)
{
    if (chan->closed) return -EPIPE;
    struct waiter *receiver = pop(&chan->receivers);
    if (receiver) {
        void *target = value_of(receiver);
        if (target) chan_copy(target, value, chan->value_size);
        weft__shared_complete(receiver, 0);
        return 0;
    }
    if (chan->count == chan->capacity) return -EAGAIN;
    chan_copy(chan_slot(chan, chan->count), value, chan->value_size);
    chan->count++;
    return 0;
}

int weft__shared_recv_now(struct weft_chan *chan, void *ret_value)
{
    struct waiter *sender = NULL;
    if (chan->count > 0) {
        if (ret_value) chan_copy(ret_value, chan_slot(chan, 0), chan->value_size);
        if (++chan->first == chan->capacity) chan->first = 0;
        chan->count--;
        sender = pop(&chan->senders);
        if (!sender) return 0;
        chan_copy(chan_slot(chan, chan->count), value_of(sender), chan->value_size);
        chan->count++;
        weft__shared_complete(sender, 0);
        return 0;
    }
    sender = pop(&chan->senders);
    if (sender) {
        if (ret_value) chan_copy(ret_value, value_of(sender), chan->value_size);
        weft__shared_complete(sender, 0);
        return 0;
    }
    if (!chan->closed) return -EAGAIN;
    if (ret_value) memset(ret_value, 0, chan->value_size);
    return -EPIPE;
}

void weft__shared_complete(struct waiter *waiter, int status)
{
    struct task *task = waiter->task;
    if (!task) {
        struct thread_wait *wait = container_of(waiter, struct thread_wait, waiter);
        wait->status = status;
        /* release: pairs with thread_wait(), whose frame may be gone before it is woken */
        atomic_store_explicit(&wait->is_done, 1, memory_order_release);
        weft__futex_wake(&wait->is_done, 1);
        return;
    }
    task->wake_result = status;
    if (waiter != &task->wait.waiter) {
        struct weft_case *winner = case_of_waiter(waiter);
        weft__select_withdraw_shared(task, winner);
        if (winner->status) *winner->status = status;
        task->wake_result = (int)(winner - (struct weft_case *)task->wait.object);
    }
    weft__mail(task, REMOTE_WAKE);
}

void weft__shared_arrived(struct task *task)
{
    /* with the lock: a channel may have become shared since */
    if (task->wait.kind == &weft__select_shared_wait) weft__select_withdraw(task, NULL);
    weft__shared_uncount(task->worker, task);
    weft__wake_queued(task, task->wake_result); /* behind what this turn's descriptors woke */
}

/* ---- waiting ---- */

void weft__shared_count(struct worker *worker, struct task *task)
{
    atomic_fetch_or_explicit(&task->remote, REMOTE_COUNTED, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->runtime->shared_parked, 1, memory_order_relaxed);
}

void weft__shared_uncount(struct worker *worker, struct task *task)
{
    unsigned remote = atomic_load_explicit(&task->remote, memory_order_relaxed);
    if (!(remote & REMOTE_COUNTED)) return;
    atomic_fetch_and_explicit(&task->remote, ~(unsigned)REMOTE_COUNTED, memory_order_relaxed);
    atomic_fetch_sub_explicit(&worker->runtime->shared_parked, 1, memory_order_relaxed);
}

bool weft__shared_abandon(struct task *task)
{
    weft__shared_lock();
    bool is_mine = !weft__shared_is_done(&task->wait.waiter);
    if (is_mine) {
        list_remove(&task->wait.waiter.link);
        weft__shared_uncount(task->worker, task);
    }
    weft__shared_unlock();
    return is_mine;
}

void weft__shared_leave(struct task *task)
{
    const struct wait_kind *kind = task->wait.kind;
    bool is_in =
        kind && (kind->abandon == weft__shared_abandon || kind == &weft__select_shared_wait);
    if (is_in) (void)kind->abandon(task); /* false: a partner was faster, and it is out */
}

/* Blocks the thread until a partner completes it; the lock is held before, and not afterwards. */
static int thread_wait(struct list *queue, void *value, bool is_first)
{
    struct thread_wait wait = {.value = value};
    if (is_first) {
        list_push_front(queue, &wait.waiter.link);
    } else {
        list_push_back(queue, &wait.waiter.link);
    }
    weft__shared_unlock();
    /* acquire: pairs with weft__shared_complete() */
    while (atomic_load_explicit(&wait.is_done, memory_order_acquire) == 0)
        weft__futex_wait(&wait.is_done, 0);
    return wait.status;
}

int weft__shared_block(struct list *queue, bool is_first)
{
    int status = thread_wait(queue, NULL, is_first);
    weft__shared_lock();
    return status;
}

/* Parks the task; the lock is held before, and not afterwards. */
static int task_wait(struct worker *worker,
                     const struct wait_kind *kind,
                     struct weft_chan *chan,
                     void *value)
{
    struct task *self = worker->current;
    weft__wait_for(self, kind, chan, value);
    list_push_back(kind == &send_wait ? &chan->senders : &chan->receivers, &self->wait.waiter.link);
    if (!chan->runtime) weft__shared_count(worker, self);
    weft__shared_unlock(); /* a wake-up from now on waits in the inbox until we sleep */
    return weft__park(worker, self);
}

/* In a posted function or a host's callback, which must not wait: its tasks are in this thread. */
static bool is_outside(const struct worker *worker)
{
    return worker ? !worker->current : weft__host_current() != NULL;
}

int weft__shared_send(struct weft_chan *chan, const void *value)
{
    struct worker *worker = weft__worker();
    if (is_outside(worker)) return weft__not_in_task();
    int result = worker ? weft__enter(worker, worker->current) : 0;
    if (result < 0) return result;

    weft__shared_lock();
    result = weft__shared_send_now(chan, value);
    if (result == -EAGAIN && !worker) {
        return thread_wait(&chan->senders, (void *)(uintptr_t)value, false);
    } else if (result == -EAGAIN && worker->current->no_sleep) {
        result = worker->current->no_sleep;
    } else if (result == -EAGAIN) {
        return task_wait(worker, &send_wait, chan, (void *)(uintptr_t)value);
    }
    weft__shared_unlock();
    return result;
}

int weft__shared_recv(struct weft_chan *chan, void *ret_value)
{
    struct worker *worker = weft__worker();
    if (is_outside(worker)) return weft__not_in_task();
    int result = worker ? weft__enter(worker, worker->current) : 0;
    if (result < 0) return result;

    weft__shared_lock();
    result = weft__shared_recv_now(chan, ret_value);
    if (result == -EAGAIN && !worker) {
        return thread_wait(&chan->receivers, ret_value, false);
    } else if (result == -EAGAIN && worker->current->no_sleep) {
        result = worker->current->no_sleep;
    } else if (result == -EAGAIN) {
        return task_wait(worker, &recv_wait, chan, ret_value);
    }
    weft__shared_unlock();
    return result;
}

/* ---- calls that never wait ---- */

int weft__shared_try_send(struct weft_chan *chan, const void *value)
{
    weft__shared_lock();
    int result = weft__shared_send_now(chan, value);
    weft__shared_unlock();
    return result;
}

int weft__shared_try_recv(struct weft_chan *chan, void *ret_value)
{
    weft__shared_lock();
    int result = weft__shared_recv_now(chan, ret_value);
    weft__shared_unlock();
    return result;
}

int weft__shared_close(struct weft_chan *chan)
{
    weft__shared_lock();
    int result = chan->closed ? -EPIPE : 0;
    chan->closed = true;
    struct waiter *waiter = NULL;
    while ((waiter = pop(&chan->receivers)) != NULL) {
        void *target = value_of(waiter);
        if (target) memset(target, 0, chan->value_size);
        weft__shared_complete(waiter, -EPIPE);
    }
    while ((waiter = pop(&chan->senders)) != NULL)
        weft__shared_complete(waiter, -EPIPE);
    weft__shared_unlock();
    return result;
}

size_t weft__shared_len(const struct weft_chan *chan)
{
    weft__shared_lock();
    size_t count = chan->count;
    weft__shared_unlock();
    return count;
}
