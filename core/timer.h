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

#define WEFT__TIMER_LEVELS 8
#define WEFT__TIMER_SLOTS 64
#define WEFT__TIMER_TICK_BITS 20 /* a slot of level 0 covers 2^20 ns, about a millisecond */

struct timer {
    struct timer *next;
    struct timer *previous;
    struct timer *child;
    int64_t deadline_ns; /* on the worker's clock */
    uint64_t sequence;   /* order of arming among equal deadlines */
    uint16_t place;      /* 0: not armed; else where, see timer.c */
    uint16_t kind;       /* the owner's: what to do when it fires */
};

struct timers {
    struct timer *heap;
    int64_t horizon_ns; /* what is due up to here is in the heap, the rest in the wheel */
    uint64_t sequence; /* of the next timer that is armed */
    size_t count;      /* armed timers, both tiers */
    uint32_t levels;   /* bit: this level of the wheel has an occupied slot */
    uint64_t occupied[WEFT__TIMER_LEVELS]; /* bit: this slot has timers */
    struct timer *slots[WEFT__TIMER_LEVELS][WEFT__TIMER_SLOTS];
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

/* Takes out the first timer with deadline_ns <= now_ns; NULL if none is due. Timers that are added
 * while a caller works off the due ones with sequence >= `before_sequence` are left for the next
 * round, so that one round is finite. */
struct timer *weft__timers_pop_due(struct timers *timers, int64_t now_ns, uint64_t before_sequence);

#endif
