/* SPDX-License-Identifier: MIT */
/*
 * Stacks lie in slabs: one mapping, cut into equal units of a guard and the usable part above it.
 *
 *     slab->base                                                      one unit = guard + size
 *     | guard | usable ........... top | struct stack | colour | guard | usable ...
 *             ^ bottom                                           (64 units of the default size)
 *
 * A stack is live (somebody runs on it), hot (in the cache's list, its pages kept) or cold (a bit
 * in its slab, no pages; also how each stack begins). The struct exists while it is live or hot.
 * Slab records are never freed while the cache is open, and never leave its list: the overflow
 * handler may walk that list at any moment.
 */
#include "core/stack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "core/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

#define STACK_SIZE_MIN  ((size_t)16 << 10)
#define STACK_SIZE_MAX  ((size_t)1 << 40)  /* far below where the sums here could wrap */
#define SLAB_SIZE_MAX   ((size_t)32 << 20) /* larger stacks come in smaller slabs */
#define SLAB_STACKS_MAX 64                 /* bits in a mask */

/* What a trim keeps: this many hot stacks whatever their age, and at most that many of any age. */
#define KEEP_HOT_MIN 64
#define KEEP_HOT_MAX 4096
/* Mapped slabs that hold no memory: they cost address space and page tables only. */
#define KEEP_IDLE_SLABS 4

/*
 * Tops are staggered by this many cache lines: at equal offsets in their pages, the frames of all
 * tasks would compete for the same few sets of the cache.
 */
#define STACK_COLOURS 16

#define CACHE_LINE 64

