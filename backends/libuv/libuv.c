/* SPDX-License-Identifier: MIT */
/*
 * The backend on libuv: a uv_loop_t, of our own or a host's, which waits for all that is armed.
 *
 * Of libuv it uses uv_poll_t and, in a host's loop, the hooks of a pass. Time is not libuv's: its
 * clock is as old as the pass, and its timers cut to milliseconds. A timerfd ends sleeps, an
 * eventfd wakes; both are watched as everything else is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backends/libuv/loop.h"

static char library_name[32];

static int descriptors_open(struct loop *self);
static void descriptors_close(struct loop *self);
static int own_open(struct loop *self);
static int handles_open(struct loop *self);
static void on_wake(uv_poll_t *handle, int status, int events);
static void on_alarm(uv_poll_t *handle, int status, int events);
static void loop_end(struct loop *self);
static void handle_close(uv_handle_t *handle);
static int alarm_move(struct loop *self, int64_t deadline_ns);

/* The first loop of a process makes a pipe that stays, and ends the process if it cannot. That is
 * better done here than when descriptors are scarce. */
__attribute__((constructor)) static void library_open(void)
{
    uv_loop_t loop;

    (void)snprintf(library_name, sizeof library_name, "libuv %s", uv_version_string());
    if (uv_loop_init(&loop) == 0) (void)uv_loop_close(&loop);
}

static int loop_open(void *state)
{
    struct loop *self;
    int result = weft__libuv_open(&self, NULL, NULL);
    if (result < 0) return result;

    (void)uv_run(self->uv, UV_RUN_NOWAIT); /* registers libuv's own, while there is room */
    *(struct loop **)state = self;
    return 0;
}

static void loop_close(void *state)
{
    loop_end(loop_of(state));
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = loop_of(state);
    if (self->host) return weft__libuv_collect(self, events, capacity);

    bool may_sleep = timeout_ns > 0;
    int64_t now_ns = may_sleep ? weft__backend.now_ns(state) : 0;
    int64_t deadline_ns = timeout_ns < LOOP_NEVER - now_ns ? now_ns + timeout_ns : LOOP_NEVER;
    int count;
    do { /* again if an alarm rang that was set for an earlier deadline */
        weft__libuv_settle(self);
        int result = may_sleep ? weft__libuv_set_alarm(self, deadline_ns, now_ns) : 0;
        if (result < 0) return result; /* closed behind our back, and libuv's own with it */
        may_sleep = may_sleep && !self->is_haunted; /* a ghost would keep libuv busy, and us out */
        (void)uv_run(self->uv, may_sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        count = weft__libuv_collect(self, events, capacity);
        may_sleep = may_sleep && count == 0 && !self->is_woken;
    } while (may_sleep && weft__backend.now_ns(state) < deadline_ns);

    self->is_woken = false;
    /* Who watches native_fd hears of events, not of alarms. */
    if (self->native_fd >= 0 && self->alarm_ns < LOOP_NEVER) (void)alarm_move(self, LOOP_NEVER);
    return count;
}

static void loop_wake(void *state)
{
    struct loop *self = loop_of(state);
    linux_wake(self->wake_fd);
}

static int64_t loop_now_ns(void *state)
{
    (void)state;
    return linux_now_ns();
}

static void *loop_native(void *state)
{
    return loop_of(state)->uv;
}

static int loop_native_fd(void *state)
{
    struct loop *self = loop_of(state);
    if (self->native_fd >= 0) return self->native_fd;

    int native_fd = epoll_create1(EPOLL_CLOEXEC);
    if (native_fd < 0) return -errno;
    int result = weft__libuv_nest_epoll(native_fd, uv_backend_fd(self->uv));
    if (result < 0) {
        close(native_fd);
        return result;
    }
    if (!self->host) (void)alarm_move(self, LOOP_NEVER);
    self->native_fd = native_fd;
    return native_fd;
}

/*
 * Closing a handle deletes from the epoll instance, which is the parent's, too. A loop of our own
 * gets a new one from libuv; the host's, which is the host's to care for, an empty one in its place
 * until the host calls uv_loop_fork() itself.
 */
static void loop_after_fork(void *state)
{
    struct loop *self = loop_of(state);

    int result;
    if (self->host) {
        int empty_fd = epoll_create1(EPOLL_CLOEXEC);
        result = dup3(empty_fd, uv_backend_fd(self->uv), O_CLOEXEC);
        if (empty_fd >= 0) close(empty_fd);
    } else {
        result = uv_loop_fork(self->uv);
    }
    if (result >= 0) {
        loop_end(self);
    } else {
        descriptors_close(self); /* the rest is lost, but nothing of the parent's is touched */
    }
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){.library = library_name, .timer_resolution_ns = 1};
}

int weft__libuv_open(struct loop **ret, uv_loop_t *uv, struct weft_host *host)
{
    struct loop *self = malloc(sizeof *self);
    if (!self) return -ENOMEM;

    *self = (struct loop){
        .uv = uv,
        .host = host,
        .wake_fd = -1,
        .alarm_fd = -1,
        .spare_fd = -1,
        .native_fd = -1,
        .slack_ns = linux_slack_ns(),
        .alarm_ns = LOOP_NEVER,
        .turn_ns = LOOP_NEVER,
        .slots = {.slot_size = sizeof(struct watch *)},
    };
    list_open(&self->unused);
    list_open(&self->unsure);
    list_open(&self->fired);
    int result = descriptors_open(self);
    if (result == 0 && !uv) result = own_open(self);
    if (result < 0) {
        descriptors_close(self);
        free(self);
        return result;
    }

    result = handles_open(self);
    if (result < 0) {
        loop_end(self);
        return result;
    }
    *ret = self;
    return 0;
}

