/* SPDX-License-Identifier: MIT */
/*
 * Connections that live for one request: connect, send, wait until it is back, reset. A reset
 * leaves no TIME_WAIT behind, so the loopback does not run out of ports.
 */
#include "bench/net/load.h"

struct accepts {
    int epoll_fd;
    uint16_t port;
    struct histogram latencies; /* of connecting, sending and receiving */
};

struct client {
    int fd;
    size_t received;
    int64_t start_ns;
};

static void client_start(struct accepts *accepts, struct client *client)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    client->received = 0;
    client->start_ns = load_now_ns();
    client->fd = load_connect(accepts->port);
    BENCH_CHECK(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    load_watch(accepts->epoll_fd, client->fd, client);
    load_send(client->fd);
}

static void client_receive(struct accepts *accepts, struct client *client)
{
    char message[MESSAGE_SIZE];
    ssize_t count = recv(client->fd, message, sizeof message - client->received, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    BENCH_CHECK(count > 0);
    client->received += (size_t)count;
    if (client->received < MESSAGE_SIZE) return;
    histogram_add(&accepts->latencies, load_now_ns() - client->start_ns);
    close(client->fd);
    client_start(accepts, client);
}

static void run_until(struct accepts *accepts, int64_t end_ns)
{
    while (load_now_ns() < end_ns) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(accepts->epoll_fd, events, EVENTS_MAX, 100);
        for (int i = 0; i < count; i++) {
            client_receive(accepts, events[i].data.ptr);
        }
    }
}

void load_accept(const struct load *load)
{
    static struct accepts accepts;
    accepts.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    accepts.port = load->port;
    struct client *clients = calloc(load->connections, sizeof *clients);
    BENCH_CHECK(clients && accepts.epoll_fd >= 0);
    for (size_t i = 0; i < load->connections; i++) {
        client_start(&accepts, &clients[i]);
    }
    run_until(&accepts, load_now_ns() + load->window_ns / 10);
    memset(&accepts.latencies, 0, sizeof accepts.latencies);

    int64_t start_ns = load_now_ns();
    run_until(&accepts, start_ns + load->window_ns);
    double seconds = (double)(load_now_ns() - start_ns) / 1e9;
    bench_print("requests", "count", (double)accepts.latencies.count);
    bench_print("rate", "per_s", (double)accepts.latencies.count / seconds);
    histogram_print(&accepts.latencies);
    for (size_t i = 0; i < load->connections; i++) {
        close(clients[i].fd);
    }
    free(clients);
}
