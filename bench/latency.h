/* SPDX-License-Identifier: MIT */
/*
 * What the programs share that answer with a distribution: how many samples, how long to sleep, and
 * the quantiles that are printed.
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include "bench/bench.h"

enum {
    SLEEPS = 200,
    WAKES = 2000,
    LEAST_NS = 1000000, /* of a sleep */
    SPREAD_NS = 19000000,
    PAUSE_NS = 200000, /* before a wake-up: the other side is asleep by then */
};

static inline size_t latency_count(int argc, char **argv, size_t usual)
{
    if (argc > 2 && strcmp(argv[1], "-n") == 0) usual = (size_t)bench_number(argv[2]);
    BENCH_CHECK(usual > 0 && usual < 100000000);
    return bench_is_quick() && argc <= 2 ? usual / 4 : usual;
}

/* The same series for everybody. */
static inline int64_t latency_duration_ns(size_t index)
{
    uint64_t state = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    state ^= state >> 29;
    return LEAST_NS + (int64_t)(state % SPREAD_NS);
}

static inline void latency_pause(void)
{
    struct timespec pause = {0, PAUSE_NS};
    BENCH_CHECK(nanosleep(&pause, NULL) == 0);
}

static inline int latency_by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Sorts them. */
static inline void latency_print(const char *name, int64_t *latencies_ns, size_t count)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"earliest", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    qsort(latencies_ns, count, sizeof *latencies_ns, latency_by_size);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s_%s", name, quantiles[i].name);
        size_t index = (size_t)((double)count * quantiles[i].part);
        bench_print(line, "us", (double)latencies_ns[index] / 1e3);
    }
}

#endif
