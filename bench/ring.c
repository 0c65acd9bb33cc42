/* SPDX-License-Identifier: MIT */
/*
 * What a hop costs when a token goes round many tasks, each of which sleeps until it comes: with
 * 100,000 of them mostly what the memory costs that each hop touches. Warm; ns per hop.
 *
 * usage: ring [-n COUNT] [-w WARM_COUNT] [TASKS]
 */
#include <weft/weft.h>

#include "bench/bench.h"

WEFT_CHAN_TYPE(tokens, int64_t);

/* Passes the token on, one hop less to go; whoever gets the 0 reports the end. */
WEFT_TASK(pass_on, (struct tokens, in), (struct tokens, out), (struct tokens, end))
{
    int64_t hops = 0;
    while (tokens_recv(in, &hops) == 0) {
        struct tokens next = hops > 0 ? out : end;
        if (tokens_send(next, hops - 1) < 0) return 1;
    }
    return 0;
}

static int64_t round_of_hops(int64_t count, int64_t tasks)
{
    struct tokens end;
    struct weft_scope scope;
    struct tokens *links = calloc((size_t)tasks, sizeof *links);
    BENCH_CHECK(tasks > 0 && links && tokens_open(&end, 1) == 0);
    for (int64_t i = 0; i < tasks; i++) {
        BENCH_CHECK(tokens_open(&links[i], 0) == 0);
    }
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < tasks; i++) {
        struct tokens out = links[(i + 1) % tasks];
        BENCH_CHECK(pass_on_scope_spawn(&scope, NULL, links[i], out, end) == 0);
    }
    int64_t hops = 0;
    BENCH_CHECK(tokens_send(links[0], tasks - 1) == 0); /* a lap until all of them wait */
    BENCH_CHECK(tokens_recv(end, &hops) == 0 && hops == -1);

    int64_t start_ns = bench_ns();
    BENCH_CHECK(tokens_send(links[0], count - 1) == 0);
    BENCH_CHECK(tokens_recv(end, &hops) == 0 && hops == -1);
    int64_t elapsed_ns = bench_ns() - start_ns;

    for (int64_t i = 0; i < tasks; i++) {
        tokens_close(links[i]);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    for (int64_t i = 0; i < tasks; i++) {
        tokens_unref(links[i]);
    }
    tokens_unref(end);
    free(links);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"ring", BENCH_NS, 2000000, -1, 1000, round_of_hops};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
