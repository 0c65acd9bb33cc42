/* SPDX-License-Identifier: MIT */
/*
 * The only place where a *thread* sleeps: the backend's poll(), and all that is decided before it.
 *
 * Lost wake-ups: the worker sets is_asleep and then looks at its inbox; a poster fills the inbox
 * and then looks at is_asleep. Both in sequentially consistent order: one sees the other at least.
 * With weft_config.spin_ns it looks on for a while before it sleeps.
 */
#include "core/idle.h"

#include <stdatomic.h>

#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/steal.h"
#include "core/time.h"

enum {
    LONG_SLEEP_NS = 20000000,   /* idle memory is given back before a sleep of this length ... */
    TRIM_PERIOD_NS = 1000000000 /* ... or when this time has passed since the last look at it */
};

static int64_t timeout_of(struct worker *worker);
static bool unstarve(struct worker *worker);
static int64_t virtual_timeout(struct worker *worker, int64_t next_ns);

int64_t weft__idle_timeout(struct worker *worker)
{
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0) return 0;
    if (worker->starved && unstarve(worker)) return 0;
    if (likely(!worker->runtime->has_many)) return timeout_of(worker);
    int64_t watch_ns = WEFT_POLL_FOREVER;
    if (weft__steal(worker, &watch_ns)) return 0;
    int64_t timeout_ns = timeout_of(worker);
    return watch_ns < timeout_ns ? watch_ns : timeout_ns;
}

static int64_t timeout_of(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    int64_t next_ns = weft__timers_next(&worker->timers);
    bool is_alone = !runtime->has_many; /* else core/crew.c decides, when all rest */
    if (is_alone && next_ns == WEFT_FOREVER && !weft__idle_can_be_woken(runtime)) {
        return runtime->host.is_attached ? WEFT_POLL_FOREVER : WEFT__IDLE_STUCK;
    }
    if (worker->index == 0 && unlikely(runtime->is_over)) next_ns = weft__idle_next(worker);
    if (runtime->settings.is_virtual) return virtual_timeout(worker, next_ns);

    if (next_ns == WEFT_FOREVER) return WEFT_POLL_FOREVER;
    int64_t now_ns = weft__worker_now(worker);
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

int64_t weft__idle_next(struct worker *worker)
{
    const struct runtime *runtime = worker->runtime;
    int64_t next_ns = weft__timers_next(&worker->timers);
    bool has_grace = worker->index == 0 && runtime->is_over;
    return has_grace && runtime->grace_end_ns < next_ns ? runtime->grace_end_ns : next_ns;
}

/* On any worker. */
static bool waits_for_fd(const struct runtime *runtime)
{
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (runtime->workers[i]->fd_waiters > 0) return true;
    }
    return false;
}

bool weft__idle_can_be_woken(const struct runtime *runtime)
{
    const struct worker *worker = &runtime->worker;
    if (waits_for_fd(runtime)) return true;
    /* The host may wake any task; but what it spawns helps nobody who waits for a stack. */
    if (runtime->host.is_attached) return weft__runtime_live(runtime) > worker->starved_count;
    /* acquire: what was posted before the last reference went is seen below; who drops it wakes the
     * worker afterwards */
    if (atomic_load_explicit(&runtime->handle->references, memory_order_acquire) > 1) return true;
    if (atomic_load_explicit(&runtime->shared_parked, memory_order_relaxed) > 0) return true;
    return atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0;
}

/* Nothing else can make progress: of several workers the last one to rest has found out. */
static bool is_stuck(struct worker *worker)
{
    if (worker->runtime->has_many) return worker->must_drop;
    return weft__timers_next(&worker->timers) == WEFT_FOREVER &&
           !weft__idle_can_be_woken(worker->runtime);
}

/* Tries again to find stacks for the tasks that were put aside; true if one may run. When nothing
 * else can make progress they end without having run. */
static bool unstarve(struct worker *worker)
{
    struct task *task = worker->starved;
    weft__stacks_trim(&worker->stacks); /* stacks of other sizes are unmapped there */
    struct stack *stack = weft__stack_get(&worker->stacks, task_stack_size(task));
    bool is_last_resort = !stack && is_stuck(worker);
    if (!stack && !is_last_resort) return false;

    if (stack) weft__stack_put(&worker->stacks, stack); /* it is taken when the task starts */
    worker->starved = task->next;
    worker->starved_count--;
    worker->must_drop = false;
    if (is_last_resort) {
        weft__task_drop(task);
        return true;
    }
    ready_push_woken(&worker->ready, task); /* picking it starts it */
    return true;
}

/* Time jumps only if poll() finds nothing: at once without descriptors, else after real quiet. */
static int64_t virtual_timeout(struct worker *worker, int64_t next_ns)
{
    int64_t now_ns = weft__worker_now(worker);
    if (next_ns <= now_ns) return 0;
    if (next_ns == WEFT_FOREVER) return WEFT_POLL_FOREVER;
    if (worker->runtime->has_many) return WEFT_POLL_FOREVER; /* core/crew.c lets it jump */
    if (!weft__idle_can_be_woken(worker->runtime)) {
        worker->clock_offset_ns += next_ns - now_ns;
        return 0;
    }
    return WEFT__IDLE_QUIET;
}

