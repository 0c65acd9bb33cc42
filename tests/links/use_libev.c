/* SPDX-License-Identifier: MIT */
/* A program that reads a pipe with libev, which a timer of it writes to. */
#include <ev.h>
#include <unistd.h>

#include "tests/links/use.h"

static int fds[2];
static int received;

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    char bytes[16];
    (void)events;
    ssize_t size = read(watcher->fd, bytes, sizeof bytes);
    if (size > 0) received += (int)size;
    if (received >= 15) ev_io_stop(loop, watcher);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    static int ticks;
    (void)events;
    if (write(fds[1], "hello", 5) != 5 || ++ticks % 3 == 0) ev_timer_stop(loop, watcher);
}

int use_loop(void)
{
    ev_io io;
    ev_timer timer;
    received = 0;
    if (pipe(fds) < 0) return 1;
    struct ev_loop *loop = ev_loop_new(0);
    if (!loop) return 2;
    ev_io_init(&io, on_readable, fds[0], EV_READ);
    ev_timer_init(&timer, on_tick, 0.001, 0.001);
    ev_io_start(loop, &io);
    ev_timer_start(loop, &timer);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
    return received == 15 ? 0 : 3;
}
