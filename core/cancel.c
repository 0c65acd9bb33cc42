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
    if (scope->owner) walk(scope->owner, scope->parent);
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

static void evaluate(const struct task *task, int16_t *ret_interrupt, int16_t *ret_no_sleep)
{
    bool cancelled = false;
    bool outer_expired = false;
    bool outer_try = false;
    unsigned current = task->scope->flags;
    bool current_counts = true;
    const struct task *inside = task;
    for (const struct scope *scope = task->scope; scope; scope = scope->parent) {
        if (inside && scope->owner != inside) { /* past the outermost scope that it opened */
            if (inside->flags & TASK_ENDING) {
                if (scope == task->scope) current_counts = false;
                break;
            }
            if (inside->flags & TASK_CANCELLED) cancelled = true;
            inside = scope->owner;
        }
        if (scope->flags & SCOPE_CANCELLED) cancelled = true;
        if (scope != task->scope && scope->flags & SCOPE_EXPIRED) outer_expired = true;
        if (scope != task->scope && scope->flags & SCOPE_TRY) outer_try = true;
        if (scope->flags & SCOPE_SHIELD) break;
    }
    if (!current_counts) current = 0;

    *ret_interrupt = 0;
    if (cancelled) {
        *ret_interrupt = -ECANCELED;
    } else if (current & SCOPE_EXPIRED) {
        *ret_interrupt = -ETIMEDOUT;
    } else if (outer_expired) {
        *ret_interrupt = -ECANCELED;
    }
    *ret_no_sleep = 0;
    if (current & SCOPE_TRY) {
        *ret_no_sleep = -ETIMEDOUT;
    } else if (outer_try) {
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
