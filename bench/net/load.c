/* SPDX-License-Identifier: MIT */
/*
 * The loads for echo servers, as one program.
 *
 * usage: bench-load PORT closed CONNECTIONS SECONDS             as fast as answers come
 *        bench-load PORT count  CONNECTIONS SECONDS REQUESTS    the same, so many and no more
 *        bench-load PORT rate   CONNECTIONS SECONDS PER_SECOND  by schedule, whatever comes back
 *        bench-load PORT accept CONNECTIONS SECONDS             a connection for each request
 *        bench-load PORT idle   CONNECTIONS 0                   one request each, then silence
 *                                                               until standard input ends
 *
 * SECONDS come after a tenth of that as warm-up (count: a limit). Prints lines `name unit value`.
 */
#include "bench/net/load.h"

#include <sys/resource.h>

static const struct {
    const char *name;
    void (*run)(const struct load *load);
    bool has_number;
} loads[] = {
    {"closed", load_closed, false},
    {"count", load_closed, true},
    {"rate", load_rate, true},
    {"accept", load_accept, false},
    {"idle", load_idle, false},
};

static void raise_limit(void)
{
    struct rlimit limit;
    BENCH_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    BENCH_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc >= 5 && i < sizeof loads / sizeof loads[0]; i++) {
        if (strcmp(argv[2], loads[i].name) != 0 || argc != 5 + loads[i].has_number) continue;
        struct load load = {
            .port = (uint16_t)strtoul(argv[1], NULL, 10),
            .connections = strtoul(argv[3], NULL, 10),
            .window_ns = (int64_t)(strtod(argv[4], NULL) * (double)BENCH_NS_PER_SECOND),
            .number = loads[i].has_number ? bench_number(argv[5]) : 0,
        };
        BENCH_CHECK(load.connections > 0 && load.number >= 0);
        raise_limit();
        loads[i].run(&load);
        return 0;
    }
    fprintf(stderr, "%s: see the head of bench/net/load.c\n", argv[0]);
    return 2;
}
