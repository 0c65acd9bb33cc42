/* SPDX-License-Identifier: MIT */
/* What a switch by weft_yield() costs: two tasks that do nothing else. Warm; ns per switch. */
#include <weft/weft.h>

#include "bench/bench.h"

WEFT_TASK(yield_times, (int64_t, times))
{
    for (int64_t i = 0; i < times; i++) {
        if (weft_yield() < 0) return 1;
    }
    return 0;
}

static int64_t round_of_yields(int64_t count, int64_t parameter)
{
    (void)parameter;
    weft_task other;
    int result = 1;
    BENCH_CHECK(yield_times_spawn(&other, count / 2) == 0);

    int64_t start_ns = bench_ns();
    BENCH_CHECK(yield_times(count - count / 2) == 0);
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(weft_join(other, &result) == 0 && result == 0);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"yield", BENCH_NS, 5000000, -1, -1, round_of_yields};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
