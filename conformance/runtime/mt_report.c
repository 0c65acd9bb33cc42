/* SPDX-License-Identifier: MIT */
/*
 * What several workers tell about themselves: dumps that a task and a signal ask for, counters, the
 * watchdog, leaks, deadlocks and overflows. Each worker writes its own tasks: MT-26.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "conformance/runtime/mt_support.h"

#define OUTPUT_MAX (4 << 20) /* many dumps; only what is read takes memory */

/* A file that reports go to, and what is in it. */
static int output_fd = -1;
static char output[OUTPUT_MAX];

static void open_output(void)
{
    FILE *file = tmpfile();
    if (!CHECK(file != NULL)) abort();
    output_fd = dup(fileno(file));
    CHECK(output_fd >= 0);
    (void)fclose(file);
}

static void close_output(void)
{
    CHECK_EQ(close(output_fd), 0);
}

static const char *read_output(void)
{
    ssize_t size = pread(output_fd, output, sizeof output - 1, 0);
    CHECK(size >= 0);
    output[size > 0 ? size : 0] = '\0';
    return output;
}

static unsigned count_of(const char *part)
{
    unsigned count = 0;
    for (const char *at = read_output(); (at = strstr(at, part)) != NULL; at += strlen(part)) {
        count++;
    }
    return count;
}

/* Sleeps until a part was written as often as wanted: true, or false when it never is. */
static bool await_output(const char *part, unsigned wanted)
{
    int64_t limit = harness_now_ns() + 5 * NS_PER_SEC * harness_pace();
    while (count_of(part) < wanted) {
        if (harness_now_ns() > limit) return false;
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    return true;
}

static void check_headings(unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        char heading[64];
        (void)snprintf(heading, sizeof heading, "weft: worker %u: ", i);
        CHECK_EQ(count_of(heading), 1);
    }
}

/* ---- 22: dumps ---- */

struct crowd {
    struct weft_scope scope;
    struct weft_chan *chan;
    atomic_int arrived;
    unsigned size;
};

static int wait_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    count_up(&crowd->arrived);
    return weft_chan_recv(crowd->chan, NULL) == -EPIPE ? 0 : 1;
}

/* Runs on other workers than the one that spawns those of the crowd that stand still. */
static int spawn_crowd(void *arg)
{
    struct crowd *crowd = arg;
    struct weft_scope scope;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "local";
    options.placement = WEFT_HERE;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn_with(&scope, NULL, &options, wait_in_crowd, crowd), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

static void open_crowd(struct crowd *crowd)
{
    *crowd = (struct crowd){.chan = open_chan(0, 0), .size = 2 * weft_worker_count()};
    CHECK_EQ(weft_scope_open(&crowd->scope), 0);
    for (unsigned i = 0; i < crowd->size; i++) {
        (void)spawn_spread(&crowd->scope, spawn_crowd, crowd);
    }
    while (atomic_load(&crowd->arrived) < (int)crowd->size) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
}

static void close_crowd(struct crowd *crowd)
{
    CHECK_EQ(weft_chan_close(crowd->chan), 0);
    CHECK_EQ(weft_scope_close(&crowd->scope), 0);
    weft_chan_unref(crowd->chan);
}

static int root_dumps(void *arg)
{
    struct crowd crowd;
    (void)arg;
    open_crowd(&crowd);
    int fd = dup(output_fd);
    CHECK_EQ(weft_dump(fd), 0);
    CHECK_EQ(close(fd), 0); /* each worker has a number of its own */
    CHECK(await_output("backend ", weft_worker_count()));
    CHECK(await_output(" \"local\": parked ", crowd.size));
    close_crowd(&crowd);
    return 0;
}

MT_TEST(mt, 26_a_dump_shows_the_tasks_of_each_worker)
{
    open_output();
    CHECK_EQ(run_with(workers, root_dumps, NULL), 0);
    check_headings(workers);
    CHECK_EQ(count_of("\"local\""), 2 * workers);
    CHECK_EQ(count_of("in chan recv (channel of "), 2 * workers);
    CHECK(count_of(": on worker ") >=
          workers); /* the spread ones, by the worker that spawned them */
    close_output();
}

static int dump_from_anywhere(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_dump(output_fd), 0);
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int be_short(void *arg)
{
    return weft_yield() + (arg != NULL);
}

/* Tasks are born, stolen, joined elsewhere and released all the time. */
static int churn(void *arg)
{
    struct weft_scope scope;
    (void)arg;
    for (int round = 0; round < 10; round++) {
        CHECK_EQ(weft_scope_open(&scope), 0);
        weft_task first = spawn_task(be_short, NULL);
        for (int i = 0; i < 40; i++) {
            CHECK_EQ(weft_scope_spawn(&scope, NULL, be_short, NULL), 0);
            if (i % 10 == 0) (void)spawn_spread(&scope, be_short, NULL);
        }
        CHECK_EQ(weft_scope_close(&scope), 0);
        CHECK_EQ(join_result(first), 0);
    }
    return 0;
}

static int root_dumps_in_motion(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < 3 * weft_worker_count(); i++) {
        (void)spawn_spread(&scope, i % 3 == 0 ? dump_from_anywhere : churn, arg);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 26b_dumps_while_tasks_come_and_go_do_no_harm, .timeout = 60)
{
    open_output();
    CHECK_EQ(run_with(workers, root_dumps_in_motion, NULL), 0);
    CHECK(count_of("weft: worker 0: ") >= 1);
    CHECK_EQ(count_of("weft: worker 0: 0 tasks"), 0); /* the root is there */
    close_output();
}

static int run_with_signal(unsigned workers, weft_fn root)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    config.dump_signal = SIGUSR1;
    config.report_fd = output_fd;
    return weft_run(&config, root, NULL);
}

