/* SPDX-License-Identifier: MIT */
/* [C-18] What native() and native_fd() give to a host that waits by itself. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c18, both_stay_the_same_and_end_with_the_loop)
{
    struct fixture fixture;
    int fd_count = harness_fd_count();
    if (!fixture_open(&fixture)) return;

    void *native = weft__backend.native(fixture.state);
    int native_fd = weft__backend.native_fd(fixture.state);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    CHECK_PTR(weft__backend.native(fixture.state), native);
    CHECK_EQ(weft__backend.native_fd(fixture.state), native_fd);
    if (native_fd >= 0) CHECK_EQ(fcntl(native_fd, F_GETFD), FD_CLOEXEC);
    fixture_close(&fixture);
    CHECK_EQ(harness_fd_count(), fd_count);
}

/* 1 if the descriptor polls readable within 60 ms. */
static int is_readable(int fd)
{
    struct pollfd request = {.fd = fd, .events = POLLIN};
    return poll(&request, 1, 60);
}

WEFT_TEST(c18, the_descriptor_is_readable_when_poll_would_find_something)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    int native_fd = weft__backend.native_fd(fixture.state);
    if (native_fd < 0) {
        CHECK_EQ(native_fd, -ENOSYS);
        fixture_close(&fixture);
        return;
    }

    CHECK_EQ(is_readable(native_fd), 0);
    fixture_arm(&fixture, fds[0], READ, 1);
    CHECK_EQ(is_readable(native_fd), 0);
    fixture_put(fds[1], 1);
    CHECK_EQ(is_readable(native_fd), 1);
    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    harness_drain(fds[0]);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    CHECK_EQ(is_readable(native_fd), 0);
    weft__backend.wake(fixture.state);
    CHECK_EQ(is_readable(native_fd), 1);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    CHECK_EQ(is_readable(native_fd), 0);
    fixture_close(&fixture);
}

/* A host has the number in its own set; what happens inside must not turn it deaf. */
WEFT_TEST(c18, a_host_on_epoll_hears_on_after_a_ghost)
{
    struct fixture fixture;
    int ghost[2], fds[2];
    harness_pipe(ghost);
    harness_pipe(fds);
    int duplicate = dup(ghost[0]);
    if (!fixture_open(&fixture)) return;
    int native_fd = weft__backend.native_fd(fixture.state);
    if (native_fd < 0) {
        CHECK_EQ(native_fd, -ENOSYS);
        fixture_close(&fixture);
        return;
    }
    int host = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(host, EPOLL_CTL_ADD, native_fd, &event), 0);

    fixture_arm(&fixture, fds[0], READ, 1);
    for (int i = 0; i < 3; i++) {
        int number = dup(ghost[0]);
        fixture_arm(&fixture, number, READ, 2);
        close(number);
        fixture_disarm(&fixture, number);
        fixture_put(ghost[1], 1);
        CHECK_QUIET(&fixture);
        harness_drain(duplicate);

        CHECK_EQ(weft__backend.native_fd(fixture.state), native_fd);
        CHECK_EQ(epoll_wait(host, &event, 1, 0), 0);
        fixture_put(fds[1], 1);
        CHECK_EQ(epoll_wait(host, &event, 1, 60), 1);
        harness_drain(fds[0]);
        CHECK_EQ(fixture_poll(&fixture, 0), 0);
    }
    fixture_close(&fixture);
}
