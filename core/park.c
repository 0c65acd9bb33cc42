/* SPDX-License-Identifier: MIT */
/*
 * The only place where a task goes to sleep or is woken, and where stacks are exchanged.
 *
 * A sleeping task's stack ends in weft__switch(), called by tail call: what the waker stored in
 * wake_result becomes the result of the public call, and no code of ours runs in between. So all
 * that has to be done on arrival (errno, C++ exception state) is done by who switches to it.
 */
#include "core/park.h"

#include "core/arch/switch.h"
#include "core/share.h"

enum { REFUSALS_NAMED = 1000 };

static struct task *pick_fast(struct worker *worker);
static struct task *pick_any(struct worker *worker);
static struct task *next_task(struct worker *worker);
static struct task *next_task_slow(struct worker *worker);
static bool prepare_start(struct worker *worker, struct task *task);
static bool is_slice_left(struct worker *worker);
static int switch_from(struct worker *worker, struct task *self);
static int switch_to(struct worker *worker, struct task *self, struct task *next);
static int switch_to_new(struct worker *worker, struct task *self, struct task *next);
static int switch_slow(struct worker *worker, struct task *self, struct task *next);

int weft__park(struct worker *worker, struct task *self)
{
    core_leave(worker);
    self->state = TASK_PARKED;
    self->since_turn = worker->turn;
    return switch_from(worker, self);
}

int weft__park_here(struct worker *worker, struct task *self)
{
    task_set_flag(self, TASK_STAYS);
    int result = weft__park(worker, self);
    task_clear_flag(self, TASK_STAYS);
    return result;
}

/* As a rule others were woken and nothing else is ready: then the queue of woken tasks is turned by
 * one, which is what a push and pick_fast() would do. */
int weft__yield_to_all(struct worker *worker, struct task *self)
{
    struct ready *ready = &worker->ready;
    struct task *next = ready->head;
    self->state = TASK_READY;
    self->wake_result = 0;
    if (unlikely(!next || ready->slot || ready->newest.head)) {
        ready_push_woken(ready, self);
        return switch_from(worker, self);
    }
    self->next = NULL;
    ready->tail->next = self;
    ready->tail = self;
    if (unlikely(!is_slice_left(worker))) return switch_slow(worker, self, NULL);
    ready->slot_run = 0;
    ready->unstarted_run = 0;
    ready->head = next->next; /* not NULL: it ends with this task */
    return switch_to(worker, self, next);
}

int weft__enter_late(struct worker *worker, struct task *self)
{
    core_leave(worker);
    if (worker->budget < 0) {
        bool stayed = self->flags & TASK_STAYS;
        task_set_flag(self, TASK_STAYS); /* callers go on with this worker */
        (void)weft__yield_to_all(worker, self);
        if (!stayed) task_clear_flag(self, TASK_STAYS);
        worker->budget--;
    }
    if (!self->interrupt) return 0;
    if (++self->ignored >= REFUSALS_NAMED) {
        self->ignored = REFUSALS_NAMED;
        task_set_flag(self, TASK_NAMED_BUSY);
    }
    return self->interrupt;
}

/* ---- what a thread of execution leaves behind, and finds again ---- */

static inline void save_context(struct worker *worker, struct task *task)
{
    task->saved_errno = *worker->errno_location;
    if (likely(!worker->cxa)) return;
    struct task_body *body = task_body(task);
    body->cxa_caught = worker->cxa->caught;
    body->cxa_uncaught = worker->cxa->uncaught;
}

static inline void take_over(struct worker *worker, struct task *task)
{
    task->state = TASK_RUNNING;
    worker->current = task;
    worker->budget = READY_BUDGET;
}

static inline void load_context(struct worker *worker, struct task *task)
{
    take_over(worker, task);
    *worker->errno_location = task->saved_errno;
    if (likely(!worker->cxa)) return;
    const struct task_body *body = task_body(task);
    worker->cxa->caught = body->cxa_caught;
    worker->cxa->uncaught = body->cxa_uncaught;
}

/* For a task that starts. */
static inline void load_new_context(struct worker *worker, struct task *task)
{
    take_over(worker, task);
    *worker->errno_location = 0;
    if (unlikely(worker->cxa)) *worker->cxa = (struct cxa_globals){0};
}

/* For the worker's own stack, where posted functions run and weft_run() returns. */
static inline void load_own_context(struct worker *worker)
{
    worker->current = NULL;
    if (unlikely(worker->cxa)) *worker->cxa = worker->own_cxa;
}

