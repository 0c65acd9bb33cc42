/* SPDX-License-Identifier: MIT */
/*
 * A backend as a first author writes it: everything that event loops do differently, one fault at
 * a time. NAIVE_FAULT names the fault; without it the backend is sound, so that a test that fails
 * with it fails because of it. docs/conformance-differences.md is the list of who must notice.
 *
 * One at a time, because one hides the other: who never hears of a hang-up cannot spin on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/contract.h"
#include "base/table.h"

#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)
#define BATCH_MAX  512
#define WAKE_DATA  UINT64_MAX

/* Time. */
#define FAULTS_OF_TIME(F)                                                                          \
    F(stale_clock)    /* the time is that of the last pass */                                      \
    F(stale_alarm)    /* a time-out counts from the last pass */                                   \
    F(clock_in_ms)    /* the time is cut to milliseconds */                                        \
    F(wall_clock)     /* the time is that on the wall */                                           \
    F(timeout_cut)    /* a time-out is cut to milliseconds */                                      \
    F(timeout_coarse) /* a time-out ends with the next tick of a coarse clock */                   \
    F(timeout_exact)  /* a time-out knows no timer slack */                                        \
    F(timeout_int)    /* milliseconds in an int, whatever they are */

/* What is found. */
#define FAULTS_OF_EVENTS(F)                                                                        \
    F(error_stops)   /* an error is a bad descriptor: not watched any more */                      \
    F(hup_dropped)   /* only IN and OUT are looked at */                                           \
    F(rdhup)         /* the end of input is a hang-up */                                           \
    F(priority)      /* an urgent byte is readable */                                              \
    F(edge)          /* each state is reported once */                                             \
    F(batch_kept)    /* one event per call, the rest is kept for later */                          \
    F(no_generation) /* an event belongs to whoever has the number now */                          \
    F(lowest_first)  /* what does not fit is always the same */

/* Who is watched. */
#define FAULTS_OF_WATCHERS(F)                                                                      \
    F(one_watcher)    /* a second interest in a number is refused */                               \
    F(one_of_dups)    /* a second number of a file takes the first one's place */                  \
    F(late_delete)    /* changes are collected until the next pass */                              \
    F(masked)         /* who is disarmed stays registered for nothing */                           \
    F(trusting)       /* the table is right, whatever the kernel says */                           \
    F(file_held)      /* a request keeps the file open */                                          \
    F(nonblocking)    /* O_NONBLOCK is set on what is watched */                                   \
    F(files_fail)     /* a file that is always ready is an error */                                \
    F(files_emulated) /* ... or is reported in each pass, which then does not sleep */             \
    F(sockets_only)   /* ... and so is everything but sockets and pipes */                         \
    F(small_numbers)  /* numbers from 1024 on do not fit */

/* The process. */
#define FAULTS_OF_PROCESS(F)                                                                       \
    F(aborts)         /* a bad descriptor ends the process */                                      \
    F(noise)          /* a refusal is printed */                                                   \
    F(eintr_restarts) /* a signal begins the time-out anew */                                      \
    F(eintr_fails)    /* a signal is an error */                                                   \
    F(reaps)          /* all children are waited for */                                            \
    F(wakes_counted)  /* each wake ends a poll of its own */                                       \
    F(wake_unsafe)    /* a wake is a flag that a sleeper does not see */                           \
    F(fork_deletes)   /* a child takes the registrations out, the parent's with them */            \
    F(environment)    /* a variable of the environment decides how to wait */

#define FAULTS(F) FAULTS_OF_TIME(F) FAULTS_OF_EVENTS(F) FAULTS_OF_WATCHERS(F) FAULTS_OF_PROCESS(F)

#define MEMBER(name) name,
#define STRING(name) #name,
enum fault { FAULTS(MEMBER) FAULT_COUNT };
static const char *const fault_names[] = {FAULTS(STRING)};

struct slot {
    uint64_t token;
    uint32_t generation;
    unsigned interest; /* 0: not armed */
    int watched;       /* the number that the kernel knows */
    bool is_file;      /* files_emulated */
    bool is_leaving;   /* late_delete */
    struct stat file;  /* one_of_dups */
    int mode;
};

struct loop {
    int epoll_fd;
    int wake_fd;
    int64_t pass_ns;
    bool haunted;
    struct table slots;
    struct epoll_event kept[BATCH_MAX]; /* batch_kept */
    int kept_count;
};

static enum fault fault = FAULT_COUNT;
static volatile bool flag_of_wake;

