/* SPDX-License-Identifier: MIT */
/*
 * Select: look at all cases, take one that is ready; else stand in all their queues at once.
 *
 * The waiters lie in the caller's array of cases. Whoever completes one case fixes the winner and
 * takes the other waiters out before the task continues, so losing cases have no effect. A select
 * that includes something shared does all this under weft__shared_lock, and whoever wants to
 * complete it through a private case must claim it first. With several workers any case may become
 * shared while the task sleeps.
 */
#include "core/select.h"

#include <errno.h>
#include <string.h>

#include "core/chan.h"
#include "core/chan_shared.h"
#include "core/choice.h"
#include "core/fdtable.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/time.h"

#define NOTHING SIZE_MAX

/* One select, until it sleeps. */
struct look {
    struct worker *worker;
    struct weft_case *cases;
    size_t count;
    size_t enabled;  /* how many can ever win, the default not counted */
    size_t fallback; /* index of the default case, or NOTHING */
    int64_t now_ns;  /* 0: the clock was not read yet */
    bool is_ordered;
    bool has_shared; /* something that the lock guards */
    bool has_public; /* a channel of which other runtimes and threads know */
    bool has_fd;
    bool has_timer;
};

static int select_few(struct worker *worker, struct weft_case *cases, size_t count);
static int select_many(struct worker *worker, struct weft_case *cases, size_t count);
static int select_park(struct worker *worker,
                       struct task *self,
                       struct weft_case *cases,
                       size_t count);
static int select_any(struct worker *worker, struct weft_case *cases, size_t count, unsigned flags);
static int park_at_fds(struct worker *worker, struct task *self, const struct weft_case *cases);
static int look_over(struct look *look);
static bool needs_lock(const struct look *look);
static int run(struct look *look, struct task *self);
static int choose(struct look *look, size_t *ret_index);
static int case_is_ready(struct look *look, struct weft_case *which);
static int take(struct look *look, struct weft_case *which);
static int enlist_all(struct look *look, struct task *self);
static int enlist(struct look *look, struct task *self, struct weft_case *which);
static void arm_timer(struct look *look, struct task *self);

static bool select_abandon(struct task *task)
{
    weft__select_withdraw(task, NULL);
    return true;
}

static bool select_shared_abandon(struct task *task)
{
    if (!weft__select_claim(task)) return false;
    weft__select_withdraw(task, NULL);
    return true;
}

static const struct wait_kind select_wait = {.name = "select", .abandon = select_abandon};
const struct wait_kind weft__select_shared_wait = {.name = "select",
                                                   .abandon = select_shared_abandon};

int weft_select_from(struct weft_case *cases, size_t count, unsigned flags)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    struct task *self = worker->current;
    if (unlikely((!cases && count > 0) || (flags & ~(unsigned)WEFT_ORDERED) || count > INT32_MAX)) {
        return -EINVAL;
    }
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;

    if (flags == 0) {
        core_enter(worker);
        result = count <= CHOICE_EXACT_MAX ? select_few(worker, cases, count)
                                           : select_many(worker, cases, count);
        if (result == -EINPROGRESS && !self->no_sleep)
            return select_park(worker, self, cases, count);
        core_leave(worker);
        if (result >= 0) return result;
    }
    return select_any(worker, cases, count, flags);
}

/* ---- the usual select: private channels, and one of them is ready ---- */

enum { CASE_IDLE = 0, CASE_READY = 1, CASE_UNUSUAL = 2 };

_Static_assert(WEFT_CASE_RECV == WEFT_CASE_SEND + 1, "tested as a range");

static inline int glance(const struct worker *worker, const struct weft_case *which)
{
    const struct weft_chan *chan = which->object;
    if (unlikely(which->kind - WEFT_CASE_SEND > WEFT_CASE_RECV - WEFT_CASE_SEND || !chan ||
                 !chan_is_private(chan, worker))) {
        return CASE_UNUSUAL;
    }
    return which->kind == WEFT_CASE_RECV ? chan_can_recv(chan) : chan_can_send(chan);
}

/* The index, or -EAGAIN if the select must be done in full. -EINPROGRESS, here and in the next two:
 * all are private channels, at least one, and none is ready. */
