/* SPDX-License-Identifier: MIT */
/*
 * What passing an item on costs when four producers and four consumers share a channel. Warm; ns
 * per item.
 *
 * usage: crowd [-n COUNT] [-w WARM_COUNT] [CAPACITY]
 */
#include <weft/weft.h>

#include "bench/bench.h"

#define EACH 4 /* producers, and consumers */

WEFT_CHAN_TYPE(numbers, int64_t);

static int64_t producing;
static int64_t received;

WEFT_TASK(produce, (struct numbers, out), (int64_t, count))
{
    for (int64_t i = 0; i < count; i++) {
        if (numbers_send(out, i) < 0) return 1;
    }
    return bench_add(&producing, -1) == 0 ? numbers_close(out) : 0;
}

WEFT_TASK(consume, (struct numbers, in))
{
    int64_t number = 0;
    int64_t count = 0;
    while (numbers_recv(in, &number) == 0) {
        count++;
    }
    (void)bench_add(&received, count);
    return 0;
}

static int64_t round_of_items(int64_t count, int64_t capacity)
{
    struct numbers items;
    struct weft_scope scope;
    BENCH_CHECK(numbers_open(&items, (size_t)capacity) == 0);
    producing = EACH;
    received = 0;

    int64_t start_ns = bench_ns();
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < EACH; i++) {
        int64_t share = (count + i) / EACH;
        BENCH_CHECK(produce_scope_spawn(&scope, NULL, items, share) == 0);
        BENCH_CHECK(consume_scope_spawn(&scope, NULL, items) == 0);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(received == count);
    numbers_unref(items);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"crowd", BENCH_NS, 5000000, -1, 64, round_of_items};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
