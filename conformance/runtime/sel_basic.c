/* SPDX-License-Identifier: MIT */
/*
 * Select, one winner at a time: SEL-01 to 03, 05, 09, 12 to 14, 20, 22; rows 7, 15, 19, 21 of the
 * semantics.
 */
#include "conformance/runtime/chan_kit.h"

VIRTUAL_TEST(sel, 01_ready_receive_is_taken)
{
    struct weft_chan *idle = open_ints(0);
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);
    int other = 42;
    int value = 0;
    int status = PENDING;

    CHECK_EQ(weft_select(weft_on_recv(idle, &other), weft_on_recv(chan, &value, &status)), 1);

    CHECK_EQ(value, 7);
    CHECK_EQ(status, 0);
    CHECK_EQ(other, 42);
    CHECK_EQ(weft_chan_len(chan), 0);
    weft_chan_unref(idle);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(sel, 01b_ready_send_is_taken)
{
    struct weft_chan *idle = open_ints(0);
    struct weft_chan *chan = open_ints(1);
    int value = 7;
    int status = PENDING;

    CHECK_EQ(weft_select(weft_on_send(chan, &value, &status), weft_on_send(idle, &value)), 0);

    CHECK_EQ(status, 0);
    CHECK_EQ(recv_int(chan), 7);
    weft_chan_unref(idle);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(sel, 01c_parked_partners_make_a_case_ready)
{
    struct weft_chan *from = open_ints(0);
    struct weft_chan *to = open_ints(0);
    int sent = PENDING;
    int received = PENDING;
    int got = 0;
    int value = 0;
    CHECK_EQ(weft_go(send_one, from, 7, &sent), 0);
    settle();
    CHECK_EQ(weft_select(weft_on_recv(from, &value), weft_on_recv(to, NULL), weft_default()), 0);
    CHECK_EQ(value, 7);

    CHECK_EQ(weft_go(recv_one, to, &got, &received), 0);
    settle();
    CHECK_EQ(weft_select(weft_on_send(from, &value), weft_on_send(to, &value), weft_default()), 1);
    settle();

    CHECK_EQ(sent, 0);
    CHECK_EQ(received, 0);
    CHECK_EQ(got, 7);
    weft_chan_unref(from);
    weft_chan_unref(to);
}

VIRTUAL_TEST(sel, 02_default_is_taken_and_nothing_stays_registered)
{
    struct weft_chan *empty = open_ints(0);
    struct weft_chan *full = open_ints(1);
    CHECK_EQ(send_int(full, 1), 0);
    int value = 42;

    int index =
        weft_select(weft_on_recv(empty, &value), weft_on_send(full, &value), weft_default());

    CHECK_EQ(index, 2);
    CHECK_EQ(value, 42);
    CHECK_EQ(try_send_int(empty, 2), -EAGAIN); /* no receiver is left behind */
    CHECK_EQ(recv_int(full), 1);
    CHECK_EQ(weft_chan_len(full), 0); /* and no sender */
    weft_chan_unref(empty);
    weft_chan_unref(full);
}

/* Selects on a receive and a send, once, and says what came of it. */
struct either {
    struct weft_chan *from;
    struct weft_chan *to;
    int index;
    int value;
    int status[2];
};

static int select_either(void *arg)
{
    struct either *either = arg;
    int sending = 100;
    either->index = weft_select(weft_on_recv(either->from, &either->value, &either->status[0]),
                                weft_on_send(either->to, &sending, &either->status[1]));
    return 0;
}

static void either_open(struct either *ret)
{
    *ret = (struct either){.from = open_ints(0), .to = open_ints(0), .index = -1000, .value = 42};
    ret->status[0] = PENDING;
    ret->status[1] = PENDING;
    CHECK_EQ(weft_spawn(NULL, select_either, ret), 0);
    settle();
    CHECK_EQ(ret->index, -1000);
}

static void either_close(struct either *either)
{
    weft_chan_unref(either->from);
    weft_chan_unref(either->to);
}

VIRTUAL_TEST(sel, 03_a_later_sender_completes_it)
{
    struct either either;
    either_open(&either);

    CHECK_EQ(try_send_int(either.from, 7), 0);
    settle();

    CHECK_EQ(either.index, 0);
    CHECK_EQ(either.value, 7);
    CHECK_EQ(either.status[0], 0);
    CHECK_EQ(either.status[1], PENDING);
    CHECK_EQ(weft_chan_try_recv(either.to, NULL), -EAGAIN);
    CHECK_EQ(try_send_int(either.from, 8), -EAGAIN);
    either_close(&either);
}

VIRTUAL_TEST(sel, 03b_a_later_receiver_completes_it)
{
    struct either either;
    either_open(&either);

    CHECK_EQ(try_recv_int(either.to), 100);
    settle();

    CHECK_EQ(either.index, 1);
    CHECK_EQ(either.value, 42);
    CHECK_EQ(either.status[0], PENDING);
    CHECK_EQ(either.status[1], 0);
    CHECK_EQ(try_send_int(either.from, 8), -EAGAIN);
    CHECK_EQ(weft_chan_try_recv(either.to, NULL), -EAGAIN);
    either_close(&either);
}

VIRTUAL_TEST(sel, 03c_a_later_close_completes_it)
{
    struct either either;
    either_open(&either);
    CHECK_EQ(weft_chan_close(either.from), 0);
    settle();
    CHECK_EQ(either.index, 0);
    CHECK_EQ(either.value, 0);
    CHECK_EQ(either.status[0], -EPIPE);
    CHECK_EQ(either.status[1], PENDING);
    either_close(&either);

    either_open(&either);
    CHECK_EQ(weft_chan_close(either.to), 0);
    settle();
    CHECK_EQ(either.index, 1);
    CHECK_EQ(either.value, 42);
    CHECK_EQ(either.status[0], PENDING);
    CHECK_EQ(either.status[1], -EPIPE);
    either_close(&either);
}

/* Row 21: the first waker decides; what happens before the winner has run changes nothing. */
VIRTUAL_TEST(sel, 03d_the_winner_is_fixed_by_its_waker)
{
    struct either either;
    either_open(&either);

    CHECK_EQ(try_send_int(either.from, 7), 0);
    CHECK_EQ(weft_chan_try_recv(either.to, NULL), -EAGAIN); /* that case has lost already */
    CHECK_EQ(weft_chan_close(either.from), 0);
    CHECK_EQ(weft_chan_close(either.to), 0);
    settle();

    CHECK_EQ(either.index, 0);
    CHECK_EQ(either.value, 7);
    CHECK_EQ(either.status[0], 0);
    CHECK_EQ(either.status[1], PENDING);
    either_close(&either);
}

struct twice {
    struct weft_chan *chan;
    int index;
    int values[3];
};

static int select_twice(void *arg)
{
    struct twice *twice = arg;
    twice->index = weft_select(weft_on_recv(twice->chan, &twice->values[0]),
                               weft_on_recv(twice->chan, &twice->values[1]),
                               weft_on_recv(twice->chan, &twice->values[2]));
    return 0;
}

VIRTUAL_TEST(sel, 05_the_same_channel_twice_completes_one_case)
{
    for (int parked = 0; parked <= 1; parked++) {
        struct twice twice = {.chan = open_ints(parked ? 0 : 3), .index = -1000};
        if (!parked) {
            CHECK_EQ(send_int(twice.chan, 7), 0);
            CHECK_EQ(send_int(twice.chan, 8), 0);
        }
        CHECK_EQ(weft_spawn(NULL, select_twice, &twice), 0);
        settle();
        if (parked) {
            CHECK_EQ(try_send_int(twice.chan, 7), 0);
            CHECK_EQ(try_send_int(twice.chan, 8), -EAGAIN);
            settle();
        }

        CHECK_WITHIN(twice.index, 0, 2);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(twice.values[i], i == twice.index ? 7 : 0);
        }
        CHECK_EQ(weft_chan_len(twice.chan), parked ? 0 : 1);
        weft_chan_unref(twice.chan);
    }
}

