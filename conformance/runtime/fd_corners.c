/* SPDX-License-Identifier: MIT */
/*
 * FD-16, 29, 31, 32 at their corners: numbers that changed hands behind weft's back before a
 * transfer, a SIGPIPE that was pending before, two threads that close one number, and readiness
 * that does not mean what it says.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>

#include "conformance/runtime/io_support.h"

/* ---- 31: a number changes hands between two transfers ---- */

/* Closes `number` with close(2) and gives it to `fd`. */
static void replace(int number, int fd)
{
    CHECK_EQ(dup3(fd, number, O_CLOEXEC), number);
    CHECK_EQ(close(fd), 0);
}

/* The worker is not blocked: the reader sleeps until the byte is there. */
static void check_reads(int number, int writer)
{
    struct transfer transfer = {.fd = number, .size = 8, .result = 77};
    weft_task reader = start(read_once, &transfer);
    settle();
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(transfer.result, 77);
    put_byte(writer, 'n');
    CHECK_EQ(finish(reader), 0);
    CHECK_EQ(transfer.result, 1);
    CHECK_EQ(transfer.buffer[0], 'n');
}

static int changed_hands_root(void *arg)
{
    (void)arg;
    char text[8];
    FILE *file = tmpfile();
    CHECK_OR_RETURN(file, 1);
    int number = dup(fileno(file));
    CHECK_EQ(weft_write(number, "x", 1), 1);

    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    replace(number, fds[0]); /* from a file to a socket that blocks */
    check_reads(number, fds[1]);

    int pipe_fds[2];
    CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    replace(number, pipe_fds[0]); /* to a pipe that blocks */
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    check_reads(number, pipe_fds[1]);

    uint16_t port = 0;
    replace(number, harness_tcp_listener(&port)); /* to a listener */
    int ends[2] = {-1, -1};
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    CHECK_EQ(weft_tcp_dial(&ends[0], address), 0);
    ends[1] = weft_accept(number, NULL, NULL);
    CHECK_EQ(weft_write(ends[0], "ok", 2), 2);
    CHECK_EQ(weft_read(ends[1], text, sizeof text), 2);

    close_both(ends);
    CHECK_EQ(weft_close(number), 0);
    CHECK_EQ(close(fds[1]), 0);
    CHECK_EQ(close(pipe_fds[1]), 0);
    CHECK_EQ(fclose(file), 0);
    return 0;
}

WEFT_TEST(fd, 31_a_transfer_finds_out_what_its_number_has_become)
{
    CHECK_EQ(run_real(changed_hands_root, NULL), 0);
}

/* ---- 16: SIGPIPE is the program's own ---- */

static int pending_root(void *arg)
{
    (void)arg;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
    CHECK_EQ(pthread_kill(pthread_self(), SIGPIPE), 0);
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(close(fds[0]), 0);

    CHECK_EQ(weft_write(fds[1], "x", 1), -EPIPE);

    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
    struct timespec no_time = {0, 0};
    CHECK_EQ(sigtimedwait(&signals, NULL, &no_time), SIGPIPE);
    CHECK_EQ(weft_write(fds[1], "x", 1), -EPIPE);
    CHECK_EQ(sigtimedwait(&signals, NULL, &no_time), -1); /* its own is taken back */
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(fd, 16_a_sigpipe_that_was_pending_before_stays_so)
{
    CHECK_EQ(run_virtual(pending_root, NULL), 0);
}

/* ---- 29: closed by two threads at once ---- */

struct closing {
    pthread_barrier_t *barrier;
    int fd;
    int result;
};

static void *closes(void *arg)
{
    struct closing *closing = arg;
    (void)pthread_barrier_wait(closing->barrier);
    closing->result = weft_close(closing->fd);
    return NULL;
}

static int closed_by_two_root(void *arg)
{
    (void)arg;
    for (int round = 0; round < 50; round++) {
        int fds[2];
        harness_pipe(fds);
        struct transfer transfer = {.fd = fds[0], .size = 8, .result = 77};
        weft_task reader = start(read_once, &transfer);
        settle();
        pthread_barrier_t barrier;
        CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
        struct closing closings[2] = {{&barrier, fds[0], 77}, {&barrier, fds[0], 77}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, closes, &closings[i]), 0);
        }
        CHECK_EQ(finish(reader), 0);
        CHECK_EQ(transfer.result, -EBADF);
        for (int i = 0; i < 2; i++) {
            while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
                CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
            }
        }
        CHECK_EQ(closings[0].result + closings[1].result, -EBADF); /* the one 0, the other not */
        CHECK_EQ(pthread_barrier_destroy(&barrier), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(fd, 29_of_two_threads_that_close_at_once_one_fails)
{
    CHECK_EQ(run_real(closed_by_two_root, NULL), 0);
}

/* ---- 32: the kernel calls it ready, and it is not ---- */

static int full_backlog_root(void *arg)
{
    (void)arg;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(&address.sun_path[1], sizeof address.sun_path - 1, "weft-%d", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(listener, 0), 0);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    CHECK_EQ(weft_connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);

    int result = 0;
    weft_with_timeout(40 * WEFT_MSEC) {
        result = weft_connect(fds[1], (struct sockaddr *)&address, sizeof address);
    }
    CHECK_EQ(result, -ETIMEDOUT);

    int accepted = weft_accept(listener, NULL, NULL);
    CHECK(accepted >= 0);
    CHECK_EQ(weft_connect(fds[2], (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(fcntl(fds[2], F_GETFL) & O_NONBLOCK, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_close(fds[i]), 0);
    }
    CHECK_EQ(weft_close(accepted), 0);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(fd, 32_a_full_local_backlog_is_waited_for)
{
    CHECK_EQ(run_real(full_backlog_root, NULL), 0);
}

struct datagrams {
    int fd;
    struct sockaddr_un address;
    int sent;
};

static int sends_until_stopped(void *arg)
{
    struct datagrams *datagrams = arg;
    char byte = 'd';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_name = &datagrams->address,
        .msg_namelen = sizeof datagrams->address,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    for (;;) {
        ssize_t result = weft_sendmsg(datagrams->fd, &message, 0);
        if (result != 1) return (int)result;
        datagrams->sent++;
    }
}

/* poll(2) calls an unconnected sender writable, however full its receiver is. */
static int full_receiver_root(void *arg)
{
    (void)arg;
    struct datagrams datagrams = {.address = {.sun_family = AF_UNIX}};
    (void)snprintf(&datagrams.address.sun_path[1], 64, "weft-full-%d", (int)getpid());
    int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    datagrams.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(receiver, (struct sockaddr *)&datagrams.address, sizeof datagrams.address), 0);
    weft_task sender = start(sends_until_stopped, &datagrams);
    CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
    int sent = datagrams.sent;
    CHECK(sent > 0);

    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK_EQ(weft_sleep(100 * WEFT_MSEC), 0);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 20 * WEFT_MSEC);
    CHECK_EQ(datagrams.sent, sent);

    char byte;
    CHECK_EQ(weft_read(receiver, &byte, 1), 1);
    for (int i = 0; i < 1000 && datagrams.sent == sent; i++) {
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    CHECK(datagrams.sent > sent);
    CHECK_EQ(weft_cancel(sender), 0);
    CHECK_EQ(finish(sender), -ECANCELED);
    CHECK_EQ(weft_close(datagrams.fd), 0);
    CHECK_EQ(weft_close(receiver), 0);
    return 0;
}

WEFT_TEST(fd, 32_a_full_receiver_of_datagrams_does_not_make_its_sender_spin)
{
    CHECK_EQ(run_real(full_receiver_root, NULL), 0);
}
