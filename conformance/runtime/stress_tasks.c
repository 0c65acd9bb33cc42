/* SPDX-License-Identifier: MIT */
/*
 * Many tasks: STRESS-01 to 04, 12, 14.
 *
 * The first four are the classics of such runtimes; the others draw random schedules and check
 * what no schedule may change. Under a sanitizer the numbers are smaller.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHARE(count) ((count) / 10)
#elif defined(__SANITIZE_THREAD__) /* making its record of a stack takes TSan a millisecond */
#define SHARE(count) ((count) / 100)
#else
#define SHARE(count) (count)
#endif

/* ---- the prime sieve: a chain of filters, one per prime ---- */

#define PRIMES SHARE(1000)

WEFT_TASK(generate, (struct weft_chan *, to))
{
    int number = 2;
    while (send_int(to, number) == 0) {
        number++;
    }
    return 0;
}

WEFT_TASK(filter, (struct weft_chan *, from), (struct weft_chan *, to), (int, prime))
{
    int number = 0;
    while (weft_chan_recv(from, &number) == 0) {
        if (number % prime != 0 && send_int(to, number) < 0) break;
    }
    return 0;
}

VIRTUAL_TEST(stress, 01_prime_sieve, .timeout = 60)
{
    static struct weft_chan *chain[PRIMES + 1];
    chain[0] = open_ints(0);
    CHECK_EQ(weft_go(generate, chain[0]), 0);
    int prime = 0;
    for (int i = 0; i < PRIMES; i++) {
        prime = recv_int(chain[i]);
        chain[i + 1] = open_ints(0);
        CHECK_EQ(weft_go(filter, chain[i], chain[i + 1], prime), 0);
    }

    /* The 1000th, the 100th, the 10th. */
    CHECK_EQ(prime, PRIMES == 1000 ? 7919 : PRIMES == 100 ? 541 : 29);
    for (int i = 0; i <= PRIMES; i++) {
        CHECK_EQ(weft_chan_close(chain[i]), 0);
    }
    settle();
    for (int i = 0; i <= PRIMES; i++) {
        weft_chan_unref(chain[i]);
    }
}

/* ---- a chain of whispers ---- */

WEFT_TASK(whisper, (struct weft_chan *, from), (struct weft_chan *, to))
{
    int status = send_int(to, 1 + recv_int(from));
    weft_chan_unref(from);
    return status;
}

VIRTUAL_TEST(stress, 02_daisy_chain, .timeout = 60)
{
    struct weft_chan *last = open_ints(0);
    struct weft_chan *from = last;
    for (int i = 0; i < SHARE(100000); i++) {
        struct weft_chan *next = open_ints(0);
        CHECK_EQ(weft_go(whisper, next, from), 0);
        from = next;
    }

    CHECK_EQ(send_int(from, 0), 0);
    CHECK_EQ(recv_int(last), SHARE(100000));

    settle();
    weft_chan_unref(last);
}

/* ---- skynet: a tree of tasks, ten children each, sums its leaves ---- */

WEFT_TASK(skynet, (struct weft_chan *, to), (int64_t, number), (int64_t, size))
{
    if (size == 1) return weft_chan_send(to, &number);

    struct weft_chan *sums = NULL;
    CHECK_EQ(weft_chan_open(&sums, sizeof(int64_t), 0), 0);
    for (int64_t i = 0; i < 10; i++) {
        CHECK_EQ(weft_go(skynet, sums, number + i * (size / 10), size / 10), 0);
    }
    int64_t total = 0;
    for (int i = 0; i < 10; i++) {
        int64_t sum = 0;
        CHECK_EQ(weft_chan_recv(sums, &sum), 0);
        total += sum;
    }
    weft_chan_unref(sums);
    return weft_chan_send(to, &total);
}

VIRTUAL_TEST(stress, 03_skynet, .timeout = 60)
{
    int64_t leaves = SHARE(1000000);
    int64_t sum = 0;
    struct weft_chan *result = NULL;
    CHECK_EQ(weft_chan_open(&result, sizeof(int64_t), 0), 0);

    CHECK_EQ(weft_go(skynet, result, 0, leaves), 0);
    CHECK_EQ(weft_chan_recv(result, &sum), 0);

    CHECK_EQ(sum, leaves * (leaves - 1) / 2);
    settle();
    weft_chan_unref(result);
}

