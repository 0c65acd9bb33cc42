/* SPDX-License-Identifier: MIT */
/*
 * Starting and ending a runtime, and the handle through which other threads reach it.
 *
 * The handle is counted and outlives the runtime. Its gate word lets any thread or signal handler
 * use the runtime without a lock: it counts itself in while the gate is open; the end shuts the
 * gate and waits until everybody is out.
 */
#include "core/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/chan_shared.h"
#include "core/close.h"
#include "core/idle.h"
#include "core/overflow.h"
#include "core/park.h"
#include "core/post.h"
#include "core/report.h"
#include "core/share.h"

/* The live runtimes of the process, for calls that have only a task's handle. */
static pthread_mutex_t runtimes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct runtime *runtimes;

static int run(const struct weft_config *config, weft_fn root, void *arg, bool *ret_has_survivors);
static void runtime_shut(struct runtime *runtime);
static void runtime_close(struct runtime *runtime);
static int runtime_result(const struct runtime *runtime);

/* ---- run ---- */

int weft_run(const struct weft_config *config, weft_fn root, void *arg)
{
    bool has_survivors = false;
    return run(config, root, arg, &has_survivors);
}

static int run(const struct weft_config *config, weft_fn root, void *arg, bool *ret_has_survivors)
{
    if (!root) return -EINVAL;
    if (weft__worker()) return -EPERM;
    weft__fork_watch();
    if (weft__is_forked()) return -EOWNERDEAD;

    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) return -ENOMEM;
    int result = weft__runtime_open(runtime, config);
    if (result < 0) goto free_runtime;

    struct worker *worker = &runtime->worker;
    weft__worker_set(worker);
    weft_task handle;
    result = weft__spawn(
        worker,
        &(struct spawn_request){.ret = &handle, .fn = root, .arg = arg, .site = "weft_run"});
    if (result == 0) {
        runtime->root = handle.slot;
        runtime->root->flags |= TASK_ROOT | TASK_DETACHED;
        ready_pin_newest(&worker->ready);
        weft__worker_loop(worker);
        result = weft__runtime_end(runtime, ret_has_survivors);
    } else {
        runtime_shut(runtime);
        weft__crew_stop(runtime);
        runtime_close(runtime);
    }
    weft__worker_set(NULL);
    if (*ret_has_survivors) return result;

free_runtime:
    free(runtime);
    return result;
}

static int runtime_result(const struct runtime *runtime)
{
    if (runtime->is_deadlocked) return -EDEADLK;
    if (weft__runtime_live(runtime) > 0 && runtime->root_result == 0) return -EBUSY;
    return runtime->root_result;
}

int weft__runtime_end(struct runtime *runtime, bool *ret_has_survivors)
{
    runtime_shut(runtime);
    weft__crew_stop(runtime);
    int result = runtime_result(runtime);
    bool has_survivors = weft__runtime_live(runtime) > 0 || runtime->crew.has_lost_thread;
    runtime_close(runtime);
    *ret_has_survivors = has_survivors;
    return result;
}

static void free_workers(struct runtime *runtime)
{
    if (runtime->fd_users) weft__fd_users_close(runtime->fd_users);
    free(runtime->fd_users);
    free(runtime->workers);
}

