/* SPDX-License-Identifier: MIT */
/*
 * Running a program with real calls, and what is noted meanwhile.
 *
 * One program at a time, in static memory. After a violation the process should end: tasks that did
 * not end may still hold parts of it.
 */
#ifndef WEFT_CONFORMANCE_DIFFERENTIAL_RUN_H
#define WEFT_CONFORMANCE_DIFFERENTIAL_RUN_H

#include <weft/weft.h>

#include "conformance/differential/program.h"

enum { EVENTS_MAX = 16384, DEFERRALS_MAX = 8, SIDES = 3 };

/* What one call did. */
struct event {
    uint8_t task, op, call, outcome;
    int32_t detail; /* a value, an index, a result, a count of bytes; 0 where it is a race */
    int32_t slot;   /* when, in a racing program */
};

struct deferral {
    struct task_state *task;
    const struct op *op;
};

struct task_state {
    struct run *run;
    const struct task_plan *plan;
    weft_task handle; /* {0, NULL} until it is spawned */
    bool is_spawned, has_ended;
    int result;                /* of its last call */
    struct weft_scope *scopes; /* on its stack; `depth` of them are open */
    int depth;
    int deferral_count;
    struct deferral deferrals[DEFERRALS_MAX];
};

struct line_state {
    int fds[SIDES];      /* [2]: a listener; -1: closed, or not open yet */
    bool was_closed;     /* by an operation: bytes may be lost */
    uint64_t written[2]; /* by this side */
    uint64_t read[2];    /* by this side, of what the other one wrote */
};

/* What a channel's destructor gets. */
struct drop {
    struct run *run;
    int chan;
};

struct run {
    const struct program *program;
    bool is_virtual;
    int64_t base_ns; /* the time of slot 0 */
    int64_t slot_ns;
    struct weft_chan *chans[CHANS_MAX];
    struct drop drops[CHANS_MAX];
    struct line_state lines[LINES_MAX];
    struct task_state tasks[TASKS_MAX];
    struct weft_chan *ended; /* has a place for every task */
    uint8_t accepted[VALUES_MAX], received[VALUES_MAX];

    struct event events[EVENTS_MAX];
    int event_count;
    bool hits[CALL_COUNT][OUT_COUNT];
    char violation[512]; /* the first; empty if all is well */
};

/* Runs it to its end and checks what must hold whatever happened. */
void run_program(struct run *run, const struct program *program, bool is_virtual);

/* Two numbers that stand for the trace: of each task alone, and of all events in their order. */
uint64_t run_tasks_hash(const struct run *run);
uint64_t run_order_hash(const struct run *run);
void run_print_events(const struct run *run);

/* Records what must never happen; only the first counts. */
void run_violation(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- for the files that perform the calls ---- */

struct done {
    enum outcome outcome;
    int32_t detail;
};

enum outcome outcome_of(long result);
int64_t slot_duration(const struct run *run, int slot); /* from now; NEVER is far away */
int64_t slot_deadline(const struct run *run, int slot);
int task_index(const struct run *run, weft_task handle); /* -1: none of ours */
void note_event(struct task_state *task, const struct op *op, enum call call, struct done done);

struct done perform_chan(struct task_state *task, const struct op *op, int repeat);
struct done perform_select(struct task_state *task, const struct op *op);
struct done perform_merge(struct task_state *task, const struct op *op);
struct done perform_task(struct task_state *task, const struct op *op);
struct done perform_line(struct task_state *task, const struct op *op);
int run_task(void *arg);

int lines_open(struct run *run); /* in a task */
void lines_close(struct run *run);
void chan_drop(void *value, void *arg);
void chans_close(struct run *run); /* drains them, and looks at the balance of the values */

#endif
