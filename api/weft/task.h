/* SPDX-License-Identifier: MIT */
/*
 * Tasks: functions that run beside each other, each on a stack of its own.
 *
 * A spawned task is queued; its parent goes on. It gets a stack when it first runs. A handle is a
 * small value; a stale one gives -ESRCH, never a crash.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <weft/base.h>

WEFT_EXTERN_C_BEGIN

/* What a task runs: its result is what weft_join() reports. The shape of C11's thrd_start_t. */
typedef int (*weft_fn)(void *arg);

/* Names a task. {0, NULL} names none. Ids are unique in the process and never reused. */
typedef struct weft_task {
    uint64_t id;
    void *slot;
} weft_task;

/* Where a task may run; matters with several workers only. */
enum weft_placement {
    WEFT_ANYWHERE = 0, /* may be stolen until it first runs */
    WEFT_HERE = 1,     /* never leaves the worker that spawned it */
    WEFT_SPREAD = 2,   /* goes to the worker with the fewest live tasks of this kind, and stays */
    /*
     * May continue on another worker, thus on another thread, after any call that suspends it, as
     * Go's goroutines do: when its worker has more to do than it can, and another one rests. Calls
     * on descriptors wait where they began; it may move in the next call after them.
     *
     * For code that keeps nothing of its thread over such a call: no pthread mutex, no pointer to a
     * thread-local variable, and no errno. Compilers keep the address of a thread-local, errno
     * included, in a register: after a move they read that of the old thread. weft's own results
     * are return values; to read or set errno beside them call weft_errno() and weft_set_errno().
     */
    WEFT_MIGRATABLE = 3,
};

/* Begin with WEFT_SPAWN_OPTIONS_INIT; zero means the default. */
struct weft_spawn_options {
    size_t size;                /* sizeof(struct weft_spawn_options), set by the initialiser */
    const char *name;           /* shown in reports; must outlive the task */
    size_t stack_size;          /* usable bytes, rounded up to pages and to at least 16 KiB */
    void (*on_drop)(void *arg); /* called instead of fn, on the worker's own stack, if no stack
                                   could ever be had: frees what arg owns */
    unsigned placement;         /* an enum weft_placement */
    unsigned flags;             /* zero */
    void *reserved[2];          /* zero */
};

#define WEFT_SPAWN_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(struct weft_spawn_options), NULL, 0, NULL, 0, 0,                                    \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/**
 * Spawns a task into the root scope, as Go's `go fn(arg)`: it inherits no deadline, shield or
 * cancellation. Never switches; siblings start in the order in which they were spawned.
 *
 * @param ret  NULL for a detached task, whose record is freed when it ends; or receives its
 *             handle, and somebody must weft_join() or weft_detach() it
 * @param fn   its function
 * @param arg  passed to fn; whoever the two agree on owns it
 *
 * @return 0, or
 *   -ENOMEM  no memory for the task's record
 *   -EINVAL  fn is NULL
 *   -EPERM   outside of a runtime (see weft_runtime_spawn())
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_spawn(weft_task *ret, weft_fn fn, void *arg);

/** As weft_spawn(), with the creation site. Context: task, or a posted function. */
WEFT_API int weft_spawn_at(weft_task *ret, weft_fn fn, void *arg, const char *site);
#define weft_spawn(ret, fn, arg) weft_spawn_at(ret, fn, arg, WEFT_SITE)

/**
 * As weft_spawn(), with options.
 *
 * @param options  borrowed for the call; options->name must outlive the task
 *
 * @return as weft_spawn(); -EINVAL also for an option that does not exist
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_spawn_with(weft_task *ret,
                             const struct weft_spawn_options *options,
                             weft_fn fn,
                             void *arg);

/** As weft_spawn_with(), with the creation site. Context: task, or a posted function. */
WEFT_API int weft_spawn_with_at(weft_task *ret,
                                const struct weft_spawn_options *options,
                                weft_fn fn,
                                void *arg,
                                const char *site);
#define weft_spawn_with(ret, options, fn, arg) weft_spawn_with_at(ret, options, fn, arg, WEFT_SITE)

