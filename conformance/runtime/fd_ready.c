/* SPDX-License-Identifier: MIT */
/*
 * FD-01 to 06, 30, 37, 44, 49: what being ready means, and when a wait returns.
 */
#include <netinet/in.h>

#include "conformance/runtime/io_support.h"

typedef void (*pair_fn)(int ret_fds[2]);

static const pair_fn pairs[] = {harness_pipe, harness_socket_pair, harness_tcp_pair};
#define PAIR_COUNT 3

static int present_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        put_byte(fds[1], 'a');
        CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
        CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
        CHECK_EQ(take_byte(fds[0]), 'a');
        close_both(fds);
    }
    return 0;
}

WEFT_TEST(fd, 01_data_that_is_there_before_the_wait_ends_it_at_once)
{
    CHECK_EQ(run_virtual(present_root, NULL), 0);
}

static int arriving_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
        weft_task task = start(wait_once, &waiter);
        settle();
        CHECK_EQ(waiter.wakes, 0);
        CHECK_EQ(stats_now().waiting_fd, 1);

        put_byte(fds[1], 'b');
        CHECK_EQ(finish(task), 0);

        CHECK_EQ(waiter.result, WEFT_READABLE);
        CHECK_EQ(take_byte(fds[0]), 'b');
        CHECK_EQ(stats_now().waiting_fd, 0);
        close_both(fds);
    }
    return 0;
}

WEFT_TEST(fd, 02_data_that_comes_later_ends_the_wait)
{
    CHECK_EQ(run_virtual(arriving_root, NULL), 0);
}

static int writable_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        CHECK_EQ(weft_wait_fd(fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
        CHECK_EQ(wait_for(fds[1], WEFT_WRITABLE, WEFT_FOREVER), WEFT_WRITABLE);
        CHECK_EQ(wait_for(fds[1], WEFT_READABLE | WEFT_WRITABLE, WEFT_MINUTE), WEFT_WRITABLE);
        close_both(fds);
    }
    return 0;
}

WEFT_TEST(fd, 03_an_empty_socket_is_writable_at_once)
{
    CHECK_EQ(run_virtual(writable_root, NULL), 0);
}

static int level_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        for (int round = 0; round < 50; round++) {
            put_byte(fds[1], (char)round);
        }
        for (int round = 0; round < 50; round++) {
            CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
            CHECK_EQ(take_byte(fds[0]), round);
        }

        /* One report may be spurious, never two. */
        int result = wait_for(fds[0], WEFT_READABLE, WEFT_SEC);
        if (result == WEFT_READABLE) result = wait_for(fds[0], WEFT_READABLE, WEFT_SEC);
        CHECK_EQ(result, -ETIMEDOUT);
        close_both(fds);
    }
    return 0;
}

WEFT_TEST(fd, 04_what_is_left_unread_is_reported_again)
{
    CHECK_EQ(run_virtual(level_root, NULL), 0);
}

static int deadline_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 10 * WEFT_MSEC), -ETIMEDOUT);
        CHECK_WITHIN(
            harness_now_ns() - start_ns, 10 * WEFT_MSEC, 10 * WEFT_MSEC + harness_slack_ns());
        CHECK_EQ(stats_now().timers, 0);

        put_byte(fds[1], 'c');
        check_idle(60); /* nobody waits, nobody is woken, nothing spins */
        CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
        CHECK_EQ(take_byte(fds[0]), 'c');
        close_both(fds);
    }
    return 0;
}

WEFT_TEST(fd, 05_data_after_the_deadline_wakes_nobody_and_is_not_lost)
{
    CHECK_EQ(run_real(deadline_root, NULL), 0);
}

struct counter {
    bool stop;
    int count;
};

static int counts_turns(void *arg)
{
    struct counter *counter = arg;
    while (!counter->stop) {
        counter->count++;
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int try_root(void *arg)
{
    (void)arg;
    struct counter counter = {0};
    weft_task task = start(counts_turns, &counter);
    settle();
    for (int i = 0; i < PAIR_COUNT; i++) {
        int fds[2];
        pairs[i](fds);
        int count = counter.count;
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 0), -ETIMEDOUT);
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, -WEFT_SEC), -ETIMEDOUT);
        CHECK_EQ(wait_for(fds[1], WEFT_WRITABLE, 0), WEFT_WRITABLE);
        put_byte(fds[1], 'd');
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 0), WEFT_READABLE);
        CHECK_EQ(take_byte(fds[0]), 'd');
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 0), -ETIMEDOUT);
        CHECK_WITHIN(counter.count - count, 0, 5);
        close_both(fds);
    }
    counter.stop = true;
    CHECK_EQ(finish(task), 0);
    return 0;
}

