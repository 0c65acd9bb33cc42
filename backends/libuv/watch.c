/* SPDX-License-Identifier: MIT */
/*
 * Watches: one uv_poll_t per armed descriptor.
 *
 * What looks odd answers three habits of libuv. It sets O_NONBLOCK on what it is told to poll, so
 * handles are made for a descriptor of ours and pointed at the user's later (watch_point). It
 * registers late, and ends the process if the kernel refuses, so we register first, and look again
 * before it does (settle). And it cannot tell which file an event belongs to, so a *ghost*, the
 * registration of a number that was closed while a duplicate lives on, is laid before it is heard
 * (lay_ghosts).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "backends/libuv/loop.h"

/* Invariant: in the table, or unused. */
struct watch {
    uv_poll_t handle;
    int fd;
    unsigned interest;
    unsigned found; /* of the interest, since the last poll */
    uint64_t token;
    struct list_node unsure_link;
    struct list_node link; /* in unused or fired */
};

static struct watch *watch_find(const struct loop *self, int fd);
static int watch_open(struct loop *self, int fd, struct watch **ret);
static void watch_point(struct watch *watch, int fd);
static int watch_start(struct loop *self, struct watch *watch);
static int watch_register(struct loop *self, const struct watch *watch, int operation);
static void watch_mark_unsure(struct loop *self, struct watch *watch);
static void watch_forgive(struct watch *watch);
static void watch_release(struct loop *self, struct watch *watch);
static int lay_ghosts(struct loop *self);

int weft__libuv_arm(void *state, int fd, unsigned interest, uint64_t token)
{
    struct loop *self = loop_of(state);

    int result;
    struct watch *watch = watch_find(self, fd);
    if (watch) {
        /* The kernel knows whether the number still stands for the same file. */
        bool is_same = watch_register(self, watch, EPOLL_CTL_MOD) == 0;
        if (!is_same) self->is_haunted = true;
        watch_forgive(watch);
        watch->token = token;
        if (is_same && watch->interest == interest) return 0;
    } else {
        result = watch_open(self, fd, &watch);
        if (result < 0) return result;
        watch->token = token;
    }

    watch->interest = interest;
    result = watch_start(self, watch);
    if (result < 0) {
        watch_release(self, watch);
        return result;
    }
    watch_mark_unsure(self, watch);
    return 0;
}

/* The registration is deleted here and not left to libuv, which does not say whether it could: if
 * not, the number was closed before. */
void weft__libuv_disarm(void *state, int fd)
{
    struct loop *self = loop_of(state);

    struct watch *watch = watch_find(self, fd);
    if (!watch) return;

    if (watch_register(self, watch, EPOLL_CTL_DEL) < 0) self->is_haunted = true;
    watch_release(self, watch);
}

bool weft__libuv_has_room(struct loop *self, int fd)
{
    if (fd < self->room) return true;

    /* It takes the next power of two, which is below twice the number. */
    void *volatile probe = malloc(2 * ((size_t)fd + 4) * sizeof(void *));
    if (!probe) return false;
    free(probe);
    self->room = fd + 1;
    return true;
}

void weft__libuv_settle(struct loop *self)
{
    struct list_node *node;
    while ((node = list_pop_front(&self->unsure)) != NULL) {
        struct watch *watch = container_of(node, struct watch, unsure_link);
        bool is_active = uv_is_active((uv_handle_t *)&watch->handle);
        int result =
            is_active ? watch_register(self, watch, EPOLL_CTL_MOD) : watch_start(self, watch);
        if (result == 0) continue;

        /* Closed behind our back; if a duplicate lives, the registration does, too. */
        watch_release(self, watch);
        self->is_haunted = true;
    }

    /* What the last poll had no room for keeps its place in the list, if it is found again. */
    list_for_each(leftover, &self->fired) {
        container_of(leftover, struct watch, link)->found = 0;
    }

    if (self->is_haunted) self->is_haunted = lay_ghosts(self) < 0;
}

int weft__libuv_collect(struct loop *self, struct weft_event *events, int capacity)
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

static void on_closed(uv_handle_t *handle)
{
    struct loop *self = handle->data;

    free(container_of((uv_poll_t *)handle, struct watch, handle));
    weft__libuv_uncount_handle(self);
}

void weft__libuv_close_watches(struct loop *self)
{
    for (int fd = 0; fd < table_end(&self->slots); fd++) {
        struct watch *watch = watch_find(self, fd);
        if (watch) watch_release(self, watch);
    }
    struct list_node *node;
    while ((node = list_pop_front(&self->unused)) != NULL) {
        uv_handle_t *handle = (uv_handle_t *)&container_of(node, struct watch, link)->handle;
        if (!uv_is_closing(handle)) uv_close(handle, on_closed); /* see handle_close() */
    }
}

int weft__libuv_nest_epoll(int outer_fd, int inner_fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(outer_fd, EPOLL_CTL_ADD, inner_fd, &event) < 0 ? -errno : 0;
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
    if (!slot || !weft__libuv_has_room(self, fd)) return -ENOMEM;

    struct list_node *node = list_pop_front(&self->unused);
    struct watch *watch = node ? container_of(node, struct watch, link) : calloc(1, sizeof *watch);
    if (!watch) return -ENOMEM;
    if (!node) {
        int result = uv_poll_init(self->uv, &watch->handle, self->spare_fd);
        if (result < 0) {
            free(watch);
            return result;
        }
        weft__libuv_count_handle(self, (uv_handle_t *)&watch->handle);
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
        /* "Bad descriptor" is libuv's word for POLLERR, and it has stopped the handle. */
        watch->found = watch->interest;
        watch_mark_unsure(self, watch);
    } else {
        if (events & UV_READABLE) watch->found |= WEFT_IO_READ & watch->interest;
        if (events & UV_WRITABLE) watch->found |= WEFT_IO_WRITE & watch->interest;
    }
    if (!list_node_is_linked(&watch->link)) list_push_back(&self->fired, &watch->link);
}

/* Libuv will find the registration there, and then it needs no room that may be wanting. */
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
    struct epoll_event event = {.data.fd = watch->fd}; /* as libuv wants it */
    if (watch->interest & WEFT_IO_READ) event.events |= EPOLLIN;
    if (watch->interest & WEFT_IO_WRITE) event.events |= EPOLLOUT;
    return epoll_ctl(uv_backend_fd(self->uv), operation, watch->fd, &event) < 0 ? -errno : 0;
}

static void watch_mark_unsure(struct loop *self, struct watch *watch)
{
    if (!list_node_is_linked(&watch->unsure_link)) {
        list_push_back(&self->unsure, &watch->unsure_link);
    }
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

/* Without room for a new instance the ghost stays, and the next pass tries again. */
static int lay_ghosts(struct loop *self)
{
    int epoll_fd = uv_backend_fd(self->uv);
    int result = weft__libuv_renew_epoll(epoll_fd);
    if (result < 0 || self->native_fd < 0) return result;
    return weft__libuv_nest_epoll(self->native_fd, epoll_fd);
}
