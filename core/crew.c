/* SPDX-License-Identifier: MIT */
/*
 * The workers of a runtime together: threads, and the decisions that need all of them at rest.
 *
 * A worker that has nothing to do rests: between weft__crew_rest() and weft__crew_rise() it touches
 * nothing but its backend and its inbox. When all rest and no inbox holds anything, nobody but
 * other threads, timers and descriptors can change anything: the last one to rest, under the lock,
 * sees a state that stands still, and decides that the runtime has finished, is deadlocked, or that
 * the virtual clock jumps.
 */
#include "core/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/idle.h"
#include "core/overflow.h"
#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/steal.h"
#include "core/time.h"

enum { LAST_CHANCE_S = 1 }; /* for a thread to end, after all grace */

static int start(struct runtime *runtime, struct worker *worker);
static void *run(void *arg);
static void let_run(struct crew *crew);
static bool is_at_rest(const struct runtime *runtime);
static int64_t decide(struct worker *worker, int64_t timeout_ns);

/* ---- threads ---- */

int weft__crew_open(struct runtime *runtime)
{
    struct crew *crew = &runtime->crew;
    crew->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (!runtime->has_many) return 0;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail in glibc */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&crew->moved, &attributes);
    int result = weft__share_open();
    for (unsigned i = 1; i < runtime->worker_count && result == 0; i++) {
        struct worker *worker = calloc(1, sizeof *worker);
        if (!worker) {
            result = -ENOMEM;
            break;
        }
        worker->index = i;
        worker->runtime = runtime;
        runtime->workers[i] = worker;
        result = start(runtime, worker);
        if (result == 0) continue;
        free(worker);
        runtime->workers[i] = NULL;
    }
    if (result < 0) {
        weft__crew_stop(runtime);
        weft__crew_close(runtime);
    } else {
        let_run(crew);
    }
    return result;
}

/* The threads look at each other's workers, so all must be there before the first one does. */
static void let_run(struct crew *crew)
{
    (void)pthread_mutex_lock(&crew->lock);
    crew->is_complete = true;
    (void)pthread_cond_broadcast(&crew->moved);
    (void)pthread_mutex_unlock(&crew->lock);
}

/* All signals are for the threads of the program, but for those that a fault raises: blocked, they
 * would kill without a word. */
static void block_signals(sigset_t *ret_former)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t others;
    (void)sigfillset(&others); /* these cannot fail */
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigdelset(&others, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &others, ret_former);
}

