/* SPDX-License-Identifier: MIT */
/*
 * What most backends ask of Linux in the same words: the clock, and an eventfd that ends a poll.
 */
#ifndef WEFT_BACKENDS_LINUX_H
#define WEFT_BACKENDS_LINUX_H

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC INT64_C(1000000000)

static inline int64_t linux_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* The descriptor to watch for wakes, or a negative errno. */
static inline int linux_wake_open(void)
{
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wake_fd < 0 ? -errno : wake_fd;
}

/* Any thread, any signal handler: errno stays. */
static inline void linux_wake(int wake_fd)
{
    int saved_errno = errno;
    (void)eventfd_write(wake_fd, 1); /* EAGAIN: a wake is pending, which is all we want */
    errno = saved_errno;
}

/* How many wakes there were does not matter, and a reader before us is no failure. */
static inline void linux_wake_drain(int wake_fd)
{
    eventfd_t wakes;
    (void)eventfd_read(wake_fd, &wakes);
}

#endif
