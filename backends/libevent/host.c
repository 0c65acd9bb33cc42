/* SPDX-License-Identifier: MIT */
/*
 * The libevent backend in a host's event_base.
 *
 * libevent has no hook that runs once per pass. The first callback of ours in a pass activates an
 * event that is never added: it is queued behind everything else that the pass has found. What is
 * to happen in the *next* pass is a timer of no time; activating would make it part of this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backends/libevent/libevent.h"

static int find_kernel_side(struct loop *self);
static void on_turn(evutil_socket_t fd, short what, void *arg);
static void on_alarm(evutil_socket_t fd, short what, void *arg);

int weft__libevent_attach(void *state, void *native, struct weft_host *host)
{
    struct loop *self = state;

    int result = weft__libevent_prepare(self);
    if (result == 0) {
        self->base = native;
        self->hosted.host = host;
        self->hosted.deadline_ns = INT64_MAX;
        (void)event_assign(&self->hosted.turn, native, -1, 0, on_turn, self);
        (void)event_assign(&self->hosted.alarm, native, -1, 0, on_alarm, self);
        /* As libevent marks its own: they do not count as a reason to go on. */
        result = weft__libevent_watch_own(self, EVLIST_INTERNAL);
    }
    return result < 0 ? result : find_kernel_side(self);
}

/* The host may have chosen another way to wait than epoll. With epoll's changelist registrations
 * follow later, so that nothing can be learnt from them. */
static int find_kernel_side(struct loop *self)
{
    if (strcmp(event_base_get_method(self->base), "epoll") == 0) {
        self->epoll_fd = weft__libevent_find_epoll(self->wake_fd);
        self->probe_fd = self->epoll_fd;
    }
    if (self->epoll_fd < 0) self->probe_fd = epoll_create1(EPOLL_CLOEXEC);
    return self->probe_fd < 0 ? -errno : 0;
}

void weft__libevent_schedule(void *state, int64_t deadline_ns)
{
    struct loop *self = state;

    self->hosted.deadline_ns = deadline_ns;
    if (deadline_ns == INT64_MAX) {
        (void)event_del(&self->hosted.alarm);
        if (self->is_ringing) weft__libevent_arm_timer(self, INT64_MAX, 0);
        return;
    }

    int64_t now_ns = weft__libevent_now_ns(self);
    int64_t left_ns = deadline_ns - now_ns;
    struct timeval alarm = {0};
    if (left_ns > 0) {
        weft__libevent_arm_timer(self, deadline_ns, now_ns);
        alarm.tv_sec = left_ns / NS_PER_SEC + 1; /* only to keep the loop alive until then */
    }
    /* Without memory for another timer, there is still the way that other threads take. */
    if (event_add(&self->hosted.alarm, &alarm) < 0) weft__libevent_wake(self);
}

void weft__libevent_ask_turn(struct loop *self)
{
    if (self->hosted.is_turn_due) return;

    self->hosted.is_turn_due = true;
    self->pass++;
    event_active(&self->hosted.turn, EV_READ, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *self = arg;

    self->hosted.is_turn_due = false;
    self->hosted.host->turn(self->hosted.host); /* the last thing: it may have closed us */
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    weft__libevent_check_deadline(arg);
}

void weft__libevent_check_deadline(struct loop *self)
{
    if (self->hosted.deadline_ns <= weft__libevent_now_ns(self)) {
        weft__libevent_ask_turn(self);
    } else {
        weft__libevent_schedule(self, self->hosted.deadline_ns);
    }
}

void weft__libevent_leave_host(struct loop *self)
{
    weft__libevent_leave_base(self);
    struct event *events[] = {&self->hosted.turn, &self->hosted.alarm};
    for (int i = 0; i < 2; i++) {
        if (!event_initialized(events[i])) continue;
        (void)event_del(events[i]);
        event_debug_unassign(events[i]);
    }
    if (self->epoll_fd < 0 && self->probe_fd >= 0) close(self->probe_fd);
}

/* The host's base goes on pointing at the parent's epoll instance until the host calls
 * event_reinit(). While our events leave it, an empty one stands there. */
void weft__libevent_host_after_fork(struct loop *self)
{
    int epoll_fd = self->epoll_fd < 0 ? -1 : weft__libevent_find_epoll(self->wake_fd);
    if (epoll_fd < 0) {
        weft__libevent_leave_host(self);
        return;
    }

    close(self->timer_fd); /* makes room for the two that follow */
    close(self->wake_fd);
    self->timer_fd = -1;
    self->wake_fd = -1;
    int parents_fd = fcntl(epoll_fd, F_DUPFD_CLOEXEC, 0);
    int empty_fd = epoll_create1(EPOLL_CLOEXEC);
    (void)dup3(empty_fd, epoll_fd, O_CLOEXEC);
    close(empty_fd);
    weft__libevent_leave_host(self);
    (void)dup3(parents_fd, epoll_fd, O_CLOEXEC);
    close(parents_fd);
}
