/* SPDX-License-Identifier: MIT */
/*
 * TCP-12 to 14, 16, 18, 19, 21, 22, 24, 25, 27, 28: reading, writing and ending one connection.
 */
#include <limits.h>
#include <signal.h>
#include <sys/uio.h>

#include "conformance/runtime/tcp_support.h"

/* ---- 12: partial writes ---- */

#define LARGE (16 << 20)

static char large[LARGE];

struct writer {
    int fd;
    int result;
    size_t done;
};

static int writes_large(void *arg)
{
    struct writer *writer = arg;
    writer->done = SIZE_MAX;
    writer->result = weft_write_all(writer->fd, large, LARGE, &writer->done);
    return 0;
}

/* Reads to the end; how many bytes. */
static size_t read_to_end(int fd)
{
    static char bytes[65536];
    size_t total = 0;
    ssize_t size;
    while ((size = weft_read(fd, bytes, sizeof bytes)) > 0) {
        total += (size_t)size;
    }
    CHECK_EQ(size, 0);
    return total;
}

static int partial_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct writer writer = {.fd = fds[0]};
    weft_with_timeout(30 * WEFT_MSEC)
        CHECK_EQ(writes_large(&writer), 0);
    CHECK_EQ(writer.result, -ETIMEDOUT);
    CHECK_WITHIN(writer.done, 1, LARGE - 1);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(read_to_end(fds[1]), writer.done);
    close_both(fds);

    weft_pair(fds);
    writer = (struct writer){.fd = fds[0]};
    weft_task task = start(writes_large, &writer);
    CHECK_EQ(weft_sleep(30 * WEFT_MSEC), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(writer.result, -ECANCELED);
    CHECK_WITHIN(writer.done, 1, LARGE - 1);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(read_to_end(fds[1]), writer.done);
    close_both(fds);

    weft_pair(fds);
    writer = (struct writer){.fd = fds[0]};
    task = start(writes_large, &writer);
    CHECK_EQ(weft_sleep(30 * WEFT_MSEC), 0);
    close_with_reset(fds[1]);
    CHECK_EQ(finish(task), 0);
    CHECK(writer.result == -ECONNRESET || writer.result == -EPIPE);
    CHECK_WITHIN(writer.done, 1, LARGE - 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    return 0;
}

WEFT_TEST(tcp, 12_a_write_cut_short_tells_how_many_bytes_went)
{
    CHECK_EQ(run_real(partial_root, NULL), 0);
}

static int partial_read_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    char bytes[8];
    size_t done = 77;
    int result = 0;
    CHECK_EQ(weft_write(fds[0], "abc", 3), 3);
    weft_with_timeout(10 * WEFT_MSEC)
        result = weft_read_exactly(fds[1], bytes, 8, &done);
    CHECK_EQ(result, -ETIMEDOUT);
    CHECK_EQ(done, 3);
    CHECK_EQ(weft_write(fds[0], "de", 2), 2);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_read_exactly(fds[1], bytes, 8, &done), -EPIPE);
    CHECK_EQ(done, 2);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 12_a_read_cut_short_tells_how_many_bytes_came)
{
    CHECK_EQ(run_real(partial_read_root, NULL), 0);
}

/* ---- 13, 14: deadlines of reads ---- */

static int late_data_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    for (int i = 0; i < 20; i++) {
        ssize_t result = 0;
        char bytes[8] = "";
        weft_with_timeout(WEFT_MSEC)
            result = weft_read(fds[1], bytes, sizeof bytes);
        CHECK_EQ(result, -ETIMEDOUT);
        CHECK_EQ(weft_write(fds[0], "late", 4), 4);
        if (i % 2) CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        CHECK_EQ(weft_read(fds[1], bytes, sizeof bytes), 4);
        CHECK_STR(bytes, "late");
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 13_data_that_comes_after_the_deadline_goes_to_the_next_read)
{
    CHECK_EQ(run_real(late_data_root, NULL), 0);
}

struct moving {
    struct weft_scope scope;
    int fd;
    int64_t ended_at;
    ssize_t result;
};

static int reads_in_scope(void *arg)
{
    struct moving *moving = arg;
    char byte;
    CHECK_EQ(weft_scope_open_timeout(&moving->scope, 10 * WEFT_SEC), 0);
    moving->result = weft_read(moving->fd, &byte, 1);
    moving->ended_at = weft_now();
    return weft_scope_close(&moving->scope);
}

