/* SPDX-License-Identifier: MIT */
/*
 * A host on libuv: a uv_loop_t with the host's own uv_timer_t and uv_poll_t in it.
 */
#include <stdlib.h>
#include <uv.h>

#include "conformance/hosts/host.h"

struct host_timer {
    uv_timer_t handle;
    void (*fn)(void *arg);
    void *arg;
};

struct host_watch {
    uv_poll_t handle;
    void (*fn)(void *arg);
    void *arg;
};

static void *loop_open(void)
{
    uv_loop_t *loop = malloc(sizeof *loop);
    if (!loop) return NULL;
    if (uv_loop_init(loop) == 0) return loop;
    free(loop);
    return NULL;
}

/* Handles that are closing already need one pass more; any other makes the loop busy. */
static bool loop_close(void *native)
{
    uv_loop_t *loop = native;
    (void)uv_run(loop, UV_RUN_NOWAIT);
    bool is_clean = uv_loop_close(loop) == 0;
    free(loop);
    return is_clean;
}

static void loop_run(void *native)
{
    (void)uv_run(native, UV_RUN_DEFAULT);
}

static void loop_run_once(void *native)
{
    (void)uv_run(native, UV_RUN_ONCE);
}

static void loop_stop(void *native)
{
    uv_stop(native);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle); /* the first member of a timer or a watch */
}

static void on_idle(uv_idle_t *handle)
{
    uv_close((uv_handle_t *)handle, on_closed);
}

/* Libuv makes no pass in a loop that nothing keeps alive, hence something that does. */
static void loop_run_nowait(void *native)
{
    uv_idle_t *idle = malloc(sizeof *idle);
    if (!idle) return;
    (void)uv_idle_init(native, idle);
    (void)uv_idle_start(idle, on_idle);
    (void)uv_run(native, UV_RUN_NOWAIT);
}

static void timer_stop(struct host_timer *timer)
{
    uv_close((uv_handle_t *)&timer->handle, on_closed);
}

static void on_timer(uv_timer_t *handle)
{
    struct host_timer *timer = (struct host_timer *)handle;
    timer->fn(timer->arg);
    timer_stop(timer);
}

static struct host_timer *timer_start(void *native, int delay_ms, void (*fn)(void *arg), void *arg)
{
    struct host_timer *timer = malloc(sizeof *timer);
    if (!timer) return NULL;
    timer->fn = fn;
    timer->arg = arg;
    uv_update_time(native); /* the loop's clock is as old as its last pass */
    (void)uv_timer_init(native, &timer->handle);
    (void)uv_timer_start(&timer->handle, on_timer, (uint64_t)delay_ms + 1, 0);
    return timer;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct host_watch *watch = (struct host_watch *)handle;
    (void)status;
    (void)events;
    watch->fn(watch->arg);
}

static struct host_watch *watch_start(void *native, int fd, void (*fn)(void *arg), void *arg)
{
    struct host_watch *watch = malloc(sizeof *watch);
    if (!watch) return NULL;
    watch->fn = fn;
    watch->arg = arg;
    if (uv_poll_init(native, &watch->handle, fd) == 0) {
        (void)uv_poll_start(&watch->handle, UV_READABLE, on_readable);
        return watch;
    }
    free(watch);
    return NULL;
}

static void watch_stop(struct host_watch *watch)
{
    uv_close((uv_handle_t *)&watch->handle, on_closed);
}

const struct host_adapter host_adapter = {
    .name = "libuv",
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