static void choose_fault(void)
{
    const char *name = getenv("NAIVE_FAULT");
    for (fault = 0; fault < FAULT_COUNT; fault++) {
        if (name && strcmp(name, fault_names[fault]) == 0) return;
    }
    if (!name || name[0] == '\0') return;

    (void)fprintf(stderr, "NAIVE_FAULT: no %s\n", name);
    exit(99); /* or every test would seem to notice */
}

static int64_t real_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void reap_all(int number)
{
    (void)number;
    int saved_errno = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = saved_errno;
}

static int watch_wakes(const struct loop *self, int epoll_fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_DATA};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) < 0 ? -errno : 0;
}

static int loop_open(void *state)
{
    struct loop *self = state;

    choose_fault();
    if (fault == environment && getenv("EVENT_NOEPOLL")) return -ENOSYS;
    if (fault == reaps) (void)signal(SIGCHLD, reap_all);
    *self = (struct loop){.slots = {.slot_size = sizeof(struct slot)}};
    self->pass_ns = real_ns(CLOCK_MONOTONIC);
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0) return -errno;
    int flags = EFD_CLOEXEC | EFD_NONBLOCK | (fault == wakes_counted ? EFD_SEMAPHORE : 0);
    self->wake_fd = eventfd(0, flags);
    int result = self->wake_fd < 0 ? -errno : watch_wakes(self, self->epoll_fd);
    if (result == 0) return 0;

    if (self->wake_fd >= 0) close(self->wake_fd);
    close(self->epoll_fd);
    return result;
}

static void loop_close(void *state)
{
    struct loop *self = state;
    close(self->wake_fd);
    close(self->epoll_fd);
    table_close(&self->slots);
}

static void loop_after_fork(void *state)
{
    struct loop *self = state;
    for (int fd = 0; fault == fork_deletes && fd < table_end(&self->slots); fd++) {
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
    loop_close(self);
}

/* ---- who is watched ---- */

static int failure(int fd, int error)
{
    if (fault == noise) (void)fprintf(stderr, "[warn] descriptor %d: %s\n", fd, strerror(error));
    if (fault == aborts && error == EBADF) abort();
    if (fault == files_fail && error == EPERM) return -EINVAL;
    return -error;
}

static void loop_disarm(void *state, int fd)
{
    struct loop *self = state;
    struct slot *slot = table_find(&self->slots, fd);
    if (!slot || !slot->interest) return;

    slot->interest = 0;
    slot->is_leaving = fault == late_delete;
    if (slot->is_leaving || slot->is_file) return;
    struct epoll_event nothing = {.data.u32 = (uint32_t)fd};
    int operation = fault == masked ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (epoll_ctl(self->epoll_fd, operation, slot->watched, &nothing) < 0) {
        (void)failure(fd, errno);
    }
}

/* file_held: what the kernel knows is a copy, which nobody closes. */
static void loop_forget(void *state, int fd)
{
    struct loop *self = state;
    loop_disarm(self, fd);
    struct slot *slot = table_find(&self->slots, fd);
    if (slot && fault == file_held) slot->watched = -1;
}

static int slot_register(int epoll_fd, int fd, const struct slot *slot, int operation)
{
    struct epoll_event event = {.data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)fd};
    if (slot->interest & WEFT_IO_READ) event.events |= EPOLLIN;
    if (slot->interest & WEFT_IO_WRITE) event.events |= EPOLLOUT;
    if (fault == edge) event.events |= EPOLLET;
    if (fault == rdhup) event.events |= EPOLLRDHUP;
    if (fault == priority) event.events |= EPOLLPRI;
    return epoll_ctl(epoll_fd, operation, slot->watched, &event) < 0 ? -errno : 0;
}

/* What is wrong with `fd`, or looks so; 0: nothing. */
static int refuse(int fd, const struct stat *file)
{
    int kind = (int)(file->st_mode & S_IFMT);
    if (fault == sockets_only && kind != S_IFSOCK && kind != S_IFIFO) return EPERM;
    return fault == small_numbers && fd >= 1024 ? EINVAL : 0;
}

/* one_of_dups: the kernel's set is believed to know files, not numbers. */
static void drop_duplicates(struct loop *self, int fd, const struct slot *slot)
{
    for (int i = 0; fault == one_of_dups && i < table_end(&self->slots); i++) {
        const struct slot *other = table_find(&self->slots, i);
        if (i != fd && other && other->interest && other->file.st_ino == slot->file.st_ino &&
            other->file.st_dev == slot->file.st_dev && other->mode == slot->mode) {
            loop_disarm(self, i);
        }
    }
}

