/* SPDX-License-Identifier: MIT */
/*
 * What every other header of weft stands on: attributes, the version, and the creation site.
 *
 * Results are ints: 0 or a count, or a negative errno. The fixed meanings are -EPIPE closed,
 * -ETIMEDOUT the current scope's deadline, -ECANCELED cancelled, -EAGAIN a try-call would block,
 * -EPERM not in a task, -EINVAL a caller's bug, -ENOMEM, -ESRCH a stale handle.
 */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEFT_EXTERN_C_BEGIN extern "C" {
#define WEFT_EXTERN_C_END   }
#else
#define WEFT_EXTERN_C_BEGIN
#define WEFT_EXTERN_C_END
#endif

/* A wrong type given to a typed task or channel must not compile. Newer compilers (gcc 14, clang
 * 16) refuse these two by themselves, older ones only warn. */
#ifndef __cplusplus
#pragma GCC diagnostic error "-Wint-conversion"
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#endif

#define WEFT_API        __attribute__((visibility("default")))
#define WEFT_MUST_CHECK __attribute__((warn_unused_result))
#define WEFT_INLINE     static inline __attribute__((unused))

/* Major * 10000 + minor * 100 + patch, of the header and (weft_version()) of the library. */
#define WEFT_VERSION 100

/* Where something was created, as shown by dumps and reports: a static string "file:line". */
#define WEFT_STRINGIFY_(x) #x
#define WEFT_STRINGIFY(x)  WEFT_STRINGIFY_(x)
#define WEFT_SITE          (__FILE__ ":" WEFT_STRINGIFY(__LINE__))

#define WEFT_CONCAT_(a, b) a##b
#define WEFT_CONCAT(a, b)  WEFT_CONCAT_(a, b)

WEFT_EXTERN_C_BEGIN

/**
 * Tells which version of the library is loaded.
 *
 * @return the library's WEFT_VERSION
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_version(void);

WEFT_EXTERN_C_END

#endif
