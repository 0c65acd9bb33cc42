/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-15 to 18: cancelled waits on descriptors leave nothing behind, and lose no byte and
 * no connection.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "conformance/runtime/support.h"

struct io {
    int fd;
    int events;
    ssize_t result;
    char buffer[16];
};

static int wait_ready(void *arg)
{
    struct io *io = arg;
    io->result = weft_wait_fd(io->fd, io->events);
    return (int)io->result;
}

static int read_some(void *arg)
{
    struct io *io = arg;
    io->result = weft_read(io->fd, io->buffer, sizeof io->buffer);
    return (int)io->result;
}

static int accept_one(void *arg)
{
    struct io *io = arg;
    io->result = weft_accept(io->fd, NULL, NULL);
    return (int)io->result;
}

/* ---- 15 ---- */

static int root_cancels_a_wait(void *arg)
{
    int *fds = arg;
    struct io first = {.fd = fds[0], .events = WEFT_READABLE};
    struct io second = first;
    weft_task task = spawn_task(wait_ready, &first);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);

    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);
    task = spawn_task(wait_ready, &second);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(second.result, 0);

    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(join_result(task), WEFT_READABLE);
    CHECK_EQ(harness_drain(fds[0]), 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(cancel, 15_a_descriptor_can_be_waited_on_again_at_once)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_cancels_a_wait, fds), 0);
}

static int root_cancels_one_direction(void *arg)
{
    int *fds = arg;
    harness_fill(fds[0]);
    struct io reader = {.fd = fds[0], .events = WEFT_READABLE};
    struct io writer = {.fd = fds[0], .events = WEFT_WRITABLE};
    weft_task tasks[2] = {spawn_task(wait_ready, &reader), spawn_task(wait_ready, &writer)};
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);

    CHECK_EQ(weft_cancel(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[0]), -ECANCELED);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(writer.result, 0);

    CHECK(harness_drain(fds[1]) > 0);
    CHECK_EQ(join_result(tasks[1]), WEFT_WRITABLE);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(cancel, 15b_the_other_direction_goes_on)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_cancels_one_direction, fds), 0);
}

