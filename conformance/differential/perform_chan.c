/* SPDX-License-Identifier: MIT */
/*
 * Calls on channels, and the balance of values: each that was accepted arrives once, and no other.
 *
 * A value is its number in two bytes, then bytes that follow from it. Targets are filled with a
 * mark before, to see that what must not be written is not, and that a closed channel zeroes.
 */
#include <string.h>

#include "conformance/differential/run.h"

enum { MARK = 0xA5, SUM_CASES_MAX = 8 };

static void value_fill(uint8_t *bytes, int size, int value)
{
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value * 7 + i * 31);
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static bool all_bytes_are(const uint8_t *bytes, int size, uint8_t byte)
{
    for (int i = 0; i < size; i++) {
        if (bytes[i] != byte) return false;
    }
    return true;
}

static void note_sent(struct run *run, int value, enum outcome outcome)
{
    if (outcome == OUT_OK) run->accepted[value]++;
}

/* The number of the value that arrived. */
static int note_received(struct run *run, int chan, const uint8_t *bytes)
{
    uint8_t wanted[VALUE_SIZE_MAX];
    int size = run->program->chans[chan].value_size;
    int value = bytes[0] | bytes[1] << 8;
    value_fill(wanted, size, value);
    if (value >= run->program->value_count || memcmp(bytes, wanted, (size_t)size) != 0) {
        run_violation(run, "channel %d gave what nobody sent (value %d?)", chan, value);
        return 0;
    }
    if (++run->received[value] > 1) run_violation(run, "value %d arrived twice", value);
    return value;
}

/* What a receive must leave in its target. */
static void check_target(struct run *run, int chan, const uint8_t *bytes, enum outcome outcome)
{
    int size = run->program->chans[chan].value_size;
    if (outcome == OUT_OK) return;
    uint8_t expected = outcome == OUT_CLOSED ? 0 : MARK;
    if (!all_bytes_are(bytes, size, expected)) {
        run_violation(run,
                      "channel %d: after `%s` the target is not %s",
                      chan,
                      outcome_names[outcome],
                      expected ? "as it was" : "zero");
    }
}

struct done perform_chan(struct task_state *task, const struct op *op, int repeat)
{
    struct run *run = task->run;
    struct weft_chan *chan = run->chans[op->object];
    int size = run->program->chans[op->object].value_size;
    int value = op->value + repeat;
    uint8_t bytes[VALUE_SIZE_MAX];
    memset(bytes, MARK, sizeof bytes);
    int result = 0;
    switch ((enum call)op->call) {
    case CALL_SEND:
        value_fill(bytes, size, value);
        result = weft_chan_send(chan, bytes);
        break;
    case CALL_TRY_SEND:
        value_fill(bytes, size, value);
        result = weft_chan_try_send(chan, bytes);
        break;
    case CALL_RECV:
        result = weft_chan_recv(chan, bytes);
        break;
    case CALL_TRY_RECV:
        result = weft_chan_try_recv(chan, bytes);
        break;
    default:
        result = weft_chan_close(chan);
        task->result = result;
        return (struct done){outcome_of(result), 0};
    }
    task->result = result;
    struct done done = {outcome_of(result), 0};
    if (op->call == CALL_SEND || op->call == CALL_TRY_SEND) {
        note_sent(run, value, done.outcome);
        return done;
    }
    check_target(run, op->object, bytes, done.outcome);
    if (result == 0) done.detail = note_received(run, op->object, bytes);
    return done;
}

/* ---- select ---- */

struct prepared {
    struct weft_case cases[CASES_MAX];
    uint8_t bytes[CASES_MAX][VALUE_SIZE_MAX];
    int statuses[CASES_MAX];
};

static struct weft_case prepare(struct run *run,
                                const struct choice *choice,
                                uint8_t *bytes,
                                int *ret_status)
{
    struct weft_chan *chan = run->chans[choice->object % CHANS_MAX];
    int fd = choice->object < LINES_MAX ? run->lines[choice->object].fds[choice->side] : -1;
    switch ((enum case_kind)choice->kind) {
    case ON_SEND:
        value_fill(bytes, run->program->chans[choice->object].value_size, choice->value);
        return weft_on_send(chan, bytes, ret_status);
    case ON_RECV:
        return weft_on_recv(chan, bytes, ret_status);
    case ON_AFTER:
        return weft_after(slot_duration(run, choice->value), ret_status);
    case ON_AT:
        return weft_at(slot_deadline(run, choice->value), ret_status);
    case ON_JOINED:
        return weft_on_joined(run->tasks[choice->object].handle, NULL, ret_status);
    case ON_READABLE:
        return weft_on_readable(fd, ret_status);
    case ON_WRITABLE:
        return weft_on_writable(fd, ret_status);
    case ON_DISABLED:
        return weft_on_recv(NULL, bytes, ret_status);
    default:
        return weft_default();
    }
}

