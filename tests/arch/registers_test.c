/* SPDX-License-Identifier: MIT */
/*
 * What an exchange of stacks keeps, tested on the bare functions of core/arch/: a plain program,
 * so that it also runs under an emulator of another machine.
 */
#include <execinfo.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arch/switch.h"
#include "core/sanitize.h"

#define STACK_SIZE   ((size_t)256 << 10)
#define EXIT_SKIPPED 77

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/*
 * int probe_registers(void **ret_from, void *to, intptr_t value, uint64_t seed,
 *                     uint64_t *ret_kept, void (*entry)(intptr_t value)):
 * puts seed + i into the i-th callee-saved register, switches (or starts the entry on the stack
 * that ends at `to`), and stores what is in them then.
 */
#if defined(__x86_64__)
#define REGISTER_COUNT 6
__asm__(".text\n"
        ".globl probe_registers\n"
        ".type probe_registers, @function\n"
        "probe_registers:\n"
        "    endbr64\n"
        "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    push %r8\n" /* ret_kept; also aligns the stack */
        "    lea 0(%rcx), %rbx\n    lea 1(%rcx), %rbp\n    lea 2(%rcx), %r12\n"
        "    lea 3(%rcx), %r13\n    lea 4(%rcx), %r14\n    lea 5(%rcx), %r15\n"
        "    mov %r9, %rcx\n"
        "    test %r9, %r9\n"
        "    jz 1f\n"
        "    call weft__switch_start\n"
        "    jmp 2f\n"
        "1:  call weft__switch\n"
        "2:\n"
        "    pop %r8\n"
        "    mov %rbx, 0(%r8)\n    mov %rbp, 8(%r8)\n    mov %r12, 16(%r8)\n"
        "    mov %r13, 24(%r8)\n    mov %r14, 32(%r8)\n    mov %r15, 40(%r8)\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
        "    ret\n"
        ".size probe_registers, . - probe_registers\n");
#elif defined(__aarch64__)
#define REGISTER_COUNT 19 /* x19 to x29, d8 to d15 */
__asm__(".text\n"
        ".globl probe_registers\n"
        ".type probe_registers, %function\n"
        "probe_registers:\n"
        "    hint #34\n" /* bti c */
        "    stp x29, x30, [sp, #-176]!\n"
        "    stp x19, x20, [sp, #16]\n    stp x21, x22, [sp, #32]\n    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
        "    str x4, [sp, #160]\n"
        "    add x19, x3, #0\n    add x20, x3, #1\n    add x21, x3, #2\n    add x22, x3, #3\n"
        "    add x23, x3, #4\n    add x24, x3, #5\n    add x25, x3, #6\n    add x26, x3, #7\n"
        "    add x27, x3, #8\n    add x28, x3, #9\n    add x29, x3, #10\n"
        "    add x4, x3, #11\n    fmov d8, x4\n    add x4, x3, #12\n    fmov d9, x4\n"
        "    add x4, x3, #13\n    fmov d10, x4\n    add x4, x3, #14\n    fmov d11, x4\n"
        "    add x4, x3, #15\n    fmov d12, x4\n    add x4, x3, #16\n    fmov d13, x4\n"
        "    add x4, x3, #17\n    fmov d14, x4\n    add x4, x3, #18\n    fmov d15, x4\n"
        "    mov x3, x5\n"
        "    cbz x5, 1f\n"
        "    bl weft__switch_start\n"
        "    b 2f\n"
        "1:  bl weft__switch\n"
        "2:\n"
        "    ldr x4, [sp, #160]\n"
        "    stp x19, x20, [x4, #0]\n    stp x21, x22, [x4, #16]\n    stp x23, x24, [x4, #32]\n"
        "    stp x25, x26, [x4, #48]\n    stp x27, x28, [x4, #64]\n    str x29, [x4, #80]\n"
        "    stp d8, d9, [x4, #88]\n    stp d10, d11, [x4, #104]\n"
        "    stp d12, d13, [x4, #120]\n    stp d14, d15, [x4, #136]\n"
        "    ldp x19, x20, [sp, #16]\n    ldp x21, x22, [sp, #32]\n    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #176\n"
        "    ret\n"
        ".size probe_registers, . - probe_registers\n");
#endif

