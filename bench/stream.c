/* SPDX-License-Identifier: MIT */
/*
 * What an item costs that a plain thread sends to a task over a shared channel, as fast as both
 * can. Warm; ns per item.
 *
 * usage: stream [-n COUNT] [-w WARM_COUNT] [CAPACITY]
 */
#include <pthread.h>

#include <weft/weft.h>

#include "bench/bench.h"

struct source {
    struct weft_chan *out;
    int64_t count;
};

static void *send_all(void *arg)
{
    struct source *source = arg;
    for (int64_t i = 0; i < source->count; i++) {
        BENCH_CHECK(weft_chan_send(source->out, &i) == 0);
    }
    return NULL;
}

static int64_t round_of_items(int64_t count, int64_t capacity)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int64_t);
    options.capacity = (size_t)capacity;
    options.shared = 1;
    struct source source = {NULL, count};
    BENCH_CHECK(weft_chan_open_with(&source.out, &options) == 0);

    pthread_t thread;
    int64_t sum = 0;
    int64_t start_ns = bench_ns();
    BENCH_CHECK(pthread_create(&thread, NULL, send_all, &source) == 0);
    for (int64_t i = 0; i < count; i++) {
        int64_t number = 0;
        BENCH_CHECK(weft_chan_recv(source.out, &number) == 0);
        sum += number;
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    BENCH_CHECK(sum == count * (count - 1) / 2);
    weft_chan_unref(source.out);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"stream", BENCH_NS, 500000, -1, 1024, round_of_items};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