VIRTUAL_TEST(sel, 05b_close_completes_one_of_two_cases)
{
    struct twice twice = {.chan = open_ints(0), .index = -1000, .values = {42, 42, 42}};
    CHECK_EQ(weft_spawn(NULL, select_twice, &twice), 0);
    settle();

    CHECK_EQ(weft_chan_close(twice.chan), 0);
    settle();

    CHECK_WITHIN(twice.index, 0, 2);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(twice.values[i], i == twice.index ? 0 : 42);
    }
    weft_chan_unref(twice.chan);
}

/* Waits on a channel of its own and on the common one; its own one takes it out of the queue. */
struct queued {
    struct weft_chan *common;
    struct weft_chan *own;
    int index;
    int value;
};

static int select_queued(void *arg)
{
    struct queued *queued = arg;
    queued->index =
        weft_select(weft_on_recv(queued->own, NULL), weft_on_recv(queued->common, &queued->value));
    return 0;
}

static void leave_queue_at(int position)
{
    enum { COUNT = 3 };
    struct weft_chan *common = open_ints(0);
    struct queued queued[COUNT];
    for (int i = 0; i < COUNT; i++) {
        queued[i] = (struct queued){.common = common, .own = open_ints(0), .index = -1000};
        CHECK_EQ(weft_spawn(NULL, select_queued, &queued[i]), 0);
        settle();
    }

    CHECK_EQ(try_send_int(queued[position].own, 1), 0);
    int next = 10;
    for (int i = 0; i < COUNT - 1; i++) {
        CHECK_EQ(try_send_int(common, next++), 0);
    }
    CHECK_EQ(try_send_int(common, next), -EAGAIN);
    settle();

    next = 10;
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(queued[i].index, i == position ? 0 : 1);
        CHECK_EQ(queued[i].value, i == position ? 0 : next++);
        weft_chan_unref(queued[i].own);
    }
    weft_chan_unref(common);
}

