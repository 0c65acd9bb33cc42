/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on libev: an ev_io for each connection.
 */
#include <ev.h>

#include "bench/peers/plain/plain.h"

struct client {
    ev_io io;
    struct plain_connection *connection;
};

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct client *client = (struct client *)io;
    enum plain_want want = plain_step(client->connection);
    if (want == PLAIN_CLOSED) {
        ev_io_stop(loop, io);
        if (plain_close(client->connection)) ev_break(loop, EVBREAK_ALL);
        free(client);
        return;
    }
    int wanted = want == PLAIN_WRITABLE ? EV_WRITE : EV_READ;
    if ((io->events & (EV_READ | EV_WRITE)) == wanted) return;
    ev_io_stop(loop, io);
    ev_io_set(io, client->connection->fd, wanted);
    ev_io_start(loop, io);
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct plain_connection *connection = NULL;
    while ((connection = plain_accept(io->fd)) != NULL) {
        struct client *client = malloc(sizeof *client);
        PLAIN_CHECK(client);
        client->connection = connection;
        ev_io_init(&client->io, on_ready, connection->fd, EV_READ);
        ev_io_start(loop, &client->io);
    }
}

int main(int argc, char **argv)
{
    ev_io listener;
    int fd = plain_listen(argc, argv);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    PLAIN_CHECK(loop);
    ev_io_init(&listener, on_connection, fd, EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}
