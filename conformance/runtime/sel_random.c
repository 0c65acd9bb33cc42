/* SPDX-License-Identifier: MIT */
/*
 * Select, choice and crowds: SEL-04, 06 to 08, 10, 11, 23, 27; rows 14, 17, 18, 20a of the
 * semantics.
 *
 * What a crowd does is random, what it leaves behind is not: sums, sequences and counts are exact.
 */
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

#define ROUNDS 20000

/* ---- a channel's two ends in one select ---- */

struct selfish {
    struct weft_chan *chan;
    int number;
    int sent;
    int received;
};

static int select_both_ends(void *arg)
{
    struct selfish *selfish = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int value = -1;
        int index = weft_select(weft_on_send(selfish->chan, &selfish->number),
                                weft_on_recv(selfish->chan, &value));
        if (!CHECK(index == 0 || index == 1)) return 1;
        if (index == 0) {
            selfish->sent++;
            continue;
        }
        selfish->received++;
        if (weft_chan_cap(selfish->chan) == 0) CHECK(value != selfish->number);
    }
    return 0;
}

VIRTUAL_TEST(sel, 04_it_never_meets_itself)
{
    for (size_t capacity = 0; capacity <= 10; capacity += 10) {
        struct weft_chan *chan = open_ints(capacity);
        struct selfish pair[2] = {{.chan = chan, .number = 1}, {.chan = chan, .number = 2}};
        weft_task tasks[2];
        CHECK_EQ(weft_spawn(&tasks[0], select_both_ends, &pair[0]), 0);
        CHECK_EQ(weft_spawn(&tasks[1], select_both_ends, &pair[1]), 0);
        CHECK_EQ(weft_join(tasks[0], NULL), 0);
        CHECK_EQ(weft_join(tasks[1], NULL), 0);

        int sent = pair[0].sent + pair[1].sent;
        int received = pair[0].received + pair[1].received;

        CHECK_EQ(sent + received, 2 * ROUNDS);
        CHECK_EQ(sent - received, weft_chan_len(chan));
        if (capacity == 0) CHECK_EQ(pair[0].sent, pair[1].received);
        weft_chan_unref(chan);
    }
}

VIRTUAL_TEST(sel, 04b_alone_it_sleeps)
{
    struct weft_chan *chan = open_ints(0);
    int sending = 1;
    int value = 42;
    int index = PENDING;

    weft_with_timeout(WEFT_MINUTE) {
        index = weft_select(weft_on_send(chan, &sending), weft_on_recv(chan, &value));
    }

    CHECK_EQ(index, -ETIMEDOUT);
    CHECK_EQ(value, 42);
    weft_chan_unref(chan);
}

/* ---- two selects facing each other ---- */

/* Sends 0, 1, 2, ... on `to` and expects the same on `from`, whichever way goes first. */
struct facing {
    struct weft_chan *to;
    struct weft_chan *from;
    int sent;
    int received;
};

static int select_facing(void *arg)
{
    struct facing *facing = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int value = -1;
        int index = weft_select(weft_on_send(facing->to, &facing->sent),
                                weft_on_recv(facing->from, &value));
        if (!CHECK(index == 0 || index == 1)) return 1;
        if (index == 0) {
            facing->sent++;
        } else {
            CHECK_EQ(value, facing->received);
            facing->received++;
        }
    }
    return 0;
}

VIRTUAL_TEST(sel, 06_two_selects_meet_with_one_case_each)
{
    struct weft_chan *there = open_ints(0);
    struct weft_chan *back = open_ints(0);
    struct facing left = {.to = there, .from = back};
    struct facing right = {.to = back, .from = there};
    weft_task tasks[2];
    CHECK_EQ(weft_spawn(&tasks[0], select_facing, &left), 0);
    CHECK_EQ(weft_spawn(&tasks[1], select_facing, &right), 0);
    CHECK_EQ(weft_join(tasks[0], NULL), 0);
    CHECK_EQ(weft_join(tasks[1], NULL), 0);

    CHECK_EQ(left.sent, right.received);
    CHECK_EQ(right.sent, left.received);
    CHECK_EQ(left.sent + left.received, ROUNDS);
    weft_chan_unref(there);
    weft_chan_unref(back);
}

/* ---- one value on four channels ---- */

#define VALUES 100000

static unsigned char value_seen[VALUES];

static int mark_values(void *arg)
{
    int value = -1;
    while (weft_chan_recv(arg, &value) == 0) {
        if (!CHECK(value >= 0 && value < VALUES)) return 1;
        value_seen[value]++;
    }
    return 0;
}

