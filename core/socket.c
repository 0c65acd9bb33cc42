/* SPDX-License-Identifier: MIT */
/*
 * What is done to whole sockets: accept, connect, shutdown.
 *
 * accept(2) and connect(2) take no flag for one call. A listener that blocks is asked with poll(2)
 * first; a socket that blocks is made non-blocking for the duration of the connect(2) call, when
 * it hardly can be shared yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <weft/fd.h>
#include <weft/time.h>

#include "core/attempt.h"
#include "core/transfer.h"

#define EXHAUSTED_PAUSE_NS   (10 * WEFT_MSEC) /* after an accept for which nothing was left */
#define BACKLOG_PAUSE_MIN_NS WEFT_MSEC        /* of a full AF_UNIX backlog; doubled each time */
#define BACKLOG_PAUSE_MAX_NS (16 * WEFT_MSEC)
#define BACKLOG_IS_FULL      (-EALREADY) /* attempt_connect() gives it for nothing else */

/* Arguments of one accept, and of one connect. */
struct acceptance {
    struct sockaddr *address;
    socklen_t *length;
};

struct connection {
    const struct sockaddr *address;
    socklen_t length;
    bool is_started;
};

static ssize_t attempt_accept(struct transfer *transfer, void *arg);
static bool is_listening(struct transfer *transfer);
static bool is_exhausted(ssize_t error);
static int pause_exhausted(const struct transfer *transfer, int error);
static ssize_t attempt_connect(struct transfer *transfer, void *arg);
static int connect_now(int fd, const struct connection *connection);

static bool is_socket(const struct transfer *transfer)
{
    return transfer->slot->kind == FD_STREAM || transfer->slot->kind == FD_SOCKET;
}

/* ---- accept ---- */

int weft_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    struct transfer transfer;
    int refused = transfer_enter(&transfer);
    if (unlikely(refused)) return refused;
    refused = transfer_join(&transfer, fd, FD_READ);
    if (unlikely(refused)) return refused;

    struct acceptance acceptance = {address, length};
    int result = (int)transfer_run(&transfer, attempt_accept, &acceptance);
    if (likely(result >= 0)) {
        const struct fd_slot *slot = transfer.slot;
        weft__fd_is_new(transfer.worker, result, slot->kind);
        int on = 1;
        if (slot->nodelay == NODELAY_TO_SET) {
            /* A connection that has ended already refuses it, and works to its end all the same. */
            (void)setsockopt(result, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
    } else if (is_exhausted(result)) {
        result = pause_exhausted(&transfer, result);
    }
    transfer_leave(&transfer);
    return result;
}

static ssize_t attempt_accept(struct transfer *transfer, void *arg)
{
    const struct acceptance *acceptance = arg;
    if (!is_socket(transfer)) return -ENOTSOCK;
    bool listens = is_listening(transfer); /* else the call fails at once, blocking or not */
    for (;;) {
        int allowed = listens ? weft__attempt_allowed(transfer->fd, POLLIN) : 1;
        if (allowed <= 0) return allowed == 0 ? -EAGAIN : allowed;

        const int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
        int result = accept4(transfer->fd, acceptance->address, acceptance->length, flags);
        if (result < 0) result = -errno;
        /* One connection less in the backlog each time: those that were reset are passed over. */
        if (result != -EINTR && result != -ECONNABORTED && result != -EPROTO) return result;
    }
}

/* Also finds out, once per listener, about TCP_NODELAY: Linux lets connections inherit it. */
static bool is_listening(struct transfer *transfer)
{
    struct fd_slot *slot = transfer->slot;
    if (slot->nodelay != NODELAY_UNKNOWN) return true;

    int value = 0;
    socklen_t size = sizeof value;
    int result = getsockopt(transfer->fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size);
    if (result < 0 || !value) return false;

    size = sizeof value;
    result = getsockopt(transfer->fd, IPPROTO_TCP, TCP_NODELAY, &value, &size);
    slot->nodelay = NODELAY_NONE;
    if (result == 0) slot->nodelay = value ? NODELAY_INHERITED : NODELAY_TO_SET;
    return true;
}

static bool is_exhausted(ssize_t error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

/* The connection stays in the backlog, and the listener stays readable: whoever asks again at
 * once would ask for ever. A cancellation is more news than the error. */
static int pause_exhausted(const struct transfer *transfer, int error)
{
    if (transfer->self->no_sleep) return error;
    int result = weft__transfer_pause(transfer, EXHAUSTED_PAUSE_NS);
    if (result < 0) return result;
    return transfer->slot->generation == transfer->generation ? error : -EBADF;
}

/* ---- connect ---- */

int weft_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    struct transfer transfer;
    int refused = transfer_enter(&transfer);
    if (unlikely(refused)) return refused;
    refused = transfer_join(&transfer, fd, FD_WRITE);
    if (unlikely(refused)) return refused;

    struct connection connection = {.address = address, .length = length};
    int64_t pause_ns = BACKLOG_PAUSE_MIN_NS;
    int result = (int)transfer_run(&transfer, attempt_connect, &connection);
    while (result == BACKLOG_IS_FULL) { /* nothing tells when there is room: not even poll(2) */
        result = weft__transfer_pause(&transfer, pause_ns);
        if (result < 0) break;
        if (transfer.slot->generation != transfer.generation) {
            result = -EBADF;
            break;
        }
        if (pause_ns < BACKLOG_PAUSE_MAX_NS) pause_ns *= 2;
        result = (int)transfer_run(&transfer, attempt_connect, &connection);
    }
    transfer_leave(&transfer);
    return result;
}

/*
 * Once started, asking again is what tells the truth about a wake-up: the kernel answers EALREADY
 * if it was spurious, 0 when the socket has become connected, and otherwise the error, once.
 */
static ssize_t attempt_connect(struct transfer *transfer, void *arg)
{
    struct connection *connection = arg;
    if (!is_socket(transfer)) return -ENOTSOCK;

    int result = connect_now(transfer->fd, connection);
    if (result == -EINPROGRESS || result == -EALREADY || result == -EINTR) {
        connection->is_started = true;
        return -EAGAIN;
    }
    if (result == -EISCONN && connection->is_started) return 0;
    if (result == -EAGAIN && connection->address->sa_family == AF_UNIX) return BACKLOG_IS_FULL;
    if (result == -EAGAIN) return -EADDRNOTAVAIL; /* as Linux calls it everywhere else: no port */
    return result;
}

static int connect_now(int fd, const struct connection *connection)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    bool is_blocking = !(flags & O_NONBLOCK);
    if (is_blocking && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;

    int result = connect(fd, connection->address, connection->length);
    if (result < 0) result = -errno;

    if (is_blocking) (void)fcntl(fd, F_SETFL, flags); /* it worked a moment ago */
    return result;
}

/* ---- shutdown ---- */

int weft_shutdown(int fd, int how)
{
    return shutdown(fd, how) < 0 ? -errno : 0;
}
