/* SPDX-License-Identifier: MIT */
/*
 * What the files of the libevent backend share: the state, and libevent's epoll instance as the
 * kernel sees it. Included by no other folder.
 */
#ifndef WEFT_BACKENDS_LIBEVENT_H
#define WEFT_BACKENDS_LIBEVENT_H

#include <event2/event.h>
#include <event2/event_struct.h> /* events lie in our own memory, none is allocated */
#include <stdbool.h>
#include <stdint.h>

#include "backends/contract.h"
#include "base/list.h"
#include "base/table.h"

#define NS_PER_SEC INT64_C(1000000000)

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

struct loop {
    struct event_base *base;
    struct event wake_event, timer_event;
    int wake_fd;       /* eventfd */
    int timer_fd;      /* timerfd on CLOCK_MONOTONIC: libevent's own timers are milliseconds late */
    int epoll_fd;      /* libevent's own, which it does not tell; -1 if it waits by other means */
    int probe_fd;      /* epoll_fd, or an instance of ours that only answers what can be armed */
    bool haunted;      /* a registration may be left that no number leads to any more */
    int64_t timer_ns;  /* when timer_fd fires; INT64_MAX: not armed */
    uint64_t pass;     /* counts passes of libevent's loop in which something may be recorded */
    struct list found; /* slots with something to report, in the order in which it is due */
    struct table slots; /* struct slot, by descriptor number */
};

/* The epoll instance that has `wake_fd` registered, by trying numbers; -1: none. */
int weft__libevent_find_epoll(int wake_fd);

/* 0: `fd` can be registered with the instance, and is not; -EEXIST: it is, and the number still
 * stands for the same file; else what the kernel says against it. */
int weft__libevent_probe(int epoll_fd, int fd);

/* Gives `epoll_fd` a new instance with what the base has added, and without ghosts. */
int weft__libevent_rebuild(struct event_base *base, int epoll_fd);

#endif
