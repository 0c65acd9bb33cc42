/* SPDX-License-Identifier: MIT */
/*
 * The functions that the linker puts before the C library's: each counts itself, and fails when its
 * turn has come.
 *
 * The names are the linker's, __wrap_NAME for ours and __real_NAME for the true one. With 64-bit
 * file offsets the C library's headers call some functions by another name.
 */
#include "tests/faults/wrap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME(name, error)  #name,
#define ERROR(name, error) error,

static const char *const names[] = {FAULT_CALLS(NAME)};
static const int errors[] = {FAULT_CALLS(ERROR)};

static atomic_bool is_open;
static atomic_bool has_failed;
static atomic_int counts[FAULT_COUNT];
static atomic_long blocks;
static _Atomic(int64_t) mapped;
static enum fault chosen;
static int chosen_number;
static bool chosen_lasts;

const char *fault_name(enum fault fault)
{
    return names[fault];
}

void faults_open(enum fault fault, int number, bool lasts)
{
    for (int i = 0; i < FAULT_COUNT; i++)
        counts[i] = 0;
    has_failed = false;
    chosen = fault;
    chosen_number = number;
    chosen_lasts = lasts;
    is_open = true;
}

bool faults_close(void)
{
    is_open = false;
    return has_failed;
}

int fault_calls(enum fault fault)
{
    return counts[fault];
}

long fault_blocks(void)
{
    return blocks;
}

int64_t fault_mapped(void)
{
    return mapped;
}

/* Counts one call; true if it shall fail, with errno set. */
static bool fails(enum fault fault)
{
    if (!is_open) return false;
    int number = ++counts[fault];
    if (chosen != fault || chosen_number == 0) return false;
    if (number != chosen_number && !(chosen_lasts && number > chosen_number)) return false;
    has_failed = true;
    errno = errors[fault];
    return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */

/* WRAP(result, failure, name, (parameters), (arguments)): the plain cases. */
#define WRAP(type, failure, name, parameters, arguments)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(FAULT_##name) ? (failure) : __real_##name arguments;                          \
    }

/* ---- memory ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t size)
{
    void *memory = fails(FAULT_malloc) ? NULL : __real_malloc(size);
    if (memory) blocks++;
    return memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *memory = fails(FAULT_calloc) ? NULL : __real_calloc(count, size);
    if (memory) blocks++;
    return memory;
}

void *__wrap_realloc(void *memory, size_t size)
{
    void *moved = fails(FAULT_realloc) ? NULL : __real_realloc(memory, size);
    if (moved && !memory) blocks++;
    return moved;
}

void __wrap_free(void *memory)
{
    if (memory) blocks--;
    __real_free(memory);
}

void *__real_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t size);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails(FAULT_mmap)) return MAP_FAILED;
    void *memory = __real_mmap64(address, size, protection, flags, fd, offset);
    if (memory != MAP_FAILED) mapped += (int64_t)size;
    return memory;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return __wrap_mmap64(address, size, protection, flags, fd, offset);
}

int __wrap_munmap(void *address, size_t size)
{
    int result = __real_munmap(address, size);
    if (result == 0) mapped -= (int64_t)size;
    return result;
}

WRAP(int, -1, mprotect, (void *address, size_t size, int access), (address, size, access))
WRAP(int, -1, madvise, (void *address, size_t size, int advice), (address, size, advice))

/* ---- waiting ---- */

WRAP(int, -1, epoll_create1, (int flags), (flags))
WRAP(int, -1, eventfd, (unsigned value, int flags), (value, flags))
WRAP(int,
     -1,
     epoll_wait,
     (int epoll, struct epoll_event *events, int max, int timeout),
     (epoll, events, max, timeout))
WRAP(int, -1, poll, (struct pollfd * polls, nfds_t count, int timeout), (polls, count, timeout))
WRAP(int,
     -1,
     ppoll,
     (struct pollfd * polls, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
     (polls, count, timeout, mask))

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && fails(FAULT_epoll_ctl)) return -1;
    return __real_epoll_ctl(epoll, operation, fd, event);
}

