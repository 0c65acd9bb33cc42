/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on times that cannot overflow: WEFT_FOREVER stays WEFT_FOREVER.
 */
#ifndef WEFT_CORE_TIME_H
#define WEFT_CORE_TIME_H

#include <stdint.h>

#include <weft/time.h>

/* `start_ns` plus `duration_ns`, at most WEFT_FOREVER. */
static inline int64_t time_after(int64_t start_ns, int64_t duration_ns)
{
    int64_t sum_ns = 0;
    if (__builtin_add_overflow(start_ns, duration_ns, &sum_ns)) {
        return duration_ns > 0 ? WEFT_FOREVER : INT64_MIN;
    }
    return sum_ns;
}

#endif
