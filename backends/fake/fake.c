/* SPDX-License-Identifier: MIT */
/*
 * The reference backend, for tests: poll(2) over what is armed, plus scripted descriptors.
 *
 * It shows the contract at its plainest and is the file to copy for a new backend. What looks odd:
 * an epoll instance that never waits answers one question at arm(), "can the kernel wait for this
 * file?", because poll(2) calls every regular file ready. WEFT_FAKE_SEED shuffles, reproducibly,
 * the order in which one poll reports what fired.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "backends/contract.h"
#include "backends/linux.h"

/* Keep in step with conformance/fake_script.h, which backends may not include. */
#define SCRIPT_FD       (1 << 20)
#define SCRIPT_FD_COUNT 1024

struct watch {
    int fd;
    unsigned interest;
    uint64_t token;
};

/* Invariant: polls[i] asks the kernel for what watches[i] wants; index 0 is the wake descriptor. */
struct loop {
    int wake_fd;
    int probe_fd;    /* the epoll instance that only answers what can be armed */
    int native_fd;   /* what a host watches: an epoll of set_fd alone; -1 until somebody asks */
    int set_fd;      /* an epoll of all that is armed, made anew at every change */
    uint64_t random; /* 0: report in the order of arming */
    struct pollfd *polls;
    struct watch *watches;
    size_t count;    /* of both arrays, at least 1 */
    size_t room;     /* of both arrays */
    size_t rotation; /* where the next poll starts to look, so that none is starved */
};

static unsigned script_ready[SCRIPT_FD_COUNT];
static int script_error[SCRIPT_FD_COUNT];

void weft__fake_set(int fd, unsigned ready);
void weft__fake_refuse(int fd, int error);

static void loop_disarm(void *state, int fd);
static bool is_scripted(int fd);
static int probe(const struct loop *self, int fd);
static int reserve(struct loop *self, size_t room);
static size_t watch_find(const struct loop *self, int fd);
static void watch_store(struct loop *self, size_t index, struct watch watch);
static unsigned watch_found(struct loop *self, size_t index);
static int native_renew(struct loop *self);
/* The plainest way to follow every change, and to lose what is no longer behind a number. Scripted
 * descriptors are none of the kernel's, and not in it. */
static int native_renew(struct loop *self)
{
    int set_fd = epoll_create1(EPOLL_CLOEXEC);
    if (set_fd < 0) return -errno;

    for (size_t i = 0; i < self->count; i++) {
        struct epoll_event event = {.events = 0};
        if (self->polls[i].events & POLLIN) event.events |= EPOLLIN;
        if (self->polls[i].events & POLLOUT) event.events |= EPOLLOUT;
        if (self->polls[i].fd < 0) continue;
        if (epoll_ctl(set_fd, EPOLL_CTL_ADD, self->polls[i].fd, &event) == 0) continue;
        if (errno == ENOMEM || errno == ENOSPC) goto close_set; /* else it was closed meanwhile */
    }
    if (self->set_fd < 0) {
        self->set_fd = set_fd;
    } else {
        (void)dup3(set_fd, self->set_fd, O_CLOEXEC); /* onto an open number: cannot fail */
        close(set_fd);
    }
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(self->native_fd, EPOLL_CTL_ADD, self->set_fd, &event) < 0 ? -errno : 0;

close_set:;
    int result = -errno;
    close(set_fd);
    return result;
}

static bool script_has_ready(const struct loop *self);
static int collect(struct loop *self, struct weft_event *events, int capacity);
static void shuffle(struct loop *self, struct weft_event *events, int count);

static int loop_open(void *state)
{
    struct loop *self = state;
    const char *seed = getenv("WEFT_FAKE_SEED");

    *self =
        (struct loop){.native_fd = -1, .set_fd = -1, .random = seed ? strtoull(seed, NULL, 0) : 0};
    int result = reserve(self, 16);
    if (result < 0) goto free_arrays;

    result = linux_wake_open();
    if (result < 0) goto free_arrays;
    self->wake_fd = result;
    self->probe_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->probe_fd < 0) {
        result = -errno;
        goto close_wake;
    }
    self->count = 1;
    watch_store(self, 0, (struct watch){.fd = self->wake_fd, .interest = WEFT_IO_READ});
    return 0;

