/* SPDX-License-Identifier: MIT */
/*
 * Scopes: a deadline, a cancellation, and children that end before the scope does.
 *
 * There are no time-out twins of the blocking calls: each call obeys the scopes around it. Said
 * first, because it surprises: inside weft_with_timeout and weft_shielded blocks, `break` and
 * `continue` leave only the block itself; `return` and `goto` leave as they always do, and the
 * scope is closed in each case.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <weft/base.h>
#include <weft/task.h>

WEFT_EXTERN_C_BEGIN

/* Allocated by its user, on the stack of the task that opens it; the words are the core's. */
struct weft_scope {
    uint64_t reserved[28];
};

/**
 * Opens a scope inside the current one; it becomes the current scope of the calling task.
 *
 * @param scope  the caller's memory, to be closed by the same task, last opened first, and before
 *               that memory goes: a scope on the stack of a function that has returned cannot be
 *               told from anything else (weft_timeout_scope and the blocks close by themselves)
 *
 * @return 0, or
 *   -EPERM  called outside a task; closing the scope is harmless then
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_open(struct weft_scope *scope);

/** As weft_scope_open(), with the creation site. Context: task. */
WEFT_API int weft_scope_open_at(struct weft_scope *scope, const char *site);
#define weft_scope_open(scope) weft_scope_open_at(scope, WEFT_SITE)

/**
 * Opens a scope that expires after `duration_ns`: then every blocking call in it gives -ETIMEDOUT.
 * With a duration of 0 or less it is a try scope for its whole life: each call tries, and gives
 * -ETIMEDOUT where it would sleep.
 *
 * @param duration_ns  nanoseconds from now; WEFT_FOREVER for no deadline
 *
 * @return as weft_scope_open()
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_open_timeout(struct weft_scope *scope, int64_t duration_ns);

/** As weft_scope_open_timeout(), with the creation site. Context: task. */
WEFT_API int weft_scope_open_timeout_at(struct weft_scope *scope,
                                        int64_t duration_ns,
                                        const char *site);
#define weft_scope_open_timeout(scope, duration_ns)                                                \
    weft_scope_open_timeout_at(scope, duration_ns, WEFT_SITE)

/**
 * Spawns a task into a scope: it runs inside it, deadlines included, and ends before it. Its first
 * result below zero cancels the scope.
 *
 * @param scope  an open scope of the calling task or of one around it
 * @param ret    NULL: the task's record is freed when it ends; or receives its handle, to be
 *               joined, given out by weft_scope_next(), or released when the scope closes
 *
 * @return 0, or
 *   -ENOMEM     no memory for the task's record
 *   -EINVAL     fn is NULL, or the scope is not open
 *   -EPERM      outside of a runtime
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_spawn(struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg);

/** As weft_scope_spawn(), with the creation site. Context: task. */
WEFT_API int weft_scope_spawn_at(
    struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg, const char *site);
#define weft_scope_spawn(scope, ret, fn, arg) weft_scope_spawn_at(scope, ret, fn, arg, WEFT_SITE)

/**
 * As weft_scope_spawn(), with spawn options.
 *
 * @param options  borrowed for the call; options->name must outlive the task
 *
 * @return as weft_scope_spawn(); -EINVAL also for an option that does not exist
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_spawn_with(struct weft_scope *scope,
                                   weft_task *ret,
                                   const struct weft_spawn_options *options,
                                   weft_fn fn,
                                   void *arg);

/** As weft_scope_spawn_with(), with the creation site. Context: task. */
WEFT_API int weft_scope_spawn_with_at(struct weft_scope *scope,
                                      weft_task *ret,
                                      const struct weft_spawn_options *options,
                                      weft_fn fn,
                                      void *arg,
                                      const char *site);
#define weft_scope_spawn_with(scope, ret, options, fn, arg)                                        \
    weft_scope_spawn_with_at(scope, ret, options, fn, arg, WEFT_SITE)

/**
 * Cancels everything in the scope: the children, and the owner while it is inside.
 *
 * @return 0, or
 *   -EINVAL  the scope is not open
 *   -EPERM   outside of a runtime
 *
 * Context: task of the same runtime, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_cancel(struct weft_scope *scope);

/**
 * Waits, shielded, until the last child has ended, and closes the scope. The closing itself is
 * never cut short by a cancellation.
 *
 * @return the first child result below zero (a child's -ECANCELED after the scope's own
 *         cancellation does not count); else -ETIMEDOUT or -ECANCELED if the scope itself expired
 *         or was cancelled; else 0; or
 *   -EINVAL  not open, or a scope inside it is still open
 *   -EPERM   not the task that opened it
 *
 * Context: task. Sleeps: yes. Cancellation point: no.
 */
