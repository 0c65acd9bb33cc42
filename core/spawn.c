/* SPDX-License-Identifier: MIT */
/*
 * How a task comes into the world: a record, what it shall run, its scope, its place in a queue.
 *
 * A spawned task is queued and its parent goes on. The calls are laid out so that the usual way
 * needs no other file: what is rare is left to a function that is called last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/chan_shared.h"
#include "core/migrate.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/scope.h"
#include "core/share.h"
#include "core/steal.h"
#include "core/task.h"

static int spawn_late(
    struct worker *worker, weft_task *ret, weft_fn fn, void *arg, const char *site);
static void join_scope_shared(struct worker *worker, struct task *task, struct scope *home);
static void spread(struct worker *worker, struct task *task, const struct spawn_request *request);
static void spawn_migratable(struct worker *worker, struct task *task, struct scope *home);
static int fill(struct task *task, const struct spawn_request *request);
static int fill_options(struct task *task, const struct weft_spawn_options *options);
static int fill_args(struct task *task, const struct spawn_request *request);

/* ---- within the runtime ---- */

/* A record and room in the ready queue, if both are at hand; else NULL. */
static inline struct task *take_record(struct worker *worker)
{
    const struct ready *ready = &worker->ready;
    if (unlikely(!ready->batch_is_open && ready->batch_count > ready->batch_mask)) return NULL;
    return record_at_hand(&worker->records);
}

/* NULL: no memory. */
static struct task *make_record(struct worker *worker)
{
    struct ready *ready = &worker->ready;
    if (!ready->batch_is_open && weft__ready_reserve_batch(ready) < 0) return NULL;
    return weft__record_new(&worker->records);
}

/* Makes it a task of the root scope without options: what most are. */
static inline void begin(struct worker *worker, struct task *task, weft_fn fn, const char *site)
{
    task->condition = worker->newborn;
    task->ignored = 0;
    task->worker = worker;
    task->fn = fn;
    task->site = site;
    worker->tasks_total++;
}

/* To who spawns it, when nothing can fail any more. Nobody wants its handle: nobody joins it. */
static inline void introduce(struct task *task, weft_task *ret)
{
    if (ret) {
        *ret = task_handle(task);
    } else {
        task->flags |= TASK_DETACHED;
    }
}

static inline void enter_scope(struct task *task, struct scope *home, struct scope_part *part)
{
    task->flags |= TASK_SCOPED;
    task->home = home;
    task->scope = home;
    list_push_back(&part->children, &task->sibling);
    if (!(task->flags & TASK_DETACHED)) part->joinable++;
}

/* One that runs elsewhere than the scope's owner; from any worker. */
static void enter_scope_remote(struct worker *worker, struct task *task, struct scope *home)
{
    weft__share_remote(home, worker);
    weft__shared_lock();
    /* There will be mail for it, which may come out of the inbox after its end. */
    atomic_store_explicit(&task->shared, SHARED, memory_order_relaxed);
    task->flags |= TASK_REMOTE;
    enter_scope(task, home, &home->remote);
    weft__shared_unlock();
}

static inline void join_scope(struct worker *worker, struct task *task, struct scope *home)
{
    const struct task *owner = home->owner;
    core_enter(worker);
    if (unlikely(is_shared(&home->shared) || owner->worker != worker)) {
        join_scope_shared(worker, task, home);
        return;
    }
    enter_scope(task, home, &home->local);
    if (unlikely(owner->scope != home)) {
        weft__scope_refresh(task);
    } else { /* in the same scope the same holds for both */
        task->refusals = owner->refusals;
    }
    core_leave(worker);
}

/* Its owner runs elsewhere, or nothing of it is private: then the owner may even be moving, and its
 * worker is not asked for. */
__attribute__((noinline)) static void join_scope_shared(struct worker *worker,
                                                        struct task *task,
                                                        struct scope *home)
{
    if (!is_settled(&home->shared) && home->owner->worker != worker) {
        core_leave(worker);
        enter_scope_remote(worker, task, home);
        core_enter(worker);
    } else {
        weft__shared_lock();
        atomic_store_explicit(&task->shared, SHARED, memory_order_relaxed);
        enter_scope(task, home, &home->local);
        weft__shared_unlock();
    }
    weft__scope_refresh(task);
    core_leave(worker);
}

static inline void enqueue(struct worker *worker, struct task *task)
{
    ready_push_unstarted(&worker->ready, task);
    if (unlikely(--worker->spawns_left < 0)) weft__publish(worker);
}

