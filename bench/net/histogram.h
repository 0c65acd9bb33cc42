/* SPDX-License-Identifier: MIT */
/*
 * Latencies, counted in 64 steps per power of two, so that each is right to 2 % and no sample is
 * kept.
 */
#ifndef BENCH_NET_HISTOGRAM_H
#define BENCH_NET_HISTOGRAM_H

#include "bench/bench.h"

enum {
    STEP_BITS = 6, /* 64 steps per power of two */
    STEPS = 1 << STEP_BITS,
    BUCKETS = 64 * STEPS,
};

struct histogram {
    int64_t count;
    uint64_t buckets[BUCKETS];
};

static inline void histogram_add(struct histogram *histogram, int64_t latency_ns)
{
    uint64_t value = latency_ns < STEPS ? STEPS : (uint64_t)latency_ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
    histogram->buckets[(size_t)shift * STEPS + (size_t)(value >> shift) - STEPS]++;
    histogram->count++;
}

static inline double histogram_us(const struct histogram *histogram, double quantile)
{
    double wanted = quantile * (double)histogram->count;
    double seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += (double)histogram->buckets[i];
        if (seen > 0 && seen >= wanted) {
            return (double)((uint64_t)(i % STEPS + STEPS) << (i / STEPS)) / 1000.0;
        }
    }
    return 0;
}

static inline void histogram_print(const struct histogram *histogram)
{
    bench_print("p50", "us", histogram_us(histogram, 0.50));
    bench_print("p90", "us", histogram_us(histogram, 0.90));
    bench_print("p99", "us", histogram_us(histogram, 0.99));
    bench_print("p999", "us", histogram_us(histogram, 0.999));
    bench_print("p9999", "us", histogram_us(histogram, 0.9999));
    bench_print("most", "us", histogram_us(histogram, 1.0));
}

#endif
