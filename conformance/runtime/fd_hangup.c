/* SPDX-License-Identifier: MIT */
/*
 * FD-12, 15 to 21, 45: ends, hang-ups and resets of pipes, sockets, terminals and FIFOs.
 *
 * The kernel reports many of them as HUP or ERR alone, without IN or OUT.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "conformance/runtime/io_support.h"

/* ---- 12: terminals ---- */

static int terminal_open(int *ret_slave)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_OR_RETURN(master >= 0, -1);
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    char name[64];
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    *ret_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(*ret_slave >= 0);
    return master;
}

static int terminal_root(void *arg)
{
    (void)arg;
    int slave = -1;
    int master = terminal_open(&slave);
    CHECK_OR_RETURN(master >= 0, 1);
    int flags = fcntl(master, F_GETFL);
    struct transfer transfer = {.fd = master, .size = sizeof transfer.buffer};
    weft_task reader = start(read_once, &transfer);
    settle();
    put_byte(slave, 't');
    CHECK_EQ(finish(reader), 0);
    CHECK_EQ(transfer.result, 1);
    CHECK_EQ(transfer.buffer[0], 't');

    reader = start(read_once, &transfer);
    settle();
    CHECK_EQ(close(slave), 0);
    CHECK_EQ(finish(reader), 0);
    CHECK(transfer.result == -EIO || transfer.result == 0);
    CHECK_EQ(fcntl(master, F_GETFL), flags);
    CHECK_EQ(weft_close(master), 0);
    return 0;
}

WEFT_TEST(fd, 12_a_terminal_reports_data_and_the_end_of_the_other_side)
{
    CHECK_EQ(run_virtual(terminal_root, NULL), 0);
}

/* ---- 15, 16, 17: pipes ---- */

static int writer_gone_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_pipe(fds);
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    struct transfer transfer = {.fd = fds[0], .size = 8, .result = 77};
    weft_task waiting = start(wait_once, &waiter);
    weft_task reading = start(read_once, &transfer);
    settle();

    CHECK_EQ(close(fds[1]), 0);

    CHECK_EQ(finish(waiting), 0);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(transfer.result, 0);
    CHECK_EQ(weft_read(fds[0], transfer.buffer, 8), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    return 0;
}

WEFT_TEST(fd, 15_the_end_of_the_last_writer_wakes_the_reader)
{
    CHECK_EQ(run_virtual(writer_gone_root, NULL), 0);
}

static int reader_gone_root(void *arg)
{
    (void)arg;
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR); /* it would end the process */
    int fds[2];
    harness_pipe(fds);
    harness_fill(fds[1]);
    struct transfer transfer = {.fd = fds[1], .size = 8, .result = 77};
    weft_task writing = start(write_once, &transfer);
    settle();
    CHECK_EQ(transfer.result, 77);

    CHECK_EQ(close(fds[0]), 0);

    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(transfer.result, -EPIPE);
    CHECK_EQ(weft_write(fds[1], "x", 1), -EPIPE);
    size_t done = 77;
    CHECK_EQ(weft_write_all(fds[1], "xyz", 3, &done), -EPIPE);
    CHECK_EQ(done, 0);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(fd, 16_the_end_of_the_reader_wakes_the_writer_without_a_signal)
{
    CHECK_EQ(run_virtual(reader_gone_root, NULL), 0);
}

static int full_pipe_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_pipe(fds);
    harness_fill(fds[1]);
    struct waiter waiter = {.fd = fds[1], .events = WEFT_WRITABLE};
    weft_task waiting = start(wait_once, &waiter);
    settle();
    CHECK_EQ(waiter.wakes, 0);

    CHECK_EQ(close(fds[0]), 0);

    CHECK_EQ(finish(waiting), 0);
    CHECK_EQ(waiter.result, WEFT_WRITABLE);
    CHECK_EQ(weft_wait_fd(fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
    CHECK_EQ(weft_write(fds[1], "x", 1), -EPIPE);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(fd, 17_an_error_alone_wakes_who_waits_for_space)
{
    CHECK_EQ(run_virtual(full_pipe_root, NULL), 0);
}

/* ---- 18, 19, 20: sockets ---- */

static int reset_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_tcp_pair(fds);
    fill_connection(fds[0]);
    struct waiter reader = {.fd = fds[0], .events = WEFT_READABLE};
    struct waiter writer = {.fd = fds[0], .events = WEFT_WRITABLE};
    weft_task reading = start(wait_once, &reader);
    weft_task writing = start(wait_once, &writer);
    settle();
    CHECK_EQ(stats_now().waiting_fd, 2);

    close_with_reset(fds[1]);

    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(finish(writing), 0);
    CHECK_EQ(reader.result, WEFT_READABLE);
    CHECK_EQ(writer.result, WEFT_WRITABLE);
    char byte = 'r';
    CHECK_EQ(weft_read(fds[0], &byte, 1), -ECONNRESET);
    CHECK_EQ(weft_read(fds[0], &byte, 1), 0);
    CHECK_EQ(weft_write(fds[0], &byte, 1), -EPIPE);
    CHECK_EQ(weft_close(fds[0]), 0);
    return 0;
}

WEFT_TEST(fd, 18_a_reset_wakes_both_directions_and_is_reported_once)
{
    CHECK_EQ(run_virtual(reset_root, NULL), 0);
}

static int half_closed_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_tcp_pair(fds);
    struct transfer transfer = {.fd = fds[0], .size = 8, .result = 77};
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task waiting = start(wait_once, &waiter);
    weft_task reading = start(read_once, &transfer);
    settle();

    CHECK_EQ(weft_shutdown(fds[1], SHUT_WR), 0);

    CHECK_EQ(finish(waiting), 0);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(transfer.result, 0);
    CHECK_EQ(weft_write(fds[0], "back", 4), 4);
    CHECK_EQ(weft_read(fds[1], transfer.buffer, 8), 4);
    close_both(fds);
    return 0;
}

