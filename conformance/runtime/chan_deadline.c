/* SPDX-License-Identifier: MIT */
/*
 * Channels, deadlines and cancellation: CHAN-20, 21, 22, 34.
 *
 * A call that gave up has left the queue: whoever comes later must not meet it, and what it would
 * have taken is still there.
 */
#include "conformance/runtime/chan_kit.h"

#define WAIT_NS (20 * NS_PER_MS)

REAL_TEST(chan, 20_receive_gives_up_at_its_deadline_not_before)
{
    struct weft_chan *chan = open_ints(0);
    int value = 42;
    int status = PENDING;
    int64_t start = weft_now();

    weft_with_timeout(WAIT_NS) {
        status = weft_chan_recv(chan, &value);
    }

    CHECK_WITHIN(weft_now() - start, WAIT_NS, WAIT_NS + harness_slack_ns());
    CHECK_EQ(status, -ETIMEDOUT);
    CHECK_EQ(value, 42);
    CHECK_EQ(try_send_int(chan, 1), -EAGAIN); /* nobody waits any more */
    weft_chan_unref(chan);
}

REAL_TEST(chan, 20b_send_gives_up_at_its_deadline_not_before)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 1), 0);
    int status = PENDING;
    int64_t start = weft_now();

    weft_with_timeout(WAIT_NS) {
        status = send_int(chan, 2);
    }

    CHECK_WITHIN(weft_now() - start, WAIT_NS, WAIT_NS + harness_slack_ns());
    CHECK_EQ(status, -ETIMEDOUT);
    CHECK_EQ(recv_int(chan), 1);
    CHECK_EQ(weft_chan_len(chan), 0); /* 2 is gone with its sender */
    weft_chan_unref(chan);
}

WEFT_TASK(recv_until,
          (struct weft_chan *, chan),
          (int64_t, timeout_ns),
          (int *, ret_value),
          (int *, ret_status))
{
    weft_with_timeout(timeout_ns) {
        *ret_status = weft_chan_recv(chan, ret_value);
    }
    return 0;
}

/* Three receivers; the middle one gives up, and the queue closes behind it. */
VIRTUAL_TEST(chan, 20c_who_gave_up_is_skipped)
{
    struct weft_chan *chan = open_ints(0);
    int value[3] = {0};
    int status[3] = {PENDING, PENDING, PENDING};
    CHECK_EQ(weft_go(recv_until, chan, WEFT_FOREVER, &value[0], &status[0]), 0);
    settle();
    CHECK_EQ(weft_go(recv_until, chan, WEFT_HOUR, &value[1], &status[1]), 0);
    settle();
    CHECK_EQ(weft_go(recv_until, chan, WEFT_FOREVER, &value[2], &status[2]), 0);
    settle();
    CHECK_EQ(weft_sleep(2 * WEFT_HOUR), 0);
    CHECK_EQ(status[1], -ETIMEDOUT);

    CHECK_EQ(try_send_int(chan, 10), 0);
    CHECK_EQ(try_send_int(chan, 11), 0);
    CHECK_EQ(try_send_int(chan, 12), -EAGAIN);
    settle();

    CHECK_EQ(value[0], 10);
    CHECK_EQ(value[1], 0);
    CHECK_EQ(value[2], 11);
    CHECK_EQ(status[0], 0);
    CHECK_EQ(status[2], 0);
    weft_chan_unref(chan);
}

WEFT_TASK(send_until,
          (struct weft_chan *, chan),
          (int64_t, timeout_ns),
          (int, value),
          (int *, ret_status))
{
    weft_with_timeout(timeout_ns) {
        *ret_status = weft_chan_send(chan, &value);
    }
    return 0;
}