static int moving_root(void *arg)
{
    struct moving *moving = arg;
    int fds[2];
    weft_pair(fds);
    moving->fd = fds[1];
    static const int64_t moves[] = {WEFT_MINUTE, 5 * WEFT_SEC, -WEFT_SEC};
    for (int i = 0; i < 3; i++) {
        weft_task task = start(reads_in_scope, moving);
        settle();
        int64_t now = weft_now();
        CHECK_EQ(weft_scope_set_deadline(&moving->scope, now + moves[i]), 0);
        CHECK_EQ(finish(task), -ETIMEDOUT);
        CHECK_EQ(moving->result, -ETIMEDOUT);
        int64_t expected = now + (moves[i] > 0 ? moves[i] : 0);
        CHECK_WITHIN(moving->ended_at, expected, expected + WEFT_SEC);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 14_the_deadline_of_a_pending_read_can_be_moved)
{
    struct moving moving;
    CHECK_EQ(run_virtual(moving_root, &moving), 0);
}

/* ---- 16: closed by another task ---- */

static int close_unblocks_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct transfer reader = {.fd = fds[0], .size = 8, .result = 77};
    struct writer writer = {.fd = fds[0]};
    weft_task writing = start(writes_large, &writer);
    weft_task reading = start(read_once, &reader);
    CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
    CHECK_EQ(reader.result, 77);

    CHECK_EQ(weft_close(fds[0]), 0);

    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(reader.result, -EBADF);
    CHECK_EQ(writer.result, -EBADF);
    CHECK_WITHIN(writer.done, 1, LARGE - 1);
    CHECK_EQ(weft_read(fds[0], reader.buffer, 8), -EBADF);
    CHECK_EQ(weft_write(fds[0], "x", 1), -EBADF);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), -EBADF);
    CHECK_EQ(weft_close(fds[0]), -EBADF);
    CHECK_EQ(read_to_end(fds[1]), writer.done);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(tcp, 16_a_close_ends_reads_and_writes_of_other_tasks)
{
    CHECK_EQ(run_real(close_unblocks_root, NULL), 0);
}

/* ---- 18, 19, 24: halves and ends ---- */

static int half_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    char bytes[8] = "";
    CHECK_EQ(weft_write(fds[0], "rest", 4), 4);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_write(fds[0], "x", 1), -EPIPE);
    CHECK_EQ(weft_read(fds[1], bytes, 2), 2);
    CHECK_EQ(weft_read(fds[1], bytes + 2, 6), 2);
    CHECK_STR(bytes, "rest");
    CHECK_EQ(weft_read(fds[1], bytes, 8), 0);
    CHECK_EQ(weft_write(fds[1], "back", 4), 4);
    CHECK_EQ(weft_read(fds[0], bytes, 8), 4);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 18_after_shutdown_of_writing_the_peer_reads_the_rest_and_answers)
{
    CHECK_EQ(run_virtual(half_root, NULL), 0);
}

static int shut_read_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct transfer reader = {.fd = fds[0], .size = 8, .result = 77};
    weft_task reading = start(read_once, &reader);
    settle();
    CHECK_EQ(reader.result, 77);
    CHECK_EQ(weft_shutdown(fds[0], SHUT_RD), 0);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(reader.result, 0);
    CHECK_EQ(weft_write(fds[0], "on", 2), 2);
    CHECK_EQ(weft_read(fds[1], reader.buffer, 8), 2);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 19_shutdown_of_reading_wakes_the_reader)
{
    CHECK_EQ(run_virtual(shut_read_root, NULL), 0);
}

static int end_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    CHECK_EQ(weft_close(fds[0]), 0);
    for (int i = 0; i < 5; i++) {
        char byte = 0;
        ssize_t result = 77;
        weft_with_timeout(WEFT_MINUTE)
            result = weft_read(fds[1], &byte, 1);
        CHECK_EQ(result, 0);
        CHECK_EQ(weft_wait_fd(fds[1], WEFT_READABLE), WEFT_READABLE);
    }
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(tcp, 24_the_end_is_reported_every_time)
{
    CHECK_EQ(run_virtual(end_root, NULL), 0);
}

/* ---- 21, 22: resets ---- */

