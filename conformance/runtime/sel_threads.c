/* SPDX-License-Identifier: MIT */
/*
 * Select across threads: SEL-21, 24; row 18 of the semantics.
 *
 * A thread of its own here means a runtime of its own, or a plain thread: with one worker per
 * runtime that is where selects of two threads meet.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "conformance/runtime/chan_kit.h"

#define ROUNDS 20000

/* ---- two runtimes, a select on each side ---- */

struct side {
    struct weft_chan *to;
    struct weft_chan *from;
    int sent;
    int received;
};

static int select_side(void *arg)
{
    struct side *side = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int value = -1;
        int index =
            weft_select(weft_on_send(side->to, &side->sent), weft_on_recv(side->from, &value));
        if (!CHECK(index == 0 || index == 1)) return 1;
        if (index == 0) {
            side->sent++;
        } else {
            CHECK_EQ(value, side->received);
            side->received++;
        }
    }
    return 0;
}

static void *run_side(void *arg)
{
    CHECK_EQ(weft_run(NULL, select_side, arg), 0);
    return NULL;
}

WEFT_TEST(sel, 24_selects_of_two_runtimes_meet_with_one_case_each)
{
    struct weft_chan *there = open_shared_ints(0);
    struct weft_chan *back = open_shared_ints(0);
    struct side left = {.to = there, .from = back};
    struct side right = {.to = back, .from = there};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run_side, &left), 0);

    run_side(&right);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(left.sent, right.received);
    CHECK_EQ(right.sent, left.received);
    CHECK_EQ(left.sent + left.received, ROUNDS);
    weft_chan_unref(there);
    weft_chan_unref(back);
}

/* ---- both list the same channels, in opposite order ---- */

struct opposite {
    struct weft_chan *channels[2];
    bool reversed;
    bool sends;
    int64_t sum;
};

static int select_opposite(void *arg)
{
    struct opposite *opposite = arg;
    struct weft_chan *first = opposite->channels[opposite->reversed];
    struct weft_chan *second = opposite->channels[!opposite->reversed];
    for (int i = 1; i <= ROUNDS; i++) {
        int value = i;
        int index = opposite->sends
                        ? weft_select(weft_on_send(first, &value), weft_on_send(second, &value))
                        : weft_select(weft_on_recv(first, &value), weft_on_recv(second, &value));
        if (!CHECK(index == 0 || index == 1)) return 1;
        opposite->sum += value;
    }
    return 0;
}

static void *run_opposite(void *arg)
{
    CHECK_EQ(weft_run(NULL, select_opposite, arg), 0);
    return NULL;
}

WEFT_TEST(sel, 24b_opposite_orders_of_channels_do_not_lock_up)
{
    struct weft_chan *one = open_shared_ints(0);
    struct weft_chan *two = open_shared_ints(1);
    struct opposite sides[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        sides[i] =
            (struct opposite){.channels = {one, two}, .reversed = i % 2 == 1, .sends = i / 2 == 1};
        CHECK_EQ(pthread_create(&threads[i], NULL, run_opposite, &sides[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }

    CHECK_EQ(sides[0].sum + sides[1].sum, sides[2].sum + sides[3].sum);
    CHECK_EQ(sides[2].sum, (int64_t)ROUNDS * (ROUNDS + 1) / 2);
    CHECK_EQ(weft_chan_len(two), 0);
    weft_chan_unref(one);
    weft_chan_unref(two);
}

/* ---- a plain thread on the other side ---- */

static void *answer_each(void *arg)
{
    struct weft_chan **channels = arg;
    int value = 0;
    while (weft_chan_recv(channels[0], &value) == 0) {
        CHECK_EQ(send_int(channels[1], value + 1), 0);
    }
    return NULL;
}

REAL_TEST(sel, 24c_select_meets_a_plain_thread)
{
    struct weft_chan *channels[2] = {open_shared_ints(0), open_shared_ints(0)};
    struct weft_chan *idle = open_ints(0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, answer_each, channels), 0);

    for (int i = 0; i < ROUNDS / 4; i++) {
        int value = 0;
        int index = weft_select(
            weft_on_recv(idle, NULL), weft_on_send(channels[0], &i), weft_after(10 * WEFT_SEC));
        CHECK_EQ(index, 1);
        index = weft_select(
            weft_on_recv(channels[1], &value), weft_on_recv(idle, NULL), weft_after(10 * WEFT_SEC));
        CHECK_EQ(index, 0);
        CHECK_EQ(value, i + 1);
        if (harness_failures() > 0) break;
    }

    CHECK_EQ(weft_chan_close(channels[0]), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(channels[0]);
    weft_chan_unref(channels[1]);
    weft_chan_unref(idle);
}

/* ---- tries against sends and closes that happened before ---- */

struct announcer {
    struct weft_chan *chan;
    atomic_int round;
    atomic_int answered;
};

static void *announce_sends(void *arg)
{
    struct announcer *announcer = arg;
    for (int round = 1; round <= ROUNDS; round++) {
        CHECK_EQ(send_int(announcer->chan, round), 0);
        /* Release: pairs with the acquire in the test, which follows it with a try. */
        atomic_store_explicit(&announcer->round, round, memory_order_release);
        while (atomic_load_explicit(&announcer->answered, memory_order_acquire) < round) {
            sched_yield();
        }
    }
    return NULL;
}

static void await_round(struct announcer *announcer, int round)
{
    while (atomic_load_explicit(&announcer->round, memory_order_acquire) < round) {
        sched_yield();
    }
}

REAL_TEST(sel, 21_a_try_never_misses_a_send_that_happened_before)
{
    struct announcer announcer = {.chan = open_shared_ints(2)};
    struct weft_chan *idle = open_ints(0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, announce_sends, &announcer), 0);

    for (int round = 1; round <= ROUNDS; round++) {
        await_round(&announcer, round);
        int value = 0;
        int index = weft_select(
            weft_on_recv(idle, NULL), weft_on_recv(announcer.chan, &value), weft_default());
        CHECK_EQ(index, 1);
        CHECK_EQ(value, round);
        atomic_store_explicit(&announcer.answered, round, memory_order_release);
    }

    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(announcer.chan);
    weft_chan_unref(idle);
}

struct closer {
    struct weft_chan *channels[ROUNDS / 10];
    atomic_int closed;
};

static void *close_each(void *arg)
{
    struct closer *closer = arg;
    for (int i = 0; i < ROUNDS / 10; i++) {
        CHECK_EQ(weft_chan_close(closer->channels[i]), 0);
        atomic_store_explicit(&closer->closed, i + 1, memory_order_release);
    }
    return NULL;
}

REAL_TEST(sel, 21b_a_try_never_misses_a_close_that_happened_before)
{
    static struct closer closer;
    for (int i = 0; i < ROUNDS / 10; i++) {
        closer.channels[i] = open_shared_ints(0);
    }
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, close_each, &closer), 0);

    for (int i = 0; i < ROUNDS / 10; i++) {
        while (atomic_load_explicit(&closer.closed, memory_order_acquire) <= i) {
            sched_yield();
        }
        int status = PENDING;
        CHECK_EQ(weft_select(weft_on_recv(closer.channels[i], NULL, &status), weft_default()), 0);
        CHECK_EQ(status, -EPIPE);
        weft_chan_unref(closer.channels[i]);
    }

    CHECK_EQ(pthread_join(thread, NULL), 0);
}
