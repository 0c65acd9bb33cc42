/* SPDX-License-Identifier: MIT */
/*
 * How cancellation and deadlines travel down the tree of scopes.
 *
 * Whether a task is interrupted is a function of the chain of scopes from its current one to the
 * root, up to the first shield (evaluate). Whatever changes on a chain recomputes every task below
 * it. The walk follows the links of the tree and needs no memory of its own. A task of another
 * worker is asked to walk on from there (REMOTE_WALK): it reads the flags above it, which were
 * changed before it was asked, and everything above a task stays until the task has ended.
 */
#include <errno.h>

#include "core/chan_shared.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"

static void walk(struct worker *worker, struct task *top, const struct scope *end);
static void evaluate(const struct task *task, int16_t *ret_interrupt, int16_t *ret_no_sleep);

void weft__scope_refresh(struct task *task)
{
    evaluate(task, &task->interrupt, &task->no_sleep);
    if (!task->interrupt) {
        task->ignored = 0;
        return;
    }
    if (task->state != TASK_PARKED) return;
    const struct wait_kind *kind = task->wait.kind;
    if (!kind->abandon || !kind->abandon(task)) return;
    weft__wake_queued(task, task->interrupt);
}

/* With several workers the lists of children may be shared; the lock is held meanwhile. */
static void lock_walk(const struct worker *worker)
{
    if (unlikely(worker->runtime->has_many)) weft__shared_lock();
}

static void unlock_walk(const struct worker *worker)
{
    if (unlikely(worker->runtime->has_many)) weft__shared_unlock();
}

/* Does it run on this worker? The lock is held where there are others. */
static bool runs_here(const struct worker *worker, const struct task *task)
{
    return task->worker == worker;
}

void weft__scope_cancel(struct worker *worker, struct scope *scope)
{
    if (scope_flags(scope) & SCOPE_CANCELLED) return;
    lock_walk(worker);
    if (likely(runs_here(worker, scope->owner))) { /* also if the mail that asks is under way */
        scope_set_flags(scope, scope_flags(scope) | SCOPE_CANCELLED);
        walk(worker, scope->owner, scope->parent);
    } else if (!scope_is_cancelled(scope)) {
        atomic_store_explicit(&scope->is_asked, true, memory_order_relaxed);
        weft__mail(scope->owner, REMOTE_WALK);
    }
    unlock_walk(worker);
}

void weft__scope_expire(struct scope *scope)
{
    struct worker *worker = scope->owner->worker;
    lock_walk(worker);
    if (likely(!weft__scope_take_deadline(worker, scope))) {
        scope_set_flags(scope, scope_flags(scope) | SCOPE_EXPIRED);
        walk(worker, scope->owner, scope->parent);
    }
    unlock_walk(worker);
}

void weft__scope_walk(struct task *task)
{
    struct worker *worker = task->worker;
    lock_walk(worker);
    walk(worker, task, task->home);
    unlock_walk(worker);
}

/* What one walk from a task's current scope to the root finds. */
struct chain {
    bool cancelled;
    bool outer_expired;
    bool outer_try;
    unsigned current; /* flags of the current scope */
};

/* Leaving what `inside` has opened itself: true if nothing further out counts. */
static bool cross(struct chain *chain,
                  const struct runtime *runtime,
                  const struct task *inside,
                  const struct scope *scope)
{
    unsigned marks = task_marks(inside);
    if (marks & MARK_ENDING) return true;
    if (marks & MARK_CANCELLED) chain->cancelled = true;
    if (!scope && runtime_is_cancelled(runtime)) chain->cancelled = true;
    return !scope;
}

static struct chain follow(const struct task *task)
{
    struct chain chain = {0};
    const struct task *inside = task;
    const struct scope *scope = task->scope;
    for (;; scope = scope->parent) {
        if (!scope || scope->owner != inside) {
            if (cross(&chain, task->worker->runtime, inside, scope)) return chain;
            inside = scope->owner;
        }
        unsigned flags = scope_flags(scope);
        if (scope == task->scope) chain.current = flags;
        if (scope_is_cancelled(scope)) chain.cancelled = true;
        if (scope != task->scope && flags & SCOPE_EXPIRED) chain.outer_expired = true;
        if (scope != task->scope && flags & SCOPE_TRY) chain.outer_try = true;
        if (flags & SCOPE_SHIELD) return chain;
    }
}

static void evaluate(const struct task *task, int16_t *ret_interrupt, int16_t *ret_no_sleep)
{
    struct chain chain = follow(task);
    *ret_interrupt = 0;
    if (chain.cancelled) {
        *ret_interrupt = -ECANCELED;
    } else if (chain.current & SCOPE_EXPIRED) {
        *ret_interrupt = -ETIMEDOUT;
    } else if (chain.outer_expired) {
        *ret_interrupt = -ECANCELED;
    }
    *ret_no_sleep = 0;
    if (chain.current & SCOPE_TRY) {
        *ret_no_sleep = -ETIMEDOUT;
    } else if (chain.outer_try) {
        *ret_no_sleep = -ECANCELED;
    }
}

static struct task *first_of(const struct scope_part *part)
{
    struct list_node *link = list_first(&part->children);
    return link ? container_of(link, struct task, sibling) : NULL;
}

static struct task *first_remote(const struct scope *scope)
{
    return scope_has_remote(scope) ? first_of(&scope->remote) : NULL;
}

/* Those here, then those that may be elsewhere. */
static struct task *first_child(const struct scope *scope)
{
    struct task *child = first_of(&scope->local);
    return child ? child : first_remote(scope);
}

static struct task *next_child(const struct scope *scope, const struct task *child)
{
    struct list_node *link = child->sibling.next;
    if (link == &scope->local.children.head) return first_remote(scope);
    return link == &scope->remote.children.head ? NULL : container_of(link, struct task, sibling);
}

/* The task itself; true if it runs here, so that what is below it can be walked. */
static bool visit(const struct worker *worker, struct task *task)
{
    if (unlikely(!runs_here(worker, task))) {
        weft__mail(task, REMOTE_WALK);
        return false;
    }
    weft__scope_refresh(task);
    return true;
}

/* Refreshes `top`, which runs here, and every task below the scopes that it has opened inside `end`
 * (exclusive). */
static void walk(struct worker *worker, struct task *top, const struct scope *end)
{
    weft__scope_refresh(top);
    if (top->scope == end) return;

    struct scope *scope = top->scope;
    struct task *task = first_child(scope);
    for (;;) {
        if (task) {
            if (visit(worker, task) && task->scope != task->home) {
                scope = task->scope; /* down: its own scopes, innermost first */
                task = first_child(scope);
            } else {
                task = next_child(scope, task);
            }
            continue;
        }
        struct task *owner = scope->owner;
        if (owner == top && scope->parent == end) return;
        if (scope->parent == owner->home) { /* up: its owner is done, on to the owner's sibling */
            scope = owner->home;
            task = next_child(scope, owner);
        } else {
            scope = scope->parent;
            task = first_child(scope);
        }
    }
}
