/* SPDX-License-Identifier: MIT */
/*
 * Adding to a program, its texts, and which kind of program a seed means.
 */
#include "conformance/differential/build.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { OPS_RESERVE = 26, VALUES_RESERVE = 600 }; /* more than any one statement adds */

/* clang-format off */
const char *const call_names[CALL_COUNT] = {
    "send", "recv", "try_send", "try_recv", "close", "select", "merge",
    "spawn", "scope_spawn", "join", "cancel", "detach", "yield", "defer", "deferred",
    "sleep", "sleep_until", "ticker",
    "scope_open", "scope_timeout", "scope_shield", "scope_close", "scope_cancel",
    "scope_next", "set_deadline", "scope_status",
    "read", "write", "read_exactly", "write_all", "wait_fd",
    "shutdown", "close_fd", "accept", "dial", "reopen",
};

const char *const outcome_names[OUT_COUNT] = {
    "ok", "closed", "timed_out", "cancelled", "would_block", "gone", "bad_fd",
    "deadlock", "invalid", "end", "failed", "reset", "other",
};
/* clang-format on */

#define BIT(outcome) (UINT32_C(1) << (outcome))

enum {
    JUST_OK = BIT(OUT_OK),
    SLEEPING = BIT(OUT_OK) | BIT(OUT_TIMED_OUT) | BIT(OUT_CANCELLED),
    TRYING = BIT(OUT_OK) | BIT(OUT_CLOSED) | BIT(OUT_WOULD_BLOCK),
};

/* `also`: may happen, and too rarely for a run to count on it. */
static const struct {
    uint32_t required, also;
} outcomes[CALL_COUNT] = {
    [CALL_SEND] = {SLEEPING | BIT(OUT_CLOSED), 0},
    [CALL_RECV] = {SLEEPING | BIT(OUT_CLOSED), 0},
    [CALL_TRY_SEND] = {TRYING, 0},
    [CALL_TRY_RECV] = {TRYING, 0},
    [CALL_CLOSE] = {BIT(OUT_OK) | BIT(OUT_CLOSED), 0},
    [CALL_SELECT] = {SLEEPING | BIT(OUT_CLOSED) | BIT(OUT_GONE) | BIT(OUT_INVALID) |
                         BIT(OUT_BAD_FD),
                     BIT(OUT_DEADLOCK)},
    [CALL_MERGE] = {BIT(OUT_CLOSED), SLEEPING},
    [CALL_SPAWN] = {JUST_OK, 0},
    [CALL_SCOPE_SPAWN] = {JUST_OK, 0},
    [CALL_JOIN] = {SLEEPING | BIT(OUT_GONE) | BIT(OUT_DEADLOCK), 0},
    [CALL_CANCEL] = {BIT(OUT_OK) | BIT(OUT_GONE), 0},
    [CALL_DETACH] = {BIT(OUT_OK) | BIT(OUT_GONE), 0},
    [CALL_YIELD] = {SLEEPING, 0},
    [CALL_DEFER] = {JUST_OK, 0},
    [CALL_DEFERRED] = {JUST_OK, 0},
    [CALL_SLEEP] = {SLEEPING, 0},
    [CALL_SLEEP_UNTIL] = {SLEEPING, 0},
    [CALL_TICKER] = {SLEEPING, 0},
    [CALL_OPEN] = {JUST_OK, 0},
    [CALL_OPEN_TIMEOUT] = {JUST_OK, 0},
    [CALL_OPEN_SHIELD] = {JUST_OK, 0},
    [CALL_SCOPE_CLOSE] = {SLEEPING | BIT(OUT_FAILED), 0},
    [CALL_SCOPE_CANCEL] = {JUST_OK, 0},
    [CALL_NEXT] = {SLEEPING | BIT(OUT_GONE), 0},
    [CALL_SET_DEADLINE] = {BIT(OUT_OK) | BIT(OUT_TIMED_OUT) | BIT(OUT_INVALID), 0},
    [CALL_STATUS] = {SLEEPING, 0},
    [CALL_READ] = {SLEEPING | BIT(OUT_END) | BIT(OUT_BAD_FD), BIT(OUT_RESET)},
    [CALL_WRITE] = {SLEEPING | BIT(OUT_CLOSED) | BIT(OUT_BAD_FD), BIT(OUT_RESET)},
    [CALL_READ_EXACTLY] = {SLEEPING | BIT(OUT_CLOSED) | BIT(OUT_BAD_FD), BIT(OUT_RESET)},
    [CALL_WRITE_ALL] = {SLEEPING | BIT(OUT_CLOSED) | BIT(OUT_BAD_FD), BIT(OUT_RESET)},
    [CALL_WAIT_FD] = {SLEEPING | BIT(OUT_BAD_FD), 0},
    [CALL_SHUTDOWN] = {JUST_OK | BIT(OUT_BAD_FD), BIT(OUT_RESET)},
    [CALL_CLOSE_FD] = {BIT(OUT_OK) | BIT(OUT_BAD_FD), 0},
    [CALL_ACCEPT] = {SLEEPING | BIT(OUT_BAD_FD), 0},
    [CALL_DIAL] = {JUST_OK, 0},
    [CALL_REOPEN] = {JUST_OK, 0},
};

