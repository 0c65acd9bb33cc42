/* SPDX-License-Identifier: MIT */
/*
 * JOIN-06, 12; CANCEL-24: what faults planted in joins and scopes showed to be untested.
 */
#include "conformance/runtime/support.h"

#define JOINERS 5

struct line {
    weft_task target;
    struct weft_chan *order; /* the numbers of the joiners, as they wake */
    int count;
};

static int joins_and_tells(void *arg)
{
    struct line *line = arg;
    int number = line->count++;
    CHECK_EQ(weft_join(line->target, NULL), 0);
    return weft_chan_send(line->order, &number);
}

static int wakes_joiners(void *arg)
{
    (void)arg;
    struct weft_chan *gate = open_chan(0, 0);
    struct line line = {.order = open_chan(sizeof(int), JOINERS)};
    line.target = spawn_task(receive_signal, gate);
    weft_task joiners[JOINERS];
    for (int i = 0; i < JOINERS; i++)
        joiners[i] = spawn_task(joins_and_tells, &line);
    let_others_run();

    CHECK_EQ(weft_chan_send(gate, NULL), 0);
    let_others_run();

    for (int i = 0; i < JOINERS; i++) {
        int number = -1;
        CHECK_EQ(weft_chan_try_recv(line.order, &number), 0);
        CHECK_EQ(number, i);
        CHECK_EQ(join_result(joiners[i]), 0);
    }
    weft_chan_unref(line.order);
    weft_chan_unref(gate);
    return 0;
}

WEFT_TEST(join, 06m_joiners_wake_in_the_order_in_which_they_came)
{
    harness_needs_order();

    CHECK_EQ(run_virtual(wakes_joiners, NULL), 0);
}

static int fails_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

static int fails_when_cancelled(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    return -ENOSPC;
}

static int closes_after_two_failures(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, fails_when_cancelled, NULL), 0);
    let_others_run();
    CHECK_EQ(weft_scope_spawn(&scope, NULL, fails_at_once, NULL), 0);

    CHECK_EQ(weft_scope_close(&scope), -EIO);
    return 0;
}

WEFT_TEST(join, 12m_the_first_failure_is_the_one_reported)
{
    CHECK_EQ(run_virtual(closes_after_two_failures, NULL), 0);
}

static int closes_after_cancel(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, sleep_forever, NULL), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, fails_when_cancelled, NULL), 0);
    let_others_run();
    CHECK_EQ(weft_scope_cancel(&scope), 0);

    CHECK_EQ(weft_scope_close(&scope), -ENOSPC);
    return 0;
}

WEFT_TEST(join, 12n_ending_cancelled_with_its_scope_is_no_failure)
{
    harness_needs_order(); /* the one that was cancelled ends first */

    CHECK_EQ(run_virtual(closes_after_cancel, NULL), 0);
}

/* Whose time is over: that of the inner scope, or that of one further out? */
static int tries_inside(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(0, 0);
    struct weft_scope outer;
    struct weft_scope inner;
    CHECK_EQ(weft_scope_open_timeout(&outer, 0), 0);
    CHECK_EQ(weft_chan_recv(chan, NULL), -ETIMEDOUT);

    CHECK_EQ(weft_scope_open(&inner), 0);
    CHECK_EQ(weft_chan_recv(chan, NULL), -ECANCELED);
    CHECK_EQ(weft_scope_status(), -ECANCELED);
    (void)weft_scope_close(&inner);

    CHECK_EQ(weft_chan_recv(chan, NULL), -ETIMEDOUT);
    (void)weft_scope_close(&outer);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 24m_inside_a_scope_without_time_the_time_is_not_ones_own)
{
    CHECK_EQ(run_virtual(tries_inside, NULL), 0);
}
