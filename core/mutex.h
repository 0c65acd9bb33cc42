/* SPDX-License-Identifier: MIT */
/*
 * A mutex: one word that says who holds it, and the queue of those that wait.
 *
 * It is private to the worker whose task used it first, until anybody else does (core/share.h has
 * the protocol): private, the word changes by plain stores, and an unlock hands the mutex over.
 * Shared, the word changes by compare-and-swap, and an unlock *calls* the longest waiting one
 * instead, which tries again while others may overtake it, BARGES_MAX times and no more.
 *
 * Invariants: nobody sleeps in the queue while WORD_WAITERS is clear, or while the word has no
 * holder and WORD_CALLED is clear. The queue changes in an operation of the owner (private) or
 * under weft__shared_lock; who takes the mutex by the word alone never touches it.
 */
#ifndef WEFT_CORE_MUTEX_H
#define WEFT_CORE_MUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/sync.h>

#include "base/list.h"
#include "core/park.h"
#include "core/worker.h"

struct runtime;

/* Values of mutex.home; anything else is the worker that it is private to. */
enum {
    MUTEX_NOBODYS = 0, /* never used */
    MUTEX_ASKED = 1, /* no longer private, but its owner may be in an operation that found it so */
    MUTEX_SHARED = 2,
};

/* The word: holder | barges | called | waiters; 0 is free. A holder is a task's id, or a thread's
 * number with WORD_IS_THREAD. */
#define WORD_WAITERS   UINT64_C(1) /* the queue may hold somebody, or somebody is called */
#define WORD_CALLED    UINT64_C(2) /* one is off the queue, awake, and about to try */
#define WORD_BARGE     UINT64_C(4) /* one step of the ten bits that count who overtook it */
#define WORD_BARGES    (UINT64_C(1023) * WORD_BARGE)
#define BARGES_MAX     UINT64_C(1000)
#define WORD_IS_THREAD (UINT64_C(1) << 12)
#define WORD_HOLDER    (~(WORD_IS_THREAD - 1))
#define WORD_ID_SHIFT  13

/* What a called waiter wakes with. */
enum { MUTEX_CALLED = 1 };

/* weft_mutex.reserved, as the core uses it. */
struct mutex {
    _Atomic(uintptr_t) home;
    _Atomic(uint64_t) word;
    struct list waiters;
    _Atomic(const void *) runner;      /* the worker or thread that took it last; a hint */
    const struct worker *owner;        /* under the lock: whose it was at first; NULL: nobody's */
    _Atomic(struct runtime *) runtime; /* whose tasks use it; NULL: anybody */
};

_Static_assert(sizeof(struct mutex) <= sizeof(struct weft_mutex), "part of the ABI");
_Static_assert(_Alignof(struct mutex) <= _Alignof(struct weft_mutex), "part of the ABI");
_Static_assert(sizeof(struct weft_mutex) == 64, "part of the ABI");

extern const struct wait_kind weft__mutex_wait;

static inline struct mutex *mutex_of(struct weft_mutex *mutex)
{
    return (struct mutex *)(void *)mutex;
}

/* May the worker touch it without a lock? In an operation. */
static inline bool mutex_is_private(const struct mutex *mutex, const struct worker *worker)
{
    uintptr_t home = atomic_load_explicit(&mutex->home, memory_order_relaxed);
    return likely(home == (uintptr_t)worker);
}

static inline uint64_t mutex_holder(const struct task *task)
{
    return task_id(task) << WORD_ID_SHIFT;
}

/* 0: the caller, who is in no operation, may use the word and the lock; 1: the mutex is private to
 * it now; -EPERM or -EOWNERDEAD: it may not call at all. */
int weft__mutex_reach(struct mutex *mutex);

/* The calls on a shared mutex. */
int weft__mutex_lock_shared(struct mutex *mutex);
int weft__mutex_try_lock_shared(struct mutex *mutex);
int weft__mutex_unlock_shared(struct mutex *mutex);
int weft__mutex_close_shared(struct mutex *mutex);

/* The task was called: the rest of its lock(). */
int weft__mutex_called(struct mutex *mutex);

#endif
