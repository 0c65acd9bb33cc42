/* SPDX-License-Identifier: MIT */
/* [C-8] disarm() ends all reports of a token, and is harmless where nothing is armed. */
#include <limits.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c08, no_report_after_disarm)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], BOTH, 1);
    CHECK_EQ(fixture_wait(&fixture, 1), BOTH);

    fixture_disarm(&fixture, fds[0]);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

/* Neither HUP nor ERR can be masked: what is only masked spins here. */
WEFT_TEST(c08, hung_up_descriptor_is_silent_after_disarm)
{
    struct fixture fixture;
    int reader[2], writer[2];
    harness_pipe(reader);
    harness_pipe(writer);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, reader[0], READ, 1);
    fixture_arm(&fixture, writer[1], WRITE, 2);
    close(reader[1]);
    close(writer[0]);
    CHECK_HANGUP(fixture_wait(&fixture, 1), READ);
    CHECK_HANGUP(fixture_found(&fixture, 2), WRITE);

    fixture_disarm(&fixture, reader[0]);
    fixture_disarm(&fixture, writer[1]);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c08, disarm_before_the_first_poll)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], READ, 1);

    fixture_disarm(&fixture, fds[0]);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c08, armed_again_after_disarm)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    for (uint64_t i = 0; i < 10; i++) {
        fixture_arm(&fixture, fds[0], READ, i);
        CHECK_EQ(fixture_wait(&fixture, i), READ);
        fixture_disarm(&fixture, fds[0]);
        CHECK_EQ(fixture_poll(&fixture, 0), 0);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c08, what_is_not_armed_is_ignored)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    static const int numbers[] = {-1, INT_MIN, INT_MAX, 0, 999, 1 << 20};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        weft__backend.disarm(fixture.state, numbers[i]);
        weft__backend.forget(fixture.state, numbers[i]);
    }
    fixture_disarm(&fixture, fds[0]);
    fixture_arm(&fixture, fds[0], READ, 1);
    fixture_disarm(&fixture, fds[0]);
    fixture_disarm(&fixture, fds[0]);
    weft__backend.forget(fixture.state, fds[0]);

    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c08, others_stay_armed)
{
    struct fixture fixture;
    int one[2], other[2];
    harness_pipe(one);
    harness_pipe(other);
    if (!fixture_open(&fixture)) return;
    fixture_put(one[1], 1);
    fixture_put(other[1], 1);
    fixture_arm(&fixture, one[0], READ, 1);
    fixture_arm(&fixture, other[0], READ, 2);

    fixture_disarm(&fixture, one[0]);

    CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 1);
    CHECK_EQ(fixture_found(&fixture, 2), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c08, number_that_was_closed_first)
{
    struct fixture fixture;
    int fds[2], others[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);

    close(fds[0]);
    fixture_disarm(&fixture, fds[0]);

    harness_pipe(others); /* most likely at the same number */
    fixture_put(others[1], 1);
    CHECK_QUIET(&fixture);
    fixture_arm(&fixture, others[0], READ, 2);
    CHECK_EQ(fixture_wait(&fixture, 2), READ);
    fixture_close(&fixture);
}
