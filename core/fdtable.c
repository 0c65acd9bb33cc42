/* SPDX-License-Identifier: MIT */
/*
 * The table of descriptors: slots, identity, registration, and delivery of what a poll found.
 *
 * Invariant: whoever stands in a slot's list of waiters has its direction armed. The identity
 * (device and inode) tells a number that was closed and opened again behind our back; files that
 * share one inode (eventfd and the like) are armed again instead.
 */
#include "core/fdtable.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/close.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/share.h"

#define BOTH      (WEFT_IO_READ | WEFT_IO_WRITE)
#define PROBE_MAX 64 /* cases per poll(2): half a KiB of the task's stack */

static int slot_reserve(struct fdtable *table, int fd, struct fd_slot **ret);
static enum fd_kind kind_of(int fd, const struct stat *status);
static void wake_all(struct worker *worker, struct fd_slot *slot, unsigned directions, int status);
static int arm(struct worker *worker, int fd, struct fd_slot *slot, unsigned interest);
static void deliver(struct worker *worker, const struct weft_event *event);
static void disarm_some(struct worker *worker, int fd, struct fd_slot *slot, unsigned directions);
static void probe_some(struct worker *worker, const struct weft_case **cases, size_t count);

static uint64_t slot_token(int fd, const struct fd_slot *slot)
{
    return (uint64_t)slot->generation << 32 | (uint32_t)fd;
}

/* ---- how tasks sleep here ---- */

static bool wait_abandon(struct task *task)
{
    weft__fd_withdraw(task->worker, &task->wait.waiter);
    return true;
}

/* One of the two may be off its list already. */
static void withdraw_both(struct task *task)
{
    struct waiter *second = task->wait.object;
    if (list_node_is_linked(&second->link)) weft__fd_withdraw(task->worker, second);
    struct waiter *first = &task->wait.waiter;
    if (list_node_is_linked(&first->link)) weft__fd_withdraw(task->worker, first);
}

static bool both_abandon(struct task *task)
{
    withdraw_both(task);
    return true;
}

static bool queue_abandon(struct task *task)
{
    list_remove(&task->wait.waiter.link);
    return true;
}

const struct wait_kind weft__fd_wait = {.name = "fd wait", .abandon = wait_abandon};
const struct wait_kind weft__fd_wait_both = {.name = "fd wait", .abandon = both_abandon};
const struct wait_kind weft__fd_queue_wait = {.name = "fd wait", .abandon = queue_abandon};

int weft__fd_of_wait(const struct task *task)
{
    const struct wait_kind *kind = task->wait.kind;
    bool is_fd =
        kind == &weft__fd_wait || kind == &weft__fd_wait_both || kind == &weft__fd_queue_wait;
    return is_fd ? task->wait.fd : -1;
}

void weft__fd_wait_for(
    struct worker *worker, struct task *self, const struct wait_kind *kind, void *object, int fd)
{
    weft__wait_for(self, kind, object, NULL);
    self->wait.fd = fd;
    self->wait.order = worker->fd_order++;
}

void weft__fd_withdraw(struct worker *worker, struct waiter *waiter)
{
    list_remove(&waiter->link);
    worker->fd_waiters--;
}

/* An operation, since the select may stand in private channels, too; also inside another one. */
static bool complete_select(struct worker *worker, struct waiter *waiter, int status)
{
    bool is_inside = core_is_entered(worker);
    core_enter(worker);
    bool is_mine = weft__waiter_claim(waiter);
    if (is_mine) weft__waiter_complete(waiter, status);
    if (!is_inside) core_leave(worker);
    return is_mine;
}

/* The waiter is off its list. */
static void complete(
    struct fd_slot *slot, struct waiter *waiter, unsigned bit, unsigned ready, int status)
{
    struct task *task = waiter->task;
    unsigned woken = bit;
    if (task->wait.kind == &weft__fd_wait) {
        weft__wake_queued(task, status < 0 ? status : (int)bit);
    } else if (task->wait.kind == &weft__fd_wait_both) {
        withdraw_both(task);
        weft__wake_queued(task, status < 0 ? status : (int)ready);
        woken = ready;
    } else if (!complete_select(task->worker, waiter, status)) {
        return;
    }
    if (status == 0) slot->woken |= (uint8_t)woken;
}

static void wake_direction(struct worker *worker,
                           struct fd_slot *slot,
                           enum fd_direction direction,
                           unsigned ready,
                           int status)
{
    struct list *waiters = &slot->waiters[direction];
    while (!list_is_empty(waiters)) {
        struct waiter *waiter = waiter_of_link(list_first(waiters));
        weft__fd_withdraw(worker, waiter);
        complete(slot, waiter, fd_bit(direction), ready, status);
    }
}

