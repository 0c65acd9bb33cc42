/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: SYNC-01 to 07 and 29; rows 23, 40 and 43 of the semantics. With threads, several workers
 * and in reports: sync_threads.c.
 */
#include "conformance/runtime/support.h"

enum { CROWD = 10, EACH = 1000, WAITERS = 5 };

/* A mutex and what it guards. */
struct guarded {
    struct weft_mutex mutex;
    int inside;
    int count;
    int order[WAITERS + 1];
    bool is_done;
};

/* ---- 01 ---- */

static int enter_often(void *arg)
{
    struct guarded *guarded = arg;
    for (int i = 0; i < EACH; i++) {
        if (!CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0)) return 1;
        CHECK_EQ(guarded->inside++, 0);
        if (i % 4 == 0) CHECK_EQ(weft_yield(), 0);
        if (i % 64 == 0) CHECK_EQ(weft_sleep(WEFT_SEC), 0);
        CHECK_EQ(--guarded->inside, 0);
        guarded->count++;
        CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    }
    return 0;
}

static int root_of_crowd(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, enter_often, arg), 0);
    }
    return weft_scope_close(&scope);
}

WEFT_TEST(sync, 01_only_one_is_inside_also_while_it_sleeps)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_virtual(root_of_crowd, &guarded), 0);
    CHECK_EQ(guarded.count, CROWD * EACH);
    CHECK_EQ(weft_mutex_close(&guarded.mutex), 0);
}

/* ---- 02 ---- */

struct arrival {
    struct guarded *guarded;
    int number;
};

static int arrive(void *arg)
{
    struct arrival *arrival = arg;
    struct guarded *guarded = arrival->guarded;
    CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
    guarded->order[guarded->count++] = arrival->number;
    return weft_mutex_unlock(&guarded->mutex);
}

static int root_of_queue(void *arg)
{
    struct guarded *guarded = arg;
    struct arrival arrivals[WAITERS];
    weft_task tasks[WAITERS];
    CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
    for (int i = 0; i < WAITERS; i++) {
        arrivals[i] = (struct arrival){guarded, i};
        tasks[i] = spawn_task(arrive, &arrivals[i]);
        let_others_run();
    }
    CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(join_result(tasks[i]), 0);
    }
    return 0;
}

WEFT_TEST(sync, 02_first_come_first_served)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_virtual(root_of_queue, &guarded), 0);
    CHECK_EQ(guarded.count, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(guarded.order[i], i);
    }
}

/* One worker: who unlocks and locks again goes behind those that wait. */
static int root_comes_again(void *arg)
{
    struct guarded *guarded = arg;
    struct arrival arrivals[2] = {{guarded, 1}, {guarded, 2}};
    weft_task tasks[2];
    CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
    for (int i = 0; i < 2; i++) {
        tasks[i] = spawn_task(arrive, &arrivals[i]);
        let_others_run();
    }
    CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
    CHECK_EQ(guarded->count, 2);
    CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    return 0;
}

WEFT_TEST(sync, 02b_nobody_on_one_worker_is_overtaken)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT};
    harness_needs_one_worker(); /* of several, one that runs may overtake one that sleeps */
    CHECK_EQ(run_virtual(root_comes_again, &guarded), 0);
}

/* ---- 03 ---- */

/* Holds it until it is told to let go. */
struct keeper {
    struct weft_mutex *mutex;
    struct weft_chan *release;
    int result;
};

static int keep(void *arg)
{
    struct keeper *keeper = arg;
    keeper->result = weft_mutex_lock(keeper->mutex);
    if (keeper->result < 0) return keeper->result;
    CHECK_EQ(weft_chan_recv(keeper->release, NULL), 0);
    return weft_mutex_unlock(keeper->mutex);
}

static int root_tries(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct keeper keeper = {.mutex = &mutex, .release = open_chan(0, 1), .result = 1};
    (void)arg;
    CHECK_EQ(weft_mutex_try_lock(NULL), -EINVAL);
    CHECK_EQ(weft_mutex_try_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY);
    weft_task task = spawn_task(keep, &keeper);
    let_others_run();
    CHECK_EQ(keeper.result, 1);
    CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY);

    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY); /* it is for the one who waited */
    let_others_run();
    CHECK_EQ(keeper.result, 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY);
    CHECK_EQ(weft_chan_send(keeper.release, NULL), 0);
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    weft_chan_unref(keeper.release);
    return 0;
}

WEFT_TEST(sync, 03_a_try_does_not_overtake_who_waits)
{
    CHECK_EQ(run_virtual(root_tries, NULL), 0);
}

/* ---- 04, 06 ---- */

static int unlock_of_another(void *arg)
{
    return weft_mutex_unlock(arg);
}

static int root_misuses(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    (void)arg;
    CHECK_EQ(weft_mutex_unlock(NULL), -EINVAL);
    CHECK_EQ(weft_mutex_unlock(&mutex), -EPERM);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(join_result(spawn_task(unlock_of_another, &mutex)), -EPERM);
    CHECK_EQ(weft_mutex_try_lock(&mutex), -EBUSY);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), -EPERM);
    return 0;
}

