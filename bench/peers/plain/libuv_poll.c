/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on libuv's uv_poll_t: the loop tells readiness, the server reads.
 */
#include <uv.h>

#include "bench/peers/plain/plain.h"

struct client {
    uv_poll_t poll;
    struct plain_connection *connection;
    int events;
};

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    uv_loop_t *loop = handle->loop;
    if (plain_close(client->connection)) uv_stop(loop);
    free(client);
}

static void want(struct client *client, int events)
{
    if (client->events == events) return;
    client->events = events;
    PLAIN_CHECK(uv_poll_start(&client->poll, events, on_ready) == 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error shows in recv() */
    (void)events;
    struct client *client = poll->data;
    enum plain_want wanted = plain_step(client->connection);
    if (wanted == PLAIN_CLOSED) {
        uv_close((uv_handle_t *)poll, on_closed);
    } else {
        want(client, wanted == PLAIN_WRITABLE ? UV_WRITABLE : UV_READABLE);
    }
}

static void on_connection(uv_poll_t *listener, int status, int events)
{
    (void)status;
    (void)events;
    int fd = *(int *)listener->data;
    struct plain_connection *connection = NULL;
    while ((connection = plain_accept(fd)) != NULL) {
        struct client *client = calloc(1, sizeof *client);
        PLAIN_CHECK(client);
        client->connection = connection;
        client->poll.data = client;
        PLAIN_CHECK(uv_poll_init(listener->loop, &client->poll, connection->fd) == 0);
        want(client, UV_READABLE);
    }
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    uv_poll_t listener;
    int fd = plain_listen(argc, argv);
    PLAIN_CHECK(uv_loop_init(&loop) == 0);
    PLAIN_CHECK(uv_poll_init(&loop, &listener, fd) == 0);
    listener.data = &fd;
    PLAIN_CHECK(uv_poll_start(&listener, UV_READABLE, on_connection) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}
