/* SPDX-License-Identifier: MIT */
/*
 * Statements about descriptors: whatever the kernel does with the bytes on their way, the ones that
 * arrive are those that were sent.
 */
#include "conformance/differential/build.h"

enum { FRAME_SIZE = 512, LARGE = 300000 };

static struct op *transfer(struct build *build, int task, enum call call, int line, int side)
{
    struct op *op = build_op(build, task, call, line);
    op->side = (uint8_t)side;
    op->flags = OP_STAMPED;
    op->size = chance(build, 10) ? LARGE : 1 + pick(build, 3000);
    return op;
}

/* Side 0 reads and side 1 writes. A listener's line is connected here. */
static int connected(struct build *build, int reader, int writer)
{
    enum line_kind kinds[] = {LINE_SOCKETS, LINE_PIPE, LINE_TCP, LINE_LISTENER};
    enum line_kind kind = kinds[pick(build, reader == writer ? 3 : 4)];
    int line = build_line(build, kind);
    if (kind == LINE_LISTENER) {
        build_dawdle(build, reader);
        (void)build_op(build, reader, CALL_ACCEPT, line);
        (void)build_op(build, writer, CALL_DIAL, line);
    }
    return line;
}

/* One writes and closes, the other one reads to the end. */
static void stream(struct build *build, int task, int depth)
{
    int child = build_task(build, task, CALL_SPAWN);
    bool child_writes = chance(build, 50);
    int writer = child_writes ? child : task;
    int reader = child_writes ? task : child;
    int line = connected(build, reader, writer);
    statement(build, child, depth);
    build_dawdle(build, task);
    uint32_t total = 0;
    for (uint32_t count = 1 + pick(build, 3); count > 0; count--)
        total += transfer(build, writer, CALL_WRITE_ALL, line, 1)->size;
    bool exact = chance(build, 50);
    struct op *op = transfer(build, reader, exact ? CALL_READ_EXACTLY : CALL_READ, line, 0);
    op->size = exact ? total : LARGE / 4;
    if (exact) {
        op = transfer(build, reader, CALL_READ, line, 0);
    } else {
        op->repeat = COUNT_ANY;
        op->flags |= OP_SUMMARY | OP_HIDDEN;
        op->expect_count = COUNT_ANY;
        op->expect_detail = (int32_t)total;
    }
    op->expect = OUT_END;
    if (exact) op->expect_count = 0;
    bool is_pipe = build->program->lines[line] == LINE_PIPE;
    (void)transfer(
        build, writer, is_pipe || chance(build, 50) ? CALL_CLOSE_FD : CALL_SHUTDOWN, line, 1);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* The stream ends before all that was asked for is there. */
static void short_stream(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    int line = connected(build, task, child);
    build_dawdle(build, child);
    uint32_t size = transfer(build, child, CALL_WRITE_ALL, line, 1)->size;
    (void)transfer(build, child, CALL_CLOSE_FD, line, 1);
    struct op *op = transfer(build, task, CALL_READ_EXACTLY, line, 0);
    op->size = size + 1;
    op->expect = OUT_CLOSED;
    op->expect_count = 0;
    op->expect_detail = (int32_t)size;
    (void)build_op(build, task, CALL_JOIN, child);
}

/* Requests and answers. */
static void echo(struct build *build, int task)
{
    int child = build_task(build, task, CALL_SPAWN);
    int line = build_line(build, chance(build, 50) ? LINE_TCP : LINE_SOCKETS);
    for (uint32_t count = 1 + pick(build, 4); count > 0; count--) {
        uint32_t size = transfer(build, task, CALL_WRITE_ALL, line, 1)->size;
        transfer(build, child, CALL_READ_EXACTLY, line, 0)->size = size;
        if (chance(build, 30)) {
            struct op *op = build_op(build, task, CALL_WAIT_FD, line);
            op->side = 1;
            op->size = 1; /* readable */
        }
        size = transfer(build, child, CALL_WRITE_ALL, line, 0)->size;
        transfer(build, task, CALL_READ_EXACTLY, line, 1)->size = size;
    }
    (void)build_op(build, task, CALL_JOIN, child);
}

/* Several write frames to one line; none comes in the middle of another one. */
static void frames(struct build *build, int task)
{
    int first = build->program->task_count;
    int line = build_line(build, chance(build, 50) ? LINE_PIPE : LINE_SOCKETS);
    int count = 2 + (int)pick(build, 2);
    int each = 1 + (int)pick(build, 40);
    bool large = chance(build, 30); /* one frame takes several writes */
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        struct op *op = transfer(build, child, CALL_WRITE_ALL, line, 1);
        op->flags = OP_FRAMED;
        op->size = large ? LARGE : FRAME_SIZE;
        op->repeat = op->expect_count = (uint16_t)(large ? 1 : each);
    }
    struct op *op = transfer(build, task, CALL_READ_EXACTLY, line, 0);
    op->flags = OP_FRAMED;
    op->size = large ? LARGE : FRAME_SIZE;
    op->repeat = op->expect_count = (uint16_t)(count * (large ? 1 : each));
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* Readers of one line are served in turn. */
static void readers(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    int first = build->program->task_count;
    int count = 3 + (int)pick(build, 2);
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        build_meet(build, task, child);
        struct op *op = transfer(build, child, CALL_READ_EXACTLY, line, 0);
        op->size = 7;
        op->expect_detail = line_byte(7 * (uint64_t)i);
    }
    transfer(build, task, CALL_WRITE_ALL, line, 1)->size = 7 * (uint32_t)count;
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* All that wait for readiness wake; also a select. */
static void readiness(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    int first = build->program->task_count;
    int count = 1 + (int)pick(build, 3);
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        if (chance(build, 50)) build_meet(build, task, child);
        bool selects = chance(build, 40);
        struct op *op = build_op(build, child, selects ? CALL_SELECT : CALL_WAIT_FD, line);
        op->size = 1; /* readable */
        if (!selects) continue;
        (void)build_case(op, ON_RECV, build_chan_of(build, 0));
        (void)build_case(op, ON_READABLE, line);
        op->expect_detail = 1;
    }
    build_dawdle(build, task);
    transfer(build, task, CALL_WRITE_ALL, line, 1)->size = 10;
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* All that wait wake, also when the first of them takes everything. */
static void all_wake(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    int first = build->program->task_count;
    int count = 2 + (int)pick(build, 2);
    for (int i = 0; i < count; i++) {
        int child = build_task(build, task, CALL_SPAWN);
        build_meet(build, task, child);
        build_op(build, child, CALL_WAIT_FD, line)->size = 1; /* readable */
        if (i == 0) transfer(build, child, CALL_READ_EXACTLY, line, 0)->size = 10;
    }
    transfer(build, task, CALL_WRITE_ALL, line, 1)->size = 10;
    for (int i = 0; i < count; i++)
        (void)build_op(build, task, CALL_JOIN, first + i);
}

/* Nothing is there to be read. One report may be spurious, and there is no second one. */
static void expect_quiet(struct build *build, int task, int line)
{
    build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = 2;
    struct op *op = build_expect(build, task, CALL_WAIT_FD, line, OUT_TIMED_OUT);
    op->size = 1; /* readable */
    op->repeat = 3;
    op->expect_count = COUNT_ANY;
    op->flags = OP_SUMMARY | OP_HIDDEN;
    (void)build_expect(build, task, CALL_SCOPE_CLOSE, 0, OUT_TIMED_OUT);
}

/* A line is closed and its numbers are used again: the new one hears nothing of the old one. */
static void reopened(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    for (uint32_t count = 2 + pick(build, 2); count > 0; count--) {
        int child = build_task(build, task, CALL_SPAWN);
        build_dawdle(build, child);
        uint32_t size = transfer(build, child, CALL_WRITE_ALL, line, 1)->size = 10;
        bool leaves = chance(build, 40); /* something in it */
        transfer(build, task, CALL_READ_EXACTLY, line, 0)->size = size - leaves;
        (void)build_op(build, task, CALL_JOIN, child);
        if (!leaves && chance(build, 50)) expect_quiet(build, task, line);
        build_op(build, task, CALL_REOPEN, line)->side = (uint8_t)pick(build, 2);
        if (chance(build, 50)) expect_quiet(build, task, line);
    }
}

/* Whoever was there before a wait is told of at once; what was read is not told of again. */
static void seen(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    int child = build_task(build, task, CALL_SPAWN);
    build_meet(build, task, child);
    build_op(build, child, CALL_WAIT_FD, line)->size = 1; /* readable */
    transfer(build, task, CALL_WRITE_ALL, line, 1)->size = 10;
    (void)build_op(build, task, CALL_JOIN, child);
    for (int i = 0; i < 2; i++) { /* polls that find it ready, with nobody waiting */
        build_op(build, task, CALL_SLEEP, 0)->value = 1;
    }
    transfer(build, task, CALL_READ_EXACTLY, line, 0)->size = 10;
    expect_quiet(build, task, line);
}

/* ---- the end of a line ---- */

/* Our own end is closed while somebody waits for it. */
static void closed_under(struct build *build, int task)
{
    int line = build_line(build, LINE_SOCKETS);
    int child = build_task(build, task, CALL_SPAWN);
    enum call calls[] = {
        CALL_READ, CALL_READ_EXACTLY, CALL_WAIT_FD, CALL_SELECT, CALL_WRITE_ALL, CALL_WRITE};
    enum call call = calls[pick(build, 6)];
    if (call == CALL_WRITE) { /* sleeps only when the line is full */
        build_fill(build, child, line, 0);
    }
    build_meet(build, task, child);
    struct op *op = build_expect(build, child, call, line, OUT_BAD_FD);
    op->size = call == CALL_WAIT_FD ? 1 : LARGE * 10;
    if (call == CALL_SELECT) {
        (void)build_case(op, ON_READABLE, line);
        op->expect = OUT_ANY; /* a status, or the result of the whole */
        op->expect_count = COUNT_ANY;
    }
    build_dawdle(build, task);
    (void)build_op(build, task, CALL_CLOSE_FD, line);
    (void)build_op(build, task, CALL_JOIN, child);
}

/* The other end goes while somebody waits for room to write: it hears of a hang-up. */
static void hung_up(struct build *build, int task)
{
    bool is_pipe = chance(build, 40);
    int line = build_line(build, is_pipe ? LINE_PIPE : LINE_SOCKETS);
    int child = build_task(build, task, CALL_SPAWN);
    bool only_waits = chance(build, 50);
    if (only_waits) {
        build_fill(build, child, line, 1);
        build_meet(build, task, child);
        struct op *op = build_op(build, child, CALL_WAIT_FD, line);
        op->side = 1;
        op->size = 2; /* writable */
    }
    struct op *op =
        build_expect(build, child, only_waits ? CALL_WRITE : CALL_WRITE_ALL, line, OUT_CLOSED);
    op->side = 1;
    op->size = LARGE * 10;
    build_dawdle(build, task);
    (void)build_op(build, task, CALL_CLOSE_FD, line); /* side 0 */
    (void)build_op(build, task, CALL_JOIN, child);
}

/* A time-out in the middle; what comes later is there for the next reader. */
static void late(struct build *build, int task)
{
    int line = connected(build, task, task);
    uint32_t slot = pick(build, 3);
    build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = (uint16_t)slot;
    struct op *op = build_expect(build, task, CALL_READ, line, OUT_TIMED_OUT);
    op->size = 10;
    /* a scope without time does not expire */
    (void)build_expect(build, task, CALL_SCOPE_CLOSE, 0, slot == 0 ? OUT_OK : OUT_TIMED_OUT);
    uint32_t size = transfer(build, task, CALL_WRITE_ALL, line, 1)->size = 1 + pick(build, 3000);
    transfer(build, task, CALL_READ_EXACTLY, line, 0)->size = size;
}

static void nobody_dials(struct build *build, int task)
{
    int line = build_line(build, LINE_LISTENER);
    if (chance(build, 50)) {
        build_op(build, task, CALL_OPEN_TIMEOUT, 0)->value = 1;
        (void)build_expect(build, task, CALL_ACCEPT, line, OUT_TIMED_OUT);
        (void)build_expect(build, task, CALL_SCOPE_CLOSE, 0, OUT_TIMED_OUT);
        return;
    }
    int child = build_task(build, task, CALL_SPAWN);
    build_meet(build, task, child);
    bool closes = chance(build, 50);
    (void)build_expect(build, child, CALL_ACCEPT, line, closes ? OUT_BAD_FD : OUT_CANCELLED);
    if (closes) build_op(build, task, CALL_CLOSE_FD, line)->side = 2; /* the listener itself */
    if (!closes) (void)build_op(build, task, CALL_CANCEL, child);
    (void)build_op(build, task, CALL_JOIN, child);
}

void statement_line(struct build *build, int task, int depth)
{
    static void (*const simple[])(struct build *, int) = {
        short_stream,
        echo,
        frames,
        readers,
        readiness,
        all_wake,
        reopened,
        reopened,
        seen,
        closed_under,
        closed_under,
        hung_up,
        late,
        nobody_dials,
        nobody_dials,
        hung_up,
    };
    uint32_t simple_count = sizeof simple / sizeof simple[0];
    uint32_t which = pick(build, simple_count + 2);
    if (which < simple_count) {
        simple[which](build, task);
    } else {
        stream(build, task, depth);
    }
}
