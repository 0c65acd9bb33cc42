/* SPDX-License-Identifier: MIT */
/*
 * Closing and releasing: the number leaves weft, whoever waits for it gets -EBADF, and only then
 * may it be closed and used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <weft/fd.h>

#include "core/fdtable.h"
#include "core/runtime.h"

static void let_go(int fd);

int weft_close(int fd)
{
    if (weft__not_in_task() == -EOWNERDEAD) return -EOWNERDEAD;
    let_go(fd);
    if (close(fd) == 0) return 0;

    int result = -errno;
    return result == -EINTR ? 0 : result; /* Linux has closed it before it was interrupted */
}

int weft_release(int fd)
{
    if (weft__not_in_task() == -EOWNERDEAD) return -EOWNERDEAD;
    let_go(fd);
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

static void let_go(int fd)
{
    struct worker *worker = weft__worker();
    if (!worker) return;
    struct fd_slot *slot = fd_slot_find(&worker->runtime->fds, fd);
    if (slot && slot->kind != FD_UNKNOWN) weft__fd_reset(worker, fd, slot);
}
