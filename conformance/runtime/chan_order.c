/* SPDX-License-Identifier: MIT */
/*
 * Channels, who meets whom: CHAN-01 to 07, 17, 23; rows 9, 10 of the semantics.
 *
 * Each sleeper is parked alone, with settle() between, so the queues' order is the tests' own and
 * no order of the ready queue is assumed.
 */
#include "conformance/runtime/chan_kit.h"

VIRTUAL_TEST(chan, 01_receiver_first_gets_the_value)
{
    struct weft_chan *chan = open_ints(0);
    int value = 0;
    int status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &status), 0);
    settle();
    CHECK_EQ(status, PENDING);

    CHECK_EQ(send_int(chan, 7), 0);
    settle();

    CHECK_EQ(status, 0);
    CHECK_EQ(value, 7);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 02_sender_first_sleeps_until_the_receive)
{
    struct weft_chan *chan = open_ints(0);
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 7, &status), 0);
    settle();
    CHECK_EQ(status, PENDING);

    int value = recv_int(chan);
    settle();

    CHECK_EQ(value, 7);
    CHECK_EQ(status, 0);
    weft_chan_unref(chan);
}

WEFT_TASK(send_series, (struct weft_chan *, chan), (int, first), (int, count))
{
    for (int i = 0; i < count; i++) {
        CHECK_EQ(send_int(chan, first + i), 0);
    }
    return 0;
}

/* One parked sender after the other, at each capacity: the first `capacity` of them do not park. */
VIRTUAL_TEST(chan, 03_values_arrive_in_the_order_sent)
{
    for (int senders = 0; senders <= 9; senders++) {
        for (size_t capacity = 0; capacity <= 9; capacity++) {
            struct weft_chan *chan = open_ints(capacity);
            for (int i = 0; i < senders; i++) {
                CHECK_EQ(weft_go(send_series, chan, 10 * i, 1), 0);
                settle();
            }

            for (int i = 0; i < senders; i++) {
                CHECK_EQ(recv_int(chan), 10 * i);
            }

            int value = 0;
            CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
            weft_chan_unref(chan);
        }
    }
}

VIRTUAL_TEST(chan, 03b_one_sender_keeps_its_order)
{
    for (size_t capacity = 0; capacity <= 9; capacity++) {
        struct weft_chan *chan = open_ints(capacity);
        CHECK_EQ(weft_go(send_series, chan, 1, 100), 0);

        for (int i = 1; i <= 100; i++) {
            CHECK_EQ(recv_int(chan), i);
        }

        weft_chan_unref(chan);
    }
}

VIRTUAL_TEST(chan, 04_parked_senders_are_served_first_come_first_served)
{
    enum { COUNT = 5 };
    struct weft_chan *chan = open_ints(0);
    int status[COUNT];
    for (int i = 0; i < COUNT; i++) {
        status[i] = PENDING;
        CHECK_EQ(weft_go(send_one, chan, i, &status[i]), 0);
        settle();
    }

    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(recv_int(chan), i);
        settle();
        for (int j = 0; j < COUNT; j++) {
            CHECK_EQ(status[j], j <= i ? 0 : PENDING);
        }
    }

    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 05_parked_receivers_are_served_first_come_first_served)
{
    enum { COUNT = 5 };
    struct weft_chan *chan = open_ints(0);
    int value[COUNT] = {0};
    int status[COUNT];
    for (int i = 0; i < COUNT; i++) {
        status[i] = PENDING;
        CHECK_EQ(weft_go(recv_one, chan, &value[i], &status[i]), 0);
        settle();
    }

    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(send_int(chan, 100 + i), 0);
        settle();
        for (int j = 0; j < COUNT; j++) {
            CHECK_EQ(status[j], j <= i ? 0 : PENDING);
        }
        CHECK_EQ(value[i], 100 + i);
    }

    weft_chan_unref(chan);
}

/* A receiver that comes back stands at the end of the line. */
WEFT_TASK(recv_two, (struct weft_chan *, chan), (int *, ret_values))
{
    ret_values[0] = recv_int(chan);
    ret_values[1] = recv_int(chan);
    return 0;
}