VIRTUAL_TEST(sel, 07_a_value_goes_to_one_of_four_channels)
{
    struct weft_chan *channels[4];
    weft_task receivers[4];
    for (int i = 0; i < 4; i++) {
        channels[i] = open_ints((size_t)i % 3);
        CHECK_EQ(weft_spawn(&receivers[i], mark_values, channels[i]), 0);
    }
    int used[4] = {0};
    for (int value = 0; value < VALUES; value++) {
        int index = weft_select(weft_on_send(channels[0], &value),
                                weft_on_send(channels[1], &value),
                                weft_on_send(channels[2], &value),
                                weft_on_send(channels[3], &value));
        CHECK_OR_RETURN(index >= 0 && index < 4, );
        used[index]++;
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_chan_close(channels[i]), 0);
        CHECK_EQ(weft_join(receivers[i], NULL), 0);
        weft_chan_unref(channels[i]);
    }

    for (int value = 0; value < VALUES; value++) {
        if (!CHECK_EQ(value_seen[value], 1)) break;
    }
    for (int i = 0; i < 4; i++) {
        CHECK(used[i] > 0);
    }
}

/* The kernel counts resident pages per CPU and in batches, so less than this may be noise; a word
 * left behind per round would be 800 kB. Sanitizers keep books of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GROWTH_MAX ((size_t)64 * 1024 * 1024)
#else
#define GROWTH_MAX ((size_t)700 * 1024)
#endif

/* A loser that were left in the idle channel's queue would cost memory at each round. */
static int select_beside_idle(void *arg)
{
    struct weft_chan **channels = arg;
    int status = 0;
    while (status == 0) {
        int index = weft_select(weft_on_recv(channels[0], NULL, &status),
                                weft_on_recv(channels[1], NULL),
                                weft_after(WEFT_HOUR * 1000));
        if (!CHECK_EQ(index, 0)) return 1;
    }
    return 0;
}

VIRTUAL_TEST(sel, 08_losing_cases_leave_no_memory_behind)
{
    struct weft_chan *channels[2] = {open_ints(0), open_ints(0)};
    weft_task task;
    CHECK_EQ(weft_spawn(&task, select_beside_idle, channels), 0);
    size_t before = 0;
    for (int i = 0; i < 101000; i++) {
        if (i == 1000) before = harness_resident_size();
        CHECK_EQ(send_int(channels[0], i), 0);
    }

    size_t after = harness_resident_size();

    CHECK(after < before + GROWTH_MAX);
    CHECK_EQ(weft_chan_close(channels[0]), 0);
    CHECK_EQ(weft_join(task, NULL), 0);
    weft_chan_unref(channels[0]);
    weft_chan_unref(channels[1]);
}

/* ---- the choice ---- */

#define CHOICES 10000

struct choices {
    unsigned flags;
    int count[4];
    unsigned char sequence[CHOICES];
};

/* Four cases that are always ready. */
static int choose(void *arg)
{
    struct choices *choices = arg;
    struct weft_chan *channels[4];
    struct weft_case cases[4];
    for (int i = 0; i < 4; i++) {
        channels[i] = open_ints(0);
        CHECK_EQ(weft_chan_close(channels[i]), 0);
        cases[i] = weft_on_recv(channels[i], NULL);
    }
    for (int i = 0; i < CHOICES; i++) {
        int index = weft_select_from(cases, 4, choices->flags);
        if (!CHECK(index >= 0 && index < 4)) return 1;
        choices->count[index]++;
        choices->sequence[i] = (unsigned char)index;
    }
    for (int i = 0; i < 4; i++) {
        weft_chan_unref(channels[i]);
    }
    return 0;
}

static void choose_with_seed(struct choices *ret, uint64_t seed, unsigned flags)
{
    CHECK_EQ(unsetenv("WEFT_SEED"), 0);
    struct weft_config config = WEFT_CONFIG_INIT;
    config.seed = seed;
    memset(ret, 0, sizeof *ret);
    ret->flags = flags;
    CHECK_EQ(weft_run(&config, choose, ret), 0);
}

/* Six standard deviations of the binomial distribution are 6 * sqrt(n / 4 * 3 / 4) = 260. */
WEFT_TEST(sel, 10_every_ready_case_gets_its_share)
{
    static struct choices choices;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        choose_with_seed(&choices, seed, 0);

        for (int i = 0; i < 4; i++) {
            CHECK_WITHIN(choices.count[i], CHOICES / 4 - 260, CHOICES / 4 + 260);
        }
    }
}

