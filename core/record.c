/* SPDX-License-Identifier: MIT */
/*
 * Task records: chunks of 2 MiB, a free list in each, memory given back when a chunk is empty.
 *
 * The process keeps a list of idle chunks, whose memory has been given back: they read as zero, so
 * that every stale handle into them sees id 0. Ids come in blocks from a process-wide counter.
 */
#include "core/record.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "core/park.h"

enum { IDS_PER_BLOCK = 1 << 16 };

static atomic_uint_least64_t ids_taken = 1; /* ids start at 1 */

static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static struct record_chunk *idle_chunks; /* guarded by idle_lock */

_Static_assert(sizeof(struct record_chunk) <= sizeof(struct task), "it takes a record's place");

static struct task *record_new(struct record_pool *pool);
static void record_free(struct record_pool *pool, struct record_chunk *chunk, struct task *task);
static bool add_chunk(struct record_pool *pool);
static void retire_chunk(struct record_pool *pool, struct record_chunk *chunk);
static void make_idle(struct record_chunk *chunk);

void weft__records_open(struct record_pool *pool, void *lock)
{
    *pool = (struct record_pool){.lock = lock};
}

void weft__records_close(struct record_pool *pool)
{
    while (pool->chunks) {
        struct record_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        make_idle(chunk);
    }
    *pool = (struct record_pool){0};
}

struct task *weft__record_new(struct record_pool *pool)
{
    if (likely(!pool->lock)) return record_new(pool);

    (void)pthread_mutex_lock(pool->lock);
    struct task *task = record_new(pool);
    (void)pthread_mutex_unlock(pool->lock);
    return task;
}

void weft__record_free(struct task *task)
{
    struct record_chunk *chunk = record_chunk(task);
    struct record_pool *pool = chunk->pool;
    if (likely(!pool->lock)) {
        record_free(pool, chunk, task);
        return;
    }
    (void)pthread_mutex_lock(pool->lock);
    record_free(pool, chunk, task);
    (void)pthread_mutex_unlock(pool->lock);
}

static inline struct task *record_new(struct record_pool *pool)
{
    if (unlikely(!pool->roomy) && !add_chunk(pool)) return NULL;
    if (unlikely(pool->next_id == pool->last_id)) {
        /* relaxed: only uniqueness is asked of it */
        pool->next_id = atomic_fetch_add_explicit(&ids_taken, IDS_PER_BLOCK, memory_order_relaxed);
        pool->last_id = pool->next_id + IDS_PER_BLOCK;
    }

    struct record_chunk *chunk = pool->roomy;
    struct task *task = chunk->free;
    if (task) {
        chunk->free = task->next;
        memset(task, 0, offsetof(struct task, fn));
    } else {
        task = (struct task *)(void *)chunk + 1 + chunk->used++; /* fresh memory is zero */
    }
    chunk->live++;
    pool->live++;
    if (unlikely(!chunk->free && chunk->used == RECORDS_PER_CHUNK)) {
        pool->roomy = chunk->next_roomy;
        chunk->is_roomy = false;
    }
    list_open(&task->joiners);
    atomic_store_explicit(&task->id, pool->next_id++, memory_order_relaxed);
    return task;
}

static inline void record_free(struct record_pool *pool,
                               struct record_chunk *chunk,
                               struct task *task)
{
    WEFT_ASSERT(task_id(task) != 0);
    atomic_store_explicit(&task->id, 0, memory_order_relaxed);
    task->state = TASK_FREE;
    task->next = chunk->free;
    chunk->free = task;
    chunk->live--;
    pool->live--;
    if (unlikely(!chunk->is_roomy)) {
        chunk->is_roomy = true;
        chunk->next_roomy = pool->roomy;
        pool->roomy = chunk;
    }
    if (unlikely(chunk->live == 0 && pool->chunks->next)) retire_chunk(pool, chunk);
}

/* Takes an idle chunk of the process, or a new one from the system. */
static bool add_chunk(struct record_pool *pool)
{
    (void)pthread_mutex_lock(&idle_lock);
    struct record_chunk *chunk = idle_chunks;
    if (chunk) idle_chunks = chunk->next;
    (void)pthread_mutex_unlock(&idle_lock);

    if (!chunk) {
        /* twice the size, to cut an aligned chunk out of it */
        unsigned char *map = mmap(NULL,
                                  2 * RECORD_CHUNK_SIZE,
                                  PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                  -1,
                                  0);
        if (map == MAP_FAILED) return false;
        size_t before = -(uintptr_t)map & (RECORD_CHUNK_SIZE - 1);
        chunk = (struct record_chunk *)(void *)(map + before);
        if (before > 0) (void)munmap(map, before);
        (void)munmap(map + before + RECORD_CHUNK_SIZE, RECORD_CHUNK_SIZE - before);
    }
    /* A program with few tasks touches single pages; one with many profits from huge ones. */
    if (pool->chunks) (void)madvise(chunk, RECORD_CHUNK_SIZE, MADV_HUGEPAGE);

    *chunk = (struct record_chunk){.pool = pool, .next = pool->chunks, .is_roomy = true};
    if (pool->chunks) pool->chunks->previous = chunk;
    pool->chunks = chunk;
    pool->roomy = chunk;
    return true;
}

/* Gives an empty chunk back; it is not the only one. */
static void retire_chunk(struct record_pool *pool, struct record_chunk *chunk)
{
    struct record_chunk **link = &pool->roomy;
    while (*link != chunk)
        link = &(*link)->next_roomy;
    *link = chunk->next_roomy;
    if (!pool->roomy) { /* keep one that new tasks can use */
        *link = chunk;
        return;
    }
    if (chunk->previous) {
        chunk->previous->next = chunk->next;
    } else {
        pool->chunks = chunk->next;
    }
    if (chunk->next) chunk->next->previous = chunk->previous;
    make_idle(chunk);
}

static void make_idle(struct record_chunk *chunk)
{
    (void)madvise(chunk, RECORD_CHUNK_SIZE, MADV_DONTNEED);
    (void)madvise(chunk, RECORD_CHUNK_SIZE, MADV_NOHUGEPAGE);
    (void)pthread_mutex_lock(&idle_lock);
    chunk->next = idle_chunks;
    idle_chunks = chunk;
    (void)pthread_mutex_unlock(&idle_lock);
}

void weft__records_visit(struct record_pool *pool,
                         void (*visit)(struct task *task, void *arg),
                         void *arg)
{
    struct record_chunk *next = NULL;
    for (struct record_chunk *chunk = pool->chunks; chunk; chunk = next) {
        next = chunk->next;
        size_t left = chunk->live;
        size_t used = chunk->used;
        for (size_t i = 0; i < used && left > 0; i++) {
            struct task *task = (struct task *)(void *)chunk + 1 + i;
            if (task_id(task) == 0) continue;
            left--;
            visit(task, arg);
        }
    }
}
