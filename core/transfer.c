/* SPDX-License-Identifier: MIT */
/*
 * Calls that transfer: taking turns, and waiting for readiness.
 *
 * These functions sleep in the middle of a call, so after each sleep they look again at what may
 * have changed: the worker, the generation of the descriptor, a cancellation.
 */
#include "core/transfer.h"

#include <errno.h>

#include <weft/time.h>

enum {
    FUTILE_MAX = 8, /* then readiness does not mean what it should: pause between two attempts */
};

#define PAUSE_NS WEFT_MSEC

/* After a sleep that gave `result`. */
static int wake_up(struct transfer *transfer, int result)
{
    transfer->worker = weft__worker();
    if (transfer->slot->generation != transfer->generation) {
        transfer->has_turn = false;
        return -EBADF;
    }
    return result < 0 ? result : 0;
}

int weft__transfer_join_slow(struct transfer *transfer)
{
    struct worker *worker = transfer->worker;
    struct task *self = transfer->self;
    /* Also before queueing: behind a call on a former file of this number one would wait long. */
    int result = weft__fd_meet(worker, transfer->fd, &transfer->slot);
    if (result < 0) return result;

    struct fd_slot *slot = transfer->slot;
    transfer->generation = slot->generation;
    if (!(slot->busy & fd_bit(transfer->direction))) return 0;
    if (transfer->never_sleeps) return -EAGAIN;
    if (self->no_sleep) return self->no_sleep;

    weft__fd_wait_for(worker, self, &weft__fd_queue_wait, slot, transfer->fd);
    list_push_back(&slot->transfers[transfer->direction], &self->wait.waiter.link);
    result = wake_up(transfer, weft__park_here(worker, self));
    transfer->has_turn = result == 0; /* it was passed on by who left */
    return result;
}

void weft__transfer_pass_on(struct transfer *transfer)
{
    struct fd_slot *slot = transfer->slot;
    transfer->has_turn = false;
    if (slot->generation != transfer->generation) return;

    struct list *queue = &slot->transfers[transfer->direction];
    struct waiter *next = waiter_of_link(list_pop_front(queue));
    weft__wake_queued(next->task, 0);
}

/* Follows the number to the file that it stands for now. */
static void renew(struct transfer *transfer)
{
    if (transfer->slot->generation == transfer->generation) return;
    transfer->generation = transfer->slot->generation;
    transfer->has_turn = false;
}

int weft__transfer_pause(const struct transfer *transfer, int64_t duration_ns)
{
    struct task *self = transfer->self;
    task_set_flag(self, TASK_STAYS);
    int result = weft_sleep(duration_ns);
    task_clear_flag(self, TASK_STAYS);
    return result;
}

int weft__transfer_wait(struct transfer *transfer)
{
    struct worker *worker = transfer->worker;
    struct task *self = transfer->self;
    struct fd_slot *slot = transfer->slot;
    if (transfer->never_sleeps) return -EAGAIN;
    if (self->interrupt) return self->interrupt; /* cancelled after it was woken */
    if (self->no_sleep) return self->no_sleep;
    if (++transfer->futile > FUTILE_MAX) {
        transfer->futile = FUTILE_MAX;
        return wake_up(transfer, weft__transfer_pause(transfer, PAUSE_NS));
    }

    unsigned bit = fd_bit(transfer->direction);
    if (slot->armed & bit && slot->proven_turn != worker->turn) {
        int result = weft__fd_meet(worker, transfer->fd, &slot);
        if (result < 0) return result;
        if (slot->kind != FD_OTHER) slot->proven_turn = worker->turn;
        renew(transfer);
    }
    int result = weft__fd_arm(worker, transfer->fd, slot, bit);
    if (result == -EPERM)
        return wake_up(transfer, weft__transfer_pause(transfer, PAUSE_NS)); /* cannot be watched */
    if (result < 0) return result;

    transfer_hold(transfer);
    weft__fd_wait_for(worker, self, &weft__fd_wait, slot, transfer->fd);
    list_push_back(&slot->waiters[transfer->direction], &self->wait.waiter.link);
    worker->fd_waiters++;
    result = wake_up(transfer, weft__park_here(worker, self));
    fd_resumed(slot, bit);
    if (result < 0) return result;
    slot->proven_turn = transfer->worker->turn; /* by what woke it */
    if (transfer->direction == FD_READ) slot->is_drained = false;
    return 0;
}

bool weft__transfer_is_renewed(struct transfer *transfer, ssize_t error)
{
    struct fd_slot *slot = transfer->slot;
    if (error == -EBADF) {
        weft__fd_reset(transfer->worker, transfer->fd, slot);
        return false;
    }
    if (error != -ENOTSOCK) return false;

    unsigned kind = slot->kind;
    if (weft__fd_meet(transfer->worker, transfer->fd, &transfer->slot) < 0) return false;
    renew(transfer);
    return transfer->slot->kind != kind;
}