static inline int take_ready(struct weft_case *cases, size_t index)
{
    struct weft_case *which = &cases[index];
    int status = which->kind == WEFT_CASE_RECV ? weft__chan_recv_now(which->object, which->value)
                                               : weft__chan_send_now(which->object, which->value);
    if (unlikely(status == -EAGAIN)) return -EAGAIN;
    if (which->status) *which->status = status;
    return (int)index;
}

/* All are looked at; each of the ready ones is taken equally often. */
static inline int select_few(struct worker *worker, struct weft_case *cases, size_t count)
{
    unsigned ready = 0;
    for (size_t i = 0; i < count; i++) {
        int found = glance(worker, &cases[i]);
        if (unlikely(found == CASE_UNUSUAL)) return -EAGAIN;
        ready |= (unsigned)found << i;
    }
    if (!ready) return count > 0 ? -EINPROGRESS : -EAGAIN;

    if (ready & (ready - 1)) { /* more than one: drop a random number of the lowest */
        uint32_t skip = weft__random_below(&worker->random, (uint32_t)__builtin_popcount(ready));
        while (skip-- > 0)
            ready &= ready - 1;
    }
    return take_ready(cases, (size_t)__builtin_ctz(ready));
}

/* They are looked at in a random order, up to the first that is ready. */
static int select_many(struct worker *worker, struct weft_case *cases, size_t count)
{
    struct choice choice;
    weft__choice_open(&choice, &worker->random, count, false);
    size_t index = 0;
    while (weft__choice_next(&choice, &index)) {
        int found = glance(worker, &cases[index]);
        if (found == CASE_READY) return take_ready(cases, index);
        if (unlikely(found == CASE_UNUSUAL)) return -EAGAIN;
    }
    return -EINPROGRESS;
}

/* Stands in the queues of all channels. */
__attribute__((noinline)) static int select_park(struct worker *worker,
                                                 struct task *self,
                                                 struct weft_case *cases,
                                                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct weft_chan *chan = cases[i].object;
        struct waiter *waiter = waiter_of_case(&cases[i]);
        waiter->task = self;
        waiter->link.next = NULL; /* the user's array is not initialised there */
        waiter->link.previous = NULL;
        bool receives = cases[i].kind == WEFT_CASE_RECV;
        list_push_back(receives ? &chan->receivers : &chan->senders, &waiter->link);
    }
    bool has_many = worker->runtime->has_many;
    weft__wait_for(self, has_many ? &weft__select_shared_wait : &select_wait, cases, NULL);
    self->wait.count = (uint32_t)count;
    return weft__park(worker, self);
}

/* ---- any select ---- */

__attribute__((noinline)) static int select_any(struct worker *worker,
                                                struct weft_case *cases,
                                                size_t count,
                                                unsigned flags)
{
    struct task *self = worker->current;
    struct look look = {.worker = worker,
                        .cases = cases,
                        .count = count,
                        .fallback = NOTHING,
                        .is_ordered = flags & WEFT_ORDERED};
    int result = look_over(&look);
    if (unlikely(result < 0)) return result;
    core_enter(worker);
    if (unlikely(needs_lock(&look))) {
        weft__shared_lock();
        look.has_shared = true;
        weft__expose(worker);
        result = run(&look, self);
        weft__shared_unlock(); /* a wake-up from now on waits in the inbox until we sleep */
    } else {
        result = run(&look, self);
    }
    if (result == -EINPROGRESS) {
        return look.has_fd ? park_at_fds(worker, self, cases) : weft__park(worker, self);
    }
    core_leave(worker);
    return result;
}

/* A winner that waited for a descriptor attends to it from now on. */
static int park_at_fds(struct worker *worker, struct task *self, const struct weft_case *cases)
{
    int result = weft__park_here(worker, self);
    if (result < 0) return result;
    const struct weft_case *winner = &cases[result];
    if (winner->kind == WEFT_CASE_READABLE) {
        weft__fd_resumed(weft__worker(), (int)winner->number, FD_READ);
    } else if (winner->kind == WEFT_CASE_WRITABLE) {
        weft__fd_resumed(weft__worker(), (int)winner->number, FD_WRITE);
    }
    return result;
}

static weft_task handle_of_case(const struct weft_case *which)
{
    return (weft_task){.id = (uint64_t)which->number, .slot = which->object};
}

