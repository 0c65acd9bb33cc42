/* SPDX-License-Identifier: MIT */
/*
 * The plain echo server on raw epoll: level-triggered, one registration for a connection's life.
 */
#include <sys/epoll.h>

#include "bench/peers/plain/plain.h"

#define EVENTS_MAX 512

static int epoll_fd;

static void watch(int operation, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    PLAIN_CHECK(epoll_ctl(epoll_fd, operation, fd, &event) == 0);
}

static void accept_all(int listener)
{
    struct plain_connection *connection = NULL;
    while ((connection = plain_accept(listener)) != NULL) {
        watch(EPOLL_CTL_ADD, connection->fd, EPOLLIN, connection);
    }
}

/* False: that was the last one. */
static bool serve(struct plain_connection *connection, uint32_t events)
{
    enum plain_want want = plain_step(connection);
    if (want == PLAIN_CLOSED) return !plain_close(connection);
    uint32_t wanted = want == PLAIN_WRITABLE ? EPOLLOUT : EPOLLIN;
    if (!(events & wanted)) watch(EPOLL_CTL_MOD, connection->fd, wanted, connection);
    return true;
}

int main(int argc, char **argv)
{
    int listener = plain_listen(argc, argv);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    PLAIN_CHECK(epoll_fd >= 0);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr) {
                accept_all(listener);
            } else if (!serve(events[i].data.ptr, events[i].events)) {
                return 0;
            }
        }
    }
}
