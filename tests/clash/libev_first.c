/* SPDX-License-Identifier: MIT */
/*
 * A program that uses libev itself, with weft on libevent: libev exports functions of libevent's
 * names. Linked before libevent it is refused, whatever it asks for; linked behind it, it works.
 *
 * The argument is what is expected: "refused" or "works".
 */
#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/weft.h>

static int ping(void *arg)
{
    (void)arg;
    int fds[2];
    char byte = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) return 1;
    ssize_t size = 0;
    weft_with_timeout(WEFT_MSEC)
        size = weft_read(fds[0], &byte, 1);
    if (size != -ETIMEDOUT) return 2;
    if (weft_write(fds[1], "x", 1) != 1 || weft_read(fds[0], &byte, 1) != 1) return 3;
    return byte == 'x' && weft_close(fds[0]) == 0 && weft_close(fds[1]) == 0 ? 7 : 4;
}

static void count(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ++*(int *)timer->data;
    ev_timer_stop(loop, timer);
}

/* The program's own loop, which weft must not disturb. */
static int use_libev(void)
{
    int fired = 0;
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    if (!loop) return 0;
    ev_timer timer = {.data = &fired};
    ev_timer_init(&timer, count, 0.001, 0.);
    timer.data = &fired;
    ev_timer_start(loop, &timer);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    return fired;
}

int main(int argc, char **argv)
{
    bool is_refused = argc > 1 && strcmp(argv[1], "refused") == 0;
    struct weft_runtime *runtime = NULL;
    int host = 0; /* stands for an event_base: nothing may look into it */

    int before = use_libev();
    int result = weft_run(NULL, ping, NULL);
    int attached = is_refused ? weft_attach(&runtime, NULL, &host) : -ELIBBAD;
    int after = use_libev();

    if (before == 1 && after == 1 && attached == -ELIBBAD &&
        result == (is_refused ? -ELIBBAD : 7)) {
        return 0;
    }
    fprintf(stderr,
            "%s: weft_run %d, weft_attach %d, libev %d and %d\n",
            argc > 1 ? argv[1] : "?",
            result,
            attached,
            before,
            after);
    return 1;
}
