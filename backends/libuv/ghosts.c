/* SPDX-License-Identifier: MIT */
/*
 * Lays ghosts by copying an epoll instance, for all that is alive in it.
 *
 * What is registered there, libuv's own descriptors and the host's included, is known to the kernel
 * alone, hence /proc. A ghost is what cannot be modified, because the kernel looks for number and
 * file; or what comes a second time for a number that has been opened and armed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backends/libuv/loop.h"

static int copy_registrations(FILE *lines, int source, int target);
static bool registration_parse(const char *line, int *ret_fd, struct epoll_event *ret);

int weft__libuv_renew_epoll(int epoll_fd)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll_fd);
    FILE *lines = fopen(path, "re");
    if (!lines) return -EMFILE; /* or no /proc: then we live with it */

    int result;
    int renewed_fd = epoll_create1(EPOLL_CLOEXEC);
    if (renewed_fd < 0) {
        result = -errno;
        goto close_lines;
    }
    result = copy_registrations(lines, epoll_fd, renewed_fd);
    if (result == 0 && dup3(renewed_fd, epoll_fd, O_CLOEXEC) < 0) result = -errno;
    close(renewed_fd);
close_lines:
    (void)fclose(lines);
    return result;
}

static int copy_registrations(FILE *lines, int source, int target)
{
    char line[256];
    while (fgets(line, sizeof line, lines)) {
        int fd;
        struct epoll_event event;
        if (!registration_parse(line, &fd, &event)) continue;
        if (epoll_ctl(source, EPOLL_CTL_MOD, fd, &event) < 0) continue;
        if (epoll_ctl(target, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST) return -errno;
    }
    return 0;
}

/* "tfd: 5 events: 19 data: 5 ...", the last two in hexadecimal; false for other lines. */
static bool registration_parse(const char *line, int *ret_fd, struct epoll_event *ret)
{
    const char *fd = strstr(line, "tfd:");
    const char *events = strstr(line, "events:");
    const char *data = strstr(line, "data:");
    if (!fd || !events || !data) return false;

    *ret_fd = (int)strtol(fd + strlen("tfd:"), NULL, 10);
    ret->events = (uint32_t)strtoul(events + strlen("events:"), NULL, 16);
    ret->data.u64 = strtoull(data + strlen("data:"), NULL, 16);
    return true;
}
