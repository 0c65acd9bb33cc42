/* SPDX-License-Identifier: MIT */
/*
 * Joins and selects of other workers on tasks that ended while nobody else knew them: MT-22.
 */
#include "conformance/runtime/mt_support.h"

enum { WORKERS_MAX = 4 };

/* A task that ends, and the one on worker `number` that joins it. */
struct pair {
    weft_task ended;
    int number;
    bool by_select;
    bool is_joined;
    atomic_int *started; /* joiners: none ends before the last one has got its worker */
};

static int give_number(void *arg)
{
    return 100 + ((const struct pair *)arg)->number;
}

static int join_elsewhere(void *arg)
{
    struct pair *pair = arg;
    int result = -1;
    count_up(pair->started);
    CHECK(compute_until(pair->started, (int)weft_worker_count() - 1));
    if (pair->by_select) {
        int status = -1;
        struct weft_case cases[] = {weft_case_joined(pair->ended, &result, &status)};
        CHECK_EQ(weft_select_from(cases, 1, 0), 0);
        CHECK_EQ(status, 0);
    } else {
        CHECK_EQ(weft_join(pair->ended, &result), 0);
    }
    CHECK_EQ(result, 100 + pair->number);
    CHECK_EQ(weft_worker_index(), (unsigned)pair->number);
    pair->is_joined = true;
    return 0;
}

static int sleep_a_little(void *arg)
{
    (void)arg;
    return weft_sleep(10 * WEFT_MSEC);
}

/* The first spread task comes to this worker, and the others, which join, to those that have never
 * seen the tasks that they join. */
static int root_of_ends(void *arg)
{
    const bool *by_select = arg;
    int workers = (int)weft_worker_count();
    struct pair pairs[WORKERS_MAX];
    struct weft_scope scope;
    atomic_int started = 0;
    for (int i = 1; i < workers; i++) {
        pairs[i] = (struct pair){.number = i, .by_select = *by_select, .started = &started};
        pairs[i].ended = spawn_task(give_number, &pairs[i]);
    }
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    (void)spawn_spread(&scope, sleep_a_little, NULL);
    for (int i = 1; i < workers; i++) {
        (void)spawn_spread(&scope, join_elsewhere, &pairs[i]);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    for (int i = 1; i < workers; i++) {
        CHECK(pairs[i].is_joined);
        CHECK_EQ(weft_join(pairs[i].ended, NULL), -ESRCH);
    }
    return 0;
}

MT_TEST(mt, 22_an_end_that_was_private_is_told_on_other_workers)
{
    bool by_select = false;
    CHECK_EQ(run_with(workers, root_of_ends, &by_select), 0);
}

MT_TEST(mt, 22b_and_to_their_selects)
{
    bool by_select = true;
    CHECK_EQ(run_with(workers, root_of_ends, &by_select), 0);
}
