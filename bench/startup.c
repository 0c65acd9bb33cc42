/* SPDX-License-Identifier: MIT */
/*
 * A program that starts, runs one task to its end, and ends: bench/machine/launch.c takes its time.
 *
 * usage: startup
 */
#include <weft/weft.h>

#include "bench/bench.h"

static int empty(void *arg)
{
    (void)arg;
    return 7;
}

static int app_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    weft_task task;
    int result = 0;
    BENCH_CHECK(weft_spawn(&task, empty, NULL) == 0);
    BENCH_CHECK(weft_join(task, &result) == 0 && result == 7);
    return 0;
}

WEFT_MAIN(app_main);
