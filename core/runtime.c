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
        weft__worker_loop(worker);
        result = weft__runtime_end(runtime, ret_has_survivors);
    } else {
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
    if (worker_live(&runtime->worker) > 0 && runtime->root_result == 0) return -EBUSY;
    return runtime->root_result;
}

int weft__runtime_end(struct runtime *runtime, bool *ret_has_survivors)
{
    runtime_shut(runtime);
    int result = runtime_result(runtime);
    runtime_close(runtime);
    *ret_has_survivors = worker_live(&runtime->worker) > 0;
    return result;
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

    result = weft__worker_open(&runtime->worker, runtime);
    if (result < 0) goto free_handle;
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        bool force = runtime->settings.config.flags & WEFT_OVERFLOW_FORCE;
        result = weft__overflow_acquire(&runtime->worker.stacks, force);
        if (result < 0) goto close_worker;
    }
    result = weft__report_open(runtime);
    if (result < 0) goto release_overflow;

    (void)pthread_mutex_lock(&runtimes_lock);
    runtime->next = runtimes;
    runtimes = runtime;
    (void)pthread_mutex_unlock(&runtimes_lock);
    /* release: who enters sees everything above; pairs with weft__runtime_enter() */
    atomic_store_explicit(&handle->gate, GATE_OPEN, memory_order_release);
    return 0;

release_overflow:
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        weft__overflow_release(&runtime->worker.stacks);
    }
close_worker:
    weft__worker_close(&runtime->worker);
free_handle:
    (void)pthread_mutex_destroy(&runtime->foreign_lock);
    free(handle);
    return result;
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

    if (worker_live(&runtime->worker) > 0 || runtime->is_given_up)
        return; /* not even those ended */
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

    runtime_shut(runtime); /* again: without a root it is open still */
    handle->runtime = NULL;
    weft__inbox_discard(&runtime->worker);

    weft__report_leaks(runtime);
    if (worker_live(&runtime->worker) > 0) weft__report_survivors(runtime);
    weft__report_close(runtime);
    weft__runtime_visit(runtime, free_belongings, NULL);
    weft__shared_lock(); /* who has woken the last task there may be on its way out still */
    weft__shared_unlock();
    if (!(runtime->settings.config.flags & WEFT_OVERFLOW_OFF)) {
        weft__overflow_release(&runtime->worker.stacks);
    }
    weft__worker_close(&runtime->worker);
    weft__records_close(&runtime->foreign_records);
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
    weft__records_visit(&runtime->worker.records, visit, arg);
    (void)pthread_mutex_lock(&runtime->foreign_lock); /* recursive: the visitor may release */
    weft__records_visit(&runtime->foreign_records, visit, arg);
    (void)pthread_mutex_unlock(&runtime->foreign_lock);
}

static void refresh_live(struct task *task, void *arg)
{
    (void)arg;
    /* Then it looks when it is adopted. Of a task that sleeps the word is other threads'. */
    bool is_on_its_way = task->state == TASK_UNSTARTED && task->remote == REMOTE_SPAWN;
    if (task->state != TASK_ENDED && !is_on_its_way) weft__scope_refresh(task);
}

void weft__runtime_cancel_all(struct runtime *runtime)
{
    runtime->is_cancelled = true;
    weft__runtime_visit(runtime, refresh_live, NULL);
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
    weft__runtime_cancel_all(arg);
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

int weft_runtime_spawn_at(struct weft_runtime *handle,
                          weft_task *ret,
                          const struct weft_spawn_options *options,
                          weft_fn fn,
                          void *arg,
                          const char *site)
{
    if (!handle || !fn) return -EINVAL;
    if (weft__is_forked()) return -EOWNERDEAD;
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return -ESRCH;

    struct spawn_request request = {
        .ret = ret, .options = options, .fn = fn, .arg = arg, .site = site};
    int result = 0;
    if (weft__worker() == &runtime->worker) {
        result = weft__spawn(&runtime->worker, &request);
    } else if (weft__host_is_here(runtime)) {
        result = weft__spawn(&runtime->worker, &request);
        weft__host_rouse(runtime);
    } else {
        struct task *task = NULL;
        (void)pthread_mutex_lock(&runtime->foreign_lock); /* no visitor sees it half made */
        result = weft__task_prepare(&runtime->foreign_records, &request, &task);
        if (result == 0) {
            task->worker = &runtime->worker;
            task->remote = REMOTE_SPAWN;
            if (ret) *ret = task_handle(task);
            weft__inbox_push_task(task);
        }
        (void)pthread_mutex_unlock(&runtime->foreign_lock);
    }
    weft__runtime_leave(handle);
    return result;
}

int(weft_runtime_spawn)(struct weft_runtime *handle,
                        weft_task *ret,
                        const struct weft_spawn_options *options,
                        weft_fn fn,
                        void *arg)
{
    return weft_runtime_spawn_at(handle, ret, options, fn, arg, NULL);
}

/* A cancel that travels to the task's runtime; freed there. */
struct cancel_request {
    struct weft_post post;
    weft_task task;
};

static void cancel_there(void *arg)
{
    struct cancel_request *request = arg;
    struct task *task = task_of_handle(request->task);
    if (task) weft__task_cancel(task);
    free(request);
}

int weft__cancel_from_elsewhere(weft_task handle)
{
    struct cancel_request *request = malloc(sizeof *request);
    if (!request) return -ENOMEM;
    *request =
        (struct cancel_request){.post = {.fn = cancel_there, .arg = request}, .task = handle};

    int result = -ESRCH;
    (void)pthread_mutex_lock(&runtimes_lock);
    for (struct runtime *runtime = runtimes; runtime; runtime = runtime->next) {
        const struct record_pool *pool = record_pool(handle.slot);
        if (pool != &runtime->worker.records && pool != &runtime->foreign_records) continue;
        result = weft_post(runtime->handle, &request->post);
        break;
    }
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
