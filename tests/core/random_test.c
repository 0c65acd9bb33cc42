/* SPDX-License-Identifier: MIT */
/* The generator: reproducible, within bounds, and even enough for fairness. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/random.h"

Test(random, repeats_itself_with_the_same_seed)
{
    struct random one = {.state = 7};
    struct random other = {.state = 7};

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(weft__random_next(&one), weft__random_next(&other));
    }
}

Test(random, differs_with_another_seed_and_works_with_zero)
{
    struct random zero = {.state = 0};
    struct random one = {.state = 1};

    uint64_t value = weft__random_next(&zero);

    cr_assert_neq(value, 0);
    cr_assert_neq(value, weft__random_next(&one));
    cr_assert_neq(value, weft__random_next(&zero));
}

Test(random, stays_below_the_limit)
{
    struct random random = {.state = 1};

    cr_assert_eq(weft__random_below(&random, 0), 0);
    cr_assert_eq(weft__random_below(&random, 1), 0);
    for (int i = 0; i < 100000; i++) {
        cr_assert_lt(weft__random_below(&random, 7), 7);
    }
}

Test(random, spreads_evenly)
{
    enum { LIMIT = 13, DRAWS = 1300000, EXPECTED = DRAWS / LIMIT };
    int counts[LIMIT] = {0};
    struct random random = {.state = 99};

    for (int i = 0; i < DRAWS; i++) {
        counts[weft__random_below(&random, LIMIT)]++;
    }

    /* Five standard deviations, about sqrt(EXPECTED) = 316 each. */
    for (int i = 0; i < LIMIT; i++) {
        cr_assert_lt(abs(counts[i] - EXPECTED), 5 * 316, "%d came %d times", i, counts[i]);
    }
}
