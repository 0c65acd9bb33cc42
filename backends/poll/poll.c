/* SPDX-License-Identifier: MIT */
/*
 * The portable fallback: plain poll(2). docs/writing-a-backend.md leads through it. Arming costs
 * O(1), a poll O(armed). The kernel keeps nothing between two polls: there is no ghost to lay.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/contract.h"
#include "backends/linux.h"
#include "base/table.h"

/* Invariant: index is not 0 if and only if the descriptor is armed; then requests[index] is its. */
struct slot {
    size_t index;
    uint64_t token;
};

struct loop {
    int wake_fd;  /* an eventfd, also in requests[0] */
    size_t count; /* of requests; there is room up to the next power of two */
    struct pollfd *requests;
    size_t next;        /* where the next poll begins to look, so that none is starved */
    struct table slots; /* struct slot, by descriptor number */
};

static int loop_open(void *state)
{
    struct loop *self = state;
    *self = (struct loop){.count = 1, .slots = {.slot_size = sizeof(struct slot)}};
    self->requests = malloc(sizeof *self->requests);
    if (!self->requests) return -ENOMEM;
    self->wake_fd = linux_wake_open();
    self->requests[0] = (struct pollfd){.fd = self->wake_fd, .events = POLLIN};
    if (self->wake_fd >= 0) return 0;
    free(self->requests);
    return self->wake_fd;
}

/* Also serves as after_fork: the kernel knows of nothing but the eventfd. */
static void loop_close(void *state)
{
    struct loop *self = state;
    close(self->wake_fd);
    free(self->requests);
    table_close(&self->slots);
    *self = (struct loop){.wake_fd = -1};
}

/* 0 if `fd` can be waited for. To poll(2) every file is ready, and so are devices that cannot wait;
 * which those are is only known by name. */
static int refuse(int fd)
{
    static const char *const ready[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"};
    struct stat status, device;
    if (fstat(fd, &status) < 0) return -errno;
    mode_t kind = status.st_mode & S_IFMT;
    if (kind == S_IFREG || kind == S_IFDIR || kind == S_IFBLK) return -EPERM;
    for (size_t i = 0; kind == S_IFCHR && i < sizeof ready / sizeof *ready; i++) {
        if (stat(ready[i], &device) == 0 && device.st_rdev == status.st_rdev) return -EPERM;
    }
    return 0;
}

static int reserve(struct loop *self)
{
    if ((self->count & (self->count - 1)) != 0) return 0;
    struct pollfd *requests = realloc(self->requests, 2 * self->count * sizeof *requests);
    if (requests) self->requests = requests;
    return requests ? 0 : -ENOMEM;
}

/* Also serves as forget. The last request moves to the place that becomes free. */
static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;
    struct slot *slot = table_find(&self->slots, fd);
    if (!slot || slot->index == 0) return;

    self->requests[slot->index] = self->requests[--self->count];
    struct slot *moved = table_find(&self->slots, self->requests[slot->index].fd);
    moved->index = slot->index;
    slot->index = 0;
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;
    int result = refuse(fd);
    struct slot *slot = result == 0 ? table_reserve(&self->slots, fd) : NULL;
    if (result == 0) result = slot ? reserve(self) : -ENOMEM;
    if (result < 0) {
        loop_disarm(self, fd); /* what the number stood for before is gone, too */
        return result;
    }
    if (slot->index == 0) slot->index = self->count++;
    slot->token = token;
    int events = (interest & WEFT_IO_READ ? POLLIN : 0) | (interest & WEFT_IO_WRITE ? POLLOUT : 0);
    self->requests[slot->index] = (struct pollfd){.fd = fd, .events = (short)events};
    return 0;
}

/* What the kernel found, in the words of the contract. */
static struct weft_event translate(const struct loop *self, int fd, int revents)
{
    unsigned found =
        (revents & POLLIN ? WEFT_IO_READ : 0) | (revents & POLLOUT ? WEFT_IO_WRITE : 0);
    if (revents & (POLLHUP | POLLERR)) found = WEFT_IO_READ | WEFT_IO_WRITE | WEFT_IO_HANGUP;
    const struct slot *slot = table_find(&self->slots, fd);
    return (struct weft_event){.token = slot->token, .found = found};
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;
    if (timeout_ns < 0) timeout_ns = 0;
    struct timespec limit = {timeout_ns / NS_PER_SEC, timeout_ns % NS_PER_SEC};
    bool is_forever = timeout_ns == WEFT_POLL_FOREVER;
    int left = ppoll(self->requests, self->count, is_forever ? NULL : &limit, NULL);
    if (left < 0) return errno == EINTR ? 0 : -errno;

    if (self->requests[0].revents) {
        linux_wake_drain(self->wake_fd);
        left--;
    }
    int count = 0;
    while (left > 0 && count < capacity) {
        if (self->next == 0 || self->next >= self->count) self->next = 1;
        struct pollfd *request = &self->requests[self->next];
        int found = request->revents;
        request->revents = 0;
        if (found) left--;
        if (found & POLLNVAL) {
            loop_disarm(self, request->fd); /* closed behind our back; another is here now */
            continue;
        }
        if (found) events[count++] = translate(self, request->fd, found);
        self->next++;
    }
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
    (void)state;
    return -ENOSYS; /* between two polls nobody watches */
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){"Linux", .timer_resolution_ns = 1, .tells_hangup = true};
}

const struct weft_backend weft__backend = {
    .name = "poll",
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
