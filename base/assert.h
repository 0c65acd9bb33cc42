/* SPDX-License-Identifier: MIT */
/*
 * Assertions about our own bugs.
 *
 * WEFT_ASSERT stays in release builds and is only for what proves corruption: it must not fail
 * because of what the system or the user does. WEFT_DEBUG_ASSERT is for hot paths: unoptimised and
 * sanitizer builds check it, others only see that it compiles.
 */
#ifndef WEFT_BASE_ASSERT_H
#define WEFT_BASE_ASSERT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/*
 * Writes one line to descriptor 2 and aborts. No stdio: its buffers may be what is corrupt, and a
 * formatted line needs more stack than a small task may have left.
 */
__attribute__((noinline, cold, noreturn, unused)) static void weft__assert_fail(const char *where,
                                                                                const char *what)
{
    const char *texts[] = {"weft: ", where, ": ", what, "\n"};
    struct iovec parts[sizeof texts / sizeof *texts];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        parts[i].iov_base = (void *)(uintptr_t)texts[i]; /* writev() only reads */
        parts[i].iov_len = strlen(texts[i]);
    }
    ssize_t written = writev(2, parts, sizeof parts / sizeof *parts);
    (void)written; /* there is no other place to complain */
    abort();
}

#define WEFT__ASSERT_TEXT_(x) #x
#define WEFT__ASSERT_TEXT(x)  WEFT__ASSERT_TEXT_(x)
#define WEFT__ASSERT_WHERE    __FILE__ ":" WEFT__ASSERT_TEXT(__LINE__)

#define WEFT_ASSERT(condition)                                                                     \
    (__builtin_expect(!!(condition), 1)                                                            \
         ? (void)0                                                                                 \
         : weft__assert_fail(WEFT__ASSERT_WHERE, "assertion failed: " #condition))

/* For the impossible `default:` and the end of a function that cannot get there. */
#define WEFT_UNREACHABLE() weft__assert_fail(WEFT__ASSERT_WHERE, "reached what cannot be reached")

#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEFT_DEBUG_ASSERT(condition) WEFT_ASSERT(condition)
#else
#define WEFT_DEBUG_ASSERT(condition) ((void)sizeof(!!(condition)))
#endif

#endif
