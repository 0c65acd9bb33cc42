/* SPDX-License-Identifier: MIT */
/*
 * How this process makes guards, and how many of the dear kind it still may. Both are found out
 * once, at first use, and hold for all its runtimes.
 */
#include "core/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/sanitize.h"

/* Since Linux 6.15; a constant of the kernel's interface for all architectures. */
#define THIS_PROCESS (-10001)

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

enum { GUARDS_TOGETHER_MAX = 64 };

/* How many more guards mprotect() may make; LONG_MAX: not asked yet. */
static atomic_long guard_budget = LONG_MAX;

static enum stack_guards guards_probe(void);
static unsigned mark_together(char *first, size_t distance, unsigned count);
static long guard_limit(void);

enum stack_guards weft__stack_guards(void)
{
    static _Atomic int known; /* relaxed: threads that race here find the same answer */
    int guards = atomic_load_explicit(&known, memory_order_relaxed);
    if (guards == 0) {
        guards = (int)guards_probe();
        atomic_store_explicit(&known, guards, memory_order_relaxed);
    }
    return (enum stack_guards)guards;
}

/*
 * Tries a marker and looks at its effect: the kernel must refuse to read the page. The result of
 * madvise() alone proves nothing, as emulators accept any advice.
 */
static enum stack_guards guards_probe(void)
{
    enum stack_guards guards = STACK_GUARDS_MPROTECT;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return guards;

    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) goto unmap;

    if (madvise(probe, page, MADV_GUARD_INSTALL) != 0) goto close_pipe;

    ssize_t written = write(pipe_fds[1], probe, 1);
    if (written < 0 && errno == EFAULT) guards = STACK_GUARDS_MARKER;

close_pipe:
    (void)close(pipe_fds[0]); /* nothing was written that a failing close could lose */
    (void)close(pipe_fds[1]);
unmap:
    (void)munmap(probe, page); /* cannot fail with the arguments of the mmap() */
    return guards;
}

unsigned weft__guards_mark(char *first, size_t distance, unsigned count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned marked = mark_together(first, distance, count);
    while (marked < count && madvise(first + distance * marked, page, MADV_GUARD_INSTALL) == 0)
        marked++;
    return marked;
}

/* All in one call, which costs a quarter less; how many it managed, 0 where the kernel has no such
 * call, knows no name for this process, or allows only other advice in it. Valgrind complains of
 * calls that it does not know. */
static unsigned mark_together(char *first, size_t distance, unsigned count)
{
    struct iovec pages[GUARDS_TOGETHER_MAX];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (weft__san_on_valgrind()) return 0;
    if (count > GUARDS_TOGETHER_MAX) count = GUARDS_TOGETHER_MAX;
    for (unsigned i = 0; i < count; i++) {
        pages[i] = (struct iovec){.iov_base = first + distance * i, .iov_len = page};
    }
    long bytes =
        syscall(SYS_process_madvise, THIS_PROCESS, pages, (long)count, MADV_GUARD_INSTALL, 0);
    return bytes > 0 ? (unsigned)((size_t)bytes / page) : 0;
}

/* Claims one guard. Relaxed: a mere count. */
bool weft__guard_budget_take(void)
{
    if (atomic_load_explicit(&guard_budget, memory_order_relaxed) == LONG_MAX) {
        long unknown = LONG_MAX;
        long limit = guard_limit();
        (void)atomic_compare_exchange_strong_explicit(/* another thread may have been faster */
                                                      &guard_budget,
                                                      &unknown,
                                                      limit,
                                                      memory_order_relaxed,
                                                      memory_order_relaxed);
    }
    if (atomic_fetch_sub_explicit(&guard_budget, 1, memory_order_relaxed) > 0) return true;

    weft__guard_budget_return(1);
    return false;
}

void weft__guard_budget_return(long count)
{
    atomic_fetch_add_explicit(&guard_budget, count, memory_order_relaxed);
}

/* Fifteen sixteenths of the mappings that the system allows, at two for each guard. */
static long guard_limit(void)
{
    long mappings = 65530; /* the kernel's default */
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        (void)close(fd); /* only read */
        if (length > 0) mappings = strtol(text, NULL, 10);
    }
    if (mappings < 0 || mappings > INT_MAX) mappings = INT_MAX;
    return (mappings - mappings / 16) / 2;
}
