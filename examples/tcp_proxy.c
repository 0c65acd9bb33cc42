/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy: whatever arrives at LISTEN goes to TARGET, and back.
 *
 *   ./weft run examples/tcp_proxy.c 127.0.0.1:8080 127.0.0.1:80
 *
 * Each connection is two tasks, one for each direction, in a scope of its own: when one of them
 * fails, or the scope's deadline passes, both end, and nobody else notices. Ctrl-C stops listening;
 * open connections get a few seconds to finish.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#define CONNECTIONS_MAX 500 /* further ones wait in the kernel's queue */
#define DIAL_TIME       (10 * WEFT_SEC)
#define IDLE_TIME       (60 * WEFT_SEC) /* without a byte in either direction */
#define GRACE_TIME      (3 * WEFT_SEC)  /* to finish after Ctrl-C */

WEFT_CHAN_TYPE(fds, int);

/* Moves bytes until the end, which it passes on; every byte moves the deadline. */
WEFT_TASK(pump, (struct weft_scope *, scope), (int, source), (int, target))
{
    char buffer[16 * 1024];
    for (;;) {
        ssize_t count = weft_read(source, buffer, sizeof buffer);
        if (count < 0) return (int)count;
        if (count == 0) return weft_shutdown(target, SHUT_WR);

        int result = weft_write_all(target, buffer, (size_t)count, NULL);
        if (result < 0) return result;
        weft_scope_set_deadline(scope, weft_now() + IDLE_TIME);
    }
}

static void relay(int client, int server)
{
    struct weft_scope scope;
    weft_scope_open_timeout(&scope, IDLE_TIME);
    int there = pump_scope_spawn(&scope, NULL, &scope, client, server);
    int back = pump_scope_spawn(&scope, NULL, &scope, server, client);
    if (there < 0 || back < 0) weft_scope_cancel(&scope);
    weft_scope_close(&scope); /* waits for both; how they ended concerns nobody else */
}

WEFT_TASK(serve, (int, client), (const char *, target), (struct weft_chan *, places))
{
    int server = -1;
    int result = -ETIMEDOUT;
    weft_with_timeout(DIAL_TIME) {
        result = weft_tcp_dial(&server, target);
    }
    if (result == 0) {
        relay(client, server);
        weft_close(server);
    }
    weft_close(client);
    return weft_chan_try_recv(places, NULL); /* gives our place to the next one: always 0 */
}

/* Ends when it is cancelled, which is what Ctrl-C does. */
WEFT_TASK(listen_on, (int, listener), (struct fds, clients), (struct weft_chan *, places))
{
    while (weft_chan_send(places, NULL) == 0) { /* takes a place, or waits for one */
        int client = -1;
        do {
            client = weft_accept(listener, NULL, NULL);
        } while (client == -EMFILE); /* weft pauses, so that this does not spin */
        if (client < 0) break;
        if (fds_send(clients, client) < 0) weft_close(client);
    }
    weft_close(listener);
    return fds_close(clients);
}

static struct weft_runtime *runtime;

static void on_interrupt(int signal)
{
    (void)signal;
    weft_runtime_stop(runtime); /* cancels every task that is not shielded */
}

static void stop_on_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    runtime = weft_runtime_current();
    sigaction(SIGINT, &action, NULL); /* a second Ctrl-C kills, as usual */
}

static int proxy(int listener, const char *target)
{
    struct fds clients;
    struct weft_chan *places = NULL;
    if (fds_open(&clients, 0) < 0 || weft_chan_open(&places, 0, CONNECTIONS_MAX) < 0) return 1;
    stop_on_interrupt();

    struct weft_scope connections; /* inside of a shield: Ctrl-C does not cut them off */
    weft_scope_open_shield(&connections);
    weft_go(listen_on, listener, clients, places);
    int client = -1;
    while (fds_recv(clients, &client) == 0) {
        int result = serve_scope_spawn(&connections, NULL, client, target, places);
        if (result < 0) weft_close(client);
    }
    weft_scope_set_deadline(&connections, weft_now() + GRACE_TIME);
    weft_scope_close(&connections);

    signal(SIGINT, SIG_DFL);
    weft_chan_unref(places);
    fds_unref(clients);
    return 0;
}

static int app_main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: tcp_proxy LISTEN TARGET\n");
        return 2;
    }
    int listener = -1;
    int result = weft_tcp_listen(&listener, argv[1], NULL);
    if (result < 0) {
        fprintf(stderr, "tcp_proxy: %s: %s\n", argv[1], strerror(-result));
        return 1;
    }
    printf("listening on port %d\n", weft_tcp_port(listener));
    fflush(stdout);

    return proxy(listener, argv[2]);
}

WEFT_MAIN(app_main);
