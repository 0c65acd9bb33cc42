/* SPDX-License-Identifier: MIT */
/*
 * FD-36, 38 to 40: many descriptors, many times, and large numbers.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "conformance/capabilities.h"
#include "conformance/runtime/io_support.h"

/* ---- 36: nothing accumulates ---- */

static int sleeps_on_fd(void *arg)
{
    const int *fd = arg;
    return weft_wait_fd(*fd, WEFT_READABLE);
}

static void churn(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        int fds[2];
        harness_pipe(fds);
        weft_task task = start(sleeps_on_fd, &fds[0]);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_cancel(task), 0);
        CHECK_EQ(finish(task), -ECANCELED);
        close_both(fds);
    }
}

static int churn_root(void *arg)
{
    (void)arg;
    churn(100);
    int fd_count = harness_fd_count();
    size_t resident = harness_resident_size();
    churn(1000);
    CHECK_EQ(harness_fd_count(), fd_count);
    CHECK_WITHIN(harness_resident_size(), 0, resident + (512 << 10));
    CHECK_EQ(stats_now().descriptors, 0);
    CHECK_EQ(stats_now().waiting_fd, 0);
    return 0;
}

WEFT_TEST(fd, 36_a_thousand_waits_cancels_and_closes_leave_nothing)
{
    int fd_count = harness_fd_count();
    CHECK_EQ(run_real(churn_root, NULL), 0);
    CHECK_EQ(harness_fd_count(), fd_count);
}

/* ---- 38: many that are always ready ---- */

#define READY_COUNT 2000

struct ready_set {
    int fds[READY_COUNT];
    int served[READY_COUNT];
    int next;
    int total;
    int ended; /* tasks */
};

static int serves_one(void *arg)
{
    struct ready_set *set = arg;
    int number = set->next++;
    while (set->total < 10 * READY_COUNT) {
        CHECK_EQ(weft_wait_fd(set->fds[number], WEFT_READABLE), WEFT_READABLE);
        set->served[number]++;
        set->total++;
    }
    set->ended++;
    return 0;
}

static int ready_root(void *arg)
{
    struct ready_set *set = arg;
    for (int i = 0; i < READY_COUNT; i++) {
        set->fds[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK_OR_RETURN(set->fds[i] >= 0, 1);
        CHECK_EQ(weft_spawn(NULL, serves_one, set), 0);
    }
    while (set->ended < READY_COUNT) { /* not the total: some still wait for their last one then */
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    for (int i = 0; i < READY_COUNT; i++) {
        CHECK_WITHIN(set->served[i], 4, 21); /* ten rounds, each within two */
        CHECK_EQ(weft_close(set->fds[i]), 0);
    }
    return 0;
}

WEFT_TEST(fd, 38_of_two_thousand_ready_descriptors_none_starves)
{
    harness_needs_one_worker(); /* each has rounds of its own */
    static struct ready_set set;
    CHECK_EQ(run_real(ready_root, &set), 0);
}

/* ---- 39: many that are idle ---- */

#define IDLE_COUNT  10000
#define ROUND_TRIPS 300

static int answers(void *arg)
{
    const int *fd = arg;
    char byte;
    while (weft_read(*fd, &byte, 1) == 1) {
        CHECK_EQ(weft_write(*fd, &byte, 1), 1);
    }
    return 0;
}

/* CPU time of one round trip over a socket pair. */
static int64_t round_trip_cost(void)
{
    int fds[2];
    harness_socket_pair(fds);
    weft_task peer = start(answers, &fds[1]);
    int64_t cpu_ns = harness_thread_cpu_ns();
    for (int i = 0; i < ROUND_TRIPS; i++) {
        char byte = 'p';
        CHECK_EQ(weft_write(fds[0], &byte, 1), 1);
        CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    }
    cpu_ns = harness_thread_cpu_ns() - cpu_ns;
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(finish(peer), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return cpu_ns / ROUND_TRIPS;
}

static int idle_root(void *arg)
{
    int *fds = arg;
    int64_t alone_ns = round_trip_cost();
    for (int i = 0; i < IDLE_COUNT; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK_OR_RETURN(fds[i] >= 0, 1);
        CHECK_EQ(weft_spawn(NULL, sleeps_on_fd, &fds[i]), 0);
    }
    for (int i = 0; i < 10000 && stats_now().waiting_fd < IDLE_COUNT; i++) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    CHECK_EQ(stats_now().waiting_fd, IDLE_COUNT);

    int64_t crowded_ns = round_trip_cost();

    bool is_dearer = crowded_ns > 4 * alone_ns + 20 * WEFT_USEC;
    CHECK_EQ(is_dearer, capabilities()->poll_is_linear);
    CHECK_EQ(stats_now().waiting_fd, IDLE_COUNT);
    return 0;
}

WEFT_TEST(fd, 39_ten_thousand_idle_waits_do_not_slow_an_active_one, .timeout = 60)
{
    harness_needs_one_worker(); /* whose counters are looked at */
    static int fds[IDLE_COUNT];
    CHECK_EQ(run_real(idle_root, fds), 0);
}

/* ---- 40: large numbers ---- */

static int high_root(void *arg)
{
    const int *number = arg;
    int fds[2];
    harness_pipe(fds);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, *number);
    CHECK_OR_RETURN(high >= *number, 1);
    CHECK_EQ(close(fds[0]), 0);
    struct waiter waiter = {.fd = high, .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    settle();
    put_byte(fds[1], 'h');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    char byte = 0;
    CHECK_EQ(weft_read(high, &byte, 1), 1);
    CHECK_EQ(byte, 'h');
    CHECK_EQ(weft_close(high), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

/* Above 65536 where the machine's limits allow it, else as high as they go. */
static int high_child(void *arg)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit raised = {70000, limit.rlim_max > 70000 ? limit.rlim_max : 70000};
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        raised.rlim_cur = limit.rlim_max;
        raised.rlim_max = limit.rlim_max;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &raised), 0);
    }
    int numbers[3] = {1025, 2048, (int)raised.rlim_cur - 2};
    CHECK(numbers[2] > 1025);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(run_real(high_root, &numbers[i]), 0);
    }
    (void)arg;
    return 0;
}

WEFT_TEST(fd, 40_large_numbers_work)
{
    struct harness_child child;
    harness_run_child(&child, high_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}
