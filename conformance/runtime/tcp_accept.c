/* SPDX-License-Identifier: MIT */
/*
 * TCP-05 to 09, 30, 32, 38: accepting, also when it cannot be done, and adopting foreign sockets.
 */
#include <sys/resource.h>

#include "conformance/runtime/tcp_support.h"

/* ---- 05, 06, 38 ---- */

static int accept_within(int listener, int64_t duration_ns)
{
    int fd = 0;
    weft_with_timeout(duration_ns) {
        fd = weft_accept(listener, NULL, NULL);
    }
    return fd;
}

static int accept_deadline_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    CHECK_EQ(accept_within(listener, 0), -ETIMEDOUT);
    CHECK_EQ(accept_within(listener, -WEFT_SEC), -ETIMEDOUT);
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(accept_within(listener, 50 * WEFT_MSEC), -ETIMEDOUT);
    CHECK_WITHIN(harness_now_ns() - start_ns, 50 * WEFT_MSEC, 50 * WEFT_MSEC + harness_slack_ns());

    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    int server = accept_within(listener, 0); /* it is there: a past deadline takes it */
    CHECK(server >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(tcp, 05_an_accept_times_out_and_loses_no_connection)
{
    CHECK_EQ(run_real(accept_deadline_root, NULL), 0);
}

static int reset_before_accept_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    int clients[2];
    CHECK_EQ(weft_tcp_dial(&clients[0], address.text), 0);
    close_with_reset(clients[0]);
    CHECK_EQ(weft_tcp_dial(&clients[1], address.text), 0);
    put_byte(clients[1], 's');

    /* The kernel may hide the first one, or hand it out: then it is dead, and says so. */
    char byte = 0;
    int server = weft_accept(listener, NULL, NULL);
    CHECK(server >= 0);
    ssize_t size = weft_read(server, &byte, 1);
    if (size != 1) {
        CHECK_EQ(size, -ECONNRESET);
        CHECK_EQ(weft_close(server), 0);
        server = weft_accept(listener, NULL, NULL);
        CHECK(server >= 0);
        size = weft_read(server, &byte, 1);
    }
    CHECK_EQ(size, 1);
    CHECK_EQ(byte, 's');
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(clients[1]), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(tcp, 06_a_connection_reset_before_its_accept_does_no_harm)
{
    CHECK_EQ(run_virtual(reset_before_accept_root, NULL), 0);
}

static int closed_before_accept_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    for (int with_data = 0; with_data < 2; with_data++) {
        int client = -1;
        CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
        if (with_data) put_byte(client, 'd');
        CHECK_EQ(weft_close(client), 0);
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof peer;
        int server = weft_accept(listener, (struct sockaddr *)&peer, &size);
        CHECK(server >= 0);
        CHECK_EQ(peer.sin_family, AF_INET);
        char bytes[8];
        if (with_data) CHECK_EQ(weft_read(server, bytes, sizeof bytes), 1);
        CHECK_EQ(weft_read(server, bytes, sizeof bytes), 0);
        CHECK_EQ(weft_close(server), 0);
    }
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(tcp, 38_a_connection_closed_before_its_accept_reads_to_its_end)
{
    CHECK_EQ(run_virtual(closed_before_accept_root, NULL), 0);
}

/* ---- 07: no descriptor for it ---- */

struct starved {
    int listener;
    int failures;
    int accepted;
};

/* The naive loop: it does nothing about an error. */
static int accepts_naively(void *arg)
{
    struct starved *starved = arg;
    for (;;) {
        int fd = weft_accept(starved->listener, NULL, NULL);
        if (fd == -ECANCELED) return 0;
        if (fd >= 0) {
            starved->accepted = fd;
            return 0;
        }
        CHECK_EQ(fd, -EMFILE);
        starved->failures++;
    }
}

static int starved_root(void *arg)
{
    (void)arg;
    struct starved starved = {.accepted = -1};
    struct address address;
    starved.listener = listen_on_loopback(&address);
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    harness_limit_fds(0);
    weft_task acceptor = start(accepts_naively, &starved);

    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 20 * WEFT_MSEC);
    CHECK_WITHIN(starved.failures, 1, 210);
    CHECK_EQ(starved.accepted, -1);

    CHECK_EQ(weft_close(spare), 0);
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, 3 * WEFT_SEC), 0);
    CHECK_EQ(weft_join(acceptor, NULL), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK(starved.accepted >= 0);
    CHECK_EQ(weft_write(client, "x", 1), 1);
    char byte = 0;
    CHECK_EQ(weft_read(starved.accepted, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    return 0;
}

static int starved_child(void *arg)
{
    return run_real(starved_root, arg);
}

WEFT_TEST(tcp, 07_without_a_descriptor_accept_fails_and_a_naive_loop_does_not_spin)
{
    struct harness_child child;
    harness_run_child(&child, starved_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- 08, 09 ---- */

static int accepts_once(void *arg)
{
    const int *listener = arg;
    return weft_accept(*listener, NULL, NULL);
}

static int rebind_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    for (int i = 0; i < 10; i++) {
        weft_task task = start(accepts_once, &listener);
        settle();
        CHECK_EQ(weft_close(listener), 0);
        CHECK_EQ(weft_tcp_listen(&listener, address.text, NULL), 0);
        CHECK_EQ(finish(task), -EBADF);

        int client = -1;
        CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
        int server = weft_accept(listener, NULL, NULL);
        CHECK(server >= 0);
        CHECK_EQ(weft_close(client), 0);
        CHECK_EQ(weft_close(server), 0);
    }
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(tcp, 08_a_closed_listener_wakes_its_acceptor_and_frees_its_port)
{
    CHECK_EQ(run_virtual(rebind_root, NULL), 0);
}

static int backlog_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    int clients[3];
    struct transfer transfers[3];
    weft_task tasks[3];
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_tcp_dial(&clients[i], address.text), 0);
        transfers[i] = (struct transfer){.fd = clients[i], .size = 8, .result = 77};
        tasks[i] = start(read_once, &transfers[i]);
    }
    settle();
    CHECK_EQ(weft_close(listener), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
        CHECK(transfers[i].result == 0 || transfers[i].result == -ECONNRESET);
        CHECK_EQ(weft_close(clients[i]), 0);
    }
    return 0;
}

WEFT_TEST(tcp, 09_a_closed_listener_ends_what_was_in_its_backlog)
{
    CHECK_EQ(run_virtual(backlog_root, NULL), 0);
}

/* ---- 30: sockets that somebody else opened ---- */

struct adopted {
    int fd;
    bool other_ran;
};

static int runs_beside(void *arg)
{
    struct adopted *adopted = arg;
    adopted->other_ran = true;
    return 0;
}

static int adopts_connected_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    struct sockaddr_in raw = loopback_address(weft_tcp_port(listener));
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(client, (struct sockaddr *)&raw, sizeof raw), 0);
    int server = weft_accept(listener, NULL, NULL);
    CHECK_EQ(weft_write(client, "abc", 3), 3);
    char bytes[8];
    CHECK_EQ(weft_read(server, bytes, sizeof bytes), 3);
    int result = 0;
    weft_with_timeout(5 * WEFT_MSEC) {
        result = (int)weft_read(client, bytes, sizeof bytes);
    }
    CHECK_EQ(result, -ETIMEDOUT); /* it blocks, and did not block us */

    /* A full one, too: the write must not stand still in the kernel. */
    static const char block[1 << 20];
    size_t done = 0;
    weft_with_timeout(20 * WEFT_MSEC) {
        result = 0;
        while (result == 0) {
            result = weft_write_all(client, block, sizeof block, &done);
        }
    }
    CHECK_EQ(result, -ETIMEDOUT);
    CHECK_EQ(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(tcp, 30_a_blocking_connection_is_adopted_and_never_blocks_the_worker)
{
    CHECK_EQ(run_real(adopts_connected_root, NULL), 0);
}

static int adopts_listener_root(void *arg)
{
    (void)arg;
    struct sockaddr_in raw = loopback_address(0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&raw, sizeof raw), 0);
    CHECK_EQ(weft_accept(listener, NULL, NULL), -EINVAL); /* only bound */
    CHECK_EQ(listen(listener, 8), 0);
    struct adopted adopted = {.fd = listener};
    weft_task beside = start(runs_beside, &adopted);
    CHECK_EQ(accept_within(listener, 10 * WEFT_MSEC), -ETIMEDOUT);
    CHECK(adopted.other_ran);
    CHECK_EQ(finish(beside), 0);
    struct address address = address_of(weft_tcp_port(listener));
    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    int server = weft_accept(listener, NULL, NULL);
    CHECK(server >= 0);
    CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(fcntl(listener, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(listener), 0);

    /* Wrong kinds. */
    int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(weft_accept(datagram, NULL, NULL), -EOPNOTSUPP);
    CHECK_EQ(weft_close(datagram), 0);
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(weft_accept(fds[0], NULL, NULL), -ENOTSOCK);
    CHECK_EQ(weft_connect(fds[0], (struct sockaddr *)&raw, sizeof raw), -ENOTSOCK);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 30_a_blocking_listener_is_adopted_and_wrong_kinds_are_refused)
{
    CHECK_EQ(run_real(adopts_listener_root, NULL), 0);
}

/* ---- 32: a thousand at once ---- */

#define CLIENTS 1000

struct rush {
    struct address address;
    int listener;
};

static int rushes(void *arg)
{
    struct rush *rush = arg;
    int fd = -1;
    CHECK_EQ(weft_tcp_dial(&fd, rush->address.text), 0);
    char byte = 'r'; /* who waits for the other side to begin may wait for one that knows nothing */
    CHECK_EQ(weft_write(fd, &byte, 1), 1);
    byte = 0;
    CHECK_EQ(weft_read_exactly(fd, &byte, 1, NULL), 0);
    CHECK_EQ(byte, 'r');
    return weft_close(fd);
}

static int answers_rush(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte = 0;
    int64_t status = weft_read_exactly(fd, &byte, 1, NULL);
    if (status == 0) status = weft_write(fd, &byte, 1);
    (void)status; /* what matters is what the clients see */
    return weft_close(fd);
}

/* A full backlog is answered with cookies, and a late segment with a good one opens a connection
 * that its client has closed long ago. So nobody may wait for such a one, or count it. */
static int accepts_rush(void *arg)
{
    struct rush *rush = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    int fd = 0;
    while ((fd = weft_accept(rush->listener, NULL, NULL)) >= 0) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, answers_rush, (void *)(intptr_t)fd), 0);
    }
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    return fd;
}

static int rush_root(void *arg)
{
    struct rush *rush = arg;
    struct weft_listen_options options = WEFT_LISTEN_OPTIONS_INIT;
    options.backlog = 128;
    CHECK_EQ(weft_tcp_listen(&rush->listener, "127.0.0.1:0", &options), 0);
    rush->address = address_of(weft_tcp_port(rush->listener));
    static weft_task tasks[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        tasks[i] = start(rushes, rush);
    }
    weft_task acceptor = start(accepts_rush, rush);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK_EQ(weft_close(rush->listener), 0);
    CHECK_EQ(finish(acceptor), -EBADF);
    return 0;
}

/* What the backlog drops is sent again by the kernel, after a second, then two, ... */
WEFT_TEST(tcp, 32_a_thousand_connections_pass_a_backlog_of_128, .timeout = 60)
{
    struct rush rush = {.listener = -1};
    CHECK_EQ(run_real(rush_root, &rush), 0);
}
