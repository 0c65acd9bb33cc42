/* SPDX-License-Identifier: MIT */
/*
 * Tasks in miniature on the bare switch, with every announcement that core/sanitize.h asks for. In
 * a sanitizer build an omitted or misplaced one ends in a false report or a crash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arch/switch.h"
#include "core/sanitize.h"
#include "core/stack.h"

#define STACK_SIZE ((size_t)256 << 10)
#define ROUNDS     3

struct fiber {
    void *sp;
    struct stack *stack;
    struct sanitizer_fiber sanitizer;
    struct fiber *heir; /* takes over the stack at the end */
    int depth;
};

static struct stack_cache cache;
static struct fiber outside;
static struct fiber *current = &outside;
static int steps; /* used by all fibers: no race, as they share a thread */

WEFT__NO_SANITIZE static void switch_to(struct fiber *next, bool ends)
{
    struct fiber *self = current;
    current = next;
    weft__san_before_switch(&self->sanitizer, &next->sanitizer, ends);
    (void)weft__switch(&self->sp, next->sp, 0);
    weft__san_after_switch(&self->sanitizer);
}

/* Leaves frames of many sizes marked in the shadow memory of its stack. */
__attribute__((noinline)) static int work(int depth)
{
    char frame[200];
    memset(frame, depth, sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory");
    if (depth > 0) return work(depth - 1) + frame[7];

    steps++;
    switch_to(&outside, false);
    return frame[3];
}

WEFT__NO_SANITIZE static void entry(intptr_t value)
{
    (void)value;
    struct fiber *self = current;
    weft__san_enter(&self->sanitizer);
    for (int i = 0; i < ROUNDS; i++) {
        (void)work(self->depth);
    }
    if (!self->heir) switch_to(&outside, true);

    struct fiber *heir = self->heir;
    heir->stack = self->stack;
    weft__san_open(&heir->sanitizer, heir->stack);
    current = heir;
    weft__san_before_switch(&self->sanitizer, &heir->sanitizer, true);
    weft__switch_restart(heir->stack->top, entry, 0);
}

static void start(struct fiber *fiber, int depth)
{
    fiber->depth = depth;
    fiber->stack = weft__stack_get(&cache, 0);
    if (!fiber->stack) abort();
    weft__san_open(&fiber->sanitizer, fiber->stack);
    fiber->sp = weft__switch_prepare(fiber->stack->top, entry);
}

int main(void)
{
    struct fiber second = {.depth = 20};
    struct fiber first = {.heir = &second};
    struct fiber other = {0};
    if (weft__stacks_open(&cache, STACK_SIZE, false) != 0) return 1;
    weft__san_open_thread(&outside.sanitizer);

    start(&first, 5);
    start(&other, 9);
    for (int i = 0; i < ROUNDS; i++) {
        switch_to(&first, false);
        switch_to(&other, false);
    }
    switch_to(&first, false); /* ends; `second` goes on in its place */
    weft__san_close(&first.sanitizer);
    switch_to(&other, false);
    weft__san_close(&other.sanitizer);
    for (int i = 0; i < ROUNDS; i++) {
        switch_to(&second, false);
    }
    weft__san_close(&second.sanitizer);

    weft__stack_put(&cache, second.stack);
    weft__stack_put(&cache, other.stack);
    weft__stacks_trim(&cache);
    weft__stacks_close(&cache);
    if (steps != 3 * ROUNDS) {
        fprintf(stderr, "%d steps\n", steps);
        return 1;
    }
    return 0;
}