WEFT_API int weft_scope_close(struct weft_scope *scope);

/**
 * Waits for the next child to end that was spawned with a handle, in order of completion.
 *
 * @param ret         NULL, or receives the handle, which is stale now
 * @param ret_result  NULL, or receives its result
 *
 * @return 0, or
 *   -ESRCH      no such child is left
 *   -ETIMEDOUT  the current scope's deadline passed
 *   -ECANCELED  cancelled
 *   -EINVAL     not open
 *   -EPERM      not the task that opened it
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_scope_next(struct weft_scope *scope, weft_task *ret, int *ret_result);

/**
 * Tells how the current scope of the calling task stands.
 *
 * @return 0; -ETIMEDOUT when its own deadline has passed; -ECANCELED when it or the task was
 *         cancelled or an outer deadline has passed; -EPERM outside a task
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_status(void);

/**
 * Moves the deadline of an open scope that has not expired, wherever its owner runs. Of several
 * calls the last one counts. After it the former deadline expires nothing.
 *
 * @param deadline_ns  absolute time on weft_now()'s clock; WEFT_FOREVER for none; a past one
 *                     expires the scope at the next look of the owner's worker at its timers
 *
 * @return 0, or
 *   -ETIMEDOUT  it has expired already
 *   -EINVAL     not open, or a try scope
 *   -EPERM      outside of a runtime, or a scope of another one
 *
 * Context: task of the same runtime, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_set_deadline(struct weft_scope *scope, int64_t deadline_ns);

/**
 * Opens a scope that hides cancellation and deadlines of everything outside. Scopes that are opened
 * inside count. What weft_shielded uses.
 *
 * @return as weft_scope_open()
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_scope_open_shield(struct weft_scope *scope);

/** As weft_scope_open_shield(), with the creation site. Context: task. */
WEFT_API int weft_scope_open_shield_at(struct weft_scope *scope, const char *site);
#define weft_scope_open_shield(scope) weft_scope_open_shield_at(scope, WEFT_SITE)

/* What the block macros call; not for direct use. Context: task. */
WEFT_API struct weft_scope *weft_scope_enter(struct weft_scope *scope,
                                             int64_t duration_ns,
                                             int *ret_status,
                                             const char *site);
/* As weft_scope_enter(), for a shield. Context: task. */
WEFT_API struct weft_scope *weft_scope_enter_shield(struct weft_scope *scope, const char *site);
/* Closes a scope when its variable goes out of sight. Context: task. */
WEFT_API void weft_scope_leave(struct weft_scope *scope);

WEFT_EXTERN_C_END

#define WEFT__SCOPED  __attribute__((cleanup(weft_scope_leave)))
#define WEFT__NAME(x) WEFT_CONCAT(weft_##x##_, __LINE__)

/* A declaration: a scope with a time-out that ends with the enclosing braces. */
#define weft_timeout_scope(name, duration_ns)                                                      \
    struct weft_scope name WEFT__SCOPED;                                                           \
    struct weft_scope *const WEFT__NAME(opened) __attribute__((unused)) =                          \
        weft_scope_enter(&name, duration_ns, NULL, WEFT_SITE)

/* A block with a time-out: weft_with_timeout(2 * WEFT_SEC) { ... } */
#define weft_with_timeout(duration_ns) weft_with_timeout_into(NULL, duration_ns)

/* The same; weft_scope_status() of the block is stored in *ret_status when it is left. */
#define weft_with_timeout_into(ret_status, duration_ns)                                            \
    for (struct weft_scope WEFT__NAME(scope) WEFT__SCOPED,                                         \
         *WEFT__NAME(once) =                                                                       \
             weft_scope_enter(&WEFT__NAME(scope), duration_ns, ret_status, WEFT_SITE);             \
         WEFT__NAME(once);                                                                         \
         WEFT__NAME(once) = NULL)

/* A block that cancellation and outer deadlines do not reach: clean-up that must finish. */
#define weft_shielded                                                                              \
    for (struct weft_scope WEFT__NAME(scope) WEFT__SCOPED,                                         \
         *WEFT__NAME(once) = weft_scope_enter_shield(&WEFT__NAME(scope), WEFT_SITE);               \
         WEFT__NAME(once);                                                                         \
         WEFT__NAME(once) = NULL)

#endif
