/* SPDX-License-Identifier: MIT */
/*
 * What opening and closing a scope costs that nothing happens in, as around one read: with a
 * time-out that is never reached, or without. Warm; ns per scope.
 *
 * usage: scope [-n COUNT] [-w WARM_COUNT] [0: without, 1: with a time-out]
 */
#include <weft/weft.h>

#include "bench/bench.h"

static int64_t round_of_scopes(int64_t count, int64_t has_timeout)
{
    int64_t duration_ns = has_timeout ? 30 * WEFT_SEC : WEFT_FOREVER;
    int64_t entered = 0;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        weft_with_timeout(duration_ns) {
            entered++;
        }
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(entered == count);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"scope", BENCH_NS, 2000000, -1, 1, round_of_scopes};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
