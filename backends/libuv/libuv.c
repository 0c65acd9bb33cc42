/* SPDX-License-Identifier: MIT */
/*
 * The backend on libuv: one uv_poll_t per armed descriptor.
 *
 * What looks odd answers three habits of libuv. It sets O_NONBLOCK on what it is told to poll, so
 * handles are made for a descriptor of ours and pointed at the user's later (watch_point). It
 * registers late, and ends the process if the kernel refuses, so we register first, and look again
 * before it does (settle). And it cannot tell which file an event belongs to, so a *ghost*, the
 * registration of a number that was closed while a duplicate lives on, is laid before it is heard
 * (lay_ghosts). Its clock and timers are not used: a timerfd ends sleeps, an eventfd wakes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "backends/contract.h"
#include "backends/libuv/ghosts.h"
#include "base/list.h"
#include "base/table.h"

#define NS_PER_SEC INT64_C(1000000000)
#define NEVER      INT64_MAX

/* Lives in memory of its own, because libuv gives handles back later than we close. */
struct loop {
    uv_loop_t *uv; /* NULL until it is open */
    uv_loop_t own;
    int wake_fd;
    int alarm_fd;     /* ends a sleep; libuv's timers count milliseconds, and may be early */
    int spare_fd;     /* what a handle that watches nothing stands for */
    int native_fd;    /* an epoll of libuv's alone, whose insides change; -1 until asked for */
    int room;         /* libuv's table of watchers has room for the numbers below */
    int handle_count; /* which libuv has not given back */
    int64_t alarm_ns; /* when the alarm is going to ring; NEVER: not at all */
    bool is_ringing;  /* the alarm rang: readable until it is set anew */
    bool is_woken;    /* wake() was called since the last poll */
    bool is_haunted;  /* a registration could not be deleted: there may be a ghost */
    uv_poll_t wake;   /* all handles have this loop as data */
    uv_poll_t alarm;
    struct table slots; /* struct watch *, by descriptor number; NULL: not armed */
    struct list unused; /* watches that stand for no descriptor */
    struct list unsure; /* armed, and libuv has not registered them yet, or has stopped them */
    struct list fired;  /* armed, and found ready since the last poll or before */
};

/* Invariant: in the table, or unused. */
struct watch {
    uv_poll_t handle; /* first, so that the one is the other */
    int fd;
    unsigned interest;
    unsigned found; /* of the interest, since the last poll */
    uint64_t token;
    struct list_node unsure_link;
    struct list_node link; /* in unused or fired */
};

static char library_name[32];

static struct loop *loop_new(void);
static int descriptors_open(struct loop *self);
static void descriptors_close(struct loop *self);
static int own_open(struct loop *self);
static int handles_open(struct loop *self);
static int handle_open(struct loop *self, uv_poll_t *handle, int fd);
static void handles_close(struct loop *self);
static bool reserve_room(struct loop *self, int fd);
static struct watch *watch_find(const struct loop *self, int fd);
static int watch_open(struct loop *self, int fd, struct watch **ret);
static void watch_point(struct watch *watch, int fd);
static int watch_start(struct loop *self, struct watch *watch);
static int watch_register(struct loop *self, const struct watch *watch, int operation);
static void watch_forgive(struct watch *watch);
static void watch_release(struct loop *self, struct watch *watch);
static void settle(struct loop *self);
static int lay_ghosts(struct loop *self);
static int watch_epoll(int native_fd, int epoll_fd);
static int alarm_set(struct loop *self, int64_t deadline_ns);
static int alarm_move(struct loop *self, int64_t deadline_ns);
static int collect(struct loop *self, struct weft_event *events, int capacity);

static struct loop *loop_of(void *state)
{
    return *(struct loop **)state;
}

/* The first loop of a process makes a pipe that stays, and ends the process if it cannot. That is
 * better done here than when descriptors are scarce. */
