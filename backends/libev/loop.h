/* SPDX-License-Identifier: MIT */
/* What the two modes of the backend share: the loop's state, and what host mode does to it. */
#ifndef WEFT_BACKENDS_LIBEV_LOOP_H
#define WEFT_BACKENDS_LIBEV_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/contract.h"
#include "backends/libev/library.h"
#include "backends/linux.h"
#include "base/list.h"
#include "base/table.h"

#define NEVER WEFT_POLL_FOREVER

/* What is armed for one descriptor number. Invariant: the watcher is active, or libev has just
 * stopped it by itself, if and only if interest is not 0. */
struct slot {
    ev_io watch;
    uint64_t token;
    unsigned interest; /* WEFT_IO_READ | WEFT_IO_WRITE; 0: not armed */
    unsigned found;    /* by pass `pass` */
    unsigned pass;
    bool is_admitted;             /* the kernel took this number since it was last forgotten */
    struct list_node found_link;  /* in `fresh` or `found` */
    struct list_node change_link; /* in `changed` */
};

/* Our part of a host's loop. */
struct host_side {
    struct weft_host *host; /* NULL: the native loop is ours, and nothing below is used */
    ev_timer soon_watch;    /* the next pass does not sleep, and has a turn */
    ev_prepare turn_watch;  /* never started; fed, it runs after all else of this pass */
    int64_t deadline_ns;    /* as scheduled; NEVER */
    bool holds_loop;        /* keeps the loop alive for the deadline */
};

struct loop {
    struct ev_loop *native;
    int probe_fd; /* an epoll instance that watches nothing */
    int wake_fd;
    int alarm_fd;
    ev_io wake_watch;
    ev_io alarm_watch;
    ev_prepare pass_watch; /* a pass begins */
    ev_fork rebuild_watch; /* libev is about to tell a new epoll instance all it knows */
    int64_t slack_ns;      /* of the thread: linux_alarm_ns() */
    int64_t alarm_ns;      /* what the alarm is set to; NEVER: not set */
    bool alarm_has_fired;  /* and is readable until it is set anew */
    int room;              /* descriptor numbers below it need no more memory in libev */
    unsigned pass;         /* counts passes: what an older one found may not be true any more */
    struct list changed;   /* armed since the last pass: libev has not told the kernel yet */
    struct list fresh;     /* found since the last poll, the newest first */
    struct list found;     /* in order; what did not fit keeps its place for later polls */
    struct table slots;    /* struct slot, by descriptor number */
    struct host_side side;
};

/* Makes everything that is ours; the native loop is not touched. On error nothing is left. */
int weft__libev_prepare(struct loop *self);

/* Starts our own watchers in the native loop, and stops all. */
void weft__libev_enter(struct loop *self);
void weft__libev_leave(struct loop *self);

/* An alarm that is earlier stays: a deadline that moves on and on costs no system call. */
void weft__libev_alarm(struct loop *self, int64_t deadline_ns, int64_t now_ns);

/* CLOCK_MONOTONIC in ns. */
int64_t weft__libev_now(void *state);

/* ---- host mode (host.c) ---- */

int weft__libev_attach(void *state, void *native, struct weft_host *host);
void weft__libev_detach(struct loop *self);
void weft__libev_schedule(void *state, int64_t deadline_ns);

/* Something was recorded, or a wake-up came: a turn at the end of this pass. */
void weft__libev_turn(struct loop *self);

/* The alarm fired: a turn if it is time. */
void weft__libev_alarmed(struct loop *self);

#endif