/* Everybody who waits for one of `directions`; status 0: it is ready. */
static void wake_all(struct worker *worker, struct fd_slot *slot, unsigned directions, int status)
{
    if (directions & WEFT_IO_READ) wake_direction(worker, slot, FD_READ, directions, status);
    if (directions & WEFT_IO_WRITE) wake_direction(worker, slot, FD_WRITE, directions, status);
}

/* The registration is lost and nothing would wake them any more: let everybody find out. Not the
 * task that runs, whose select is just about to fail and takes its own waiters back. */
static void wake_lost(struct worker *worker, struct fd_slot *slot)
{
    for (int i = 0; i < 2; i++) {
        struct list everybody;
        list_open(&everybody);
        list_append(&everybody, &slot->waiters[i]);
        while (!list_is_empty(&everybody)) {
            struct waiter *waiter = waiter_of_link(list_first(&everybody));
            if (waiter->task == worker->current) {
                list_remove(&waiter->link);
                list_push_back(&slot->waiters[i], &waiter->link);
            } else {
                weft__fd_withdraw(worker, waiter);
                complete(slot, waiter, fd_bit((enum fd_direction)i), BOTH, 0);
            }
        }
    }
}

/* The directions that somebody waits for. */
static unsigned attended(const struct fd_slot *slot)
{
    return (list_is_empty(&slot->waiters[FD_READ]) ? 0u : WEFT_IO_READ) |
           (list_is_empty(&slot->waiters[FD_WRITE]) ? 0u : WEFT_IO_WRITE);
}

/* ---- slots ---- */

void weft__fds_open(struct fdtable *table)
{
    *table = (struct fdtable){0};
}

void weft__fds_close(struct fdtable *table)
{
    for (size_t i = 0; i < table->page_count; i++) {
        free(table->pages[i]);
    }
    free(table->pages);
    *table = (struct fdtable){0};
}

static int slot_reserve(struct fdtable *table, int fd, struct fd_slot **ret)
{
    size_t index = (size_t)(unsigned)fd / FD_PAGE;
    if (index >= table->page_count) {
        struct fd_slot **pages = realloc(table->pages, (index + 1) * sizeof *pages);
        if (!pages) return -ENOMEM;
        memset(&pages[table->page_count], 0, (index + 1 - table->page_count) * sizeof *pages);
        table->pages = pages;
        table->page_count = index + 1;
    }
    if (!table->pages[index]) {
        struct fd_slot *page = calloc(FD_PAGE, sizeof *page);
        if (!page) return -ENOMEM;
        for (size_t i = 0; i < FD_PAGE; i++) {
            for (int direction = 0; direction < 2; direction++) {
                list_open(&page[i].waiters[direction]);
                list_open(&page[i].transfers[direction]);
            }
        }
        table->pages[index] = page;
    }
    *ret = fd_slot_find(table, fd);
    return 0;
}

int weft__fd_meet(struct worker *worker, int fd, struct fd_slot **ret)
{
    struct fdtable *table = &worker->fds;
    struct fd_slot *slot = fd_slot_find(table, fd);
    struct stat status;
    bool is_known = slot && slot->kind != FD_UNKNOWN;
    int result = is_known ? 0 : weft__fd_users_add(worker, fd);
    /* after that: see core/fd_users.h */
    if (unlikely(weft__fd_is_departing(fd))) result = -EBADF;
    if (result == 0 && fstat(fd, &status) < 0) result = -errno;
    if (result == 0 && !slot) result = slot_reserve(table, fd, &slot);
    if (unlikely(result < 0)) {
        if (slot) weft__fd_reset(worker, fd, slot);
        weft__fd_users_remove(worker, fd);
        return result;
    }
    bool is_same = slot->inode == status.st_ino && slot->device == status.st_dev;
    if (unlikely(!is_same && slot->inode != 0)) {
        weft__fd_reset(worker, fd, slot);
        result = weft__fd_users_add(worker, fd);
        if (result < 0) return result;
    }
    if (slot->kind == FD_UNKNOWN) slot->kind = (uint8_t)kind_of(fd, &status);
    slot->device = status.st_dev;
    slot->inode = status.st_ino;
    *ret = slot;
    return 0;
}

static enum fd_kind kind_of(int fd, const struct stat *status)
{
    switch (status->st_mode & S_IFMT) {
    case S_IFSOCK: {
        int type = 0;
        socklen_t size = sizeof type;
        int result = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
        return result == 0 && type == SOCK_STREAM ? FD_STREAM : FD_SOCKET;
    }
    case S_IFIFO:
        return FD_PIPE;
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK:
        return FD_FILE;
    default:
        return FD_OTHER;
    }
}

