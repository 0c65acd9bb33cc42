/* SPDX-License-Identifier: MIT */
/*
 * Mutexes that several workers, runtimes or plain threads use.
 *
 * Free and nobody waits: one compare-and-swap on the word. Otherwise a short spin while the holder
 * runs on another thread; then sleep in the queue, under the lock. An unlock that finds sleepers
 * frees the word, takes the first one off the queue, and calls it. A call that is under way is
 * enough: until the called one has come, unlocks and locks are compare-and-swaps again, so that no
 * convoy forms behind a thread that takes microseconds to wake. Who was overtaken BARGES_MAX times,
 * or came and found the mutex taken, is next: the word then is free for the called one only.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/chan_shared.h"
#include "core/mutex.h"
#include "core/runtime.h"
#include "core/share.h"

enum {
    SPIN_ROUNDS = 24, /* together less than a wake-up takes */
    SPIN_PAUSES = 8,  /* between two looks, at most */
};

/* Who calls. */
struct caller {
    struct worker *worker; /* NULL: a plain thread */
    uint64_t holder;       /* as it stands in the word */
    const void *runner;    /* the thread that it runs on */
};

static _Thread_local uint64_t thread_number; /* of a plain thread; 0: none yet */
static _Atomic(uint64_t) threads_numbered;

/* ---- who may touch it ---- */

/* In a posted function or a host's callback, which must not wait: its tasks are in this thread. */
static bool is_outside(const struct worker *worker)
{
    return worker ? !worker->current : weft__host_current() != NULL;
}

/* A process that cannot make the barrier has no private mutexes. With the lock. */
static bool has_barrier(void)
{
    static int state; /* 0: not known yet */
    if (state == 0) {
        long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
        state = commands > 0 && commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED ? 1 : -1;
    }
    return state > 0;
}

static bool is_for_all(const struct mutex *mutex)
{
    return !atomic_load_explicit(&mutex->runtime, memory_order_relaxed);
}

static bool is_guest(const struct mutex *mutex, const struct worker *worker)
{
    const struct runtime *runtime = atomic_load_explicit(&mutex->runtime, memory_order_relaxed);
    return runtime && (!worker || worker->runtime != runtime);
}

/* With the lock: from now on threads that are not of the runtime use it, and to wait for it is no
 * deadlock, also for those that wait already. */
static void open_to_all(struct mutex *mutex)
{
    list_for_each(link, &mutex->waiters) {
        struct task *task = waiter_of_link(link)->task;
        if (task) weft__shared_count(task->worker, task);
    }
    atomic_store_explicit(&mutex->runtime, NULL, memory_order_relaxed);
}

/* Its first use. With the lock. */
static bool adopt(struct mutex *mutex, struct worker *worker)
{
    bool is_private = worker && has_barrier();
    list_open(&mutex->waiters);
    mutex->owner = is_private ? worker : NULL;
    atomic_store_explicit(&mutex->runtime, worker ? worker->runtime : NULL, memory_order_relaxed);
    uintptr_t home = is_private ? (uintptr_t)worker : MUTEX_SHARED;
    /* release: with all of the above; pairs with the look in weft__mutex_reach() */
    atomic_store_explicit(&mutex->home, home, memory_order_release);
    return is_private;
}

/* With the lock. */
static void settle(struct mutex *mutex)
{
    /* release: pairs with the look in weft__mutex_reach(), which does not take the lock */
    atomic_store_explicit(&mutex->home, MUTEX_SHARED, memory_order_release);
}

/* Neither settled nor the caller's: adopts it, or asks for it and waits for its owner. */
__attribute__((noinline)) static int reach_late(struct mutex *mutex, struct worker *worker)
{
    weft__shared_lock();
    uintptr_t home = atomic_load_explicit(&mutex->home, memory_order_relaxed);
    bool is_mine = home == MUTEX_NOBODYS && adopt(mutex, worker);
    const struct worker *owner = NULL;
    if (home != MUTEX_NOBODYS && home != MUTEX_SHARED) {
        owner = mutex->owner;
        atomic_store_explicit(&mutex->home, MUTEX_ASKED, memory_order_relaxed);
    }
    /* What the owner did itself is over. */
    if (owner == worker) owner = NULL;
    weft__shared_unlock();
    if (is_mine) return 1;

    if (owner) weft__runtimes_wait_for(owner);
    weft__shared_lock();
    settle(mutex);
    if (is_guest(mutex, worker)) open_to_all(mutex);
    weft__shared_unlock();
    return 0;
}

