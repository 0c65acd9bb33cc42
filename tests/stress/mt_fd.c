/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that tasks of all workers use: payloads with an id through numbers that are used
 * again and again, closes under the feet of who waits, connections that break (MT-08, 12, 13, 15;
 * STRESS-06 and 08).
 *
 * No payload reaches another connection; a close wakes each that waits, on every worker, once.
 *
 * usage: see tests/stress/mt.h
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/stress/mt.h"

/* ---- numbers used again ---- */

#define CHURNERS 8

struct churn {
    struct mt *mt;
    atomic_uint ids;
    int rounds;
    struct churner {
        struct churn *churn;
        uint64_t random;
    } churners[CHURNERS];
};

/* One connection: written on one worker, read on another, closed on a third. */
struct line {
    uint32_t id;
    uint32_t count;
    int fds[2];
    uint64_t random[2];
};

struct message {
    uint32_t id;
    uint32_t number;
};

static int line_write(void *arg)
{
    struct line *line = arg;
    for (uint32_t i = 0; i < line->count; i++) {
        struct message message = {line->id, i};
        EXPECT(weft_write_all(line->fds[1], &message, sizeof message, NULL) == 0);
        mt_delay(&line->random[1]);
    }
    EXPECT(weft_close(line->fds[1]) == 0);
    return 0;
}

/* Under deadlines at times; what was read in part is read on. */
static int line_read(void *arg)
{
    struct line *line = arg;
    for (uint32_t i = 0; i <= line->count; i++) {
        struct message message = {0};
        size_t have = 0;
        int status = -ETIMEDOUT;
        while (status == -ETIMEDOUT) {
            size_t done = 0;
            bool is_timed = stress_random(&line->random[0]) % 4 == 0;
            int64_t timeout = stress_random(&line->random[0]) % 50 * WEFT_USEC;
            weft_with_timeout(is_timed ? timeout : WEFT_FOREVER) {
                char *rest = (char *)&message + have;
                status = weft_read_exactly(line->fds[0], rest, sizeof message - have, &done);
            }
            have += done;
        }
        if (i == line->count) {
            EXPECT(status == -EPIPE && have == 0);
            return 0;
        }
        EXPECT(status == 0);
        EXPECT(message.id == line->id && message.number == i);
    }
    return 0;
}

static int churner_task(void *arg)
{
    struct churner *churner = arg;
    struct churn *churn = churner->churn;
    for (int i = 0; i < churn->rounds; i++) {
        struct weft_scope scope;
        struct line line = {
            .id = atomic_fetch_add(&churn->ids, 1),
            .count = stress_random(&churner->random) % 10,
            .random = {stress_random(&churner->random), stress_random(&churner->random)}};
        if (!EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line.fds) == 0)) return 0;
        EXPECT(weft_scope_open(&scope) == 0);
        EXPECT(mt_spawn(&scope, NULL, line_read, &line) == 0);
        EXPECT(mt_spawn(&scope, NULL, line_write, &line) == 0);
        EXPECT(weft_scope_close(&scope) == 0);
        EXPECT(weft_close(line.fds[0]) == 0);
    }
    return 0;
}

static int churn_root(void *arg)
{
    struct churn *churn = arg;
    for (int i = 0; i < CHURNERS; i++) {
        churn->churners[i] = (struct churner){churn, mt_seed(churn->mt)};
    }
    EXPECT(mt_each(churner_task, churn->churners, CHURNERS, sizeof *churn->churners) == 0);
    return 0;
}

static void run_churn(struct mt *mt)
{
    struct churn churn = {.mt = mt, .rounds = mt_scale(mt, 200)};
    mt_run(mt, churn_root, &churn);
}

/* ---- closes ---- */

#define WAITERS 12

struct closing {
    struct mt *mt;
    int fd;
    bool releases; /* weft_release(): the number stays */
    atomic_int closed;
    atomic_int ends;      /* waiters that were told of the connection's end instead */
    atomic_llong took_ns; /* the close */
    struct waiter {
        struct closing *closing;
        uint64_t random;
        int way;
    } waiters[WAITERS];
};

static int waiter_wait(struct waiter *waiter)
{
    int fd = waiter->closing->fd;
    char byte = 0;
    int status = 0;
    int index = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    switch (waiter->way % 4) {
    case 0:
        return (int)weft_read(fd, &byte, 1);
    case 1:
        return weft_wait_fd(fd, WEFT_READABLE);
    case 2:
        index = weft_select(weft_on_readable(fd, &status), weft_after(WEFT_HOUR));
        return index < 0 ? index : status;
    default:
        return (int)weft_recvmsg(fd, &message, MSG_PEEK);
    }
}

/* Who comes after a release waits on: for it, the other end hangs up. */
static int waiter_task(void *arg)
{
    struct waiter *waiter = arg;
    mt_delay(&waiter->random);
    int status = waiter_wait(waiter);
    if (status >= 0) atomic_fetch_add(&waiter->closing->ends, 1);
    EXPECT(status == -EBADF || status >= 0);
    return 0;
}

static int closer_task(void *arg)
{
    struct waiter *closer = arg;
    struct closing *closing = closer->closing;
    mt_delay(&closer->random);
    if (stress_random(&closer->random) % 2 == 0) (void)weft_sleep(20 * WEFT_USEC);
    int64_t start_ns = weft_now();
    int status = closing->releases ? weft_release(closing->fd) : weft_close(closing->fd);
    if (status == 0) atomic_store(&closing->took_ns, weft_now() - start_ns);
    EXPECT(status == 0 || status == -EBADF); /* the other one is at it */
    if (status == 0) atomic_fetch_add(&closing->closed, 1);
    return 0;
}

/* One task closes, or two try; nobody opens a descriptor before all are back. */
static void closing_round(struct closing *closing)
{
    struct waiter closers[2];
    struct weft_scope scope;
    struct weft_scope closes;
    int fds[2];
    if (!EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)) return;
    closing->fd = fds[0];
    atomic_store(&closing->closed, 0);
    atomic_store(&closing->ends, 0);
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < WAITERS; i++) {
        closing->waiters[i] = (struct waiter){closing, mt_seed(closing->mt), i};
        EXPECT(mt_spawn(&scope, NULL, waiter_task, &closing->waiters[i]) == 0);
    }
    EXPECT(weft_scope_open(&closes) == 0);
    int count = 1 + (int)(stress_random(&closing->mt->random) % 2);
    for (int i = 0; i < count; i++) {
        closers[i] = (struct waiter){.closing = closing, .random = mt_seed(closing->mt)};
        EXPECT(mt_spawn(&closes, NULL, closer_task, &closers[i]) == 0);
    }
    EXPECT(weft_scope_close(&closes) == 0);
    int closed = atomic_load(&closing->closed);
    EXPECT(closed == 1 || (closing->releases && closed == count));
    if (closing->releases) EXPECT(weft_close(fds[1]) == 0);
    EXPECT(weft_scope_close(&scope) == 0);
    /* A connection whose close takes long is shut down before all have heard of it. */
    bool was_shut = atomic_load(&closing->took_ns) >= 10 * WEFT_MSEC;
    EXPECT(closing->releases || was_shut || atomic_load(&closing->ends) == 0);
    EXPECT(weft_close(closing->releases ? fds[0] : fds[1]) == 0);
}

static int closing_root(void *arg)
{
    struct closing *closing = arg;
    for (int i = mt_scale(closing->mt, 400); i > 0; i--) {
        closing->releases = i % 4 == 0;
        closing_round(closing);
    }
    return 0;
}

static void run_closing(struct mt *mt)
{
    struct closing closing = {.mt = mt};
    mt_run(mt, closing_root, &closing);
}

/* ---- connections that break ---- */

#define CLIENTS 8

struct echo {
    struct mt *mt;
    struct sockaddr_in address;
    int listener;
    int rounds;
    atomic_llong served;
    atomic_llong exact; /* connections that were echoed to the last byte */
    struct client {
        struct echo *echo;
        uint64_t random;
    } clients[CLIENTS];
};

/* What a client may meet when its own side, or the server's, has broken off. */
static bool is_break(ssize_t status)
{
    return status == -ECONNRESET || status == -EPIPE || status == -ETIMEDOUT;
}

static void reset_on_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
}

WEFT_TASK(serve, (struct echo *, echo), (int, fd))
{
    char bytes[256];
    ssize_t size = 1;
    int status = 0;
    while (size > 0 && status == 0) {
        size = weft_read(fd, bytes, sizeof bytes);
        EXPECT(size >= 0 || is_break(size));
        if (size > 0) status = weft_write_all(fd, bytes, (size_t)size, NULL);
        EXPECT(status == 0 || is_break(status));
    }
    EXPECT(weft_close(fd) == 0);
    atomic_fetch_add(&echo->served, 1);
    return 0;
}

struct call {
    int fd;
    unsigned size; /* bytes to send, at times more than what is in the buffers */
    unsigned seed;
};

static unsigned char call_byte(const struct call *call, unsigned position)
{
    return (unsigned char)(call->seed + position * 31 + position / 256);
}

static int call_write(void *arg)
{
    const struct call *call = arg;
    unsigned char bytes[1000];
    unsigned sent = 0;
    int status = 0;
    while (sent < call->size && status == 0) {
        unsigned size = call->size - sent < sizeof bytes ? call->size - sent : sizeof bytes;
        for (unsigned i = 0; i < size; i++) {
            bytes[i] = call_byte(call, sent + i);
        }
        status = weft_write_all(call->fd, bytes, size, NULL);
        EXPECT(status == 0 || is_break(status) || status == -ECANCELED);
        sent += size;
    }
    if (status == 0) EXPECT(weft_shutdown(call->fd, SHUT_WR) == 0);
    return 0;
}

/* Returns how many of its bytes came back; stops early if `wanted` says so. */
static unsigned call_read(const struct call *call, unsigned wanted)
{
    unsigned char bytes[700];
    unsigned got = 0;
    ssize_t size = 1;
    while (size > 0 && got < wanted) {
        size = weft_read(call->fd, bytes, sizeof bytes);
        EXPECT(size >= 0 || is_break(size));
        for (unsigned i = 0; (ssize_t)i < size; i++) {
            if (!EXPECT(bytes[i] == call_byte(call, got + i))) return got;
        }
        if (size > 0) got += (unsigned)size;
    }
    return got;
}

/* Reads all, or breaks off in the midst of it: by a reset, a deadline, or a cancel of its writer,
 * which is on another worker. */
static void client_call(struct client *client, struct call *call)
{
    struct weft_scope scope;
    unsigned choice = stress_random(&client->random) % 8;
    unsigned part = stress_random(&client->random) % (call->size + 1);
    bool is_timed = choice == 0;
    int64_t timeout = 1 + stress_random(&client->random) % 300;
    EXPECT(weft_scope_open(&scope) == 0);
    EXPECT(mt_spawn(&scope, NULL, call_write, call) == 0);
    weft_with_timeout(is_timed ? timeout *WEFT_USEC : WEFT_FOREVER) {
        unsigned got = call_read(call, choice < 4 ? part : UINT32_MAX);
        EXPECT(is_timed || got >= part);
        if (choice >= 4) EXPECT(got == call->size);
        if (got == call->size) atomic_fetch_add(&client->echo->exact, 1);
    }
    if (choice < 4) EXPECT(weft_scope_cancel(&scope) == 0);
    int status = weft_scope_close(&scope);
    EXPECT(status == (choice < 4 ? -ECANCELED : 0));
    if (choice % 2 == 0) reset_on_close(call->fd);
    EXPECT(weft_close(call->fd) == 0);
}

static int client_task(void *arg)
{
    struct client *client = arg;
    struct echo *echo = client->echo;
    for (int i = 0; i < echo->rounds; i++) {
        struct call call = {.size = stress_random(&client->random) % 8000,
                            .seed = stress_random(&client->random)};
        call.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct sockaddr *address = (const struct sockaddr *)&echo->address;
        EXPECT(weft_connect(call.fd, address, sizeof echo->address) == 0);
        client_call(client, &call);
    }
    return 0;
}

/* Each connection is served on the worker that has fewest; until the listener is closed. */
static int echo_accept(void *arg)
{
    struct echo *echo = arg;
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    int fd = 0;
    while (fd >= 0) {
        fd = weft_accept(echo->listener, NULL, NULL);
        if (fd >= 0) EXPECT(serve_scope_spawn(&scope, NULL, echo, fd) == 0);
    }
    EXPECT(fd == -EBADF);
    EXPECT(weft_scope_close(&scope) == 0);
    return 0;
}

/* Every worker accepts. */
static int echo_root(void *arg)
{
    struct echo *echo = arg;
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        EXPECT(mt_spawn(&scope, NULL, echo_accept, echo) == 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        echo->clients[i] = (struct client){echo, mt_seed(echo->mt)};
    }
    EXPECT(mt_each(client_task, echo->clients, CLIENTS, sizeof *echo->clients) == 0);
    EXPECT(weft_close(echo->listener) == 0);
    EXPECT(weft_scope_close(&scope) == 0);
    return 0;
}

static void run_echo(struct mt *mt)
{
    struct echo echo = {
        .mt = mt,
        .rounds = mt_scale(mt, 60),
        .address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    struct sockaddr *address = (struct sockaddr *)&echo.address;
    socklen_t size = sizeof echo.address;
    EXPECT(bind(echo.listener, address, size) == 0);
    EXPECT(listen(echo.listener, 4 * CLIENTS) == 0);
    EXPECT(getsockname(echo.listener, address, &size) == 0);
    mt_run(mt, echo_root, &echo);
    EXPECT(atomic_load(&echo.exact) > 0);
    EXPECT(atomic_load(&echo.served) <= CLIENTS * echo.rounds);
}

MT_MAIN({"no payload goes astray when numbers are used again", run_churn, 1},
        {"a close wakes the waiters of all workers", run_closing, 1},
        {"echo is exact, or breaks off", run_echo, 1});
