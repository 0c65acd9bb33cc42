/* SPDX-License-Identifier: MIT */
/*
 * Private and shared: how an object of one worker becomes everybody's.
 *
 * A channel, a task (its joiners and its end) and a scope (its children) are private to one worker
 * until another one wants to touch them. Private, they are touched by their worker's thread only,
 * inside operations: between core_enter() and core_leave(). Shared, by anybody who holds
 * weft__shared_lock. The way from the one to the other is an asymmetric barrier (Dice, Huang and
 * Yang, "Asymmetric Dekker Synchronization", 2001): who wants in says so in the object, makes all
 * threads of the process pass a barrier by membarrier(2), and waits until the owner is in no
 * operation. The owner pays two plain stores per operation, and no barrier.
 *
 * Nobody waits for an owner while holding a lock, or inside an operation of his own. An owner may
 * wait for the lock inside an operation.
 */
#ifndef WEFT_CORE_SHARE_H
#define WEFT_CORE_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/task.h>

#include "core/worker.h"

struct scope;
struct weft_chan;

/* Of an object. Only the first two steps are taken, in this order, and never back. */
enum sharing {
    PRIVATE = 0,
    ASKED = 1,  /* its owner may still be in an operation that found it private */
    SHARED = 2, /* weft__shared_lock guards it */
};

/* Before the first look at a private object. */
static inline void core_enter(struct worker *worker)
{
    /* relaxed, and no barrier: the other side makes one for both, in weft__share_wait() */
    atomic_store_explicit(&worker->in_core, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* By the worker itself. */
static inline bool core_is_entered(const struct worker *worker)
{
    return atomic_load_explicit(&worker->in_core, memory_order_relaxed) != 0;
}

/* Before user code runs on; a task that sleeps or ends does it on its way. */
static inline void core_leave(struct worker *worker)
{
    /* release: what the operation did comes first; pairs with weft__share_wait() */
    atomic_store_explicit(&worker->in_core, 0, memory_order_release);
}

/* Is it anything but private? In an operation of its owner. */
static inline bool is_shared(const _Atomic(uint8_t) *sharing)
{
    return __builtin_expect(atomic_load_explicit(sharing, memory_order_relaxed) != PRIVATE, 0);
}

/* May the holder of the lock who is not its owner touch it? */
static inline bool is_settled(const _Atomic(uint8_t) *sharing)
{
    return atomic_load_explicit(sharing, memory_order_relaxed) == SHARED;
}

/* May others complete selects of this worker's tasks? Once they may, they always may. In an
 * operation. */
static inline bool weft__is_exposed(const struct worker *worker)
{
    return atomic_load_explicit(&worker->is_exposed, memory_order_relaxed);
}

static inline void weft__expose(struct worker *worker)
{
    atomic_store_explicit(&worker->is_exposed, true, memory_order_relaxed);
}

/* Prepares the process for the barrier: 0, or -ENOTSUP where the kernel has none. */
int weft__share_open(void);

/* Returns when no operation of `owner` is under way that began before the call. The caller holds
 * no lock (but weft__runtimes_wait_for(), one that no operation takes) and is in no operation. */
void weft__share_wait(const struct worker *owner);

/* The two halves of it, with the lock: before the wait, and after it. */
void weft__share_ask(_Atomic(uint8_t) *sharing);
void weft__share_settle(_Atomic(uint8_t) *sharing);

/*
 * These make sure that the holder of the lock may touch the object. The caller is in no operation
 * and holds no lock; the object cannot be freed meanwhile, but for a task.
 */
void weft__share_chan(struct weft_chan *chan, const struct worker *worker);

/* That it has a remote part, and may be cancelled from elsewhere. Its owner's children that run
 * beside the owner stay private. */
void weft__share_remote(struct scope *scope, const struct worker *worker);

/* Also the scope that it is in. A task of this runtime; false if the handle is stale. */
bool weft__share_task(weft_task handle, const struct worker *worker);

/* A task of the worker's runtime? Of any other one, only the id may be read. */
bool weft__task_is_here(const struct worker *worker, const struct task *target);

/* On which worker it runs, or has run; with the lock. */
struct worker *weft__task_worker(const struct task *task);

/* Is it private, and the worker's? The worker is in an operation. */
static inline bool weft__task_is_mine(const struct worker *worker, const struct task *target)
{
    return record_pool(target) == &worker->records && !is_shared(&target->shared);
}

#endif
