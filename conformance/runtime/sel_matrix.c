/* SPDX-License-Identifier: MIT */
/*
 * Select, when it sleeps and when it refuses: SEL-15 to 20, 22, 25, 26; rows 16, 19, 20 of the
 * semantics.
 */
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

VIRTUAL_TEST(sel, 15_without_an_enabled_case_it_never_hangs)
{
    struct weft_case none[] = {weft_on_recv(NULL, NULL), weft_on_send(NULL, NULL)};
    CHECK_EQ(weft_select_from(none, 2, 0), -EINVAL);
    CHECK_EQ(weft_select_from(none, 0, 0), -EINVAL);
    CHECK_EQ(weft_select(weft_on_recv(NULL, NULL), weft_default()), 1);
    CHECK_EQ(weft_select(weft_default()), 0);

    weft_with_timeout(WEFT_SEC) {
        CHECK_EQ(weft_select_from(none, 2, 0), -EINVAL);
    }
}

REAL_TEST(sel, 15b_a_timer_alone_sleeps_until_it_is_due)
{
    int64_t start = weft_now();
    int status = PENDING;

    int index = weft_select(weft_on_recv(NULL, NULL), weft_after(20 * WEFT_MSEC, &status));

    CHECK_EQ(index, 1);
    CHECK_EQ(status, 0);
    CHECK_WITHIN(weft_now() - start, 20 * WEFT_MSEC, 20 * WEFT_MSEC + harness_slack_ns());
}

REAL_TEST(sel, 15c_a_timer_under_an_earlier_deadline_gives_up_in_time)
{
    int64_t start = weft_now();
    int index = PENDING;

    weft_with_timeout(20 * WEFT_MSEC) {
        index = weft_select(weft_on_recv(NULL, NULL), weft_after(WEFT_HOUR));
    }

    CHECK_EQ(index, -ETIMEDOUT);
    CHECK_WITHIN(weft_now() - start, 20 * WEFT_MSEC, 20 * WEFT_MSEC + harness_slack_ns());
}

REAL_TEST(sel, 16_deadline_consumes_nothing_and_leaves_all_queues)
{
    struct weft_chan *empty = open_ints(0);
    struct weft_chan *full = open_ints(1);
    CHECK_EQ(send_int(full, 1), 0);
    int64_t start = weft_now();
    int value = 42;
    int status[2] = {PENDING, PENDING};
    int index = PENDING;

    weft_with_timeout(20 * WEFT_MSEC) {
        index = weft_select(weft_on_recv(empty, &value, &status[0]),
                            weft_on_send(full, &value, &status[1]));
    }

    CHECK_EQ(index, -ETIMEDOUT);
    CHECK_WITHIN(weft_now() - start, 20 * WEFT_MSEC, 20 * WEFT_MSEC + harness_slack_ns());
    CHECK_EQ(value, 42);
    CHECK_EQ(status[0], PENDING);
    CHECK_EQ(status[1], PENDING);
    CHECK_EQ(try_send_int(empty, 2), -EAGAIN);
    CHECK_EQ(recv_int(full), 1);
    CHECK_EQ(weft_chan_len(full), 0);
    weft_chan_unref(empty);
    weft_chan_unref(full);
}

struct sleeper {
    struct weft_chan *from;
    struct weft_chan *to;
    int value;
    int index;
    int next;
};

static int select_and_try_again(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->index = weft_select(weft_on_recv(sleeper->from, &sleeper->value),
                                 weft_on_send(sleeper->to, &sleeper->value),
                                 weft_after(WEFT_FOREVER));
    sleeper->next = weft_select(weft_on_recv(sleeper->from, &sleeper->value), weft_default());
    return 0;
}

/* Row 20. */
VIRTUAL_TEST(sel, 16b_cancel_consumes_nothing_and_leaves_all_queues)
{
    struct sleeper sleeper = {
        .from = open_ints(0), .to = open_ints(0), .value = 42, .index = PENDING, .next = PENDING};
    weft_task task;
    CHECK_EQ(weft_spawn(&task, select_and_try_again, &sleeper), 0);
    settle();

    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(try_send_int(sleeper.from, 7), -EAGAIN);
    CHECK_EQ(weft_chan_try_recv(sleeper.to, NULL), -EAGAIN);
    CHECK_EQ(weft_join(task, NULL), 0);

    CHECK_EQ(sleeper.index, -ECANCELED);
    CHECK_EQ(sleeper.next, -ECANCELED); /* cancellation stays, also for what would not sleep */
    CHECK_EQ(sleeper.value, 42);
    weft_chan_unref(sleeper.from);
    weft_chan_unref(sleeper.to);
}

