/* SPDX-License-Identifier: MIT */
/*
 * One call that transfers: read-like, write-like, accept, connect.
 *
 * Such calls take turns per descriptor and direction. A call that never sleeps needs no turn; one
 * that waits for readiness holds it (the slot's busy bit), later ones queue behind it, and when it
 * leaves the longest waiting one goes on. After weft_close() the generation differs: the turn and
 * the queue are gone.
 */
#ifndef WEFT_CORE_TRANSFER_H
#define WEFT_CORE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/fdtable.h"
#include "core/park.h"
#include "core/runtime.h"

struct transfer {
    struct worker *worker;
    struct task *self;
    struct fd_slot *slot;
    int fd;
    uint32_t generation;
    enum fd_direction direction;
    bool has_turn;
    bool never_sleeps; /* MSG_DONTWAIT: -EAGAIN instead */
    uint8_t futile;    /* wake-ups in a row after which there was nothing */
};

/* Tries without blocking the thread: a count, or a negative errno, -EAGAIN to wait for. */
typedef ssize_t (*transfer_fn)(struct transfer *transfer, void *arg);

int weft__transfer_join_slow(struct transfer *transfer);

/* Sleeps until the direction is ready: 0 to try again, or why not. */
int weft__transfer_wait(struct transfer *transfer);

void weft__transfer_pass_on(struct transfer *transfer);

/* Sleeps in the midst of a transfer, which is bound to its worker. */
int weft__transfer_pause(const struct transfer *transfer, int64_t duration_ns);

/* After a failure that may tell that the number has changed hands: true if it makes sense to try
 * again. */
bool weft__transfer_is_renewed(struct transfer *transfer, ssize_t error);

/* The entry of every such call: 0, -EPERM, -ECANCELED or -ETIMEDOUT. */
static inline int transfer_enter(struct transfer *transfer)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    transfer->worker = worker;
    transfer->self = worker->current;
    transfer->has_turn = false;
    transfer->never_sleeps = false;
    transfer->futile = 0;
    return weft__enter(worker, worker->current);
}

/* Finds the descriptor and waits for the turn: 0, or the error to return. */
static inline int transfer_join(struct transfer *transfer, int fd, enum fd_direction direction)
{
    struct fd_slot *slot = fd_slot_find(&transfer->worker->fds, fd);
    transfer->fd = fd;
    transfer->direction = direction;
    transfer->slot = slot;
    /* A file is asked without a safeguard: it must not have become a socket meanwhile. */
    bool is_known = slot && slot->kind != FD_UNKNOWN && slot->kind != FD_FILE;
    if (unlikely(!is_known || slot->busy & fd_bit(direction))) {
        return weft__transfer_join_slow(transfer);
    }
    transfer->generation = slot->generation;
    return 0;
}

/* Keeps others out until transfer_leave(), also while it does not sleep. */
static inline void transfer_hold(struct transfer *transfer)
{
    transfer->slot->busy |= (uint8_t)fd_bit(transfer->direction);
    transfer->has_turn = true;
}

static inline void transfer_leave(struct transfer *transfer)
{
    if (!transfer->has_turn) return;
    struct fd_slot *slot = transfer->slot;
    if (likely(slot->generation == transfer->generation &&
               list_is_empty(&slot->transfers[transfer->direction]))) {
        slot->busy &= (uint8_t)~fd_bit(transfer->direction);
        return;
    }
    weft__transfer_pass_on(transfer);
}

/* Tries, and waits, until something else than -EAGAIN comes out. */
static inline ssize_t transfer_run(struct transfer *transfer, transfer_fn attempt, void *arg)
{
    for (;;) {
        ssize_t result = attempt(transfer, arg);
        if (likely(result >= 0)) return result;
        if (likely(result == -EAGAIN)) {
            transfer->slot->seen &= (uint8_t)~fd_bit(transfer->direction);
            result = weft__transfer_wait(transfer);
            if (result < 0) return result;
        } else if (!weft__transfer_is_renewed(transfer, result)) {
            return result;
        }
    }
}

/* True if a read would only be told that there is nothing: the last one has taken everything. */
static inline bool transfer_waits_first(const struct transfer *transfer)
{
    const struct fd_slot *slot = transfer->slot;
    return slot->is_drained && !(slot->seen & WEFT_IO_READ) && !transfer->self->no_sleep &&
           !transfer->never_sleeps;
}

/* Notes what a read of at most `size` bytes tells about what is left. */
static inline void transfer_note_read(struct transfer *transfer, ssize_t count, size_t size)
{
    struct fd_slot *slot = transfer->slot;
    bool is_stream = slot->kind == FD_STREAM || slot->kind == FD_PIPE;
    slot->is_drained = is_stream && count > 0 && (size_t)count < size;
}

#endif
