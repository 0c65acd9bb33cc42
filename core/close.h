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
    /* seq_cst: pairs with depart_begin(), which then looks who uses the number */
    return atomic_load_explicit(&weft__departure_count, memory_order_seq_cst) > 0 &&
           weft__fd_is_departing_slow(fd);
}

struct task;

/* A closing task still waits for another worker: the peer learns of it before. */
void weft__part_overdue(struct task *closer);

/* In a forked child: the threads that were closing do not exist. */
void weft__departures_forget(void);

#endif