int weft__runtime_open(struct runtime *runtime, const struct weft_config *config)
{
    int result = weft__settings_load(&runtime->settings, config);
    if (result < 0) return result;

    struct weft_runtime *handle = calloc(1, sizeof *handle);
    if (!handle) return -ENOMEM;
    runtime->handle = handle;
    atomic_init(&handle->references, 1);
    handle->runtime = runtime;
    runtime->foreign_lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    weft__records_open(&runtime->foreign_records, &runtime->foreign_lock);

    result = -ENOMEM;
    runtime->worker_count = runtime->settings.config.workers;
    runtime->has_many = runtime->worker_count > 1;
    bool is_unheard_of =
        runtime->has_many && runtime->host.is_hosted && runtime->settings.is_virtual;
    if (is_unheard_of) { /* nobody would know when all workers and the host rest */
        result = -ENOTSUP;
        goto free_handle;
    }
    runtime->workers = calloc(runtime->worker_count, sizeof *runtime->workers);
    if (!runtime->workers) goto free_handle;
    if (runtime->has_many) {
        runtime->fd_users = calloc(1, sizeof *runtime->fd_users);
        if (!runtime->fd_users) goto free_workers;
    }
    runtime->workers[0] = &runtime->worker;
    result = weft__worker_open(&runtime->worker, runtime);
    if (result < 0) goto free_workers;
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        bool force = runtime->settings.config.flags & WEFT_OVERFLOW_FORCE;
        result = weft__overflow_acquire(&runtime->worker.stacks, force);
        if (result < 0) goto close_worker;
    }
    result = weft__crew_open(runtime);
    if (result < 0) goto release_overflow;
    result = weft__report_open(runtime);
    if (result < 0) goto close_crew;

    (void)pthread_mutex_lock(&runtimes_lock);
    runtime->next = runtimes;
    runtimes = runtime;
    (void)pthread_mutex_unlock(&runtimes_lock);
    /* release: who enters sees everything above; pairs with weft__runtime_enter() */
    atomic_store_explicit(&handle->gate, GATE_OPEN, memory_order_release);
    return 0;

close_crew:
    weft__crew_stop(runtime);
    weft__crew_close(runtime);
release_overflow:
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        weft__overflow_release(&runtime->worker.stacks);
    }
close_worker:
    weft__worker_close(&runtime->worker);
free_workers:
    free_workers(runtime);
free_handle:
    (void)pthread_mutex_destroy(&runtime->foreign_lock);
    free(handle);
    return result;
}

/* Every task. Workers but the calling one may be running still, if not. */
static bool has_ended(const struct runtime *runtime)
{
    if (!runtime->has_many) return weft__runtime_live(runtime) == 0;
    return atomic_load_explicit(&runtime->crew.is_finished, memory_order_relaxed);
}

/* Shuts the gate, and lets what came through it before have its effect: a post that was accepted
 * runs, a task that was accepted starts, and sees that it is cancelled. */
static void runtime_shut(struct runtime *runtime)
{
    struct weft_runtime *handle = runtime->handle;
    /* acq_rel: what entrants did is seen here; pairs with weft__runtime_leave() */
    atomic_fetch_and_explicit(&handle->gate, ~(uintptr_t)GATE_OPEN, memory_order_acq_rel);
    while (atomic_load_explicit(&handle->gate, memory_order_acquire) != 0)
        (void)sched_yield();

    bool is_given_up = atomic_load_explicit(&runtime->is_given_up, memory_order_relaxed);
    if (!has_ended(runtime) || is_given_up) return; /* not even those ended */
    atomic_store_explicit(&runtime->crew.is_finished, false, memory_order_relaxed);
    weft__inbox_drain(&runtime->worker);
    weft__worker_loop(&runtime->worker);
}

/* Of tasks that ended unjoined, and of survivors, which are never resumed: their records go. */
static void free_belongings(struct task *task, void *arg)
{
    (void)arg;
    if (task->state == TASK_PARKED) weft__shared_leave(task);
    weft__task_forsake(task);
}

