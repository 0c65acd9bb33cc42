/* SPDX-License-Identifier: MIT */
/*
 * How long a program needs from its start to its end: started again and again, by one that is small
 * itself. Prints the median in microseconds, and the largest resident set in KiB.
 *
 * usage: launch COUNT PROGRAM [ARGUMENT...]
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench/bench.h"

extern char **environ;
static posix_spawn_file_actions_t silence;

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int64_t launch(char **command)
{
    pid_t child = 0;
    int status = 0;
    int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
    BENCH_CHECK(posix_spawn(&child, command[0], &silence, NULL, command, environ) == 0);
    BENCH_CHECK(waitpid(child, &status, 0) == child);
    BENCH_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return bench_clock_ns(CLOCK_MONOTONIC) - start_ns;
}

int main(int argc, char **argv)
{
    BENCH_CHECK(argc > 2);
    int64_t count = bench_number(argv[1]);
    BENCH_CHECK(count > 0);
    int64_t *elapsed_ns = calloc((size_t)count, sizeof *elapsed_ns);
    BENCH_CHECK(elapsed_ns && posix_spawn_file_actions_init(&silence) == 0);
    BENCH_CHECK(posix_spawn_file_actions_addopen(&silence, 1, "/dev/null", O_WRONLY, 0) == 0);
    for (int64_t i = 0; i < count / 10 + 1; i++) {
        (void)launch(argv + 2); /* its pages are in the cache from here on */
    }
    for (int64_t i = 0; i < count; i++) {
        elapsed_ns[i] = launch(argv + 2);
    }
    qsort(elapsed_ns, (size_t)count, sizeof *elapsed_ns, by_size);
    bench_print("startup", "us", (double)elapsed_ns[count / 2] / 1e3);
    struct rusage usage;
    BENCH_CHECK(getrusage(RUSAGE_CHILDREN, &usage) == 0);
    bench_print("startup_memory", "KiB", (double)usage.ru_maxrss);
    (void)posix_spawn_file_actions_destroy(&silence);
    free(elapsed_ns);
    return 0;
}
