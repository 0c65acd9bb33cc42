/* SPDX-License-Identifier: MIT */
/*
 * Stealing: the public deque, who watches it, and how a thief makes a chunk its own.
 *
 * A chunk is a batch that was taken out of its owner's ring; its tasks are in the remote part of
 * their scopes since then. They are still the owner's, which may join or cancel them. So a thief
 * that has taken the chunk first shares its tasks (core/share.h: one barrier for all), and only
 * then says that they run elsewhere.
 *
 * When thieves have taken all that was public, they ask for more. Those chunks are shared by their
 * owner, which needs no barrier for it, and may be taken at first sight.
 *
 * At most one idle worker watches: it looks every WEFT__WATCH_NS, and takes a chunk that was there
 * at its last look. So tasks that are about to be run by their owner stay with it, and nobody else
 * wakes; and tasks that begin by waiting for each other are not torn apart while they are started
 * (docs/decisions, 23). To move a task costs more than to run one that does nothing: a thief that
 * was soon done with what it took lets some looks pass before it takes more.
 */
#include "core/steal.h"

#include <limits.h>
#include <pthread.h>

#include "core/chan_shared.h"
#include "core/park.h"
#include "core/post.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"

enum {
    PUBLISH_PERIOD = 16, /* spawns between two chunks */
    CHUNK_MAX = 32,      /* tasks of a chunk */
    CHUNKS_AT_ONCE = 16, /* are cut when thieves have run dry */
    LOOKS_IN_VAIN = 4,   /* then the watcher sleeps without time-out */
    SLEEPER_NS = 5000,   /* that a task may run before it sleeps */
    WORTH_NS = 20000,    /* what a stolen chunk should keep a worker busy for */
    LOOKS_PASSED_MAX = 3 /* when it does not */
};

/* ---- the deque ---- */

static unsigned public_count(const struct ready *ready)
{
    /* seq_cst: pairs with weft__steal_must_watch() */
    return atomic_load_explicit(&ready->public.count, memory_order_seq_cst);
}

/* At the newest end. There is room. */
static void push_chunk(struct ready *ready, struct batch chunk)
{
    struct public_deque *public = &ready->public;
    (void)pthread_mutex_lock(&public->lock);
    unsigned count = atomic_load_explicit(&public->count, memory_order_relaxed);
    chunk.number = ++public->pushed;
    public->chunks[(public->first + count) % READY_PUBLIC_MAX] = chunk;
    atomic_store_explicit(&public->count, count + 1, memory_order_seq_cst);
    (void)pthread_mutex_unlock(&public->lock);
}

bool weft__ready_take_back(struct ready *ready)
{
    struct public_deque *public = &ready->public;
    if (atomic_load_explicit(&public->count, memory_order_relaxed) == 0) return false;
    (void)pthread_mutex_lock(&public->lock);
    unsigned count = atomic_load_explicit(&public->count, memory_order_relaxed);
    if (count > 0) {
        ready->newest = public->chunks[(public->first + count - 1) % READY_PUBLIC_MAX];
        atomic_store_explicit(&public->count, count - 1, memory_order_seq_cst);
    }
    (void)pthread_mutex_unlock(&public->lock);
    return count > 0;
}

struct task *weft__ready_pop_public(struct ready *ready)
{
    struct public_deque *public = &ready->public;
    if (atomic_load_explicit(&public->count, memory_order_relaxed) == 0) return NULL;
    struct task *task = NULL;
    (void)pthread_mutex_lock(&public->lock);
    unsigned count = atomic_load_explicit(&public->count, memory_order_relaxed);
    if (count > 0) {
        struct batch *oldest = &public->chunks[public->first % READY_PUBLIC_MAX];
        task = oldest->head;
        oldest->head = task->next;
        if (!oldest->head) {
            public->first++;
            atomic_store_explicit(&public->count, count - 1, memory_order_seq_cst);
        }
    }
    (void)pthread_mutex_unlock(&public->lock);
    return task;
}

/* The oldest chunk, if it is that one still: false if somebody was faster. */
static bool pop_oldest_chunk(struct ready *ready, uint64_t number, struct batch *ret)
{
    struct public_deque *public = &ready->public;
    (void)pthread_mutex_lock(&public->lock);
    unsigned count = atomic_load_explicit(&public->count, memory_order_relaxed);
    const struct batch *oldest = &public->chunks[public->first % READY_PUBLIC_MAX];
    bool is_there = count > 0 && oldest->number == number;
    if (is_there) {
        *ret = *oldest;
        public->first++;
        atomic_store_explicit(&public->count, count - 1, memory_order_seq_cst);
    }
    (void)pthread_mutex_unlock(&public->lock);
    return is_there;
}

