/* SPDX-License-Identifier: MIT */
/*
 * Waiting for readiness: any number of tasks per descriptor, all of which wake.
 */
#include <errno.h>

#include <weft/fd.h>

#include "core/fdtable.h"
#include "core/park.h"
#include "core/runtime.h"

static int wait_both(struct worker *worker, struct task *self, int fd, struct fd_slot *slot);

_Static_assert((int)WEFT_READABLE == (int)WEFT_IO_READ, "one set of bits");
_Static_assert((int)WEFT_WRITABLE == (int)WEFT_IO_WRITE, "one set of bits");

int weft_wait_fd(int fd, int events)
{
    const unsigned both = WEFT_IO_READ | WEFT_IO_WRITE;
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current)) return weft__not_in_task();
    unsigned interest = (unsigned)events;
    if (unlikely(interest == 0 || (interest & ~both))) return -EINVAL;
    struct task *self = worker->current;
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;

    struct fd_slot *slot = NULL;
    result = weft__fd_meet(worker, fd, &slot);
    if (unlikely(result < 0)) return result;
    unsigned ready = slot->kind == FD_FILE ? interest : slot->seen & interest;
    if (ready) {
        slot->seen &= (uint8_t)~ready;
        return (int)ready;
    }
    if (unlikely(self->no_sleep)) {
        result = weft__fd_look(fd, interest);
        return result ? result : self->no_sleep;
    }
    result = weft__fd_arm(worker, fd, slot, interest);
    if (result == -EPERM) return events; /* always ready */
    if (unlikely(result < 0)) return result;

    slot->proven_turn = worker->turn;
    if (interest == both) return wait_both(worker, self, fd, slot);
    enum fd_direction direction = interest == WEFT_IO_READ ? FD_READ : FD_WRITE;
    weft__fd_wait_for(worker, self, &weft__fd_wait, slot, fd);
    list_push_back(&slot->waiters[direction], &self->wait.waiter.link);
    worker->fd_waiters++;
    result = weft__park_here(worker, self);
    fd_resumed(slot, interest);
    return result;
}

/* The second waiter lies in this frame, which stays while the task sleeps. */
static int wait_both(struct worker *worker, struct task *self, int fd, struct fd_slot *slot)
{
    struct waiter second = {.task = self};
    weft__fd_wait_for(worker, self, &weft__fd_wait_both, &second, fd);
    list_push_back(&slot->waiters[FD_READ], &self->wait.waiter.link);
    list_push_back(&slot->waiters[FD_WRITE], &second.link);
    worker->fd_waiters += 2;
    int result = weft__park_here(worker, self);
    fd_resumed(slot, WEFT_IO_READ | WEFT_IO_WRITE);
    __asm__ volatile("" : : "r"(&second) : "memory"); /* it is in use until here */
    return result;
}
