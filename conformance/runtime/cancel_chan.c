/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-07 to 10, 32 and SEMANTICS rows 19, 20, 22: cancelled waits leave channels as they
 * were, and an operation that took effect is reported as such.
 */
#include "conformance/runtime/support.h"

struct waiter {
    struct weft_chan *chan;
    struct weft_chan *other;
    int value;
    int result;
    int next; /* of the blocking call after it */
};

static int send_value(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = weft_chan_send(waiter->chan, &waiter->value);
    waiter->next = weft_sleep(WEFT_MSEC);
    return waiter->result;
}

static int recv_value(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = weft_chan_recv(waiter->chan, &waiter->value);
    waiter->next = weft_sleep(WEFT_MSEC);
    return waiter->result;
}

static int select_value(void *arg)
{
    struct waiter *waiter = arg;
    int unwanted = 0;
    waiter->result = weft_select(weft_on_recv(waiter->other, &unwanted),
                                 weft_on_recv(waiter->chan, &waiter->value),
                                 weft_after(WEFT_HOUR));
    waiter->next = weft_sleep(WEFT_MSEC);
    CHECK_EQ(unwanted, 0);
    return waiter->result;
}

/* ---- 07, 08 ---- */

static int root_cancels_a_sender(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 0);
    struct waiter first = {.chan = chan, .value = 1};
    struct waiter second = {.chan = chan, .value = 2};
    weft_task tasks[2];
    tasks[0] = spawn_task(send_value, &first);
    let_others_run();
    tasks[1] = spawn_task(send_value, &second);
    let_others_run();

    CHECK_EQ(weft_cancel(tasks[0]), 0);

    int value = 0;
    CHECK_EQ(weft_chan_recv(chan, &value), 0);
    CHECK_EQ(value, 2);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EAGAIN);
    CHECK_EQ(join_result(tasks[0]), -ECANCELED);
    CHECK_EQ(join_result(tasks[1]), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 07_a_cancelled_sender_delivers_nothing)
{
    CHECK_EQ(run_virtual(root_cancels_a_sender, NULL), 0);
}

static int root_cancels_a_buffered_sender(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 1);
    struct waiter waiter = {.chan = chan, .value = 2};
    int value = 1;
    CHECK_EQ(weft_chan_send(chan, &value), 0);
    weft_task task = spawn_task(send_value, &waiter);
    let_others_run();

    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK_EQ(weft_chan_len(chan), 1);
    CHECK_EQ(weft_chan_recv(chan, &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(weft_chan_len(chan), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 07b_a_cancelled_sender_of_a_full_buffer)
{
    CHECK_EQ(run_virtual(root_cancels_a_buffered_sender, NULL), 0);
}

static int root_cancels_a_receiver(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 0);
    struct waiter first = {.chan = chan, .value = 77};
    struct waiter second = {.chan = chan, .value = 77};
    weft_task tasks[2];
    tasks[0] = spawn_task(recv_value, &first);
    let_others_run();
    tasks[1] = spawn_task(recv_value, &second);
    let_others_run();

    CHECK_EQ(weft_cancel(tasks[0]), 0);

    int value = 5;
    CHECK_EQ(weft_chan_try_send(chan, &value), 0);
    CHECK_EQ(weft_chan_try_send(chan, &value), -EAGAIN);
    CHECK_EQ(join_result(tasks[0]), -ECANCELED);
    CHECK_EQ(join_result(tasks[1]), 0);
    CHECK_EQ(first.value, 77);
    CHECK_EQ(second.value, 5);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 08_a_cancelled_receiver_takes_nothing)
{
    CHECK_EQ(run_virtual(root_cancels_a_receiver, NULL), 0);
}

/* ---- 09 ---- */

static int dropped;

static void count_drop(void *value, void *arg)
{
    (void)arg;
    dropped += *(int *)value;
}

static int root_cancels_a_select(void *arg)
{
    (void)arg;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.capacity = 1;
    options.drop = count_drop;
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    struct waiter waiter = {.chan = chan, .other = open_chan(sizeof(int), 0), .value = 77};
    weft_task task = spawn_task(select_value, &waiter);
    let_others_run();

    CHECK_EQ(weft_cancel(task), 0);
    int value = 4;
    CHECK_EQ(weft_chan_try_send(chan, &value), 0);
    CHECK_EQ(weft_chan_try_send(waiter.other, &value), -EAGAIN);
    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK_EQ(waiter.value, 77);
    CHECK_EQ(waiter.next, -ECANCELED);
    CHECK_EQ(weft_chan_len(chan), 1);
    weft_chan_unref(waiter.other);
    weft_chan_unref(chan);
    CHECK_EQ(dropped, 4);
    return 0;
}

WEFT_TEST(cancel, 09_a_cancelled_select_consumes_no_case)
{
    CHECK_EQ(run_virtual(root_cancels_a_select, NULL), 0);
}

/* ---- 10, row 22 ---- */

static void check_completed(weft_fn fn, struct waiter *waiter, int expected)
{
    weft_task task = spawn_task(fn, waiter);
    let_others_run();

    int value = 9;
    if (fn == send_value) {
        CHECK_EQ(weft_chan_try_recv(waiter->chan, &value), 0);
        CHECK_EQ(value, 5);
    } else {
        CHECK_EQ(weft_chan_try_send(waiter->chan, &value), 0);
    }
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), expected);

    CHECK_EQ(waiter->result, expected);
    CHECK_EQ(waiter->next, -ECANCELED);
    if (fn != send_value) CHECK_EQ(waiter->value, 9);
    CHECK_EQ(weft_chan_try_recv(waiter->chan, &value), -EAGAIN);
}