void weft__idle_stuck(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    if (runtime->is_deadlocked || runtime->is_over) {
        /* they slept through their cancellation */
        atomic_store_explicit(&runtime->is_given_up, true, memory_order_relaxed);
        return;
    }
    runtime->is_deadlocked = true;
    if (!(runtime->settings.config.flags & WEFT_NO_DEADLOCK_REPORT)) {
        weft__report_deadlock(runtime);
    }
    weft__runtime_cancel_all(runtime);
}

/* Between two short sleeps it is likely to be wanted again, and each stack costs a system call. */
void weft__idle_trim(struct worker *worker, int64_t timeout_ns)
{
    bool is_due = worker->turn_start_ns - worker->trimmed_ns >= TRIM_PERIOD_NS;
    if (timeout_ns < LONG_SLEEP_NS && !is_due) return;

    worker->trimmed_ns = worker->turn_start_ns;
    weft__stacks_trim(&worker->stacks);
    weft__records_trim(&worker->records);
}

/* Records are faulted in again one page at a time: they are given back after a nap in which nobody
 * came, not at each end of work. Returns how long to sleep. */
static int64_t trim_or_nap(struct worker *worker, int64_t timeout_ns)
{
    bool has_napped = worker->napped_slices == worker_slices(worker);
    if (timeout_ns > LONG_SLEEP_NS && !has_napped && records_are_idle(&worker->records)) {
        worker->napped_slices = worker_slices(worker);
        return LONG_SLEEP_NS;
    }
    weft__idle_trim(worker, timeout_ns);
    return timeout_ns;
}

static int look(struct worker *worker, struct weft_event *events, int capacity)
{
    worker->polls++;
    return weft__backend.poll(worker->backend_state, 0, events, capacity);
}

/* The first worker only, which is the only one that may ask. */
static bool is_in_host(const struct worker *worker)
{
    return worker->index == 0 && worker->runtime->host.is_attached;
}

/* Once after a task has run: who found nothing sleeps next. Not when all shall end, which is found
 * out at rest. */
static bool shall_spin(const struct worker *worker)
{
    const struct runtime *runtime = worker->runtime;
    if (likely(runtime->settings.config.spin_ns == 0) || runtime->settings.is_virtual) return false;
    if (is_in_host(worker) || runtime_is_cancelled(runtime)) return false;
    return worker_slices(worker) != worker->spun_slices;
}

/* Somebody has something for the worker, which no event tells. */
static bool is_wanted(const struct worker *worker)
{
    return atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0 ||
           /* acquire: pairs with weft__crew_stop() */
           atomic_load_explicit(&worker->runtime->crew.is_stopping, memory_order_acquire);
}

/*
 * Looks on for a while instead of sleeping, so that nobody needs to wake the worker, as is_asleep
 * tells. It does not count as resting. A look may swallow a wake-up that announces something else
 * than mail; therefore it never ends in a sleep, but in a whole turn, which decides anew.
 */
static int spin(struct worker *worker, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    int64_t spin_ns = worker->runtime->settings.config.spin_ns;
    int64_t start_ns = weft__worker_now(worker);
    int64_t end_ns = time_after(start_ns, timeout_ns < spin_ns ? timeout_ns : spin_ns);
    int count = 0;
    core_leave(worker);
    do {
        count = look(worker, events, capacity);
    } while (count == 0 && !is_wanted(worker) && weft__worker_now(worker) < end_ns);
    core_enter(worker);
    bool was_in_vain = count == 0 && !is_wanted(worker) && spin_ns < timeout_ns;
    if (was_in_vain) worker->spun_slices = worker_slices(worker);
    return count;
}

int weft__idle_poll(struct worker *worker,
                    int64_t timeout_ns,
                    struct weft_event *events,
                    int capacity)
{
    if (timeout_ns == 0) return look(worker, events, capacity);
    if (unlikely(shall_spin(worker))) return spin(worker, timeout_ns, events, capacity);

    worker->polls++;
    timeout_ns = trim_or_nap(worker, timeout_ns);
    bool has_many = worker->runtime->has_many && !is_in_host(worker);
    if (has_many) timeout_ns = weft__crew_rest(worker, timeout_ns);
    core_leave(worker);
    /* seq_cst, and seq_cst below: pairs with weft__inbox_push() */
    atomic_store_explicit(&worker->is_asleep, true, memory_order_seq_cst);
    if (atomic_load_explicit(&worker->inbox, memory_order_seq_cst) != 0) timeout_ns = 0;
    int count = weft__backend.poll(worker->backend_state, timeout_ns, events, capacity);
    /* relaxed: a wake-up more than needed does no harm */
    atomic_store_explicit(&worker->is_asleep, false, memory_order_relaxed);
    core_enter(worker);

    bool was_quiet = count == 0 && timeout_ns == WEFT__IDLE_QUIET &&
                     worker->runtime->settings.is_virtual &&
                     atomic_load_explicit(&worker->inbox, memory_order_relaxed) == 0;
    if (has_many) {
        weft__crew_rise(worker, was_quiet);
    } else if (was_quiet) {
        weft__idle_jump(worker);
    }
    return count;
}

void weft__idle_jump(struct worker *worker)
{
    int64_t now_ns = weft__worker_now(worker);
    int64_t next_ns = weft__idle_next(worker);
    if (next_ns > now_ns && next_ns != WEFT_FOREVER) worker->clock_offset_ns += next_ns - now_ns;
}
