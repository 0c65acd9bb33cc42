/* SPDX-License-Identifier: MIT */
/*
 * Of the tasks that one poll has woken, who has waited longest runs first.
 *
 * A merge sort of the runs, rising or falling, that are in the list already: loops report in orders
 * that are nearly right, or right from behind. D. E. Knuth, The Art of Computer Programming, volume
 * 3, 5.2.4; bottom up, so that it needs no recursion.
 */
#include "core/ready.h"

enum { LEVELS = 32 }; /* of merged runs: for more than 2^32 tasks there is no memory */

static bool began_later(const struct task *task, const struct task *other)
{
    return (int32_t)(task->wait.order - other->wait.order) > 0;
}

/* Those that follow `run` and fall; reversed they rise. */
static struct task *reverse_run(struct task *run, struct task **ret_rest)
{
    struct task *rest = run->next;
    run->next = NULL;
    while (rest && began_later(run, rest)) {
        struct task *next = rest->next;
        rest->next = run;
        run = rest;
        rest = next;
    }
    *ret_rest = rest;
    return run;
}

/* Cuts the run off that the list begins with. */
static struct task *cut_run(struct task **list)
{
    struct task *run = *list;
    struct task *end = run;
    while (end->next && !began_later(end, end->next)) {
        end = end->next;
    }
    if (end == run) return reverse_run(run, list);
    *list = end->next;
    end->next = NULL;
    return run;
}

/* Of equals, those of `one` come first. */
static struct task *merge(struct task *one, struct task *other)
{
    struct task *merged = NULL;
    struct task **end = &merged;
    while (one && other) {
        struct task **first = began_later(one, other) ? &other : &one;
        *end = *first;
        end = &(*end)->next;
        *first = *end;
    }
    *end = one ? one : other;
    return merged;
}

static struct task *sort(struct task *list)
{
    struct task *levels[LEVELS] = {NULL}; /* levels[i]: 2^i runs, merged; or NULL */
    while (list) {
        struct task *run = cut_run(&list);
        size_t level = 0;
        for (; levels[level]; level++) {
            run = merge(levels[level], run);
            levels[level] = NULL;
        }
        levels[level] = run;
    }
    struct task *all = NULL;
    for (size_t level = 0; level < LEVELS; level++) {
        if (levels[level]) all = merge(levels[level], all);
    }
    return all;
}

void weft__ready_sort_from(struct ready *ready, struct task *last)
{
    struct task **place = last ? &last->next : &ready->head;
    if (!*place) return;

    *place = sort(*place);
    while (ready->tail->next) {
        ready->tail = ready->tail->next;
    }
}
