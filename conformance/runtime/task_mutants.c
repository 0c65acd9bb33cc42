/* SPDX-License-Identifier: MIT */
/*
 * TASK-06, 08, 19, 31; TIME-24: what faults planted in the scheduler showed to be untested.
 */
#include <pthread.h>

#include "conformance/runtime/support.h"

/* ---- 19: ids ---- */

#define LIVES 100

static int compares_ids(void *arg)
{
    (void)arg;
    weft_task tasks[LIVES];
    for (int i = 0; i < LIVES; i++) {
        tasks[i] = spawn_task(do_nothing, NULL);
        CHECK_EQ(join_result(tasks[i]), 0);
    }
    weft_task live = spawn_task(sleep_forever, NULL);
    let_others_run();

    for (int i = 0; i < LIVES; i++) {
        CHECK(tasks[i].id != live.id);
        CHECK_EQ(weft_cancel(tasks[i]), -ESRCH);
        for (int k = 0; k < i; k++)
            CHECK(tasks[k].id != tasks[i].id);
    }
    CHECK_EQ(weft_cancel(live), 0);
    CHECK_EQ(join_result(live), -ECANCELED);
    return 0;
}

WEFT_TEST(task, 19m_records_are_used_again_and_ids_are_not)
{
    CHECK_EQ(run_virtual(compares_ids, NULL), 0);
}

/* ---- 31: how long others wait ---- */

struct watch {
    struct weft_chan *chans[2];
    int steps;   /* of the busy tasks */
    int longest; /* steps between two turns of the patient one */
    bool is_over;
};

static int returns_each_ball(void *arg)
{
    struct watch *watch = arg;
    while (weft_chan_recv(watch->chans[0], NULL) == 0) {
        watch->steps++;
        if (weft_chan_send(watch->chans[1], NULL) < 0) break;
    }
    return 0;
}

static int serves_balls(void *arg)
{
    struct watch *watch = arg;
    for (int i = 0; i < 5000; i++) {
        watch->steps++;
        CHECK_EQ(weft_chan_send(watch->chans[0], NULL), 0);
        CHECK_EQ(weft_chan_recv(watch->chans[1], NULL), 0);
    }
    watch->is_over = true;
    CHECK_EQ(weft_chan_close(watch->chans[0]), 0);
    return 0;
}

static int waits_patiently(void *arg)
{
    struct watch *watch = arg;
    while (!watch->is_over) {
        int before = watch->steps;
        CHECK_EQ(weft_yield(), 0);
        if (watch->steps - before > watch->longest) watch->longest = watch->steps - before;
    }
    return 0;
}

static int plays_ping_pong(void *arg)
{
    struct watch *watch = arg;
    watch->chans[0] = open_chan(0, 0);
    watch->chans[1] = open_chan(0, 0);
    weft_task patient = spawn_task(waits_patiently, watch);
    weft_task first = spawn_task(returns_each_ball, watch);
    weft_task second = spawn_task(serves_balls, watch);
    CHECK_EQ(join_result(first), 0);
    CHECK_EQ(join_result(second), 0);
    CHECK_EQ(join_result(patient), 0);
    weft_chan_unref(watch->chans[0]);
    weft_chan_unref(watch->chans[1]);
    return 0;
}

WEFT_TEST(task, 31m_hand_overs_come_in_short_runs)
{
    harness_needs_order();
    struct watch watch = {0};

    CHECK_EQ(run_virtual(plays_ping_pong, &watch), 0);

    CHECK_WITHIN(watch.longest, 1, 40); /* 16 in a row, and what it takes to begin */
}

/* Each spawns the next: there always is one that never ran. */
static int spawns_the_next(void *arg)
{
    struct watch *watch = arg;
    if (++watch->steps >= 5000) {
        watch->is_over = true;
        return 0;
    }
    return weft_spawn(NULL, spawns_the_next, watch);
}

static int spawns_a_line(void *arg)
{
    struct watch *watch = arg;
    weft_task patient = spawn_task(waits_patiently, watch);
    let_others_run();
    return join_result(patient);
}

static int spawns_beside(void *arg)
{
    weft_task line = spawn_task(spawns_a_line, arg);
    weft_task first = spawn_task(spawns_the_next, arg);
    CHECK_EQ(join_result(first), 0);
    return join_result(line);
}

WEFT_TEST(task, 31n_new_tasks_come_in_short_runs)
{
    harness_needs_order();
    struct watch watch = {0};

    CHECK_EQ(run_virtual(spawns_beside, &watch), 0);

    CHECK_WITHIN(watch.longest, 1, 30); /* eight in a row */
}

/* ---- 08: posts ---- */

#define POSTS 8

struct poster {
    struct weft_post posts[POSTS];
    int order[2 * POSTS];
    int count;
};

static struct poster poster;

static void notes_post(void *arg)
{
    if (poster.count < 2 * POSTS) poster.order[poster.count++] = (int)(intptr_t)arg;
}

static void *posts_all(void *arg)
{
    for (int i = 0; i < POSTS; i++)
        CHECK_EQ(weft_post(arg, &poster.posts[i]), 0);
    return NULL;
}

static int takes_posts_twice(void *arg)
{
    (void)arg;
    for (int i = 0; i < POSTS; i++)
        poster.posts[i] = (struct weft_post){.fn = notes_post, .arg = (void *)(intptr_t)i};
    for (int round = 1; round <= 2; round++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, posts_all, weft_runtime_current()), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0); /* all are there before the first runs */
        let_others_run();
        CHECK_EQ(poster.count, round * POSTS);
    }
    for (int i = 0; i < 2 * POSTS; i++)
        CHECK_EQ(poster.order[i], i % POSTS);
    return 0;
}

WEFT_TEST(task, 08m_posts_run_in_order_and_can_be_used_again)
{
    CHECK_EQ(run_virtual(takes_posts_twice, NULL), 0);
}

/* ---- TIME-24: sleepers that share a place in the wheel ---- */

#define SLEEPERS 400

struct dormitory {
    int64_t wake_ns;
    int next;
};

static int sleeps_with_the_others(void *arg)
{
    struct dormitory *dormitory = arg;
    return weft_sleep_until(dormitory->wake_ns + dormitory->next++);
}

static int cancels_some_sleepers(void *arg)
{
    struct dormitory *dormitory = arg;
    weft_task tasks[SLEEPERS];
    dormitory->wake_ns = weft_now() + WEFT_HOUR;
    for (int i = 0; i < SLEEPERS; i++)
        tasks[i] = spawn_task(sleeps_with_the_others, dormitory);
    let_others_run();

    bool is_cancelled[SLEEPERS] = {false};
    for (int i = 0; i < SLEEPERS; i++) {
        int chosen = i * 149 % SLEEPERS; /* each once, far apart */
        if (chosen % 5 == 0) continue;
        is_cancelled[chosen] = true;
        CHECK_EQ(weft_cancel(tasks[chosen]), 0);
    }
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(join_result(tasks[i]), is_cancelled[i] ? -ECANCELED : 0);
    return 0;
}

WEFT_TEST(time, 24m_sleepers_next_to_cancelled_ones_wake)
{
    struct dormitory dormitory = {0};

    CHECK_EQ(run_virtual(cancels_some_sleepers, &dormitory), 0);
}
