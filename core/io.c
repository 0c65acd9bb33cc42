/* SPDX-License-Identifier: MIT */
/*
 * Read and write: the calls of POSIX, asleep in the task instead of the thread.
 *
 * Each tries first and waits when there is nothing; a stream whose last read was short waits first.
 */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <weft/fd.h>

#include "core/attempt.h"
#include "core/transfer.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* One message, as recvmsg(2) and sendmsg(2) take it. */
struct envelope {
    struct msghdr *message;
    size_t size; /* of its parts together */
    int flags;
};

static int add_up(const struct iovec *parts, size_t count, size_t *ret_size);
static ssize_t attempt_recvmsg(struct transfer *transfer, void *arg);
static ssize_t attempt_sendmsg(struct transfer *transfer, void *arg);

/* ---- one attempt: a socket and one buffer in line, all else in core/attempt.c ---- */

static bool is_usual(const struct transfer *transfer, const struct pieces *pieces)
{
    unsigned kind = transfer->slot->kind;
    return likely((kind == FD_STREAM || kind == FD_SOCKET) && pieces->count == 1);
}

static inline ssize_t attempt_read(struct transfer *transfer, void *arg)
{
    const struct pieces *pieces = arg;
    if (!is_usual(transfer, pieces)) return weft__attempt_read(transfer, arg);
    if (transfer_waits_first(transfer)) return -EAGAIN;

    const struct iovec *part = pieces->parts;
    ssize_t count = recv(transfer->fd, part->iov_base, part->iov_len, MSG_DONTWAIT);
    if (unlikely(count < 0)) {
        if (errno == EINTR) return weft__attempt_read(transfer, arg);
        count = -errno;
    }
    transfer_note_read(transfer, count, part->iov_len);
    return count;
}

static inline ssize_t attempt_write(struct transfer *transfer, void *arg)
{
    const struct pieces *pieces = arg;
    if (!is_usual(transfer, pieces)) return weft__attempt_write(transfer, arg);

    const struct iovec *part = pieces->parts;
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    ssize_t count = send(transfer->fd, part->iov_base, part->iov_len, flags);
    if (likely(count >= 0)) return count;
    return errno == EINTR ? weft__attempt_write(transfer, arg) : -errno;
}

/* ---- read and write ---- */

/* In line, so that the direction is a constant: this is the path of every request. */
static ALWAYS_INLINE ssize_t run_pieces(int fd, enum fd_direction direction, struct pieces *pieces)
{
    struct transfer transfer;
    int refused = transfer_enter(&transfer);
    if (unlikely(refused)) return refused;
    if (unlikely(pieces->size == 0)) return 0;
    refused = transfer_join(&transfer, fd, direction);
    if (unlikely(refused)) return refused;

    ssize_t result = direction == FD_READ ? transfer_run(&transfer, attempt_read, pieces)
                                          : transfer_run(&transfer, attempt_write, pieces);
    transfer_leave(&transfer);
    return result;
}

ssize_t weft_read(int fd, void *buffer, size_t size)
{
    struct iovec part = {buffer, size};
    struct pieces pieces = {&part, 1, size};
    return run_pieces(fd, FD_READ, &pieces);
}

ssize_t weft_write(int fd, const void *buffer, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)buffer, size};
    struct pieces pieces = {&part, 1, size};
    return run_pieces(fd, FD_WRITE, &pieces);
}

ssize_t weft_readv(int fd, const struct iovec *parts, int count)
{
    if (count < 0 || count > IOV_MAX) return -EINVAL;
    struct pieces pieces = {parts, (size_t)count, 0};
    int result = add_up(parts, pieces.count, &pieces.size);
    return result < 0 ? result : run_pieces(fd, FD_READ, &pieces);
}

ssize_t weft_writev(int fd, const struct iovec *parts, int count)
{
    if (count < 0 || count > IOV_MAX) return -EINVAL;
    struct pieces pieces = {parts, (size_t)count, 0};
    int result = add_up(parts, pieces.count, &pieces.size);
    return result < 0 ? result : run_pieces(fd, FD_WRITE, &pieces);
}

static int add_up(const struct iovec *parts, size_t count, size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(size, parts[i].iov_len, &size)) return -EINVAL;
    }
    *ret_size = size;
    return 0;
}

/* ---- messages ---- */

