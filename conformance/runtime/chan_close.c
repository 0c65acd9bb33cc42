/* SPDX-License-Identifier: MIT */
/*
 * Channels, closing and ending: CHAN-08 to 13, 18, 27, 31, 35; rows 1 to 7 of the semantics.
 *
 * Closing is about values and sleepers, the references are about memory; the tests keep the two
 * apart.
 */
#include "conformance/runtime/chan_kit.h"

VIRTUAL_TEST(chan, 08_try_calls_tell_full_empty_and_closed)
{
    struct weft_chan *chan = open_ints(2);
    int value = 42;

    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
    CHECK_EQ(value, 42);
    CHECK_EQ(try_send_int(chan, 1), 0);
    CHECK_EQ(try_send_int(chan, 2), 0);
    CHECK_EQ(try_send_int(chan, 3), -EAGAIN);
    CHECK_EQ(weft_chan_try_recv(chan, &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(try_send_int(chan, 4), -EPIPE);
    CHECK_EQ(weft_chan_try_recv(chan, &value), 0);
    CHECK_EQ(value, 2);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EPIPE);
    CHECK_EQ(value, 0);

    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 08b_try_on_unbuffered_needs_a_parked_partner)
{
    struct weft_chan *chan = open_ints(0);
    int value = 42;
    CHECK_EQ(try_send_int(chan, 1), -EAGAIN);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);

    int status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &status), 0);
    settle();
    CHECK_EQ(try_send_int(chan, 2), 0);
    CHECK_EQ(try_send_int(chan, 3), -EAGAIN);
    settle();
    CHECK_EQ(status, 0);
    CHECK_EQ(value, 2);

    status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 4, &status), 0);
    settle();
    CHECK_EQ(try_recv_int(chan), 4);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
    settle();
    CHECK_EQ(status, 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 09_closed_channel_is_drained_then_ends_for_ever)
{
    struct weft_chan *chan = open_ints(3);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(send_int(chan, i), 0);
    }
    CHECK_EQ(weft_chan_close(chan), 0);

    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(recv_int(chan), i);
    }

    for (int i = 0; i < 3; i++) {
        int value = 42;
        CHECK_EQ(weft_chan_recv(chan, &value), -EPIPE);
        CHECK_EQ(value, 0);
    }
    CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 10_close_wakes_parked_receivers_with_zeroed_targets)
{
    enum { COUNT = 4 };
    struct weft_chan *chan = open_ints(2);
    int value[COUNT];
    int status[COUNT];
    for (int i = 0; i < COUNT; i++) {
        value[i] = 42;
        status[i] = PENDING;
        CHECK_EQ(weft_go(recv_one, chan, &value[i], &status[i]), 0);
    }
    settle();

    CHECK_EQ(weft_chan_close(chan), 0);
    settle();

    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(status[i], -EPIPE);
        CHECK_EQ(value[i], 0);
    }
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 11_close_wakes_parked_senders_and_drops_their_values)
{
    enum { COUNT = 4 };
    struct weft_chan *chan = open_ints(2);
    CHECK_EQ(send_int(chan, 1), 0);
    CHECK_EQ(send_int(chan, 2), 0);
    int status[COUNT];
    for (int i = 0; i < COUNT; i++) {
        status[i] = PENDING;
        CHECK_EQ(weft_go(send_one, chan, 100 + i, &status[i]), 0);
    }
    settle();

    CHECK_EQ(weft_chan_close(chan), 0);
    settle();

    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(status[i], -EPIPE);
    }
    CHECK_EQ(recv_int(chan), 1);
    CHECK_EQ(recv_int(chan), 2);
    CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);
    weft_chan_unref(chan);
}

/* Row 3: 0 means accepted. A value taken from a parked sender before the close is delivered. */
VIRTUAL_TEST(chan, 11b_a_send_completed_before_the_close_stays_completed)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 1), 0);
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 2, &status), 0);
    settle();

    CHECK_EQ(recv_int(chan), 1); /* moves 2 into the buffer */
    CHECK_EQ(weft_chan_close(chan), 0);
    settle();

    CHECK_EQ(status, 0);
    CHECK_EQ(recv_int(chan), 2);
    CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 12_send_on_closed_fails_and_leaves_the_value)
{
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct weft_chan *chan = open_ints(capacity);
        CHECK_EQ(weft_chan_close(chan), 0);
        int value = 42;

        CHECK_EQ(weft_chan_send(chan, &value), -EPIPE);
        CHECK_EQ(weft_chan_try_send(chan, &value), -EPIPE);

        CHECK_EQ(value, 42);
        CHECK_EQ(weft_chan_len(chan), 0);
        weft_chan_unref(chan);
    }
}

WEFT_TASK(close_it, (struct weft_chan *, chan), (int *, ret_status))
{
    *ret_status = weft_chan_close(chan);
    return 0;
}

VIRTUAL_TEST(chan, 13_second_close_says_so_and_does_no_harm)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);

    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(weft_chan_close(chan), -EPIPE);

    CHECK_EQ(recv_int(chan), 7);
    CHECK_EQ(weft_chan_close(chan), -EPIPE);
    weft_chan_unref(chan);
}

