/* SPDX-License-Identifier: MIT */
/*
 * Framing, the client's turn, and the server's tasks.
 *
 * Only <weft/weft.h> and POSIX; nothing here can tell which loop waits below.
 */
#include "courier.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <weft/weft.h>

enum { HEADER_SIZE = 4 };

/* ---- messages ---- */

static int message_send(int fd, const void *bytes, size_t size)
{
    if (size > COURIER_SIZE_MAX) return -EMSGSIZE;
    const uint8_t header[HEADER_SIZE] = {
        0, (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    int result = weft_write_all(fd, header, sizeof header, NULL);
    return result < 0 ? result : weft_write_all(fd, bytes, size, NULL);
}

/* -EPIPE: the stream has ended, before a message or in it. */
static int message_receive(int fd, void *bytes, size_t capacity, size_t *ret_size)
{
    uint8_t header[HEADER_SIZE];
    int result = weft_read_exactly(fd, header, sizeof header, NULL);
    if (result < 0) return result;
    size_t size = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 |
                  (size_t)header[3];
    if (size > capacity) return -ENOBUFS;
    result = weft_read_exactly(fd, bytes, size, NULL);
    if (result == 0) *ret_size = size;
    return result;
}

/* ---- client ---- */

struct courier_client {
    int fd;
    int is_broken;          /* a call ended in the middle of a message */
    struct weft_chan *turn; /* holds one signal while nobody calls */
};

int courier_adopt(struct courier_client **ret, int fd)
{
    struct courier_client *client = (struct courier_client *)calloc(1, sizeof *client);
    if (!client) return -ENOMEM;
    client->fd = fd;
    int result = weft_chan_open(&client->turn, 0, 1);
    if (result == 0) result = weft_chan_try_send(client->turn, NULL);
    if (result < 0) {
        weft_chan_unref(client->turn);
        free(client);
        return result;
    }
    *ret = client;
    return 0;
}

int courier_dial(struct courier_client **ret, const char *address)
{
    int fd = -1;
    int result = weft_tcp_dial(&fd, address);
    if (result < 0) return result;
    result = courier_adopt(ret, fd);
    if (result < 0) (void)weft_close(fd);
    return result;
}

int courier_call(struct courier_client *client,
                 const void *request,
                 size_t size,
                 void *reply,
                 size_t capacity,
                 size_t *ret_size)
{
    if (size > COURIER_SIZE_MAX) return -EMSGSIZE;
    int result = weft_chan_recv(client->turn, NULL);
    if (result < 0) return result;

    result = client->is_broken ? -ENOTCONN : message_send(client->fd, request, size);
    if (result == 0) result = message_receive(client->fd, reply, capacity, ret_size);
    if (result < 0) client->is_broken = 1;
    int returned = weft_chan_try_send(client->turn, NULL); /* its place is free: we took it */
    return returned < 0 ? returned : result;
}

void courier_close(struct courier_client *client)
{
    if (!client) return;
    (void)weft_close(client->fd);
    weft_chan_unref(client->turn);
    free(client);
}

/* ---- server ---- */

struct connection {
    int fd;
    courier_handler handler;
    void *arg;
    uint8_t request[COURIER_SIZE_MAX];
    uint8_t reply[COURIER_SIZE_MAX];
};

/* A connection that fails concerns nobody else: the result is 0 all the same. */
static int connection_serve(void *arg)
{
    struct connection *connection = (struct connection *)arg;
    int result = 0;
    while (result >= 0) {
        size_t size = 0;
        size_t reply_size = 0;
        result = message_receive(connection->fd, connection->request, COURIER_SIZE_MAX, &size);
        if (result < 0) break;
        result = connection->handler(
            connection->arg, connection->request, size, connection->reply, &reply_size);
        if (result < 0) break;
        result = message_send(connection->fd, connection->reply, reply_size);
    }
    (void)weft_close(connection->fd);
    free(connection);
    return 0;
}

/* Takes the descriptor in any case. */
static int connection_start(struct weft_scope *scope, int fd, courier_handler handler, void *arg)
{
    struct connection *connection = (struct connection *)malloc(sizeof *connection);
    int result = -ENOMEM;
    if (connection) {
        connection->fd = fd;
        connection->handler = handler;
        connection->arg = arg;
        result = weft_scope_spawn(scope, NULL, connection_serve, connection);
    }
    if (result < 0) {
        (void)weft_close(fd);
        free(connection);
    }
    return result;
}

int courier_serve(int listener, courier_handler handler, void *arg)
{
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    for (;;) {
        int fd = weft_accept(listener, NULL, NULL);
        /* Out of descriptors or memory: that passes, and weft has paused already. */
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) continue;
        result = fd;
        if (fd < 0) break;
        (void)connection_start(&scope, fd, handler, arg);
    }
    (void)weft_scope_cancel(&scope);
    (void)weft_scope_close(&scope);
    return result;
}
