/* SPDX-License-Identifier: MIT */
/*
 * What receiving from any of several channels costs: a producer for each, one consumer that
 * selects over all. Warm; ns per item.
 *
 * usage: select [-n COUNT] [-w WARM_COUNT] [CHANNELS]
 */
#include <weft/weft.h>

#include "bench/bench.h"

#define MOST 1024

WEFT_CHAN_TYPE(numbers, int64_t);

WEFT_TASK(produce, (struct numbers, out), (int64_t, count))
{
    for (int64_t i = 0; i < count; i++) {
        if (numbers_send(out, i) < 0) return 1;
    }
    return 0;
}

static int64_t round_of_selects(int64_t count, int64_t width)
{
    static struct numbers channels[MOST];
    static struct weft_case cases[MOST];
    BENCH_CHECK(width > 0 && width <= MOST);
    int64_t number = 0;
    for (int64_t i = 0; i < width; i++) {
        int64_t share = (count + i) / width;
        BENCH_CHECK(numbers_open(&channels[i], 0) == 0);
        BENCH_CHECK(weft_go(produce, channels[i], share) == 0);
        cases[i] = numbers_on_recv(channels[i], &number);
    }

    int64_t start_ns = bench_ns();
    int64_t wins = 0;
    for (int64_t i = 0; i < count; i++) {
        wins += weft_select_from(cases, (size_t)width, 0) >= 0;
    }
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(wins == count);
    for (int64_t i = 0; i < width; i++) {
        BENCH_CHECK(numbers_try_recv(channels[i], &number) < 0);
        numbers_unref(channels[i]);
    }
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"select", BENCH_NS, 1000000, -1, 2, round_of_selects};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
