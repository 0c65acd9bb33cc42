/* SPDX-License-Identifier: MIT */
/*
 * The life of a task after its spawn (core/spawn.c): first run, end, release.
 *
 * Whoever holds a joinable task's handle, its scope or the end of the runtime releases the record;
 * a detached task releases itself.
 */
#include "core/task.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/chan_shared.h"
#include "core/migrate.h"
#include "core/park.h"
#include "core/report.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"
#include "core/steal.h"

static void call_start_hook(struct task *self);
static void end(struct task *self, int result);
static void end_unusual(struct worker *worker, struct task *self, int result);
static void end_scoped(struct worker *worker, struct task *self, int result);
static void end_any(struct worker *worker, struct task *self, int result);
static void clean_up(struct worker *worker, struct task *self);
static void leave_joined(struct worker *worker, struct task *task, struct stack *stack);
static void leave_shared(struct worker *worker, struct task *task, struct stack *stack);
static void finish(struct worker *worker, struct task *task, int result);
static void finish_shared(struct worker *worker, struct task *task);
static void forget_marks(struct task *task);
static bool leaves_inbox(struct task *task);
static void finish_any(struct worker *worker, struct task *task);
static void finish_root(struct worker *worker, int result);
static struct task *give_to_one(struct task *task);
static bool give_result(struct task *task);

/* ---- run ---- */

/* False: others know of it, and shall see the end with the lock held. In an operation from here on,
 * which weft__leave() leaves. */
static inline bool end_privately(struct worker *worker, struct task *task, int result)
{
    task->stack = NULL;
    task->result = result;
    worker->tasks_ended++;
    core_enter(worker);
    if (is_shared(&task->shared)) return false;
    task->state = TASK_ENDED;
    return true;
}

void *weft__task_arg(struct task *task)
{
    return task->flags & TASK_ARGS_INLINE ? (void *)task->args : task->plain.arg;
}

const char *weft__task_name(const struct task *task)
{
    unsigned flags = __atomic_load_n(&task->flags, __ATOMIC_RELAXED); /* as task_set_flag() */
    return flags & TASK_EXTRAS ? task->plain.extras->name : NULL;
}

/* What a private task's end must look at, besides whether it is joined or detached. */
enum {
    UNUSUAL = TASK_SCOPED | TASK_EXTRAS | TASK_ARGS_OWNED | TASK_ROOT | TASK_MARKED | TASK_HOOKED |
              TASK_OWES
};

/* Deferred calls, local values, or scopes of its own that are open. */
static bool leaves_work(const struct task *self)
{
    const struct task_body *body = task_body(self);
    return body->deferred || body->locals || self->scope != self->home;
}

void weft__task_main(intptr_t value)
{
    struct task *self = (struct task *)value;
    weft__arrive(self);

    if (unlikely(self->flags & TASK_HOOKED)) call_start_hook(self);
    end(self, self->fn(weft__task_arg(self)));
}

__attribute__((noinline)) static void call_start_hook(struct task *self)
{
    const struct weft_config *config = &self->worker->runtime->settings.config;
    if (config->on_task_start) config->on_task_start(task_handle(self), config->hook_arg);
}

/*
 * The task's function has returned. From here to the switch everything that is usual is a chain of
 * tail calls, without a stack frame: nobody comes back.
 */
static void end(struct task *self, int result)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker)) _exit(result & 255); /* a forked child returned into its parent's task */
    if (self->flags & UNUSUAL) {
        end_unusual(worker, self, result);
        return;
    }
    struct stack *stack = self->stack;
    if (!end_privately(worker, self, result)) {
        leave_shared(worker, self, stack);
        return;
    }
    if (self->flags & TASK_JOINED) {
        leave_joined(worker, self, stack);
        return;
    }
    if (self->flags & TASK_DETACHED) record_reclaim(&worker->records, self);
    weft__leave(worker, stack);
}

__attribute__((noinline)) static void end_unusual(struct worker *worker,
                                                  struct task *self,
                                                  int result)
{
    bool is_scoped = (self->flags & UNUSUAL) == TASK_SCOPED;
    if (likely(is_scoped && self->scope == self->home)) {
        end_scoped(worker, self, result);
        return;
    }
    end_any(worker, self, result);
}

/* It leaves nothing to be done but for the scope that it was spawned into. */
static inline void end_scoped(struct worker *worker, struct task *self, int result)
{
    struct stack *stack = self->stack;
    if (!end_privately(worker, self, result)) {
        leave_shared(worker, self, stack);
        return;
    }
    if (unlikely(!self->home)) { /* ... or there was none */
        weft__task_leave(worker, self, stack);
        return;
    }
    weft__scope_leave(worker, self, stack);
}

