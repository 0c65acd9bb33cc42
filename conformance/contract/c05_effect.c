/* SPDX-License-Identifier: MIT */
/* [C-5] What was armed takes effect at the next poll, without any further call. */
#include "conformance/contract/fixture.h"

WEFT_TEST(c05, ready_before_arm_is_found_by_the_next_poll)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    fixture_put(fds[1], 1);
    if (!fixture_open(&fixture)) return;

    fixture_arm(&fixture, fds[0], READ, 1);

    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c05, arming_after_polls_takes_effect)
{
    struct fixture fixture;
    int reads[2], writes[2];
    harness_pipe(reads);
    harness_pipe(writes);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, reads[0], READ, 1);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), 0);

    fixture_arm(&fixture, writes[1], WRITE, 2);

    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    CHECK_EQ(fixture_found(&fixture, 2), WRITE);
    fixture_close(&fixture);
}

WEFT_TEST(c05, narrower_interest_takes_effect)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    fixture_put(fds[1], 1);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], BOTH, 1);
    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    CHECK_EQ(fixture_found(&fixture, 1), BOTH);

    fixture_arm(&fixture, fds[0], READ, 1);

    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c05, arm_disarm_arm_between_two_polls_counts_once)
{
    struct fixture fixture;
    int fds[2];
    harness_socket_pair(fds);
    if (!fixture_open(&fixture)) return;
    for (int i = 0; i < 100; i++) {
        fixture_arm(&fixture, fds[0], i % 2 ? READ : BOTH, 100 + (uint64_t)i);
        if (i % 3 == 0) fixture_disarm(&fixture, fds[0]);
    }

    fixture_arm(&fixture, fds[0], WRITE, 7);

    CHECK_EQ(fixture_poll(&fixture, 0), 1);
    CHECK_EQ(fixture_found(&fixture, 7), WRITE);
    fixture_close(&fixture);
}
