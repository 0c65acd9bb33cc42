/* SPDX-License-Identifier: MIT */
/*
 * Racing programs: a few tasks that do anything to the same few channels, lines and tasks.
 *
 * Times are slots that lie far apart. Relative times have slots of their own (odd ones), because
 * they are armed a little later than their slot begins; absolute ones share the even slots.
 */
#include "conformance/differential/build.h"

enum { SLOTS_SHARED = 12 };

struct racing {
    struct build *build;
    int next_slot;          /* odd */
    int depth[TASKS_MAX];   /* scopes that its operations so far have opened */
    bool shield[TASKS_MAX]; /* in a shield only what ends by itself is allowed */
};

static int any_slot(struct racing *racing)
{
    return 2 * (1 + (int)pick(racing->build, SLOTS_SHARED));
}

static int own_slot(struct racing *racing)
{
    int slot = racing->next_slot;
    racing->next_slot += 2;
    return slot > SLOT_END - 5 ? 0 : slot; /* none left: no time at all */
}

static int any_chan(struct racing *racing)
{
    return (int)pick(racing->build, (uint32_t)racing->build->program->chan_count);
}

static int any_task(struct racing *racing)
{
    return (int)pick(racing->build, (uint32_t)racing->build->program->task_count);
}

static int any_line(struct racing *racing)
{
    return (int)pick(racing->build, (uint32_t)racing->build->program->line_count);
}

/* Of a pipe, side 0 reads and side 1 writes. */
static uint8_t any_side(struct racing *racing, int line, int pipe_side)
{
    if (racing->build->program->lines[line] == LINE_PIPE) return (uint8_t)pipe_side;
    return (uint8_t)pick(racing->build, 2);
}

static struct op *add(struct racing *racing, int task, enum call call, int object)
{
    build_group(racing->build);
    return build_expect(racing->build, task, call, object, OUT_ANY);
}

/* ---- by area ---- */

static void add_chan(struct racing *racing, int task)
{
    static const uint8_t calls[] = {
        CALL_SEND, CALL_SEND, CALL_RECV, CALL_RECV, CALL_TRY_SEND, CALL_TRY_RECV, CALL_CLOSE};
    struct build *build = racing->build;
    enum call call = calls[pick(build, sizeof calls)];
    if (call == CALL_CLOSE && chance(build, 50)) call = CALL_RECV;

    struct op *op = add(racing, task, call, any_chan(racing));
    if (call == CALL_CLOSE) return;
    op->repeat = (uint16_t)(1 + pick(build, 4));
    if (chance(build, 5)) op->repeat = 150; /* more than a slice's budget */
    if (call == CALL_SEND || call == CALL_TRY_SEND) op->value = build_values(build, op->repeat);
}

static void add_case(struct racing *racing, struct op *op)
{
    struct build *build = racing->build;
    uint32_t kinds = build->program->line_count ? ON_DEFAULT : ON_READABLE;
    if (chance(build, 5)) {
        (void)build_case(op, ON_DISABLED, 0);
        return;
    }
    enum case_kind kind = pick(build, 5) > 1 ? pick(build, 2) : pick(build, kinds);
    struct choice *it = build_case(op, kind, any_chan(racing));
    if (kind == ON_SEND) it->value = build_values(build, 1);
    if (kind == ON_AFTER) it->value = (uint16_t)own_slot(racing);
    if (kind == ON_AT) it->value = (uint16_t)any_slot(racing);
    if (kind == ON_JOINED) it->object = (uint8_t)any_task(racing);
    if (kind == ON_READABLE || kind == ON_WRITABLE) {
        it->object = (uint8_t)any_line(racing);
        it->side = any_side(racing, it->object, kind == ON_WRITABLE);
    }
}

