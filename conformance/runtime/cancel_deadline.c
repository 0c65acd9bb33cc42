/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-24, 25 and SEMANTICS rows 23, 23a, 23b, 27, 27a, 27b: deadlines of scopes, which one
 * fires, and how they are moved.
 */
#include "conformance/runtime/support.h"

/* ---- 24, rows 27, 27b ---- */

static int root_nests_outer_first(void *arg)
{
    (void)arg;
    int outer = 77;
    int inner = 77;
    int64_t start = weft_now();
    weft_with_timeout_into(&outer, 2 * WEFT_SEC) {
        weft_with_timeout_into(&inner, 5 * WEFT_SEC) {
            CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
            CHECK_LASTED(weft_now() - start, 2 * WEFT_SEC);
            CHECK_EQ(weft_scope_status(), -ECANCELED);
        }
        CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
        CHECK_EQ(weft_sleep(WEFT_SEC), -ETIMEDOUT);
    }
    CHECK_EQ(outer, -ETIMEDOUT);
    CHECK_EQ(inner, -ECANCELED);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    return 0;
}

WEFT_TEST(cancel, 24_an_earlier_outer_deadline_cancels_the_inner_scope)
{
    CHECK_EQ(run_virtual(root_nests_outer_first, NULL), 0);
}

static int root_nests_inner_first(void *arg)
{
    (void)arg;
    int outer = 77;
    int inner = 77;
    int64_t start = weft_now();
    weft_with_timeout_into(&outer, 5 * WEFT_SEC) {
        weft_with_timeout_into(&inner, 2 * WEFT_SEC) {
            CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
            CHECK_LASTED(weft_now() - start, 2 * WEFT_SEC);
        }
        CHECK_EQ(weft_scope_status(), 0);
        CHECK_EQ(weft_sleep(WEFT_SEC), 0);
        CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
        CHECK_LASTED(weft_now() - start, 5 * WEFT_SEC);
    }
    CHECK_EQ(inner, -ETIMEDOUT);
    CHECK_EQ(outer, -ETIMEDOUT);
    return 0;
}

WEFT_TEST(cancel, 24b_an_earlier_inner_deadline_leaves_the_outer_scope_alone)
{
    CHECK_EQ(run_virtual(root_nests_inner_first, NULL), 0);
}

static int root_ends_in_time(void *arg)
{
    (void)arg;
    int status = 77;
    weft_with_timeout_into(&status, 5 * WEFT_SEC) {
        CHECK_EQ(weft_sleep(WEFT_SEC), 0);
        CHECK_EQ(weft_scope_status(), 0);
    }
    CHECK_EQ(status, 0);
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.timers, 0);
    return 0;
}

WEFT_TEST(cancel, 24c_a_scope_that_ends_in_time_leaves_no_timer)
{
    CHECK_EQ(run_virtual(root_ends_in_time, NULL), 0);
}

static int expire_and_be_cancelled(void *arg)
{
    int *status = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_cancel(weft_self()), 0);
    *status = weft_scope_status();
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return weft_sleep(WEFT_HOUR);
}

static int root_has_both(void *arg)
{
    (void)arg;
    int status = 77;
    CHECK_EQ(join_result(spawn_task(expire_and_be_cancelled, &status)), -ECANCELED);
    CHECK_EQ(status, -ECANCELED);
    return 0;
}

/* SEMANTICS row 27. */
WEFT_TEST(cancel, 24d_cancelled_and_expired_is_cancelled)
{
    CHECK_EQ(run_virtual(root_has_both, NULL), 0);
}

static int root_expires_both(void *arg)
{
    (void)arg;
    struct weft_scope outer;
    struct weft_scope inner;
    CHECK_EQ(weft_scope_open_timeout(&outer, 2 * WEFT_SEC), 0);
    CHECK_EQ(weft_scope_open_timeout(&inner, WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    weft_shielded
    {
        CHECK_EQ(weft_sleep(5 * WEFT_SEC), 0);
    }
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&inner), -ETIMEDOUT);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&outer), -ETIMEDOUT);
    return 0;
}

