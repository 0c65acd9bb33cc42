/* SPDX-License-Identifier: MIT */
/*
 * Task stacks: pooled mappings with guards, a cache per worker, memory given back when idle.
 *
 * A stack is owned by whoever holds its struct stack pointer. The struct lies at the high end of
 * the mapping, in the page that is touched anyway; the first frame is just below it.
 */
#ifndef WEFT_CORE_STACK_H
#define WEFT_CORE_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Room for what the task that runs on the stack keeps there (struct task_body). */
#define WEFT_STACK_BODY_SIZE 128

struct stack {
    _Alignas(64) unsigned char body[WEFT_STACK_BODY_SIZE];
    struct stack *next; /* in a cache: the next one */
    void *top;          /* exclusive end of the usable part: this struct, 64-byte aligned */
    void *bottom;       /* lowest usable byte; the guard lies below */
    size_t size;        /* usable bytes, whole pages; top - bottom is a little more */
    struct stack_slab *slab;
    uint64_t task_id; /* who runs on it, for the overflow report; 0 if none */
    unsigned valgrind_id;
    uint32_t idle_since; /* in a cache: its epoch when this stack was put */
    uint32_t home;       /* the cache that it came from; 0 if its size is not the default */
    bool guarded;
};

/* How guards are made here: found once per process by trying what works. */
enum stack_guards { STACK_GUARDS_MARKER = 1, STACK_GUARDS_MPROTECT = 2, STACK_GUARDS_NONE = 3 };
enum stack_guards weft__stack_guards(void);

/* Stacks of the worker's default size, last in first out; owned by one worker. The stack of a task
 * that has moved is given back by the worker where it ends. */
struct stack_cache {
    struct stack *free;   /* hot stacks, most recent first */
    size_t free_count;    /* of the list above */
    size_t held_count;    /* those, and what is handed out and not yet given back */
    atomic_size_t shown;  /* stacks_live() as other workers know it: stacks_show() */
    size_t default_size;  /* usable bytes */
    bool guards_required; /* WEFT_GUARDS=require: fail instead of going on unguarded */
    struct stack_slab *slabs;
    struct stack *reserve;     /* one stack kept for the root and for scope clean-up */
    size_t unguarded_count;    /* stacks that had to do without a guard */
    struct list cold;          /* slabs with stacks that are free and hold no memory */
    struct stack_slab *vacant; /* slabs without a mapping */
    size_t idle_slab_count;    /* mapped slabs of which every stack is cold */
    uint32_t epoch;            /* of the trims; advances at most ten times a second */
    int64_t epoch_start_ms;
    struct stack *parting; /* of its own size, or of another cache: unmapped, or given back, at
                                 the next put, trim or close, when nobody is on it any more */
    uint32_t home;         /* unique in the process */
    uint32_t takes;        /* whose puts are the usual ones: home; NO_HOME without a reserve */
    _Atomic(struct stack *) returned; /* by other workers; the owner takes them all */
    enum stack_guards guards;         /* weft__stack_guards() at open */
};

/* 0 or -ENOMEM. `default_size` is rounded up to pages; below 16 KiB it becomes 16 KiB. */
int weft__stacks_open(struct stack_cache *cache, size_t default_size, bool guards_required);
void weft__stacks_close(struct stack_cache *cache); /* survivors' stacks stay mapped */

/* A stack of at least `size` bytes (up to the default: the default); NULL if none can be had. */
struct stack *weft__stack_get_slow(struct stack_cache *cache, size_t size);
void weft__stack_put_slow(struct stack_cache *cache, struct stack *stack);

/* As get, from the reserve, which is filled again by the next put. */
struct stack *weft__stack_get_reserved(struct stack_cache *cache);

/* Gives idle memory back to the system. For the worker, on its own stack, before it sleeps. */
void weft__stacks_trim(struct stack_cache *cache);

/* Unmaps the stack that was put last, or gives it back, if nobody is on it any more. For each of
 * several caches that give to each other, before the first of them is closed. */
void weft__stacks_part(struct stack_cache *cache);

/* Does the address lie in the guard below this stack? Async-signal-safe. */
bool weft__stack_is_overrun(const struct stack *stack, const void *address);

/* Bytes from `top` down to the lowest page touched since the stack was mapped or trimmed. */
size_t weft__stack_high_water(const struct stack *stack);

/* The stack whose guard contains `address`, or NULL; async-signal-safe. */
const struct stack *weft__stack_by_guard(const struct stack_cache *cache, const void *address);

/* The common case, inline: the hottest stack of the default size. */
static inline struct stack *weft__stack_get(struct stack_cache *cache, size_t size)
{
    struct stack *stack = cache->free;
    if (!stack || size != 0) return weft__stack_get_slow(cache, size);

    cache->free = stack->next;
    cache->free_count--;
    return stack;
}

/* Handed out and not yet given back. */
static inline size_t stacks_live(const struct stack_cache *cache)
{
    return cache->held_count - cache->free_count;
}

/* Called once a turn; and when a stack was made: that takes so long that a turn would be too
 * seldom. */
static inline void stacks_show(struct stack_cache *cache)
{
    atomic_store_explicit(&cache->shown, stacks_live(cache), memory_order_relaxed); /* a hint */
}

/* Is there nothing to it but its place among the hot ones? */
static inline bool stack_is_taken(const struct stack_cache *cache, const struct stack *stack)
{
    return stack->home == cache->takes;
}

static inline void stack_keep(struct stack_cache *cache, struct stack *stack)
{
    stack->next = cache->free;
    stack->idle_since = cache->epoch;
    cache->free = stack;
    cache->free_count++;
}

/* Takes a stack whose task has ended. The caller may run on it until its next switch. */
static inline void weft__stack_put(struct stack_cache *cache, struct stack *stack)
{
    if (__builtin_expect(!stack_is_taken(cache, stack), 0)) {
        weft__stack_put_slow(cache, stack);
        return;
    }
    stack_keep(cache, stack);
}

#endif
