/* SPDX-License-Identifier: MIT */
/*
 * Mutual exclusion: a mutex for tasks of any worker and runtime, and for plain threads.
 *
 * A task that has to wait sleeps while its worker runs others; a plain thread sleeps as a thread.
 * Whoever locks unlocks; a holder may sleep. As long as the tasks of one worker only use it, a
 * mutex costs a few plain instructions, and serves them in the order in which they came.
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <stdint.h>

#include <weft/base.h>

WEFT_EXTERN_C_BEGIN

/* In the caller's memory, which stays where it is. All zero is an unlocked mutex. */
struct weft_mutex {
    uint64_t reserved[8];
};

/* struct weft_mutex mutex = WEFT_MUTEX_INIT; */
#define WEFT_MUTEX_INIT                                                                            \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

/**
 * Locks, sleeping until the mutex is free.
 *
 * Tasks of one worker get it in the order in which they came. Once it is used across workers or by
 * plain threads, whoever runs may overtake those that sleep, a bounded number of times.
 *
 * @param mutex  borrowed until it is unlocked
 *
 * @return 0: the caller holds it, even if it was cancelled meanwhile; or, not holding it:
 *   -EDEADLK    the caller holds it already
 *   -ETIMEDOUT  the current scope's deadline passed
 *   -ECANCELED  this task was cancelled
 *   -EPERM      in a posted function or a host's callback
 *   -EINVAL     mutex is NULL
 *
 * Context: task, or a plain thread, which is blocked. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_mutex_lock(struct weft_mutex *mutex);

/**
 * Locks if nobody holds the mutex and nobody waits for it.
 *
 * @param mutex  borrowed until it is unlocked
 *
 * @return 0: the caller holds it; or
 *   -EBUSY   somebody holds it, the caller included, or waits for it
 *   -EPERM   in a posted function or a host's callback
 *   -EINVAL  mutex is NULL
 *
 * Context: task, or a plain thread. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_mutex_try_lock(struct weft_mutex *mutex);

/**
 * Unlocks; the longest waiting one is next.
 *
 * @param mutex  locked by the caller
 *
 * @return 0, or, with nothing changed:
 *   -EPERM   it is not locked, or by somebody else
 *   -EINVAL  mutex is NULL
 *
 * Afterwards the calling thread does not touch the mutex any more: who gets it may close it and
 * free its memory.
 *
 * Context: task, or a plain thread. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_mutex_unlock(struct weft_mutex *mutex);

/**
 * Ends the use of the mutex; it is as after WEFT_MUTEX_INIT, and its memory may be freed.
 *
 * There is nothing to give back: without it, too, the memory of a mutex that nobody uses may go.
 *
 * @param mutex  not used by others meanwhile
 *
 * @return 0, or, with nothing changed:
 *   -EBUSY   somebody holds it, or waits for it
 *   -EPERM   in a posted function or a host's callback
 *   -EINVAL  mutex is NULL
 *
 * Context: task, or a plain thread. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_mutex_close(struct weft_mutex *mutex);

WEFT_EXTERN_C_END

#endif
