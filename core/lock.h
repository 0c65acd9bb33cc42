/* SPDX-License-Identifier: MIT */
/*
 * A lock between threads that is held for some ten nanoseconds: who finds it taken looks again a
 * few times, ever more rarely, before the thread sleeps. So two threads that fight for it take
 * turns in runs, instead of passing the line over, or calling the kernel, for each operation.
 *
 * Recursive. Its owner is a thread, and no task switches while it holds it.
 */
#ifndef WEFT_CORE_LOCK_H
#define WEFT_CORE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zero: free. */
struct lock {
    atomic_int state; /* 0: free, 1: taken, 2: taken, and somebody may sleep for it */
    atomic_uintptr_t
        owner;      /* the thread, or 0; only ever equal to the reader if it holds the lock */
    unsigned depth; /* how often its owner has taken it again */
};

/* Sleeps while *word is `value`, or wakes for no reason; and wakes up to `count` that sleep. */
void weft__futex_wait(const atomic_int *word, int value);
void weft__futex_wake(const atomic_int *word, int count);

void weft__lock_slow(struct lock *lock);

static inline bool lock_is_mine(const struct lock *lock)
{
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}

/* By its owner: has it taken the lock more than once? */
static inline bool lock_is_deep(const struct lock *lock)
{
    return lock->depth > 0;
}

static inline bool lock_try(struct lock *lock)
{
    if (lock_is_mine(lock)) {
        lock->depth++;
        return true;
    }
    int free = 0;
    /* acquire: pairs with the release in lock_leave() */
    if (!atomic_compare_exchange_strong_explicit(
            &lock->state, &free, 1, memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&lock->owner, (uintptr_t)pthread_self(), memory_order_relaxed);
    return true;
}

static inline void lock_enter(struct lock *lock)
{
    if (__builtin_expect(!lock_try(lock), 0)) weft__lock_slow(lock);
}

static inline void lock_leave(struct lock *lock)
{
    if (__builtin_expect(lock->depth > 0, 0)) {
        lock->depth--;
        return;
    }
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    /* release: pairs with the acquire of who takes it next */
    int before = atomic_exchange_explicit(&lock->state, 0, memory_order_release);
    if (__builtin_expect(before == 2, 0)) weft__futex_wake(&lock->state, 1);
}

#endif
