/* SPDX-License-Identifier: MIT */
/*
 * TCP-01 to 04, 20, 23, 29, 31, 35, 37: addresses, connecting, and what goes wrong with it.
 */
#include "conformance/runtime/tcp_support.h"

/* ---- 01 ---- */

static int echoes(void *arg)
{
    const int *listener = arg;
    int fd = weft_accept(*listener, NULL, NULL);
    CHECK_OR_RETURN(fd >= 0, fd);
    char buffer[64];
    ssize_t size;
    while ((size = weft_read(fd, buffer, sizeof buffer)) > 0) {
        CHECK_EQ(weft_write_all(fd, buffer, (size_t)size, NULL), 0);
    }
    CHECK_EQ(size, 0);
    return weft_close(fd);
}

static void check_echo(const char *listen_address, const char *dial_host)
{
    int listener = -1;
    CHECK_EQ(weft_tcp_listen(&listener, listen_address, NULL), 0);
    CHECK_OR_RETURN(listener >= 0, );
    weft_task server = start(echoes, &listener);
    char address[64];
    (void)snprintf(address, sizeof address, "%s:%d", dial_host, weft_tcp_port(listener));
    int fd = -1;
    CHECK_EQ(weft_tcp_dial(&fd, address), 0);
    char buffer[8] = "";
    CHECK_EQ(weft_write_all(fd, "hello", 5, NULL), 0);
    CHECK_EQ(weft_read_exactly(fd, buffer, 5, NULL), 0);
    CHECK_STR(buffer, "hello");
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(finish(server), 0);
    CHECK_EQ(weft_close(listener), 0);
}

static int echo_root(void *arg)
{
    (void)arg;
    check_echo("127.0.0.1:0", "127.0.0.1");
    check_echo("[::1]:0", "[::1]");
    check_echo(":0", "127.0.0.1");
    check_echo(":0", "[::1]");
    check_echo(":0", "");
    return 0;
}

WEFT_TEST(tcp, 01_a_connection_echoes_over_both_families)
{
    CHECK_EQ(run_virtual(echo_root, NULL), 0);
}

static int names_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct sockaddr_in names[2];
    struct sockaddr_in peers[2];
    for (int i = 0; i < 2; i++) {
        socklen_t size = sizeof names[i];
        CHECK_EQ(getsockname(fds[i], (struct sockaddr *)&names[i], &size), 0);
        size = sizeof peers[i];
        CHECK_EQ(getpeername(fds[i], (struct sockaddr *)&peers[i], &size), 0);
    }
    CHECK_EQ(names[0].sin_port, peers[1].sin_port);
    CHECK_EQ(names[1].sin_port, peers[0].sin_port);
    CHECK_EQ(names[0].sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(weft_tcp_port(fds[0]), ntohs(peers[1].sin_port));
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 01_each_side_knows_both_addresses)
{
    CHECK_EQ(run_virtual(names_root, NULL), 0);
}

/* ---- 02, 03, 04 ---- */

static struct address refusing_address(void)
{
    struct address address;
    CHECK_EQ(weft_close(listen_on_loopback(&address)), 0);
    return address;
}

static int refused_root(void *arg)
{
    (void)arg;
    struct address address = refusing_address();
    int fd_count = harness_fd_count();
    int fd = 77;
    CHECK_EQ(weft_tcp_dial(&fd, address.text), -ECONNREFUSED);
    CHECK_EQ(fd, 77);
    CHECK_EQ(harness_fd_count(), fd_count);

    struct sockaddr_in raw = loopback_address(address.port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&raw, sizeof raw), -ECONNREFUSED);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

WEFT_TEST(tcp, 02_a_refused_connection_says_so_and_leaves_nothing_open)
{
    CHECK_EQ(run_virtual(refused_root, NULL), 0);
}

static int black_hole_root(void *arg)
{
    (void)arg;
    struct address address;
    int stalled[STALLED_COUNT];
    int listener = full_listener(&address, stalled);
    int fd_count = harness_fd_count();
    uint64_t descriptors = stats_now().descriptors;
    int64_t start_ns = harness_now_ns();
    int fd = 77;
    int result = 0;
    weft_with_timeout(50 * WEFT_MSEC) {
        result = weft_tcp_dial(&fd, address.text);
    }
    CHECK_EQ(result, -ETIMEDOUT);
    CHECK_EQ(fd, 77);
    CHECK_WITHIN(harness_now_ns() - start_ns, 50 * WEFT_MSEC, 50 * WEFT_MSEC + harness_slack_ns());
    CHECK_EQ(harness_fd_count(), fd_count);
    CHECK_EQ(stats_now().descriptors, descriptors);
    full_listener_close(listener, stalled);
    return 0;
}

WEFT_TEST(tcp, 03_a_connect_times_out_and_leaves_nothing_open)
{
    CHECK_EQ(run_real(black_hole_root, NULL), 0);
}

/* A fresh socket is hung up; what weft remembers of that must not look like "connected". */
static int spurious_root(void *arg)
{
    (void)arg;
    struct address address;
    int stalled[STALLED_COUNT];
    int listener = full_listener(&address, stalled);
    struct sockaddr_in raw = loopback_address(weft_tcp_port(listener));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_EQ(weft_wait_fd(fd, WEFT_WRITABLE), WEFT_WRITABLE);
    CHECK_EQ(weft_wait_fd(fd, WEFT_WRITABLE), WEFT_WRITABLE);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);

    int result = 0;
    weft_with_timeout(50 * WEFT_MSEC) {
        result = weft_connect(fd, (struct sockaddr *)&raw, sizeof raw);
    }
    CHECK_EQ(result, -ETIMEDOUT);
    CHECK_EQ(weft_close(fd), 0);
    full_listener_close(listener, stalled);
    return 0;
}

WEFT_TEST(tcp, 04_a_spurious_wake_up_is_not_taken_for_a_connection)
{
    CHECK_EQ(run_real(spurious_root, NULL), 0);
}

static int accepts_and_closes(void *arg)
{
    const int *listener = arg;
    for (;;) {
        int fd = weft_accept(*listener, NULL, NULL);
        if (fd < 0) return fd;
        CHECK_EQ(weft_close(fd), 0);
    }
}

static int peers_root(void *arg)
{
    (void)arg;
    struct address address;
    struct address refusing = refusing_address();
    int listener = listen_on_loopback(&address);
    weft_task acceptor = start(accepts_and_closes, &listener);
    for (int round = 0; round < 50; round++) {
        struct dial dials[4];
        weft_task tasks[4];
        for (int i = 0; i < 4; i++) {
            const char *target = i % 2 ? refusing.text : address.text;
            (void)snprintf(dials[i].address, sizeof dials[i].address, "%s", target);
            tasks[i] = start(dial_once, &dials[i]);
        }
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(finish(tasks[i]), 0);
            CHECK_EQ(dials[i].result, i % 2 ? -ECONNREFUSED : 0);
            if (i % 2) continue;
            struct sockaddr_in peer;
            socklen_t size = sizeof peer;
            CHECK_EQ(getpeername(dials[i].fd, (struct sockaddr *)&peer, &size), 0);
            CHECK_EQ(ntohs(peer.sin_port), address.port);
            CHECK_EQ(weft_close(dials[i].fd), 0);
        }
    }
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(finish(acceptor), -EBADF);
    return 0;
}

WEFT_TEST(tcp, 04_what_is_connected_has_a_peer)
{
    CHECK_EQ(run_real(peers_root, NULL), 0);
}

/* ---- 20, 23 ---- */

static int shutdowns_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    CHECK_EQ(weft_shutdown(fds[0], 99), -EINVAL);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_RDWR), 0);
    close_both(fds);

    weft_pair(fds);
    close_with_reset(fds[1]);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), -ENOTCONN);
    CHECK_EQ(weft_close(fds[0]), 0);

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(weft_shutdown(fd, SHUT_RDWR), -ENOTCONN);
    CHECK_EQ(weft_close(fd), 0);
    harness_pipe(fds);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_RD), -ENOTSOCK);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 20_shutdown_gives_the_codes_of_shutdown_2)
{
    CHECK_EQ(run_virtual(shutdowns_root, NULL), 0);
}

struct connecting {
    int fd;
    struct sockaddr_in address;
    int result;
};

