/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on libevent's bufferevents: the input buffer is handed to the output buffer
 * without a copy. This is how most libevent servers are written.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "bench/peers/plain/plain.h"

static void on_read(struct bufferevent *client, void *base)
{
    (void)base;
    PLAIN_CHECK(bufferevent_write_buffer(client, bufferevent_get_input(client)) == 0);
}

static void on_end(struct bufferevent *client, short what, void *base)
{
    (void)what; /* only errors and the end come here */
    bufferevent_free(client);
    if (--plain_open_count == 0 && plain_is_once) event_base_loopbreak(base);
}

static void on_connection(struct evconnlistener *listener,
                          evutil_socket_t fd,
                          struct sockaddr *address,
                          int size,
                          void *base)
{
    (void)listener, (void)address, (void)size;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct bufferevent *client = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    PLAIN_CHECK(client);
    plain_open_count++;
    bufferevent_setcb(client, on_read, NULL, on_end, base);
    PLAIN_CHECK(bufferevent_enable(client, EV_READ | EV_WRITE) == 0);
}

int main(int argc, char **argv)
{
    int fd = plain_listen(argc, argv);
    struct event_base *base = event_base_new();
    PLAIN_CHECK(base);
    struct evconnlistener *listener = evconnlistener_new(base, on_connection, base, 0, 0, fd);
    PLAIN_CHECK(listener);
    event_base_dispatch(base);
    return 0;
}