/* Row 6: anybody may close, a receiver or a third party as well as the sender. */
VIRTUAL_TEST(chan, 13b_anybody_may_close)
{
    struct weft_chan *chan = open_ints(0);
    int sent = PENDING;
    int closed = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 1, &sent), 0);
    settle();

    CHECK_EQ(weft_go(close_it, chan, &closed), 0);
    settle();

    CHECK_EQ(closed, 0);
    CHECK_EQ(sent, -EPIPE);
    CHECK_EQ(weft_chan_close(chan), -EPIPE);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 18_last_unref_wakes_whoever_is_parked)
{
    struct weft_chan *receive_from = open_ints(1);
    struct weft_chan *send_to = open_ints(0);
    int value = 42;
    int received = PENDING;
    int sent = PENDING;
    CHECK_EQ(weft_go(recv_one, receive_from, &value, &received), 0);
    CHECK_EQ(weft_go(send_one, send_to, 1, &sent), 0);
    settle();

    weft_chan_unref(receive_from);
    weft_chan_unref(send_to);
    settle();

    CHECK_EQ(received, -EPIPE);
    CHECK_EQ(value, 0);
    CHECK_EQ(sent, -EPIPE);
}

VIRTUAL_TEST(chan, 18b_references_keep_a_channel_whole)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_PTR(weft_chan_ref(chan), chan);
    CHECK_PTR(weft_chan_ref(NULL), NULL);
    CHECK_EQ(send_int(chan, 7), 0);

    weft_chan_unref(chan);

    CHECK_EQ(weft_chan_len(chan), 1);
    CHECK_EQ(recv_int(chan), 7);
    CHECK_EQ(send_int(chan, 8), 0); /* giving one of two back does not close */
    weft_chan_unref(chan);
    weft_chan_unref(NULL);
}

/* Row 6: close is not free. The closed channel is read until its last reference goes. */
VIRTUAL_TEST(chan, 18c_closing_does_not_free)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);
    weft_chan_ref(chan);
    CHECK_EQ(weft_chan_close(chan), 0);
    weft_chan_unref(chan);

    CHECK_EQ(weft_chan_cap(chan), 1);
    CHECK_EQ(recv_int(chan), 7);
    CHECK_EQ(weft_chan_recv(chan, NULL), -EPIPE);

    weft_chan_unref(chan);
}

struct dropped {
    int count;
    int values[8];
};

static void record_drop(void *value, void *arg)
{
    struct dropped *dropped = arg;
    if (!CHECK(dropped->count < 8)) return;
    memcpy(&dropped->values[dropped->count++], value, sizeof(int));
}

static struct weft_chan *open_dropping(struct dropped *dropped, size_t capacity)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.capacity = capacity;
    options.drop = record_drop;
    options.drop_arg = dropped;
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    return chan;
}

VIRTUAL_TEST(chan, 27_values_left_over_are_dropped_once_each)
{
    struct dropped dropped = {0};
    struct weft_chan *chan = open_dropping(&dropped, 4);
    for (int i = 1; i <= 4; i++) {
        CHECK_EQ(send_int(chan, i), 0);
    }
    CHECK_EQ(recv_int(chan), 1);
    CHECK_EQ(send_int(chan, 5), 0); /* the ring has wrapped */

    weft_chan_unref(chan);

    CHECK_EQ(dropped.count, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(dropped.values[i], i + 2);
    }
}

VIRTUAL_TEST(chan, 27b_close_drops_nothing_yet)
{
    struct dropped dropped = {0};
    struct weft_chan *chan = open_dropping(&dropped, 2);
    CHECK_EQ(send_int(chan, 1), 0);
    CHECK_EQ(send_int(chan, 2), 0);

    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(dropped.count, 0);
    CHECK_EQ(recv_int(chan), 1);
    weft_chan_unref(chan);

    CHECK_EQ(dropped.count, 1);
    CHECK_EQ(dropped.values[0], 2);
}

/* What was not accepted stays its sender's: nobody else may free it. */
VIRTUAL_TEST(chan, 27c_values_of_parked_senders_are_not_dropped)
{
    struct dropped dropped = {0};
    struct weft_chan *chan = open_dropping(&dropped, 0);
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, chan, 1, &status), 0);
    settle();

    weft_chan_unref(chan);
    settle();

    CHECK_EQ(status, -EPIPE);
    CHECK_EQ(dropped.count, 0);
}

WEFT_TASK(take_two_and_leave, (struct weft_chan *, chan), (int *, ret_sum))
{
    *ret_sum = recv_int(chan);
    *ret_sum += recv_int(chan);
    weft_chan_close(chan);
    weft_chan_unref(chan);
    return 0;
}

/* The ends are not split: a receiver that leaves closes, and the senders are told. */
VIRTUAL_TEST(chan, 31_a_leaving_receiver_closes_for_its_senders)
{
    struct weft_chan *chan = open_ints(0);
    int sum = 0;
    CHECK_EQ(weft_go(take_two_and_leave, weft_chan_ref(chan), &sum), 0);

    CHECK_EQ(send_int(chan, 3), 0);
    CHECK_EQ(send_int(chan, 4), 0);
    settle();

    CHECK_EQ(send_int(chan, 5), -EPIPE);
    CHECK_EQ(sum, 7);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 35_null_channel_is_refused)
{
    int value = 42;

    CHECK_EQ(weft_chan_send(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_recv(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_try_send(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_try_recv(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_close(NULL), -EINVAL);

    CHECK_EQ(value, 42);
}
