/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server on libevent's evhttp, as one has it already, whose handlers hand the work to
 * tasks. GET /sum/N asks N slow sources at once and answers with their sum, or with 504 after two
 * seconds; a client that hangs up cancels its task and everything that this has spawned.
 *
 *   LDFLAGS=-levent_extra ./weft run --backend libevent examples/hosts/libevent_http.c [PORT]
 *
 * Then: curl http://127.0.0.1:8080/sum/10
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <weft/weft.h>

struct server {
    struct event_base *base;
    struct weft_runtime *runtime;
    int answered_count;
    int cancelled_count;
};

/* One request: the handler makes it, its task answers and frees it. */
struct job {
    struct server *server;
    struct evhttp_request *request;
    struct event *hang_up;
    weft_task task;
    int count;
};

WEFT_CHAN_TYPE(values, int);

/* ---- tasks: plain code that may wait ---- */

WEFT_TASK(ask_source, (struct values, out), (int, number))
{
    int result = weft_sleep(number * 10 * WEFT_MSEC);
    return result < 0 ? result : values_send(out, number);
}

static int add_up(int count, int *ret_sum)
{
    struct values values;
    int result = values_open(&values, 0);
    if (result < 0) return result;

    struct weft_scope sources;
    result = weft_scope_open_timeout(&sources, 2 * WEFT_SEC);
    for (int i = 1; i <= count && result == 0; i++) {
        result = ask_source_scope_spawn(&sources, NULL, values, i);
    }
    int sum = 0;
    for (int i = 1, value = 0; i <= count && result == 0; i++) {
        result = values_recv(values, &value);
        sum += value;
    }
    if (result < 0) weft_scope_cancel(&sources);
    (void)weft_scope_close(&sources); /* joins them; what went wrong is in result */
    values_unref(values);
    if (result == 0) *ret_sum = sum;
    return result;
}

/* Calls of libevent that do not wait are fine in a task: it runs in the loop's own thread. */
static void reply(struct job *job, int result, int sum)
{
    struct evbuffer *body = evhttp_request_get_output_buffer(job->request);
    if (result == 0) {
        evbuffer_add_printf(body, "%d\n", sum);
        evhttp_send_reply(job->request, HTTP_OK, NULL, NULL);
    } else if (result == -ETIMEDOUT) {
        evhttp_send_reply(job->request, 504, "Too slow", NULL);
    } else {
        evhttp_send_reply(job->request, HTTP_SERVUNAVAIL, NULL, NULL); /* if anybody hears it */
    }
}

static int answer(void *arg)
{
    struct job *job = arg;
    int sum = 0;
    int result = add_up(job->count, &sum);
    if (result == -ECANCELED) {
        job->server->cancelled_count++;
    } else {
        job->server->answered_count++;
    }
    event_free(job->hang_up);
    reply(job, result, sum);
    free(job);
    return weft_detach(weft_self());
}

/* ---- callbacks: they hand over, and never wait ---- */

static void on_hang_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct job *job = arg;
    weft_cancel(job->task);
}

/* 0, or what is to be told to the client. */
static int start_job(struct evhttp_request *request, struct server *server, int count)
{
    struct job *job = malloc(sizeof *job);
    if (!job) return HTTP_SERVUNAVAIL;

    /* evhttp stops reading when it has the request, hence an event of our own: libevent takes
     * several for one descriptor. */
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    *job = (struct job){.server = server, .request = request, .count = count};
    job->hang_up = event_new(server->base, fd, EV_CLOSED, on_hang_up, job);
    if (job->hang_up && event_add(job->hang_up, NULL) == 0 &&
        weft_runtime_spawn(server->runtime, &job->task, NULL, answer, job) == 0) {
        return 0;
    }
    if (job->hang_up) event_free(job->hang_up);
    free(job);
    return HTTP_SERVUNAVAIL;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct server *server = arg;
    int count = 0;
    if (sscanf(evhttp_request_get_uri(request), "/sum/%4d", &count) == 1 && count > 0) {
        int status = start_job(request, server, count);
        if (status != 0) evhttp_send_error(request, status, NULL);
        return;
    }
    struct evbuffer *body = evhttp_request_get_output_buffer(request);
    evbuffer_add_printf(
        body, "%d answered, %d cancelled\n", server->answered_count, server->cancelled_count);
    evhttp_send_reply(request, HTTP_OK, NULL, NULL);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    event_base_loopexit(arg, NULL);
}

static int listen_on(struct evhttp *http, int port)
{
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(http, "127.0.0.1", (ev_uint16_t)port);
    if (!bound) return -1;

    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size) < 0) {
        return -1;
    }
    printf("listening on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct server server = {.base = event_base_new()};
    struct evhttp *http = evhttp_new(server.base);
    struct event *stop = evsignal_new(server.base, SIGTERM, on_signal, server.base);
    evhttp_set_gencb(http, on_request, &server);
    event_add(stop, NULL);

    int result = weft_attach(&server.runtime, NULL, server.base);
    if (result < 0 || listen_on(http, argc > 1 ? (int)strtol(argv[1], NULL, 10) : 8080) < 0) {
        fprintf(stderr, "cannot start\n");
        return 1;
    }
    event_base_dispatch(server.base);

    result = weft_detach_loop(server.runtime); /* cancels what is under way, and waits for it */
    evhttp_free(http);
    event_free(stop);
    event_base_free(server.base);
    return result < 0;
}
