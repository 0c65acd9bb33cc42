/* SPDX-License-Identifier: MIT */
/*
 * Descriptors under stress: STRESS-06, 08, 13.
 *
 * Each byte that is sent tells whose it is and which it is, so crossed wires, losses and doubles
 * show as a wrong byte.
 */
#include <netinet/in.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

/* ---- descriptors that come and go ---- */

#define CHURNERS 8

struct churn {
    uint64_t random;
    int64_t end_ns;
    int next_id;
    int64_t received;
    int64_t closed_under_reader;
};

struct id_reader {
    struct churn *churn;
    int fd;
    int id;
};

static int read_an_id(void *arg)
{
    struct id_reader *reader = arg;
    int got = -1;
    size_t done = 0;
    int status = weft_read_exactly(reader->fd, &got, sizeof got, &done);
    if (status == 0) {
        CHECK_EQ(got, reader->id);
        reader->churn->received++;
    } else {
        CHECK_EQ(status, -EBADF);
        CHECK_EQ(done, 0);
        reader->churn->closed_under_reader++;
    }
    return 0;
}

/* On this worker. One that is stolen may begin to read only after its descriptor was closed, and
 * then reads from whoever got the number: no library can tell. */
static weft_task start_here(weft_fn fn, void *arg)
{
    weft_task task = {0, NULL};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_HERE;
    CHECK_EQ(weft_spawn_with(&task, &options, fn, arg), 0);
    return task;
}

/* One connection: a reader waits, then gets the connection's number, or its descriptor is closed.
 * The number of the descriptor is reused at once by whoever comes next. */
static int churn_one(struct churn *churn)
{
    int fds[2];
    int id = churn->next_id++;
    harness_socket_pair(fds);
    if (fds[0] < 0) return -1;
    struct id_reader reader = {churn, fds[0], id};
    weft_task task = start_here(read_an_id, &reader);
    for (unsigned i = random_next(&churn->random) % 3; i > 0; i--) {
        CHECK_EQ(weft_yield(), 0);
    }
    bool closes = random_next(&churn->random) % 3 == 0;
    if (closes) {
        CHECK_EQ(weft_close(fds[0]), 0);
    } else {
        CHECK_EQ(weft_write(fds[1], &id, sizeof id), sizeof id);
    }
    CHECK_EQ(weft_join(task, NULL), 0);
    if (!closes) CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

static int churn_task(void *arg)
{
    struct churn *churn = arg;
    while (harness_now_ns() < churn->end_ns && harness_failures() == 0) {
        if (churn_one(churn) < 0) break;
    }
    return 0;
}

REAL_TEST(stress, 06_reused_descriptors_never_cross, .timeout = 120)
{
    struct churn churn = {.random = 6, .end_ns = harness_now_ns() + stress_duration_ns()};
    weft_task tasks[CHURNERS];
    int fds = harness_fd_count();
    for (int i = 0; i < CHURNERS; i++) {
        tasks[i] = start_here(churn_task, &churn);
    }
    for (int i = 0; i < CHURNERS; i++) {
        CHECK_EQ(weft_join(tasks[i], NULL), 0);
    }

    CHECK_EQ(churn.received + churn.closed_under_reader, churn.next_id);
    CHECK(churn.received > 0);
    CHECK(churn.closed_under_reader > 0);
    CHECK_EQ(harness_fd_count(), fds);
}

/* ---- an echo server whose clients misbehave ---- */

#define CLIENTS   6
#define BLOCK_MAX 9000

enum ending { HALF_CLOSE, RESET, DEADLINE, CANCEL, ENDINGS };

struct echo {
    uint64_t random;
    int64_t end_ns;
    int64_t bytes;
    int count[ENDINGS];
};

static unsigned char pattern(size_t position, int seed)
{
    return (unsigned char)(position * 131 + (size_t)seed * 17 + position / 251);
}

/* Echoes until the other side ends or breaks; then closes. */
WEFT_TASK(serve, (int, fd))
{
    unsigned char buffer[4096];
    for (;;) {
        ssize_t size = weft_read(fd, buffer, sizeof buffer);
        size_t done = 0;
        if (size <= 0) break;
        if (weft_write_all(fd, buffer, (size_t)size, &done) < 0) break;
    }
    return weft_close(fd);
}

/* Reads what comes back until `end`, or until the stream ends, and checks each byte. */
static ssize_t read_back(int fd, size_t from, size_t to, int seed)
{
    unsigned char buffer[2000];
    while (from < to) {
        size_t room = to - from < sizeof buffer ? to - from : sizeof buffer;
        ssize_t size = weft_read(fd, buffer, room);
        if (size <= 0) return size < 0 ? size : (ssize_t)from;
        for (ssize_t i = 0; i < size; i++) {
            if (!CHECK_EQ(buffer[i], pattern(from + (size_t)i, seed))) return -EIO;
        }
        from += (size_t)size;
    }
    return (ssize_t)from;
}

WEFT_TASK(write_pattern, (int, fd), (size_t, count), (int, seed))
{
    unsigned char buffer[BLOCK_MAX];
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        buffer[i] = pattern(i, seed);
    }
    return weft_write_all(fd, buffer, count, &done);
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

/* Waits for more than there is; `status` is what must end it. */
WEFT_TASK(read_too_much, (int, fd), (size_t, from), (int, expected))
{
    CHECK_EQ(read_back(fd, from, from + 1, 0), expected);
    return 0;
}

static void end_connection(int fd, size_t count, int seed, enum ending ending)
{
    weft_task reader;
    ssize_t result = 0;
    switch (ending) {
    case HALF_CLOSE:
        CHECK_EQ(weft_shutdown(fd, SHUT_WR), 0);
        CHECK_EQ(read_back(fd, count, count + 1, seed), count); /* the end, and nothing before it */
        break;
    case RESET:
        reset(fd);
        break;
    case DEADLINE:
        weft_with_timeout(WEFT_MSEC) {
            result = read_back(fd, count, count + 1, seed);
        }
        CHECK_EQ(result, -ETIMEDOUT);
        break;
    case CANCEL:
    case ENDINGS:
        CHECK_EQ(read_too_much_spawn(&reader, fd, count, -ECANCELED), 0);
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_cancel(reader), 0);
        CHECK_EQ(weft_join(reader, NULL), 0);
        break;
    }
}

