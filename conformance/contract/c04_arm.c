/* SPDX-License-Identifier: MIT */
/* [C-4] arm() replaces interest and token; reports are level-triggered. */
#include <fcntl.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c04, an_unread_byte_is_reported_by_each_poll)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 5);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    fixture_put(fds[1], 1);

    for (int i = 0; i < 50; i++) {
        CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 1);
        CHECK_EQ(fixture_found(&fixture, 5), READ);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c04, what_a_partial_read_leaves_is_reported)
{
    struct fixture fixture;
    int fds[2];
    char byte;
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 5);
    fixture_put(fds[1], 2);
    CHECK_EQ(fixture_wait(&fixture, 5), READ);

    CHECK_EQ(read(fds[0], &byte, 1), 1);

    CHECK_EQ(fixture_wait(&fixture, 5), READ);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    CHECK_QUIET(&fixture);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, 5), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c04, only_the_armed_direction_is_reported)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    if (!fixture_open(&fixture)) return;

    fixture_arm(&fixture, fds[0], READ, 1);
    CHECK_QUIET(&fixture); /* writable, but nobody asked */
    fixture_arm(&fixture, fds[0], WRITE, 1);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, 1), WRITE);
    fixture_arm(&fixture, fds[0], BOTH, 1);
    CHECK_EQ(fixture_wait(&fixture, 1), BOTH);
    harness_fill(fds[0]);
    CHECK_EQ(fixture_wait(&fixture, 1), READ);
    harness_drain(fds[0]);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c04, both_directions_come_as_one_event)
{
    struct fixture fixture;
    int fds[2];
    harness_tcp_pair(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], BOTH, 9);

    /* The byte may still be on its way when the socket is writable already. */
    for (int i = 0; i < 1000 && fixture_found(&fixture, 9) != BOTH; i++) {
        CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 1);
    }

    CHECK_EQ(fixture_found(&fixture, 9), BOTH);
    fixture_close(&fixture);
}

WEFT_TEST(c04, interest_moves_from_one_direction_to_the_other)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    if (!fixture_open(&fixture)) return;

    for (int i = 0; i < 3; i++) {
        fixture_arm(&fixture, fds[0], WRITE, 1);
        CHECK_EQ(fixture_wait(&fixture, 1), WRITE);
        fixture_arm(&fixture, fds[0], READ, 1);
        CHECK_EQ(fixture_poll(&fixture, 0), 0);
        fixture_put(fds[1], 1);
        CHECK_EQ(fixture_wait(&fixture, 1), READ);
        harness_drain(fds[0]);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c04, the_last_token_counts)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], READ, 1);
    CHECK_EQ(fixture_wait(&fixture, 1), READ);

    fixture_arm(&fixture, fds[0], READ, UINT64_MAX);
    CHECK_EQ(fixture_wait(&fixture, UINT64_MAX), READ);
    CHECK_EQ(fixture_found(&fixture, 1), 0);
    fixture_arm(&fixture, fds[0], READ, 0);
    CHECK_EQ(fixture_wait(&fixture, 0), READ);
    CHECK_EQ(fixture_found(&fixture, UINT64_MAX), 0);
    fixture_close(&fixture);
}

WEFT_TEST(c04, a_descriptor_and_its_duplicate_are_two)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int duplicate = dup(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    fixture_arm(&fixture, duplicate, READ, 2);

    fixture_put(fds[1], 1);

    CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 2);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    CHECK_EQ(fixture_found(&fixture, 2), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c04, high_numbers_work)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int high = dup2(fds[0], 1000);
    CHECK_OR_RETURN(high == 1000, );
    if (!fixture_open(&fixture)) return;

    fixture_arm(&fixture, high, READ, 1);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, 1), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c04, flags_of_the_file_are_not_touched)
{
    struct fixture fixture;
    int fds[2];
    CHECK_EQ(pipe(fds), 0); /* blocking */
    if (!fixture_open(&fixture)) return;

    fixture_arm(&fixture, fds[1], WRITE, 1);
    CHECK_EQ(fixture_wait(&fixture, 1), WRITE);
    fixture_disarm(&fixture, fds[1]);

    CHECK_EQ(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    fixture_close(&fixture);
}