static int connects(void *arg)
{
    struct connecting *connecting = arg;
    struct sockaddr *address = (struct sockaddr *)&connecting->address;
    connecting->result = weft_connect(connecting->fd, address, sizeof connecting->address);
    return 0;
}

static int close_early_root(void *arg)
{
    (void)arg;
    struct address address;
    int stalled[STALLED_COUNT];
    int full = full_listener(&address, stalled);
    int fd_count = harness_fd_count();
    struct connecting connecting = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                                    .address = loopback_address(weft_tcp_port(full)),
                                    .result = 77};
    weft_task task = start(connects, &connecting);
    settle();
    CHECK_EQ(connecting.result, 77);
    CHECK_EQ(weft_close(connecting.fd), 0);
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(connecting.result, -EBADF);
    CHECK_EQ(harness_fd_count(), fd_count);
    full_listener_close(full, stalled);

    int fds[2];
    weft_pair(fds);
    CHECK_EQ(weft_close(fds[1]), 0);
    char byte;
    CHECK_EQ(weft_read(fds[0], &byte, 1), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    return 0;
}

WEFT_TEST(tcp, 23_a_close_during_or_right_after_connect_leaves_nothing)
{
    CHECK_EQ(run_real(close_early_root, NULL), 0);
}

/* ---- 29, 31 ---- */

static int bad_addresses_root(void *arg)
{
    (void)arg;
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "localhost:80",
                                      "127.0.0.1:",
                                      "127.0.0.1:x",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:80x",
                                      "127.0.0:80",
                                      "[::1]",
                                      "[::1:80",
                                      "::1]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = 77;
        if (!CHECK_EQ(weft_tcp_listen(&fd, bad[i], NULL), -EINVAL)) CHECK_STR(bad[i], "refused");
        if (!CHECK_EQ(weft_tcp_dial(&fd, bad[i]), -EINVAL)) CHECK_STR(bad[i], "refused");
        CHECK_EQ(fd, 77);
    }
    return 0;
}

WEFT_TEST(tcp, 29_an_address_that_is_not_numeric_is_refused)
{
    CHECK_EQ(run_virtual(bad_addresses_root, NULL), 0);
}

static int unprivileged_child(void *arg)
{
    (void)arg;
    int fd = 77;
    if (geteuid() == 0) CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    return -weft_tcp_listen(&fd, "127.0.0.1:1", NULL);
}

static int first_unprivileged_port(void)
{
    int port = 1024;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (!file) return port;
    if (fscanf(file, "%d", &port) != 1) port = 1024; /* NOLINT(cert-err34-c): the kernel's text */
    (void)fclose(file);
    return port;
}

static int bind_errors_root(void *arg)
{
    (void)arg;
    struct address address;
    int fd_count = harness_fd_count();
    int listener = listen_on_loopback(&address);
    int fd = 77;
    CHECK_EQ(weft_tcp_listen(&fd, address.text, NULL), -EADDRINUSE);
    CHECK_EQ(weft_tcp_listen(&fd, "192.0.2.1:0", NULL), -EADDRNOTAVAIL);
    CHECK_EQ(fd, 77);
    CHECK_EQ(weft_close(listener), 0);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(weft_accept(fd, NULL, NULL), -EINVAL); /* not listening */
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(harness_fd_count(), fd_count);
    return 0;
}

WEFT_TEST(tcp, 29_errors_of_bind_and_listen_are_reported)
{
    CHECK_EQ(run_virtual(bind_errors_root, NULL), 0);

    struct harness_child child;
    harness_run_child(&child, unprivileged_child, NULL);
    CHECK_EQ(child.exit_code, first_unprivileged_port() > 1 ? EACCES : 0);
}