uint32_t call_required(enum call call)
{
    return outcomes[call].required;
}

uint32_t call_allowed(enum call call)
{
    return outcomes[call].required | outcomes[call].also;
}

/* ---- random numbers ---- */

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint32_t pick(struct build *build, uint32_t limit)
{
    build->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t bits = build->state;
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    bits ^= bits >> 31;
    return (uint32_t)((bits >> 32) % limit);
}

bool chance(struct build *build, uint32_t percent)
{
    return pick(build, 100) < percent;
}

/* ---- adding ---- */

void build_group(struct build *build)
{
    build->group = build->program->group_count++;
}

bool build_has_room(const struct build *build, int task, int tasks, int chans, int lines)
{
    const struct program *program = build->program;
    return program->task_count + tasks <= TASKS_MAX && program->chan_count + chans <= CHANS_MAX &&
           program->line_count + lines <= LINES_MAX &&
           program->tasks[task].op_count + OPS_RESERVE <= OPS_MAX &&
           program->value_count + VALUES_RESERVE <= VALUES_MAX &&
           program->group_count + 1 <= GROUPS_MAX;
}

int build_chan_of(struct build *build, int capacity)
{
    static const uint8_t sizes[] = {2, 3, 4, 8, 8, 8, 12, 24, VALUE_SIZE_MAX};
    struct program *program = build->program;
    assert(program->chan_count < CHANS_MAX);
    program->chans[program->chan_count] = (struct chan_plan){
        .capacity = (uint16_t)capacity,
        .value_size = sizes[pick(build, sizeof sizes)],
        .is_shared = chance(build, 15),
        .drops = chance(build, 50),
    };
    return program->chan_count++;
}

int build_private_chan(struct build *build, int capacity)
{
    int chan = build_chan_of(build, capacity);
    build->program->chans[chan].is_shared = false;
    return chan;
}

int build_chan(struct build *build)
{
    static const uint8_t capacities[] = {0, 0, 0, 1, 1, 2, 3, 7, 16, 64, 200};
    return build_chan_of(build, capacities[pick(build, sizeof capacities)]);
}

int build_line(struct build *build, enum line_kind kind)
{
    struct program *program = build->program;
    assert(program->line_count < LINES_MAX);
    program->lines[program->line_count] = (uint8_t)kind;
    return program->line_count++;
}

int build_task(struct build *build, int parent, enum call call)
{
    assert(build->program->task_count < TASKS_MAX);
    int task = build->program->task_count++;
    (void)build_op(build, parent, call, task);
    return task;
}

struct op *build_op(struct build *build, int task, enum call call, int object)
{
    struct task_plan *plan = &build->program->tasks[task];
    assert(plan->op_count < OPS_MAX);
    struct op *op = &plan->ops[plan->op_count++];
    *op = (struct op){
        .call = (uint8_t)call,
        .object = (uint8_t)object,
        .expect = OUT_OK,
        .repeat = 1,
        .expect_count = 1,
        .group = (uint16_t)build->group,
        .expect_detail = -1,
    };
    return op;
}