#ifdef REGISTER_COUNT
int probe_registers(void **ret_from,
                    void *to,
                    intptr_t value,
                    uint64_t seed,
                    uint64_t kept[REGISTER_COUNT],
                    void (*entry)(intptr_t value));
#endif

static void *outside;
static void *inside;
static char *stack_top;

/* Each test gets the stack anew. */
static void start(void (*entry)(intptr_t value))
{
    inside = weft__switch_prepare(stack_top, entry);
}

static int to_inside(intptr_t value)
{
    return weft__switch(&outside, inside, value);
}

static int to_outside(intptr_t value)
{
    return weft__switch(&inside, outside, value);
}

static void echo(intptr_t value)
{
    for (;;) {
        value = to_outside(value + 1);
    }
}

static void echo_once(intptr_t value)
{
    weft__switch_leave(outside, to_outside(value + 1) + 2);
}

static void who_leaves_passes_a_value(void)
{
    CHECK(weft__switch_start(&outside, stack_top, -3, echo_once) == -2);
    CHECK(to_inside(5) == 7);
}

static void values_pass_both_ways(void)
{
    start(echo);

    CHECK(to_inside(41) == 42);
    CHECK(to_inside(0) == 1);
    CHECK(to_inside(-111) == -110);
}

#ifdef REGISTER_COUNT
static void clobber(intptr_t seed)
{
    uint64_t kept[REGISTER_COUNT];
    for (uint64_t round = 0; round < 2; round++) {
        uint64_t own = (uint64_t)seed + round;
        (void)probe_registers(&inside, outside, 0, own, kept, NULL);
        for (uint64_t i = 0; i < REGISTER_COUNT; i++) {
            CHECK(kept[i] == own + i);
        }
    }
    weft__switch_leave(outside, 0);
}

static void look_for_registers(bool starts_directly)
{
    uint64_t kept[REGISTER_COUNT] = {0};
    for (uint64_t round = 0; round < 3; round++) {
        bool starts = starts_directly && round == 0;
        uint64_t seed = UINT64_C(0x4048f5c28f5c2800) + round * 1000;
        void *to = starts ? stack_top : inside;
        (void)probe_registers(&outside, to, 7000, seed, kept, starts ? clobber : NULL);

        for (uint64_t i = 0; i < REGISTER_COUNT; i++) {
            CHECK(kept[i] == seed + i);
        }
    }
}

static void callee_saved_registers_are_kept(void)
{
    start(clobber);
    look_for_registers(false);
    look_for_registers(true);
}
#endif

/* The control words of rounding, and defaults for a fresh context. */
#if defined(__x86_64__)
#define ROUND_DEFAULT (UINT32_C(0x037f) << 16 | 0x1f80)
#define ROUND_UP      (UINT32_C(0x0b7f) << 16 | 0x5f80)

static uint32_t control_get(void)
{
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
    return (uint32_t)x87 << 16 | (mxcsr & 0xffc0);
}

static void control_set(uint32_t words)
{
    uint32_t mxcsr = words & 0xffff;
    uint16_t x87 = (uint16_t)(words >> 16);
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87));
}
#elif defined(__aarch64__)
#define ROUND_DEFAULT UINT32_C(0)
#define ROUND_UP      (UINT32_C(1) << 22)

static uint32_t control_get(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return (uint32_t)fpcr;
}

static void control_set(uint32_t words)
{
    uint64_t fpcr = words;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}
#endif

#ifdef ROUND_UP
static void round_up(intptr_t fresh)
{
    CHECK(fresh == 0 || control_get() == ROUND_DEFAULT);
    control_set(ROUND_UP);
    for (int round = 0; round < 3; round++) {
        (void)to_outside(0);
        CHECK(control_get() == ROUND_UP);
    }
    weft__switch_leave(outside, 0);
}

static void control_words_belong_to_a_context(void)
{
    start(round_up);

    for (int round = 0; round < 4; round++) {
        (void)to_inside(0);
        CHECK(control_get() == ROUND_DEFAULT);
    }
}

#ifndef WEFT_SWITCH_UCONTEXT
static void fresh_contexts_have_default_control_words(void)
{
    start(round_up);

    control_set(ROUND_UP);
    (void)to_inside(1);
    CHECK(control_get() == ROUND_UP);
    (void)weft__switch_start(&outside, stack_top, 1, round_up);
    CHECK(control_get() == ROUND_UP);
    control_set(ROUND_DEFAULT);
}
#endif
#endif

