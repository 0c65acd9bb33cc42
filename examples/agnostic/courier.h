/* SPDX-License-Identifier: MIT */
/*
 * courier: requests and answers over any stream. A message is its length, four bytes with the
 * highest first, and then so many bytes.
 *
 * A library for whoever uses weft, on whatever event loop: it starts no runtime, names no backend,
 * and has no time-outs of its own. Every call that waits obeys the scopes of its caller, and gives
 * -ETIMEDOUT or -ECANCELED as any call of weft does.
 */
#ifndef COURIER_H
#define COURIER_H

#include <stddef.h>

#define COURIER_SIZE_MAX 65536 /* of one message */

struct courier_client;

/**
 * Connects to "HOST:PORT", both numeric.
 *
 * @param ret  receives the client; courier_close() it
 *
 * @return 0, -ENOMEM, or as weft_tcp_dial()
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
int courier_dial(struct courier_client **ret, const char *address);

/**
 * Makes a client of a stream that is connected already.
 *
 * @param fd  taken: courier_close() closes it
 *
 * @return 0 or -ENOMEM, and fd is still the caller's
 *
 * Context: task. Sleeps: no. Cancellation point: no.
 */
int courier_adopt(struct courier_client **ret, int fd);

/**
 * Sends a request and waits for its answer. Tasks that call at the same time take turns.
 *
 * @param request, size        borrowed for the call
 * @param reply, capacity      receives the answer; the caller's
 * @param ret_size             receives its size
 *
 * @return 0, or
 *   -EMSGSIZE    the request is above COURIER_SIZE_MAX; nothing was sent
 *   -ENOBUFS     the answer is above `capacity`
 *   -EPIPE       the other side is gone
 *   -ENOTCONN    an earlier call did not finish, so that the stream is in the middle of a message
 *   -ETIMEDOUT, -ECANCELED  the caller's scope; while it waits for its turn, nothing was sent
 *
 * After any other failure than -EMSGSIZE, or one before its turn, each later call gives -ENOTCONN.
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
int courier_call(struct courier_client *client,
                 const void *request,
                 size_t size,
                 void *reply,
                 size_t capacity,
                 size_t *ret_size);

/** Closes the connection and frees the client; NULL is fine. No call may be under way.
 *
 * Context: task. Sleeps: yes. Cancellation point: no. */
void courier_close(struct courier_client *client);

/*
 * Answers one request: writes at most COURIER_SIZE_MAX bytes to `reply` and their number to
 * *ret_size. Below 0 hangs up. May block; runs in the task of its connection, beside others.
 */
typedef int (*courier_handler)(
    void *arg, const void *request, size_t size, void *reply, size_t *ret_size);

/**
 * Serves connections, each in a task of its own, until it is cancelled, its scope's deadline has
 * passed, or the listener is closed by weft_close(). All those tasks have ended when it returns.
 *
 * @param listener  borrowed: a listening socket
 * @param handler, arg  called for every request
 *
 * @return below 0: why it ended
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
int courier_serve(int listener, courier_handler handler, void *arg);

#endif
