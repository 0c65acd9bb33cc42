/* SPDX-License-Identifier: MIT */
/* [C-2] open() acquires everything close-on-exec, and on error leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

#define FD_LIMIT 1024

WEFT_TEST(c02, descriptors_are_close_on_exec)
{
    bool was_open[FD_LIMIT];
    for (int fd = 0; fd < FD_LIMIT; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }

    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (int fd = 0; fd < FD_LIMIT; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !was_open[fd]) CHECK_EQ(flags & FD_CLOEXEC, FD_CLOEXEC);
    }
    fixture_close(&fixture);
}

WEFT_TEST(c02, a_second_one_is_independent)
{
    struct fixture one, other;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&one) || !fixture_open(&other)) return;
    fixture_arm(&one, fds[0], READ, 11);
    fixture_put(fds[1], 1);

    CHECK_EQ(fixture_poll(&other, 0), 0);
    weft__backend.wake(one.state);
    CHECK_QUIET(&other);
    fixture_arm(&other, fds[0], READ, 22);
    CHECK_EQ(fixture_wait(&one, 11), READ);
    CHECK_EQ(fixture_wait(&other, 22), READ);
    fixture_close(&one);
    CHECK_EQ(fixture_wait(&other, 22), READ);
    fixture_close(&other);
}

static int open_without_standard_descriptors(void *unused)
{
    (void)unused;
    close(0);
    close(1);
    close(2);
    struct fixture fixture;
    int fds[2];
    if (!fixture_open(&fixture)) return 1;
    harness_pipe(fds);
    fixture_arm(&fixture, fds[0], READ, 7);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_wait(&fixture, 7), READ);
    weft__backend.wake(fixture.state);
    harness_drain(fds[0]);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_SEC), 0);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
    for (int fd = 0; fd < 3; fd++) {
        CHECK(fcntl(fd, F_GETFD) < 0 || fd == fds[0] || fd == fds[1]);
    }
    return 0;
}

WEFT_TEST(c02, works_with_stdin_stdout_and_stderr_closed)
{
    struct harness_child child;
    harness_run_child(&child, open_without_standard_descriptors, NULL);

    CHECK_EQ(child.exit_code, 0);
}

/* Opens, and returns 0 if it worked; otherwise checks that nothing is left. */
static int open_and_close(void)
{
    int fd_count = harness_fd_count();
    void *state = calloc(1, weft__backend.state_size);
    CHECK_OR_RETURN(state, -ENOMEM);
    int result = weft__backend.open(state);
    CHECK(result <= 0);
    if (result == 0) weft__backend.close(state);
    free(state);
    CHECK_EQ(harness_fd_count(), fd_count);
    return result;
}

static int open_with_few_descriptors(void *spare)
{
    /* One more for the directory that harness_fd_count() reads: it fills the first hole, which
     * the backend finds free. */
    harness_limit_fds(*(int *)spare);
    void *state = calloc(1, weft__backend.state_size);
    int result = weft__backend.open(state);
    if (result == 0) weft__backend.close(state);
    free(state);

    int left = 0;
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
        left++;
    }
    CHECK_EQ(left, *(int *)spare);
    return result == 0 ? 0 : -result;
}

WEFT_TEST(c02, each_descriptor_that_is_missing_is_an_error_without_a_leak)
{
    int spare = 0;
    for (;;) {
        struct harness_child child;
        harness_run_child(&child, open_with_few_descriptors, &spare);
        CHECK(child.exited);
        CHECK_STR(child.output, "");
        if (child.exit_code == 0) break;
        CHECK_EQ(child.exit_code, EMFILE);
        spare++;
        CHECK_OR_RETURN(spare < 32, );
    }
    CHECK(spare > 0);
}

struct denial {
    long number;
    int error;
};

static int open_while_denied(void *argument)
{
    const struct denial *denial = argument;
    if (!harness_deny_syscall(denial->number, denial->error)) return 0;

    (void)open_and_close();
    return 0;
}

WEFT_TEST(c02, each_system_call_that_fails_is_survived)
{
    static const struct denial denials[] = {
        {SYS_epoll_create1, EMFILE},
        {SYS_epoll_create1, ENOMEM},
        {SYS_epoll_ctl, ENOSPC},
        {SYS_eventfd2, ENFILE},
        {SYS_pipe2, EMFILE},
        {SYS_timerfd_create, EMFILE},
        {SYS_socketpair, EMFILE},
        {SYS_fcntl, EINVAL},
        {441, ENOSYS},
        {441, EPERM},
    };

    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++) {
        struct harness_child child;
        struct denial denial = denials[i];
        harness_run_child(&child, open_while_denied, &denial);
        if (!child.exited || child.exit_code != 0 || child.output_size != 0) {
            CHECK_FAIL("system call %ld: exit %d, signal %d, output \"%.80s\"",
                       denial.number,
                       child.exit_code,
                       child.signal_number,
                       child.output);
        }
    }
}

WEFT_TEST(c02, the_environment_has_no_influence)
{
    setenv("LIBEV_FLAGS", "1", 1); /* select(2) */
    setenv("EVENT_NOEPOLL", "1", 1);
    setenv("EVENT_NOPOLL", "1", 1);
    setenv("EVENT_NOSELECT", "1", 1);
    setenv("EVENT_SHOW_METHOD", "1", 1);
    setenv("UV_USE_IO_URING", "1", 1);

    CHECK_EQ(open_and_close(), 0);
}
