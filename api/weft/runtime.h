/* SPDX-License-Identifier: MIT */
/*
 * The runtime: start it, reach it from other threads, end it.
 *
 * A runtime runs from weft_run() until its root task returned and all other tasks have ended, or
 * lives in a host's loop (<weft/host.h>). Its handle is counted and outlives it, so that threads
 * can post to it without a race.
 */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include <weft/base.h>
#include <weft/task.h>

WEFT_EXTERN_C_BEGIN

/*
 * Workers. weft_config.workers threads run tasks, the calling one among them. A task that has not
 * started may be taken by an idle worker; one that has stays on its thread to its end. So errno,
 * thread-locals and pthread mutexes (not held over a call that may sleep) keep working. Tasks on
 * different workers run at the same time: what they share besides weft's own objects needs a mutex
 * or atomics. Channels, select, joins, cancellations, scopes and weft_close() work across workers;
 * an object that only one worker uses costs no atomic instruction. What needs another worker
 * itself, a cancellation or the closing of a descriptor that it waits for, happens at the end of
 * the slice that it runs now. Posted functions run on worker 0.
 */
struct weft_runtime;

/* Bits of weft_config.flags. */
enum {
    WEFT_VIRTUAL_CLOCK = 1 << 0,   /* as WEFT_CLOCK=virtual */
    WEFT_GUARDS_REQUIRED = 1 << 1, /* as WEFT_GUARDS=require: no unguarded stacks */
    WEFT_REPORT_LEAKS = 1 << 2,    /* as WEFT_LEAKS=1: name tasks that ended unjoined or were
                                       still alive when the root returned */
    WEFT_OVERFLOW_FORCE = 1 << 3,  /* install the overflow handler over an existing one (chained) */
    WEFT_OVERFLOW_OFF = 1 << 4,    /* never install it */
    WEFT_NO_DEADLOCK_REPORT = 1 << 5, /* detect, but do not print */
    WEFT_NO_ENVIRONMENT = 1 << 6,     /* ignore WEFT_* variables */
};

/* Begin with WEFT_CONFIG_INIT; zero means the default everywhere. Copied by weft_run(). */
struct weft_config {
    size_t size;       /* sizeof(struct weft_config), set by WEFT_CONFIG_INIT */
    unsigned workers;  /* threads that run tasks; WEFT_CONFIG_INIT sets 1; 0: one per processor that
                          the process may use; at most 256 (WEFT_WORKERS=) */
    unsigned flags;    /* WEFT_VIRTUAL_CLOCK and the like */
    size_t stack_size; /* usable bytes per task; default 64 KiB (WEFT_STACK_SIZE=) */
    int64_t grace_ns;  /* how long tasks may take to end after the root; default 5 s */
    uint64_t seed;     /* of select's random choice; default: from the system (WEFT_SEED=) */
    int report_fd;     /* where reports go; 0 means standard error */
    int dump_signal;   /* a signal that makes every runtime of the process print its task dump,
                          each worker its own; 0: none (WEFT_DUMP_SIGNAL=) */
    void (*on_task_start)(weft_task task, void *arg); /* before a task's function runs */
    void (*on_task_end)(weft_task task, void *arg);   /* after its last deferred call */
    void *hook_arg;
    int64_t watchdog_ns; /* name a task that has held its worker for so long, while it does; takes
                            a thread that looks now and then. 0: off (WEFT_WATCHDOG_MS=) */
    int64_t spin_ns;     /* how long a worker without work looks on, at the cost of a processor,
                            before it sleeps; never with the virtual clock. 0: off
                            (WEFT_SPIN_US=) */
    void *reserved[5];   /* zero */
};

#define WEFT_CONFIG_INIT                                                                           \
    {                                                                                              \
        sizeof(struct weft_config), 1, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0,                   \
        {                                                                                          \
            NULL, NULL, NULL, NULL, NULL                                                           \
        }                                                                                          \
    }

/**
 * Runs `root` as the first task of a new runtime, on the calling thread, until it returned and
 * every other task has ended.
 *
 * When the root returns, all other tasks are cancelled and joined for config.grace_ns. When all
 * tasks sleep and nothing can wake them, a report names each of them and what it waits for; then
 * they are cancelled and joined in the same way.
 *
 * @param config  NULL for the defaults; borrowed for the call
 * @param root    the root task's function
 * @param arg     passed to it
 *
 * @return the root's result, or
 *   -EDEADLK  all tasks slept and nothing could wake them
 *   -EBUSY    the root returned 0, but a task did not end within the grace time; its stack stays
 *   -EPERM    called from inside a task
 *   -EINVAL   a bad configuration
 *   -ENOMEM   and other errors of the system: nothing was run
 *
 * Context: thread. Sleeps: the thread. Cancellation point: no.
 */
WEFT_API int weft_run(const struct weft_config *config, weft_fn root, void *arg);

/**
 * What WEFT_MAIN's main() calls: runs app_main(argc, argv) as the root task.
 *
 * @return the exit status: the root's result if it is between 0 and 255, else 1. If tasks did not
 *         end in time it flushes stdio and calls _exit() instead of returning.
 *
 * Context: thread. Sleeps: the thread. Cancellation point: no.
 */
