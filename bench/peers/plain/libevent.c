/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on libevent: a persistent event for each connection.
 */
#include <event2/event.h>

#include "bench/peers/plain/plain.h"

struct client {
    struct event *event;
    struct plain_connection *connection;
    short events;
};

static void on_ready(evutil_socket_t fd, short events, void *arg);

static void want(struct client *client, struct event_base *base, short events)
{
    if (client->events == events) return;
    client->events = events;
    if (client->event) {
        (void)event_del(client->event);
        (void)event_assign(client->event,
                           base,
                           client->connection->fd,
                           (short)(events | EV_PERSIST),
                           on_ready,
                           client);
    } else {
        client->event =
            event_new(base, client->connection->fd, (short)(events | EV_PERSIST), on_ready, client);
    }
    PLAIN_CHECK(client->event && event_add(client->event, NULL) == 0);
}

static void on_ready(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct client *client = arg;
    struct event_base *base = event_get_base(client->event);
    enum plain_want wanted = plain_step(client->connection);
    if (wanted == PLAIN_CLOSED) {
        event_free(client->event);
        if (plain_close(client->connection)) event_base_loopbreak(base);
        free(client);
        return;
    }
    want(client, base, wanted == PLAIN_WRITABLE ? EV_WRITE : EV_READ);
}

static void on_connection(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    struct plain_connection *connection = NULL;
    while ((connection = plain_accept(fd)) != NULL) {
        struct client *client = calloc(1, sizeof *client);
        PLAIN_CHECK(client);
        client->connection = connection;
        want(client, arg, EV_READ);
    }
}

int main(int argc, char **argv)
{
    int fd = plain_listen(argc, argv);
    struct event_base *base = event_base_new();
    PLAIN_CHECK(base);
    struct event *listener = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, base);
    PLAIN_CHECK(listener && event_add(listener, NULL) == 0);
    event_base_dispatch(base);
    return 0;
}