close_wake:
    close(self->wake_fd);
free_arrays:
    free(self->polls);
    free(self->watches);
    return result;
}

/* Also serves as after_fork: nothing here is shared with the parent but the open files. */
static void loop_close(void *state)
{
    struct loop *self = state;

    if (self->native_fd >= 0) close(self->native_fd);
    if (self->set_fd >= 0) close(self->set_fd);
    close(self->probe_fd);
    close(self->wake_fd);
    free(self->polls);
    free(self->watches);
    *self = (struct loop){.wake_fd = -1, .probe_fd = -1, .native_fd = -1, .set_fd = -1};
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    int result = probe(self, fd);
    size_t index = watch_find(self, fd);
    if (result == 0 && index == 0) {
        result = reserve(self, self->count + 1);
        index = self->count;
    }
    if (result < 0) {
        loop_disarm(self, fd); /* what the number stood for before is gone, too */
        return result;
    }

    if (index == self->count) self->count++;
    watch_store(self, index, (struct watch){fd, interest, token});
    if (self->native_fd < 0) return 0;
    result = native_renew(self);
    if (result < 0) loop_disarm(self, fd);
    return result;
}

/* Also serves as forget: poll(2) leaves nothing behind in the kernel. */
static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;

    size_t index = watch_find(self, fd);
    if (index == 0) return;

    self->count--;
    watch_store(self, index, self->watches[self->count]);
    if (self->native_fd >= 0) (void)native_renew(self); /* it fails: one that fires too often */
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;

    if (timeout_ns < 0 || script_has_ready(self)) timeout_ns = 0;
    struct timespec timeout = {timeout_ns / NS_PER_SEC, timeout_ns % NS_PER_SEC};
    bool forever = timeout_ns == WEFT_POLL_FOREVER;
    int ready_count = ppoll(self->polls, self->count, forever ? NULL : &timeout, NULL);
    if (ready_count < 0) return errno == EINTR ? 0 : -errno;

    if (self->polls[0].revents) linux_wake_drain(self->wake_fd);
    int count = collect(self, events, capacity);
    if (self->random) shuffle(self, events, count);
    /* what fired there may be a file that was closed behind our back and lives on elsewhere */
    if (count == 0 && self->native_fd >= 0) (void)native_renew(self);
    return count;
}

static void loop_wake(void *state)
{
    struct loop *self = state;
    linux_wake(self->wake_fd);
}

static int64_t loop_now_ns(void *state)
{
    (void)state;
    return linux_now_ns();
}

static void *loop_native(void *state)
{
    (void)state;
    return NULL;
}

static int loop_native_fd(void *state)
{
    struct loop *self = state;
    if (self->native_fd >= 0) return self->native_fd;

    int native_fd = epoll_create1(EPOLL_CLOEXEC);
    if (native_fd < 0) return -errno;
    self->native_fd = native_fd;
    int result = native_renew(self);
    if (result == 0) return native_fd;
    close(native_fd);
    self->native_fd = -1;
    return result;
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){
        .library = "Linux", .timer_resolution_ns = 1, .tells_hangup = true};
}

void weft__fake_set(int fd, unsigned ready)
{
    if (is_scripted(fd)) script_ready[fd - SCRIPT_FD] = ready;
}

void weft__fake_refuse(int fd, int error)
{
    if (is_scripted(fd)) script_error[fd - SCRIPT_FD] = error;
}

static bool is_scripted(int fd)
{
    return fd >= SCRIPT_FD && fd < SCRIPT_FD + SCRIPT_FD_COUNT;
}