WEFT_API int weft_main(int (*app_main)(int argc, char **argv), int argc, char **argv);

/* Defines main(): `static int app_main(int argc, char **argv)` is the root task. */
#define WEFT_MAIN(app_main)                                                                        \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return weft_main(app_main, argc, argv);                                                    \
    }                                                                                              \
    struct weft_runtime

/**
 * Tells which worker runs the caller.
 *
 * @return 0 to weft_worker_count() - 1; 0 outside of a runtime, too
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API unsigned weft_worker_index(void);

/**
 * Tells how many workers the caller's runtime has: weft_config.workers.
 *
 * @return at least 1; 0 outside of a runtime
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API unsigned weft_worker_count(void);

/**
 * Names the backend that this library holds.
 *
 * @return "epoll", "fake", ...; static
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API const char *weft_backend_name(void);

/**
 * Gives the backend's own loop, for libraries that want it raw: uv_loop_t *, struct ev_loop *,
 * struct event_base *. They may add and remove watchers of their own, and never run or stop it.
 *
 * @return the loop, in host mode the host's; NULL for epoll (see weft_native_fd()) or outside a
 *         runtime
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API void *weft_native_loop(void);

/**
 * Gives the descriptor that the worker sleeps on, if its loop has one.
 *
 * @return the descriptor, borrowed; -ENOSYS if there is none; -EPERM outside a runtime
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_native_fd(void);

/**
 * Finds the runtime of the calling task; in a host's callbacks, the one that was attached last to
 * the thread.
 *
 * @return the runtime, borrowed: use weft_runtime_ref() to keep it. NULL elsewhere.
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API struct weft_runtime *weft_runtime_current(void);

/**
 * Takes a reference. While one is held, sleeping tasks are no deadlock: somebody may wake them.
 * The runtime still ends when its root returns.
 *
 * @return 0, or
 *   -EINVAL  runtime is NULL
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_runtime_ref(struct weft_runtime *runtime);

/**
 * Gives a reference back; the last one frees the handle of an ended runtime.
 *
 * @return 0, or
 *   -EINVAL  runtime is NULL
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_runtime_unref(struct weft_runtime *runtime);

/**
 * Spawns a task into the root scope from any thread, and from the callbacks of a host.
 *
 * @param runtime  held by the caller
 * @param ret      NULL for a detached task, or receives its handle
 * @param options  NULL, or as for weft_spawn_with(); borrowed for the call
 * @param fn, arg  the task's function and what it gets
 *
 * @return 0, or
 *   -ESRCH   the runtime has ended
 *   -ENOMEM  no memory for the task's record
 *   -EINVAL  fn is NULL, or bad options
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_runtime_spawn(struct weft_runtime *runtime,
                                weft_task *ret,
                                const struct weft_spawn_options *options,
                                weft_fn fn,
                                void *arg);

/** As weft_runtime_spawn(), with the creation site. Context: any. */
WEFT_API int weft_runtime_spawn_at(struct weft_runtime *runtime,
                                   weft_task *ret,
                                   const struct weft_spawn_options *options,
                                   weft_fn fn,
                                   void *arg,
                                   const char *site);
#define weft_runtime_spawn(runtime, ret, options, fn, arg)                                         \
    weft_runtime_spawn_at(runtime, ret, options, fn, arg, WEFT_SITE)

/**
 * Asks the runtime to end: cancels its root scope, and with it every task, those that are spawned
 * later included. One that lives in a host's loop stays attached until weft_detach_loop().
 *
 * @return 0, or
 *   -ESRCH   it has ended already
 *   -EINVAL  runtime is NULL
 *
 * Context: any thread, signal handlers. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_runtime_stop(struct weft_runtime *runtime);

/* A function to be run by a worker; the caller's memory until it ran. Begin with fn and arg set
 * and the rest zero. */
struct weft_post {
    void (*fn)(void *arg);
    void *arg;
    void *reserved[2]; /* the core's: link and state */
};

/**
 * Hands a function to the runtime: it runs once, on worker 0, outside of any task. It may spawn,
 * use try-calls, close channels and cancel, and must not block. Posts of one thread run in order.
 *
 * @param runtime  held by the caller
 * @param node     the caller's; may be posted again as soon as fn was entered
 *
 * @return 0, also when the node is queued already (it runs once), or
 *   -ESRCH   the runtime has ended: fn will not run
 *   -EINVAL  NULL runtime, node or fn
 *
 * Context: any thread, signal handlers. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_post(struct weft_runtime *runtime, struct weft_post *node);

/**
 * Makes a forked child usable: forgets the parent's runtime without touching what it has
 * registered with the kernel. Until then every call in the child gives -EOWNERDEAD.
 *
 * @return 0, or
 *   -EPERM  not in a forked child
 *
 * Context: the forked child's only thread. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_after_fork_child(void);

WEFT_EXTERN_C_END

#endif
