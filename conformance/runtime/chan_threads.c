/* SPDX-License-Identifier: MIT */
/*
 * Channels between many, threads included: CHAN-24, 25, 28, 33, 36; row 11 of the semantics.
 *
 * A thread here is a plain one: it shares channels that were opened with .shared, and the same
 * calls that make a task sleep make it sleep.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "conformance/runtime/chan_kit.h"

#define VALUES_EACH 1000

/* One sender or receiver of a crowd; `seen` counts each value's arrivals. */
struct crowd {
    struct weft_chan *chan;
    int senders;
    int receivers;
    atomic_int next_sender;
    atomic_int seen[16 * VALUES_EACH];
};

static int crowd_send(void *arg)
{
    struct crowd *crowd = arg;
    /* Relaxed: hands out numbers, and nothing else. */
    int number = atomic_fetch_add_explicit(&crowd->next_sender, 1, memory_order_relaxed);
    int first = VALUES_EACH * number;
    for (int i = 0; i < VALUES_EACH; i++) {
        CHECK_EQ(send_int(crowd->chan, first + i), 0);
    }
    return 0;
}

static int crowd_receive(void *arg)
{
    struct crowd *crowd = arg;
    int value = 0;
    int status = weft_chan_recv(crowd->chan, &value);
    while (status == 0) {
        if (!CHECK(value >= 0 && value < 16 * VALUES_EACH)) return 1;
        /* Relaxed: read after everybody was joined. */
        atomic_fetch_add_explicit(&crowd->seen[value], 1, memory_order_relaxed);
        status = weft_chan_recv(crowd->chan, &value);
    }
    CHECK_EQ(status, -EPIPE);
    return 0;
}

static void crowd_check(struct crowd *crowd)
{
    for (int i = 0; i < crowd->senders * VALUES_EACH; i++) {
        if (!CHECK_EQ(atomic_load(&crowd->seen[i]), 1)) return;
    }
}

static void *thread_send(void *arg)
{
    crowd_send(arg);
    return NULL;
}

static void *thread_receive(void *arg)
{
    crowd_receive(arg);
    return NULL;
}

static void run_crowd_of_tasks(struct crowd *crowd)
{
    weft_task senders[4];
    weft_task receivers[4];
    for (int i = 0; i < crowd->receivers; i++) {
        CHECK_EQ(weft_spawn(&receivers[i], crowd_receive, crowd), 0);
    }
    for (int i = 0; i < crowd->senders; i++) {
        CHECK_EQ(weft_spawn(&senders[i], crowd_send, crowd), 0);
    }
    for (int i = 0; i < crowd->senders; i++) {
        CHECK_EQ(weft_join(senders[i], NULL), 0);
    }
    CHECK_EQ(weft_chan_close(crowd->chan), 0);
    for (int i = 0; i < crowd->receivers; i++) {
        CHECK_EQ(weft_join(receivers[i], NULL), 0);
    }
    crowd_check(crowd);
}

VIRTUAL_TEST(chan, 24_many_senders_and_receivers_lose_and_double_nothing)
{
    static const size_t capacities[] = {0, 1, 7};

    for (int round = 0; round < 4 * 4 * 3; round++) {
        static struct crowd crowd;
        memset(&crowd, 0, sizeof crowd);
        crowd.senders = 1 + round % 4;
        crowd.receivers = 1 + round / 4 % 4;
        crowd.chan = open_ints(capacities[round / 16]);
        run_crowd_of_tasks(&crowd);
        weft_chan_unref(crowd.chan);
    }
}

/* Threads on both sides, two tasks on both sides, one channel. */
static void run_mixed_crowd(size_t capacity)
{
    enum { THREADS = 3, TASKS = 2 };
    static struct crowd crowd;
    memset(&crowd, 0, sizeof crowd);
    crowd.senders = THREADS + TASKS;
    crowd.chan = open_shared_ints(capacity);
    pthread_t senders[THREADS];
    pthread_t receivers[THREADS];
    weft_task sending[TASKS];
    weft_task receiving[TASKS];

    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(weft_spawn(&receiving[i], crowd_receive, &crowd), 0);
        CHECK_EQ(weft_spawn(&sending[i], crowd_send, &crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&receivers[i], NULL, thread_receive, &crowd), 0);
        CHECK_EQ(pthread_create(&senders[i], NULL, thread_send, &crowd), 0);
    }
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(weft_join(sending[i], NULL), 0);
    }
    /* The tasks that receive must run on, so the threads are awaited by sleeping, not blocking. */
    for (int i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(senders[i], NULL) == EBUSY) {
            CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        }
    }
    CHECK_EQ(weft_chan_close(crowd.chan), 0);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(weft_join(receiving[i], NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(receivers[i], NULL), 0);
    }
    crowd_check(&crowd);
    weft_chan_unref(crowd.chan);
}

REAL_TEST(chan, 24b_threads_and_tasks_share_a_buffer)
{
    run_mixed_crowd(7);
}

