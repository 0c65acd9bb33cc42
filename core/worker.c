/* SPDX-License-Identifier: MIT */
/*
 * The worker's loop: poll, deliver, expire, run what is ready; and how it starts and ends.
 *
 * The loop runs on the thread's own stack; tasks run in weft__run_ready(). Within one turn the
 * order is fixed on every backend: descriptors, wake-ups from other threads, timers.
 */
#include "core/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/chan_shared.h"
#include "core/close.h"
#include "core/fdtable.h"
#include "core/idle.h"
#include "core/migrate.h"
#include "core/overflow.h"
#include "core/park.h"
#include "core/post.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/select.h"
#include "core/share.h"
#include "core/steal.h"
#include "core/time.h"

enum { EVENTS_PER_POLL = 2048 }; /* 32 KiB of the thread's stack */

_Thread_local struct worker *weft__tls_worker __attribute__((tls_model("initial-exec"), used));

static bool shall_poll(const struct worker *worker, int64_t timeout_ns);
static void expire_timers(struct worker *worker);
static bool loop_is_over(struct worker *worker);

void weft__worker_set(struct worker *worker)
{
    weft__tls_worker = worker;
}

#if !defined(__x86_64__) || defined(WEFT__PORTABLE_TLS)
__attribute__((noinline)) struct worker *weft__worker(void)
{
    __asm__ volatile(""); /* keeps the call, so that no address is reused over a switch */
    return weft__tls_worker;
}
#endif

/* Weak: only there if the process has a C++ runtime. Itanium C++ ABI, 2.2.2. */
extern struct cxa_globals *cxa_get_globals(void) __asm__("__cxa_get_globals") __attribute__((weak));

void weft__worker_take_thread(struct worker *worker)
{
    worker->errno_location = &errno;
    worker->cxa = cxa_get_globals ? cxa_get_globals() : NULL;
    if (worker->cxa) worker->own_cxa = *worker->cxa;
}

int weft__worker_open(struct worker *worker, struct runtime *runtime)
{
    const struct settings *settings = &runtime->settings;
    worker->runtime = runtime;
    worker->refresh_post = (struct weft_post){.fn = weft__runtime_refresh, .arg = worker};
    worker->publish_post = (struct weft_post){.fn = weft__publish_more, .arg = worker};
    weft__worker_take_thread(worker);
    weft__worker_set_newborn(worker);
    /* relaxed: nobody knows it yet. In a host's loop it counts as asleep until its first turn. */
    atomic_init(&worker->is_asleep, worker->index == 0 && runtime->host.is_hosted);
    worker->random.state = settings->config.seed + worker->index;
    worker->ready.shuffle.state = settings->shuffle_seed + worker->index;
    worker->ready.is_shuffled = settings->shuffle_seed != 0;
    worker->slices_left = worker->ready.is_shuffled ? 0 : READY_CLOCK_PERIOD;
    weft__records_open(&worker->records, NULL);
    weft__fds_open(&worker->fds);

    int result = weft__ready_open(&worker->ready);
    if (result < 0) return result;
    result =
        weft__stacks_open(&worker->stacks, settings->config.stack_size, settings->guards_required);
    if (result < 0) goto close_ready;
    result = -ENOMEM;
    worker->backend_state = calloc(1, weft__backend.state_size);
    if (!worker->backend_state) goto close_stacks;
    result = worker->index == 0 ? weft__host_open_loop(runtime, worker->backend_state)
                                : weft__backend.open(worker->backend_state);
    if (result < 0) goto free_state;

    weft__timers_open(&worker->timers, weft__worker_now(worker));
    weft__san_open_thread(&worker->fiber);
    return 0;

free_state:
    free(worker->backend_state);
close_stacks:
    weft__stacks_close(&worker->stacks);
close_ready:
    weft__ready_close(&worker->ready);
    return result;
}

void weft__worker_set_newborn(struct worker *worker)
{
    const struct weft_config *config = &worker->runtime->settings.config;
    bool is_hooked = config->on_task_start || config->on_task_end;
    struct task newborn = {
        .state = TASK_UNSTARTED,
        .flags = is_hooked ? TASK_HOOKED : 0,
        .interrupt = runtime_is_cancelled(worker->runtime) ? -ECANCELED : 0,
    };
    worker->newborn = newborn.condition;
}

void weft__worker_close(struct worker *worker)
{
    weft__backend.close(worker->backend_state);
    free(worker->backend_state);
    weft__stacks_close(&worker->stacks);
    weft__ready_close(&worker->ready);
    weft__records_close(&worker->records);
    weft__fds_close(&worker->fds);
}

