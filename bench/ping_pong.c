/* SPDX-License-Identifier: MIT */
/*
 * What a question and its answer cost: two tasks, two channels. Warm; ns per round trip.
 *
 * usage: ping_pong [-n COUNT] [-w WARM_COUNT] [CAPACITY]
 */
#include <weft/weft.h>

#include "bench/bench.h"

WEFT_CHAN_TYPE(numbers, int64_t);

WEFT_TASK(answer, (struct numbers, questions), (struct numbers, answers))
{
    int64_t number = 0;
    while (numbers_recv(questions, &number) == 0) {
        if (numbers_send(answers, number + 1) < 0) return 1;
    }
    return numbers_close(answers);
}

static int64_t round_of_trips(int64_t count, int64_t capacity)
{
    struct numbers questions;
    struct numbers answers;
    BENCH_CHECK(numbers_open(&questions, (size_t)capacity) == 0);
    BENCH_CHECK(numbers_open(&answers, (size_t)capacity) == 0);
    BENCH_CHECK(weft_go(answer, questions, answers) == 0);

    int64_t start_ns = bench_ns();
    int64_t number = 0;
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(numbers_send(questions, number) == 0);
        BENCH_CHECK(numbers_recv(answers, &number) == 0);
    }
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(number == count);
    numbers_close(questions);
    BENCH_CHECK(numbers_recv(answers, &number) < 0); /* closed: the other one has ended */
    numbers_unref(questions);
    numbers_unref(answers);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"ping_pong", BENCH_NS, 2000000, -1, 0, round_of_trips};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
