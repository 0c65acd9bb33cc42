/* SPDX-License-Identifier: MIT */
/*
 * The backend on libevent: one persistent event per descriptor; callbacks only record.
 *
 * libevent prints warnings, and ends the process if it finds no descriptors for a new base. The
 * callbacks against both are process-global, and nobody can ask what a host has set there. So none
 * is set (but see base_open()): whatever could be refused is tried beforehand. Slots with something
 * to report stand in a queue; those that a poll has no room for keep their place in it, and are
 * reported by the next one if that finds them ready again.
 */
#include "backends/libevent/libevent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What a new event_base takes, and a little more. */
#define BASE_SIZE_MAX 16384

static void loop_close(void *state);
static int64_t loop_now_ns(void *state);
static bool is_libevent(void);
static int prepare(struct loop *self);
static int check_room(int wake_fd);
static int base_open(struct event_base **ret);
static void discard(int severity, const char *message);
static int watch_own(struct loop *self);
static void on_wake(evutil_socket_t fd, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_ready(evutil_socket_t fd, short what, void *arg);
static int slot_reserve(struct loop *self, int fd, struct slot **ret);
static int slot_start(struct loop *self, struct slot *slot, int fd, unsigned interest);
static bool slot_stop(struct loop *self, struct slot *slot);
static void timer_arm(struct loop *self, int64_t timeout_ns);
static bool lay_ghosts(struct loop *self, int64_t timeout_ns);
static int report(struct loop *self, struct weft_event *events, int capacity);

static int loop_open(void *state)
{
    struct loop *self = state;

    int result = prepare(self);
    if (result == 0) result = check_room(self->wake_fd);
    if (result == 0) result = base_open(&self->base);
    if (result == 0) result = watch_own(self);
    if (result < 0) loop_close(self);
    return result;
}

/* Also of a loop that is half open. */
static void loop_close(void *state)
{
    struct loop *self = state;

    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (slot) slot_stop(self, slot);
    }
    if (event_initialized(&self->wake_event)) (void)event_del(&self->wake_event);
    if (event_initialized(&self->timer_event)) (void)event_del(&self->timer_event);
    event_debug_unassign(&self->wake_event);
    event_debug_unassign(&self->timer_event);
    if (self->base) event_base_free(self->base);
    if (self->wake_fd >= 0) close(self->wake_fd);
    if (self->timer_fd >= 0) close(self->timer_fd);
    table_close(&self->slots);
    *self = (struct loop){.wake_fd = -1, .timer_fd = -1, .epoll_fd = -1, .probe_fd = -1};
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    struct slot *slot;
    int result = slot_reserve(self, fd, &slot);
    if (result < 0) return result;

    /* Not the same file as before, or the first time: event_add() would print what is wrong. */
    if (!slot_stop(self, slot)) {
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
    if (slot) slot_stop(self, slot);
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;

    bool is_clean = lay_ghosts(self, timeout_ns);
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
    if (timeout_ns <= 0 || !list_is_empty(&self->found) || !is_clean) {
        flags |= EVLOOP_NONBLOCK;
    } else if (timeout_ns != WEFT_POLL_FOREVER) {
        timer_arm(self, timeout_ns);
    }

    self->pass++;
    if (event_base_loop(self->base, flags) < 0) return -EDEADLK; /* called from its callback */
    return report(self, events, capacity);
}

static void loop_wake(void *state)
{
    struct loop *self = state;
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

    if (self->epoll_fd >= 0) close(self->epoll_fd);
    loop_close(self);
}

static char library[64];

static void library_name(void)
{
    (void)snprintf(library, sizeof library, "libevent %s", event_get_version());
}

static struct weft_backend_facts loop_facts(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, library_name);

    return (struct weft_backend_facts){
        .library = library,
        .timer_resolution_ns = 1,
        .tells_hangup = false,
    };
}

/* libev exports functions of libevent's names. Where a program was linked with it first, they are
 * what we would call, with structs that they do not know; so does libevent itself, which is why
 * finding the right ones for our own calls would not help. */