/* Hides where a pointer comes from, so that its alignment is looked at and not assumed. */
static uintptr_t address_of(const volatile void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    __asm__ volatile("" : "+r"(address));
    return address;
}

static void print(intptr_t value)
{
    _Alignas(16) volatile char aligned[16] = {0};
    char text[64];
    (void)snprintf(text, sizeof text, "%.3f %Lf", (double)value / 8, (long double)value);
    CHECK(strcmp(text, "0.125 1.000000") == 0);
    (void)to_outside((intptr_t)(address_of(aligned) % 16));
}

static void entries_find_an_aligned_stack(void)
{
    start(print);

    CHECK(to_inside(1) == 0);
    CHECK(weft__switch_start(&outside, stack_top, 1, print) == 0);
}

__attribute__((noinline)) static void walk(intptr_t depth)
{
    void *frames[64];
    int count = backtrace(frames, 64);
    for (; depth > 0; depth--) {
        (void)to_outside(count);
    }
}

static void walk_deeper(intptr_t depth)
{
    walk(depth);
    (void)to_outside(-1);
}

static void backtraces_end_at_the_entry(void)
{
    start(walk_deeper);

    int count = to_inside(2);
    CHECK(count >= 2 && count <= 4); /* walk, walk_deeper, and what called the entry */
    CHECK(to_inside(0) == count);
    CHECK(to_inside(0) == -1);
    count = weft__switch_start(&outside, stack_top, 2, walk_deeper);
    CHECK(count >= 2 && count <= 4);
}

static void second_life(intptr_t value)
{
    _Alignas(16) volatile char aligned[16] = {0};
    CHECK(address_of(aligned) % 16 == 0);
    CHECK(address_of(aligned) > (uintptr_t)stack_top - 1024);
#if defined(ROUND_UP) && !defined(WEFT_SWITCH_UCONTEXT)
    CHECK(control_get() == ROUND_DEFAULT);
#endif
    echo(value);
}

/* Restarts from so shallow a frame that the second life overwrites it. */
static void first_life(intptr_t value)
{
#ifdef ROUND_UP
    control_set(ROUND_UP);
#endif
    weft__switch_restart(stack_top, second_life, value + 100);
}

/* Restarts from below a large frame. */
static void deep_first_life(intptr_t value)
{
    volatile char frame[8192];
    frame[value] = 1;
    first_life(value + frame[value]);
}

static void a_stack_is_restarted_in_place(void)
{
    start(first_life);
    CHECK(to_inside(7) == 108);
    CHECK(to_inside(5) == 6);

    start(deep_first_life);
    CHECK(to_inside(7) == 109);
    CHECK(to_inside(5) == 6);
}

#define CROWD 1000

static void *crowd[CROWD];

static void member(intptr_t self)
{
    for (int sum = 0;; sum++) {
        (void)weft__switch(&crowd[self], outside, sum);
    }
}

static void many_contexts_keep_their_own(void)
{
    char *stacks = aligned_alloc(64, CROWD * (size_t)16384);
    CHECK(stacks);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = weft__switch_prepare(stacks + (size_t)16384 * (size_t)(i + 1), member);
    }

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < CROWD; i++) {
            CHECK(weft__switch(&outside, crowd[i], i) == round);
        }
    }
    free(stacks);
}

int main(void)
{
    if (WEFT__SANITIZED) return EXIT_SKIPPED; /* nothing is announced here; sanitize_test.c does */

    char *stack = aligned_alloc(4096, STACK_SIZE);
    CHECK(stack);
    stack_top = stack + STACK_SIZE;

    values_pass_both_ways();
    who_leaves_passes_a_value();
#ifdef REGISTER_COUNT
    callee_saved_registers_are_kept();
#endif
#ifdef ROUND_UP
    control_words_belong_to_a_context();
#ifndef WEFT_SWITCH_UCONTEXT
    fresh_contexts_have_default_control_words();
#endif
#endif
    entries_find_an_aligned_stack();
    backtraces_end_at_the_entry();
    a_stack_is_restarted_in_place();
    many_contexts_keep_their_own();

    free(stack);
    return 0;
}
