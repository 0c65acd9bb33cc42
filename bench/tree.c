/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic in tasks: COUNT leaves of some microseconds each, for which the tasks around it are
 * small change. 0: a tree of scopes, eight below each; 1: one task that spawns all leaves and
 * sleeps only then. ms for the whole: with two workers it should take half.
 *
 * usage: tree [-n COUNT] [-w WARM_COUNT] [SHAPE]
 */
#include <weft/weft.h>

#include "bench/bench.h"

#define BRANCHES 8
#define STEPS    2000 /* of a leaf */

struct node {
    int64_t first;
    int64_t count;
    int64_t sum;
};

/* Its own number, after a chain of steps that no compiler sees the end of: it is never 0. */
static int64_t leaf(int64_t number)
{
    uint64_t state = (uint64_t)number + 1;
    for (int i = 0; i < STEPS; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    return number + (state == 0);
}

static int branch(void *arg)
{
    struct node *self = arg;
    if (self->count == 1) {
        self->sum = leaf(self->first);
        return 0;
    }
    struct node below[BRANCHES];
    struct weft_scope scope;
    int64_t first = self->first;
    BENCH_CHECK(weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < BRANCHES; i++) {
        below[i] = (struct node){first, (self->count + i) / BRANCHES, 0};
        first += below[i].count;
        if (below[i].count == 0) continue;
        BENCH_CHECK(weft_scope_spawn(&scope, NULL, branch, &below[i]) == 0);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    for (int64_t i = 0; i < BRANCHES; i++) {
        self->sum += below[i].sum;
    }
    return 0;
}

static int64_t sum_of_tree(int64_t count)
{
    struct node root = {0, count, 0};
    BENCH_CHECK(branch(&root) == 0);
    return root.sum;
}

static int64_t sum_of_row(int64_t count)
{
    struct node *nodes = calloc((size_t)count, sizeof *nodes);
    struct weft_scope scope;
    int64_t sum = 0;
    BENCH_CHECK(nodes && weft_scope_open(&scope) == 0);
    for (int64_t i = 0; i < count; i++) {
        nodes[i] = (struct node){i, 1, 0};
        BENCH_CHECK(weft_scope_spawn(&scope, NULL, branch, &nodes[i]) == 0);
    }
    BENCH_CHECK(weft_scope_close(&scope) == 0);
    for (int64_t i = 0; i < count; i++) {
        sum += nodes[i].sum;
    }
    free(nodes);
    return sum;
}

static int64_t round_of_leaves(int64_t count, int64_t is_row)
{
    int64_t start_ns = bench_ns();
    int64_t sum = is_row ? sum_of_row(count) : sum_of_tree(count);
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(sum == count * (count - 1) / 2);
    return elapsed_ns;
}

static int app_main(int argc, char **argv)
{
    struct bench bench = {"tree", BENCH_MS, 20000, 2000, 0, round_of_leaves};
    return bench_run(&bench, argc, argv);
}

WEFT_MAIN(app_main);