/* The number of the oldest chunk if it may be taken, or 0. The next look may take what is there
 * now. */
static uint64_t ripe_chunk(struct ready *ready, struct sight *sight)
{
    if (public_count(ready) == 0) return 0;
    struct public_deque *public = &ready->public;
    (void)pthread_mutex_lock(&public->lock);
    bool is_there = atomic_load_explicit(&public->count, memory_order_relaxed) > 0;
    const struct batch *oldest = &public->chunks[public->first % READY_PUBLIC_MAX];
    bool is_ripe = is_there && (oldest->is_due || oldest->number <= sight->pushed);
    uint64_t number = is_ripe ? oldest->number : 0;
    sight->pushed = public->pushed;
    (void)pthread_mutex_unlock(&public->lock);
    return number;
}

/* ---- publish ---- */

/* Somebody who rests shall watch, if nobody does. */
static void call_watcher(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    struct crew *crew = &runtime->crew;
    /* seq_cst, both: pairs with weft__steal_must_watch() */
    if (atomic_load_explicit(&crew->watcher, memory_order_seq_cst)) return;
    if (atomic_load_explicit(&crew->resting, memory_order_seq_cst) == 0) return;
    for (unsigned i = 1; i <= runtime->worker_count; i++) {
        struct worker *other = runtime->workers[(worker->index + i) % runtime->worker_count];
        if (other == worker) continue;
        if (!atomic_load_explicit(&other->is_resting, memory_order_seq_cst)) continue;
        weft__crew_rouse(other);
        return;
    }
}

/* Whoever takes them finds them where the lock guards them. What thieves have asked for is shared
 * at once, since its owner needs no barrier for that. */
static void make_remote(struct worker *worker, struct batch chunk)
{
    bool was_entered = core_is_entered(worker);
    core_enter(worker);
    weft__shared_lock();
    if (chunk.is_due) weft__expose(worker);
    for (struct task *task = chunk.head; task; task = task->next) {
        if (task->flags & TASK_SCOPED) weft__scope_make_remote(worker, task);
        if (chunk.is_due) weft__share_settle(&task->shared);
    }
    weft__shared_unlock();
    if (!was_entered) core_leave(worker);
}

/* False: there is no room. Only its owner adds to the deque. */
static bool publish_chunk(struct worker *worker, struct batch chunk)
{
    struct ready *ready = &worker->ready;
    if (public_count(ready) == READY_PUBLIC_MAX) return false;
    make_remote(worker, chunk);
    push_chunk(ready, chunk);
    return true;
}

/* Up to CHUNK_MAX tasks from the head of a batch, none after `last`, which is in it. The batch is
 * left with the rest, which may be nothing. */
static bool publish_head(struct worker *worker,
                         struct batch *batch,
                         const struct task *last,
                         bool is_asked)
{
    struct batch chunk = {.head = batch->head, .tail = batch->head};
    for (int i = 1; i < CHUNK_MAX && chunk.tail != last; i++)
        chunk.tail = chunk.tail->next;
    struct task *rest = chunk.tail->next;
    chunk.tail->next = NULL;
    chunk.is_due = is_asked && rest; /* nobody spawns so many to talk to one of them */
    if (!publish_chunk(worker, chunk)) {
        chunk.tail->next = rest;
        return false;
    }
    batch->head = rest;
    return true;
}

/* Of the oldest batch, if it is not the one that the running slice fills. */
static bool publish_oldest(struct worker *worker, bool is_asked)
{
    struct ready *ready = &worker->ready;
    bool is_only = ready->batch_count == 0;
    if (is_only && (ready->batch_is_open || !ready->newest.head)) return false;
    struct batch *oldest =
        is_only ? &ready->newest : &ready->batches[ready->batch_first & ready->batch_mask];
    if (oldest->is_pinned || !publish_head(worker, oldest, oldest->tail, is_asked)) return false;
    if (!is_only && !oldest->head) {
        ready->batch_first = (ready->batch_first + 1) & ready->batch_mask;
        ready->batch_count--;
    }
    return true;
}

/* Of the batch that the running slice fills: what was there at the last call. */
static bool publish_aged(struct worker *worker)
{
    struct ready *ready = &worker->ready;
    if (!ready->batch_is_open || !ready->newest.head) return false;
    struct batch *open = &ready->newest;
    struct task *mark = ready->mark;
    ready->mark = open->tail;
    if (!mark || mark == open->tail || open->is_pinned) return false;
    return publish_head(worker, open, mark, false);
}

void weft__publish(struct worker *worker)
{
    worker->spawns_left = worker->runtime->has_many ? PUBLISH_PERIOD - 1 : INT_MAX;
    if (!worker->runtime->has_many || worker->ready.is_shuffled) return;
    if (publish_oldest(worker, false) || publish_aged(worker)) call_watcher(worker);
}

void weft__publish_more(void *arg)
{
    struct worker *worker = arg;
    worker->ready.batch_is_open = false;
    bool has_some = false;
    for (int i = 0; i < CHUNKS_AT_ONCE && publish_oldest(worker, true); i++)
        has_some = true;
    if (has_some) call_watcher(worker);
}

/* ---- take ---- */

/* After the barrier. With the lock. */
static void take_over(struct worker *thief, struct task *task)
{
    weft__share_settle(&task->shared);
    task->worker = thief;
    weft__scope_refresh(task);
}

static void for_each(struct batch chunk, struct worker *thief, bool is_asked)
{
    weft__shared_lock();
    for (struct task *task = chunk.head; task; task = task->next) {
        if (is_asked) {
            take_over(thief, task);
        } else {
            weft__share_ask(&task->shared); /* the owner must stop taking it for its own */
        }
    }
    weft__shared_unlock();
}

/* In an operation, which is left meanwhile: nothing that is private is being looked at. */
static void share(struct worker *thief, struct worker *victim, struct batch chunk)
{
    weft__expose(victim);
    core_leave(thief);
    for_each(chunk, thief, false);
    weft__share_wait(victim);
    core_enter(thief);
}

static void queue(struct ready *ready, struct batch chunk)
{
    if (weft__ready_reserve_batch(ready) == 0) {
        chunk.is_pinned = true; /* once is enough */
        ready_stow_newest(ready);
        ready->newest = chunk;
        return;
    }
    while (chunk.head) { /* they need no memory there */
        struct task *task = chunk.head;
        chunk.head = task->next;
        ready_push_woken(ready, task);
    }
}

static void adopt(struct worker *thief, struct worker *victim, struct batch chunk)
{
    if (!chunk.is_due) share(thief, victim, chunk);
    for_each(chunk, thief, true);
    queue(&thief->ready, chunk);
}

static void ask_for_more(struct worker *victim)
{
    weft__post_to(victim, &victim->publish_post);
}

static bool steal_from(struct worker *thief, struct worker *victim, uint64_t number)
{
    struct batch chunk = {0};
    if (!pop_oldest_chunk(&victim->ready, number, &chunk)) return false;
    adopt(thief, victim, chunk);
    thief->stolen_ns = weft__backend.now_ns(thief->backend_state);
    if (public_count(&victim->ready) == 0) ask_for_more(victim);
    return true;
}

/* ---- watch ---- */

static bool is_anything_public(const struct runtime *runtime)
{
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (public_count(&runtime->workers[i]->ready) > 0) return true;
    }
    return false;
}

static bool becomes_watcher(struct worker *worker)
{
    struct worker *nobody = NULL;
    _Atomic(struct worker *) *watcher = &worker->runtime->crew.watcher;
    if (atomic_load_explicit(watcher, memory_order_relaxed) == worker) return true;
    if (!atomic_compare_exchange_strong(watcher, &nobody, worker)) return false;
    if (worker->looks_to_pass == 0) worker->watch_next_ns = 0; /* at once */
    worker->watched_in_vain = 0;
    return true;
}

static void resign(struct worker *worker)
{
    /* seq_cst: pairs with call_watcher() */
    atomic_store_explicit(&worker->runtime->crew.watcher, NULL, memory_order_seq_cst);
}

/* It has begun many tasks lately that all sleep by now: it is soon through, and who begins by
 * waiting most likely waits for its neighbours. */
