/* SPDX-License-Identifier: MIT */
/* The script of the fake backend; this file is only in programs that are linked with it. */
#include "conformance/fake_script.h"

#include <errno.h>
#include <stdlib.h>

#include "conformance/contract/fixture.h"

#define FD WEFT_FAKE_FD

WEFT_TEST(fake, scripted_descriptor_is_ready_for_what_the_script_says)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, FD, READ, 1);
    CHECK_QUIET(&fixture);

    weft__fake_set(FD, READ);
    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    weft__fake_set(FD, BOTH);
    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);
    CHECK_EQ(fixture_found(&fixture, 1), READ);
    weft__fake_set(FD, WRITE);
    CHECK_QUIET(&fixture);
    weft__fake_set(FD, WEFT_IO_HANGUP);
    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);
    CHECK_EQ(fixture_found(&fixture, 1), HANGUP);
    fixture_disarm(&fixture, FD);
    CHECK_QUIET(&fixture);
    weft__fake_set(FD, 0);
    fixture_close(&fixture);
}

WEFT_TEST(fake, scripted_and_real_descriptors_mix)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, FD + 3, WRITE, 1);
    fixture_arm(&fixture, fds[0], READ, 2);
    fixture_put(fds[1], 1);
    weft__fake_set(FD + 3, WRITE);

    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 2);

    CHECK_EQ(fixture_found(&fixture, 1), WRITE);
    CHECK_EQ(fixture_found(&fixture, 2), READ);
    fixture_close(&fixture);
}

WEFT_TEST(fake, refused_descriptor_cannot_be_armed_until_it_is_allowed)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    weft__fake_set(FD, READ);
    weft__fake_refuse(FD, -ENOSPC);

    CHECK_EQ(weft__backend.arm(fixture.state, FD, READ, 1), -ENOSPC);
    CHECK_QUIET(&fixture);
    weft__fake_refuse(FD, 0);
    fixture_arm(&fixture, FD, READ, 1);
    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);
    fixture_close(&fixture);
}

/* The order in which one poll reports 20 ready descriptors, as one number. */
static uint64_t order_under(const char *seed)
{
    struct fixture fixture;
    setenv("WEFT_FAKE_SEED", seed, 1);
    if (!fixture_open(&fixture)) return 0;
    for (int i = 0; i < 20; i++) {
        weft__fake_set(FD + i, READ);
        fixture_arm(&fixture, FD + i, READ, (uint64_t)i);
    }
    CHECK_EQ(fixture_poll(&fixture, 0), 20);
    uint64_t order = 0;
    for (int i = 0; i < 20; i++) {
        order = order * 31 + fixture.events[i].token;
    }
    fixture_close(&fixture);
    return order;
}

WEFT_TEST(fake, the_seed_alone_decides_the_order)
{
    CHECK(order_under("7") == order_under("7"));
    CHECK(order_under("7") != order_under("8"));
    CHECK(order_under("0") == order_under("0"));
    CHECK(order_under("0") != order_under("7"));
}
