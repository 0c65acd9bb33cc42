/* SPDX-License-Identifier: MIT */
/*
 * What passing an item on costs: one producer, one channel, one consumer. Warm; ns per item.
 *
 * usage: pipe [-n COUNT] [-w WARM_COUNT] [CAPACITY]
 */
#include <weft/weft.h>

#include "bench/bench.h"

WEFT_CHAN_TYPE(numbers, int64_t);

WEFT_TASK(produce, (struct numbers, out), (int64_t, count))
{
    for (int64_t i = 0; i < count; i++) {
        if (numbers_send(out, i) < 0) return 1;
    }
    return numbers_close(out);
}

static int64_t round_of_items(int64_t count, int64_t capacity)
{
    struct numbers items;
    BENCH_CHECK(numbers_open(&items, (size_t)capacity) == 0);
    BENCH_CHECK(weft_go(produce, items, count) == 0);

    int64_t start_ns = bench_ns();
    int64_t number = 0;
    int64_t sum = 0;
    while (numbers_recv(items, &number) == 0) {
        sum += number;
    }
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(sum == count * (count - 1) / 2);
    numbers_unref(items);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"pipe", BENCH_NS, 5000000, -1, 0, round_of_items};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
