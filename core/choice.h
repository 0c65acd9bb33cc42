/* SPDX-License-Identifier: MIT */
/*
 * In which order a select looks at its cases, and which of the ready ones it takes.
 *
 * Few cases: all are looked at, and each ready one replaces the choice with probability 1/k
 * (Vitter's reservoir of size one), which is exactly uniform. Many: a random affine permutation
 * modulo a prime is walked until the first ready one, so that the cost does not grow with the
 * number of cases; two ready cases win equally often, since affine maps over a prime field are
 * 2-transitive.
 */
#ifndef WEFT_CORE_CHOICE_H
#define WEFT_CORE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/random.h"

#define CHOICE_EXACT_MAX 8

struct choice {
    struct random *random;
    size_t count;
    size_t chosen;  /* SIZE_MAX: none yet */
    size_t seen;    /* steps made */
    uint32_t found; /* ready cases met */
    bool takes_first;
    size_t prime; /* 0: in the order of the array */
    size_t position;
    size_t stride;
};

static inline bool choice_is_prime(size_t number)
{
    for (size_t divisor = 3; divisor * divisor <= number; divisor += 2) {
        if (number % divisor == 0) return false;
    }
    return true;
}

static inline void weft__choice_open(struct choice *choice,
                                     struct random *random,
                                     size_t count,
                                     bool is_ordered)
{
    choice->random = random;
    choice->count = count;
    choice->chosen = SIZE_MAX;
    choice->seen = 0;
    choice->found = 0;
    choice->takes_first = is_ordered;
    choice->prime = 0;
    choice->position = 0;
    choice->stride = 0;
    if (is_ordered || count <= CHOICE_EXACT_MAX) return;

    size_t prime = count | 1;
    while (!choice_is_prime(prime))
        prime += 2;
    choice->prime = prime;
    choice->position = weft__random_below(random, (uint32_t)prime);
    choice->stride = 1 + weft__random_below(random, (uint32_t)prime - 1);
    choice->takes_first = true;
}

/* Stores the next index to look at; false when all have been. */
static inline bool weft__choice_next(struct choice *choice, size_t *ret_index)
{
    if (choice->prime == 0) {
        *ret_index = choice->seen;
        return choice->seen++ < choice->count;
    }
    while (choice->seen++ < choice->prime) {
        size_t index = choice->position;
        choice->position += choice->stride;
        if (choice->position >= choice->prime) choice->position -= choice->prime;
        if (index >= choice->count) continue;
        *ret_index = index;
        return true;
    }
    return false;
}

/* Case `index` is ready; true if that settles it. */
static inline bool weft__choice_found(struct choice *choice, size_t index)
{
    choice->found++;
    if (choice->found == 1 || weft__random_below(choice->random, choice->found) == 0) {
        choice->chosen = index;
    }
    return choice->takes_first;
}

#endif
