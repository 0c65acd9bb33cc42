/* SPDX-License-Identifier: MIT */
/*
 * How late a sleeper wakes on an idle loop: random durations of 1 to 20 ms, one after the other.
 * Prints quantiles in microseconds; below 0 is early.
 *
 * usage: lateness [-n COUNT]
 */
#include <weft/weft.h>

#include "bench/latency.h"

static int app_main(int argc, char **argv)
{
    size_t count = latency_count(argc, argv, SLEEPS);
    int64_t *lateness_ns = calloc(count, sizeof *lateness_ns);
    BENCH_CHECK(lateness_ns);
    for (size_t i = 0; i < count; i++) {
        int64_t start_ns = weft_now();
        BENCH_CHECK(weft_sleep(latency_duration_ns(i)) == 0);
        lateness_ns[i] = weft_now() - start_ns - latency_duration_ns(i);
    }
    latency_print("lateness", lateness_ns, count);
    free(lateness_ns);
    return 0;
}

WEFT_MAIN(app_main);
