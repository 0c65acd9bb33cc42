/* SPDX-License-Identifier: MIT */
/*
 * TIME-10 to 19: deadlines that move, deadlines that are taken back, tickers.
 *
 * A one-shot timer is a scope with a deadline here, a periodic one a ticker. Most of it runs on the
 * virtual clock, where a minute costs nothing and a wrong hour shows.
 */
#include "conformance/runtime/io_support.h"

/* ---- 10: a timer from another thread ---- */

struct foreign {
    struct weft_runtime *runtime;
    int64_t armed_at;
    int64_t woken_at;
};

static int sleeps_10_ms(void *arg)
{
    struct foreign *foreign = arg;
    foreign->armed_at = harness_now_ns();
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    foreign->woken_at = harness_now_ns();
    return 0;
}

static void *foreign_main(void *arg)
{
    struct foreign *foreign = arg;
    harness_sleep_ms(10);
    CHECK_EQ(weft_runtime_spawn(foreign->runtime, NULL, NULL, sleeps_10_ms, foreign), 0);
    CHECK_EQ(weft_runtime_unref(foreign->runtime), 0);
    return NULL;
}

static int foreign_root(void *arg)
{
    struct foreign *foreign = arg;
    foreign->runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(foreign->runtime), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, foreign_main, foreign), 0);
    CHECK_EQ(weft_sleep(700 * WEFT_MSEC), 0);

    CHECK(foreign->armed_at > 0);
    CHECK_WITHIN(
        foreign->woken_at - foreign->armed_at, 10 * WEFT_MSEC, 10 * WEFT_MSEC + harness_slack_ns());
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

WEFT_TEST(time, 10_a_thread_brings_an_earlier_deadline_to_a_sleeping_loop)
{
    struct foreign foreign = {0};
    CHECK_EQ(run_real(foreign_root, &foreign), 0);
}

/* ---- 11, 12, 13: moving a deadline ---- */

/* When the scope expires that is opened with `first` and then moved to `second`, from now. */
static int64_t expiry_of(int64_t first, int64_t second)
{
    struct weft_scope scope;
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_scope_open_timeout(&scope, first), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_now() + second), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    int64_t passed = weft_now() - start_ns;
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return passed;
}

static int moved_root(void *arg)
{
    (void)arg;
    CHECK_WITHIN(expiry_of(WEFT_HOUR, WEFT_MINUTE), WEFT_MINUTE, WEFT_MINUTE + WEFT_SEC);
    CHECK_WITHIN(expiry_of(WEFT_MINUTE, WEFT_HOUR), WEFT_HOUR, WEFT_HOUR + WEFT_SEC);
    CHECK_WITHIN(expiry_of(WEFT_FOREVER, WEFT_MINUTE), WEFT_MINUTE, WEFT_MINUTE + WEFT_SEC);
    return 0;
}

WEFT_TEST(time, 11_a_moved_deadline_fires_once_at_the_new_time)
{
    CHECK_EQ(run_virtual(moved_root, NULL), 0);
}

struct moved_by_other {
    struct weft_scope scope;
    int64_t deadline;
};

static int sleeps_in_scope(void *arg)
{
    struct moved_by_other *moved = arg;
    CHECK_EQ(weft_scope_open_timeout(&moved->scope, WEFT_HOUR), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_WITHIN(weft_now(), moved->deadline, moved->deadline + WEFT_SEC);
    CHECK_EQ(weft_scope_close(&moved->scope), -ETIMEDOUT);
    CHECK_EQ(weft_sleep(36 * WEFT_HOUR), 0);
    return 0;
}

static int moved_by_other_root(void *arg)
{
    struct moved_by_other *moved = arg;
    for (int later = 0; later < 2; later++) {
        weft_task sleeper = start(sleeps_in_scope, moved);
        settle();
        moved->deadline = weft_now() + (later ? 5 * WEFT_HOUR : WEFT_MINUTE);
        CHECK_EQ(weft_scope_set_deadline(&moved->scope, moved->deadline), 0);
        CHECK_EQ(finish(sleeper), 0);
    }
    return 0;
}

WEFT_TEST(time, 11_the_deadline_of_a_sleeping_task_can_be_moved)
{
    struct moved_by_other moved;
    CHECK_EQ(run_virtual(moved_by_other_root, &moved), 0);
}

static int rearmed_root(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_now() + WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_sleep(1), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);

    /* The same memory again: what fired once can be armed again. */
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_MINUTE), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_WITHIN(weft_now() - start_ns, WEFT_MINUTE, WEFT_MINUTE + WEFT_SEC);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);

    start_ns = weft_now();
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, start_ns - WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_WITHIN(weft_now() - start_ns, 0, WEFT_SEC);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return 0;
}

WEFT_TEST(time, 12_a_deadline_is_armed_again_after_it_fired_and_into_the_past)
{
    CHECK_EQ(run_virtual(rearmed_root, NULL), 0);
}

