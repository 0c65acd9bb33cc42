/* SPDX-License-Identifier: MIT */
/*
 * The backend on libevent: one persistent event per descriptor; callbacks only record.
 *
 * libevent prints warnings, and ends the process if it finds no descriptors for a new base. The
 * callbacks against both are process-global, and nobody can ask what a host has set there. So none
 * is set (but see base.c): whatever could be refused is tried beforehand. Slots with something to
 * report stand in a queue; those that a poll has no room for keep their place in it, and are
 * reported by the next one if that finds them ready again.
 */
#include "backends/libevent/libevent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void loop_close(void *state);
static int slot_reserve(struct loop *self, int fd, struct slot **ret);
static int slot_start(struct loop *self, struct slot *slot, int fd, unsigned interest);
static void on_ready(evutil_socket_t fd, short what, void *arg);
static bool lay_ghosts(struct loop *self, int64_t timeout_ns);
static int turn(struct loop *self, int64_t timeout_ns);
static int report(struct loop *self, struct weft_event *events, int capacity);

static int loop_open(void *state)
{
    struct loop *self = state;

    int result = weft__libevent_prepare(self);
    if (result == 0) result = weft__libevent_open_base(&self->base);
    if (result == 0) result = weft__libevent_watch_own(self, 0);
    if (result == 0) {
        self->epoll_fd = weft__libevent_find_epoll(self->wake_fd);
        self->probe_fd = self->epoll_fd;
        if (self->epoll_fd < 0) result = -ENOTSUP;
    }
    if (result < 0) loop_close(self);
    return result;
}

/* Also of a loop that is half open. */
static void loop_close(void *state)
{
    struct loop *self = state;

    if (self->hosted.host) {
        weft__libevent_leave_host(self);
    } else {
        weft__libevent_leave_base(self);
        if (self->base) event_base_free(self->base);
    }
    if (self->wake_fd >= 0) close(self->wake_fd);
    if (self->timer_fd >= 0) close(self->timer_fd);
    table_close(&self->slots);
    *self = (struct loop){.wake_fd = -1, .timer_fd = -1, .epoll_fd = -1, .probe_fd = -1};
}

static int loop_attach(void *state, void *native, struct weft_host *host)
{
    int result = weft__libevent_attach(state, native, host);
    if (result < 0) loop_close(state);
    return result;
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    struct slot *slot;
    int result = slot_reserve(self, fd, &slot);
    if (result < 0) return result;

    /* Not the same file as before, or the first time: event_add() would print what is wrong. */
    if (!weft__libevent_stop(self, slot)) {
        result = weft__libevent_probe(self->probe_fd, fd);
        if (result < 0 && result != -EEXIST) return result;
    }
    slot->token = token;
    return slot_start(self, slot, fd, interest);
}

/* Also serves as forget: libevent deletes the registration at once. */
static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;

    struct slot *slot = table_find(&self->slots, fd);
    if (slot) (void)weft__libevent_stop(self, slot);
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;

    bool is_clean = lay_ghosts(self, timeout_ns);
    if (!self->hosted.host) {
        int result = turn(self, is_clean ? timeout_ns : 0);
        if (result < 0) return result;
    }
    return report(self, events, capacity);
}

void weft__libevent_wake(void *state)
{
    struct loop *self = state;
    linux_wake(self->wake_fd);
}

int64_t weft__libevent_now_ns(void *state)
{
    (void)state;
    return linux_now_ns();
}

static void *loop_native(void *state)
{
    struct loop *self = state;
    return self->base;
}

static int loop_native_fd(void *state)
{
    (void)state;
    return -ENOSYS;
}

/* Without its epoll instance, which is the parent's, too, libevent's deletions reach nothing: it
 * passes over the errors. */
static void loop_after_fork(void *state)
{
    struct loop *self = state;

    if (self->hosted.host) {
        weft__libevent_host_after_fork(self);
    } else {
        close(self->epoll_fd);
    }
    loop_close(self);
}

static char library[64];

static void name_library(void)
{
    (void)snprintf(library, sizeof library, "libevent %s", event_get_version());
}

static struct weft_backend_facts loop_facts(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, name_library);

    return (struct weft_backend_facts){
        .library = library,
        .timer_resolution_ns = 1,
        .tells_hangup = false,
    };
}

static int slot_reserve(struct loop *self, int fd, struct slot **ret)
{
    if (fd < 0) return -EBADF;

    *ret = table_find(&self->slots, fd);
    if (*ret) return 0;
    if (fcntl(fd, F_GETFD) < 0) return -EBADF; /* no table for a number that nobody has */
    *ret = table_reserve(&self->slots, fd);
    return *ret ? 0 : -ENOMEM;
}