/* Row 22 for select: completed wins, the next call sees the cancel. */
VIRTUAL_TEST(sel, 16c_a_completed_select_wins_against_a_cancel)
{
    struct sleeper sleeper = {
        .from = open_ints(0), .to = open_ints(0), .value = 42, .index = PENDING, .next = PENDING};
    weft_task task;
    CHECK_EQ(weft_spawn(&task, select_and_try_again, &sleeper), 0);
    settle();

    CHECK_EQ(try_send_int(sleeper.from, 7), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(weft_join(task, NULL), 0);

    CHECK_EQ(sleeper.index, 0);
    CHECK_EQ(sleeper.value, 7);
    CHECK_EQ(sleeper.next, -ECANCELED);
    weft_chan_unref(sleeper.from);
    weft_chan_unref(sleeper.to);
}

VIRTUAL_TEST(sel, 17_past_deadline_makes_it_a_try)
{
    struct weft_chan *chan = open_ints(1);
    int value = 7;

    weft_with_timeout(0) {
        CHECK_EQ(weft_select(weft_on_recv(chan, &value)), -ETIMEDOUT);
        CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_on_send(chan, &value)), 1);
        CHECK_EQ(weft_select(weft_on_send(chan, &value)), -ETIMEDOUT);
        CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_after(WEFT_HOUR)), 0);
        CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_default()), 1);
    }

    CHECK_EQ(weft_chan_len(chan), 0);
    weft_chan_unref(chan);
}

VIRTUAL_TEST(sel, 17b_timer_of_zero_is_due_at_once)
{
    struct weft_chan *chan = open_ints(1);

    CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_after(0)), 1);
    CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_after(-WEFT_SEC)), 1);
    CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_at(weft_now() - 1)), 1);

    weft_chan_unref(chan);
}

#define CASES_MAX 1000

/* The ready case is in turn the first, the last and one between; ready at entry, or later. */
static void select_among(size_t count, size_t ready, bool later)
{
    static struct weft_case cases[CASES_MAX];
    static struct weft_chan *channels[CASES_MAX];
    static int values[CASES_MAX];
    for (size_t i = 0; i < count; i++) {
        channels[i] = open_ints(later ? 0 : 1);
        values[i] = 42;
        cases[i] = weft_on_recv(channels[i], &values[i]);
    }
    int status = PENDING;
    CHECK_EQ(weft_go(send_one, channels[ready], 7, &status), 0);
    if (!later) settle();

    CHECK_EQ(weft_select_from(cases, count, 0), ready);

    settle();
    CHECK_EQ(status, 0);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(values[i], i == ready ? 7 : 42);
        CHECK_EQ(weft_chan_len(channels[i]), 0);
        if (later) CHECK_EQ(try_send_int(channels[i], 1), -EAGAIN);
        weft_chan_unref(channels[i]);
    }
}

VIRTUAL_TEST(sel, 18_any_number_of_cases_works)
{
    static const size_t counts[] = {1, 2, 20, CASES_MAX};

    for (size_t i = 0; i < 4; i++) {
        for (int later = 0; later <= 1; later++) {
            select_among(counts[i], 0, later);
            select_among(counts[i], counts[i] / 2, later);
            select_among(counts[i], counts[i] - 1, later);
        }
    }
}

/* ---- the matrix: what blocks ---- */

enum matrix_state { NIL, CLOSED, EMPTY, FULL, BUFFERED, STATES };
enum { MATRIX_RECV = 1, MATRIX_SEND = 2 };

static struct weft_chan *matrix_open(enum matrix_state state)
{
    if (state == NIL) return NULL;
    struct weft_chan *chan = open_ints(state == EMPTY ? 0 : state == FULL ? 1 : 2);
    if (state == FULL || state == BUFFERED) CHECK_EQ(try_send_int(chan, 7), 0);
    if (state == CLOSED) CHECK_EQ(weft_chan_close(chan), 0);
    return chan;
}

