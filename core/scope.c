/* SPDX-License-Identifier: MIT */
/*
 * Scopes: open, spawn into, cancel, close; and the blocks that are built on them.
 */
#include "core/scope.h"

#include <errno.h>
#include <string.h>

#include "core/chan_shared.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/time.h"

_Static_assert(sizeof(struct scope) <= sizeof(struct weft_scope), "part of the ABI");

static int open_scope(struct scope *scope, unsigned flags, const char *site);
static inline void open_part(struct scope_part *part);
static bool begin_on(struct worker *worker, const struct scope *scope);
static void end_on(struct worker *worker, bool is_locked);
static int wait_on(struct worker *worker,
                   struct scope *scope,
                   const struct wait_kind *kind,
                   bool is_locked);
static void child_ended(struct worker *worker, struct scope *scope, struct task *task, bool taken);
static inline void tell_owner(struct worker *worker,
                              struct scope *scope,
                              const struct scope_part *part);
static int close_slowly(struct worker *worker, struct scope *scope);
static int own_status(const struct scope *scope);
static int check_owned(struct worker *worker, const struct scope *scope);

/* Nothing interrupts the closing of a scope. */
static const struct wait_kind close_wait = {.name = "scope close", .abandon = NULL};

static bool next_abandon(struct task *task)
{
    if (unlikely(task->worker->runtime->has_many)) return weft__shared_abandon(task);
    list_remove(&task->wait.waiter.link);
    return true;
}

static const struct wait_kind next_wait = {.name = "scope next", .abandon = next_abandon};

/* ---- open ---- */

static int open_scope(struct scope *scope, unsigned flags, const char *site)
{
    scope_set_flags(scope, 0); /* closing it is harmless if this fails */
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;

    scope_set_flags(scope, SCOPE_OPEN | flags);
    /* One whose owner may move is nobody's own from the beginning. */
    uint8_t sharing = PRIVATE;
    if (unlikely(self->flags & TASK_MOVES)) {
        sharing = SHARED;
        open_part(&scope->remote);
        scope->timer.kind = TIMER_SCOPE; /* a move looks at it */
    }
    atomic_init(&scope->shared, sharing);
    atomic_init(&scope->has_remote, sharing);
    atomic_init(&scope->is_asked, false);
    atomic_init(&scope->failure, 0);
    atomic_init(&scope->asked_deadline_ns, 0);
    scope->parent = self->scope;
    scope->owner = self;
    scope->timer.place = 0;
    scope_set_deadline(scope, WEFT_FOREVER);
    open_part(&scope->local);
    list_open(&scope->waiters);
    scope->ret_status = NULL;
    scope->site = site;
    task_set_flag(self, TASK_SCOPED);
    self->scope = scope;
    if (unlikely(self->interrupt || self->no_sleep || flags)) weft__scope_refresh(self);
    return 0;
}

static inline void open_part(struct scope_part *part)
{
    list_open(&part->children);
    list_open(&part->ended);
    part->joinable = 0;
}

int weft_scope_open_at(struct weft_scope *scope, const char *site)
{
    return open_scope(scope_of(scope), 0, site);
}

int(weft_scope_open)(struct weft_scope *scope)
{
    return weft_scope_open_at(scope, NULL);
}

int weft_scope_open_timeout_at(struct weft_scope *public_scope,
                               int64_t duration_ns,
                               const char *site)
{
    struct scope *scope = scope_of(public_scope);
    int result = open_scope(scope, duration_ns <= 0 ? SCOPE_TRY : 0, site);
    if (unlikely(result < 0) || duration_ns <= 0 || duration_ns == WEFT_FOREVER) return result;

    struct worker *worker = weft__worker();
    scope_set_deadline(scope, time_after(weft__worker_now(worker), duration_ns));
    scope->timer.kind = TIMER_SCOPE;
    weft__timer_add(&worker->timers, &scope->timer);
    return 0;
}

int(weft_scope_open_timeout)(struct weft_scope *scope, int64_t duration_ns)
{
    return weft_scope_open_timeout_at(scope, duration_ns, NULL);
}

int weft_scope_open_shield_at(struct weft_scope *scope, const char *site)
{
    return open_scope(scope_of(scope), SCOPE_SHIELD, site);
}