__attribute__((constructor)) static void library_open(void)
{
    uv_loop_t loop;

    (void)snprintf(library_name, sizeof library_name, "libuv %s", uv_version_string());
    if (uv_loop_init(&loop) == 0) (void)uv_loop_close(&loop);
}

static void loop_close(void *state)
{
    struct loop *self = loop_of(state);

    handles_close(self);
    descriptors_close(self);
    /* Without its descriptor (somebody has closed them all) libuv would end the process. */
    if (fcntl(uv_backend_fd(self->uv), F_GETFD) < 0) return;
    (void)uv_run(self->uv, UV_RUN_NOWAIT);
    /* Busy: the user has left handles of their own in our loop, which must not dangle. */
    if (uv_loop_close(self->uv) == 0) free(self);
}

static int loop_open(void *state)
{
    struct loop *self = loop_new();
    if (!self) return -ENOMEM;

    int result = descriptors_open(self);
    if (result == 0) result = own_open(self);
    if (result < 0) {
        descriptors_close(self);
        free(self);
        return result;
    }

    *(struct loop **)state = self;
    result = handles_open(self);
    if (result < 0) {
        loop_close(state);
        return result;
    }
    (void)uv_run(self->uv, UV_RUN_NOWAIT); /* registers libuv's own, while there is room */
    return 0;
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = loop_of(state);

    struct watch *watch = watch_find(self, fd);
    if (watch) {
        /* The kernel knows whether the number still stands for the same file. */
        bool is_same = watch_register(self, watch, EPOLL_CTL_MOD) == 0;
        if (!is_same) self->is_haunted = true;
        watch_forgive(watch);
        watch->token = token;
        if (is_same && watch->interest == interest) return 0;
    } else {
        int result = watch_open(self, fd, &watch);
        if (result < 0) return result;
        watch->token = token;
    }

    watch->interest = interest;
    int result = watch_start(self, watch);
    if (result < 0) {
        watch_release(self, watch);
        return result;
    }
    if (!list_node_is_linked(&watch->unsure_link)) {
        list_push_back(&self->unsure, &watch->unsure_link);
    }
    return 0;
}

/* Also serves as forget. The registration is deleted here and not left to libuv, which does not
 * say whether it could: if not, the number was closed before. */
static void loop_disarm(void *state, int fd)
{
    struct loop *self = loop_of(state);

    struct watch *watch = watch_find(self, fd);
    if (!watch) return;

    if (watch_register(self, watch, EPOLL_CTL_DEL) < 0) self->is_haunted = true;
    watch_release(self, watch);
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = loop_of(state);
    bool may_sleep = timeout_ns > 0;
    int64_t now_ns = may_sleep ? weft__backend.now_ns(state) : 0;
    int64_t deadline_ns = timeout_ns < NEVER - now_ns ? now_ns + timeout_ns : NEVER;

    int count;
    do { /* again if an alarm rang that was set for an earlier deadline */
        settle(self);
        int result = may_sleep ? alarm_set(self, deadline_ns) : 0;
        if (result < 0) return result; /* closed behind our back, and libuv's own with it */
        /* A ghost that could not be laid would keep libuv busy and us out. */
        bool may_wait = may_sleep && !self->is_haunted;
        (void)uv_run(self->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        count = collect(self, events, capacity);
        may_sleep = may_wait && count == 0 && !self->is_woken;
    } while (may_sleep && weft__backend.now_ns(state) < deadline_ns);

    self->is_woken = false;
    /* Who watches native_fd hears of events, not of alarms. */
    if (self->native_fd >= 0 && self->alarm_ns < NEVER) (void)alarm_move(self, NEVER);
    return count;
}

static void loop_wake(void *state)
{
    struct loop *self = loop_of(state);
    int saved_errno = errno;

    /* EAGAIN means that the counter is full: a wake is pending, which is all we want. */
    uint64_t one = 1;
    ssize_t written = write(self->wake_fd, &one, sizeof one);
    (void)written;
    errno = saved_errno;
}

static int64_t loop_now_ns(void *state)
{
    (void)state;

    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
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
    int result = watch_epoll(native_fd, uv_backend_fd(self->uv));
    if (result < 0) {
        close(native_fd);
        return result;
    }
    (void)alarm_move(self, NEVER);
    self->native_fd = native_fd;
    return native_fd;
}

/* With a new epoll instance of the child's own, closing deletes nothing of the parent's. */
static void loop_after_fork(void *state)
{
    struct loop *self = loop_of(state);

    if (uv_loop_fork(self->uv) == 0) {
        loop_close(state);
    } else {
        descriptors_close(self); /* the rest is lost, but nothing of the parent's is touched */
    }
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){.library = library_name, .timer_resolution_ns = 1};
}

