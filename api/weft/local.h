/* SPDX-License-Identifier: MIT */
/*
 * Task-local values: one pointer per task and key, with a destructor.
 *
 * Thread-locals are shared by all tasks of a worker; these are not. Destructors run once when the
 * task ends, after its deferred calls, also when it was cancelled.
 */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include <weft/base.h>

#define WEFT_LOCAL_KEYS_MAX 64

WEFT_EXTERN_C_BEGIN

/* Names a key; valid in every runtime of the process. */
struct weft_local_key {
    unsigned number; /* 0: none */
};

/**
 * Makes a key; keys live as long as the process.
 *
 * @param ret         receives the key
 * @param destructor  NULL, or called with each task's value that is not NULL when the task ends
 *
 * @return 0, or
 *   -ENOSPC  WEFT_LOCAL_KEYS_MAX keys exist already
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_local_open(struct weft_local_key *ret,
                                             void (*destructor)(void *value));

/**
 * Sets the calling task's value.
 *
 * @return 0, or
 *   -EINVAL  no such key
 *   -ENOMEM  no memory for the task's first value
 *   -EPERM   called outside a task
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_local_set(struct weft_local_key key, void *value);

/**
 * Reads the calling task's value.
 *
 * @return the value; NULL if it was never set, for a bad key, or outside a task
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API void *weft_local_get(struct weft_local_key key);

WEFT_EXTERN_C_END

#endif
