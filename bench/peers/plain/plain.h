/* SPDX-License-Identifier: MIT */
/*
 * What the plain callback servers share: the listener, and a connection that echoes by recv(2) and
 * send(2) without copying. Each server adds only how its loop tells "readable" and "writable".
 *
 * usage: plain-NAME [once]      once: ends when the last connection has ended
 */
#ifndef BENCH_PEERS_PLAIN_H
#define BENCH_PEERS_PLAIN_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAIN_BUFFER 4096

#define PLAIN_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum plain_want { PLAIN_READABLE, PLAIN_WRITABLE, PLAIN_CLOSED };

struct plain_connection {
    int fd;
    size_t size; /* bytes in the buffer that were not sent yet, from `start` on */
    size_t start;
    char buffer[PLAIN_BUFFER];
};

static bool plain_is_once;
static int plain_open_count;

/* Listens on a free port of the loopback and prints it. */
static inline int plain_listen(int argc, char **argv)
{
    /* libuv's streams and bufferevents write without MSG_NOSIGNAL. */
    PLAIN_CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    plain_is_once = argc > 1 && strcmp(argv[1], "once") == 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof address;
    PLAIN_CHECK(fd >= 0);
    PLAIN_CHECK(bind(fd, (struct sockaddr *)&address, size) == 0);
    PLAIN_CHECK(listen(fd, 4096) == 0);
    PLAIN_CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    printf("listening on port %d\n", ntohs(address.sin_port));
    PLAIN_CHECK(fflush(stdout) == 0);
    return fd;
}

/* The next connection, or NULL if there is none now. */
static inline struct plain_connection *plain_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return NULL;

    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct plain_connection *connection = malloc(sizeof *connection);
    PLAIN_CHECK(connection);
    connection->fd = fd;
    connection->size = 0;
    plain_open_count++;
    return connection;
}

/* Does what can be done now; says what to wait for. */
static inline enum plain_want plain_step(struct plain_connection *connection)
{
    if (connection->size == 0) {
        ssize_t count = recv(connection->fd, connection->buffer, PLAIN_BUFFER, 0);
        if (count < 0 && errno == EAGAIN) return PLAIN_READABLE;
        if (count <= 0) return PLAIN_CLOSED;
        connection->start = 0;
        connection->size = (size_t)count;
    }
    ssize_t count = send(
        connection->fd, connection->buffer + connection->start, connection->size, MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return PLAIN_WRITABLE;
    if (count < 0) return PLAIN_CLOSED;
    connection->start += (size_t)count;
    connection->size -= (size_t)count;
    return connection->size > 0 ? PLAIN_WRITABLE : PLAIN_READABLE;
}

/* The loop has let go of it. True: it was the last one. */
static inline bool plain_close(struct plain_connection *connection)
{
    close(connection->fd);
    free(connection);
    return --plain_open_count == 0 && plain_is_once;
}

#endif
