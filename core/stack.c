/* SPDX-License-Identifier: MIT */
/*
 * Stacks lie in slabs: one mapping, cut into equal units.
 *
 *     | guard | usable: `size` bytes and some | struct stack | colour |     one unit; 64 of the
 *             ^ bottom                        ^ top                         default size in a slab
 *     |<page->|                               |<-- within the last page ->|
 *
 * A stack is live (somebody runs on it), hot (in the cache's list, its pages kept) or cold (a bit
 * in its slab, no pages; also how each stack begins). The struct exists while it is live or hot.
 * Slab records are never freed while the cache is open, and never leave its list: the overflow
 * handler may walk that list at any moment.
 */
#include "core/stack.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "core/guard.h"
#include "core/sanitize.h"

#define STACK_SIZE_MIN  ((size_t)16 << 10)
#define STACK_SIZE_MAX  ((size_t)1 << 40)  /* far below where the sums here could wrap */
#define SLAB_SIZE_MAX   ((size_t)32 << 20) /* larger stacks come in smaller slabs */
#define SLAB_STACKS_MAX 64                 /* bits in a mask */

/* What a trim keeps: this many hot stacks whatever their age, and at most that many of any age. */
#define KEEP_HOT_MIN 64
#define KEEP_HOT_MAX 1024
/* Between the two those that were put in this epoch or the one before. */
#define KEEP_EPOCHS 2
#define EPOCH_MS    100
/* Mapped slabs that hold no memory: they cost address space and page tables only. */
#define KEEP_IDLE_SLABS 4

/*
 * Tops are staggered by this many cache lines: at equal offsets in their pages, the frames of all
 * tasks would compete for the same few sets of the cache.
 */
#define STACK_COLOURS 16

#define CACHE_LINE 64

#define NO_HOME UINT32_MAX /* of no cache: nobody opens that many */

struct stack_slab {
    struct stack_cache *cache;     /* whose it is, for good */
    struct stack_slab *next;       /* in cache->slabs, for good */
    struct stack_slab *next_other; /* in cache->vacant, or a trim's own list */
    struct list_node cold_link;    /* in cache->cold while `cold` has a bit */
    char *base;                    /* NULL: vacant */
    size_t stack_size;
    unsigned stack_count;
    uint64_t cold;    /* free and without memory */
    uint64_t leaving; /* during a trim: about to become cold */
    uint64_t guarded;
    uint64_t protected; /* of the guarded ones: by mprotect() */
    uint64_t unguarded; /* tried, and could not be */
};

static_assert(sizeof(struct stack) == WEFT_STACK_BODY_SIZE + CACHE_LINE,
              "its own part is one line");

/* Slabs of closed caches that survivors still run on: kept reachable, never used again. */
static struct stack_slab *_Atomic orphans;

static atomic_uint homes; /* caches ever opened; relaxed: only uniqueness is asked of it */

static size_t page_size(void);
static size_t unit_size(size_t stack_size);
static struct stack *slab_stack(const struct stack_slab *slab, unsigned index);
static struct stack *stack_carve(struct stack_cache *cache);
static struct stack *own_get(struct stack_cache *cache, size_t size);
static bool runs_on(const struct stack *stack);
static void give_back(struct stack *stack);
static void take_returned(struct stack_cache *cache);
static struct stack_slab *slab_open(struct stack_cache *cache, size_t size, unsigned count);
static void slab_unmap(struct stack_cache *cache, struct stack_slab *slab);
static bool slab_guard(struct stack_cache *cache, struct stack_slab *slab, unsigned index);
static bool slab_is_idle(const struct stack_slab *slab);
static void set_reserve(struct stack_cache *cache, struct stack *stack);
static void slab_mark_guards(struct stack_slab *slab);
static bool epoch_advance(struct stack_cache *cache);
static void slab_leave(struct stack_slab *slab, struct stack *stack);
static void slab_settle(struct stack_cache *cache, struct stack_slab *slab);

int weft__stacks_open(struct stack_cache *cache, size_t default_size, bool guards_required)
{
    size_t page = page_size();
    if (default_size < STACK_SIZE_MIN) default_size = STACK_SIZE_MIN;
    if (default_size > STACK_SIZE_MAX) return -ENOMEM;

    *cache = (struct stack_cache){
        .default_size = (default_size + page - 1) / page * page,
        .guards_required = guards_required,
        .guards = weft__stack_guards(),
        .home = atomic_fetch_add_explicit(&homes, 1, memory_order_relaxed) + 1,
    };
    list_open(&cache->cold);

    struct stack *reserve = stack_carve(cache);
    set_reserve(cache, reserve);
    if (reserve) return 0;

    weft__stacks_close(cache);
    return -ENOMEM;
}

/* Without one, the next stack that is put becomes it. */
static void set_reserve(struct stack_cache *cache, struct stack *stack)
{
    cache->reserve = stack;
    cache->takes = stack ? cache->home : NO_HOME;
}

void weft__stacks_close(struct stack_cache *cache)
{
    weft__stacks_part(cache);
    take_returned(cache);
    weft__stacks_part(cache); /* one that was returned may be of its own size */
    if (cache->reserve) slab_leave(cache->reserve->slab, cache->reserve);
    set_reserve(cache, NULL);
    /* If nobody has one, the slabs go whole: each stack is a page, and a miss of the cache, that
     * need not be touched. Valgrind is told of each. */
    bool is_unused = stacks_live(cache) == 0 && !weft__san_on_valgrind();
    cache->held_count -= cache->free_count;
    while (cache->free && !is_unused) {
        struct stack *stack = cache->free;
        cache->free = stack->next;
        slab_leave(stack->slab, stack);
    }
    cache->free = NULL;
    cache->free_count = 0;

    while (cache->slabs) {
        struct stack_slab *slab = cache->slabs;
        cache->slabs = slab->next;

        uint64_t idle = slab->cold | slab->leaving;
        bool is_idle = is_unused || (unsigned)__builtin_popcountll(idle) == slab->stack_count;
        if (slab->base && !is_idle) {
            /* Relaxed: nobody reads this list, it only keeps the records reachable. */
            slab->next = atomic_exchange_explicit(&orphans, slab, memory_order_relaxed);
            continue;
        }
        if (slab->base) slab_unmap(cache, slab);
        free(slab);
    }
    cache->vacant = NULL;
    list_open(&cache->cold);
}

struct stack *weft__stack_get_slow(struct stack_cache *cache, size_t size)
{
    size_t page = page_size();
    if (size > STACK_SIZE_MAX) return NULL;
    size = (size + page - 1) / page * page;

    /* A smaller one would cost as much: only the pages that are used take memory. */
    take_returned(cache);
    if (size > cache->default_size) return own_get(cache, size);
    struct stack *hot = cache->free;
    if (hot && !runs_on(hot)) return weft__stack_get(cache, 0);

    /* The hottest one is being left, but not yet: nobody may start on it under its user's feet. */
    if (hot && hot->next) {
        struct stack *second = hot->next;
        hot->next = second->next;
        cache->free_count--;
        return second;
    }

    struct stack *stack = stack_carve(cache);
    if (!stack) return NULL;
    cache->held_count++;
    stacks_show(cache);
    return stack;
}

struct stack *weft__stack_get_reserved(struct stack_cache *cache)
{
    struct stack *stack = cache->reserve;
    if (!stack) return NULL;

    set_reserve(cache, NULL);
    cache->held_count++;
    return stack;
}

void weft__stack_put_slow(struct stack_cache *cache, struct stack *stack)
{
    bool is_mine = stack->slab->cache == cache;
    if (!is_mine || stack->size != cache->default_size) {
        if (is_mine) cache->held_count--;
        weft__stacks_part(cache);
        cache->parting = stack;
        return;
    }
    if (!cache->reserve) {
        cache->held_count--;
        set_reserve(cache, stack);
        return;
    }
    stack_keep(cache, stack);
}

/*
 * What was put within the last epochs stays, up to a bound: a worker that sleeps a thousand times a
 * second must not fault the same pages in each time. As the list is last in first out, what lies
 * below a stack has been idle for longer than it.
 */
void weft__stacks_trim(struct stack_cache *cache)
{
    weft__stacks_part(cache);
    take_returned(cache);
    if (cache->free_count <= KEEP_HOT_MIN) return;

    bool is_new_epoch = epoch_advance(cache);
    if (!is_new_epoch && cache->free_count <= KEEP_HOT_MAX) return;

    struct stack **end = &cache->free;
    size_t kept = 0;
    while (*end && kept < KEEP_HOT_MAX) {
        bool is_recent = cache->epoch - (*end)->idle_since < KEEP_EPOCHS;
        if (kept >= KEEP_HOT_MIN && !is_recent) break;
        end = &(*end)->next;
        kept++;
    }

    struct stack *stack = *end;
    *end = NULL;
    cache->held_count -= cache->free_count - kept;
    cache->free_count = kept;

    struct stack_slab *touched = NULL;
    while (stack) {
        struct stack *next = stack->next;
        struct stack_slab *slab = stack->slab;
        if (!slab->leaving) {
            slab->next_other = touched;
            touched = slab;
        }
        slab_leave(slab, stack);
        stack = next;
    }
    while (touched) {
        struct stack_slab *slab = touched;
        touched = slab->next_other;
        slab_settle(cache, slab);
    }
}

/* The clock is the system's own: memory is given back also while the test clock stands still. */
static bool epoch_advance(struct stack_cache *cache)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail with this clock */
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms - cache->epoch_start_ms < EPOCH_MS) return false;

    cache->epoch_start_ms = now_ms;
    cache->epoch++;
    return true;
}

/*
 * mincore() tells which pages are in memory: the lowest of them is the deepest use, but for pages
 * that were swapped out. The pages below it that were jumped over count as used.
 */
size_t weft__stack_high_water(const struct stack *stack)
{
    size_t page = page_size();
    const char *end = (const char *)stack->bottom + stack->size + page;
    unsigned char resident[256];

    for (char *at = stack->bottom; at < end;) {
        size_t left = (size_t)(end - at) / page;
        size_t count = left < sizeof resident ? left : sizeof resident;
        if (mincore(at, count * page, resident) != 0) return 0;

        for (size_t i = 0; i < count; i++) {
            if (resident[i] & 1) return (size_t)((const char *)stack->top - at) - i * page;
        }
        at += count * page;
    }
    return 0;
}

bool weft__stack_is_overrun(const struct stack *stack, const void *address)
{
    const char *bottom = stack->bottom;
    return (const char *)address < bottom && (const char *)address >= bottom - page_size();
}

const struct stack *weft__stack_by_guard(const struct stack_cache *cache, const void *address)
{
    size_t guard = page_size();
    for (const struct stack_slab *slab = cache->slabs; slab; slab = slab->next) {
        size_t unit = unit_size(slab->stack_size);
        size_t offset = (size_t)((const char *)address - slab->base);
        if (!slab->base || offset >= unit * slab->stack_count) continue;

        unsigned index = (unsigned)(offset / unit);
        bool exists = !(slab->cold >> index & 1);
        if (offset % unit >= guard || !exists) return NULL;
        return slab_stack(slab, index);
    }
    return NULL;
}

static size_t page_size(void)
{
    static size_t cached; /* every writer writes the same value */
    size_t size = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        __atomic_store_n(&cached, size, __ATOMIC_RELAXED);
    }
    return size;
}

/* The guard, the usable part, and a page for the struct, its colour and the first frames. */
static size_t unit_size(size_t stack_size)
{
    return stack_size + 2 * page_size();
}

/* Where the struct of a slab's stack lies, whether it exists now or not. */
static struct stack *slab_stack(const struct stack_slab *slab, unsigned index)
{
    char *end = slab->base + unit_size(slab->stack_size) * (index + 1);
    end -= CACHE_LINE * (index % STACK_COLOURS);
    return (struct stack *)(void *)(end - sizeof(struct stack));
}

static unsigned stack_index(const struct stack *stack)
{
    const struct stack_slab *slab = stack->slab;
    return (unsigned)((size_t)((const char *)stack - slab->base) / unit_size(slab->stack_size));
}

/* Makes stack `index` of a slab exist; NULL if it needs a guard and cannot have one. */
static struct stack *slab_carve(struct stack_cache *cache, struct stack_slab *slab, unsigned index)
{
    bool guarded = slab_guard(cache, slab, index);
    if (!guarded && cache->guards_required) return NULL;

