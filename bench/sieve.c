/* SPDX-License-Identifier: MIT */
/*
 * The sieve of examples/sieve.c: a task for each prime, numbers pass all of them. Warm; ms for
 * COUNT primes, of which each but the last few filters in front of the next.
 *
 * usage: sieve [-n COUNT] [-w WARM_COUNT]
 */
#include <weft/weft.h>

#include "bench/bench.h"

WEFT_CHAN_TYPE(numbers, int64_t);

/* Each task ends when its channel is closed; whoever receives from a channel frees it. */
WEFT_TASK(count_up, (struct numbers, out))
{
    int64_t number = 2;
    while (numbers_send(out, number) == 0) {
        number++;
    }
    numbers_unref(out);
    return 0;
}

WEFT_TASK(filter, (struct numbers, in), (struct numbers, out), (int64_t, prime))
{
    int64_t number = 0;
    while (numbers_recv(in, &number) == 0) {
        if (number % prime != 0 && numbers_send(out, number) < 0) break;
    }
    numbers_close(in);
    numbers_unref(in);
    numbers_unref(out);
    return 0;
}

static int64_t round_of_primes(int64_t count, int64_t parameter)
{
    (void)parameter;
    struct numbers in;
    struct weft_scope scope;
    BENCH_CHECK(weft_scope_open(&scope) == 0);

    int64_t start_ns = bench_ns();
    BENCH_CHECK(numbers_open(&in, 0) == 0);
    BENCH_CHECK(count_up_scope_spawn(&scope, NULL, numbers_ref(in)) == 0);
    int64_t prime = 0;
    for (int64_t i = 0; i < count; i++) {
        struct numbers out;
        BENCH_CHECK(numbers_recv(in, &prime) == 0);
        BENCH_CHECK(numbers_open(&out, 0) == 0);
        BENCH_CHECK(filter_scope_spawn(&scope, NULL, in, numbers_ref(out), prime) == 0);
        in = out;
    }
    int64_t elapsed_ns = bench_ns() - start_ns;

    BENCH_CHECK(count != 2000 || prime == 17389);
    numbers_close(in);
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    numbers_unref(in);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"sieve", BENCH_MS, 2000, -1, -1, round_of_primes};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
