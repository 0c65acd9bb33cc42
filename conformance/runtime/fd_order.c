/* SPDX-License-Identifier: MIT */
/*
 * FD-38: of those that one poll finds ready, who has waited longest runs first. Loops report in
 * orders of their own: by number, by arrival, the newest first, those of the last time first.
 */
#include "conformance/runtime/io_support.h"

#define READERS 24 /* libevent asks the kernel for 32 at first */
#define ROUNDS  6

WEFT_CHAN_TYPE(go, int);

struct order {
    int pairs[READERS][2];
    struct go may_wait[READERS];
    int waiting; /* have gone to sleep, or are just about to */
    int served;
    int served_order[READERS];
    int opened; /* readers that know their number */
};

static void wait_by_call(int fd)
{
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fd), 'o');
}

static void wait_by_read(int fd)
{
    char bytes[8];
    CHECK_EQ(weft_read(fd, bytes, sizeof bytes), 1);
}

static void wait_by_select(int fd)
{
    CHECK_EQ(weft_select(weft_after(WEFT_HOUR), weft_on_readable(fd)), 1);
    CHECK_EQ(take_byte(fd), 'o');
}

static void wait_for_both(int fd)
{
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE | WEFT_WRITABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fd), 'o');
}

static int reads_in_turn(void *arg)
{
    static void (*const ways[])(int fd) = {
        wait_by_call, wait_by_read, wait_by_select, wait_for_both};
    struct order *order = arg;
    int self = order->opened++;
    int fd = order->pairs[self][1];
    if (self % 4 == 3) harness_fill(fd);
    for (int round = 0; round < ROUNDS; round++) {
        int ignored;
        CHECK_EQ(go_recv(order->may_wait[self], &ignored), 0);
        order->waiting++;
        ways[self % 4](fd);
        order->served_order[order->served++] = self;
    }
    return 0;
}

/* Some permutation of the readers, another one for each `step`, which has no factor in common with
 * their number. */
static int permuted(int index, int step)
{
    return (index * step + step) % READERS;
}

static void let_wait(struct order *order, int reader)
{
    int before = order->waiting;
    CHECK_EQ(go_send(order->may_wait[reader], 1), 0);
    while (order->waiting == before)
        CHECK_EQ(weft_yield(), 0);
}

static int compares_orders(void *arg)
{
    static const int steps[ROUNDS + 1] = {1, 5, 7, 23, 11, 13, 17};
    struct order *order = arg;
    for (int i = 0; i < READERS; i++) {
        harness_socket_pair(order->pairs[i]);
        CHECK_EQ(go_open(&order->may_wait[i], 0), 0);
        CHECK_EQ(weft_spawn(NULL, reads_in_turn, order), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        order->waiting = 0;
        order->served = 0;
        for (int i = 0; i < READERS; i++)
            let_wait(order, permuted(i, steps[round]));
        CHECK_EQ(weft_yield(), 0); /* the last one sleeps, too */
        for (int i = 0; i < READERS; i++)
            put_byte(order->pairs[permuted(i, steps[round + 1])][0], 'o');
        while (order->served < READERS)
            CHECK_EQ(weft_yield(), 0);
        for (int i = 0; i < READERS; i++)
            CHECK_EQ(order->served_order[i], permuted(i, steps[round]));
    }
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(weft_release(order->pairs[i][1]), 0);
        close_both(order->pairs[i]);
        go_unref(order->may_wait[i]);
    }
    return 0;
}

WEFT_TEST(fd, 38b_who_has_waited_longest_for_a_descriptor_runs_first)
{
    static struct order order;
    harness_needs_one_worker(); /* each polls for itself */
    CHECK_EQ(run_real(compares_orders, &order), 0);
}
