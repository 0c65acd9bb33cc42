/* SPDX-License-Identifier: MIT */
/*
 * What going to sleep and waking up costs without the system's share: meant for WEFT_CLOCK=virtual,
 * with which no time passes. One task; warm; ns per sleep.
 *
 * usage: sleep [-n COUNT] [-w WARM_COUNT]
 */
#include <weft/weft.h>

#include "bench/bench.h"

static int64_t round_of_sleeps(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(weft_sleep(WEFT_MSEC) == 0);
    }
    return bench_ns() - start_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"sleep", BENCH_NS, 1000000, -1, -1, round_of_sleeps};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
