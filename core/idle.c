/* SPDX-License-Identifier: MIT */
/*
 * The only place where a *thread* sleeps: the backend's poll(), and all that is decided before it.
 *
 * Lost wake-ups: the worker sets is_asleep and then looks at its inbox; a poster fills the inbox
 * and then looks at is_asleep. Both in sequentially consistent order: one sees the other at least.
 */
#include "core/idle.h"

#include <stdatomic.h>

#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/time.h"

enum {
    QUIET_NS = 2000000,       /* virtual clock: real quiet that descriptors get before time jumps */
    LONG_SLEEP_NS = 20000000, /* idle memory is given back before a sleep of this length ... */
    TRIM_PERIOD_NS = 1000000000 /* ... or when this time has passed since the last look at it */
};

static bool can_be_woken(const struct worker *worker);
static bool unstarve(struct worker *worker);
static int64_t virtual_timeout(struct worker *worker, int64_t next_ns);

int64_t weft__idle_timeout(struct worker *worker)
{
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0) return 0;
    if (worker->starved && unstarve(worker)) return 0;

    struct runtime *runtime = worker->runtime;
    int64_t next_ns = weft__timers_next(&worker->timers);
    if (next_ns == WEFT_FOREVER && !can_be_woken(worker)) {
        return runtime->host.is_attached ? WEFT_POLL_FOREVER : WEFT__IDLE_STUCK;
    }
    if (runtime->is_over && runtime->grace_end_ns < next_ns) next_ns = runtime->grace_end_ns;
    if (runtime->settings.is_virtual) return virtual_timeout(worker, next_ns);

    if (next_ns == WEFT_FOREVER) return WEFT_POLL_FOREVER;
    int64_t now_ns = weft__worker_now(worker);
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

/* Somebody outside of the ready queues and timers may still make a task ready. */
static bool can_be_woken(const struct worker *worker)
{
    const struct runtime *runtime = worker->runtime;
    if (worker->fd_waiters > 0) return true;
    /* The host may wake any task; but what it spawns helps nobody who waits for a stack. */
    if (runtime->host.is_attached) return worker_live(worker) > worker->starved_count;
    /* acquire: what was posted before the last reference went is seen below; who drops it wakes the
     * worker afterwards */
    if (atomic_load_explicit(&runtime->handle->references, memory_order_acquire) > 1) return true;
    if (atomic_load_explicit(&runtime->shared_parked, memory_order_relaxed) > 0) return true;
    return atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0;
}

/* Tries again to find stacks for the tasks that were put aside; true if one may run. When nothing
 * else can make progress they end without having run. */
static bool unstarve(struct worker *worker)
{
    struct task *task = worker->starved;
    weft__stacks_trim(&worker->stacks); /* stacks of other sizes are unmapped there */
    struct stack *stack = weft__stack_get(&worker->stacks, task_stack_size(task));
    bool is_last_resort =
        !stack && weft__timers_next(&worker->timers) == WEFT_FOREVER && !can_be_woken(worker);
    if (!stack && !is_last_resort) return false;

    if (stack) weft__stack_put(&worker->stacks, stack); /* it is taken when the task starts */
    worker->starved = task->next;
    worker->starved_count--;
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
    if (worker->fd_waiters == 0 && !can_be_woken(worker)) {
        worker->clock_offset_ns += next_ns - now_ns;
        return 0;
    }
    return QUIET_NS;
}

void weft__idle_stuck(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    if (runtime->is_deadlocked || runtime->is_over) {
        runtime->is_given_up = true; /* they slept through their cancellation */
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

int weft__idle_poll(struct worker *worker,
                    int64_t timeout_ns,
                    struct weft_event *events,
                    int capacity)
{
    worker->polls++;
    if (timeout_ns == 0) return weft__backend.poll(worker->backend_state, 0, events, capacity);

    weft__idle_trim(worker, timeout_ns);
    /* seq_cst, and seq_cst below: pairs with weft__inbox_push() */
    atomic_store_explicit(&worker->is_asleep, true, memory_order_seq_cst);
    if (atomic_load_explicit(&worker->inbox, memory_order_seq_cst) != 0) timeout_ns = 0;
    int count = weft__backend.poll(worker->backend_state, timeout_ns, events, capacity);
    /* relaxed: a wake-up more than needed does no harm */
    atomic_store_explicit(&worker->is_asleep, false, memory_order_relaxed);

    bool was_quiet = count == 0 && timeout_ns == QUIET_NS && worker->runtime->settings.is_virtual &&
                     atomic_load_explicit(&worker->inbox, memory_order_relaxed) == 0;
    if (was_quiet) weft__idle_jump(worker);
    return count;
}

void weft__idle_jump(struct worker *worker)
{
    int64_t now_ns = weft__worker_now(worker);
    int64_t next_ns = weft__timers_next(&worker->timers);
    if (worker->runtime->is_over && worker->runtime->grace_end_ns < next_ns) {
        next_ns = worker->runtime->grace_end_ns;
    }
    if (next_ns > now_ns && next_ns != WEFT_FOREVER) worker->clock_offset_ns += next_ns - now_ns;
}