int weft__spawn(struct worker *worker, const struct spawn_request *request)
{
    if (unlikely(!request->fn)) return -EINVAL;
    struct task *task = take_record(worker);
    if (unlikely(!task)) {
        task = make_record(worker);
        if (!task) return -ENOMEM;
    }
    begin(worker, task, request->fn, request->site);

    int result = fill(task, request);
    if (unlikely(result < 0)) {
        worker->tasks_total--;
        weft__record_free(task);
        return result;
    }
    introduce(task, request->ret);
    unsigned placement = request->options ? request->options->placement : WEFT_ANYWHERE;
    if (unlikely(placement == WEFT_SPREAD && worker->runtime->has_many)) {
        spread(worker, task, request);
        return 0;
    }
    if (unlikely(placement == WEFT_MIGRATABLE && worker->runtime->has_many)) {
        spawn_migratable(worker, task, request->home);
    } else if (request->home) {
        join_scope(worker, task, request->home);
    }
    enqueue(worker, task);
    if (unlikely(placement == WEFT_HERE)) ready_pin_newest(&worker->ready);
    return 0;
}

/* Sends it to the worker with the fewest of its kind. */
static void spread(struct worker *worker, struct task *task, const struct spawn_request *request)
{
    worker->tasks_total--; /* it is counted where it is adopted */
    task->flags |= TASK_SPREAD;
    task->worker = weft__spread_choose(worker->runtime);
    atomic_store_explicit(&task->shared, SHARED, memory_order_relaxed);
    if (request->home) enter_scope_remote(worker, task, request->home);
    weft__mail(task, REMOTE_SPAWN);
}

/* It is shared from the beginning, so that nothing of it need be, when it moves. */
static void spawn_migratable(struct worker *worker, struct task *task, struct scope *home)
{
    weft__migrate_allow(worker->runtime, task);
    atomic_store_explicit(&task->shared, SHARED, memory_order_relaxed);
    if (home) enter_scope_remote(worker, task, home);
    core_enter(worker);
    weft__scope_refresh(task);
    core_leave(worker);
}

/* What the request asks for beyond begin(), but for the scope. On failure nothing is left. */
static int fill(struct task *task, const struct spawn_request *request)
{
    task->plain.arg = request->arg;
    if (request->options) return fill_options(task, request->options);
    return request->args_size > 0 ? fill_args(task, request) : 0;
}

int weft__task_prepare(struct record_pool *pool,
                       const struct spawn_request *request,
                       struct task **ret)
{
    struct task *task = weft__record_new(pool);
    if (!task) return -ENOMEM;

    task->state = TASK_UNSTARTED;
    task->flags = request->ret ? 0 : TASK_DETACHED;
    task->refusals = 0;
    task->ignored = 0;
    task->fn = request->fn;
    task->site = request->site;
    int result = fill(task, request);
    if (result < 0) {
        weft__record_free(task);
        return result;
    }
    *ret = task;
    return 0;
}

void weft__task_adopt(struct worker *worker, struct task *task)
{
    weft__scope_refresh(task); /* it may have been cancelled on its way */
    const struct task newborn = {.condition = worker->newborn};
    if (unlikely(newborn.flags & TASK_HOOKED)) task_set_flag(task, TASK_HOOKED);
    worker->tasks_total++;
    ready_push_woken(&worker->ready, task); /* needs no room for a batch; picking it starts it */
}

void weft__task_drop_foreign(struct worker *worker, struct task *task)
{
    worker->tasks_total++;
    weft__task_drop(task);
}

static int fill_options(struct task *task, const struct weft_spawn_options *options)
{
    if (options->size < sizeof *options || options->flags != 0) return -EINVAL;
    if (options->placement > WEFT_MIGRATABLE) return -EINVAL;
    if (options->stack_size > SIZE_MAX / 4) return -EINVAL;

    struct task_extras *extras = malloc(sizeof *extras);
    if (!extras) return -ENOMEM;
    *extras = (struct task_extras){
        .name = options->name, .stack_size = options->stack_size, .on_drop = options->on_drop};
    task->plain.extras = extras;
    atomic_signal_fence(memory_order_release); /* the dump's handler trusts the flag */
    task->flags |= TASK_EXTRAS;
    return 0;
}

/* Up to TASK_ARGS_SIZE bytes. */
static inline void copy_args(struct task *task, const void *args, size_t size)
{
    memcpy(task->args, args, size);
    task->flags |= TASK_ARGS_INLINE;
}

static int fill_args(struct task *task, const struct spawn_request *request)
{
    if (request->args_size <= TASK_ARGS_SIZE) {
        copy_args(task, request->args, request->args_size);
        return 0;
    }
    void *copy = malloc(request->args_size);
    if (!copy) return -ENOMEM;
    memcpy(copy, request->args, request->args_size);
    task->plain.arg = copy;
    task->flags |= TASK_ARGS_OWNED;
    return 0;
}

/* ---- the public calls ---- */

static inline int spawn_from_here(const struct spawn_request *request)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker)) return weft__not_in_task();
    return weft__spawn(worker, request);
}

/* Tail calls in place of the slow cases keep the usual one free of a stack frame. */
int weft_spawn_at(weft_task *ret, weft_fn fn, void *arg, const char *site)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker)) return weft__not_in_task();
    if (unlikely(!fn)) return -EINVAL;
    struct task *task = take_record(worker);
    if (unlikely(!task)) return spawn_late(worker, ret, fn, arg, site);

    begin(worker, task, fn, site);
    introduce(task, ret);
    task->plain.arg = arg;
    enqueue(worker, task);
    return 0;
}

