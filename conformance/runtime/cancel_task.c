/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-01 to 06, 30, 31, 33, 36 and SEMANTICS rows 24, 25: what cancelling a task does, and
 * when the task sees it.
 */
#include <pthread.h>

#include "conformance/runtime/support.h"

/* ---- 01 ---- */

struct sleeper {
    int64_t woken_ns;
    int result;
};

static int sleep_long(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->result = weft_sleep(100 * WEFT_SEC);
    sleeper->woken_ns = weft_now();
    return sleeper->result;
}

static uint64_t armed_timers(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    return stats.timers;
}

static int root_cancels_a_sleeper(void *arg)
{
    struct sleeper *sleeper = arg;
    weft_task task = spawn_task(sleep_long, sleeper);
    CHECK_EQ(weft_sleep(10 * WEFT_SEC), 0);
    int64_t cancelled_ns = weft_now();
    CHECK_EQ(armed_timers(), 1);

    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(armed_timers(), 0);
    CHECK_EQ(sleeper->result, 77);
    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK_EQ(sleeper->result, -ECANCELED);
    CHECK_LASTED(sleeper->woken_ns - cancelled_ns, 0);
    return 0;
}

WEFT_TEST(cancel, 01_wakes_a_sleeper_and_drops_its_timer)
{
    struct sleeper sleeper = {0, 77};

    CHECK_EQ(run_virtual(root_cancels_a_sleeper, &sleeper), 0);
}

static int root_cancels_in_real_time(void *arg)
{
    (void)arg;
    struct sleeper sleeper = {0, 77};
    weft_task task = spawn_task(sleep_long, &sleeper);
    CHECK_EQ(weft_yield(), 0);
    int64_t start = harness_now_ns();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    CHECK_WITHIN(harness_now_ns() - start, 0, harness_slack_ns());
    return 0;
}

WEFT_TEST(cancel, 01b_wakes_a_sleeper_at_once)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_cancels_in_real_time, NULL), 0);
}

/* ---- 02, row 24 ---- */

struct level {
    int fd;
    struct weft_chan *chan;
};

static int fail_again_and_again(void *arg)
{
    struct level *level = arg;
    char byte;
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -ECANCELED);
    CHECK_EQ(weft_chan_recv(level->chan, NULL), -ECANCELED);
    CHECK_EQ(weft_wait_fd(level->fd, WEFT_READABLE), -ECANCELED);
    CHECK_EQ(weft_read(level->fd, &byte, 1), -ECANCELED);
    CHECK_EQ(weft_sleep(0), -ECANCELED);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    return 1;
}

static int root_cancels_once(void *arg)
{
    struct level *level = arg;
    level->chan = open_chan(0, 0);
    weft_task task = spawn_task(fail_again_and_again, level);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), 1);
    weft_chan_unref(level->chan);
    CHECK_EQ(weft_close(level->fd), 0);
    return 0;
}

WEFT_TEST(cancel, 02_every_later_call_fails_too)
{
    int fds[2];
    harness_socket_pair(fds);
    struct level level = {.fd = fds[0]};

    CHECK_EQ(run_virtual(root_cancels_once, &level), 0);

    close(fds[1]);
}

/* ---- 03, row 25 ---- */

struct owned {
    bool started;
    bool freed;
    int first_call;
};

static int free_owned(void *arg)
{
    struct owned *owned = arg;
    owned->started = true;
    owned->first_call = weft_yield();
    owned->freed = true;
    return owned->first_call;
}

static int root_cancels_early(void *arg)
{
    struct owned *owned = arg;
    weft_task task = spawn_task(free_owned, owned);

    CHECK_EQ(weft_cancel(task), 0);
    CHECK(!owned->started);

    CHECK_EQ(join_result(task), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 03_a_task_cancelled_before_its_start_still_runs)
{
    struct owned owned = {.first_call = 77};

    CHECK_EQ(run_virtual(root_cancels_early, &owned), 0);

    CHECK(owned.started);
    CHECK(owned.freed);
    CHECK_EQ(owned.first_call, -ECANCELED);
}

static int root_cancels_early_scope(void *arg)
{
    struct owned *owned = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, free_owned, owned), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 03b_a_task_of_a_cancelled_scope_still_runs)
{
    struct owned owned = {.first_call = 77};

    CHECK_EQ(run_virtual(root_cancels_early_scope, &owned), 0);

    CHECK(owned.freed);
    CHECK_EQ(owned.first_call, -ECANCELED);
}

/* ---- 04, 05, 36 ---- */

static int root_cancels_the_ended(void *arg)
{
    (void)arg;
    weft_task task = spawn_task(do_nothing, NULL);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(weft_cancel(task), -ESRCH);
    return 0;
}

WEFT_TEST(cancel, 04_of_an_ended_task_has_no_effect)
{
    CHECK_EQ(run_virtual(root_cancels_the_ended, NULL), 0);
}

static int count_wakes(void *arg)
{
    int *wakes = arg;
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    ++*wakes;
    weft_shielded
    {
        CHECK_EQ(weft_sleep(10 * WEFT_SEC), 0);
    }
    ++*wakes;
    return 0;
}

static int root_cancels_twice(void *arg)
{
    int *wakes = arg;
    weft_task task = spawn_task(count_wakes, wakes);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(weft_cancel(task), 0);
    let_others_run();
    CHECK_EQ(*wakes, 1);
    CHECK_EQ(weft_cancel(task), 0);
    let_others_run();
    CHECK_EQ(*wakes, 1);
    CHECK_EQ(join_result(task), 0);
    return 0;
}

WEFT_TEST(cancel, 05_twice_is_once)
{
    int wakes = 0;

    CHECK_EQ(run_virtual(root_cancels_twice, &wakes), 0);

    CHECK_EQ(wakes, 2);
}

