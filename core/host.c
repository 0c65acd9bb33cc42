/* SPDX-License-Identifier: MIT */
/*
 * Living in a host's loop: the host turns, and each turn of ours is one function call.
 *
 * Between turns the thread belongs to the host: no worker is set, and the worker counts as asleep,
 * so that posts wake the host's loop. A turn ends as a sleep begins in core/idle.c: first
 * is_asleep, then a look at the inbox, and only then the request for the next turn.
 */
#include "core/host.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <weft/host.h>

#include "core/idle.h"
#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/steal.h"
#include "core/time.h"

enum {
    RUNTIMES_MAX = 64,  /* that are looked at when the process exits */
    AT_ONCE = 0,        /* as a deadline: long past on any monotonic clock */
    LATER_NS = 1000000, /* when the host turns its loop inside a task: the next try */
    NS_PER_MS = 1000000,
};

/* What is attached to this thread, the latest first. */
static _Thread_local struct runtime *attached;

static pthread_once_t ends_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end; /* of threads that have attached something */
static bool has_thread_end;      /* else, without memory, nobody is told; so too at exit */

static void watch_ends(void);
static void turn(struct weft_host *hook);
static void pass(struct runtime *runtime);
static void settle(struct runtime *runtime, bool was_quiet);
static int64_t next_turn(struct runtime *runtime, bool was_quiet);
static int move_home(struct worker *worker);

/* ---- attach and detach ---- */

int weft_attach(struct weft_runtime **ret, const struct weft_config *config, void *native)
{
    if (!ret) return -EINVAL;
    weft__fork_watch();
    if (weft__is_forked()) return -EOWNERDEAD;
    if (weft__worker()) return -EPERM;
    if (native && !weft__backend.attach) return -ENOTSUP;

    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) return -ENOMEM;
    runtime->host = (struct host){
        .hook = {.turn = turn},
        .thread = pthread_self(),
        .native = native,
        .wanted_ns = INT64_MAX,
        .is_hosted = true,
        .is_attached = true,
    };
    int result = weft__runtime_open(runtime, config);
    if (result < 0) {
        free(runtime);
        return result;
    }
    (void)pthread_once(&ends_once, watch_ends);
    if (has_thread_end) (void)pthread_setspecific(thread_end, runtime);
    runtime->host.next = attached;
    attached = runtime;
    *ret = runtime->handle;
    return 0;
}

int weft__host_open_loop(struct runtime *runtime, void *state)
{
    struct host *host = &runtime->host;
    if (host->native) return weft__backend.attach(state, host->native, &host->hook);

    int result = weft__backend.open(state);
    if (result < 0 || !host->is_hosted) return result;
    int fd = weft__backend.native_fd(state);
    if (fd >= 0) return 0;
    weft__backend.close(state);
    return fd == -ENOSYS ? -ENOTSUP : fd;
}

/* The runtime of a call from the host: attached by this thread, which is in no task. */
static int find(struct weft_runtime *handle, struct runtime **ret)
{
    if (!handle) return -EINVAL;
    if (weft__is_forked()) return -EOWNERDEAD;
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return -ESRCH;
    bool is_here = weft__host_is_here(runtime);
    weft__runtime_leave(handle); /* if it is here, only this thread can end it */
    if (!is_here || weft__worker()) return -EPERM;
    *ret = runtime;
    return 0;
}

/* From the host's code into the runtime's; the thread's words may differ from turn to turn. */
static void enter(struct worker *worker)
{
    weft__worker_take_thread(worker);
    weft__worker_set(worker);
    /* relaxed: a wake-up more than needed does no harm */
    atomic_store_explicit(&worker->is_asleep, false, memory_order_relaxed);
}

int weft_detach_loop(struct weft_runtime *handle)
{
    struct runtime *runtime = NULL;
    int result = find(handle, &runtime);
    if (result < 0) return result;
    struct worker *worker = &runtime->worker;
    if (runtime->host.native) result = move_home(worker);
    if (result < 0) return result;

    struct runtime **link = &attached;
    while (*link != runtime)
        link = &(*link)->host.next;
    *link = runtime->host.next;
    runtime->host.is_attached = false;

    enter(worker);
    weft__report_outliving(runtime);
    weft__worker_loop(worker); /* without a root it cancels everything, and joins */
    bool has_survivors = false;
    result = weft__runtime_end(runtime, &has_survivors);
    weft__worker_set(NULL);
    if (!has_survivors) free(runtime);
    return result;
}

