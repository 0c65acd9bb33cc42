/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: looks at each worker a few times per period, and reports, once per slice, a task
 * that was still in the same slice after a whole period of real time.
 *
 * What it reads the worker writes with plain stores: nothing on the hot path pays for the watchdog.
 * A look may be torn between two slices, and then differs from the next one, which is harmless. A
 * record is never unmapped; of what else belongs to a task only the static spawn site is read.
 */
#include "core/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <weft/time.h>

#include "core/runtime.h"
#include "core/text.h"

enum { LOOKS_PER_PERIOD = 4 };

/* What tells one slice of a worker from the next. */
struct slice {
    const struct task *task; /* NULL: the worker is not in a task */
    uint64_t turn;
    uint64_t slices;
    int slices_left;
};

/* What was seen of one worker. */
struct watched {
    struct slice slice;
    int64_t since_ns; /* it was seen first */
    bool is_reported;
};

struct watchdog {
    struct runtime *runtime;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop_asked; /* its clock is CLOCK_MONOTONIC */
    bool stops;                /* guarded by lock */
    struct watched watched[];  /* one per worker */
};

static void *watch(void *arg);
static struct slice look_at(const struct worker *worker);
static void report(const struct worker *worker, const struct task *task, int64_t held_ns);

int weft__watchdog_open(struct watchdog **ret, struct runtime *runtime)
{
    size_t seen_size = runtime->worker_count * sizeof(struct watched);
    struct watchdog *watchdog = calloc(1, sizeof *watchdog + seen_size);
    if (!watchdog) return -ENOMEM;
    watchdog->runtime = runtime;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these four cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&watchdog->stop_asked, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&watchdog->lock, NULL);

    sigset_t all;
    sigset_t former;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &former); /* signals are the program's business */
    int error = pthread_create(&watchdog->thread, NULL, watch, watchdog);
    (void)pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error != 0) {
        free(watchdog);
        return -error;
    }
    *ret = watchdog;
    return 0;
}

void weft__watchdog_close(struct watchdog *watchdog)
{
    if (!watchdog) return;
    (void)pthread_mutex_lock(&watchdog->lock);
    watchdog->stops = true;
    (void)pthread_cond_signal(&watchdog->stop_asked);
    (void)pthread_mutex_unlock(&watchdog->lock);
    (void)pthread_join(watchdog->thread, NULL);
    (void)pthread_mutex_destroy(&watchdog->lock);
    (void)pthread_cond_destroy(&watchdog->stop_asked);
    free(watchdog);
}

static int64_t real_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail on Linux */
    return now.tv_sec * WEFT_SEC + now.tv_nsec;
}

/* True when the watchdog shall stop. */
static bool sleep_until(struct watchdog *watchdog, int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / WEFT_SEC,
                                .tv_nsec = deadline_ns % WEFT_SEC};
    (void)pthread_mutex_lock(&watchdog->lock);
    int error = 0;
    while (!watchdog->stops && error == 0) {
        error = pthread_cond_timedwait(&watchdog->stop_asked, &watchdog->lock, &deadline);
    }
    bool stops = watchdog->stops;
    (void)pthread_mutex_unlock(&watchdog->lock);
    return stops;
}

static void look(const struct worker *worker, struct watched *watched, int64_t period_ns)
{
    const struct slice *before = &watched->slice;
    struct slice now = look_at(worker);
    int64_t now_ns = real_now();
    bool is_same = now.task == before->task && now.turn == before->turn &&
                   now.slices == before->slices && now.slices_left == before->slices_left;
    if (!is_same) {
        *watched = (struct watched){.slice = now, .since_ns = now_ns};
    } else if (now.task && !watched->is_reported && now_ns - watched->since_ns >= period_ns) {
        watched->is_reported = true;
        report(worker, now.task, now_ns - watched->since_ns);
    }
}

static void *watch(void *arg)
{
    struct watchdog *watchdog = arg;
    const struct runtime *runtime = watchdog->runtime;
    int64_t period_ns = runtime->settings.config.watchdog_ns;
    int64_t step_ns = period_ns / LOOKS_PER_PERIOD + 1;
    while (!sleep_until(watchdog, real_now() + step_ns)) {
        for (unsigned i = 0; i < runtime->worker_count; i++)
            look(runtime->workers[i], &watchdog->watched[i], period_ns);
    }
    return NULL;
}

/* Relaxed loads of what the worker stores plainly; see the head of this file. */
__attribute__((no_sanitize("thread"))) static struct slice look_at(const struct worker *worker)
{
    return (struct slice){
        .task = __atomic_load_n(&worker->current, __ATOMIC_RELAXED),
        .turn = __atomic_load_n(&worker->turn, __ATOMIC_RELAXED),
        .slices = __atomic_load_n(&worker->slices, __ATOMIC_RELAXED),
        .slices_left = __atomic_load_n(&worker->slices_left, __ATOMIC_RELAXED),
    };
}

__attribute__((no_sanitize("thread"))) static void report(const struct worker *worker,
                                                          const struct task *task,
                                                          int64_t held_ns)
{
    struct task *watched = (struct task *)(uintptr_t)task; /* an atomic load wants no const */
    const char *site = __atomic_load_n(&task->site, __ATOMIC_RELAXED);
    char buffer[512];
    struct text text;
    weft__text_open(&text, buffer, sizeof buffer, worker->runtime->settings.config.report_fd);
    weft__text_put(&text, "weft: ");
    if (worker->runtime->has_many) {
        weft__text_put(&text, "worker ");
        weft__text_number(&text, worker->index);
        weft__text_put(&text, ": ");
    }
    weft__text_put(&text, "task ");
    weft__text_number(&text, atomic_load_explicit(&watched->id, memory_order_relaxed));
    weft__text_put(&text, " has held its worker for ");
    weft__text_duration(&text, held_ns);
    weft__text_put(&text, ", spawned at ");
    weft__text_put(&text, site ? site : "an unknown place");
    weft__text_end_line(&text);
    (void)weft__text_close(&text); /* there is no other place to complain */
}