static int start(struct runtime *runtime, struct worker *worker)
{
    struct crew *crew = &runtime->crew;
    sigset_t former;
    block_signals(&former);
    crew->open_result = 1;
    int result = -pthread_create(&worker->thread, NULL, run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (result < 0) return result;

    (void)pthread_mutex_lock(&crew->lock);
    while (crew->open_result > 0)
        (void)pthread_cond_wait(&crew->moved, &crew->lock);
    result = crew->open_result;
    (void)pthread_mutex_unlock(&crew->lock);
    if (result < 0) (void)pthread_join(worker->thread, NULL);
    return result;
}

static int open_worker(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    weft__worker_set(worker);
    int result = weft__worker_open(worker, runtime);
    if (result < 0) return result;
    if (runtime->settings.config.flags & WEFT_OVERFLOW_OFF) return 0;
    bool force = runtime->settings.config.flags & WEFT_OVERFLOW_FORCE;
    result = weft__overflow_acquire(&worker->stacks, force);
    if (result < 0) weft__worker_close(worker);
    return result;
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    struct runtime *runtime = worker->runtime;
    struct crew *crew = &runtime->crew;
    worker->tid = gettid();
    int result = open_worker(worker);
    if (result == 0 && runtime->settings.config.dump_signal != 0) {
        sigset_t dump; /* the thread's tasks are dumped by the thread */
        (void)sigemptyset(&dump);
        (void)sigaddset(&dump, runtime->settings.config.dump_signal);
        (void)pthread_sigmask(SIG_UNBLOCK, &dump, NULL);
    }
    (void)pthread_mutex_lock(&crew->lock);
    crew->open_result = result;
    (void)pthread_cond_broadcast(&crew->moved);
    while (result == 0 && !crew->is_complete)
        (void)pthread_cond_wait(&crew->moved, &crew->lock);
    (void)pthread_mutex_unlock(&crew->lock);
    if (result < 0) return NULL;

    weft__worker_loop(worker);
    core_leave(worker);
    weft__report_part(worker);
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        weft__overflow_release(&worker->stacks);
    }
    (void)pthread_mutex_lock(&crew->lock);
    worker->has_ended = true;
    crew->ended++;
    (void)pthread_cond_broadcast(&crew->moved);
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* Until `count` threads have ended, or their last chance is over. */
static void await_ends(struct crew *crew, unsigned count)
{
    struct timespec limit;
    (void)clock_gettime(CLOCK_MONOTONIC, &limit); /* cannot fail */
    limit.tv_sec += LAST_CHANCE_S;
    int result = 0;
    (void)pthread_mutex_lock(&crew->lock);
    while (crew->ended < count && result == 0)
        result = pthread_cond_timedwait(&crew->moved, &crew->lock, &limit);
    (void)pthread_mutex_unlock(&crew->lock);
}

/* One that has not ended is held by a task, and lost. */
static void take_thread(struct worker *worker)
{
    struct crew *crew = &worker->runtime->crew;
    (void)pthread_mutex_lock(&crew->lock);
    bool has_ended = worker->has_ended;
    (void)pthread_mutex_unlock(&crew->lock);
    if (has_ended) {
        (void)pthread_join(worker->thread, NULL);
        return;
    }
    (void)pthread_detach(worker->thread);
    crew->has_lost_thread = true;
}

void weft__crew_stop(struct runtime *runtime)
{
    if (!runtime->has_many) return;
    /* release: pairs with the look in the workers' loops */
    atomic_store_explicit(&runtime->crew.is_stopping, true, memory_order_release);
    let_run(&runtime->crew); /* those that wait for the rest to start */
    unsigned count = 0;
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        if (!runtime->workers[i]) continue;
        weft__crew_rouse(runtime->workers[i]);
        count++;
    }
    await_ends(&runtime->crew, count);
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        if (runtime->workers[i]) take_thread(runtime->workers[i]);
    }
}

void weft__crew_close(struct runtime *runtime)
{
    if (!runtime->has_many || runtime->crew.has_lost_thread) return;
    bool has_survivors = weft__runtime_live(runtime) > 0; /* they point into their workers */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (runtime->workers[i]) weft__stacks_part(&runtime->workers[i]->stacks);
    }
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        struct worker *worker = runtime->workers[i];
        if (!worker) continue;
        weft__worker_close(worker);
        if (!has_survivors) free(worker);
    }
}

void weft__crew_rouse(struct worker *worker)
{
    weft__backend.wake(worker->backend_state);
}

/* ---- rest ---- */

/* Under the lock. */
static void end_rest(struct worker *worker)
{
    /* seq_cst, both: before the look at what is public; pairs with call_watcher() */
    atomic_store_explicit(&worker->is_resting, false, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&worker->runtime->crew.resting, 1, memory_order_seq_cst);
}

int64_t weft__crew_rest(struct worker *worker, int64_t timeout_ns)
{
    struct runtime *runtime = worker->runtime;
    struct crew *crew = &runtime->crew;
    worker->has_rested = true;
    (void)pthread_mutex_lock(&crew->lock);
    atomic_store_explicit(&worker->is_resting, true, memory_order_relaxed);
    /* seq_cst: before the look at what is public; see weft__steal_must_watch() */
    atomic_fetch_add_explicit(&crew->resting, 1, memory_order_seq_cst);
    crew->rests++;
    if (is_at_rest(runtime)) timeout_ns = decide(worker, timeout_ns);
    /* What it has decided on may have given it work that no inbox shows. */
    if (timeout_ns == 0) end_rest(worker);
    if (weft__steal_must_watch(worker) && timeout_ns > WEFT__WATCH_NS) {
        timeout_ns = WEFT__WATCH_NS;
    }
    worker->rest_number = crew->rests;
    (void)pthread_mutex_unlock(&crew->lock);
    return timeout_ns;
}

