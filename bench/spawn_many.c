/* SPDX-License-Identifier: MIT */
/*
 * What each of many tasks costs that are all spawned before the first one runs, and then waited
 * for together. Warm; ns per task.
 *
 * usage: spawn_many [-n COUNT] [-w WARM_COUNT] [0: in a scope, 1: detached]
 */
#include <weft/weft.h>

#include "bench/bench.h"

static int64_t running;

static int count_down(void *arg)
{
    struct weft_chan *done = arg;
    if (bench_add(&running, -1) == 0) return weft_chan_close(done);
    return 0;
}

static int64_t round_in_scope(int64_t count)
{
    running = count + 1; /* never 0: the scope knows when all have ended */
    int64_t start_ns = bench_ns();
    struct weft_scope scope;
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(weft_scope_spawn(&scope, NULL, count_down, NULL) == 0);
    }
    BENCH_CHECK(bench_is_parallel || running == count + 1);
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    BENCH_CHECK(running == 1);
    return bench_ns() - start_ns;
}

static int64_t round_of_detached(int64_t count)
{
    struct weft_chan *done;
    BENCH_CHECK(weft_chan_open(&done, 0, 0) == 0);
    running = count;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(weft_spawn(NULL, count_down, done) == 0);
    }
    BENCH_CHECK(bench_is_parallel || running == count);
    BENCH_CHECK(weft_chan_recv(done, NULL) < 0); /* closed */
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(running == 0);
    weft_chan_unref(done);
    return elapsed_ns;
}

static int64_t round_of_spawns(int64_t count, int64_t is_detached)
{
    return is_detached ? round_of_detached(count) : round_in_scope(count);
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"spawn_many", BENCH_NS, 1000000, -1, 0, round_of_spawns};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
