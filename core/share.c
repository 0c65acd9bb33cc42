/* SPDX-License-Identifier: MIT */
/*
 * How an object of one worker becomes everybody's: ask, barrier, wait, settle.
 */
#include "core/share.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/chan.h"
#include "core/chan_shared.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/sanitize.h"
#include "core/scope.h"

enum { SPINS_BEFORE_YIELD = 100 };

int weft__share_open(void)
{
    long result = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    return result == 0 ? 0 : -ENOTSUP;
}

void weft__share_wait(const struct worker *owner)
{
    /* After it, either the owner's store to in_core is visible here, or what was written here
     * before is visible to the owner's next look. It cannot fail once it was registered. */
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    /* acquire: pairs with core_leave() */
    for (unsigned spins = 0; atomic_load_explicit(&owner->in_core, memory_order_acquire) != 0;
         spins++) {
        if (spins > SPINS_BEFORE_YIELD) (void)sched_yield(); /* it may have lost its processor */
    }
}

void weft__share_ask(_Atomic(uint8_t) *sharing)
{
    uint8_t state = atomic_load_explicit(sharing, memory_order_relaxed);
    if (state == PRIVATE) atomic_store_explicit(sharing, ASKED, memory_order_relaxed);
}

void weft__share_settle(_Atomic(uint8_t) *sharing)
{
    atomic_store_explicit(sharing, SHARED, memory_order_relaxed);
}

/* Under the lock; true if the caller must wait for the owner, and settle. An owner need not: what
 * it did itself is over. */
static bool ask(_Atomic(uint8_t) *sharing, struct worker *owner, const struct worker *worker)
{
    weft__share_ask(sharing);
    weft__expose(owner);
    return !is_settled(sharing) && owner != worker;
}

void weft__share_chan(struct weft_chan *chan, const struct worker *worker)
{
    if (is_settled(&chan->sharing)) return;
    weft__shared_lock();
    bool must_wait = ask(&chan->sharing, chan->owner, worker);
    atomic_store_explicit(&chan->home, NULL, memory_order_relaxed);
    weft__shared_unlock();
    if (!must_wait) return;

    weft__share_wait(chan->owner);
    weft__shared_lock();
    weft__share_settle(&chan->sharing);
    weft__shared_unlock();
}

/* Also for its owner: others will send mail for it, which may come out of the inbox after its
 * end. */
static bool ask_scope(struct scope *scope, const struct worker *worker)
{
    weft__scope_open_remote(scope);
    weft__share_ask(&scope->has_remote);
    weft__share_ask(&scope->owner->shared);
    return ask(&scope->shared, scope->owner->worker, worker);
}

/* After the wait. */
static void settle_scope(struct scope *scope)
{
    weft__share_settle(&scope->has_remote);
    weft__share_settle(&scope->shared);
}

void weft__share_remote(struct scope *scope, const struct worker *worker)
{
    if (is_settled(&scope->has_remote)) return;
    weft__shared_lock();
    struct worker *owner = scope->owner->worker;
    weft__scope_open_remote(scope);
    weft__share_ask(&scope->owner->shared);
    bool must_wait = ask(&scope->has_remote, owner, worker);
    weft__shared_unlock();
    if (!must_wait) return;

    weft__share_wait(owner);
    weft__shared_lock();
    weft__share_settle(&scope->has_remote);
    weft__shared_unlock();
}

/* Whose task it is while it is private: that of the worker whose record it has. */
static struct worker *private_owner(const struct task *task)
{
    return container_of((struct record_pool *)(uintptr_t)record_pool(task), struct worker, records);
}

struct worker *weft__task_worker(const struct task *task)
{
    bool is_private = atomic_load_explicit(&task->shared, memory_order_relaxed) == PRIVATE;
    return is_private ? private_owner(task) : task->worker;
}

/* Under the lock, by its owner, or after the wait for it: did it end while it was private? No race
 * with what its worker writes there while it runs: that is never TASK_ENDED, without the lock. */
WEFT__NO_SANITIZE static void note_private_end(struct task *task)
{
    if (task->state != TASK_ENDED) return;
    /* relaxed: the lock is held */
    atomic_fetch_or_explicit(&task->remote, REMOTE_ENDED, memory_order_relaxed);
}

/* One step towards a shared task in a shared scope; NULL: it is done, else whom to wait for.
 * Settles what was asked for in the step before, if that waited for `waited`. */
static const struct worker *task_step(struct task *task,
                                      const struct worker *worker,
                                      const struct worker *waited)
{
    if (!is_settled(&task->shared)) {
        struct worker *owner = private_owner(task);
        bool must_wait = ask(&task->shared, owner, worker);
        if (must_wait && waited != owner) return owner;
        if (must_wait) weft__share_settle(&task->shared);
        note_private_end(task);
        waited = NULL; /* its scope was not asked for before that */
    }
    struct scope *home = task->home;
    if (!home || task_is_remote(task) || is_settled(&home->shared)) return NULL;
    struct worker *owner = home->owner->worker;
    bool must_wait = ask_scope(home, worker);
    if (must_wait && waited != owner) return owner;
    if (must_wait) settle_scope(home);
    return NULL;
}

bool weft__share_task(weft_task handle, const struct worker *worker)
{
    const struct worker *waited = NULL;
    for (;;) {
        weft__shared_lock();
        struct task *task = task_of_handle(handle);
        const struct worker *owner = task ? task_step(task, worker, waited) : NULL;
        weft__shared_unlock();
        if (!owner) return task != NULL;
        weft__share_wait(owner);
        waited = owner;
    }
}

bool weft__task_is_here(const struct worker *worker, const struct task *target)
{
    const struct record_pool *pool = record_pool(target);
    const struct runtime *runtime = worker->runtime;
    if (pool == &worker->records || pool == &runtime->foreign_records) return true;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (pool == &runtime->workers[i]->records) return true;
    }
    return false;
}
