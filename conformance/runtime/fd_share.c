/* SPDX-License-Identifier: MIT */
/*
 * FD-07, 08, 32, 46, 48: several tasks, threads or processes at one descriptor.
 *
 * Waits for readiness all wake; calls that transfer take turns, the longest waiting first.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

/* ---- 07: both directions ---- */

static int both_directions_root(void *arg)
{
    int *fds = arg;
    harness_fill(fds[0]);
    struct waiter reader = {.fd = fds[0], .events = WEFT_READABLE};
    struct waiter writer = {.fd = fds[0], .events = WEFT_WRITABLE};
    weft_task reading = start(wait_once, &reader);
    weft_task writing = start(wait_once, &writer);
    settle();

    put_byte(fds[1], 'b');
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(reader.result, WEFT_READABLE);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    CHECK_EQ(writer.wakes, 0);

    CHECK_EQ(take_byte(fds[0]), 'b');
    reading = start(wait_once, &reader);
    settle();
    int wakes = reader.wakes;
    harness_drain(fds[1]);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(writer.result, WEFT_WRITABLE);
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    if (reader.wakes == wakes) CHECK_EQ(weft_cancel(reading), 0);
    CHECK_EQ(finish(reading), 0);
    return 0;
}

WEFT_TEST(fd, 07_a_reader_and_a_writer_are_woken_by_their_own_event)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_virtual(both_directions_root, fds), 0);
}

static int transfers_root(void *arg)
{
    int *fds = arg;
    harness_fill(fds[0]);
    struct transfer input = {.fd = fds[0], .size = 8, .result = 77};
    struct transfer output = {.fd = fds[0], .size = 3, .result = 77, .buffer = "out"};
    weft_task reading = start(read_once, &input);
    weft_task writing = start(write_once, &output);
    settle();
    put_byte(fds[1], 'i');
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(input.result, 1);
    CHECK_EQ(output.result, 77);
    harness_drain(fds[1]);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(output.result, 3);
    CHECK_EQ(harness_drain(fds[1]), 3);
    return 0;
}

WEFT_TEST(fd, 07_a_read_and_a_write_are_in_flight_together)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_virtual(transfers_root, fds), 0);
}

/* ---- 08: one direction ---- */

struct racer {
    int fd;
    int wakes;
    int took;
};

static int races_for_byte(void *arg)
{
    struct racer *racer = arg;
    while (racer->took <= 0) {
        CHECK_EQ(weft_wait_fd(racer->fd, WEFT_READABLE), WEFT_READABLE);
        racer->wakes++;
        racer->took = take_byte(racer->fd);
        if (racer->took < 0) CHECK_EQ(errno, EAGAIN);
    }
    return 0;
}

static int racers_root(void *arg)
{
    int *fds = arg;
    struct racer racers[3] = {{.fd = fds[0]}, {.fd = fds[0]}, {.fd = fds[0]}};
    weft_task tasks[3];
    for (int i = 0; i < 3; i++) {
        tasks[i] = start(races_for_byte, &racers[i]);
    }
    settle();
    put_byte(fds[1], 'x');
    settle();
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    int winners = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_WITHIN(racers[i].wakes, 1, 3); /* all wake; the losers may, spuriously, twice */
        winners += racers[i].took == 'x';
    }
    CHECK_EQ(winners, 1);

    CHECK_EQ(write(fds[1], "yz", 2), 2);
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
        sum += racers[i].took;
    }
    CHECK_EQ(sum, 'x' + 'y' + 'z');
    return 0;
}

WEFT_TEST(fd, 08_all_who_wait_for_one_direction_wake_and_the_losers_wait_again)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(racers_root, fds), 0);
}

#define QUEUE 5

static int queue_root(void *arg)
{
    int *fds = arg;
    struct transfer transfers[QUEUE];
    weft_task tasks[QUEUE];
    for (int i = 0; i < QUEUE; i++) {
        transfers[i] = (struct transfer){.fd = fds[0], .size = 1, .result = 77};
        tasks[i] = start(read_once, &transfers[i]);
    }
    settle();

    /* One leaves the queue; the first byte goes to the first, the rest passes the turn on. */
    CHECK_EQ(weft_cancel(tasks[1]), 0);
    CHECK_EQ(finish(tasks[1]), 0);
    CHECK_EQ(transfers[1].result, -ECANCELED);
    put_byte(fds[1], 'a');
    CHECK_EQ(finish(tasks[0]), 0);
    CHECK_EQ(transfers[0].buffer[0], 'a');
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    for (int i = 2; i < QUEUE; i++) {
        CHECK_EQ(transfers[i].result, 77);
    }
    CHECK_EQ(write(fds[1], "bcd", 3), 3);
    for (int i = 2; i < QUEUE; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
        CHECK_EQ(transfers[i].result, 1);
        CHECK_EQ(transfers[i].buffer[0], 'b' + i - 2);
    }
    return 0;
}

WEFT_TEST(fd, 08_reads_queue_and_pass_the_turn_on)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(queue_root, fds), 0);
}

/* The first in the queue is cancelled when it was woken already: nobody is forgotten. */
static int woken_and_cancelled_root(void *arg)
{
    int *fds = arg;
    for (int round = 0; round < 10; round++) {
        struct transfer transfers[2] = {{.fd = fds[0], .size = 1}, {.fd = fds[0], .size = 1}};
        weft_task tasks[2] = {start(read_once, &transfers[0]), start(read_once, &transfers[1])};
        settle();
        put_byte(fds[1], 'w');
        if (round % 2) settle();
        CHECK_EQ(weft_cancel(tasks[0]), 0);
        CHECK_EQ(finish(tasks[0]), 0);
        if (transfers[0].result == 1) put_byte(fds[1], 'w');
        CHECK_EQ(finish(tasks[1]), 0);
        CHECK_EQ(transfers[1].result, 1);
    }
    return 0;
}

