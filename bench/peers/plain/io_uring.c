/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on io_uring: a receive or a send is under way for each connection, and what
 * one pass of the completions asks for goes to the kernel in one call with the wait for the next.
 * The accept is submitted again after each connection: older kernels know no multishot.
 */
#include <fcntl.h>
#include <liburing.h>

#include "bench/peers/plain/plain.h"

enum { RING_ENTRIES = 4096 };

static struct io_uring ring;

/* A free entry; submits what is queued when the ring is full. */
static struct io_uring_sqe *next_entry(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (!entry) {
        PLAIN_CHECK(io_uring_submit(&ring) >= 0);
        entry = io_uring_get_sqe(&ring);
    }
    PLAIN_CHECK(entry);
    return entry;
}

static void queue_accept(int listener)
{
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(entry, NULL);
}

static void queue_step(struct plain_connection *connection)
{
    struct io_uring_sqe *entry = next_entry();
    if (connection->size == 0) {
        io_uring_prep_recv(entry, connection->fd, connection->buffer, PLAIN_BUFFER, 0);
    } else {
        char *data = connection->buffer + connection->start;
        io_uring_prep_send(entry, connection->fd, data, connection->size, MSG_NOSIGNAL);
    }
    io_uring_sqe_set_data(entry, connection);
}

static void on_connection(int fd)
{
    int on = 1;
    PLAIN_CHECK(fd >= 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct plain_connection *connection = malloc(sizeof *connection);
    PLAIN_CHECK(connection);
    connection->fd = fd;
    connection->size = 0;
    plain_open_count++;
    queue_step(connection);
}

/* False: that was the last one. */
static bool on_done(struct plain_connection *connection, int result)
{
    if (result <= 0) return !plain_close(connection);
    if (connection->size == 0) {
        connection->start = 0;
        connection->size = (size_t)result;
    } else {
        connection->start += (size_t)result;
        connection->size -= (size_t)result;
    }
    queue_step(connection);
    return true;
}

/* Ends when the last connection has ended. */
static void serve(int listener)
{
    for (;;) {
        PLAIN_CHECK(io_uring_submit_and_wait(&ring, 1) >= 0);
        struct io_uring_cqe *done;
        unsigned head = 0;
        unsigned count = 0;
        bool goes_on = true;
        io_uring_for_each_cqe(&ring, head, done)
        {
            struct plain_connection *connection = io_uring_cqe_get_data(done);
            count++;
            if (connection) {
                goes_on = on_done(connection, done->res) && goes_on;
            } else {
                on_connection(done->res);
                queue_accept(listener);
            }
        }
        io_uring_cq_advance(&ring, count);
        if (!goes_on) return;
    }
}

int main(int argc, char **argv)
{
    int listener = plain_listen(argc, argv);
    /* A listener that is non-blocking would give EAGAIN instead of a connection. */
    PLAIN_CHECK(fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK) == 0);
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = RING_ENTRIES * 4};
    params.flags |= IORING_SETUP_COOP_TASKRUN;
    if (io_uring_queue_init_params(RING_ENTRIES, &ring, &params) < 0) {
        params =
            (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = RING_ENTRIES * 4};
        PLAIN_CHECK(io_uring_queue_init_params(RING_ENTRIES, &ring, &params) == 0);
    }
    queue_accept(listener);
    serve(listener);
    io_uring_queue_exit(&ring);
    return 0;
}