static bool is_starting_sleepers(struct worker *victim, int64_t now_ns)
{
    struct sight *sight = &victim->sight;
    int64_t elapsed_ns = now_ns - sight->stacks_ns;
    if (elapsed_ns < WEFT__WATCH_NS) return sight->starts_sleepers;
    size_t stacks = atomic_load_explicit(&victim->stacks.shown, memory_order_relaxed);
    int64_t begun = (int64_t)stacks - (int64_t)sight->stacks;
    sight->starts_sleepers = begun >= elapsed_ns / SLEEPER_NS;
    sight->stacks = stacks;
    sight->stacks_ns = now_ns;
    return sight->starts_sleepers;
}

/* One look at everybody: takes what was there at the last one. */
static bool look(struct worker *worker, int64_t now_ns)
{
    const struct runtime *runtime = worker->runtime;
    for (unsigned i = 1; i < runtime->worker_count; i++) {
        unsigned index = (worker->index + i) % runtime->worker_count;
        struct worker *victim = runtime->workers[index];
        uint64_t number = ripe_chunk(&victim->ready, &victim->sight);
        bool is_left = is_starting_sleepers(victim, now_ns) || worker->looks_to_pass > 0;
        if (number == 0 || is_left) continue;
        if (steal_from(worker, victim, number)) return true;
    }
    if (worker->looks_to_pass > 0) worker->looks_to_pass--;
    return false;
}

/* It is idle again after a theft: was that worth the while? */
static void judge(struct worker *worker, int64_t now_ns)
{
    bool was_worth = now_ns - worker->stolen_ns >= WORTH_NS;
    unsigned more = worker->looks_passed * 2 + 1;
    worker->looks_passed = was_worth ? 0 : more < LOOKS_PASSED_MAX ? more : LOOKS_PASSED_MAX;
    worker->looks_to_pass = worker->looks_passed;
    worker->stolen_ns = 0;
}

bool weft__steal(struct worker *worker, int64_t *timeout_ns)
{
    struct runtime *runtime = worker->runtime;
    if (!runtime->has_many || worker->ready.is_shuffled) return false;
    int64_t now_ns = 0;
    if (worker->stolen_ns != 0) {
        now_ns = weft__backend.now_ns(worker->backend_state);
        judge(worker, now_ns);
    }
    bool is_public = is_anything_public(runtime);
    bool watches = atomic_load_explicit(&runtime->crew.watcher, memory_order_relaxed) == worker;
    if (!is_public && !watches) return false;
    if (!becomes_watcher(worker)) return false;

    if (now_ns == 0) now_ns = weft__backend.now_ns(worker->backend_state);
    int64_t left_ns = worker->watch_next_ns - now_ns;
    if (left_ns <= 0) {
        worker->watched_in_vain = is_public ? 0 : worker->watched_in_vain + 1;
        if (look(worker, now_ns)) {
            weft__steal_hand_on(worker);
            return true;
        }
        if (worker->watched_in_vain > LOOKS_IN_VAIN) {
            resign(worker);
            return false; /* weft__steal_must_watch() looks once more */
        }
        worker->watch_next_ns = now_ns + WEFT__WATCH_NS;
        left_ns = WEFT__WATCH_NS;
    }
    if (left_ns < *timeout_ns) *timeout_ns = left_ns;
    return false;
}

void weft__steal_hand_on(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    worker->has_rested = false;
    if (atomic_load_explicit(&runtime->crew.watcher, memory_order_relaxed) == worker) {
        resign(worker);
    }
    /* after the end of the rest and of the watch, which a publisher may have seen last */
    if (is_anything_public(runtime)) call_watcher(worker);
}

/* Who publishes first counts what is public, and then looks who rests; who rests counts itself, and
 * then looks what is public: one sees the other. */
bool weft__steal_must_watch(struct worker *worker)
{
    return !worker->ready.is_shuffled && is_anything_public(worker->runtime) &&
           becomes_watcher(worker);
}

/* ---- placement ---- */

struct worker *weft__spread_choose(struct runtime *runtime)
{
    struct worker *best = runtime->workers[0];
    unsigned fewest = UINT_MAX;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct worker *worker = runtime->workers[i];
        unsigned live = atomic_load_explicit(&worker->spread_live, memory_order_relaxed);
        if (live >= fewest) continue;
        fewest = live;
        best = worker;
    }
    atomic_fetch_add_explicit(&best->spread_live, 1, memory_order_relaxed);
    return best;
}

void weft__spread_ended(struct worker *worker)
{
    atomic_fetch_sub_explicit(&worker->spread_live, 1, memory_order_relaxed);
}