VIRTUAL_TEST(sel, 09_leaving_from_head_middle_and_tail_keeps_the_queue_whole)
{
    for (int position = 0; position < 3; position++) {
        leave_queue_at(position);
    }
}

VIRTUAL_TEST(sel, 12_receive_case_on_a_closed_channel_is_ready)
{
    struct weft_chan *closed = open_ints(1);
    struct weft_chan *idle = open_ints(0);
    CHECK_EQ(send_int(closed, 7), 0);
    CHECK_EQ(weft_chan_close(closed), 0);
    int value = 42;
    int status = PENDING;

    CHECK_EQ(weft_select(weft_on_recv(idle, NULL), weft_on_recv(closed, &value, &status)), 1);
    CHECK_EQ(value, 7); /* what is buffered comes first */
    CHECK_EQ(status, 0);
    for (int i = 0; i < 3; i++) {
        value = 42;
        CHECK_EQ(weft_select(weft_on_recv(idle, NULL), weft_on_recv(closed, &value, &status)), 1);
        CHECK_EQ(value, 0);
        CHECK_EQ(status, -EPIPE);
    }

    weft_chan_unref(closed);
    weft_chan_unref(idle);
}

VIRTUAL_TEST(sel, 13_send_case_on_a_closed_channel_is_ready)
{
    struct weft_chan *closed = open_ints(1);
    struct weft_chan *idle = open_ints(0);
    CHECK_EQ(weft_chan_close(closed), 0);
    int value = 42;
    int status = PENDING;

    CHECK_EQ(weft_select(weft_on_recv(idle, NULL), weft_on_send(closed, &value, &status)), 1);

    CHECK_EQ(status, -EPIPE);
    CHECK_EQ(value, 42);
    CHECK_EQ(weft_chan_len(closed), 0);
    weft_chan_unref(closed);
    weft_chan_unref(idle);
}

VIRTUAL_TEST(sel, 14_null_channel_disables_a_case)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);
    int untouched = 42;
    int value = 0;
    int status = PENDING;

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_select(weft_on_recv(NULL, &untouched, &status),
                             weft_on_send(NULL, &untouched, &status),
                             weft_on_recv(chan, &value)),
                 2);
        CHECK_EQ(send_int(chan, value), 0);
    }

    CHECK_EQ(value, 7);
    CHECK_EQ(untouched, 42);
    CHECK_EQ(status, PENDING);
    weft_chan_unref(chan);
}

/* Row 15: Go's loop idiom. A closed source is set to NULL, and the loop ends when all are. */
VIRTUAL_TEST(sel, 14b_closed_sources_are_disabled_one_by_one)
{
    struct weft_chan *sources[2] = {open_ints(3), open_ints(3)};
    struct weft_chan *open[2] = {sources[0], sources[1]};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(send_int(sources[i], 1), 0);
        CHECK_EQ(send_int(sources[i], 2), 0);
        CHECK_EQ(weft_chan_close(sources[i]), 0);
    }
    int sum = 0;
    int closed = 0;

    for (int round = 0; round < 10 && closed < 2; round++) {
        int value = 42;
        int status = PENDING;
        int index = weft_select(weft_on_recv(open[0], &value, &status),
                                weft_on_recv(open[1], &value, &status));
        if (!CHECK(index == 0 || index == 1)) break;
        sum += value;
        closed += status == -EPIPE;
        if (status == -EPIPE) open[index] = NULL;
    }

    CHECK_EQ(closed, 2);
    CHECK_EQ(sum, 6);
    CHECK_EQ(weft_select(weft_on_recv(open[0], NULL), weft_on_recv(open[1], NULL)), -EINVAL);
    weft_chan_unref(sources[0]);
    weft_chan_unref(sources[1]);
}
