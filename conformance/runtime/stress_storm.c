/* SPDX-License-Identifier: MIT */
/*
 * Cancels, timers, starts and stops, and time itself: STRESS-05, 07, 10, 11.
 *
 * Each test has a model that says what each task must have been told, and looks at the counters
 * when the storm is over: nothing may be left registered.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

/* ---- cancels against every kind of sleep ---- */

#define VICTIMS 64

enum sleep_kind { RECV, SEND, SELECT, SLEEP, JOIN, WAIT_FD, READ, SCOPE, SHARED, KINDS };

struct storm {
    uint64_t random;
    struct weft_chan *empty;
    struct weft_chan *full;
    struct weft_chan *shared;
    int fds[2];
    int64_t completed;
    int64_t cancelled[KINDS];
    enum sleep_kind kinds[VICTIMS];
    weft_task victims[VICTIMS];
};

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

/* Waits for a task that never ends by itself; takes it along when it is cancelled. */
static int storm_join(void)
{
    weft_task sleeper;
    int result = 0;
    CHECK_EQ(weft_spawn(&sleeper, sleep_for_ever, NULL), 0);
    int status = weft_join(sleeper, NULL);
    weft_shielded
    {
        CHECK_EQ(weft_cancel(sleeper), 0);
        CHECK_EQ(weft_join(sleeper, &result), 0);
        CHECK_EQ(result, -ECANCELED);
    }
    return status;
}

/* Waits for its children; the cancel reaches them through the scope. */
static int storm_scope(void)
{
    struct weft_scope scope;
    weft_task child;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, &child, sleep_for_ever, NULL), 0);
    int status = weft_scope_next(&scope, NULL, NULL);
    CHECK(weft_scope_close(&scope) <= 0);
    return status;
}

static int storm_sleep_once(struct storm *storm, enum sleep_kind kind)
{
    char byte = 0;
    int value = 0;
    ssize_t size = 0;
    int index = 0;
    switch (kind) {
    case RECV:
        return weft_chan_recv(storm->empty, &value);
    case SEND:
        return send_int(storm->full, 1);
    case SELECT:
        index = weft_select(weft_on_recv(storm->empty, &value),
                            weft_on_send(storm->full, &value),
                            weft_on_readable(storm->fds[0]),
                            weft_on_recv(storm->shared, &value),
                            weft_after(WEFT_HOUR));
        return index < 0 ? index : 0;
    case SLEEP:
        return weft_sleep(WEFT_HOUR);
    case JOIN:
        return storm_join();
    case WAIT_FD:
        index = weft_wait_fd(storm->fds[0], WEFT_READABLE);
        return index < 0 ? index : 0;
    case READ:
        size = weft_read(storm->fds[0], &byte, 1);
        return size < 0 ? (int)size : 0;
    case SCOPE:
        return storm_scope();
    case SHARED:
        return weft_chan_recv(storm->shared, &value);
    case KINDS:
        break;
    }
    return -EINVAL;
}

/* Sleeps in one kind of call until that is cancelled. Being woken in between is fine. */
WEFT_TASK(victim, (struct storm *, storm), (enum sleep_kind, kind))
{
    int status = 0;
    while (status == 0) {
        status = storm_sleep_once(storm, kind);
        storm->completed += status == 0;
        if (kind == WAIT_FD || kind == SELECT) {
            int result = weft_yield(); /* readiness does not go away: let the reader have it */
            if (status == 0) status = result;
        }
    }
    return status;
}

static void storm_start(struct storm *storm, int which)
{
    storm->kinds[which] = (enum sleep_kind)(random_next(&storm->random) % KINDS);
    CHECK_EQ(victim_spawn(&storm->victims[which], storm, storm->kinds[which]), 0);
}