int weft__mutex_reach(struct mutex *mutex)
{
    struct worker *worker = weft__worker();
    if (worker) core_leave(worker);
    if (unlikely(is_outside(worker) || weft__is_forked())) return weft__not_in_task();
    /* acquire: what its owner did while it was private; pairs with settle() */
    uintptr_t home = atomic_load_explicit(&mutex->home, memory_order_acquire);
    if (likely(home == MUTEX_SHARED && !is_guest(mutex, worker))) return 0;
    return reach_late(mutex, worker);
}

static struct caller who_calls(void)
{
    struct worker *worker = weft__worker();
    if (worker) return (struct caller){worker, mutex_holder(worker->current), worker};
    if (thread_number == 0) {
        /* relaxed: only different from all others */
        thread_number = 1 + atomic_fetch_add_explicit(&threads_numbered, 1, memory_order_relaxed);
    }
    uint64_t holder = thread_number << WORD_ID_SHIFT | WORD_IS_THREAD;
    return (struct caller){NULL, holder, &thread_number};
}

/* ---- the word ---- */

static bool is_held(uint64_t word)
{
    return (word & WORD_HOLDER) != 0;
}

/* By who was not called. */
static bool is_takeable(uint64_t word)
{
    return !is_held(word) && (word & WORD_BARGES) < BARGES_MAX * WORD_BARGE;
}

static uint64_t read_word(const struct mutex *mutex)
{
    return atomic_load_explicit(&mutex->word, memory_order_relaxed);
}

/* acquire: what the last holder did; pairs with the releases in unlocks. */
static bool change_word(struct mutex *mutex, uint64_t *word, uint64_t next)
{
    return atomic_compare_exchange_weak_explicit(
        &mutex->word, word, next, memory_order_acquire, memory_order_relaxed);
}

static void note_runner(struct mutex *mutex, const struct caller *caller)
{
    atomic_store_explicit(&mutex->runner, caller->runner, memory_order_relaxed);
}

/* Overtakes who was called, if the bound allows it. */
static bool take(struct mutex *mutex, const struct caller *caller)
{
    uint64_t word = read_word(mutex);
    while (is_takeable(word)) {
        uint64_t barge = word & WORD_CALLED ? WORD_BARGE : 0;
        if (change_word(mutex, &word, (word | caller->holder) + barge)) {
            note_runner(mutex, caller);
            return true;
        }
    }
    return false;
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits a moment for a holder that runs on another thread. */
static bool spin(struct mutex *mutex, const struct caller *caller)
{
    unsigned pauses = 1;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (take(mutex, caller)) return true;
        if (!is_held(read_word(mutex))) return false; /* kept for the one who was called */
        /* a hint: by the time it is read another one may run */
        const void *runner = atomic_load_explicit(&mutex->runner, memory_order_relaxed);
        if (runner == caller->runner) return false;
        for (unsigned j = 0; j < pauses; j++)
            pause_briefly();
        if (pauses < SPIN_PAUSES) pauses *= 2;
    }
    return false;
}

/* ---- lock ---- */

/* With the lock: takes it, or marks that the caller goes to the queue now. No unlock comes in
 * between: from then on it fails to swap the word, and needs the lock. */
static bool take_or_mark(struct mutex *mutex, const struct caller *caller)
{
    for (;;) {
        if (take(mutex, caller)) return true;
        uint64_t word = read_word(mutex);
        if (is_takeable(word)) continue;
        if (change_word(mutex, &word, word | WORD_WAITERS)) return false;
    }
}

/* With the lock: the caller was called. 0: it holds the mutex; `refused`: it gives its turn back;
 * -EAGAIN: it was overtaken, and goes to the head of the queue, to be overtaken no more. */
static int answer_call(struct mutex *mutex, const struct caller *caller, int refused)
{
    uint64_t rest = list_is_empty(&mutex->waiters) ? 0 : WORD_WAITERS;
    uint64_t word = read_word(mutex);
    for (;;) {
        if (!is_held(word)) {
            if (!change_word(mutex, &word, caller->holder | rest)) continue;
            note_runner(mutex, caller);
            return 0;
        }
        uint64_t next = (word & WORD_HOLDER) | rest;
        if (!refused) next |= WORD_WAITERS | BARGES_MAX * WORD_BARGE;
        if (change_word(mutex, &word, next)) return refused ? refused : -EAGAIN;
    }
}

/* Sleeps until called; the lock is held before, and not afterwards. */
static int sleep_in_queue(struct mutex *mutex, struct worker *worker, bool is_first)
{
    struct task *task = worker->current;
    weft__wait_for(task, &weft__mutex_wait, mutex, NULL);
    struct list_node *link = &task->wait.waiter.link;
    if (is_first) {
        list_push_front(&mutex->waiters, link);
    } else {
        list_push_back(&mutex->waiters, link);
    }
    if (is_for_all(mutex)) weft__shared_count(worker, task);
    weft__shared_unlock(); /* a call from now on waits in the inbox until we sleep */
    return weft__park(worker, task);
}

