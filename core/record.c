/* SPDX-License-Identifier: MIT */
/*
 * Task records: chunks of 2 MiB, one free list per pool, memory given back before a long sleep.
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
static void record_free(struct record_pool *pool, struct task *task);
static void give_back(struct record_pool *pool, struct task *task);
static bool take_returned(struct record_pool *pool);
static bool add_chunk(struct record_pool *pool);
static struct record_chunk *map_chunk(void);
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

void weft__records_forget(void)
{
    (void)pthread_mutex_init(&idle_lock, NULL); /* the list is whole after each step */
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
    struct record_pool *pool =
        atomic_load_explicit(&record_chunk(task)->pool, memory_order_relaxed);
    const struct worker *worker = weft__worker();
    if (likely(worker && pool == &worker->records)) {
        atomic_store_explicit(&task->shared, 0, memory_order_relaxed); /* PRIVATE */
        record_free(pool, task);
        return;
    }
    if (!pool->lock) {
        give_back(pool, task);
        return;
    }
    (void)pthread_mutex_lock(pool->lock);
    atomic_store_explicit(&task->shared, 0, memory_order_relaxed); /* PRIVATE */
    record_free(pool, task);
    (void)pthread_mutex_unlock(pool->lock);
}

/* A record of another worker: a stack that its only consumer takes whole (Treiber 1986), so that
 * there is no ABA problem. */
static void give_back(struct record_pool *pool, struct task *task)
{
    atomic_store_explicit(&task->id, 0, memory_order_relaxed);
    task->state = TASK_FREE;
    struct task *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        task->next = head;
        /* release: pairs with take_returned() */
    } while (!atomic_compare_exchange_weak_explicit(
        &pool->returned, &head, task, memory_order_release, memory_order_relaxed));
}

/* Moves what others gave back to the free records; true if there was any. */
static bool take_returned(struct record_pool *pool)
{
    if (!atomic_load_explicit(&pool->returned, memory_order_relaxed)) return false;
    /* acquire: pairs with give_back() */
    struct task *task = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (task) {
        struct task *next = task->next;
        atomic_store_explicit(&task->shared, 0, memory_order_relaxed); /* PRIVATE */
        task->next = pool->free;
        pool->free = task;
        pool->free_count++;
        task = next;
    }
    return true;
}

static struct task *record_new(struct record_pool *pool)
{
    if (pool->next_id == pool->last_id) {
        /* relaxed: only uniqueness is asked of it */
        pool->next_id = atomic_fetch_add_explicit(&ids_taken, IDS_PER_BLOCK, memory_order_relaxed);
        pool->last_id = pool->next_id + IDS_PER_BLOCK;
    }
    bool is_empty = !pool->free && !take_returned(pool);
    if (is_empty && pool->fresh == pool->end && !add_chunk(pool)) return NULL;
    return record_at_hand(pool);
}

static inline void record_free(struct record_pool *pool, struct task *task)
{
    WEFT_ASSERT(task->state != TASK_FREE);
    atomic_store_explicit(&task->id, 0, memory_order_relaxed);
    task->state = TASK_FREE;
    task->next = pool->free;
    pool->free = task;
    pool->free_count++;
}

/* Takes an idle chunk of the process, or a new one from the system; the last one is used up. */
static bool add_chunk(struct record_pool *pool)
{
    (void)pthread_mutex_lock(&idle_lock);
    struct record_chunk *chunk = idle_chunks;
    if (chunk) idle_chunks = chunk->next;
    (void)pthread_mutex_unlock(&idle_lock);

    if (!chunk) chunk = map_chunk();
    if (!chunk) return false;

    atomic_store_explicit(&chunk->pool, pool, memory_order_relaxed);
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    pool->fresh = (struct task *)(void *)chunk + 1;
    pool->end = pool->fresh + RECORDS_PER_CHUNK;
    return true;
}

static struct record_chunk *map_chunk(void)
{
    /* twice the size, to cut an aligned chunk out of it */
    unsigned char *map = mmap(NULL,
                              2 * RECORD_CHUNK_SIZE,
                              PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                              -1,
                              0);
    if (map == MAP_FAILED) return NULL;
    size_t before = -(uintptr_t)map & (RECORD_CHUNK_SIZE - 1);
    if (before > 0) (void)munmap(map, before);
    (void)munmap(map + before + RECORD_CHUNK_SIZE, RECORD_CHUNK_SIZE - before);
    return (struct record_chunk *)(void *)(map + before);
}

static void make_idle(struct record_chunk *chunk)
{
    (void)madvise(chunk, RECORD_CHUNK_SIZE, MADV_DONTNEED);
    (void)pthread_mutex_lock(&idle_lock);
    chunk->next = idle_chunks;
    idle_chunks = chunk;
    (void)pthread_mutex_unlock(&idle_lock);
}

/*
 * Two walks over the free records: count them by chunk, then drop those of the chunks that hold
 * nothing else. Only when two chunks' worth has been freed since the last time, so that the walks
 * are paid for. The newest chunk, which fresh records come from, stays.
 */
void weft__records_trim(struct record_pool *pool)
{
    (void)take_returned(pool);
    if (pool->free_count < pool->trimmed_count) pool->trimmed_count = pool->free_count;
    if (!records_are_idle(pool)) return;

    for (struct record_chunk *chunk = pool->chunks; chunk; chunk = chunk->next) {
        chunk->free_count = 0;
    }
    for (struct task *task = pool->free; task; task = task->next)
        record_chunk(task)->free_count++;

    struct task **link = &pool->free;
    while (*link) {
        struct task *task = *link;
        struct record_chunk *chunk = record_chunk(task);
        if (chunk != pool->chunks && chunk->free_count == RECORDS_PER_CHUNK) {
            *link = task->next;
            pool->free_count--;
        } else {
            link = &task->next;
        }
    }
    struct record_chunk **chunk_link = &pool->chunks->next;
    while (*chunk_link) {
        struct record_chunk *chunk = *chunk_link;
        if (chunk->free_count == RECORDS_PER_CHUNK) {
            *chunk_link = chunk->next;
            make_idle(chunk);
        } else {
            chunk_link = &chunk->next;
        }
    }
    pool->trimmed_count = pool->free_count;
}

void weft__records_visit(struct record_pool *pool,
                         void (*visit)(struct task *task, void *arg),
                         void *arg)
{
    for (struct record_chunk *chunk = pool->chunks; chunk; chunk = chunk->next) {
        struct task *first = (struct task *)(void *)chunk + 1;
        struct task *end = first + RECORDS_PER_CHUNK;
        /* a signal handler may find the newest chunk listed, and `fresh` still in the one before */
        if (pool->fresh >= first && pool->fresh < end) end = pool->fresh;
        for (struct task *task = first; task < end; task++) {
            if (task_id(task) != 0) visit(task, arg);
        }
    }
}