static int root_completes_first(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(int), 0);
    struct weft_chan *other = open_chan(sizeof(int), 0);
    struct waiter sender = {.chan = chan, .value = 5};
    struct waiter receiver = {.chan = chan, .value = 5};
    struct waiter selecter = {.chan = chan, .other = other, .value = 5};
    check_completed(send_value, &sender, 0);
    check_completed(recv_value, &receiver, 0);
    check_completed(select_value, &selecter, 1);
    weft_chan_unref(chan);
    weft_chan_unref(other);
    return 0;
}

WEFT_TEST(cancel, 10_what_is_handed_over_wins)
{
    CHECK_EQ(run_virtual(root_completes_first, NULL), 0);
}

static int root_closes_first(void *arg)
{
    (void)arg;
    struct waiter waiter = {.chan = open_chan(sizeof(int), 0), .value = 5};
    weft_task task = spawn_task(recv_value, &waiter);
    let_others_run();
    CHECK_EQ(weft_chan_close(waiter.chan), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -EPIPE);
    CHECK_EQ(waiter.value, 0);
    CHECK_EQ(waiter.next, -ECANCELED);
    weft_chan_unref(waiter.chan);
    return 0;
}

WEFT_TEST(cancel, 10b_a_close_before_the_cancel_wins)
{
    CHECK_EQ(run_virtual(root_closes_first, NULL), 0);
}

struct join_race {
    weft_task target;
    weft_task joiner;
    int result;
    int next;
};

static int join_target(void *arg)
{
    struct join_race *race = arg;
    CHECK_EQ(weft_join(race->target, &race->result), 0);
    race->next = weft_sleep(WEFT_HOUR);
    return 0;
}

static int end_with_eleven(void *arg)
{
    CHECK_EQ(weft_chan_recv((struct weft_chan *)arg, NULL), 0);
    return 11;
}

static int root_races_a_join(void *arg)
{
    (void)arg;
    struct weft_chan *gate = open_chan(0, 0);
    struct join_race race = {.target = spawn_task(end_with_eleven, gate)};
    race.joiner = spawn_task(join_target, &race);
    let_others_run();

    CHECK_EQ(weft_chan_send(gate, NULL), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_cancel(race.joiner), 0);
    CHECK_EQ(join_result(race.joiner), 0);

    CHECK_EQ(race.result, 11);
    CHECK_EQ(race.next, -ECANCELED);
    weft_chan_unref(gate);
    return 0;
}

WEFT_TEST(cancel, 10c_a_task_that_ended_before_the_cancel_is_joined)
{
    harness_needs_order();

    CHECK_EQ(run_virtual(root_races_a_join, NULL), 0);
}

