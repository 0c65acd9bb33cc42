/* SPDX-License-Identifier: MIT */
/* A host on libevent: an event_base with timers and persistent read events of its own. */
#include <event2/event.h>
#include <stdlib.h>

#include "conformance/hosts/host.h"

struct host_timer {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

struct host_watch {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

static void *loop_open(void)
{
    return event_base_new();
}

static bool loop_close(void *loop)
{
    bool is_clean = event_base_get_num_events(loop, EVENT_BASE_COUNT_ADDED) == 0 &&
                    event_base_get_num_events(loop, EVENT_BASE_COUNT_ACTIVE) == 0;
    event_base_free(loop);
    return is_clean;
}

static void loop_run(void *loop)
{
    (void)event_base_dispatch(loop);
}

static void loop_run_once(void *loop)
{
    (void)event_base_loop(loop, EVLOOP_ONCE);
}

/* Also makes its pass in a loop that nothing keeps alive. */
static void loop_run_nowait(void *loop)
{
    (void)event_base_loop(loop, EVLOOP_ONCE | EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY);
}

static void loop_stop(void *loop)
{
    (void)event_base_loopexit(loop, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host_timer *timer = arg;
    timer->fn(timer->arg);
    event_free(timer->event);
    free(timer);
}

static struct host_timer *timer_start(void *loop, int delay_ms, void (*fn)(void *arg), void *arg)
{
    struct host_timer *timer = malloc(sizeof *timer);
    if (!timer) return NULL;
    *timer = (struct host_timer){evtimer_new(loop, on_timer, timer), fn, arg};
    struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    if (timer->event && event_add(timer->event, &delay) == 0) return timer;
    if (timer->event) event_free(timer->event);
    free(timer);
    return NULL;
}

static void timer_stop(struct host_timer *timer)
{
    event_free(timer->event);
    free(timer);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host_watch *watch = arg;
    watch->fn(watch->arg); /* may stop and free it */
}

static struct host_watch *watch_start(void *loop, int fd, void (*fn)(void *arg), void *arg)
{
    struct host_watch *watch = malloc(sizeof *watch);
    if (!watch) return NULL;
    *watch =
        (struct host_watch){event_new(loop, fd, EV_READ | EV_PERSIST, on_readable, watch), fn, arg};
    if (watch->event && event_add(watch->event, NULL) == 0) return watch;
    if (watch->event) event_free(watch->event);
    free(watch);
    return NULL;
}

static void watch_stop(struct host_watch *watch)
{
    event_free(watch->event);
    free(watch);
}

const struct host_adapter host_adapter = {
    .name = "libevent",
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
