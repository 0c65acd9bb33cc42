/* SPDX-License-Identifier: MIT */
/*
 * How other threads and signal handlers reach a worker.
 *
 * The inbox is a stack in one atomic word (Treiber 1986); its only consumer takes the whole chain
 * at once, so there is no ABA problem, and turns it round, so that each producer's entries run in
 * order. An entry is a struct weft_post, or a task's record (low bit set) with a remote request.
 * Nothing here allocates or locks: everything may run in a signal handler.
 */
#include "core/post.h"

#include <errno.h>
#include <sched.h>

#include "core/chan_shared.h"
#include "core/migrate.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"

#define ENTRY_IS_TASK ((uintptr_t)1)

/* weft_post.reserved, as the core uses it. */
struct post_words {
    uintptr_t next;             /* in the inbox */
    atomic_uintptr_t is_queued; /* 1 from weft_post() until fn is entered */
};

static struct post_words *post_words(struct weft_post *post)
{
    return (struct post_words *)(void *)post->reserved;
}

_Static_assert(sizeof(struct post_words) <= sizeof(((struct weft_post *)0)->reserved),
               "part of the ABI");

static uintptr_t *entry_next(uintptr_t entry)
{
    if (entry & ENTRY_IS_TASK) {
        struct task *task = (struct task *)(entry & ~ENTRY_IS_TASK);
        return &task->remote_next;
    }
    return &post_words((struct weft_post *)entry)->next;
}

/* Counted, so that a worker that moves to another loop, or ends, can wait until nobody is in here.
 * seq_cst, and looked at again: who comes in after the worker saw nobody finds it awake. */
static bool begin_wake(struct worker *worker)
{
    atomic_fetch_add_explicit(&worker->wakers, 1, memory_order_seq_cst);
    return atomic_load_explicit(&worker->is_asleep, memory_order_seq_cst);
}

void weft__inbox_forgo(struct worker *worker)
{
    /* release: the wake-up is over; pairs with weft__await_wakers() */
    atomic_fetch_sub_explicit(&worker->wakers, 1, memory_order_release);
}

void weft__inbox_wake(struct worker *worker)
{
    weft__backend.wake(worker->backend_state);
    weft__inbox_forgo(worker);
}

void weft__await_wakers(const struct worker *worker)
{
    /* acquire: pairs with weft__inbox_forgo() */
    while (atomic_load_explicit(&worker->wakers, memory_order_acquire) > 0)
        (void)sched_yield();
}

/* True: the worker sleeps, and weft__inbox_wake() must follow. */
static bool push(struct worker *worker, uintptr_t entry)
{
    uintptr_t *next = entry_next(entry);
    uintptr_t head = atomic_load_explicit(&worker->inbox, memory_order_relaxed);
    do {
        *next = head;
        /* seq_cst: publishes the entry to the drain, and orders the push before the look at
         * is_asleep; pairs with weft__idle_poll() */
    } while (!atomic_compare_exchange_weak_explicit(
        &worker->inbox, &head, entry, memory_order_seq_cst, memory_order_relaxed));
    if (!atomic_load_explicit(&worker->is_asleep, memory_order_seq_cst)) return false;
    if (begin_wake(worker)) return true;
    weft__inbox_forgo(worker);
    return false;
}

void weft__inbox_push(struct worker *worker, uintptr_t entry)
{
    if (push(worker, entry)) weft__inbox_wake(worker);
}

void weft__mail(struct task *task, enum remote_request request)
{
    /* acq_rel: the request comes with what was written before; pairs with take_requests() */
    unsigned before = atomic_fetch_or_explicit(&task->remote, request, memory_order_acq_rel);
    if (before & REMOTE_REQUESTS) return; /* it is in the inbox already */
    struct worker *worker = task->worker;
    if (push(worker, (uintptr_t)task | ENTRY_IS_TASK)) weft__shared_wake(worker);
}

/* What is asked of a task that came out of the inbox, with the lock. One that has ended may wait to
 * be released until nothing is asked of it any more. */
