/* SPDX-License-Identifier: MIT */
/*
 * TIME-23 to 27, 30, 33, 34, 38: many timers, idle ones, timers beside descriptors, after a fork.
 */
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

/* ---- 23: a hundred thousand ---- */

#define RANDOM_TASKS  4000
#define RANDOM_SLEEPS 25

struct random_run {
    int64_t last_deadline;
    int fired;
};

/* The least random generator that does. */
static uint64_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static int sleeps_randomly(void *arg)
{
    struct random_run *run = arg;
    uint64_t state = weft_self().id;
    for (int i = 0; i < RANDOM_SLEEPS; i++) {
        int64_t duration = WEFT_SEC + (int64_t)(random_next(&state) % 100000) * WEFT_MSEC;
        int64_t deadline = weft_now() + duration;
        CHECK_EQ(weft_sleep_until(deadline), 0);
        CHECK(weft_now() >= deadline);
        CHECK(deadline >= run->last_deadline);
        run->last_deadline = deadline;
        run->fired++;
    }
    return 0;
}

static int random_root(void *arg)
{
    struct random_run *run = arg;
    for (int i = 0; i < RANDOM_TASKS; i++) {
        CHECK_EQ(weft_spawn(NULL, sleeps_randomly, run), 0);
    }
    CHECK_EQ(weft_sleep(RANDOM_SLEEPS * 110 * WEFT_SEC), 0);
    CHECK_EQ(run->fired, RANDOM_TASKS * RANDOM_SLEEPS);
    CHECK_EQ(stats_now().timers, 0);
    return 0;
}

WEFT_TEST(time, 23_a_hundred_thousand_random_timers_fire_once_and_in_order, .timeout = 60)
{
    harness_needs_one_worker(); /* each has timers of its own */
    struct random_run run = {0};
    CHECK_EQ(run_virtual(random_root, &run), 0);
}

/* ---- 24: armed and taken back ---- */

static int sleeps_till_cancelled(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_MINUTE);
}

