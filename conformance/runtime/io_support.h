/* SPDX-License-Identifier: MIT */
/*
 * What the tests of time, descriptors, TCP and limits share: running a root task on either clock,
 * starting and joining tasks, threads that act a little later, counters.
 *
 * Nothing here blocks the worker unless its name says so.
 */
#ifndef WEFT_CONFORMANCE_IO_SUPPORT_H
#define WEFT_CONFORMANCE_IO_SUPPORT_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <weft/weft.h>

#include "conformance/harness.h"

/* On the virtual clock, whatever the environment says. */
static inline int run_virtual(weft_fn root, void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK;
    return weft_run(&config, root, arg);
}

/* On the real clock, whatever the environment says. */
static inline int run_real(weft_fn root, void *arg)
{
    unsetenv("WEFT_CLOCK");
    return weft_run(NULL, root, arg);
}

static inline weft_task start(weft_fn fn, void *arg)
{
    weft_task task = {0, NULL};
    CHECK_EQ(weft_spawn(&task, fn, arg), 0);
    return task;
}

/* Joins and gives the task's result. */
static inline int finish(weft_task task)
{
    int result = INT32_MIN;
    CHECK_EQ(weft_join(task, &result), 0);
    return result;
}

/* Lets everything that is ready run, and every task that was started block. */
static inline void settle(void)
{
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(weft_yield(), 0);
    }
}

static inline struct weft_stats stats_now(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    return stats;
}

/* Computes: holds the worker, uses the CPU. */
static inline void hog_ns(int64_t duration_ns)
{
    int64_t end = harness_now_ns() + duration_ns;
    while (harness_now_ns() < end) {
    }
}

static inline void put_byte(int fd, char byte)
{
    CHECK_EQ(write(fd, &byte, 1), 1);
}

/* -1: nothing there, or the end. */
static inline int take_byte(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1 ? (unsigned char)byte : -1;
}

static inline void close_both(const int fds[2])
{
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

/* A thread that writes a byte after a while. */
struct later {
    pthread_t thread;
    int fd;
    int delay_ms;
    char byte;
};

static inline void *later_main(void *arg)
{
    struct later *later = arg;
    harness_sleep_ms(later->delay_ms);
    put_byte(later->fd, later->byte);
    return NULL;
}

static inline void later_start(struct later *later, int fd, int delay_ms, char byte)
{
    *later = (struct later){.fd = fd, .delay_ms = delay_ms, .byte = byte};
    CHECK_EQ(pthread_create(&later->thread, NULL, later_main, later), 0);
}

/* Blocks the thread until the byte is written. */
static inline void later_join(const struct later *later)
{
    CHECK_EQ(pthread_join(later->thread, NULL), 0);
}

/* One wait for a descriptor, by a task. */
struct waiter {
    int fd;
    int events;
    int result;
    int wakes;
};

static inline int wait_once(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = weft_wait_fd(waiter->fd, waiter->events);
    waiter->wakes++;
    return 0;
}

/* One read or one write, by a task. */
struct transfer {
    int fd;
    size_t size;
    ssize_t result;
    char buffer[64];
};

static inline int read_once(void *arg)
{
    struct transfer *transfer = arg;
    transfer->result = weft_read(transfer->fd, transfer->buffer, transfer->size);
    return 0;
}

static inline int write_once(void *arg)
{
    struct transfer *transfer = arg;
    transfer->result = weft_write(transfer->fd, transfer->buffer, transfer->size);
    return 0;
}

/* What weft_wait_fd() gives within that time. */
static inline int wait_for(int fd, int events, int64_t duration_ns)
{
    int result = 0;
    weft_with_timeout(duration_ns) {
        result = weft_wait_fd(fd, events);
    }
    return result;
}

/* The worker sleeps for that long: few polls, next to no CPU time. */
static inline void check_idle(int milliseconds)
{
    uint64_t polls = stats_now().polls;
    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK_EQ(weft_sleep(milliseconds * WEFT_MSEC), 0);
    int64_t cpu_max_ns = harness_pace() * milliseconds * WEFT_MSEC / 10;
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, cpu_max_ns);
    CHECK_WITHIN(stats_now().polls - polls, 1, 6);
}

/* Fills a TCP connection until nothing moves any more, in the peer's buffers either. */
static inline void fill_connection(int fd)
{
    for (int i = 0; i < 5; i++) {
        harness_fill(fd);
        harness_sleep_ms(2);
    }
    harness_fill(fd);
}

/* Closes so that the peer gets a reset. */
static inline void close_with_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_EQ(close(fd), 0);
}

#endif
