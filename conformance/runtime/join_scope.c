/* SPDX-License-Identifier: MIT */
/*
 * Rows JOIN-09 to 14 and SEMANTICS rows 27d, 28, 29: waiting for the children of a scope.
 */
#include "conformance/runtime/support.h"

WEFT_TASK(give_after, (int64_t, duration_ns), (int, result))
{
    int slept = weft_sleep(duration_ns);
    return slept < 0 ? slept : result;
}

static struct weft_scope *open_scope(struct weft_scope *scope)
{
    CHECK_EQ(weft_scope_open(scope), 0);
    return scope;
}

/* ---- 09 ---- */

static int root_waits_for_nobody(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    weft_task task = {5, NULL};
    int result = 77;
    open_scope(&scope);

    CHECK_EQ(weft_scope_next(&scope, &task, &result), -ESRCH);
    CHECK_EQ(weft_scope_close(&scope), 0);

    CHECK_EQ(task.id, 5);
    CHECK_EQ(result, 77);
    CHECK_EQ(weft_scope_close(&scope), -EINVAL);
    return 0;
}

WEFT_TEST(join, 09_an_empty_scope_closes_at_once)
{
    CHECK_EQ(run_virtual(root_waits_for_nobody, NULL), 0);
}

/* ---- 10 ---- */

static int root_waits_twice(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    int64_t start = weft_now();
    open_scope(&scope);

    weft_task first;
    weft_task ended;
    int result = 0;
    CHECK_EQ(give_after_scope_spawn(&scope, &first, WEFT_SEC, 1), 0);
    CHECK_EQ(weft_scope_next(&scope, &ended, &result), 0);
    CHECK_EQ(ended.id, first.id);
    CHECK_EQ(result, 1);
    CHECK_EQ(weft_scope_next(&scope, &ended, &result), -ESRCH);

    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 2 * WEFT_SEC, 2), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 5 * WEFT_SEC, 3), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);

    CHECK_LASTED(weft_now() - start, 6 * WEFT_SEC);
    CHECK_EQ(live_tasks(), 1);
    return 0;
}

WEFT_TEST(join, 10_a_scope_waits_for_one_and_two_children)
{
    CHECK_EQ(run_virtual(root_waits_twice, NULL), 0);
}

/* ---- 11 ---- */

static int root_waits_with_deadline(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    int64_t start = weft_now();

    CHECK_EQ(weft_scope_open_timeout(&scope, 10 * WEFT_SEC), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 4 * WEFT_SEC, 0), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_LASTED(weft_now() - start, 4 * WEFT_SEC);

    start = weft_now();
    CHECK_EQ(weft_scope_open_timeout(&scope, 10 * WEFT_SEC), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 100 * WEFT_SEC, 0), 0);
    CHECK_EQ(weft_scope_next(&scope, NULL, NULL), -ESRCH);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    CHECK_LASTED(weft_now() - start, 10 * WEFT_SEC);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    return 0;
}

WEFT_TEST(join, 11_a_scope_with_a_deadline)
{
    CHECK_EQ(run_virtual(root_waits_with_deadline, NULL), 0);
}

/* ---- 12 ---- */

static int ended_late;

/* Needs time to end after its cancellation. */
static int end_slowly(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    weft_shielded
    {
        CHECK_EQ(weft_sleep(3 * WEFT_SEC), 0);
    }
    ended_late++;
    return -ECANCELED;
}

static int root_cancels_members(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    open_scope(&scope);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
    }
    int64_t start = weft_now();

    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);

    CHECK_EQ(ended_late, 5);
    CHECK_LASTED(weft_now() - start, 3 * WEFT_SEC);
    CHECK_EQ(live_tasks(), 1);
    CHECK_EQ(weft_yield(), 0);
    return 0;
}

WEFT_TEST(join, 12_closing_returns_after_the_last_child_ended)
{
    CHECK_EQ(run_virtual(root_cancels_members, NULL), 0);
}

static int open_and_return(void)
{
    weft_timeout_scope(scope, WEFT_HOUR);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    return 3;
}

static void open_and_break(void)
{
    for (int i = 0; i < 3; i++) {
        weft_timeout_scope(scope, WEFT_HOUR);
        CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
        if (i == 1) break;
        if (i == 0) continue;
        CHECK_FAIL("round %d", i);
    }
}