void weft__fd_reset(struct worker *worker, int fd, struct fd_slot *slot)
{
    if (slot->armed) {
        weft__backend.forget(worker->backend_state, fd);
        worker->fd_armed--;
    }
    slot->generation++;
    slot->armed = 0;
    slot->seen = 0;
    slot->busy = 0;
    slot->woken = 0;
    slot->is_drained = false;
    slot->kind = FD_UNKNOWN;
    slot->nodelay = NODELAY_UNKNOWN;
    slot->inode = 0;
    weft__fd_users_remove(worker, fd);
    wake_all(worker, slot, BOTH, -EBADF);
    for (int i = 0; i < 2; i++) {
        while (!list_is_empty(&slot->transfers[i])) {
            struct waiter *queued = waiter_of_link(list_pop_front(&slot->transfers[i]));
            weft__wake_queued(queued->task, -EBADF);
        }
    }
}

void weft__fd_is_new(struct worker *worker, int fd, enum fd_kind kind)
{
    struct fdtable *table = &worker->fds;
    struct fd_slot *slot = fd_slot_find(table, fd);
    if (slot && slot->kind != FD_UNKNOWN) weft__fd_reset(worker, fd, slot);
    if (!slot && slot_reserve(table, fd, &slot) < 0) return; /* met later, or never */
    if (weft__fd_users_add(worker, fd) < 0) return;
    slot->kind = (uint8_t)kind;
}

/* ---- registration ---- */

int weft__fd_arm(struct worker *worker, int fd, struct fd_slot *slot, unsigned interest)
{
    bool is_proven = slot->kind != FD_OTHER || slot->proven_turn == worker->turn;
    if (likely((slot->armed & interest) == interest && is_proven)) return 0;
    return arm(worker, fd, slot, interest);
}

/* Apart, so that the usual case, in which all is armed, needs no stack frame. */
__attribute__((noinline)) static int arm(struct worker *worker,
                                         int fd,
                                         struct fd_slot *slot,
                                         unsigned interest)
{
    if (slot->kind == FD_FILE) return -EPERM;
    if (slot->inode == 0) {
        int result = weft__fd_meet(worker, fd, &slot);
        if (result < 0) return result;
    }
    unsigned wanted = slot->armed | interest;
    int result = weft__backend.arm(worker->backend_state, fd, wanted, slot_token(fd, slot));
    if (unlikely(result < 0)) {
        if (slot->armed) worker->fd_armed--;
        slot->armed = 0;
        wake_lost(worker, slot);
        if (result == -EPERM) slot->kind = FD_FILE;
        return result;
    }
    if (!slot->armed) worker->fd_armed++;
    slot->armed = (uint8_t)wanted;
    slot->proven_turn = worker->turn;
    return 0;
}

/* Nobody waits for `directions`, which are armed. */
static void disarm_some(struct worker *worker, int fd, struct fd_slot *slot, unsigned directions)
{
    unsigned rest = slot->armed & ~directions;
    if (rest) {
        int result = weft__backend.arm(worker->backend_state, fd, rest, slot_token(fd, slot));
        if (result == 0) {
            slot->armed = (uint8_t)rest;
            return;
        }
    } else {
        weft__backend.disarm(worker->backend_state, fd);
    }
    slot->armed = 0;
    worker->fd_armed--;
    wake_all(worker, slot, BOTH, 0);
}

void weft__fds_deliver(struct worker *worker, const struct weft_event *events, int count)
{
    struct task *last = worker->ready.tail;
    for (int i = 0; i < count; i++) {
        deliver(worker, &events[i]);
    }
    if (count > 1) weft__ready_sort_from(&worker->ready, last);
}

static void deliver(struct worker *worker, const struct weft_event *event)
{
    int fd = (int)(uint32_t)event->token;
    struct fd_slot *slot = fd_slot_find(&worker->fds, fd);
    if (!slot || !slot->armed || slot->generation != (uint32_t)(event->token >> 32)) return;

    if (unlikely(weft__fd_is_departing(fd))) {
        weft__fd_reset(worker, fd, slot); /* what was found may be the close's own shutdown(2) */
        return;
    }
    unsigned ready = event->found & BOTH;
    /* A task that was woken and has not run yet will deal with it. */
    unsigned unattended = ready & ~(attended(slot) | slot->woken);
    slot->proven_turn = worker->turn;
    wake_all(worker, slot, ready, 0);
    if (likely(!unattended)) return;

    slot->seen |= (uint8_t)unattended;
    if (event->found & WEFT_IO_HANGUP) {
        /* No interest masks it: it goes on being reported as long as anything is armed. */
        if (unattended == BOTH) disarm_some(worker, fd, slot, slot->armed);
        return;
    }
    disarm_some(worker, fd, slot, unattended);
}

