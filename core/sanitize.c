/* SPDX-License-Identifier: MIT */
/*
 * The calls into AddressSanitizer and ThreadSanitizer; empty in normal builds.
 *
 * Nothing here is instrumented itself: between the announcement of a switch and the switch, the
 * tools already believe to be on the other stack, and an instrumented function would leave on one
 * shadow stack what it entered on the other.
 */
#include "core/sanitize.h"

#if WEFT__SANITIZED

#include <pthread.h>

#include "core/stack.h"

#if WEFT__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WEFT__TSAN
#include <sanitizer/tsan_interface.h>
#endif

WEFT__NO_SANITIZE void weft__san_open(struct sanitizer_fiber *fiber, const struct stack *stack)
{
    fiber->fake_stack = NULL;
    fiber->bottom = stack->bottom;
    fiber->size = (size_t)((const char *)stack->top - (const char *)stack->bottom);
    fiber->tsan = NULL;
#if WEFT__TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
}

WEFT__NO_SANITIZE void weft__san_open_thread(struct sanitizer_fiber *fiber)
{
    fiber->fake_stack = NULL;
    fiber->bottom = NULL;
    fiber->size = 0;
    fiber->tsan = NULL;

    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        void *bottom;
        size_t size;
        if (pthread_attr_getstack(&attributes, &bottom, &size) == 0) {
            fiber->bottom = bottom;
            fiber->size = size;
        }
        (void)pthread_attr_destroy(&attributes); /* has no failure that matters */
    }
#if WEFT__TSAN
    fiber->tsan = __tsan_get_current_fiber();
#endif
}

WEFT__NO_SANITIZE void weft__san_close(struct sanitizer_fiber *fiber)
{
#if WEFT__TSAN
    if (fiber->tsan) __tsan_destroy_fiber(fiber->tsan);
#endif
    fiber->tsan = NULL;
}

/* Whoever used this stack before may have left frames marked: all below this one are history. */
WEFT__NO_SANITIZE void weft__san_enter(struct sanitizer_fiber *self)
{
#if WEFT__ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
    const char *here = __builtin_frame_address(0);
    const char *bottom = self->bottom;
    __asan_unpoison_memory_region(bottom, (size_t)(here - bottom));
#else
    (void)self;
#endif
}

/*
 * A switch orders what both sides do, as they share a thread: hence TSan's flags are 0. With
 * "no sync" it would report every field that two tasks of one worker use in turn.
 */
WEFT__NO_SANITIZE void weft__san_before_switch(struct sanitizer_fiber *from,
                                               struct sanitizer_fiber *to,
                                               bool ends)
{
#if WEFT__ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake_stack, to->bottom, to->size);
#else
    (void)from;
    (void)ends;
#endif
#if WEFT__TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#else
    (void)to;
#endif
}

WEFT__NO_SANITIZE void weft__san_after_switch(struct sanitizer_fiber *self)
{
#if WEFT__ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#else
    (void)self;
#endif
}

WEFT__NO_SANITIZE void weft__san_unpoison(void *start, size_t size)
{
#if WEFT__ASAN
    __asan_unpoison_memory_region(start, size);
#else
    (void)start;
    (void)size;
#endif
}

#endif
