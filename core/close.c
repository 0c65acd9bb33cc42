/* SPDX-License-Identifier: MIT */
/*
 * Closing and releasing: the number leaves weft, whoever waits for it gets -EBADF, and only then
 * may it be closed and used again.
 *
 * A thread outside of any runtime does not know who uses the number: it asks every live runtime of
 * the process, one after the other, to let go of it, and waits for each. While it does, the number
 * is on a list, and every call that meets it there says -EBADF.
 */
#include "core/close.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <weft/fd.h>
#include <weft/runtime.h>
#include <weft/time.h>

#include "core/fdtable.h"
#include "core/runtime.h"

#define PATIENCE_NS (10 * WEFT_MSEC) /* then the peer learns of the close before the worker */

enum { RUNTIMES_MAX = 64 };

/* A close or release under way by a thread that is no worker. */
struct departure {
    struct weft_post post;
    int fd;
    bool closes;  /* else it only leaves weft */
    bool is_done; /* the runtime that was asked has let go */
    struct departure *next;
};

/* Guards the list and every is_done in it. */
static pthread_mutex_t departures_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t departures_moved = PTHREAD_COND_INITIALIZER;
static struct departure *departures;

atomic_uint weft__departure_count;

static bool owns_runtimes(void);
static void let_go_of(int fd);
static void let_go(struct worker *worker, int fd);
static int close_number(int fd);
static int depart(int fd, bool closes);
static int depart_begin(int fd, struct departure **ret);
static void depart_end(struct departure *departure);
static bool let_go_there(struct weft_runtime *handle, struct departure *departure);

int weft_close(int fd)
{
    if (!owns_runtimes()) return depart(fd, true);
    if (weft__fd_is_departing(fd)) return -EBADF;

    let_go_of(fd);
    return close_number(fd);
}

