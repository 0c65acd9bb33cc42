/* SPDX-License-Identifier: MIT */
/*
 * What a loop of our own and a host's have in common: the descriptors that wake us, and the way
 * into an event_base. Here is everything that libevent could print about, or end the process for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backends/libevent/libevent.h"

/* What a new event_base takes, and a little more. */
#define BASE_SIZE_MAX 16384

static bool is_libevent(void);
static int check_room(int wake_fd);
static void discard(int severity, const char *message);
static void on_wake(evutil_socket_t fd, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);

int weft__libevent_prepare(struct loop *self)
{
    *self = (struct loop){
        .wake_fd = -1,
        .timer_fd = -1,
        .epoll_fd = -1,
        .probe_fd = -1,
        .slack_ns = linux_slack_ns(),
        .timer_ns = INT64_MAX,
        .slots = {.slot_size = sizeof(struct slot)},
    };
    list_open(&self->found);
    if (!is_libevent()) return -ELIBBAD;

    self->wake_fd = linux_wake_open();
    if (self->wake_fd < 0) return self->wake_fd;
    self->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->timer_fd < 0) return -errno;
    return check_room(self->wake_fd);
}

/* libev exports functions of libevent's names. Where a program was linked with it first, they are
 * what we would call, with structs that they do not know; so does libevent itself, which is why
 * finding the right ones for our own calls would not help. */
static bool is_libevent(void)
{
    return strtoul(event_get_version(), NULL, 10) == event_get_version_number() >> 24;
}

/* Takes and gives back what libevent cannot do without, because it would print or exit. */
static int check_room(int wake_fd)
{
    void *volatile memory = malloc(BASE_SIZE_MAX); /* volatile: not to be optimised away */
    if (!memory) return -ENOMEM;
    free(memory);

    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) return -errno;
    int pipe_fds[2];
    int result = weft__libevent_probe(epoll_fd, wake_fd);
    if (result == 0 && pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0) result = -errno;
    close(epoll_fd);
    if (result < 0) return result;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

/* Edge triggers, which we do not use, are what only epoll has. The flag for precise timers is left
 * out: it costs a system call in each pass, and our timer is precise without. One variable of the
 * environment makes libevent print all the same. */
int weft__libevent_open_base(struct event_base **ret)
{
    struct event_config *config = event_config_new();
    if (!config) return -ENOMEM;

    (void)event_config_require_features(config, EV_FEATURE_ET);
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK);
    bool is_talkative = getenv("EVENT_SHOW_METHOD");
    if (is_talkative) event_set_log_callback(discard);
    *ret = event_base_new_with_config(config);
    if (is_talkative) event_set_log_callback(NULL);
    event_config_free(config);
    return *ret ? 0 : -ENOMEM;
}

static void discard(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

int weft__libevent_watch_own(struct loop *self, short flags)
{
    struct event *wake = &self->wake_event, *timer = &self->timer_event;
    (void)event_assign(wake, self->base, self->wake_fd, EV_READ | EV_PERSIST, on_wake, self);
    (void)event_assign(timer, self->base, self->timer_fd, EV_READ | EV_PERSIST, on_timer, self);
    wake->ev_evcallback.evcb_flags |= flags;
    timer->ev_evcallback.evcb_flags |= flags;
    return event_add(wake, NULL) < 0 || event_add(timer, NULL) < 0 ? -ENOMEM : 0;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *self = arg;

    linux_wake_drain(fd);
    if (self->hosted.host) weft__libevent_ask_turn(self);
}

/* To arm it anew, which most often comes next, silences it without a read. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *self = arg;

    self->is_ringing = true;
    if (self->hosted.host) weft__libevent_check_deadline(self);
}

void weft__libevent_leave_base(struct loop *self)
{
    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (slot) (void)weft__libevent_stop(self, slot);
    }
    struct event *events[] = {&self->wake_event, &self->timer_event};
    for (int i = 0; i < 2; i++) {
        if (!event_initialized(events[i])) continue;
        (void)event_del(events[i]);
        event_debug_unassign(events[i]);
    }
}