/* 0 if `fd` can be armed. */
static int probe(const struct loop *self, int fd)
{
    if (is_scripted(fd)) return script_error[fd - SCRIPT_FD];

    struct epoll_event none = {.events = 0};
    if (epoll_ctl(self->probe_fd, EPOLL_CTL_ADD, fd, &none) < 0) return -errno;
    (void)epoll_ctl(self->probe_fd, EPOLL_CTL_DEL, fd, NULL);
    return 0;
}

static int reserve(struct loop *self, size_t room)
{
    if (room <= self->room) return 0;

    room = room > 2 * self->room ? room : 2 * self->room;
    struct pollfd *polls = realloc(self->polls, room * sizeof *polls);
    if (!polls) return -ENOMEM;
    self->polls = polls;
    struct watch *watches = realloc(self->watches, room * sizeof *watches);
    if (!watches) return -ENOMEM;
    self->watches = watches;
    self->room = room;
    return 0;
}

/* 0, which is the wake descriptor's place, if `fd` is not armed. */
static size_t watch_find(const struct loop *self, int fd)
{
    for (size_t i = 1; i < self->count; i++) {
        if (self->watches[i].fd == fd) return i;
    }
    return 0;
}

static void watch_store(struct loop *self, size_t index, struct watch watch)
{
    struct pollfd *request = &self->polls[index];

    *request = (struct pollfd){.fd = is_scripted(watch.fd) ? -1 : watch.fd};
    if (watch.interest & WEFT_IO_READ) request->events |= POLLIN;
    if (watch.interest & WEFT_IO_WRITE) request->events |= POLLOUT;
    self->watches[index] = watch;
}

/* What one watch found, in the words of the contract. */
static unsigned watch_found(struct loop *self, size_t index)
{
    const struct watch *watch = &self->watches[index];
    struct pollfd *request = &self->polls[index];
    unsigned found = 0;

    if (is_scripted(watch->fd)) {
        found = script_ready[watch->fd - SCRIPT_FD];
    } else if (request->revents & POLLNVAL) {
        request->fd = -1; /* closed behind our back: not looked at again until armed as new */
    } else {
        if (request->revents & POLLIN) found |= WEFT_IO_READ;
        if (request->revents & POLLOUT) found |= WEFT_IO_WRITE;
        if (request->revents & (POLLHUP | POLLERR)) found |= WEFT_IO_HANGUP;
    }

    if (found & WEFT_IO_HANGUP) return WEFT_IO_READ | WEFT_IO_WRITE | WEFT_IO_HANGUP;
    return found & watch->interest;
}

static bool script_has_ready(const struct loop *self)
{
    for (size_t i = 1; i < self->count; i++) {
        const struct watch *watch = &self->watches[i];
        unsigned wanted = watch->interest | WEFT_IO_HANGUP;
        if (is_scripted(watch->fd) && script_ready[watch->fd - SCRIPT_FD] & wanted) return true;
    }
    return false;
}

/* Starts where the last poll ran out of room, so that each watch has its turn. */
static int collect(struct loop *self, struct weft_event *events, int capacity)
{
    size_t watch_count = self->count - 1;
    size_t looked = 0;
    int count = 0;

    for (; looked < watch_count && count < capacity; looked++) {
        size_t index = 1 + (self->rotation + looked) % watch_count;
        unsigned found = watch_found(self, index);
        if (!found) continue;

        events[count] = (struct weft_event){.token = self->watches[index].token, .found = found};
        count++;
    }
    if (watch_count > 0) self->rotation = (self->rotation + looked) % watch_count;
    return count;
}

static void shuffle(struct loop *self, struct weft_event *events, int count)
{
    for (int i = count - 1; i > 0; i--) {
        /* xorshift64: any seed but 0, and the same order on every machine */
        self->random ^= self->random << 13;
        self->random ^= self->random >> 7;
        self->random ^= self->random << 17;
        int other = (int)(self->random % (uint64_t)(i + 1));

        struct weft_event event = events[i];
        events[i] = events[other];
        events[other] = event;
    }
}

const struct weft_backend weft__backend = {
    .name = "fake",
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
    .after_fork = loop_close,
    .facts = loop_facts,
};