static int stopped_root(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    uint64_t armed = stats_now().timers;
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(stats_now().timers, armed - 1);
    CHECK_EQ(weft_sleep(WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);

    /* Too late: it says so, and cannot be taken back. */
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return 0;
}

WEFT_TEST(time, 13_taking_a_deadline_back_tells_whether_it_was_in_time)
{
    CHECK_EQ(run_virtual(stopped_root, NULL), 0);
}

/* ---- 14, 15: within one pass ---- */

struct same_pass {
    struct weft_ticker ticker;
    weft_task other;
    int64_t deadline;
};

static int closes_ticker(void *arg)
{
    struct same_pass *pass = arg;
    CHECK_EQ(weft_sleep_until(pass->deadline), 0);
    weft_ticker_close(&pass->ticker);
    return 0;
}

static int waits_for_tick(void *arg)
{
    struct same_pass *pass = arg;
    int result = weft_ticker_wait(&pass->ticker, NULL);
    CHECK(weft_now() >= pass->deadline);
    return result;
}

static int ticker_same_pass_root(void *arg)
{
    struct same_pass *pass = arg;
    CHECK_EQ(weft_ticker_open(&pass->ticker, WEFT_MINUTE, WEFT_TICKER_SKIP), 0);
    pass->deadline = weft_ticker_next(&pass->ticker);
    weft_task closer = start(closes_ticker, pass);
    weft_task waiter = start(waits_for_tick, pass);
    CHECK_EQ(finish(closer), 0);
    CHECK_EQ(finish(waiter), -EINVAL);
    return 0;
}

WEFT_TEST(time, 14_a_ticker_closed_by_a_timer_of_the_same_pass_does_not_tick)
{
    struct same_pass pass;
    CHECK_EQ(run_virtual(ticker_same_pass_root, &pass), 0);
}

static int cancels_other(void *arg)
{
    struct same_pass *pass = arg;
    CHECK_EQ(weft_sleep_until(pass->deadline), 0);
    CHECK_EQ(weft_cancel(pass->other), 0);
    return 0;
}

static int is_cancelled_when_due(void *arg)
{
    struct same_pass *pass = arg;
    CHECK_EQ(weft_sleep_until(pass->deadline), 0); /* completed wins */
    return weft_sleep(1);
}

static int cancel_same_pass_root(void *arg)
{
    struct same_pass *pass = arg;
    pass->deadline = weft_now() + WEFT_MINUTE;
    weft_task canceller = start(cancels_other, pass);
    pass->other = start(is_cancelled_when_due, pass);
    CHECK_EQ(finish(canceller), 0);
    CHECK_EQ(finish(pass->other), -ECANCELED);
    return 0;
}

WEFT_TEST(time, 14_a_sleep_that_ended_in_the_same_pass_wins_over_a_cancel)
{
    struct same_pass pass;
    CHECK_EQ(run_virtual(cancel_same_pass_root, &pass), 0);
}

static int own_completion_root(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    struct weft_ticker ticker;
    int64_t start_ns = weft_now();
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_MINUTE), 0);
        CHECK_EQ(weft_ticker_open(&ticker, WEFT_SEC, WEFT_TICKER_BURST), 0);
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), 0);
        weft_ticker_close(&ticker);
        CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
        CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
        memset(&scope, 0xa5, sizeof scope);
        memset(&ticker, 0xa5, sizeof ticker);
    }
    CHECK_WITHIN(weft_now() - start_ns, 100 * WEFT_MINUTE, 100 * WEFT_MINUTE + 2 * WEFT_SEC);
    CHECK_EQ(stats_now().timers, 0);
    return 0;
}

WEFT_TEST(time, 15_what_fired_may_be_freed_and_armed_again_at_once)
{
    CHECK_EQ(run_virtual(own_completion_root, NULL), 0);
}

/* ---- 16 to 19: tickers ---- */

static int no_drift_root(void *arg)
{
    (void)arg;
    for (int mode = WEFT_TICKER_SKIP; mode <= WEFT_TICKER_BURST; mode++) {
        struct weft_ticker ticker;
        int64_t start_ns = weft_now();
        CHECK_EQ(weft_ticker_open(&ticker, WEFT_SEC, mode), 0);
        int64_t first = weft_ticker_next(&ticker);
        CHECK_WITHIN(first, start_ns + WEFT_SEC, start_ns + 2 * WEFT_SEC);
        for (int i = 0; i < 500; i++) {
            uint64_t missed = 77;
            CHECK_EQ(weft_ticker_next(&ticker), first + i * WEFT_SEC);
            CHECK_EQ(weft_ticker_wait(&ticker, &missed), 0);
            CHECK_EQ(missed, 0);
            CHECK_WITHIN(weft_now(), first + i * WEFT_SEC, first + i * WEFT_SEC + WEFT_SEC / 2);
            CHECK_EQ(weft_sleep(WEFT_SEC / 3), 0);
        }
        weft_ticker_close(&ticker);
    }
    return 0;
}

WEFT_TEST(time, 16_the_error_of_a_ticker_does_not_accumulate)
{
    CHECK_EQ(run_virtual(no_drift_root, NULL), 0);
}

