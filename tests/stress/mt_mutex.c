/* SPDX-License-Identifier: MIT */
/*
 * One mutex between the workers of a runtime and plain threads: exclusion, no lost wake-up, no
 * starvation, deadlines and cancellations in every state (SYNC-01, 07, 30; CANCEL-11).
 *
 * What the mutex guards is plain memory: a missing order is seen by TSan, a missing exclusion by
 * the counts, a missing wake-up by the watchdog.
 *
 * usage: see tests/stress/mt.h
 */
#include "tests/stress/mt.h"

#define CROWD 8

/* A mutex and what it guards. */
struct room {
    struct mt *mt;
    struct weft_mutex mutex;
    int each;
    int64_t inside;
    int64_t entered;
};

struct visitor {
    struct room *room;
    uint64_t random;
    int64_t entered;
};

static void visit(struct visitor *visitor)
{
    struct room *room = visitor->room;
    EXPECT(room->inside++ == 0);
    room->entered++;
    visitor->entered++;
    if (stress_random(&visitor->random) % 8 == 0) mt_delay(&visitor->random);
    EXPECT(--room->inside == 0);
}

static void open_visitors(struct room *room, struct visitor *visitors, int count)
{
    for (int i = 0; i < count; i++) {
        visitors[i] = (struct visitor){.room = room, .random = mt_seed(room->mt)};
    }
}

/* ---- tasks of several workers ---- */

static int visit_often(void *arg)
{
    struct visitor *visitor = arg;
    struct weft_mutex *mutex = &visitor->room->mutex;
    for (int i = 0; i < visitor->room->each; i++) {
        EXPECT(weft_mutex_lock(mutex) == 0);
        visit(visitor);
        EXPECT(weft_mutex_unlock(mutex) == 0);
        if (i % 16 == 0) mt_delay(&visitor->random);
    }
    return 0;
}

static int crowd_root(void *arg)
{
    struct room *room = arg;
    struct visitor visitors[CROWD];
    open_visitors(room, visitors, CROWD);
    EXPECT(mt_each(visit_often, visitors, CROWD, sizeof *visitors) == 0);
    return 0;
}

static void run_crowd(struct mt *mt)
{
    struct room room = {.mt = mt, .each = mt_scale(mt, 20000)};
    mt_run(mt, crowd_root, &room);
    EXPECT(room.entered == (int64_t)CROWD * room.each);
    EXPECT(weft_mutex_close(&room.mutex) == 0);
}

/* ---- many mutexes that become shared while their owner uses them ---- */

static int share_root(void *arg)
{
    struct room *room = arg;
    struct visitor visitors[CROWD];
    room->mutex = (struct weft_mutex)WEFT_MUTEX_INIT;
    EXPECT(weft_mutex_lock(&room->mutex) == 0); /* private to this worker from here on */
    EXPECT(weft_mutex_unlock(&room->mutex) == 0);
    open_visitors(room, visitors, CROWD);
    EXPECT(mt_each(visit_often, visitors, CROWD, sizeof *visitors) == 0);
    return 0;
}

static void run_share(struct mt *mt)
{
    for (int i = mt_scale(mt, 200); i > 0; i--) {
        struct room room = {.mt = mt, .each = 20};
        mt_run(mt, share_root, &room);
        EXPECT(room.entered == (int64_t)CROWD * room.each);
    }
}

/* ---- plain threads among them ---- */

static void *visit_as_thread(void *arg)
{
    struct visitor *visitor = arg;
    struct weft_mutex *mutex = &visitor->room->mutex;
    for (int i = 0; i < visitor->room->each; i++) {
        EXPECT(weft_mutex_lock(mutex) == 0);
        EXPECT(visitor->room->inside++ == 0);
        visitor->room->entered++;
        mt_spin(stress_random(&visitor->random) % 200);
        EXPECT(--visitor->room->inside == 0);
        EXPECT(weft_mutex_unlock(mutex) == 0);
    }
    return NULL;
}

static int threads_root(void *arg)
{
    struct room *room = arg;
    struct visitor visitors[CROWD + 2];
    pthread_t threads[2];
    open_visitors(room, visitors, CROWD + 2);
    for (int i = 0; i < 2; i++) {
        threads[i] = stress_thread(visit_as_thread, &visitors[CROWD + i]);
    }
    EXPECT(mt_each(visit_often, visitors, CROWD, sizeof *visitors) == 0);
    for (int i = 0; i < 2; i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
    }
    return 0;
}

static void run_threads(struct mt *mt)
{
    for (int i = 0; i < 4; i++) {
        struct room room = {.mt = mt, .each = mt_scale(mt, 4000)};
        mt_run(mt, threads_root, &room);
        EXPECT(room.entered == (int64_t)(CROWD + 2) * room.each);
    }
}

/* ---- two runtimes at once ---- */

