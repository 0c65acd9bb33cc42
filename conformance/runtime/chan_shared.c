/* SPDX-License-Identifier: MIT */
/*
 * The promises of channels once more, on channels that were opened with .shared: CHAN-03, 04, 05,
 * 07 to 11, 13, 17, 18, 20, 21, 27; SEL-03, 05, 16.
 *
 * A shared channel takes another way through the library, and must not show it.
 */
#include "conformance/runtime/chan_kit.h"

VIRTUAL_TEST(chan, 03c_shared_values_arrive_in_the_order_sent)
{
    for (size_t capacity = 0; capacity <= 4; capacity += 2) {
        struct weft_chan *chan = open_shared_ints(capacity);
        int status[5];
        for (int i = 0; i < 5; i++) {
            status[i] = PENDING;
            CHECK_EQ(weft_go(send_one, chan, i, &status[i]), 0);
            settle();
        }
        CHECK_EQ(weft_chan_len(chan), capacity);
        CHECK_EQ(weft_chan_cap(chan), capacity);

        for (int i = 0; i < 5; i++) {
            CHECK_EQ(recv_int(chan), i);
        }

        settle();
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(status[i], 0);
        }
        CHECK_EQ(weft_chan_len(chan), 0);
        weft_chan_unref(chan);
    }
}

VIRTUAL_TEST(chan, 05c_shared_receivers_are_served_first_come_first_served)
{
    struct weft_chan *chan = open_shared_ints(0);
    int value[3] = {0};
    int status[3];
    for (int i = 0; i < 3; i++) {
        status[i] = PENDING;
        CHECK_EQ(weft_go(recv_one, chan, &value[i], &status[i]), 0);
        settle();
    }

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(send_int(chan, 10 + i), 0);
    }
    settle();

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(status[i], 0);
        CHECK_EQ(value[i], 10 + i);
    }
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 07b_shared_buffer_takes_the_parked_senders_value)
{
    struct weft_chan *chan = open_shared_ints(2);
    int status = PENDING;
    CHECK_EQ(send_int(chan, 1), 0);
    CHECK_EQ(send_int(chan, 2), 0);
    CHECK_EQ(weft_go(send_one, chan, 3, &status), 0);
    settle();
    CHECK_EQ(status, PENDING);

    CHECK_EQ(recv_int(chan), 1);

    CHECK_EQ(weft_chan_len(chan), 2);
    CHECK_EQ(recv_int(chan), 2);
    CHECK_EQ(recv_int(chan), 3);
    settle();
    CHECK_EQ(status, 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 08c_shared_try_calls_tell_full_empty_and_closed)
{
    struct weft_chan *chan = open_shared_ints(1);
    int value = 42;

    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
    CHECK_EQ(value, 42);
    CHECK_EQ(try_send_int(chan, 1), 0);
    CHECK_EQ(try_send_int(chan, 2), -EAGAIN);
    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(try_send_int(chan, 3), -EPIPE);
    CHECK_EQ(send_int(chan, 3), -EPIPE);
    CHECK_EQ(try_recv_int(chan), 1);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EPIPE);
    CHECK_EQ(value, 0);
    value = 42;
    CHECK_EQ(weft_chan_recv(chan, &value), -EPIPE);
    CHECK_EQ(value, 0);

    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 10b_shared_close_wakes_receivers_and_senders)
{
    struct weft_chan *from = open_shared_ints(1);
    struct weft_chan *to = open_shared_ints(1);
    int value = 42;
    int received = PENDING;
    int sent = PENDING;
    CHECK_EQ(send_int(to, 1), 0);
    CHECK_EQ(weft_go(recv_one, from, &value, &received), 0);
    CHECK_EQ(weft_go(send_one, to, 2, &sent), 0);
    settle();

    CHECK_EQ(weft_chan_close(from), 0);
    CHECK_EQ(weft_chan_close(to), 0);
    settle();

    CHECK_EQ(received, -EPIPE);
    CHECK_EQ(value, 0);
    CHECK_EQ(sent, -EPIPE);
    CHECK_EQ(recv_int(to), 1);
    CHECK_EQ(weft_chan_recv(to, NULL), -EPIPE);
    weft_chan_unref(from);
    weft_chan_unref(to);
}

