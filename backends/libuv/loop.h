/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the libuv backend share: the loop (libuv.c), its watches (watch.c), and how it
 * lives in a host's (host.c).
 */
#ifndef WEFT_BACKENDS_LIBUV_LOOP_H
#define WEFT_BACKENDS_LIBUV_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "backends/contract.h"
#include "backends/linux.h"
#include "base/list.h"
#include "base/table.h"

#define LOOP_NEVER INT64_MAX

/* Lives in memory of its own, because libuv gives handles back later than we close. */
struct loop {
    uv_loop_t *uv; /* &own, or the host's */
    uv_loop_t own;
    int wake_fd;
    int alarm_fd;     /* ends a sleep; libuv's timers count milliseconds, and may be early */
    int spare_fd;     /* what a handle that watches nothing stands for */
    int native_fd;    /* an epoll of libuv's alone, whose insides change; -1 until asked for */
    int room;         /* libuv's table of watchers has room for the numbers below */
    int handle_count; /* which libuv has not given back */
    int64_t slack_ns; /* of the thread: linux_alarm_ns() */
    int64_t alarm_ns; /* when the alarm rings, or rang; LOOP_NEVER: not at all */
    bool is_ringing;  /* the alarm rang: readable until it is set anew */
    bool is_woken;    /* wake() was called since the last poll, or the last turn */
    bool is_haunted;  /* a registration could not be deleted: there may be a ghost */
    uv_poll_t wake;   /* all handles have this loop as data */
    uv_poll_t alarm;
    struct table slots; /* struct watch *, by descriptor number; NULL: not armed */
    struct list unused; /* watches that stand for no descriptor */
    struct list unsure; /* armed, and libuv has not registered them yet, or has stopped them */
    struct list fired;  /* armed, and found ready since the last poll or before */

    /* In a host's loop only. */
    struct weft_host *host; /* NULL: in our own; borrowed until close */
    int64_t turn_ns;        /* when the next turn is due; LOOP_NEVER: when something is found */
    bool is_closed;         /* to be freed when the last handle is given back */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active: the next pass does not sleep */
};

static inline struct loop *loop_of(void *state)
{
    return *(struct loop **)state;
}

/* ---- libuv.c ---- */

/* A loop inside `uv`, which is the host's, or both NULL: with one of its own. -errno: nothing is
 * left, but for handles that the host's loop has not given back yet. */
int weft__libuv_open(struct loop **ret, uv_loop_t *uv, struct weft_host *host);

/* An alarm that rings earlier stays: it costs one pass in vain, while deadlines that move on and
 * on, such as the time-outs of a busy server, cost no system call. */
int weft__libuv_set_alarm(struct loop *self, int64_t deadline_ns, int64_t now_ns);

/* For each handle that was opened, and that libuv has given back; the last one frees the loop. */
void weft__libuv_count_handle(struct loop *self, uv_handle_t *handle);
void weft__libuv_uncount_handle(struct loop *self);

/* ---- watch.c ---- */

int weft__libuv_arm(void *state, int fd, unsigned interest, uint64_t token);
void weft__libuv_disarm(void *state, int fd);

/* False if libuv might find no memory to grow its table of watchers up to `fd`: it would end the
 * process. */
bool weft__libuv_has_room(struct loop *self, int fd);

/* To be called before each pass of libuv: all that it is going to register is still there. */
void weft__libuv_settle(struct loop *self);

/* Moves what was found into `events`, oldest first. */
int weft__libuv_collect(struct loop *self, struct weft_event *events, int capacity);

void weft__libuv_close_watches(struct loop *self);

/* Registers an epoll instance inside another. */
int weft__libuv_nest_epoll(int outer_fd, int inner_fd);

/* ---- ghosts.c ---- */

/* Puts a new instance with the same registrations, but for ghosts, at the number `epoll_fd`.
 * 0 or a negative errno, with the old one left as it was. */
int weft__libuv_renew_epoll(int epoll_fd);

/* ---- host.c ---- */

int weft__libuv_attach(void *state, void *native, struct weft_host *host);
void weft__libuv_schedule(void *state, int64_t deadline_ns);

#endif
