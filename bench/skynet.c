/* SPDX-License-Identifier: MIT */
/*
 * A tree of tasks, ten below each, that add up the numbers of its leaves over channels. Cold: the
 * first tree of the process; ms for COUNT leaves, a power of ten.
 *
 * usage: skynet [-n COUNT] [-w WARM_COUNT]
 */
#include <weft/weft.h>

#include "bench/bench.h"

#define BRANCHES 10

WEFT_CHAN_TYPE(sums, int64_t);

WEFT_TASK(skynet, (struct sums, out), (int64_t, first), (int64_t, size))
{
    if (size == 1) return sums_send(out, first);

    struct sums below;
    BENCH_CHECK(sums_open(&below, 0) == 0);
    for (int64_t i = 0; i < BRANCHES; i++) {
        int64_t part = size / BRANCHES;
        BENCH_CHECK(weft_go(skynet, below, first + i * part, part) == 0);
    }
    int64_t sum = 0;
    for (int64_t i = 0; i < BRANCHES; i++) {
        int64_t number = 0;
        BENCH_CHECK(sums_recv(below, &number) == 0);
        sum += number;
    }
    sums_unref(below);
    return sums_send(out, sum);
}

static int64_t round_of_leaves(int64_t count, int64_t parameter)
{
    (void)parameter;
    struct sums top;
    int64_t sum = 0;
    BENCH_CHECK(sums_open(&top, 0) == 0);

    int64_t start_ns = bench_ns();
    BENCH_CHECK(weft_go(skynet, top, 0, count) == 0);
    BENCH_CHECK(sums_recv(top, &sum) == 0);
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(sum == count * (count - 1) / 2);
    sums_unref(top);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"skynet", BENCH_MS, 1000000, 0, -1, round_of_leaves};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
