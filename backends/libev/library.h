/* SPDX-License-Identifier: MIT */
/*
 * libev's functions, as far as they are used here: `weft__ev.run()` is ev_run().
 *
 * The library is opened instead of linked: its names for libevent's functions stay out of the
 * program's, and the libev of a host program is the same one.
 */
#ifndef WEFT_BACKENDS_LIBEV_LIBRARY_H
#define WEFT_BACKENDS_LIBEV_LIBRARY_H

#include <ev.h>

struct library {
    __typeof__(ev_version_major) *version_major;
    __typeof__(ev_version_minor) *version_minor;
    __typeof__(ev_set_syserr_cb) *set_syserr_cb;
    __typeof__(ev_loop_new) *loop_new;
    __typeof__(ev_loop_destroy) *loop_destroy;
    __typeof__(ev_run) *run;
    __typeof__(ev_ref) *ref;
    __typeof__(ev_unref) *unref;
    __typeof__(ev_feed_event) *feed_event;
    __typeof__(ev_clear_pending) *clear_pending;
    __typeof__(ev_io_start) *io_start;
    __typeof__(ev_io_stop) *io_stop;
    __typeof__(ev_timer_start) *timer_start;
    __typeof__(ev_timer_stop) *timer_stop;
    __typeof__(ev_prepare_start) *prepare_start;
    __typeof__(ev_prepare_stop) *prepare_stop;
    __typeof__(ev_fork_start) *fork_start;
    __typeof__(ev_fork_stop) *fork_stop;
};

/* Filled in by weft__libev_open(). */
extern struct library weft__ev;

/* Opens the library, once in a process. -ELIBACC: it is not there, or is another one; -EMFILE,
 * -ENFILE: no descriptor for it. */
int weft__libev_open(void);

/* "libev 4.33", of what runs. */
const char *weft__libev_name(void);

/* 0, or the negative errno that a pass of this thread met since the last call. */
int weft__libev_error(void);

#endif