/* Frees everything but the struct itself, and the stacks and records of survivors. */
static void runtime_close(struct runtime *runtime)
{
    struct weft_runtime *handle = runtime->handle;
    (void)pthread_mutex_lock(&runtimes_lock);
    struct runtime **link = &runtimes;
    while (*link != runtime)
        link = &(*link)->next;
    *link = runtime->next;
    (void)pthread_mutex_unlock(&runtimes_lock);

    handle->runtime = NULL;
    for (unsigned i = 0; i < runtime->worker_count; i++)
        weft__inbox_discard(runtime->workers[i]);

    weft__report_leaks(runtime);
    if (weft__runtime_live(runtime) > 0) weft__report_survivors(runtime);
    weft__report_close(runtime);
    weft__runtime_visit(runtime, free_belongings, NULL);
    weft__shared_lock(); /* who has woken the last task there may be on its way out still */
    weft__shared_unlock();
    for (unsigned i = 0; i < runtime->worker_count; i++)
        weft__await_wakers(runtime->workers[i]);
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        weft__overflow_release(&runtime->worker.stacks);
    }
    weft__crew_close(runtime);
    weft__worker_close(&runtime->worker);
    weft__records_close(&runtime->foreign_records);
    if (!runtime->crew.has_lost_thread) free_workers(runtime);
    (void)pthread_mutex_destroy(&runtime->foreign_lock);
    runtime->handle = NULL;
    (void)weft_runtime_unref(handle);
}

int weft_version(void)
{
    return WEFT_VERSION;
}

/* ---- what concerns all tasks ---- */

void weft__runtime_visit(struct runtime *runtime,
                         void (*visit)(struct task *task, void *arg),
                         void *arg)
{
    for (unsigned i = 0; i < runtime->worker_count; i++)
        weft__records_visit(&runtime->workers[i]->records, visit, arg);
    weft__runtime_visit_foreign(runtime, visit, arg);
}

void weft__runtime_visit_foreign(struct runtime *runtime,
                                 void (*visit)(struct task *task, void *arg),
                                 void *arg)
{
    weft__shared_lock(); /* before the other one, as where a task is released */
    (void)pthread_mutex_lock(&runtime->foreign_lock); /* recursive: the visitor may release */
    weft__records_visit(&runtime->foreign_records, visit, arg);
    (void)pthread_mutex_unlock(&runtime->foreign_lock);
    weft__shared_unlock();
}

uint64_t weft__runtime_live(const struct runtime *runtime)
{
    uint64_t live = 0; /* one worker's part may be below zero: where stolen tasks ended */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        const struct worker *worker = runtime->workers[i];
        if (worker) live += worker->tasks_total - worker->tasks_ended;
    }
    return live;
}

static void refresh_live(struct task *task, void *arg)
{
    struct worker *worker = arg;
    if (likely(!is_shared(&task->shared))) {
        if (task->state != TASK_ENDED) weft__scope_refresh(task);
        return;
    }
    weft__shared_lock();
    unsigned remote = atomic_load_explicit(&task->remote, memory_order_relaxed);
    /* one that is on its way looks when it is adopted */
    if (task_id(task) != 0 && !(remote & (REMOTE_ENDED | REMOTE_SPAWN))) {
        if (task->worker == worker) {
            weft__scope_refresh(task);
        } else {
            weft__mail(task, REMOTE_WALK);
        }
    }
    weft__shared_unlock();
}

/* The tasks whose records are this worker's, wherever they run, and those to come. In an
 * operation. */
static void refresh_records(struct worker *worker)
{
    weft__worker_set_newborn(worker);
    weft__records_visit(&worker->records, refresh_live, worker);
    if (worker->index == 0) weft__runtime_visit_foreign(worker->runtime, refresh_live, worker);
}

void weft__runtime_refresh(void *arg)
{
    struct worker *worker = arg;
    core_enter(worker);
    refresh_records(worker);
    core_leave(worker);
}

void weft__runtime_cancel_all(struct runtime *runtime)
{
    struct worker *self = weft__worker();
    atomic_store_explicit(&runtime->is_cancelled, true, memory_order_relaxed);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct worker *worker = runtime->workers[i];
        if (worker == self) {
            refresh_records(worker);
        } else {
            weft__post_to(worker, &worker->refresh_post);
        }
    }
}

/* ---- the handle ---- */

