/* SPDX-License-Identifier: MIT */
/*
 * The question of bench/timers.c, answered by an event loop: what a timer costs when a million are
 * pending. Each loop's file says how one is armed and cancelled; the loop never runs.
 *
 * usage: timers-NAME timers [-n COUNT]; prints nanoseconds per operation, for each of its rounds
 */
#ifndef BENCH_PEERS_TIMERS_H
#define BENCH_PEERS_TIMERS_H

#include "bench/bench.h"

enum { TIMERS_ROUNDS = 5, TIMERS_LONGEST_MS = 60000, TIMERS_COUNT = 1000000 };

struct timers_loop {
    size_t timer_size;
    void (*prepare)(void *timer, int64_t delay_ms); /* not measured; once per round */
    void (*arm)(void *timer, int64_t delay_ms);
    void (*cancel)(void *timer);
};

struct timers_field {
    const struct timers_loop *loop;
    size_t count;
    char *timers;
    size_t *order; /* a random permutation, to cancel in another order than armed */
    int64_t *delays_ms;
};

static inline void *timers_at(const struct timers_field *field, size_t index)
{
    return field->timers + index * field->loop->timer_size;
}

/* The same delays and orders for everybody. */
static inline void timers_prepare(struct timers_field *field)
{
    for (size_t i = 0; i < field->count; i++) {
        field->delays_ms[i] = lrand48() % TIMERS_LONGEST_MS + 1;
        field->order[i] = i;
        field->loop->prepare(timers_at(field, i), field->delays_ms[i]);
    }
    for (size_t i = field->count; i > 1; i--) {
        size_t other = (size_t)lrand48() % i;
        size_t swapped = field->order[i - 1];
        field->order[i - 1] = field->order[other];
        field->order[other] = swapped;
    }
}

static inline void timers_round(struct timers_field *field)
{
    double count = (double)field->count;
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        field->loop->arm(timers_at(field, i), field->delays_ms[i]);
    }
    int64_t armed_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        field->loop->cancel(timers_at(field, field->order[i]));
    }
    bench_print("timer_arm", "ns", (double)(armed_ns - start_ns) / count);
    bench_print("timer_cancel", "ns", (double)(bench_ns() - armed_ns) / count);
}

/* What main() does, with the loop open. */
static inline int timers_main(const struct timers_loop *loop, int argc, char **argv)
{
    struct timers_field field = {.loop = loop, .count = TIMERS_COUNT};
    if (bench_is_quick()) field.count /= 10;
    if (argc > 3 && strcmp(argv[2], "-n") == 0) field.count = (size_t)bench_number(argv[3]);
    if (argc > 1 && strcmp(argv[1], "list") == 0) return puts("timers") < 0;
    BENCH_CHECK(argc > 1 && strcmp(argv[1], "timers") == 0 && field.count > 0);

    field.timers = calloc(field.count, loop->timer_size);
    field.order = calloc(field.count, sizeof *field.order);
    field.delays_ms = calloc(field.count, sizeof *field.delays_ms);
    BENCH_CHECK(field.timers && field.order && field.delays_ms);
    for (int i = 0; i < TIMERS_ROUNDS; i++) {
        timers_prepare(&field);
        timers_round(&field);
    }
    free(field.delays_ms);
    free(field.order);
    free(field.timers);
    return 0;
}

#endif
