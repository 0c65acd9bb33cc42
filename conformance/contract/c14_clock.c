/* SPDX-License-Identifier: MIT */
/* [C-14] now_ns() is CLOCK_MONOTONIC, read now: never cached, never going back. */
#include "conformance/contract/fixture.h"

/* One reading lies between two of our own. */
static void check_fresh(const struct fixture *fixture)
{
    int64_t before = harness_now_ns();
    int64_t now = weft__backend.now_ns(fixture->state);
    int64_t after = harness_now_ns();
    CHECK_WITHIN(now, before, after);
}

WEFT_TEST(c14, it_is_the_monotonic_clock)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    check_fresh(&fixture);
    fixture_close(&fixture);
}

/* Trap 1: a loop that reads its clock once per pass. */
WEFT_TEST(c14, it_moves_while_the_thread_works)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[1], WRITE, 1);

    for (int i = 0; i < 5; i++) {
        CHECK_EQ(fixture_poll(&fixture, 0), 1);
        check_fresh(&fixture);
        harness_sleep_ms(8);
        check_fresh(&fixture);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c14, it_is_fresh_after_a_sleep)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (int i = 0; i < 5; i++) {
        int64_t before = weft__backend.now_ns(fixture.state);
        CHECK_EQ(fixture_poll(&fixture, 3 * NS_PER_MS), 0);
        CHECK(weft__backend.now_ns(fixture.state) - before >= 3 * NS_PER_MS);
        check_fresh(&fixture);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c14, it_never_goes_back)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    int64_t last = weft__backend.now_ns(fixture.state);
    for (int i = 0; i < 100000; i++) {
        int64_t now = weft__backend.now_ns(fixture.state);
        if (!CHECK(now >= last)) break;
        last = now;
    }
    fixture_close(&fixture);
}
