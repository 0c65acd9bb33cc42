/* SPDX-License-Identifier: MIT */
/*
 * Living in a host's loop: tasks inside a program that has an event loop already.
 *
 * weft_attach() makes a runtime without a root task that lives in the caller's loop: a uv_loop_t, a
 * struct ev_loop, a struct event_base, or any loop that can watch one descriptor. The host goes on
 * turning its loop as before; in each pass in which something happened, tasks run on that thread
 * for a bounded time. There is no second loop and no thread.
 *
 * The host's callbacks are not tasks. They hand work over with weft_runtime_spawn(), weft_post(),
 * `.shared` channels and weft_host_call(), none of which waits; calls that would wait give -EPERM.
 * A task must not run the host's loop.
 */
#ifndef WEFT_HOST_H
#define WEFT_HOST_H

#include <weft/base.h>
#include <weft/runtime.h>
#include <weft/time.h>

WEFT_EXTERN_C_BEGIN

/**
 * Makes a runtime that lives in the calling thread's loop. It has no root task: it lives until
 * weft_detach_loop(), or the end of the thread, and never reports a deadlock. Several may live in
 * one loop.
 *
 * A native loop is kept alive by what tasks wait for (descriptors, deadlines, being ready), not by
 * the runtime itself, nor by tasks that only other threads or the host can wake.
 *
 * @param ret     receives the runtime, borrowed until weft_detach_loop()
 * @param config  NULL for the defaults, or as for weft_run(); borrowed for the call
 * @param native  the loop, of the backend's kind: uv_loop_t *, struct ev_loop * or struct
 *                event_base *; it outlives the attachment. NULL: the host watches weft_host_fd()
 *
 * @return 0, or
 *   -ENOTSUP     this backend cannot live in such a loop, or has no descriptor to watch
 *   -EPERM       called from inside a task or a posted function
 *   -EINVAL      ret is NULL, or a bad configuration
 *   -EOWNERDEAD  in a forked child, before weft_after_fork_child()
 *   -ENOMEM      and other errors of the system
 *
 * Context: the thread that turns the loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_attach(struct weft_runtime **ret, const struct weft_config *config, void *native);

/**
 * Ends an attached runtime: leaves the host's loop, cancels every task and joins them, for
 * config.grace_ns at most, in a loop of its own. The host's loop is as before, and nothing of ours
 * is called from it any more.
 *
 * @param runtime  attached by this thread; the handle is gone afterwards unless it is held
 *
 * @return 0, or
 *   -EBUSY       a task did not end within the grace time; its stack stays. Detached all the same.
 *   -EPERM       called from inside a task or a posted function, or attached by another thread, or
 *                not attached at all
 *   -ESRCH       it has ended
 *   -EINVAL      runtime is NULL
 *   -EOWNERDEAD  in a forked child, before weft_after_fork_child()
 *   -EMFILE      and other errors of the system: the loop of its own cannot be had. Still attached.
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: the thread, until all tasks ended.
 * Cancellation point: no.
 */
WEFT_API int weft_detach_loop(struct weft_runtime *runtime);

/**
 * Runs a function now, as weft_post() would in the next turn: it may open channels, spawn, use
 * try-calls, close and cancel, and must not wait. What it made ready runs in the next turn.
 *
 * @param runtime  attached by this thread
 *
 * @return 0, or
 *   -EPERM       called from inside a task or a posted function, or not attached by this thread
 *   -ESRCH       it has ended
 *   -EINVAL      runtime or fn is NULL
 *   -EOWNERDEAD  in a forked child, before weft_after_fork_child()
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_host_call(struct weft_runtime *runtime, void (*fn)(void *arg), void *arg);

/* ---- for loops that the backend does not know: attached with native NULL ---- */

/**
 * Gives the descriptor that the host watches. It polls readable when there is work for
 * weft_host_dispatch(), and stays the same until weft_detach_loop().
 *
 * @return the descriptor, borrowed: to be polled, never read; or
 *   -EPERM    not attached by this thread
 *   -ENOTSUP  it was attached to a native loop
 *   -ESRCH    the runtime has ended
 *   -EINVAL   runtime is NULL
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_host_fd(struct weft_runtime *runtime);

/**
 * Tells how long the host may sleep on weft_host_fd() before it calls weft_host_dispatch(). Ask
 * after the last call into weft: a spawn changes the answer.
 *
 * @return nanoseconds; 0 if a task is ready; WEFT_FOREVER without a deadline, in a runtime that is
 *         no such one or has ended, and on other threads
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int64_t weft_host_timeout(struct weft_runtime *runtime);

/**
 * The same as poll(2) and epoll_wait(2) want it.
 *
 * @return milliseconds, rounded up; -1 for WEFT_FOREVER
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_host_timeout_ms(struct weft_runtime *runtime);

/**
 * Tells whether a native loop would be kept alive: a task is ready, or waits for a descriptor or a
 * deadline. For hosts that end when nothing is left to do.
 *
 * @return 1, or 0, also in a runtime that is no such one or has ended, and on other threads
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_host_is_alive(struct weft_runtime *runtime);

/**
 * One turn: works off what has happened and runs tasks, for a bounded time. To be called when
 * weft_host_fd() is readable or weft_host_timeout() has passed; at any other time it does no harm.
 *
 * @return 0, or
 *   -EPERM       called from inside a task or a posted function, or not attached by this thread
 *   -ENOTSUP     it was attached to a native loop, which calls by itself
 *   -ESRCH       the runtime has ended
 *   -EINVAL      runtime is NULL
 *   -EOWNERDEAD  in a forked child, before weft_after_fork_child()
 *
 * Context: the host's callbacks, or outside of its loop. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_host_dispatch(struct weft_runtime *runtime);

WEFT_EXTERN_C_END

#endif
