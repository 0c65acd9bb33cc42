/* SPDX-License-Identifier: MIT */
/* Differences between event loops about what belongs to the whole process: children, signals. */
#include <signal.h>
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

/* ---- children that are not ours ---- */

static pid_t fork_exiting(int status)
{
    pid_t pid = fork();
    if (pid == 0) _exit(status);
    return pid;
}

static void check_exited(pid_t pid, int status)
{
    int found = 0;
    CHECK_EQ(waitpid(pid, &found, 0), pid);
    CHECK(WIFEXITED(found));
    CHECK_EQ(WEXITSTATUS(found), status);
}

static int children_root(void *arg)
{
    const pid_t *before = arg;
    pid_t during = fork_exiting(5);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0); /* the loop has every chance to wait for them */
    }
    check_exited(during, 5);
    check_exited(*before, 4);
    return 0;
}

/* A process of its own: a test's process may have children of the framework. */
static int children_child(void *arg)
{
    (void)arg;
    pid_t before = fork_exiting(4);
    CHECK_EQ(run_real(children_root, &before), 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    return 0;
}

WEFT_TEST(life, 12c_the_hosts_children_are_left_to_the_host)
{
    struct harness_child child;
    harness_run_child(&child, children_child, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    (void)number;
    handled++;
}

static bool is_ours_to_set(int number)
{
    return number != SIGKILL && number != SIGSTOP;
}

static void check_handlers(void)
{
    for (int number = 1; number < 32; number++) {
        struct sigaction action;
        CHECK_EQ(sigaction(number, NULL, &action), 0);
        if (is_ours_to_set(number) && action.sa_handler != count_signal) {
            CHECK_FAIL("signal %d has another handler", number);
        }
    }
    sigset_t mask;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    for (int number = 1; number < 32; number++) {
        CHECK_EQ(sigismember(&mask, number), number == SIGUSR2);
    }
}

static int signals_root(void *arg)
{
    (void)arg;
    check_handlers();
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    handled = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(raise(SIGCHLD), 0);
        CHECK_EQ(raise(SIGPIPE), 0);
    }
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(handled, 6);
    check_handlers();
    return 0;
}

static int signals_child(void *arg)
{
    (void)arg;
    struct sigaction action = {.sa_handler = count_signal};
    for (int number = 1; number < 32; number++) {
        if (is_ours_to_set(number)) CHECK_EQ(sigaction(number, &action, NULL), 0);
    }
    sigset_t blocked;
    CHECK_EQ(sigemptyset(&blocked), 0);
    CHECK_EQ(sigaddset(&blocked, SIGUSR2), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &blocked, NULL), 0);

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(run_real(signals_root, NULL), 0);
        check_handlers();
    }
    return 0;
}

WEFT_TEST(life, 12d_the_hosts_signals_are_left_to_the_host)
{
    struct harness_child child;
    harness_run_child(&child, signals_child, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}
