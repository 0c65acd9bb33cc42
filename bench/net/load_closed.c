/* SPDX-License-Identifier: MIT */
/*
 * A closed loop: each connection sends a message and waits until it is back before it sends the
 * next. Tells how much a server can do; its latencies are those of a load that waits for the
 * server, so they flatter slow ones (bench/net/load_rate.c does not).
 */
#include "bench/net/load.h"

struct client {
    int fd;
    size_t received; /* of the message that is under way */
    int64_t sent_ns;
};

struct closed {
    int epoll_fd;
    int64_t allowed; /* requests that may still be sent */
    int64_t under_way;
    struct histogram latencies;
};

static void client_send(struct closed *closed, struct client *client)
{
    if (closed->allowed == 0) return;
    closed->allowed--;
    closed->under_way++;
    client->received = 0;
    client->sent_ns = load_now_ns();
    load_send(client->fd);
}

static void client_receive(struct closed *closed, struct client *client)
{
    char message[MESSAGE_SIZE];
    ssize_t count = recv(client->fd, message, sizeof message - client->received, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    BENCH_CHECK(count > 0);
    client->received += (size_t)count;
    if (client->received < MESSAGE_SIZE) return;

    closed->under_way--;
    histogram_add(&closed->latencies, load_now_ns() - client->sent_ns);
    client_send(closed, client);
}

/* Until `end_ns`, or until nothing is under way any more. */
static void run_until(struct closed *closed, int64_t end_ns)
{
    int64_t now_ns = load_now_ns();
    while (closed->under_way > 0 && now_ns < end_ns) {
        struct epoll_event events[EVENTS_MAX];
        int wait_ms = (int)((end_ns - now_ns) / 1000000) + 1;
        int count = epoll_wait(closed->epoll_fd, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < count; i++) {
            client_receive(closed, events[i].data.ptr);
        }
        now_ns = load_now_ns();
    }
}

void load_closed(const struct load *load)
{
    static struct closed closed;
    closed.allowed = load->number ? load->number : INT64_MAX;
    closed.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct client *clients = calloc(load->connections, sizeof *clients);
    BENCH_CHECK(clients && closed.epoll_fd >= 0);
    for (size_t i = 0; i < load->connections; i++) {
        clients[i].fd = load_connect(load->port);
        load_watch(closed.epoll_fd, clients[i].fd, &clients[i]);
    }
    for (size_t i = 0; i < load->connections; i++) {
        client_send(&closed, &clients[i]);
    }
    if (!load->number) {
        run_until(&closed, load_now_ns() + load->window_ns / 10);
        memset(&closed.latencies, 0, sizeof closed.latencies);
    }
    int64_t start_ns = load_now_ns();
    run_until(&closed, start_ns + load->window_ns);
    double seconds = (double)(load_now_ns() - start_ns) / 1e9;
    if (load->number) BENCH_CHECK(closed.under_way == 0 && closed.allowed == 0);

    bench_print("requests", "count", (double)closed.latencies.count);
    bench_print("rate", "per_s", (double)closed.latencies.count / seconds);
    histogram_print(&closed.latencies);
    for (size_t i = 0; i < load->connections; i++) {
        close(clients[i].fd);
    }
    free(clients);
}