/* Six words suit every system call. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
#ifdef SYS_epoll_pwait2
    bool is_probe = (int)a < 0; /* the backend asks whether the call exists */
    if (number == SYS_epoll_pwait2 && fails(is_probe ? FAULT_epoll_probe : FAULT_epoll_wait)) {
        return -1;
    }
#endif
#ifdef SYS_process_madvise
    if (number == SYS_process_madvise && fails(FAULT_process_madvise)) return -1;
#endif
    return __real_syscall(number, a, b, c, d, e, f);
}

/* ---- files and sockets ---- */

WRAP(ssize_t, -1, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(ssize_t, -1, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, -1, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRAP(ssize_t, -1, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRAP(int,
     -1,
     accept4,
     (int fd, struct sockaddr *address, socklen_t *length, int flags),
     (fd, address, length, flags))
WRAP(int,
     -1,
     connect,
     (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
WRAP(int,
     -1,
     bind,
     (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
WRAP(int, -1, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, -1, listen, (int fd, int backlog), (fd, backlog))
WRAP(int,
     -1,
     setsockopt,
     (int fd, int level, int option, const void *value, socklen_t size),
     (fd, level, option, value, size))
WRAP(int,
     -1,
     getsockopt,
     (int fd, int level, int option, void *value, socklen_t *size),
     (fd, level, option, value, size))
WRAP(int, -1, pipe2, (int *fds, int flags), (fds, flags))

/* Variadic ones: one word more suits every command. */
int __real_fcntl64(int fd, int command, long arg);
int __wrap_fcntl(int fd, int command, long arg);
int __wrap_fcntl64(int fd, int command, long arg);
int __real_open64(const char *path, int flags, int mode);
int __wrap_open(const char *path, int flags, int mode);
int __wrap_open64(const char *path, int flags, int mode);
int __real_fstat64(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);

int __wrap_fcntl64(int fd, int command, long arg)
{
    return fails(FAULT_fcntl) ? -1 : __real_fcntl64(fd, command, arg);
}

int __wrap_fcntl(int fd, int command, long arg)
{
    return __wrap_fcntl64(fd, command, arg);
}

int __wrap_open64(const char *path, int flags, int mode)
{
    return fails(FAULT_open) ? -1 : __real_open64(path, flags, mode);
}

int __wrap_open(const char *path, int flags, int mode)
{
    return __wrap_open64(path, flags, mode);
}

int __wrap_fstat64(int fd, struct stat *status)
{
    return fails(FAULT_fstat) ? -1 : __real_fstat64(fd, status);
}

int __wrap_fstat(int fd, struct stat *status)
{
    return __wrap_fstat64(fd, status);
}

/* ---- the process ---- */

int __real_sigaltstack(const stack_t *stack, stack_t *former);
int __wrap_sigaltstack(const stack_t *stack, stack_t *former);

/* Only setting one fails, if it is too small for the machine's registers. */
int __wrap_sigaltstack(const stack_t *stack, stack_t *former)
{
    bool sets = stack && !(stack->ss_flags & SS_DISABLE);
    if (sets && fails(FAULT_sigaltstack)) return -1;
    return __real_sigaltstack(stack, former);
}

WRAP(ssize_t, -1, getrandom, (void *data, size_t size, unsigned flags), (data, size, flags))

int __real_pthread_create(pthread_t *ret,
                          const pthread_attr_t *how,
                          void *(*main)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *ret,
                          const pthread_attr_t *how,
                          void *(*main)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *ret,
                          const pthread_attr_t *how,
                          void *(*main)(void *),
                          void *arg)
{
    return fails(FAULT_pthread_create) ? EAGAIN : __real_pthread_create(ret, how, main, arg);
}

WRAP(int,
     ENOMEM,
     pthread_atfork,
     (void (*prepare)(void), void (*parent)(void), void (*child)(void)),
     (prepare, parent, child))

int fault_thread(pthread_t *ret, void *(*main)(void *arg), void *arg)
{
    return __real_pthread_create(ret, NULL, main, arg);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */
