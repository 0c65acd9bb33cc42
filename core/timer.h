/* SPDX-License-Identifier: MIT */
/*
 * The timer queue: one per worker, FIFO among equal deadlines, nanoseconds, no allocation.
 *
 * Two tiers. Timers due up to `horizon_ns` are in a pairing heap ordered by (deadline, sequence);
 * all later ones are in a hierarchical wheel of unordered slots, where adding and removing is O(1).
 * Asking for the next deadline pours the earliest slot into the heap when the heap is empty, so an
 * idle time-out that is armed and cancelled never meets the heap.
 */
#ifndef WEFT_CORE_TIMER_H
#define WEFT_CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT__TIMER_LEVELS    8
#define WEFT__TIMER_SLOTS     64
#define WEFT__TIMER_LANES     4 /* lists per slot: walking only one waits for memory at each node */
#define WEFT__TIMER_TICK_BITS 20 /* a slot of level 0 covers 2^20 ns, about a millisecond */

/* Zeroed before its first use. In the wheel only the first three fields are touched by neighbours
 * and removal, so an owner had better not let a cache line end between them. */
struct timer {
    struct timer *next;
    struct timer *previous;
    uint16_t place;      /* 0: not armed; else where, see timer.c */
    uint16_t kind;       /* the owner's: what to do when it fires */
    int64_t deadline_ns; /* on the worker's clock */
    uint64_t sequence;   /* order of arming among equal deadlines */
    struct timer *child; /* in the heap only */
};

struct timers {
    struct timer *heap;
    int64_t horizon_ns; /* what is due up to here is in the heap, the rest in the wheel */
    uint64_t sequence;  /* of the next timer that is armed */
    size_t count;       /* armed timers, both tiers */
    uint32_t levels;    /* bit: this level of the wheel has an occupied slot */
    uint64_t occupied[WEFT__TIMER_LEVELS]; /* bit: this slot has timers */
    struct timer *lanes[WEFT__TIMER_LEVELS][WEFT__TIMER_SLOTS][WEFT__TIMER_LANES];
};

/* `now_ns`: where the wheel begins; earlier deadlines are fine. */
void weft__timers_open(struct timers *timers, int64_t now_ns);

/* Arms; deadline_ns and kind are set by the caller, which keeps the node in place until it fires
 * or is removed. Must not be armed. INT64_MAX is a valid deadline (never due). */
void weft__timer_add(struct timers *timers, struct timer *timer);

/* Disarms; not armed: no effect. */
void weft__timer_remove(struct timers *timers, struct timer *timer);

static inline bool weft__timer_is_armed(const struct timer *timer)
{
    return timer->place != 0;
}

/* The earliest deadline, exact; INT64_MAX if there is none. */
int64_t weft__timers_next(struct timers *timers);

/*
 * Takes out the first timer with deadline_ns <= now_ns; NULL if none is due, or if the first one
 * has a sequence >= `before_sequence`.
 *
 * A round pops with `before_sequence` = timers->sequence as it was at the beginning, so it is
 * finite whatever is armed meanwhile. A newer timer with an earlier deadline than those that are
 * still due ends the round; they all have their turn in the next one, which does not wait, because
 * weft__timers_next() is then not after now_ns.
 */
struct timer *weft__timers_pop_due(struct timers *timers, int64_t now_ns, uint64_t before_sequence);

#endif
