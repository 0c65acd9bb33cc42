/* SPDX-License-Identifier: MIT */
/*
 * Where task records live: chunks of address space that are never unmapped.
 *
 * A record that was free reads id 0 for ever, also after its chunk's memory was given back, so a
 * stale handle is always safe to check. A pool belongs to one worker; the runtime has one more for
 * spawns from other threads, behind a lock.
 */
#ifndef WEFT_CORE_RECORD_H
#define WEFT_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "core/task.h"

#define RECORD_CHUNK_SIZE ((size_t)1 << 21)
#define RECORDS_PER_CHUNK (RECORD_CHUNK_SIZE / sizeof(struct task) - 1)

struct record_pool;

/* The header takes the place of the first record of its chunk, which is aligned to its size. */
struct record_chunk {
    _Atomic(struct record_pool *) pool; /* relaxed: other threads only compare it */
    struct record_chunk *next;          /* all chunks of the pool; also the process's idle chunks */
    size_t free_count;                  /* scratch of weft__records_trim() */
};

struct record_pool {
    struct task *free;  /* released records, last first */
    struct task *fresh; /* the newest chunk's records that were never handed out ... */
    struct task *end;   /* ... up to here */
    uint64_t next_id;   /* ids are taken from the process in blocks */
    uint64_t last_id;
    void *lock;                  /* pthread_mutex_t of a pool that several threads use; else NULL */
    struct record_chunk *chunks; /* all, newest first */
    size_t free_count;           /* records in `free` */
    _Atomic(struct task *) returned; /* released by other workers; the owner takes them all */
    size_t trimmed_count;            /* free_count after the last trim */
};

void weft__records_open(struct record_pool *pool, void *lock);
void weft__records_close(struct record_pool *pool); /* records still live are forgotten */

/* In a forked child: the thread that held the lock of the idle chunks does not exist. */
void weft__records_forget(void);

/* A record with a fresh id, as struct task describes a free one; NULL: no memory. */
struct task *weft__record_new(struct record_pool *pool);
void weft__record_free(struct task *task);

/* Gives the memory of chunks without a live record back; called before a long sleep. */
void weft__records_trim(struct record_pool *pool);

/* Calls visit(task, arg) for each record in use. The visitor may release that record. */
void weft__records_visit(struct record_pool *pool,
                         void (*visit)(struct task *task, void *arg),
                         void *arg);

/* Is there enough that a trim would look for idle chunks? */
static inline bool records_are_idle(const struct record_pool *pool)
{
    return pool->free_count >= pool->trimmed_count + 2 * RECORDS_PER_CHUNK;
}

static inline struct record_chunk *record_chunk(const struct task *task)
{
    return (struct record_chunk *)((uintptr_t)task & ~(RECORD_CHUNK_SIZE - 1));
}

/* Whose record it is; of a stale one, whose chunk it lies in now. */
static inline const struct record_pool *record_pool(const struct task *task)
{
    return atomic_load_explicit(&record_chunk(task)->pool, memory_order_relaxed);
}

/* As weft__record_free(), for a private task of the worker: then the record is from its pool. */
static inline void record_reclaim(struct record_pool *pool, struct task *task)
{
    WEFT_DEBUG_ASSERT(record_pool(task) == pool);
    atomic_store_explicit(&task->id, 0, memory_order_relaxed);
    task->state = TASK_FREE;
    task->next = pool->free;
    pool->free = task;
    pool->free_count++;
}

/* The usual case of weft__record_new(), for the worker's own pool: a record and an id at hand; else
 * NULL. */
static inline struct task *record_at_hand(struct record_pool *pool)
{
    if (__builtin_expect(pool->next_id == pool->last_id, 0)) return NULL;
    struct task *task = pool->free;
    if (task) {
        pool->free = task->next;
        task_fetch_ahead(task, task->next);
        pool->free_count--;
    } else {
        task = pool->fresh;
        if (__builtin_expect(task == pool->end, 0)) return NULL;
        pool->fresh = task + 1;
    }
    atomic_store_explicit(&task->id, pool->next_id++, memory_order_relaxed);
    return task;
}

#endif
