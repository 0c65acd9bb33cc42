/* SPDX-License-Identifier: MIT */
/*
 * Closing and releasing: the number leaves weft, whoever waits for it gets -EBADF, and only then
 * may it be closed and used again.
 *
 * A task asks the other workers of its runtime that have met the number, and sleeps until they have
 * let go. A thread outside of any runtime does not know who uses the number: it asks every worker
 * of every live runtime of the process, one after the other, and waits for each. Meanwhile the
 * number is on a list, and every call that meets it there says -EBADF.
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

#include "core/chan_shared.h"
#include "core/fdtable.h"
#include "core/park.h"
#include "core/post.h"
#include "core/runtime.h"
#include "core/share.h"
#include "core/time.h"

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
static int depart_end(struct departure *departure);
static int let_go_there(struct weft_runtime *handle, unsigned index, struct departure *departure);
static bool has_colleagues(void);
static int part(int fd, bool closes);
static void shut_connection(int fd);

int weft_close(int fd)
{
    if (!owns_runtimes()) return depart(fd, true);
    if (weft__fd_is_departing(fd)) return -EBADF;
    if (unlikely(has_colleagues())) return part(fd, true);

    let_go_of(fd);
    return close_number(fd);
}

int weft_release(int fd)
{
    if (!owns_runtimes()) return depart(fd, false);
    if (weft__fd_is_departing(fd)) return -EBADF;
    if (unlikely(has_colleagues())) return part(fd, false);

    let_go_of(fd);
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

/* A task, or a callback of a host. It closes what its own runtimes use, and need not wait for other
 * threads; two hosts that did could wait for each other. */
static bool owns_runtimes(void)
{
    return weft__worker() || (weft__host_current() && !weft__is_forked());
}

/* Also in an operation, and outside of any. */
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
        int let_go = 1;
        for (unsigned index = 0; is_mine && let_go > 0; index++)
            let_go = let_go_there(handles[i], index, departure);
        if (let_go < 0) is_mine = false;
        (void)weft_runtime_unref(handles[i]); /* held until here */
    }
    result = depart_end(departure);
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
        /* seq_cst: before the look at who uses the number; see core/fd_users.h */
        atomic_fetch_add_explicit(&weft__departure_count, 1, memory_order_seq_cst);
    }
    (void)pthread_mutex_unlock(&departures_lock);
    if (is_first) {
        *ret = departure;
        return 0;
    }
    free(departure);
    return -EBADF;
}

/* Off the list; closes the number meanwhile, or looks at it: whoever opens the number next must not
 * find it on the list. */