WEFT_TEST(cancel, 24e_the_own_deadline_counts_when_both_have_passed)
{
    CHECK_EQ(run_virtual(root_expires_both, NULL), 0);
}

static int root_cancels_its_scope(void *arg)
{
    (void)arg;
    struct weft_scope outer;
    struct weft_scope inner;
    CHECK_EQ(weft_scope_open(&outer), 0);
    CHECK_EQ(weft_scope_open_timeout(&inner, WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_cancel(&outer), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), -ECANCELED);
    CHECK_EQ(weft_scope_close(&inner), 0);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&outer), -ECANCELED);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    return 0;
}

WEFT_TEST(cancel, 24f_the_status_tells_whose_it_was)
{
    CHECK_EQ(run_virtual(root_cancels_its_scope, NULL), 0);
}

static int root_times_really(void *arg)
{
    (void)arg;
    int64_t start = harness_now_ns();
    weft_with_timeout(7 * WEFT_MSEC) {
        weft_with_timeout(WEFT_SEC) {
            CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
        }
    }
    CHECK_WITHIN(harness_now_ns() - start, 7 * NS_PER_MS, 7 * NS_PER_MS + harness_slack_ns());
    return 0;
}

WEFT_TEST(cancel, 24g_a_deadline_is_never_early)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_times_really, NULL), 0);
}

/* ---- 25 ---- */

struct moved {
    struct weft_scope scope;
    int64_t woken_ns;
    bool open;
};

static int wait_in_scope(void *arg)
{
    struct moved *moved = arg;
    CHECK_EQ(weft_scope_open_timeout(&moved->scope, 10 * WEFT_SEC), 0);
    moved->open = true;
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    moved->woken_ns = weft_now();
    return weft_scope_close(&moved->scope);
}

/* Moves the deadline from 10 s to `offset` after 1 s; when the task wakes, from its start. */
static int64_t move_deadline(int64_t offset_ns)
{
    struct moved moved = {0};
    int64_t start = weft_now();
    weft_task task = spawn_task(wait_in_scope, &moved);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK(moved.open);
    CHECK_EQ(weft_scope_set_deadline(&moved.scope, start + offset_ns), 0);
    CHECK_EQ(join_result(task), -ETIMEDOUT);
    return moved.woken_ns - start;
}

static int root_moves_deadlines(void *arg)
{
    (void)arg;
    CHECK_LASTED(move_deadline(3 * WEFT_SEC), 3 * WEFT_SEC);
    CHECK_LASTED(move_deadline(20 * WEFT_SEC), 20 * WEFT_SEC);
    CHECK_LASTED(move_deadline(0), WEFT_SEC);
    CHECK_LASTED(move_deadline(-WEFT_HOUR), WEFT_SEC);
    return 0;
}

WEFT_TEST(cancel, 25_a_moved_deadline_takes_effect)
{
    CHECK_EQ(run_virtual(root_moves_deadlines, NULL), 0);
}

static int root_removes_a_deadline(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), 0);
    CHECK_EQ(weft_sleep(100 * WEFT_SEC), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_now() + WEFT_SEC), 0);
    CHECK_EQ(weft_sleep(100 * WEFT_SEC), -ETIMEDOUT);
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_sleep(100 * WEFT_SEC), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return 0;
}

WEFT_TEST(cancel, 25b_a_deadline_is_removed_but_not_after_it_passed)
{
    CHECK_EQ(run_virtual(root_removes_a_deadline, NULL), 0);
}

/* ---- row 23, 23b ---- */

static int root_tries(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 1);
    struct weft_scope scope;
    int value = 3;
    CHECK_EQ(weft_scope_open_timeout(&scope, 0), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_chan_send(chan, &value), 0);
        CHECK_EQ(weft_chan_send(chan, &value), -ETIMEDOUT);
        CHECK_EQ(weft_chan_recv(chan, &value), 0);
        CHECK_EQ(weft_chan_recv(chan, &value), -ETIMEDOUT);
        CHECK_EQ(weft_select(weft_on_recv(chan, &value)), -ETIMEDOUT);
        CHECK_EQ(weft_select(weft_on_send(chan, &value), weft_on_recv(chan, &value)), 0);
        CHECK_EQ(weft_select(weft_on_recv(chan, &value)), 0);
        CHECK_EQ(weft_sleep(WEFT_SEC), -ETIMEDOUT);
        harness_sleep_ms(2);
    }
    CHECK_EQ(weft_scope_set_deadline(&scope, WEFT_FOREVER), -EINVAL);
    (void)weft_scope_close(&scope);

    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 24h_a_scope_without_time_is_a_try_scope_for_ever)
{
    CHECK_EQ(run_virtual(root_tries, NULL), 0);
}

