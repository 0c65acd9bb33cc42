/* SPDX-License-Identifier: MIT */
/*
 * A generated program: tasks with lists of operations on channels, lines (connected descriptors)
 * and each other. It is a function of its seed alone.
 *
 * Operations with the same `group` belong together: leaving a whole group out gives a program that
 * is as sound as before, which is how a failing one is shrunk.
 */
#ifndef WEFT_CONFORMANCE_DIFFERENTIAL_PROGRAM_H
#define WEFT_CONFORMANCE_DIFFERENTIAL_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TASKS_MAX = 56,
    OPS_MAX = 72, /* per task */
    CHANS_MAX = 72,
    LINES_MAX = 20,
    CASES_MAX = 12,
    SCOPES_MAX = 6,
    VALUES_MAX = 4096,
    GROUPS_MAX = 1024,
    VALUE_SIZE_MAX = 100,
    SLOT_END = 255,    /* when a racing program that still runs is ended */
    SLOT_NEVER = 9999, /* a time that no test reaches */
    COUNT_ANY = 65535,
};

/* Whether its races may be seen. */
enum kind {
    CONFLUENT,   /* no race decides anything visible; each outcome is known beforehand */
    RACING,      /* anything goes; the order is a function of the seed under the virtual clock */
    RACING_LINES /* the same with descriptors: only invariants hold */
};

/* clang-format off */
enum call {
    CALL_SEND, CALL_RECV, CALL_TRY_SEND, CALL_TRY_RECV, CALL_CLOSE, CALL_SELECT,
    CALL_MERGE, /* selects over several channels until all are closed */
    CALL_SPAWN, CALL_SCOPE_SPAWN, CALL_JOIN, CALL_CANCEL, CALL_DETACH, CALL_YIELD,
    CALL_DEFER, CALL_DEFERRED,
    CALL_SLEEP, CALL_SLEEP_UNTIL, CALL_TICKER,
    CALL_OPEN, CALL_OPEN_TIMEOUT, CALL_OPEN_SHIELD, CALL_SCOPE_CLOSE, CALL_SCOPE_CANCEL,
    CALL_NEXT, CALL_SET_DEADLINE, CALL_STATUS,
    CALL_READ, CALL_WRITE, CALL_READ_EXACTLY, CALL_WRITE_ALL, CALL_WAIT_FD,
    CALL_SHUTDOWN, CALL_CLOSE_FD, CALL_ACCEPT, CALL_DIAL,
    CALL_REOPEN, /* the same numbers for a new pair of sockets */
    CALL_COUNT
};

enum outcome {
    OUT_OK, OUT_CLOSED, OUT_TIMED_OUT, OUT_CANCELLED, OUT_WOULD_BLOCK, OUT_GONE, OUT_BAD_FD,
    OUT_DEADLOCK, OUT_INVALID, OUT_END, OUT_FAILED, OUT_RESET,
    OUT_OTHER, /* an error that no call should give */
    OUT_COUNT,
    OUT_ANY, /* as an expectation */
};

enum case_kind { ON_SEND, ON_RECV, ON_AFTER, ON_AT, ON_JOINED, ON_READABLE, ON_WRITABLE, ON_DEFAULT,
                 ON_DISABLED };
/* clang-format on */

struct choice {
    uint8_t kind;   /* enum case_kind */
    uint8_t object; /* channel, task or line */
    uint8_t side;
    uint16_t value; /* to send, or the slot of a timer */
};

enum {
    OP_SUMMARY = 1 << 0, /* one event for all repeats, without their order */
    OP_HIDDEN = 1 << 1,  /* how often it succeeds is a race: only the last outcome counts */
    OP_ORDERED = 1 << 2, /* select */
    OP_STAMPED = 1 << 3, /* the bytes of a line are checked against their position */
    OP_FRAMED = 1 << 4,  /* each write is one frame of equal bytes */
};

struct op {
    uint8_t call;   /* enum call */
    uint8_t object; /* channel, task or line */
    uint8_t side;   /* of a line */
    uint8_t expect; /* enum outcome of the last repeat */
    uint8_t flags;
    uint8_t case_count;
    uint16_t repeat;       /* at most so often; ends with the first that fails */
    uint16_t expect_count; /* how many succeed; COUNT_ANY */
    uint16_t value;        /* first value to send, or a slot */
    uint16_t group;
    uint32_t size;         /* bytes of a transfer, or events to wait for */
    int32_t expect_detail; /* a select's winner, a result, a sum; -1: any */
    struct choice cases[CASES_MAX];
};

enum result_kind { RETURNS_ZERO, RETURNS_FAILURE, RETURNS_OTHER_FAILURE, RETURNS_LAST };

/* What they give, without the sign. */
enum { FAILURE_CODE = 5, OTHER_FAILURE_CODE = 6 };

struct task_plan {
    uint8_t result; /* enum result_kind; LAST: what its last call gave */
    uint8_t op_count;
    struct op ops[OPS_MAX];
};

struct chan_plan {
    uint16_t capacity;
    uint8_t value_size;
    bool is_shared;
    bool drops; /* what is left in it is handed to its destructor */
};

enum line_kind { LINE_SOCKETS, LINE_PIPE, LINE_TCP, LINE_LISTENER };

struct program {
    uint64_t seed;
    enum kind kind;
    int task_count, chan_count, line_count;
    int value_count, group_count;
    struct task_plan tasks[TASKS_MAX];
    struct chan_plan chans[CHANS_MAX];
    uint8_t lines[LINES_MAX]; /* enum line_kind; a listener is dialled and accepted first */
    bool dropped[GROUPS_MAX]; /* left out */
};

/* The byte of a line at a position, where its bytes are stamped. */
static inline uint8_t line_byte(uint64_t position)
{
    return (uint8_t)(position * 31 + (position >> 8));
}

void program_generate(struct program *ret, uint64_t seed);
void program_show(const struct program *program);

extern const char *const call_names[CALL_COUNT];
extern const char *const outcome_names[OUT_COUNT];

/* Bits of outcomes: those that a run must have hit, and all that a call may give. */
uint32_t call_required(enum call call);
uint32_t call_allowed(enum call call);

#endif
