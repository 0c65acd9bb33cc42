/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: the calls of POSIX on plain ints, except that they suspend the task.
 *
 * Sockets are never switched to O_NONBLOCK (but for the moment of a connect); pipes, FIFOs and
 * terminals that weft did not open are not either: the call waits, then moves what is there. Only
 * what weft opened is non-blocking.
 * Reads and writes of regular files are plain system calls today: they hold the worker.
 * No call here raises SIGPIPE. Close with weft_close(), which wakes whoever waits.
 */
#ifndef WEFT_FD_H
#define WEFT_FD_H

#include <sys/socket.h>
#include <sys/types.h>

#include <weft/base.h>

struct iovec;

WEFT_EXTERN_C_BEGIN

/* What weft_wait_fd() waits for. */
enum {
    WEFT_READABLE = 1 << 0, /* a read would not block: data, end of file, or an error */
    WEFT_WRITABLE = 1 << 1, /* a write would not block: space, or an error */
};

/**
 * Waits until a descriptor is ready; several tasks may wait for the same one, and all wake. Being
 * ready may be spurious once.
 *
 * @param fd      any descriptor; regular files and the like are ready at once
 * @param events  WEFT_READABLE, WEFT_WRITABLE or both
 *
 * @return the events that are ready (above 0), or
 *   -EBADF      fd is not open, or was closed with weft_close() meanwhile
 *   -EINVAL     bad events
 *   -ETIMEDOUT, -ECANCELED, -EPERM  as weft_sleep()
 *   -ENOMEM, -ENOSPC  the kernel cannot watch another descriptor
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_wait_fd(int fd, int events);

/**
 * Reads what is there, at most `size` bytes: one system call's worth.
 *
 * @param buffer  receives the bytes; the caller's
 *
 * @return the count; 0 at the end of the stream (or for size 0); or the negative errno of read(2),
 *         never -EAGAIN or -EINTR, and as weft_wait_fd()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_read(int fd, void *buffer, size_t size);

/**
 * Writes what fits, at most `size` bytes: one system call's worth.
 *
 * @return the count, or the negative errno of write(2) (-EPIPE without a signal), never -EAGAIN or
 *         -EINTR, and as weft_wait_fd()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_write(int fd, const void *buffer, size_t size);

/**
 * As weft_read(), into several buffers, as readv(2).
 *
 * @return as weft_read(); -EINVAL for a count below 0 or above IOV_MAX
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_readv(int fd, const struct iovec *parts, int count);

/**
 * As weft_write(), from several buffers, as writev(2).
 *
 * @return as weft_write(); -EINVAL for a count below 0 or above IOV_MAX
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_writev(int fd, const struct iovec *parts, int count);

/**
 * Reads exactly `size` bytes.
 *
 * @param ret_done  NULL, or receives how many were read, also on failure
 *
 * @return 0; -EPIPE if the stream ended before; or as weft_read()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_read_exactly(int fd, void *buffer, size_t size, size_t *ret_done);

/**
 * Writes all `size` bytes; no other task's weft_write_all() on this descriptor comes in between.
 *
 * @param ret_done  NULL, or receives how many were written, also on failure
 *
 * @return 0, or as weft_write()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_write_all(int fd,
                                            const void *buffer,
                                            size_t size,
                                            size_t *ret_done);

/**
 * As recvmsg(2); received descriptors are close-on-exec.
 *
 * @param flags  MSG_PEEK and the like; MSG_DONTWAIT gives -EAGAIN instead of sleeping
 *
 * @return as weft_read()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags);

/**
 * As sendmsg(2).
 *
 * @return as weft_write(); with MSG_DONTWAIT -EAGAIN instead of sleeping
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags);

/**
 * Accepts a connection: close-on-exec, non-blocking. Connections that were reset before are
 * skipped. When descriptors or memory run out, the error is returned after a short sleep, so that
 * a naive loop does not spin. A listener that other processes accept from, too, should be
 * non-blocking: else the worker blocks when they are faster.
 *
 * @param address, length  NULL, or as accept(2)
 *
 * @return the new descriptor, or the negative errno of accept4(2), and as weft_wait_fd()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_accept(int fd, struct sockaddr *address, socklen_t *length);

/**
 * Connects a socket, as connect(2).
 *
 * @return 0, or the negative errno of connect(2), never -EINPROGRESS, and as weft_wait_fd(). After
 *         an error the socket is good for weft_close() only.
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_connect(int fd, const struct sockaddr *address, socklen_t length);

/**
 * As shutdown(2): SHUT_RD, SHUT_WR, SHUT_RDWR.
 *
 * @return 0, or the negative errno of shutdown(2)
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_shutdown(int fd, int how);

/**
 * Closes a descriptor: wakes every task that waits for it with -EBADF, deregisters it, then
 * closes. The only way to close what weft's calls are used on.
 *
 * A thread outside of any runtime waits until every runtime of the process has let go (after 10 ms
 * a connection is shut down meanwhile): a task that blocks its thread until such a close has
 * returned, by pthread_join() say, waits for itself. Within a runtime only that one is told, and
 * in a host's callback those of its thread: a descriptor should not be waited for in two.
 *
 * @return 0, or the negative errno of close(2); the number is gone in any case. -EBADF if fd is not
 *         open or another task is closing it.
 *
 * Context: any. Sleeps: yes. Cancellation point: no.
 */
WEFT_API int weft_close(int fd);

/**
 * Gives a descriptor back to a library that closes it itself: wakes every waiter with -EBADF and
 * deregisters it; the descriptor stays open.
 *
 * @return 0, or
 *   -EBADF  fd is not open
 *
 * Context: any. Sleeps: yes. Cancellation point: no.
 */
WEFT_API int weft_release(int fd);

WEFT_EXTERN_C_END

#endif
