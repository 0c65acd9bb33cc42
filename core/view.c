/* SPDX-License-Identifier: MIT */
/*
 * What a look at the records may touch while several workers run.
 *
 * A task that has started is changed by its worker only, whose thread is looking. One that has not
 * may be stolen, and one that has ended may be joined elsewhere: these are read inside of an
 * operation (core/share.h), and with the lock if they are shared.
 */
#include "core/view.h"

#include <pthread.h>
#include <sched.h>

#include "core/chan_shared.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/text.h"

enum { TRIES_MAX = 1000 }; /* of a signal handler, for a lock: others hold it for moments */

struct walk {
    struct view *view;
    view_fn *visit;
    view_elsewhere_fn *visit_elsewhere;
    void *arg;
};

/* What keeps a record as it is. */
struct hold {
    bool was_entered;
    bool has_lock;
};

/* The interrupted code may be about to take it, and not get on: tries are bounded. */
static bool try_often(struct view *view, bool (*try)(struct runtime *runtime))
{
    int tries = view->is_locked_out ? 1 : TRIES_MAX;
    while (tries-- > 0) {
        if (try(view->runtime)) return true;
        (void)sched_yield();
    }
    view->is_locked_out = true;
    return false;
}

static bool try_shared(struct runtime *runtime)
{
    (void)runtime;
    return weft__shared_try_lock();
}

static bool try_foreign(struct runtime *runtime)
{
    return pthread_mutex_trylock(&runtime->foreign_lock) == 0;
}

static struct hold take_hold(struct view *view, const struct task *task)
{
    struct hold hold = {.was_entered = core_is_entered(view->worker)};
    core_enter(view->worker);
    if (view->text) weft__text_hold(view->text);
    if (!is_shared(&task->shared)) return hold;
    if (view->in_signal) {
        hold.has_lock = try_often(view, try_shared);
    } else {
        weft__shared_lock();
        hold.has_lock = true;
    }
    return hold;
}

static void let_go(struct view *view, struct hold hold)
{
    if (hold.has_lock) weft__shared_unlock();
    if (!hold.was_entered) core_leave(view->worker);
    if (view->text) weft__text_release(view->text);
}

/* With the hold. */
static bool is_here(const struct view *view, const struct task *task, struct hold hold)
{
    if (hold.has_lock) return task->worker == view->worker;
    return !is_shared(&task->shared);
}

/* Of a task that is here. */
static bool is_steady(const struct task *task)
{
    return task->state == TASK_RUNNING || task->state == TASK_READY || task->state == TASK_PARKED;
}

static void show(const struct walk *walk, struct task *task, bool here, struct hold hold)
{
    if (here) {
        if (walk->visit) walk->visit(task, walk->arg);
    } else if (walk->visit_elsewhere && record_pool(task) == &walk->view->worker->records) {
        walk->visit_elsewhere(task, hold.has_lock ? task->worker : NULL, walk->arg);
    }
}

static void look(struct task *task, void *arg)
{
    const struct walk *walk = arg;
    struct hold hold = take_hold(walk->view, task);
    bool is_there = task_id(task) != 0; /* another worker may have released it meanwhile */
    bool here = is_there && is_here(walk->view, task, hold);
    bool is_free = here && is_steady(task);
    if (is_free) let_go(walk->view, hold);
    if (is_there) show(walk, task, here, hold);
    if (!is_free) let_go(walk->view, hold);
}

static void walk_own(struct walk *walk)
{
    struct view *view = walk->view;
    weft__records_visit(&view->worker->records, look, walk);
    if (!walk->visit) return;
    if (!view->in_signal) {
        weft__runtime_visit_foreign(view->runtime, look, walk);
        return;
    }
    /* its holder may be waiting for what the interrupted code holds, as the heap's lock */
    if (!try_often(view, try_foreign)) return;
    weft__records_visit(&view->runtime->foreign_records, look, walk);
    (void)pthread_mutex_unlock(&view->runtime->foreign_lock);
}

void weft__view_tasks(struct view *view, view_fn *visit, void *arg)
{
    if (!view->worker) {
        weft__runtime_visit(view->runtime, visit, arg);
        return;
    }
    walk_own(&(struct walk){.view = view, .visit = visit, .arg = arg});
}

void weft__view_elsewhere(struct view *view, view_elsewhere_fn *visit, void *arg)
{
    if (!view->worker || !view->runtime->has_many) return;
    walk_own(&(struct walk){.view = view, .visit_elsewhere = visit, .arg = arg});
}

bool weft__view_has_ended(const struct task *task)
{
    return atomic_load_explicit(&task->remote, memory_order_relaxed) & REMOTE_ENDED;
}