#if WEFT__SANITIZED

#define FIBER(task) (&task_body(task)->fiber)

/* The dead task's fibre can only be closed from another stack. */
static void bury(struct worker *worker)
{
    if (!worker->has_dead_fiber) return;
    worker->has_dead_fiber = false;
    weft__san_close(&worker->dead_fiber);
}

WEFT__NO_SANITIZE static int exchange(void **ret_from,
                                      void *to,
                                      intptr_t value,
                                      struct sanitizer_fiber *from_fiber,
                                      struct sanitizer_fiber *to_fiber)
{
    weft__san_before_switch(from_fiber, to_fiber, false);
    int result = weft__switch(ret_from, to, value);
    weft__san_after_switch(from_fiber);
    bury(weft__worker());
    return result;
}

WEFT__NO_SANITIZE static int exchange_new(struct task *from, struct task *next)
{
    weft__san_before_switch(FIBER(from), FIBER(next), false);
    int result = weft__switch_start(&from->sp, next->stack->top, (intptr_t)next, weft__task_main);
    weft__san_after_switch(FIBER(from));
    bury(weft__worker());
    return result;
}

#else

static inline int exchange(void **ret_from,
                           void *to,
                           intptr_t value,
                           struct sanitizer_fiber *from_fiber,
                           struct sanitizer_fiber *to_fiber)
{
    (void)from_fiber;
    (void)to_fiber;
    return weft__switch(ret_from, to, value);
}

static inline int exchange_new(struct task *from, struct task *next)
{
    return weft__switch_start(&from->sp, next->stack->top, (intptr_t)next, weft__task_main);
}

#define FIBER(task) NULL

#endif

/* From a task that is queued or parked to whoever is next. Tail-called; the slow cases are kept out
 * of this function, so that it needs no stack frame. */
static inline int switch_from(struct worker *worker, struct task *self)
{
    struct task *next = pick_fast(worker);
    if (unlikely(!next || next == self)) return switch_slow(worker, self, next);
    return switch_to(worker, self, next);
}

/* ... to this one, which is another one. */
static inline int switch_to(struct worker *worker, struct task *self, struct task *next)
{
    if (next->state == TASK_UNSTARTED) return switch_to_new(worker, self, next);
    save_context(worker, self);
    load_context(worker, next);
    return exchange(&self->sp, next->sp, next->wake_result, FIBER(self), FIBER(next));
}

/* To an unstarted task, on the hottest stack of the usual size if there is one. */
__attribute__((noinline)) static int switch_to_new(struct worker *worker,
                                                   struct task *self,
                                                   struct task *next)
{
    struct stack_cache *cache = &worker->stacks;
    if (unlikely(!cache->free || next->flags & (TASK_EXTRAS | TASK_ROOT))) {
        return switch_slow(worker, self, next);
    }
    task_settle(next, weft__stack_get(cache, 0));
    save_context(worker, self);
    load_new_context(worker, next);
    return exchange_new(self, next);
}

/* `next` is what was picked already, or NULL: an unstarted task, the task itself, or nobody. */
__attribute__((noinline)) static int switch_slow(struct worker *worker,
                                                 struct task *self,
                                                 struct task *next)
{
    if (!next) next = pick_any(worker);
    while (next && next->state == TASK_UNSTARTED && !prepare_start(worker, next)) {
        next = next_task(worker);
    }
    if (next == self) {
        self->state = TASK_RUNNING;
        worker->budget = READY_BUDGET;
        return self->wake_result;
    }

    save_context(worker, self);
    if (!next) {
        load_own_context(worker);
        return exchange(&self->sp, worker->sp, 0, FIBER(self), &worker->fiber);
    }
    bool starts = next->state == TASK_UNSTARTED;
    load_context(worker, next);
    intptr_t value = starts ? (intptr_t)next : next->wake_result;
    return exchange(&self->sp, next->sp, value, FIBER(self), FIBER(next));
}

/* Gives an unstarted task its stack and first frame; without a stack it is put aside (until a task
 * ends) and the result is false. */