static int descriptors_open(struct loop *self)
{
    self->wake_fd = linux_wake_open();
    if (self->wake_fd < 0) return self->wake_fd;
    self->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->alarm_fd < 0) return -errno;
    self->spare_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->spare_fd < 0 ? -errno : 0;
}

static void descriptors_close(struct loop *self)
{
    if (self->native_fd >= 0) close(self->native_fd);
    if (self->spare_fd >= 0) close(self->spare_fd);
    if (self->alarm_fd >= 0) close(self->alarm_fd);
    if (self->wake_fd >= 0) close(self->wake_fd);
    table_close(&self->slots);
}

static int own_open(struct loop *self)
{
    /* libuv takes a few descriptors, which come after ours. */
    if (!weft__libuv_has_room(self, self->spare_fd + 16)) return -ENOMEM;
    int result = uv_loop_init(&self->own);
    if (result < 0) {
        /* Early versions forget to close this one; it cannot be 0, because ours are lower. */
        int left_fd = uv_backend_fd(&self->own);
        if (left_fd > 0) close(left_fd);
        return result;
    }
    self->uv = &self->own;
    return 0;
}

/* The first tells whether the kernel has room for any. */
static int handles_open(struct loop *self)
{
    int result = uv_poll_init(self->uv, &self->wake, self->wake_fd);
    if (result < 0) return result;
    weft__libuv_count_handle(self, (uv_handle_t *)&self->wake);
    result = uv_poll_init(self->uv, &self->alarm, self->alarm_fd);
    if (result < 0) return result;
    weft__libuv_count_handle(self, (uv_handle_t *)&self->alarm);

    result = uv_poll_start(&self->wake, UV_READABLE, on_wake);
    return result < 0 ? result : uv_poll_start(&self->alarm, UV_READABLE, on_alarm);
}

void weft__libuv_count_handle(struct loop *self, uv_handle_t *handle)
{
    handle->data = self;
    self->handle_count++;
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
    struct loop *self = handle->data;
    (void)status;
    (void)events;

    linux_wake_drain(self->wake_fd);
    self->is_woken = true;
}

/* To set it anew will silence it, without a read. */
static void on_alarm(uv_poll_t *handle, int status, int events)
{
    struct loop *self = handle->data;
    (void)status;
    (void)events;

    self->is_ringing = true;
}

static void loop_end(struct loop *self)
{
    weft__libuv_close_watches(self);
    handle_close((uv_handle_t *)&self->wake);
    handle_close((uv_handle_t *)&self->alarm);
    handle_close((uv_handle_t *)&self->prepare);
    handle_close((uv_handle_t *)&self->check);
    handle_close((uv_handle_t *)&self->idle);
    descriptors_close(self);
    if (self->host) {
        self->is_closed = true; /* freed when the host's loop has given the last handle back */
        if (self->handle_count == 0) free(self);
        return;
    }
    /* Without its descriptor (somebody has closed them all) libuv would end the process. */
    if (fcntl(uv_backend_fd(self->uv), F_GETFD) < 0 && errno == EBADF) return;
    (void)uv_run(self->uv, UV_RUN_NOWAIT);
    /* Busy: the user has left handles of their own in our loop, which must not dangle. */
    if (uv_loop_close(self->uv) == 0) free(self);
}

static void on_closed(uv_handle_t *handle)
{
    weft__libuv_uncount_handle(handle->data);
}

/* What was never opened is zeroed, and of no type. A host that closes all that it finds in its loop
 * has closed ours, too: then the loop's memory is lost, because nobody tells when it may go. */
static void handle_close(uv_handle_t *handle)
{
    if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) uv_close(handle, on_closed);
}

void weft__libuv_uncount_handle(struct loop *self)
{
    self->handle_count--;
    if (self->handle_count == 0 && self->is_closed) free(self);
}

int weft__libuv_set_alarm(struct loop *self, int64_t deadline_ns, int64_t now_ns)
{
    deadline_ns = linux_alarm_ns(deadline_ns, now_ns, self->slack_ns);
    if (!self->is_ringing && self->alarm_ns <= deadline_ns) return 0;
    return alarm_move(self, deadline_ns);
}

static int alarm_move(struct loop *self, int64_t deadline_ns)
{
    struct itimerspec alarm = {.it_value = {0}}; /* which disarms */
    if (deadline_ns < LOOP_NEVER) {
        alarm.it_value.tv_sec = deadline_ns / NS_PER_SEC;
        alarm.it_value.tv_nsec = deadline_ns % NS_PER_SEC;
    }
    if (timerfd_settime(self->alarm_fd, TFD_TIMER_ABSTIME, &alarm, NULL) < 0) return -errno;
    self->alarm_ns = deadline_ns;
    self->is_ringing = false;
    return 0;
}

const struct weft_backend weft__backend = {
    .name = "libuv",
    .state_size = sizeof(struct loop *),
    .open = loop_open,
    .close = loop_close,
    .arm = weft__libuv_arm,
    .disarm = weft__libuv_disarm,
    .forget = weft__libuv_disarm,
    .poll = loop_poll,
    .wake = loop_wake,
    .now_ns = loop_now_ns,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_after_fork,
    .attach = weft__libuv_attach,
    .schedule = weft__libuv_schedule,
    .facts = loop_facts,
};