static int recv_with_timeout(void *arg)
{
    struct waiter *waiter = arg;
    weft_with_timeout(5 * WEFT_MSEC) {
        waiter->result = weft_chan_recv(waiter->chan, &waiter->value);
        waiter->next = weft_sleep(WEFT_HOUR);
    }
    CHECK_EQ(weft_yield(), 0);
    return waiter->result;
}

static int root_hands_over_late(void *arg)
{
    (void)arg;
    struct waiter waiter = {.chan = open_chan(sizeof(int), 0), .value = 5};
    weft_task task = spawn_task(recv_with_timeout, &waiter);
    CHECK_EQ(weft_yield(), 0);

    int value = 9;
    CHECK_EQ(weft_chan_try_send(waiter.chan, &value), 0);
    harness_sleep_ms(10);
    CHECK_EQ(join_result(task), 0);

    CHECK_EQ(waiter.value, 9);
    CHECK_EQ(waiter.next, -ETIMEDOUT);
    weft_chan_unref(waiter.chan);
    return 0;
}

WEFT_TEST(cancel, 10d_what_is_handed_over_wins_against_a_deadline)
{
    harness_needs_order();

    CHECK_EQ(run_real(root_hands_over_late, NULL), 0);
}

static int64_t meeting_ns;

static int recv_until_meeting(void *arg)
{
    struct waiter *waiter = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, meeting_ns), 0);
    waiter->result = weft_chan_recv(waiter->chan, &waiter->value);
    waiter->next = weft_sleep(WEFT_HOUR);
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return waiter->result;
}

static int root_meets_the_deadline(void *arg)
{
    bool root_first = *(bool *)arg;
    struct waiter waiter = {.chan = open_chan(sizeof(int), 0), .value = 5};
    meeting_ns = weft_now() + 5 * WEFT_SEC;
    weft_task task = spawn_task(recv_until_meeting, &waiter);
    if (!root_first) let_others_run();
    CHECK_EQ(weft_sleep_until(meeting_ns), 0);

    int value = 9;
    int sent = weft_chan_try_send(waiter.chan, &value);
    int result = join_result(task);

    CHECK(sent == 0 || sent == -EAGAIN);
    CHECK_EQ(result, sent == 0 ? 0 : -ETIMEDOUT);
    CHECK_EQ(waiter.value, sent == 0 ? 9 : 5);
    CHECK_EQ(waiter.next, -ETIMEDOUT);
    weft_chan_unref(waiter.chan);
    return 0;
}

WEFT_TEST(cancel, 10e_no_value_is_lost_when_a_deadline_comes_with_it)
{
    bool root_first = false;
    CHECK_EQ(run_virtual(root_meets_the_deadline, &root_first), 0);

    root_first = true;
    CHECK_EQ(run_virtual(root_meets_the_deadline, &root_first), 0);
}

/* ---- 32 ---- */

struct crowded {
    int fd;
    int result;
    int resumed;
    int64_t slept_ns;
};

static int wait_for_anything(void *arg)
{
    struct crowded *crowded = arg;
    crowded->result = weft_select(weft_on_readable(crowded->fd), weft_after(100 * WEFT_MSEC));
    crowded->resumed++;
    int64_t start = weft_now();
    weft_shielded
    {
        CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
    }
    crowded->slept_ns = weft_now() - start;
    return crowded->result;
}

static int root_wakes_thrice(void *arg)
{
    (void)arg;
    for (int cancels = 0; cancels < 2; cancels++) {
        int fds[2];
        harness_socket_pair(fds);
        struct crowded crowded = {.fd = fds[0], .result = 77};
        weft_task task = spawn_task(wait_for_anything, &crowded);
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);

        CHECK_EQ(write(fds[1], "x", 1), 1);
        harness_sleep_ms(110);
        if (cancels) CHECK_EQ(weft_cancel(task), 0);
        CHECK_EQ(join_result(task), cancels ? -ECANCELED : 0);

        CHECK_EQ(crowded.resumed, 1);
        CHECK(crowded.slept_ns >= 20 * WEFT_MSEC);
        CHECK_EQ(weft_close(fds[0]), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(cancel, 32_timer_descriptor_and_cancel_resume_once)
{
    CHECK_EQ(run_real(root_wakes_thrice, NULL), 0);
}