/* Out of the host's loop, into one of its own; on failure nothing has changed. */
static int move_home(struct worker *worker)
{
    void *home = calloc(1, weft__backend.state_size);
    if (!home) return -ENOMEM;
    int result = weft__backend.open(home);
    if (result < 0) {
        free(home);
        return result;
    }
    /* seq_cst, both: a waker that comes in later finds the worker awake; pairs with
     * weft__inbox_push() */
    atomic_store_explicit(&worker->is_asleep, false, memory_order_seq_cst);
    while (atomic_load_explicit(&worker->wakers, memory_order_seq_cst) > 0)
        (void)sched_yield();
    weft__backend.close(worker->backend_state);
    free(worker->backend_state);
    worker->backend_state = home;
    weft__fds_move(worker);
    return 0;
}

/* A thread ends with something attached, which nobody will turn any more: from now on it has ended
 * for everybody else. Its memory stays, because tasks point into it. */
static void on_thread_end(void *latest)
{
    (void)latest;
    if (weft__is_forked()) return;
    for (; attached; attached = attached->host.next) {
        /* acq_rel: as at any other end; entrants get out by themselves */
        atomic_fetch_and_explicit(
            &attached->handle->gate, ~(uintptr_t)GATE_OPEN, memory_order_acq_rel);
        weft__report_attached(attached);
    }
}

/* The process exits: the same for those who asked for reports of leaks. */
static void on_exit_of_process(void)
{
    if (weft__is_forked()) return;
    struct weft_runtime *handles[RUNTIMES_MAX];
    size_t count = weft__runtimes_hold(handles, RUNTIMES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct runtime *runtime = weft__runtime_enter(handles[i]);
        if (runtime) {
            if (runtime->host.is_hosted) weft__report_attached(runtime);
            weft__runtime_leave(handles[i]);
        }
        (void)weft_runtime_unref(handles[i]); /* held until here */
    }
}

static void watch_ends(void)
{
    (void)atexit(on_exit_of_process);
    has_thread_end = pthread_key_create(&thread_end, on_thread_end) == 0;
}

/* ---- turns ---- */

static void turn(struct weft_host *hook)
{
    struct runtime *runtime = container_of(hook, struct runtime, host.hook);
    if (weft__is_forked()) return; /* schedule() might touch what is the parent's */
    if (weft__worker()) { /* a task turns the loop, which it must not: nothing is lost at least */
        void *state = runtime->worker.backend_state;
        weft__backend.schedule(state, weft__backend.now_ns(state) + LATER_NS);
        return;
    }
    pass(runtime);
}

static void pass(struct runtime *runtime)
{
    struct worker *worker = &runtime->worker;
    int saved_errno = errno;
    enter(worker);
    int64_t quiet_until_ns = runtime->host.quiet_until_ns;
    bool is_late =
        quiet_until_ns > 0 && weft__backend.now_ns(worker->backend_state) >= quiet_until_ns;
    core_enter(worker);
    weft__worker_turn(worker, 0);
    bool is_idle = ready_is_empty(&worker->ready);
    if (!is_idle && runtime->has_many) weft__steal_hand_on(worker); /* somebody else shall watch */
    if (!is_idle) weft__run_ready(worker);
    core_leave(worker);
    settle(runtime, is_idle && is_late);
    errno = saved_errno;
}

/* Gives the thread back to the host, and asks for the next turn. */
static void settle(struct runtime *runtime, bool was_quiet)
{
    struct worker *worker = &runtime->worker;
    int64_t wanted_ns = next_turn(runtime, was_quiet);
    weft__worker_set(NULL);
    /* seq_cst, both: pairs with weft__inbox_push() */
    atomic_store_explicit(&worker->is_asleep, true, memory_order_seq_cst);
    if (atomic_load_explicit(&worker->inbox, memory_order_seq_cst) != 0) wanted_ns = AT_ONCE;
    runtime->host.wanted_ns = wanted_ns;
    if (runtime->host.native) weft__backend.schedule(worker->backend_state, wanted_ns);
}

/* The next deadline, or, for one that watches, its next look. */
static int64_t next_of(struct worker *worker, int64_t timeout_ns)
{
    int64_t next_ns = weft__timers_next(&worker->timers);
    if (!worker->runtime->has_many) return next_ns;
    int64_t end_ns = time_after(weft__backend.now_ns(worker->backend_state), timeout_ns);
    return end_ns < next_ns ? end_ns : next_ns;
}

