/* SPDX-License-Identifier: MIT */
/*
 * Rows LIFE-04, 07, 19 and SEMANTICS row 39: stopping a runtime from outside, holding it, and what
 * happens when nothing can wake anybody.
 */
#include <pthread.h>
#include <signal.h>

#include "conformance/runtime/support.h"

/* ---- 07 ---- */

static int root_stops_itself(void *arg)
{
    (void)arg;
    weft_task other = spawn_task(sleep_forever, NULL);
    let_others_run();
    CHECK_EQ(weft_runtime_stop(weft_runtime_current()), 0);
    CHECK_EQ(weft_runtime_stop(weft_runtime_current()), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), -ECANCELED);
    weft_shielded
    {
        CHECK_EQ(join_result(other), -ECANCELED);
    }
    return 3;
}

WEFT_TEST(life, 07_stop_from_a_task_cancels_every_task)
{
    CHECK_EQ(run_virtual(root_stops_itself, NULL), 3);
}

static void *stop_from_thread(void *arg)
{
    harness_sleep_ms(20);
    CHECK_EQ(weft_runtime_stop(arg), 0);
    CHECK_EQ(weft_runtime_unref(arg), 0);
    return NULL;
}

static int root_is_stopped_by_thread(void *arg)
{
    (void)arg;
    struct weft_runtime *runtime = weft_runtime_current();
    pthread_t thread;
    CHECK_EQ(weft_runtime_ref(runtime), 0);
    int64_t start = harness_now_ns();
    CHECK_EQ(pthread_create(&thread, NULL, stop_from_thread, runtime), 0);

    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);

    CHECK_WITHIN(harness_now_ns() - start, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 4;
}

WEFT_TEST(life, 07b_stop_from_a_thread_wakes_an_idle_loop)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_is_stopped_by_thread, NULL), 4);
}

static struct weft_runtime *signalled_runtime;

static void stop_from_signal(int number)
{
    (void)number;
    int saved_errno = errno;
    CHECK_EQ(weft_runtime_stop(signalled_runtime), 0);
    errno = saved_errno;
}

static void *raise_late(void *arg)
{
    harness_sleep_ms(20);
    CHECK_EQ(pthread_kill(*(pthread_t *)arg, SIGUSR1), 0);
    return NULL;
}

static int root_is_stopped_by_signal(void *arg)
{
    (void)arg;
    pthread_t thread;
    pthread_t self = pthread_self();
    signalled_runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(signalled_runtime), 0);
    CHECK_EQ(pthread_create(&thread, NULL, raise_late, &self), 0);

    CHECK_EQ(weft_sleep(WEFT_MINUTE), -ECANCELED);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_runtime_unref(signalled_runtime), 0);
    return 5;
}

WEFT_TEST(life, 07c_stop_from_a_signal_handler)
{
    struct sigaction action = {.sa_handler = stop_from_signal};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);

    CHECK_EQ(run_real(root_is_stopped_by_signal, NULL), 5);
}

static void *stop_at_once(void *arg)
{
    CHECK_EQ(weft_runtime_stop(arg), 0);
    CHECK_EQ(weft_runtime_stop(arg), 0);
    return NULL;
}

static int root_is_stopped_before_it_sleeps(void *arg)
{
    (void)arg;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, stop_at_once, weft_runtime_current()), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_MINUTE), -ECANCELED);
    return 6;
}

WEFT_TEST(life, 07d_a_stop_before_the_sleep_is_not_lost)
{
    CHECK_EQ(run_real(root_is_stopped_before_it_sleeps, NULL), 6);
}

/* ---- 04 ---- */

struct bridge {
    struct weft_chan *requests; /* shared */
    int result;
};

static void *wait_for_the_dying(void *arg)
{
    struct bridge *bridge = arg;
    bridge->result = weft_chan_recv(bridge->requests, NULL);
    return NULL;
}

static void close_requests(void *arg)
{
    CHECK_EQ(weft_chan_close((struct weft_chan *)arg), 0);
}

static int serve(void *arg)
{
    CHECK_EQ(weft_defer(close_requests, arg), 0);
    return weft_sleep(WEFT_HOUR);
}

static int root_dies_with_a_waiter(void *arg)
{
    struct bridge *bridge = arg;
    CHECK_EQ(weft_spawn(NULL, serve, bridge->requests), 0);
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    return 2;
}

/* A deferred call closes what threads wait for; the end of the runtime runs it. */
WEFT_TEST(life, 04_a_thread_that_waits_for_a_dying_runtime_gets_an_error)
{
    struct bridge bridge = {.result = 77};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&bridge.requests, &options), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_the_dying, &bridge), 0);

    CHECK_EQ(run_real(root_dies_with_a_waiter, &bridge), 2);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(bridge.result, -EPIPE);
    weft_chan_unref(bridge.requests);
}

/* ---- 39 ---- */

static int root_deadlocks(void *arg)
{
    int *results = arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    struct weft_chan *chan = open_chan(0, 0);
    weft_task task;
    options.name = "thirsty";
    CHECK_EQ(weft_spawn_with(&task, &options, receive_signal, chan), 0);
    results[0] = weft_chan_recv(chan, NULL);
    results[1] = weft_yield();
    weft_shielded
    {
        results[2] = join_result(task);
    }
    weft_chan_unref(chan);
    return 5;
}