static unsigned count_resting(const struct runtime *runtime)
{
    return atomic_load_explicit(&runtime->crew.resting, memory_order_relaxed);
}

/* Under the lock. All rest, and nothing is on its way between them. */
static bool is_at_rest(const struct runtime *runtime)
{
    if (count_resting(runtime) < runtime->worker_count) return false;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        const struct worker *worker = runtime->workers[i];
        /* acquire: as a look at all that the inbox's fillers did before */
        if (atomic_load_explicit(&worker->inbox, memory_order_acquire) != 0) return false;
    }
    return true;
}

static void rouse_other(struct worker *self, struct worker *other)
{
    if (other != self) weft__crew_rouse(other);
}

/* Moves every worker's clock to the earliest deadline, and wakes those whose it is. */
static int64_t jump(struct worker *self, int64_t next_ns)
{
    struct runtime *runtime = self->runtime;
    int64_t delta_ns = next_ns - weft__worker_now(self);
    if (delta_ns < 0) delta_ns = 0;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct worker *worker = runtime->workers[i];
        worker->clock_offset_ns += delta_ns;
        if (weft__idle_next(worker) <= next_ns) rouse_other(self, worker);
    }
    return weft__idle_next(self) <= next_ns ? 0 : WEFT_POLL_FOREVER;
}

static int64_t next_deadline(struct runtime *runtime)
{
    int64_t next_ns = weft__idle_next(&runtime->worker);
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        int64_t other_ns = weft__idle_next(runtime->workers[i]);
        if (other_ns < next_ns) next_ns = other_ns;
    }
    return next_ns;
}

/* One with tasks that found no stack; NULL: none. */
static struct worker *find_starved(const struct runtime *runtime)
{
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (runtime->workers[i]->starved) return runtime->workers[i];
    }
    return NULL;
}

/* Under the lock, at rest. With a virtual clock and something that may wake a task, time jumps
 * after a sleep in which nothing did. */
static int64_t decide(struct worker *worker, int64_t timeout_ns)
{
    struct runtime *runtime = worker->runtime;
    bool is_attached = runtime->host.is_attached;
    if (!runtime->root && !is_attached && weft__runtime_live(runtime) == 0) {
        atomic_store_explicit(&runtime->crew.is_finished, true, memory_order_relaxed);
        rouse_other(worker, &runtime->worker);
        return worker->index == 0 ? 0 : WEFT_POLL_FOREVER;
    }
    int64_t next_ns = next_deadline(runtime);
    bool can_be_woken = weft__idle_can_be_woken(runtime);
    if (next_ns == WEFT_FOREVER) {
        if (can_be_woken || is_attached) return timeout_ns;
        /* Again: who gave its reference back has posted before. */
        if (!is_at_rest(runtime)) return timeout_ns;
        struct worker *starved = find_starved(runtime);
        if (starved) {
            starved->must_drop = true;
            rouse_other(worker, starved);
            return starved == worker ? 0 : timeout_ns;
        }
        weft__idle_stuck(worker);
        for (unsigned i = 0; i < runtime->worker_count; i++)
            rouse_other(worker, runtime->workers[i]);
        return 0;
    }
    if (!runtime->settings.is_virtual) return timeout_ns;
    return can_be_woken ? WEFT__IDLE_QUIET : jump(worker, next_ns);
}

void weft__crew_rise(struct worker *worker, bool is_quiet)
{
    struct runtime *runtime = worker->runtime;
    struct crew *crew = &runtime->crew;
    (void)pthread_mutex_lock(&crew->lock);
    bool nobody_moved = crew->rests == worker->rest_number && is_at_rest(runtime);
    if (is_quiet && nobody_moved && runtime->settings.is_virtual) {
        int64_t next_ns = next_deadline(runtime);
        if (next_ns != WEFT_FOREVER) (void)jump(worker, next_ns);
    }
    if (atomic_load_explicit(&worker->is_resting, memory_order_relaxed)) end_rest(worker);
    (void)pthread_mutex_unlock(&crew->lock);
}