static int slot_arm(struct loop *self, int fd, struct slot *slot, bool was_armed)
{
    slot->watched = fd;
    if (fault == file_held) slot->watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int operation = was_armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int result = slot_register(self->epoll_fd, fd, slot, operation);
    bool may_repair = fault != trusting;
    if (may_repair && (result == -ENOENT || result == -EEXIST)) {
        operation = result == -ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        result = slot_register(self->epoll_fd, fd, slot, operation);
    }
    return result;
}

static int loop_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = state;

    struct stat file;
    if (fstat(fd, &file) < 0) return failure(fd, EBADF);
    struct slot *slot = table_reserve(&self->slots, fd);
    if (!slot) return -ENOMEM;
    if (fault == one_watcher && slot->interest && slot->interest != interest) return -EEXIST;
    int refused = refuse(fd, &file);
    if (refused) return failure(fd, refused);

    bool was_armed = slot->interest && !(fault == file_held);
    if (slot->interest && !was_armed) loop_disarm(self, fd);
    *slot = (struct slot){
        .token = token,
        .interest = interest,
        .generation = slot->generation + 1,
        .is_leaving = slot->is_leaving,
        .file = file,
        .mode = fcntl(fd, F_GETFL) & O_ACCMODE,
    };
    drop_duplicates(self, fd, slot);
    int result = slot_arm(self, fd, slot, was_armed);
    if (result == -EPERM && fault == files_emulated) {
        slot->is_file = true;
        return 0;
    }
    if (result < 0) {
        slot->interest = 0;
        return failure(fd, -result);
    }
    if (fault == nonblocking) (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

/* ---- what is found ---- */

static unsigned translate(const struct epoll_event *ready)
{
    uint32_t hangup = EPOLLHUP | EPOLLERR | (fault == rdhup ? EPOLLRDHUP : 0);
    unsigned found = 0;
    if (ready->events & (EPOLLIN | EPOLLPRI)) found |= WEFT_IO_READ;
    if (ready->events & EPOLLOUT) found |= WEFT_IO_WRITE;
    if (fault == hup_dropped || !(ready->events & hangup)) return found;
    return WEFT_IO_READ | WEFT_IO_WRITE | WEFT_IO_HANGUP;
}

static bool collect(struct loop *self, const struct epoll_event *ready, struct weft_event *ret)
{
    if (ready->data.u64 == WAKE_DATA) {
        eventfd_t wakes;
        (void)eventfd_read(self->wake_fd, &wakes);
        return false;
    }
    int fd = (int)(uint32_t)ready->data.u64;
    struct slot *slot = table_find(&self->slots, fd);
    bool is_stale = !slot || !slot->interest || slot->generation != ready->data.u64 >> 32;
    bool is_checked = fault != no_generation && fault != batch_kept && fault != masked;
    if (is_checked && is_stale) {
        self->haunted = true;
        return false;
    }
    if (!slot || !slot->interest) return false;
    if (fault == error_stops && ready->events & EPOLLERR) {
        loop_disarm(self, fd);
        return false;
    }
    *ret = (struct weft_event){.token = slot->token, .found = translate(ready)};
    return ret->found != 0;
}

/* A new set, without the ghosts. */
static void rebuild(struct loop *self)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) return;
    self->haunted = watch_wakes(self, epoll_fd) < 0;
    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (!slot || !slot->interest || slot->is_file) continue;
        if (slot_register(epoll_fd, fd, slot, EPOLL_CTL_ADD) < 0) slot->interest = 0;
    }
    (void)dup3(epoll_fd, self->epoll_fd, O_CLOEXEC);
    close(epoll_fd);
}

static int compare_numbers(const void *one, const void *other)
{
    uint32_t a = ((const struct epoll_event *)one)->data.u32;
    uint32_t b = ((const struct epoll_event *)other)->data.u32;
    return a < b ? -1 : a > b;
}

