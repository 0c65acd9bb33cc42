/* SPDX-License-Identifier: MIT */
/*
 * Calls on descriptors, and the balance of bytes: what one end wrote arrives at the other one, in
 * order where one task writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/differential/run.h"

/* ---- opening ---- */

static int tcp_open(struct line_state *line, bool only_listens)
{
    int result = weft_tcp_listen(&line->fds[2], "127.0.0.1:0", NULL);
    if (result < 0 || only_listens) return result;
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", weft_tcp_port(line->fds[2]));
    result = weft_tcp_dial(&line->fds[1], address);
    if (result < 0) return result;
    line->fds[0] = weft_accept(line->fds[2], NULL, NULL);
    (void)weft_close(line->fds[2]);
    line->fds[2] = -1;
    return line->fds[0] < 0 ? line->fds[0] : 0;
}

int lines_open(struct run *run)
{
    for (int i = 0; i < run->program->line_count; i++) {
        struct line_state *line = &run->lines[i];
        for (int side = 0; side < SIDES; side++)
            line->fds[side] = -1;
        int result = 0;
        switch ((enum line_kind)run->program->lines[i]) {
        case LINE_SOCKETS:
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line->fds) < 0) result = -errno;
            break;
        case LINE_PIPE:
            if (pipe2(line->fds, O_CLOEXEC) < 0) result = -errno;
            break;
        case LINE_TCP:
            result = tcp_open(line, false);
            break;
        default:
            result = tcp_open(line, true);
            break;
        }
        if (result < 0) return result;
    }
    return 0;
}

/* ---- bytes ---- */

static void bytes_fill(const struct op *op, uint8_t *bytes, uint64_t position, int task)
{
    if (!(op->flags & OP_STAMPED)) {
        memset(bytes, task + 1, op->size);
        return;
    }
    for (uint32_t i = 0; i < op->size; i++)
        bytes[i] = line_byte(position + i);
}

static void bytes_check(
    struct run *run, const struct op *op, const uint8_t *bytes, uint32_t count, uint64_t position)
{
    for (uint32_t i = 0; i < count; i++) {
        if (op->flags & OP_STAMPED && bytes[i] != line_byte(position + i)) {
            run_violation(
                run, "line %u: byte %llu is wrong", op->object, (unsigned long long)(position + i));
            return;
        }
        if (op->flags & OP_FRAMED && bytes[i] != bytes[0]) {
            run_violation(run, "line %u: one frame came in the middle of another", op->object);
            return;
        }
    }
}

/* ---- calls ---- */

static struct done transfer_out(struct task_state *task, const struct op *op, int fd)
{
    struct run *run = task->run;
    struct line_state *line = &run->lines[op->object];
    uint8_t *bytes = (uint8_t *)malloc(op->size);
    if (!bytes) return (struct done){OUT_OTHER, 0};
    bytes_fill(op, bytes, line->written[op->side], (int)(task - run->tasks));
    size_t count = 0;
    long result = 0;
    if (op->call == CALL_WRITE_ALL) {
        result = weft_write_all(fd, bytes, op->size, &count);
        if (result == 0 && count != op->size) run_violation(run, "write_all of %zu bytes", count);
    } else {
        result = weft_write(fd, bytes, op->size);
        if (result > 0) count = (size_t)result;
    }
    free(bytes);
    line->written[op->side] += count;
    task->result = result < 0 ? (int)result : 0;
    return (struct done){outcome_of(result), 0};
}

/* How much came before a failure is a race, except at the end of the stream. Of what was asked for
 * exactly, the first byte tells which part of the stream it is. */
static struct done transfer_in(struct task_state *task, const struct op *op, int fd)
{
    struct run *run = task->run;
    struct line_state *line = &run->lines[op->object];
    uint8_t *bytes = (uint8_t *)malloc(op->size);
    if (!bytes) return (struct done){OUT_OTHER, 0};
    size_t count = 0;
    long result = 0;
    if (op->call == CALL_READ_EXACTLY) {
        result = weft_read_exactly(fd, bytes, op->size, &count);
        if (result == 0 && count != op->size) run_violation(run, "read_exactly of %zu", count);
    } else {
        result = weft_read(fd, bytes, op->size);
        if (result > 0) count = (size_t)result;
    }
    bytes_check(run, op, bytes, (uint32_t)count, line->read[op->side]);
    int first = bytes[0];
    free(bytes);
    line->read[op->side] += count;
    task->result = result < 0 ? (int)result : 0;
    struct done done = {outcome_of(result), 0};
    if (done.outcome == OUT_OK || done.outcome == OUT_CLOSED) done.detail = (int32_t)count;
    if (done.outcome == OUT_OK && op->call == CALL_READ_EXACTLY) done.detail = first;
    if (op->call == CALL_READ && result == 0) done.outcome = OUT_END;
    return done;
}

