/* SPDX-License-Identifier: MIT */
/*
 * The slow way into a lock: look again, ever more rarely, then sleep.
 *
 * The three states are those of U. Drepper, "Futexes Are Tricky" (2011), section 5: who sleeps has
 * said so in the word before, so that a lock without sleepers is left without a system call.
 */
#include "core/lock.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PAUSES_FIRST = 16,  /* between the first looks ... */
    PAUSES_LAST = 1024, /* ... and the last ones */
};

static inline void pause_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void weft__futex_wait(const atomic_int *word, int value)
{
    /* EAGAIN, EINTR: the caller looks again in any case */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void weft__futex_wake(const atomic_int *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void weft__lock_slow(struct lock *lock)
{
    for (int pauses = PAUSES_FIRST; pauses <= PAUSES_LAST; pauses *= 2) {
        for (int i = 0; i < pauses; i++)
            pause_once();
        bool is_free = atomic_load_explicit(&lock->state, memory_order_relaxed) == 0;
        if (is_free && lock_try(lock)) return;
    }
    /* acquire: pairs with lock_leave(). It is left as 2 for others that may sleep. */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
        weft__futex_wait(&lock->state, 2);
    atomic_store_explicit(&lock->owner, (uintptr_t)pthread_self(), memory_order_relaxed);
}