/* The losers have had no effect on their targets; whether a value is lost shows at the end. */
static struct done finish(struct run *run,
                          const struct op *op,
                          const struct prepared *prepared,
                          int winner)
{
    struct done done = {outcome_of(winner), winner < 0 ? 0 : winner};
    for (int i = 0; i < op->case_count; i++) {
        const struct choice *choice = &op->cases[i];
        enum outcome status = OUT_WOULD_BLOCK; /* as far as a loser's target is concerned */
        if (i == winner) {
            status = outcome_of(prepared->statuses[i]);
            done.outcome = status;
        }
        if (choice->kind == ON_SEND) note_sent(run, choice->value, status);
        if (choice->kind != ON_RECV) continue;
        check_target(run, choice->object, prepared->bytes[i], status);
        if (status == OUT_OK) (void)note_received(run, choice->object, prepared->bytes[i]);
    }
    return done;
}

struct done perform_select(struct task_state *task, const struct op *op)
{
    struct run *run = task->run;
    struct prepared prepared;
    memset(prepared.bytes, MARK, sizeof prepared.bytes);
    memset(prepared.statuses, 0, sizeof prepared.statuses);
    for (int i = 0; i < op->case_count; i++) {
        prepared.cases[i] = prepare(run, &op->cases[i], prepared.bytes[i], &prepared.statuses[i]);
    }
    unsigned flags = op->flags & OP_ORDERED ? WEFT_ORDERED : 0;
    int winner = weft_select_from(prepared.cases, op->case_count, flags);
    task->result = winner < 0 ? winner : 0;
    return finish(run, op, &prepared, winner);
}

/* Until all channels are closed; the detail is the sum of the values. */
struct done perform_merge(struct task_state *task, const struct op *op)
{
    struct run *run = task->run;
    struct op select = {.call = CALL_SELECT, .case_count = (uint8_t)op->repeat};
    int open_count = op->repeat;
    struct done total = {OUT_CLOSED, 0};
    int received = 0;
    for (int i = 0; i < op->repeat; i++)
        select.cases[i] = (struct choice){.kind = ON_RECV, .object = (uint8_t)(op->object + i)};
    while (open_count > 0) {
        struct prepared prepared;
        memset(&prepared, 0, sizeof prepared);
        memset(prepared.bytes, MARK, sizeof prepared.bytes);
        for (int i = 0; i < op->repeat; i++) {
            struct weft_case *it = &prepared.cases[i];
            *it = prepare(run, &select.cases[i], prepared.bytes[i], &prepared.statuses[i]);
            if (select.cases[i].side) it->kind = WEFT_CASE_DISABLED; /* closed before */
        }
        int winner = weft_select_from(prepared.cases, op->repeat, 0);
        struct done done = finish(run, &select, &prepared, winner);
        if (winner < 0) return (struct done){done.outcome, total.detail};
        if (done.outcome == OUT_CLOSED) {
            select.cases[winner].side = 1;
            open_count--;
            continue;
        }
        total.detail += prepared.bytes[winner][0] | prepared.bytes[winner][1] << 8;
        received++;
    }
    if (op->expect_count != COUNT_ANY && received != op->expect_count) {
        run_violation(run, "a merge of %d values received %d", op->expect_count, received);
    }
    return total;
}

/* ---- the end ---- */

void chan_drop(void *value, void *arg)
{
    const struct drop *drop = (const struct drop *)arg;
    (void)note_received(drop->run, drop->chan, (const uint8_t *)value);
}

void chans_close(struct run *run)
{
    for (int i = 0; i < run->program->chan_count; i++) {
        uint8_t bytes[VALUE_SIZE_MAX];
        while (!run->program->chans[i].drops && weft_chan_try_recv(run->chans[i], bytes) == 0)
            (void)note_received(run, i, bytes);
        weft_chan_unref(run->chans[i]);
    }
    weft_chan_unref(run->ended);
    for (int i = 0; i < run->program->value_count; i++) {
        if (run->accepted[i] == run->received[i]) continue;
        run_violation(run,
                      "value %d was accepted %d times and arrived %d times",
                      i,
                      run->accepted[i],
                      run->received[i]);
    }
}
