/* SPDX-License-Identifier: MIT */
/*
 * Differences between event loops about time that the rows' other tests do not show by themselves;
 * docs/conformance-differences.md lists all of them.
 */
#include <time.h>

#include "conformance/runtime/io_support.h"

#define SAMPLE_COUNT 40

/* ---- 01: a clock in milliseconds is behind by up to one of them ---- */

#define SLEEPER_COUNT 100

/* 1 to 7 ms, beginning anywhere between two ticks: who sleeps alone is woken by its own time-out,
 * in a crowd by somebody else's. */
static int sleeps_in_a_crowd(void *arg)
{
    int64_t number = *(const int *)arg;
    for (int i = 0; i < 3; i++) {
        hog_ns(17 * WEFT_USEC);
        int64_t duration_ns = (1 + (number + i) % 6) * WEFT_MSEC + number * 7 * WEFT_USEC;
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(duration_ns), 0);
        CHECK_WITHIN(harness_now_ns() - start_ns, duration_ns, INT64_MAX);
    }
    return 0;
}

static int crowd_root(void *arg)
{
    (void)arg;
    int numbers[SLEEPER_COUNT];
    weft_task tasks[SLEEPER_COUNT];
    for (int i = 0; i < SLEEPER_COUNT; i++) {
        numbers[i] = i;
        tasks[i] = start(sleeps_in_a_crowd, &numbers[i]);
    }
    for (int i = 0; i < SLEEPER_COUNT; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    return 0;
}

WEFT_TEST(time, 01b_sleep_is_not_early_in_a_crowd)
{
    CHECK_EQ(run_real(crowd_root, NULL), 0);
}

/* ---- 02: a coarse clock is late by its tick ---- */

struct lateness {
    int64_t ours_ns[SAMPLE_COUNT];
    int64_t kernels_ns[SAMPLE_COUNT];
};

static int64_t sleep_in_kernel(int64_t duration_ns)
{
    struct timespec duration = {.tv_nsec = duration_ns};
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL), 0);
    return harness_now_ns() - start_ns - duration_ns;
}

/* In turns, so that whatever else the machine does makes both late. */
static int lateness_root(void *arg)
{
    struct lateness *lateness = arg;
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        lateness->kernels_ns[i] = sleep_in_kernel(2 * WEFT_MSEC);
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
        lateness->ours_ns[i] = harness_now_ns() - start_ns - 2 * WEFT_MSEC;
    }
    return 0;
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int64_t lower_quartile(int64_t *times)
{
    qsort(times, SAMPLE_COUNT, sizeof *times, compare_times);
    return times[SAMPLE_COUNT / 4];
}

/* The lower quartile: what is late by design is always late, what the machine does is not. */
WEFT_TEST(time, 02b_a_sleep_is_about_as_late_as_the_kernels)
{
    struct lateness lateness;

    CHECK_EQ(run_real(lateness_root, &lateness), 0);

    int64_t kernels_ns = lower_quartile(lateness.kernels_ns);
    CHECK_WITHIN(
        lower_quartile(lateness.ours_ns), 0, 2 * kernels_ns + 2 * WEFT_MSEC * harness_pace());
}