/* ---- the loop ---- */

void weft__worker_loop(struct worker *worker)
{
    core_enter(worker);
    while (!loop_is_over(worker)) {
        int64_t timeout_ns = 0;
        if (ready_is_empty(&worker->ready)) timeout_ns = weft__idle_timeout(worker);
        if (timeout_ns == WEFT__IDLE_STUCK) {
            weft__idle_stuck(worker);
            continue;
        }
        weft__worker_turn(worker, timeout_ns);
        if (unlikely(worker->has_rested) && !ready_is_empty(&worker->ready)) {
            weft__steal_hand_on(worker);
        }
        weft__run_ready(worker);
        core_enter(worker);
    }
    core_leave(worker);
}

/* Every task has ended: of several workers the last one to rest finds out. */
static bool is_finished(const struct runtime *runtime)
{
    if (!runtime->has_many) return weft__runtime_live(runtime) == 0;
    return atomic_load_explicit(&runtime->crew.is_finished, memory_order_relaxed);
}

/* The root has ended and every task with it, or their grace is over. Workers that are not the first
 * one wait until they are told. */
static bool loop_is_over(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    if (worker->index > 0) { /* acquire: pairs with weft__crew_stop() */
        return atomic_load_explicit(&runtime->crew.is_stopping, memory_order_acquire);
    }
    if (atomic_load_explicit(&runtime->is_given_up, memory_order_relaxed)) return true;
    if (runtime->root) return false;
    if (is_finished(runtime)) return true;
    if (!runtime->is_over) {
        runtime->is_over = true;
        runtime->grace_end_ns =
            time_after(weft__worker_now(worker), runtime->settings.config.grace_ns);
        weft__runtime_cancel_all(runtime);
    }
    return weft__worker_now(worker) >= runtime->grace_end_ns;
}

void weft__worker_turn(struct worker *worker, int64_t timeout_ns)
{
    worker->turn++;
    if (shall_poll(worker, timeout_ns)) {
        struct weft_event events[EVENTS_PER_POLL];
        int count = weft__idle_poll(worker, timeout_ns, events, EVENTS_PER_POLL);
        if (count > 0) {
            worker->served_slices = worker_slices(worker) + (unsigned)count;
            weft__fds_deliver(worker, events, count);
        }
    }
    weft__inbox_drain(worker);
    worker->turn_start_ns = weft__worker_now(worker);
    expire_timers(worker);
    if (unlikely(worker->runtime->has_many)) {
        stacks_show(&worker->stacks);
        weft__migrate(worker, timeout_ns != 0);
    }
    if (worker->slices_left < READY_CLOCK_PERIOD && !worker->ready.is_shuffled) {
        worker->slices = worker_slices(worker) - 1; /* the last pick found nobody */
    }
    worker->slices_left = worker->ready.is_shuffled ? 0 : READY_CLOCK_PERIOD;
    worker->periods_left = READY_SLICES_PER_TURN / READY_CLOCK_PERIOD;
}

/*
 * Not before as many tasks have run as the last poll found descriptors: most of them would be
 * reported again, at some cost for each, and whom the others wake would stand behind these anyway.
 */
static bool shall_poll(const struct worker *worker, int64_t timeout_ns)
{
    /* tells the host's loop that a wake-up arrived */
    if (worker->index == 0 && worker->runtime->host.is_attached) return true;
    if (worker->fd_armed == 0 && timeout_ns == 0) return false;
    return ready_is_empty(&worker->ready) || worker_slices(worker) >= worker->served_slices;
}

/* Every timer that is due, but for those that are armed meanwhile. */
static void expire_timers(struct worker *worker)
{
    int64_t now_ns = worker->turn_start_ns;
    uint64_t before_sequence = worker->timers.sequence;
    struct timer *timer = NULL;
    while ((timer = weft__timers_pop_due(&worker->timers, now_ns, before_sequence)) != NULL) {
        struct task *task = NULL;
        switch (timer->kind) {
        case TIMER_SCOPE:
            weft__scope_expire(container_of(timer, struct scope, timer));
            break;
        case TIMER_PART:
            weft__part_overdue(container_of(timer, struct task_body, timer)->task);
            break;
        case TIMER_SELECT:
            task = container_of(timer, struct task_body, timer)->task;
            weft__select_timer(task);
            break;
        default:
            task = container_of(timer, struct task_body, timer)->task;
            weft__wake_queued(task, 0);
            break;
        }
    }
}
