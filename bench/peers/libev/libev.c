/* SPDX-License-Identifier: MIT */
/*
 * The question of bench/timers.c, answered by libev: what a timer costs when a million are pending.
 *
 * usage: libev timers [COUNT]; prints nanoseconds per operation.
 */
#include <ev.h>

#include "bench/bench.h"

#define ROUNDS    5
#define LONGEST_S 60

struct field {
    struct ev_loop *loop;
    size_t count;
    ev_timer *timers;
    size_t *order; /* a random permutation, to cancel in another order than armed */
};

static void never(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    BENCH_CHECK(!"the loop does not run");
}

static void choose_deadlines(struct field *field)
{
    for (size_t i = 0; i < field->count; i++) {
        ev_timer_init(&field->timers[i], never, drand48() * LONGEST_S, 0.0);
    }
}

static void order_randomly(struct field *field)
{
    for (size_t i = 0; i < field->count; i++) {
        field->order[i] = i;
    }
    for (size_t i = field->count; i > 1; i--) {
        size_t other = (size_t)lrand48() % i;
        size_t swapped = field->order[i - 1];
        field->order[i - 1] = field->order[other];
        field->order[other] = swapped;
    }
}

static double arm_all(struct field *field)
{
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        ev_timer_start(field->loop, &field->timers[i]);
    }
    return (double)(bench_ns() - start_ns) / (double)field->count;
}

static double cancel_all(struct field *field)
{
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        ev_timer_stop(field->loop, &field->timers[field->order[i]]);
    }
    return (double)(bench_ns() - start_ns) / (double)field->count;
}

static void print_round(struct field *field)
{
    choose_deadlines(field);
    order_randomly(field);
    double arm_ns = arm_all(field);
    double cancel_ns = cancel_all(field);
    printf("timers count %zu arm_ns %.1f cancel_random_ns %.1f\n", field->count, arm_ns, cancel_ns);
}

int main(int argc, char **argv)
{
    struct field field = {.count = 1000000};
    if (argc > 2) field.count = strtoul(argv[2], NULL, 10);
    BENCH_CHECK(argc > 1 && strcmp(argv[1], "timers") == 0 && field.count > 0);

    field.loop = ev_loop_new(0);
    field.timers = calloc(field.count, sizeof *field.timers);
    field.order = calloc(field.count, sizeof *field.order);
    BENCH_CHECK(field.loop && field.timers && field.order);
    for (int i = 0; i < ROUNDS; i++) {
        print_round(&field);
    }
    free(field.order);
    free(field.timers);
    ev_loop_destroy(field.loop);
    return EXIT_SUCCESS;
}
