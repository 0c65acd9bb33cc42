/* SPDX-License-Identifier: MIT */
/*
 * The backend on raw epoll: one level-triggered registration per descriptor, one eventfd for wakes.
 *
 * What looks odd: the kernel ties a registration to the open file, not to the number. If a number
 * is closed while a duplicate of it lives on (dup, fork), its registration stays, and nobody can
 * remove it by number any more. Such a *ghost* is recognised by the generation in its event data,
 * and laid by building a new epoll instance from the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include "backends/contract.h"
#include "backends/linux.h"
#include "base/table.h"

#define NS_PER_MS INT64_C(1000000)

#define EVENTS_MAX 512 /* taken from the kernel in one call: 6 KiB of the thread's stack */
#define WAKE_DATA  UINT64_MAX

#ifndef SYS_epoll_pwait2 /* Linux 5.11; one number on every machine */
#define SYS_epoll_pwait2 441
#endif

/* What is armed for one descriptor number. Invariant: an event is ours if and only if interest is
 * not 0 and its data carries this generation. */
struct slot {
    uint64_t token;
    uint32_t generation; /* counts arms, so that each registration has data of its own */
    unsigned interest;   /* WEFT_IO_READ | WEFT_IO_WRITE; 0: not armed */
};

struct loop {
    int epoll_fd;
    int wake_fd;
    int native_fd; /* what a host watches: an epoll of epoll_fd alone, so that rebuild() does not
                      turn the host deaf; -1 until somebody asks for it */
    bool has_pwait2;
    bool haunted;       /* a ghost was seen: rebuild before sleeping again */
    struct table slots; /* struct slot, by descriptor number */
};

static int register_all(struct loop *self, int epoll_fd);
static int watch_for_data(int epoll_fd, int fd, uint64_t data);
static bool kernel_has_pwait2(void);
static int slot_reserve(struct loop *self, int fd, struct slot **ret);
static int slot_register(int epoll_fd, int fd, const struct slot *slot, int operation);
static int wait_kernel(struct loop *self, int64_t timeout_ns, struct epoll_event *ready, int max);
static bool collect(struct loop *self, const struct epoll_event *ready, struct weft_event *ret);
static int rebuild(struct loop *self);

static int loop_open(void *state)
{
    struct loop *self = state;

    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) return -errno;

    int result = linux_wake_open();
    if (result < 0) goto close_epoll;

    *self = (struct loop){
        .epoll_fd = epoll_fd,
        .wake_fd = result,
        .native_fd = -1,
        .has_pwait2 = kernel_has_pwait2(),
        .slots = {.slot_size = sizeof(struct slot)},
    };
    result = watch_for_data(epoll_fd, self->wake_fd, WAKE_DATA);
    if (result == 0) return 0;

    close(self->wake_fd);
close_epoll:
    close(epoll_fd);
    return result;
}

/* Also serves as after_fork: closing the child's copies leaves the shared instance alone. */
static void loop_close(void *state)
{
    struct loop *self = state;

    if (self->native_fd >= 0) close(self->native_fd);
    close(self->wake_fd);
    close(self->epoll_fd);
    table_close(&self->slots);
    *self = (struct loop){.epoll_fd = -1, .wake_fd = -1, .native_fd = -1};
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    struct slot *slot;
    int result = slot_reserve(self, fd, &slot);
    if (result < 0) return result;

    /* The table may be wrong about the kernel, in both directions: the number was closed and
     * opened again behind our back. Then the other operation is the right one. */
    int operation = slot->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    slot->token = token;
    slot->interest = interest;
    slot->generation++;
    result = slot_register(self->epoll_fd, fd, slot, operation);
    if (result == -ENOENT) {
        result = slot_register(self->epoll_fd, fd, slot, EPOLL_CTL_ADD);
    } else if (result == -EEXIST) {
        result = slot_register(self->epoll_fd, fd, slot, EPOLL_CTL_MOD);
    }
    if (result < 0) slot->interest = 0;
    return result;
}

/* Also serves as forget: the registration is deleted at once, not only masked, because neither
 * HUP nor ERR can be. A failure means that the number was closed already; if that left a ghost,
 * collect() will meet it. */
