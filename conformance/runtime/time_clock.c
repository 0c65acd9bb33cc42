/* SPDX-License-Identifier: MIT */
/*
 * TIME-20 to 22, 28, 29, 31, 32, 34 to 37: far futures, the clock itself, and odd wake-ups.
 *
 * Lower bounds are exact: nothing here may ever end early. Upper bounds are generous.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "conformance/runtime/io_support.h"

#ifndef SYS_epoll_pwait2 /* Linux 5.11; one number on every machine */
#define SYS_epoll_pwait2 441
#endif

#define YEAR (365 * 24 * WEFT_HOUR)

/* ---- 20, 21, 22: the far future ---- */

static const int64_t far_durations[] = {
    50 * 24 * WEFT_HOUR, 100 * YEAR, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};
#define FAR_COUNT 5

static int sleeps_far(void *arg)
{
    const int64_t *duration = arg;
    return weft_sleep(*duration);
}

static int sleeps_until_far(void *arg)
{
    const int64_t *deadline = arg;
    return weft_sleep_until(*deadline);
}

static int sleeps_in_far_scope(void *arg)
{
    const int64_t *duration = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, *duration), 0);
    int result = weft_sleep(WEFT_FOREVER);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return result;
}

static int far_root(void *arg)
{
    (void)arg;
    weft_task tasks[3 * FAR_COUNT];
    for (int i = 0; i < FAR_COUNT; i++) {
        void *duration = (void *)(uintptr_t)&far_durations[i];
        tasks[3 * i] = start(sleeps_far, duration);
        tasks[3 * i + 1] = start(sleeps_until_far, duration);
        tasks[3 * i + 2] = start(sleeps_in_far_scope, duration);
    }
    CHECK_EQ(weft_sleep(30 * WEFT_MSEC), 0);

    struct weft_stats stats = stats_now();
    CHECK_EQ(stats.waiting_time, 3 * FAR_COUNT);
    CHECK_EQ(stats.tasks_ended, 0);
    for (int i = 0; i < 3 * FAR_COUNT; i++) {
        CHECK_EQ(weft_cancel(tasks[i]), 0);
        CHECK_EQ(finish(tasks[i]), -ECANCELED);
    }
    return 0;
}

WEFT_TEST(time, 20_far_deadlines_do_not_fire)
{
    CHECK_EQ(run_real(far_root, NULL), 0);
}

static int century_root(void *arg)
{
    (void)arg;
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_sleep(100 * YEAR), 0);
    CHECK_WITHIN(weft_now() - start_ns, 100 * YEAR, 100 * YEAR + 5 * WEFT_SEC);
    return 0;
}

WEFT_TEST(time, 20_a_century_passes_on_the_virtual_clock)
{
    CHECK_EQ(run_virtual(century_root, NULL), 0);
}

static int saturation_root(void *arg)
{
    (void)arg;
    static const int64_t periods[] = {INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};
    for (int i = 0; i < 3; i++) {
        for (int mode = WEFT_TICKER_SKIP; mode <= WEFT_TICKER_DELAY; mode++) {
            struct weft_ticker ticker;
            int64_t before = weft_now();
            CHECK_EQ(weft_ticker_open(&ticker, periods[i], mode), 0);
            CHECK(weft_ticker_next(&ticker) >= before + INT64_MAX / 2);
            int result = 1;
            weft_with_timeout(5 * WEFT_MSEC)
                result = weft_ticker_wait(&ticker, NULL);
            CHECK_EQ(result, -ETIMEDOUT);
            weft_ticker_close(&ticker);
        }
    }

    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, INT64_MAX - 1), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, INT64_MAX - 1), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(weft_select(weft_after(INT64_MAX - 1), weft_after(WEFT_MSEC)), 1);
    return 0;
}

WEFT_TEST(time, 21_sums_saturate_instead_of_wrapping)
{
    CHECK_EQ(run_real(saturation_root, NULL), 0);
}