static int root_tries_negative(void *arg)
{
    (void)arg;
    weft_task ended = spawn_task(do_nothing, NULL);
    weft_task asleep = spawn_task(sleep_forever, NULL);
    let_others_run();
    weft_with_timeout(INT64_MIN) {
        CHECK_EQ(weft_join(asleep, NULL), -ETIMEDOUT);
        CHECK_EQ(weft_join(ended, NULL), 0);
        CHECK_EQ(weft_join(ended, NULL), -ESRCH);
    }
    CHECK_EQ(weft_cancel(asleep), 0);
    CHECK_EQ(join_result(asleep), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 24i_a_negative_duration_tries_too)
{
    CHECK_EQ(run_virtual(root_tries_negative, NULL), 0);
}

/* ---- row 23a ---- */

static int root_reads_endlessly(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(0, 2);
    int64_t start = harness_now_ns();
    int result = 0;
    weft_with_timeout(20 * WEFT_MSEC) {
        while (result == 0 && harness_now_ns() - start < 5 * NS_PER_SEC) {
            result = weft_chan_send(chan, NULL);
            if (result == 0) result = weft_chan_recv(chan, NULL);
        }
        CHECK_EQ(result, -ETIMEDOUT);
        CHECK_EQ(weft_chan_send(chan, NULL), -ETIMEDOUT);
        CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    }
    CHECK_WITHIN(harness_now_ns() - start, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(weft_yield(), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 24j_a_loop_that_never_sleeps_does_time_out)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_reads_endlessly, NULL), 0);
}

static int root_drains_endless_sender(void *arg)
{
    int *fds = arg;
    int64_t start = harness_now_ns();
    ssize_t result = 1;
    char block[64] = {0};
    weft_with_timeout(20 * WEFT_MSEC) {
        while (result > 0 && harness_now_ns() - start < 5 * NS_PER_SEC) {
            CHECK(write(fds[1], block, 1) == 1);
            result = weft_read(fds[0], block, sizeof block);
        }
    }
    CHECK_EQ(result, -ETIMEDOUT);
    CHECK_WITHIN(harness_now_ns() - start, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(cancel, 24k_an_endless_sender_does_time_out)
{
    int fds[2];
    harness_socket_pair(fds);
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_drains_endless_sender, fds), 0);
}

/* ---- 27a: inheritance ---- */

static int sleep_two_seconds(void *arg)
{
    (void)arg;
    return weft_sleep(2 * WEFT_SEC);
}

static int root_spawns_in_scopes(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    weft_task outside = spawn_task(sleep_two_seconds, NULL);
    weft_task inside = {0, NULL};
    CHECK_EQ(weft_scope_spawn(&scope, &inside, sleep_two_seconds, NULL), 0);
    weft_shielded
    {
        CHECK_EQ(join_result(inside), -ETIMEDOUT);
    }
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(join_result(outside), 0);
    return 0;
}

WEFT_TEST(cancel, 27b_a_spawned_task_inherits_nothing_a_scope_child_does)
{
    CHECK_EQ(run_virtual(root_spawns_in_scopes, NULL), 0);
}

static int root_spawns_when_cancelled(void *arg)
{
    weft_task *kept = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    *kept = spawn_task(sleep_two_seconds, NULL);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    CHECK_EQ(join_result(*kept), 0);
    return 0;
}

WEFT_TEST(cancel, 27c_a_spawn_from_a_cancelled_scope_is_not_cancelled)
{
    weft_task kept = {0, NULL};

    CHECK_EQ(run_virtual(root_spawns_when_cancelled, &kept), 0);
}
