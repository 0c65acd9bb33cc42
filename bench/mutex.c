/* SPDX-License-Identifier: MIT */
/*
 * What locking, incrementing and unlocking costs when tasks share one mutex and one number. Warm;
 * ns per lock and unlock.
 *
 * usage: mutex [-n COUNT] [-w WARM_COUNT] [TASKS]
 */
#include <weft/weft.h>

#include "bench/bench.h"

/* What the tasks of a round share. */
struct shared {
    struct weft_mutex mutex;
    int64_t number;
    int64_t share; /* of each task */
};

static int increment(void *arg)
{
    struct shared *shared = arg;
    for (int64_t i = 0; i < shared->share; i++) {
        if (weft_mutex_lock(&shared->mutex) < 0) return 1;
        shared->number++;
        if (weft_mutex_unlock(&shared->mutex) < 0) return 1;
    }
    return 0;
}

static int64_t round_of_locks(int64_t count, int64_t tasks)
{
    struct shared shared = {.mutex = WEFT_MUTEX_INIT, .share = count / tasks};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    struct weft_scope scope;
    options.placement = WEFT_SPREAD; /* over all workers; so few are not worth a theft */

    int64_t start_ns = bench_ns();
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < tasks; i++) {
        BENCH_CHECK(weft_scope_spawn_with(&scope, NULL, &options, increment, &shared) == 0);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(shared.number == tasks * shared.share);
    BENCH_CHECK(weft_mutex_close(&shared.mutex) == 0);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"mutex", BENCH_NS, 5000000, -1, 8, round_of_locks};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