static void cancel_a_crowd(void)
{
    weft_task tasks[200];
    for (int i = 0; i < 200; i++) {
        tasks[i] = start(sleeps_till_cancelled, NULL);
    }
    for (int i = 0; i < 1000 && stats_now().timers < 200; i++) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(stats_now().timers, 200);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(weft_cancel(tasks[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(finish(tasks[i]), -ECANCELED);
    }
}

static void open_and_close(int count)
{
    for (int i = 0; i < count; i++) {
        struct weft_scope scope;
        CHECK_EQ(weft_scope_open_timeout(&scope, 20 * WEFT_MSEC + i), 0);
        CHECK_EQ(weft_scope_set_deadline(&scope, weft_now() + 30 * WEFT_MSEC), 0);
        CHECK_EQ(weft_scope_close(&scope), 0);
    }
}

static int taken_back_root(void *arg)
{
    (void)arg;
    cancel_a_crowd();
    open_and_close(1000);
    size_t resident = harness_resident_size();

    for (int i = 0; i < 100; i++) {
        cancel_a_crowd();
    }
    open_and_close(80000);

    CHECK_WITHIN(harness_resident_size(), 0, resident + (2 << 20));
    CHECK_EQ(stats_now().timers, 0);
    uint64_t polls = stats_now().polls;
    CHECK_EQ(weft_sleep(60 * WEFT_MSEC), 0);
    CHECK_WITHIN(stats_now().polls - polls, 1, 3);
    return 0;
}

WEFT_TEST(time, 24_timers_that_were_taken_back_leave_no_memory_and_no_wake_up, .timeout = 60)
{
    harness_needs_one_worker(); /* whose timers are counted */
    CHECK_EQ(run_real(taken_back_root, NULL), 0);
}

/* ---- 25: idle ---- */

static int idle_root(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    struct weft_stats before = stats_now();
    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    cpu_ns = harness_thread_cpu_ns() - cpu_ns;
    CHECK_WITHIN(stats_now().polls - before.polls, 1, 3);
    CHECK_WITHIN(stats_now().turns - before.turns, 1, 3);
    CHECK_WITHIN(cpu_ns, 0, harness_pace() * 2 * WEFT_MSEC);
    return 0;
}

WEFT_TEST(time, 25_an_idle_worker_sleeps_until_its_only_timer)
{
    CHECK_EQ(run_real(idle_root, NULL), 0);
}

/* ---- 26, 27: fairness between timers and descriptors ---- */

struct fair {
    int fds[2];
    bool stop;
    int rounds;
    int64_t read_at;
};

static int watches_readable(void *arg)
{
    struct fair *fair = arg;
    while (!fair->stop) {
        CHECK_EQ(weft_wait_fd(fair->fds[0], WEFT_READABLE), WEFT_READABLE);
        fair->rounds++;
    }
    return 0;
}

static int readable_root(void *arg)
{
    struct fair *fair = arg;
    put_byte(fair->fds[1], 'x');
    weft_task watcher = start(watches_readable, fair);
    for (int i = 0; i < 5; i++) {
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
        CHECK_WITHIN(
            harness_now_ns() - start_ns, 10 * WEFT_MSEC, 10 * WEFT_MSEC + harness_slack_ns());
    }
    fair->stop = true;
    CHECK_EQ(finish(watcher), 0);
    CHECK(fair->rounds > 100);
    return 0;
}

WEFT_TEST(time, 26_a_descriptor_that_stays_readable_does_not_starve_a_timer)
{
    struct fair fair = {0};
    harness_pipe(fair.fds);

    CHECK_EQ(run_real(readable_root, &fair), 0);
}

static int sleeps_0(void *arg)
{
    struct fair *fair = arg;
    while (!fair->stop) {
        CHECK_EQ(weft_sleep(0), 0);
    }
    return 0;
}

static int sleeps_1_ms(void *arg)
{
    struct fair *fair = arg;
    while (!fair->stop) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        fair->rounds++;
    }
    return 0;
}

static int reads_and_notes(void *arg)
{
    struct fair *fair = arg;
    char byte;
    CHECK_EQ(weft_read(fair->fds[0], &byte, 1), 1);
    fair->read_at = harness_now_ns();
    return 0;
}

static int timers_root(void *arg)
{
    struct fair *fair = arg;
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = start(i % 2 ? sleeps_0 : sleeps_1_ms, fair);
    }
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    weft_task reader = start(reads_and_notes, fair);
    settle();

    int64_t start_ns = harness_now_ns();
    put_byte(fair->fds[1], 'x');
    CHECK_EQ(finish(reader), 0);

    CHECK_WITHIN(fair->read_at - start_ns, 0, harness_slack_ns());
    fair->stop = true;
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK(fair->rounds > 4);
    return 0;
}

WEFT_TEST(time, 27_endless_short_timers_do_not_starve_a_descriptor)
{
    struct fair fair = {0};
    harness_pipe(fair.fds);

    CHECK_EQ(run_real(timers_root, &fair), 0);
}

/* ---- 30: the alarm of a finished operation ---- */

static int no_alarm_root(void *arg)
{
    int *fds = arg;
    char byte = 0;
    uint64_t timers = stats_now().timers;
    for (int i = 0; i < 20; i++) {
        int status = 1;
        put_byte(fds[1], 'd');
        weft_with_timeout_into(&status, WEFT_HOUR) {
            CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
        }
        CHECK_EQ(status, 0);
        CHECK_EQ(stats_now().timers, timers);
    }

    /* Nothing is left that could jump to the hour. */
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_sleep(2 * WEFT_HOUR), 0);
    CHECK_WITHIN(weft_now() - start_ns, 2 * WEFT_HOUR, 2 * WEFT_HOUR + WEFT_SEC);
    put_byte(fds[1], 'e');
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'e');
    return 0;
}

WEFT_TEST(time, 30_io_that_ends_before_its_deadline_leaves_no_alarm)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(no_alarm_root, fds), 0);
}

/* ---- 33: fork ---- */

static int counts_ticks(void *arg)
{
    int *count = arg;
    for (int i = 0; i < 3; i++) {
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
        CHECK(harness_now_ns() - start_ns >= 5 * WEFT_MSEC);
        (*count)++;
    }
    return 0;
}

static int child_root(void *arg)
{
    weft_task ticks = start(counts_ticks, arg);
    CHECK_EQ(finish(ticks), 0);
    return 0;
}