REAL_TEST(chan, 25_senders_of_several_threads_never_overwrite_a_hand_over)
{
    run_mixed_crowd(0);
}

/* ---- one thread against one task ---- */

struct duet {
    struct weft_chan *chan;
    int64_t sent_ns;
    int value;
    int status;
};

static void *duet_send_late(void *arg)
{
    struct duet *duet = arg;
    harness_sleep_ms(20);
    duet->sent_ns = harness_now_ns();
    duet->status = send_int(duet->chan, 7);
    return NULL;
}

REAL_TEST(chan, 28_send_of_a_thread_wakes_an_idle_loop)
{
    struct duet duet = {.chan = open_shared_ints(1), .status = PENDING};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, duet_send_late, &duet), 0);

    int value = recv_int(duet.chan);

    int64_t received_ns = harness_now_ns();
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(duet.status, 0);
    CHECK_WITHIN(received_ns - duet.sent_ns, 0, harness_slack_ns());
    weft_chan_unref(duet.chan);
}

static void *duet_receive_late(void *arg)
{
    struct duet *duet = arg;
    harness_sleep_ms(20);
    duet->sent_ns = harness_now_ns();
    duet->status = weft_chan_recv(duet->chan, &duet->value);
    return NULL;
}

REAL_TEST(chan, 28b_receive_of_a_thread_wakes_a_parked_sender)
{
    struct duet duet = {.chan = open_shared_ints(0), .status = PENDING};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, duet_receive_late, &duet), 0);

    CHECK_EQ(send_int(duet.chan, 8), 0);

    int64_t left_ns = harness_now_ns();
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(duet.status, 0);
    CHECK_EQ(duet.value, 8);
    CHECK_WITHIN(left_ns - duet.sent_ns, 0, harness_slack_ns());
    weft_chan_unref(duet.chan);
}

static void *duet_receive(void *arg)
{
    struct duet *duet = arg;
    duet->status = weft_chan_recv(duet->chan, &duet->value);
    return NULL;
}

static void *duet_send(void *arg)
{
    struct duet *duet = arg;
    duet->status = send_int(duet->chan, duet->value);
    return NULL;
}

REAL_TEST(chan, 28c_a_blocked_thread_is_woken_by_a_task)
{
    struct duet receiving = {.chan = open_shared_ints(0), .status = PENDING};
    struct duet sending = {.chan = open_shared_ints(0), .value = 9, .status = PENDING};
    pthread_t threads[2];
    CHECK_EQ(pthread_create(&threads[0], NULL, duet_receive, &receiving), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, duet_send, &sending), 0);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);

    CHECK_EQ(send_int(receiving.chan, 6), 0);
    CHECK_EQ(recv_int(sending.chan), 9);

    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK_EQ(pthread_join(threads[1], NULL), 0);
    CHECK_EQ(receiving.status, 0);
    CHECK_EQ(receiving.value, 6);
    CHECK_EQ(sending.status, 0);
    weft_chan_unref(receiving.chan);
    weft_chan_unref(sending.chan);
}

REAL_TEST(chan, 28d_close_wakes_blocked_threads)
{
    struct duet receiving = {.chan = open_shared_ints(0), .value = 42, .status = PENDING};
    struct duet sending = {.chan = open_shared_ints(0), .value = 43, .status = PENDING};
    pthread_t threads[2];
    CHECK_EQ(pthread_create(&threads[0], NULL, duet_receive, &receiving), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, duet_send, &sending), 0);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);

    CHECK_EQ(weft_chan_close(receiving.chan), 0);
    CHECK_EQ(weft_chan_close(sending.chan), 0);

    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK_EQ(pthread_join(threads[1], NULL), 0);
    CHECK_EQ(receiving.status, -EPIPE);
    CHECK_EQ(receiving.value, 0);
    CHECK_EQ(sending.status, -EPIPE);
    CHECK_EQ(weft_chan_len(sending.chan), 0);
    weft_chan_unref(receiving.chan);
    weft_chan_unref(sending.chan);
}

/* Row 11: any other channel refuses a thread, whatever the call. */
static void *use_foreign_channel(void *arg)
{
    struct weft_chan *chan = arg;
    int value = 42;
    CHECK_EQ(weft_chan_send(chan, &value), -EPERM);
    CHECK_EQ(weft_chan_recv(chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_send(chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_recv(chan, &value), -EPERM);
    CHECK_EQ(weft_chan_close(chan), -EPERM);
    CHECK_EQ(value, 42);
    return NULL;
}

VIRTUAL_TEST(chan, 28e_channels_that_are_not_shared_refuse_threads)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, use_foreign_channel, chan), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(recv_int(chan), 7);
    CHECK_EQ(send_int(chan, 8), 0); /* not closed either */
    weft_chan_unref(chan);
}

