/* SPDX-License-Identifier: MIT */
/*
 * Numbers that a plain thread is closing: they are no longer to be used, though still open.
 */
#ifndef WEFT_CORE_CLOSE_H
#define WEFT_CORE_CLOSE_H

#include <stdatomic.h>
#include <stdbool.h>

/* How many numbers are on the list of departures. */
extern atomic_uint weft__departure_count;

bool weft__fd_is_departing_slow(int fd);

static inline bool weft__fd_is_departing(int fd)
{
    /* relaxed: a worker that was told to let go sees the count through its inbox */
    return atomic_load_explicit(&weft__departure_count, memory_order_relaxed) > 0 &&
           weft__fd_is_departing_slow(fd);
}

/* In a forked child: the threads that were closing do not exist. */
void weft__departures_forget(void);

#endif
