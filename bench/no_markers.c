/* SPDX-License-Identifier: MIT */
/*
 * A system without guard markers, preloaded: the library's stacks get their guards by mprotect(),
 * of which a process can have some 30,000.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL, since Linux 6.13 */

int madvise(void *address, size_t length, int advice)
{
    if (advice == GUARD_INSTALL) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}
