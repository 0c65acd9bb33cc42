/* SPDX-License-Identifier: MIT */
/*
 * A small seedable generator for fairness and for reproducible schedules; never for secrets.
 *
 * It is a counter with a mixing function (the SplitMix construction of Steele, Lea and Flood,
 * 2014): every 64-bit seed is good, zero too, and all 2^64 values come once per period.
 */
#ifndef WEFT_CORE_RANDOM_H
#define WEFT_CORE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* the seed, then the counter */
};

static inline uint64_t weft__random_next(struct random *random)
{
    random->state += UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio, odd: full period */
    uint64_t bits = random->state;
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bits ^ (bits >> 31);
}

/*
 * A number from 0 to limit - 1; limit 0 gives 0. The high half of a product instead of a division
 * (Lemire, 2019), without his rejection step: the bias is below limit / 2^32.
 */
static inline uint32_t weft__random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)(((weft__random_next(random) >> 32) * limit) >> 32);
}

#endif