static void check_deadlock(unsigned flags, char *report, size_t size)
{
    int results[3] = {77, 77, 77};
    struct weft_config config = WEFT_CONFIG_INIT;
    int report_fds[2];
    harness_pipe(report_fds);
    config.report_fd = report_fds[1];
    config.flags = flags;

    CHECK_EQ(weft_run(&config, root_deadlocks, results), -EDEADLK);

    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], -ECANCELED);
    ssize_t length = read(report_fds[0], report, size - 1);
    report[length > 0 ? length : 0] = '\0';
    close(report_fds[0]);
    close(report_fds[1]);
}

WEFT_TEST(life, 08b_a_deadlock_is_reported_then_cancelled)
{
    char report[4096];

    check_deadlock(0, report, sizeof report);

    CHECK(strstr(report, "thirsty") != NULL);
    CHECK(strstr(report, "recv") != NULL || strstr(report, "receive") != NULL);
    CHECK(strstr(report, "life_stop.c:") != NULL);
}

WEFT_TEST(life, 08c_a_deadlock_can_stay_unprinted)
{
    char report[4096];

    check_deadlock(WEFT_NO_DEADLOCK_REPORT, report, sizeof report);

    CHECK_STR(report, "");
}

static int root_waits_for_input(void *arg)
{
    int *fds = arg;
    weft_with_timeout(20 * WEFT_MSEC) {
        CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), -ETIMEDOUT);
    }
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

static int root_waits_for_a_late_writer(void *arg)
{
    CHECK_EQ(weft_wait_fd(*(int *)arg, WEFT_READABLE), WEFT_READABLE);
    return 0;
}

static void *write_late(void *arg)
{
    harness_sleep_ms(30);
    CHECK_EQ(write(*(int *)arg, "x", 1), 1);
    return NULL;
}

WEFT_TEST(life, 08d_a_wait_for_a_descriptor_is_no_deadlock)
{
    int fds[2];
    harness_socket_pair(fds);
    CHECK_EQ(run_real(root_waits_for_input, fds), 0);

    harness_socket_pair(fds);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, write_late, &fds[1]), 0);
    CHECK_EQ(run_real(root_waits_for_a_late_writer, &fds[0]), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close(fds[0]);
    close(fds[1]);
}

static void *send_late(void *arg)
{
    harness_sleep_ms(30);
    CHECK_EQ(weft_chan_send((struct weft_chan *)arg, NULL), 0);
    return NULL;
}

static int root_waits_for_a_thread(void *arg)
{
    return weft_chan_recv((struct weft_chan *)arg, NULL);
}

WEFT_TEST(life, 08e_an_open_shared_channel_is_no_deadlock)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_late, chan), 0);

    CHECK_EQ(run_real(root_waits_for_a_thread, chan), 0);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(chan);
}

static int root_deadlocks_stubbornly(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(0, 0);
    weft_shielded
    {
        CHECK_EQ(weft_chan_recv(chan, NULL), 0);
        CHECK_FAIL("a survivor was resumed");
    }
    return 0;
}

static int run_stubborn_deadlock(void *arg)
{
    (void)arg;
    struct weft_config config = WEFT_CONFIG_INIT;
    config.grace_ns = 10 * NS_PER_MS;
    CHECK_EQ(weft_run(&config, root_deadlocks_stubbornly, NULL), -EDEADLK);
    return 0;
}

WEFT_TEST(life, 08f_a_deadlock_that_ignores_its_cancellation_ends_after_the_grace)
{
    struct harness_child child;

    harness_run_child(&child, run_stubborn_deadlock, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- 19 ---- */

static void *release_late(void *arg)
{
    harness_sleep_ms(30);
    CHECK_EQ(weft_runtime_unref(arg), 0);
    return NULL;
}

static int root_is_held(void *arg)
{
    (void)arg;
    struct weft_runtime *runtime = weft_runtime_current();
    pthread_t thread;
    int64_t start = harness_now_ns();
    CHECK_EQ(weft_runtime_ref(runtime), 0);
    CHECK_EQ(pthread_create(&thread, NULL, release_late, runtime), 0);

    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);

    CHECK_WITHIN(harness_now_ns() - start, 30 * NS_PER_MS, 30 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

WEFT_TEST(life, 19_a_held_runtime_stays_until_the_last_reference_goes)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_DEADLOCK_REPORT;
    (void)harness_slack_ns();

    CHECK_EQ(weft_run(&config, root_is_held, NULL), -EDEADLK);
}

static int root_returns_held(void *arg)
{
    *(struct weft_runtime **)arg = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(weft_runtime_current()), 0);
    return 1;
}

WEFT_TEST(life, 19b_a_reference_does_not_keep_a_run_whose_root_returned)
{
    struct weft_runtime *runtime = NULL;

    CHECK_EQ(run_real(root_returns_held, &runtime), 1);

    CHECK_EQ(weft_runtime_unref(runtime), 0);
}
