/* SPDX-License-Identifier: MIT */
/*
 * The backend on libev: one ev_io per descriptor, an eventfd for wakes, a timerfd for time-outs.
 *
 * What looks odd: libev asserts where the kernel refuses a descriptor, ends the process when it
 * finds no memory, calls a file that epoll refuses always ready, and rounds time to milliseconds.
 * So each number is tried on an epoll instance that watches nothing, before libev hears of it and
 * again before libev tells the kernel; memory is tried before a table of libev grows; and its
 * timers are not used. libev removes a registration when it first hears of one that nobody wants;
 * a closed number whose file lives on elsewhere costs at most one pass that finds nothing.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backends/libev/loop.h"

/* More than all tables of libev take for one descriptor number; they grow to twice their size. */
#define LIBRARY_BYTES_PER_FD (2 * 128)
#define LIBRARY_BYTES        (16 * 1024)

static_assert((unsigned)EV_READ == WEFT_IO_READ && (unsigned)EV_WRITE == WEFT_IO_WRITE,
              "interest and findings are handed over as they are");

static int descriptors_open(struct loop *self);
static void descriptors_close(struct loop *self);
static int library_reserve(struct loop *self, int fd);
static int slot_admit(struct loop *self, int fd, struct slot **ret);
static void slot_start(struct loop *self, struct slot *slot, int fd);
static void slot_stop(struct loop *self, struct slot *slot);
static int probe(const struct loop *self, int fd);
static int probe_new(const struct loop *self, int fd);
static int run_pass(struct loop *self, int64_t timeout_ns);
static void on_io(struct ev_loop *native, ev_io *watch, int events);
static void on_wake(struct ev_loop *native, ev_io *watch, int events);
static void on_alarm(struct ev_loop *native, ev_io *watch, int events);
static void on_pass(struct ev_loop *native, ev_prepare *watch, int events);
static void on_rebuild(struct ev_loop *native, ev_fork *watch, int events);

static int loop_open(void *state)
{
    struct loop *self = state;

    int result = weft__libev_prepare(self);
    if (result < 0) return result;

    errno = 0;
    self->native = weft__ev.loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (!self->native) {
        result = errno ? -errno : -ENOMEM;
        descriptors_close(self);
        return result;
    }
    weft__libev_enter(self);
    weft__ev.run(self->native, EVRUN_NOWAIT); /* its tables grow now, not when memory is short */
    return 0;
}

/* Also serves as after_fork: libev only closes and frees, and stopping a watcher tells the kernel
 * nothing. */
static void loop_close(void *state)
{
    struct loop *self = state;

    if (self->side.host) {
        weft__libev_detach(self);
    } else {
        weft__ev.loop_destroy(self->native);
    }
    descriptors_close(self);
    table_close(&self->slots);
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    struct slot *slot = NULL;
    int result = slot_admit(self, fd, &slot);
    if (slot) slot_stop(self, slot);
    if (result < 0) {
        if (slot) slot->is_admitted = false;
        return result;
    }

    slot->is_admitted = true;
    slot->token = token;
    slot->interest = interest;
    slot_start(self, slot, fd);
    return 0;
}

static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;

    struct slot *slot = table_find(&self->slots, fd);
    if (slot) slot_stop(self, slot);
}

static void loop_forget(void *state, int fd)
{
    struct loop *self = state;

    struct slot *slot = table_find(&self->slots, fd);
    if (!slot) return;
    slot_stop(self, slot);
    slot->is_admitted = false;
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;

    int result = self->side.host ? 0 : run_pass(self, timeout_ns);
    if (result < 0) return result;

    list_append(&self->found, &self->fresh);
    int count = 0;
    while (count < capacity && !list_is_empty(&self->found)) {
        struct slot *slot = container_of(list_pop_front(&self->found), struct slot, found_link);
        if (slot->pass != self->pass) continue; /* ready once, but not in this pass */

        events[count] = (struct weft_event){.token = slot->token, .found = slot->found};
        count++;
    }
    return count;
}

static void loop_wake(void *state)
{
    struct loop *self = state;
    linux_wake(self->wake_fd);
}

int64_t weft__libev_now(void *state)
{
    (void)state;
    return linux_now_ns();
}

static void *loop_native(void *state)
{
    struct loop *self = state;
    return self->native;
}

static int loop_native_fd(void *state)
{
    (void)state;
    return -ENOSYS;
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){
        .library = weft__libev_name(),
        .timer_resolution_ns = 1,
        .tells_hangup = false,
    };
}

