/* SPDX-License-Identifier: MIT */
/*
 * The functions that the linker puts before the C library's: each passes on what it gets, unless
 * this thread asked for a failure.
 *
 * The names are the linker's, __wrap_NAME for ours and __real_NAME for the true one.
 */
#include "conformance/runtime/faults.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static _Thread_local int allocations_left; /* until the one that fails; 0: none will */
static _Thread_local bool allocation_failed;
static _Thread_local bool transfers_cut;
static _Thread_local bool interrupt_next;
static _Thread_local int interruptions;
static _Thread_local int receives;
static bool wall_clock_shaken;
static int wall_clock_reads;
static atomic_int wakes;

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __real_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __real_send(int fd, const void *buffer, size_t size, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_readv(int fd, const struct iovec *parts, int count);
ssize_t __real_writev(int fd, const struct iovec *parts, int count);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __real_eventfd_write(int fd, eventfd_t value);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_readv(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_eventfd_write(int fd, eventfd_t value);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

void faults_fail_allocation(int number)
{
    allocations_left = number;
    allocation_failed = false;
}

bool faults_allocation_failed(void)
{
    return allocation_failed;
}

void faults_cut_transfers(bool on)
{
    transfers_cut = on;
}

int faults_interruptions(void)
{
    return interruptions;
}

int faults_receives(void)
{
    return receives;
}

void faults_shake_wall_clock(bool on)
{
    wall_clock_shaken = on;
}

int faults_wall_clock_reads(void)
{
    return wall_clock_reads;
}

int faults_wakes(void)
{
    return atomic_load(&wakes);
}

static bool allocation_fails(void)
{
    if (allocations_left == 0) return false;
    if (--allocations_left > 0) return false;
    allocation_failed = true;
    errno = ENOMEM;
    return true;
}

/* True for every second transfer while they are cut. */
static bool transfer_is_interrupted(void)
{
    if (!transfers_cut) return false;
    interrupt_next = !interrupt_next;
    if (!interrupt_next) return false;
    interruptions++;
    errno = EINTR;
    return true;
}

static size_t cut(size_t size)
{
    return transfers_cut && size > 1 ? 1 : size;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (allocation_fails()) return MAP_FAILED;
    return __real_mmap(address, size, protection, flags, fd, offset);
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    /* Eight bytes are a counter of the kernel's, which cannot be read in part. */
    if (size == 8) return __real_read(fd, buffer, size);
    return transfer_is_interrupted() ? -1 : __real_read(fd, buffer, cut(size));
}

ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
    if (size == 8) return __real_write(fd, buffer, size);
    return transfer_is_interrupted() ? -1 : __real_write(fd, buffer, cut(size));
}

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    receives++;
    return transfer_is_interrupted() ? -1 : __real_recv(fd, buffer, cut(size), flags);
}

ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags)
{
    return transfer_is_interrupted() ? -1 : __real_send(fd, buffer, cut(size), flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    return transfer_is_interrupted() ? -1 : __real_recvmsg(fd, message, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return transfer_is_interrupted() ? -1 : __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_readv(int fd, const struct iovec *parts, int count)
{
    if (transfer_is_interrupted()) return -1;
    struct iovec one = {parts[0].iov_base, 1};
    return transfers_cut ? __real_readv(fd, &one, 1) : __real_readv(fd, parts, count);
}

ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    if (transfer_is_interrupted()) return -1;
    struct iovec one = {parts[0].iov_base, 1};
    return transfers_cut ? __real_writev(fd, &one, 1) : __real_writev(fd, parts, count);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return transfer_is_interrupted() ? -1 : __real_accept4(fd, address, length, flags);
}

int __wrap_eventfd_write(int fd, eventfd_t value)
{
    atomic_fetch_add(&wakes, 1);
    return __real_eventfd_write(fd, value);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int result = __real_clock_gettime(clock, ret);
    if (wall_clock_shaken && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        static const time_t year = (time_t)365 * 24 * 3600;
        wall_clock_reads++;
        ret->tv_sec += wall_clock_reads % 2 ? year : -year;
    }
    return result;
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */
