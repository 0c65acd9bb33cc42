/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-22, 23, 26 to 29 and SEMANTICS row 27c: shields, and how far the cancellation of a
 * scope reaches.
 */
#include "conformance/runtime/support.h"

/* ---- 22 ---- */

static int work_shielded(void *arg)
{
    int *steps = arg;
    weft_shielded
    {
        CHECK_EQ(weft_sleep(10 * WEFT_SEC), 0);
        ++*steps;
        CHECK_EQ(weft_scope_status(), 0);
        CHECK_EQ(weft_yield(), 0);
        ++*steps;
    }
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    CHECK_EQ(weft_yield(), -ECANCELED);
    ++*steps;
    return 5;
}

static int root_cancels_shielded(void *arg)
{
    int *steps = arg;
    weft_task task = spawn_task(work_shielded, steps);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    weft_with_timeout(5 * WEFT_SEC) {
        CHECK_EQ(weft_join(task, NULL), -ETIMEDOUT);
    }
    CHECK_EQ(*steps, 0);
    CHECK_EQ(join_result(task), 5);
    return 0;
}

WEFT_TEST(cancel, 22_a_shield_hides_the_cancellation_until_its_end)
{
    int steps = 0;

    CHECK_EQ(run_virtual(root_cancels_shielded, &steps), 0);

    CHECK_EQ(steps, 3);
}

static int root_shields_deadlines(void *arg)
{
    (void)arg;
    int64_t start = weft_now();
    weft_with_timeout(WEFT_SEC) {
        weft_shielded
        {
            CHECK_EQ(weft_sleep(3 * WEFT_SEC), 0);
            weft_with_timeout(2 * WEFT_SEC) {
                CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
            }
            CHECK_EQ(weft_sleep(WEFT_SEC), 0);
        }
        CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    }
    CHECK_LASTED(weft_now() - start, 6 * WEFT_SEC);
    return 0;
}

/* SEMANTICS row 27c: scopes opened inside of a shield count. */
WEFT_TEST(cancel, 22b_a_shield_hides_outer_deadlines_not_inner_ones)
{
    CHECK_EQ(run_virtual(root_shields_deadlines, NULL), 0);
}

static int shield_by_hand(void *arg)
{
    (void)arg;
    struct weft_scope shield;
    struct weft_scope inner;
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    CHECK_EQ(weft_scope_open_shield(&shield), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_scope_open(&inner), 0);
    CHECK_EQ(weft_scope_cancel(&inner), 0);
    CHECK_EQ(weft_yield(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&inner), -ECANCELED);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_scope_cancel(&shield), 0);
    CHECK_EQ(weft_yield(), -ECANCELED);
    CHECK_EQ(weft_scope_close(&shield), -ECANCELED);
    return weft_yield();
}

static int root_cancels_shield_by_hand(void *arg)
{
    (void)arg;
    weft_task task = spawn_task(shield_by_hand, NULL);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 22c_a_shield_is_a_scope)
{
    CHECK_EQ(run_virtual(root_cancels_shield_by_hand, NULL), 0);
}

/* ---- 23 ---- */

static int clean_up_others(void *arg)
{
    weft_task *other = arg;
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    CHECK_EQ(weft_cancel(*other), 0);
    CHECK_EQ(weft_join(*other, NULL), -ECANCELED);
    weft_shielded
    {
        CHECK_EQ(join_result(*other), -ECANCELED);
    }
    return 2;
}

static int root_cancels_the_cleaner(void *arg)
{
    (void)arg;
    weft_task other = spawn_task(sleep_forever, NULL);
    weft_task cleaner = spawn_task(clean_up_others, &other);
    let_others_run();
    CHECK_EQ(weft_cancel(cleaner), 0);
    CHECK_EQ(join_result(cleaner), 2);
    return 0;
}

WEFT_TEST(cancel, 23_a_cancelled_task_joins_others_in_a_shield)
{
    CHECK_EQ(run_virtual(root_cancels_the_cleaner, NULL), 0);
}

/* ---- 26, 27 ---- */

#define DEPTH 20

static int cancelled_depths;

/* Opens a scope with a child that goes one deeper; the innermost sleeps. */
static int go_deeper(void *arg)
{
    int depth = *(int *)arg + 1;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    if (depth < DEPTH) CHECK_EQ(weft_scope_spawn(&scope, NULL, go_deeper, &depth), 0);
    int result = weft_sleep(WEFT_FOREVER);
    CHECK_EQ(result, -ECANCELED);
    if (result == -ECANCELED) cancelled_depths++;
    (void)weft_scope_close(&scope); /* depends on the child's result, -ECANCELED too */
    return result;
}

static int root_cancels_the_tree(void *arg)
{
    int *depth = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, go_deeper, depth), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK_EQ(live_tasks(), DEPTH + 1);

    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);

    CHECK_EQ(live_tasks(), 1);
    return 0;
}

