/* SPDX-License-Identifier: MIT */
/* [C-11] What did not fit is reported by later polls, and none is starved. */
#include <unistd.h>

#include "conformance/contract/fixture.h"

#define FD_COUNT 60

struct crowd {
    struct fixture fixture;
    int fds[FD_COUNT][2];
    int reports[FD_COUNT];
};

static bool crowd_open(struct crowd *crowd)
{
    *crowd = (struct crowd){.fds = {{0}}};
    if (!fixture_open(&crowd->fixture)) return false;
    for (int i = 0; i < FD_COUNT; i++) {
        harness_pipe(crowd->fds[i]);
        fixture_put(crowd->fds[i][1], 1);
        fixture_arm(&crowd->fixture, crowd->fds[i][0], READ, (uint64_t)i);
    }
    return true;
}

static void crowd_poll(struct crowd *crowd, int capacity)
{
    struct weft_event events[FD_COUNT];
    int count = weft__backend.poll(crowd->fixture.state, NS_PER_SEC, events, capacity);
    CHECK_WITHIN(count, 0, capacity);
    for (int i = 0; i < count; i++) {
        CHECK_OR_RETURN(events[i].token < FD_COUNT, );
        crowd->reports[events[i].token]++;
    }
}

WEFT_TEST(c11, all_of_60_come_within_a_few_polls_of_8)
{
    struct crowd crowd;
    if (!crowd_open(&crowd)) return;

    for (int i = 0; i < 24; i++) {
        crowd_poll(&crowd, 8);
    }

    for (int i = 0; i < FD_COUNT; i++) {
        CHECK(crowd.reports[i] > 0);
    }
    fixture_close(&crowd.fixture);
}

WEFT_TEST(c11, even_with_room_for_one)
{
    struct crowd crowd;
    if (!crowd_open(&crowd)) return;

    for (int i = 0; i < 4 * FD_COUNT; i++) {
        crowd_poll(&crowd, 1);
    }

    for (int i = 0; i < FD_COUNT; i++) {
        CHECK(crowd.reports[i] > 0);
    }
    fixture_close(&crowd.fixture);
}

WEFT_TEST(c11, over_a_thousand_polls_nobody_lags_behind)
{
    struct crowd crowd;
    if (!crowd_open(&crowd)) return;

    for (int i = 0; i < 1000; i++) {
        crowd_poll(&crowd, 6); /* fair would be 100 each */
    }

    for (int i = 0; i < FD_COUNT; i++) {
        CHECK_WITHIN(crowd.reports[i], 50, 200);
    }
    fixture_close(&crowd.fixture);
}

WEFT_TEST(c11, wakes_do_not_take_the_place_of_events)
{
    struct crowd crowd;
    if (!crowd_open(&crowd)) return;

    for (int i = 0; i < 8 * FD_COUNT; i++) {
        weft__backend.wake(crowd.fixture.state);
        crowd_poll(&crowd, 1);
    }

    for (int i = 0; i < FD_COUNT; i++) {
        CHECK(crowd.reports[i] > 0);
    }
    fixture_close(&crowd.fixture);
}

WEFT_TEST(c11, disarmed_before_its_turn_is_not_reported)
{
    struct crowd crowd;
    if (!crowd_open(&crowd)) return;
    crowd_poll(&crowd, 8);

    for (int i = 0; i < FD_COUNT; i += 2) {
        fixture_disarm(&crowd.fixture, crowd.fds[i][0]);
        crowd.reports[i] = 0;
    }

    for (int i = 0; i < 40; i++) {
        crowd_poll(&crowd, 4);
    }
    for (int i = 0; i < FD_COUNT; i++) {
        CHECK_EQ(crowd.reports[i] > 0, i % 2);
    }
    fixture_close(&crowd.fixture);
}

WEFT_TEST(c11, more_than_one_kernel_batch)
{
    enum { MANY = 700 };
    static int fds[MANY][2];
    static struct weft_event events[MANY];
    static int reports[MANY];
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    int opened = 0;
    while (opened < MANY && pipe(fds[opened]) == 0) {
        fixture_arm(&fixture, fds[opened][1], WRITE, (uint64_t)opened);
        opened++;
    }
    CHECK(opened > 300); /* the limit of open files may be 1024 */

    for (int i = 0; i < 8; i++) {
        int count = weft__backend.poll(fixture.state, NS_PER_SEC, events, MANY);
        CHECK_WITHIN(count, 1, opened);
        for (int j = 0; j < count; j++) {
            reports[events[j].token]++;
        }
    }

    for (int i = 0; i < opened; i++) {
        CHECK(reports[i] > 0);
    }
    fixture_close(&fixture);
}