int(weft_scope_open_shield)(struct weft_scope *scope)
{
    return weft_scope_open_shield_at(scope, NULL);
}

/* ---- children ---- */

int weft_scope_spawn_with_at(struct weft_scope *scope,
                             weft_task *ret,
                             const struct weft_spawn_options *options,
                             weft_fn fn,
                             void *arg,
                             const char *site)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    if (!scope_is_open(scope_of(scope))) return -EINVAL;
    return weft__spawn(worker,
                       &(struct spawn_request){.ret = ret,
                                               .fn = fn,
                                               .arg = arg,
                                               .options = options,
                                               .site = site,
                                               .home = scope_of(scope)});
}

int(weft_scope_spawn_with)(struct weft_scope *scope,
                           weft_task *ret,
                           const struct weft_spawn_options *options,
                           weft_fn fn,
                           void *arg)
{
    return weft_scope_spawn_with_at(scope, ret, options, fn, arg, NULL);
}

int(weft_scope_spawn)(struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg)
{
    return weft_scope_spawn_at(scope, ret, fn, arg, NULL);
}

void weft__scope_open_remote(struct scope *scope)
{
    if (!scope_has_remote(scope)) open_part(&scope->remote);
}

void weft__scope_make_remote(struct worker *worker, struct task *task)
{
    struct scope *scope = task->home;
    if (!scope || task_is_remote(task)) return;
    /* By its owner's worker, which needs no barrier; or nothing of it is private. */
    WEFT_DEBUG_ASSERT(scope->owner->worker == worker || is_shared(&scope->shared));
    weft__scope_open_remote(scope);
    weft__share_settle(&scope->has_remote);
    weft__share_ask(&scope->owner->shared); /* there will be mail for it */
    list_remove(&task->sibling);
    list_push_back(&scope->remote.children, &task->sibling);
    if (!(task->flags & TASK_DETACHED)) {
        scope->local.joinable--;
        scope->remote.joinable++;
    }
    task_set_flag(task, TASK_REMOTE);
}

void weft__scope_child_ended(struct worker *worker, struct task *task, bool taken)
{
    struct scope *scope = task->home;
    if (likely(!is_shared(&scope->shared) && !task_is_remote(task))) {
        child_ended(worker, scope, task, taken);
        return;
    }
    weft__shared_lock();
    child_ended(worker, scope, task, taken);
    weft__shared_unlock();
}

/* Does the end of one of several children concern nobody? Of private tasks and parts only. */
static inline bool ends_unheard(const struct scope *scope, const struct task *task)
{
    if (is_shared(&scope->shared) || is_shared(&scope->has_remote)) return false;
    bool is_dropped = (task->flags & (TASK_DETACHED | TASK_JOINED)) == TASK_DETACHED;
    bool is_last = task->sibling.next == task->sibling.previous; /* both are the list */
    if (!is_dropped || is_last || task->result < 0) return false;
    return list_is_empty(&scope->waiters) || scope->owner->wait.kind == &close_wait;
}

/* As at the end of a task of the root scope, there is no call in the usual case. */
void weft__scope_leave(struct worker *worker, struct task *task, struct stack *stack)
{
    if (!ends_unheard(task->home, task)) {
        weft__task_leave(worker, task, stack);
        return;
    }
    list_remove(&task->sibling);
    task->home = NULL;
    task->scope = NULL;
    record_reclaim(&worker->records, task);
    weft__leave(worker, stack);
}

/* Keeps it if it is. Children of both parts may fail at once. */
static bool is_first_failure(struct scope *scope, int result)
{
    int none = 0;
    return atomic_compare_exchange_strong_explicit(
        &scope->failure, &none, result, memory_order_relaxed, memory_order_relaxed);
}