/* ---- a ring ---- */

#define RING 503

struct ring {
    struct weft_chan *places[RING];
    struct weft_chan *finished;
};

WEFT_TASK(pass_on, (struct ring *, ring), (int, place))
{
    int token = 0;
    while (weft_chan_recv(ring->places[place], &token) == 0) {
        if (token == 0) return send_int(ring->finished, place);
        CHECK_EQ(send_int(ring->places[(place + 1) % RING], token - 1), 0);
    }
    return 0;
}

VIRTUAL_TEST(stress, 04_ring, .timeout = 60)
{
    static struct ring ring;
    int hops = SHARE(1000000);
    ring.finished = open_ints(0);
    for (int i = 0; i < RING; i++) {
        ring.places[i] = open_ints(0);
    }
    for (int i = 0; i < RING; i++) {
        CHECK_EQ(weft_go(pass_on, &ring, i), 0);
    }

    CHECK_EQ(send_int(ring.places[0], hops), 0);
    CHECK_EQ(recv_int(ring.finished), hops % RING);

    for (int i = 0; i < RING; i++) {
        CHECK_EQ(weft_chan_close(ring.places[i]), 0);
    }
    settle();
    for (int i = 0; i < RING; i++) {
        weft_chan_unref(ring.places[i]);
    }
    weft_chan_unref(ring.finished);
}

/* ---- random schedules ---- */

#define FUZZ_TASKS 8
#define FUZZ_STEPS 200

/* What was sent and what was received, per channel; both sums are added to on success only. */
struct fuzz {
    uint64_t random;
    struct weft_chan *channels[3];
    int64_t sent[3];
    int64_t received[3];
    int finished;
    weft_task tasks[FUZZ_TASKS];
};

/* One random operation on channel `which`; a short deadline keeps everybody going. */
static void fuzz_step(struct fuzz *fuzz, int which, int value)
{
    struct weft_chan *chan = fuzz->channels[which];
    int other = (which + 1) % 3;
    int got = 0;
    int status = PENDING;
    int index = PENDING;
    unsigned choice = random_next(&fuzz->random) % 6;
    weft_with_timeout((int64_t)(random_next(&fuzz->random) % 3) * WEFT_MSEC) {
        switch (choice) {
        case 0:
            if (send_int(chan, value) == 0) fuzz->sent[which] += value;
            break;
        case 1:
            if (weft_chan_recv(chan, &got) == 0) fuzz->received[which] += got;
            break;
        case 2:
            if (try_send_int(chan, value) == 0) fuzz->sent[which] += value;
            break;
        case 3:
            if (weft_chan_try_recv(chan, &got) == 0) fuzz->received[which] += got;
            break;
        default:
            index = weft_select(weft_on_send(chan, &value),
                                weft_on_recv(fuzz->channels[other], &got, &status),
                                weft_after(WEFT_MSEC));
            if (index == 0) fuzz->sent[which] += value;
            if (index == 1) fuzz->received[other] += got;
            if (index == 1) CHECK_EQ(status, 0);
            break;
        }
    }
}

static int fuzz_task(void *arg)
{
    struct fuzz *fuzz = arg;
    for (int i = 1; i <= FUZZ_STEPS; i++) {
        fuzz_step(fuzz, (int)(random_next(&fuzz->random) % 3), i);
        if (random_next(&fuzz->random) % 8 == 0 && weft_yield() == -ECANCELED) break;
    }
    fuzz->finished++;
    return 0;
}

static int fuzz_root(void *arg)
{
    struct fuzz *fuzz = arg;
    static const size_t capacities[] = {0, 1, 5};
    for (int i = 0; i < 3; i++) {
        fuzz->channels[i] = open_ints(capacities[i]);
    }
    for (int i = 0; i < FUZZ_TASKS; i++) {
        CHECK_EQ(weft_spawn(&fuzz->tasks[i], fuzz_task, fuzz), 0);
    }
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_EQ(weft_cancel(fuzz->tasks[random_next(&fuzz->random) % FUZZ_TASKS]), 0);
    for (int i = 0; i < FUZZ_TASKS; i++) {
        CHECK_EQ(weft_join(fuzz->tasks[i], NULL), 0);
    }
    for (int i = 0; i < 3; i++) {
        int value = 0;
        while (weft_chan_try_recv(fuzz->channels[i], &value) == 0) {
            fuzz->received[i] += value;
        }
        weft_chan_unref(fuzz->channels[i]);
    }
    return 0;
}