/* The choice does not depend on the one before: all sixteen pairs come up. */
WEFT_TEST(sel, 10b_choices_do_not_follow_a_round)
{
    static struct choices choices;
    int pairs[4][4] = {{0}};

    choose_with_seed(&choices, 7, 0);

    for (int i = 1; i < CHOICES; i++) {
        pairs[choices.sequence[i - 1]][choices.sequence[i]]++;
    }
    for (int i = 0; i < 16; i++) {
        CHECK_WITHIN(pairs[i / 4][i % 4], CHOICES / 16 - 150, CHOICES / 16 + 150);
    }
}

WEFT_TEST(sel, 11_ordered_takes_the_first_ready_case)
{
    static struct choices choices;

    choose_with_seed(&choices, 1, WEFT_ORDERED);

    CHECK_EQ(choices.count[0], CHOICES);
}

VIRTUAL_TEST(sel, 11b_ordered_skips_what_is_not_ready)
{
    struct weft_chan *idle = open_ints(0);
    struct weft_chan *ready[2] = {open_ints(1), open_ints(1)};
    CHECK_EQ(send_int(ready[0], 1), 0);
    CHECK_EQ(send_int(ready[1], 2), 0);
    int value = 0;

    for (int expected = 1; expected <= 2; expected++) {
        int index = weft_select_ordered(weft_on_recv(idle, &value),
                                        weft_on_recv(ready[0], &value),
                                        weft_on_recv(ready[1], &value),
                                        weft_default());
        CHECK_EQ(index, expected);
        CHECK_EQ(value, expected);
    }

    weft_chan_unref(idle);
    weft_chan_unref(ready[0]);
    weft_chan_unref(ready[1]);
}

WEFT_TEST(sel, 11c_the_same_seed_makes_the_same_choices)
{
    static struct choices first;
    static struct choices again;
    static struct choices other;

    choose_with_seed(&first, 12345, 0);
    choose_with_seed(&again, 12345, 0);
    choose_with_seed(&other, 54321, 0);

    CHECK(memcmp(first.sequence, again.sequence, CHOICES) == 0);
    CHECK(memcmp(first.sequence, other.sequence, CHOICES) != 0);
}

/* ---- ten tasks, four channels ---- */

#define EACH 5000

static struct weft_chan *crowd_channels[4];
static int64_t crowd_received[4]; /* sum per channel */
static int crowd_count[4];

static int crowd_send(void *arg)
{
    struct weft_chan *chan = *(struct weft_chan **)arg;
    for (int i = 1; i <= EACH; i++) {
        CHECK_EQ(send_int(chan, i), 0);
    }
    return 0;
}

static int crowd_receive(void *arg)
{
    struct weft_chan **place = arg;
    for (int i = 0; i < EACH; i++) {
        crowd_received[place - crowd_channels] += recv_int(*place);
        crowd_count[place - crowd_channels]++;
    }
    return 0;
}

/* Sends 1 to EACH on every channel, or receives EACH values from every channel, as they come. */
static int crowd_select(void *arg)
{
    bool sends = arg != NULL;
    int done[4] = {0};
    for (int i = 0; i < 4 * EACH; i++) {
        struct weft_case cases[4];
        int sending[4];
        int value = 0;
        for (int j = 0; j < 4; j++) {
            struct weft_chan *chan = done[j] < EACH ? crowd_channels[j] : NULL;
            sending[j] = done[j] + 1;
            cases[j] = sends ? weft_on_send(chan, &sending[j]) : weft_on_recv(chan, &value);
        }
        int index = weft_select_from(cases, 4, 0);
        if (!CHECK(index >= 0 && index < 4)) return 1;
        done[index]++;
        if (!sends) crowd_received[index] += value;
        if (!sends) crowd_count[index]++;
    }
    return 0;
}

VIRTUAL_TEST(sel, 23_ten_tasks_over_four_channels_balance)
{
    static const size_t capacities[] = {0, 0, 2, 3};
    weft_task tasks[10];
    for (int i = 0; i < 4; i++) {
        crowd_channels[i] = open_ints(capacities[i]);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_spawn(&tasks[i], crowd_send, &crowd_channels[i]), 0);
        CHECK_EQ(weft_spawn(&tasks[4 + i], crowd_receive, &crowd_channels[i]), 0);
    }
    CHECK_EQ(weft_spawn(&tasks[8], crowd_select, crowd_channels), 0);
    CHECK_EQ(weft_spawn(&tasks[9], crowd_select, NULL), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_join(tasks[i], NULL), 0);
    }

    for (int i = 0; i < 4; i++) {
        CHECK_EQ(crowd_count[i], 2 * EACH);
        CHECK_EQ(crowd_received[i], (int64_t)EACH * (EACH + 1));
        CHECK_EQ(weft_chan_len(crowd_channels[i]), 0);
        weft_chan_unref(crowd_channels[i]);
    }
}

