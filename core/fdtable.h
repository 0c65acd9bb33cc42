/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of a worker: who waits for which, and what the backend watches.
 *
 * One slot per number, in pages that never move. Registration is lazy: a descriptor stays armed
 * after it fired, until a poll finds it ready with nobody waiting; then that direction is disarmed
 * and remembered as `seen`. The next wait on a seen direction returns at once and clears the bit.
 * The generation changes with every weft_close() and weft_release(), and when a number turns out
 * to have changed hands behind our back: an event of a former owner reaches nobody.
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
    FD_STREAM, /* SOCK_STREAM */
    FD_SOCKET, /* any other socket */
    FD_PIPE,   /* pipe or FIFO */
    FD_OTHER,  /* terminal, eventfd, timerfd, ...: its inode may be shared with others */
    FD_FILE,   /* always ready: regular files, directories, what the kernel cannot poll */
};

/* What accept() has to do about TCP_NODELAY, of a listener. */
enum fd_nodelay { NODELAY_UNKNOWN = 0, NODELAY_NONE, NODELAY_INHERITED, NODELAY_TO_SET };

struct fd_slot {
    struct list waiters[2];   /* by direction: who sleeps until it is ready */
    struct list transfers[2]; /* calls that transfer, queued behind the one that has the turn */
    uint64_t proven_turn;     /* the last turn in which the registration was known to work */
    dev_t device;             /* identity, with inode */
    ino_t inode;              /* 0: not looked at yet */
    uint32_t generation;
    uint8_t kind;    /* enum fd_kind */
    uint8_t armed;   /* WEFT_IO_* bits registered with the backend */
    uint8_t seen;    /* WEFT_IO_* bits found ready with nobody waiting */
    uint8_t busy;    /* WEFT_IO_* bits: a transfer has the turn, and may sleep */
    uint8_t woken;   /* WEFT_IO_* bits: a task was woken for it, and has not run since */
    uint8_t nodelay; /* enum fd_nodelay */
    bool is_drained; /* the last read of a stream got less than it asked for */
};

#define FD_PAGE 256 /* slots per page */

struct fdtable {
    struct fd_slot **pages; /* NULL where no number was ever met */
    size_t page_count;
};

/* The bit of a direction; WEFT_READABLE and WEFT_WRITABLE, too. */
static inline unsigned fd_bit(enum fd_direction direction)
{
    return 1u << direction;
}

/* NULL: no number of this page was ever met. */
static inline struct fd_slot *fd_slot_find(const struct fdtable *table, int fd)
{
    size_t index = (size_t)(unsigned)fd / FD_PAGE;
    if (index >= table->page_count || !table->pages[index]) return NULL;
    return &table->pages[index][(unsigned)fd % FD_PAGE];
}

void weft__fds_open(struct fdtable *table);
void weft__fds_close(struct fdtable *table);

/* Delivers what poll() found: wakes waiters, or disarms and remembers. */
void weft__fds_deliver(struct worker *worker, const struct weft_event *events, int count);

/* The backend's state is new: arms what is waited for, and forgets the rest. */
void weft__fds_move(struct worker *worker);

/* Nobody waits for any descriptor: disarms those that still are. */
void weft__fds_rest(struct worker *worker);

/* ---- for the calls on descriptors ---- */

/* How a task sleeps in one list of a slot, or in both (object: its second waiter). */
extern const struct wait_kind weft__fd_wait;
extern const struct wait_kind weft__fd_wait_both;

/*
 * Whoever was woken by a descriptor and runs again says so, for the directions that it waited for.
 * The slot may be another file's by now, or another of its tasks may still have to run: then a
 * direction that is ready is taken for one that nobody waits for, which costs a registration and a
 * look, and loses nothing. So nobody needs to tell these cases apart.
 */
static inline void fd_resumed(struct fd_slot *slot, unsigned directions)
{
    slot->woken &= (uint8_t)~directions;
}

/* As weft__wait_for(), for a sleep in a list of descriptor `fd`. */
void weft__fd_wait_for(
    struct worker *worker, struct task *self, const struct wait_kind *kind, void *object, int fd);

/* How a task sleeps in the queue of transfers. */
extern const struct wait_kind weft__fd_queue_wait;

/*
 * Finds the slot, and looks whether the number still is the file that it was (one fstat); if not,
 * everybody who waits for the former one gets -EBADF. 0, or -EBADF, -ENOMEM.
 */
int weft__fd_meet(struct worker *worker, int fd, struct fd_slot **ret);

/* The number stands for another file from now on, or for none: whoever waits gets -EBADF, and
 * the backend forgets it. */
void weft__fd_reset(struct worker *worker, int fd, struct fd_slot *slot);

/* weft itself has just opened `fd`: whatever its number was before is history. */
void weft__fd_is_new(struct worker *worker, int fd, enum fd_kind kind);

/* Registers `interest` besides what is armed: 0, a negative errno, -EPERM if the kernel cannot
 * watch this file (which then is FD_FILE: always ready). */
int weft__fd_arm(struct worker *worker, int fd, struct fd_slot *slot, unsigned interest);

/* Which of WEFT_IO_READ and WEFT_IO_WRITE poll(2) finds now; or -EBADF. */
int weft__fd_look(int fd, unsigned interest);

/* ---- for select ---- */

/* Ready at entry? 1 (and the seen bit is cleared if `take`), 0, or -EBADF, -ENOMEM. */
int weft__fd_is_ready(struct worker *worker, int fd, enum fd_direction direction, bool take);

/* Looks, without waiting, at the descriptor cases of a select: sets their seen bits. */
void weft__fds_probe(struct worker *worker, const struct weft_case *cases, size_t count);

/* Puts a select's waiter into the queue and arms: 0, or a negative errno with nothing changed;
 * 1 if the kernel cannot watch it: it is always ready. weft__fd_is_ready() came before. */
int weft__fd_enlist(struct worker *worker,
                    int fd,
                    enum fd_direction direction,
                    struct waiter *waiter);

/* As fd_resumed(), for the descriptor of a select's winner. */
void weft__fd_resumed(struct worker *worker, int fd, enum fd_direction direction);

/* Takes a linked waiter out of its queue. */
void weft__fd_withdraw(struct worker *worker, struct waiter *waiter);

/* Tells a task that waits for a descriptor which one, for reports; -1 if it does not. */
int weft__fd_of_wait(const struct task *task);

#endif
