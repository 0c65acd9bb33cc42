/* SPDX-License-Identifier: MIT */
/*
 * What the runtime tells about itself: the dump; the reports of deadlocks, leaks, survivors and
 * overflows; the watchdog; the counters.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>

#include "tests/core/report_support.h"

TestSuite(report, .init = open_configuration);

/* ---- the dump ---- */

static int wait_readable(void *arg)
{
    return weft_wait_fd(*(int *)arg, WEFT_READABLE);
}

static int join(void *arg)
{
    return weft_join(*(weft_task *)arg, NULL);
}

static int select_all(void *arg)
{
    struct weft_chan *chan = arg;
    return weft_select(weft_on_recv(chan, NULL), weft_on_send(NULL, NULL), weft_after(WEFT_HOUR));
}

static int read_in_time(void *arg)
{
    char byte = 0;
    ssize_t count = 0;
    weft_with_timeout(WEFT_MINUTE) {
        count = weft_read(*(int *)arg, &byte, 1);
    }
    return (int)count;
}

static int dump_all(void *arg)
{
    int fds[2];
    int others[2];
    if (pipe(fds) != 0 || pipe(others) != 0) return 1;
    struct weft_chan *chan = NULL;
    struct weft_chan *shared = NULL;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    if (weft_chan_open(&chan, 0, 0) < 0 || weft_chan_open_with(&shared, &options) < 0) return 1;

    weft_task sleeper = spawn_named("sleeper", sleep_an_hour, NULL);
    (void)spawn_named("receiver", receive, chan);
    (void)spawn_named("thread-fed", receive, shared);
    (void)spawn_named("joiner", join, &sleeper);
    (void)spawn_named("chooser", select_all, chan);
    (void)spawn_named("waiter", wait_readable, &fds[0]);
    (void)spawn_named("reader", read_in_time, &others[0]);
    (void)spawn_named("gone", end_at_once, NULL);
    (void)weft_sleep(WEFT_SEC);
    (void)spawn_named("newborn", end_at_once, NULL);
    (void)weft_cancel(sleeper);
    int result = weft_dump(*(int *)arg);
    weft_chan_unref(chan);
    weft_chan_unref(shared);
    return result;
}

Test(report, a_dump_shows_what_each_task_waits_for)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);

    cr_assert_eq(weft_run(&virtual, dump_all, &fd), 0);

    cr_assert_gt(pread(fd, output, sizeof output - 1, 0), 0);
    cr_expect_eq(count_of("\ntask "), 10);
    cr_expect(strstr(output, "10 tasks, 1 unstarted, 1 ready, 1 running, 6 parked, 1 ended"));
    cr_expect(strstr(line_of("\"sleeper\""), ": ready, cancelled, stack "));
    cr_expect(strstr(line_of("\"receiver\""), "in chan recv (channel of "));
    cr_expect(strstr(line_of("\"thread-fed\""), "in chan recv (channel of "));
    cr_expect(strstr(line_of("\"joiner\""), "in join (task "));
    cr_expect(strstr(line_of("\"chooser\""), "in select (recv, channel of "));
    cr_expect(strstr(line_of("\"chooser\""), "; 359"));
    cr_expect(strstr(line_of("\"waiter\""), "(descriptor "));
    cr_expect(strstr(line_of("\"reader\""), "deadline 5"));
    cr_expect(strstr(line_of("\"gone\""), ": ended with -7, not joined"));
    cr_expect(
        strstr(line_of("\"newborn\""), ": unstarted, spawned at "), "%s", line_of("\"newborn\""));
    cr_expect_eq(count_of("report_test.c:"), 9 + 3); /* tasks, and channels in what they wait for */
}

static int dump_many(void *arg)
{
    weft_task first = spawn_named("first", sleep_an_hour, NULL);
    for (int i = 0; i < 100; i++) {
        (void)weft_spawn(NULL, join, &first);
    }
    for (int i = 0; i < 50; i++) {
        (void)weft_spawn(NULL, sleep_an_hour, NULL);
    }
    (void)weft_sleep(WEFT_SEC);
    return weft_dump(*(int *)arg);
}

Test(report, a_dump_of_many_tasks_begins_with_a_summary)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);

    cr_assert_eq(weft_run(&virtual, dump_many, &fd), 0);

    cr_assert_gt(pread(fd, output, sizeof output - 1, 0), 0);
    cr_expect_eq(count_of("\ntask "), 152);
    cr_expect_eq(count_of("\nweft: 100 parked in join, spawned at "), 1);
    cr_expect_eq(count_of("\nweft: 50 parked in sleep, spawned at "), 1);
    cr_expect_eq(count_of("\nweft: 1 parked in sleep, spawned at "), 1);
    cr_expect_eq(count_of("\nweft: 1 running, spawned at weft_run"), 1);
}

static int dump_to_nowhere(void *arg)
{
    (void)arg;
    return weft_dump(1000000);
}

Test(report, a_dump_tells_why_it_could_not_be_written)
{
    cr_assert_eq(weft_run(NULL, dump_to_nowhere, NULL), -EBADF);
}

/* ---- deadlock, leaks, survivors ---- */

static int deadlock(void *arg)
{
    (void)arg;
    struct weft_chan *chan = NULL;
    if (weft_chan_open(&chan, 0, 0) < 0) return 1;
    weft_task self = weft_self();
    (void)spawn_named("joiner", join, &self);
    (void)spawn_named("receiver", receive, chan);
    int result = weft_join(spawn_named("other", receive, chan), NULL);
    (void)weft_yield();
    weft_chan_unref(chan);
    return result;
}