static void child_ended(struct worker *worker, struct scope *scope, struct task *task, bool taken)
{
    struct scope_part *part = scope_part(scope, task);
    list_remove(&task->sibling);
    if (!taken) {
        list_push_back(&part->ended, &task->sibling);
    } else if (!(task->flags & TASK_DETACHED)) {
        part->joinable--;
    }

    bool is_echo = task->result == -ECANCELED && scope_is_cancelled(scope);
    if (task->result < 0 && !is_echo && is_first_failure(scope, task->result)) {
        weft__scope_cancel(worker, scope);
    }
    if (likely(!is_shared(&scope->has_remote))) {
        tell_owner(worker, scope, part);
        return;
    }
    /* Without the lock: how a task of this worker sleeps, and who of its children are left here. */
    bool is_here = part == &scope->local && !is_shared(&scope->shared);
    bool awaits_next = is_here && scope->owner->wait.kind == &next_wait;
    if (is_here && !awaits_next && !list_is_empty(&part->children)) return;
    weft__shared_lock();
    tell_owner(worker, scope, part);
    weft__shared_unlock();
}

/* Wakes the owner if it waits for a child, or for the end of all of this part: it then looks at the
 * other part itself. */
static inline void tell_owner(struct worker *worker,
                              struct scope *scope,
                              const struct scope_part *part)
{
    struct list_node *link = list_first(&scope->waiters);
    if (!link) return;
    struct task *owner = waiter_of_link(link)->task;
    if (owner->wait.kind == &close_wait && !list_is_empty(&part->children)) return;
    list_remove(link);
    if (likely(owner->worker == worker)) {
        weft__wake(owner, 0);
    } else {
        weft__shared_complete(waiter_of_link(link), 0);
    }
}

/* Takes a child that has ended: 0; -ESRCH: there will be none; -EAGAIN: wait for one. */
static int take_child(struct scope *scope, weft_task *ret, int *ret_result)
{
    struct list_node *link = list_first(&scope->local.ended);
    size_t joinable = scope->local.joinable;
    if (unlikely(scope_has_remote(scope))) {
        if (!link) link = list_first(&scope->remote.ended);
        joinable += scope->remote.joinable;
    }
    if (!link) return joinable == 0 ? -ESRCH : -EAGAIN;
    struct task *child = container_of(link, struct task, sibling);
    if (ret) *ret = task_handle(child);
    if (ret_result) *ret_result = child->result;
    weft__task_release(child);
    return 0;
}

int weft_scope_next(struct weft_scope *public_scope, weft_task *ret, int *ret_result)
{
    struct worker *worker = weft__worker();
    struct scope *scope = scope_of(public_scope);
    int result = check_owned(worker, scope);
    if (result < 0) return result;
    struct task *self = worker->current;
    result = weft__enter(worker, self);
    if (result < 0) return result;

    for (;;) {
        bool is_locked = begin_on(worker, scope);
        result = take_child(scope, ret, ret_result);
        if (result == -EAGAIN && self->no_sleep) result = self->no_sleep;
        if (result != -EAGAIN) {
            end_on(worker, is_locked);
            return result;
        }
        result = wait_on(worker, scope, &next_wait, is_locked);
        if (result < 0) return result;
        worker = weft__worker(); /* the task may have moved */
    }
}

/* ---- end ---- */

/* 0 if the calling task may use its own open scope. */
static int check_owned(struct worker *worker, const struct scope *scope)
{
    if (!worker || !worker->current) return weft__not_in_task();
    if (!scope_is_open(scope)) return -EINVAL;
    return scope->owner == worker->current ? 0 : -EPERM;
}

int weft_scope_cancel(struct weft_scope *scope)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    if (!scope_is_open(scope_of(scope))) return -EINVAL;
    bool is_mine = task_worker_hint(scope_of(scope)->owner) == worker;
    if (unlikely(!is_mine)) weft__share_remote(scope_of(scope), worker);
    core_enter(worker);
    weft__scope_cancel(worker, scope_of(scope));
    core_leave(worker);
    return 0;
}

/* An operation on the caller's scope, which others may have children in: true if under the lock. */
static inline bool begin_on(struct worker *worker, const struct scope *scope)
{
    core_enter(worker);
    bool is_locked = is_shared(&scope->shared) || is_shared(&scope->has_remote);
    if (unlikely(is_locked)) weft__shared_lock();
    return is_locked;
}

static inline void end_on(struct worker *worker, bool is_locked)
{
    if (unlikely(is_locked)) weft__shared_unlock();
    core_leave(worker);
}