/* Whether the operations (MATRIX_...) find their channel ready. */
static bool matrix_is_ready(enum matrix_state state, unsigned operations)
{
    static const unsigned ready[STATES] = {
        [CLOSED] = MATRIX_RECV | MATRIX_SEND,
        [FULL] = MATRIX_RECV,
        [BUFFERED] = MATRIX_RECV | MATRIX_SEND,
    };
    return ready[state] & operations;
}

static void matrix_check(enum matrix_state state, unsigned operations, bool has_default)
{
    struct weft_chan *chan = matrix_open(state);
    int sending = 9;
    struct weft_case cases[3];
    size_t count = 0;
    if (operations & MATRIX_RECV) cases[count++] = weft_on_recv(chan, NULL);
    if (operations & MATRIX_SEND) cases[count++] = weft_on_send(chan, &sending);
    int default_index = (int)count;
    if (has_default) cases[count++] = weft_default();

    int index = PENDING;
    weft_with_timeout(WEFT_MINUTE) {
        index = weft_select_from(cases, count, 0);
    }

    if (matrix_is_ready(state, operations)) {
        CHECK_WITHIN(index, 0, default_index - 1);
    } else if (has_default) {
        CHECK_EQ(index, default_index);
    } else {
        CHECK_EQ(index, state == NIL ? -EINVAL : -ETIMEDOUT);
    }
    weft_chan_unref(chan);
}

VIRTUAL_TEST(sel, 19_what_blocks_and_what_does_not)
{
    for (int state = 0; state < STATES; state++) {
        for (unsigned operations = 1; operations <= 3; operations++) {
            matrix_check((enum matrix_state)state, operations, false);
            matrix_check((enum matrix_state)state, operations, true);
        }
    }
}

/* ---- values ---- */

struct reader {
    struct weft_chan *idle;
    struct weft_chan *to;
    int value;
    int other;
    int index;
};

static int select_send(void *arg)
{
    struct reader *reader = arg;
    reader->index = weft_select(weft_on_recv(reader->idle, &reader->other),
                                weft_on_send(reader->to, &reader->value));
    return 0;
}

VIRTUAL_TEST(sel, 20_losers_write_nothing_and_the_value_is_read_at_completion)
{
    struct reader reader = {
        .idle = open_ints(0), .to = open_ints(0), .value = 1, .other = 42, .index = PENDING};
    CHECK_EQ(weft_spawn(NULL, select_send, &reader), 0);
    settle();

    reader.value = 2; /* after the select began, before anybody takes it */
    CHECK_EQ(try_recv_int(reader.to), 2);
    reader.value = 3;
    settle();

    CHECK_EQ(reader.index, 1);
    CHECK_EQ(reader.other, 42);
    weft_chan_unref(reader.idle);
    weft_chan_unref(reader.to);
}

/* ---- every form against every form ---- */

enum form { PLAIN, SELECTED, POLLED, FORMS };

static int send_in_form(struct weft_chan *chan, int value, enum form form)
{
    if (form == PLAIN) return send_int(chan, value);
    if (form == SELECTED) return weft_select(weft_on_send(chan, &value));
    for (int i = 0; i < 100000; i++) {
        if (weft_select(weft_on_send(chan, &value), weft_default()) == 0) return 0;
        if (weft_yield() < 0) return -ECANCELED;
    }
    return -EAGAIN;
}

static int recv_in_form(struct weft_chan *chan, int *ret_value, enum form form)
{
    int status = PENDING;
    if (form == PLAIN) return weft_chan_recv(chan, ret_value);
    if (form == SELECTED) {
        int index = weft_select(weft_on_recv(chan, ret_value, &status));
        return index == 0 ? status : index;
    }
    for (int i = 0; i < 100000; i++) {
        if (weft_select(weft_on_recv(chan, ret_value, &status), weft_default()) == 0) return status;
        if (weft_yield() < 0) return -ECANCELED;
    }
    return -EAGAIN;
}

WEFT_TASK(send_form, (struct weft_chan *, chan), (enum form, form), (int *, ret_status))
{
    *ret_status = send_in_form(chan, 7, form);
    return 0;
}