int weft_release(int fd)
{
    if (!owns_runtimes()) return depart(fd, false);
    if (weft__fd_is_departing(fd)) return -EBADF;

    let_go_of(fd);
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

/* A task, or a callback of a host. It closes what its own runtimes use, and need not wait for other
 * threads; two hosts that did could wait for each other. */
static bool owns_runtimes(void)
{
    return weft__worker() || (weft__host_current() && !weft__is_forked());
}

static void let_go(struct worker *worker, int fd)
{
    struct fd_slot *slot = fd_slot_find(&worker->fds, fd);
    if (slot && slot->kind != FD_UNKNOWN) weft__fd_reset(worker, fd, slot);
}

static void let_go_attached(struct runtime *runtime, void *arg)
{
    let_go(&runtime->worker, *(const int *)arg);
    weft__host_rouse(runtime);
}

static void let_go_of(int fd)
{
    struct worker *worker = weft__worker();
    if (worker) {
        let_go(worker, fd);
    } else {
        weft__host_visit(let_go_attached, &fd);
    }
}

static int close_number(int fd)
{
    if (close(fd) == 0) return 0;
    int result = -errno;
    return result == -EINTR ? 0 : result; /* Linux has closed it before it was interrupted */
}

/* ---- from other threads ---- */

static int depart(int fd, bool closes)
{
    if (weft__is_forked()) return -EOWNERDEAD;
    struct departure *departure = NULL;
    int result = depart_begin(fd, &departure);
    if (result < 0) return result;

    struct weft_runtime *handles[RUNTIMES_MAX];
    departure->closes = closes;
    size_t count = weft__runtimes_hold(handles, RUNTIMES_MAX);
    bool is_mine = true; /* false: what is left of a runtime may still look at it */
    for (size_t i = 0; i < count; i++) {
        if (is_mine) is_mine = let_go_there(handles[i], departure);
        (void)weft_runtime_unref(handles[i]); /* held until here */
    }
    if (closes) {
        result = close_number(fd);
    } else if (fcntl(fd, F_GETFD) < 0) {
        result = -errno;
    }
    depart_end(departure);
    if (is_mine) free(departure);
    return result;
}

/* On the list of departures, or NULL; under the lock. */
static struct departure *departure_find(int fd)
{
    struct departure *departure = departures;
    while (departure && departure->fd != fd)
        departure = departure->next;
    return departure;
}

static int depart_begin(int fd, struct departure **ret)
{
    if (fcntl(fd, F_GETFD) < 0) return -errno;
    struct departure *departure = calloc(1, sizeof *departure);
    if (!departure) return -ENOMEM;
    departure->fd = fd;

    (void)pthread_mutex_lock(&departures_lock);
    bool is_first = !departure_find(fd);
    if (is_first) {
        departure->next = departures;
        departures = departure;
        /* relaxed: a worker learns of it through its inbox, others by what the program says */
        atomic_fetch_add_explicit(&weft__departure_count, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&departures_lock);
    if (is_first) {
        *ret = departure;
        return 0;
    }
    free(departure);
    return -EBADF;
}

static void depart_end(struct departure *departure)
{
    (void)pthread_mutex_lock(&departures_lock);
    struct departure **link = &departures;
    while (*link != departure)
        link = &(*link)->next;
    *link = departure->next;
    /* relaxed: as in depart_begin() */
    atomic_fetch_sub_explicit(&weft__departure_count, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&departures_lock);
}

bool weft__fd_is_departing_slow(int fd)
{
    (void)pthread_mutex_lock(&departures_lock);
    bool is_departing = departure_find(fd) != NULL;
    (void)pthread_mutex_unlock(&departures_lock);
    return is_departing;
}

void weft__departures_forget(void)
{
    (void)pthread_mutex_init(&departures_lock, NULL); /* its holder is not in the child */
    (void)pthread_cond_init(&departures_moved, NULL);
    departures = NULL;
    /* relaxed: the child has one thread */
    atomic_store_explicit(&weft__departure_count, 0, memory_order_relaxed);
}

/* Runs on the worker. */
static void let_go_here(void *arg)
{
    struct departure *departure = arg;
    let_go(weft__worker(), departure->fd);
    (void)pthread_mutex_lock(&departures_lock);
    departure->is_done = true;
    (void)pthread_cond_broadcast(&departures_moved);
    (void)pthread_mutex_unlock(&departures_lock);
}

static struct timespec realtime_after(int64_t duration_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    int64_t sum_ns = now.tv_nsec + duration_ns;
    return (struct timespec){now.tv_sec + sum_ns / WEFT_SEC, sum_ns % WEFT_SEC};
}

/* The worker is busy: the peer of a connection need not wait for it. */
static void shut_connection(int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0) return;
    (void)shutdown(fd, SHUT_RDWR); /* it may have ended meanwhile */
}

/* Returns when the runtime has let go, or will never look at the number again; false if it ended
 * without having run the post, which may still be in its inbox. */
static bool let_go_there(struct weft_runtime *handle, struct departure *departure)
{
    departure->is_done = false;
    departure->post = (struct weft_post){.fn = let_go_here, .arg = departure};
    if (weft_post(handle, &departure->post) < 0) return true; /* it has ended */

    bool is_over = false;
    struct timespec limit = realtime_after(PATIENCE_NS);
    (void)pthread_mutex_lock(&departures_lock);
    while (!departure->is_done && !is_over) {
        if (pthread_cond_timedwait(&departures_moved, &departures_lock, &limit) == 0) continue;
        (void)pthread_mutex_unlock(&departures_lock);
        if (departure->closes) shut_connection(departure->fd);
        struct runtime *runtime = weft__runtime_enter(handle);
        if (runtime) weft__runtime_leave(handle);
        is_over = !runtime; /* what it left in its inbox may never be looked at */
        limit = realtime_after(PATIENCE_NS);
        (void)pthread_mutex_lock(&departures_lock);
    }
    bool is_done = departure->is_done;
    (void)pthread_mutex_unlock(&departures_lock);
    return is_done;
}
