/* SPDX-License-Identifier: MIT */
/*
 * What the TCP tests share: listeners and connections by weft's own calls.
 */
#ifndef WEFT_CONFORMANCE_TCP_SUPPORT_H
#define WEFT_CONFORMANCE_TCP_SUPPORT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "conformance/runtime/io_support.h"

/* "127.0.0.1:PORT" */
struct address {
    char text[32];
    int port;
};

static inline struct address address_of(int port)
{
    struct address address = {.port = port};
    (void)snprintf(address.text, sizeof address.text, "127.0.0.1:%d", port);
    return address;
}

/* On a port of the kernel's choice. */
static inline int listen_on_loopback(struct address *ret_address)
{
    int fd = -1;
    CHECK_EQ(weft_tcp_listen(&fd, "127.0.0.1:0", NULL), 0);
    int port = weft_tcp_port(fd);
    CHECK_WITHIN(port, 1, 65535);
    *ret_address = address_of(port);
    return fd;
}

/* A connection by weft_tcp_dial() and weft_accept(): [0] accepted, [1] dialled. */
static inline void weft_pair(int ret_fds[2])
{
    struct address address;
    int listener = listen_on_loopback(&address);
    ret_fds[0] = ret_fds[1] = -1;
    CHECK_EQ(weft_tcp_dial(&ret_fds[1], address.text), 0);
    ret_fds[0] = weft_accept(listener, NULL, NULL);
    CHECK(ret_fds[0] >= 0);
    CHECK_EQ(weft_close(listener), 0);
}

struct dial {
    char address[32];
    int fd;
    int result;
};

/* A task that dials once. */
static inline int dial_once(void *arg)
{
    struct dial *dial = arg;
    dial->fd = -1;
    dial->result = weft_tcp_dial(&dial->fd, dial->address);
    return 0;
}

static inline struct sockaddr_in loopback_address(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)port),
    };
}

#define STALLED_COUNT 8

/* A listener that takes no further connection; `ret_fds` are those that fill its queue. */
static inline int full_listener(struct address *ret_address, int ret_fds[STALLED_COUNT])
{
    int fd = -1;
    struct weft_listen_options options = WEFT_LISTEN_OPTIONS_INIT;
    options.backlog = 1;
    CHECK_EQ(weft_tcp_listen(&fd, "127.0.0.1:0", &options), 0);
    struct sockaddr_in address = loopback_address(weft_tcp_port(fd));
    *ret_address = address_of(weft_tcp_port(fd));
    for (int i = 0; i < STALLED_COUNT; i++) {
        ret_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(ret_fds[i] >= 0);
        (void)connect(ret_fds[i], (struct sockaddr *)&address, sizeof address);
    }
    return fd;
}

static inline void full_listener_close(int fd, const int fds[STALLED_COUNT])
{
    for (int i = 0; i < STALLED_COUNT; i++) {
        CHECK_EQ(close(fds[i]), 0);
    }
    CHECK_EQ(weft_close(fd), 0);
}

#endif
