/* SPDX-License-Identifier: MIT */
/*
 * Statements about channels and select: whatever order the tasks run in, the values that arrive are
 * the same.
 */
#include "conformance/differential/build.h"

/* Sums are compared by the interpreter in the same way. */
static int32_t values_sum(int first, int count)
{
    return (int32_t)(count * first + count * (count - 1) / 2);
}

static int any_count(struct build *build)
{
    return chance(build, 10) ? 150 : (int)pick(build, 9);
}

/* One sends and closes, the other one receives all. */
static void stream(struct build *build, int task, int depth)
{
    int chan = build_chan(build);
    int count = any_count(build);
    int child = build_task(build, task, CALL_SPAWN);
    bool child_sends = chance(build, 50);
    int sender = child_sends ? child : task;
    int receiver = child_sends ? task : child;

    build_dawdle(build, child);
    statement(build, child, depth);
    build_dawdle(build, task);
    statement(build, task, depth);
    if (count > 0) (void)build_send(build, sender, chan, count);
    (void)build_op(build, sender, CALL_CLOSE, chan);
    (void)build_recv(build, receiver, chan, count, true);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* Several send to one receiver, who is told when all have. */
static void fan_in(struct build *build, int task)
{
    int chan = build_chan(build);
    int senders = 2 + (int)pick(build, 2);
    int count = 1 + (int)pick(build, 20);
    int first = build->program->task_count;
    int first_value = build->program->value_count;
    for (int i = 0; i < senders; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        build_dawdle(build, child);
        (void)build_send(build, child, chan, count);
    }
    int receiver = build_task(build, task, CALL_SPAWN);
    struct op *op = build_recv(build, receiver, chan, count * senders, true);
    op->flags = OP_SUMMARY;
    op->expect_detail = values_sum(first_value, count * senders);
    for (int i = 0; i < senders; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
    (void)build_op(build, task, CALL_CLOSE, chan);
    (void)build_op(build, task, CALL_JOIN, receiver);
}

/* Several receivers share the values of one sender: who gets how many is a race. */
static void pool(struct build *build, int task)
{
    int chan = build_chan(build);
    int first = build->program->task_count;
    int receivers = 2 + (int)pick(build, 3);
    int count = any_count(build);
    for (int i = 0; i < receivers; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        struct op *op = build_recv(build, child, chan, count, true);
        op->flags = OP_SUMMARY | OP_HIDDEN;
        op->expect_count = COUNT_ANY;
        if (chance(build, 50)) (void)build_op(build, child, CALL_YIELD, 0);
    }
    if (count > 0) (void)build_send(build, task, chan, count);
    (void)build_op(build, task, CALL_CLOSE, chan);
    for (int i = 0; i < receivers; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* A select loop over several channels until all are closed. */
static void merge(struct build *build, int task)
{
    int count = 2 + (int)pick(build, 3);
    int first = build->program->chan_count;
    int first_task = build->program->task_count;
    int first_value = build->program->value_count;
    int values = 0;
    for (int i = 0; i < count; i++) {
        int chan = build_chan(build);
        int child = build_task(build, task, CALL_SPAWN);
        build_dawdle(build, child);
        int some = (int)pick(build, 12);
        if (some > 0) (void)build_send(build, child, chan, some);
        (void)build_op(build, child, CALL_CLOSE, chan);
        values += some;
    }
    struct op *op = build_expect(build, task, CALL_MERGE, first, OUT_CLOSED);
    op->repeat = (uint16_t)count;
    op->expect_count = (uint16_t)values;
    op->expect_detail = values_sum(first_value, values);
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first_task + i);
}

/* ---- selects with one possible winner ---- */

/* The one case that can go ahead, and who makes it so. Returns the task to be joined, or -1. */
static int add_winner(struct build *build, struct op *op, int child, int chan)
{
    switch (pick(build, 4)) {
    case 0:
        build_dawdle(build, child);
        (void)build_send(build, child, chan, 1);
        (void)build_case(op, ON_RECV, chan);
        return child;
    case 1:
        build_dawdle(build, child);
        (void)build_recv(build, child, chan, 1, false);
        build_case(op, ON_SEND, chan)->value = build_values(build, 1);
        return child;
    case 2:
        build_dawdle(build, child);
        (void)build_op(build, child, CALL_CLOSE, chan);
        (void)build_case(op, ON_RECV, chan);
        op->expect = OUT_CLOSED;
        op->expect_count = 0;
        return child;
    default:
        build_dawdle(build, child);
        (void)build_case(op, ON_JOINED, child);
        return -1;
    }
}

/* Of the losers nothing may remain: nobody stands in their channels any more. */
static void select_one(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    int chan = build_chan_of(build, 0);
    int losers[2] = {build_chan_of(build, 0), build_chan_of(build, 0)};
    struct op select = {.call = CALL_SELECT, .expect = OUT_OK, .repeat = 1, .expect_count = 1};
    uint32_t before = pick(build, 3);
    if (before > 0) (void)build_case(&select, ON_RECV, losers[0]);
    if (before > 1) build_case(&select, ON_AFTER, 0)->value = SLOT_NEVER;
    select.expect_detail = select.case_count;
    int joined = add_winner(build, &select, child, chan);
    build_case(&select, ON_SEND, losers[1])->value = build_values(build, 1);
    select.flags = chance(build, 20) ? OP_ORDERED : 0;
    select.group = (uint16_t)build->group;

    *build_op(build, task, CALL_SELECT, 0) = select;
    build_expect(build, task, CALL_TRY_SEND, losers[0], OUT_WOULD_BLOCK)->value =
        build_values(build, 1);
    (void)build_expect(build, task, CALL_TRY_RECV, losers[1], OUT_WOULD_BLOCK);
    if (chance(build, 50)) build_op(build, task, CALL_SLEEP, 0)->value = 2;
    (void)build_expect(
        build, task, CALL_JOIN, joined < 0 ? child : joined, joined < 0 ? OUT_GONE : OUT_OK);
}

/* Nobody else has to do anything for these. */
static void select_alone(struct build *build, int task)
{
    int chan = build_chan_of(build, 0);
    bool with_default = chance(build, 40);
    bool with_timer = !with_default && chance(build, 70);
    bool is_invalid = !with_default && !with_timer;
    struct op *op = build_op(build, task, CALL_SELECT, 0);
    if (is_invalid) {
        if (chance(build, 60)) (void)build_case(op, ON_DISABLED, 0);
        op->expect = OUT_INVALID;
        op->expect_count = 0;
        return;
    }
    (void)build_case(op, ON_RECV, chan);
    build_case(op, ON_SEND, chan)->value = build_values(build, 1);
    op->expect_detail = 2;
    if (with_default) (void)build_case(op, ON_DEFAULT, 0);
    if (!with_default) build_case(op, chance(build, 50) ? ON_AFTER : ON_AT, 0)->value = 1;
    if (!with_default) build_case(op, ON_AFTER, 0)->value = SLOT_NEVER;
}

/* ---- one task and its own channel ---- */

static void expect_try(struct build *build, int task, int chan, enum call call, int count, int end)
{
    struct op *op = build_op(build, task, call, chan);
    op->repeat = (uint16_t)(count + (end != OUT_OK));
    op->expect_count = (uint16_t)count;
    op->expect = (uint8_t)end;
    if (call == CALL_TRY_SEND || call == CALL_SEND) op->value = build_values(build, op->repeat);
}

static void own_channel(struct build *build, int task)
{
    int chan = build_chan(build);
    int capacity = build->program->chans[chan].capacity;
    expect_try(build, task, chan, CALL_TRY_RECV, 0, OUT_WOULD_BLOCK);
    expect_try(build, task, chan, CALL_TRY_SEND, capacity, OUT_WOULD_BLOCK);
    int taken = capacity / 2;
    if (taken > 0) {
        (void)build_recv(build, task, chan, taken, false);
        (void)build_send(build, task, chan, taken);
    }
    (void)build_op(build, task, CALL_CLOSE, chan);
    if (chance(build, 50)) (void)build_expect(build, task, CALL_CLOSE, chan, OUT_CLOSED);
    expect_try(build, task, chan, CALL_SEND, 0, OUT_CLOSED);
    expect_try(build, task, chan, CALL_TRY_SEND, 0, OUT_CLOSED);
    (void)build_recv(build, task, chan, capacity, true);
    expect_try(build, task, chan, CALL_TRY_RECV, 0, OUT_CLOSED);
}

/* ---- who waits when a channel is closed, or is cancelled ---- */

static void close_parked(struct build *build, int task)
{
    int chan = build_chan_of(build, 0);
    bool sends = chance(build, 50);
    int count = 1 + (int)pick(build, 3);
    int first = build->program->task_count;
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        if (chance(build, 70)) build_meet(build, task, child);
        struct op *op = build_expect(build, child, sends ? CALL_SEND : CALL_RECV, chan, OUT_CLOSED);
        if (sends) op->value = build_values(build, 1);
    }
    build_dawdle(build, task);
    (void)build_op(build, task, CALL_CLOSE, chan);
    (void)build_expect(build, task, CALL_RECV, chan, OUT_CLOSED);
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* Completed wins: the value was handed over before the cancellation. */
static void handed_over(struct build *build, int task)
{
    int chan = build_chan_of(build, 0);
    int child = build_task(build, task, CALL_SPAWN);
    bool sends = chance(build, 50);
    build_meet(build, task, child);
    struct op *op = build_op(build, child, sends ? CALL_SEND : CALL_RECV, chan);
    if (sends) op->value = build_values(build, 1);
    (void)build_expect(build, child, CALL_YIELD, 0, OUT_CANCELLED);
    expect_try(build, task, chan, sends ? CALL_TRY_RECV : CALL_TRY_SEND, 1, OUT_OK);
    (void)build_op(build, task, CALL_CANCEL, child);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* The ones that wait are served in turn, whether they wait in a call or in a select. */
static void in_turn(struct build *build, int task)
{
    bool child_sends = chance(build, 50);
    int chan = child_sends ? build_chan_of(build, 0) : build_chan(build);
    int count = 2 + (int)pick(build, 3);
    int first = build->program->task_count;
    uint16_t values = build_values(build, count);
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        build_meet(build, task, child);
        if (child_sends && chance(build, 50)) {
            struct op *op = build_op(build, child, CALL_SELECT, 0);
            build_case(op, ON_SEND, chan)->value = (uint16_t)(values + i);
            (void)build_case(op, ON_RECV, build_chan_of(build, 0));
        } else if (child_sends) {
            build_op(build, child, CALL_SEND, chan)->value = (uint16_t)(values + i);
        } else {
            build_recv(build, child, chan, 1, false)->expect_detail = values + i;
        }
    }
    for (int i = 0; i < count; i++) {
        if (child_sends) build_recv(build, task, chan, 1, false)->expect_detail = values + i;
        if (!child_sends) build_op(build, task, CALL_SEND, chan)->value = (uint16_t)(values + i);
    }
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* A receive from a full channel takes in what a sender waits with: it is full again. */
static void refilled(struct build *build, int task)
{
    int capacity = 1 + (int)pick(build, 3);
    int chan = build_private_chan(build, capacity);
    int child = build_task(build, task, CALL_SPAWN);
    (void)build_send(build, child, chan, capacity);
    build_meet(build, task, child);
    (void)build_send(build, child, chan, 1);
    (void)build_recv(build, task, chan, 1, false);
    expect_try(build, task, chan, CALL_TRY_SEND, 0, OUT_WOULD_BLOCK);
    (void)build_recv(build, task, chan, capacity, false);
    expect_try(build, task, chan, CALL_TRY_RECV, 0, OUT_WOULD_BLOCK);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* Who can always send lets others run before it is done with very many. */
static void much(struct build *build, int task)
{
    int chan = build_private_chan(build, 200);
    int child = build_task(build, task, CALL_SPAWN);
    (void)build_send(build, child, chan, 150);
    (void)build_op(build, child, CALL_CLOSE, chan);
    (void)build_op(build, task, CALL_YIELD, 0);
    struct op *op = build_expect(build, task, CALL_TRY_RECV, chan, OUT_WOULD_BLOCK);
    op->repeat = 150;
    op->expect_count = COUNT_ANY;
    op->flags = OP_SUMMARY | OP_HIDDEN;
    op = build_recv(build, task, chan, 150, true);
    op->expect_count = COUNT_ANY;
    op->flags = OP_SUMMARY | OP_HIDDEN;
    (void)build_op(build, task, CALL_JOIN, child);
}

void statement_chan(struct build *build, int task, int depth)
{
    switch (pick(build, 12)) {
    case 0:
    case 1:
        stream(build, task, depth);
        return;
    case 2:
        fan_in(build, task);
        return;
    case 3:
        merge(build, task);
        return;
    case 4:
        select_one(build, task);
        return;
    case 5:
        select_alone(build, task);
        return;
    case 6:
        own_channel(build, task);
        return;
    case 7:
        close_parked(build, task);
        return;
    case 8:
        handed_over(build, task);
        return;
    case 9:
        in_turn(build, task);
        return;
    case 10:
        refilled(build, task);
        return;
    default:
        if (chance(build, 40)) {
            much(build, task);
        } else {
            pool(build, task);
        }
        return;
    }
}
