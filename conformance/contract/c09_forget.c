/* SPDX-License-Identifier: MIT */
/* [C-9] After forget() nothing of a descriptor is left in the kernel. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

#define OLD 1
#define NEW 2

WEFT_TEST(c09, live_duplicate_is_not_reported)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int duplicate = dup(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    weft__backend.forget(fixture.state, fds[0]);
    close(fds[0]);
    fixture_put(fds[1], 1);

    CHECK_QUIET(&fixture);
    CHECK_EQ(harness_drain(duplicate), 1);
    fixture_close(&fixture);
}

WEFT_TEST(c09, reused_number_hears_nothing_of_the_duplicate)
{
    struct fixture fixture;
    int fds[2], others[2];
    harness_pipe(fds);
    int duplicate = dup(fds[0]);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, OLD), READ);

    weft__backend.forget(fixture.state, fds[0]);
    close(fds[0]);
    harness_pipe(others);
    CHECK_EQ(others[0], fds[0]);
    fixture_arm(&fixture, others[0], READ, NEW);

    CHECK_QUIET(&fixture);
    fixture_put(others[1], 1);
    CHECK_EQ(fixture_wait(&fixture, NEW), READ);
    CHECK_EQ(fixture_found(&fixture, OLD), 0);
    close(duplicate);
    fixture_close(&fixture);
}

WEFT_TEST(c09, peer_sees_the_end_at_once)
{
    struct fixture fixture;
    int fds[2];
    char byte;
    harness_socket_pair(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);

    weft__backend.forget(fixture.state, fds[0]);
    close(fds[0]);

    CHECK_EQ(read(fds[1], &byte, 1), 0);
    fixture_close(&fixture);
}

/* A child that holds every descriptor of this moment until it is killed. */
static pid_t fork_holder(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

static void end_holder(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

WEFT_TEST(c09, descriptor_that_a_child_keeps_is_silent)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    pid_t holder = fork_holder();

    weft__backend.forget(fixture.state, fds[0]);
    close(fds[0]);
    fixture_put(fds[1], 1);

    CHECK_QUIET(&fixture);
    end_holder(holder);
    fixture_close(&fixture);
}

/* Observed: the kernel keeps reporting, and EPOLL_CTL_DEL says EBADF, until the child exits. */
WEFT_TEST(c09, closed_without_forget_while_a_child_keeps_it)
{
    struct fixture fixture;
    int fds[2], others[2];
    harness_pipe(fds);
    harness_pipe(others);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, OLD);
    fixture_arm(&fixture, others[0], READ, NEW);
    pid_t holder = fork_holder();

    close(fds[0]);
    fixture_disarm(&fixture, fds[0]);
    fixture_put(fds[1], 1);

    CHECK_QUIET(&fixture);
    fixture_put(others[1], 1);
    CHECK_EQ(fixture_wait(&fixture, NEW), READ);
    end_holder(holder);
    fixture_close(&fixture);
}

/* How many registrations the kernel lists for an epoll descriptor, and one of them; 0 if it is
 * no epoll descriptor. */
static int registration_count(int epoll_fd, int *ret_member)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll_fd);
    FILE *file = fopen(path, "re");
    CHECK_OR_RETURN(file, 0);
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "tfd:", 4) != 0) continue;
        count++;
        *ret_member = (int)strtol(line + 4, NULL, 10);
    }
    (void)fclose(file);
    return count;
}

WEFT_TEST(c09, the_kernel_lists_no_registration)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    int native_fd = weft__backend.native_fd(fixture.state);
    if (native_fd < 0) {
        CHECK_EQ(native_fd, -ENOSYS); /* nothing to look at from outside */
        fixture_close(&fixture);
        return;
    }
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    int member = -1, inner_member = -1;
    int before = registration_count(native_fd, &member);
    CHECK_OR_RETURN(before >= 1, ); /* at least its own wake descriptor */
    if (registration_count(member, &inner_member) > 0) {
        native_fd = member; /* one epoll around the other */
        before = registration_count(native_fd, &member);
    }

    fixture_arm(&fixture, fds[0], READ, OLD);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    CHECK_EQ(registration_count(native_fd, &member), before + 1);
    weft__backend.forget(fixture.state, fds[0]);
    CHECK_EQ(registration_count(native_fd, &member), before);
    fixture_close(&fixture);
}