static int echo_client(void *arg)
{
    struct echo *echo = arg;
    while (harness_now_ns() < echo->end_ns && harness_failures() == 0) {
        int fds[2];
        int seed = (int)(random_next(&echo->random) % 1000);
        size_t count = 1 + random_next(&echo->random) % BLOCK_MAX;
        enum ending ending = (enum ending)(random_next(&echo->random) % ENDINGS);
        int result = -1;
        weft_task server;
        weft_task writer;
        harness_tcp_pair(fds);
        if (fds[0] < 0 || fds[1] < 0) return 1;
        CHECK_EQ(serve_spawn(&server, fds[0]), 0);
        CHECK_EQ(write_pattern_spawn(&writer, fds[1], count, seed), 0);

        CHECK_EQ(read_back(fds[1], 0, count, seed), count);
        CHECK_EQ(weft_join(writer, &result), 0);
        CHECK_EQ(result, 0);
        end_connection(fds[1], count, seed, ending);

        CHECK_EQ(weft_close(fds[1]), 0);
        CHECK_EQ(weft_join(server, &result), 0);
        CHECK_EQ(result, 0);
        echo->bytes += (int64_t)count;
        echo->count[ending]++;
    }
    return 0;
}

REAL_TEST(stress, 08_echo_is_exact_however_connections_end, .timeout = 120)
{
    struct echo echo = {.random = 8, .end_ns = harness_now_ns() + stress_duration_ns()};
    weft_task clients[CLIENTS];
    int fds = harness_fd_count();
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(weft_spawn(&clients[i], echo_client, &echo), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(weft_join(clients[i], NULL), 0);
    }

    CHECK(echo.bytes > 0);
    for (int i = 0; i < ENDINGS; i++) {
        CHECK(echo.count[i] > 0);
    }
    CHECK_EQ(harness_fd_count(), fds);
}