/* Ends the operation, and sleeps until a child has ended. */
static int wait_on(struct worker *worker,
                   struct scope *scope,
                   const struct wait_kind *kind,
                   bool is_locked)
{
    struct task *self = worker->current;
    weft__wait_for(self, kind, scope, NULL);
    list_push_back(&scope->waiters, &self->wait.waiter.link);
    if (unlikely(is_locked)) weft__shared_unlock();
    return weft__park(worker, self);
}

static inline int failure_of(const struct scope *scope)
{
    return atomic_load_explicit(&scope->failure, memory_order_relaxed);
}

static bool has_children(const struct scope *scope)
{
    if (!list_is_empty(&scope->local.children)) return true;
    return scope_has_remote(scope) && !list_is_empty(&scope->remote.children);
}

/* Private, without children, and nothing has happened in it. */
static bool is_plain(const struct scope *scope)
{
    return scope_flags(scope) == SCOPE_OPEN && !is_shared(&scope->shared) &&
           !is_shared(&scope->has_remote) && !failure_of(scope) &&
           list_is_empty(&scope->local.children) && list_is_empty(&scope->local.ended);
}

int weft_scope_close(struct weft_scope *public_scope)
{
    struct worker *worker = weft__worker();
    struct scope *scope = scope_of(public_scope);
    int result = check_owned(worker, scope);
    if (result < 0) return result;
    struct task *self = worker->current;
    if (self->scope != scope) return -EINVAL;

    core_enter(worker);
    if (likely(is_plain(scope) && !self->interrupt && !self->no_sleep)) {
        weft__timer_remove(&worker->timers, &scope->timer);
        self->scope = scope->parent;
        scope_set_flags(scope, 0);
        core_leave(worker);
        return 0;
    }
    return close_slowly(worker, scope);
}

static void release_ended(struct scope_part *part)
{
    while (!list_is_empty(&part->ended)) {
        weft__task_release(container_of(list_first(&part->ended), struct task, sibling));
    }
}

/* There is something to wait for, to release or to report. */
__attribute__((noinline)) static int close_slowly(struct worker *worker, struct scope *scope)
{
    struct task *self = worker->current;
    bool is_locked = begin_on(worker, scope);
    while (has_children(scope)) {
        (void)wait_on(worker, scope, &close_wait, is_locked); /* the last child wakes it */
        worker = weft__worker();                              /* ... and it may have moved */
        is_locked = begin_on(worker, scope);
    }
    int result = failure_of(scope) ? failure_of(scope) : own_status(scope);
    release_ended(&scope->local);
    if (unlikely(scope_has_remote(scope))) release_ended(&scope->remote);
    weft__timer_remove(&worker->timers, &scope->timer);
    self->scope = scope->parent;
    unsigned flags = scope_flags(scope);
    scope_set_flags(scope, 0);
    if (unlikely(flags != SCOPE_OPEN || is_locked || self->interrupt || self->no_sleep)) {
        weft__scope_refresh(self);
    }
    end_on(worker, is_locked);
    return result;
}

static int own_status(const struct scope *scope)
{
    if (scope_is_cancelled(scope)) return -ECANCELED;
    return scope_flags(scope) & SCOPE_EXPIRED ? -ETIMEDOUT : 0;
}

/* Closes a scope that its owner leaves without doing so: children are cancelled, and joined. There
 * is no place for the result. */
static void abandon_scope(struct scope *scope)
{
    struct worker *worker = weft__worker();
    bool is_locked = begin_on(worker, scope);
    if (has_children(scope)) weft__scope_cancel(worker, scope);
    end_on(worker, is_locked);
    (void)weft_scope_close((struct weft_scope *)(void *)scope);
}

void weft__scope_close_all(struct task *task)
{
    while (task->scope != task->home) {
        abandon_scope(task->scope);
    }
}

int weft_scope_status(void)
{
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return weft__not_in_task();
    const struct task *self = worker->current;
    if (self->interrupt) return self->interrupt;
    if (self->no_sleep) return self->no_sleep;

    /* its deadline may have passed without a look at the timers since */
    bool is_shielded = task_marks(self) & MARK_ENDING && self->scope == self->home;
    if (!self->scope || is_shielded) return 0;
    return scope_deadline(self->scope) <= weft__worker_now(worker) ? -ETIMEDOUT : 0;
}

/* ---- another deadline ---- */

