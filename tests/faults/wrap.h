/* SPDX-License-Identifier: MIT */
/*
 * Makes a chosen call of the library fail, and keeps account of what the library holds.
 *
 * The linker's --wrap puts tests/faults/wrap.c between the static library and the system. Only
 * failures that the kernel and the C library can give are given: an eventfd that is written never
 * fails, EPOLL_CTL_DEL needs no memory, and an alternate stack can always be taken away.
 */
#ifndef WEFT_TESTS_FAULTS_WRAP_H
#define WEFT_TESTS_FAULTS_WRAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One per kind of call; FAULT_CALLS(one) calls one(name, error). */
/* clang-format off */
#define FAULT_CALLS(one)                                                                     \
    one(malloc, ENOMEM) one(calloc, ENOMEM) one(realloc, ENOMEM)                             \
    one(mmap, ENOMEM) one(mprotect, ENOMEM)                                                  \
    one(madvise, EINVAL) one(process_madvise, EPERM) one(epoll_create1, EMFILE)              \
    one(epoll_ctl, ENOSPC) one(epoll_wait, EINTR) one(epoll_probe, ENOSYS)                   \
    one(ppoll, EINTR) one(poll, EINTR) one(eventfd, EMFILE) one(recv, ENOBUFS)               \
    one(send, ENOBUFS) one(recvmsg, ENOBUFS) one(sendmsg, ENOBUFS) one(readv, EIO)           \
    one(writev, EIO) one(accept4, EMFILE) one(connect, ECONNREFUSED) one(socket, EMFILE)     \
    one(bind, EADDRINUSE) one(listen, EADDRINUSE) one(setsockopt, ENOMEM)                    \
    one(getsockopt, ENOBUFS) one(fcntl, EINVAL) one(fstat, ENOMEM) one(pipe2, EMFILE)        \
    one(open, EMFILE) one(sigaltstack, ENOMEM) one(getrandom, EAGAIN)                        \
    one(pthread_create, EAGAIN) one(pthread_atfork, ENOMEM)
/* clang-format on */

#define FAULT_ENUM(name, error) FAULT_##name,
enum fault { FAULT_CALLS(FAULT_ENUM) FAULT_COUNT };

const char *fault_name(enum fault fault);

/* From now on the calls are counted, and number `number` of `fault` fails (all from that one on, if
 * `lasts`); 0: none does. */
void faults_open(enum fault fault, int number, bool lasts);

/* Ends that; true if a call failed. */
bool faults_close(void);

int fault_calls(enum fault fault); /* counted since faults_open() */
long fault_blocks(void);           /* of the heap, that the library holds */
int64_t fault_mapped(void);        /* bytes that it has mapped */

/* A thread of the test's own, which no fault keeps from starting. */
int fault_thread(pthread_t *ret, void *(*main)(void *arg), void *arg);

#endif
