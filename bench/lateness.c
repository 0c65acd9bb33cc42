/* SPDX-License-Identifier: MIT */
/*
 * How late a sleeper wakes on an idle loop: random durations of 1 to 20 ms, one after the other.
 * Prints the earliest, the median and the 99th percentile in microseconds; below 0 is early.
 *
 * usage: lateness [-n COUNT] [bare]      bare: the same by epoll_pwait2(2), without weft
 */
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <weft/weft.h>

#include "bench/bench.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { COUNT_DEFAULT = 500, SPREAD_NS = 19000000, LEAST_NS = 1000000 };

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void report(const char *name, int64_t *lateness_ns, size_t count)
{
    qsort(lateness_ns, count, sizeof *lateness_ns, by_size);
    printf("%s earliest %.1f p50 %.1f p99 %.1f\n",
           name,
           (double)lateness_ns[0] / 1e3,
           (double)lateness_ns[count / 2] / 1e3,
           (double)lateness_ns[count * 99 / 100] / 1e3);
}

/* The same series for everybody. */
static int64_t duration_ns(size_t index)
{
    uint64_t state = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    state ^= state >> 29;
    return LEAST_NS + (int64_t)(state % SPREAD_NS);
}

static int bare(int64_t *lateness_ns, size_t count)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    BENCH_CHECK(epoll_fd >= 0);
    for (size_t i = 0; i < count; i++) {
        int64_t wanted_ns = duration_ns(i);
        struct timespec timeout = {0, (long)wanted_ns};
        struct epoll_event event;
        int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
        long found = syscall(SYS_epoll_pwait2, epoll_fd, &event, 1, &timeout, NULL, 0);
        BENCH_CHECK(found == 0);
        lateness_ns[i] = bench_clock_ns(CLOCK_MONOTONIC) - start_ns - wanted_ns;
    }
    close(epoll_fd);
    report("bare", lateness_ns, count);
    return 0;
}

static int app_main(int argc, char **argv)
{
    size_t count = COUNT_DEFAULT;
    if (argc > 2 && strcmp(argv[1], "-n") == 0) count = strtoul(argv[2], NULL, 10);
    int64_t *lateness_ns = calloc(count, sizeof *lateness_ns);
    BENCH_CHECK(lateness_ns && count > 0);
    if (argc > 1 && strcmp(argv[argc - 1], "bare") == 0) return bare(lateness_ns, count);

    for (size_t i = 0; i < count; i++) {
        int64_t start_ns = weft_now();
        BENCH_CHECK(weft_sleep(duration_ns(i)) == 0);
        lateness_ns[i] = weft_now() - start_ns - duration_ns(i);
    }
    report("weft", lateness_ns, count);
    free(lateness_ns);
    return 0;
}

WEFT_MAIN(app_main);
