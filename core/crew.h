/* SPDX-License-Identifier: MIT */
/*
 * The workers of a runtime together: their threads, and what the last one to rest decides for all.
 *
 * Lock order: crew.lock is outermost; weft__shared_lock may be taken under it, not the reverse.
 */
#ifndef WEFT_CORE_CREW_H
#define WEFT_CORE_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct runtime;
struct worker;

/* Part of struct runtime. With one worker nothing here is used. */
struct crew {
    pthread_mutex_t lock;
    pthread_cond_t moved;    /* one of the next three has changed; on the monotonic clock */
    atomic_uint resting;     /* workers that are; changed under the lock */
    uint64_t rests;          /* ever begun: unchanged, nobody has moved */
    int open_result;         /* of the thread that starts now; 1: not yet known */
    bool is_complete;        /* all threads are there, or shall end: they may run */
    unsigned ended;          /* threads that have, but for their last instructions */
    atomic_bool is_finished; /* the root has ended, and every task */
    atomic_bool is_stopping; /* the threads shall end */
    _Atomic(struct worker *) watcher; /* who looks for chunks to steal; NULL: nobody */
    atomic_bool has_migratable;       /* a task that may move was spawned, ever */
    atomic_uint next_foreign;         /* which worker gets the next task of another thread */
    bool has_lost_thread;             /* one is held by a task that never came back */
};

/* Starts the threads of workers 1 to worker_count - 1, which open their workers: 0 or a negative
 * errno, with none left. Worker 0 is open. */
int weft__crew_open(struct runtime *runtime);

/* Ends the threads. Afterwards the calling thread may touch everything, but for the worker of a
 * thread that was lost. */
void weft__crew_stop(struct runtime *runtime);

/* Frees the other workers. */
void weft__crew_close(struct runtime *runtime);

/* The worker has nothing to do: counts it as resting. The last one decides. Returns for how long it
 * may sleep: `timeout_ns`, or less. */
int64_t weft__crew_rest(struct worker *worker, int64_t timeout_ns);

/* It is awake again; `is_quiet`: nothing had come up in the whole time. */
void weft__crew_rise(struct worker *worker, bool is_quiet);

/* Makes a worker look around, though its inbox may be empty. */
void weft__crew_rouse(struct worker *worker);

#endif