static int real_ticks_root(void *arg)
{
    (void)arg;
    struct weft_ticker ticker;
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_ticker_open(&ticker, 5 * WEFT_MSEC, WEFT_TICKER_BURST), 0);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), 0);
        CHECK(harness_now_ns() - start_ns >= i * 5 * WEFT_MSEC);
    }
    CHECK_WITHIN(harness_now_ns() - start_ns, 0, 100 * WEFT_MSEC + harness_slack_ns());
    weft_ticker_close(&ticker);
    return 0;
}

WEFT_TEST(time, 16_twenty_ticks_take_twenty_periods)
{
    CHECK_EQ(run_real(real_ticks_root, NULL), 0);
}

/* Takes one tick, lets 3.5 periods pass, and records when the next ones come, in milliseconds
 * after the start, and the first one's count of missed ticks. */
static void stall(int mode, int64_t ret_ticks_ms[5], uint64_t *ret_missed)
{
    struct weft_ticker ticker;
    CHECK_EQ(weft_ticker_open(&ticker, WEFT_MINUTE, mode), 0);
    int64_t start_ns = weft_ticker_next(&ticker) - WEFT_MINUTE;
    CHECK_EQ(weft_ticker_wait(&ticker, NULL), 0);
    CHECK_EQ(weft_sleep_until(start_ns + 4 * WEFT_MINUTE + WEFT_MINUTE / 2), 0);
    for (int i = 0; i < 5; i++) {
        uint64_t missed = 77;
        CHECK_EQ(weft_ticker_wait(&ticker, &missed), 0);
        if (i == 0) *ret_missed = missed;
        if (i > 0) CHECK_EQ(missed, 0);
        ret_ticks_ms[i] = (weft_now() - start_ns) / WEFT_MSEC;
    }
    weft_ticker_close(&ticker);
}

/* Minutes, with the second that the machine may take in between. */
static void check_ticks(const int64_t ticks_ms[5], const double minutes[5])
{
    for (int i = 0; i < 5; i++) {
        int64_t expected_ms = (int64_t)(minutes[i] * 60000);
        CHECK_WITHIN(ticks_ms[i], expected_ms, expected_ms + 1000);
    }
}

static int overrun_root(void *arg)
{
    (void)arg;
    int64_t ticks_ms[5];
    uint64_t missed = 0;

    stall(WEFT_TICKER_SKIP, ticks_ms, &missed);
    check_ticks(ticks_ms, (const double[]){4.5, 5, 6, 7, 8});
    CHECK_EQ(missed, 2); /* three were due: one comes late, two never */

    stall(WEFT_TICKER_BURST, ticks_ms, &missed);
    check_ticks(ticks_ms, (const double[]){4.5, 4.5, 4.5, 5, 6});
    CHECK_EQ(missed, 0);

    stall(WEFT_TICKER_DELAY, ticks_ms, &missed);
    check_ticks(ticks_ms, (const double[]){4.5, 5.5, 6.5, 7.5, 8.5});
    CHECK_EQ(missed, 0);
    return 0;
}

WEFT_TEST(time, 17_a_ticker_skips_bursts_or_delays_after_a_stall)
{
    CHECK_EQ(run_virtual(overrun_root, NULL), 0);
}

WEFT_TEST(time, 18_a_period_below_one_is_refused)
{
    struct weft_ticker ticker;
    CHECK_EQ(weft_ticker_open(&ticker, 0, WEFT_TICKER_SKIP), -EINVAL);
    CHECK_EQ(weft_ticker_open(&ticker, -1, WEFT_TICKER_BURST), -EINVAL);
    CHECK_EQ(weft_ticker_open(&ticker, INT64_MIN, WEFT_TICKER_DELAY), -EINVAL);
    CHECK_EQ(weft_ticker_open(&ticker, WEFT_SEC, WEFT_TICKER_DELAY + 1), -EINVAL);
    CHECK_EQ(weft_ticker_open(&ticker, WEFT_SEC, -1), -EINVAL);

    CHECK_EQ(weft_ticker_open(&ticker, 1, WEFT_TICKER_SKIP), 0);
    weft_ticker_close(&ticker);
}

static int closed_root(void *arg)
{
    (void)arg;
    for (int mode = WEFT_TICKER_SKIP; mode <= WEFT_TICKER_DELAY; mode++) {
        struct weft_ticker ticker;
        CHECK_EQ(weft_ticker_open(&ticker, WEFT_SEC, mode), 0);
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), 0);
        CHECK_EQ(weft_sleep(WEFT_MINUTE), 0); /* many are due now */
        weft_ticker_close(&ticker);
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), -EINVAL);
        CHECK_EQ(weft_ticker_next(&ticker), WEFT_FOREVER);
        weft_ticker_close(&ticker);
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), -EINVAL);
    }
    return 0;
}

WEFT_TEST(time, 19_a_closed_ticker_does_not_tick_though_a_tick_was_due)
{
    CHECK_EQ(run_virtual(closed_root, NULL), 0);
}