static int fifty_days_root(void *arg)
{
    int *fds = arg;
    static const int64_t fifty_days = 50 * 24 * WEFT_HOUR;
    weft_task sleeper = start(sleeps_far, (void *)(uintptr_t)&fifty_days);
    settle();
    uint64_t polls = stats_now().polls;

    struct later later;
    later_start(&later, fds[1], 40 * harness_pace(), 'x');
    char byte = 0;
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    later_join(&later);

    CHECK_EQ(stats_now().waiting_time, 1);
    CHECK_WITHIN(stats_now().polls - polls, 1, 4);
    CHECK_EQ(weft_cancel(sleeper), 0);
    CHECK_EQ(finish(sleeper), -ECANCELED);
    return 0;
}

static int fifty_days_child(void *arg)
{
    /* Where there is no such call, or no way to take it away, nothing is lost. */
    (void)harness_deny_syscall(SYS_epoll_pwait2, ENOSYS);
    return run_real(fifty_days_root, arg);
}

/* More milliseconds than an int holds, on a kernel that counts in such. */
WEFT_TEST(time, 22_a_wait_beyond_the_limit_of_the_poll_neither_wakes_nor_spins)
{
    int fds[2];
    harness_pipe(fds);

    struct harness_child child;
    harness_run_child(&child, fifty_days_child, fds);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- 28, 29: now ---- */

struct clock_watch {
    int64_t last;
    int64_t last_real;
};

static int watches_clock(void *arg)
{
    struct clock_watch *watch = arg;
    for (int i = 0; i < 2000; i++) {
        int64_t now = weft_now();
        CHECK(now >= watch->last);
        watch->last = now;
        if (i % 100 == 0) {
            CHECK_EQ(weft_sleep(i % 200 == 0 ? 50 * WEFT_USEC : 0), 0);
        }
    }
    return 0;
}

static int clock_root(void *arg)
{
    struct clock_watch *watch = arg;
    int64_t real = harness_now_ns();
    int64_t now = weft_now();
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = start(watches_clock, watch);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }

    /* It is the monotonic clock, which no step of the wall clock moves. */
    int64_t passed = weft_now() - now;
    CHECK(harness_now_ns() - real >= passed);
    CHECK(passed > 0);
    return 0;
}

WEFT_TEST(time, 28_now_never_goes_back)
{
    struct clock_watch watch = {0};
    int64_t before = weft_now();
    CHECK_EQ(run_real(clock_root, &watch), 0);

    CHECK(weft_now() >= watch.last);
    CHECK(weft_now() >= before);
}

static int fresh_root(void *arg)
{
    (void)arg;
    int64_t first = weft_now();
    hog_ns(5 * WEFT_MSEC);
    CHECK(weft_now() - first >= 5 * WEFT_MSEC);
    return 0;
}

WEFT_TEST(time, 29_now_advances_in_a_task_that_does_not_yield)
{
    CHECK_EQ(run_real(fresh_root, NULL), 0);
    CHECK_EQ(run_virtual(fresh_root, NULL), 0);
}

/* ---- 31, 32, 34, 35, 36, 37 ---- */

struct signaller {
    pthread_t target;
    _Atomic int stop;
    int sent;
};

static void handle_nothing(int number)
{
    (void)number;
}

static void *signaller_main(void *arg)
{
    struct signaller *signaller = arg;
    while (!signaller->stop) {
        harness_sleep_ms(1);
        pthread_kill(signaller->target, SIGUSR1);
        signaller->sent++;
    }
    return NULL;
}

static int signals_root(void *arg)
{
    (void)arg;
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    CHECK_WITHIN(
        harness_now_ns() - start_ns, 200 * WEFT_MSEC, 200 * WEFT_MSEC + harness_slack_ns());
    return 0;
}

WEFT_TEST(time, 31_signals_neither_shorten_nor_lengthen_a_sleep)
{
    struct sigaction action = {.sa_handler = handle_nothing};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    struct signaller signaller = {.target = pthread_self()};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, signaller_main, &signaller), 0);

    CHECK_EQ(run_real(signals_root, NULL), 0);

    signaller.stop = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(signaller.sent > 10);
}