static unsigned take_requests(struct worker *worker, struct task *task)
{
    if (unlikely(task->worker != worker)) { /* it was stolen meanwhile: the node goes after it */
        weft__inbox_push(task->worker, (uintptr_t)task | ENTRY_IS_TASK);
        return 0;
    }
    unsigned before =
        atomic_fetch_and_explicit(&task->remote, ~(unsigned)REMOTE_REQUESTS, memory_order_acq_rel);
    if (before & REMOTE_ZOMBIE) weft__task_release(task);
    return before & REMOTE_ENDED ? 0 : before;
}

/* Under the lock as a whole: without REMOTE_WAKE a select that was completed elsewhere would look
 * as if it could be completed again, while it stands in queues that others have come to share. */
static void open_task(struct worker *worker, struct task *task)
{
    weft__shared_lock();
    unsigned requests = take_requests(worker, task);
    if (requests & REMOTE_SPAWN) weft__task_adopt(worker, task);
    if (requests & REMOTE_MOVE) weft__migrate_arrive(worker, task);
    if (requests & REMOTE_DEADLINE) weft__scope_take_deadlines(worker, task);
    if (requests & REMOTE_WAKE) weft__shared_arrived(task);
    if (requests & REMOTE_WALK) weft__scope_walk(task);
    weft__shared_unlock();
}

static void run_entry(struct worker *worker, uintptr_t entry)
{
    if (entry & ENTRY_IS_TASK) {
        open_task(worker, (struct task *)(entry & ~ENTRY_IS_TASK));
        return;
    }
    struct weft_post *post = (struct weft_post *)entry;
    void (*fn)(void *arg) = post->fn;
    void *arg = post->arg;
    /* release: the poster that finds it free may write the node again; pairs with weft_post() */
    atomic_store_explicit(&post_words(post)->is_queued, 0, memory_order_release);
    core_leave(worker);
    fn(arg);
    core_enter(worker);
}

void weft__inbox_drain(struct worker *worker)
{
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) == 0) return;
    /* acquire: pairs with the push */
    uintptr_t entry = atomic_exchange_explicit(&worker->inbox, 0, memory_order_acquire);
    uintptr_t first = 0;
    while (entry) { /* newest first: turn it round */
        uintptr_t next = *entry_next(entry);
        *entry_next(entry) = first;
        first = entry;
        entry = next;
    }
    while (first) {
        uintptr_t next = *entry_next(first); /* before it runs: the node is its owner's then */
        run_entry(worker, first);
        first = next;
    }
}

void weft__inbox_discard(struct worker *worker)
{
    uintptr_t entry = atomic_exchange_explicit(&worker->inbox, 0, memory_order_acquire);
    while (entry) {
        uintptr_t next = *entry_next(entry);
        if (entry & ENTRY_IS_TASK) {
            struct task *task = (struct task *)(entry & ~ENTRY_IS_TASK);
            weft__shared_lock();
            unsigned requests = take_requests(worker, task);
            weft__shared_unlock();
            if (requests & REMOTE_SPAWN) weft__task_drop_foreign(worker, task);
        } else {
            struct weft_post *post = (struct weft_post *)entry;
            atomic_store_explicit(&post_words(post)->is_queued, 0, memory_order_release);
        }
        entry = next;
    }
}

void weft__post_to(struct worker *worker, struct weft_post *post)
{
    /* acquire: pairs with the release in run_entry() */
    if (atomic_exchange_explicit(&post_words(post)->is_queued, 1, memory_order_acquire) == 0) {
        weft__inbox_push(worker, (uintptr_t)post);
    }
}

int weft_post(struct weft_runtime *handle, struct weft_post *post)
{
    if (!handle || !post || !post->fn) return -EINVAL;
    if (unlikely(weft__is_forked())) return -EOWNERDEAD;
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return -ESRCH;

    weft__post_to(&runtime->worker, post);
    weft__runtime_leave(handle);
    return 0;
}
