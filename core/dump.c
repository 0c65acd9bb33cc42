/* SPDX-License-Identifier: MIT */
/*
 * The task dump: who there is, in which state, waiting for what since when, from where.
 *
 * Lines have a fixed form, so that `sort | uniq -c` and grep can count them:
 *   task 7 "reader": parked since turn 12 in chan recv (channel of a.c:3), stack 4096 of 65536,
 *   spawned at a.c:9                                                        (on one line)
 */
#include "core/dump.h"

#include <errno.h>
#include <string.h>

#include <weft/report.h>
#include <weft/select.h>
#include <weft/time.h>

#include "core/chan.h"
#include "core/chan_shared.h"
#include "core/fdtable.h"
#include "core/mutex.h"
#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/select.h"

enum {
    CASES_SHOWN = 8,  /* of a select */
    SCOPES_SEEN = 64, /* looking for a task's deadline */
};

static void put_task(struct dump *dump, const struct task *task);
static void put_remote(struct dump *dump,
                       const struct task *task,
                       const struct worker *where,
                       bool has_ended);
static void put_place(struct text *text, const struct worker *worker);
static void put_wait(struct dump *dump, const struct task *task);
static void put_chan(struct dump *dump, const struct task *task, const struct weft_chan *chan);
static void put_holder(struct dump *dump, const struct task *task, const struct mutex *mutex);
static void put_cases(struct dump *dump, const struct task *task);
static void put_case(struct dump *dump, const struct task *task, struct weft_case *which);
static void put_deadline(struct dump *dump, const struct task *task);
static void put_stack(struct dump *dump, const struct task *task);

static const char *const state_names[] = {
    [TASK_FREE] = "free",
    [TASK_UNSTARTED] = "unstarted",
    [TASK_READY] = "ready",
    [TASK_RUNNING] = "running",
    [TASK_PARKED] = "parked",
    [TASK_ENDED] = "ended",
};

enum { STATE_COUNT = sizeof state_names / sizeof *state_names };

int weft_dump(int fd)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();

    struct dump dump;
    weft__dump_open(&dump, worker, fd, false);
    weft__dump_all(&dump);
    int result = weft__dump_close(&dump);
    return result < 0 ? result : weft__report_dump_others(worker, fd);
}

void weft__dump_open(struct dump *dump, struct worker *worker, int fd, bool in_signal)
{
    weft__text_open(&dump->text, dump->buffer, sizeof dump->buffer, fd);
    dump->view = (struct view){
        .runtime = worker->runtime, .worker = worker, .text = &dump->text, .in_signal = in_signal};
    dump->clock = worker;
}

void weft__dump_open_all(struct dump *dump, struct runtime *runtime, int fd)
{
    weft__text_open(&dump->text, dump->buffer, sizeof dump->buffer, fd);
    dump->view = (struct view){.runtime = runtime};
    const struct worker *worker = weft__worker();
    dump->clock = worker && worker->runtime == runtime ? worker : &runtime->worker;
}

int weft__dump_close(struct dump *dump)
{
    return weft__text_close(&dump->text);
}

void weft__dump_put_worker(struct dump *dump)
{
    const struct view *view = &dump->view;
    if (!view->worker || !view->runtime->has_many) return;
    weft__text_put(&dump->text, "worker ");
    weft__text_number(&dump->text, view->worker->index);
    weft__text_put(&dump->text, ": ");
}

const char *weft__dump_state(unsigned state)
{
    return state < STATE_COUNT ? state_names[state] : "?";
}

bool weft__dump_is_alive(const struct task *task)
{
    return task->state != TASK_ENDED;
}

/* ---- all tasks ---- */

static void count_state(struct task *task, void *arg)
{
    size_t *counts = arg;
    if (task->state < STATE_COUNT) counts[task->state]++;
}

static void count_elsewhere(struct task *task, const struct worker *where, void *arg)
{
    size_t *count = arg;
    (void)task;
    (void)where;
    (*count)++;
}

static void put_numbers(struct dump *dump)
{
    struct text *text = &dump->text;
    size_t counts[STATE_COUNT] = {0};
    size_t elsewhere = 0;
    weft__view_tasks(&dump->view, count_state, counts);
    weft__view_elsewhere(&dump->view, count_elsewhere, &elsewhere);
    size_t all = 0;
    for (size_t state = TASK_UNSTARTED; state < STATE_COUNT; state++)
        all += counts[state];

    weft__text_number(text, all);
    weft__text_put(text, all == 1 ? " task" : " tasks");
    for (size_t state = TASK_UNSTARTED; state < STATE_COUNT; state++) {
        weft__text_put(text, ", ");
        weft__text_number(text, counts[state]);
        weft__text_put(text, " ");
        weft__text_put(text, state_names[state]);
    }
    if (elsewhere == 0) return;
    weft__text_put(text, "; ");
    weft__text_number(text, elsewhere);
    weft__text_put(text, " on other workers");
}

static void put_heading(struct dump *dump)
{
    struct text *text = &dump->text;
    const struct worker *worker = dump->clock;
    weft__text_put(text, "weft: ");
    weft__dump_put_worker(dump);
    put_numbers(dump);
    weft__text_put(text, "; turn ");
    weft__text_number(text, worker->turn);
    weft__text_put(text, ", backend ");
    weft__text_put(text, weft__backend.name);
    weft__text_end_line(text);
    if (worker->stacks.unguarded_count > 0) {
        weft__text_put(text, "weft: ");
        weft__dump_put_worker(dump);
        weft__text_put(text, "stacks without a guard: ");
        weft__text_number(text, worker->stacks.unguarded_count);
        weft__text_put(text, " (vm.max_map_count allows no more)");
        weft__text_end_line(text);
    }
}

void weft__dump_all(struct dump *dump)
{
    put_heading(dump);
    (void)weft__dump_tasks(dump, NULL);
}

/* One walk over the records: those in one state that pass the filter. */
struct walk {
    struct dump *dump;
    dump_filter_fn *shows;
    unsigned state;
    size_t count;
    bool is_silent; /* only counts */
};

static void put_if_shown(struct task *task, void *arg)
{
    struct walk *walk = arg;
    if (task->state != walk->state) return;
    if (walk->shows && !walk->shows(task)) return;
    walk->count++;
    if (!walk->is_silent) put_task(walk->dump, task);
}

static void put_if_elsewhere(struct task *task, const struct worker *where, void *arg)
{
    struct walk *walk = arg;
    bool has_ended = where && weft__view_has_ended(task);
    if (walk->shows && has_ended) return;
    walk->count++;
    if (!walk->is_silent) put_remote(walk->dump, task, where, has_ended);
}

static void walk_all(struct walk *walk)
{
    static const uint8_t order[] = {
        TASK_RUNNING, TASK_READY, TASK_UNSTARTED, TASK_PARKED, TASK_ENDED};
    for (size_t i = 0; i < sizeof order; i++) {
        walk->state = order[i];
        weft__view_tasks(&walk->dump->view, put_if_shown, walk);
    }
    weft__view_elsewhere(&walk->dump->view, put_if_elsewhere, walk);
}

size_t weft__dump_tasks(struct dump *dump, dump_filter_fn *shows)
{
    struct walk walk = {.dump = dump, .shows = shows};
    weft__dump_groups(dump, shows);
    walk_all(&walk);
    return walk.count;
}

size_t weft__dump_count(struct dump *dump, dump_filter_fn *shows)
{
    struct walk walk = {.dump = dump, .shows = shows, .is_silent = true};
    walk_all(&walk);
    return walk.count;
}

/* ---- one task ---- */

static void put_site(struct text *text, const char *before, const char *site)
{
    weft__text_put(text, before);
    weft__text_put(text, site ? site : "an unknown place");
}

static void put_name(struct text *text, const struct task *task)
{
    weft__text_number(text, task_id(task));
    const char *name = weft__task_name(task);
    if (!name) return;
    weft__text_put(text, " ");
    weft__text_quote(text, name);
}

void weft__dump_who(struct text *text, const struct task *task)
{
    put_name(text, task);
    put_site(text, ", spawned at ", task->site);
}

static void put_place(struct text *text, const struct worker *worker)
{
    weft__text_put(text, " on worker ");
    weft__text_number(text, worker->index);
}

static void put_task(struct dump *dump, const struct task *task)
{
    struct text *text = &dump->text;
    unsigned state = task->state;
    weft__text_put(text, "task ");
    put_name(text, task);
    weft__text_put(text, ": ");
    weft__text_put(text, weft__dump_state(state));
    if (!dump->view.worker && dump->view.runtime->has_many) put_place(text, task->worker);
    if (state == TASK_PARKED) put_wait(dump, task);
    if (state == TASK_ENDED) {
        weft__text_put(text, " with ");
        weft__text_signed(text, task->result);
        weft__text_put(text, ", not joined");
    } else {
        put_deadline(dump, task);
        if (task->interrupt == -ECANCELED) weft__text_put(text, ", cancelled");
        if (task->interrupt == -ETIMEDOUT) weft__text_put(text, ", expired");
        if (task->flags & TASK_NAMED_BUSY) weft__text_put(text, ", ignores its cancellation");
        if (task_marks(task) & MARK_ENDING) weft__text_put(text, ", in its deferred calls");
        put_stack(dump, task);
    }
    put_site(text, ", spawned at ", task->site);
    weft__text_end_line(text);
}

/* One that runs on another worker, which may be changing all but this. Without the lock the name
 * may be freed. */
static void put_remote(struct dump *dump,
                       const struct task *task,
                       const struct worker *where,
                       bool has_ended)
{
    struct text *text = &dump->text;
    weft__text_put(text, "task ");
    if (where) {
        put_name(text, task);
    } else {
        weft__text_number(text, task_id(task));
    }
    weft__text_put(text, has_ended ? ": ended" : ":");
    if (where) {
        put_place(text, where);
    } else {
        weft__text_put(text, " shared between workers");
    }
    put_site(text, ", spawned at ", task->site);
    weft__text_end_line(text);
}

/* ---- what it waits for ---- */

enum wait_class weft__wait_class(const struct wait_kind *kind)
{
    static const struct {
        const char *prefix;
        enum wait_class class;
    } classes[] = {
        {"chan", WAIT_CHAN},
        {"select", WAIT_SELECT},
        {"sleep", WAIT_TIME},
        {"join", WAIT_JOIN},
        {"scope", WAIT_SCOPE},
        {"mutex", WAIT_MUTEX},
    };
    if (!kind) return WAIT_OTHER;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t size = strlen(classes[i].prefix);
        if (strncmp(kind->name, classes[i].prefix, size) == 0) return classes[i].class;
    }
    return WAIT_FD;
}

static void put_left(struct dump *dump, int64_t deadline_ns)
{
    if (deadline_ns == WEFT_FOREVER) {
        weft__text_put(&dump->text, "forever");
        return;
    }
    weft__text_duration(&dump->text, deadline_ns - weft__worker_now(dump->clock));
    weft__text_put(&dump->text, " left");
}

static void put_wait(struct dump *dump, const struct task *task)
{
    struct text *text = &dump->text;
    const struct wait_kind *kind = task->wait.kind;
    weft__text_put(text, " since turn ");
    weft__text_number(text, task->since_turn);
    if (!kind) return;

    weft__text_put(text, " in ");
    weft__text_put(text, kind->name);
    weft__text_put(text, " (");
    switch (weft__wait_class(kind)) {
    case WAIT_CHAN:
        put_chan(dump, task, task->wait.object);
        break;
    case WAIT_SELECT:
        put_cases(dump, task);
        break;
    case WAIT_TIME:
        put_left(dump, task->stack ? task_body(task)->timer.deadline_ns : 0);
        break;
    case WAIT_FD:
        weft__text_put(text, "descriptor ");
        weft__text_signed(text, weft__fd_of_wait(task));
        break;
    case WAIT_JOIN:
        weft__text_put(text, "task ");
        weft__text_number(text, task_id(task->wait.object));
        break;
    case WAIT_SCOPE:
        put_site(text, "scope of ", ((const struct scope *)task->wait.object)->site);
        break;
    case WAIT_MUTEX:
        put_holder(dump, task, task->wait.object);
        break;
    case WAIT_OTHER:
        break;
    }
    weft__text_put(text, ")");
}

/* A shared channel may be gone as soon as it has completed the task's operation: under the lock
 * this is known. */
static void put_chan(struct dump *dump, const struct task *task, const struct weft_chan *chan)
{
    if (!dump->view.in_signal) {
        weft__shared_lock();
    } else if (!weft__shared_try_lock()) {
        weft__text_put(&dump->text, "a channel");
        return;
    }
    bool is_there = !weft__shared_is_done(&task->wait.waiter);
    const char *site = is_there ? chan->site : NULL;
    weft__shared_unlock();

    if (is_there) {
        put_site(&dump->text, "channel of ", site);
    } else {
        weft__text_put(&dump->text, "done");
    }
}

/* As for channels: who got the mutex may have freed it. */
static void put_holder(struct dump *dump, const struct task *task, const struct mutex *mutex)
{
    struct text *text = &dump->text;
    if (!dump->view.in_signal) {
        weft__shared_lock();
    } else if (!weft__shared_try_lock()) {
        weft__text_put(text, "a mutex");
        return;
    }
    bool is_there = !weft__shared_is_done(&task->wait.waiter);
    uint64_t word = is_there ? atomic_load_explicit(&mutex->word, memory_order_relaxed) : 0;
    weft__shared_unlock();

    if (!is_there) {
        weft__text_put(text, "done");
    } else if ((word & WORD_HOLDER) == 0) {
        weft__text_put(text, "of nobody at the moment");
    } else if (word & WORD_IS_THREAD) {
        weft__text_put(text, "of a thread");
    } else {
        weft__text_put(text, "of task ");
        weft__text_number(text, word >> WORD_ID_SHIFT);
    }
}

static void put_cases(struct dump *dump, const struct task *task)
{
    struct weft_case *cases = task->wait.object;
    size_t shown = 0;
    size_t left = 0;
    for (size_t i = 0; i < task->wait.count; i++) {
        if (cases[i].kind == WEFT_CASE_DISABLED || cases[i].kind == WEFT_CASE_DEFAULT) continue;
        if (shown == CASES_SHOWN) {
            left++;
            continue;
        }
        if (shown++ > 0) weft__text_put(&dump->text, "; ");
        put_case(dump, task, &cases[i]);
    }
    if (left == 0) return;
    weft__text_put(&dump->text, "; and ");
    weft__text_number(&dump->text, left);
    weft__text_put(&dump->text, " more");
}

static void put_case(struct dump *dump, const struct task *task, struct weft_case *which)
{
    struct text *text = &dump->text;
    switch (which->kind) {
    case WEFT_CASE_SEND:
        weft__text_put(text, "send, ");
        put_chan(dump, task, which->object);
        break;
    case WEFT_CASE_RECV:
        weft__text_put(text, "recv, ");
        put_chan(dump, task, which->object);
        break;
    case WEFT_CASE_TIMER:
        put_left(dump, *case_deadline(which));
        break;
    case WEFT_CASE_READABLE:
        weft__text_put(text, "readable, descriptor ");
        weft__text_signed(text, which->number);
        break;
    case WEFT_CASE_WRITABLE:
        weft__text_put(text, "writable, descriptor ");
        weft__text_signed(text, which->number);
        break;
    case WEFT_CASE_JOINED:
        weft__text_put(text, "task ");
        weft__text_signed(text, which->number);
        break;
    default:
        break;
    }
}

/* A scope's timer is its owner's worker's. */
static bool may_read(const struct view *view, const struct scope *scope)
{
    return !view->worker || scope->owner->worker == view->worker;
}

/* The earliest deadline of the scopes that the task is in. */
static void put_deadline(struct dump *dump, const struct task *task)
{
    int64_t deadline_ns = WEFT_FOREVER;
    const struct scope *scope = task->scope;
    for (int i = 0; scope && i < SCOPES_SEEN; i++) {
        const struct timer *timer = &scope->timer;
        bool is_known = may_read(&dump->view, scope) && weft__timer_is_armed(timer);
        if (is_known && timer->deadline_ns < deadline_ns) deadline_ns = timer->deadline_ns;
        if (scope_flags(scope) & SCOPE_SHIELD) break;
        scope = scope->parent;
    }
    if (deadline_ns == WEFT_FOREVER) return;
    weft__text_put(&dump->text, ", deadline ");
    put_left(dump, deadline_ns);
}

static void put_stack(struct dump *dump, const struct task *task)
{
    const struct stack *stack = task->stack;
    if (!stack) return;
    weft__text_put(&dump->text, ", stack ");
    weft__text_number(&dump->text, weft__stack_high_water(stack));
    weft__text_put(&dump->text, " of ");
    weft__text_number(&dump->text, stack->size);
    if (!stack->guarded) weft__text_put(&dump->text, " without a guard");
}
