/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: the calls, and what they do to a mutex that is private to the caller's worker.
 *
 * First come, first served: an unlock with waiters makes the first one the holder, so that nobody
 * comes in between, and a cancellation that comes later finds a lock() that has completed.
 */
#include "core/mutex.h"

#include <errno.h>
#include <string.h>

#include "core/chan_shared.h"
#include "core/share.h"

static int lock_elsewhere(struct weft_mutex *mutex);
static int lock_late(struct worker *worker, struct weft_mutex *mutex);
static int lock_contended(struct worker *worker, struct mutex *mutex);
static int unlock_elsewhere(struct weft_mutex *mutex);
static int unlock_contended(struct worker *worker, struct mutex *mutex);

/* One for both ways: a cancelled wait takes the lock, in any case. */
const struct wait_kind weft__mutex_wait = {.name = "mutex", .abandon = weft__shared_abandon};

/* The end of an operation that did not sleep. */
static inline int done(struct worker *worker, int result)
{
    core_leave(worker);
    return result;
}

/* relaxed, both: others come near after a barrier only, see core/share.h */
static inline uint64_t read_word(const struct mutex *mutex)
{
    return atomic_load_explicit(&mutex->word, memory_order_relaxed);
}

static inline void write_word(struct mutex *mutex, uint64_t word)
{
    atomic_store_explicit(&mutex->word, word, memory_order_relaxed);
}

/* As in core/chan.c: what is usual stands in the function itself, and needs no stack frame. */
int weft_mutex_lock(struct weft_mutex *mutex)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !mutex)) return lock_elsewhere(mutex);
    core_enter(worker);
    struct mutex *self = mutex_of(mutex);
    if (unlikely(!mutex_is_private(self, worker))) return lock_elsewhere(mutex);
    if (weft__enters_late(worker, worker->current)) return lock_late(worker, mutex);
    if (unlikely(read_word(self) != 0)) return lock_contended(worker, self);
    write_word(self, mutex_holder(worker->current));
    return done(worker, 0);
}

/* The budget is used up, or the call is refused. */
__attribute__((noinline)) static int lock_late(struct worker *worker, struct weft_mutex *mutex)
{
    int refused = weft__enter_late(worker, worker->current);
    if (refused) return done(worker, refused);
    core_enter(worker);
    struct mutex *self = mutex_of(mutex);
    if (unlikely(!mutex_is_private(self, worker))) return lock_elsewhere(mutex);
    if (read_word(self) != 0) return lock_contended(worker, self);
    write_word(self, mutex_holder(worker->current));
    return done(worker, 0);
}

/* Somebody holds it. While this task sleeps the mutex may become shared: then it is called. */
__attribute__((noinline)) static int lock_contended(struct worker *worker, struct mutex *mutex)
{
    struct task *task = worker->current;
    uint64_t word = read_word(mutex);
    if ((word & WORD_HOLDER) == mutex_holder(task)) return done(worker, -EDEADLK);
    if (task->no_sleep) return done(worker, task->no_sleep);
    write_word(mutex, word | WORD_WAITERS);
    weft__wait_for(task, &weft__mutex_wait, mutex, NULL);
    list_push_back(&mutex->waiters, &task->wait.waiter.link);
    int result = weft__park(worker, task);
    return result == MUTEX_CALLED ? weft__mutex_called(mutex) : result;
}

/* Not a task, or not a private mutex of this worker. */
__attribute__((noinline)) static int lock_elsewhere(struct weft_mutex *mutex)
{
    if (!mutex) return -EINVAL;
    int way = weft__mutex_reach(mutex_of(mutex));
    if (way == 1) return weft_mutex_lock(mutex);
    return way < 0 ? way : weft__mutex_lock_shared(mutex_of(mutex));
}

int weft_mutex_try_lock(struct weft_mutex *mutex)
{
    if (unlikely(!mutex)) return -EINVAL;
    struct mutex *self = mutex_of(mutex);
    struct worker *worker = weft__worker();
    if (worker && worker->current) {
        core_enter(worker);
        if (likely(mutex_is_private(self, worker))) {
            if (read_word(self) != 0) return done(worker, -EBUSY);
            write_word(self, mutex_holder(worker->current));
            return done(worker, 0);
        }
    }
    int way = weft__mutex_reach(self);
    if (way == 1) return weft_mutex_try_lock(mutex);
    return way < 0 ? way : weft__mutex_try_lock_shared(self);
}

int weft_mutex_unlock(struct weft_mutex *mutex)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !mutex)) return unlock_elsewhere(mutex);
    core_enter(worker);
    struct mutex *self = mutex_of(mutex);
    if (unlikely(!mutex_is_private(self, worker))) return unlock_elsewhere(mutex);
    uint64_t word = read_word(self);
    if (unlikely(word != mutex_holder(worker->current))) return unlock_contended(worker, self);
    write_word(self, 0);
    return done(worker, 0);
}

/* Somebody waits, or has waited; or the caller is not the holder. */
__attribute__((noinline)) static int unlock_contended(struct worker *worker, struct mutex *mutex)
{
    if ((read_word(mutex) & WORD_HOLDER) != mutex_holder(worker->current)) {
        return done(worker, -EPERM);
    }
    struct list_node *first = list_pop_front(&mutex->waiters);
    if (!first) {
        write_word(mutex, 0);
        return done(worker, 0);
    }
    struct task *next = waiter_of_link(first)->task;
    uint64_t rest = list_is_empty(&mutex->waiters) ? 0 : WORD_WAITERS;
    write_word(mutex, mutex_holder(next) | rest);
    weft__wake(next, 0);
    return done(worker, 0);
}

__attribute__((noinline)) static int unlock_elsewhere(struct weft_mutex *mutex)
{
    if (!mutex) return -EINVAL;
    int way = weft__mutex_reach(mutex_of(mutex));
    if (way == 1) return weft_mutex_unlock(mutex);
    return way < 0 ? way : weft__mutex_unlock_shared(mutex_of(mutex));
}

int weft_mutex_close(struct weft_mutex *mutex)
{
    if (unlikely(!mutex)) return -EINVAL;
    struct mutex *self = mutex_of(mutex);
    struct worker *worker = weft__worker();
    if (worker && worker->current) {
        core_enter(worker);
        if (likely(mutex_is_private(self, worker))) {
            if (read_word(self) != 0) return done(worker, -EBUSY);
            memset(mutex, 0, sizeof *mutex);
            return done(worker, 0);
        }
    }
    int way = weft__mutex_reach(self);
    if (way == 1) return weft_mutex_close(mutex);
    return way < 0 ? way : weft__mutex_close_shared(self);
}
