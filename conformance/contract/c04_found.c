/* SPDX-License-Identifier: MIT */
/* [C-4] What is found at ends, errors and odd files: the rows on which event loops differ. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

/* Arms `fd` alone in a new backend, and gives what it finds; 0: nothing within 60 ms. */
static unsigned found_for(int fd, unsigned interest)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return 0;

    fixture_arm(&fixture, fd, interest, 1);
    fixture_poll(&fixture, 60 * NS_PER_MS);
    unsigned found = fixture_found(&fixture, 1);
    fixture_close(&fixture);
    return found;
}

WEFT_TEST(c04, pipe_whose_writer_is_gone_hangs_up)
{
    int fds[2];
    harness_pipe(fds);
    close(fds[1]);

    CHECK_HANGUP(found_for(fds[0], READ), READ);
}

WEFT_TEST(c04, pipe_with_data_whose_writer_is_gone_is_readable)
{
    int fds[2];
    harness_pipe(fds);
    fixture_put(fds[1], 1);
    close(fds[1]);

    CHECK_EQ(found_for(fds[0], READ) & READ, READ);
}

WEFT_TEST(c04, pipe_whose_reader_is_gone_hangs_up)
{
    int fds[2];
    harness_pipe(fds);
    close(fds[0]);

    CHECK_HANGUP(found_for(fds[1], WRITE), WRITE);
}

WEFT_TEST(c04, full_pipe_whose_reader_is_gone_hangs_up)
{
    int fds[2];
    harness_pipe(fds);
    harness_fill(fds[1]);
    CHECK_EQ(found_for(fds[1], WRITE), 0);
    close(fds[0]);

    CHECK_HANGUP(found_for(fds[1], WRITE), WRITE);
}

/* A loop may stop watching what has an error; then it has to begin again. */
WEFT_TEST(c04, hang_up_is_reported_by_each_poll)
{
    struct fixture fixture;
    int reader[2], writer[2];
    harness_pipe(reader);
    harness_pipe(writer);
    close(reader[1]);
    close(writer[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, reader[0], READ, 1);
    fixture_arm(&fixture, writer[1], WRITE, 2);

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 2);
        CHECK_HANGUP(fixture_found(&fixture, 1), READ);
        CHECK_HANGUP(fixture_found(&fixture, 2), WRITE);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c04, hang_up_reaches_a_descriptor_that_is_armed_already)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    harness_fill(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], WRITE, 1);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    close(fds[1]);

    CHECK_HANGUP(fixture_wait(&fixture, 1), WRITE);
    fixture_close(&fixture);
}

WEFT_TEST(c04, reset_wakes_a_reader_and_a_writer)
{
    static const unsigned interests[] = {READ, WRITE, BOTH};
    for (int i = 0; i < 3; i++) {
        int fds[2];
        harness_tcp_pair(fds);
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        close(fds[1]);

        CHECK_HANGUP(found_for(fds[0], interests[i]), interests[i]);

        char byte;
        CHECK_EQ(read(fds[0], &byte, 1), -1);
        CHECK_EQ(errno, ECONNRESET); /* the backend has not taken the error away */
        close(fds[0]);
    }
}

/* A loopback port that nobody listens on. */
static struct sockaddr_in refusing_address(void)
{
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    close(listener);
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };
}

WEFT_TEST(c04, refused_connect_wakes_the_writer_and_keeps_its_error)
{
    struct sockaddr_in address = refusing_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);

    CHECK_HANGUP(found_for(fd, WRITE), WRITE);

    int error = 0;
    socklen_t size = sizeof error;
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    CHECK_EQ(error, ECONNREFUSED);
}

WEFT_TEST(c04, refused_datagram_wakes_the_reader_and_keeps_its_error)
{
    struct sockaddr_in address = refusing_address();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    fixture_put(fd, 1);

    CHECK_HANGUP(found_for(fd, READ), READ);

    char byte;
    CHECK_EQ(read(fd, &byte, 1), -1);
    CHECK_EQ(errno, ECONNREFUSED);
}

WEFT_TEST(c04, connect_that_succeeds_is_writable)
{
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_EQ(found_for(listener, READ), 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);

    CHECK_EQ(found_for(fd, WRITE), WRITE);
    CHECK_EQ(found_for(listener, READ), READ);
}

WEFT_TEST(c04, socket_that_was_never_connected_does_not_sleep)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK_HANGUP(found_for(fd, READ), READ);
}

WEFT_TEST(c04, end_of_input_is_readable_and_no_hang_up)
{
    int fds[2];
    harness_tcp_pair(fds);
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);

    CHECK_EQ(found_for(fds[0], READ), READ);
    CHECK_EQ(found_for(fds[0], WRITE), WRITE);
}

/* Trap 5: a loop that always asks for RDHUP spins here. */
WEFT_TEST(c04, writer_with_a_full_buffer_sleeps_through_the_end_of_input)
{
    struct fixture fixture;
    int fds[2];
    harness_tcp_pair(fds);
    CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
    harness_fill(fds[0]);
    harness_sleep_ms(5); /* what is still on its way makes a little room */
    harness_fill(fds[0]);
    if (!fixture_open(&fixture)) return;

    fixture_arm(&fixture, fds[0], WRITE, 1);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c04, urgent_byte_alone_is_not_readable)
{
    int fds[2];
    harness_tcp_pair(fds);
    CHECK_EQ(send(fds[1], "u", 1, MSG_OOB), 1);

    CHECK_EQ(found_for(fds[0], READ), 0);
}

WEFT_TEST(c04, idle_epoll_descriptor_is_quiet_and_a_busy_one_readable)
{
    int fds[2];
    harness_pipe(fds);
    int nested = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(nested, EPOLL_CTL_ADD, fds[0], &event), 0);

    CHECK_EQ(found_for(nested, READ), 0);
    fixture_put(fds[1], 1);
    CHECK_EQ(found_for(nested, READ), READ);
}