static int wait_fd(struct run *run, const struct op *op, int fd)
{
    int events = (int)op->size & (WEFT_READABLE | WEFT_WRITABLE);
    int result = weft_wait_fd(fd, events);
    if (result == 0 || (result > 0 && (result & ~events) != 0)) {
        run_violation(run, "wait_fd(%d) gave %d", events, result);
    }
    return result < 0 ? result : 0;
}

static int close_fd(struct line_state *line, const struct op *op)
{
    int fd = line->fds[op->side];
    line->fds[op->side] = -1; /* the number may belong to somebody else from now on */
    if (fd >= 0) line->was_closed = true;
    return weft_close(fd);
}

static int dial(struct line_state *line)
{
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", weft_tcp_port(line->fds[2]));
    return weft_tcp_dial(&line->fds[1], address);
}

static int accept_one(struct line_state *line)
{
    int fd = weft_accept(line->fds[2], NULL, NULL);
    if (fd < 0) return fd;
    line->fds[0] = fd;
    return 0;
}

/* Closed by us, or (`side` 1) given back and closed as another library would, and opened again at
 * once: whoever opens next gets the lowest numbers. */
static int reopen(struct line_state *line, const struct op *op)
{
    for (int i = 0; i < 2; i++) {
        int fd = line->fds[i];
        line->fds[i] = -1;
        line->written[i] = line->read[i] = 0;
        int result = op->side ? weft_release(fd) : weft_close(fd);
        if (op->side && close(fd) < 0) result = -errno;
        if (result < 0) return result;
    }
    int result = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line->fds);
    return result < 0 ? -errno : 0;
}

struct done perform_line(struct task_state *task, const struct op *op)
{
    struct run *run = task->run;
    struct line_state *line = &run->lines[op->object];
    int fd = line->fds[op->side];
    int result = 0;
    switch ((enum call)op->call) {
    case CALL_READ:
    case CALL_READ_EXACTLY:
        return transfer_in(task, op, fd);
    case CALL_WRITE:
    case CALL_WRITE_ALL:
        return transfer_out(task, op, fd);
    case CALL_WAIT_FD:
        result = wait_fd(run, op, fd);
        break;
    case CALL_SHUTDOWN:
        result = weft_shutdown(fd, SHUT_WR);
        break;
    case CALL_CLOSE_FD:
        result = close_fd(line, op);
        break;
    case CALL_ACCEPT:
        result = accept_one(line);
        break;
    case CALL_REOPEN:
        result = reopen(line, op);
        break;
    default:
        result = dial(line);
        break;
    }
    task->result = result;
    return (struct done){outcome_of(result), 0};
}

/* ---- the end ---- */

/* Reads what is left of what `side` wrote. */
static void balance(struct run *run, int index, int side)
{
    struct line_state *line = &run->lines[index];
    bool is_pipe = run->program->lines[index] == LINE_PIPE;
    if (is_pipe) {
        (void)weft_close(line->fds[side]);
        line->fds[side] = -1;
    } else {
        (void)weft_shutdown(line->fds[side], SHUT_WR);
    }
    uint8_t bytes[4096];
    ssize_t count = 0;
    while ((count = weft_read(line->fds[!side], bytes, sizeof bytes)) > 0)
        line->read[!side] += (uint64_t)count;
    if (count < 0) run_violation(run, "line %d: reading the rest gave %zd", index, count);
    if (line->written[side] != line->read[!side]) {
        run_violation(run,
                      "line %d: %llu bytes were written and %llu arrived",
                      index,
                      (unsigned long long)line->written[side],
                      (unsigned long long)line->read[!side]);
    }
}

void lines_close(struct run *run)
{
    for (int i = 0; i < run->program->line_count; i++) {
        struct line_state *line = &run->lines[i];
        bool is_whole = !line->was_closed && line->fds[0] >= 0 && line->fds[1] >= 0;
        if (is_whole) balance(run, i, 1);
        if (is_whole && run->program->lines[i] != LINE_PIPE) balance(run, i, 0);
        for (int side = 0; side < SIDES; side++) {
            if (line->fds[side] >= 0) (void)weft_close(line->fds[side]);
        }
    }
}