struct stack_slab {
    struct stack_slab *next; /* in cache->slabs, for good */
    struct stack_slab *next_vacant;
    struct list_node cold_link; /* in cache->cold while `cold` has a bit */
    char *base;                 /* NULL: vacant */
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

/* How many more guards mprotect() may make in this process; LONG_MAX: not asked yet. */
static atomic_long guard_budget = LONG_MAX;

/* Slabs of closed caches that survivors still run on: kept reachable, never used again. */
static struct stack_slab *_Atomic orphans;

static size_t page_size(void);
static struct stack *slab_stack(const struct stack_slab *slab, unsigned index);
static struct stack *stack_carve(struct stack_cache *cache);
static struct stack *stack_get_own(struct stack_cache *cache, size_t size);
static void stack_close_own(struct stack_cache *cache, struct stack *stack);
static struct stack_slab *slab_open(struct stack_cache *cache, size_t size, unsigned count);
static void slab_unmap(struct stack_cache *cache, struct stack_slab *slab);
static bool slab_guard(struct stack_cache *cache, struct stack_slab *slab, unsigned index);
static bool slab_is_idle(const struct stack_slab *slab);
static void slab_mark_guards(struct stack_slab *slab);
static bool guard_budget_take(void);
static void guard_budget_return(long count);
static long guard_limit(void);
static void slab_leave(struct stack_slab *slab, struct stack *stack);
static void slab_settle(struct stack_cache *cache, struct stack_slab *slab);
static enum stack_guards guards_probe(void);

int weft__stacks_open(struct stack_cache *cache, size_t default_size, bool guards_required)
{
    size_t page = page_size();
    if (default_size < STACK_SIZE_MIN) default_size = STACK_SIZE_MIN;
    if (default_size > STACK_SIZE_MAX) return -ENOMEM;

    *cache = (struct stack_cache){
        .default_size = (default_size + page - 1) / page * page,
        .guards_required = guards_required,
        .guards = weft__stack_guards(),
    };
    list_open(&cache->cold);

    cache->reserve = stack_carve(cache);
    if (cache->reserve) return 0;

    weft__stacks_close(cache);
    return -ENOMEM;
}

void weft__stacks_close(struct stack_cache *cache)
{
    if (cache->reserve) slab_leave(cache->reserve->slab, cache->reserve);
    cache->reserve = NULL;
    while (cache->free) {
        struct stack *stack = cache->free;
        cache->free = stack->next;
        slab_leave(stack->slab, stack);
    }
    cache->free_count = 0;

    while (cache->slabs) {
        struct stack_slab *slab = cache->slabs;
        cache->slabs = slab->next;

        uint64_t idle = slab->cold | slab->leaving;
        if (slab->base && (unsigned)__builtin_popcountll(idle) != slab->stack_count) {
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
    if (size < STACK_SIZE_MIN && size != 0) size = STACK_SIZE_MIN;
    size = (size + page - 1) / page * page;

    if (size != 0 && size != cache->default_size) return stack_get_own(cache, size);
    if (cache->free) return weft__stack_get(cache, 0);

    struct stack *stack = stack_carve(cache);
    if (stack) cache->live_count++;
    return stack;
}

struct stack *weft__stack_get_reserved(struct stack_cache *cache)
{
    struct stack *stack = cache->reserve;
    if (!stack) return NULL;

    cache->reserve = NULL;
    cache->live_count++;
    return stack;
}

void weft__stack_put_slow(struct stack_cache *cache, struct stack *stack)
{
    if (stack->size != cache->default_size) {
        cache->live_count--;
        stack_close_own(cache, stack);
        return;
    }
    if (!cache->reserve) {
        cache->live_count--;
        cache->reserve = stack;
        return;
    }
    weft__stack_put(cache, stack);
}

/*
 * Keeps the stacks that were in use since the last trim, and a few more; the rest becomes cold. As
 * the list is last in first out, what lies below a stack has been idle for longer than it.
 */
void weft__stacks_trim(struct stack_cache *cache)
{
    if (cache->free_count <= KEEP_HOT_MIN) return;

    uint32_t now = cache->trim_count++;
    struct stack **end = &cache->free;
    size_t kept = 0;
    while (*end && (kept < KEEP_HOT_MIN || ((*end)->idle_since == now && kept < KEEP_HOT_MAX))) {
        end = &(*end)->next;
        kept++;
    }

    struct stack *stack = *end;
    *end = NULL;
    cache->free_count = kept;

    struct stack_slab *touched = NULL;
    while (stack) {
        struct stack *next = stack->next;
        struct stack_slab *slab = stack->slab;
        if (!slab->leaving) {
            slab->next_vacant = touched;
            touched = slab;
        }
        slab_leave(slab, stack);
        stack = next;
    }
    while (touched) {
        struct stack_slab *slab = touched;
        touched = slab->next_vacant;
        slab_settle(cache, slab);
    }
}

/*
 * mincore() tells which pages are in memory: the lowest of them is the deepest use, but for pages
 * that were swapped out. The pages below it that were jumped over count as used.
 */
size_t weft__stack_high_water(const struct stack *stack)
{
    size_t page = page_size();
    const char *end = (const char *)stack->bottom + stack->size;
    unsigned char resident[256];

    for (char *at = stack->bottom; at < end;) {
        size_t left = (size_t)(end - at) / page;
        size_t count = left < sizeof resident ? left : sizeof resident;
        if (mincore(at, count * page, resident) != 0) return 0;

        for (size_t i = 0; i < count; i++) {
            if (resident[i] & 1) return (size_t)(end - at) - i * page;
        }
        at += count * page;
    }
    return 0;
}

const struct stack *weft__stack_by_guard(const struct stack_cache *cache, const void *address)
{
    size_t guard = page_size();
    for (const struct stack_slab *slab = cache->slabs; slab; slab = slab->next) {
        size_t unit = slab->stack_size + guard;
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

/* Where the struct of a slab's stack lies, whether it exists now or not. */
static struct stack *slab_stack(const struct stack_slab *slab, unsigned index)
{
    char *end = slab->base + (slab->stack_size + page_size()) * (index + 1);
    end -= CACHE_LINE * (index % STACK_COLOURS);
    return (struct stack *)(void *)(end - sizeof(struct stack));
}

static unsigned stack_index(const struct stack *stack)
{
    const struct stack_slab *slab = stack->slab;
    return (unsigned)((size_t)((const char *)stack - slab->base) /
                      (slab->stack_size + page_size()));
}

/* Makes stack `index` of a slab exist; NULL if it needs a guard and cannot have one. */
static struct stack *slab_carve(struct stack_cache *cache, struct stack_slab *slab, unsigned index)
{
    bool guarded = slab_guard(cache, slab, index);
    if (!guarded && cache->guards_required) return NULL;

    struct stack *stack = slab_stack(slab, index);
    char *unit = slab->base + (slab->stack_size + page_size()) * index;
    *stack = (struct stack){
        .top = stack,
        .bottom = unit + page_size(),
        .size = slab->stack_size,
        .slab = slab,
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
        size_t count = SLAB_SIZE_MAX / (cache->default_size + page_size());
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
static struct stack *stack_get_own(struct stack_cache *cache, size_t size)
{
    struct stack_slab *slab = slab_open(cache, size, 1);
    if (!slab) return NULL;

    struct stack *stack = slab_carve(cache, slab, 0);
    if (!stack) {
        slab_unmap(cache, slab);
        return NULL;
    }
    cache->live_count++;
    return stack;
}

static void stack_close_own(struct stack_cache *cache, struct stack *stack)
{
    struct stack_slab *slab = stack->slab;
    slab_leave(slab, stack);
    slab_unmap(cache, slab);
}

/* A mapping for `count` stacks, all cold, on no list but the cache's; NULL without memory. */
static struct stack_slab *slab_open(struct stack_cache *cache, size_t size, unsigned count)
{
    struct stack_slab *slab = cache->vacant;
    if (slab) {
        cache->vacant = slab->next_vacant;
    } else {
        slab = calloc(1, sizeof *slab);
        if (!slab) return NULL;
        slab->next = cache->slabs;
        cache->slabs = slab;
    }

    size_t length = (size + page_size()) * count;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) {
        slab->next_vacant = cache->vacant;
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
    size_t length = (slab->stack_size + page_size()) * slab->stack_count;

    slab->base = NULL; /* before the address range can become somebody else's */
    cache->unguarded_count -= (size_t)__builtin_popcountll(slab->unguarded);
    guard_budget_return(__builtin_popcountll(slab->protected));
    weft__san_unpoison(base, length);
    int failed = munmap(base, length);
    WEFT_ASSERT(!failed); /* the arguments are those of the mmap() */

    slab->next_vacant = cache->vacant;
    cache->vacant = slab;
}

static bool slab_is_idle(const struct stack_slab *slab)
{
    return slab->cold == UINT64_MAX >> (64 - slab->stack_count);
}

/* Puts markers under all stacks of a new slab. They stay until it is unmapped. */
static void slab_mark_guards(struct stack_slab *slab)
{
    size_t unit = slab->stack_size + page_size();
    for (unsigned i = 0; i < slab->stack_count; i++) {
        if (madvise(slab->base + unit * i, page_size(), MADV_GUARD_INSTALL) != 0) return;
        slab->guarded |= UINT64_C(1) << i;
    }
}

/*
 * Sees to the guard of one stack; false if it has none. A guard by mprotect() costs two mappings of
 * the process. Some are left for others: a process that used up all of them cannot even malloc().
 */
static bool slab_guard(struct stack_cache *cache, struct stack_slab *slab, unsigned index)
{
    uint64_t bit = UINT64_C(1) << index;
    if (slab->guarded & bit) return true;

    char *guard = slab->base + (slab->stack_size + page_size()) * index;
    bool wanted = cache->guards != STACK_GUARDS_NONE && guard_budget_take();
    if (wanted && mprotect(guard, page_size(), PROT_NONE) == 0) {
        slab->guarded |= bit;
        slab->protected |= bit;
        cache->unguarded_count -= (slab->unguarded & bit) != 0;
        slab->unguarded &= ~bit;
        return true;
    }
    if (wanted) guard_budget_return(1);
    if (!(slab->unguarded & bit) && !cache->guards_required) {
        slab->unguarded |= bit;
        cache->unguarded_count++;
    }
    return false;
}

/* Claims one guard. Relaxed: a mere count. */
static bool guard_budget_take(void)
{
    if (atomic_load_explicit(&guard_budget, memory_order_relaxed) == LONG_MAX) {
        long unknown = LONG_MAX;
        long limit = guard_limit();
        (void)atomic_compare_exchange_strong_explicit(/* another thread may have been faster */
                                                      &guard_budget,
                                                      &unknown,
                                                      limit,
                                                      memory_order_relaxed,
                                                      memory_order_relaxed);
    }
    if (atomic_fetch_sub_explicit(&guard_budget, 1, memory_order_relaxed) > 0) return true;

    guard_budget_return(1);
    return false;
}

static void guard_budget_return(long count)
{
    atomic_fetch_add_explicit(&guard_budget, count, memory_order_relaxed);
}

/* Fifteen sixteenths of the mappings that the system allows, at two for each guard. */
static long guard_limit(void)
{
    long mappings = 65530; /* the kernel's default */
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        (void)close(fd); /* only read */
        if (length > 0) mappings = strtol(text, NULL, 10);
    }
    if (mappings < 0 || mappings > INT_MAX) mappings = INT_MAX;
    return (mappings - mappings / 16) / 2;
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

    size_t unit = slab->stack_size + page_size();
    while (leaving) {
        unsigned first = (unsigned)__builtin_ctzll(leaving);
        uint64_t above = ~(leaving >> first);
        unsigned count = above ? (unsigned)__builtin_ctzll(above) : SLAB_STACKS_MAX;
        char *start = slab->base + unit * first + page_size();
        weft__san_unpoison(start, unit * count - page_size());
        /* Guards in between survive this. Failing, the memory just stays: it is zeroed or reused. */
        (void)madvise(start, unit * count - page_size(), MADV_DONTNEED);
        leaving &= ~((UINT64_MAX >> (64 - count)) << first);
    }
}

enum stack_guards weft__stack_guards(void)
{
    static _Atomic int known; /* relaxed: threads that race here find the same answer */
    int guards = atomic_load_explicit(&known, memory_order_relaxed);
    if (guards == 0) {
        guards = guards_probe();
        atomic_store_explicit(&known, guards, memory_order_relaxed);
    }
    return (enum stack_guards)guards;
}

/*
 * Tries a marker and looks at its effect: the kernel must refuse to read the page. The result of
 * madvise() alone proves nothing, as emulators accept any advice.
 */
static enum stack_guards guards_probe(void)
{
    enum stack_guards guards = STACK_GUARDS_MPROTECT;
    size_t page = page_size();
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return guards;

    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) goto unmap;

    if (madvise(probe, page, MADV_GUARD_INSTALL) != 0) goto close_pipe;

    ssize_t written = write(pipe_fds[1], probe, 1);
    if (written < 0 && errno == EFAULT) guards = STACK_GUARDS_MARKER;

close_pipe:
    (void)close(pipe_fds[0]); /* nothing was written that a failing close could lose */
    (void)close(pipe_fds[1]);
unmap:
    (void)munmap(probe, page); /* cannot fail with the arguments of the mmap() */
    return guards;
}
