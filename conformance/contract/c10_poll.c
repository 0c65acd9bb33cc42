/* SPDX-License-Identifier: MIT */
/* [C-10] poll() sleeps until something happened: not shorter than asked, not longer than due. */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

/* One poll that finds nothing; gives how long it took, and checks that it was not too short. */
static int64_t sleep_in_poll(struct fixture *fixture, int64_t timeout_ns)
{
    int64_t start = harness_now_ns();
    CHECK_EQ(fixture_poll(fixture, timeout_ns), 0);
    int64_t elapsed = harness_now_ns() - start;
    CHECK_WITHIN(elapsed, timeout_ns, INT64_MAX);
    return elapsed;
}

/* 0.1 to 6 ms, whole milliseconds and everything between them. */
static void sleep_through_all_lengths(struct fixture *fixture)
{
    for (int64_t timeout_ns = 100 * NS_PER_US; timeout_ns < 6 * NS_PER_MS;
         timeout_ns += 193 * NS_PER_US + 7) {
        (void)sleep_in_poll(fixture, timeout_ns);
    }
    for (int i = 0; i < 20; i++) {
        (void)sleep_in_poll(fixture, 1);
        (void)sleep_in_poll(fixture, NS_PER_MS - 1);
        (void)sleep_in_poll(fixture, NS_PER_MS + 1);
    }
}

WEFT_TEST(c10, never_early)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;

    sleep_through_all_lengths(&fixture);
    fixture_arm(&fixture, fds[0], READ, 1);
    sleep_through_all_lengths(&fixture);
    fixture_close(&fixture);
}

/* Traps 1 and 2: loops that compute with the time of their last pass. */
WEFT_TEST(c10, time_spent_outside_does_not_count)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    int64_t shortest = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        (void)fixture_poll(&fixture, 0);
        harness_sleep_ms(12);
        int64_t elapsed = sleep_in_poll(&fixture, 8 * NS_PER_MS);
        if (elapsed < shortest) shortest = elapsed;
    }
    CHECK_WITHIN(shortest, 8 * NS_PER_MS, 8 * NS_PER_MS + harness_slack_ns());
    fixture_close(&fixture);
}

WEFT_TEST(c10, on_time)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    int64_t shortest = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t elapsed = sleep_in_poll(&fixture, 10 * NS_PER_MS);
        if (elapsed < shortest) shortest = elapsed;
    }

    int64_t resolution = weft__backend.facts().timer_resolution_ns;
    CHECK_WITHIN(shortest, 10 * NS_PER_MS, 10 * NS_PER_MS + resolution + harness_slack_ns() / 4);
    fixture_close(&fixture);
}

WEFT_TEST(c10, zero_only_looks)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);

    int64_t start = harness_now_ns();
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(fixture_poll(&fixture, 0), 0);
    }
    CHECK_WITHIN(harness_now_ns() - start, 0, harness_slack_ns());
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    fixture_close(&fixture);
}

WEFT_TEST(c10, what_is_ready_does_not_wait_for_the_timeout)
{
    static const int64_t timeouts[] = {0, 1, NS_PER_MS, 3600 * NS_PER_SEC, WEFT_POLL_FOREVER};
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], READ, 1);

    int64_t start = harness_now_ns();
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        CHECK_EQ(fixture_poll(&fixture, timeouts[i]), 1);
    }
    CHECK_WITHIN(harness_now_ns() - start, 0, harness_slack_ns());
    fixture_close(&fixture);
}

static void *put_after_15_ms(void *fd)
{
    harness_sleep_ms(15);
    fixture_put(*(int *)fd, 1);
    return NULL;
}

/* Sleeps in one poll until a byte arrives, 15 ms later. */
static void check_sleeps_until_ready(int64_t timeout_ns)
{
    struct fixture fixture;
    int fds[2];
    pthread_t thread;
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    int64_t start = harness_now_ns();
    CHECK_OR_RETURN(pthread_create(&thread, NULL, put_after_15_ms, &fds[1]) == 0, );

    CHECK_EQ(fixture_poll(&fixture, timeout_ns), 1);
    CHECK_WITHIN(harness_now_ns() - start, 15 * NS_PER_MS, 5 * NS_PER_SEC);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
    fixture_close(&fixture);
}

WEFT_TEST(c10, forever_ends_when_something_is_ready)
{
    check_sleeps_until_ready(WEFT_POLL_FOREVER);
}

WEFT_TEST(c10, timeouts_beyond_any_range_are_long)
{
    check_sleeps_until_ready(WEFT_POLL_FOREVER - 1);
    check_sleeps_until_ready(INT64_MAX / 2);
    check_sleeps_until_ready(INT64_C(365) * 24 * 3600 * NS_PER_SEC);
    check_sleeps_until_ready(INT64_C(2147483648) * NS_PER_MS);
    check_sleeps_until_ready(INT64_C(4294967297) * NS_PER_MS); /* 1 ms, if cut to 32 bits */
    check_sleeps_until_ready(INT64_C(4294967297) * NS_PER_SEC);
}

WEFT_TEST(c10, no_more_than_fits_is_written)
{
    struct fixture fixture;
    int fds[8][2];
    struct weft_event events[4];
    if (!fixture_open(&fixture)) return;
    for (int i = 0; i < 8; i++) {
        harness_pipe(fds[i]);
        fixture_arm(&fixture, fds[i][1], WRITE, (uint64_t)i);
    }

    for (int capacity = 1; capacity <= 3; capacity++) {
        for (int i = 0; i < 4; i++) {
            events[i] = (struct weft_event){.token = 1234};
        }
        CHECK_EQ(weft__backend.poll(fixture.state, NS_PER_SEC, events, capacity), capacity);
        CHECK(events[capacity - 1].token != 1234);
        CHECK_EQ(events[capacity].token, 1234);
    }
    fixture_close(&fixture);
}

static int sleep_without_pwait2(void *unused)
{
    (void)unused;
    if (!harness_deny_syscall(441, ENOSYS)) return 0; /* epoll_pwait2: Linux before 5.11 */
    struct fixture fixture;
    if (!fixture_open(&fixture)) return 1;

    CHECK_WITHIN(weft__backend.facts().timer_resolution_ns, 1, 10 * NS_PER_MS);
    sleep_through_all_lengths(&fixture);
    check_sleeps_until_ready(INT64_C(4294967297) * NS_PER_MS);
    check_sleeps_until_ready(WEFT_POLL_FOREVER - 1);
    fixture_close(&fixture);
    return 0;
}

WEFT_TEST(c10, never_early_on_a_kernel_that_counts_milliseconds)
{
    struct harness_child child;
    harness_run_child(&child, sleep_without_pwait2, NULL);

    CHECK_EQ(child.exit_code, 0);
}