static void add_select(struct racing *racing, int task)
{
    struct build *build = racing->build;
    struct op *op = add(racing, task, CALL_SELECT, 0);
    if (chance(build, 5)) return; /* no case at all */
    /* more than eight are chosen from in another way */
    uint32_t count = chance(build, 15) ? 9 + pick(build, 2) : 1 + pick(build, 4);
    for (; count > 0; count--)
        add_case(racing, op);
    if (chance(build, 15)) (void)build_case(op, ON_DEFAULT, 0);
    if (chance(build, 15)) op->flags |= OP_ORDERED;
}

static void add_task(struct racing *racing, int task)
{
    static const uint8_t calls[] = {
        CALL_JOIN, CALL_JOIN, CALL_CANCEL, CALL_DETACH, CALL_YIELD, CALL_DEFER};
    struct build *build = racing->build;
    enum call call = calls[pick(build, sizeof calls)];
    int whom = chance(build, 12) ? task : any_task(racing);
    (void)add(racing, task, call, whom);
}

static void add_time(struct racing *racing, int task)
{
    static const uint8_t calls[] = {CALL_SLEEP, CALL_SLEEP_UNTIL, CALL_SLEEP_UNTIL, CALL_TICKER};
    struct build *build = racing->build;
    enum call call = calls[pick(build, sizeof calls)];
    struct op *op = add(racing, task, call, 0);
    op->value = (uint16_t)(call == CALL_SLEEP_UNTIL ? any_slot(racing) : own_slot(racing));
    if (chance(build, 5)) op->value = SLOT_NEVER;
}

/* A shield with what ends by itself inside. */
static void add_shield(struct racing *racing, int task)
{
    (void)add(racing, task, CALL_OPEN_SHIELD, 0);
    int group = racing->build->group;
    struct op *op = add(racing, task, CALL_SLEEP_UNTIL, 0);
    op->value = (uint16_t)any_slot(racing);
    (void)add(racing, task, CALL_STATUS, 0);
    op = add(racing, task, CALL_SCOPE_CLOSE, 0);
    op->group = (uint16_t)group;
}

static void add_scope(struct racing *racing, int task)
{
    static const uint8_t calls[] = {CALL_OPEN,
                                    CALL_OPEN_TIMEOUT,
                                    CALL_OPEN_TIMEOUT,
                                    CALL_SCOPE_CLOSE,
                                    CALL_SCOPE_CLOSE,
                                    CALL_SCOPE_CANCEL,
                                    CALL_NEXT,
                                    CALL_SET_DEADLINE,
                                    CALL_STATUS,
                                    CALL_OPEN_SHIELD};
    struct build *build = racing->build;
    enum call call = calls[pick(build, sizeof calls)];
    bool opens = call == CALL_OPEN || call == CALL_OPEN_TIMEOUT || call == CALL_OPEN_SHIELD;
    if (opens && racing->depth[task] >= SCOPES_MAX - 1) return;
    if (call == CALL_OPEN_SHIELD) {
        add_shield(racing, task);
        return;
    }
    racing->depth[task] += opens;
    if (call == CALL_SCOPE_CLOSE && racing->depth[task] > 0) racing->depth[task]--;
    int whose = call == CALL_SCOPE_CANCEL && chance(build, 50) ? any_task(racing) : task;
    struct op *op = add(racing, task, call, whose);
    if (call == CALL_OPEN_TIMEOUT) op->value = (uint16_t)(chance(build, 25) ? 0 : own_slot(racing));
    if (call == CALL_SET_DEADLINE) op->value = (uint16_t)any_slot(racing);
}

static void add_line(struct racing *racing, int task)
{
    static const uint8_t calls[] = {CALL_READ,
                                    CALL_READ,
                                    CALL_WRITE,
                                    CALL_WRITE,
                                    CALL_READ_EXACTLY,
                                    CALL_WRITE_ALL,
                                    CALL_WAIT_FD,
                                    CALL_SHUTDOWN,
                                    CALL_CLOSE_FD};
    struct build *build = racing->build;
    enum call call = calls[pick(build, sizeof calls)];
    int line = any_line(racing);
    if (call == CALL_CLOSE_FD && chance(build, 30)) call = CALL_READ;
    if (call == CALL_SHUTDOWN && build->program->lines[line] == LINE_PIPE) call = CALL_WAIT_FD;
    bool writes = call == CALL_WRITE || call == CALL_WRITE_ALL;
    struct op *op = add(racing, task, call, line);
    op->side = any_side(racing, line, writes);
    op->size = 1 + pick(build, 2000);
    if (chance(build, 20)) op->size = 200000; /* more than the kernel holds */
    if (call == CALL_WAIT_FD) op->size = 1 + pick(build, 3);
    if (chance(build, 30)) op->repeat = 3;
}

/* ---- the program ---- */

static void add_any(struct racing *racing, int task)
{
    struct build *build = racing->build;
    if (!build_has_room(build, task, 0, 0, 0)) return;
    uint32_t area = pick(build, 100);
    if (build->program->line_count > 0 && area < 40) {
        add_line(racing, task);
    } else if (area < 45) {
        add_chan(racing, task);
    } else if (area < 62) {
        add_select(racing, task);
    } else if (area < 75) {
        add_task(racing, task);
    } else if (area < 86) {
        add_scope(racing, task);
    } else {
        add_time(racing, task);
    }
}

/* Two tasks hand values over for longer than either may go on alone; others are ready meanwhile. */
static void add_duel(struct racing *racing, int count)
{
    struct build *build = racing->build;
    int chan = any_chan(racing);
    int sender = 1 + (int)pick(build, (uint32_t)count - 1);
    struct op *op = add(racing, sender, CALL_SEND, chan);
    op->repeat = 150;
    op->value = build_values(build, 150);
    add(racing, 1 + sender % (count - 1), CALL_RECV, chan)->repeat = 150;
}

/* Many sleep until one time, and some of them are cancelled meanwhile. */
static void add_crowd(struct racing *racing, int count)
{
    int slot = any_slot(racing) + 2 * SLOTS_SHARED;
    for (int task = 1; task < count; task++) {
        (void)add(racing, 0, CALL_SPAWN, task);
        add(racing, task, CALL_SLEEP_UNTIL, 0)->value = (uint16_t)slot;
    }
    (void)add(racing, 0, CALL_YIELD, 0);
    for (uint32_t some = 2 + pick(racing->build, 3); some > 0; some--)
        (void)add(racing, 0, CALL_CANCEL, 1 + (int)pick(racing->build, (uint32_t)count - 1));
}

void racing_generate(struct build *build)
{
    struct racing racing = {.build = build, .next_slot = 1};
    struct program *program = build->program;
    for (uint32_t count = 1 + pick(build, 4); count > 0; count--)
        (void)build_chan(build);
    if (program->kind == RACING_LINES) {
        for (uint32_t count = 1 + pick(build, 2); count > 0; count--)
            (void)build_line(build, (enum line_kind)pick(build, LINE_TCP + 1));
    }

    /* A task is spawned somewhere among the operations of an earlier one. */
    int count = (int)(chance(build, 15) ? 12 + pick(build, 6) : 3 + pick(build, 7));
    program->task_count = count;
    int parents[TASKS_MAX] = {0};
    for (int task = 1; task < count; task++) {
        parents[task] = (int)pick(build, (uint32_t)task);
        program->tasks[task].result = chance(build, 15) ? RETURNS_FAILURE : RETURNS_ZERO;
    }
    bool is_crowd = chance(build, 20);
    if (is_crowd) add_crowd(&racing, count);
    if (chance(build, 25)) add_duel(&racing, count);
    for (int task = 0; task < count; task++) {
        for (int child = task + 1; child < count; child++) {
            if (is_crowd || parents[child] != task) continue;
            for (uint32_t before = pick(build, 3); before > 0; before--)
                add_any(&racing, task);
            enum call call = chance(build, 40) ? CALL_SCOPE_SPAWN : CALL_SPAWN;
            (void)add(&racing, task, call, child);
        }
        for (uint32_t after = 2 + pick(build, 9); after > 0; after--)
            add_any(&racing, task);
    }
}