static void open_and_goto(void)
{
    {
        weft_timeout_scope(scope, WEFT_HOUR);
        CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
        if (ended_late == 4) goto out;
    }
    CHECK_FAIL("not reached");
out:
    CHECK_EQ(ended_late, 5);
}

static int root_leaves_early(void *arg)
{
    (void)arg;
    CHECK_EQ(open_and_return(), 3);
    CHECK_EQ(ended_late, 2);
    open_and_break();
    CHECK_EQ(ended_late, 4);
    open_and_goto();
    CHECK_EQ(live_tasks(), 1);
    CHECK_EQ(weft_yield(), 0);
    return 0;
}

/* SEMANTICS row 28. */
WEFT_TEST(join, 12b_leaving_early_cancels_and_joins)
{
    CHECK_EQ(run_virtual(root_leaves_early, NULL), 0);
}

static int close_while_cancelled(void *arg)
{
    struct weft_scope scope;
    open_scope(&scope);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, end_slowly, NULL), 0);
    *(int *)arg = weft_scope_close(&scope);
    CHECK_EQ(ended_late, 1);
    return weft_yield();
}

static int root_cancels_a_closer(void *arg)
{
    (void)arg;
    int closed = 77;
    weft_task closer = spawn_task(close_while_cancelled, &closed);
    let_others_run();
    CHECK_EQ(weft_cancel(closer), 0);
    CHECK_EQ(join_result(closer), -ECANCELED);
    CHECK_EQ(closed, -ECANCELED);
    return 0;
}

/* SEMANTICS row 27d: the wait of a close is shielded, the children see the cancellation. */
WEFT_TEST(join, 12c_a_close_is_not_cut_short)
{
    CHECK_EQ(run_virtual(root_cancels_a_closer, NULL), 0);
}

/* ---- 13 ---- */

static int root_takes_in_order(void *arg)
{
    (void)arg;
    static const int order[4] = {10, 20, 30, 40};
    struct weft_scope scope;
    weft_task tasks[4];
    open_scope(&scope);
    CHECK_EQ(give_after_scope_spawn(&scope, &tasks[2], 30 * WEFT_SEC, 30), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, &tasks[3], 40 * WEFT_SEC, 40), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, &tasks[0], 10 * WEFT_SEC, 10), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, &tasks[1], 20 * WEFT_SEC, 20), 0);

    for (int i = 0; i < 4; i++) {
        weft_task ended;
        int result = 0;
        if (i == 2) CHECK_EQ(weft_sleep(100 * WEFT_SEC), 0);
        CHECK_EQ(weft_scope_next(&scope, &ended, &result), 0);
        CHECK_EQ(result, order[i]);
        CHECK_EQ(ended.id, tasks[i].id);
        CHECK_EQ(weft_join(ended, NULL), -ESRCH);
    }
    CHECK_EQ(weft_scope_next(&scope, NULL, NULL), -ESRCH);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

WEFT_TEST(join, 13_next_gives_children_in_order_of_completion)
{
    CHECK_EQ(run_virtual(root_takes_in_order, NULL), 0);
}