    struct stack *stack = slab_stack(slab, index);
    char *unit = slab->base + unit_size(slab->stack_size) * index;
    *stack = (struct stack){
        .top = stack,
        .bottom = unit + page_size(),
        .size = slab->stack_size,
        .slab = slab,
        .home = slab->stack_size == cache->default_size ? cache->home : 0,
        .guarded = guarded,
    };
    stack->valgrind_id = weft__san_register(stack->bottom, stack->top);
    slab->cold &= ~(UINT64_C(1) << index);
    return stack;
}

/* A cold stack of the default size, from a new slab if there is none; not yet counted as live. */
static struct stack *stack_carve(struct stack_cache *cache)
{
    struct list_node *node = list_first(&cache->cold);
    struct stack_slab *slab = node ? container_of(node, struct stack_slab, cold_link) : NULL;
    if (!slab) {
        size_t count = SLAB_SIZE_MAX / unit_size(cache->default_size);
        if (count < 1) count = 1;
        if (count > SLAB_STACKS_MAX) count = SLAB_STACKS_MAX;
        slab = slab_open(cache, cache->default_size, (unsigned)count);
        if (!slab) return NULL;

        list_push_front(&cache->cold, &slab->cold_link);
        cache->idle_slab_count++;
    }

    bool was_idle = slab_is_idle(slab);
    struct stack *stack = slab_carve(cache, slab, (unsigned)__builtin_ctzll(slab->cold));
    if (!stack) return NULL;

    if (was_idle) cache->idle_slab_count--;
    if (!slab->cold) list_remove(&slab->cold_link);
    return stack;
}

/* A stack in a mapping of its own, for a size that is not the default. */
static struct stack *own_get(struct stack_cache *cache, size_t size)
{
    struct stack *parted = cache->parting;
    bool is_mine = parted && parted->slab->cache == cache;
    if (is_mine && parted->size == size && !runs_on(parted)) {
        cache->parting = NULL;
        cache->held_count++;
        return parted;
    }

    struct stack_slab *slab = slab_open(cache, size, 1);
    if (!slab) return NULL;

    struct stack *stack = slab_carve(cache, slab, 0);
    if (!stack) {
        slab_unmap(cache, slab);
        return NULL;
    }
    cache->held_count++;
    return stack;
}

/* True if the calling function's own frame lies on this stack. */
static bool runs_on(const struct stack *stack)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    return frame >= (uintptr_t)stack->bottom && frame < (uintptr_t)stack->top;
}

/* Unmaps the stack that was put last, or gives it back, now that nobody runs on it any more. */
void weft__stacks_part(struct stack_cache *cache)
{
    struct stack *stack = cache->parting;
    if (!stack) return;

    cache->parting = NULL;
    struct stack_slab *slab = stack->slab;
    if (slab->cache != cache) {
        give_back(stack);
        return;
    }
    slab_leave(slab, stack);
    slab_unmap(cache, slab);
}

/* A stack that its only consumer takes whole (Treiber 1986), as for records. */
static void give_back(struct stack *stack)
{
    struct stack_cache *home = stack->slab->cache;
    struct stack *head = atomic_load_explicit(&home->returned, memory_order_relaxed);
    do {
        stack->next = head;
        /* release: pairs with take_returned() */
    } while (!atomic_compare_exchange_weak_explicit(
        &home->returned, &head, stack, memory_order_release, memory_order_relaxed));
}

static void take_returned(struct stack_cache *cache)
{
    if (!atomic_load_explicit(&cache->returned, memory_order_relaxed)) return;
    /* acquire: pairs with give_back() */
    struct stack *stack = atomic_exchange_explicit(&cache->returned, NULL, memory_order_acquire);
    while (stack) {
        struct stack *next = stack->next;
        weft__stack_put(cache, stack);
        stack = next;
    }
}

/* A mapping for `count` stacks, all cold, on no list but the cache's; NULL without memory. */
static struct stack_slab *slab_open(struct stack_cache *cache, size_t size, unsigned count)
{
    struct stack_slab *slab = cache->vacant;
    if (slab) {
        cache->vacant = slab->next_other;
    } else {
        slab = calloc(1, sizeof *slab);
        if (!slab) return NULL;
        slab->cache = cache;
        slab->next = cache->slabs;
        cache->slabs = slab;
    }

