/* SPDX-License-Identifier: MIT */
/*
 * What a connection costs that says nothing: socket pairs, one task for each that waits to read.
 * Prints the growth of the resident set in bytes for one of them, without the kernel's share.
 *
 * usage: idle [-n COUNT]
 */
#include <sys/resource.h>
#include <sys/socket.h>

#include <weft/weft.h>

#include "bench/bench.h"

enum { COUNT_DEFAULT = 10000 };

static int64_t resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    BENCH_CHECK(file && fscanf(file, "%*s %ld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int wait_to_read(void *arg)
{
    char byte;
    return weft_read((int)(intptr_t)arg, &byte, 1) == 0 ? 0 : 1;
}

static int app_main(int argc, char **argv)
{
    int64_t count =
        argc > 2 && strcmp(argv[1], "-n") == 0 ? strtol(argv[2], NULL, 10) : COUNT_DEFAULT;
    struct rlimit limit = {(rlim_t)count * 2 + 100, (rlim_t)count * 2 + 100};
    BENCH_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int *peers = calloc((size_t)count, sizeof *peers);
    BENCH_CHECK(peers && weft_sleep(WEFT_MSEC) == 0);

    int64_t before = resident_bytes();
    for (int64_t i = 0; i < count; i++) {
        int fds[2];
        BENCH_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        peers[i] = fds[1];
        BENCH_CHECK(weft_spawn(NULL, wait_to_read, (void *)(intptr_t)fds[0]) == 0);
    }
    BENCH_CHECK(weft_sleep(WEFT_MSEC) == 0); /* all of them wait now */
    int64_t after = resident_bytes();
    printf("idle bytes %.0f\n", (double)(after - before) / (double)count);
    for (int64_t i = 0; i < count; i++) {
        close(peers[i]);
    }
    free(peers);
    return 0;
}

WEFT_MAIN(app_main);
