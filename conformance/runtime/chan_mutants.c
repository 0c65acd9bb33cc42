/* SPDX-License-Identifier: MIT */
/*
 * CHAN-03, 06, 22; TASK-32: values as large as a word, which take ways of their own.
 */
#include "conformance/runtime/support.h"

#define CAPACITY 4

static int fills_and_drains(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(uint64_t), CAPACITY);
    uint64_t next_sent = 1000;
    uint64_t next_received = 1000;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i <= round % CAPACITY; i++, next_sent++)
            CHECK_EQ(weft_chan_send(chan, &next_sent), 0);
        for (int i = 0; i <= round % CAPACITY; i++, next_received++) {
            uint64_t value = 0;
            CHECK_EQ(weft_chan_recv(chan, &value), 0);
            CHECK_EQ(value, next_received);
        }
        CHECK_EQ(weft_chan_len(chan), 0);
    }
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(chan, 03m_words_go_round_the_ring)
{
    CHECK_EQ(run_virtual(fills_and_drains, NULL), 0);
}

static int sends_six(void *arg)
{
    for (uint64_t value = 1; value <= CAPACITY + 2; value++)
        CHECK_EQ(weft_chan_send(arg, &value), 0);
    return 0;
}

static int drains_beside_a_sender(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_chan(sizeof(uint64_t), CAPACITY);
    weft_task sender = spawn_task(sends_six, chan);
    let_others_run();
    CHECK_EQ(weft_chan_len(chan), CAPACITY);

    uint64_t value = 0;
    CHECK_EQ(weft_chan_recv(chan, &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(weft_chan_len(chan), CAPACITY); /* the sender's value moved up at once */

    for (uint64_t expected = 2; expected <= CAPACITY + 2; expected++) {
        CHECK_EQ(weft_chan_recv(chan, &value), 0);
        CHECK_EQ(value, expected);
    }
    CHECK_EQ(join_result(sender), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(chan, 06m_a_waiting_word_moves_up)
{
    CHECK_EQ(run_virtual(drains_beside_a_sender, NULL), 0);
}

struct ends {
    struct weft_chan *chans[2];
    uint64_t value;
    int status;
};

static int selects_words(void *arg)
{
    struct ends *ends = arg;
    ends->status = -1;
    return weft_select(weft_after(WEFT_HOUR),
                       weft_on_recv(ends->chans[0], NULL),
                       weft_on_recv(ends->chans[1], &ends->value, &ends->status));
}

static int sends_words_to_selects(void *arg)
{
    (void)arg;
    struct ends ends = {.chans = {open_chan(sizeof(uint64_t), 0), open_chan(sizeof(uint64_t), 0)}};
    weft_task task = spawn_task(selects_words, &ends);
    let_others_run();

    uint64_t value = UINT64_C(0x0123456789abcdef);
    CHECK_EQ(weft_chan_send(ends.chans[1], &value), 0);

    CHECK_EQ(join_result(task), 2);
    CHECK_EQ(ends.value, value);
    CHECK_EQ(ends.status, 0);
    CHECK_EQ(weft_chan_try_send(ends.chans[0], &value), -EAGAIN);
    weft_chan_unref(ends.chans[0]);
    weft_chan_unref(ends.chans[1]);
    return 0;
}

WEFT_TEST(chan, 22m_a_word_meets_a_select)
{
    CHECK_EQ(run_virtual(sends_words_to_selects, NULL), 0);
}

#define SENDS 2000

static int counts_runs(void *arg)
{
    int *runs = arg;
    while (*runs >= 0) {
        ++*runs;
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int sends_without_end(void *arg)
{
    (void)arg;
    int runs = 0;
    struct weft_chan *chan = open_chan(sizeof(uint64_t), SENDS);
    weft_task task = spawn_task(counts_runs, &runs);
    for (uint64_t value = 0; value < SENDS; value++)
        CHECK_EQ(weft_chan_send(chan, &value), 0);
    CHECK(runs >= 5); /* a slice is far less than 400 operations */
    runs = 0;
    for (uint64_t value = 0; value < SENDS; value++)
        CHECK_EQ(weft_chan_recv(chan, NULL), 0);
    CHECK(runs >= 5);

    runs = -1;
    CHECK_EQ(join_result(task), 0);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(task, 32m_sends_and_receives_that_never_sleep_let_others_run)
{
    harness_needs_order(); /* shuffled, the other task may be unlucky */
    CHECK_EQ(run_virtual(sends_without_end, NULL), 0);
}
