/* SPDX-License-Identifier: MIT */
/*
 * Closing and releasing: the number leaves weft, whoever waits for it gets -EBADF, and only then
 * may it be closed and used again.
 *
 * A thread that is no worker asks each live runtime's worker to let go, and waits for it; the last
 * one also closes, so that no task can come in between. A request belongs to the thread until the
 * worker or the thread takes it: the state says who.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <weft/fd.h>

#include "core/fdtable.h"
#include "core/runtime.h"

#define PATIENCE_NS 10000000 /* between two looks whether the runtime is there still */

enum {
    REQUEST_PENDING,
    REQUEST_TAKEN,     /* by the worker, which will tell when it is done */
    REQUEST_ABANDONED, /* by the thread: the worker does nothing but free it */
};

struct request {
    struct weft_post post;
    sem_t done;
    atomic_int state;
    int fd;
    bool closes;
    int result;
};

static int leave_weft(int fd, bool closes);
static void let_go(struct worker *worker, int fd);
static int close_number(int fd);
static bool ask(struct weft_runtime *runtime, int fd, bool closes, int *ret_result);

int weft_close(int fd)
{
    return leave_weft(fd, true);
}

int weft_release(int fd)
{
    int result = leave_weft(fd, false);
    if (result < 0) return result;
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

static int leave_weft(int fd, bool closes)
{
    if (weft__not_in_task() == -EOWNERDEAD) return -EOWNERDEAD;
    struct worker *worker = weft__worker();
    if (worker) {
        let_go(worker, fd);
        return closes ? close_number(fd) : 0;
    }

    int result = 0;
    bool is_closed = false;
    struct weft_runtime *runtime = fd < 0 ? NULL : weft__runtimes_hold(0);
    for (size_t index = 1; runtime; index++) {
        struct weft_runtime *next = weft__runtimes_hold(index);
        bool is_last = closes && !next;
        if (ask(runtime, fd, is_last, &result)) is_closed = is_last;
        (void)weft_runtime_unref(runtime); /* fails for NULL only */
        runtime = next;
    }
    return closes && !is_closed ? close_number(fd) : result;
}

static void let_go(struct worker *worker, int fd)
{
    struct fd_slot *slot = fd_slot_find(&worker->runtime->fds, fd);
    if (slot && slot->kind != FD_UNKNOWN) weft__fd_reset(worker, fd, slot);
}

static int close_number(int fd)
{
    if (close(fd) == 0) return 0;

    int result = -errno;
    return result == -EINTR ? 0 : result; /* Linux has closed it before it was interrupted */
}

/* ---- from another thread ---- */

static bool request_take(struct request *request, int taker)
{
    int pending = REQUEST_PENDING;
    /* acq_rel: the loser sees all that the winner wrote before */
    return atomic_compare_exchange_strong_explicit(
        &request->state, &pending, taker, memory_order_acq_rel, memory_order_acquire);
}

static void request_free(struct request *request)
{
    (void)sem_destroy(&request->done); /* nobody waits */
    free(request);
}

/* Posted to the worker. */
static void serve(void *arg)
{
    struct request *request = arg;
    if (!request_take(request, REQUEST_TAKEN)) {
        request_free(request);
        return;
    }
    let_go(weft__worker(), request->fd);
    request->result = request->closes ? close_number(request->fd) : 0;
    (void)sem_post(&request->done); /* the thread frees it from here on */
}

/* True for a runtime that takes no posts any more. */
static bool has_ended(struct weft_runtime *runtime)
{
    if (!weft__runtime_enter(runtime)) return true;
    weft__runtime_leave(runtime);
    return false;
}

static void await(struct weft_runtime *runtime, struct request *request)
{
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += PATIENCE_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        if (sem_clockwait(&request->done, CLOCK_MONOTONIC, &until) == 0) break;
        /* What an ended runtime left in its inbox may never be looked at. */
        if (has_ended(runtime) && request_take(request, REQUEST_ABANDONED)) return;
    }
}

/* Has the worker of `runtime` let go of `fd`: false if the runtime has ended. Without memory to ask
 * it with, its waiters are left to their deadlines. */
static bool ask(struct weft_runtime *runtime, int fd, bool closes, int *ret_result)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request) return false;
    request->post = (struct weft_post){.fn = serve, .arg = request};
    request->fd = fd;
    request->closes = closes;
    atomic_init(&request->state, REQUEST_PENDING);
    (void)sem_init(&request->done, 0, 0); /* fails for values out of range only */

    if (weft_post(runtime, &request->post) < 0) {
        request_free(request);
        return false;
    }
    await(runtime, request);
    /* acquire: pairs with request_take() */
    bool is_done = atomic_load_explicit(&request->state, memory_order_acquire) == REQUEST_TAKEN;
    if (!is_done) return false; /* the worker frees it if it ever meets it */
    *ret_result = request->result;
    request_free(request);
    return true;
}