static int root_raises(void *arg)
{
    struct crowd crowd;
    (void)arg;
    open_crowd(&crowd);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK(await_output("backend ", weft_worker_count()));
    CHECK(await_output(" \"local\": parked ", crowd.size));
    close_crowd(&crowd);
    return 0;
}

MT_TEST(mt, 26c_a_signal_dumps_the_tasks_of_each_worker)
{
    open_output();
    CHECK_EQ(run_with_signal(workers, root_raises), 0);
    check_headings(workers);
    CHECK_EQ(count_of("\"local\""), 2 * workers);
    close_output();
}

static int root_raises_in_motion(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        (void)spawn_spread(&scope, churn, arg);
    }
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(weft_sleep(i * 10 * WEFT_USEC), 0);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 26d_signals_while_tasks_come_and_go_do_no_harm, .timeout = 60)
{
    open_output();
    CHECK_EQ(run_with_signal(workers, root_raises_in_motion), 0);
    CHECK(count_of("weft: worker 0: ") >= 1);
    close_output();
}

/* ---- 22: counters ---- */

static int check_counters(void *arg)
{
    struct weft_stats stats = {.size = sizeof stats};
    (void)arg;
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK(stats.tasks_parked >= 2); /* the two that spawned, or were spawned, here */
    CHECK(stats.tasks_live >= stats.tasks_parked);
    CHECK(stats.waiting_chan >= 1);
    CHECK(stats.turns >= 1);
    return 0;
}

static int root_counts(void *arg)
{
    struct crowd crowd;
    struct weft_stats stats = {.size = sizeof stats};
    open_crowd(&crowd);
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.tasks_live, 1 + crowd.size + 2); /* itself, the spread ones, two of the crowd */
    run_spread(weft_worker_count(), check_counters, arg);
    close_crowd(&crowd);
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.tasks_live, 1);
    CHECK_EQ(stats.tasks_ended, 0);
    return 0;
}

MT_TEST(mt, 26e_counters_are_those_of_the_worker)
{
    CHECK_EQ(run_with(workers, root_counts, NULL), 0);
}

/* ---- 22: the watchdog, leaks, deadlocks ---- */

static int hold_if_elsewhere(void *arg)
{
    if (weft_worker_index() == 0) return 0;
    count_up(arg);
    harness_sleep_ms(200);
    return 0;
}