VIRTUAL_TEST(chan, 05b_who_comes_back_waits_behind_the_others)
{
    struct weft_chan *chan = open_ints(0);
    int first[2] = {0};
    int second[2] = {0};
    CHECK_EQ(weft_go(recv_two, chan, first), 0);
    settle();
    CHECK_EQ(weft_go(recv_two, chan, second), 0);
    settle();

    for (int i = 1; i <= 4; i++) {
        CHECK_EQ(send_int(chan, i), 0);
        settle();
    }

    CHECK_EQ(first[0], 1);
    CHECK_EQ(second[0], 2);
    CHECK_EQ(first[1], 3);
    CHECK_EQ(second[1], 4);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 06_capacity_is_exact)
{
    for (int capacity = 1; capacity <= 17; capacity++) {
        struct weft_chan *chan = open_ints((size_t)capacity);
        weft_with_timeout(0) /* where a send would sleep it fails */
        {
            for (int i = 0; i < capacity; i++) {
                CHECK_EQ(send_int(chan, i), 0);
            }
            CHECK_EQ(send_int(chan, capacity), -ETIMEDOUT);
        }
        int status = PENDING;
        CHECK_EQ(weft_go(send_one, chan, capacity, &status), 0);
        settle();
        CHECK_EQ(status, PENDING);

        CHECK_EQ(recv_int(chan), 0);
        settle();

        CHECK_EQ(status, 0);
        weft_chan_unref(chan);
    }
}

VIRTUAL_TEST(chan, 07_full_buffer_takes_the_parked_senders_value)
{
    struct weft_chan *chan = open_ints(3);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(send_int(chan, i), 0);
    }
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 4, &status), 0);
    settle();

    CHECK_EQ(recv_int(chan), 1);

    CHECK_EQ(weft_chan_len(chan), 3); /* before the sender runs again */
    CHECK_EQ(recv_int(chan), 2);
    CHECK_EQ(recv_int(chan), 3);
    CHECK_EQ(recv_int(chan), 4);
    settle();
    CHECK_EQ(status, 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 01b_rendezvous_lets_both_sides_leave_together)
{
    /* Row 9: a value that was sent on capacity 0 has a receiver, and is never stored. */
    struct weft_chan *chan = open_ints(0);
    int value = 0;
    int received = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &received), 0);
    settle();

    CHECK_EQ(send_int(chan, 5), 0);

    CHECK_EQ(weft_chan_len(chan), 0);
    CHECK_EQ(value, 5); /* handed over by the sender, although the receiver did not run yet */
    CHECK_EQ(try_send_int(chan, 6), -EAGAIN);
    settle();
    CHECK_EQ(received, 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 17_len_and_cap_are_exact_at_each_step)
{
    struct weft_chan *chan = open_ints(4);
    CHECK_EQ(weft_chan_cap(chan), 4);
    CHECK_EQ(weft_chan_len(chan), 0);
    for (size_t i = 1; i <= 4; i++) {
        CHECK_EQ(send_int(chan, 0), 0);
        CHECK_EQ(weft_chan_len(chan), i);
    }
    int status[2] = {PENDING, PENDING};
    CHECK_EQ(weft_go(send_one, chan, 1, &status[0]), 0);
    CHECK_EQ(weft_go(send_one, chan, 2, &status[1]), 0);
    settle();
    CHECK_EQ(weft_chan_len(chan), 4); /* parked senders are not counted */

    size_t expected[] = {4, 4, 3, 2, 1, 0};
    for (int i = 0; i < 6; i++) {
        (void)recv_int(chan);
        CHECK_EQ(weft_chan_len(chan), expected[i]);
    }

    CHECK_EQ(weft_chan_cap(chan), 4);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 17b_len_counts_no_parked_receiver_and_no_rendezvous)
{
    struct weft_chan *chan = open_ints(0);
    CHECK_EQ(weft_chan_cap(chan), 0);
    int value = 0;
    int status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &status), 0);
    settle();
    CHECK_EQ(weft_chan_len(chan), 0);

    CHECK_EQ(send_int(chan, 1), 0);
    settle();
    CHECK_EQ(weft_go(send_one, chan, 2, &status), 0);
    settle();

    CHECK_EQ(weft_chan_len(chan), 0);
    CHECK_EQ(recv_int(chan), 2);
    CHECK_EQ(weft_chan_len(NULL), 0);
    CHECK_EQ(weft_chan_cap(NULL), 0);
    weft_chan_unref(chan);
}

#define ROUNDS 100000

WEFT_TASK(pong, (struct weft_chan *, pings), (struct weft_chan *, pongs), (int *, ret_count))
{
    int value = 0;
    while (weft_chan_recv(pings, &value) == 0) {
        CHECK_EQ(send_int(pongs, value + 1), 0);
        (*ret_count)++;
    }
    return 0;
}

VIRTUAL_TEST(chan, 23_ping_pong_of_many_rounds_counts_exactly)
{
    struct weft_chan *pings = open_ints(0);
    struct weft_chan *pongs = open_ints(0);
    int answered = 0;
    CHECK_EQ(weft_go(pong, pings, pongs, &answered), 0);

    int64_t sum = 0;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(send_int(pings, i), 0);
        sum += recv_int(pongs);
    }
    CHECK_EQ(weft_chan_close(pings), 0);
    settle();

    CHECK_EQ(answered, ROUNDS);
    CHECK_EQ(sum, (int64_t)ROUNDS * (ROUNDS + 1) / 2);
    weft_chan_unref(pings);
    weft_chan_unref(pongs);
}
