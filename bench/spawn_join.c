/* SPDX-License-Identifier: MIT */
/* What an empty task costs that is spawned and joined, one at a time. Warm; ns per task. */
#include <weft/weft.h>

#include "bench/bench.h"

static int empty(void *arg)
{
    (void)arg;
    return 7;
}

static int64_t round_of_joins(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        weft_task task;
        int result = 0;
        BENCH_CHECK(weft_spawn(&task, empty, NULL) == 0);
        BENCH_CHECK(weft_join(task, &result) == 0 && result == 7);
    }
    return bench_ns() - start_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"spawn_join", BENCH_NS, 2000000, -1, -1, round_of_joins};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
