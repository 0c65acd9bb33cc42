/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing without blocking the thread, changing the file's flags, or raising SIGPIPE.
 *
 * Sockets take flags with each call. Nothing else does: a file that is not O_NONBLOCK (the flag
 * would be shared with whoever else has it open) is asked with poll(2) first, and is given no more
 * than PIPE_BUF bytes, which then is sure to find room. What another process snatches away between
 * the two calls does block; nobody can prevent that.
 */
#include "core/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/transfer.h"

static ssize_t read_socket(int fd, const struct pieces *pieces);
static ssize_t read_file(const struct transfer *transfer, const struct pieces *pieces);
static ssize_t write_socket(int fd, const struct pieces *pieces);
static ssize_t write_file(const struct transfer *transfer, const struct pieces *pieces);
static ssize_t write_quietly(int fd, const struct iovec *parts, size_t count);

static bool is_socket(const struct transfer *transfer)
{
    return transfer->slot->kind == FD_STREAM || transfer->slot->kind == FD_SOCKET;
}

ssize_t weft__attempt_read(struct transfer *transfer, void *arg)
{
    if (transfer_waits_first(transfer)) return -EAGAIN;

    const struct pieces *pieces = arg;
    for (;;) {
        ssize_t count =
            is_socket(transfer) ? read_socket(transfer->fd, pieces) : read_file(transfer, pieces);
        if (unlikely(count == -EINTR)) continue;
        transfer_note_read(transfer, count, pieces->size);
        return count;
    }
}

ssize_t weft__attempt_write(struct transfer *transfer, void *arg)
{
    const struct pieces *pieces = arg;
    for (;;) {
        ssize_t count =
            is_socket(transfer) ? write_socket(transfer->fd, pieces) : write_file(transfer, pieces);
        if (likely(count != -EINTR)) return count;
    }
}

static ssize_t read_socket(int fd, const struct pieces *pieces)
{
    ssize_t count;
    if (likely(pieces->count == 1)) {
        count = recv(fd, pieces->parts[0].iov_base, pieces->parts[0].iov_len, MSG_DONTWAIT);
    } else {
        struct msghdr message = {
            .msg_iov = (struct iovec *)(uintptr_t)pieces->parts, /* only read */
            .msg_iovlen = pieces->count,
        };
        count = recvmsg(fd, &message, MSG_DONTWAIT);
    }
    return count < 0 ? -errno : count;
}

static ssize_t write_socket(int fd, const struct pieces *pieces)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    ssize_t count;
    if (likely(pieces->count == 1)) {
        count = send(fd, pieces->parts[0].iov_base, pieces->parts[0].iov_len, flags);
    } else {
        struct msghdr message = {
            .msg_iov = (struct iovec *)(uintptr_t)pieces->parts,
            .msg_iovlen = pieces->count,
        };
        count = sendmsg(fd, &message, flags);
    }
    return count < 0 ? -errno : count;
}

int weft__attempt_allowed(int fd, short events)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    if (flags & O_NONBLOCK) return 1;

    struct pollfd request = {.fd = fd, .events = events};
    int count = poll(&request, 1, 0);
    if (count < 0) return -errno;
    return count > 0 ? 2 : 0;
}

static ssize_t read_file(const struct transfer *transfer, const struct pieces *pieces)
{
    if (transfer->slot->kind != FD_FILE) {
        int allowed = weft__attempt_allowed(transfer->fd, POLLIN);
        if (allowed <= 0) return allowed == 0 ? -EAGAIN : allowed;
    }
    ssize_t count = readv(transfer->fd, pieces->parts, (int)pieces->count);
    return count < 0 ? -errno : count;
}

static ssize_t write_file(const struct transfer *transfer, const struct pieces *pieces)
{
    int fd = transfer->fd;
    if (transfer->slot->kind == FD_FILE) {
        ssize_t count = writev(fd, pieces->parts, (int)pieces->count);
        return count < 0 ? -errno : count;
    }
    int allowed = weft__attempt_allowed(fd, POLLOUT);
    if (allowed <= 0) return allowed == 0 ? -EAGAIN : allowed;
    if (allowed == 1 || pieces->size <= PIPE_BUF) {
        return write_quietly(fd, pieces->parts, pieces->count);
    }

    size_t first = 0;
    while (pieces->parts[first].iov_len == 0)
        first++;
    struct iovec part = pieces->parts[first];
    if (part.iov_len > PIPE_BUF) part.iov_len = PIPE_BUF;
    return write_quietly(fd, &part, 1);
}

/*
 * Writes with SIGPIPE blocked in this thread, and takes back the one that it caused: the process's
 * disposition is the program's own, and may change at any time on another thread. A signal that
 * was pending before is left alone; it cannot be unless the thread had it blocked already.
 */
static ssize_t write_quietly(int fd, const struct iovec *parts, size_t count)
{
    sigset_t pipe_only;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before); /* fails for a bad `how` only */
    bool was_blocked = sigismember(&before, SIGPIPE);
    bool was_pending =
        was_blocked && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;

    ssize_t written = writev(fd, parts, (int)count);
    if (written < 0) written = -errno;

    if (written == -EPIPE && !was_pending) {
        struct timespec no_time = {0, 0};
        (void)sigtimedwait(&pipe_only, NULL, &no_time); /* EAGAIN: it was ignored, hence dropped */
    }
    if (!was_blocked) (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return written;
}
