/* SPDX-License-Identifier: MIT */
/*
 * Confluent programs: trees of statements, each of which is sound by itself.
 *
 * A statement makes the channels, lines and tasks that it needs and ends by itself. Whatever order
 * its tasks run in, each outcome is the one that is noted beside its operation, so that such a
 * program judges one backend alone, too.
 */
#include <stddef.h>

#include "conformance/differential/build.h"

enum { DEPTH_MAX = 3 };

void statement(struct build *build, int task, int depth)
{
    if (depth >= DEPTH_MAX || !build_has_room(build, task, 8, 14, 7)) return;
    int outer = build->group;
    build_group(build);
    uint32_t area = pick(build, 100);
    if (area < 30) {
        statement_chan(build, task, depth + 1);
    } else if (area < 67) {
        statement_task(build, task, depth + 1);
    } else {
        statement_line(build, task, depth + 1);
    }
    build->group = outer;
}

void confluent_generate(struct build *build)
{
    for (uint32_t count = 3 + pick(build, 4); count > 0; count--)
        statement(build, 0, 0);
}

void build_dawdle(struct build *build, int task)
{
    if (chance(build, 30)) (void)build_op(build, task, CALL_YIELD, 0);
    if (chance(build, 20)) build_op(build, task, CALL_SLEEP, 0)->value = 1;
}

void build_meet(struct build *build, int task, int child)
{
    int chan = build_private_chan(build, 0);
    (void)build_send(build, child, chan, 1);
    (void)build_recv(build, task, chan, 1, false);
    (void)build_op(build, task, CALL_YIELD, 0);
}

void build_fill(struct build *build, int task, int line, int side)
{
    (void)build_op(build, task, CALL_OPEN_SHIELD, 0);
    (void)build_op(build, task, CALL_OPEN_TIMEOUT, 0); /* slot 0 */
    struct op *op = build_expect(build, task, CALL_WRITE_ALL, line, OUT_TIMED_OUT);
    op->side = (uint8_t)side;
    op->size = 3000000;
    (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
    (void)build_op(build, task, CALL_SCOPE_CLOSE, 0);
}

/* Many ways to sleep for ever. What is made for it is used by nobody else. */
void build_block(struct build *build, int task, enum outcome outcome)
{
    struct op *op = NULL;
    int chan = build_chan_of(build, 0);
    switch (pick(build, 13)) {
    case 0:
        (void)build_expect(build, task, CALL_RECV, chan, outcome);
        return;
    case 1:
        op = build_expect(build, task, CALL_SEND, chan, outcome);
        op->value = build_values(build, 1);
        return;
    case 2: /* more than fits */
        chan = build_chan_of(build, 3);
        op = build_send(build, task, chan, 4);
        op->expect = (uint8_t)outcome;
        op->expect_count = COUNT_ANY; /* it may be interrupted before it begins */
        op->flags = OP_SUMMARY | OP_HIDDEN;
        return;
    case 3:
        op = build_expect(build, task, CALL_SELECT, 0, outcome);
        (void)build_case(op, ON_RECV, chan);
        build_case(op, ON_AFTER, 0)->value = SLOT_NEVER;
        build_case(op, ON_SEND, build_chan_of(build, 0))->value = build_values(build, 1);
        return;
    case 4:
        build_expect(build, task, CALL_SLEEP, 0, outcome)->value = SLOT_NEVER;
        return;
    case 5:
        build_expect(build, task, CALL_TICKER, 0, outcome)->value = SLOT_NEVER;
        return;
    case 6:
        op = build_expect(build, task, CALL_READ, build_line(build, LINE_SOCKETS), outcome);
        op->size = 10;
        return;
    case 7: /* more than the kernel holds */
        op = build_expect(build, task, CALL_WRITE_ALL, build_line(build, LINE_SOCKETS), outcome);
        op->size = 3000000;
        return;
    case 8:
        build_expect(build, task, CALL_SLEEP_UNTIL, 0, outcome)->value = SLOT_NEVER;
        return;
    case 9:
        op = build_expect(build, task, CALL_READ_EXACTLY, build_line(build, LINE_SOCKETS), outcome);
        op->size = 10;
        return;
    case 10: {
        int line = build_line(build, LINE_SOCKETS);
        build_fill(build, task, line, 0);
        build_expect(build, task, CALL_WRITE, line, outcome)->size = 10;
        return;
    }
    case 11:
        (void)build_expect(build, task, CALL_ACCEPT, build_line(build, LINE_LISTENER), outcome);
        return;
    default:
        op = build_expect(build, task, CALL_WAIT_FD, build_line(build, LINE_SOCKETS), outcome);
        op->size = 1; /* readable */
        return;
    }
}
