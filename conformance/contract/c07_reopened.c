/* SPDX-License-Identifier: MIT */
/* [C-7] A number that was closed and opened again behind the backend's back is armed as new. */
#include <unistd.h>

#include "conformance/contract/fixture.h"

#define OLD 1
#define NEW 2

/* Puts an idle pipe's reading end at number `fd`, which is closed first; returns its writer. */
static int replace_by_idle_pipe(int fd)
{
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(dup2(fds[0], fd), fd);
    close(fds[0]);
    return fds[1];
}

/* The new owner of the number hears of its own readiness, and of nothing else. */
static void check_new_owner(struct fixture *fixture, int writer)
{
    CHECK_QUIET(fixture);
    fixture_put(writer, 1);
    CHECK_EQ(fixture_wait(fixture, NEW), READ);
    CHECK_EQ(fixture_found(fixture, OLD), 0);
}

WEFT_TEST(c07, reopened_number_is_armed_as_new)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_wait(&fixture, OLD), READ);

    int writer = replace_by_idle_pipe(fds[0]);
    fixture_arm(&fixture, fds[0], READ, NEW);

    check_new_owner(&fixture, writer);
    fixture_close(&fixture);
}

WEFT_TEST(c07, reopened_number_with_another_interest)
{
    struct fixture fixture;
    int fds[2], others[2];
    harness_pipe(fds);
    harness_socket_pair(others);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    CHECK_EQ(dup2(others[0], fds[0]), fds[0]);
    fixture_arm(&fixture, fds[0], WRITE, NEW);

    CHECK_EQ(fixture_wait(&fixture, NEW), WRITE);
    fixture_close(&fixture);
}

/* Trap 9: the kernel still watches the old file, because a duplicate keeps it open. */
WEFT_TEST(c07, ready_duplicate_of_the_old_file_never_reaches_the_new_owner)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int duplicate = dup(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    int writer = replace_by_idle_pipe(fds[0]);
    fixture_arm(&fixture, fds[0], READ, NEW);
    fixture_put(fds[1], 1);

    check_new_owner(&fixture, writer);
    CHECK_EQ(harness_drain(duplicate), 1);
    fixture_close(&fixture);
}

WEFT_TEST(c07, ghost_does_not_disturb_others_that_are_armed)
{
    struct fixture fixture;
    int ghost[2], readable[2], writable[2], idle[2];
    harness_pipe(ghost);
    harness_pipe(readable);
    harness_pipe(writable);
    harness_pipe(idle);
    int duplicate = dup(ghost[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, ghost[0], READ, OLD);
    fixture_arm(&fixture, idle[0], READ, 10);
    fixture_put(readable[1], 1);

    int writer = replace_by_idle_pipe(ghost[0]);
    fixture_arm(&fixture, ghost[0], READ, NEW);
    fixture_put(ghost[1], 1);
    fixture_arm(&fixture, readable[0], READ, 11);
    fixture_arm(&fixture, writable[1], WRITE, 12);

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 2);
        CHECK_EQ(fixture_found(&fixture, 11), READ);
        CHECK_EQ(fixture_found(&fixture, 12), WRITE);
    }
    fixture_disarm(&fixture, readable[0]);
    fixture_disarm(&fixture, writable[1]);
    check_new_owner(&fixture, writer);
    fixture_put(idle[1], 1);
    weft__backend.wake(fixture.state);
    for (int i = 0; i < 10 && !fixture_found(&fixture, 10); i++) {
        fixture_poll(&fixture, NS_PER_SEC);
    }
    CHECK_EQ(fixture_found(&fixture, 10), READ);
    close(duplicate);
    fixture_close(&fixture);
}

/* A ghost that can be heard: its number is closed, and what it stood for is ready. */
static void make_ghost(struct fixture *fixture)
{
    int fds[2];
    harness_pipe(fds);
    CHECK(dup(fds[0]) >= 0);
    fixture_arm(fixture, fds[0], READ, OLD);
    close(fds[0]);
    fixture_disarm(fixture, fds[0]);
    fixture_put(fds[1], 1);
}

WEFT_TEST(c07, ghost_costs_no_wake_and_no_descriptor)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, NEW);
    for (int i = 0; i < 3; i++) {
        make_ghost(&fixture);
        int fd_count = harness_fd_count();

        CHECK_QUIET(&fixture);

        CHECK_EQ(harness_fd_count(), fd_count);
        weft__backend.wake(fixture.state);
        CHECK_EQ(fixture_poll(&fixture, 2 * NS_PER_SEC), 0);
        int64_t start = harness_now_ns();
        weft__backend.wake(fixture.state);
        CHECK_EQ(fixture_poll(&fixture, 2 * NS_PER_SEC), 0);
        CHECK_WITHIN(harness_now_ns() - start, 0, NS_PER_SEC);
    }
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, NEW), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c07, ghost_beside_numbers_that_were_refused_or_closed)
{
    struct fixture fixture;
    int refused[2], closed[2], fds[2];
    harness_pipe(refused);
    harness_pipe(closed);
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, closed[0], READ, 3);
    fixture_arm(&fixture, fds[0], READ, NEW);
    int spare = dup(refused[0]);
    close(refused[0]);
    CHECK(weft__backend.arm(fixture.state, refused[0], READ, 4) < 0);
    CHECK_EQ(dup2(spare, refused[0]), refused[0]);
    fixture_put(refused[1], 1); /* open and ready, but nothing is armed for it */
    make_ghost(&fixture);
    close(closed[0]); /* stays armed, and must not stop the loop from laying the ghost */

    check_new_owner(&fixture, fds[1]);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 1);
    CHECK_EQ(fixture_found(&fixture, NEW), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c07, reopened_number_under_the_same_token)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, NEW);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    int writer = replace_by_idle_pipe(fds[0]);
    fixture_arm(&fixture, fds[0], READ, NEW);

    check_new_owner(&fixture, writer);
    fixture_close(&fixture);
}

WEFT_TEST(c07, number_that_comes_back_to_the_same_file)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int duplicate = dup(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);

    close(fds[0]);
    fixture_disarm(&fixture, fds[0]); /* cannot reach the kernel's registration any more */
    CHECK_EQ(dup2(duplicate, fds[0]), fds[0]);
    fixture_arm(&fixture, fds[0], READ, NEW);

    check_new_owner(&fixture, fds[1]);
    fixture_close(&fixture);
}

WEFT_TEST(c07, closed_number_that_stays_armed_is_silent)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);

    close(fds[0]);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c07, reuse_between_two_polls_a_thousand_times)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    int fds[2];
    harness_pipe(fds);
    int number = fds[0];
    for (uint64_t i = 0; i < 1000; i++) {
        fixture_arm(&fixture, number, READ, i);
        fixture_put(fds[1], 1);
        CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 1);
        if (!CHECK_EQ(fixture_found(&fixture, i), READ)) break;

        if (i % 2 == 0) weft__backend.forget(fixture.state, number);
        close(number);
        close(fds[1]);
        harness_pipe(fds);
        CHECK_EQ(fds[0], number);
    }
    fixture_close(&fixture);
}