/**
 * The calling thread's errno, which is kept for each task. Right also in a task that has moved to
 * another thread (WEFT_MIGRATABLE), where the compiler may have kept errno's old address.
 *
 * @return errno
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_errno(void);

/**
 * Sets what weft_errno() returns.
 *
 * @param number  what errno becomes
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API void weft_set_errno(int number);

struct weft_scope;

/**
 * What WEFT_TASK's functions call: spawns fn with a copy of `size` bytes at `args`, kept in the
 * task's record (up to 48 bytes) or in one allocation that the task owns. fn gets their address,
 * which is valid until its first blocking call.
 *
 * @param scope  NULL for the root scope, else as weft_scope_spawn()
 *
 * @return as weft_spawn() or weft_scope_spawn()
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_spawn_copy_at(weft_task *ret,
                                struct weft_scope *scope,
                                weft_fn fn,
                                const void *args,
                                size_t size,
                                const char *site);

/**
 * Waits for a task to end and takes its result. The first join after the end, and all that were
 * waiting when it ended, get the result; then the handle is stale.
 *
 * @param task        a handle
 * @param ret_result  NULL, or receives the task's result; must stay valid until the call returns
 *
 * @return 0, or
 *   -ESRCH      no such task: never was, joined already, detached and ended, or its runtime ended
 *   -EDEADLK    the task is the caller
 *   -ETIMEDOUT  the current scope's deadline passed; the task goes on and stays joinable
 *   -ECANCELED  the caller was cancelled; the task goes on and stays joinable
 *   -EPERM      called outside a task; or a task of another runtime
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_join(weft_task task, int *ret_result);

/**
 * Gives up the right to join: the task's record is freed when it ends (or now, if it has).
 *
 * @return 0, or
 *   -ESRCH  no such task
 *   -EPERM  outside of a runtime
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_detach(weft_task task);

/**
 * Cancels a task: its current and every later blocking call gives -ECANCELED (except in
 * weft_shielded). A task that never ran still starts. An operation that took effect is reported
 * as such; the call after it sees the cancellation.
 *
 * @return 0, also for a task that ended and is not joined, or
 *   -ESRCH  no such task
 *
 * Context: any thread. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_cancel(weft_task task);

/**
 * Goes to the back of the queue of ready tasks. Of tasks that were spawned and have not started yet
 * at least eight go first; of many, the rest may come later.
 *
 * @return 0, or
 *   -ETIMEDOUT  the current scope's deadline has passed
 *   -ECANCELED  the task or a scope around it was cancelled
 *   -EPERM      called outside a task
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_yield(void);

/**
 * Names the calling task.
 *
 * @return its handle; {0, NULL} outside a task
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API weft_task weft_self(void);

/**
 * Gives the name from the spawn options.
 *
 * @return the name, NULL if it has none or outside a task
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API const char *weft_task_name(void);

/**
 * Registers a call for the end of the calling task: last registered, first called; also after a
 * cancellation; shielded, so that it may block.
 *
 * @param fn, arg  the call
 *
 * @return 0, or
 *   -ENOMEM  no memory: nothing was registered
 *   -EINVAL  fn is NULL
 *   -EPERM   called outside a task
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_defer(void (*fn)(void *arg), void *arg);

/**
 * Tells where the calling task's stack lies.
 *
 * @param ret_low, ret_high  receive the lowest usable address and the exclusive end
 *
 * @return 0, or
 *   -EPERM  called outside a task
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_stack_bounds(void **ret_low, void **ret_high);

/**
 * Tells how much of the calling task's stack was ever used, in whole pages, since its memory was
 * last fresh (an upper bound: an earlier task may have used the same stack).
 *
 * @return bytes; 0 outside a task
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API size_t weft_stack_high_water(void);

WEFT_EXTERN_C_END

/*
 * WEFT_TASK(say, (const char *, word), (int, times)) { ... return 0; }
 *
 * Defines the function `static int say(const char *word, int times)`, and for it:
 *   weft_go(say, "world", 5)                       spawns it detached, as Go's `go say("world", 5)`
 *   say_spawn(&task, "world", 5)                   spawns it joinable
 *   say_scope_spawn(&scope, &task, "world", 5)     spawns it into a scope (task may be NULL)
 * 0 to 8 parameters of any types that can be assigned; they are copied. A wrong type does not
 * compile.
 */
#define WEFT_TASK(...) WEFT__TASK_DISPATCH(WEFT__COUNT(__VA_ARGS__))(__VA_ARGS__)
#define weft_go(...)   WEFT__GO_DISPATCH(WEFT__COUNT(__VA_ARGS__))(__VA_ARGS__)

/* Private from here on. */
#define WEFT__COUNT(...)                                                                           \
    WEFT__COUNT_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define WEFT__COUNT_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count