/* Whatever a cancelled wait left behind, a later sleep is not cut short by it. */
static int root_looks_for_stale_events(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int fds[2];
        harness_socket_pair(fds);
        struct io io = {.fd = fds[0], .events = WEFT_READABLE};
        weft_task task = spawn_task(wait_ready, &io);
        CHECK_EQ(weft_sleep(WEFT_MSEC / 2), 0);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(weft_cancel(task), 0);
        CHECK_EQ(join_result(task), -ECANCELED);

        int64_t start = weft_now();
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        CHECK(weft_now() - start >= WEFT_MSEC);
        CHECK_EQ(weft_close(fds[0]), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(cancel, 15c_an_event_after_the_cancel_wakes_nobody)
{
    CHECK_EQ(run_real(root_looks_for_stale_events, NULL), 0);
}

/* ---- 16 ---- */

struct dial {
    char address[32];
    int fd;
    int result;
};

static int dial_out(void *arg)
{
    struct dial *dial = arg;
    dial->result = weft_tcp_dial(&dial->fd, dial->address);
    return dial->result;
}

/* A listener whose queue is full: the next connect stays in progress. */
static int full_listener(uint16_t *ret_port, int *ret_fds, int count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(listen(listener, 0), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    for (int i = 0; i < count; i++) {
        ret_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(ret_fds[i], (struct sockaddr *)&address, size); /* in progress, or full */
    }
    return listener;
}

#define QUEUED 4

static int root_cancels_dials(void *arg)
{
    (void)arg;
    uint16_t port = 0;
    int queued[QUEUED];
    int listener = full_listener(&port, queued, QUEUED);
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    int before = harness_fd_count();

    for (int i = 0; i < 5; i++) {
        struct dial dial = {.fd = -77};
        (void)snprintf(dial.address, sizeof dial.address, "127.0.0.1:%d", port);
        weft_task task = spawn_task(dial_out, &dial);
        CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
        CHECK_EQ(weft_cancel(task), 0);
        CHECK_EQ(join_result(task), -ECANCELED);
        CHECK_EQ(dial.fd, -77);
        weft_with_timeout(2 * WEFT_MSEC) {
            CHECK_EQ(weft_tcp_dial(&dial.fd, dial.address), -ETIMEDOUT);
        }
        CHECK_EQ(dial.fd, -77);
    }

    CHECK_EQ(harness_fd_count(), before);
    for (int i = 0; i < QUEUED; i++) {
        close(queued[i]);
    }
    CHECK_EQ(close(listener), 0);
    return 0;
}

WEFT_TEST(cancel, 16_a_cancelled_dial_leaves_no_descriptor)
{
    CHECK_EQ(run_real(root_cancels_dials, NULL), 0);
}

static int root_dials_cancelled(void *arg)
{
    (void)arg;
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    struct dial dial = {.fd = -77};
    (void)snprintf(dial.address, sizeof dial.address, "127.0.0.1:%d", port);
    int before = harness_fd_count();
    weft_task task = spawn_task(dial_out, &dial);

    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK_EQ(dial.fd, -77);
    CHECK_EQ(harness_fd_count(), before);
    CHECK_EQ(close(listener), 0);
    return 0;
}

WEFT_TEST(cancel, 16b_a_dial_after_the_cancel_does_not_connect)
{
    CHECK_EQ(run_real(root_dials_cancelled, NULL), 0);
}

/* ---- 17 ---- */

static int connect_now(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int root_cancels_accepts(void *arg)
{
    (void)arg;
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    int before = harness_fd_count();
    int late = 0;
    for (int i = 0; i < 50; i++) {
        struct io io = {.fd = listener, .result = -77};
        weft_task task = spawn_task(accept_one, &io);
        CHECK_EQ(weft_sleep(WEFT_MSEC / 4), 0);

        int client = connect_now(port);
        if (i % 2 == 0) CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_cancel(task), 0);
        int accepted = join_result(task);
        if (accepted < 0) {
            CHECK_EQ(accepted, -ECANCELED);
            accepted = weft_accept(listener, NULL, NULL);
            late++;
        }
        CHECK(accepted >= 0);
        CHECK_EQ(write(client, "y", 1), 1);
        CHECK_EQ(weft_read(accepted, io.buffer, 1), 1);
        CHECK_EQ(weft_close(accepted), 0);
        CHECK_EQ(close(client), 0);
    }
    CHECK(late > 0);
    CHECK_EQ(harness_fd_count(), before);
    CHECK_EQ(weft_close(listener), 0);
    return 0;
}

WEFT_TEST(cancel, 17_a_connection_is_not_lost_with_a_cancelled_accept)
{
    CHECK_EQ(run_real(root_cancels_accepts, NULL), 0);
}

/* ---- 18 ---- */

static int root_cancels_reads(void *arg)
{
    int *fds = arg;
    size_t got = 0;
    for (int i = 0; i < 200; i++) {
        struct io io = {.fd = fds[0]};
        memset(io.buffer, '.', sizeof io.buffer);
        weft_task task = spawn_task(read_some, &io);
        CHECK_EQ(weft_yield(), 0);

        CHECK_EQ(write(fds[1], "abc", 3), 3);
        if (i % 2 == 0) CHECK_EQ(weft_sleep(WEFT_MSEC / 10), 0);
        CHECK_EQ(weft_cancel(task), 0);
        int result = join_result(task);
        CHECK(result == -ECANCELED || result == 3);
        if (result < 0) {
            CHECK_EQ(io.buffer[0], '.');
            CHECK_EQ(weft_read(fds[0], io.buffer, sizeof io.buffer), 3);
        }
        CHECK(memcmp(io.buffer, "abc.", 4) == 0);
        got += 3;
    }
    CHECK_EQ(got, 600);
    CHECK_EQ(harness_drain(fds[0]), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(cancel, 18_no_byte_is_lost_with_a_cancelled_read)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_cancels_reads, fds), 0);
}

/* ---- row 52: the count is always available ---- */

struct transfer {
    int fd;
    int result;
    size_t done;
};

static int write_much(void *arg)
{
    static const char block[4 * 1024 * 1024];
    struct transfer *transfer = arg;
    transfer->result = weft_write_all(transfer->fd, block, sizeof block, &transfer->done);
    return transfer->result;
}

static int root_cancels_a_writer(void *arg)
{
    int *fds = arg;
    struct transfer transfer = {.fd = fds[0]};
    weft_task task = spawn_task(write_much, &transfer);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), -ECANCELED);

    CHECK(transfer.done > 0);
    CHECK_EQ(harness_drain(fds[1]), transfer.done);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(cancel, 18b_a_cancelled_write_tells_how_much_went_out)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_cancels_a_writer, fds), 0);
}
