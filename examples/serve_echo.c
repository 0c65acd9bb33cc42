/* SPDX-License-Identifier: MIT */
/*
 * Sends back what it gets, on all workers: each connection is a task on the worker that has the
 * fewest of them. An interrupt closes the listener; open connections are
 * served to their end.
 *
 *   WEFT_WORKERS=0 ./weft run examples/serve_echo.c [ADDRESS]      then: nc 127.0.0.1 7777
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

static atomic_int served;

static void echo(int connection, void *arg)
{
    char buffer[4096];
    ssize_t count;
    (void)arg;
    while ((count = weft_read(connection, buffer, sizeof buffer)) > 0) {
        if (weft_write_all(connection, buffer, (size_t)count, NULL) < 0) break;
    }
    served++;
} /* the connection is closed here */

static struct weft_runtime *runtime;
static struct weft_post interrupted;

static void on_interrupt(int number)
{
    (void)number;
    (void)weft_post(runtime, &interrupted);
}

static void close_listener(void *arg)
{
    (void)weft_close(*(int *)arg);
}

static int app_main(int argc, char **argv)
{
    int listener = -1;
    int result = weft_tcp_listen(&listener, argc > 1 ? argv[1] : "127.0.0.1:7777", NULL);
    if (result < 0) {
        fprintf(stderr, "cannot listen: %s\n", strerror(-result));
        return 1;
    }
    runtime = weft_runtime_current();
    interrupted = (struct weft_post){.fn = close_listener, .arg = &listener};
    signal(SIGINT, on_interrupt);
    printf("listening on port %d\n", weft_tcp_port(listener));
    fflush(stdout);

    result = weft_serve(listener, echo, NULL);
    printf("served %d connections\n", served);
    return result == -EBADF ? 0 : 1;
}

WEFT_MAIN(app_main);
