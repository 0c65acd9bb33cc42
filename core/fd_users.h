/* SPDX-License-Identifier: MIT */
/*
 * Which workers of a runtime have met a number: whom a close must ask to let go of it.
 *
 * A worker says so before it uses the number, and then looks whether the number is departing; who
 * closes puts it on the list of departures, and then looks who uses it: one sees the other.
 */
#ifndef WEFT_CORE_FD_USERS_H
#define WEFT_CORE_FD_USERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FD_USERS_PAGE  1024 /* numbers of a page */
#define FD_USERS_PAGES 1024

struct worker;

/* Bit i of a word: worker i modulo 64. */
struct fd_users_page {
    _Atomic(uint64_t) words[FD_USERS_PAGE];
};

/* Pages appear when they are needed, and stay. */
struct fd_users {
    _Atomic(struct fd_users_page *) pages[FD_USERS_PAGES];
};

void weft__fd_users_close(struct fd_users *users);

/* The worker is about to use the number; it uses it no more. 0 or -ENOMEM. */
int weft__fd_users_add(struct worker *worker, int fd);
void weft__fd_users_remove(struct worker *worker, int fd);

/* May any of the workers that have this bit use it? */
uint64_t weft__fd_users_of(struct fd_users *users, int fd);

static inline uint64_t fd_user_bit(unsigned index)
{
    return (uint64_t)1 << (index % 64);
}

#endif
