/* SPDX-License-Identifier: MIT */
/*
 * What the bare exchange of two stacks costs, as a blocking call does it: by tail call, from
 * different places. The floor under everything that switches.
 *
 * usage: switch [count]; prints nanoseconds per switch, the best of several rounds and the mean.
 */
#include "core/arch/switch.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_SECOND 1e9
#define ROUNDS        9
#define STACK_SIZE    ((size_t)64 << 10)

static void *outside;
static void *inside;

__attribute__((noinline)) static int go_in(void)
{
    return weft__switch(&outside, inside, 0);
}

__attribute__((noinline)) static int go_out(void)
{
    return weft__switch(&inside, outside, 0);
}

/* Three different return addresses, so that the way back is not learned too easily. */
static void partner(intptr_t value)
{
    (void)value;
    for (;;) {
        (void)go_out();
        __asm__ volatile("");
        (void)go_out();
        __asm__ volatile("nop");
        (void)go_out();
    }
}

static double clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * NS_PER_SECOND + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 4000000;
    char *stack = aligned_alloc(4096, STACK_SIZE);
    if (!stack || count < 1) return 1;
    inside = weft__switch_prepare(stack + STACK_SIZE, partner);

    double best = 1e9;
    double sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = clock_ns();
        for (long i = 0; i < count; i++) {
            (void)go_in();
        }
        double each = (clock_ns() - start) / (double)(2 * count);
        if (each < best) best = each;
        sum += each;
    }
    printf("switch ns %.2f\nswitch_mean ns %.2f\n", best, sum / ROUNDS);
    free(stack);
    return 0;
}