static void visit_armed(struct worker *worker,
                        void (*visit)(struct worker *worker, int fd, struct fd_slot *slot))
{
    const struct fdtable *table = &worker->fds;
    for (size_t index = 0; index < table->page_count; index++) {
        if (!table->pages[index]) continue;
        for (int i = 0; i < FD_PAGE; i++) {
            struct fd_slot *slot = &table->pages[index][i];
            if (slot->armed) visit(worker, (int)index * FD_PAGE + i, slot);
        }
    }
}

static void arm_anew(struct worker *worker, int fd, struct fd_slot *slot)
{
    unsigned interest = 0;
    for (int i = 0; i < 2; i++) {
        if (!list_is_empty(&slot->waiters[i])) interest |= fd_bit((enum fd_direction)i);
    }
    slot->armed = 0;
    worker->fd_armed--;
    /* on failure it has woken them: they find out */
    if (interest) (void)weft__fd_arm(worker, fd, slot, interest);
}

void weft__fds_move(struct worker *worker)
{
    visit_armed(worker, arm_anew);
}

static void rest(struct worker *worker, int fd, struct fd_slot *slot)
{
    disarm_some(worker, fd, slot, slot->armed);
}

void weft__fds_rest(struct worker *worker)
{
    visit_armed(worker, rest);
}

/* ---- looking, and select ---- */

static unsigned found_by_poll(short revents)
{
    if (revents & (POLLHUP | POLLERR)) return BOTH;
    return (revents & POLLIN ? WEFT_IO_READ : 0u) | (revents & POLLOUT ? WEFT_IO_WRITE : 0u);
}

static short poll_events(unsigned interest)
{
    int events = (interest & WEFT_IO_READ ? POLLIN : 0) | (interest & WEFT_IO_WRITE ? POLLOUT : 0);
    return (short)events;
}

int weft__fd_look(int fd, unsigned interest)
{
    struct pollfd request = {.fd = fd, .events = poll_events(interest)};
    int count = poll(&request, 1, 0);
    if (count <= 0) return 0; /* a signal: nothing found this time */
    if (request.revents & POLLNVAL) return -EBADF;
    return (int)(found_by_poll(request.revents) & interest);
}

int weft__fd_is_ready(struct worker *worker, int fd, enum fd_direction direction, bool take)
{
    struct fd_slot *slot = NULL;
    if (take) {
        slot = fd_slot_find(&worker->fds, fd);
        if (slot) slot->seen &= (uint8_t)~fd_bit(direction);
        return 1;
    }
    int result = weft__fd_meet(worker, fd, &slot);
    if (result < 0) return result;
    return slot->kind == FD_FILE || (slot->seen & fd_bit(direction));
}

int weft__fd_enlist(struct worker *worker,
                    int fd,
                    enum fd_direction direction,
                    struct waiter *waiter)
{
    struct fd_slot *slot = fd_slot_find(&worker->fds, fd);
    if (!slot) return -EBADF;
    int result = weft__fd_arm(worker, fd, slot, fd_bit(direction));
    if (result < 0) return result == -EPERM ? 1 : result;
    list_push_back(&slot->waiters[direction], &waiter->link);
    waiter->task->wait.order = worker->fd_order++;
    worker->fd_waiters++;
    return 0;
}

void weft__fd_resumed(struct worker *worker, int fd, enum fd_direction direction)
{
    struct fd_slot *slot = fd_slot_find(&worker->fds, fd);
    if (slot) fd_resumed(slot, fd_bit(direction));
}

void weft__fds_probe(struct worker *worker, const struct weft_case *cases, size_t count)
{
    const struct weft_case *chosen[PROBE_MAX];
    size_t chosen_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (cases[i].kind != WEFT_CASE_READABLE && cases[i].kind != WEFT_CASE_WRITABLE) continue;
        chosen[chosen_count++] = &cases[i];
        if (chosen_count == PROBE_MAX) {
            probe_some(worker, chosen, chosen_count);
            chosen_count = 0;
        }
    }
    if (chosen_count > 0) probe_some(worker, chosen, chosen_count);
}

static void probe_some(struct worker *worker, const struct weft_case **cases, size_t count)
{
    struct pollfd requests[PROBE_MAX];
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct pollfd){
            .fd = (int)cases[i]->number,
            .events = cases[i]->kind == WEFT_CASE_READABLE ? POLLIN : POLLOUT,
        };
    }
    if (poll(requests, count, 0) < 0) return; /* a signal: what was seen before stands */
    for (size_t i = 0; i < count; i++) {
        struct fd_slot *slot = NULL;
        if (weft__fd_meet(worker, requests[i].fd, &slot) < 0) continue; /* is_ready will tell */
        unsigned bit = cases[i]->kind == WEFT_CASE_READABLE ? WEFT_IO_READ : WEFT_IO_WRITE;
        unsigned found = found_by_poll(requests[i].revents) & bit;
        slot->seen = (uint8_t)((slot->seen & ~bit) | found);
    }
}
