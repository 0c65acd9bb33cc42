/* SPDX-License-Identifier: MIT */
/*
 * What the runtime tells about itself: the dump, by call and by signal; the reports of deadlocks,
 * leaks and survivors; the watchdog. Each goes to a file in memory, which is read afterwards.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <weft/weft.h>

static char output[1 << 20];

/* A sleep ends when everybody else sleeps. */
static struct weft_config virtual;

static void open_configuration(void)
{
    virtual = (struct weft_config)WEFT_CONFIG_INIT;
    virtual.flags = WEFT_VIRTUAL_CLOCK;
}

TestSuite(report, .init = open_configuration);

/* Runs root with reports to `output`. */
static int run_reporting(struct weft_config config, weft_fn root)
{
    config.report_fd = memfd_create("report", MFD_CLOEXEC);
    config.grace_ns = 50 * WEFT_MSEC;
    config.flags |= WEFT_NO_ENVIRONMENT;
    int result = weft_run(&config, root, NULL);
    ssize_t size = pread(config.report_fd, output, sizeof output - 1, 0);
    output[size > 0 ? size : 0] = '\0';
    close(config.report_fd);
    return result;
}

static int run_with_flags(unsigned flags, weft_fn root)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = flags;
    return run_reporting(config, root);
}

static int count_of(const char *what)
{
    int count = 0;
    for (const char *at = output; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

/* The line that contains `what`; empty if none does. */
static const char *line_of(const char *what)
{
    static char line[1024];
    line[0] = '\0';
    const char *at = strstr(output, what);
    if (!at) return line;
    const char *first = at;
    while (first > output && first[-1] != '\n')
        first--;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(first, "\n"), first);
    return line;
}

static weft_task spawn_named(const char *name, weft_fn fn, void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = name;
    weft_task task = {0};
    (void)weft_spawn_with(
        &task, &options, fn, arg); /* a task that is missing shows in the report */
    return task;
}

static int sleep_an_hour(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_HOUR);
}

static int receive(void *arg)
{
    return weft_chan_recv(arg, NULL);
}

static int end_at_once(void *arg)
{
    (void)arg;
    return -7;
}

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

/* ---- the dump signal ---- */

static atomic_bool spinning;
static atomic_int raised;

static int spin_until_dumped(void *arg)
{
    (void)arg;
    (void)spawn_named("patient", sleep_an_hour, NULL);
    (void)weft_yield();
    atomic_store(&spinning, true);
    while (!atomic_load(&raised)) {
    }
    return 0;
}

/* To the process: which of the threads gets it is the kernel's choice. */
static void *signal_the_process(void *arg)
{
    (void)arg;
    while (!atomic_load(&spinning))
        sched_yield();
    kill(getpid(), SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    atomic_store(&raised, 1);
    return NULL;
}

/* To a thread that runs no tasks: it has to be passed on. */
static void *signal_oneself(void *arg)
{
    (void)arg;
    while (!atomic_load(&spinning))
        sched_yield();
    pthread_kill(pthread_self(), SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    atomic_store(&raised, 1);
    return NULL;
}

static void check_dump_of_spinner(void *(*sender)(void *))
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, sender, NULL), 0);

    int result = run_reporting(config, spin_until_dumped);
    pthread_join(thread, NULL);

    cr_assert_eq(result, 0);
    cr_expect_eq(count_of("weft: 2 tasks, "), 1);
    cr_expect_eq(count_of(": running"), 1);
    cr_expect(strstr(line_of("\"patient\""), "in sleep"));
}

Test(report, a_signal_dumps_while_a_task_spins)
{
    check_dump_of_spinner(signal_the_process);
}

Test(report, a_signal_to_any_thread_reaches_the_worker)
{
    check_dump_of_spinner(signal_oneself);
}

static void note_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&raised, 1);
}

static int signal_inside(void *arg)
{
    return raise(arg ? *(int *)arg : SIGUSR1);
}

Test(report, the_former_handler_comes_back)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    struct sigaction action = {.sa_handler = note_signal};
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);

    cr_assert_eq(run_reporting(config, signal_inside), 0);
    cr_expect_eq(atomic_load(&raised), 0);
    cr_expect_eq(count_of(": running"), 1);

    raise(SIGUSR1);
    cr_expect_eq(atomic_load(&raised), 1);
}

static int dump_in_a_child(void *arg)
{
    (void)arg;
    pid_t child = fork();
    if (child == 0) {
        int result = weft_after_fork_child();
        raise(SIGWINCH); /* the parent's handler is gone, and the default ignores it */
        _exit(result == 0 ? weft_run(&virtual, signal_inside, &virtual.dump_signal) : 1);
    }
    int status = 0;
    bool is_well = waitpid(child, &status, 0) == child && WIFEXITED(status);
    return is_well ? WEXITSTATUS(status) : 1;
}

Test(report, a_forked_child_reports_for_itself)
{
    virtual.dump_signal = SIGWINCH;
    virtual.report_fd = memfd_create("report", MFD_CLOEXEC);

    cr_assert_eq(weft_run(&virtual, dump_in_a_child, NULL), 0);

    cr_assert_gt(pread(virtual.report_fd, output, sizeof output - 1, 0), 0);
    cr_expect_eq(count_of("weft: 1 task, "), 1);
    cr_expect_eq(count_of(": running"), 1);
}

Test(report, a_signal_that_cannot_be_caught_is_refused)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGKILL;

    cr_assert_eq(run_reporting(config, end_at_once), -EINVAL);
}

/* ---- dumps at any instruction ---- */

static int live_shortly(void *arg)
{
    int result = weft_sleep(*(unsigned char *)arg * 1000);
    return result < 0 ? result : 0;
}

static int churn(void *arg)
{
    (void)arg;
    static unsigned char durations[50];
    char name[] = "short-lived";
    atomic_store(&spinning, true);
    while (!atomic_load(&raised)) {
        weft_task tasks[50];
        for (size_t i = 0; i < 50; i++) {
            durations[i] = (unsigned char)(i % 5);
            tasks[i] = spawn_named(i % 3 ? name : NULL, live_shortly, &durations[i]);
        }
        for (size_t i = 0; i < 50; i++) {
            if (weft_join(tasks[i], NULL) < 0) return 1;
        }
    }
    return 0;
}

static void *signal_often(void *arg)
{
    pthread_t *target = arg;
    while (!atomic_load(&spinning))
        sched_yield();
    for (int i = 0; i < 300; i++) {
        pthread_kill(*target, SIGUSR1);
        nanosleep(&(struct timespec){.tv_nsec = (i * 7919) % 400000}, NULL);
    }
    atomic_store(&raised, 1);
    return NULL;
}

Test(report, dumps_at_any_moment_do_no_harm)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    pthread_t self = pthread_self();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, signal_often, &self), 0);

    int result = run_reporting(config, churn);
    pthread_join(thread, NULL);

    cr_assert_eq(result, 0);
    cr_expect_gt(count_of("backend "), 1);
    cr_expect_eq(count_of("\nweft: 0 tasks"), 0);
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