/* late_delete: whoever has the number by now. */
static void delete_late(struct loop *self)
{
    for (int fd = 0; fault == late_delete && fd < table_end(&self->slots); fd++) {
        struct slot *slot = table_find(&self->slots, fd);
        if (!slot || !slot->is_leaving) continue;
        slot->is_leaving = false;
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

static int report_files(struct loop *self, struct weft_event *events, int count, int capacity)
{
    for (int fd = 0; fault == files_emulated && fd < table_end(&self->slots); fd++) {
        const struct slot *slot = table_find(&self->slots, fd);
        if (!slot || !slot->is_file || !slot->interest || count == capacity) continue;
        events[count++] = (struct weft_event){.token = slot->token, .found = slot->interest};
    }
    return count;
}

/* ---- how long ---- */

static int milliseconds(const struct loop *self, int64_t timeout_ns)
{
    if (timeout_ns <= 0) return 0;
    if (fault == timeout_int && timeout_ns != WEFT_POLL_FOREVER) {
        return (int)(timeout_ns / NS_PER_MS + 1);
    }
    if (timeout_ns > INT32_MAX * NS_PER_MS) return timeout_ns == WEFT_POLL_FOREVER ? -1 : INT32_MAX;
    if (fault == stale_alarm) timeout_ns += self->pass_ns - real_ns(CLOCK_MONOTONIC);
    if (timeout_ns <= 0) return 0;
    if (fault == timeout_cut) return (int)(timeout_ns / NS_PER_MS);
    int tick = fault == timeout_coarse ? 4 : 0;
    return (int)((timeout_ns + NS_PER_MS - 1) / NS_PER_MS) + tick;
}

/* As an alarm of a timerfd would end it. */
static void nap(const struct loop *self, int64_t timeout_ns)
{
    struct pollfd inner = {.fd = self->epoll_fd, .events = POLLIN};
    struct timespec timeout = {.tv_nsec = timeout_ns % NS_PER_SEC};
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    (void)ppoll(&inner, 1, &timeout, NULL);
    (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns);
}

static int wait_kernel(struct loop *self, int64_t timeout_ns, struct epoll_event *ready, int max)
{
    if (fault == wake_unsafe && flag_of_wake) timeout_ns = 0;
    flag_of_wake = false;
    if (fault == timeout_exact && timeout_ns < NS_PER_SEC) {
        nap(self, timeout_ns);
        timeout_ns = 0;
    }
    int count;
    do {
        count = epoll_wait(self->epoll_fd, ready, max, milliseconds(self, timeout_ns));
    } while (count < 0 && errno == EINTR && fault == eintr_restarts);
    if (count < 0 && errno == EINTR) return fault == eintr_fails ? -EINTR : 0;
    return count < 0 ? -errno : count;
}

static int loop_poll(void *state, int64_t timeout_ns, struct weft_event *events, int capacity)
{
    struct loop *self = state;
    bool is_one_by_one = fault == batch_kept;

    delete_late(self);
    int count = report_files(self, events, 0, capacity);
    if (count > 0) timeout_ns = 0;
    int wanted =
        is_one_by_one || fault == lowest_first || capacity > BATCH_MAX ? BATCH_MAX : capacity;
    if (self->kept_count == 0 || !is_one_by_one) {
        self->kept_count = wait_kernel(self, timeout_ns, self->kept, wanted);
    }
    self->pass_ns = real_ns(CLOCK_MONOTONIC);
    int ready_count = self->kept_count;
    if (ready_count < 0) {
        self->kept_count = 0;
        return ready_count;
    }
    if (fault == lowest_first) {
        qsort(self->kept, (size_t)ready_count, sizeof *self->kept, compare_numbers);
    }
    int taken = 0;
    while (taken < ready_count && count < (is_one_by_one ? 1 : capacity)) {
        count += collect(self, &self->kept[taken++], &events[count]);
    }
    self->kept_count -= taken;
    memmove(self->kept, self->kept + taken, (size_t)self->kept_count * sizeof *self->kept);
    if (self->haunted) rebuild(self);
    return count;
}

static void loop_wake(void *state)
{
    struct loop *self = state;
    int saved_errno = errno;
    flag_of_wake = true;
    if (fault != wake_unsafe) (void)eventfd_write(self->wake_fd, 1);
    errno = saved_errno;
}

static int64_t loop_now_ns(void *state)
{
    const struct loop *self = state;
    if (fault == stale_clock) return self->pass_ns;
    int64_t now_ns = real_ns(fault == wall_clock ? CLOCK_REALTIME : CLOCK_MONOTONIC);
    return fault == clock_in_ms ? now_ns / NS_PER_MS * NS_PER_MS : now_ns;
}

static void *loop_native(void *state)
{
    (void)state;
    return NULL;
}

static int loop_native_fd(void *state)
{
    (void)state;
    return -ENOSYS;
}

static struct weft_backend_facts loop_facts(void)
{
    return (struct weft_backend_facts){
        .library = "naive", .timer_resolution_ns = NS_PER_MS, .tells_hangup = true};
}

const struct weft_backend weft__backend = {
    .name = "naive",
    .state_size = sizeof(struct loop),
    .open = loop_open,
    .close = loop_close,
    .arm = loop_arm,
    .disarm = loop_disarm,
    .forget = loop_forget,
    .poll = loop_poll,
    .wake = loop_wake,
    .now_ns = loop_now_ns,
    .native = loop_native,
    .native_fd = loop_native_fd,
    .after_fork = loop_after_fork,
    .facts = loop_facts,
};