static int short_sleeps_root(void *arg)
{
    (void)arg;
    uint64_t polls = stats_now().polls;
    for (int i = 0; i < 200; i++) {
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
        CHECK(harness_now_ns() - start_ns >= 100 * WEFT_USEC);
    }
    CHECK_WITHIN(stats_now().polls - polls, 1, 3 * 200);
    return 0;
}

WEFT_TEST(time, 32_short_sleeps_do_not_spin)
{
    CHECK_EQ(run_real(short_sleeps_root, NULL), 0);
}

#define NEIGHBOURS INT64_C(400)
#define APART_NS   (50 * WEFT_USEC)

static int sleeps_until(void *arg)
{
    const int64_t *deadline_ns = arg;
    CHECK_EQ(weft_sleep_until(*deadline_ns), 0);
    CHECK(weft_now() >= *deadline_ns);
    return 0;
}

static uint64_t polls_for_neighbours(void)
{
    weft_task tasks[NEIGHBOURS];
    int64_t deadlines_ns[NEIGHBOURS];
    int64_t start_ns = weft_now() + 100 * WEFT_MSEC * harness_pace();
    for (int64_t i = 0; i < NEIGHBOURS; i++) {
        deadlines_ns[i] = start_ns + i * APART_NS;
        tasks[i] = start(sleeps_until, &deadlines_ns[i]);
    }
    settle();

    uint64_t polls = stats_now().polls;
    for (int64_t i = 0; i < NEIGHBOURS; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    return stats_now().polls - polls;
}

/* The kernel may end a wait at any interrupt within the slack, also at one that another program
 * caused. So one of several attempts must show what an undisturbed wait does. */
static int neighbours_root(void *arg)
{
    (void)arg;
    uint64_t fewest = UINT64_MAX;
    for (int attempt = 0; attempt < 10 && fewest > NEIGHBOURS / 2; attempt++) {
        uint64_t polls = polls_for_neighbours();
        fewest = polls < fewest ? polls : fewest;
    }
    CHECK_WITHIN(fewest, 1, NEIGHBOURS / 2);
    return 0;
}

/* A millisecond of slack is twenty deadlines. */
WEFT_TEST(time, 32b_sleeps_that_end_within_the_timer_slack_share_wake_ups)
{
    harness_needs_one_worker(); /* whose wake-ups are counted */
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, (unsigned long)WEFT_MSEC), 0);
    CHECK_EQ(run_real(neighbours_root, NULL), 0);
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 0UL), 0);
}

struct pass {
    int64_t deadline;
    char text[8];
    size_t count;
};

static int rearms(void *arg)
{
    struct pass *pass = arg;
    CHECK_EQ(weft_sleep_until(pass->deadline), 0);
    pass->text[pass->count++] = '1';
    CHECK_EQ(weft_sleep_until(pass->deadline), 0);
    pass->text[pass->count++] = '3';
    return 0;
}

static int arms_once(void *arg)
{
    struct pass *pass = arg;
    CHECK_EQ(weft_sleep_until(pass->deadline), 0);
    pass->text[pass->count++] = '2';
    return 0;
}

static int later_pass_root(void *arg)
{
    struct pass *pass = arg;
    pass->deadline = weft_now() + WEFT_MINUTE;
    weft_task first = start(rearms, pass);
    weft_task second = start(arms_once, pass);
    CHECK_EQ(finish(first), 0);
    CHECK_EQ(finish(second), 0);
    CHECK_STR(pass->text, "123");
    return 0;
}

WEFT_TEST(time, 34_a_timer_armed_by_a_woken_task_waits_for_a_later_pass)
{
    struct pass pass = {0};
    CHECK_EQ(run_virtual(later_pass_root, &pass), 0);
}

struct nudge {
    int fds[2];
    _Atomic int stop;
};

static void *nudger_main(void *arg)
{
    struct nudge *nudge = arg;
    while (!nudge->stop) {
        struct timespec pause = {0, 300 * NS_PER_US};
        nanosleep(&pause, NULL);
        put_byte(nudge->fds[1], 'n');
    }
    return NULL;
}