WEFT_TEST(fd, 06_a_deadline_that_is_past_only_looks)
{
    CHECK_EQ(run_virtual(try_root, NULL), 0);
}

static int interest_root(void *arg)
{
    int *fds = arg;
    struct waiter reader = {.fd = fds[0], .events = WEFT_READABLE};
    struct waiter writer = {.fd = fds[0], .events = WEFT_WRITABLE};
    harness_fill(fds[0]);

    /* R, R and W, W: all before the loop polls, and once more in the other order. */
    weft_task reading = start(wait_once, &reader);
    weft_task writing = start(wait_once, &writer);
    settle();
    CHECK_EQ(weft_cancel(reading), 0);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(reader.result, -ECANCELED);
    put_byte(fds[1], 'e');
    settle();
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK_EQ(writer.wakes, 0);
    harness_drain(fds[1]);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(writer.result, WEFT_WRITABLE);

    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'e');
    reading = start(wait_once, &reader);
    settle();
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    if (reader.wakes == 2) { /* spurious once */
        CHECK_EQ(finish(reading), 0);
        reading = start(wait_once, &reader);
        settle();
    }
    put_byte(fds[1], 'f');
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(reader.result, WEFT_READABLE);
    return 0;
}

WEFT_TEST(fd, 30_the_interest_changes_without_a_poll_in_between)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_virtual(interest_root, fds), 0);
}

static int bad_mask_root(void *arg)
{
    const int *fds = arg;
    CHECK_EQ(weft_wait_fd(fds[0], 0), -EINVAL);
    CHECK_EQ(weft_wait_fd(fds[0], 4), -EINVAL);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE | 0x100), -EINVAL);
    CHECK_EQ(weft_wait_fd(fds[0], -1), -EINVAL);
    CHECK_EQ(weft_wait_fd(fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
    return 0;
}

WEFT_TEST(fd, 37_no_event_or_an_unknown_one_is_refused)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(bad_mask_root, fds), 0);
}

static int unconnected_root(void *arg)
{
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_OR_RETURN(fd >= 0, 1);

    /* The kernel says hang-up: both directions, so that the next call tells the truth. */
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_wait_fd(fd, WEFT_WRITABLE), WEFT_WRITABLE);
    check_idle(60);
    char byte = 'u';
    CHECK_EQ(weft_read(fd, &byte, 1), -ENOTCONN);
    ssize_t written = weft_write(fd, &byte, 1);
    CHECK(written == -EPIPE || written == -ENOTCONN);
    check_idle(60);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

WEFT_TEST(fd, 44_a_socket_that_is_not_connected_is_hung_up_and_does_not_spin)
{
    CHECK_EQ(run_real(unconnected_root, NULL), 0);
}

static int once_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE | WEFT_WRITABLE};
    harness_fill(fds[0]);
    weft_task task = start(wait_once, &waiter);
    settle();
    CHECK_EQ(waiter.wakes, 0);
    harness_drain(fds[1]);
    put_byte(fds[1], 'g');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.wakes, 1);
    CHECK_EQ(waiter.result, WEFT_READABLE | WEFT_WRITABLE);

    /* Two cases of one descriptor: one of them wins, and nothing is left to wake the sleep. */
    CHECK_EQ(take_byte(fds[0]), 'g');
    harness_fill(fds[0]);
    CHECK_EQ(shutdown(fds[1], SHUT_RDWR), 0);
    int won = weft_select(weft_on_readable(fds[0]), weft_on_writable(fds[0]));
    CHECK_WITHIN(won, 0, 1);
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_sleep(WEFT_HOUR), 0);
    CHECK(weft_now() - start_ns >= WEFT_HOUR);
    return 0;
}

WEFT_TEST(fd, 49_two_reasons_in_one_event_wake_once)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_virtual(once_root, fds), 0);
}