int weft__mutex_called(struct mutex *mutex)
{
    for (;;) {
        struct worker *worker = weft__worker(); /* the task may have moved in its sleep */
        struct caller caller = who_calls();
        weft__shared_lock();
        int result = answer_call(mutex, &caller, worker->current->interrupt);
        if (result != -EAGAIN) {
            weft__shared_unlock();
            return result;
        }
        result = sleep_in_queue(mutex, worker, true);
        if (result != MUTEX_CALLED) return result;
    }
}

/* A plain thread; the lock is held. */
static int block_thread(struct mutex *mutex, const struct caller *caller)
{
    int result = -EAGAIN;
    bool is_first = false;
    while (result == -EAGAIN) {
        (void)weft__shared_block(&mutex->waiters, is_first);
        result = answer_call(mutex, caller, 0);
        is_first = true;
    }
    weft__shared_unlock();
    return result;
}

int weft__mutex_lock_shared(struct mutex *mutex)
{
    struct worker *worker = weft__worker();
    int refused = worker ? weft__enter(worker, worker->current) : 0;
    if (refused) return refused;

    struct caller caller = who_calls();
    if (likely(take(mutex, &caller))) return 0;
    if ((read_word(mutex) & WORD_HOLDER) == caller.holder) return -EDEADLK;
    if (worker && worker->current->no_sleep) return worker->current->no_sleep;
    if (spin(mutex, &caller)) return 0;

    weft__shared_lock();
    if (take_or_mark(mutex, &caller)) {
        weft__shared_unlock();
        return 0;
    }
    if (!worker) return block_thread(mutex, &caller);
    int result = sleep_in_queue(mutex, worker, false);
    return result == MUTEX_CALLED ? weft__mutex_called(mutex) : result;
}

int weft__mutex_try_lock_shared(struct mutex *mutex)
{
    struct caller caller = who_calls();
    uint64_t word = 0;
    while (word == 0) {
        if (!change_word(mutex, &word, caller.holder)) continue;
        note_runner(mutex, &caller);
        return 0;
    }
    return -EBUSY;
}

/* ---- unlock ---- */

/* With the lock: wakes who is off the queue. A task of the own worker needs no mail. */
static void call(struct waiter *waiter, const struct worker *worker)
{
    struct task *task = waiter->task;
    if (task && task->worker == worker) {
        weft__shared_uncount(task->worker, task);
        weft__wake_queued(task, MUTEX_CALLED);
    } else {
        weft__shared_complete(waiter, MUTEX_CALLED);
    }
}

/* The caller holds it, somebody may wait, and nobody is called. So the word changes by nobody but
 * holders of the lock. */
__attribute__((noinline)) static int unlock_and_call(struct mutex *mutex,
                                                     const struct worker *worker)
{
    weft__shared_lock();
    struct list_node *first = list_pop_front(&mutex->waiters);
    uint64_t barges = read_word(mutex) & WORD_BARGES;
    uint64_t next = first ? barges | WORD_CALLED | WORD_WAITERS : 0;
    /* release: pairs with change_word(). Without a waiter the mutex may be gone afterwards. */
    atomic_store_explicit(&mutex->word, next, memory_order_release);
    if (first) call(waiter_of_link(first), worker);
    weft__shared_unlock();
    return 0;
}

int weft__mutex_unlock_shared(struct mutex *mutex)
{
    struct caller caller = who_calls();
    uint64_t word = read_word(mutex);
    for (;;) {
        if ((word & WORD_HOLDER) != caller.holder) return -EPERM;
        if ((word & (WORD_WAITERS | WORD_CALLED)) == WORD_WAITERS) {
            return unlock_and_call(mutex, caller.worker);
        }
        /* release: pairs with change_word() */
        if (atomic_compare_exchange_weak_explicit(&mutex->word,
                                                  &word,
                                                  word & ~WORD_HOLDER,
                                                  memory_order_release,
                                                  memory_order_relaxed)) {
            return 0;
        }
    }
}

int weft__mutex_close_shared(struct mutex *mutex)
{
    weft__shared_lock(); /* who unlocked last may be on its way out still */
    /* acquire: pairs with the unlock */
    bool is_busy = atomic_load_explicit(&mutex->word, memory_order_acquire) != 0;
    if (!is_busy) memset(mutex, 0, sizeof *mutex);
    weft__shared_unlock();
    return is_busy ? -EBUSY : 0;
}