VIRTUAL_TEST(sel, 22_every_receive_form_works_with_every_send_form)
{
    for (int pair = 0; pair < FORMS * FORMS; pair++) {
        enum form sending = (enum form)(pair / FORMS);
        enum form receiving = (enum form)(pair % FORMS);
        if (sending == POLLED && receiving == POLLED) continue; /* neither ever parks */
        struct weft_chan *chan = open_ints(0);
        int value = 0;
        int status = PENDING;
        CHECK_EQ(weft_go(send_form, chan, sending, &status), 0);

        CHECK_EQ(recv_in_form(chan, &value, receiving), 0);
        settle();

        CHECK_EQ(value, 7);
        CHECK_EQ(status, 0);
        weft_chan_unref(chan);
    }
}

VIRTUAL_TEST(sel, 25_bad_arguments_are_refused)
{
    struct weft_chan *chan = open_ints(1);
    int value = 42;
    struct weft_case cases[2] = {weft_on_recv(chan, &value), weft_on_recv(chan, &value)};
    CHECK_EQ(send_int(chan, 7), 0);

    CHECK_EQ(weft_select_from(NULL, 1, 0), -EINVAL);
    CHECK_EQ(weft_select_from(cases, 1, 1U << 31), -EINVAL);
    cases[1].kind = 99;
    CHECK_EQ(weft_select_from(cases, 2, 0), -EINVAL);
    cases[0] = weft_default();
    cases[1] = weft_default();
    CHECK_EQ(weft_select_from(cases, 2, 0), -EINVAL);

    CHECK_EQ(value, 42);
    CHECK_EQ(weft_chan_len(chan), 1);
    weft_chan_unref(chan);
}

/* ---- other kinds of cases ---- */

static int sleep_then_nine(void *arg)
{
    CHECK_EQ(weft_sleep(*(int64_t *)arg), 0);
    return 9;
}

VIRTUAL_TEST(sel, 26_joined_timer_and_channel_cases_follow_the_same_rules)
{
    struct weft_chan *chan = open_ints(0);
    int64_t nap = WEFT_MINUTE;
    weft_task task;
    int result = -1;
    int status = PENDING;
    CHECK_EQ(weft_spawn(&task, sleep_then_nine, &nap), 0);

    CHECK_EQ(weft_select(weft_on_joined(task, &result), weft_after(WEFT_SEC)), 1);
    CHECK_EQ(result, -1); /* the loser stays joinable */
    CHECK_EQ(weft_select(weft_on_recv(chan, NULL),
                         weft_on_joined(task, &result, &status),
                         weft_after(WEFT_HOUR)),
             1);

    CHECK_EQ(result, 9);
    CHECK_EQ(status, 0);
    CHECK_EQ(weft_join(task, NULL), -ESRCH); /* the winner has joined */
    CHECK_EQ(try_send_int(chan, 1), -EAGAIN);
    weft_chan_unref(chan);
}

REAL_TEST(sel, 26b_descriptor_cases_follow_the_same_rules)
{
    struct weft_chan *chan = open_ints(0);
    int fds[2];
    harness_pipe(fds);
    int sent = PENDING;
    int value = 0;
    char byte = 0;

    /* The channel wins; the descriptor's case leaves nothing behind. */
    CHECK_EQ(weft_go(send_one, chan, 7, &sent), 0);
    CHECK_EQ(weft_select(weft_on_readable(fds[0]), weft_on_recv(chan, &value)), 1);
    CHECK_EQ(value, 7);

    /* The descriptor wins; the channel's case leaves nothing behind. */
    CHECK_EQ(write(fds[1], "x", 1), 1);
    int status = PENDING;
    CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_on_readable(fds[0], &status)), 1);
    CHECK_EQ(status, 0);
    CHECK_EQ(try_send_int(chan, 1), -EAGAIN);
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');

    /* Neither is ready: the timer wins. A writable end is ready at once. */
    CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_after(5 * WEFT_MSEC)), 1);
    CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_on_writable(fds[1])), 1);

    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(weft_select(weft_on_recv(chan, &value), weft_on_readable(fds[0])), -EBADF);
    weft_chan_unref(chan);
}