static int families_root(void *arg)
{
    (void)arg;
    int both = -1;
    int only_v6 = -1;
    int fd = -1;
    char address[64];
    struct weft_listen_options options = WEFT_LISTEN_OPTIONS_INIT;
    CHECK_EQ(weft_tcp_listen(&both, "[::]:0", &options), 0);
    options.v6only = 1;
    CHECK_EQ(weft_tcp_listen(&only_v6, "[::]:0", &options), 0);

    (void)snprintf(address, sizeof address, "127.0.0.1:%d", weft_tcp_port(both));
    CHECK_EQ(weft_tcp_dial(&fd, address), 0);
    CHECK_EQ(weft_close(fd), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", weft_tcp_port(only_v6));
    CHECK_EQ(weft_tcp_dial(&fd, address), -ECONNREFUSED);
    (void)snprintf(address, sizeof address, "[::1]:%d", weft_tcp_port(only_v6));
    CHECK_EQ(weft_tcp_dial(&fd, address), 0);
    CHECK_EQ(weft_close(fd), 0);
    CHECK_EQ(weft_close(both), 0);
    CHECK_EQ(weft_close(only_v6), 0);
    return 0;
}

WEFT_TEST(tcp, 31_a_listener_takes_both_families_or_only_the_one)
{
    CHECK_EQ(run_virtual(families_root, NULL), 0);
}

/* ---- 35: several addresses, by the caller ---- */

struct race {
    struct weft_scope scope;
    int winner;
};

struct racing_dial {
    struct race *race;
    char address[32];
};

static int races(void *arg)
{
    struct racing_dial *dial = arg;
    int fd = -1;
    int result = weft_tcp_dial(&fd, dial->address);
    if (result < 0) return 0; /* a failed attempt does not end the race */
    if (dial->race->winner >= 0) return weft_close(fd);
    dial->race->winner = fd;
    return weft_scope_cancel(&dial->race->scope);
}

/* The one is refused, the second hangs, the third answers (if asked to). */
static int run_race(struct race *race, const char *hanging, const char *answering)
{
    struct racing_dial dials[3] = {{.race = race}, {.race = race}, {.race = race}};
    struct address refusing = refusing_address();
    (void)snprintf(dials[0].address, sizeof dials[0].address, "%s", refusing.text);
    (void)snprintf(dials[1].address, sizeof dials[1].address, "%s", hanging);
    (void)snprintf(dials[2].address, sizeof dials[2].address, "%s", answering);
    race->winner = -1;
    CHECK_EQ(weft_scope_open_timeout(&race->scope, 100 * WEFT_MSEC), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_scope_spawn(&race->scope, NULL, races, &dials[i]), 0);
    }
    return weft_scope_close(&race->scope);
}

static int race_root(void *arg)
{
    struct race *race = arg;
    struct address full_address;
    struct address address;
    int stalled[STALLED_COUNT];
    int full = full_listener(&full_address, stalled);
    int listener = listen_on_loopback(&address);
    int fd_count = harness_fd_count();

    CHECK_EQ(run_race(race, full_address.text, address.text), -ECANCELED);
    CHECK(race->winner >= 0);
    CHECK_EQ(harness_fd_count(), fd_count + 1);
    CHECK_EQ(weft_close(race->winner), 0);

    CHECK_EQ(run_race(race, full_address.text, full_address.text), -ETIMEDOUT);
    CHECK_EQ(race->winner, -1);
    CHECK_EQ(harness_fd_count(), fd_count);
    CHECK_EQ(weft_close(listener), 0);
    full_listener_close(full, stalled);
    return 0;
}

WEFT_TEST(tcp, 35_of_racing_dials_the_first_wins_and_the_others_leave_nothing_open)
{
    struct race race;
    CHECK_EQ(run_real(race_root, &race), 0);
}

/* ---- 37 ---- */

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    CHECK_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static int options_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    CHECK_EQ(option_of(fds[1], IPPROTO_TCP, TCP_NODELAY), 1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        int on = 1;
        CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
        CHECK_EQ(option_of(fds[i], SOL_SOCKET, SO_KEEPALIVE), 1);
    }
    close_both(fds);

    int first = -1;
    int second = -1;
    struct weft_listen_options options = WEFT_LISTEN_OPTIONS_INIT;
    options.reuse_port = 1;
    CHECK_EQ(weft_tcp_listen(&first, "127.0.0.1:0", &options), 0);
    struct address address = address_of(weft_tcp_port(first));
    CHECK_EQ(weft_tcp_listen(&second, address.text, &options), 0);
    CHECK_EQ(fcntl(first, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(option_of(first, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQ(weft_close(first), 0);
    CHECK_EQ(weft_close(second), 0);
    return 0;
}

WEFT_TEST(tcp, 37_sockets_come_with_the_promised_options)
{
    CHECK_EQ(run_virtual(options_root, NULL), 0);
}
