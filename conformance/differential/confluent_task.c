/* SPDX-License-Identifier: MIT */
/*
 * Statements about tasks, scopes, cancellation and time.
 */
#include "conformance/differential/build.h"

static struct op *expect_result(struct op *op, int result)
{
    op->expect_detail = result;
    return op;
}

static void add_sleep(struct build *build, int task, int slot)
{
    build_op(build, task, CALL_SLEEP, 0)->value = (uint16_t)slot;
}

static void join(struct build *build, int task, int depth)
{
    int child = build_task(build, task, CALL_SPAWN);
    bool fails = chance(build, 50);
    build->program->tasks[child].result = fails ? RETURNS_FAILURE : RETURNS_ZERO;
    statement(build, child, depth);
    build_dawdle(build, child);
    build_dawdle(build, task);
    (void)expect_result(build_op(build, task, CALL_JOIN, child), fails ? FAILURE_CODE : 0);
    enum call after[] = {CALL_JOIN, CALL_CANCEL, CALL_DETACH};
    (void)build_expect(build, task, after[pick(build, 3)], child, OUT_GONE);
}

/* It has ended before anybody asks. */
static void join_ended(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    build->program->tasks[child].result = RETURNS_FAILURE;
    add_sleep(build, task, 1);
    if (chance(build, 50)) {
        (void)expect_result(build_op(build, task, CALL_JOIN, child), FAILURE_CODE);
    } else {
        struct op *op = expect_result(build_op(build, task, CALL_SELECT, 0), 0);
        (void)build_case(op, ON_JOINED, child);
        (void)build_case(op, ON_RECV, build_chan_of(build, 0));
    }
    (void)build_expect(build, task, CALL_JOIN, child, OUT_GONE);
}

/* Several wait for the same task; all of them get its result. */
static void join_many(struct build *build, int task)
{
    int gate = build_chan_of(build, 0);
    int target = build_task(build, task, CALL_SPAWN);
    build->program->tasks[target].result = RETURNS_FAILURE;
    (void)build_recv(build, target, gate, 1, false);
    int count = 2 + (int)pick(build, 2);
    int order = build_private_chan(build, 7);
    uint16_t values = build_values(build, count);
    for (int i = 0; i < count; i++) {
        int joiner = build_task(build, task, CALL_SPAWN);
        build_meet(build, task, joiner);
        (void)expect_result(build_op(build, joiner, CALL_JOIN, target), FAILURE_CODE);
        build_op(build, joiner, CALL_SEND, order)->value = (uint16_t)(values + i);
    }
    (void)build_send(build, task, gate, 1);
    for (int i = 0; i < count; i++) /* they wake first come, first served */
        (void)expect_result(build_recv(build, task, order, 1, false), values + i);
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, target + 1 + i);
    (void)build_expect(build, task, CALL_JOIN, target, OUT_GONE);
}

static void join_self(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    (void)build_expect(build, child, CALL_JOIN, child, OUT_DEADLOCK);
    (void)build_op(build, task, CALL_JOIN, child);
}

static void detach(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    int chan = build_chan_of(build, 1);
    (void)build_op(build, task, CALL_DETACH, child);
    build_dawdle(build, child);
    (void)build_send(build, child, chan, 1);
    (void)build_recv(build, task, chan, 1, false);
    add_sleep(build, task, 2);
    enum call after[] = {CALL_JOIN, CALL_CANCEL, CALL_DETACH};
    (void)build_expect(build, task, after[pick(build, 3)], child, OUT_GONE);
}

/* ---- cancellation ---- */

