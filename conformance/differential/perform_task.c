/* SPDX-License-Identifier: MIT */
/*
 * Calls about tasks, scopes and time.
 */
#include "conformance/differential/run.h"

/* A deferred call is shielded: it may wait also when its task was cancelled. */
static void deferred(void *arg)
{
    struct deferral *deferral = (struct deferral *)arg;
    struct run *run = deferral->task->run;
    int result = weft_yield();
    if (result != 0) run_violation(run, "a deferred call's yield gave %d", result);
    struct done done = {OUT_OK, deferral->op->value};
    note_event(deferral->task, deferral->op, CALL_DEFERRED, done);
}

static int defer(struct task_state *task, const struct op *op)
{
    if (task->deferral_count == DEFERRALS_MAX) return 0;
    struct deferral *deferral = &task->deferrals[task->deferral_count++];
    *deferral = (struct deferral){task, op};
    return weft_defer(deferred, deferral);
}

/* Into the innermost scope that the task itself has opened, if there is one. */
static int spawn(struct task_state *task, const struct op *op)
{
    struct task_state *child = &task->run->tasks[op->object];
    int result = 0;
    if (op->call == CALL_SCOPE_SPAWN && task->depth > 0) {
        struct weft_scope *scope = &task->scopes[task->depth - 1];
        result = weft_scope_spawn(scope, &child->handle, run_task, child);
    } else {
        result = weft_spawn(&child->handle, run_task, child);
    }
    if (result == 0) child->is_spawned = true;
    return result;
}

static int scope_open(struct task_state *task, const struct op *op)
{
    if (task->depth == SCOPES_MAX) return 0;
    struct weft_scope *scope = &task->scopes[task->depth++];
    if (op->call == CALL_OPEN) return weft_scope_open(scope);
    if (op->call == CALL_OPEN_SHIELD) return weft_scope_open_shield(scope);
    return weft_scope_open_timeout(scope, op->value == 0 ? 0 : slot_duration(task->run, op->value));
}

/* The detail tells one failure from another. */
static struct done scope_close(struct task_state *task)
{
    if (task->depth == 0) return (struct done){OUT_OK, 0};
    task->result = weft_scope_close(&task->scopes[task->depth - 1]);
    task->depth--;
    struct done done = {outcome_of(task->result), 0};
    if (done.outcome == OUT_FAILED) done.detail = -task->result;
    return done;
}

/* The innermost scope of any task. */
static struct weft_scope *scope_of(struct run *run, int index)
{
    struct task_state *task = &run->tasks[index];
    return task->depth > 0 ? &task->scopes[task->depth - 1] : NULL;
}

static struct done scope_next(struct task_state *task)
{
    if (task->depth == 0) return (struct done){OUT_GONE, 0};
    weft_task child = {0, NULL};
    int result = weft_scope_next(&task->scopes[task->depth - 1], &child, NULL);
    task->result = result;
    if (result < 0) return (struct done){outcome_of(result), 0};
    return (struct done){OUT_OK, task_index(task->run, child)};
}

/*
 * Ticks are whole periods from the start, however late they are received: that the next one is,
 * too, is seen here. After a stall, the ones that were missed are counted.
 */
static int tick(struct run *run, int64_t period_ns, int stall_periods)
{
    struct weft_ticker ticker;
    int64_t before_ns = weft_now();
    int result = weft_ticker_open(&ticker, period_ns, WEFT_TICKER_SKIP);
    int64_t slack_ns = weft_now() - before_ns;
    if (result == 0) result = weft_ticker_wait(&ticker, NULL);
    if (result == 0 && stall_periods > 0) {
        uint64_t missed = 0;
        result = weft_sleep(stall_periods * period_ns);
        if (result == 0) result = weft_ticker_wait(&ticker, &missed);
        if (result == 0 && missed < (uint64_t)stall_periods - 1) {
            run_violation(run, "a ticker missed %d ticks, not %d", (int)missed, stall_periods - 1);
        }
    }
    int64_t phase_ns = (weft_ticker_next(&ticker) - before_ns) % period_ns;
    if (result == 0 && slack_ns < period_ns && phase_ns > slack_ns) {
        run_violation(run, "a ticker drifts");
    }
    if (result == 0 && weft_now() - before_ns < period_ns * (1 + stall_periods)) {
        run_violation(run, "a tick came early");
    }
    weft_ticker_close(&ticker);
    return result;
}

/* A sleep that ends by itself does not end early. */
static int timed_wait(struct task_state *task, const struct op *op)
{
    struct run *run = task->run;
    int64_t before_ns = weft_now();
    int64_t duration_ns = slot_duration(run, op->value);
    int result = 0;
    if (op->call == CALL_TICKER) {
        return tick(run, duration_ns < 1 ? 1 : duration_ns, (int)op->size);
    }
    if (op->call == CALL_SLEEP_UNTIL) {
        int64_t deadline_ns = slot_deadline(run, op->value);
        result = weft_sleep_until(deadline_ns);
        duration_ns = deadline_ns - before_ns;
    } else {
        result = weft_sleep(duration_ns);
    }
    if (result == 0 && weft_now() - before_ns < duration_ns) {
        run_violation(
            run, "a %s of %lld ns ended early", call_names[op->call], (long long)duration_ns);
    }
    return result;
}

static struct done join(struct task_state *task, const struct op *op)
{
    int result = 0;
    task->result = weft_join(task->run->tasks[op->object].handle, &result);
    return (struct done){outcome_of(task->result), task->result == 0 ? -result : 0};
}

struct done perform_task(struct task_state *task, const struct op *op)
{
    struct run *run = task->run;
    weft_task whom = run->tasks[op->object % TASKS_MAX].handle;
    struct weft_scope *scope = scope_of(run, op->object % TASKS_MAX);
    int result = 0;
    switch ((enum call)op->call) {
    case CALL_SPAWN:
    case CALL_SCOPE_SPAWN:
        result = spawn(task, op);
        break;
    case CALL_JOIN:
        return join(task, op);
    case CALL_CANCEL:
        result = weft_cancel(whom);
        break;
    case CALL_DETACH:
        result = weft_detach(whom);
        break;
    case CALL_YIELD:
        result = weft_yield();
        break;
    case CALL_DEFER:
        result = defer(task, op);
        break;
    case CALL_SLEEP:
    case CALL_SLEEP_UNTIL:
    case CALL_TICKER:
        result = timed_wait(task, op);
        break;
    case CALL_OPEN:
    case CALL_OPEN_TIMEOUT:
    case CALL_OPEN_SHIELD:
        result = scope_open(task, op);
        break;
    case CALL_SCOPE_CLOSE:
        return scope_close(task);
    case CALL_SCOPE_CANCEL:
        if (scope) result = weft_scope_cancel(scope);
        break;
    case CALL_NEXT:
        return scope_next(task);
    case CALL_SET_DEADLINE:
        if (scope) result = weft_scope_set_deadline(scope, slot_deadline(run, op->value));
        break;
    case CALL_STATUS:
        result = weft_scope_status();
        break;
    default:
        run_violation(run, "no such call: %d", op->call);
        break;
    }
    task->result = result;
    return (struct done){outcome_of(result), 0};
}