static struct loop *loop_new(void)
{
    struct loop *self = malloc(sizeof *self);
    if (!self) return NULL;

    *self = (struct loop){
        .wake_fd = -1,
        .alarm_fd = -1,
        .spare_fd = -1,
        .native_fd = -1,
        .alarm_ns = NEVER,
        .slots = {.slot_size = sizeof(struct watch *)},
    };
    list_open(&self->unused);
    list_open(&self->unsure);
    list_open(&self->fired);
    return self;
}

static int descriptors_open(struct loop *self)
{
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0) return -errno;
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
    /* libuv takes four descriptors or more, which come after ours. */
    if (!reserve_room(self, self->spare_fd + 16)) return -ENOMEM;
    int result = uv_loop_init(&self->own);
    if (result < 0) {
        /* Until 1.45 it forgets to close this one; it cannot be 0, because ours are lower. */
        int left_fd = uv_backend_fd(&self->own);
        if (left_fd > 0) close(left_fd);
        return result;
    }

    /* Room in the kernel for what libuv registers without asking: tried with ours. */
    const int fds[] = {self->wake_fd, self->alarm_fd, self->spare_fd};
    for (int i = 0; i < 3 && result == 0; i++) {
        struct epoll_event none = {.events = 0};
        if (epoll_ctl(uv_backend_fd(&self->own), EPOLL_CTL_ADD, fds[i], &none) < 0) result = -errno;
    }
    if (result < 0) {
        (void)uv_loop_close(&self->own);
        return result;
    }
    for (int i = 0; i < 3; i++) {
        (void)epoll_ctl(uv_backend_fd(&self->own), EPOLL_CTL_DEL, fds[i], NULL);
    }
    self->uv = &self->own;
    return 0;
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
    struct loop *self = handle->data;
    (void)status;
    (void)events;

    uint64_t wakes; /* how many does not matter, and a reader before us is no failure */
    ssize_t drained = read(self->wake_fd, &wakes, sizeof wakes);
    (void)drained;
    self->is_woken = true;
}

/* Setting it anew will silence it, without a read. */
static void on_alarm(uv_poll_t *handle, int status, int events)
{
    struct loop *self = handle->data;
    (void)status;
    (void)events;

    self->is_ringing = true;
}

static int handles_open(struct loop *self)
{
    int result = handle_open(self, &self->wake, self->wake_fd);
    if (result == 0) result = uv_poll_start(&self->wake, UV_READABLE, on_wake);
    if (result == 0) result = handle_open(self, &self->alarm, self->alarm_fd);
    if (result == 0) result = uv_poll_start(&self->alarm, UV_READABLE, on_alarm);
    return result;
}

static int handle_open(struct loop *self, uv_poll_t *handle, int fd)
{
    int result = uv_poll_init(self->uv, handle, fd);
    if (result < 0) return result;

    handle->data = self;
    self->handle_count++;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct loop *self = handle->data;

    self->handle_count--;
    if (handle != (uv_handle_t *)&self->wake && handle != (uv_handle_t *)&self->alarm) {
        free(container_of(handle, struct watch, handle));
    }
}