static int depart_end(struct departure *departure)
{
    int result = 0;
    (void)pthread_mutex_lock(&departures_lock);
    if (departure->closes) {
        result = close_number(departure->fd);
    } else if (fcntl(departure->fd, F_GETFD) < 0) {
        result = -errno;
    }
    struct departure **link = &departures;
    while (*link != departure)
        link = &(*link)->next;
    *link = departure->next;
    /* relaxed: as in depart_begin() */
    atomic_fetch_sub_explicit(&weft__departure_count, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&departures_lock);
    return result;
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

/* Posts the departure to one worker; false: the runtime has ended, or has no such worker. */
static bool ask(struct weft_runtime *handle, unsigned index, struct departure *departure)
{
    struct runtime *runtime = weft__runtime_enter(handle);
    if (!runtime) return false;
    bool is_there = index < runtime->worker_count;
    if (is_there) weft__post_to(runtime->workers[index], &departure->post);
    weft__runtime_leave(handle);
    return is_there;
}

/* Returns when the worker has let go: 1; 0 if there is none, or the runtime will never look at the
 * number again; -1 if it ended without having run the post, which may still be in its inbox. */
static int let_go_there(struct weft_runtime *handle, unsigned index, struct departure *departure)
{
    departure->is_done = false;
    departure->post = (struct weft_post){.fn = let_go_here, .arg = departure};
    if (!ask(handle, index, departure)) return 0;

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
    return is_done ? 1 : -1;
}

/* ---- from a task, of other workers ---- */

/* A close or release by a task: one post for each other worker that uses the number. */
struct parting {
    struct departure *departure;
    struct task *closer;
    atomic_uint left; /* workers that have not let go; one more until all were asked */
    struct weft_post posts[];
};

static const struct wait_kind part_wait = {.name = "fd close", .abandon = NULL};

/* Other workers of the caller's runtime may use a number, too. */
static bool has_colleagues(void)
{
    const struct worker *worker = weft__worker();
    return worker && worker->runtime->has_many;
}

/* Once the number is on the list, nobody begins to. */
static bool is_used_elsewhere(const struct worker *worker, int fd)
{
    uint64_t users = weft__fd_users_of(worker->runtime->fd_users, fd);
    if (worker->runtime->worker_count > 64) return users != 0;
    return users & ~fd_user_bit(worker->index);
}

/* The last one wakes the closer, which may be gone afterwards. */
static void count_down(struct parting *parting)
{
    struct task *closer = parting->closer;
    /* acq_rel: what each worker did comes before the close; pairs with itself */
    if (atomic_fetch_sub_explicit(&parting->left, 1, memory_order_acq_rel) > 1) return;
    weft__shared_lock();
    closer->wake_result = 0;
    weft__mail(closer, REMOTE_WAKE);
    weft__shared_unlock();
}

static void part_here(void *arg)
{
    struct parting *parting = arg;
    let_go(weft__worker(), parting->departure->fd);
    count_down(parting);
}

static void ask_all(struct worker *worker, struct parting *parting)
{
    struct runtime *runtime = worker->runtime;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (i == worker->index) continue;
        parting->posts[i] = (struct weft_post){.fn = part_here, .arg = parting};
        atomic_fetch_add_explicit(&parting->left, 1, memory_order_relaxed);
        weft__post_to(runtime->workers[i], &parting->posts[i]);
    }
}

void weft__part_overdue(struct task *closer)
{
    const struct parting *parting = closer->wait.object;
    if (parting->departure->closes) shut_connection(parting->departure->fd);
}

/* Sleeps until all others have let go, which nothing interrupts. */
static void await_all(struct worker *worker, struct parting *parting)
{
    struct task *self = worker->current;
    parting->closer = self;
    weft__wait_for(self, &part_wait, parting, NULL);
    struct timer *timer = &task_body(self)->timer;
    timer->deadline_ns = time_after(weft__worker_now(worker), PATIENCE_NS);
    timer->kind = TIMER_PART;
    weft__timer_add(&worker->timers, timer);
    ask_all(worker, parting);
    count_down(parting);
    (void)weft__park_here(worker, self);
    weft__timer_remove(&worker->timers, timer);
}

/* What a posted function leaves to a task: it must not sleep. */
static int part_later(void *arg)
{
    return part((int)((intptr_t)arg >> 1), (intptr_t)arg & 1);
}

/* Makes all others let go: 0, or -ENOMEM with nothing done. */
static int ask_others(struct worker *worker, struct departure *departure)
{
    unsigned count = worker->runtime->worker_count;
    struct parting *parting = calloc(1, sizeof *parting + count * sizeof parting->posts[0]);
    if (!parting) return -ENOMEM;
    parting->departure = departure;
    atomic_init(&parting->left, 1);
    await_all(worker, parting);
    free(parting);
    return 0;
}

static int part(int fd, bool closes)
{
    struct worker *worker = weft__worker();
    struct departure *departure = NULL;
    int result = depart_begin(fd, &departure);
    if (result < 0) return result;
    departure->closes = closes;
    bool is_alone = !is_used_elsewhere(worker, fd);
    if (is_alone || worker->current) let_go(worker, fd);
    if (!is_alone && worker->current) {
        result = ask_others(worker, departure);
    } else if (!is_alone) {
        result = weft_spawn(NULL, part_later, (void *)((intptr_t)fd * 2 + closes));
    }
    bool is_left_to_task = !is_alone && !worker->current;
    if (result < 0 || is_left_to_task) departure->closes = false;
    int last = depart_end(departure);
    free(departure);
    return result < 0 ? result : last;
}
