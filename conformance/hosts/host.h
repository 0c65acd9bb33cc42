/* SPDX-License-Identifier: MIT */
/*
 * A host program's event loop, as the tests of host mode drive it: one adapter per native library,
 * written in that library's own callback style; the build links the one that fits the backend.
 *
 * The adapters stand for what users have already: they know nothing of weft but weft_attach().
 */
#ifndef WEFT_CONFORMANCE_HOSTS_HOST_H
#define WEFT_CONFORMANCE_HOSTS_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <weft/host.h>

struct host_timer;
struct host_watch;

struct host_adapter {
    const char *name; /* "libuv", ..., or "poll" for a loop that knows a descriptor only */

    /* A new native loop (with a fresh state of its own), or NULL. */
    void *(*open)(void);
    /* Ends it; false if something was still registered that the loop minds. */
    bool (*close)(void *loop);

    /* weft_attach() and weft_detach_loop(), with what this kind of loop needs besides. */
    int (*attach)(void *loop, struct weft_runtime **ret, const struct weft_config *config);
    int (*detach)(void *loop, struct weft_runtime *runtime);

    void (*run)(void *loop);        /* until stop(), or until nothing keeps it alive */
    void (*run_once)(void *loop);   /* one pass, which may sleep */
    void (*run_nowait)(void *loop); /* one pass, which does not */
    void (*stop)(void *loop);       /* from a callback: run() returns after this pass */

    /* The host's own one-shot timer, in ms; freed after it fired, or by timer_stop() before. */
    struct host_timer *(*timer_start)(void *loop, int delay_ms, void (*fn)(void *arg), void *arg);
    void (*timer_stop)(struct host_timer *timer);

    /* The host's own watcher: fn(arg) while `fd` is readable, until watch_stop(), which frees. */
    struct host_watch *(*watch_start)(void *loop, int fd, void (*fn)(void *arg), void *arg);
    void (*watch_stop)(struct host_watch *watch);
};

extern const struct host_adapter host_adapter;

/* attach() and detach() of a library's own loop, in which weft needs nothing from its host. */
static inline int host_attach_native(void *loop,
                                     struct weft_runtime **ret,
                                     const struct weft_config *config)
{
    return weft_attach(ret, config, loop);
}

static inline int host_detach_native(void *loop, struct weft_runtime *runtime)
{
    (void)loop;
    return weft_detach_loop(runtime);
}

#endif