/* Sees to it that the select may touch the channel or the task, itself or under the lock. */
static int reach(struct look *look, const struct weft_case *which)
{
    if (which->kind == WEFT_CASE_JOINED) {
        const struct task *target = task_of_handle(handle_of_case(which));
        if (!target) return 0; /* a stale handle is anybody's: its case is ready */
        if (!weft__task_is_here(look->worker, target)) return -EPERM;
        if (unlikely(!weft__task_is_mine(look->worker, target))) {
            (void)weft__share_task(handle_of_case(which), look->worker);
        }
        return 0;
    }
    struct weft_chan *chan = which->object;
    if (likely(chan_is_private(chan, look->worker))) return 0;
    if (!chan->runtime) {
        look->has_public = true;
        return 0;
    }
    if (chan->runtime != look->worker->runtime) return -EPERM;
    weft__share_chan(chan, look->worker);
    return 0;
}

/* Is the case on something that is not private? In an operation. */
static bool case_needs_lock(const struct worker *worker, const struct weft_case *which)
{
    if (which->kind == WEFT_CASE_JOINED) {
        const struct task *target = which->object;
        return target && !weft__task_is_mine(worker, target);
    }
    if (which->kind != WEFT_CASE_SEND && which->kind != WEFT_CASE_RECV) return false;
    return which->object && !chan_is_private(which->object, worker);
}

static bool needs_lock(const struct look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        if (case_needs_lock(look->worker, &look->cases[i])) return true;
    }
    return false;
}

/* Checks the array and notes what is in it. */
static int look_over(struct look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        struct weft_case *which = &look->cases[i];
        if (which->kind == WEFT_CASE_SEND || which->kind == WEFT_CASE_RECV) {
            if (!which->object) continue;
            look->enabled++;
            int result = reach(look, which);
            if (unlikely(result < 0)) return result;
            continue;
        }
        switch (which->kind) {
        case WEFT_CASE_DISABLED:
            continue;
        case WEFT_CASE_DEFAULT:
            if (look->fallback != NOTHING) return -EINVAL;
            look->fallback = i;
            continue;
        case WEFT_CASE_TIMER:
            look->has_timer = true;
            break;
        case WEFT_CASE_READABLE:
        case WEFT_CASE_WRITABLE:
            look->has_fd = true;
            break;
        case WEFT_CASE_JOINED:
            if (unlikely(reach(look, which) < 0)) return -EPERM;
            break;
        default:
            return -EINVAL;
        }
        look->enabled++;
    }
    return 0;
}

/* The winner's index, an error, or -EINPROGRESS: everything is enlisted, go to sleep. */
static int run(struct look *look, struct task *self)
{
    if (unlikely(look->has_fd && (look->fallback != NOTHING || self->no_sleep))) {
        weft__fds_probe(look->worker, look->cases, look->count);
    }
    for (;;) {
        size_t index = NOTHING;
        int result = choose(look, &index);
        if (unlikely(result < 0)) return result;
        if (index == NOTHING) break;
        result = take(look, &look->cases[index]);
        if (likely(result == 0)) return (int)index;
        if (result != -EAGAIN) return result; /* -EAGAIN: its partner was claimed elsewhere */
    }
    if (look->fallback != NOTHING) return (int)look->fallback;
    if (unlikely(look->enabled == 0)) return -EINVAL;
    if (unlikely(self->no_sleep)) return self->no_sleep;

    bool may_be_shared = look->has_shared || look->worker->runtime->has_many;
    weft__wait_for(
        self, may_be_shared ? &weft__select_shared_wait : &select_wait, look->cases, NULL);
    self->wait.count = (uint32_t)look->count;
    if (look->has_public) weft__shared_count(look->worker, self);
    return enlist_all(look, self);
}

/* Stores the index of the ready case to take, or NOTHING. */
static int choose(struct look *look, size_t *ret_index)
{
    struct choice choice;
    weft__choice_open(&choice, &look->worker->random, look->count, look->is_ordered);
    size_t index = 0;
    while (weft__choice_next(&choice, &index)) {
        int ready = case_is_ready(look, &look->cases[index]);
        if (unlikely(ready < 0)) return ready;
        if (ready > 0 && weft__choice_found(&choice, index)) break;
    }
    *ret_index = choice.chosen;
    return 0;
}

static int64_t look_now(struct look *look)
{
    if (look->now_ns == 0) look->now_ns = weft__worker_now(look->worker);
    return look->now_ns;
}

