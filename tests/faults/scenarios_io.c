/* SPDX-License-Identifier: MIT */
/*
 * The scenarios with descriptors: an echo over TCP, and a pipe that blocks.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/faults/scenarios.h"

/* ---- sockets ---- */

#define ECHO_SIZE 3000

struct echo {
    int listener;
    int accepted;
    int dialled;
    int port;
    bool is_done;
};

static int echoes(void *arg)
{
    struct echo *echo = arg;
    echo->accepted = weft_accept(echo->listener, NULL, NULL);
    if (echo->accepted < 0) return echo->accepted;
    char bytes[256];
    for (;;) {
        ssize_t count = weft_read(echo->accepted, bytes, sizeof bytes);
        if (count <= 0) return (int)count;
        int result = weft_write_all(echo->accepted, bytes, (size_t)count, NULL);
        if (result < 0) return result;
    }
}

static int writes(void *arg)
{
    const struct echo *echo = arg;
    char bytes[ECHO_SIZE];
    memset(bytes, 'e', sizeof bytes);
    struct iovec parts[2] = {{bytes, 100}, {bytes + 100, 200}};
    ssize_t count = weft_writev(echo->dialled, parts, 2);
    if (count < 0) return (int)count;
    return weft_write_all(echo->dialled, bytes + count, sizeof bytes - (size_t)count, NULL);
}

static int dials(struct weft_scope *scope, struct echo *echo)
{
    char address[32] = "127.0.0.1:";
    char digits[8];
    int used = 0;
    for (int port = echo->port; port > 0; port /= 10)
        digits[used++] = (char)('0' + port % 10);
    for (size_t at = strlen(address); used > 0;)
        address[at++] = digits[--used];

    int result = weft_tcp_dial(&echo->dialled, address);
    if (result == 0) result = weft_scope_spawn(scope, NULL, writes, echo);
    if (result < 0) return result;
    char bytes[ECHO_SIZE];
    result = weft_read_exactly(echo->dialled, bytes, sizeof bytes, NULL);
    for (int i = 0; result == 0 && i < ECHO_SIZE; i++) {
        if (bytes[i] != 'e') result = WRONG;
    }
    if (result == 0) result = weft_wait_fd(echo->dialled, WEFT_WRITABLE);
    if (result < 0) return result;
    echo->is_done = true;
    return weft_shutdown(echo->dialled, SHUT_WR);
}

static int echo_root(void *arg)
{
    struct echo *echo = arg;
    int result = weft_tcp_listen(&echo->listener, "127.0.0.1:0", NULL);
    if (result < 0) return result;
    echo->port = weft_tcp_port(echo->listener);

    struct weft_scope scope;
    result = weft_scope_open(&scope);
    if (result == 0) {
        result = weft_scope_spawn(&scope, NULL, echoes, echo);
        if (result == 0) result = dials(&scope, echo);
        result = finish(&scope, result);
    }
    const int fds[] = {echo->listener, echo->accepted, echo->dialled};
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0 && weft_close(fds[i]) < 0) return WRONG;
    }
    return result;
}

int run_echo(void)
{
    struct echo echo = {.listener = -1, .accepted = -1, .dialled = -1};
    int result = run_root(echo_root, &echo, 0);
    return result == 0 && !echo.is_done ? WRONG : result;
}

/* ---- pipes ---- */

static int fills(void *arg)
{
    const int *fds = arg;
    char bytes[ECHO_SIZE] = {0};
    return weft_write_all(fds[1], bytes, sizeof bytes, NULL);
}

static int pipe_root(void *arg)
{
    const int *fds = arg;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    char bytes[ECHO_SIZE];
    result = weft_scope_spawn(&scope, NULL, fills, arg);
    if (result == 0) result = weft_wait_fd(fds[0], WEFT_READABLE);
    if (result >= 0) result = weft_read_exactly(fds[0], bytes, sizeof bytes, NULL);
    return finish(&scope, result);
}

int run_pipe(void)
{
    int fds[2];
    if (pipe(fds) < 0) return WRONG;
    int result = run_root(pipe_root, fds, 0);
    (void)close(fds[0]); /* nothing was written that could be lost */
    (void)close(fds[1]);
    return result;
}