VIRTUAL_TEST(chan, 13c_second_close_of_a_shared_channel_says_so)
{
    struct weft_chan *chan = open_shared_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);

    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(weft_chan_close(chan), -EPIPE);

    CHECK_EQ(recv_int(chan), 7);
    weft_chan_unref(chan);
}

static void count_drop(void *value, void *arg)
{
    int *sum = arg;
    int left = 0;
    memcpy(&left, value, sizeof left);
    *sum += left;
}

/* The last reference may go where no runtime is. */
WEFT_TEST(chan, 27d_shared_values_left_over_are_dropped_outside_of_a_runtime)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    struct weft_chan *chan = NULL;
    int sum = 0;
    options.value_size = sizeof(int);
    options.capacity = 3;
    options.shared = 1;
    options.drop = count_drop;
    options.drop_arg = &sum;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    CHECK_EQ(send_int(chan, 1), 0);
    CHECK_EQ(send_int(chan, 20), 0);
    CHECK_EQ(send_int(chan, 300), 0);
    CHECK_EQ(recv_int(chan), 1);

    weft_chan_unref(chan);

    CHECK_EQ(sum, 320);
}

VIRTUAL_TEST(chan, 18d_last_unref_of_a_shared_channel_wakes_whoever_is_parked)
{
    struct weft_chan *chan = open_shared_ints(0);
    int value = 42;
    int status = PENDING;
    CHECK_EQ(weft_go(recv_one, chan, &value, &status), 0);
    settle();

    weft_chan_unref(chan);
    settle();

    CHECK_EQ(status, -EPIPE);
    CHECK_EQ(value, 0);
}