/* ---- the budget ---- */

WEFT_TASK(feed, (struct weft_chan *, chan))
{
    return send_int(chan, 7);
}

VIRTUAL_TEST(sel, 27_a_loop_that_never_sleeps_lets_its_feeder_run)
{
    struct weft_chan *always = open_ints(0);
    struct weft_chan *fed = open_ints(0);
    CHECK_EQ(weft_chan_close(always), 0);
    CHECK_EQ(weft_go(feed, fed), 0);
    int value = 0;
    int index = 0;

    for (int i = 0; i < 100000 && index == 0; i++) {
        index = weft_select(weft_on_recv(always, NULL), weft_on_recv(fed, &value));
    }

    CHECK_EQ(index, 1);
    CHECK_EQ(value, 7);
    weft_chan_unref(always);
    weft_chan_unref(fed);
}

struct deaf {
    struct weft_chan *chan;
    int refused;
    bool stop;
};

/* A loop without a default branch: it does not notice that it was cancelled. */
static int ignore_cancellation(void *arg)
{
    struct deaf *deaf = arg;
    while (!deaf->stop && deaf->refused < 10000000) {
        switch (weft_select(weft_on_recv(deaf->chan, NULL))) {
        case 0:
            return 1;
        case -ECANCELED:
            deaf->refused++;
            break;
        }
    }
    return 0;
}

/* Row 20a: refused calls are charged, so the others run on and can stop it. */
VIRTUAL_TEST(sel, 27b_a_loop_that_ignores_cancellation_lets_others_run)
{
    struct deaf deaf = {.chan = open_ints(0)};
    weft_task task;
    int result = -1;
    CHECK_EQ(weft_spawn(&task, ignore_cancellation, &deaf), 0);
    settle();

    CHECK_EQ(weft_cancel(task), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_yield(), 0);
    }
    deaf.stop = true;
    CHECK_EQ(weft_join(task, &result), 0);

    CHECK_EQ(result, 0);
    CHECK_WITHIN(deaf.refused, 100, 10000000 - 1);
    weft_chan_unref(deaf.chan);
}

/* Asks ten times, then cleans up for as long as the test runs. */
static int notice_cancellation(void *arg)
{
    struct deaf *polite = arg;
    while (polite->refused < 10) {
        int status = weft_chan_recv(polite->chan, NULL);
        if (!CHECK_EQ(status, -ECANCELED)) return 1;
        polite->refused++;
    }
    weft_shielded
    {
        while (!polite->stop) {
            CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        }
    }
    return 0;
}

static int count_in_dump(const char *word)
{
    static char text[4096];
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(weft_dump(fds[1]), 0);
    ssize_t size = read(fds[0], text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    close(fds[0]);
    close(fds[1]);
    int count = 0;
    for (const char *found = strstr(text, word); found; count++) {
        found = strstr(found + 1, word);
    }
    return count;
}

/* Row 20a: after a thousand refusals in a row the task is named. */
VIRTUAL_TEST(sel, 27c_a_task_that_ignores_its_cancellation_is_named)
{
    struct deaf deaf = {.chan = open_ints(0)};
    struct deaf polite = {.chan = deaf.chan};
    weft_task tasks[2];
    CHECK_EQ(weft_spawn(&tasks[0], ignore_cancellation, &deaf), 0);
    CHECK_EQ(weft_spawn(&tasks[1], notice_cancellation, &polite), 0);
    CHECK_EQ(weft_cancel(tasks[0]), 0);
    CHECK_EQ(weft_cancel(tasks[1]), 0);
    CHECK_EQ(count_in_dump("ignores its cancellation"), 0);
    while ((deaf.refused < 1000 || polite.refused < 10) && harness_failures() == 0) {
        CHECK_EQ(weft_yield(), 0);
    }

    CHECK_EQ(count_in_dump("ignores its cancellation"), 1);

    deaf.stop = true;
    polite.stop = true;
    CHECK_EQ(weft_join(tasks[0], NULL), 0);
    CHECK_EQ(weft_join(tasks[1], NULL), 0);
    weft_chan_unref(deaf.chan);
}