static bool prepare_start(struct worker *worker, struct task *task)
{
    struct stack *stack = NULL;
    if (unlikely(task->flags & TASK_ROOT)) {
        stack = weft__stack_get_reserved(&worker->stacks);
    } else {
        stack = weft__stack_get(&worker->stacks, task_stack_size(task));
    }
    if (unlikely(!stack)) {
        task->next = worker->starved;
        worker->starved = task;
        worker->starved_count++;
        return false;
    }
    task_settle(task, stack);
    task->sp = weft__switch_prepare(stack->top, weft__task_main);
    task->saved_errno = 0;
    task_body(task)->cxa_caught = NULL;
    task_body(task)->cxa_uncaught = 0;
    return true;
}

/* Begins another slice: false, if something else comes before the next task. */
static inline bool is_slice_left(struct worker *worker)
{
    worker->ready.batch_is_open = false;
    if (unlikely(--worker->slices_left < 0)) return false;
    /* relaxed: the drain that follows acquires */
    return likely(atomic_load_explicit(&worker->inbox, memory_order_relaxed) == 0);
}

/* The usual next task: from the slot or the queue of woken tasks. NULL: ask pick_any(). */
static inline struct task *pick_fast(struct worker *worker)
{
    struct ready *ready = &worker->ready;
    if (unlikely(!is_slice_left(worker))) return NULL;

    struct task *task = ready->slot;
    if (task) {
        if (unlikely(ready->slot_run >= READY_SLOT_RUN)) return NULL;
        ready->slot = NULL;
        ready->slot_run++;
        return task;
    }
    task = ready->head;
    if (ready->newest.head) {
        if (unlikely(task && ready->unstarted_run >= READY_UNSTARTED_RUN)) return NULL;
        ready->slot_run = 0;
        ready->unstarted_run++;
        return ready_pop_newest(ready);
    }
    if (unlikely(!task)) return NULL;
    ready->slot_run = 0;
    ready->unstarted_run = 0;
    ready->head = task->next;
    if (!ready->head) ready->tail = NULL;
    return task;
}

/* Whoever shall run next, by all rules; NULL: a turn is due, or nobody is ready. */
static struct task *pick_any(struct worker *worker)
{
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) != 0) return NULL;
    if (worker->slices_left < 0) return next_task_slow(worker);
    return weft__ready_pick_slow(&worker->ready);
}

static inline struct task *next_task(struct worker *worker)
{
    struct task *task = pick_fast(worker);
    return likely(task) ? task : pick_any(worker);
}

/* Once per period: is a turn due? Test schedules come here each time. */
static struct task *next_task_slow(struct worker *worker)
{
    bool is_shuffled = worker->ready.is_shuffled;
    worker->slices_left = is_shuffled ? 0 : READY_CLOCK_PERIOD - 1;
    worker->slices += is_shuffled ? 1 : READY_CLOCK_PERIOD;
    if (!is_shuffled) worker->ready.oldest_is_due = true;
    if (--worker->periods_left <= 0) return NULL;
    if (!is_shuffled && weft__worker_now(worker) - worker->turn_start_ns > READY_TURN_NS) {
        return NULL;
    }
    return weft__ready_pick_slow(&worker->ready);
}

/* The first task after a turn that took the place of the pick of the oldest batch. */
static struct task *next_oldest(struct worker *worker)
{
    worker->ready.batch_is_open = false;
    worker->slices_left--;
    return weft__ready_pick_slow(&worker->ready);
}

void weft__run_ready(struct worker *worker)
{
    core_leave(worker);
    bool is_owed = unlikely(worker->ready.oldest_is_due);
    struct task *next = is_owed ? next_oldest(worker) : next_task(worker);
    /* The turn has just drained the inbox. Even if it is filled again and again, by a post that
     * posts itself, one task runs per turn. */
    if (!next) next = weft__ready_pick_slow(&worker->ready);
    while (next && next->state == TASK_UNSTARTED && !prepare_start(worker, next)) {
        next = next_task(worker);
    }
    if (!next) return;

    bool starts = next->state == TASK_UNSTARTED;
    load_context(worker, next);
    intptr_t value = starts ? (intptr_t)next : next->wake_result;
    (void)exchange(&worker->sp, next->sp, value, &worker->fiber, FIBER(next));
}

/* Who takes over from a task that ended: one that waited for a stack comes first. */
static struct task *next_after_end(struct worker *worker, const struct stack *stack)
{
    if (unlikely(worker->starved) && stack->size == worker->stacks.default_size) {
        struct task *starved = worker->starved;
        worker->starved = starved->next;
        worker->starved_count--;
        return starved;
    }
    return next_task(worker);
}

