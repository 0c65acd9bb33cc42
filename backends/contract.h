/* SPDX-License-Identifier: MIT */
/*
 * What the core asks of an event loop: one constant of struct weft_backend.
 *
 * A backend turns "tell me when" into "it happened". It never runs a task, keeps no timers for
 * anybody, and calls into the core from one place only (host mode's `turn`). Every clause marked
 * [C-n] has a test of that number in conformance/contract/.
 */
#ifndef WEFT_BACKENDS_CONTRACT_H
#define WEFT_BACKENDS_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a descriptor is watched for, and what was found. */
enum {
    WEFT_IO_READ = 1 << 0,   /* a read would not block: data, end of file, or an error */
    WEFT_IO_WRITE = 1 << 1,  /* a write would not block: space, or an error */
    WEFT_IO_HANGUP = 1 << 2, /* found only: HUP or ERR, which no interest can mask; always reported
                                together with both directions. A loop that does not tell them from
                                readiness (facts.tells_hangup) reports all armed directions. */
};

#define WEFT_POLL_FOREVER INT64_MAX

/* One descriptor that poll() found ready. */
struct weft_event {
    uint64_t token; /* as given to arm() */
    unsigned found; /* WEFT_IO_* bits; a subset of the interest, plus HANGUP with both */
};

/* What a backend says about itself. Strings live as long as the process. */
struct weft_backend_facts {
    const char *library;         /* "libev 4.33", or "Linux" where there is none */
    int64_t timer_resolution_ns; /* what poll() rounds its time-out up to */
    bool tells_hangup;           /* HUP and ERR are reported as WEFT_IO_HANGUP */
};

/* Host mode: how a backend that lives in a host's loop runs the core's turn. [C-16] */
struct weft_host {
    /* Takes what was found with poll(0), works it off for at most its budget, and ends with a call
     * of schedule(). From the loop's thread, on the host's stack, at most once in a pass, never
     * from within another function of the backend. */
    void (*turn)(struct weft_host *host);
};

/*
 * All functions run on the thread that called open(), except wake(). They return 0 (poll: a
 * count) or a negative errno, never print, never end the process, and leave its signals and its
 * children alone. Optional members are NULL in a backend that has no such thing; all others are
 * set. [C-1]
 */
struct weft_backend {
    const char *name;  /* as in -Dbackend=..., in test names and in reports */
    size_t state_size; /* bytes of zeroed memory that the core allocates for `state` */

    /* Acquires everything; all descriptors close-on-exec. On error nothing is left. [C-2] */
    int (*open)(void *state);

    /* Releases everything, whatever is still armed. [C-3] */
    void (*close)(void *state);

    /*
     * Sets the interest of `fd` to `interest` (READ, WRITE or both) under `token`, replacing what
     * was armed for it. Level-triggered: every poll() reports what is ready while it stays armed.
     * [C-4] Takes effect at the next poll() without any further call. [C-5]
     * -EPERM: the kernel cannot wait for this kind of file (it is always ready). -EBADF: not open.
     * -ENOMEM, -ENOSPC: no room. On error nothing is armed for `fd`. [C-6]
     * A number that was closed and opened again behind the backend's back is armed as new, also
     * under the same token, and hears nothing of what the number stood for before. [C-7]
     */
    int (*arm)(void *state, int fd, unsigned interest, uint64_t token);

    /* Stops watching `fd`; its token is never reported again. Not armed: no effect. [C-8] */
    void (*disarm)(void *state, int fd);

    /* As disarm, for an fd that is about to be closed: nothing of it is left in the kernel,
     * also when a duplicate of it lives on elsewhere. [C-9] */
    void (*forget)(void *state, int fd);

    /*
     * Sleeps until an armed descriptor is ready, wake() was called, or `timeout_ns` passed
     * (rounded up, never down); 0 only looks; WEFT_POLL_FOREVER has no limit. Writes at most
     * `capacity` (1 or more) events, each token once, and returns how many; a wake is no event.
     * [C-10] What did not fit is reported by later polls, and none is starved. [C-11]
     * A signal is not an error: it returns 0. Any poll may return 0 early once in a while, but
     * never again and again without sleeping. [C-12]
     */
    int (*poll)(void *state, int64_t timeout_ns, struct weft_event *events, int capacity);

    /* Makes the current or the next poll() return. Any thread, any signal handler; many wakes
     * before a poll are one. It never blocks and keeps errno. [C-13] */
    void (*wake)(void *state);

    /* CLOCK_MONOTONIC in ns, read now: never cached, never going back. [C-14] */
    int64_t (*now_ns)(void *state);

    /* The native loop: uv_loop_t *, struct ev_loop *, struct event_base *; NULL where there is
     * none. */
    void *(*native)(void *state);

    /* A descriptor that polls readable when poll(0) would find something; -ENOSYS if the loop
     * has none. [C-18] */
    int (*native_fd)(void *state);

    /* In a forked child, instead of close(): releases the child's copies without touching what
     * the parent's loop has registered. [C-15] */
    void (*after_fork)(void *state);

    /*
     * Optional, host mode: as open(), inside the caller's loop `native`; `host` is borrowed until
     * close(). From then on the host turns the loop: the backend's callbacks only record what
     * fired, and one hook of its own calls host->turn(host) in each pass in which something was
     * recorded, wake() was called, or the scheduled deadline passed. poll() is called from within
     * turn() only, with time-out 0, gives what was recorded, and turns nothing. close() may come
     * from a callback of the host; the loop, the host's own watchers and their data are as before,
     * and nothing of ours is called back afterwards (a loop that frees handles later may free ours
     * then). Several may be attached to one loop. [C-16]
     */
    int (*attach)(void *state, void *native, struct weft_host *host);

    /* Optional, host mode: asks for a turn at `deadline_ns` on now_ns()'s clock, never earlier, or
     * when something is found; past: in the next pass, which does not sleep. INT64_MAX: only when
     * something is found. Replaces any earlier request. The host's loop is kept alive by a deadline
     * and by armed descriptors, not by our being attached. Not from other threads. [C-17] */
    void (*schedule)(void *state, int64_t deadline_ns);

    /* What this backend stands on; never fails. */
    struct weft_backend_facts (*facts)(void);
};

/* The one backend that this library holds; the build chooses which. */
extern const struct weft_backend weft__backend;

#endif
