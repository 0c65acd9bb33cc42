/* SPDX-License-Identifier: MIT */
/*
 * What a million tasks cost that wait: the time until the last of them waits, their memory and page
 * tables, and what of it is still held one second after they ended. Cold.
 *
 * usage: parked [-n COUNT]; one line for each of these
 */
#include <errno.h>
#include <string.h>

#include <weft/weft.h>

#include "bench/bench.h"

static int64_t starting;

WEFT_TASK(wait_for_end, (struct weft_chan *, all_wait), (struct weft_chan *, end))
{
    if (bench_add(&starting, -1) == 0) weft_chan_close(all_wait);
    return weft_chan_recv(end, NULL) == -EPIPE ? 0 : 1;
}

/* A line of /proc/self/status, in bytes. */
static int64_t status_bytes(const char *name)
{
    char line[256];
    int64_t kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    BENCH_CHECK(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) kib = strtoll(line + strlen(name), NULL, 10);
    }
    fclose(file);
    BENCH_CHECK(kib >= 0);
    return kib * 1024;
}

static int64_t mapping_count(void)
{
    int64_t count = 0;
    int letter = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    BENCH_CHECK(file);
    while ((letter = getc(file)) != EOF) {
        count += letter == '\n';
    }
    fclose(file);
    return count;
}

static uint64_t unguarded_count(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    BENCH_CHECK(weft_stats(&stats) == 0);
    return stats.stacks_unguarded;
}

static void print_each(const char *name, const char *unit, int64_t sum, int64_t count)
{
    bench_print(name, unit, (double)sum / (double)count);
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"parked", BENCH_NS, 1000000, 0, -1, NULL};
    bench_parse(&bench, argc, argv);
    struct weft_chan *all_wait;
    struct weft_chan *end;
    struct weft_scope scope;
    BENCH_CHECK(weft_chan_open(&all_wait, 0, 0) == 0);
    BENCH_CHECK(weft_chan_open(&end, 0, 0) == 0);
    starting = bench.count;
    int64_t memory = status_bytes("VmRSS:");
    int64_t tables = status_bytes("VmPTE:");

    int64_t start_ns = bench_ns();
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < bench.count; i++) {
        BENCH_CHECK(wait_for_end_scope_spawn(&scope, NULL, all_wait, end) == 0);
    }
    BENCH_CHECK(weft_chan_recv(all_wait, NULL) == -EPIPE);
    print_each("parked_time", "ns", bench_ns() - start_ns, bench.count);
    print_each("parked_memory", "bytes", status_bytes("VmRSS:") - memory, bench.count);
    print_each("parked_page_tables", "bytes", status_bytes("VmPTE:") - tables, bench.count);
    bench_print("parked_mappings", "count", (double)mapping_count());
    bench_print("parked_unguarded", "count", (double)unguarded_count());

    start_ns = bench_ns();
    weft_chan_close(end);
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    print_each("parked_end", "ns", bench_ns() - start_ns, bench.count);
    weft_chan_unref(all_wait);
    weft_chan_unref(end);
    BENCH_CHECK(weft_sleep(WEFT_SEC) == 0); /* memory is given back before the runtime sleeps */
    print_each("parked_left", "bytes", status_bytes("VmRSS:") - memory, bench.count);
    return 0;
}

WEFT_MAIN(app_main);
