/* SPDX-License-Identifier: MIT */
/* A program that passes lines through a socket pair with libuv's streams, and has a timer. */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tests/links/use.h"

static uv_pipe_t ends[2];
static uv_timer_t timer;
static size_t received;
static int ticks;

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    static char room[256];
    (void)handle;
    *ret = uv_buf_init(room, size < sizeof room ? (unsigned)size : sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    (void)stream;
    (void)buffer;
    if (size > 0) received += (size_t)size;
    if (received < 15) return;
    uv_close((uv_handle_t *)&ends[0], NULL);
    uv_close((uv_handle_t *)&ends[1], NULL);
}

static void on_tick(uv_timer_t *handle)
{
    char text[] = "hello";
    uv_buf_t buffer = uv_buf_init(text, 5);
    (void)uv_try_write((uv_stream_t *)&ends[1], &buffer, 1);
    if (++ticks == 3) uv_close((uv_handle_t *)handle, NULL);
}

int use_loop(void)
{
    uv_loop_t loop;
    uv_os_sock_t fds[2];
    received = 0;
    ticks = 0;
    if (uv_loop_init(&loop) < 0) return 1;
    if (uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE) < 0) return 2;
    for (int i = 0; i < 2; i++) {
        if (uv_pipe_init(&loop, &ends[i], 0) < 0 || uv_pipe_open(&ends[i], fds[i]) < 0) return 3;
    }
    if (uv_read_start((uv_stream_t *)&ends[0], on_room, on_read) < 0) return 4;
    if (uv_timer_init(&loop, &timer) < 0 || uv_timer_start(&timer, on_tick, 1, 1) < 0) return 5;
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) < 0) return 6;
    return received == 15 && ticks == 3 ? 0 : 7;
}