struct runtime *weft__runtime_enter(struct weft_runtime *handle)
{
    /* acquire: pairs with the opening in runtime_open(), and, for who is refused, with the shutting
     * in runtime_shut(): what the tasks did with a descriptor comes before its close by others */
    uintptr_t gate = atomic_load_explicit(&handle->gate, memory_order_acquire);
    do {
        if (!(gate & GATE_OPEN)) return NULL;
    } while (!atomic_compare_exchange_weak_explicit(
        &handle->gate, &gate, gate + GATE_ENTRANT, memory_order_acquire, memory_order_acquire));
    return handle->runtime;
}

void weft__runtime_leave(struct weft_runtime *handle)
{
    /* release: pairs with the wait in runtime_close() */
    atomic_fetch_sub_explicit(&handle->gate, GATE_ENTRANT, memory_order_release);
}

/* Under the list's lock, so that it does not go meanwhile. No worker takes that in an operation. */
void weft__runtimes_wait_for(const struct worker *worker)
{
    (void)weft__share_open(); /* runtimes of one worker have not done it */
    (void)pthread_mutex_lock(&runtimes_lock);
    for (const struct runtime *runtime = runtimes; runtime; runtime = runtime->next) {
        for (unsigned i = 0; i < runtime->worker_count; i++) {
            if (runtime->workers[i] == worker) weft__share_wait(worker);
        }
    }
    (void)pthread_mutex_unlock(&runtimes_lock);
}

struct weft_runtime *weft_runtime_current(void)
{
    const struct worker *worker = weft__worker();
    if (worker) return worker->runtime->handle;
    const struct runtime *attached = weft__host_current();
    return attached && !weft__is_forked() ? attached->handle : NULL;
}

int weft_runtime_ref(struct weft_runtime *handle)
{
    if (!handle) return -EINVAL;
    /* relaxed: the caller has one already, or is inside the runtime */
    atomic_fetch_add_explicit(&handle->references, 1, memory_order_relaxed);
    return 0;
}

int weft_runtime_unref(struct weft_runtime *handle)
{
    if (!handle) return -EINVAL;
    struct runtime *runtime = weft__runtime_enter(handle);
    /* acq_rel: the last one frees after everybody else's use; pairs with itself */
    size_t before = atomic_fetch_sub_explicit(&handle->references, 1, memory_order_acq_rel);
    if (runtime) {
        /* Without this reference its tasks may be deadlocked: let it look, unless a host may wake
         * them. Not from a forked child, which would wake the parent. */
        bool can_deadlock = !runtime->host.is_hosted && !weft__is_forked();
        if (can_deadlock) weft__backend.wake(runtime->worker.backend_state);
        weft__runtime_leave(handle);
    } else if (before == 1) {
        free(handle);
    }
    return 0;
}

static void stop_now(void *arg)
{
    struct worker *worker = weft__worker();
    core_enter(worker);
    weft__runtime_cancel_all(arg);
    core_leave(worker);
}

int weft_runtime_stop(struct weft_runtime *handle)
{
    if (!handle) return -EINVAL;
    if (weft__is_forked()) return -EOWNERDEAD;
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return -ESRCH;
    /* relaxed: only who comes first is asked; the post carries the order */
    if (!atomic_exchange_explicit(&runtime->stop_requested, true, memory_order_relaxed)) {
        runtime->stop_post.fn = stop_now;
        runtime->stop_post.arg = runtime;
        (void)weft_post(handle, &runtime->stop_post);
    }
    weft__runtime_leave(handle);
    return 0;
}

/* A cancel that travels to the task's runtime; freed there. */
struct cancel_request {
    struct weft_post post;
    weft_task task;
};

/* On a worker that the task ran on, or was to run on. It may have been stolen since: then the
 * request follows it. */
static void cancel_there(void *arg)
{
    struct cancel_request *request = arg;
    struct worker *worker = weft__worker();
    core_enter(worker);
    weft__shared_lock();
    struct task *task = task_of_handle(request->task);
    struct worker *there = task ? weft__task_worker(task) : worker;
    bool is_here = there == worker;
    if (is_here && task && !weft__task_has_ended(task)) weft__task_cancel(task);
    if (!is_here) weft__post_to(there, &request->post);
    weft__shared_unlock();
    core_leave(worker);
    if (is_here) free(request);
}