/* True if it is an unstarted task that may simply take over the stack of the one that ended. */
static inline bool can_inherit(const struct worker *worker,
                               const struct task *next,
                               const struct stack *stack)
{
    return next->state == TASK_UNSTARTED && stack->size == worker->stacks.default_size &&
           likely(task_stack_size(next) <= stack->size);
}

/* The last step of a task that ended: its stack is put already. */
WEFT__NO_SANITIZE static void leave_to(struct worker *worker, struct task *next, intptr_t value)
{
    load_context(worker, next);
    weft__san_before_switch(&worker->dead_fiber, FIBER(next), true);
    weft__switch_leave(next->sp, value);
}

/* Starts `next` in the place of the task that ended. */
WEFT__NO_SANITIZE static void inherit(struct worker *worker, struct task *next, struct stack *stack)
{
    task_fetch_ahead(next, next->next); /* who was queued behind it */
    task_settle(next, stack);
    load_new_context(worker, next);
    weft__san_before_switch(&worker->dead_fiber, FIBER(next), true);
    weft__switch_restart(stack->top, weft__task_main, (intptr_t)next);
}

/* What is rare; `next` is what was picked already, or NULL: nobody. */
WEFT__NO_SANITIZE __attribute__((noinline)) static void leave_slowly(struct worker *worker,
                                                                     struct task *next,
                                                                     struct stack *stack)
{
    if (!next) next = unlikely(worker->starved) ? next_after_end(worker, stack) : pick_any(worker);
    bool starts = false;
    while (next && next->state == TASK_UNSTARTED) {
        if (can_inherit(worker, next, stack)) {
            inherit(worker, next, stack);
            return; /* never */
        }
        starts = prepare_start(worker, next);
        if (starts) break;
        next = next_task(worker);
    }
    weft__stack_put(&worker->stacks, stack); /* nobody takes it before we are off it */
    if (next) {
        leave_to(worker, next, starts ? (intptr_t)next : next->wake_result);
        return; /* never */
    }
    load_own_context(worker);
    weft__san_before_switch(&worker->dead_fiber, &worker->fiber, true);
    weft__switch_leave(worker->sp, 0);
}

/* The fibre is closed on another stack. */
WEFT__NO_SANITIZE static void die(struct worker *worker, struct stack *stack)
{
#if WEFT__SANITIZED
    worker->dead_fiber = ((struct task_body *)(void *)stack->body)->fiber;
    worker->has_dead_fiber = true;
#else
    (void)worker;
    (void)stack;
#endif
}

/* What the slot is for, without going through it. */
WEFT__NO_SANITIZE void weft__leave_to(struct worker *worker,
                                      struct task *joiner,
                                      struct stack *stack)
{
    struct ready *ready = &worker->ready;
    bool comes_next = !ready->slot && ready->slot_run < READY_SLOT_RUN && !worker->starved &&
                      stack_is_taken(&worker->stacks, stack);
    if (unlikely(!comes_next)) {
        weft__wake(joiner, 0);
        weft__leave(worker, stack);
        return;
    }
    if (unlikely(!is_slice_left(worker))) {
        weft__wake(joiner, 0);
        core_leave(worker);
        die(worker, stack);
        leave_slowly(worker, NULL, stack);
        return;
    }
    ready->slot_run++;
    core_leave(worker);
    die(worker, stack);
    stack_keep(&worker->stacks, stack); /* nobody takes it before we are off it */
    leave_to(worker, joiner, 0);
}

WEFT__NO_SANITIZE void weft__leave(struct worker *worker, struct stack *stack)
{
    core_leave(worker);
    die(worker, stack);
    struct task *next = unlikely(worker->starved) ? NULL : pick_fast(worker);
    if (unlikely(!next)) {
        leave_slowly(worker, next, stack);
        return;
    }
    if (next->state != TASK_UNSTARTED && likely(stack_is_taken(&worker->stacks, stack))) {
        stack_keep(&worker->stacks, stack); /* nobody takes it before we are off it */
        leave_to(worker, next, next->wake_result);
        return;
    }
    if (likely(can_inherit(worker, next, stack))) {
        inherit(worker, next, stack);
        return;
    }
    leave_slowly(worker, next, stack);
}

#if WEFT__SANITIZED

/* First thing on a new stack. */
WEFT__NO_SANITIZE void weft__arrive(struct task *self)
{
    weft__san_enter(FIBER(self));
    bury(weft__worker());
}

#endif
