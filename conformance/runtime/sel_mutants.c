/* SPDX-License-Identifier: MIT */
/*
 * SEL-10, 11, 22, 26: what faults planted in select showed to be untested.
 */
#include "conformance/runtime/support.h"

#define MANY 64

/* Select cases that can all be taken: a value each in `chans`, which are opened here. */
static void open_ready(struct weft_chan **chans, struct weft_case *cases, int *ret_value)
{
    for (int i = 0; i < MANY; i++) {
        chans[i] = open_chan(sizeof(int), 1);
        CHECK_EQ(weft_chan_try_send(chans[i], &i), 0);
        cases[i] = weft_on_recv(chans[i], ret_value);
    }
}

static void unref_all(struct weft_chan **chans)
{
    for (int i = 0; i < MANY; i++)
        weft_chan_unref(chans[i]);
}

static int takes_in_order(void *arg)
{
    (void)arg;
    struct weft_chan *chans[MANY];
    struct weft_case cases[MANY];
    int value = -1;
    open_ready(chans, cases, &value);

    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(weft_select_from(cases, MANY, WEFT_ORDERED), i);
        CHECK_EQ(value, i);
    }

    unref_all(chans);
    return 0;
}

WEFT_TEST(sel, 11m_ordered_takes_the_first_of_many)
{
    CHECK_EQ(run_virtual(takes_in_order, NULL), 0);
}

#define ROUNDS (MANY * 40)

static int takes_evenly(void *arg)
{
    (void)arg;
    struct weft_chan *chans[MANY];
    struct weft_case cases[MANY];
    int taken[MANY] = {0};
    int value = -1;
    open_ready(chans, cases, &value);

    for (int i = 0; i < ROUNDS; i++) {
        int won = weft_select_from(cases, MANY, 0);
        if (!CHECK_WITHIN(won, 0, MANY - 1)) break;
        CHECK_EQ(value, won);
        taken[won]++;
        CHECK_EQ(weft_chan_try_send(chans[won], &won), 0);
    }

    for (int i = 0; i < MANY; i++)
        CHECK_WITHIN(taken[i], 5, 100); /* 40 expected, and a deviation of 6.3 */
    unref_all(chans);
    return 0;
}

WEFT_TEST(sel, 10m_of_many_ready_cases_none_is_favoured)
{
    CHECK_EQ(run_virtual(takes_evenly, NULL), 0);
}

#define FEW 3

/* A timer among the cases leads to another way of choosing than channels alone. */
static int takes_evenly_beside_a_timer(void *arg)
{
    (void)arg;
    struct weft_chan *chans[MANY];
    struct weft_case cases[MANY];
    int taken[FEW] = {0};
    int value = -1;
    open_ready(chans, cases, &value);
    cases[FEW] = weft_after(WEFT_HOUR);

    for (int i = 0; i < 600; i++) {
        int won = weft_select_from(cases, FEW + 1, 0);
        if (!CHECK_WITHIN(won, 0, FEW - 1)) break;
        taken[won]++;
        CHECK_EQ(weft_chan_try_send(chans[won], &won), 0);
    }

    for (int i = 0; i < FEW; i++)
        CHECK_WITHIN(taken[i], 100, 300); /* 200 expected, and a deviation of 11.5 */
    unref_all(chans);
    return 0;
}

WEFT_TEST(sel, 10n_beside_a_timer_none_is_favoured)
{
    CHECK_EQ(run_virtual(takes_evenly_beside_a_timer, NULL), 0);
}

static int waits_for_timers(void *arg)
{
    (void)arg;
    int64_t start_ns = weft_now();

    CHECK_EQ(weft_select(weft_after(3 * WEFT_SEC), weft_after(WEFT_SEC), weft_after(5 * WEFT_SEC)),
             1);
    CHECK_LASTED(weft_now() - start_ns, WEFT_SEC);

    start_ns = weft_now();
    CHECK_EQ(weft_select(weft_at(start_ns + 2 * WEFT_SEC), weft_after(7 * WEFT_SEC)), 0);
    CHECK_LASTED(weft_now() - start_ns, 2 * WEFT_SEC);
    return 0;
}

WEFT_TEST(sel, 26m_the_earliest_of_several_timers_wins)
{
    CHECK_EQ(run_virtual(waits_for_timers, NULL), 0);
}

static int returns_42(void *arg)
{
    (void)arg;
    return 42;
}

static int joins_what_has_ended(void *arg)
{
    (void)arg;
    weft_task task = spawn_task(returns_42, NULL);
    let_others_run();
    int result = 0;
    int status = -1;

    CHECK_EQ(weft_select(weft_on_joined(task, &result, &status)), 0);

    CHECK_EQ(status, 0);
    CHECK_EQ(result, 42);
    CHECK_EQ(weft_join(task, NULL), -ESRCH);
    return 0;
}

WEFT_TEST(sel, 26n_a_joined_case_that_is_ready_takes_the_result_and_the_handle)
{
    CHECK_EQ(run_virtual(joins_what_has_ended, NULL), 0);
}

static int sends_1(void *arg)
{
    int value = 1;
    return weft_chan_send(arg, &value);
}

static int selects_sending_2(void *arg)
{
    struct weft_chan *chan = arg;
    int value = 2;
    return weft_select(weft_on_send(chan, &value), weft_after(WEFT_HOUR));
}

static int receives_two(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 0);
    weft_task first = spawn_task(sends_1, chan);
    let_others_run();
    weft_task second = spawn_task(selects_sending_2, chan);
    let_others_run();

    for (int expected = 1; expected <= 2; expected++) {
        int value = 0;
        CHECK_EQ(weft_chan_recv(chan, &value), 0);
        CHECK_EQ(value, expected);
    }

    CHECK_EQ(join_result(first), 0);
    CHECK_EQ(join_result(second), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(sel, 22m_a_select_waits_its_turn_among_senders)
{
    CHECK_EQ(run_virtual(receives_two, NULL), 0);
}

static int selects_receiving(void *arg)
{
    struct weft_chan *chan = arg;
    int value = 0;
    int won = weft_select(weft_on_recv(chan, &value), weft_after(WEFT_HOUR));
    return won == 0 ? value : -1;
}

static int receives_plainly(void *arg)
{
    int value = 0;
    int result = weft_chan_recv(arg, &value);
    return result == 0 ? value : -1;
}

static int sends_two(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 0);
    weft_task first = spawn_task(receives_plainly, chan);
    let_others_run();
    weft_task second = spawn_task(selects_receiving, chan);
    let_others_run();

    for (int value = 1; value <= 2; value++)
        CHECK_EQ(weft_chan_send(chan, &value), 0);

    CHECK_EQ(join_result(first), 1);
    CHECK_EQ(join_result(second), 2);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(sel, 22n_a_select_waits_its_turn_among_receivers)
{
    CHECK_EQ(run_virtual(sends_two, NULL), 0);
}

/* After a select has lost interest in the descriptor, nothing can happen any more. */
static int sleeps_after_a_select(void *arg)
{
    const int *fds = arg;
    CHECK_EQ(weft_select(weft_on_readable(fds[0]), weft_after(WEFT_MSEC)), 1);
    return weft_sleep(WEFT_FOREVER);
}

WEFT_TEST(sel, 26p_a_lost_descriptor_case_hides_no_deadlock)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(sleeps_after_a_select, fds), -EDEADLK);
}
