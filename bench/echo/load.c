/* SPDX-License-Identifier: MIT */
/*
 * The load for echo servers: a closed loop, where each connection sends a message and waits until
 * it is back before it sends the next.
 *
 * usage: bench-load PORT CONNECTIONS SECONDS [REQUESTS]
 *
 * Measures for SECONDS after a tenth of that as warm-up, or sends REQUESTS in all if that is given
 * (SECONDS is a limit then), and prints
 *
 *   requests COUNT seconds TIME p50 US p99 US p999 US
 *
 * Latencies are counted in a histogram of 64 steps per power of two, so that they are right to 2 %.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/bench.h"

enum {
    MESSAGE_SIZE = 64,
    EVENTS_MAX = 512,
    STEP_BITS = 6, /* 64 steps per power of two */
    STEPS = 1 << STEP_BITS,
    BUCKETS = 64 * STEPS,
};

struct client {
    int fd;
    size_t received; /* of the message that is under way */
    int64_t sent_ns;
};

struct load {
    int epoll_fd;
    int64_t allowed; /* requests that may still be sent */
    int64_t under_way;
    int64_t count; /* in the window that is measured */
    uint64_t buckets[BUCKETS];
};

static size_t bucket_of(int64_t latency_ns)
{
    uint64_t value = latency_ns < STEPS ? STEPS : (uint64_t)latency_ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return (size_t)shift * STEPS + (size_t)(value >> shift) - STEPS;
}

static double bucket_us(size_t bucket)
{
    uint64_t value = (uint64_t)(bucket % STEPS + STEPS) << (bucket / STEPS);
    return (double)value / 1000.0;
}

static void client_send(struct load *load, struct client *client)
{
    static const char message[MESSAGE_SIZE] = "weft";
    if (load->allowed == 0) return;
    load->allowed--;
    load->under_way++;
    client->received = 0;
    client->sent_ns = bench_clock_ns(CLOCK_MONOTONIC);
    BENCH_CHECK(send(client->fd, message, MESSAGE_SIZE, MSG_NOSIGNAL) == MESSAGE_SIZE);
}

static void client_open(struct load *load, struct client *client, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    address.sin_port = htons(port);
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BENCH_CHECK(client->fd >= 0);
    BENCH_CHECK(connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0);
    (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    BENCH_CHECK(epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) == 0);
}

static void client_receive(struct load *load, struct client *client)
{
    char message[MESSAGE_SIZE];
    ssize_t count =
        recv(client->fd, message, sizeof message - client->received, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return;
    BENCH_CHECK(count > 0);
    client->received += (size_t)count;
    if (client->received < MESSAGE_SIZE) return;

    load->count++;
    load->under_way--;
    load->buckets[bucket_of(bench_clock_ns(CLOCK_MONOTONIC) - client->sent_ns)]++;
    client_send(load, client);
}

/* Until `end_ns`, or until nothing is under way any more. */
static void run_until(struct load *load, int64_t end_ns)
{
    int64_t now_ns = bench_clock_ns(CLOCK_MONOTONIC);
    while (load->under_way > 0 && now_ns < end_ns) {
        struct epoll_event events[EVENTS_MAX];
        int wait_ms = (int)((end_ns - now_ns) / 1000000) + 1;
        int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < count; i++) {
            client_receive(load, events[i].data.ptr);
        }
        now_ns = bench_clock_ns(CLOCK_MONOTONIC);
    }
}

static double quantile_us(const struct load *load, double quantile)
{
    double wanted = quantile * (double)load->count;
    double seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += (double)load->buckets[i];
        if (seen >= wanted) return bucket_us(i);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct load load;
    BENCH_CHECK(argc == 4 || argc == 5);
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    size_t client_count = strtoul(argv[2], NULL, 10);
    int64_t window_ns = (int64_t)(strtod(argv[3], NULL) * (double)BENCH_NS_PER_SECOND);
    bool is_counted = argc == 5;
    load.allowed = is_counted ? strtoll(argv[4], NULL, 10) : INT64_MAX;
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    struct client *clients = calloc(client_count, sizeof *clients);
    BENCH_CHECK(clients && load.epoll_fd >= 0);
    for (size_t i = 0; i < client_count; i++) {
        client_open(&load, &clients[i], port);
    }
    for (size_t i = 0; i < client_count; i++) {
        client_send(&load, &clients[i]);
    }
    if (!is_counted) {
        run_until(&load, bench_clock_ns(CLOCK_MONOTONIC) + window_ns / 10);
        load.count = 0;
        memset(load.buckets, 0, sizeof load.buckets);
    }
    int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
    run_until(&load, start_ns + window_ns);
    double seconds = (double)(bench_clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    if (is_counted) BENCH_CHECK(load.under_way == 0 && load.allowed == 0);

    printf("requests %" PRId64 " seconds %.6f p50 %.1f p99 %.1f p999 %.1f\n",
           load.count,
           seconds,
           quantile_us(&load, 0.50),
           quantile_us(&load, 0.99),
           quantile_us(&load, 0.999));
    for (size_t i = 0; i < client_count; i++) {
        close(clients[i].fd);
    }
    free(clients);
    return 0;
}
