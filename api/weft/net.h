/* SPDX-License-Identifier: MIT */
/*
 * TCP by numeric address: "127.0.0.1:8080", "[::1]:8080", ":8080" (any address, both families);
 * and a server's loop.
 *
 * The results are plain descriptors for <weft/fd.h>: non-blocking, close-on-exec, TCP_NODELAY.
 */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <weft/base.h>

WEFT_EXTERN_C_BEGIN

/* Begin with WEFT_LISTEN_OPTIONS_INIT; zero means the default. */
struct weft_listen_options {
    size_t size;       /* sizeof(struct weft_listen_options), set by the initialiser */
    int backlog;       /* default SOMAXCONN */
    int reuse_port;    /* not 0: SO_REUSEPORT */
    int v6only;        /* not 0: an IPv6 socket takes no IPv4 */
    int reserved_int;  /* zero */
    void *reserved[2]; /* zero */
};

#define WEFT_LISTEN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(struct weft_listen_options), 0, 0, 0, 0,                                            \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/**
 * Opens a listening TCP socket (SO_REUSEADDR is set).
 *
 * @param ret_fd   receives the descriptor; weft_close() it
 * @param address  numeric host and port; port 0 lets the kernel choose (see weft_tcp_port())
 * @param options  NULL, or borrowed for the call
 *
 * @return 0, or
 *   -EINVAL  the address is not numeric, or the port is missing or above 65535
 *   -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE and the like from the system
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_tcp_listen(int *ret_fd,
                                             const char *address,
                                             const struct weft_listen_options *options);

/**
 * Connects to a TCP address.
 *
 * @param ret_fd   receives the descriptor; weft_close() it
 * @param address  numeric host and port; an empty host means the loopback
 *
 * @return 0, or, with nothing left open:
 *   -EINVAL        as weft_tcp_listen()
 *   -ECONNREFUSED  and the like from the system
 *   -ETIMEDOUT, -ECANCELED, -EPERM  as weft_sleep()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_tcp_dial(int *ret_fd, const char *address);

/* Serves one connection. Other tasks may use the descriptor as long as it runs. It must not be
 * closed by it: weft_serve() does that afterwards. */
typedef void (*weft_serve_fn)(int fd, void *arg);

/**
 * Serves a listener: accepts connections, and runs handler(fd, arg) for each in a task of its own,
 * on the worker that has the fewest WEFT_SPREAD tasks alive. When the handler returns, its
 * descriptor is closed with weft_close().
 *
 * Accepting ends when the calling task is cancelled, the current scope's deadline passes, or the
 * listener is closed, which is for others to do. The connections run inside the caller's scope: a
 * cancellation and a deadline reach their handlers, too; after a close of the listener they are
 * served to their end. While descriptors or memory run out, it pauses and tries again.
 *
 * @param listener  a listening socket, of any family; not closed
 * @param handler   called on any worker, by several tasks at once; whatever it needs to tell goes
 *                  through arg
 *
 * @return why it stopped accepting, after all its connections have ended:
 *   -ECANCELED, -ETIMEDOUT  as weft_sleep()
 *   -EBADF    the listener was closed
 *   -EINVAL   handler is NULL, or the socket does not listen
 *   -ENOMEM   there was no stack for a connection, and nothing left that could have freed one
 *   -EPERM    outside of a task
 *   and other errors of accept4(2) that are about the listener
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API int weft_serve(int listener, weft_serve_fn handler, void *arg);

/** As weft_serve(), with the creation site of the tasks. Context: task. */
WEFT_API int weft_serve_at(int listener, weft_serve_fn handler, void *arg, const char *site);
#define weft_serve(listener, handler, arg) weft_serve_at(listener, handler, arg, WEFT_SITE)

/**
 * Tells the local port of a socket.
 *
 * @return 1 to 65535 (0: not bound), or the negative errno of getsockname(2)
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_tcp_port(int fd);

WEFT_EXTERN_C_END

#endif