__attribute__((noinline)) static void end_any(struct worker *worker, struct task *self, int result)
{
    if (worker->runtime->settings.config.on_task_end || leaves_work(self)) {
        clean_up(worker, self);
        worker = weft__worker(); /* it may have moved */
    }
    struct stack *stack = self->stack;
    finish(worker, self, result);
    weft__leave(worker, stack);
}

/* What the user left to be done; shielded, so that it may block. */
static void clean_up(struct worker *worker, struct task *self)
{
    const struct weft_config *config = &worker->runtime->settings.config;
    weft__scope_close_all(self);
    task_set_mark(self, MARK_ENDING);
    weft__scope_refresh(self);
    struct task_body *body = task_body(self);
    while (leaves_work(self)) {
        weft__defer_run(self);
        weft__locals_free(body); /* a destructor may defer, and set another value */
        weft__scope_close_all(self);
    }
    if (config->on_task_end) config->on_task_end(task_handle(self), config->hook_arg);
}

/* One task joins it, as a rule. */
__attribute__((noinline)) static void leave_joined(struct worker *worker,
                                                   struct task *task,
                                                   struct stack *stack)
{
    struct task *joiner = give_to_one(task);
    if (unlikely(!joiner)) {
        weft__task_leave(worker, task, stack);
        return;
    }
    record_reclaim(&worker->records, task);
    weft__leave_to(worker, joiner, stack);
}

__attribute__((noinline)) static void leave_shared(struct worker *worker,
                                                   struct task *task,
                                                   struct stack *stack)
{
    finish_shared(worker, task);
    weft__leave(worker, stack);
}

void weft__task_leave(struct worker *worker, struct task *task, struct stack *stack)
{
    finish_any(worker, task);
    weft__leave(worker, stack);
}

/* Publishes the result; the record may be gone afterwards. */
static void finish(struct worker *worker, struct task *task, int result)
{
    if (end_privately(worker, task, result)) {
        finish_any(worker, task);
    } else {
        finish_shared(worker, task);
    }
}

/* Of a private task, with whatever it has. */
static void finish_any(struct worker *worker, struct task *task)
{
    unsigned flags = task->flags;
    bool given = flags & TASK_JOINED && give_result(task);
    bool taken = given || flags & TASK_DETACHED;
    if (unlikely(flags & TASK_ROOT)) finish_root(worker, task->result);
    if (unlikely(flags & TASK_MARKED)) forget_marks(task);
    if (flags & TASK_SCOPED) {
        task->scope = NULL;
        if (task->home) weft__scope_child_ended(worker, task, taken);
        if (taken) task->home = NULL; /* the scope has let go of it */
    }
    if (!taken) return;
    if (unlikely(flags & (TASK_EXTRAS | TASK_ARGS_OWNED))) weft__task_forsake(task);
    record_reclaim(&worker->records, task);
}

static void forget_marks(struct task *task)
{
    atomic_store_explicit(&task->marks, 0, memory_order_relaxed);
}

/* Others may join it, or look at it. */
__attribute__((noinline)) static void finish_shared(struct worker *worker, struct task *task)
{
    weft__shared_lock();
    task->state = TASK_ENDED;
    task->scope = NULL;
    bool given = false;
    while (task->joiners.head.next && !list_is_empty(&task->joiners)) {
        struct waiter *waiter = waiter_of_link(list_pop_front(&task->joiners));
        if (weft__shared_is_done(waiter)) continue;
        int *ret_result = waiter_value(waiter);
        if (ret_result) *ret_result = task->result;
        weft__shared_complete(waiter, 0);
        given = true;
    }
    unsigned remote = atomic_fetch_or_explicit(&task->remote, REMOTE_ENDED, memory_order_relaxed);
    /* who detached it has told its scope: it is not counted twice */
    if (remote & REMOTE_DETACHED) task_set_flag(task, TASK_DETACHED);
    if (unlikely(task->flags & TASK_ROOT)) finish_root(worker, task->result);
    forget_marks(task);
    if (task->flags & TASK_SPREAD) weft__spread_ended(worker);
    bool taken = given || task->flags & TASK_DETACHED;
    if (task->home) weft__scope_child_ended(worker, task, taken);
    if (taken) {
        task->home = NULL;
        weft__task_release(task);
    }
    weft__shared_unlock();
}

__attribute__((noinline)) static void finish_root(struct worker *worker, int result)
{
    weft__report_outliving(worker->runtime);
    worker->runtime->root = NULL;
    worker->runtime->root_result = result;
    worker_end_period(worker); /* the loop wants to know */
}

/* The usual case of give_result(): one task waits, in weft_join(). Returns it, to be woken; NULL if
 * it is not so. */
