/* SPDX-License-Identifier: MIT */
/*
 * Rows JOIN-01 to 08 and SEMANTICS rows 37, 39: waiting for one task.
 */
#include "conformance/runtime/support.h"

WEFT_TASK(give, (int, result))
{
    return result;
}

WEFT_TASK(give_late, (int, result))
{
    CHECK_EQ(weft_sleep(10 * WEFT_SEC), 0);
    return result;
}

/* ---- 01 ---- */

static int root_takes_results(void *arg)
{
    (void)arg;
    weft_task tasks[3];
    CHECK_EQ(give_spawn(&tasks[0], 41), 0);
    CHECK_EQ(give_late_spawn(&tasks[1], -7), 0);
    CHECK_EQ(give_late_spawn(&tasks[2], 0), 0);

    CHECK_EQ(join_result(tasks[0]), 41);
    CHECK_EQ(join_result(tasks[1]), -7);
    CHECK_EQ(weft_join(tasks[2], NULL), 0);
    return 0;
}

WEFT_TEST(join, 01_returns_the_result)
{
    CHECK_EQ(run_virtual(root_takes_results, NULL), 0);
}

/* ---- 02 ---- */

static bool other_ran;

WEFT_TASK(set_other)
{
    other_ran = true;
    return 0;
}

static int root_joins_late(void *arg)
{
    (void)arg;
    weft_task first;
    CHECK_EQ(give_spawn(&first, 5), 0);
    let_others_run();
    for (int i = 0; i < 1000; i++) {
        weft_task other;
        CHECK_EQ(give_spawn(&other, i), 0);
        CHECK_EQ(join_result(other), i);
    }

    CHECK_EQ(weft_go(set_other), 0);
    CHECK_EQ(join_result(first), 5);
    CHECK(!other_ran);
    CHECK_EQ(weft_join(first, NULL), -ESRCH);
    return 0;
}

WEFT_TEST(join, 02_an_ended_task_is_joined_at_once)
{
    CHECK_EQ(run_virtual(root_joins_late, NULL), 0);
}

/* ---- 03, row 37 ---- */

static weft_task kept;

static int root_uses_stale_handles(void *arg)
{
    (void)arg;
    weft_task old;
    int result = 77;
    CHECK_EQ(give_spawn(&old, 1), 0);
    CHECK_EQ(join_result(old), 1);
    CHECK_EQ(weft_join(old, &result), -ESRCH);

    weft_task others[100];
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(give_late_spawn(&others[i], i), 0);
        CHECK(others[i].id != old.id);
    }
    CHECK_EQ(weft_join(old, &result), -ESRCH);
    CHECK_EQ(weft_cancel(old), -ESRCH);
    CHECK_EQ(weft_detach(old), -ESRCH);
    CHECK_EQ(weft_join((weft_task){0, NULL}, &result), -ESRCH);
    CHECK_EQ(weft_join((weft_task){0, others[0].slot}, &result), -ESRCH);
    CHECK_EQ(weft_join((weft_task){UINT64_MAX, others[0].slot}, &result), -ESRCH);
    CHECK_EQ(weft_join((weft_task){others[0].id, NULL}, &result), -ESRCH);
    CHECK_EQ(result, 77);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(join_result(others[i]), i);
    }
    kept = weft_self();
    return 0;
}

static int root_joins_an_ended_runtime(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_join(kept, NULL), -ESRCH);
    CHECK_EQ(weft_cancel(kept), -ESRCH);
    return 0;
}

WEFT_TEST(join, 03_a_stale_handle_never_names_a_stranger)
{
    CHECK_EQ(run_virtual(root_uses_stale_handles, NULL), 0);

    CHECK_EQ(weft_cancel(kept), -ESRCH);
    CHECK_EQ(run_virtual(root_joins_an_ended_runtime, NULL), 0);
}

/* ---- 04 ---- */

static int root_joins_only_itself(void *arg)
{
    (void)arg;
    int result = 77;
    CHECK_EQ(weft_join(weft_self(), &result), -EDEADLK);
    CHECK_EQ(result, 77);
    return 0;
}

WEFT_TEST(join, 04_of_the_caller_gives_edeadlk)
{
    CHECK_EQ(run_virtual(root_joins_only_itself, NULL), 0);
}

/* ---- 05 ---- */

static int root_joins_with_timeout(void *arg)
{
    (void)arg;
    weft_task task;
    int result = 77;
    CHECK_EQ(give_late_spawn(&task, 6), 0);
    int64_t start = weft_now();

    weft_with_timeout(4 * WEFT_SEC) {
        CHECK_EQ(weft_join(task, &result), -ETIMEDOUT);
    }
    CHECK_LASTED(weft_now() - start, 4 * WEFT_SEC);
    CHECK_EQ(result, 77);

    CHECK_EQ(weft_join(task, &result), 0);
    CHECK_EQ(result, 6);
    CHECK_LASTED(weft_now() - start, 10 * WEFT_SEC);
    return 0;
}

