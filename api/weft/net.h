/* SPDX-License-Identifier: MIT */
/*
 * TCP by numeric address: "127.0.0.1:8080", "[::1]:8080", ":8080" (any address, both families).
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