/* On the owner's worker; with the lock if others may ask, too. */
static void move_deadline(struct worker *worker, struct scope *scope, int64_t deadline_ns)
{
    weft__timer_remove(&worker->timers, &scope->timer);
    scope->timer.kind = TIMER_SCOPE; /* also if the owner is on its way here: it finds it armed */
    scope_set_deadline(scope, deadline_ns);
    if (deadline_ns != WEFT_FOREVER) weft__timer_add(&worker->timers, &scope->timer);
}

static int64_t asked_deadline(const struct scope *scope)
{
    return atomic_load_explicit(&scope->asked_deadline_ns, memory_order_relaxed);
}

/* With the lock. */
static void ask_deadline(struct scope *scope, int64_t deadline_ns)
{
    /* release: pairs with scope_deadline() */
    atomic_store_explicit(&scope->asked_deadline_ns, deadline_ns, memory_order_release);
}

bool weft__scope_take_deadline(struct worker *worker, struct scope *scope)
{
    int64_t deadline_ns = asked_deadline(scope);
    if (likely(!deadline_ns)) return false;
    move_deadline(worker, scope, deadline_ns);
    ask_deadline(scope, 0);
    return true;
}

void weft__scope_take_deadlines(struct worker *worker, struct task *task)
{
    struct scope *scope = scope_first_own(task);
    for (; scope; scope = scope_next_own(task, scope))
        (void)weft__scope_take_deadline(worker, scope);
}

/* It has, or may have, a part that is not private. The last one counts: what was asked for before
 * is forgotten. */
static int set_deadline_shared(struct worker *worker, struct scope *scope, int64_t deadline_ns)
{
    int result = 0;
    core_enter(worker);
    weft__shared_lock();
    if (scope_flags(scope) & SCOPE_EXPIRED) {
        result = -ETIMEDOUT;
    } else if (scope->owner->worker == worker) {
        move_deadline(worker, scope, deadline_ns);
        ask_deadline(scope, 0);
    } else {
        ask_deadline(scope, deadline_ns > 0 ? deadline_ns : 1);
        weft__mail(scope->owner, REMOTE_DEADLINE);
    }
    weft__shared_unlock();
    core_leave(worker);
    return result;
}

int weft_scope_set_deadline(struct weft_scope *public_scope, int64_t deadline_ns)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    struct scope *scope = scope_of(public_scope);
    if (!scope_is_open(scope) || scope_flags(scope) & SCOPE_TRY) return -EINVAL;
    const struct worker *owner = task_worker_hint(scope->owner);
    if (unlikely(owner != worker)) {
        if (owner->runtime != worker->runtime) return -EPERM;
        weft__share_remote(scope, worker);
        return set_deadline_shared(worker, scope, deadline_ns);
    }
    if (unlikely(is_shared(&scope->has_remote))) {
        return set_deadline_shared(worker, scope, deadline_ns);
    }
    /* Who comes to share it now counts as later, and does not touch the timer. */
    if (scope_flags(scope) & SCOPE_EXPIRED) return -ETIMEDOUT;
    move_deadline(worker, scope, deadline_ns);
    return 0;
}

/* ---- blocks ---- */

struct weft_scope *weft_scope_enter(struct weft_scope *scope,
                                    int64_t duration_ns,
                                    int *ret_status,
                                    const char *site)
{
    int result = weft_scope_open_timeout_at(scope, duration_ns, site);
    if (result == 0) {
        scope_of(scope)->ret_status = ret_status;
    } else if (ret_status) {
        *ret_status = result;
    }
    return scope;
}

struct weft_scope *weft_scope_enter_shield(struct weft_scope *scope, const char *site)
{
    (void)weft_scope_open_shield_at(scope, site); /* outside a task the block runs all the same */
    return scope;
}

void weft_scope_leave(struct weft_scope *public_scope)
{
    struct scope *scope = scope_of(public_scope);
    if (!scope_is_open(scope)) return;
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) { /* a forked child: it is the parent's scope */
        if (scope->ret_status) *scope->ret_status = weft__not_in_task();
        return;
    }
    const struct task *self = worker->current;
    while (self->scope != scope) { /* inner scopes that were opened by hand */
        abandon_scope(self->scope);
    }
    if (scope->ret_status) *scope->ret_status = weft_scope_status();
    abandon_scope(scope);
}