VIRTUAL_TEST(chan, 20f_shared_waiters_that_gave_up_are_skipped)
{
    struct weft_chan *chan = open_shared_ints(0);
    int value[2] = {42, 42};
    int status[2] = {PENDING, PENDING};
    weft_task cancelled;
    CHECK_EQ(recv_one_spawn(&cancelled, chan, &value[0], &status[0]), 0);
    settle();
    CHECK_EQ(weft_go(recv_one, chan, &value[1], &status[1]), 0);
    settle();
    int timed_out = PENDING;
    weft_with_timeout(WEFT_MINUTE) {
        timed_out = weft_chan_recv(chan, NULL);
    }

    CHECK_EQ(weft_cancel(cancelled), 0);
    CHECK_EQ(try_send_int(chan, 7), 0);
    CHECK_EQ(try_send_int(chan, 8), -EAGAIN);
    CHECK_EQ(weft_join(cancelled, NULL), 0);
    settle();

    CHECK_EQ(timed_out, -ETIMEDOUT);
    CHECK_EQ(status[0], -ECANCELED);
    CHECK_EQ(value[0], 42);
    CHECK_EQ(status[1], 0);
    CHECK_EQ(value[1], 7);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(chan, 21c_past_deadline_takes_what_a_shared_channel_has_ready)
{
    struct weft_chan *chan = open_shared_ints(1);
    weft_with_timeout(0) {
        CHECK_EQ(weft_chan_recv(chan, NULL), -ETIMEDOUT);
        CHECK_EQ(send_int(chan, 7), 0);
        CHECK_EQ(send_int(chan, 8), -ETIMEDOUT);
        CHECK_EQ(recv_int(chan), 7);
    }
    weft_chan_unref(chan);
}

/* Completed wins: the value came first, then the cancel, then the receiver runs. */
VIRTUAL_TEST(chan, 22d_a_shared_value_handed_over_is_kept_against_a_cancel)
{
    struct weft_chan *chan = open_shared_ints(0);
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

/* ---- selects that mix a shared channel with one of the runtime ---- */

struct mixed {
    struct weft_chan *shared;
    struct weft_chan *local;
    int index;
    int values[2];
    int status[2];
};

static int select_mixed(void *arg)
{
    struct mixed *mixed = arg;
    mixed->index = weft_select(weft_on_recv(mixed->shared, &mixed->values[0], &mixed->status[0]),
                               weft_on_recv(mixed->local, &mixed->values[1], &mixed->status[1]),
                               weft_after(WEFT_HOUR));
    return 0;
}

static weft_task mixed_open(struct mixed *ret)
{
    weft_task task;
    *ret = (struct mixed){.shared = open_shared_ints(0), .local = open_ints(0), .index = PENDING};
    ret->status[0] = ret->status[1] = PENDING;
    CHECK_EQ(weft_spawn(&task, select_mixed, ret), 0);
    settle();
    return task;
}

static void mixed_close(struct mixed *mixed, weft_task task)
{
    CHECK_EQ(weft_join(task, NULL), 0);
    CHECK_EQ(try_send_int(mixed->shared, 9), -EAGAIN); /* no case is left behind */
    CHECK_EQ(try_send_int(mixed->local, 9), -EAGAIN);
    weft_chan_unref(mixed->shared);
    weft_chan_unref(mixed->local);
}

VIRTUAL_TEST(sel, 03e_the_first_of_a_shared_and_a_local_channel_wins)
{
    for (int winner = 0; winner < 2; winner++) {
        struct mixed mixed;
        weft_task task = mixed_open(&mixed);
        struct weft_chan *first = winner == 0 ? mixed.shared : mixed.local;
        struct weft_chan *second = winner == 0 ? mixed.local : mixed.shared;

        CHECK_EQ(try_send_int(first, 7), 0);
        CHECK_EQ(try_send_int(second, 8), -EAGAIN); /* it has lost, though the task has not run */
        mixed_close(&mixed, task);

        CHECK_EQ(mixed.index, winner);
        CHECK_EQ(mixed.values[winner], 7);
        CHECK_EQ(mixed.values[1 - winner], 0);
        CHECK_EQ(mixed.status[winner], 0);
        CHECK_EQ(mixed.status[1 - winner], PENDING);
    }
}

VIRTUAL_TEST(sel, 16d_a_cancel_leaves_a_shared_and_a_local_queue)
{
    struct mixed mixed;
    weft_task task = mixed_open(&mixed);

    CHECK_EQ(weft_cancel(task), 0);
    mixed_close(&mixed, task);

    CHECK_EQ(mixed.index, -ECANCELED);
    CHECK_EQ(mixed.status[0], PENDING);
    CHECK_EQ(mixed.status[1], PENDING);
}

VIRTUAL_TEST(sel, 16e_a_timer_case_leaves_a_shared_and_a_local_queue)
{
    struct mixed mixed;
    weft_task task = mixed_open(&mixed);

    CHECK_EQ(weft_sleep(2 * WEFT_HOUR), 0);
    mixed_close(&mixed, task);

    CHECK_EQ(mixed.index, 2);
    CHECK_EQ(mixed.status[0], PENDING);
    CHECK_EQ(mixed.status[1], PENDING);
}

VIRTUAL_TEST(sel, 05c_the_same_shared_channel_twice_completes_one_case)
{
    struct weft_chan *chan = open_shared_ints(0);
    int sent = PENDING;
    int values[2] = {0, 0};
    CHECK_EQ(weft_go(send_one, chan, 7, &sent), 0);

    int index = weft_select(weft_on_recv(chan, &values[0]), weft_on_recv(chan, &values[1]));

    settle();
    CHECK_OR_RETURN(index == 0 || index == 1, );
    CHECK_EQ(values[index], 7);
    CHECK_EQ(values[1 - index], 0);
    CHECK_EQ(sent, 0);
    CHECK_EQ(try_send_int(chan, 8), -EAGAIN);
    weft_chan_unref(chan);
}
