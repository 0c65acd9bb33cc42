/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of a runtime: who waits for which, and what the backend watches.
 *
 * One slot per number, in pages that never move. Registration is lazy: a descriptor stays armed
 * after it fired, until a poll finds it ready with nobody waiting; then that direction is disarmed
 * and remembered as `seen`. The next wait on a seen direction returns at once and clears the bit.
 * The generation changes with every weft_close() and weft_release(), so that an event of a former
 * owner of the number reaches nobody.
 */
#ifndef WEFT_CORE_FDTABLE_H
#define WEFT_CORE_FDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backends/contract.h"
#include "base/list.h"
#include "core/wait.h"

struct worker;
struct task;

enum fd_direction { FD_READ = 0, FD_WRITE = 1 };

/* What kind of file a number was when weft first met it. */
enum fd_kind {
    FD_UNKNOWN = 0,
    FD_STREAM,   /* SOCK_STREAM */
    FD_SOCKET,   /* any other socket */
    FD_PIPE,     /* pipe, FIFO or tty */
    FD_OTHER,    /* pollable: eventfd, timerfd, ... */
    FD_FILE,     /* always ready: regular files, directories, what the kernel cannot poll */
};

struct fd_slot {
    struct list waiters[2];   /* readiness waiters (wait_fd, select) and the transfer at its head,
                                 by direction; empty lists are opened when the slot is first met */
    struct list transfers[2]; /* read-like and write-like calls queued behind the one in progress */
    uint32_t generation;
    uint8_t kind;      /* enum fd_kind */
    uint8_t armed;     /* WEFT_IO_* bits registered with the backend */
    uint8_t seen;      /* WEFT_IO_* bits found ready with nobody waiting */
    uint8_t drained;   /* bit per direction: the last transfer was short or got EAGAIN */
    uint8_t busy;      /* bit per direction: a transfer is in progress */
    uint8_t is_closing;
    uint8_t is_nonblocking; /* weft opened it, or it was O_NONBLOCK when adopted */
    dev_t device;      /* identity when adopted */
    ino_t inode;
};

struct fdtable {
    struct fd_slot **pages; /* of FD_PAGE slots each; grows, pages never move */
    size_t page_count;
};

void weft__fds_open(struct fdtable *table);
void weft__fds_close(struct fdtable *table);

/* Delivers what poll() found: wakes waiters, or disarms and remembers. */
void weft__fds_deliver(struct worker *worker, const struct weft_event *events, int count);

/* ---- for select ---- */

/* Ready at entry? 1 (and the seen bit is cleared if `take`), 0, or -EBADF, -ENOMEM. */
int weft__fd_is_ready(struct worker *worker, int fd, enum fd_direction direction, bool take);

/* One poll(2) without time-out over the descriptor cases of a select: marks what is ready as seen. */
void weft__fds_probe(struct worker *worker, const struct weft_case *cases, size_t count);

/* Puts a select's waiter into the queue and arms: 0, or a negative errno with nothing changed;
 * 1 if the kernel cannot watch it: it is always ready. */
int weft__fd_enlist(struct worker *worker, int fd, enum fd_direction direction, struct waiter *waiter);

/* Takes a linked waiter out of its queue. */
void weft__fd_withdraw(struct worker *worker, struct waiter *waiter);

/* Tells a task that waits for a descriptor which one, for reports. */
int weft__fd_of_wait(const struct task *task);

#endif
