/* SPDX-License-Identifier: MIT */
/*
 * LIM-13 to 15, 20: cut transfers, a blocked thread, the end of the process, a jumping wall clock.
 */
#include <signal.h>

#include "conformance/runtime/faults.h"
#include "conformance/runtime/tcp_support.h"

/* ---- 13: EINTR and short counts ---- */

#define CUT_SIZE 2000

static int writes_cut(void *arg)
{
    const int *fd = arg;
    char bytes[CUT_SIZE];
    for (int i = 0; i < CUT_SIZE; i++) {
        bytes[i] = (char)(i % 251);
    }
    size_t done = 0;
    CHECK_EQ(weft_write_all(*fd, bytes, sizeof bytes, &done), 0);
    CHECK_EQ(done, sizeof bytes);
    return 0;
}

static void check_cut(int reader, int writer)
{
    weft_task task = start(writes_cut, &writer);
    char bytes[CUT_SIZE];
    size_t done = 0;
    CHECK_EQ(weft_read_exactly(reader, bytes, sizeof bytes, &done), 0);
    CHECK_EQ(done, sizeof bytes);
    int wrong = 0;
    for (int i = 0; i < CUT_SIZE; i++) {
        wrong += bytes[i] != (char)(i % 251);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(finish(task), 0);
}

static int cut_root(void *arg)
{
    (void)arg;
    int before = faults_interruptions();
    faults_cut_transfers(true);
    struct address address;
    int listener = listen_on_loopback(&address);
    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    int server = weft_accept(listener, NULL, NULL);
    CHECK(server >= 0);
    check_cut(server, client);
    check_cut(client, server);

    int fds[2];
    harness_pipe(fds);
    check_cut(fds[0], fds[1]);
    close_both(fds);
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    check_cut(fds[0], fds[1]);
    faults_cut_transfers(false);

    CHECK(faults_interruptions() - before > 4 * CUT_SIZE);
    close_both(fds);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(lim, 13_interrupted_and_short_transfers_are_continued)
{
    CHECK_EQ(run_real(cut_root, NULL), 0);
}

struct signaller {
    pthread_t target;
    _Atomic int stop;
};

static void handle_nothing(int number)
{
    (void)number;
}

static void *signaller_main(void *arg)
{
    struct signaller *signaller = arg;
    while (!signaller->stop) {
        struct timespec pause = {0, 200 * NS_PER_US};
        nanosleep(&pause, NULL);
        pthread_kill(signaller->target, SIGUSR1);
    }
    return NULL;
}

static int signals_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    for (int i = 0; i < 100; i++) {
        check_cut(fds[i % 2], fds[(i + 1) % 2]);
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(lim, 13_signals_without_restart_are_never_seen_by_the_caller)
{
    struct sigaction action = {.sa_handler = handle_nothing};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    struct signaller signaller = {.target = pthread_self()};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, signaller_main, &signaller), 0);

    CHECK_EQ(run_real(signals_root, NULL), 0);

    signaller.stop = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- 14: a task that holds the thread ---- */

struct late {
    int64_t start_ns;
    int64_t slept_ns;
    int ticks;
    int fds[2];
    char byte;
};

static int sleeps_50_ms(void *arg)
{
    struct late *late = arg;
    CHECK_EQ(weft_sleep(50 * WEFT_MSEC), 0);
    late->slept_ns = harness_now_ns() - late->start_ns;
    return 0;
}

static int ticks_20_ms(void *arg)
{
    struct late *late = arg;
    struct weft_ticker ticker;
    CHECK_EQ(weft_ticker_open(&ticker, 20 * WEFT_MSEC, WEFT_TICKER_BURST), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_ticker_wait(&ticker, NULL), 0);
        late->ticks++;
    }
    weft_ticker_close(&ticker);
    return 0;
}

static int reads_late(void *arg)
{
    struct late *late = arg;
    CHECK_EQ(weft_read(late->fds[0], &late->byte, 1), 1);
    return 0;
}

static int holds_root(void *arg)
{
    struct late *late = arg;
    harness_pipe(late->fds);
    late->start_ns = harness_now_ns();
    weft_task tasks[3] = {
        start(sleeps_50_ms, late), start(ticks_20_ms, late), start(reads_late, late)};
    settle();
    put_byte(late->fds[1], 'l');
    harness_sleep_ms(200);
    CHECK_EQ(late->ticks, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK_WITHIN(late->slept_ns, 200 * WEFT_MSEC, 200 * WEFT_MSEC + harness_slack_ns());
    CHECK_EQ(late->ticks, 10);
    CHECK_EQ(late->byte, 'l');
    close_both(late->fds);
    return 0;
}

WEFT_TEST(lim, 14_a_task_that_holds_the_thread_makes_others_late_and_nothing_else)
{
    struct late late = {0};
    CHECK_EQ(run_real(holds_root, &late), 0);
}

static int holds_named_root(void *arg)
{
    (void)arg;
    harness_sleep_ms(150);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return 0;
}

static int watchdog_child(void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.watchdog_ns = 20 * WEFT_MSEC;
    return weft_run(&config, holds_named_root, arg);
}

WEFT_TEST(lim, 14_the_watchdog_names_who_holds_the_thread)
{
    struct harness_child child;
    harness_run_child(&child, watchdog_child, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK(strstr(child.output, "task") != NULL);
    CHECK(child.output_size > 10);
}

/* ---- 15: exit ---- */

static void last_words(void)
{
    CHECK_EQ(write(STDOUT_FILENO, "bye", 3), 3);
}

static int sleeps_forever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

static int exits(void *arg)
{
    (void)arg;
    exit(7); /* NOLINT(concurrency-mt-unsafe): that is the point */
}

static int exit_root(void *arg)
{
    (void)start(sleeps_forever, arg);
    (void)start(exits, arg);
    return weft_sleep(WEFT_FOREVER);
}

static int exit_child(void *arg)
{
    CHECK_EQ(atexit(last_words), 0);
    return run_real(exit_root, arg);
}

WEFT_TEST(lim, 15_exit_works_in_a_task)
{
    struct harness_child child;
    harness_run_child(&child, exit_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 7);
#ifdef __SANITIZE_ADDRESS__ /* the leak checker may add a line of its own at exit */
    CHECK(strstr(child.output, "bye") != NULL);
#else
    CHECK_STR(child.output, "bye");
#endif
}

/* ---- 20: the wall clock ---- */

static int shaken_root(void *arg)
{
    int *fds = arg;
    for (int i = 0; i < 10; i++) {
        int64_t start_ns = harness_now_ns();
        int64_t start_weft = weft_now();
        CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 2 * WEFT_MSEC), -ETIMEDOUT);
        CHECK_WITHIN(
            harness_now_ns() - start_ns, 4 * WEFT_MSEC, 4 * WEFT_MSEC + 2 * harness_slack_ns());
        CHECK_WITHIN(weft_now() - start_weft, 4 * WEFT_MSEC, WEFT_MINUTE);
    }
    return 0;
}

WEFT_TEST(lim, 20_deadlines_do_not_depend_on_the_wall_clock)
{
    int fds[2];
    harness_pipe(fds);
    faults_shake_wall_clock(true);
    CHECK_EQ(run_real(shaken_root, fds), 0);
    faults_shake_wall_clock(false);

    CHECK_EQ(faults_wall_clock_reads(), 0);
}