static int root_alternates(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    int spawned = 0;
    int sum = 0;
    open_scope(&scope);
    for (int i = 0; i < 100; i++) {
        weft_task task;
        int result = 0;
        CHECK_EQ(give_after_scope_spawn(&scope, &task, i % 7 * WEFT_SEC, i), 0);
        spawned += i;
        if (i % 3 == 0) continue;
        CHECK_EQ(weft_scope_next(&scope, NULL, &result), 0);
        sum += result;
    }
    int result = 0;
    int left = 0;
    while (weft_scope_next(&scope, NULL, &result) == 0) {
        sum += result;
        left++;
    }
    CHECK_EQ(left, 34);
    CHECK_EQ(sum, spawned);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

WEFT_TEST(join, 13b_alternating_spawn_and_next_loses_nobody)
{
    CHECK_EQ(run_virtual(root_alternates, NULL), 0);
}

static int root_next_obeys(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    struct weft_scope inner;
    weft_task task;
    int result = 77;
    open_scope(&scope);
    CHECK_EQ(give_after_scope_spawn(&scope, &task, 10 * WEFT_SEC, 4), 0);
    CHECK_EQ(weft_scope_open_timeout(&inner, WEFT_SEC), 0);
    CHECK_EQ(weft_scope_next(&scope, NULL, &result), -ETIMEDOUT);
    CHECK_EQ(result, 77);
    CHECK_EQ(weft_scope_close(&inner), -ETIMEDOUT);
    CHECK_EQ(weft_scope_next(&scope, NULL, &result), 0);
    CHECK_EQ(result, 4);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

WEFT_TEST(join, 13c_next_obeys_an_inner_deadline)
{
    CHECK_EQ(run_virtual(root_next_obeys, NULL), 0);
}

/* ---- 14 ---- */

#define MEMBERS 200

static int root_cancels_while_ending(void *arg)
{
    (void)arg;
    static weft_task tasks[MEMBERS];
    static int reported[MEMBERS];
    struct weft_scope scope;
    open_scope(&scope);
    for (int i = 0; i < MEMBERS; i++) {
        CHECK_EQ(give_after_scope_spawn(&scope, &tasks[i], (1 + i % 5) * WEFT_SEC, i), 0);
    }
    CHECK_EQ(weft_sleep(3 * WEFT_SEC), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);

    int finished = 0;
    int cancelled = 0;
    weft_task ended;
    int result = 0;
    int next = 0;
    weft_shielded
    {
        while ((next = weft_scope_next(&scope, &ended, &result)) == 0) {
            for (int i = 0; i < MEMBERS; i++) {
                if (tasks[i].id == ended.id) reported[i]++;
            }
            if (result == -ECANCELED) cancelled++;
            if (result >= 0) finished++;
        }
    }
    CHECK_EQ(next, -ESRCH);
    for (int i = 0; i < MEMBERS; i++) {
        CHECK_EQ(reported[i], 1);
    }
    CHECK_WITHIN(finished, MEMBERS / 5 * 2, MEMBERS / 5 * 3);
    CHECK_WITHIN(cancelled, MEMBERS / 5 * 2, MEMBERS / 5 * 3);
    CHECK_EQ(finished + cancelled, MEMBERS);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    return 0;
}

WEFT_TEST(join, 14_cancel_while_children_end_reports_each_once)
{
    CHECK_EQ(run_virtual(root_cancels_while_ending, NULL), 0);
}

/* ---- row 29 ---- */

static int root_sees_first_failure(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    weft_task sibling;
    int64_t start = weft_now();
    open_scope(&scope);
    CHECK_EQ(weft_scope_spawn(&scope, &sibling, sleep_forever, NULL), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 5 * WEFT_SEC, -EIO), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, 7 * WEFT_SEC, -EBADF), 0);
    CHECK_EQ(give_after_scope_spawn(&scope, NULL, WEFT_SEC, 9), 0);

    CHECK_EQ(weft_sleep(100 * WEFT_SEC), -ECANCELED);
    CHECK_LASTED(weft_now() - start, 5 * WEFT_SEC);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope), -EIO);

    CHECK_EQ(weft_join(sibling, NULL), -ESRCH);
    CHECK_EQ(live_tasks(), 1);
    CHECK_EQ(weft_scope_status(), 0);
    return 0;
}

WEFT_TEST(join, 12d_the_first_failure_cancels_the_siblings)
{
    CHECK_EQ(run_virtual(root_sees_first_failure, NULL), 0);
}

/* ---- row 27d ---- */

static int root_closes_in_wrong_order(void *arg)
{
    (void)arg;
    struct weft_scope outer;
    struct weft_scope inner;
    open_scope(&outer);
    open_scope(&inner);
    CHECK_EQ(weft_scope_close(&outer), -EINVAL);
    CHECK_EQ(weft_scope_close(&inner), 0);
    CHECK_EQ(weft_scope_close(&outer), 0);
    return 0;
}

WEFT_TEST(join, 12e_scopes_close_last_opened_first)
{
    CHECK_EQ(run_virtual(root_closes_in_wrong_order, NULL), 0);
}

static int close_foreign_scope(void *arg)
{
    CHECK_EQ(weft_scope_close((struct weft_scope *)arg), -EPERM);
    CHECK_EQ(weft_scope_next((struct weft_scope *)arg, NULL, NULL), -EPERM);
    return 1;
}

static int root_shows_its_scope(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    open_scope(&scope);
    CHECK_EQ(join_result(spawn_task(close_foreign_scope, &scope)), 1);
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

WEFT_TEST(join, 12f_only_the_opener_closes)
{
    CHECK_EQ(run_virtual(root_shows_its_scope, NULL), 0);
}
