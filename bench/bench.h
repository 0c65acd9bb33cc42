/* SPDX-License-Identifier: MIT */
/*
 * What all benchmarks share, ours and the peers': the clock, the arguments, the rounds, the line.
 *
 * A program does `count` operations and prints one line, `name unit value`. Unless its question is
 * a cold one it first does a whole round that is not measured, in the same process. With
 * BENCH_QUICK set it does a tenth, unless -n says how many.
 *
 * usage: NAME [-n COUNT] [-w WARM_COUNT] [PARAMETER]
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BENCH_NS_PER_SECOND INT64_C(1000000000)

/* Not an assert(): the work must be done in a release build too. */
#define BENCH_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum bench_unit {
    BENCH_NS, /* nanoseconds per operation */
    BENCH_MS, /* milliseconds for the whole round */
};

struct bench {
    const char *name;
    enum bench_unit unit;
    int64_t count;     /* operations in a round; -n */
    int64_t warm;      /* operations in the round before; 0: none; -1: as many as count; -w */
    int64_t parameter; /* a capacity or the like; -1: the program has none */
    int64_t (*round)(int64_t count, int64_t parameter); /* returns nanoseconds */
};

static inline int64_t bench_clock_ns(clockid_t clock)
{
    struct timespec time;
    BENCH_CHECK(clock_gettime(clock, &time) == 0);
    return time.tv_sec * BENCH_NS_PER_SECOND + time.tv_nsec;
}

/* Of the wall; with BENCH_CLOCK=cpu the process's own, for a machine that is busy otherwise. */
static inline int64_t bench_ns(void)
{
    const char *wish = getenv("BENCH_CLOCK");
    bool is_own = wish && strcmp(wish, "cpu") == 0;
    return bench_clock_ns(is_own ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC);
}

/* -1 is no number that anybody passes. */
static inline int64_t bench_number(const char *text)
{
    char *end = NULL;
    int64_t number = strtoll(text, &end, 10);
    return end == text || *end != '\0' ? -1 : number;
}

static inline void bench_print(const char *name, const char *unit, double value)
{
    printf("%s %s %.2f\n", name, unit, value);
}

static inline void bench_usage(const struct bench *bench)
{
    fprintf(stderr, "usage: %s [-n COUNT] [-w WARM_COUNT]", bench->name);
    fprintf(stderr, "%s\n", bench->parameter >= 0 ? " [PARAMETER]" : "");
    exit(2);
}

static bool bench_is_parallel; /* tasks may run on several threads; bench_parse() knows */

/* Adds to a counter that tasks share; returns the sum. Atomic only where it has to be. */
static inline int64_t bench_add(int64_t *counter, int64_t number)
{
    if (bench_is_parallel) return __atomic_add_fetch(counter, number, __ATOMIC_ACQ_REL);
    return *counter += number;
}

static inline bool bench_is_quick(void)
{
    const char *wish = getenv("BENCH_QUICK");
    return wish && *wish != '\0';
}

static inline void bench_parse(struct bench *bench, int argc, char **argv)
{
    int letter = 0;
    const char *workers = getenv("WEFT_WORKERS");
    bench_is_parallel = workers && *workers && strcmp(workers, "1") != 0;
    if (bench_is_quick() && bench->count >= 10) bench->count /= 10;
    while ((letter = getopt(argc, argv, "n:w:")) != -1) {
        if (letter == 'n') bench->count = bench_number(optarg);
        if (letter == 'w') bench->warm = bench_number(optarg);
        if (letter == '?' || bench->count < 1 || bench->warm < -1) bench_usage(bench);
    }
    if (optind < argc && bench->parameter >= 0) {
        bench->parameter = bench_number(argv[optind++]);
        if (bench->parameter < 0) bench_usage(bench);
    }
    if (optind < argc) bench_usage(bench);
}

/* What main() does, or the first task where there are tasks. Returns the exit status. */
static inline int bench_run(struct bench *bench, int argc, char **argv)
{
    bench_parse(bench, argc, argv);
    int64_t warm = bench->warm < 0 ? bench->count : bench->warm;
    if (warm > 0) (void)bench->round(warm, bench->parameter); /* only to warm up */
    int64_t elapsed = bench->round(bench->count, bench->parameter);

    char name[64];
    snprintf(name, sizeof name, "%s", bench->name);
    if (bench->parameter >= 0) {
        snprintf(name, sizeof name, "%s_%lld", bench->name, (long long)bench->parameter);
    }
    if (bench->unit == BENCH_NS) bench_print(name, "ns", (double)elapsed / (double)bench->count);
    if (bench->unit == BENCH_MS) bench_print(name, "ms", (double)elapsed / 1e6);
    return 0;
}

#endif
