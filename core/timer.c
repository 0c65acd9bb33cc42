/* SPDX-License-Identifier: MIT */
/*
 * Two tiers: a hierarchical timing wheel (Varghese and Lauck, 1987) in which far timers come and go
 * in constant time, and a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986) that puts the
 * near ones into exact order. Neither allocates, and nothing here is recursive.
 *
 * Invariants
 * 1. The low TICK_BITS of `horizon_ns` are ones. A timer with deadline_ns <= horizon_ns is in the
 *    heap, a later one in the wheel; INT64_MAX is in neither, because it is never due.
 * 2. Read a deadline as groups of 6 bits above the TICK_BITS. A timer in the wheel is on the level
 *    of the highest group in which its deadline differs from the horizon, in the slot which that
 *    group of the deadline names. So on its level all groups above agree with the horizon, and its
 *    slot's number is greater than the horizon's group there.
 *
 * From 2 follows: what is on a lower level is earlier, and on one level a lower slot is earlier. So
 * two bit scans find the earliest slot. Pouring it moves the horizon to the end of the slot's
 * first tick: only groups of that level and below change, the levels below are empty, and the rest
 * of this level still differs there; only the slot's own timers need a new place, and find it in
 * the heap or on a lower level. A timer therefore moves at most LEVELS times.
 */
#include "core/timer.h"

#include <assert.h>
#include <string.h>

#include "base/assert.h"

#define GROUP_BITS 6
#define TICK_MASK  ((INT64_C(1) << WEFT__TIMER_TICK_BITS) - 1)

enum place {
    PLACE_NONE = 0,
    PLACE_HEAP = 1,
    PLACE_NEVER = 2,
    PLACE_WHEEL = 3, /* plus the number of the lane, counted through all levels and slots */
};

static_assert(WEFT__TIMER_SLOTS == 1 << GROUP_BITS, "a group of bits names a slot");
static_assert(PLACE_WHEEL + WEFT__TIMER_LEVELS * WEFT__TIMER_SLOTS * WEFT__TIMER_LANES <=
                  UINT16_MAX,
              "a place fits");
static_assert(WEFT__TIMER_TICK_BITS + GROUP_BITS * WEFT__TIMER_LEVELS >= 63, "all deadlines fit");

static void timers_place(struct timers *timers, struct timer *timer);
static void wheel_insert(struct timers *timers, struct timer *timer);
static void wheel_remove(struct timers *timers, struct timer *timer);
static bool slot_is_empty(const struct timers *timers, unsigned level, unsigned slot);
static void slot_mark_empty(struct timers *timers, unsigned level, unsigned slot);
static void wheel_pour(struct timers *timers);
static int64_t wheel_next(const struct timers *timers);
static void wheel_follow_clock(struct timers *timers, int64_t now_ns);
static void heap_insert(struct timers *timers, struct timer *timer);
static void heap_remove(struct timers *timers, struct timer *timer);
static struct timer *heap_link(struct timer *first, struct timer *second);
static struct timer *heap_join_children(struct timer *parent);

void weft__timers_open(struct timers *timers, int64_t now_ns)
{
    memset(timers, 0, sizeof *timers);
    timers->horizon_ns = (now_ns > 0 ? now_ns : 0) | TICK_MASK;
}

void weft__timer_add(struct timers *timers, struct timer *timer)
{
    WEFT_ASSERT(timer->place == PLACE_NONE);
    timer->sequence = timers->sequence++;
    timers->count++;
    if (timer->deadline_ns == INT64_MAX) {
        timer->place = PLACE_NEVER;
    } else {
        timers_place(timers, timer);
    }
}

void weft__timer_remove(struct timers *timers, struct timer *timer)
{
    if (timer->place == PLACE_NONE) return;

    if (timer->place >= PLACE_WHEEL) {
        wheel_remove(timers, timer);
    } else if (timer->place == PLACE_HEAP) {
        heap_remove(timers, timer);
    }
    timer->place = PLACE_NONE;
    timers->count--;
}

int64_t weft__timers_next(struct timers *timers)
{
    while (!timers->heap && timers->levels != 0) {
        wheel_pour(timers);
    }
    return timers->heap ? timers->heap->deadline_ns : INT64_MAX;
}

struct timer *weft__timers_pop_due(struct timers *timers, int64_t now_ns, uint64_t before_sequence)
{
    while (!timers->heap && timers->levels != 0 && wheel_next(timers) <= now_ns) {
        wheel_pour(timers);
    }
    if (!timers->heap) {
        wheel_follow_clock(timers, now_ns);
        return NULL;
    }

    struct timer *timer = timers->heap;
    if (timer->deadline_ns > now_ns) return NULL;
    if (timer->sequence >= before_sequence) return NULL;

    weft__timer_remove(timers, timer);
    return timer;
}

/* Where invariants 1 and 2 want it. */
static void timers_place(struct timers *timers, struct timer *timer)
{
    if (timer->deadline_ns <= timers->horizon_ns) {
        heap_insert(timers, timer);
    } else {
        wheel_insert(timers, timer);
    }
}

/* The bits of a deadline below the group that names its slot on `level`. */
static unsigned level_shift(unsigned level)
{
    return WEFT__TIMER_TICK_BITS + GROUP_BITS * level;
}

static void wheel_insert(struct timers *timers, struct timer *timer)
{
    /* Both are not negative and differ above the tick, so there is a highest bit, and a group. */
    uint64_t difference = (uint64_t)(timer->deadline_ns ^ timers->horizon_ns);
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(difference);
    unsigned level = (highest_bit - WEFT__TIMER_TICK_BITS) / GROUP_BITS;
    unsigned slot = (uint64_t)timer->deadline_ns >> level_shift(level) & (WEFT__TIMER_SLOTS - 1);

    unsigned lane = timer->sequence % WEFT__TIMER_LANES;

    struct timer **list = &timers->lanes[level][slot][lane];
    timer->next = *list;
    timer->previous = NULL;
    if (timer->next) timer->next->previous = timer;
    *list = timer;
    timers->occupied[level] |= UINT64_C(1) << slot;
    timers->levels |= 1U << level;
    unsigned index = (level * WEFT__TIMER_SLOTS + slot) * WEFT__TIMER_LANES + lane;
    timer->place = (uint16_t)(PLACE_WHEEL + index);
}

static void wheel_remove(struct timers *timers, struct timer *timer)
{
    if (timer->next) timer->next->previous = timer->previous;
    if (timer->previous) {
        timer->previous->next = timer->next;
        return;
    }

    unsigned index = timer->place - (unsigned)PLACE_WHEEL;
    unsigned slot = index / WEFT__TIMER_LANES % WEFT__TIMER_SLOTS;
    unsigned level = index / WEFT__TIMER_LANES / WEFT__TIMER_SLOTS;
    timers->lanes[level][slot][index % WEFT__TIMER_LANES] = timer->next;
    if (!timer->next && slot_is_empty(timers, level, slot)) slot_mark_empty(timers, level, slot);
}

static bool slot_is_empty(const struct timers *timers, unsigned level, unsigned slot)
{
    for (unsigned lane = 0; lane < WEFT__TIMER_LANES; lane++) {
        if (timers->lanes[level][slot][lane]) return false;
    }
    return true;
}

static void slot_mark_empty(struct timers *timers, unsigned level, unsigned slot)
{
    timers->occupied[level] &= ~(UINT64_C(1) << slot);
    if (timers->occupied[level] == 0) timers->levels &= ~(1U << level);
}

/* The beginning of the earliest occupied slot. The wheel must not be empty. */
static int64_t wheel_next(const struct timers *timers)
{
    unsigned level = (unsigned)__builtin_ctz(timers->levels);
    unsigned slot = (unsigned)__builtin_ctzll(timers->occupied[level]);
    uint64_t groups = (uint64_t)timers->horizon_ns >> level_shift(level);
    groups = (groups & ~(uint64_t)(WEFT__TIMER_SLOTS - 1)) | slot;
    return (int64_t)(groups << level_shift(level));
}

/* Gives every timer of the earliest slot its place behind the new horizon. */
static void wheel_pour(struct timers *timers)
{
    unsigned level = (unsigned)__builtin_ctz(timers->levels);
    unsigned slot = (unsigned)__builtin_ctzll(timers->occupied[level]);
    timers->horizon_ns = wheel_next(timers) | TICK_MASK;

    struct timer *lanes[WEFT__TIMER_LANES];
    memcpy(lanes, timers->lanes[level][slot], sizeof lanes);
    memset(timers->lanes[level][slot], 0, sizeof lanes);
    slot_mark_empty(timers, level, slot);
    /* One of each lane in turn: the next of this lane is fetched while the others are placed. */
    unsigned lanes_left = WEFT__TIMER_LANES;
    while (lanes_left > 0) {
        lanes_left = 0;
        for (unsigned lane = 0; lane < WEFT__TIMER_LANES; lane++) {
            struct timer *timer = lanes[lane];
            if (!timer) continue;
            lanes_left++;
            lanes[lane] = timer->next;
            __builtin_prefetch(timer->next);
            timers_place(timers, timer);
        }
    }
}

/*
 * Brings the horizon to the clock while the heap is empty and the wheel's next slot lies ahead:
 * forward, so that time-outs are filed by how far away they are; or back, after a distant timer was
 * poured and then removed, so that they are filed in the wheel at all.
 */
static void wheel_follow_clock(struct timers *timers, int64_t now_ns)
{
    int64_t horizon_ns = (now_ns > 0 ? now_ns : 0) | TICK_MASK;
    if (timers->levels != 0) {
        /* Invariant 2 holds for the new horizon too if the groups above the lowest level stay. */
        unsigned level = (unsigned)__builtin_ctz(timers->levels);
        uint64_t difference = (uint64_t)(horizon_ns ^ timers->horizon_ns);
        if (difference >> level_shift(level) >> GROUP_BITS != 0) return;
    }
    timers->horizon_ns = horizon_ns;
}

/* Deadline first; timers of one deadline fire in the order they were armed. */
static bool timer_is_before(const struct timer *timer, const struct timer *other)
{
    if (timer->deadline_ns != other->deadline_ns) return timer->deadline_ns < other->deadline_ns;
    return timer->sequence < other->sequence;
}

/*
 * In the heap `child` is the first child, `next` the right sibling, and `previous` the left sibling
 * or, of a first child, the parent. The root has neither.
 */
static void heap_insert(struct timers *timers, struct timer *timer)
{
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
    timer->place = PLACE_HEAP;
    timers->heap = timers->heap ? heap_link(timers->heap, timer) : timer;
}

static void heap_remove(struct timers *timers, struct timer *timer)
{
    struct timer *orphans = heap_join_children(timer);
    if (timer == timers->heap) {
        timers->heap = orphans;
        return;
    }

    if (timer->previous->child == timer) {
        timer->previous->child = timer->next;
    } else {
        timer->previous->next = timer->next;
    }
    if (timer->next) timer->next->previous = timer->previous;
    if (orphans) timers->heap = heap_link(timers->heap, orphans);
}

/* Makes the later of two roots the first child of the other, which is returned. */
static struct timer *heap_link(struct timer *first, struct timer *second)
{
    struct timer *parent = timer_is_before(second, first) ? second : first;
    struct timer *child = parent == first ? second : first;
    child->next = parent->child;
    child->previous = parent;
    if (parent->child) parent->child->previous = child;
    parent->child = child;
    return parent;
}

/* Makes one heap of the children: neighbours in pairs, then the pairs from right to left. */
static struct timer *heap_join_children(struct timer *parent)
{
    struct timer *pairs = NULL; /* the rightmost first, linked by `next` */
    struct timer *rest = parent->child;
    while (rest) {
        struct timer *left = rest;
        struct timer *right = left->next;
        rest = right ? right->next : NULL;
        struct timer *pair = right ? heap_link(left, right) : left;
        pair->next = pairs;
        pairs = pair;
    }
    if (!pairs) return NULL;

    struct timer *root = pairs;
    rest = root->next;
    while (rest) {
        struct timer *pair = rest;
        rest = pair->next;
        root = heap_link(root, pair);
    }
    root->next = NULL;
    root->previous = NULL;
    return root;
}
