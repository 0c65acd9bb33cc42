/* SPDX-License-Identifier: MIT */
/*
 * What the loads for echo servers share: the message, connections, and the list of loads. One
 * thread each, on epoll, in as few system calls as it can.
 */
#ifndef BENCH_NET_LOAD_H
#define BENCH_NET_LOAD_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/bench.h"
#include "bench/net/histogram.h"

enum { MESSAGE_SIZE = 64, EVENTS_MAX = 512 };

struct load {
    uint16_t port;
    size_t connections;
    int64_t window_ns;
    int64_t number; /* a load's own: requests, or requests per second; 0 if not given */
};

void load_closed(const struct load *load);
void load_rate(const struct load *load);
void load_accept(const struct load *load);
void load_idle(const struct load *load);

static const char load_message[MESSAGE_SIZE] = "weft";

static inline int64_t load_now_ns(void)
{
    return bench_clock_ns(CLOCK_MONOTONIC);
}

static inline int load_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    address.sin_port = htons(port);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BENCH_CHECK(fd >= 0);
    BENCH_CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline void load_watch(int epoll_fd, int fd, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    BENCH_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static inline void load_send(int fd)
{
    BENCH_CHECK(send(fd, load_message, MESSAGE_SIZE, MSG_NOSIGNAL) == MESSAGE_SIZE);
}

#endif