static int half_root(void *arg)
{
    EXPECT(mt_each(visit_often, arg, CROWD, sizeof(struct visitor)) == 0);
    return 0;
}

static void *run_second(void *arg)
{
    struct visitor *visitors = arg;
    mt_run(visitors->room->mt, half_root, visitors);
    return NULL;
}

static void run_runtimes(struct mt *mt)
{
    for (int i = mt_scale(mt, 20); i > 0; i--) {
        struct room room = {.mt = mt, .each = 200};
        struct visitor visitors[2 * CROWD];
        open_visitors(&room, visitors, 2 * CROWD);
        pthread_t thread = stress_thread(run_second, visitors + CROWD);
        mt_run(mt, half_root, visitors);
        EXPECT(pthread_join(thread, NULL) == 0);
        EXPECT(room.entered == (int64_t)2 * CROWD * room.each);
    }
}

/* ---- deadlines, tries and cancellations ---- */

static int lock_somehow(struct visitor *visitor)
{
    struct weft_mutex *mutex = &visitor->room->mutex;
    unsigned choice = stress_random(&visitor->random) % 4;
    if (choice == 0) return weft_mutex_try_lock(mutex);
    if (choice == 1) return weft_mutex_lock(mutex);
    int64_t timeout = choice == 2 ? 0 : stress_random(&visitor->random) % 50 * WEFT_USEC;
    int result = 1;
    weft_with_timeout(timeout) {
        result = weft_mutex_lock(mutex);
    }
    return result;
}

static int visit_somehow(void *arg)
{
    struct visitor *visitor = arg;
    for (int i = 0; i < visitor->room->each; i++) {
        int result = lock_somehow(visitor);
        EXPECT(result == 0 || result == -EBUSY || result == -ETIMEDOUT || result == -ECANCELED);
        if (result == 0) {
            visit(visitor);
            EXPECT(weft_mutex_unlock(&visitor->room->mutex) == 0);
        } else if (result == -ECANCELED) {
            return 0;
        }
        mt_delay(&visitor->random);
    }
    return 0;
}

static int storm_root(void *arg)
{
    struct room *room = arg;
    struct visitor visitors[2 * CROWD];
    weft_task tasks[2 * CROWD];
    int64_t entered = 0;
    open_visitors(room, visitors, 2 * CROWD);
    for (int i = 0; i < 2 * CROWD; i++) {
        EXPECT(mt_spawn(NULL, &tasks[i], visit_somehow, &visitors[i]) == 0);
    }
    for (int i = 0; i < CROWD; i++) {
        EXPECT(weft_sleep(stress_random(&room->mt->random) % 200 * WEFT_USEC) == 0);
        EXPECT(weft_cancel(tasks[2 * i]) == 0);
    }
    for (int i = 0; i < 2 * CROWD; i++) {
        EXPECT(weft_join(tasks[i], NULL) == 0);
        entered += visitors[i].entered;
    }
    EXPECT(room->entered == entered);
    EXPECT(weft_mutex_try_lock(&room->mutex) == 0);
    EXPECT(weft_mutex_unlock(&room->mutex) == 0);
    return 0;
}

static void run_storm(struct mt *mt)
{
    for (int i = mt_scale(mt, 40); i > 0; i--) {
        struct room room = {.mt = mt, .each = 500};
        mt_run(mt, storm_root, &room);
        EXPECT(weft_mutex_close(&room.mutex) == 0);
    }
}

/* ---- memory that goes with the last unlock ---- */

struct last {
    struct weft_mutex mutex;
    int users;
};

static int use_last(void *arg)
{
    struct last *last = arg;
    EXPECT(weft_mutex_lock(&last->mutex) == 0);
    bool is_last = --last->users == 0;
    EXPECT(weft_mutex_unlock(&last->mutex) == 0);
    if (!is_last) return 0;
    EXPECT(weft_mutex_lock(&last->mutex) == 0);
    EXPECT(weft_mutex_unlock(&last->mutex) == 0);
    EXPECT(weft_mutex_close(&last->mutex) == 0);
    free(last);
    return 0;
}

static int last_root(void *arg)
{
    int rounds = mt_scale(arg, 2000);
    for (int i = 0; i < rounds; i++) {
        struct last *last = calloc(1, sizeof *last);
        if (!last) abort();
        last->users = 4;
        EXPECT(mt_each(use_last, last, 4, 0) == 0);
    }
    return 0;
}

static void run_last(struct mt *mt)
{
    mt_run(mt, last_root, mt);
}

MT_MAIN({"one of several workers is inside", run_crowd, 1},
        {"a mutex becomes shared while it is used", run_share, 2},
        {"threads and tasks take turns", run_threads, 1},
        {"two runtimes share one", run_runtimes, 1},
        {"deadlines and cancellations leak nothing", run_storm, 1},
        {"the last one out frees the memory", run_last, 1});