static int reset_root(void *arg)
{
    (void)arg;
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    int fds[2];
    weft_pair(fds);
    struct transfer reader = {.fd = fds[0], .size = 8, .result = 77};
    weft_task reading = start(read_once, &reader);
    settle();
    close_with_reset(fds[1]);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(reader.result, -ECONNRESET);
    CHECK_EQ(weft_write(fds[0], "x", 1), -EPIPE);
    CHECK_EQ(weft_close(fds[0]), 0);

    weft_pair(fds);
    fill_connection(fds[0]);
    struct transfer writer = {.fd = fds[0], .size = 8, .result = 77};
    weft_task writing = start(write_once, &writer);
    settle();
    CHECK_EQ(writer.result, 77);
    close_with_reset(fds[1]);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(writer.result, -ECONNRESET);
    CHECK_EQ(weft_write(fds[0], "x", 1), -EPIPE);
    CHECK_EQ(weft_close(fds[0]), 0);
    return 0;
}

WEFT_TEST(tcp, 21_a_reset_ends_a_read_and_a_write_with_its_own_code)
{
    CHECK_EQ(run_virtual(reset_root, NULL), 0);
}

static int closing_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    char byte;
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_read(fds[1], &byte, 1), -ECONNRESET);
    CHECK_EQ(weft_close(fds[1]), 0);

    weft_pair(fds);
    fill_connection(fds[0]);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK(read_to_end(fds[1]) > 4096); /* all that was accepted, then the end */
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(tcp, 22_a_close_delivers_what_was_written_unless_told_to_reset)
{
    CHECK_EQ(run_virtual(closing_root, NULL), 0);
}

/* ---- 25, 27, 28: sizes ---- */

static int zero_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    char byte = 'z';
    size_t done = 77;
    for (int full = 0; full < 2; full++) {
        CHECK_EQ(weft_read(fds[0], &byte, 0), 0);
        CHECK_EQ(weft_write(fds[0], &byte, 0), 0);
        CHECK_EQ(weft_readv(fds[0], NULL, 0), 0);
        CHECK_EQ(weft_writev(fds[0], NULL, 0), 0);
        CHECK_EQ(weft_read_exactly(fds[0], &byte, 0, &done), 0);
        CHECK_EQ(done, 0);
        done = 77;
        CHECK_EQ(weft_write_all(fds[0], &byte, 0, &done), 0);
        CHECK_EQ(done, 0);
        CHECK_EQ(byte, 'z');
        if (full == 0) fill_connection(fds[0]);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 25_a_transfer_of_nothing_returns_at_once)
{
    CHECK_EQ(run_virtual(zero_root, NULL), 0);
}

static int vector_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    char first[] = "one";
    char second[] = "three";
    struct iovec parts[] = {{first, 3}, {NULL, 0}, {second, 5}};
    CHECK_EQ(weft_writev(fds[0], parts, 3), 8);
    char low[4] = "";
    char high[8] = "";
    struct iovec into[] = {{low, 3}, {NULL, 0}, {high, 7}};
    CHECK_EQ(weft_readv(fds[1], into, 3), 8);
    CHECK_STR(low, "one");
    CHECK_STR(high, "three");
    CHECK_EQ(weft_writev(fds[0], parts, -1), -EINVAL);
    CHECK_EQ(weft_readv(fds[1], into, -1), -EINVAL);

    static struct iovec many[IOV_MAX + 1];
    for (int i = 0; i <= IOV_MAX; i++) {
        many[i] = (struct iovec){first, 1};
    }
    CHECK_EQ(weft_writev(fds[0], many, IOV_MAX + 1), -EINVAL);
    CHECK_EQ(weft_readv(fds[1], many, IOV_MAX + 1), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], many, IOV_MAX), IOV_MAX);
    static char bytes[IOV_MAX];
    CHECK_EQ(weft_read_exactly(fds[1], bytes, IOV_MAX, NULL), 0);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 27_vectors_are_read_and_written_up_to_their_limit)
{
    CHECK_EQ(run_virtual(vector_root, NULL), 0);
}

static int peek_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    CHECK_EQ(weft_write(fds[0], "peek", 4), 4);
    char bytes[8] = "";
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    for (int i = 0; i < 3; i++) {
        memset(bytes, 0, sizeof bytes);
        CHECK_EQ(weft_recvmsg(fds[1], &message, MSG_PEEK), 4);
        CHECK_STR(bytes, "peek");
        CHECK_EQ(weft_wait_fd(fds[1], WEFT_READABLE), WEFT_READABLE);
    }
    CHECK_EQ(weft_read(fds[1], bytes, sizeof bytes), 4);
    CHECK_EQ(weft_recvmsg(fds[1], &message, MSG_PEEK | MSG_DONTWAIT), -EAGAIN);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 28_peek_leaves_the_data_and_the_readiness)
{
    CHECK_EQ(run_virtual(peek_root, NULL), 0);
}
