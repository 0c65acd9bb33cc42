/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and tickers. A sleep is one timer in the task's own memory.
 */
#include "core/time.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/park.h"
#include "core/runtime.h"

static bool sleep_abandon(struct task *task)
{
    weft__timer_remove(&task->worker->timers, &task_body(task)->timer);
    return true;
}

static const struct wait_kind sleep_wait = {.name = "sleep", .abandon = sleep_abandon};

int64_t weft_now(void)
{
    const struct worker *worker = weft__worker();
    if (worker) return weft__worker_now(worker);

    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail on Linux */
    return now.tv_sec * WEFT_SEC + now.tv_nsec;
}

/* The deadline is in the future. */
static int sleep_to(struct worker *worker, struct task *self, int64_t deadline_ns)
{
    if (unlikely(self->no_sleep)) return self->no_sleep;
    struct timer *timer = &task_body(self)->timer;
    timer->deadline_ns = deadline_ns;
    timer->kind = TIMER_SLEEP;
    weft__timer_add(&worker->timers, timer);
    weft__wait_for(self, &sleep_wait, NULL, NULL);
    return weft__park(worker, self);
}

int weft_sleep(int64_t duration_ns)
{
    if (duration_ns <= 0) return weft_yield();
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;
    return sleep_to(worker, self, time_after(weft__worker_now(worker), duration_ns));
}

int weft_sleep_until(int64_t deadline_ns)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    if (deadline_ns <= weft__worker_now(worker)) return weft_yield();
    struct task *self = worker->current;
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;
    return sleep_to(worker, self, deadline_ns);
}

/* ---- tickers ---- */

struct ticker {
    int64_t period_ns; /* 0: closed */
    int64_t next_ns;
    int64_t mode;
};

_Static_assert(sizeof(struct ticker) <= sizeof(struct weft_ticker), "part of the ABI");

static struct ticker *ticker_of(struct weft_ticker *ticker)
{
    return (struct ticker *)(void *)ticker;
}

int weft_ticker_open(struct weft_ticker *ret, int64_t period_ns, int mode)
{
    if (!ret || period_ns < 1 || mode < WEFT_TICKER_SKIP || mode > WEFT_TICKER_DELAY)
        return -EINVAL;
    *ticker_of(ret) = (struct ticker){
        .period_ns = period_ns, .next_ns = time_after(weft_now(), period_ns), .mode = mode};
    return 0;
}

/* Moves to the tick after this one; returns how many were dropped. */
static uint64_t ticker_advance(struct ticker *ticker, int64_t now_ns)
{
    int64_t due_ns = time_after(ticker->next_ns, ticker->period_ns);
    if (ticker->mode == WEFT_TICKER_DELAY) due_ns = time_after(now_ns, ticker->period_ns);

    uint64_t missed = 0;
    if (ticker->mode == WEFT_TICKER_SKIP && due_ns <= now_ns) {
        missed = (uint64_t)((now_ns - due_ns) / ticker->period_ns) + 1;
        due_ns = time_after(due_ns, (int64_t)missed * ticker->period_ns);
    }
    ticker->next_ns = due_ns;
    return missed;
}

int weft_ticker_wait(struct weft_ticker *public_ticker, uint64_t *ret_missed)
{
    if (!public_ticker) return -EINVAL;
    struct ticker *ticker = ticker_of(public_ticker);
    if (ticker->period_ns == 0) return -EINVAL;

    int result = weft_sleep_until(ticker->next_ns);
    if (result < 0) return result;
    if (ticker->period_ns == 0) return -EINVAL; /* closed meanwhile */

    uint64_t missed = ticker_advance(ticker, weft_now());
    if (ret_missed) *ret_missed = missed;
    return 0;
}

int64_t weft_ticker_next(const struct weft_ticker *public_ticker)
{
    const struct ticker *ticker = (const struct ticker *)(const void *)public_ticker;
    return !ticker || ticker->period_ns == 0 ? WEFT_FOREVER : ticker->next_ns;
}

void weft_ticker_close(struct weft_ticker *ticker)
{
    if (ticker) memset(ticker, 0, sizeof *ticker);
}