Test(report, a_deadlock_names_everybody)
{
    cr_assert_eq(run_with_flags(0, deadlock), -EDEADLK);

    cr_expect_eq(count_of("weft: deadlock"), 1);
    cr_expect_eq(count_of("\ntask "), 4);
    cr_expect(strstr(line_of("\"joiner\""), "in join (task "));
    cr_expect(strstr(line_of("\"other\""), "in chan recv"));
    cr_expect_eq(count_of("weft: 4 tasks; all are cancelled now"), 1);
}

Test(report, a_deadlock_is_silent_if_asked)
{
    cr_assert_eq(run_with_flags(WEFT_NO_DEADLOCK_REPORT, deadlock), -EDEADLK);

    cr_expect_str_eq(output, "");
}

static int leave_tasks_behind(void *arg)
{
    (void)arg;
    (void)spawn_named("forgotten", end_at_once, NULL);
    (void)weft_join(spawn_named("joined", end_at_once, NULL), NULL);
    (void)weft_detach(spawn_named("detached", end_at_once, NULL));
    (void)weft_yield();
    (void)spawn_named("alive", sleep_an_hour, NULL);
    (void)weft_yield();
    return 0;
}

Test(report, leaks_are_named_once_each)
{
    cr_assert_eq(run_with_flags(WEFT_REPORT_LEAKS, leave_tasks_behind), 0);

    cr_expect_eq(count_of("weft: 1 task alive when the root returned"), 1);
    cr_expect_eq(count_of("weft: 1 task ended, and nobody joined or detached it"), 1);
    cr_expect_eq(count_of("\"alive\""), 1);
    cr_expect_eq(count_of("\"forgotten\""), 1);
    cr_expect_eq(count_of("\ntask "), 2);
    cr_expect(strstr(line_of("\"alive\""), "in sleep"));
    cr_expect(strstr(line_of("\"forgotten\""), "spawned at "));
}

Test(report, leaks_are_not_named_unasked)
{
    cr_assert_eq(run_with_flags(0, leave_tasks_behind), 0);

    cr_expect_str_eq(output, "");
}

static int sleep_shielded(void *arg)
{
    weft_shielded
    {
        (void)sleep_an_hour(arg);
    }
    return 0;
}

static int leave_survivor(void *arg)
{
    (void)arg;
    (void)spawn_named("stubborn", sleep_shielded, NULL);
    return weft_yield();
}

Test(report, survivors_are_named)
{
    cr_assert_eq(run_with_flags(0, leave_survivor), -EBUSY);

    cr_expect_eq(count_of("weft: 1 task did not end within 50.000 ms after the root"), 1);
    cr_expect(strstr(line_of("\"stubborn\""), "in sleep"));
}

/* ---- the watchdog ---- */

static int hold_the_worker(void *arg)
{
    (void)arg;
    int64_t end_ns = weft_now() + 500 * WEFT_MSEC;
    while (weft_now() < end_ns) {
    }
    return 0;
}

static int beside_a_holder(void *arg)
{
    (void)arg;
    int result = weft_join(spawn_named("holder", hold_the_worker, NULL), NULL);
    int slept = weft_sleep(200 * WEFT_MSEC);
    return result < 0 ? result : slept;
}

Test(report, the_watchdog_names_who_holds_the_worker)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.watchdog_ns = 100 * WEFT_MSEC;

    cr_assert_eq(run_reporting(config, beside_a_holder), 0);

    cr_expect_geq(count_of("has held its worker for "), 1);
    cr_expect(strstr(line_of("report_test.c:"), "has held its worker for "));
}

static int sleep_and_yield(void *arg)
{
    (void)arg;
    int64_t end_ns = weft_now() + 700 * WEFT_MSEC;
    while (weft_now() < end_ns) {
        if (weft_yield() < 0) return 1;
    }
    return weft_sleep(700 * WEFT_MSEC);
}

Test(report, the_watchdog_leaves_others_alone)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.watchdog_ns = 500 * WEFT_MSEC; /* more than a busy machine keeps a thread waiting */

    cr_assert_eq(run_reporting(config, sleep_and_yield), 0);

    cr_expect_str_eq(output, "");
}

/* ---- the overflow report ---- */

static int use_stack(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth > 0 ? use_stack(depth - 1) + frame[0] : 0;
}

static int overflow(void *arg)
{
    (void)arg;
    return use_stack(10000);
}

static int join_overflow(void *arg)
{
    (void)arg;
    return weft_join(spawn_named("glutton", overflow, NULL), NULL);
}

Test(report, a_stack_overflow_names_the_task)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd, STDERR_FILENO);
        struct weft_config config = WEFT_CONFIG_INIT;
        config.flags = WEFT_OVERFLOW_FORCE;
        _exit(weft_run(&config, join_overflow, NULL));
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);

    cr_assert(WIFSIGNALED(status));
    cr_assert_gt(pread(fd, output, sizeof output - 1, 0), 0);
    cr_expect(strstr(line_of("stack overflow in task "), "\"glutton\", spawned at "));
    cr_expect_eq(count_of("report_test.c:"), 1);
}

/* ---- counters ---- */

static uint64_t slices_now(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    return weft_stats(&stats) == 0 ? stats.slices : 0;
}

static int count_slices(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = slices_now();
        if (weft_yield() < 0 || slices_now() != before + 1) return i + 1;
    }
    uint64_t before = slices_now();
    if (weft_sleep(WEFT_MSEC) < 0) return -1;
    return slices_now() == before + 1 ? 0 : -2;
}

Test(report, slices_are_counted_exactly)
{
    cr_assert_eq(run_with_flags(WEFT_VIRTUAL_CLOCK, count_slices), 0);
}