__attribute__((noinline)) static int spawn_late(
    struct worker *worker, weft_task *ret, weft_fn fn, void *arg, const char *site)
{
    return weft__spawn(worker,
                       &(struct spawn_request){.ret = ret, .fn = fn, .arg = arg, .site = site});
}

int weft_scope_spawn_at(
    struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg, const char *site)
{
    struct worker *worker = weft__worker();
    bool is_usual = worker && fn && scope_is_open(scope_of(scope));
    struct task *task = likely(is_usual) ? take_record(worker) : NULL;
    if (unlikely(!task)) return weft_scope_spawn_with_at(scope, ret, NULL, fn, arg, site);

    begin(worker, task, fn, site);
    introduce(task, ret);
    task->plain.arg = arg;
    join_scope(worker, task, scope_of(scope));
    enqueue(worker, task);
    return 0;
}

int(weft_spawn)(weft_task *ret, weft_fn fn, void *arg)
{
    return weft_spawn_at(ret, fn, arg, NULL);
}

int weft_spawn_with_at(weft_task *ret,
                       const struct weft_spawn_options *options,
                       weft_fn fn,
                       void *arg,
                       const char *site)
{
    return spawn_from_here(&(struct spawn_request){
        .ret = ret, .options = options, .fn = fn, .arg = arg, .site = site});
}

int(weft_spawn_with)(weft_task *ret,
                     const struct weft_spawn_options *options,
                     weft_fn fn,
                     void *arg)
{
    return weft_spawn_with_at(ret, options, fn, arg, NULL);
}

int weft_spawn_copy_at(weft_task *ret,
                       struct weft_scope *public_scope,
                       weft_fn fn,
                       const void *args,
                       size_t size,
                       const char *site)
{
    struct scope *scope = public_scope ? scope_of(public_scope) : NULL;
    if (unlikely(scope && !scope_is_open(scope))) return -EINVAL;
    struct worker *worker = weft__worker();
    bool is_usual = worker && fn && size - 1 < TASK_ARGS_SIZE;
    struct task *task = likely(is_usual) ? take_record(worker) : NULL;
    if (unlikely(!task)) {
        return spawn_from_here(&(struct spawn_request){
            .ret = ret, .fn = fn, .args = args, .args_size = size, .site = site, .home = scope});
    }
    begin(worker, task, fn, site);
    introduce(task, ret);
    copy_args(task, args, size);
    if (scope) join_scope(worker, task, scope);
    enqueue(worker, task);
    return 0;
}

/* ---- from other threads ---- */

/* In turn: other threads know nothing of the workers' load. */
static struct worker *choose_worker(struct runtime *runtime,
                                    struct task *task,
                                    const struct weft_spawn_options *options)
{
    if (!runtime->has_many || (options && options->placement == WEFT_HERE)) return &runtime->worker;
    if (options && options->placement == WEFT_SPREAD) {
        task->flags |= TASK_SPREAD;
        return weft__spread_choose(runtime);
    }
    if (options && options->placement == WEFT_MIGRATABLE) weft__migrate_allow(runtime, task);
    unsigned turn = atomic_fetch_add_explicit(&runtime->crew.next_foreign, 1, memory_order_relaxed);
    return runtime->workers[turn % runtime->worker_count];
}

int weft_runtime_spawn_at(struct weft_runtime *handle,
                          weft_task *ret,
                          const struct weft_spawn_options *options,
                          weft_fn fn,
                          void *arg,
                          const char *site)
{
    if (!handle || !fn) return -EINVAL;
    if (weft__is_forked()) return -EOWNERDEAD;
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return -ESRCH;

    struct spawn_request request = {
        .ret = ret, .options = options, .fn = fn, .arg = arg, .site = site};
    int result = 0;
    struct worker *worker = weft__worker();
    if (worker && worker->runtime == runtime) {
        result = weft__spawn(worker, &request);
    } else if (weft__host_is_here(runtime)) {
        result = weft__spawn(&runtime->worker, &request);
        weft__host_rouse(runtime);
    } else {
        struct task *task = NULL;
        (void)pthread_mutex_lock(&runtime->foreign_lock); /* no visitor sees it half made */
        result = weft__task_prepare(&runtime->foreign_records, &request, &task);
        if (result == 0) {
            task->worker = choose_worker(runtime, task, options);
            atomic_store_explicit(&task->shared, SHARED, memory_order_relaxed);
            if (ret) *ret = task_handle(task);
            weft__mail(task, REMOTE_SPAWN);
        }
        (void)pthread_mutex_unlock(&runtime->foreign_lock);
    }
    weft__runtime_leave(handle);
    return result;
}

int(weft_runtime_spawn)(struct weft_runtime *handle,
                        weft_task *ret,
                        const struct weft_spawn_options *options,
                        weft_fn fn,
                        void *arg)
{
    return weft_runtime_spawn_at(handle, ret, options, fn, arg, NULL);
}
