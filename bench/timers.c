/* SPDX-License-Identifier: MIT */
/*
 * What a timer costs when a million are pending: arm, cancel in another order, arm and cancel one,
 * expire. The one benchmark of an internal part: users meet the timer queue through time-outs only.
 *
 * usage: timers [-n COUNT]; prints nanoseconds per operation, for each of its rounds.
 */
#include "bench/bench.h"
#include "core/random.h"
#include "core/timer.h"

#define ROUNDS 5
#define STRIDE 7919 /* a prime, so that each timer comes once unless it divides the count */

struct field {
    struct timers timers;
    struct random random;
    size_t count;
    struct timer *nodes;
    size_t *order; /* a random permutation, to cancel in another order than armed */
};

/* The hardest order: each timer and both its neighbours are far from what was touched before. */
static void order_randomly(struct field *field)
{
    for (size_t i = 0; i < field->count; i++) {
        field->order[i] = i;
    }
    for (size_t i = field->count; i > 1; i--) {
        size_t other = weft__random_below(&field->random, (uint32_t)i);
        size_t swapped = field->order[i - 1];
        field->order[i - 1] = field->order[other];
        field->order[other] = swapped;
    }
}

/* An order that memory can foresee, as when connections come and go in turns. */
static void order_in_strides(struct field *field)
{
    for (size_t i = 0; i < field->count; i++) {
        field->order[i] = i * STRIDE % field->count;
    }
}

static int64_t random_delay_ns(struct field *field, int64_t most_ns)
{
    return (int64_t)(weft__random_next(&field->random) % (uint64_t)most_ns);
}

/* The deadlines are chosen beforehand, so that only the arming is measured. */
static void choose_deadlines(struct field *field, int64_t now_ns, int64_t most_ns)
{
    for (size_t i = 0; i < field->count; i++) {
        field->nodes[i] = (struct timer){.deadline_ns = now_ns + random_delay_ns(field, most_ns)};
    }
}

static double per_timer(const struct field *field, int64_t start_ns)
{
    return (double)(bench_ns() - start_ns) / (double)field->count;
}

static double arm_all(struct field *field)
{
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        weft__timer_add(&field->timers, &field->nodes[i]);
    }
    return per_timer(field, start_ns);
}

static double cancel_all(struct field *field)
{
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        weft__timer_remove(&field->timers, &field->nodes[field->order[i]]);
    }
    return per_timer(field, start_ns);
}

/* What an idle time-out costs that is armed and met in time, again and again. */
static double arm_and_cancel_one(struct field *field, int64_t now_ns)
{
    struct timer one = {0};
    int64_t start_ns = bench_ns();
    for (size_t i = 0; i < field->count; i++) {
        one.deadline_ns = now_ns + 30 * BENCH_NS_PER_SECOND + (int64_t)i * 50;
        weft__timer_add(&field->timers, &one);
        weft__timer_remove(&field->timers, &one);
    }
    return per_timer(field, start_ns);
}

/* A worker that sleeps until the next deadline each time, without the sleep. */
static double expire_all(struct field *field)
{
    int64_t start_ns = bench_ns();
    int64_t now_ns = weft__timers_next(&field->timers);
    while (now_ns != INT64_MAX) {
        while (weft__timers_pop_due(&field->timers, now_ns, UINT64_MAX)) {
        }
        now_ns = weft__timers_next(&field->timers);
    }
    return per_timer(field, start_ns);
}

static void print_round(struct field *field)
{
    int64_t now_ns = bench_ns();

    weft__timers_open(&field->timers, now_ns);
    choose_deadlines(field, now_ns, 60 * BENCH_NS_PER_SECOND);
    double arm_ns = arm_all(field);
    double one_ns = arm_and_cancel_one(field, now_ns);
    order_randomly(field);
    double cancel_ns = cancel_all(field);

    arm_all(field);
    order_in_strides(field);
    double strided_ns = cancel_all(field);

    choose_deadlines(field, now_ns, BENCH_NS_PER_SECOND);
    arm_all(field);
    double expire_ns = expire_all(field);

    bench_print("timer_arm", "ns", arm_ns);
    bench_print("timer_cancel", "ns", cancel_ns);
    bench_print("timer_cancel_in_turn", "ns", strided_ns);
    bench_print("timer_arm_cancel", "ns", one_ns);
    bench_print("timer_expire", "ns", expire_ns);
}

int main(int argc, char **argv)
{
    static struct field field = {.random.state = 1, .count = 1000000};
    if (bench_is_quick()) field.count /= 10;
    if (argc > 2) field.count = strtoul(argv[2], NULL, 10);
    if (field.count == 0 || field.count % STRIDE == 0) return EXIT_FAILURE;

    field.nodes = calloc(field.count, sizeof *field.nodes);
    field.order = calloc(field.count, sizeof *field.order);
    bool ready = field.nodes && field.order;
    for (int i = 0; ready && i < ROUNDS; i++) {
        print_round(&field);
    }

    free(field.order);
    free(field.nodes);
    return ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