/* ---- system calls that fail at random ---- */

#define FUZZED_FDS 1024

static bool fuzzed[FUZZED_FDS]; /* which descriptors' calls may fail */
static uint64_t fuzz_random = 13;
static int fuzz_count; /* how often one did */

/* -1 with errno set if this call is to fail; else how many bytes it may move at most. */
__attribute__((unused)) static ssize_t fuzz(int fd, size_t size)
{
    if (fd < 0 || fd >= FUZZED_FDS || !fuzzed[fd]) return (ssize_t)size;
    switch (random_next(&fuzz_random) % 4) {
    case 0:
        fuzz_count++;
        errno = EINTR;
        return -1;
    case 1:
        fuzz_count++;
        errno = EAGAIN;
        return -1;
    case 2:
        return size > 1 ? 1 + (ssize_t)(random_next(&fuzz_random) % size) : (ssize_t)size;
    }
    return (ssize_t)size;
}

/* These take the place of the C library's in the whole program. TSan needs its own. */
#ifndef __SANITIZE_THREAD__
ssize_t read(int fd, void *buffer, size_t size)
{
    ssize_t allowed = fuzz(fd, size);
    return allowed < 0 ? -1 : syscall(SYS_read, fd, buffer, allowed);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    ssize_t allowed = fuzz(fd, size);
    return allowed < 0 ? -1 : syscall(SYS_write, fd, buffer, allowed);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    ssize_t allowed = fuzz(fd, size);
    return allowed < 0 ? -1 : syscall(SYS_recvfrom, fd, buffer, allowed, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t allowed = fuzz(fd, size);
    return allowed < 0 ? -1 : syscall(SYS_sendto, fd, buffer, allowed, flags, NULL, 0);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return fuzz(fd, 1) < 0 ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fuzz(fd, 1) < 0 ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}
#endif

#define FUZZ_BYTES 60000

WEFT_TASK(send_in_blocks, (int, fd))
{
    static unsigned char block[FUZZ_BYTES];
    size_t sent = 0;
    for (size_t i = 0; i < FUZZ_BYTES; i++) {
        block[i] = pattern(i, 13);
    }
    while (sent < FUZZ_BYTES) {
        size_t size = 1 + random_next(&fuzz_random) % 5000;
        size_t done = 0;
        if (size > FUZZ_BYTES - sent) size = FUZZ_BYTES - sent;
        CHECK_EQ(weft_write_all(fd, &block[sent], size, &done), 0);
        CHECK_EQ(done, size);
        sent += size;
    }
    return weft_shutdown(fd, SHUT_WR);
}

static void transfer_fuzzed(int fds[2])
{
    int result = -1;
    weft_task sender;
    fuzzed[fds[0]] = fuzzed[fds[1]] = true;
    CHECK_EQ(send_in_blocks_spawn(&sender, fds[1]), 0);

    CHECK_EQ(read_back(fds[0], 0, FUZZ_BYTES + 1, 13), FUZZ_BYTES);

    CHECK_EQ(weft_join(sender, &result), 0);
    CHECK_EQ(result, 0);
    fuzzed[fds[0]] = fuzzed[fds[1]] = false;
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

REAL_TEST(stress, 13_failing_system_calls_lose_no_byte, .timeout = 60)
{
    for (int i = 0; i < 5; i++) {
        int fds[2];
        harness_socket_pair(fds);
        CHECK_OR_RETURN(fds[0] >= 0 && fds[1] < FUZZED_FDS, );
        transfer_fuzzed(fds);
        harness_tcp_pair(fds);
        CHECK_OR_RETURN(fds[0] >= 0 && fds[1] < FUZZED_FDS, );
        transfer_fuzzed(fds);
    }
#ifndef __SANITIZE_THREAD__
    CHECK(fuzz_count > 0);
#endif
}