static int use_foreign_channel_in_a_task(void *arg)
{
    use_foreign_channel(arg);
    struct weft_chan *chan = arg;
    CHECK_EQ(weft_select(weft_on_recv(chan, NULL), weft_default()), -EPERM);
    return 0;
}

static void *run_another_runtime(void *arg)
{
    CHECK_EQ(weft_run(NULL, use_foreign_channel_in_a_task, arg), 0);
    return NULL;
}

VIRTUAL_TEST(chan, 28f_channels_that_are_not_shared_refuse_other_runtimes)
{
    struct weft_chan *chan = open_ints(1);
    CHECK_EQ(send_int(chan, 7), 0);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, run_another_runtime, chan), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(recv_int(chan), 7);
    weft_chan_unref(chan);
}

/* Without any runtime a shared channel is a queue between threads. */
WEFT_TEST(chan, 28g_threads_alone_share_a_channel)
{
    struct weft_chan *refused = NULL;
    CHECK_EQ(weft_chan_open(&refused, sizeof(int), 1), -EPERM);
    CHECK_PTR(refused, NULL);
    struct duet duet = {.chan = open_shared_ints(0), .value = 0, .status = PENDING};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, duet_receive, &duet), 0);

    CHECK_EQ(send_int(duet.chan, 7), 0);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(duet.status, 0);
    CHECK_EQ(duet.value, 7);
    CHECK_EQ(try_send_int(duet.chan, 8), -EAGAIN);
    CHECK_EQ(weft_chan_close(duet.chan), 0);
    CHECK_EQ(send_int(duet.chan, 8), -EPIPE);
    weft_chan_unref(duet.chan);
}

/* ---- what happened before ---- */

#define MESSAGES 5000

struct message {
    int words[14]; /* plain memory, written before the send */
};

struct mailbox {
    struct weft_chan *chan; /* of struct message * */
    int64_t sum;
};

static void *read_messages(void *arg)
{
    struct mailbox *box = arg;
    struct message *message = NULL;
    while (weft_chan_recv(box->chan, &message) == 0) {
        for (int i = 0; i < 14; i++) {
            box->sum += message->words[i];
        }
        free(message);
    }
    return NULL;
}

static int64_t send_messages(struct weft_chan *chan)
{
    int64_t sum = 0;
    for (int i = 0; i < MESSAGES; i++) {
        struct message *message = calloc(1, sizeof *message);
        if (!CHECK(message != NULL)) return -1;
        for (int j = 0; j < 14; j++) {
            message->words[j] = i + j;
            sum += i + j;
        }
        CHECK_EQ(weft_chan_send(chan, &message), 0);
    }
    return sum;
}

REAL_TEST(chan, 33_memory_written_before_a_send_is_seen_after_the_receive)
{
    for (size_t capacity = 0; capacity <= 8; capacity += 4) {
        struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
        options.value_size = sizeof(struct message *);
        options.capacity = capacity;
        options.shared = 1;
        struct mailbox box = {0};
        CHECK_EQ(weft_chan_open_with(&box.chan, &options), 0);
        pthread_t reader;
        CHECK_EQ(pthread_create(&reader, NULL, read_messages, &box), 0);

        int64_t sum = send_messages(box.chan);

        CHECK_EQ(weft_chan_close(box.chan), 0);
        CHECK_EQ(pthread_join(reader, NULL), 0);
        CHECK_EQ(box.sum, sum);
        weft_chan_unref(box.chan);
    }
}

#define ATTEMPTS 20000

struct handshake {
    struct weft_chan *chan;
    atomic_int round;    /* which round's value was sent */
    atomic_int answered; /* which round was tried by the other side */
    int received;
};

static void *try_when_told(void *arg)
{
    struct handshake *shake = arg;
    for (int round = 1; round <= ATTEMPTS; round++) {
        /* Acquire: pairs with the release in the test, which follows the send. */
        while (atomic_load_explicit(&shake->round, memory_order_acquire) < round) {
            sched_yield();
        }
        int value = 0;
        int status = weft_chan_try_recv(shake->chan, &value);
        CHECK_EQ(status, 0);
        CHECK_EQ(value, round);
        shake->received += status == 0;
        atomic_store_explicit(&shake->answered, round, memory_order_release);
    }
    return NULL;
}

/* While a value sent before is there, no try may find the channel empty, whoever else is at it. */
REAL_TEST(chan, 36_a_value_sent_before_is_never_missed)
{
    struct handshake shake = {.chan = open_shared_ints(4)};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, try_when_told, &shake), 0);

    for (int round = 1; round <= ATTEMPTS; round++) {
        CHECK_EQ(send_int(shake.chan, round), 0);
        atomic_store_explicit(&shake.round, round, memory_order_release);
        size_t length = weft_chan_len(shake.chan); /* contends for the channel */
        CHECK(length <= 1);
        while (atomic_load_explicit(&shake.answered, memory_order_acquire) < round) {
            sched_yield();
        }
    }

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(shake.received, ATTEMPTS);
    weft_chan_unref(shake.chan);
}
