/* SPDX-License-Identifier: MIT */
/*
 * What many sleeping tasks cost: COUNT of them, each sleeps 1 to 1,000 ms once. Cold; ms of
 * processor time for all of them, from the first spawn to the last end.
 *
 * usage: sleepers [-n COUNT] [-w WARM_COUNT]
 */
#include <weft/weft.h>

#include "bench/bench.h"

#define LONGEST_MS 1000

WEFT_TASK(sleep_once, (int64_t, duration_ns))
{
    int64_t start_ns = weft_now();
    if (weft_sleep(duration_ns) < 0) return -1;
    BENCH_CHECK(weft_now() - start_ns >= duration_ns);
    return 0;
}

static int64_t round_of_sleeps(int64_t count, int64_t parameter)
{
    (void)parameter;
    struct weft_scope scope;
    int64_t start_ns = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < count; i++) {
        int64_t duration_ns = (1 + i % LONGEST_MS) * WEFT_MSEC;
        BENCH_CHECK(sleep_once_scope_spawn(&scope, NULL, duration_ns) == 0);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    return bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"sleepers", BENCH_MS, 100000, 0, -1, round_of_sleeps};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