int weft__libev_prepare(struct loop *self)
{
    int result = weft__libev_open();
    if (result < 0) return result;

    *self = (struct loop){
        .probe_fd = -1,
        .wake_fd = -1,
        .alarm_fd = -1,
        .slack_ns = linux_slack_ns(),
        .alarm_ns = NEVER,
        .slots = {.slot_size = sizeof(struct slot)},
    };
    list_open(&self->changed);
    list_open(&self->fresh);
    list_open(&self->found);

    result = descriptors_open(self);
    if (result < 0) descriptors_close(self);
    return result;
}

static int descriptors_open(struct loop *self)
{
    self->probe_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->probe_fd < 0) return -errno;
    self->wake_fd = linux_wake_open();
    if (self->wake_fd < 0) return self->wake_fd;
    self->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->alarm_fd < 0) return -errno;

    int result = probe_new(self, self->wake_fd);
    if (result == 0) result = probe_new(self, self->alarm_fd);
    if (result == 0) result = library_reserve(self, self->wake_fd + self->alarm_fd);
    return result;
}

static void descriptors_close(struct loop *self)
{
    if (self->probe_fd >= 0) close(self->probe_fd);
    if (self->wake_fd >= 0) close(self->wake_fd);
    if (self->alarm_fd >= 0) close(self->alarm_fd);
}

void weft__libev_enter(struct loop *self)
{
    ev_io_init(&self->wake_watch, on_wake, self->wake_fd, EV_READ);
    ev_io_init(&self->alarm_watch, on_alarm, self->alarm_fd, EV_READ);
    ev_prepare_init(&self->pass_watch, on_pass);
    ev_fork_init(&self->rebuild_watch, on_rebuild);
    self->wake_watch.data = self->alarm_watch.data = self;
    self->pass_watch.data = self->rebuild_watch.data = self;

    weft__ev.io_start(self->native, &self->wake_watch);
    weft__ev.io_start(self->native, &self->alarm_watch);
    weft__ev.prepare_start(self->native, &self->pass_watch);
    weft__ev.fork_start(self->native, &self->rebuild_watch);
}

void weft__libev_leave(struct loop *self)
{
    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        loop_disarm(self, fd);
    }
    weft__ev.io_stop(self->native, &self->wake_watch);
    weft__ev.io_stop(self->native, &self->alarm_watch);
    weft__ev.prepare_stop(self->native, &self->pass_watch);
    weft__ev.fork_stop(self->native, &self->rebuild_watch);
}

/* libev ends the process when it finds no memory. So what its tables may take for numbers up to
 * `fd` is taken and given back first; volatile, or the compiler would leave both out. */
static int library_reserve(struct loop *self, int fd)
{
    if (fd < self->room) return 0;

    size_t room = 2 * ((size_t)fd + 1);
    void *volatile memory = malloc(room * LIBRARY_BYTES_PER_FD + LIBRARY_BYTES);
    if (!memory) return -ENOMEM;
    free(memory);
    self->room = room < INT_MAX ? (int)room : INT_MAX;
    return 0;
}

/* 0 if `fd` can be armed. `ret` receives its slot, also on error if it has one. */
static int slot_admit(struct loop *self, int fd, struct slot **ret)
{
    *ret = table_find(&self->slots, fd);
    int result = *ret && (*ret)->is_admitted ? probe(self, fd) : probe_new(self, fd);
    if (result == 0) result = library_reserve(self, fd);
    if (result < 0 || *ret) return result;

    *ret = table_reserve(&self->slots, fd);
    return *ret ? 0 : -ENOMEM;
}

/* ev_io_set() tells libev that the number may be another file than before. */
static void slot_start(struct loop *self, struct slot *slot, int fd)
{
    ev_io_init(&slot->watch, on_io, fd, (int)slot->interest);
    slot->watch.data = self;
    weft__ev.io_start(self->native, &slot->watch);
    list_push_back(&self->changed, &slot->change_link);
}

static void slot_stop(struct loop *self, struct slot *slot)
{
    if (!slot->interest) return;

    weft__ev.io_stop(self->native, &slot->watch);
    if (list_node_is_linked(&slot->change_link)) list_remove(&slot->change_link);
    if (list_node_is_linked(&slot->found_link)) list_remove(&slot->found_link);
    slot->interest = 0;
}

/* 0 if epoll takes this kind of file. Nothing is registered here, so there is nothing to delete:
 * that is the question which changes nothing. */
