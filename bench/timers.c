/* SPDX-License-Identifier: MIT */
/*
 * What a timer costs when a million are pending: arm, cancel in another order, arm and cancel one,
 * expire. The one benchmark of an internal part: users meet the timer queue through time-outs only.
 *
 * usage: timers [count]; prints nanoseconds per operation.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/random.h"
#include "core/timer.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define ROUNDS        5
#define STRIDE        7919 /* a prime, so that each timer comes once unless it divides the count */

struct bench {
    struct timers timers;
    struct random random;
    size_t count;
    struct timer *nodes;
    size_t *order; /* a random permutation, to cancel in another order than armed */
};

static int64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS_PER_SECOND + time.tv_nsec;
}

/* The hardest order: each timer and both its neighbours are far from what was touched before. */
static void order_randomly(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) {
        bench->order[i] = i;
    }
    for (size_t i = bench->count; i > 1; i--) {
        size_t other = weft__random_below(&bench->random, (uint32_t)i);
        size_t swapped = bench->order[i - 1];
        bench->order[i - 1] = bench->order[other];
        bench->order[other] = swapped;
    }
}

/* An order that memory can foresee, as when connections come and go in turns. */
static void order_in_strides(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) {
        bench->order[i] = i * STRIDE % bench->count;
    }
}

static int64_t random_delay_ns(struct bench *bench, int64_t most_ns)
{
    return (int64_t)(weft__random_next(&bench->random) % (uint64_t)most_ns);
}

/* The deadlines are chosen beforehand, so that only the arming is measured. */
static void choose_deadlines(struct bench *bench, int64_t now_ns, int64_t most_ns)
{
    for (size_t i = 0; i < bench->count; i++) {
        bench->nodes[i] = (struct timer){.deadline_ns = now_ns + random_delay_ns(bench, most_ns)};
    }
}

static double per_timer(const struct bench *bench, int64_t start_ns)
{
    return (double)(clock_ns() - start_ns) / (double)bench->count;
}

static double arm_all(struct bench *bench)
{
    int64_t start_ns = clock_ns();
    for (size_t i = 0; i < bench->count; i++) {
        weft__timer_add(&bench->timers, &bench->nodes[i]);
    }
    return per_timer(bench, start_ns);
}

static double cancel_all(struct bench *bench)
{
    int64_t start_ns = clock_ns();
    for (size_t i = 0; i < bench->count; i++) {
        weft__timer_remove(&bench->timers, &bench->nodes[bench->order[i]]);
    }
    return per_timer(bench, start_ns);
}

/* What an idle time-out costs that is armed and met in time, again and again. */
static double arm_and_cancel_one(struct bench *bench, int64_t now_ns)
{
    struct timer one = {0};
    int64_t start_ns = clock_ns();
    for (size_t i = 0; i < bench->count; i++) {
        one.deadline_ns = now_ns + 30 * NS_PER_SECOND + (int64_t)i * 50;
        weft__timer_add(&bench->timers, &one);
        weft__timer_remove(&bench->timers, &one);
    }
    return per_timer(bench, start_ns);
}

/* A worker that sleeps until the next deadline each time, without the sleep. */
static double expire_all(struct bench *bench)
{
    int64_t start_ns = clock_ns();
    int64_t now_ns = weft__timers_next(&bench->timers);
    while (now_ns != INT64_MAX) {
        while (weft__timers_pop_due(&bench->timers, now_ns, UINT64_MAX)) {
        }
        now_ns = weft__timers_next(&bench->timers);
    }
    return per_timer(bench, start_ns);
}

static void print_round(struct bench *bench)
{
    int64_t now_ns = clock_ns();

    weft__timers_open(&bench->timers, now_ns);
    choose_deadlines(bench, now_ns, 60 * NS_PER_SECOND);
    double arm_ns = arm_all(bench);
    double one_ns = arm_and_cancel_one(bench, now_ns);
    order_randomly(bench);
    double cancel_ns = cancel_all(bench);

    arm_all(bench);
    order_in_strides(bench);
    double strided_ns = cancel_all(bench);

    choose_deadlines(bench, now_ns, NS_PER_SECOND);
    arm_all(bench);
    double expire_ns = expire_all(bench);

    printf("timers count %zu arm_ns %.1f cancel_random_ns %.1f cancel_strided_ns %.1f "
           "arm_cancel_one_ns %.1f expire_ns %.1f\n",
           bench->count,
           arm_ns,
           cancel_ns,
           strided_ns,
           one_ns,
           expire_ns);
}

int main(int argc, char **argv)
{
    static struct bench bench = {.random.state = 1, .count = 1000000};
    if (argc > 1) bench.count = strtoul(argv[1], NULL, 10);
    if (bench.count == 0 || bench.count % STRIDE == 0) return EXIT_FAILURE;

    bench.nodes = calloc(bench.count, sizeof *bench.nodes);
    bench.order = calloc(bench.count, sizeof *bench.order);
    bool ready = bench.nodes && bench.order;
    for (int i = 0; ready && i < ROUNDS; i++) {
        print_round(&bench);
    }

    free(bench.order);
    free(bench.nodes);
    return ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