static int64_t next_turn(struct runtime *runtime, bool was_quiet)
{
    struct worker *worker = &runtime->worker;
    runtime->host.quiet_until_ns = 0;
    if (!ready_is_empty(&worker->ready)) return AT_ONCE;
    core_enter(worker); /* it may take over a chunk, or drop a task */
    int64_t timeout_ns = weft__idle_timeout(worker);
    core_leave(worker);
    if (timeout_ns == 0) return AT_ONCE;

    weft__idle_trim(worker, timeout_ns);
    if (timeout_ns == WEFT_POLL_FOREVER) {
        /* Nobody waits for those that are armed still, and they would keep the loop alive. */
        bool is_idle = worker->fd_waiters == 0 && worker->fd_armed > 0;
        if (is_idle && runtime->host.native) weft__fds_rest(worker);
        return INT64_MAX;
    }
    if (!runtime->settings.is_virtual) return next_of(worker, timeout_ns);
    if (was_quiet) {
        weft__idle_jump(worker);
        return AT_ONCE;
    }
    int64_t now_ns = weft__backend.now_ns(worker->backend_state);
    runtime->host.quiet_until_ns = time_after(now_ns, timeout_ns);
    return runtime->host.quiet_until_ns;
}

void weft__host_rouse(struct runtime *runtime)
{
    if (runtime->host.wanted_ns == AT_ONCE || ready_is_empty(&runtime->worker.ready)) return;
    runtime->host.wanted_ns = AT_ONCE;
    if (runtime->host.native) weft__backend.schedule(runtime->worker.backend_state, AT_ONCE);
}

/* ---- what the host calls ---- */

int weft_host_call(struct weft_runtime *handle, void (*fn)(void *arg), void *arg)
{
    if (!fn) return -EINVAL;
    struct runtime *runtime = NULL;
    int result = find(handle, &runtime);
    if (result < 0) return result;
    enter(&runtime->worker);
    fn(arg);
    settle(runtime, false);
    return 0;
}

int weft_host_fd(struct weft_runtime *handle)
{
    struct runtime *runtime = NULL;
    int result = find(handle, &runtime);
    if (result < 0) return result;
    if (runtime->host.native) return -ENOTSUP;
    return weft__backend.native_fd(runtime->worker.backend_state);
}

int64_t weft_host_timeout(struct weft_runtime *handle)
{
    struct runtime *runtime = NULL;
    if (find(handle, &runtime) < 0 || runtime->host.native) return WEFT_FOREVER;
    struct worker *worker = &runtime->worker;
    /* relaxed: what is posted later makes the descriptor readable */
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0) return 0;
    if (runtime->host.wanted_ns == INT64_MAX) return WEFT_FOREVER;
    int64_t left_ns = runtime->host.wanted_ns - weft__backend.now_ns(worker->backend_state);
    return left_ns > 0 ? left_ns : 0;
}

int weft_host_timeout_ms(struct weft_runtime *handle)
{
    int64_t timeout_ns = weft_host_timeout(handle);
    if (timeout_ns == WEFT_FOREVER) return -1;
    int64_t timeout_ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
}

int weft_host_is_alive(struct weft_runtime *handle)
{
    struct runtime *runtime = NULL;
    if (find(handle, &runtime) < 0 || runtime->host.native) return 0;
    return runtime->worker.fd_waiters > 0 || weft_host_timeout(handle) != WEFT_FOREVER;
}

int weft_host_dispatch(struct weft_runtime *handle)
{
    struct runtime *runtime = NULL;
    int result = find(handle, &runtime);
    if (result < 0) return result;
    if (runtime->host.native) return -ENOTSUP;
    pass(runtime);
    return 0;
}

/* ---- what the core asks ---- */

struct runtime *weft__host_current(void)
{
    return attached;
}

bool weft__host_is_here(const struct runtime *runtime)
{
    const struct host *host = &runtime->host;
    return host->is_hosted && pthread_equal(host->thread, pthread_self()) && host->is_attached;
}

void weft__host_visit(void (*visit)(struct runtime *runtime, void *arg), void *arg)
{
    for (struct runtime *runtime = attached; runtime; runtime = runtime->host.next) {
        visit(runtime, arg);
    }
}

void weft__hosts_after_fork(void)
{
    for (struct runtime *runtime = attached; runtime; runtime = runtime->host.next) {
        weft__backend.after_fork(runtime->worker.backend_state);
        /* relaxed: the child has one thread; its copies of the handles say -ESRCH from now on */
        atomic_store_explicit(&runtime->handle->gate, 0, memory_order_relaxed);
    }
    attached = NULL;
}