static void storm_end(struct storm *storm, int which)
{
    int result = 0;
    CHECK_EQ(weft_cancel(storm->victims[which]), 0);
    CHECK_EQ(weft_join(storm->victims[which], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    storm->cancelled[storm->kinds[which]]++;
}

/* Wakes somebody the ordinary way, so that cancels meet completions. */
static void storm_wake_somebody(struct storm *storm)
{
    int status = 0;
    switch (random_next(&storm->random) % 4) {
    case 0:
        status = try_send_int(storm->empty, 1);
        break;
    case 1:
        status = weft_chan_try_recv(storm->full, NULL);
        break;
    case 2:
        CHECK_EQ(write(storm->fds[1], "x", 1), 1);
        break;
    case 3:
        status = try_send_int(storm->shared, 1);
        break;
    }
    CHECK(status == 0 || status == -EAGAIN);
}

static void storm_check_counters(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.tasks_live, 1);
    CHECK_EQ(stats.tasks_ended, 0);
    CHECK_EQ(stats.tasks_parked, 0);
    CHECK_EQ(stats.timers, 0);
}

REAL_TEST(stress, 05_cancels_hit_every_kind_of_sleep, .timeout = 120)
{
    static struct storm storm = {.random = 5};
    storm.empty = open_ints(0);
    storm.full = open_ints(0);
    storm.shared = open_shared_ints(0);
    harness_socket_pair(storm.fds);
    int64_t end = harness_now_ns() + stress_duration_ns();
    for (int i = 0; i < VICTIMS; i++) {
        storm_start(&storm, i);
    }

    while (harness_now_ns() < end && harness_failures() == 0) {
        int which = (int)(random_next(&storm.random) % VICTIMS);
        storm_wake_somebody(&storm);
        if (random_next(&storm.random) % 2 == 0) CHECK_EQ(weft_yield(), 0);
        storm_end(&storm, which);
        storm_start(&storm, which);
    }

    for (int i = 0; i < VICTIMS; i++) {
        storm_end(&storm, i);
    }
    for (int i = 0; i < KINDS; i++) {
        CHECK(storm.cancelled[i] > 0);
    }
    CHECK(storm.completed > 0);
    CHECK_EQ(weft_close(storm.fds[0]), 0);
    CHECK_EQ(weft_close(storm.fds[1]), 0);
    weft_chan_unref(storm.empty);
    weft_chan_unref(storm.full);
    weft_chan_unref(storm.shared);
    storm_check_counters();
}

/* ---- deadlines moved from other threads ---- */

#define SLOTS  16
#define MOVERS 3

/* The model: what the slot's scope was last told. The worker's only; threads reach it by posts. */
struct slot {
    struct weft_scope scope;
    bool is_open;
    int64_t deadline_ns;
    int64_t sleeps;
};

struct mover {
    struct timers *timers;
    struct weft_post post;
    uint64_t random;
    int64_t moves;
    atomic_bool is_queued;
};

struct timers {
    struct weft_runtime *runtime;
    struct slot slots[SLOTS];
    struct mover movers[MOVERS];
    uint64_t random;
    int64_t end_ns;
    atomic_bool stop;
};

/* Never early, by the last deadline that was set; late only within reason. */
WEFT_TASK(sleep_against_model, (struct timers *, timers), (struct slot *, slot))
{
    while (harness_now_ns() < timers->end_ns && harness_failures() == 0) {
        int64_t timeout = (int64_t)(random_next(&timers->random) % 2000) * WEFT_USEC + 1;
        CHECK_EQ(weft_scope_open(&slot->scope), 0);
        slot->deadline_ns = weft_now() + timeout;
        CHECK_EQ(weft_scope_set_deadline(&slot->scope, slot->deadline_ns), 0);
        slot->is_open = true;
        CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
        slot->is_open = false;
        int64_t late = weft_now() - slot->deadline_ns;
        CHECK_WITHIN(late, 0, 2 * WEFT_SEC);
        CHECK_EQ(weft_scope_close(&slot->scope), -ETIMEDOUT);
        slot->sleeps++;
    }
    return 0;
}

static void move_a_deadline(void *arg)
{
    struct mover *mover = arg;
    struct slot *slot = &mover->timers->slots[random_next(&mover->random) % SLOTS];
    if (slot->is_open) {
        int64_t moved = weft_now() + (int64_t)(random_next(&mover->random) % 3000) * WEFT_USEC;
        int status = weft_scope_set_deadline(&slot->scope, moved);
        CHECK(status == 0 || status == -ETIMEDOUT); /* expired, and its sleeper has not run yet */
        if (status == 0) slot->deadline_ns = moved;
        mover->moves += status == 0;
    }
    /* Release: what was done here is done before the thread posts again. */
    atomic_store_explicit(&mover->is_queued, false, memory_order_release);
}

static void *mover_thread(void *arg)
{
    struct mover *mover = arg;
    while (!atomic_load(&mover->timers->stop)) {
        if (!atomic_load_explicit(&mover->is_queued, memory_order_acquire)) {
            atomic_store_explicit(&mover->is_queued, true, memory_order_relaxed);
            CHECK_EQ(weft_post(mover->timers->runtime, &mover->post), 0);
        }
        sched_yield();
    }
    return NULL;
}

static void run_timers(struct timers *timers)
{
    weft_task tasks[SLOTS];
    pthread_t threads[MOVERS];
    timers->runtime = weft_runtime_current();
    timers->end_ns = harness_now_ns() + stress_duration_ns();
    CHECK_EQ(weft_runtime_ref(timers->runtime), 0);
    for (int i = 0; i < SLOTS; i++) {
        CHECK_EQ(sleep_against_model_spawn(&tasks[i], timers, &timers->slots[i]), 0);
    }
    for (int i = 0; i < MOVERS; i++) {
        struct mover *mover = &timers->movers[i];
        mover->timers = timers;
        mover->random = (uint64_t)i;
        mover->post = (struct weft_post){.fn = move_a_deadline, .arg = mover};
        CHECK_EQ(pthread_create(&threads[i], NULL, mover_thread, mover), 0);
    }
    for (int i = 0; i < SLOTS; i++) {
        CHECK_EQ(weft_join(tasks[i], NULL), 0);
    }
    atomic_store(&timers->stop, true);
    for (int i = 0; i < MOVERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0); /* the last posts run */
    CHECK_EQ(weft_runtime_unref(timers->runtime), 0);
}

REAL_TEST(stress, 07_deadlines_moved_at_random_agree_with_the_model, .timeout = 120)
{
    static struct timers timers = {.random = 7};

    run_timers(&timers);

    for (int i = 0; i < SLOTS; i++) {
        CHECK(timers.slots[i].sleeps > 0);
    }
    for (int i = 0; i < MOVERS; i++) {
        CHECK(timers.movers[i].moves > 0);
    }
    storm_check_counters();
}

/* ---- runtimes that start and end under load ---- */

#define POSTS_MAX 20000
#ifdef __SANITIZE_THREAD__ /* making its record of a stack takes TSan milliseconds */
#define SPAWNS_MAX 50
#else
#define SPAWNS_MAX 5000
#endif

/* One thread's load on whatever runtime is there; what was accepted must have run, exactly once. */
struct loader {
    struct loads *loads;
    struct weft_post *posts;
    int posts_used;
    int64_t accepted;
    int64_t spawned;
};

struct loads {
    pthread_mutex_t lock; /* guards runtime */
    struct weft_runtime *runtime;
    atomic_bool stop;
    atomic_llong ran;
    atomic_llong started;
    struct loader loaders[3];
};

static void count_run(void *arg)
{
    struct loads *loads = arg;
    atomic_fetch_add_explicit(&loads->ran, 1, memory_order_relaxed);
}

static int count_start(void *arg)
{
    struct loads *loads = arg;
    atomic_fetch_add_explicit(&loads->started, 1, memory_order_relaxed);
    (void)!weft_sleep(WEFT_SEC); /* ends with the runtime */
    return 0;
}

static struct weft_runtime *take_runtime(struct loads *loads)
{
    CHECK_EQ(pthread_mutex_lock(&loads->lock), 0);
    struct weft_runtime *runtime = loads->runtime;
    if (runtime) CHECK_EQ(weft_runtime_ref(runtime), 0);
    CHECK_EQ(pthread_mutex_unlock(&loads->lock), 0);
    return runtime;
}

static void *load_runtimes(void *arg)
{
    struct loader *loader = arg;
    while (!atomic_load(&loader->loads->stop)) {
        struct weft_runtime *runtime = take_runtime(loader->loads);
        for (int i = 0; runtime && i < 20 && loader->posts_used < POSTS_MAX; i++) {
            struct weft_post *post = &loader->posts[loader->posts_used++];
            *post = (struct weft_post){.fn = count_run, .arg = loader->loads};
            int status = weft_post(runtime, post);
            CHECK(status == 0 || status == -ESRCH);
            loader->accepted += status == 0;
            if (i > 0 || loader->spawned == SPAWNS_MAX) continue;
            status = weft_runtime_spawn(runtime, NULL, NULL, count_start, loader->loads);
            CHECK(status == 0 || status == -ESRCH);
            loader->spawned += status == 0;
        }
        if (runtime) CHECK_EQ(weft_runtime_unref(runtime), 0);
        sched_yield();
    }
    return NULL;
}

static int short_life(void *arg)
{
    struct loads *loads = arg;
    CHECK_EQ(pthread_mutex_lock(&loads->lock), 0);
    loads->runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(loads->runtime), 0);
    CHECK_EQ(pthread_mutex_unlock(&loads->lock), 0);
    return weft_sleep(200 * WEFT_USEC);
}