static int slot_start(struct loop *self, struct slot *slot, int fd, unsigned interest)
{
    short events = EV_PERSIST;
    if (interest & WEFT_IO_READ) events |= EV_READ;
    if (interest & WEFT_IO_WRITE) events |= EV_WRITE;

    slot->loop = self;
    (void)event_assign(&slot->event, self->base, -1, events, on_ready, slot);
    slot->event.ev_fd = fd; /* not told before: libevent's debug mode ends at one that may block */
    if (event_add(&slot->event, NULL) < 0) {
        event_debug_unassign(&slot->event);
        return -ENOMEM; /* all other reasons were looked for */
    }
    slot->interest = (uint8_t)interest;
    return 0;
}

bool weft__libevent_stop(struct loop *self, struct slot *slot)
{
    if (!slot->interest) return false;

    bool is_same = weft__libevent_probe(self->probe_fd, event_get_fd(&slot->event)) == -EEXIST;
    if (!is_same && self->epoll_fd >= 0) {
        self->haunted = true;
        if (self->hosted.host) weft__libevent_wake(self); /* a ghost would not call us */
    }
    (void)event_del(&slot->event);
    event_debug_unassign(&slot->event);
    slot->interest = 0;
    if (list_node_is_linked(&slot->found_link)) list_remove(&slot->found_link);
    return is_same;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct slot *slot = arg;
    struct loop *self = slot->loop;

    if (self->hosted.host) weft__libevent_ask_turn(self);
    if (slot->found_pass != self->pass) slot->found = 0;
    slot->found_pass = self->pass;
    if (what & EV_READ) slot->found |= WEFT_IO_READ;
    if (what & EV_WRITE) slot->found |= WEFT_IO_WRITE;
    if (!list_node_is_linked(&slot->found_link)) list_push_back(&self->found, &slot->found_link);
}

/* False if ghosts are left: then libevent must not sleep, because a ghost would keep it awake
 * without its ever returning. We sleep instead, if only for a moment. */
static bool lay_ghosts(struct loop *self, int64_t timeout_ns)
{
    if (!self->haunted) return true;

    self->haunted = weft__libevent_rebuild(self->base, self->epoll_fd) < 0;
    if (!self->haunted) return true;
    static const struct timespec nap = {.tv_nsec = 1000000};
    if (timeout_ns > 0) (void)nanosleep(&nap, NULL);
    return false;
}

/* One pass of libevent's loop. */
static int turn(struct loop *self, int64_t timeout_ns)
{
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
    if (timeout_ns <= 0 || !list_is_empty(&self->found)) {
        flags |= EVLOOP_NONBLOCK;
    } else {
        int64_t now_ns = timeout_ns == WEFT_POLL_FOREVER ? 0 : weft__libevent_now_ns(self);
        int64_t deadline_ns = timeout_ns < INT64_MAX - now_ns ? now_ns + timeout_ns : INT64_MAX;
        weft__libevent_arm_timer(self, deadline_ns, now_ns);
    }

    self->pass++;
    return event_base_loop(self->base, flags) < 0 ? -EINVAL : 0;
}

/* An alarm that is armed for earlier costs one early return, and saves a system call wherever
 * time-outs move on without passing. */
void weft__libevent_arm_timer(struct loop *self, int64_t deadline_ns, int64_t now_ns)
{
    deadline_ns = linux_alarm_ns(deadline_ns, now_ns, self->slack_ns);
    if (!self->is_ringing && self->timer_ns <= deadline_ns) return;

    struct itimerspec alarm = {.it_value = {0}}; /* which disarms */
    if (deadline_ns != INT64_MAX) {
        alarm.it_value.tv_sec = deadline_ns / NS_PER_SEC;
        alarm.it_value.tv_nsec = deadline_ns % NS_PER_SEC;
    }
    if (timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &alarm, NULL) < 0) return;
    self->timer_ns = deadline_ns;
    self->is_ringing = false;
}

static int report(struct loop *self, struct weft_event *events, int capacity)
{
    int count = 0;
    while (count < capacity && !list_is_empty(&self->found)) {
        struct slot *slot = container_of(list_pop_front(&self->found), struct slot, found_link);
        if (slot->found_pass != self->pass) continue; /* found before, and not ready any more */

        events[count] = (struct weft_event){.token = slot->token, .found = slot->found};
        count++;
    }
    return count;
}

const struct weft_backend weft__backend = {
    .name = "libevent",
    .state_size = sizeof(struct loop),
    .open = loop_open,
    .close = loop_close,
    .arm = loop_arm,
    .disarm = loop_disarm,
    .forget = loop_disarm,
    .poll = loop_poll,
    .wake = weft__libevent_wake,
    .now_ns = weft__libevent_now_ns,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_after_fork,
    .attach = loop_attach,
    .schedule = weft__libevent_schedule,
    .facts = loop_facts,
};
