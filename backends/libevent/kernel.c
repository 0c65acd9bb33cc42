/* SPDX-License-Identifier: MIT */
/*
 * libevent's epoll instance as the kernel sees it: found by its contents, asked, and replaced.
 *
 * libevent prints a warning when the kernel refuses a descriptor, and says nothing when a number
 * that it deletes stands for another file than when it was added. The kernel ties a registration
 * to the file: if a duplicate keeps that open, the registration stays, and no number leads to it.
 * Such a *ghost* turns event_base_loop() into a busy loop that never returns, or is taken for the
 * number's new owner. Hence the kernel is asked beforehand, and ghosts are laid by a new instance.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backends/libevent/libevent.h"

/* Where the search for libevent's instance ends: the kernel's own default limit (fs.nr_open). */
#define NUMBERS_MAX (1 << 20)

/* What is copied to a new instance; several events of one descriptor come one after another. */
struct copy {
    int epoll_fd;
    int fd; /* of the event before this one */
    uint32_t mask;
    int result;
};

static int copy_registration(const struct event_base *base, const struct event *event, void *arg);

int weft__libevent_find_epoll(int wake_fd)
{
    /* What libevent itself registered: where it is there already, this changes nothing; everywhere
     * else it fails. */
    struct epoll_event same = {.events = EPOLLIN, .data.fd = wake_fd};
    for (int fd = 0; fd < NUMBERS_MAX; fd++) {
        if (epoll_ctl(fd, EPOLL_CTL_MOD, wake_fd, &same) == 0) return fd;
    }
    return -1;
}

int weft__libevent_probe(int epoll_fd, int fd)
{
    struct epoll_event none = {.events = 0};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &none) < 0) return -errno;
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    return 0;
}

int weft__libevent_rebuild(struct event_base *base, int epoll_fd)
{
    struct copy copy = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .fd = -1};
    if (copy.epoll_fd < 0) return -errno;

    (void)event_base_foreach_event(base, copy_registration, &copy);
    if (copy.result == 0 && dup3(copy.epoll_fd, epoll_fd, O_CLOEXEC) < 0) copy.result = -errno;
    close(copy.epoll_fd);
    return copy.result;
}

/* Called for each event of the base, whoever added it; not 0 ends the walk. */
static int copy_registration(const struct event_base *base, const struct event *event, void *arg)
{
    (void)base;
    struct copy *copy = arg;
    short events = event_get_events(event);
    int fd = event_get_fd(event);
    bool is_added = event->ev_evcallback.evcb_flags & EVLIST_INSERTED;
    if (!is_added || events & EV_SIGNAL || fd < 0) return 0;

    if (fd != copy->fd) copy->mask = 0;
    copy->fd = fd;
    if (events & EV_READ) copy->mask |= EPOLLIN;
    if (events & EV_WRITE) copy->mask |= EPOLLOUT;
    if (events & EV_CLOSED) copy->mask |= EPOLLRDHUP;
    if (events & EV_ET) copy->mask |= EPOLLET;
    struct epoll_event registration = {.events = copy->mask, .data.fd = fd};
    int result = epoll_ctl(copy->epoll_fd, EPOLL_CTL_ADD, fd, &registration);
    if (result < 0 && errno == EEXIST) {
        result = epoll_ctl(copy->epoll_fd, EPOLL_CTL_MOD, fd, &registration);
    }
    /* Other errors: the number was closed, or is the new instance's own; nothing is lost. */
    if (result < 0 && (errno == ENOMEM || errno == ENOSPC)) copy->result = -errno;
    return copy->result;
}
