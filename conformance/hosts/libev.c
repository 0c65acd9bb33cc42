/* SPDX-License-Identifier: MIT */
/* A host on libev: a loop of its own, an ev_timer and an ev_io per timer and watch of the tests. */
#include <ev.h>
#include <stdlib.h>

#include "conformance/hosts/host.h"

struct host_timer {
    ev_timer native;
    struct ev_loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

struct host_watch {
    ev_io native;
    struct ev_loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

static void *loop_open(void)
{
    return ev_loop_new(EVFLAG_AUTO);
}

/* What is still started would be lost, and what still holds a reference would keep a loop alive
 * for ever: neither may be left. */
static bool loop_close(void *native)
{
    struct ev_loop *loop = native;
    bool is_clean = ev_run(loop, EVRUN_NOWAIT) == 0;
    ev_loop_destroy(loop);
    return is_clean;
}

static void loop_run(void *native)
{
    ev_run(native, 0);
}

static void loop_run_once(void *native)
{
    ev_run(native, EVRUN_ONCE);
}

static void loop_run_nowait(void *native)
{
    ev_run(native, EVRUN_NOWAIT);
}

static void loop_stop(void *native)
{
    ev_break(native, EVBREAK_ONE);
}

static void on_timer(struct ev_loop *loop, ev_timer *native, int events)
{
    (void)loop;
    (void)events;
    struct host_timer *timer = (struct host_timer *)native;
    timer->fn(timer->arg);
    free(timer);
}

static struct host_timer *timer_start(void *native, int delay_ms, void (*fn)(void *arg), void *arg)
{
    struct host_timer *timer = calloc(1, sizeof *timer);
    if (!timer) return NULL;
    timer->loop = native;
    timer->fn = fn;
    timer->arg = arg;
    ev_now_update(native); /* or the time that has passed since the last pass would not count */
    ev_timer_init(&timer->native, on_timer, delay_ms / 1000., 0.);
    ev_timer_start(native, &timer->native);
    return timer;
}

static void timer_stop(struct host_timer *timer)
{
    ev_timer_stop(timer->loop, &timer->native);
    free(timer);
}

static void on_watch(struct ev_loop *loop, ev_io *native, int events)
{
    (void)loop;
    (void)events;
    struct host_watch *watch = (struct host_watch *)native;
    watch->fn(watch->arg);
}

static struct host_watch *watch_start(void *native, int fd, void (*fn)(void *arg), void *arg)
{
    struct host_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    watch->loop = native;
    watch->fn = fn;
    watch->arg = arg;
    ev_io_init(&watch->native, on_watch, fd, EV_READ);
    ev_io_start(native, &watch->native);
    return watch;
}

static void watch_stop(struct host_watch *watch)
{
    ev_io_stop(watch->loop, &watch->native);
    free(watch);
}

const struct host_adapter host_adapter = {
    .name = "libev",
    .open = loop_open,
    .close = loop_close,
    .attach = host_attach_native,
    .detach = host_detach_native,
    .run = loop_run,
    .run_once = loop_run_once,
    .run_nowait = loop_run_nowait,
    .stop = loop_stop,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .watch_start = watch_start,
    .watch_stop = watch_stop,
};