VIRTUAL_TEST(chan, 20d_a_sender_that_gave_up_is_skipped)
{
    struct weft_chan *chan = open_ints(0);
    int status[3] = {PENDING, PENDING, PENDING};
    CHECK_EQ(weft_go(send_until, chan, WEFT_HOUR, 1, &status[0]), 0);
    settle();
    CHECK_EQ(weft_go(send_until, chan, WEFT_FOREVER, 2, &status[1]), 0);
    settle();
    CHECK_EQ(weft_go(send_until, chan, WEFT_HOUR, 3, &status[2]), 0);
    settle();
    CHECK_EQ(weft_sleep(2 * WEFT_HOUR), 0);

    CHECK_EQ(recv_int(chan), 2);
    int value = 42;
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
    settle();

    CHECK_EQ(status[0], -ETIMEDOUT);
    CHECK_EQ(status[1], 0);
    CHECK_EQ(status[2], -ETIMEDOUT);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 20e_a_cancelled_waiter_leaves_the_queue)
{
    struct weft_chan *chan = open_ints(0);
    int value[2] = {0};
    int status[2] = {PENDING, PENDING};
    weft_task first;
    CHECK_EQ(recv_one_spawn(&first, chan, &value[0], &status[0]), 0);
    settle();
    CHECK_EQ(weft_go(recv_one, chan, &value[1], &status[1]), 0);
    settle();

    CHECK_EQ(weft_cancel(first), 0);
    CHECK_EQ(send_int(chan, 7), 0); /* before the cancelled one has run */
    settle();

    CHECK_EQ(status[0], -ECANCELED);
    CHECK_EQ(value[0], 0);
    CHECK_EQ(status[1], 0);
    CHECK_EQ(value[1], 7);
    CHECK_EQ(weft_join(first, NULL), 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 21_past_deadline_takes_what_is_ready)
{
    struct weft_chan *chan = open_ints(1);
    weft_with_timeout(0) {
        CHECK_EQ(send_int(chan, 7), 0);
        CHECK_EQ(send_int(chan, 8), -ETIMEDOUT);
        CHECK_EQ(recv_int(chan), 7);
        CHECK_EQ(weft_chan_recv(chan, NULL), -ETIMEDOUT);
        CHECK_EQ(send_int(chan, 9), 0); /* a try scope stays one */
        CHECK_EQ(weft_chan_close(chan), 0);
        CHECK_EQ(recv_int(chan), 9);
        CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);
        CHECK_EQ(send_int(chan, 10), -EPIPE);
    }
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 21b_past_deadline_meets_parked_partners)
{
    struct weft_chan *chan = open_ints(0);
    int value = 0;
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 7, &status), 0);
    settle();
    weft_with_timeout(-5) {
        CHECK_EQ(recv_int(chan), 7);
        CHECK_EQ(weft_chan_recv(chan, &value), -ETIMEDOUT);
    }
    settle();
    CHECK_EQ(status, 0);

    status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &status), 0);
    settle();
    weft_with_timeout(-5) {
        CHECK_EQ(send_int(chan, 8), 0);
        CHECK_EQ(send_int(chan, 9), -ETIMEDOUT);
    }
    settle();
    CHECK_EQ(status, 0);
    CHECK_EQ(value, 8);
    weft_chan_unref(chan);
}

#define RACES 100000

struct race {
    struct weft_chan *chan;
    struct weft_chan *start; /* int64_t: when the next round's value is sent; closed at the end */
    struct weft_chan *sent;  /* int: how the sender fared */
};

/* Sends the round's number at the very instant at which the receiver's deadline passes. */
static int race_sender(void *arg)
{
    struct race *race = arg;
    int64_t instant = 0;
    for (int round = 0; weft_chan_recv(race->start, &instant) == 0; round++) {
        CHECK_EQ(weft_sleep_until(instant), 0);
        int status = try_send_int(race->chan, round);
        CHECK_EQ(weft_chan_send(race->sent, &status), 0);
    }
    return 0;
}

/* How long after the value the deadline is, in turn: from surely before to surely after. */
static const int64_t gaps_ns[] = {-WEFT_SEC, 0, 0, 200, 500, 1000, 3000, WEFT_SEC};