static int root_is_held_up(void *arg)
{
    atomic_int held = 0;
    (void)arg;
    run_spread(weft_worker_count(), hold_if_elsewhere, &held);
    CHECK_EQ(atomic_load(&held), weft_worker_count() - 1);
    return 0;
}

MT_TEST(mt, 26f_the_watchdog_looks_at_each_worker)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    open_output();
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    config.watchdog_ns = 40 * WEFT_MSEC;
    config.report_fd = output_fd;
    CHECK_EQ(weft_run(&config, root_is_held_up, NULL), 0);
    for (unsigned i = 1; i < workers; i++) {
        char start[64];
        (void)snprintf(start, sizeof start, "weft: worker %u: task ", i);
        CHECK(count_of(start) >= 1);
    }
    CHECK(count_of(" has held its worker for ") >= workers - 1);
    close_output();
}

static int sleep_until_told(void *arg)
{
    count_up(arg);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    return 0;
}

static atomic_int asleep;

static int root_leaves_sleepers(void *arg)
{
    int count = (int)weft_worker_count();
    (void)arg;
    atomic_store(&asleep, 0);
    for (int i = 0; i < count; i++) {
        CHECK_EQ(weft_detach(spawn_spread(NULL, sleep_until_told, &asleep)), 0);
    }
    while (atomic_load(&asleep) < count) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    return 0;
}

MT_TEST(mt, 26g_who_outlives_the_root_is_named_once)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    open_output();
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    config.flags = WEFT_REPORT_LEAKS;
    config.report_fd = output_fd;
    CHECK_EQ(weft_run(&config, root_leaves_sleepers, NULL), 0);
    CHECK_EQ(count_of("alive when the root returned"), 1);
    CHECK_EQ(count_of("\ntask "), workers);
    close_output();
}

static int wait_for_ever(void *arg)
{
    CHECK_EQ(weft_chan_recv(arg, NULL), -ECANCELED);
    return 0;
}

static int root_is_stuck(void *arg)
{
    struct weft_scope scope;
    struct weft_chan *chan = open_chan(0, 0);
    (void)arg;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        (void)spawn_spread(&scope, wait_for_ever, chan);
    }
    (void)weft_scope_close(&scope);
    weft_chan_unref(chan);
    return 0;
}

MT_TEST(mt, 26h_a_deadlock_names_the_tasks_of_all_workers)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    open_output();
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    config.report_fd = output_fd;
    CHECK_EQ(weft_run(&config, root_is_stuck, NULL), -EDEADLK);
    CHECK_EQ(count_of("weft: deadlock"), 1);
    CHECK_EQ(count_of("\ntask "), workers + 1);
    CHECK_EQ(count_of(": parked on worker 1 since turn "), 1);
    close_output();
}

/* ---- 22: overflows ---- */

static int __attribute__((noinline)) recurse(int depth)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    frame[1023] = (char)depth;
    return depth > 1000000 ? 0 : recurse(depth + 1) + frame[0] + frame[1023];
}

/* Its record is worker 0's, where it was spawned. */
static int overflow_elsewhere(void *arg)
{
    (void)arg;
    return weft_worker_index() == 0 ? 0 : recurse(0) == 12345;
}

static int root_spreads_divers(void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    struct weft_scope scope;
    (void)arg;
    options.name = "far diver";
    options.placement = WEFT_SPREAD;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        CHECK_EQ(weft_scope_spawn_with(&scope, NULL, &options, overflow_elsewhere, NULL), 0);
    }
    return weft_scope_close(&scope);
}

static int run_divers(void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = *(unsigned *)arg;
    config.flags = WEFT_OVERFLOW_FORCE; /* over the handler of a sanitizer */
    return weft_run(&config, root_spreads_divers, NULL);
}

MT_TEST(mt, 26i_an_overflow_on_another_worker_names_the_task)
{
    struct harness_child child;
    harness_run_child(&child, run_divers, &workers);
    CHECK(!child.exited);
    CHECK(child.signal_number == SIGSEGV || child.signal_number == SIGABRT);
    CHECK(strstr(child.output, "weft: stack overflow in task ") != NULL);
    CHECK(strstr(child.output, " \"far diver\", spawned at ") != NULL);
}