static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;

    struct slot *slot = table_find(&self->slots, fd);
    if (!slot || !slot->interest) return;

    slot->interest = 0;
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;
    struct epoll_event ready[EVENTS_MAX];

    int ready_max = capacity < EVENTS_MAX ? capacity : EVENTS_MAX;
    int ready_count = wait_kernel(self, timeout_ns, ready, ready_max);
    if (ready_count < 0) return ready_count == -EINTR ? 0 : ready_count;

    int count = 0;
    for (int i = 0; i < ready_count; i++) {
        if (collect(self, &ready[i], &events[count])) count++;
    }

    /* Without room for a new instance the ghost stays, and the next poll tries again. */
    if (self->haunted) self->haunted = rebuild(self) < 0;
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
    int result = watch_for_data(native_fd, self->epoll_fd, 0);
    if (result < 0) {
        close(native_fd);
        return result;
    }
    self->native_fd = native_fd;
    return native_fd;
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){
        .library = "Linux",
        .timer_resolution_ns = kernel_has_pwait2() ? 1 : NS_PER_MS,
        .tells_hangup = true,
    };
}

static int watch_for_data(int epoll_fd, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Asks for what cannot work: a kernel (or a seccomp filter) without the call answers otherwise.
 * Valgrind is not asked, because it complains at length about calls that it does not know. */
static bool kernel_has_pwait2(void)
{
    if (RUNNING_ON_VALGRIND) return false;
    return syscall(SYS_epoll_pwait2, -1, NULL, 0, NULL, NULL, 0) < 0 && errno != ENOSYS &&
           errno != EPERM;
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

static int slot_register(int epoll_fd, int fd, const struct slot *slot, int operation)
{
    struct epoll_event event = {.data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)fd};
    if (slot->interest & WEFT_IO_READ) event.events |= EPOLLIN;
    if (slot->interest & WEFT_IO_WRITE) event.events |= EPOLLOUT;
    return epoll_ctl(epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

static int wait_kernel(struct loop *self, int64_t timeout_ns, struct epoll_event *ready, int max)
{
    int timeout_ms;
    if (timeout_ns <= 0) {
        timeout_ms = 0;
    } else if (timeout_ns == WEFT_POLL_FOREVER) {
        timeout_ms = -1;
    } else if (self->has_pwait2) {
        struct timespec timeout = {timeout_ns / NS_PER_SEC, timeout_ns % NS_PER_SEC};
        long count = syscall(SYS_epoll_pwait2, self->epoll_fd, ready, max, &timeout, NULL, 0);
        return count < 0 ? -errno : (int)count;
    } else if (timeout_ns >= INT_MAX * NS_PER_MS) {
        timeout_ms = INT_MAX; /* 24 days: early, but the core asks again */
    } else {
        timeout_ms = (int)((timeout_ns + NS_PER_MS - 1) / NS_PER_MS);
    }

    int count = epoll_wait(self->epoll_fd, ready, max, timeout_ms);
    return count < 0 ? -errno : count;
}

/* Translates one event of the kernel; false if it is none for the core. */
static bool collect(struct loop *self, const struct epoll_event *ready, struct weft_event *ret)
{
    if (ready->data.u64 == WAKE_DATA) {
        linux_wake_drain(self->wake_fd);
        return false;
    }

    int fd = (int)(uint32_t)ready->data.u64;
    struct slot *slot = table_find(&self->slots, fd);
    if (!slot || !slot->interest || slot->generation != ready->data.u64 >> 32) {
        self->haunted = true;
        return false;
    }

    unsigned found = 0;
    if (ready->events & EPOLLIN) found |= WEFT_IO_READ;
    if (ready->events & EPOLLOUT) found |= WEFT_IO_WRITE;
    if (ready->events & (EPOLLHUP | EPOLLERR)) {
        found = WEFT_IO_READ | WEFT_IO_WRITE | WEFT_IO_HANGUP;
    }
    *ret = (struct weft_event){.token = slot->token, .found = found};
    return true;
}

/* Replaces the epoll instance by one that knows what the table knows, and no ghost. */
static int rebuild(struct loop *self)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) return -errno;

    int result = register_all(self, epoll_fd);
    if (result == 0 && dup3(epoll_fd, self->epoll_fd, O_CLOEXEC) < 0) result = -errno;
    close(epoll_fd);
    if (result == 0 && self->native_fd >= 0) {
        result = watch_for_data(self->native_fd, self->epoll_fd, 0);
    }
    return result;
}

static int register_all(struct loop *self, int epoll_fd)
{
    int result = watch_for_data(epoll_fd, self->wake_fd, WAKE_DATA);
    for (int fd = 0; result == 0 && fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (!slot || !slot->interest) continue;

        result = slot_register(epoll_fd, fd, slot, EPOLL_CTL_ADD);
        if (result == -ENOMEM || result == -ENOSPC) break;
        if (result < 0) slot->interest = 0; /* closed; the number may be the new instance's own */
        result = 0;
    }
    return result;
}

const struct weft_backend weft__backend = {
    .name = "epoll",
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