WEFT_TEST(join, 05_a_deadline_leaves_the_target_joinable)
{
    CHECK_EQ(run_virtual(root_joins_with_timeout, NULL), 0);
}

static int root_joins_in_real_time(void *arg)
{
    (void)arg;
    weft_task task = spawn_task(sleep_forever, NULL);
    int64_t start = harness_now_ns();
    weft_with_timeout(5 * WEFT_MSEC) {
        CHECK_EQ(weft_join(task, NULL), -ETIMEDOUT);
    }
    CHECK_WITHIN(harness_now_ns() - start, 5 * NS_PER_MS, 5 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    return 0;
}

WEFT_TEST(join, 05b_a_deadline_is_never_early)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_joins_in_real_time, NULL), 0);
}

/* ---- 06 ---- */

static int join_given(void *arg)
{
    return join_result(*(weft_task *)arg);
}

static int root_has_ten_joiners(void *arg)
{
    (void)arg;
    weft_task target;
    weft_task joiners[10];
    CHECK_EQ(give_late_spawn(&target, 66), 0);
    for (int i = 0; i < 10; i++) {
        joiners[i] = spawn_task(join_given, &target);
    }
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(join_result(joiners[i]), 66);
    }
    CHECK_EQ(weft_join(target, NULL), -ESRCH);
    return 0;
}

WEFT_TEST(join, 06_ten_joiners_get_the_same_result)
{
    CHECK_EQ(run_virtual(root_has_ten_joiners, NULL), 0);
}

/* ---- 07 ---- */

static int join_cancelled(void *arg)
{
    int result = 77;
    CHECK_EQ(weft_join(*(weft_task *)arg, &result), -ECANCELED);
    CHECK_EQ(result, 77);
    return 1;
}

static int root_cancels_a_joiner(void *arg)
{
    (void)arg;
    weft_task target;
    CHECK_EQ(give_late_spawn(&target, 8), 0);
    weft_task joiner = spawn_task(join_cancelled, &target);
    weft_task other = spawn_task(join_given, &target);
    let_others_run();

    CHECK_EQ(weft_cancel(joiner), 0);

    CHECK_EQ(join_result(joiner), 1);
    CHECK_EQ(join_result(other), 8);
    return 0;
}

WEFT_TEST(join, 07_cancelling_a_joiner_leaves_the_target_alone)
{
    CHECK_EQ(run_virtual(root_cancels_a_joiner, NULL), 0);
}

/* ---- 08, row 39 ---- */

static weft_task circle[2];
static int circle_results[2];

WEFT_TASK(join_in_circle, (int, other))
{
    circle_results[other] = weft_join(circle[other], NULL);
    return circle_results[other];
}

static int root_of_the_circle(void *arg)
{
    (void)arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "bystander";
    CHECK_EQ(join_in_circle_spawn(&circle[0], 1), 0);
    CHECK_EQ(join_in_circle_spawn(&circle[1], 0), 0);
    CHECK_EQ(weft_spawn_with(NULL, &options, sleep_forever, NULL), 0);
    CHECK_EQ(weft_join(circle[0], NULL), -ECANCELED);
    return 5;
}

static int run_circle(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_run(NULL, root_of_the_circle, NULL), -EDEADLK);
    CHECK_EQ(circle_results[0], -ECANCELED);
    CHECK_EQ(circle_results[1], -ECANCELED);
    return 3;
}

WEFT_TEST(join, 08_two_tasks_that_join_each_other_are_a_deadlock)
{
    struct harness_child child;

    harness_run_child(&child, run_circle, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 3);
    CHECK(strstr(child.output, "join") != NULL);
    CHECK(strstr(child.output, "bystander") != NULL);
    CHECK(strstr(child.output, "join_task.c:") != NULL);
}

static int root_bounds_the_circle(void *arg)
{
    (void)arg;
    CHECK_EQ(join_in_circle_spawn(&circle[0], 1), 0);
    CHECK_EQ(join_in_circle_spawn(&circle[1], 0), 0);
    weft_with_timeout(WEFT_SEC) {
        CHECK_EQ(weft_join(circle[0], NULL), -ETIMEDOUT);
    }
    CHECK_EQ(weft_cancel(circle[0]), 0);
    CHECK_EQ(join_result(circle[1]), 0);
    return 5;
}

WEFT_TEST(join, 08b_a_deadline_bounds_the_deadlock)
{
    CHECK_EQ(run_virtual(root_bounds_the_circle, NULL), 5);

    CHECK_EQ(circle_results[1], -ECANCELED);
    CHECK_EQ(circle_results[0], 0);
}
