/* SPDX-License-Identifier: MIT */
/*
 * What the files of the libevent backend share: the state, and what one calls of the other.
 * Included by no other folder.
 */
#ifndef WEFT_BACKENDS_LIBEVENT_H
#define WEFT_BACKENDS_LIBEVENT_H

#include <event2/event.h>
#include <event2/event_struct.h> /* events lie in our own memory, none is allocated */
#include <stdbool.h>
#include <stdint.h>

#include "backends/contract.h"
#include "backends/linux.h"
#include "base/list.h"
#include "base/table.h"

/* What is armed for one descriptor number. The event is added if and only if interest is not 0. */
struct slot {
    struct event event; /* persistent; its argument is the slot */
    struct loop *loop;
    uint64_t token;
    uint64_t found_pass;         /* the pass that `found` is from */
    struct list_node found_link; /* in loop.found */
    uint8_t interest;            /* WEFT_IO_READ | WEFT_IO_WRITE; 0: not armed */
    uint8_t found;
};

/* Host mode; all zero in a loop of our own. */
struct hosted {
    struct weft_host *host;
    struct event turn;   /* only ever activated: runs behind all that the pass has found */
    struct event alarm;  /* a deadline as libevent counts, which keeps the host's loop alive */
    int64_t deadline_ns; /* as scheduled */
    bool is_turn_due;    /* in this pass; `turn` is active */
};

struct loop {
    struct event_base *base;
    struct event wake_event, timer_event;
    int wake_fd;       /* eventfd */
    int timer_fd;      /* timerfd on CLOCK_MONOTONIC: libevent's own timers are milliseconds late */
    int epoll_fd;      /* libevent's own, which it does not tell; -1 if it waits by other means */
    int probe_fd;      /* epoll_fd, or an instance of ours that only answers what can be armed */
    bool haunted;      /* a registration may be left that no number leads to any more */
    int64_t slack_ns;  /* of the thread: linux_alarm_ns() */
    int64_t timer_ns;  /* when timer_fd fires, or fired; INT64_MAX: not armed */
    bool is_ringing;   /* it fired, and is readable until it is armed anew */
    uint64_t pass;     /* counts passes of libevent's loop in which something is recorded */
    struct list found; /* slots with something to report, in the order in which it is due */
    struct table slots; /* struct slot, by descriptor number */
    struct hosted hosted;
};

/* ---- base.c: what open and attach have in common ---- */

/* Everything that is not the base's. */
int weft__libevent_prepare(struct loop *self);
int weft__libevent_open_base(struct event_base **ret);
/* Watches what wakes us; `flags` are set in both events beforehand. */
int weft__libevent_watch_own(struct loop *self, short flags);
/* Of a loop that may be half open; leaves the base alone. */
void weft__libevent_leave_base(struct loop *self);

/* ---- libevent.c ---- */

void weft__libevent_wake(void *state);
int64_t weft__libevent_now_ns(void *state);
/* Gives back a slot's event. True if it was armed, and its number stands for the same file yet. */
bool weft__libevent_stop(struct loop *self, struct slot *slot);
/* An alarm that is armed for earlier stays; INT64_MAX: no alarm. */
void weft__libevent_arm_timer(struct loop *self, int64_t deadline_ns, int64_t now_ns);

/* ---- host.c ---- */

int weft__libevent_attach(void *state, void *native, struct weft_host *host);
void weft__libevent_schedule(void *state, int64_t deadline_ns);
/* Something is recorded, or to be done: a turn at the end of this pass. */
void weft__libevent_ask_turn(struct loop *self);
/* The alarm was armed for this or an earlier deadline. */
void weft__libevent_check_deadline(struct loop *self);
void weft__libevent_leave_host(struct loop *self);
void weft__libevent_host_after_fork(struct loop *self);

/* ---- kernel.c ---- */

/* The epoll instance that has `wake_fd` registered, by trying numbers; -1: none. */
int weft__libevent_find_epoll(int wake_fd);

/* 0: `fd` can be registered with the instance, and is not; -EEXIST: it is, and the number still
 * stands for the same file; else what the kernel says against it. */
int weft__libevent_probe(int epoll_fd, int fd);

/* Gives `epoll_fd` a new instance with what the base has added, and without ghosts. */
int weft__libevent_rebuild(struct event_base *base, int epoll_fd);

#endif
