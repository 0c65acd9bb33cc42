/* SPDX-License-Identifier: MIT */
/*
 * FD-04: more ready descriptors than one turn of the worker has room for. The next poll finds those
 * whose tasks were woken and have not run yet ready again, and must leave them alone.
 */
#include <stdatomic.h>
#include <sys/socket.h>

#include "conformance/runtime/faults.h"
#include "conformance/runtime/io_support.h"

#define READERS 400
#define OTHERS  100 /* tasks that are ready all the time, and take part of each turn */
#define ROUNDS  5

struct crowd {
    int pairs[READERS][2];
    int (*wait_for_byte)(int fd); /* what a reader sleeps in: 0 */
    atomic_int next;              /* these are of all workers' tasks */
    atomic_int served;
    atomic_int futile; /* times at which a reader woke and found nothing */
    atomic_bool is_over;
};

static int yields_on(void *arg)
{
    const struct crowd *crowd = arg;
    while (!crowd->is_over)
        CHECK_EQ(weft_yield(), 0);
    return 0;
}

static void crowd_open(struct crowd *crowd, weft_fn reader, int others)
{
    for (int i = 0; i < READERS; i++) {
        harness_socket_pair(crowd->pairs[i]);
        CHECK_EQ(weft_spawn(NULL, reader, crowd), 0);
    }
    for (int i = 0; i < others; i++) {
        CHECK_EQ(weft_spawn(NULL, yields_on, crowd), 0);
    }
    while (crowd->next < READERS) /* each sleeps before anybody else runs */
        CHECK_EQ(weft_yield(), 0);
}

/* A byte for each reader at once, so that all are ready together. */
static void crowd_serve(struct crowd *crowd)
{
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < READERS; i++)
            put_byte(crowd->pairs[i][0], 'c');
        while (crowd->served < round * READERS)
            CHECK_EQ(weft_yield(), 0);
    }
    crowd->is_over = true;
}

static void crowd_close(const struct crowd *crowd)
{
    for (int i = 0; i < READERS; i++)
        close_both(crowd->pairs[i]);
}

/* ---- transfers ---- */

static int reads_on(void *arg)
{
    struct crowd *crowd = arg;
    int fd = crowd->pairs[crowd->next++][1];
    char bytes[8];
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_read(fd, bytes, sizeof bytes), 1);
        crowd->served++;
    }
    return 0;
}

static int counts_receives(void *arg)
{
    struct crowd *crowd = arg;
    int before = faults_receives();
    crowd_open(crowd, reads_on, OTHERS);
    crowd_serve(crowd);

    /* one that finds nothing before the first wait, then one for each byte */
    CHECK_EQ(faults_receives() - before, READERS * (1 + ROUNDS));
    crowd_close(crowd);
    return 0;
}

WEFT_TEST(fd, 04n_a_read_whose_task_has_not_run_yet_is_not_forgotten)
{
    static struct crowd crowd;
    harness_needs_one_worker(); /* whose calls are counted */
    CHECK_EQ(run_real(counts_receives, &crowd), 0);
}

/* ---- waits ---- */

static int waits_to_read(int fd)
{
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), WEFT_READABLE);
    return 0;
}

/* The socket's buffer is full, or it would be writable all the time. */
static int waits_for_both(int fd)
{
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE | WEFT_WRITABLE), WEFT_READABLE);
    return 0;
}

static int selects(int fd)
{
    return weft_select(weft_on_readable(fd), weft_after(WEFT_HOUR));
}

static int waits_on(void *arg)
{
    struct crowd *crowd = arg;
    int fd = crowd->pairs[crowd->next++][1];
    if (crowd->wait_for_byte == waits_for_both) harness_fill(fd);
    int count = 0;
    while (count < ROUNDS) {
        CHECK_EQ(crowd->wait_for_byte(fd), 0);
        if (take_byte(fd) < 0) {
            crowd->futile++;
            continue;
        }
        count++;
        crowd->served++;
    }
    return 0;
}

static int waits_for_nothing(void *arg)
{
    const int *fd = arg;
    return weft_wait_fd(*fd, WEFT_READABLE);
}

static int counts_futile(void *arg)
{
    struct crowd *crowd = arg;
    crowd_open(crowd, waits_on, OTHERS);
    crowd_serve(crowd);
    CHECK_EQ(crowd->futile, 0);

    /* What has run again is no excuse any more: nobody waits for these bytes, and they are reported
     * once each, not as long as they lie there. Somebody waits, or all would be disarmed. */
    int idle[2];
    harness_socket_pair(idle);
    weft_task sleeper = start(waits_for_nothing, &idle[0]);
    for (int i = 0; i < READERS; i++)
        put_byte(crowd->pairs[i][0], 'n');
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    uint64_t polls = stats_now().polls;
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_WITHIN(stats_now().polls - polls, 1, 8);

    CHECK_EQ(weft_cancel(sleeper), 0);
    CHECK_EQ(finish(sleeper), -ECANCELED);
    close_both(idle);
    crowd_close(crowd);
    return 0;
}

static void run_crowd(int (*wait_for_byte)(int fd))
{
    static struct crowd crowd;
    crowd.wait_for_byte = wait_for_byte;
    CHECK_EQ(run_real(counts_futile, &crowd), 0);
}

WEFT_TEST(fd, 04o_a_wait_whose_task_has_not_run_yet_is_not_forgotten)
{
    run_crowd(waits_to_read);
}

WEFT_TEST(fd, 04p_a_select_whose_task_has_not_run_yet_is_not_forgotten)
{
    run_crowd(selects);
}

WEFT_TEST(fd, 04q_a_wait_for_both_whose_task_has_not_run_yet_is_not_forgotten)
{
    run_crowd(waits_for_both);
}

/* ---- polls ---- */

static int computes(int fd)
{
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), WEFT_READABLE);
    hog_ns(10 * WEFT_USEC);
    return 0;
}

static int counts_polls(void *arg)
{
    struct crowd *crowd = arg;
    crowd_open(crowd, waits_on, 0);
    uint64_t polls = stats_now().polls;
    crowd_serve(crowd);
    CHECK_WITHIN(stats_now().polls - polls, ROUNDS, 4 * ROUNDS);
    crowd_close(crowd);
    return 0;
}

/* Whatever the time: asking again would only tell the same, at some cost for each that is ready. */
WEFT_TEST(fd, 04r_no_poll_before_those_that_the_last_one_found_have_run)
{
    static struct crowd crowd;
    harness_needs_one_worker(); /* whose polls are counted */
    crowd.wait_for_byte = computes;
    CHECK_EQ(run_real(counts_polls, &crowd), 0);
}