    size_t length = unit_size(size) * count;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) {
        slab->next_other = cache->vacant;
        cache->vacant = slab;
        return NULL;
    }
    /* A huge page would make one parked task cost 2 MiB. A kernel without them says EINVAL. */
    (void)madvise(base, length, MADV_NOHUGEPAGE);

    slab->stack_size = size;
    slab->stack_count = count;
    slab->cold = UINT64_MAX >> (64 - count);
    slab->leaving = 0;
    slab->guarded = 0;
    slab->protected = 0;
    slab->unguarded = 0;
    slab->base = base;
    if (cache->guards == STACK_GUARDS_MARKER) slab_mark_guards(slab);
    return slab;
}

/* Gives the whole mapping back; the record waits for the next slab_open(). */
static void slab_unmap(struct stack_cache *cache, struct stack_slab *slab)
{
    char *base = slab->base;
    size_t length = unit_size(slab->stack_size) * slab->stack_count;

    slab->base = NULL; /* before the address range can become somebody else's */
    cache->unguarded_count -= (size_t)__builtin_popcountll(slab->unguarded);
    weft__guard_budget_return(__builtin_popcountll(slab->protected));
    weft__san_unpoison(base, length);
    int failed = munmap(base, length);
    WEFT_ASSERT(!failed); /* the arguments are those of the mmap() */

    slab->next_other = cache->vacant;
    cache->vacant = slab;
}

static bool slab_is_idle(const struct stack_slab *slab)
{
    return slab->cold == UINT64_MAX >> (64 - slab->stack_count);
}

/* Puts markers under all stacks of a new slab. They stay until it is unmapped. */
static void slab_mark_guards(struct stack_slab *slab)
{
    size_t unit = unit_size(slab->stack_size);
    unsigned marked = weft__guards_mark(slab->base, unit, slab->stack_count);
    if (marked > 0) slab->guarded = UINT64_MAX >> (64 - marked);
}

/* Sees to the guard of one stack; false if it has none. */
static bool slab_guard(struct stack_cache *cache, struct stack_slab *slab, unsigned index)
{
    uint64_t bit = UINT64_C(1) << index;
    if (slab->guarded & bit) return true;

    char *guard = slab->base + unit_size(slab->stack_size) * index;
    bool wanted = cache->guards != STACK_GUARDS_NONE && weft__guard_budget_take();
    if (wanted && mprotect(guard, page_size(), PROT_NONE) == 0) {
        slab->guarded |= bit;
        slab->protected |= bit;
        cache->unguarded_count -= (slab->unguarded & bit) != 0;
        slab->unguarded &= ~bit;
        return true;
    }
    if (wanted) weft__guard_budget_return(1);
    if (!(slab->unguarded & bit) && !cache->guards_required) {
        slab->unguarded |= bit;
        cache->unguarded_count++;
    }
    return false;
}

/* Ends a stack's existence; its memory is still there. */
static void slab_leave(struct stack_slab *slab, struct stack *stack)
{
    slab->leaving |= UINT64_C(1) << stack_index(stack);
    weft__san_deregister(stack->valgrind_id);
}

/* Gives the memory of the stacks that left back, neighbours in one call, and makes them cold. */
static void slab_settle(struct stack_cache *cache, struct stack_slab *slab)
{
    if (!slab->cold) list_push_front(&cache->cold, &slab->cold_link);
    uint64_t leaving = slab->leaving;
    slab->cold |= leaving;
    slab->leaving = 0;

    if (slab_is_idle(slab)) {
        if (cache->idle_slab_count >= KEEP_IDLE_SLABS) {
            list_remove(&slab->cold_link);
            slab_unmap(cache, slab);
            return;
        }
        cache->idle_slab_count++;
    }

    size_t unit = unit_size(slab->stack_size);
    while (leaving) {
        unsigned first = (unsigned)__builtin_ctzll(leaving);
        uint64_t above = ~(leaving >> first);
        unsigned count = above ? (unsigned)__builtin_ctzll(above) : SLAB_STACKS_MAX;
        char *start = slab->base + unit * first + page_size();
        weft__san_unpoison(start, unit * count - page_size());
        /* Guards in between survive this. Failing, the memory just stays: zeroed or reused. */
        (void)madvise(start, unit * count - page_size(), MADV_DONTNEED);
        leaving &= ~((UINT64_MAX >> (64 - count)) << first);
    }
}
