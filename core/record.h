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

#include "core/task.h"

#define RECORD_CHUNK_SIZE ((size_t)1 << 21)
#define RECORDS_PER_CHUNK (RECORD_CHUNK_SIZE / sizeof(struct task) - 1)

struct record_pool;

/* The header takes the place of the first record of its chunk, which is aligned to its size. */
struct record_chunk {
    struct record_pool *pool;
    struct record_chunk *next; /* all chunks of the pool; also the process's idle chunks */
    struct record_chunk *previous;
    struct task *free;               /* released records, last first */
    size_t used;                     /* records ever handed out since the chunk was fresh */
    size_t live;                     /* records in use now */
    struct record_chunk *next_roomy; /* chunks with a free record */
    bool is_roomy;
};

struct record_pool {
    struct record_chunk *chunks; /* all */
    struct record_chunk *roomy;  /* those with room, the current one first */
    uint64_t next_id;            /* ids are taken from the process in blocks */
    uint64_t last_id;
    size_t live;
    void *lock; /* pthread_mutex_t of a pool that several threads use; else NULL */
};

void weft__records_open(struct record_pool *pool, void *lock);
void weft__records_close(struct record_pool *pool); /* records still live are forgotten */

/* A zeroed record with a fresh id and its joiners' list open; NULL: no memory. */
struct task *weft__record_new(struct record_pool *pool);
void weft__record_free(struct task *task);

/* Calls visit(task, arg) for each record in use. The visitor may release that record. */
void weft__records_visit(struct record_pool *pool,
                         void (*visit)(struct task *task, void *arg),
                         void *arg);

static inline struct record_chunk *record_chunk(const struct task *task)
{
    return (struct record_chunk *)((uintptr_t)task & ~(RECORD_CHUNK_SIZE - 1));
}

#endif
