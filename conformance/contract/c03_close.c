/* SPDX-License-Identifier: MIT */
/* [C-3] close() releases everything, whatever is still armed. */
#include <fcntl.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c03, armed_descriptors_are_let_go_and_stay_open)
{
    int fds[2];
    harness_socket_pair(fds);
    int fd_count = harness_fd_count();
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], BOTH, 1);
    fixture_arm(&fixture, fds[1], READ, 2);

    fixture_close(&fixture);

    CHECK_EQ(harness_fd_count(), fd_count);
    fixture_put(fds[0], 3);
    CHECK_EQ(harness_drain(fds[1]), 3);
}

WEFT_TEST(c03, a_pending_wake_and_unreported_events_do_no_harm)
{
    int fds[2];
    harness_pipe(fds);
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    fixture_put(fds[1], 1);
    weft__backend.wake(fixture.state);

    fixture_close(&fixture);

    CHECK_EQ(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

WEFT_TEST(c03, a_thousand_cycles_leave_nothing)
{
    int fds[2];
    harness_pipe(fds);
    int fd_count = harness_fd_count();
    size_t resident = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 100) resident = harness_resident_size();
        struct fixture fixture;
        if (!fixture_open(&fixture)) return;
        fixture_arm(&fixture, fds[0], READ, 1);
        CHECK_EQ(fixture_poll(&fixture, 0), 0);
        fixture_close(&fixture);
    }

    CHECK_EQ(harness_fd_count(), fd_count);
    if (harness_sizes_are_exact()) {
        CHECK_WITHIN(harness_resident_size(), 0, resident + (1 << 20));
    }
}
