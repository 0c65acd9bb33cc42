/* SPDX-License-Identifier: MIT */
/*
 * What most backends ask of Linux in the same words: the clock, an eventfd that ends a poll, and
 * how late an alarm may be.
 */
#ifndef WEFT_BACKENDS_LINUX_H
#define WEFT_BACKENDS_LINUX_H

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC INT64_C(1000000000)

static inline int64_t linux_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* How late the kernel may end a wait of this thread: 50 us unless prctl(PR_SET_TIMERSLACK) said
 * otherwise. */
static inline int64_t linux_slack_ns(void)
{
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    return slack_ns > 0 ? slack_ns : 0;
}

/*
 * What to set a timerfd to, which knows no slack, when it shall ring at `deadline_ns`: not sooner
 * than the thread's slack from now. So deadlines that lie close together share one alarm; and it
 * rings while we sleep, not while we go to sleep, which costs an interrupt more.
 */
static inline int64_t linux_alarm_ns(int64_t deadline_ns, int64_t now_ns, int64_t slack_ns)
{
    int64_t soonest_ns = now_ns + slack_ns;
    return deadline_ns > soonest_ns ? deadline_ns : soonest_ns;
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
