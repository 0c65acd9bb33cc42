/* SPDX-License-Identifier: MIT */
/*
 * What the system itself needs, as a floor for some questions: a process that does nothing, an
 * eventfd that wakes epoll_wait(), and a time-out of epoll_pwait2().
 *
 * usage: bare startup | wake [-n COUNT] | lateness [-n COUNT]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "bench/latency.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static int event_fd;
static _Atomic int64_t *sent_ns; /* of each wake-up: the next may come before one is seen */
static size_t wake_count;

static void *wake_up(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < wake_count; i++) {
        latency_pause();
        atomic_store(&sent_ns[i], bench_clock_ns(CLOCK_MONOTONIC));
        BENCH_CHECK(eventfd_write(event_fd, 1) == 0);
    }
    return NULL;
}

static void wake(int64_t *latencies_ns, size_t count)
{
    pthread_t thread;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    sent_ns = calloc(count, sizeof *sent_ns);
    BENCH_CHECK(epoll_fd >= 0 && event_fd >= 0 && sent_ns);
    BENCH_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) == 0);
    wake_count = count;
    BENCH_CHECK(pthread_create(&thread, NULL, wake_up, NULL) == 0);
    for (size_t i = 0; i < count; i++) {
        eventfd_t value = 0;
        BENCH_CHECK(epoll_wait(epoll_fd, &event, 1, -1) == 1);
        BENCH_CHECK(eventfd_read(event_fd, &value) == 0);
        latencies_ns[i] = bench_clock_ns(CLOCK_MONOTONIC) - atomic_load(&sent_ns[i]);
    }
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    latency_print("wake", latencies_ns, count);
    free(sent_ns);
    close(event_fd);
    close(epoll_fd);
}

static void lateness(int64_t *latencies_ns, size_t count)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    BENCH_CHECK(epoll_fd >= 0);
    for (size_t i = 0; i < count; i++) {
        struct timespec timeout = {0, (long)latency_duration_ns(i)};
        struct epoll_event event;
        int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
        long found = syscall(SYS_epoll_pwait2, epoll_fd, &event, 1, &timeout, NULL, 0);
        BENCH_CHECK(found == 0);
        latencies_ns[i] = bench_clock_ns(CLOCK_MONOTONIC) - start_ns - latency_duration_ns(i);
    }
    latency_print("lateness", latencies_ns, count);
    close(epoll_fd);
}

int main(int argc, char **argv)
{
    const char *question = argc > 1 ? argv[1] : "";
    if (strcmp(question, "startup") == 0) return 0;
    bool is_wake = strcmp(question, "wake") == 0;
    if (!is_wake && strcmp(question, "lateness") != 0) {
        fprintf(stderr, "%s: no such question\n", question);
        return 2;
    }
    size_t count = latency_count(argc - 1, argv + 1, is_wake ? WAKES : SLEEPS);
    int64_t *latencies_ns = calloc(count, sizeof *latencies_ns);
    BENCH_CHECK(latencies_ns);
    if (is_wake) wake(latencies_ns, count);
    if (!is_wake) lateness(latencies_ns, count);
    free(latencies_ns);
    return 0;
}
