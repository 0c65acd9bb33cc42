/* SPDX-License-Identifier: MIT */
/*
 * What sanitizers and Valgrind must hear about stacks and switches. In a normal build all of it
 * vanishes: the functions are empty, struct sanitizer_fiber has no members, and WEFT__SANITIZED
 * is 0, so that core/park.c can keep its tail call.
 *
 * Life of a task, as the tools see it (T is its struct sanitizer_fiber):
 *
 *     weft__san_open(&T, stack)              before the first switch to it, or the restart in place
 *     weft__san_enter(&T)                    the first thing on the new stack
 *     weft__san_before_switch(&A, &B, ends)  the last thing before weft__switch(), or a restart
 *     weft__san_after_switch(&A)             the first thing back on A's stack; if A does not end
 *     weft__san_close(&T)                    off its stack for good, by somebody else
 *
 * The worker's own context takes part as weft__san_open_thread(&W), once, on its thread.
 * Functions that call these are WEFT__NO_SANITIZE and call weft__switch() plainly, not as their
 * tail. ThreadSanitizer has room for some 8,000 threads and started tasks together.
 */
#ifndef WEFT_CORE_SANITIZE_H
#define WEFT_CORE_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT__TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(WEFT__ASAN)
#define WEFT__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(WEFT__TSAN)
#define WEFT__TSAN 1
#endif
#ifndef WEFT__ASAN
#define WEFT__ASAN 0
#endif
#ifndef WEFT__TSAN
#define WEFT__TSAN 0
#endif
#define WEFT__SANITIZED (WEFT__ASAN || WEFT__TSAN)

/*
 * For functions that run between the announcement of a switch and its end: they must not be
 * instrumented, nor inlined into one that is.
 */
#if !WEFT__SANITIZED
#define WEFT__NO_SANITIZE
#elif defined(__clang__)
#define WEFT__NO_SANITIZE __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define WEFT__NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#endif

struct stack;

#if WEFT__SANITIZED

struct sanitizer_fiber {
    void *fake_stack;   /* ASan: frames that live in its heap, while not running */
    const void *bottom; /* ASan: the stack that it runs on */
    size_t size;
    void *tsan; /* TSan: its fiber */
};

void weft__san_open(struct sanitizer_fiber *fiber, const struct stack *stack);
void weft__san_open_thread(struct sanitizer_fiber *fiber);
void weft__san_close(struct sanitizer_fiber *fiber);
void weft__san_enter(struct sanitizer_fiber *self);
void weft__san_before_switch(struct sanitizer_fiber *from, struct sanitizer_fiber *to, bool ends);
void weft__san_after_switch(struct sanitizer_fiber *self);
void weft__san_unpoison(void *start, size_t size);

#else

__extension__ struct sanitizer_fiber {
};

static inline void weft__san_open(struct sanitizer_fiber *fiber, const struct stack *stack)
{
    (void)fiber;
    (void)stack;
}
static inline void weft__san_open_thread(struct sanitizer_fiber *fiber)
{
    (void)fiber;
}
static inline void weft__san_close(struct sanitizer_fiber *fiber)
{
    (void)fiber;
}
static inline void weft__san_enter(struct sanitizer_fiber *self)
{
    (void)self;
}
static inline void weft__san_before_switch(struct sanitizer_fiber *from,
                                           struct sanitizer_fiber *to,
                                           bool ends)
{
    (void)from;
    (void)to;
    (void)ends;
}
static inline void weft__san_after_switch(struct sanitizer_fiber *self)
{
    (void)self;
}
static inline void weft__san_unpoison(void *start, size_t size)
{
    (void)start;
    (void)size;
}

#endif

/* Valgrind: which memory is a stack, and whether it looks on. Cost where it does not: a few
 * instructions. */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>

/* `top` belongs to it: an empty stack has its pointer there, and the first step down from it must
 * not be taken for one down from the stack before. */
static inline unsigned weft__san_register(const void *bottom, const void *top)
{
    return (unsigned)VALGRIND_STACK_REGISTER(bottom, top);
}
static inline void weft__san_deregister(unsigned valgrind_id)
{
    VALGRIND_STACK_DEREGISTER(valgrind_id);
}
static inline bool weft__san_on_valgrind(void)
{
    return RUNNING_ON_VALGRIND != 0;
}
#else
static inline unsigned weft__san_register(const void *bottom, const void *top)
{
    (void)bottom;
    (void)top;
    return 0;
}
static inline void weft__san_deregister(unsigned valgrind_id)
{
    (void)valgrind_id;
}
static inline bool weft__san_on_valgrind(void)
{
    return false;
}
#endif

#endif