WEFT_TEST(fd, 08_the_turn_is_passed_on_by_a_cancelled_reader)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(woken_and_cancelled_root, fds), 0);
}

/* ---- 32: two processes ---- */

#define SHARED_BYTES 400

/* Takes bytes until the end; how many. */
static int takes_bytes(int fd)
{
    int count = 0;
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        (void)poll(&ready, 1, -1);
        char byte;
        ssize_t size = read(fd, &byte, 1);
        if (size == 0) return count;
        if (size == 1) count++;
    }
}

static int feeds(void *arg)
{
    const int *fd = arg;
    for (int i = 0; i < SHARED_BYTES; i++) {
        put_byte(*fd, 's');
        CHECK_EQ(weft_sleep(i % 8 == 0 ? 200 * WEFT_USEC : 0), 0);
    }
    return weft_close(*fd);
}

static int shared_root(void *arg)
{
    int *fds = arg;
    int answer[2];
    harness_pipe(answer);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        int count = takes_bytes(fds[0]);
        _exit(write(answer[1], &count, sizeof count) == sizeof count ? 0 : 1);
    }

    weft_task feeder = start(feeds, &fds[1]);
    int own = 0;
    char byte;
    ssize_t size;
    while ((size = weft_read(fds[0], &byte, 1)) == 1) {
        own++;
    }
    CHECK_EQ(size, 0); /* never -EAGAIN */
    CHECK_EQ(finish(feeder), 0);
    int others = 0;
    CHECK_EQ(weft_read(answer[0], &others, sizeof others), sizeof others);
    CHECK_EQ(own + others, SHARED_BYTES);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    return 0;
}

WEFT_TEST(fd, 32_data_that_another_process_took_is_waited_for_again)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(shared_root, fds), 0);
}

/* ---- 46: one listener ---- */

#define CONNECTIONS 100

struct acceptors {
    int listener;
    int accepted;
    int own[8];
    int next;
};

static int accepts_all(void *arg)
{
    struct acceptors *acceptors = arg;
    int number = acceptors->next++;
    for (;;) {
        int fd = weft_accept(acceptors->listener, NULL, NULL);
        if (fd < 0) return fd;
        acceptors->accepted++;
        acceptors->own[number]++;
        char byte = 'c';
        CHECK_EQ(weft_write(fd, &byte, 1), 1);
        CHECK_EQ(weft_close(fd), 0);
    }
}

static int dial_and_read(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };
    char byte = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OR_RETURN(fd >= 0, -1);
    CHECK_EQ(weft_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(weft_read_exactly(fd, &byte, 1, NULL), 0);
    CHECK_EQ(weft_read(fd, &byte, 1), 0); /* accepted once, by one */
    CHECK_EQ(weft_close(fd), 0);
    return byte;
}

static int one_listener_root(void *arg)
{
    struct acceptors *acceptors = arg;
    uint16_t port = 0;
    acceptors->listener = harness_tcp_listener(&port);
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = start(accepts_all, acceptors);
    }
    settle();
    for (int i = 0; i < CONNECTIONS; i++) {
        CHECK_EQ(dial_and_read(port), 'c');
    }
    CHECK_EQ(acceptors->accepted, CONNECTIONS);
    CHECK_EQ(stats_now().waiting_fd, 8);
    int taking_part = 0;
    for (int i = 0; i < 8; i++) {
        taking_part += acceptors->own[i] > 0;
    }
    CHECK_EQ(taking_part, 8); /* first come, first served */
    CHECK_EQ(weft_close(acceptors->listener), 0);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(finish(tasks[i]), -EBADF);
    }
    return 0;
}

WEFT_TEST(fd, 46_several_tasks_accept_each_connection_once)
{
    struct acceptors acceptors = {0};
    CHECK_EQ(run_real(one_listener_root, &acceptors), 0);
}

/* ---- 48: closed by another thread ---- */

struct closer {
    int fd;
    int result;
    int delay_ms;
};

static void *closer_main(void *arg)
{
    struct closer *closer = arg;
    if (closer->delay_ms > 0) harness_sleep_ms(closer->delay_ms);
    closer->result = weft_close(closer->fd);
    return NULL;
}

static int closed_by_thread_root(void *arg)
{
    (void)arg;
    for (int round = 0; round < 30; round++) {
        int fds[2];
        harness_pipe(fds);
        struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
        struct transfer transfer = {.fd = fds[0], .size = 8, .result = 77};
        weft_task waiting = start(wait_once, &waiter);
        weft_task reading = start(read_once, &transfer);
        struct closer closer = {.fd = fds[0], .result = 77, .delay_ms = round % 3};
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, closer_main, &closer), 0);
        CHECK_EQ(finish(waiting), 0);
        CHECK_EQ(finish(reading), 0);
        CHECK_EQ(waiter.result, -EBADF);
        CHECK_EQ(transfer.result, -EBADF);

        /* The thread may still need the worker to let go of the registration. */
        while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
            CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
        }
        CHECK_EQ(closer.result, 0);
        CHECK_EQ(fcntl(fds[0], F_GETFD), -1);
        CHECK_EQ(stats_now().descriptors, 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(fd, 48_a_close_by_another_thread_wakes_the_waiters)
{
    CHECK_EQ(run_real(closed_by_thread_root, NULL), 0);
}