static int forking_root(void *arg)
{
    int *count = arg;
    weft_task ticks = start(counts_ticks, count);
    settle();

    pid_t pid = fork();
    if (pid == 0) {
        int own_count = 0;
        CHECK_EQ(weft_after_fork_child(), 0);
        CHECK_EQ(run_real(child_root, &own_count), 0);
        CHECK_EQ(own_count, 3);
        _exit(*count == 0 ? 42 : 1); /* the parent's task runs in the parent only */
    }
    CHECK(pid > 0);

    CHECK_EQ(finish(ticks), 0);
    CHECK_EQ(*count, 3);
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    return 0;
}

WEFT_TEST(time, 33_timers_work_on_both_sides_of_a_fork)
{
    int count = 0;
    CHECK_EQ(run_real(forking_root, &count), 0);
}

/* ---- 34: one turn ---- */

struct turn {
    struct weft_chan *chan;
    int fds[2];
    char text[4];
    size_t count;
};

static int reads_in_turn(void *arg)
{
    struct turn *turn = arg;
    char byte;
    CHECK_EQ(weft_read(turn->fds[0], &byte, 1), 1);
    turn->text[turn->count++] = 'i';
    return 0;
}

static int receives_in_turn(void *arg)
{
    struct turn *turn = arg;
    CHECK_EQ(weft_chan_recv(turn->chan, NULL), 0);
    turn->text[turn->count++] = 't';
    return 0;
}

static int sleeps_in_turn(void *arg)
{
    struct turn *turn = arg;
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    turn->text[turn->count++] = 'd';
    return 0;
}

static void *sends_in_turn(void *arg)
{
    struct turn *turn = arg;
    CHECK_EQ(weft_chan_send(turn->chan, NULL), 0);
    return NULL;
}

/* All three are due before the worker looks; the deadline even was first. */
static int turn_root(void *arg)
{
    struct turn *turn = arg;
    weft_task tasks[3] = {
        start(sleeps_in_turn, turn), start(receives_in_turn, turn), start(reads_in_turn, turn)};
    settle();
    harness_sleep_ms(5);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sends_in_turn, turn), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0); /* the value is handed over, the receiver not awake */
    put_byte(turn->fds[1], 'x');
    CHECK_EQ(turn->count, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK_STR(turn->text, "itd");
    return 0;
}

WEFT_TEST(time, 34_a_turn_does_descriptors_then_threads_then_timers)
{
    struct turn turn = {.count = 0};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&turn.chan, &options), 0);
    harness_pipe(turn.fds);

    CHECK_EQ(run_real(turn_root, &turn), 0);
    weft_chan_unref(turn.chan);
}

/* ---- 38: deadlines of reads ---- */

static int reads_with_deadlines(void *arg)
{
    const int *fd = arg;
    static const int64_t durations[] = {1,
                                        100,
                                        WEFT_USEC,
                                        10 * WEFT_USEC,
                                        100 * WEFT_USEC,
                                        WEFT_MSEC,
                                        10 * WEFT_MSEC,
                                        100 * WEFT_MSEC,
                                        WEFT_SEC};
    for (int i = 0; i < 9; i++) {
        int64_t start_ns = harness_now_ns();
        ssize_t result = 0;
        weft_with_timeout(durations[i]) {
            char byte;
            result = weft_read(*fd, &byte, 1);
        }
        CHECK_EQ(result, -ETIMEDOUT);
        CHECK_WITHIN(harness_now_ns() - start_ns, durations[i], durations[i] + harness_slack_ns());
    }
    return 0;
}

static int deadlines_root(void *arg)
{
    (void)arg;
    int fds[4][2];
    weft_task tasks[4];
    for (int i = 0; i < 4; i++) {
        harness_tcp_pair(fds[i]);
        if (i > 0) tasks[i] = start(reads_with_deadlines, &fds[i][0]);
    }
    for (int i = 1; i < 4; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK_EQ(reads_with_deadlines(&fds[0][0]), 0);
    CHECK_EQ(stats_now().timers, 0);
    for (int i = 0; i < 4; i++) {
        close_both(fds[i]);
    }
    return 0;
}

WEFT_TEST(time, 38_reads_time_out_at_their_deadline)
{
    CHECK_EQ(run_real(deadlines_root, NULL), 0);
}
