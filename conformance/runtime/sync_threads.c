/* SPDX-License-Identifier: MIT */
/*
 * Mutexes between workers, runtimes and plain threads, and in reports: SYNC-01, 04, 07 and 30.
 */
#include <signal.h>
#include <stdio.h>

#include "conformance/runtime/mt_support.h"

enum { EACH = 2000, CROWD = 8 };

/* A mutex and what it guards: no atomics. */
struct guarded {
    struct weft_mutex mutex;
    int inside;
    int count;
    int each;
};

static void enter_often(struct guarded *guarded)
{
    for (int i = 0; i < guarded->each; i++) {
        if (!CHECK_EQ(weft_mutex_lock(&guarded->mutex), 0)) return;
        CHECK_EQ(guarded->inside++, 0);
        guarded->count++;
        CHECK_EQ(--guarded->inside, 0);
        CHECK_EQ(weft_mutex_unlock(&guarded->mutex), 0);
    }
}

static int enter_as_task(void *arg)
{
    enter_often(arg);
    return 0;
}

static void *enter_as_thread(void *arg)
{
    enter_often(arg);
    return NULL;
}

/* ---- 01, between workers ---- */

static int root_spreads(void *arg)
{
    run_spread(CROWD, enter_as_task, arg);
    return 0;
}

MT_TEST(sync, 01b_only_one_of_several_workers_is_inside)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT, .each = EACH};
    CHECK_EQ(run_with(workers, root_spreads, &guarded), 0);
    CHECK_EQ(guarded.count, CROWD * EACH);
    CHECK_EQ(weft_mutex_close(&guarded.mutex), 0);
}

/* ---- 07, between workers ---- */

/* The hog holds it nearly all the time; the other one wants it now and then. */
struct duel {
    struct weft_mutex mutex;
    atomic_int started;
    atomic_bool is_over;
    int sections; /* of the hog */
    int entries;  /* of the other one */
};

enum { ENTRIES = 40, SECTIONS_MAX = 20 * ENTRIES };

static void compute_for(int64_t duration_ns)
{
    int64_t end_ns = harness_now_ns() + duration_ns;
    while (harness_now_ns() < end_ns) {
    }
}

static int hog(void *arg)
{
    struct duel *duel = arg;
    /* Relaxed: only the loop's end. */
    while (!atomic_load_explicit(&duel->is_over, memory_order_relaxed)) {
        CHECK_EQ(weft_mutex_lock(&duel->mutex), 0);
        count_up(&duel->started);
        compute_for(NS_PER_MS / 2);
        bool is_enough = ++duel->sections > SECTIONS_MAX;
        CHECK_EQ(weft_mutex_unlock(&duel->mutex), 0);
        if (is_enough) break;
    }
    return 0;
}

static int want(void *arg)
{
    struct duel *duel = arg;
    CHECK(compute_until(&duel->started, 1));
    for (int i = 0; i < ENTRIES; i++) {
        CHECK_EQ(weft_mutex_lock(&duel->mutex), 0);
        duel->entries++;
        if (duel->sections > SECTIONS_MAX) i = ENTRIES;
        CHECK_EQ(weft_mutex_unlock(&duel->mutex), 0);
    }
    /* Relaxed: see above. */
    atomic_store_explicit(&duel->is_over, true, memory_order_relaxed);
    return 0;
}

static int root_of_duel(void *arg)
{
    weft_task tasks[2] = {spawn_spread(NULL, hog, arg), spawn_spread(NULL, want, arg)};
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    return 0;
}

MT_TEST(sync, 07b_a_loop_on_another_worker_starves_nobody)
{
    struct duel duel = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_with(workers, root_of_duel, &duel), 0);
    CHECK_EQ(duel.entries, ENTRIES);
    CHECK_WITHIN(duel.sections, 1, SECTIONS_MAX);
}

/* ---- 07, how often one that sleeps is overtaken ---- */

/* The sleeper's worker is kept from running it, in steps that both sides count. */
struct delay {
    struct weft_mutex mutex;
    atomic_int steps;
    bool comes_early; /* the sleeper looks once while the mutex is held again */
    int overtaken;    /* how often, from the first unlock on, or after it came in vain */
};