#define WEFT__TASK_DISPATCH(count) WEFT_CONCAT(WEFT__TASK_, count)
#define WEFT__PARAM(pair)          WEFT__PARAM_ pair
#define WEFT__PARAM_(type, name)   type name
#define WEFT__FIELD(pair)          WEFT__FIELD_ pair
#define WEFT__FIELD_(type, name)   type name;
#define WEFT__STORE(pair)          WEFT__STORE_ pair
#define WEFT__STORE_(type, name)   weft_args_.name = name;
#define WEFT__LOAD(pair)           WEFT__LOAD_ pair
#define WEFT__LOAD_(type, name)    weft_args_.name

/* clang-format off */
#define WEFT__TASK_1(name)                      WEFT__TASK_NONE(name)
#define WEFT__TASK_2(name, a)                   WEFT__TASK_SOME(name, WEFT__EACH_1, WEFT__LIST_1, (a))
#define WEFT__TASK_3(name, a, b)                WEFT__TASK_SOME(name, WEFT__EACH_2, WEFT__LIST_2, (a, b))
#define WEFT__TASK_4(name, a, b, c)             WEFT__TASK_SOME(name, WEFT__EACH_3, WEFT__LIST_3, (a, b, c))
#define WEFT__TASK_5(name, a, b, c, d)          WEFT__TASK_SOME(name, WEFT__EACH_4, WEFT__LIST_4, (a, b, c, d))
#define WEFT__TASK_6(name, a, b, c, d, e)       WEFT__TASK_SOME(name, WEFT__EACH_5, WEFT__LIST_5, (a, b, c, d, e))
#define WEFT__TASK_7(name, a, b, c, d, e, f)    WEFT__TASK_SOME(name, WEFT__EACH_6, WEFT__LIST_6, (a, b, c, d, e, f))
#define WEFT__TASK_8(name, a, b, c, d, e, f, g) WEFT__TASK_SOME(name, WEFT__EACH_7, WEFT__LIST_7, (a, b, c, d, e, f, g))
#define WEFT__TASK_9(name, a, b, c, d, e, f, g, h) \
    WEFT__TASK_SOME(name, WEFT__EACH_8, WEFT__LIST_8, (a, b, c, d, e, f, g, h))

#define WEFT__EACH_1(m, a)                      m(a)
#define WEFT__EACH_2(m, a, b)                   m(a) m(b)
#define WEFT__EACH_3(m, a, b, c)                m(a) m(b) m(c)
#define WEFT__EACH_4(m, a, b, c, d)             m(a) m(b) m(c) m(d)
#define WEFT__EACH_5(m, a, b, c, d, e)          m(a) m(b) m(c) m(d) m(e)
#define WEFT__EACH_6(m, a, b, c, d, e, f)       m(a) m(b) m(c) m(d) m(e) m(f)
#define WEFT__EACH_7(m, a, b, c, d, e, f, g)    m(a) m(b) m(c) m(d) m(e) m(f) m(g)
#define WEFT__EACH_8(m, a, b, c, d, e, f, g, h) m(a) m(b) m(c) m(d) m(e) m(f) m(g) m(h)
#define WEFT__LIST_1(m, a)                      m(a)
#define WEFT__LIST_2(m, a, b)                   m(a), m(b)
#define WEFT__LIST_3(m, a, b, c)                m(a), m(b), m(c)
#define WEFT__LIST_4(m, a, b, c, d)             m(a), m(b), m(c), m(d)
#define WEFT__LIST_5(m, a, b, c, d, e)          m(a), m(b), m(c), m(d), m(e)
#define WEFT__LIST_6(m, a, b, c, d, e, f)       m(a), m(b), m(c), m(d), m(e), m(f)
#define WEFT__LIST_7(m, a, b, c, d, e, f, g)    m(a), m(b), m(c), m(d), m(e), m(f), m(g)
#define WEFT__LIST_8(m, a, b, c, d, e, f, g, h) m(a), m(b), m(c), m(d), m(e), m(f), m(g), m(h)
/* clang-format on */

#define WEFT__CALL(macro, arguments)    WEFT__CALL_(macro, arguments)
#define WEFT__CALL_(macro, arguments)   macro arguments
#define WEFT__WITH(first, arguments)    (first, WEFT__UNWRAP arguments)
#define WEFT__UNWRAP(...)               __VA_ARGS__
#define WEFT__APPLY(each, m, arguments) WEFT__CALL(each, WEFT__WITH(m, arguments))

