/* SPDX-License-Identifier: MIT */
/*
 * Time: int64_t nanoseconds on a monotonic clock of the runtime.
 *
 * Nothing wakes early; equal deadlines fire in the order they were armed. With WEFT_CLOCK=virtual
 * the clock jumps to the next deadline whenever every task sleeps, so that tests cost no time.
 *
 * A thread that sleeps may wake late by its timer slack: 50 us, or what prctl(PR_SET_TIMERSLACK)
 * said before the runtime began, on every backend. Deadlines within it share a wake-up: a program
 * with many timers saves processor time by allowing a millisecond.
 */
#ifndef WEFT_TIME_H
#define WEFT_TIME_H

#include <weft/base.h>

#define WEFT_NSEC    INT64_C(1)
#define WEFT_USEC    INT64_C(1000)
#define WEFT_MSEC    INT64_C(1000000)
#define WEFT_SEC     INT64_C(1000000000)
#define WEFT_MINUTE  (60 * WEFT_SEC)
#define WEFT_HOUR    (60 * WEFT_MINUTE)
#define WEFT_FOREVER INT64_MAX /* as a duration or a deadline: never */

WEFT_EXTERN_C_BEGIN

/**
 * Reads the runtime's clock.
 *
 * @return nanoseconds since an arbitrary start; never goes back, never cached. Outside of a task
 *         the real monotonic clock.
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int64_t weft_now(void);

/**
 * Suspends the calling task for at least `duration_ns`.
 *
 * @param duration_ns  nanoseconds; 0 or less is a weft_yield(); WEFT_FOREVER sleeps until cancelled
 *
 * @return 0, or
 *   -ETIMEDOUT  the current scope's deadline passed first
 *   -ECANCELED  the task or a scope around it was cancelled
 *   -EPERM      called outside a task
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_sleep(int64_t duration_ns);

/**
 * Suspends the calling task until weft_now() is at least `deadline_ns`.
 *
 * @param deadline_ns  absolute time on weft_now()'s clock; a past one is a weft_yield()
 *
 * @return as weft_sleep()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_sleep_until(int64_t deadline_ns);

/* What a ticker does when ticks were missed because nobody waited. */
enum weft_ticker_mode {
    WEFT_TICKER_SKIP =
        0, /* one late tick at once, the others are dropped; then the next multiple */
    WEFT_TICKER_BURST = 1, /* delivers them at once, one per wait */
    WEFT_TICKER_DELAY = 2, /* the next tick is one period after this one was received */
};

/* A periodic timer, allocated by its user, used by one task at a time. The words are the core's. */
struct weft_ticker {
    int64_t reserved[6];
};

/**
 * Starts a ticker whose first tick is one period from now; error does not accumulate.
 *
 * @param ret        the ticker to set up; stays the caller's memory
 * @param period_ns  nanoseconds between ticks, at least 1
 * @param mode       an enum weft_ticker_mode
 *
 * @return 0, or
 *   -EINVAL  period below 1, or no such mode
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_ticker_open(struct weft_ticker *ret, int64_t period_ns, int mode);

/**
 * Waits for the next tick.
 *
 * @param ticker      an open ticker
 * @param ret_missed  NULL, or receives how many ticks were dropped before this one (mode SKIP)
 *
 * @return 0, or as weft_sleep(); -EINVAL if the ticker is closed
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_ticker_wait(struct weft_ticker *ticker, uint64_t *ret_missed);

/**
 * Tells when the next tick is due, for use in a select: weft_at(weft_ticker_next(&ticker)).
 *
 * @return absolute nanoseconds, or WEFT_FOREVER for a closed ticker
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int64_t weft_ticker_next(const struct weft_ticker *ticker);

/**
 * Stops a ticker: no further tick, also when one is due. A task that waits in weft_ticker_wait()
 * is not woken before its tick's time, and then gets -EINVAL. Closing twice is harmless.
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API void weft_ticker_close(struct weft_ticker *ticker);

WEFT_EXTERN_C_END

#endif