static int reads_nudges(void *arg)
{
    struct nudge *nudge = arg;
    int count = 0;
    char byte;
    while (weft_read(nudge->fds[0], &byte, 1) == 1) {
        count++;
    }
    return count;
}

static int one_shot_root(void *arg)
{
    struct nudge *nudge = arg;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, nudger_main, nudge), 0);
    weft_task reader = start(reads_nudges, nudge);
    for (int i = 0; i < 10; i++) {
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
        CHECK_WITHIN(
            harness_now_ns() - start_ns, 10 * WEFT_MSEC, 10 * WEFT_MSEC + harness_slack_ns());
    }
    nudge->stop = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_cancel(reader), 0);
    CHECK(finish(reader) > 10);
    return 0;
}

WEFT_TEST(time, 35_one_deadline_gives_one_wake_up_though_the_loop_wakes_before_it)
{
    struct nudge nudge = {.stop = 0};
    harness_pipe(nudge.fds);

    CHECK_EQ(run_real(one_shot_root, &nudge), 0);
}

#define CROWD 10000

struct crowd {
    int64_t deadline;
    atomic_int armed; /* these are of all workers' tasks */
    atomic_int woken;
    _Atomic int64_t first;
    _Atomic int64_t last;
};

static int sleeps_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    crowd->armed++;
    CHECK_EQ(weft_sleep_until(crowd->deadline), 0);
    int64_t now = weft_now();
    CHECK(now >= crowd->deadline);
    if (crowd->woken++ == 0) crowd->first = now;
    crowd->last = now;
    return 0;
}

static int crowd_root(void *arg)
{
    struct crowd *crowd = arg;
    crowd->deadline = weft_now() + 10 * WEFT_SEC;
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(weft_spawn(NULL, sleeps_in_crowd, crowd), 0);
    }
    while (crowd->armed < CROWD) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(crowd->woken, 0);
    CHECK_EQ(weft_sleep_until(crowd->deadline + WEFT_SEC), 0);

    CHECK_EQ(crowd->woken, CROWD);
    CHECK_WITHIN(crowd->last - crowd->first, 0, 50 * WEFT_MSEC + harness_slack_ns());
    return 0;
}

WEFT_TEST(time, 36_ten_thousand_sleepers_of_one_deadline_all_resume)
{
    struct crowd crowd = {0};
    CHECK_EQ(run_virtual(crowd_root, &crowd), 0);
}

struct jumps {
    char text[64];
    size_t count;
};

static int jumps_task(void *arg)
{
    struct jumps *jumps = arg;
    char letter = (char)('a' + jumps->count++ % 3);
    int64_t period = (letter - 'a' + 2) * WEFT_HOUR;
    int64_t next = weft_now();
    for (int i = 0; i < 6; i++) {
        next += period;
        CHECK_EQ(weft_sleep_until(next), 0);
        jumps->text[jumps->count++] = letter;
    }
    return 0;
}

static int jumps_root(void *arg)
{
    struct jumps *jumps = arg;
    int64_t virtual_start = weft_now();
    weft_task tasks[3];
    for (int i = 0; i < 3; i++) {
        tasks[i] = start(jumps_task, jumps);
    }
    settle();
    jumps->count = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK_WITHIN(weft_now() - virtual_start, 24 * WEFT_HOUR, 25 * WEFT_HOUR);
    return 0;
}

WEFT_TEST(time, 37_the_virtual_clock_jumps_to_the_next_deadline)
{
    struct jumps first = {.count = 0};
    struct jumps second = {.count = 0};
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(run_virtual(jumps_root, &first), 0);
    CHECK_EQ(run_virtual(jumps_root, &second), 0);

    /* a at hours 2, 4, ... 12, b at 3, 6, ... 18, c at 4, 8, ... 24; of those that are due in one
     * hour the one that was started first is first. */
    CHECK_STR(first.text, "abacabacbaabcbcbcc");
    CHECK_STR(second.text, first.text);
    CHECK_WITHIN(harness_now_ns() - start_ns, 0, 2 * WEFT_SEC);
}