WEFT_TEST(fd, 19_the_end_of_one_direction_leaves_the_other_one_open)
{
    CHECK_EQ(run_virtual(half_closed_root, NULL), 0);
}

static int full_and_half_closed_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_tcp_pair(fds);
    fill_connection(fds[0]);
    struct waiter waiter = {.fd = fds[0], .events = WEFT_WRITABLE};
    weft_task waiting = start(wait_once, &waiter);
    settle();
    CHECK_EQ(weft_shutdown(fds[1], SHUT_WR), 0);

    check_idle(100);
    CHECK_EQ(waiter.wakes, 0);

    for (int i = 0; i < 200 && waiter.wakes == 0; i++) {
        harness_drain(fds[1]);
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    CHECK_EQ(waiter.wakes, 1);
    CHECK_EQ(finish(waiting), 0);
    CHECK_EQ(waiter.result, WEFT_WRITABLE);
    close_both(fds);
    return 0;
}

WEFT_TEST(fd, 20_a_half_closed_peer_does_not_wake_who_waits_for_space)
{
    CHECK_EQ(run_real(full_and_half_closed_root, NULL), 0);
}

/* ---- 21: nobody waits ---- */

static int unattended_root(void *arg)
{
    (void)arg;
    int pipe_fds[2];
    harness_pipe(pipe_fds);
    CHECK_EQ(wait_for(pipe_fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(close(pipe_fds[1]), 0);
    check_idle(100);

    int full_fds[2];
    harness_pipe(full_fds);
    harness_fill(full_fds[1]);
    CHECK_EQ(wait_for(full_fds[1], WEFT_WRITABLE, WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(close(full_fds[0]), 0);
    check_idle(100);

    int reset_fds[2];
    harness_tcp_pair(reset_fds);
    CHECK_EQ(wait_for(reset_fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    close_with_reset(reset_fds[1]);
    check_idle(100);

    CHECK_EQ(weft_wait_fd(pipe_fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_wait_fd(full_fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
    CHECK_EQ(weft_wait_fd(reset_fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_close(pipe_fds[0]), 0);
    CHECK_EQ(weft_close(full_fds[1]), 0);
    CHECK_EQ(weft_close(reset_fds[0]), 0);
    return 0;
}

WEFT_TEST(fd, 21_a_hang_up_that_nobody_waits_for_burns_no_time)
{
    CHECK_EQ(run_real(unattended_root, NULL), 0);
}

/* ---- 45: FIFOs ---- */

static void fifo_make(char *path, size_t size)
{
    char folder[] = P_tmpdir "/weft-fifo-XXXXXX"; /* not here: a test that is killed leaves it */
    CHECK(mkdtemp(folder));
    (void)snprintf(path, size, "%s/fifo", folder);
    CHECK_EQ(mkfifo(path, 0600), 0);
}

static void fifo_remove(char *path)
{
    CHECK_EQ(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    CHECK_EQ(rmdir(path), 0);
}

static void write_to_fifo(const char *path, char byte)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, );
    put_byte(fd, byte);
    CHECK_EQ(close(fd), 0);
}

static int fifo_root(void *arg)
{
    const char *path = arg;
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, 1);
    for (char byte = 'a'; byte < 'd'; byte++) {
        struct transfer transfer = {.fd = fd, .size = 8, .result = 77};
        weft_task reading = start(read_once, &transfer);
        check_idle(60);
        CHECK_EQ(transfer.result, 77);
        write_to_fifo(path, byte);
        CHECK_EQ(finish(reading), 0);
        CHECK_EQ(transfer.result, 1);
        CHECK_EQ(transfer.buffer[0], byte);
    }
    CHECK_EQ(weft_close(fd), 0);

    /* Without any writer there is nothing to read and nothing to spin on; the end of the first
     * one is the end of the file. */
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, 1);
    CHECK_EQ(wait_for(fd, WEFT_READABLE, 20 * WEFT_MSEC), -ETIMEDOUT);
    check_idle(60);
    write_to_fifo(path, 'z');
    char buffer[8];
    CHECK_EQ(weft_read(fd, buffer, 8), 1);
    CHECK_EQ(weft_read(fd, buffer, 8), 0);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

WEFT_TEST(fd, 45_a_fifo_open_both_ways_outlives_its_writers)
{
    char path[64];
    fifo_make(path, sizeof path);

    CHECK_EQ(run_real(fifo_root, path), 0);
    fifo_remove(path);
}