#define WEFT__TASK_SOME(task, each, list, pairs)                                                   \
    struct task##_args_ {                                                                          \
        WEFT__APPLY(each, WEFT__FIELD, pairs)                                                      \
    };                                                                                             \
    static int task(WEFT__APPLY(list, WEFT__PARAM, pairs));                                        \
    WEFT_INLINE int task##_entry_(void *arg)                                                       \
    {                                                                                              \
        struct task##_args_ weft_args_ = *(const struct task##_args_ *)arg;                        \
        return task(WEFT__APPLY(list, WEFT__LOAD, pairs));                                         \
    }                                                                                              \
    WEFT_INLINE int task##_go_(const char *weft_site_, WEFT__APPLY(list, WEFT__PARAM, pairs))      \
    {                                                                                              \
        struct task##_args_ weft_args_;                                                            \
        WEFT__APPLY(each, WEFT__STORE, pairs)                                                      \
        return weft_spawn_copy_at(                                                                 \
            NULL, NULL, task##_entry_, &weft_args_, sizeof weft_args_, weft_site_);                \
    }                                                                                              \
    WEFT_INLINE int task##_spawn(weft_task *weft_ret_, WEFT__APPLY(list, WEFT__PARAM, pairs))      \
    {                                                                                              \
        struct task##_args_ weft_args_;                                                            \
        WEFT__APPLY(each, WEFT__STORE, pairs)                                                      \
        return weft_spawn_copy_at(                                                                 \
            weft_ret_, NULL, task##_entry_, &weft_args_, sizeof weft_args_, WEFT_SITE);            \
    }                                                                                              \
    WEFT_INLINE int task##_scope_spawn(struct weft_scope *weft_scope_,                             \
                                       weft_task *weft_ret_,                                       \
                                       WEFT__APPLY(list, WEFT__PARAM, pairs))                      \
    {                                                                                              \
        struct task##_args_ weft_args_;                                                            \
        WEFT__APPLY(each, WEFT__STORE, pairs)                                                      \
        return weft_spawn_copy_at(                                                                 \
            weft_ret_, weft_scope_, task##_entry_, &weft_args_, sizeof weft_args_, WEFT_SITE);     \
    }                                                                                              \
    static int task(WEFT__APPLY(list, WEFT__PARAM, pairs))

#define WEFT__TASK_NONE(task)                                                                      \
    static int task(void);                                                                         \
    WEFT_INLINE int task##_entry_(void *arg)                                                       \
    {                                                                                              \
        (void)arg;                                                                                 \
        return task();                                                                             \
    }                                                                                              \
    WEFT_INLINE int task##_go_(const char *weft_site_)                                             \
    {                                                                                              \
        return weft_spawn_copy_at(NULL, NULL, task##_entry_, NULL, 0, weft_site_);                 \
    }                                                                                              \
    WEFT_INLINE int task##_spawn(weft_task *weft_ret_)                                             \
    {                                                                                              \
        return weft_spawn_copy_at(weft_ret_, NULL, task##_entry_, NULL, 0, WEFT_SITE);             \
    }                                                                                              \
    WEFT_INLINE int task##_scope_spawn(struct weft_scope *weft_scope_, weft_task *weft_ret_)       \
    {                                                                                              \
        return weft_spawn_copy_at(weft_ret_, weft_scope_, task##_entry_, NULL, 0, WEFT_SITE);      \
    }                                                                                              \
    static int task(void)

/* clang-format off */
#define WEFT__GO_DISPATCH(count) WEFT_CONCAT(WEFT__GO_, count)
#define WEFT__GO_1(task)        task##_go_(WEFT_SITE)
#define WEFT__GO_MANY(task, ...) task##_go_(WEFT_SITE, __VA_ARGS__)
#define WEFT__GO_2  WEFT__GO_MANY
#define WEFT__GO_3  WEFT__GO_MANY
#define WEFT__GO_4  WEFT__GO_MANY
#define WEFT__GO_5  WEFT__GO_MANY
#define WEFT__GO_6  WEFT__GO_MANY
#define WEFT__GO_7  WEFT__GO_MANY
#define WEFT__GO_8  WEFT__GO_MANY
#define WEFT__GO_9  WEFT__GO_MANY
#define WEFT__GO_10 WEFT__GO_MANY
#define WEFT__GO_11 WEFT__GO_MANY
#define WEFT__GO_12 WEFT__GO_MANY
#define WEFT__GO_13 WEFT__GO_MANY
#define WEFT__GO_14 WEFT__GO_MANY
#define WEFT__GO_15 WEFT__GO_MANY
#define WEFT__GO_16 WEFT__GO_MANY
/* clang-format on */

#endif