/* One receive against its deadline; true if the value came. Odd rounds arm the deadline first. */
static bool race_round(struct race *race, int round)
{
    int64_t instant = weft_now() + WEFT_MINUTE;
    int64_t deadline = instant + gaps_ns[round % 8];
    int value = -1;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    if (round % 2 == 1) CHECK_EQ(weft_scope_set_deadline(&scope, deadline), 0);
    CHECK_EQ(weft_chan_send(race->start, &instant), 0);
    CHECK_EQ(weft_yield(), 0);
    if (round % 2 == 0) CHECK_EQ(weft_scope_set_deadline(&scope, deadline), 0);

    int status = weft_chan_recv(race->chan, &value);
    (void)weft_scope_close(&scope); /* may have expired after the value came */

    int sent = recv_int(race->sent);
    CHECK(status == 0 || status == -ETIMEDOUT);
    if (weft_chan_cap(race->chan) == 0) {
        /* Without a buffer the two sides agree, or the value was never taken. */
        CHECK_EQ(sent, status == 0 ? 0 : -EAGAIN);
    } else {
        CHECK_EQ(sent, 0);
        if (status == -ETIMEDOUT) CHECK_EQ(try_recv_int(race->chan), round);
    }
    CHECK_EQ(value, status == 0 ? round : -1);
    CHECK_EQ(weft_chan_len(race->chan), 0);
    return status == 0;
}

static void race_value_and_deadline(size_t capacity)
{
    struct race race = {.chan = open_ints(capacity), .sent = open_ints(1)};
    CHECK_EQ(weft_chan_open(&race.start, sizeof(int64_t), 1), 0);
    CHECK_EQ(weft_spawn(NULL, race_sender, &race), 0);
    int received = 0;
    for (int round = 0; round < RACES && harness_failures() == 0; round++) {
        received += race_round(&race, round);
    }
    CHECK_WITHIN(received, RACES / 8, RACES / 8 * 7);

    CHECK_EQ(weft_chan_close(race.start), 0);
    settle();
    weft_chan_unref(race.chan);
    weft_chan_unref(race.start);
    weft_chan_unref(race.sent);
}

VIRTUAL_TEST(chan, 22_value_and_deadline_at_once_lose_nothing_buffered)
{
    race_value_and_deadline(1);
}

VIRTUAL_TEST(chan, 22b_value_and_deadline_at_once_lose_nothing_unbuffered)
{
    race_value_and_deadline(0);
}

/* Row 22: the value was handed over, then the deadline passes before the receiver has run. */
VIRTUAL_TEST(chan, 22c_a_value_handed_over_is_kept_against_a_cancel)
{
    struct weft_chan *chan = open_ints(0);
    int value = 0;
    int status = PENDING;
    weft_task receiver;
    CHECK_EQ(recv_one_spawn(&receiver, chan, &value, &status), 0);
    settle();

    CHECK_EQ(send_int(chan, 7), 0);
    CHECK_EQ(weft_cancel(receiver), 0);
    CHECK_EQ(weft_join(receiver, NULL), 0);

    CHECK_EQ(status, 0);
    CHECK_EQ(value, 7);
    weft_chan_unref(chan);
}

WEFT_TASK(relay, (struct weft_chan *, from), (struct weft_chan *, to), (int *, ret_status))
{
    int value = 0;
    do {
        *ret_status = weft_chan_recv(from, &value);
        if (*ret_status == 0) *ret_status = weft_chan_send(to, &value);
    } while (*ret_status == 0);
    return 0;
}

/* Two relays that never find a reason to sleep, against a sleeper and a cancel. */
REAL_TEST(chan, 34_relays_that_are_always_ready_can_be_cancelled)
{
    struct weft_chan *there = open_ints(4);
    struct weft_chan *back = open_ints(4);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(send_int(there, i), 0);
        CHECK_EQ(send_int(back, i), 0);
    }
    int status[2] = {PENDING, PENDING};
    weft_task relays[2];
    CHECK_EQ(relay_spawn(&relays[0], there, back, &status[0]), 0);
    CHECK_EQ(relay_spawn(&relays[1], back, there, &status[1]), 0);
    int64_t start = weft_now();

    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    CHECK_EQ(weft_cancel(relays[0]), 0);
    CHECK_EQ(weft_cancel(relays[1]), 0);
    CHECK_EQ(weft_join(relays[0], NULL), 0);
    CHECK_EQ(weft_join(relays[1], NULL), 0);

    CHECK_WITHIN(weft_now() - start, 10 * WEFT_MSEC, WEFT_SEC);
    CHECK_EQ(status[0], -ECANCELED);
    CHECK_EQ(status[1], -ECANCELED);
    weft_chan_unref(there);
    weft_chan_unref(back);
}