/* 1, 0, or a negative errno that makes the whole select fail. */
static int case_is_ready(struct look *look, struct weft_case *which)
{
    switch (which->kind) {
    case WEFT_CASE_SEND:
        return which->object && chan_can_send(which->object);
    case WEFT_CASE_RECV:
        return which->object && chan_can_recv(which->object);
    case WEFT_CASE_TIMER:
        if (which->object == WEFT_CASE_RELATIVE) return which->number <= 0;
        return which->number <= look_now(look);
    case WEFT_CASE_READABLE:
        return weft__fd_is_ready(look->worker, (int)which->number, FD_READ, false);
    case WEFT_CASE_WRITABLE:
        return weft__fd_is_ready(look->worker, (int)which->number, FD_WRITE, false);
    case WEFT_CASE_JOINED: {
        const struct task *target = task_of_handle(handle_of_case(which));
        return !target || target == look->worker->current || weft__task_has_ended(target);
    }
    default:
        return 0;
    }
}

/* Lets a ready case go ahead: 0, or -EAGAIN if it is not ready after all. */
static int take(struct look *look, struct weft_case *which)
{
    int status = 0;
    struct weft_chan *chan = which->object;
    switch (which->kind) {
    case WEFT_CASE_SEND:
        status = chan_is_private(chan, look->worker) ? weft__chan_send_now(chan, which->value)
                                                     : weft__shared_send_now(chan, which->value);
        break;
    case WEFT_CASE_RECV:
        status = chan_is_private(chan, look->worker) ? weft__chan_recv_now(chan, which->value)
                                                     : weft__shared_recv_now(chan, which->value);
        break;
    case WEFT_CASE_READABLE:
        (void)weft__fd_is_ready(look->worker, (int)which->number, FD_READ, true);
        break;
    case WEFT_CASE_WRITABLE:
        (void)weft__fd_is_ready(look->worker, (int)which->number, FD_WRITE, true);
        break;
    case WEFT_CASE_JOINED: {
        struct task *target = task_of_handle(handle_of_case(which));
        status = !target                           ? -ESRCH
                 : target == look->worker->current ? -EDEADLK
                                                   : weft__join_take(target, which->value);
        break;
    }
    default:
        break;
    }
    if (status == -EAGAIN) return -EAGAIN;
    if (which->status) *which->status = status;
    return 0;
}

/* ---- sleep ---- */

/* -EINPROGRESS when all stand in their queues. */
static int enlist_all(struct look *look, struct task *self)
{
    for (size_t i = 0; i < look->count; i++) {
        waiter_of_case(&look->cases[i])->link = (struct list_node){0};
    }
    for (size_t i = 0; i < look->count; i++) {
        int result = enlist(look, self, &look->cases[i]);
        if (likely(result == 0)) continue;

        weft__select_withdraw(self, NULL);
        self->wait.kind = NULL;
        weft__shared_uncount(look->worker, self);
        if (result < 0) return result;
        if (look->cases[i].status) *look->cases[i].status = 0; /* a file is always ready */
        return (int)i;
    }
    if (look->has_timer) arm_timer(look, self);
    return -EINPROGRESS;
}

/* 0; 1 if it turns out to be ready for good; or a negative errno. */
static int enlist(struct look *look, struct task *self, struct weft_case *which)
{
    struct waiter *waiter = waiter_of_case(which);
    struct weft_chan *chan = which->object;
    waiter->task = self;
    switch (which->kind) {
    case WEFT_CASE_SEND:
        if (chan) list_push_back(&chan->senders, &waiter->link);
        return 0;
    case WEFT_CASE_RECV:
        if (chan) list_push_back(&chan->receivers, &waiter->link);
        return 0;
    case WEFT_CASE_READABLE:
        return weft__fd_enlist(look->worker, (int)which->number, FD_READ, waiter);
    case WEFT_CASE_WRITABLE:
        return weft__fd_enlist(look->worker, (int)which->number, FD_WRITE, waiter);
    case WEFT_CASE_JOINED:
        weft__join_enlist(which->object, waiter);
        return 0;
    default:
        return 0;
    }
}