WEFT_TEST(sync, 04_only_its_holder_unlocks)
{
    CHECK_EQ(run_virtual(root_misuses, NULL), 0);
}

static int root_locks_twice(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    (void)arg;
    CHECK_EQ(weft_mutex_lock(NULL), -EINVAL);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), -EDEADLK);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    return 0;
}

WEFT_TEST(sync, 06_the_holder_cannot_lock_again)
{
    CHECK_EQ(run_virtual(root_locks_twice, NULL), 0);
}

static void post_tries(void *arg)
{
    struct guarded *guarded = arg;
    guarded->order[0] = weft_mutex_lock(&guarded->mutex);
    guarded->order[1] = weft_mutex_try_lock(&guarded->mutex);
    guarded->order[2] = weft_mutex_unlock(&guarded->mutex);
    guarded->order[3] = weft_mutex_close(&guarded->mutex);
    guarded->is_done = true;
}

static int root_posts(void *arg)
{
    struct weft_post post = {.fn = post_tries, .arg = arg};
    CHECK_EQ(weft_post(weft_runtime_current(), &post), 0);
    let_others_run();
    return 0;
}

WEFT_TEST(sync, 04b_posted_functions_lock_nothing)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_virtual(root_posts, &guarded), 0);
    CHECK(guarded.is_done);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(guarded.order[i], -EPERM);
    }
}

/* ---- 05 ---- */

static int lock_for_a_second(void *arg)
{
    int result = 1;
    weft_with_timeout(WEFT_SEC) {
        result = weft_mutex_lock(arg);
    }
    return result;
}

static int root_is_late(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    int64_t start_ns = weft_now();
    CHECK_EQ(join_result(spawn_task(lock_for_a_second, &mutex)), -ETIMEDOUT);
    CHECK_LASTED(weft_now() - start_ns, WEFT_SEC);

    /* Nothing is left of it: the mutex is free at once. */
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    return 0;
}

WEFT_TEST(sync, 05_a_deadline_leaves_the_queue)
{
    CHECK_EQ(run_virtual(root_is_late, NULL), 0);
}

static int try_by_scope(void *arg)
{
    int result = 1;
    weft_with_timeout(0) {
        result = weft_mutex_lock(arg);
    }
    if (result == 0) CHECK_EQ(weft_mutex_unlock(arg), 0);
    return result;
}

static int root_uses_try_scopes(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    (void)arg;
    CHECK_EQ(join_result(spawn_task(try_by_scope, &mutex)), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(join_result(spawn_task(try_by_scope, &mutex)), -ETIMEDOUT);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(join_result(spawn_task(try_by_scope, &mutex)), 0);
    return 0;
}

WEFT_TEST(sync, 05b_a_past_deadline_makes_it_a_try)
{
    CHECK_EQ(run_virtual(root_uses_try_scopes, NULL), 0);
}

/* ---- 07 ---- */

static int hog(void *arg)
{
    struct guarded *guarded = arg;
    bool is_done = false;
    while (!is_done && guarded->count < 100000) {
        CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
        is_done = guarded->is_done;
        guarded->count++;
        CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    }
    return is_done ? 0 : 1;
}

static int root_beside_a_hog(void *arg)
{
    struct guarded *guarded = arg;
    weft_task task = spawn_task(hog, guarded);
    CHECK_EQ(weft_yield(), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0);
        CHECK_EQ(weft_yield(), 0);
        guarded->is_done = i == 9;
        CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    }
    return join_result(task);
}

WEFT_TEST(sync, 07_a_loop_of_locks_starves_nobody)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_virtual(root_beside_a_hog, &guarded), 0);
}

/* ---- 29 ---- */

static int root_closes(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct keeper keeper = {.mutex = &mutex, .release = open_chan(0, 1), .result = 1};
    (void)arg;
    CHECK_EQ(weft_mutex_close(NULL), -EINVAL);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), -EBUSY);
    weft_task task = spawn_task(keep, &keeper);
    let_others_run();
    CHECK_EQ(weft_mutex_close(&mutex), -EBUSY);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), -EBUSY);
    let_others_run();
    CHECK_EQ(weft_mutex_close(&mutex), -EBUSY);
    CHECK_EQ(weft_chan_send(keeper.release, NULL), 0);
    CHECK_EQ(join_result(task), 0);

    CHECK_EQ(weft_mutex_close(&mutex), 0);
    const struct weft_mutex fresh = WEFT_MUTEX_INIT;
    CHECK_EQ(memcmp(&mutex, &fresh, sizeof mutex), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    weft_chan_unref(keeper.release);
    return 0;
}

WEFT_TEST(sync, 29_one_in_use_cannot_be_closed)
{
    CHECK_EQ(run_virtual(root_closes, NULL), 0);
}