/* What was never opened is a zeroed handle, of no type. */
static void handles_close(struct loop *self)
{
    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct watch *watch = watch_find(self, fd);
        if (watch) watch_release(self, watch);
    }
    for (struct list_node *node = list_pop_front(&self->unused); node;
         node = list_pop_front(&self->unused)) {
        uv_close((uv_handle_t *)&container_of(node, struct watch, link)->handle, on_closed);
    }
    if (self->wake.type == UV_POLL) uv_close((uv_handle_t *)&self->wake, on_closed);
    if (self->alarm.type == UV_POLL) uv_close((uv_handle_t *)&self->alarm, on_closed);
}

/* False if libuv might find no memory to grow its table of watchers up to `fd`: it would end the
 * process. The next power of two is below twice the number. */
static bool reserve_room(struct loop *self, int fd)
{
    if (fd < self->room) return true;

    void *volatile probe = malloc(2 * ((size_t)fd + 4) * sizeof(void *));
    if (!probe) return false;
    free(probe);
    self->room = fd + 1;
    return true;
}

static struct watch *watch_find(const struct loop *self, int fd)
{
    struct watch *const *slot = table_find(&self->slots, fd);
    return slot ? *slot : NULL;
}

/* A watch for a number that has none. */
static int watch_open(struct loop *self, int fd, struct watch **ret)
{
    if (fd < 0 || fcntl(fd, F_GETFD) < 0) return -EBADF; /* no table for what nobody has */
    struct watch **slot = table_reserve(&self->slots, fd);
    if (!slot || !reserve_room(self, fd)) return -ENOMEM;

    struct watch *watch;
    struct list_node *node = list_pop_front(&self->unused);
    if (node) {
        watch = container_of(node, struct watch, link);
    } else {
        watch = calloc(1, sizeof *watch);
        if (!watch) return -ENOMEM;
        int result = handle_open(self, &watch->handle, self->spare_fd);
        if (result < 0) {
            free(watch);
            return result;
        }
    }
    watch_point(watch, fd);
    *slot = watch;
    *ret = watch;
    return 0;
}

/*
 * Lets a handle that is stopped stand for another descriptor. The field is private, but in the
 * public header, and its place part of libuv's ABI; nothing else of a stopped handle depends on the
 * number. uv_poll_init(), the proper way, sets O_NONBLOCK on the open file, which others may share:
 * put back or not, a shell would read EAGAIN from its terminal meanwhile.
 */
static void watch_point(struct watch *watch, int fd)
{
    watch->fd = fd;
    watch->handle.io_watcher.fd = fd;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct loop *self = handle->data;
    struct watch *watch = container_of(handle, struct watch, handle);

    if (status < 0) {
        /* "Bad descriptor" is libuv's word for POLLERR. It has stopped the handle. */
        watch->found = watch->interest;
        if (!list_node_is_linked(&watch->unsure_link)) {
            list_push_back(&self->unsure, &watch->unsure_link);
        }
    } else {
        if (events & UV_READABLE) watch->found |= WEFT_IO_READ & watch->interest;
        if (events & UV_WRITABLE) watch->found |= WEFT_IO_WRITE & watch->interest;
    }
    if (!list_node_is_linked(&watch->link)) list_push_back(&self->fired, &watch->link);
}

/* Libuv will find the registration there, which cannot fail for want of room then. */
static int watch_start(struct loop *self, struct watch *watch)
{
    int events = 0;
    if (watch->interest & WEFT_IO_READ) events |= UV_READABLE;
    if (watch->interest & WEFT_IO_WRITE) events |= UV_WRITABLE;

    int result = uv_poll_start(&watch->handle, events, on_ready);
    return result < 0 ? result : watch_register(self, watch, EPOLL_CTL_ADD);
}

static int watch_register(struct loop *self, const struct watch *watch, int operation)
{
    struct epoll_event event = {.data.fd = watch->fd};
    if (watch->interest & WEFT_IO_READ) event.events |= EPOLLIN;
    if (watch->interest & WEFT_IO_WRITE) event.events |= EPOLLOUT;
    return epoll_ctl(uv_backend_fd(self->uv), operation, watch->fd, &event) < 0 ? -errno : 0;
}