/* Whom to ask: the worker that the task of a live handle runs on, or has run on. With the lock. */
static struct worker *find_worker(struct runtime *runtime, const struct task *task)
{
    const struct record_pool *pool = record_pool(task);
    bool is_here = pool == &runtime->foreign_records;
    for (unsigned i = 0; i < runtime->worker_count && !is_here; i++)
        is_here = pool == &runtime->workers[i]->records;
    return is_here ? weft__task_worker(task) : NULL;
}

static int cancel_in(struct runtime *runtime, struct cancel_request *request)
{
    struct weft_runtime *handle = runtime->handle;
    if (!weft__runtime_enter(handle)) return -ESRCH;
    int result = -ESRCH;
    weft__shared_lock();
    struct task *task = task_of_handle(request->task);
    struct worker *worker = task ? find_worker(runtime, task) : NULL;
    if (worker) {
        weft__post_to(worker, &request->post);
        result = 0;
    }
    weft__shared_unlock();
    weft__runtime_leave(handle);
    return result;
}

int weft__cancel_from_elsewhere(weft_task handle)
{
    struct cancel_request *request = malloc(sizeof *request);
    if (!request) return -ENOMEM;
    *request =
        (struct cancel_request){.post = {.fn = cancel_there, .arg = request}, .task = handle};

    int result = -ESRCH;
    (void)pthread_mutex_lock(&runtimes_lock);
    for (struct runtime *runtime = runtimes; runtime && result < 0; runtime = runtime->next)
        result = cancel_in(runtime, request);
    (void)pthread_mutex_unlock(&runtimes_lock);
    if (result < 0) free(request);
    return result;
}

void weft__runtimes_forget(void)
{
    (void)pthread_mutex_init(&runtimes_lock, NULL); /* its holder does not exist in the child */
    runtimes = NULL;
    weft__reports_forget();
    weft__departures_forget();
    weft__shared_forget();
    weft__records_forget();
}

size_t weft__runtimes_hold(struct weft_runtime **ret, size_t max)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&runtimes_lock);
    for (struct runtime *runtime = runtimes; runtime && count < max; runtime = runtime->next) {
        (void)weft_runtime_ref(runtime->handle); /* it is no NULL */
        ret[count++] = runtime->handle;
    }
    (void)pthread_mutex_unlock(&runtimes_lock);
    return count;
}

unsigned weft_worker_index(void)
{
    const struct worker *worker = weft__worker();
    return worker ? worker->index : 0;
}

unsigned weft_worker_count(void)
{
    const struct worker *worker = weft__worker();
    return worker ? worker->runtime->worker_count : 0;
}

/* ---- the native loop ---- */

const char *weft_backend_name(void)
{
    return weft__backend.name;
}

void *weft_native_loop(void)
{
    struct worker *worker = weft__worker();
    return worker ? weft__backend.native(worker->backend_state) : NULL;
}

int weft_native_fd(void)
{
    struct worker *worker = weft__worker();
    return worker ? weft__backend.native_fd(worker->backend_state) : weft__not_in_task();
}

/* ---- main ---- */

struct main_call {
    int (*app_main)(int argc, char **argv);
    int argc;
    char **argv;
};

static int run_app_main(void *arg)
{
    const struct main_call *call = arg;
    return call->app_main(call->argc, call->argv);
}

int weft_main(int (*app_main)(int argc, char **argv), int argc, char **argv)
{
    struct main_call call = {.app_main = app_main, .argc = argc, .argv = argv};
    bool has_survivors = false;
    int result = run(NULL, run_app_main, &call, &has_survivors);
    int status = result >= 0 && result <= 255 ? result : EXIT_FAILURE;
    if (!has_survivors) return status;

    (void)fflush(NULL); /* survivors may hold anything: no destructors, no atexit */
    _exit(status);
}