static void forget_runtime(struct loads *loads)
{
    CHECK_EQ(pthread_mutex_lock(&loads->lock), 0);
    struct weft_runtime *runtime = loads->runtime;
    loads->runtime = NULL;
    CHECK_EQ(pthread_mutex_unlock(&loads->lock), 0);
    CHECK_EQ(weft_runtime_unref(runtime), 0);
}

WEFT_TEST(stress, 10_runtimes_end_under_load_without_losing_what_they_took, .timeout = 120)
{
    static struct loads loads = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[3];
    int64_t accepted = 0;
    int64_t spawned = 0;
    int64_t end = harness_now_ns() + stress_duration_ns();
    for (int i = 0; i < 3; i++) {
        loads.loaders[i].loads = &loads;
        loads.loaders[i].posts = calloc(POSTS_MAX, sizeof(struct weft_post));
        CHECK_EQ(pthread_create(&threads[i], NULL, load_runtimes, &loads.loaders[i]), 0);
    }

    while (harness_now_ns() < end && harness_failures() == 0) {
        CHECK_EQ(weft_run(NULL, short_life, &loads), 0);
        forget_runtime(&loads);
    }

    atomic_store(&loads.stop, true);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        accepted += loads.loaders[i].accepted;
        spawned += loads.loaders[i].spawned;
        free(loads.loaders[i].posts);
    }
    CHECK_EQ(loads.ran, accepted);
    CHECK_EQ(loads.started, spawned);
    CHECK(accepted > 0);
    CHECK(spawned > 0);
}