static void watch_forgive(struct watch *watch)
{
    watch->found = 0;
    if (list_node_is_linked(&watch->link)) list_remove(&watch->link);
}

static void watch_release(struct loop *self, struct watch *watch)
{
    *(struct watch **)table_find(&self->slots, watch->fd) = NULL;
    watch_forgive(watch);
    if (list_node_is_linked(&watch->unsure_link)) list_remove(&watch->unsure_link);
    if (uv_is_active((uv_handle_t *)&watch->handle)) (void)uv_poll_stop(&watch->handle);
    watch_point(watch, self->spare_fd);
    list_push_front(&self->unused, &watch->link);
}

/* What must hold before libuv turns: all that it is going to register is still there. */
static void settle(struct loop *self)
{
    for (struct list_node *node = list_pop_front(&self->unsure); node;
         node = list_pop_front(&self->unsure)) {
        struct watch *watch = container_of(node, struct watch, unsure_link);
        int result = uv_is_active((uv_handle_t *)&watch->handle)
                         ? watch_register(self, watch, EPOLL_CTL_MOD)
                         : watch_start(self, watch);
        if (result == 0) continue;

        /* Closed behind our back; if a duplicate lives, the registration does, too. */
        watch_release(self, watch);
        self->is_haunted = true;
    }

    /* What the last poll had no room for keeps its place in the list, if it is found again. */
    list_for_each(node, &self->fired) {
        container_of(node, struct watch, link)->found = 0;
    }

    if (self->is_haunted) self->is_haunted = lay_ghosts(self) < 0;
}

static int watch_epoll(int native_fd, int epoll_fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(native_fd, EPOLL_CTL_ADD, epoll_fd, &event) < 0 ? -errno : 0;
}

/* Without room for a new instance the ghost stays, and the next poll tries again. */
static int lay_ghosts(struct loop *self)
{
    int epoll_fd = uv_backend_fd(self->uv);
    int result = weft__libuv_renew_epoll(epoll_fd);
    if (result == 0 && self->native_fd >= 0) result = watch_epoll(self->native_fd, epoll_fd);
    return result;
}

/* An alarm that rings earlier stays: it costs one turn in vain, while deadlines that move on and
 * on, such as the time-outs of a busy server, cost no system call. */
static int alarm_set(struct loop *self, int64_t deadline_ns)
{
    if (!self->is_ringing && self->alarm_ns <= deadline_ns) return 0;
    return alarm_move(self, deadline_ns);
}

static int alarm_move(struct loop *self, int64_t deadline_ns)
{
    struct itimerspec alarm = {.it_value = {0}}; /* which disarms */
    if (deadline_ns < NEVER) {
        alarm.it_value.tv_sec = deadline_ns / NS_PER_SEC;
        alarm.it_value.tv_nsec = deadline_ns % NS_PER_SEC;
    }
    if (timerfd_settime(self->alarm_fd, TFD_TIMER_ABSTIME, &alarm, NULL) < 0) return -errno;
    self->alarm_ns = deadline_ns;
    self->is_ringing = false;
    return 0;
}

static int collect(struct loop *self, struct weft_event *events, int capacity)
{
    int count = 0;
    while (count < capacity) {
        struct list_node *node = list_pop_front(&self->fired);
        if (!node) break;

        struct watch *watch = container_of(node, struct watch, link);
        if (!watch->found) continue;
        events[count] = (struct weft_event){.token = watch->token, .found = watch->found};
        watch->found = 0;
        count++;
    }
    return count;
}

const struct weft_backend weft__backend = {
    .name = "libuv",
    .state_size = sizeof(struct loop *),
    .open = loop_open,
    .close = loop_close,
    .arm = loop_arm,
    .disarm = loop_disarm,
    .forget = loop_disarm,
    .poll = loop_poll,
    .wake = loop_wake,
    .now_ns = loop_now_ns,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_after_fork,
    .facts = loop_facts,
};
