/* SPDX-License-Identifier: MIT */
/*
 * A fixed rate: message i is due i / RATE seconds after the start, on connection i % CONNECTIONS,
 * whether answers came or not. Its latency is counted from when it was due, so a server that stalls
 * is charged for every message that had to wait meanwhile (no coordinated omission). What has not
 * come back two seconds after the end counts with the time that it has taken so far.
 *
 * The load spins instead of sleeping: a timer's slack would be measured otherwise.
 */
#include "bench/net/load.h"

#define PATIENCE_NS (2 * BENCH_NS_PER_SECOND)

struct client {
    int fd;
    int64_t due;       /* messages that should have been sent by now */
    int64_t sent;      /* bytes */
    int64_t received;  /* bytes */
    int64_t completed; /* messages that are back */
    bool is_behind;    /* sends less than is due: its socket is full */
};

struct rate {
    int epoll_fd;
    int64_t start_ns;
    double interval_ns;
    int64_t measured_from; /* the first message after the warm-up */
    int64_t behind;        /* clients */
    struct client *clients;
    size_t client_count;
    struct histogram latencies;
};

static int64_t message_of(const struct rate *rate, const struct client *client, int64_t index)
{
    return index * (int64_t)rate->client_count + (client - rate->clients);
}

static int64_t due_ns(const struct rate *rate, int64_t message)
{
    return rate->start_ns + (int64_t)((double)message * rate->interval_ns);
}

static void client_send(struct rate *rate, struct client *client)
{
    bool was_behind = client->is_behind;
    int64_t wanted = client->due * MESSAGE_SIZE;
    client->is_behind = false;
    while (client->sent < wanted) {
        size_t left = MESSAGE_SIZE - (size_t)(client->sent % MESSAGE_SIZE);
        ssize_t count = send(client->fd, load_message, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        BENCH_CHECK(count > 0 || errno == EAGAIN);
        if (count < 0) {
            client->is_behind = true;
            break;
        }
        client->sent += count;
    }
    rate->behind += client->is_behind - was_behind;
}

static void client_receive(struct rate *rate, struct client *client)
{
    char buffer[MESSAGE_SIZE * 64];
    ssize_t count = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    BENCH_CHECK(count > 0);
    client->received += count;
    int64_t now_ns = load_now_ns();
    while ((client->completed + 1) * MESSAGE_SIZE <= client->received) {
        int64_t message = message_of(rate, client, client->completed++);
        if (message < rate->measured_from) continue;
        histogram_add(&rate->latencies, now_ns - due_ns(rate, message));
    }
}

static void receive_all(struct rate *rate)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(rate->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        client_receive(rate, events[i].data.ptr);
    }
    for (size_t i = 0; rate->behind > 0 && i < rate->client_count; i++) {
        if (rate->clients[i].is_behind) client_send(rate, &rate->clients[i]);
    }
}

/* Returns how many messages came back too late to be waited for. */
static int64_t count_missing(struct rate *rate)
{
    int64_t missing = 0;
    int64_t now_ns = load_now_ns();
    for (size_t i = 0; i < rate->client_count; i++) {
        struct client *client = &rate->clients[i];
        for (int64_t index = client->completed; index < client->due; index++) {
            int64_t message = message_of(rate, client, index);
            if (message < rate->measured_from) continue;
            histogram_add(&rate->latencies, now_ns - due_ns(rate, message));
            missing++;
        }
    }
    return missing;
}

static void clients_open(struct rate *rate, const struct load *load)
{
    rate->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    rate->client_count = load->connections;
    rate->clients = calloc(load->connections, sizeof *rate->clients);
    BENCH_CHECK(rate->clients && rate->epoll_fd >= 0);
    for (size_t i = 0; i < load->connections; i++) {
        rate->clients[i].fd = load_connect(load->port);
        load_watch(rate->epoll_fd, rate->clients[i].fd, &rate->clients[i]);
    }
}

void load_rate(const struct load *load)
{
    static struct rate rate;
    BENCH_CHECK(load->number > 0);
    clients_open(&rate, load);
    rate.interval_ns = (double)BENCH_NS_PER_SECOND / (double)load->number;
    rate.measured_from = (int64_t)((double)load->window_ns / 10 / rate.interval_ns);
    int64_t measured = (int64_t)((double)load->window_ns / rate.interval_ns);
    int64_t last = rate.measured_from + measured;
    rate.start_ns = load_now_ns() + BENCH_NS_PER_SECOND / 1000;

    for (int64_t next = 0; next < last;) {
        if (load_now_ns() >= due_ns(&rate, next)) {
            struct client *client = &rate.clients[(size_t)next++ % rate.client_count];
            client->due++;
            client_send(&rate, client);
            if (next % 16 != 0) continue; /* a burst that is due is sent before looking around */
        }
        receive_all(&rate);
    }
    int64_t end_ns = load_now_ns();
    while (rate.latencies.count < measured && load_now_ns() < end_ns + PATIENCE_NS) {
        receive_all(&rate);
    }
    int64_t missing = count_missing(&rate);
    double window_s = (double)(end_ns - due_ns(&rate, rate.measured_from)) / 1e9;
    bench_print("requests", "count", (double)rate.latencies.count);
    bench_print("sent_rate", "per_s", (double)measured / window_s);
    bench_print("missing", "count", (double)missing);
    histogram_print(&rate.latencies);
    for (size_t i = 0; i < rate.client_count; i++) {
        close(rate.clients[i].fd);
    }
    free(rate.clients);
}