/* What a cancelled task finds after its blocking call. */
static void after_cancel(struct build *build, int task)
{
    if (chance(build, 50)) (void)build_expect(build, task, CALL_STATUS, 0, OUT_CANCELLED);
    if (chance(build, 50)) {
        (void)build_op(build, task, CALL_OPEN_SHIELD, 0);
        add_sleep(build, task, 1);
        (void)build_op(build, task, CALL_STATUS, 0);
        (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
    }
    if (chance(build, 60)) build_block(build, task, OUT_CANCELLED);
    (void)build_expect(build, task, CALL_YIELD, 0, OUT_CANCELLED);
}

static void cancel(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    build->program->tasks[child].result = RETURNS_LAST;
    bool with_children = chance(build, 30);
    int grandchild = -1;
    if (chance(build, 30)) (void)build_op(build, child, CALL_DEFER, child);
    if (with_children) {
        (void)build_op(build, child, CALL_OPEN, 0);
        grandchild = build_task(build, child, CALL_SCOPE_SPAWN);
        build_block(build, grandchild, OUT_CANCELLED);
        if (chance(build, 50)) (void)build_op(build, child, CALL_OPEN, 0);
    }
    if (chance(build, 30)) (void)build_op(build, child, CALL_DEFER, child);
    build_block(build, child, OUT_CANCELLED);
    after_cancel(build, child);
    build_dawdle(build, task);
    (void)build_op(build, task, CALL_CANCEL, child);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* Whoever was cancelled stands in no queue any more. */
static void cancel_waiter(struct build *build, int task)
{
    int chan = build_chan_of(build, 0);
    int child = build_task(build, task, CALL_SPAWN);
    build_meet(build, task, child);
    bool sends = chance(build, 50);
    struct op *op = build_expect(build, child, sends ? CALL_SEND : CALL_RECV, chan, OUT_CANCELLED);
    if (sends) op->value = build_values(build, 1);
    (void)build_op(build, task, CALL_CANCEL, child);
    op = build_expect(build, task, sends ? CALL_TRY_RECV : CALL_TRY_SEND, chan, OUT_WOULD_BLOCK);
    if (!sends) op->value = build_values(build, 1);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* A joiner that was cancelled does not disturb the other one. */
static void cancel_joiner(struct build *build, int task)
{
    int target = build_task(build, task, CALL_SPAWN);
    int gate = build_chan_of(build, 0);
    (void)build_recv(build, target, gate, 1, false);
    int joiner = build_task(build, task, CALL_SPAWN);
    build_meet(build, task, joiner);
    (void)build_expect(build, joiner, CALL_JOIN, target, OUT_CANCELLED);
    (void)build_op(build, task, CALL_CANCEL, joiner);
    (void)build_op(build, task, CALL_JOIN, joiner);
    (void)build_send(build, task, gate, 1);
    (void)build_op(build, task, CALL_JOIN, target);
}

/* Nothing cuts the closing of a scope short: the child has ended when it returns. */
static void cancel_closing(struct build *build, int task)
{
    int owner = build_task(build, task, CALL_SPAWN);
    (void)build_op(build, owner, CALL_OPEN, 0);
    int child = build_task(build, owner, CALL_SCOPE_SPAWN);
    (void)build_op(build, child, CALL_OPEN_SHIELD, 0);
    add_sleep(build, child, 2);
    (void)build_op(build, child, CALL_SCOPE_CLOSE, 0);
    build_meet(build, task, owner);
    (void)build_op(build, owner, CALL_SCOPE_CLOSE, 0);
    (void)build_expect(build, owner, CALL_DETACH, child, OUT_GONE);
    (void)build_expect(build, owner, CALL_YIELD, 0, OUT_CANCELLED);
    (void)build_op(build, task, CALL_CANCEL, owner);
    (void)build_op(build, task, CALL_JOIN, owner);
}

/* ---- scopes ---- */

/* A child that sleeps in the current scope of `task` until that scope ends with `outcome`; seen
 * from a scope of its own, that is somebody else's affair. */
static int blocked_child(struct build *build, int task, enum outcome outcome)
{
    int child = build_task(build, task, CALL_SCOPE_SPAWN);
    bool has_scope = chance(build, 60);
    if (has_scope) (void)build_op(build, child, CALL_OPEN, 0);
    build_block(build, child, has_scope ? OUT_CANCELLED : outcome);
    return child;
}

static void timeout(struct build *build, int task)
{
    build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = 2;
    bool nested = chance(build, 25);
    if (nested) {
        struct op *op = build_op(build, task, chance(build, 50) ? CALL_OPEN : CALL_OPEN_TIMEOUT, 0);
        op->value = SLOT_NEVER;
    }
    enum outcome outcome = nested ? OUT_CANCELLED : OUT_TIMED_OUT;
    if (chance(build, 40)) (void)blocked_child(build, task, outcome);
    build_block(build, task, outcome);
    (void)build_expect(build, task, CALL_STATUS, 0, outcome);
    if (chance(build, 50)) {
        (void)build_op(build, task, CALL_OPEN_SHIELD, 0);
        add_sleep(build, task, 1);
        (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
    }
    if (nested) (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
    (void)build_expect(build, task, CALL_YIELD, 0, OUT_TIMED_OUT);
    if (!nested && chance(build, 80)) {
        struct op *op = build_expect(build, task, CALL_SET_DEADLINE, task, OUT_TIMED_OUT);
        op->value = SLOT_NEVER;
    }
    (void)build_expect(build, task, CALL_SCOPE_CLOSE, 0, OUT_TIMED_OUT);
    (void)build_op(build, task, CALL_YIELD, 0);
}

static void in_time(struct build *build, int task, int depth)
{
    build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = SLOT_NEVER;
    if (chance(build, 50)) build_op(build, task, CALL_SET_DEADLINE, task)->value = SLOT_NEVER;
    statement(build, task, depth);
    int child = build_task(build, task, CALL_SCOPE_SPAWN);
    statement(build, child, depth);
    add_sleep(build, child, 1);
    (void)build_op(build, task, CALL_STATUS, 0);
    (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
    (void)build_expect(build, task, CALL_JOIN, child, OUT_GONE);
}

/* A deadline that is moved nearer while somebody sleeps under it. */
static void moved_deadline(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    build_op(build, child, CALL_OPEN_TIMEOUT, 0)->value = SLOT_NEVER;
    build_meet(build, task, child);
    build_block(build, child, OUT_TIMED_OUT);
    (void)build_expect(build, child, CALL_SCOPE_CLOSE, 0, OUT_TIMED_OUT);
    build_op(build, task, CALL_SET_DEADLINE, child)->value = 1;
    (void)build_op(build, task, CALL_JOIN, child);
}

/* A scope without time: what is possible at once succeeds. */
static void try_scope(struct build *build, int task)
{
    int chan = build_chan_of(build, 2);
    (void)build_op(build, task, CALL_OPEN_TIMEOUT, 0); /* slot 0 */
    (void)build_send(build, task, chan, 1);
    (void)build_recv(build, task, chan, 1, false);
    if (chance(build, 70)) {
        (void)blocked_child(build, task, OUT_TIMED_OUT);
    } else {
        (void)build_expect(build, task, CALL_NEXT, 0, OUT_GONE);
    }
    if (chance(build, 80)) {
        struct op *op = build_expect(build, task, CALL_SET_DEADLINE, task, OUT_INVALID);
        op->value = SLOT_NEVER;
    }
    build_block(build, task, OUT_TIMED_OUT);
    (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
}

/* The first child that fails cancels the rest. */
static void failure(struct build *build, int task, int depth)
{
    (void)build_op(build, task, CALL_OPEN, 0);
    int count = 1 + (int)pick(build, 2);
    int failing = (int)pick(build, (uint32_t)count + 1);
    for (int i = 0; i <= count; i++) {
        int child = build_task(build, task, CALL_SCOPE_SPAWN);
        if (i == failing) {
            statement(build, child, depth);
            build_dawdle(build, child);
            build->program->tasks[child].result = RETURNS_FAILURE;
            continue;
        }
        build->program->tasks[child].result =
            chance(build, 50) ? RETURNS_LAST : RETURNS_OTHER_FAILURE;
        if (chance(build, 40)) { /* somebody further down */
            (void)build_op(build, child, CALL_OPEN, 0);
            build_block(build, build_task(build, child, CALL_SCOPE_SPAWN), OUT_CANCELLED);
        }
        build_block(build, child, OUT_CANCELLED);
    }
    if (chance(build, 50)) build_block(build, task, OUT_CANCELLED);
    (void)expect_result(build_expect(build, task, CALL_SCOPE_CLOSE, 0, OUT_FAILED), FAILURE_CODE);
    (void)build_op(build, task, CALL_YIELD, 0);
}

/* What only echoes the cancellation is no failure; what comes after it may be. */
static void scope_cancel(struct build *build, int task)
{
    (void)build_op(build, task, CALL_OPEN, 0);
    int child = build_task(build, task, CALL_SCOPE_SPAWN);
    build->program->tasks[child].result = RETURNS_LAST;
    build_block(build, child, OUT_CANCELLED);
    bool fails = chance(build, 40);
    if (fails) {
        child = build_task(build, task, CALL_SCOPE_SPAWN);
        build->program->tasks[child].result = RETURNS_OTHER_FAILURE;
        build_block(build, child, OUT_CANCELLED);
    }
    build_dawdle(build, task);
    (void)build_op(build, task, CALL_SCOPE_CANCEL, task);
    (void)build_expect(build, task, CALL_STATUS, 0, OUT_CANCELLED);
    if (chance(build, 70)) (void)build_expect(build, task, CALL_NEXT, 0, OUT_CANCELLED);
    enum outcome outcome = fails ? OUT_FAILED : OUT_CANCELLED;
    (void)expect_result(build_expect(build, task, CALL_SCOPE_CLOSE, 0, outcome),
                        fails ? OTHER_FAILURE_CODE : 0);
    (void)build_op(build, task, CALL_YIELD, 0);
}

/* Children are given out in the order in which they end, however long that was ago. */
static void next_child(struct build *build, int task)
{
    (void)build_op(build, task, CALL_OPEN, 0);
    int count = 2 + (int)pick(build, 2);
    int first = build->program->task_count;
    int gates = build->program->chan_count;
    bool at_once = chance(build, 50); /* all have ended before the first is asked for */
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SCOPE_SPAWN);
        (void)build_recv(build, child, build_private_chan(build, 1), 1, false);
    }
    int start = (int)pick(build, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        int which = (start + i) % count;
        (void)build_send(build, task, gates + which, 1);
        add_sleep(build, task, 1);
        if (!at_once) (void)expect_result(build_op(build, task, CALL_NEXT, 0), first + which);
    }
    for (int i = 0; at_once && i < count; i++)
        (void)expect_result(build_op(build, task, CALL_NEXT, 0), first + (start + i) % count);
    (void)build_expect(build, task, CALL_NEXT, 0, OUT_GONE);
    (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
}

/* ---- time ---- */

static void waiting(struct build *build, int task)
{
    enum call calls[] = {CALL_SLEEP, CALL_SLEEP_UNTIL, CALL_YIELD, CALL_TICKER};
    struct op *op = build_op(build, task, calls[pick(build, 4)], 0);
    op->value = (uint16_t)(1 + pick(build, 3));
    if (op->call == CALL_TICKER && chance(build, 60)) op->size = 3; /* periods of a stall */
}

static void timed_out_next(struct build *build, int task)
{
    build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = 1;
    int child = blocked_child(build, task, OUT_TIMED_OUT);
    (void)build_expect(
        build, task, chance(build, 50) ? CALL_NEXT : CALL_JOIN, child, OUT_TIMED_OUT);
    (void)build_expect(build, task, CALL_SCOPE_CLOSE, 0, OUT_TIMED_OUT);
}

/* Somebody who never sleeps keeps neither timers nor descriptors waiting. */
static void busy(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    struct op *op = build_expect(build, child, CALL_YIELD, 0, OUT_CANCELLED);
    op->repeat = COUNT_ANY;
    op->expect_count = COUNT_ANY;
    op->flags = OP_SUMMARY | OP_HIDDEN;
    int line = build_line(build, LINE_SOCKETS);
    int writer = build_task(build, task, CALL_SPAWN);
    build_op(build, writer, CALL_WRITE_ALL, line)->size = 10;
    op = build_op(build, task, CALL_READ_EXACTLY, line);
    op->side = 1;
    op->size = 10;
    (void)build_op(build, task, CALL_CANCEL, child);
    (void)build_op(build, task, CALL_JOIN, child);
    (void)build_op(build, task, CALL_JOIN, writer);
}

/* What was registered runs at the end, last first, and may wait. */
static void deferred(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    build_op(build, child, CALL_DEFER, child)->value = 1;
    build_op(build, child, CALL_DEFER, child)->value = 2;
    build_dawdle(build, child);
    (void)build_op(build, task, CALL_JOIN, child);
}

void statement_task(struct build *build, int task, int depth)
{
    static void (*const simple[])(struct build *, int) = {
        join_many, cancel_closing, join_ended,     join_self,     detach,         cancel,
        cancel,    cancel_waiter,  timeout,        timeout,       timeout,        timeout,
        waiting,   timed_out_next, timed_out_next, cancel_joiner, moved_deadline, try_scope,
        try_scope, scope_cancel,   deferred,       next_child,    busy,           scope_cancel,
    };
    static void (*const nesting[])(struct build *, int, int) = {join, in_time, failure};
    uint32_t simple_count = sizeof simple / sizeof simple[0];
    uint32_t which = pick(build, simple_count + 6);
    if (which < simple_count) {
        simple[which](build, task);
    } else {
        nesting[(which - simple_count) % 3](build, task, depth);
    }
}