static int probe(const struct loop *self, int fd)
{
    if (epoll_ctl(self->probe_fd, EPOLL_CTL_DEL, fd, NULL) == 0 || errno == ENOENT) return 0;
    return -errno;
}

/* The same for a number that was never armed: also whether the kernel has room for it, and whether
 * it is an epoll instance that is nested too deep. */
static int probe_new(const struct loop *self, int fd)
{
    struct epoll_event none = {.events = 0};
    if (epoll_ctl(self->probe_fd, EPOLL_CTL_ADD, fd, &none) < 0) return -errno;
    return probe(self, fd);
}

/* One pass of our own loop. What is left from the last one is looked at again at once. */
static int run_pass(struct loop *self, int64_t timeout_ns)
{
    bool sleeps = timeout_ns > 0 && list_is_empty(&self->found);
    if (sleeps) {
        int64_t now_ns = timeout_ns == NEVER ? 0 : weft__libev_now(self);
        int64_t deadline_ns = timeout_ns < NEVER - now_ns ? now_ns + timeout_ns : NEVER;
        weft__libev_alarm(self, deadline_ns, now_ns);
    }
    weft__ev.run(self->native, sleeps ? EVRUN_ONCE : EVRUN_NOWAIT);
    return weft__libev_error();
}

void weft__libev_alarm(struct loop *self, int64_t deadline_ns, int64_t now_ns)
{
    deadline_ns = linux_alarm_ns(deadline_ns, now_ns, self->slack_ns);
    if (self->alarm_ns <= deadline_ns && !self->alarm_has_fired) return;

    struct itimerspec when = {.it_value = {0}}; /* not set, and no longer readable */
    if (deadline_ns != NEVER) {
        when.it_value.tv_sec = deadline_ns / NS_PER_SEC;
        when.it_value.tv_nsec = deadline_ns % NS_PER_SEC;
    }
    (void)timerfd_settime(self->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL); /* the values are fine */
    self->alarm_ns = deadline_ns;
    self->alarm_has_fired = false;
}

static void on_io(struct ev_loop *native, ev_io *watch, int events)
{
    (void)native;
    struct loop *self = watch->data;
    struct slot *slot = container_of(watch, struct slot, watch);

    slot->found = (unsigned)events & slot->interest;
    slot->pass = self->pass;
    /* At the front: pending watchers are called last come, first served. */
    if (!list_node_is_linked(&slot->found_link)) list_push_front(&self->fresh, &slot->found_link);

    /* The kernel had no room, and libev has stopped the watcher. It is tried again in each pass,
     * and until then the tasks ask the file itself. */
    if (events & EV_ERROR) slot_start(self, slot, watch->fd);
    weft__libev_turn(self);
}

static void on_wake(struct ev_loop *native, ev_io *watch, int events)
{
    (void)native;
    (void)events;
    struct loop *self = watch->data;

    linux_wake_drain(self->wake_fd);
    weft__libev_turn(self);
}

/* The alarm stays readable: setting it anew, which most often comes next, ends that as well. */
static void on_alarm(struct ev_loop *native, ev_io *watch, int events)
{
    (void)native;
    (void)events;
    struct loop *self = watch->data;

    self->alarm_has_fired = true;
    weft__libev_alarmed(self);
}

/* Right after this libev tells the kernel what has changed, and asserts that it is taken. */
static void on_pass(struct ev_loop *native, ev_prepare *watch, int events)
{
    (void)native;
    (void)events;
    struct loop *self = watch->data;

    self->pass++;
    while (!list_is_empty(&self->changed)) {
        struct slot *slot = container_of(list_pop_front(&self->changed), struct slot, change_link);
        if (probe(self, slot->watch.fd) < 0) slot_stop(self, slot); /* closed meanwhile */
    }
}

/* The same when a new epoll instance is about to be told everything. */
static void on_rebuild(struct ev_loop *native, ev_fork *watch, int events)
{
    (void)native;
    (void)events;
    struct loop *self = watch->data;

    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (slot && slot->interest && probe(self, fd) < 0) slot_stop(self, slot);
    }
}

const struct weft_backend weft__backend = {
    .name = "libev",
    .state_size = sizeof(struct loop),
    .open = loop_open,
    .close = loop_close,
    .arm = loop_arm,
    .disarm = loop_disarm,
    .forget = loop_forget,
    .poll = loop_poll,
    .wake = loop_wake,
    .now_ns = weft__libev_now,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_close,
    .attach = weft__libev_attach,
    .schedule = weft__libev_schedule,
    .facts = loop_facts,
};