static bool is_libevent(void)
{
    return strtoul(event_get_version(), NULL, 10) == event_get_version_number() >> 24;
}

/* Everything that is not the base's. */
static int prepare(struct loop *self)
{
    *self = (struct loop){
        .wake_fd = -1,
        .timer_fd = -1,
        .epoll_fd = -1,
        .probe_fd = -1,
        .timer_ns = INT64_MAX,
        .slots = {.slot_size = sizeof(struct slot)},
    };
    list_open(&self->found);
    if (!is_libevent()) return -ELIBBAD;

    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0) return -errno;
    self->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return self->timer_fd < 0 ? -errno : 0;
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
static int base_open(struct event_base **ret)
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

static int watch_own(struct loop *self)
{
    struct event *wake = &self->wake_event, *timer = &self->timer_event;
    (void)event_assign(wake, self->base, self->wake_fd, EV_READ | EV_PERSIST, on_wake, self);
    (void)event_assign(timer, self->base, self->timer_fd, EV_READ | EV_PERSIST, on_timer, self);
    if (event_add(wake, NULL) < 0 || event_add(timer, NULL) < 0) return -ENOMEM;

    self->epoll_fd = weft__libevent_find_epoll(self->wake_fd);
    self->probe_fd = self->epoll_fd;
    return self->epoll_fd < 0 ? -ENOTSUP : 0;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;

    uint64_t wakes; /* how many does not matter, and a reader before us is no failure */
    ssize_t drained = read(fd, &wakes, sizeof wakes);
    (void)drained;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *self = arg;

    uint64_t expirations;
    ssize_t drained = read(fd, &expirations, sizeof expirations);
    (void)drained;
    self->timer_ns = INT64_MAX;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct slot *slot = arg;
    struct loop *self = slot->loop;

    if (slot->found_pass != self->pass) slot->found = 0;
    slot->found_pass = self->pass;
    if (what & EV_READ) slot->found |= WEFT_IO_READ;
    if (what & EV_WRITE) slot->found |= WEFT_IO_WRITE;
    if (!list_node_is_linked(&slot->found_link)) list_push_back(&self->found, &slot->found_link);
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
    (void)event_assign(&slot->event, self->base, fd, events, on_ready, slot);
    if (event_add(&slot->event, NULL) < 0) {
        event_debug_unassign(&slot->event);
        return -ENOMEM; /* all other reasons were looked for */
    }
    slot->interest = (uint8_t)interest;
    return 0;
}

/* True if it was armed, and its number still stands for the same file. */
static bool slot_stop(struct loop *self, struct slot *slot)
{
    if (!slot->interest) return false;

    bool is_same = weft__libevent_probe(self->probe_fd, event_get_fd(&slot->event)) == -EEXIST;
    if (!is_same) self->haunted = true;
    (void)event_del(&slot->event);
    event_debug_unassign(&slot->event);
    slot->interest = 0;
    if (list_node_is_linked(&slot->found_link)) list_remove(&slot->found_link);
    return is_same;
}

/* An alarm that is armed for earlier stays: it costs one early return, and saves a system call
 * wherever time-outs move on without passing. */
static void timer_arm(struct loop *self, int64_t timeout_ns)
{
    int64_t now_ns = loop_now_ns(self);
    int64_t deadline_ns = timeout_ns < INT64_MAX - now_ns ? now_ns + timeout_ns : INT64_MAX;
    if (deadline_ns >= self->timer_ns) return;

    struct itimerspec alarm = {
        .it_value = {.tv_sec = deadline_ns / NS_PER_SEC, .tv_nsec = deadline_ns % NS_PER_SEC},
    };
    if (timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &alarm, NULL) < 0) return;
    self->timer_ns = deadline_ns;
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
    .wake = loop_wake,
    .now_ns = loop_now_ns,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_after_fork,
    .facts = loop_facts,
};