enum { OVERTAKEN_MAX = 1000, TOO_OFTEN = 5000 };

static int sleeper(void *arg)
{
    struct delay *delay = arg;
    CHECK_EQ(weft_mutex_lock(&delay->mutex), 0);
    CHECK_EQ(atomic_load(&delay->steps), delay->comes_early ? 4 : 2);
    return weft_mutex_unlock(&delay->mutex);
}

/* On the other worker: the sleeper and this one. */
static int keep_from_running(void *arg)
{
    struct delay *delay = arg;
    weft_task task = {0, NULL};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    if (weft_worker_index() == 0) return 0;
    options.placement = WEFT_HERE;
    CHECK_EQ(weft_spawn_with(&task, &options, sleeper, delay), 0);
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    count_up(&delay->steps);
    CHECK(compute_until(&delay->steps, 2));
    if (delay->comes_early) {
        CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
        count_up(&delay->steps);
        CHECK(compute_until(&delay->steps, 4));
    }
    return join_result(task);
}

static void overtake(struct delay *delay)
{
    int result = 0;
    while (result == 0 && delay->overtaken < TOO_OFTEN) {
        weft_with_timeout(0) {
            result = weft_mutex_lock(&delay->mutex);
        }
        if (result != 0) break;
        delay->overtaken++;
        CHECK_EQ(weft_mutex_unlock(&delay->mutex), 0);
    }
}

static int root_overtakes(void *arg)
{
    struct delay *delay = arg;
    CHECK_EQ(weft_mutex_lock(&delay->mutex), 0);
    weft_task tasks[2];
    for (int i = 0; i < 2; i++) {
        tasks[i] = spawn_spread(NULL, keep_from_running, delay);
    }
    CHECK_EQ(weft_yield(), 0);
    CHECK(compute_until(&delay->steps, 1));
    CHECK_EQ(weft_mutex_unlock(&delay->mutex), 0);
    if (delay->comes_early) {
        CHECK_EQ(weft_mutex_lock(&delay->mutex), 0);
        count_up(&delay->steps);
        CHECK(compute_until(&delay->steps, 3));
        CHECK_EQ(weft_mutex_unlock(&delay->mutex), 0);
    }
    overtake(delay);
    count_up(&delay->steps);
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    return 0;
}

WEFT_TEST(sync, 07c_one_that_sleeps_is_overtaken_so_often_and_no_more)
{
    struct delay delay = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_with(2, root_overtakes, &delay), 0);
    CHECK_WITHIN(delay.overtaken, 1, OVERTAKEN_MAX);
}

WEFT_TEST(sync, 07d_one_that_came_in_vain_is_next)
{
    struct delay delay = {.mutex = WEFT_MUTEX_INIT, .comes_early = true};
    CHECK_EQ(run_with(2, root_overtakes, &delay), 0);
    CHECK_EQ(delay.overtaken, 0);
}

/* ---- 30 ---- */

/* One thread holds, and lets go when it is told. */
struct holder {
    struct weft_mutex mutex;
    bool comes_second; /* the task has used it before */
    atomic_int steps;
    int64_t unlocked_ns;
};

static void *hold_for_a_while(void *arg)
{
    struct holder *holder = arg;
    CHECK_EQ(weft_mutex_lock(&holder->mutex), 0);
    count_up(&holder->steps);
    harness_sleep_ms(50);
    holder->unlocked_ns = harness_now_ns();
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), 0);
    return NULL;
}

/* All of the runtime sleeps meanwhile: neither a deadlock, nor missed. */
static int root_waits_for_a_thread(void *arg)
{
    struct holder *holder = arg;
    if (holder->comes_second) {
        CHECK_EQ(weft_mutex_lock(&holder->mutex), 0);
        CHECK_EQ(weft_mutex_unlock(&holder->mutex), 0);
    }
    pthread_t thread = start_thread(hold_for_a_while, holder);
    CHECK(compute_until(&holder->steps, 1));
    CHECK_EQ(weft_mutex_try_lock(&holder->mutex), -EBUSY);
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), -EPERM);
    CHECK_EQ(weft_mutex_lock(&holder->mutex), 0);
    CHECK_WITHIN(harness_now_ns() - holder->unlocked_ns, 0, harness_slack_ns());
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

