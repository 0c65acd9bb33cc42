/* SPDX-License-Identifier: MIT */
/*
 * How cancellation and deadlines travel down the tree of scopes.
 *
 * Whether a task is interrupted is a function of the chain of scopes from its current one to the
 * root, up to the first shield (evaluate). Whatever changes on a chain recomputes every task below
 * it. The walk follows the links of the tree and needs no memory of its own.
 */
#include <errno.h>

#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"

static void walk(struct task *top, const struct scope *end);
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

void weft__scope_cancel(struct scope *scope)
{
    if (scope->flags & SCOPE_CANCELLED) return;
    scope->flags |= SCOPE_CANCELLED;
    walk(scope->owner, scope->parent);
}

void weft__scope_expire(struct scope *scope)
{
    scope->flags |= SCOPE_EXPIRED;
    walk(scope->owner, scope->parent);
}

void weft__scope_cancel_task(struct task *task)
{
    walk(task, task->home);
}

/* What one walk from a task's current scope to the root finds. */
struct chain {
    bool cancelled;
    bool outer_expired;
    bool outer_try;
    unsigned current; /* flags of the current scope */
};

/* Leaving what `inside` has opened itself: true if nothing further out counts. */
static bool cross(struct chain *chain, const struct task *inside, const struct scope *scope)
{
    if (inside->flags & TASK_ENDING) return true;
    if (inside->flags & TASK_CANCELLED) chain->cancelled = true;
    if (!scope && inside->worker->runtime->is_cancelled) chain->cancelled = true;
    return !scope;
}

static struct chain follow(const struct task *task)
{
    struct chain chain = {0};
    const struct task *inside = task;
    const struct scope *scope = task->scope;
    for (;; scope = scope->parent) {
        if (!scope || scope->owner != inside) {
            if (cross(&chain, inside, scope)) return chain;
            inside = scope->owner;
        }
        unsigned flags = scope->flags;
        if (scope == task->scope) chain.current = flags;
        if (flags & SCOPE_CANCELLED) chain.cancelled = true;
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

static struct task *first_child(const struct scope *scope)
{
    struct list_node *link = list_first(&scope->children);
    return link ? container_of(link, struct task, sibling) : NULL;
}

static struct task *next_child(const struct scope *scope, const struct task *child)
{
    struct list_node *link = child->sibling.next;
    return link == &scope->children.head ? NULL : container_of(link, struct task, sibling);
}

/* Refreshes `top` and every task below the scopes that it has opened inside `end` (exclusive). */
static void walk(struct task *top, const struct scope *end)
{
    weft__scope_refresh(top);
    if (top->scope == end) return;

    struct scope *scope = top->scope;
    struct task *task = first_child(scope);
    for (;;) {
        if (task) {
            weft__scope_refresh(task);
            if (task->scope != task->home) { /* down: its own scopes, innermost first */
                scope = task->scope;
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
