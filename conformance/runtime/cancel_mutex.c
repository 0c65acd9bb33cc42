/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-10 and 11 and SEMANTICS row 22 for mutexes: a cancelled lock takes nothing along, and
 * one that was handed over counts.
 */
#include "conformance/runtime/mt_support.h"

struct waiter {
    struct weft_mutex *mutex;
    int result;
    int next; /* of the blocking call after it */
};

static int lock_once(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = weft_mutex_lock(waiter->mutex);
    waiter->next = weft_sleep(WEFT_MSEC);
    if (waiter->result == 0) CHECK_EQ(weft_mutex_unlock(waiter->mutex), 0);
    return waiter->result;
}

/* ---- 10 ---- */

static int root_hands_over(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct waiter waiter = {.mutex = &mutex, .result = 1};
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    weft_task task = spawn_task(lock_once, &waiter);
    let_others_run();
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(waiter.next, -ECANCELED);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    return 0;
}

WEFT_TEST(cancel, 10f_a_mutex_that_was_handed_over_wins)
{
    CHECK_EQ(run_virtual(root_hands_over, NULL), 0);
}

/* ---- 11 ---- */

static int root_cancels(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct waiter waiters[3];
    weft_task tasks[3];
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.mutex = &mutex, .result = 1};
        tasks[i] = spawn_task(lock_once, &waiters[i]);
        let_others_run();
    }
    CHECK_EQ(weft_cancel(tasks[0]), 0);
    CHECK_EQ(weft_cancel(tasks[1]), 0);
    CHECK_EQ(join_result(tasks[0]), -ECANCELED);
    CHECK_EQ(join_result(tasks[1]), -ECANCELED);
    CHECK_EQ(waiters[2].result, 1);

    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(join_result(tasks[2]), 0);
    CHECK_EQ(waiters[2].next, 0);
    CHECK_EQ(weft_mutex_try_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    return 0;
}

WEFT_TEST(cancel, 11_a_cancelled_lock_lets_the_next_one_in)
{
    CHECK_EQ(run_virtual(root_cancels, NULL), 0);
}

/* The only waiter is cancelled: nobody is left to be served. */
static int root_cancels_all(void *arg)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct waiter waiter = {.mutex = &mutex, .result = 1};
    (void)arg;
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    weft_task task = spawn_task(lock_once, &waiter);
    let_others_run();
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    return 0;
}

WEFT_TEST(cancel, 11b_a_cancelled_lock_leaves_it_free)
{
    CHECK_EQ(run_virtual(root_cancels_all, NULL), 0);
}

/* ---- 11, while a thread or another worker contends ---- */

enum { ROUNDS = 300 };

struct storm {
    struct weft_mutex mutex;
    int inside;
    int entered;
};

/* Tries for a moment, often in vain. */
static int lock_in_a_hurry(void *arg)
{
    struct storm *storm = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int result = 1;
        weft_with_timeout(i % 3 * 20 * WEFT_USEC) {
            result = weft_mutex_lock(&storm->mutex);
        }
        CHECK(result == 0 || result == -ETIMEDOUT);
        if (result != 0) continue;
        CHECK_EQ(storm->inside++, 0);
        storm->entered++;
        if (i % 8 == 0) CHECK_EQ(weft_sleep(10 * WEFT_USEC), 0);
        CHECK_EQ(--storm->inside, 0);
        CHECK_EQ(weft_mutex_unlock(&storm->mutex), 0);
    }
    return 0;
}

static void *lock_as_thread(void *arg)
{
    struct storm *storm = arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_mutex_lock(&storm->mutex), 0);
        CHECK_EQ(storm->inside++, 0);
        storm->entered++;
        CHECK_EQ(--storm->inside, 0);
        CHECK_EQ(weft_mutex_unlock(&storm->mutex), 0);
    }
    return NULL;
}

static int root_of_storm(void *arg)
{
    pthread_t thread = start_thread(lock_as_thread, arg);
    run_spread(8, lock_in_a_hurry, arg);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

WEFT_TEST(cancel, 11c_deadlines_between_threads_and_workers_leak_nothing)
{
    struct storm storm = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_real(root_of_storm, &storm), 0);
    CHECK_WITHIN(storm.entered, ROUNDS, 9 * ROUNDS);
    CHECK_EQ(weft_mutex_lock(&storm.mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&storm.mutex), 0);
    CHECK_EQ(weft_mutex_close(&storm.mutex), 0);
}
