/* SPDX-License-Identifier: MIT */
/*
 * A server's loop: accept, and a task for each connection on the worker that has the fewest.
 *
 * The connections are children of a scope around the loop: what ends the loop from outside ends
 * them, and the loop's end waits for them.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <weft/fd.h>
#include <weft/net.h>
#include <weft/scope.h>
#include <weft/time.h>

#include "core/runtime.h"

#define NO_MEMORY_PAUSE_NS (10 * WEFT_MSEC)

/* One for all connections of a call. */
struct service {
    int listener;
    weft_serve_fn handler;
    void *arg;
    const char *site;
    struct weft_scope scope;
};

struct connection {
    const struct service *service;
    int fd;
};

static int accept_all(struct service *service);
static int start(struct service *service, int fd);
static bool is_passing(int error);

int weft_serve_at(int listener, weft_serve_fn handler, void *arg, const char *site)
{
    if (!handler) return -EINVAL;
    struct service service = {.listener = listener, .handler = handler, .arg = arg, .site = site};
    int result = weft_scope_open_at(&service.scope, site);
    if (result < 0) return result;

    result = accept_all(&service);
    int closed = weft_scope_close(&service.scope);
    if (result != -ECANCELED) return result;
    int status = weft_scope_status(); /* inside the scope every deadline was somebody else's */
    return status < 0 ? status : closed;
}

int(weft_serve)(int listener, weft_serve_fn handler, void *arg)
{
    return weft_serve_at(listener, handler, arg, NULL);
}

/* Until something is final. */
static int accept_all(struct service *service)
{
    for (;;) {
        int result = weft_accept(service->listener, NULL, NULL);
        if (result >= 0) result = start(service, result);
        /* who may not sleep was not paused either, and would ask for ever */
        if (is_passing(result)) result = weft_scope_status();
        if (result < 0) return result;
    }
}

/* Nothing is left, or the next connection's network is gone. accept(2), "Error handling". */
static bool is_passing(int error)
{
    switch (error) {
    case -EMFILE: /* weft_accept() has paused */
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void end(void *arg)
{
    struct connection *connection = arg;
    (void)weft_close(connection->fd); /* the handler was told of what could not be sent */
    free(connection);
}

static int run(void *arg)
{
    const struct connection *connection = arg;
    connection->service->handler(connection->fd, connection->service->arg);
    end(arg);
    return 0; /* a result below zero would cancel the others */
}

/* Without memory the connection is closed, and who waits for the next one pauses. */
static int start(struct service *service, int fd)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_SPREAD;
    options.on_drop = end;
    struct connection *connection = malloc(sizeof *connection);
    int result = -ENOMEM;
    if (connection) {
        *connection = (struct connection){.service = service, .fd = fd};
        /* Who has it from now on closes it, and need not ask this worker to let go. */
        if (weft_worker_count() > 1) (void)weft_release(fd);
        result = weft_scope_spawn_with_at(
            &service->scope, NULL, &options, run, connection, service->site);
    }
    if (result == 0) return 0;
    (void)weft_close(fd);
    free(connection);
    return weft_sleep(NO_MEMORY_PAUSE_NS);
}