/* ---- the soak ---- */

#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MAX ((size_t)256 * 1024 * 1024)
#else
#define GROWTH_MAX ((size_t)1024 * 1024)
#endif

WEFT_TASK(soak_echo, (int, fd))
{
    char byte = 0;
    while (weft_read(fd, &byte, 1) == 1) {
        CHECK_EQ(weft_write(fd, &byte, 1), 1);
    }
    return weft_close(fd);
}

/* A little of everything: a connection, a channel, a select, a time-out, a cancelled scope. */
static void soak_round(int number)
{
    int fds[2];
    char byte = (char)number;
    weft_task server;
    struct weft_chan *chan = open_ints(2);
    struct weft_scope scope;
    harness_socket_pair(fds);
    CHECK_OR_RETURN(fds[0] >= 0, );
    CHECK_EQ(soak_echo_spawn(&server, fds[0]), 0);
    CHECK_EQ(weft_write(fds[1], &byte, 1), 1);
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_MINUTE), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, sleep_for_ever, NULL), 0);
    CHECK_EQ(send_int(chan, number), 0);
    CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_after(WEFT_SEC)), 0);
    weft_with_timeout(number % 16 == 0 ? 10 * WEFT_USEC : 0) {
        CHECK_EQ(weft_chan_recv(chan, NULL), -ETIMEDOUT);
    }
    byte = 0;
    CHECK_EQ(weft_read(fds[1], &byte, 1), 1);
    CHECK_EQ(byte, (char)number);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_join(server, NULL), 0);
    weft_chan_unref(chan);
}

REAL_TEST(stress, 11_a_mixed_load_does_not_grow, .timeout = 1200)
{
    int64_t end = harness_now_ns() + stress_duration_ns();
    int number = 0;
    while (number < 500 || harness_now_ns() < end - stress_duration_ns() * 3 / 4) {
        soak_round(number++);
    }
    size_t before = harness_resident_size();
    int fds = harness_fd_count();

    while (harness_now_ns() < end && harness_failures() == 0) {
        soak_round(number++);
    }

    CHECK_EQ(harness_fd_count(), fds);
    CHECK(harness_resident_size() < before + GROWTH_MAX);
    storm_check_counters();
}
