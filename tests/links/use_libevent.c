/* SPDX-License-Identifier: MIT */
/* A program that serves HTTP with libevent, and asks itself. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/links/use.h"

static void on_request(struct evhttp_request *request, void *arg)
{
    (void)arg;
    struct evbuffer *body = evhttp_request_get_output_buffer(request);
    evbuffer_add_printf(body, "hello");
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static struct event_base *loop;
static int answered; /* bytes */

static void on_answer(struct evhttp_request *request, void *arg)
{
    (void)arg;
    if (request && evhttp_request_get_response_code(request) == HTTP_OK) {
        answered = (int)evbuffer_get_length(evhttp_request_get_input_buffer(request));
    }
    event_base_loopexit(loop, NULL);
}

static int ask(struct evhttp *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    if (!bound) return 3;
    int fd = evhttp_bound_socket_get_fd(bound);
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return 3;
    int port = ntohs(address.sin_port);
    struct evhttp_connection *connection =
        evhttp_connection_base_new(loop, NULL, "127.0.0.1", (unsigned short)port);
    struct evhttp_request *request = evhttp_request_new(on_answer, NULL);
    if (!connection || !request) return 4;
    if (evhttp_make_request(connection, request, EVHTTP_REQ_GET, "/") != 0) return 5;
    const struct timeval limit = {.tv_sec = 5};
    event_base_loopexit(loop, &limit);
    event_base_dispatch(loop);
    evhttp_connection_free(connection);
    return answered == 5 ? 0 : 6;
}

int use_loop(void)
{
    answered = 0;
    loop = event_base_new();
    if (!loop) return 1;
    struct evhttp *server = evhttp_new(loop);
    if (!server) return 2;
    evhttp_set_gencb(server, on_request, NULL);
    int result = ask(server);
    evhttp_free(server);
    event_base_free(loop);
    return result;
}
