/* SPDX-License-Identifier: MIT */
/*
 * How long it takes until a task runs that another thread has sent something to, when the worker
 * was asleep: from just before the send to just after the receive. Prints quantiles in us.
 *
 * usage: wake [-n COUNT]
 */
#include <pthread.h>

#include <weft/weft.h>

#include "bench/latency.h"

static struct weft_chan *times;
static size_t wake_count;

static void *send_times(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < wake_count; i++) {
        latency_pause();
        int64_t now_ns = bench_clock_ns(CLOCK_MONOTONIC);
        BENCH_CHECK(weft_chan_send(times, &now_ns) == 0);
    }
    return NULL;
}

static int app_main(int argc, char **argv)
{
    wake_count = latency_count(argc, argv, WAKES);
    int64_t *latencies_ns = calloc(wake_count, sizeof *latencies_ns);
    BENCH_CHECK(latencies_ns);
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int64_t);
    options.capacity = 1;
    options.shared = 1;
    BENCH_CHECK(weft_chan_open_with(&times, &options) == 0);

    pthread_t thread;
    BENCH_CHECK(pthread_create(&thread, NULL, send_times, NULL) == 0);
    for (size_t i = 0; i < wake_count; i++) {
        int64_t sent_ns = 0;
        BENCH_CHECK(weft_chan_recv(times, &sent_ns) == 0);
        latencies_ns[i] = bench_clock_ns(CLOCK_MONOTONIC) - sent_ns;
    }
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    weft_chan_unref(times);
    latency_print("wake", latencies_ns, wake_count);
    free(latencies_ns);
    return 0;
}

WEFT_MAIN(app_main);
