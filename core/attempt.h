/* SPDX-License-Identifier: MIT */
/*
 * One system call that transfers and does not block the thread, whatever flags the file has.
 */
#ifndef WEFT_CORE_ATTEMPT_H
#define WEFT_CORE_ATTEMPT_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct transfer;

/* What read-like and write-like calls move. */
struct pieces {
    const struct iovec *parts;
    size_t count;
    size_t size; /* of all together */
};

/* These are transfer_fn; `arg` is a struct pieces. A count, or a negative errno, never -EINTR. */
ssize_t weft__attempt_read(struct transfer *transfer, void *arg);
ssize_t weft__attempt_write(struct transfer *transfer, void *arg);

/* May the file be asked at all? 1: it is non-blocking; 2: it blocks, but has something at the
 * moment (poll(2)); 0: nothing; or a negative errno. */
int weft__attempt_allowed(int fd, short events);

#endif
