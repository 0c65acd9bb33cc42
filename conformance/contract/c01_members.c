/* SPDX-License-Identifier: MIT */
/* [C-1] All members are set, errors are numbers, and nothing is printed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c01, every_member_but_host_mode_is_set)
{
    CHECK(weft__backend.name && weft__backend.name[0] != '\0');
    CHECK(weft__backend.state_size > 0);
    CHECK(weft__backend.open);
    CHECK(weft__backend.close);
    CHECK(weft__backend.arm);
    CHECK(weft__backend.disarm);
    CHECK(weft__backend.forget);
    CHECK(weft__backend.poll);
    CHECK(weft__backend.wake);
    CHECK(weft__backend.now_ns);
    CHECK(weft__backend.native);
    CHECK(weft__backend.native_fd);
    CHECK(weft__backend.after_fork);
    CHECK(weft__backend.facts);
    CHECK_EQ(!weft__backend.attach, !weft__backend.schedule);
}

WEFT_TEST(c01, facts_need_no_open_backend)
{
    struct weft_backend_facts facts = weft__backend.facts();

    CHECK(facts.library && facts.library[0] != '\0');
    CHECK_WITHIN(facts.timer_resolution_ns, 1, 10 * NS_PER_MS);
}

static int misuse_everything(void *unused)
{
    (void)unused;
    struct fixture fixture;
    if (!fixture_open(&fixture)) return 1;

    int fds[2];
    harness_pipe(fds);
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(weft__backend.arm(fixture.state, -1, READ, 1) < 0);
    CHECK(weft__backend.arm(fixture.state, 777, READ, 1) < 0);
    CHECK(weft__backend.arm(fixture.state, file, READ, 1) < 0);
    weft__backend.disarm(fixture.state, -1);
    weft__backend.disarm(fixture.state, 777);
    weft__backend.forget(fixture.state, 778);
    fixture_arm(&fixture, fds[0], READ, 2);
    close(fds[0]);
    fixture_poll(&fixture, 0);
    fixture_disarm(&fixture, fds[0]);
    fixture_close(&fixture);
    return 0;
}

WEFT_TEST(c01, misuse_prints_nothing_and_ends_nothing)
{
    struct harness_child child;
    harness_run_child(&child, misuse_everything, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

WEFT_TEST(c01, errno_of_the_caller_does_not_matter)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    errno = EINTR;
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    errno = EIO;
    CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), 0);
    fixture_close(&fixture);
}

static void keep_signal(int number)
{
    (void)number;
}

static int keep_children_and_signals(void *unused)
{
    (void)unused;
    struct fixture fixture;
    struct sigaction action = {.sa_handler = keep_signal};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGPIPE, &action, NULL), 0);
    if (!fixture_open(&fixture)) return 1;

    pid_t pid = fork();
    if (pid == 0) _exit(6);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(fixture_poll(&fixture, 5 * NS_PER_MS), 0);
    }
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 6);
    fixture_close(&fixture);
    CHECK_EQ(sigaction(SIGCHLD, NULL, &action), 0);
    CHECK(action.sa_handler == keep_signal);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == keep_signal);
    return 0;
}

WEFT_TEST(c01, signals_and_children_are_left_alone)
{
    struct harness_child child;
    harness_run_child(&child, keep_children_and_signals, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}