static inline struct task *give_to_one(struct task *task)
{
    struct list_node *head = &task->joiners.head;
    struct list_node *link = head->next;
    if (unlikely(link == head || link->next != head)) return NULL;
    struct task *joiner = waiter_of_link(link)->task;
    if (unlikely(link != &joiner->wait.waiter.link)) return NULL;

    *link = (struct list_node){0}; /* it stood there alone */
    task->joiners = (struct list){0};
    int *ret_result = joiner->wait.value;
    if (ret_result) *ret_result = task->result;
    joiner->wait.kind = NULL;
    return joiner;
}

/* Wakes whoever joins; true if somebody did. */
__attribute__((noinline)) static bool give_result(struct task *task)
{
    bool taken = false;
    while (!list_is_empty(&task->joiners)) {
        struct waiter *waiter = waiter_of_link(list_pop_front(&task->joiners));
        if (!weft__waiter_claim(waiter)) continue;
        int *ret_result = waiter_value(waiter);
        if (ret_result) *ret_result = task->result;
        weft__waiter_complete(waiter, 0);
        taken = true;
    }
    task->joiners = (struct list){0}; /* as a free record has it */
    return taken;
}

void weft__task_drop(struct task *task)
{
    if (task->flags & TASK_EXTRAS && task->plain.extras->on_drop) {
        core_leave(task->worker);
        task->plain.extras->on_drop(task->plain.arg);
    }
    finish(task->worker, task, -ENOMEM);
}

void weft__task_release(struct task *task)
{
    bool was_shared = is_shared(&task->shared);
    bool needs_lock = was_shared || scope_lists_with_lock(task);
    if (needs_lock) weft__shared_lock();
    if (unlikely(task->home)) {
        if (list_node_is_linked(&task->sibling)) { /* it waited for a join */
            list_remove(&task->sibling);
            scope_part(task->home, task)->joinable--;
        }
        task->home = NULL;
    }
    if (unlikely(task->flags & (TASK_EXTRAS | TASK_ARGS_OWNED))) weft__task_forsake(task);
    if (!was_shared || leaves_inbox(task)) weft__record_free(task);
    if (needs_lock) weft__shared_unlock();
}

/* Of a shared task: nothing is left of it but its record, which becomes private again in its own
 * worker's hands (core/record.c): that worker trusts the word without the lock. False: it is in an
 * inbox still, and will be released when it comes out. */
static bool leaves_inbox(struct task *task)
{
    atomic_store_explicit(&task->id, 0, memory_order_relaxed); /* nobody joins it again */
    unsigned remote = atomic_fetch_or_explicit(&task->remote, REMOTE_ZOMBIE, memory_order_relaxed);
    if (remote & REMOTE_REQUESTS) return false;
    task->joiners = (struct list){0};
    atomic_store_explicit(&task->remote, 0, memory_order_relaxed);
    return true;
}

void weft__task_forsake(struct task *task)
{
    unsigned flags = task->flags;
    task->flags &= (uint16_t) ~(TASK_EXTRAS | TASK_ARGS_OWNED);
    atomic_signal_fence(memory_order_release); /* the dump's handler reads no freed name */
    if (flags & TASK_EXTRAS) free(task->plain.extras);
    if (flags & TASK_ARGS_OWNED) free(task->plain.arg);
}

void weft__task_cancel(struct task *task)
{
    if (task->state == TASK_ENDED || task_marks(task) & MARK_CANCELLED) return;
    task_set_mark(task, MARK_CANCELLED);
    weft__scope_walk(task);
}

/* ---- the public calls ---- */

/* A function of its own, so that the usual case needs no stack frame. */
__attribute__((noinline)) static int yield_late(struct worker *worker, struct task *self)
{
    int refused = self->interrupt ? weft__enter(worker, self) : 0;
    if (refused) return refused;
    if (self->flags & TASK_MOVES) weft__migrate_offer(worker);
    return weft__yield_to_all(worker, self);
}

int weft_yield(void)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;
    if (unlikely(self->interrupt || self->flags & TASK_MOVES)) return yield_late(worker, self);
    return weft__yield_to_all(worker, self);
}

weft_task weft_self(void)
{
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return (weft_task){0};
    return task_handle(worker->current);
}

const char *weft_task_name(void)
{
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return NULL;
    return weft__task_name(worker->current);
}

int weft_stack_bounds(void **ret_low, void **ret_high)
{
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return weft__not_in_task();
    *ret_low = worker->current->stack->bottom;
    *ret_high = worker->current->stack->top;
    return 0;
}

size_t weft_stack_high_water(void)
{
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return 0;
    return weft__stack_high_water(worker->current->stack);
}