WEFT_TEST(cancel, 26_a_scope_reaches_every_descendant)
{
    int depth = 0;

    CHECK_EQ(run_virtual(root_cancels_the_tree, &depth), 0);

    CHECK_EQ(cancelled_depths, DEPTH);
}

static int root_cancels_the_first_task(void *arg)
{
    int *depth = arg;
    weft_task task = spawn_task(go_deeper, depth);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    CHECK_EQ(live_tasks(), 1);
    return 0;
}

WEFT_TEST(cancel, 26b_cancelling_a_task_reaches_the_children_of_its_scopes)
{
    int depth = 0;

    CHECK_EQ(run_virtual(root_cancels_the_first_task, &depth), 0);

    CHECK_EQ(cancelled_depths, DEPTH);
}

static int sleep_ten_seconds(void *arg)
{
    (void)arg;
    return weft_sleep(10 * WEFT_SEC);
}

static int hold_scope(void *arg)
{
    struct weft_scope *scope = arg;
    CHECK_EQ(weft_scope_open(scope), 0);
    CHECK_EQ(weft_scope_spawn(scope, NULL, sleep_forever, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    CHECK_EQ(weft_scope_close(scope), -ECANCELED);
    return weft_sleep(WEFT_SEC);
}

static int root_cancels_one_child_scope(void *arg)
{
    (void)arg;
    struct weft_scope parent;
    struct weft_scope child;
    weft_task holder;
    weft_task sibling;
    CHECK_EQ(weft_scope_open(&parent), 0);
    CHECK_EQ(weft_scope_spawn(&parent, &holder, hold_scope, &child), 0);
    CHECK_EQ(weft_scope_spawn(&parent, &sibling, sleep_ten_seconds, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);

    CHECK_EQ(weft_scope_cancel(&child), 0);

    CHECK_EQ(join_result(holder), 0);
    CHECK_EQ(join_result(sibling), 0);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(weft_scope_close(&parent), 0);
    return 0;
}

WEFT_TEST(cancel, 27_a_child_scope_leaves_parent_and_siblings_alone)
{
    CHECK_EQ(run_virtual(root_cancels_one_child_scope, NULL), 0);
}

/* ---- 28 ---- */

static int root_opens_many(void *arg)
{
    (void)arg;
    struct weft_scope parent;
    size_t resident = 0;
    CHECK_EQ(weft_scope_open_timeout(&parent, WEFT_HOUR), 0);
    for (int i = 0; i < 100000; i++) {
        struct weft_scope scope;
        if (i == 1000) resident = harness_resident_size();
        if (weft_scope_open_timeout(&scope, WEFT_MINUTE) != 0) CHECK_FAIL("open %d", i);
        if (i % 10 == 0 && weft_scope_spawn(&scope, NULL, do_nothing, NULL) != 0) {
            CHECK_FAIL("spawn %d", i);
        }
        if (weft_scope_close(&scope) != 0) CHECK_FAIL("close %d", i);
    }
    check_resident(resident + 4 * 1024 * 1024);
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.timers, 1);
    CHECK_EQ(stats.tasks_live, 1);
    CHECK_EQ(weft_scope_close(&parent), 0);
    return 0;
}

WEFT_TEST(cancel, 28_many_short_scopes_keep_no_memory)
{
    CHECK_EQ(run_virtual(root_opens_many, NULL), 0);
}

/* ---- 29 ---- */

struct rival {
    struct weft_scope scope;
    struct rival *other;
    struct weft_chan *start;
    int closed;
};

static int cancel_rival(void *arg)
{
    struct rival *rival = arg;
    CHECK_EQ(weft_scope_open(&rival->scope), 0);
    CHECK_EQ(weft_scope_spawn(&rival->scope, NULL, sleep_forever, NULL), 0);
    CHECK_EQ(weft_chan_recv(rival->start, NULL), -EPIPE);
    int result = weft_scope_cancel(&rival->other->scope);
    CHECK(result == 0 || result == -EINVAL);
    (void)weft_sleep(WEFT_FOREVER);
    rival->closed = weft_scope_close(&rival->scope);
    return 0;
}

static int root_of_the_rivals(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        struct rival rivals[2] = {{.start = open_chan(0, 0)}, {.other = &rivals[0]}};
        rivals[0].other = &rivals[1];
        rivals[1].start = rivals[0].start;
        weft_task tasks[2];
        for (int j = 0; j < 2; j++) {
            tasks[j] = spawn_task(cancel_rival, &rivals[j]);
        }
        CHECK_EQ(weft_sleep(WEFT_SEC), 0);
        CHECK_EQ(weft_chan_close(rivals[0].start), 0);
        for (int j = 0; j < 2; j++) {
            CHECK_EQ(join_result(tasks[j]), 0);
            CHECK_EQ(rivals[j].closed, -ECANCELED);
        }
        weft_chan_unref(rivals[0].start);
    }
    return 0;
}

WEFT_TEST(cancel, 29_two_scopes_that_cancel_each_other)
{
    CHECK_EQ(run_virtual(root_of_the_rivals, NULL), 0);
}
