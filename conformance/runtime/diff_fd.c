/* SPDX-License-Identifier: MIT */
/*
 * Differences between event loops about descriptors that the rows' other tests do not show by
 * themselves; docs/conformance-differences.md lists all of them.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

/* ---- 04: a state is reported as long as it lasts ---- */

static int unread_root(void *arg)
{
    int *fds = arg;
    put_byte(fds[1], 'u');
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 2 * WEFT_SEC), WEFT_READABLE);
    }
    CHECK_EQ(take_byte(fds[0]), 'u');
    return 0;
}

WEFT_TEST(fd, 04b_one_unread_byte_ends_fifty_waits)
{
    int fds[2];
    harness_tcp_pair(fds);

    CHECK_EQ(run_real(unread_root, fds), 0);
}

/* ---- 17: an error is a reason to wake, not a bad descriptor ---- */

/* A datagram socket whose peer does not exist. */
static int open_refused(void)
{
    uint16_t port = 0;
    close(harness_tcp_listener(&port)); /* nobody listens there, on UDP neither */
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int refused_root(void *arg)
{
    (void)arg;
    struct transfer transfer = {.fd = open_refused(), .size = 1};
    weft_with_timeout(2 * WEFT_SEC) {
        for (int i = 0; i < 3; i++) {
            weft_task reader = start(read_once, &transfer);
            settle();
            put_byte(transfer.fd, 'r');
            CHECK_EQ(finish(reader), 0);
            CHECK_EQ(transfer.result, -ECONNREFUSED);
        }
    }
    CHECK_EQ(weft_close(transfer.fd), 0);
    return 0;
}

WEFT_TEST(fd, 17b_a_refused_datagram_wakes_its_reader_each_time)
{
    CHECK_EQ(run_real(refused_root, NULL), 0);
}

/* ---- 27: numbers are watched, not files ---- */

/* One of two numbers of a file is closed; which one must not matter. */
static void close_one_of_two(int closed, int open, int writer)
{
    struct waiter gone = {.fd = closed, .events = WEFT_READABLE};
    struct waiter left = {.fd = open, .events = WEFT_READABLE};
    bool is_older = closed < open;
    weft_with_timeout(2 * WEFT_SEC) {
        weft_task first = start(wait_once, is_older ? &gone : &left);
        weft_task second = start(wait_once, is_older ? &left : &gone);
        settle();
        CHECK_EQ(weft_close(closed), 0);
        CHECK_EQ(finish(is_older ? first : second), 0);
        CHECK_EQ(gone.result, -EBADF);
        CHECK_EQ(left.wakes, 0);

        put_byte(writer, 'd');
        CHECK_EQ(finish(is_older ? second : first), 0);
    }
    CHECK_EQ(left.result, WEFT_READABLE);
    CHECK_EQ(take_byte(open), 'd');
}

static int one_of_two_root(void *arg)
{
    const int *fds = arg;
    int copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 100);
    close_one_of_two(copy, fds[0], fds[1]);
    copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 200);
    close_one_of_two(fds[0], copy, fds[1]);
    return 0;
}

WEFT_TEST(fd, 27b_closing_a_descriptor_leaves_its_copy_watched)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(one_of_two_root, fds), 0);
}

/* ---- 35: what a child keeps open ---- */

static int wait_40_ms(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = wait_for(waiter->fd, waiter->events, 40 * WEFT_MSEC);
    return 0;
}

/* Observed: the kernel goes on reporting the number, and nobody can remove it any more. */
static int ghost_of_a_child_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task old = start(wait_40_ms, &waiter);
    settle();
    pid_t pid = fork();
    if (pid == 0) {
        pause(); /* its copy stays open */
        _exit(0);
    }
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(finish(old), 0);
    CHECK(waiter.result == -ETIMEDOUT || waiter.result == -EBADF);

    int new_fds[2];
    harness_pipe(new_fds);
    if (new_fds[0] != fds[0]) CHECK_EQ(dup2(new_fds[0], fds[0]), fds[0]);
    put_byte(fds[1], 'g');
    check_idle(40);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 30 * WEFT_MSEC), -ETIMEDOUT);
    check_idle(40);
    put_byte(new_fds[1], 'n');
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 2 * WEFT_SEC), WEFT_READABLE);

    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    return 0;
}

WEFT_TEST(fd, 35b_a_ghost_that_a_child_keeps_alive_reaches_nobody)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(ghost_of_a_child_root, fds), 0);
}
