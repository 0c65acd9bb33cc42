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
    for (int i = 0; i < 4; i++) {
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

#endif