static ssize_t run_message(int fd, enum fd_direction direction, struct envelope *envelope)
{
    struct transfer transfer;
    int refused = transfer_enter(&transfer);
    if (unlikely(refused)) return refused;
    if (!envelope->message) return -EFAULT;
    if (envelope->message->msg_iovlen <= IOV_MAX) { /* else the kernel will refuse it */
        size_t count = envelope->message->msg_iovlen;
        refused = add_up(envelope->message->msg_iov, count, &envelope->size);
        if (unlikely(refused)) return refused;
    }
    transfer.never_sleeps = envelope->flags & MSG_DONTWAIT;
    refused = transfer_join(&transfer, fd, direction);
    if (unlikely(refused)) return refused;

    ssize_t result = direction == FD_READ ? transfer_run(&transfer, attempt_recvmsg, envelope)
                                          : transfer_run(&transfer, attempt_sendmsg, envelope);
    transfer_leave(&transfer);
    return result;
}

ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct envelope envelope = {.message = message, .flags = flags};
    return run_message(fd, FD_READ, &envelope);
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct envelope envelope = {.message = (struct msghdr *)(uintptr_t)message, .flags = flags};
    return run_message(fd, FD_WRITE, &envelope);
}

static ssize_t attempt_recvmsg(struct transfer *transfer, void *arg)
{
    const struct envelope *envelope = arg;
    bool is_plain = envelope->flags == 0; /* MSG_PEEK and the like tell nothing about the rest */
    if (is_plain && transfer_waits_first(transfer)) return -EAGAIN;
    for (;;) {
        int flags = envelope->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
        ssize_t count = recvmsg(transfer->fd, envelope->message, flags);
        if (count < 0) count = -errno;
        if (unlikely(count == -EINTR)) continue;
        if (is_plain) transfer_note_read(transfer, count, envelope->size);
        return count;
    }
}

static ssize_t attempt_sendmsg(struct transfer *transfer, void *arg)
{
    const struct envelope *envelope = arg;
    for (;;) {
        int flags = envelope->flags | MSG_DONTWAIT | MSG_NOSIGNAL;
        ssize_t count = sendmsg(transfer->fd, envelope->message, flags);
        if (count < 0) count = -errno;
        if (likely(count != -EINTR)) return count;
    }
}

/* ---- everything ---- */

static ALWAYS_INLINE int run_whole_joined(struct transfer *transfer,
                                          enum fd_direction direction,
                                          struct iovec rest,
                                          size_t *ret_done)
{
    for (;;) {
        struct pieces pieces = {&rest, 1, rest.iov_len};
        ssize_t count = direction == FD_READ ? transfer_run(transfer, attempt_read, &pieces)
                                             : transfer_run(transfer, attempt_write, &pieces);
        if (count < 0) return (int)count;
        if (count == 0)
            return -EPIPE; /* the end of the stream; a write of more than 0 moves some */
        *ret_done += (size_t)count;
        rest.iov_base = (char *)rest.iov_base + count;
        rest.iov_len -= (size_t)count;
        if (rest.iov_len == 0) return 0;

        transfer_hold(transfer); /* nobody comes between the pieces */
        /* Each piece is charged, so that an endless transfer lets others run and can be stopped. */
        int refused = weft__enter(transfer->worker, transfer->self);
        if (unlikely(refused)) return refused;
        if (transfer->slot->generation != transfer->generation) return -EBADF;
        transfer->futile = 0;
    }
}

static ALWAYS_INLINE int run_whole(int fd,
                                   enum fd_direction direction,
                                   struct iovec rest,
                                   size_t *ret_done)
{
    size_t done = 0;
    if (!ret_done) ret_done = &done;
    *ret_done = 0;

    struct transfer transfer;
    int refused = transfer_enter(&transfer);
    if (unlikely(refused)) return refused;
    if (unlikely(rest.iov_len == 0)) return 0;
    refused = transfer_join(&transfer, fd, direction);
    if (unlikely(refused)) return refused;

    int result = run_whole_joined(&transfer, direction, rest, ret_done);
    transfer_leave(&transfer);
    return result;
}

int weft_read_exactly(int fd, void *buffer, size_t size, size_t *ret_done)
{
    return run_whole(fd, FD_READ, (struct iovec){buffer, size}, ret_done);
}

int weft_write_all(int fd, const void *buffer, size_t size, size_t *ret_done)
{
    struct iovec rest = {(void *)(uintptr_t)buffer, size};
    return run_whole(fd, FD_WRITE, rest, ret_done);
}