struct op *build_expect(
    struct build *build, int task, enum call call, int object, enum outcome outcome)
{
    struct op *op = build_op(build, task, call, object);
    op->expect = (uint8_t)outcome;
    op->expect_count = outcome == OUT_ANY ? COUNT_ANY : outcome == OUT_OK;
    return op;
}

uint16_t build_values(struct build *build, int count)
{
    int first = build->program->value_count;
    build->program->value_count += count;
    assert(build->program->value_count <= VALUES_MAX);
    return (uint16_t)first;
}

struct op *build_send(struct build *build, int task, int chan, int count)
{
    struct op *op = build_op(build, task, CALL_SEND, chan);
    op->repeat = op->expect_count = (uint16_t)count;
    op->value = build_values(build, count);
    return op;
}

struct op *build_recv(struct build *build, int task, int chan, int count, bool end)
{
    struct op *op = build_op(build, task, CALL_RECV, chan);
    op->repeat = (uint16_t)(count + end);
    op->expect_count = (uint16_t)count;
    op->expect = end ? OUT_CLOSED : OUT_OK;
    return op;
}

struct choice *build_case(struct op *op, enum case_kind kind, int object)
{
    struct choice *choice = &op->cases[op->case_count++];
    *choice = (struct choice){.kind = (uint8_t)kind, .object = (uint8_t)object};
    return choice;
}

/* ---- whole programs ---- */

void program_generate(struct program *ret, uint64_t seed)
{
    memset(ret, 0, sizeof *ret);
    ret->seed = seed;
    struct build build = {.program = ret, .state = seed};
    uint32_t kind = pick(&build, 100);
    ret->kind = kind < 50 ? CONFLUENT : kind < 80 ? RACING : RACING_LINES;
    ret->task_count = 1;
    build_group(&build);
    if (ret->kind == CONFLUENT) {
        confluent_generate(&build);
    } else {
        racing_generate(&build);
    }
}

static void show_cases(const struct op *op)
{
    static const char *const names[] = {
        "send", "recv", "after", "at", "joined", "readable", "writable", "default", "disabled"};
    for (int i = 0; i < op->case_count; i++) {
        const struct choice *it = &op->cases[i];
        printf(" [%s %u.%u v%u]", names[it->kind], it->object, it->side, it->value);
    }
}

void program_show(const struct program *program)
{
    static const char *const kinds[] = {"confluent", "racing", "racing with lines"};
    static const char *const line_kinds[] = {"sockets", "pipe", "tcp", "listener"};
    static const char *const results[] = {"0", "a failure", "another failure", "its last outcome"};
    printf("seed %llu: %s\n", (unsigned long long)program->seed, kinds[program->kind]);
    for (int i = 0; i < program->chan_count; i++) {
        const struct chan_plan *chan = &program->chans[i];
        printf("channel %d: capacity %u, values of %u bytes%s\n",
               i,
               chan->capacity,
               chan->value_size,
               chan->is_shared ? ", shared" : "");
    }
    for (int i = 0; i < program->line_count; i++)
        printf("line %d: %s\n", i, line_kinds[program->lines[i]]);
    for (int i = 0; i < program->task_count; i++) {
        const struct task_plan *task = &program->tasks[i];
        printf("task %d returns %s\n", i, results[task->result]);
        for (int j = 0; j < task->op_count; j++) {
            const struct op *op = &task->ops[j];
            if (program->dropped[op->group]) continue;
            printf("  %2d  g%-3u %-13s %u.%u x%u v%u size %u",
                   j,
                   op->group,
                   call_names[op->call],
                   op->object,
                   op->side,
                   op->repeat,
                   op->value,
                   op->size);
            show_cases(op);
            if (op->expect < OUT_COUNT) printf("  -> %s", outcome_names[op->expect]);
            printf("\n");
        }
    }
}
