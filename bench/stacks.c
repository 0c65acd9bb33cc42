/* SPDX-License-Identifier: MIT */
/*
 * What many stacks cost: the first time, again, given back; and what the system counts for them.
 *
 * usage: stacks [count [marker|mprotect|none]]; prints nanoseconds and bytes per stack. A million
 * (the default) needs 4.2 GB of memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/stack.h"

#define NS_PER_SECOND 1e9
#define STACK_SIZE    ((size_t)64 << 10)
#define ROUNDS        2

static double clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * NS_PER_SECOND + (double)time.tv_nsec;
}

static long status_kib(const char *name)
{
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) value = strtol(line + strlen(name), NULL, 10);
    }
    fclose(file);
    return value;
}

static long mapping_count(void)
{
    long count = 0;
    int letter;
    FILE *file = fopen("/proc/self/maps", "r");
    if (!file) return 0;
    while ((letter = getc(file)) != EOF) {
        count += letter == '\n';
    }
    fclose(file);
    return count;
}

/* Gets and touches all of them, puts them back, trims. */
static int run(struct stack_cache *cache, struct stack **stacks, long count)
{
    long memory_before = status_kib("VmRSS:");
    long tables_before = status_kib("VmPTE:");
    double start = clock_ns();
    for (long i = 0; i < count; i++) {
        stacks[i] = weft__stack_get(cache, 0);
        if (!stacks[i]) {
            printf("no stack after %ld\n", i);
            return 1;
        }
        memset((char *)stacks[i]->top - 512, 1, 512);
    }
    double got = clock_ns();
    printf("get and touch %.0f ns, ", (got - start) / (double)count);
    printf("memory %ld B, ", (status_kib("VmRSS:") - memory_before) * 1024 / count);
    printf("page tables %ld B each; ", (status_kib("VmPTE:") - tables_before) * 1024 / count);
    printf("%ld mappings, %zu unguarded\n", mapping_count(), cache->unguarded_count);

    start = clock_ns();
    for (long i = 0; i < count; i++) {
        weft__stack_put(cache, stacks[i]);
    }
    double put = clock_ns();
    weft__stacks_trim(cache);
    printf("put %.1f ns, ", (put - start) / (double)count);
    printf("trim %.0f ns each; ", (clock_ns() - put) / (double)count);
    printf("%ld KiB left\n", status_kib("VmRSS:") - memory_before);
    return 0;
}

static void reuse(struct stack_cache *cache)
{
    const long times = 10000000;
    double start = clock_ns();
    for (long i = 0; i < times; i++) {
        struct stack *stack = weft__stack_get(cache, 0);
        __asm__ volatile("" : "+r"(stack) : : "memory");
        weft__stack_put(cache, stack);
    }
    printf("get and put of a hot one %.1f ns\n", (clock_ns() - start) / (double)times);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    if (count < 1) return 1;
    struct stack **stacks = calloc((size_t)count, sizeof *stacks);
    struct stack_cache cache;
    if (!stacks || weft__stacks_open(&cache, STACK_SIZE, false) != 0) return 1;
    memset(stacks, 1, (size_t)count * sizeof *stacks); /* counted before, not with the stacks */
    if (argc > 2 && strcmp(argv[2], "mprotect") == 0) cache.guards = STACK_GUARDS_MPROTECT;
    if (argc > 2 && strcmp(argv[2], "none") == 0) cache.guards = STACK_GUARDS_NONE;

    int failed = 0;
    for (int round = 0; round < ROUNDS && !failed; round++) {
        failed = run(&cache, stacks, count);
    }
    if (!failed) reuse(&cache);
    weft__stacks_close(&cache);
    free(stacks);
    return failed;
}