WEFT_TEST(sync, 30_a_task_waits_for_a_thread)
{
    struct holder holder = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_real(root_waits_for_a_thread, &holder), 0);
}

WEFT_TEST(sync, 30f_a_task_waits_for_a_thread_that_came_later)
{
    struct holder holder = {.mutex = WEFT_MUTEX_INIT, .comes_second = true};
    CHECK_EQ(run_real(root_waits_for_a_thread, &holder), 0);
}

static void *lock_as_thread(void *arg)
{
    struct holder *holder = arg;
    count_up(&holder->steps);
    CHECK_EQ(weft_mutex_lock(&holder->mutex), 0);
    CHECK_EQ(weft_mutex_lock(&holder->mutex), -EDEADLK);
    count_up(&holder->steps);
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), -EPERM);
    return NULL;
}

/* The mutex is private to the worker when the thread comes. */
static int root_is_waited_for(void *arg)
{
    struct holder *holder = arg;
    CHECK_EQ(weft_mutex_lock(&holder->mutex), 0);
    pthread_t thread = start_thread(lock_as_thread, holder);
    CHECK(compute_until(&holder->steps, 1));
    CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
    CHECK_EQ(atomic_load(&holder->steps), 1);
    CHECK_EQ(weft_mutex_unlock(&holder->mutex), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(atomic_load(&holder->steps), 2);
    CHECK_EQ(weft_mutex_close(&holder->mutex), 0);
    return 0;
}

WEFT_TEST(sync, 30b_a_thread_waits_for_a_task)
{
    struct holder holder = {.mutex = WEFT_MUTEX_INIT};
    CHECK_EQ(run_real(root_is_waited_for, &holder), 0);
}

static int root_with_threads(void *arg)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(enter_as_thread, arg);
    }
    run_spread(CROWD, enter_as_task, arg);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    return 0;
}

WEFT_TEST(sync, 30c_threads_and_tasks_take_turns)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT, .each = EACH};
    CHECK_EQ(run_real(root_with_threads, &guarded), 0);
    CHECK_EQ(guarded.count, (CROWD + 2) * EACH);
}

static void *run_another_runtime(void *arg)
{
    CHECK_EQ(run_real(root_spreads, arg), 0);
    return NULL;
}

WEFT_TEST(sync, 30d_two_runtimes_share_one)
{
    struct guarded guarded = {.mutex = WEFT_MUTEX_INIT, .each = EACH};
    pthread_t thread = start_thread(run_another_runtime, &guarded);
    CHECK_EQ(run_real(root_spreads, &guarded), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(guarded.count, 2 * CROWD * EACH);
}

static int root_locks_once(void *arg)
{
    CHECK_EQ(weft_mutex_lock(arg), 0);
    return weft_mutex_unlock(arg);
}

/* A mutex outlives the runtime whose worker it was private to. */
WEFT_TEST(sync, 30e_one_runtime_after_the_other)
{
    static struct weft_mutex mutex;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(run_real(root_locks_once, &mutex), 0);
        if (i == 0) continue; /* once from worker to worker without a thread between them */
        CHECK_EQ(weft_mutex_lock(&mutex), 0);
        CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    }
}

/* ---- deadlocks, and their report ---- */

static int forget_to_unlock(void *arg)
{
    return weft_mutex_lock(arg);
}

static int root_is_stuck(void *arg)
{
    CHECK_EQ(join_result(spawn_task(forget_to_unlock, arg)), 0);
    CHECK_EQ(weft_mutex_lock(arg), -ECANCELED);
    return 0;
}

WEFT_TEST(sync, 04c_one_that_is_never_unlocked_is_a_deadlock)
{
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    char text[4096];
    int fds[2];
    harness_pipe(fds);
    struct weft_config config = WEFT_CONFIG_INIT;
    config.report_fd = fds[1];
    CHECK_EQ(weft_run(&config, root_is_stuck, &mutex), -EDEADLK);
    ssize_t size = read(fds[0], text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    if (!CHECK(strstr(text, "in mutex (of task 2)") != NULL)) CHECK_FAIL("%s", text);
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(close(fds[1]), 0);
}