/* All timer cases share the task's one timer: the earliest of them is the one that can win. */
static void arm_timer(struct look *look, struct task *self)
{
    int64_t earliest_ns = WEFT_FOREVER;
    for (size_t i = 0; i < look->count; i++) {
        struct weft_case *which = &look->cases[i];
        if (which->kind != WEFT_CASE_TIMER) continue;
        int64_t deadline_ns = which->number;
        if (which->object == WEFT_CASE_RELATIVE) {
            deadline_ns = time_after(look_now(look), which->number);
        }
        *case_deadline(which) = deadline_ns;
        if (deadline_ns < earliest_ns) earliest_ns = deadline_ns;
    }
    struct timer *timer = &task_body(self)->timer;
    timer->deadline_ns = earliest_ns;
    timer->kind = TIMER_SELECT;
    weft__timer_add(&look->worker->timers, timer);
}

void weft__select_timer(struct task *task)
{
    if (task->wait.kind == &weft__select_shared_wait && !weft__select_claim(task)) return;

    struct weft_case *cases = task->wait.object;
    int64_t deadline_ns = task_body(task)->timer.deadline_ns;
    for (size_t i = 0; i < task->wait.count; i++) {
        if (cases[i].kind == WEFT_CASE_TIMER && *case_deadline(&cases[i]) == deadline_ns) {
            weft__select_withdraw(task, &cases[i]);
            if (cases[i].status) *cases[i].status = 0;
            weft__wake_queued(task, (int)i);
            return;
        }
    }
    WEFT_UNREACHABLE();
}

void weft__select_complete(struct weft_case *winner, int status)
{
    struct task *task = waiter_of_case(winner)->task;
    const struct weft_case *cases = task->wait.object;
    weft__select_withdraw(task, winner);
    if (winner->status) *winner->status = status;
    /* Behind the others: they may make further cases ready, and the next select need not sleep. */
    weft__wake_queued(task, (int)(winner - cases));
}

/* ---- leave the queues ---- */

static bool case_has_waiter(const struct weft_case *which)
{
    return which->kind != WEFT_CASE_TIMER && which->kind != WEFT_CASE_DEFAULT;
}

/* Does the lock guard the queue that the case's waiter stands in? What was only asked for is its
 * worker's still, which takes the waiter out when the task's wake-up has arrived. */
static bool case_is_settled(const struct weft_case *which)
{
    if (which->kind == WEFT_CASE_JOINED) {
        const struct task *target = which->object;
        return is_settled(&target->shared);
    }
    if (which->kind != WEFT_CASE_SEND && which->kind != WEFT_CASE_RECV) return false;
    const struct weft_chan *chan = which->object;
    return chan && is_settled(&chan->sharing);
}

void weft__select_withdraw(struct task *task, const struct weft_case *winner)
{
    struct weft_case *cases = task->wait.object;
    for (size_t i = 0; i < task->wait.count; i++) {
        struct weft_case *which = &cases[i];
        if (which == winner || !case_has_waiter(which)) continue;
        struct waiter *waiter = waiter_of_case(which);
        if (!list_node_is_linked(&waiter->link)) continue;
        if (which->kind == WEFT_CASE_READABLE || which->kind == WEFT_CASE_WRITABLE) {
            weft__fd_withdraw(task->worker, waiter);
        } else {
            list_remove(&waiter->link);
        }
    }
    struct timer *timer = &task_body(task)->timer;
    if (weft__timer_is_armed(timer)) weft__timer_remove(&task->worker->timers, timer);
}

void weft__select_withdraw_shared(struct task *task, const struct weft_case *winner)
{
    struct weft_case *cases = task->wait.object;
    for (size_t i = 0; i < task->wait.count; i++) {
        struct waiter *waiter = waiter_of_case(&cases[i]);
        if (&cases[i] == winner || !case_is_settled(&cases[i])) continue;
        if (list_node_is_linked(&waiter->link)) list_remove(&waiter->link);
    }
}

bool weft__select_claim(struct task *task)
{
    /* Nothing that this worker's selects could stand in was ever shared. Not asked of the cases
     * themselves: once another worker has completed it, what they name may be gone. */
    if (!weft__is_exposed(task->worker)) return true;
    weft__shared_lock();
    bool is_mine = !weft__shared_is_done(&(struct waiter){.task = task});
    if (is_mine) {
        /* From all queues: who asked for a channel before this operation began may settle it as
         * soon as the lock is free. */
        weft__select_withdraw(task, NULL);
        weft__shared_uncount(task->worker, task);
    }
    weft__shared_unlock();
    return is_mine;
}
