/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on libuv's streams: uv_read_start and uv_try_write, and uv_write for what
 * did not fit. This is how most libuv servers are written.
 */
#include <uv.h>

#include "bench/peers/plain/plain.h"

struct rest {
    uv_write_t write;
    char data[];
};

static char buffer[PLAIN_BUFFER]; /* of whoever reads: it is sent before the next one reads */

static void on_closed(uv_handle_t *handle)
{
    uv_loop_t *loop = handle->loop;
    free(handle);
    if (--plain_open_count == 0 && plain_is_once) uv_stop(loop);
}

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    (void)handle;
    (void)size;
    *ret = uv_buf_init(buffer, sizeof buffer);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    free(write);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *read)
{
    if (count < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    uv_buf_t piece = uv_buf_init(read->base, (unsigned)count);
    int written = uv_try_write(stream, &piece, 1);
    if (written < 0) written = 0; /* it would block; an error shows in the next read */
    if (written == count) return;

    size_t size = (size_t)(count - written);
    struct rest *rest = malloc(sizeof *rest + size);
    PLAIN_CHECK(rest);
    memcpy(rest->data, read->base + written, size);
    piece = uv_buf_init(rest->data, (unsigned)size);
    if (uv_write(&rest->write, stream, &piece, 1, on_written) < 0) free(rest);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0) return;
    uv_tcp_t *client = malloc(sizeof *client);
    PLAIN_CHECK(client);
    PLAIN_CHECK(uv_tcp_init(listener->loop, client) == 0);
    plain_open_count++;
    if (uv_accept(listener, (uv_stream_t *)client) < 0) {
        uv_close((uv_handle_t *)client, on_closed);
        return;
    }
    (void)uv_tcp_nodelay(client, 1);
    PLAIN_CHECK(uv_read_start((uv_stream_t *)client, on_buffer, on_read) == 0);
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    uv_tcp_t listener;
    int fd = plain_listen(argc, argv);
    PLAIN_CHECK(uv_loop_init(&loop) == 0);
    PLAIN_CHECK(uv_tcp_init(&loop, &listener) == 0);
    PLAIN_CHECK(uv_tcp_open(&listener, fd) == 0);
    PLAIN_CHECK(uv_listen((uv_stream_t *)&listener, 4096, on_connection) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}
