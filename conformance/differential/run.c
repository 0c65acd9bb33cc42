/* SPDX-License-Identifier: MIT */
/*
 * A program's life: what its root opens, its tasks one by one, and the balance at the end.
 */
#include "conformance/differential/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ROOT_RESULT = 7 };

void run_violation(struct run *run, const char *format, ...)
{
    if (run->violation[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(run->violation, sizeof run->violation, format, arguments);
    va_end(arguments);
}

enum outcome outcome_of(long result)
{
    if (result >= 0) return OUT_OK;
    switch (-result) {
    case EPIPE:
        return OUT_CLOSED;
    case ETIMEDOUT:
        return OUT_TIMED_OUT;
    case ECANCELED:
        return OUT_CANCELLED;
    case EAGAIN:
        return OUT_WOULD_BLOCK;
    case ESRCH:
        return OUT_GONE;
    case EBADF:
        return OUT_BAD_FD;
    case EDEADLK:
        return OUT_DEADLOCK;
    case EINVAL:
        return OUT_INVALID;
    case FAILURE_CODE:
    case OTHER_FAILURE_CODE:
        return OUT_FAILED;
    case ECONNRESET:
    case ENOTCONN:
        return OUT_RESET;
    default:
        return OUT_OTHER;
    }
}

/* ---- time ---- */

int64_t slot_duration(const struct run *run, int slot)
{
    if (slot == SLOT_NEVER) return 100000 * WEFT_SEC;
    if (run->program->kind == CONFLUENT) return slot * run->slot_ns;
    return run->base_ns + slot * run->slot_ns - weft_now();
}

int64_t slot_deadline(const struct run *run, int slot)
{
    if (slot == SLOT_NEVER || run->program->kind == CONFLUENT) {
        return weft_now() + slot_duration(run, slot);
    }
    return run->base_ns + slot * run->slot_ns;
}

/* ---- what is noted ---- */

int task_index(const struct run *run, weft_task handle)
{
    for (int i = 0; i < run->program->task_count; i++) {
        if (run->tasks[i].handle.id == handle.id && handle.id != 0) return i;
    }
    return -1;
}

void note_event(struct task_state *task, const struct op *op, enum call call, struct done done)
{
    struct run *run = task->run;
    int index = (int)(task - run->tasks);
    int number = (int)(op - task->plan->ops);
    run->hits[call][done.outcome] = true;
    if (!(call_allowed(call) >> done.outcome & 1)) {
        run_violation(run,
                      "t%d.%d: %s gave %s",
                      index,
                      number,
                      call_names[call],
                      outcome_names[done.outcome]);
    }
    if (run->event_count == EVENTS_MAX) {
        run_violation(run, "more than %d events", EVENTS_MAX);
        return;
    }
    run->events[run->event_count++] = (struct event){
        .task = (uint8_t)index,
        .op = (uint8_t)number,
        .call = (uint8_t)call,
        .outcome = (uint8_t)done.outcome,
        .detail = done.detail,
        .slot = (int32_t)((weft_now() - run->base_ns) / run->slot_ns),
    };
}

/* ---- a task ---- */

static struct done perform(struct task_state *task, const struct op *op, int repeat)
{
    switch ((enum call)op->call) {
    case CALL_SEND:
    case CALL_RECV:
    case CALL_TRY_SEND:
    case CALL_TRY_RECV:
    case CALL_CLOSE:
        return perform_chan(task, op, repeat);
    case CALL_SELECT:
        return perform_select(task, op);
    case CALL_READ:
    case CALL_WRITE:
    case CALL_READ_EXACTLY:
    case CALL_WRITE_ALL:
    case CALL_WAIT_FD:
    case CALL_SHUTDOWN:
    case CALL_CLOSE_FD:
    case CALL_ACCEPT:
    case CALL_DIAL:
    case CALL_REOPEN:
        return perform_line(task, op);
    default:
        return perform_task(task, op);
    }
}

static void compare(struct task_state *task, const struct op *op, struct done last, int count)
{
    struct run *run = task->run;
    int index = (int)(task - run->tasks);
    int number = (int)(op - task->plan->ops);
    if (op->expect != OUT_ANY && op->expect != last.outcome) {
        run_violation(run,
                      "t%d.%d: %s gave %s instead of %s",
                      index,
                      number,
                      call_names[op->call],
                      outcome_names[last.outcome],
                      outcome_names[op->expect]);
    }
    if (op->expect_count != COUNT_ANY && op->expect_count != count) {
        run_violation(run,
                      "t%d.%d: %s succeeded %d times instead of %d",
                      index,
                      number,
                      call_names[op->call],
                      count,
                      op->expect_count);
    }
    if (op->expect_detail != -1 && op->expect_detail != last.detail) {
        run_violation(run,
                      "t%d.%d: %s gave %d instead of %d",
                      index,
                      number,
                      call_names[op->call],
                      last.detail,
                      op->expect_detail);
    }
}

/* A ticker's waits are one after the other; everything else is simply done again. */
static void perform_all(struct task_state *task, const struct op *op)
{
    struct done done = {OUT_OK, 0};
    int32_t sum = 0;
    int count = 0;
    if (op->call == CALL_MERGE) {
        done = perform_merge(task, op);
        count = op->expect_count == COUNT_ANY ? 0 : op->expect_count;
        sum = done.detail;
    } else {
        for (int i = 0; i < op->repeat && done.outcome == OUT_OK; i++) {
            done = perform(task, op, i);
            if (done.outcome == OUT_OK) count++;
            if (done.outcome == OUT_OK) sum += done.detail;
            if (!(op->flags & OP_SUMMARY)) note_event(task, op, op->call, done);
            task->run->hits[op->call][done.outcome] = true;
        }
    }
    if (op->flags & OP_SUMMARY || op->call == CALL_MERGE) {
        bool is_hidden = op->flags & OP_HIDDEN;
        note_event(task, op, op->call, (struct done){done.outcome, is_hidden ? 0 : sum});
        done.detail = sum;
    }
    compare(task, op, done, count);
}

int run_task(void *arg)
{
    struct task_state *task = (struct task_state *)arg;
    struct run *run = task->run;
    struct weft_scope scopes[SCOPES_MAX];
    task->scopes = scopes;
    for (int i = 0; i < task->plan->op_count; i++) {
        const struct op *op = &task->plan->ops[i];
        if (!run->program->dropped[op->group]) perform_all(task, op);
    }
    while (task->depth > 0)
        (void)weft_scope_close(&task->scopes[--task->depth]);
    task->has_ended = true;
    if (weft_chan_try_send(run->ended, NULL) < 0) run_violation(run, "no place for an end");
    switch ((enum result_kind)task->plan->result) {
    case RETURNS_FAILURE:
        return -FAILURE_CODE;
    case RETURNS_OTHER_FAILURE:
        return -OTHER_FAILURE_CODE;
    case RETURNS_LAST:
        return task->result;
    default:
        return 0;
    }
}

/* ---- the root ---- */

static int spawned_count(const struct run *run)
{
    int count = 0;
    for (int i = 0; i < run->program->task_count; i++)
        count += run->tasks[i].is_spawned;
    return count;
}

static void cancel_all(struct run *run)
{
    for (int i = 0; i < run->program->task_count; i++) {
        if (!run->tasks[i].has_ended) (void)weft_cancel(run->tasks[i].handle);
    }
}

/* After the first task has ended, or (a racing one) slept too long, all others are cancelled. */
static void wait_for_all(struct run *run)
{
    int64_t end_ns = run->program->kind == CONFLUENT ? WEFT_FOREVER : slot_deadline(run, SLOT_END);
    int which = weft_select_ordered(weft_on_joined(run->tasks[0].handle, NULL), weft_at(end_ns));
    if (which < 0) run_violation(run, "the root's select gave %d", which);
    int ends = 0;
    weft_with_timeout(run->is_virtual ? 24 * WEFT_HOUR : 20 * WEFT_SEC) {
        do { /* those that end may have spawned more */
            cancel_all(run);
        } while (weft_chan_recv(run->ended, NULL) == 0 && ++ends < spawned_count(run));
    }
    for (int i = 0; i < run->program->task_count; i++) {
        const struct task_state *task = &run->tasks[i];
        if (task->is_spawned && !task->has_ended) run_violation(run, "t%d did not end", i);
        if (task->is_spawned) (void)weft_detach(task->handle);
    }
}

static int chans_open(struct run *run)
{
    for (int i = 0; i < run->program->chan_count; i++) {
        struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
        options.capacity = run->program->chans[i].capacity;
        options.value_size = run->program->chans[i].value_size;
        options.shared = run->program->chans[i].is_shared;
        run->drops[i] = (struct drop){run, i};
        if (run->program->chans[i].drops) options.drop = chan_drop;
        options.drop_arg = &run->drops[i];
        int result = weft_chan_open_with(&run->chans[i], &options);
        if (result < 0) return result;
    }
    return weft_chan_open(&run->ended, 0, TASKS_MAX);
}

static int root(void *arg)
{
    struct run *run = (struct run *)arg;
    int result = chans_open(run);
    if (result == 0) result = lines_open(run);
    if (result < 0) {
        run_violation(run, "opening gave %d", result);
        return 0;
    }
    run->base_ns = weft_now();
    run->tasks[0].is_spawned = true;
    result = weft_spawn(&run->tasks[0].handle, run_task, &run->tasks[0]);
    if (result < 0) {
        run_violation(run, "the first spawn gave %d", result);
        return 0;
    }
    wait_for_all(run);
    if (run->violation[0] != '\0') return 0; /* somebody may still use them */
    chans_close(run);
    lines_close(run);
    return ROOT_RESULT;
}

void run_program(struct run *run, const struct program *program, bool is_virtual)
{
    memset(run, 0, sizeof *run);
    run->program = program;
    run->is_virtual = is_virtual;
    run->slot_ns = is_virtual ? 10 * WEFT_SEC : 100 * WEFT_USEC;
    for (int i = 0; i < program->task_count; i++) {
        run->tasks[i].run = run;
        run->tasks[i].plan = &program->tasks[i];
    }
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_DEADLOCK_REPORT | WEFT_NO_ENVIRONMENT;
    if (is_virtual) config.flags |= WEFT_VIRTUAL_CLOCK;
    config.seed = program->seed * 2 + 1;
    config.grace_ns = WEFT_SEC;
    int result = weft_run(&config, root, run);
    if (result != ROOT_RESULT) run_violation(run, "weft_run() gave %d", result);
}