static int root_cancels_nobody(void *arg)
{
    (void)arg;
    struct weft_scope closed;
    struct weft_scope blank;
    memset(&blank, 0, sizeof blank);
    CHECK_EQ(weft_cancel((weft_task){0, NULL}), -ESRCH);
    CHECK_EQ(weft_cancel((weft_task){UINT64_MAX, NULL}), -ESRCH);
    CHECK_EQ(weft_cancel((weft_task){UINT64_MAX, weft_self().slot}), -ESRCH);
    CHECK_EQ(weft_scope_open(&closed), 0);
    CHECK_EQ(weft_scope_close(&closed), 0);
    CHECK_EQ(weft_scope_cancel(&closed), -EINVAL);
    CHECK_EQ(weft_scope_set_deadline(&closed, 0), -EINVAL);
    CHECK_EQ(weft_scope_spawn(&closed, NULL, do_nothing, NULL), -EINVAL);
    CHECK_EQ(weft_scope_next(&closed, NULL, NULL), -EINVAL);
    CHECK_EQ(weft_scope_cancel(&blank), -EINVAL);
    CHECK_EQ(weft_scope_spawn(&blank, NULL, do_nothing, NULL), -EINVAL);
    CHECK_EQ(weft_scope_close(&blank), -EINVAL);
    CHECK_EQ(weft_scope_open(&closed), 0);
    CHECK_EQ(weft_scope_spawn(&closed, NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(weft_scope_close(&closed), 0);
    CHECK_EQ(weft_yield(), 0);
    return 0;
}

WEFT_TEST(cancel, 36_bad_arguments_are_errors)
{
    CHECK_EQ(weft_cancel((weft_task){0, NULL}), -ESRCH);

    CHECK_EQ(run_virtual(root_cancels_nobody, NULL), 0);
}

/* ---- 06 ---- */

static int root_cancels_itself(void *arg)
{
    struct weft_chan **chan = arg;
    *chan = open_chan(sizeof(int), 4);
    int value = 3;
    CHECK_EQ(weft_chan_send(*chan, &value), 0);

    CHECK_EQ(weft_cancel(weft_self()), 0);

    CHECK_EQ(weft_chan_try_recv(*chan, &value), 0);
    CHECK_EQ(value, 3);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    CHECK_EQ(weft_chan_send(*chan, &value), -ECANCELED);
    CHECK_EQ(weft_chan_len(*chan), 0);
    weft_chan_unref(*chan);
    return 6;
}

WEFT_TEST(cancel, 06_of_itself_is_seen_by_the_next_blocking_call)
{
    struct weft_chan *chan = NULL;

    CHECK_EQ(run_virtual(root_cancels_itself, &chan), 6);
}

/* ---- 30, 31 ---- */

static void *cancel_from_thread(void *arg)
{
    harness_sleep_ms(20);
    CHECK_EQ(weft_cancel(*(weft_task *)arg), 0);
    return NULL;
}

static int receive_nothing(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(0, 0);
    int result = weft_chan_recv(chan, NULL);
    weft_chan_unref(chan);
    return result;
}

static int sleep_a_minute(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_MINUTE);
}

static int root_is_helped_by_thread(void *arg)
{
    pthread_t thread;
    weft_task task = spawn_task(*(weft_fn *)arg, NULL);
    int64_t start = harness_now_ns();
    struct weft_runtime *runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(runtime), 0);
    CHECK_EQ(pthread_create(&thread, NULL, cancel_from_thread, &task), 0);

    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK_WITHIN(harness_now_ns() - start, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_runtime_unref(runtime), 0);
    return 0;
}

static void check_cancel_by_thread(weft_fn fn)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_is_helped_by_thread, &fn), 0);
}

WEFT_TEST(cancel, 30_from_a_thread_wakes_a_sleeper)
{
    check_cancel_by_thread(sleep_a_minute);
}

WEFT_TEST(cancel, 31_from_a_thread_wakes_a_loop_without_timeout)
{
    check_cancel_by_thread(sleep_forever);
}

WEFT_TEST(cancel, 31b_from_a_thread_wakes_a_receiver)
{
    check_cancel_by_thread(receive_nothing);
}

/* ---- 33 ---- */

static int cleanup[4] = {1, 2, 4, 8};
static int cleanup_order;

static void note_cleanup(void *arg)
{
    cleanup_order = cleanup_order * 10 + *(int *)arg;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
}

static int defer_and_sleep(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_defer(note_cleanup, &cleanup[i]), 0);
    }
    return weft_sleep(WEFT_FOREVER);
}

static int root_cancels_with_cleanup(void *arg)
{
    (void)arg;
    weft_task task = spawn_task(defer_and_sleep, NULL);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 33_deferred_calls_run_last_first_and_may_sleep)
{
    CHECK_EQ(run_virtual(root_cancels_with_cleanup, NULL), 0);

    CHECK_EQ(cleanup_order, 8421);
}

static void note_status(void *arg)
{
    *(int *)arg = weft_scope_status();
}

/* Its scope is late when it ends, whether its worker has looked at its timers meanwhile or not. */
static int defer_and_be_late(void *arg)
{
    CHECK_EQ(weft_defer(note_status, arg), 0);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    return 0;
}

static int root_is_late(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, 1), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, defer_and_be_late, arg), 0);
    (void)weft_scope_close(&scope);
    return 0;
}

WEFT_TEST(cancel, 33b_deferred_calls_are_not_late)
{
    int status = 77;
    CHECK_EQ(run_virtual(root_is_late, &status), 0);
    CHECK_EQ(status, 0);
}