/* The variable shuffles the ready queue in builds with test hooks; elsewhere only the tasks' own
 * choices differ between seeds. */
WEFT_TEST(stress, 12_no_schedule_loses_or_doubles_a_value, .timeout = 60)
{
    for (unsigned seed = 1; seed <= 100 && harness_failures() == 0; seed++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", seed);
        CHECK_EQ(setenv("WEFT_TEST_SHUFFLE", text, 1), 0);
        struct fuzz fuzz = {.random = seed};

        CHECK_EQ(run_virtual(fuzz_root, &fuzz), 0);

        CHECK_EQ(fuzz.finished, FUZZ_TASKS);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(fuzz.received[i], fuzz.sent[i]);
        }
    }
}

/* ---- reads against deadlines and cancels ---- */

#define READERS 4

struct readers {
    int fds[READERS][2];
    int64_t received;
    uint64_t random;
    atomic_bool stop;
    int64_t written; /* the thread's, until it is joined */
};

WEFT_TASK(read_once, (struct readers *, readers), (int, which), (int64_t, timeout_ns))
{
    char byte = 0;
    ssize_t size = 0;
    weft_with_timeout(timeout_ns) {
        size = weft_read(readers->fds[which][0], &byte, 1);
    }
    if (size == 1) {
        CHECK_EQ(byte, 'a' + which);
        readers->received++;
        return 0;
    }
    CHECK(size == -ETIMEDOUT || size == -ECANCELED);
    return 0;
}

WEFT_TASK(race_reads, (struct readers *, readers))
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < READERS; i++) {
        int64_t timeout = (int64_t)(random_next(&readers->random) % 300) * WEFT_USEC;
        CHECK_EQ(read_once_scope_spawn(&scope, NULL, readers, i, timeout), 0);
    }
    int status = weft_sleep((int64_t)(random_next(&readers->random) % 300) * WEFT_USEC);
    CHECK(status == 0 || status == -ECANCELED);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    return 0;
}

static void *write_at_random(void *arg)
{
    struct readers *readers = arg;
    uint64_t random = 99;
    /* Relaxed: only ends the loop; the join orders the rest. */
    while (!atomic_load_explicit(&readers->stop, memory_order_relaxed)) {
        unsigned which = random_next(&random) % READERS;
        char byte = (char)('a' + (int)which);
        if (write(readers->fds[which][1], &byte, 1) == 1) readers->written++;
        if (random_next(&random) % 4 == 0) sched_yield();
        if (random_next(&random) % 64 == 0) harness_sleep_ms(1);
    }
    return NULL;
}

REAL_TEST(stress, 14_raced_reads_resume_once_and_lose_no_byte, .timeout = 120)
{
    static struct readers readers = {.random = 1};
    for (int i = 0; i < READERS; i++) {
        harness_socket_pair(readers.fds[i]);
    }
    pthread_t writer;
    CHECK_EQ(pthread_create(&writer, NULL, write_at_random, &readers), 0);
    int64_t end = harness_now_ns() + stress_duration_ns();

    for (int i = 0; i < 10000 && harness_now_ns() < end && harness_failures() == 0; i++) {
        weft_task child;
        CHECK_EQ(race_reads_spawn(&child, &readers), 0);
        CHECK_EQ(weft_sleep((int64_t)(random_next(&readers.random) % 200) * WEFT_USEC), 0);
        if (random_next(&readers.random) % 2 == 0) CHECK_EQ(weft_cancel(child), 0);
        CHECK_EQ(weft_join(child, NULL), 0);
    }

    atomic_store(&readers.stop, true);
    CHECK_EQ(pthread_join(writer, NULL), 0);
    for (int i = 0; i < READERS; i++) {
        readers.received += (int64_t)harness_drain(readers.fds[i][0]);
        CHECK_EQ(weft_close(readers.fds[i][0]), 0);
        CHECK_EQ(weft_close(readers.fds[i][1]), 0);
    }
    CHECK_EQ(readers.received, readers.written);
    CHECK(readers.received > 0);
}
