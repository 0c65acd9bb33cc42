/* SPDX-License-Identifier: MIT */
/*
 * Rows LIFE-10, 12, 13, 14, 17, 18 and SEMANTICS rows 38, 42: failing starts, forks, exits, and
 * what the environment may not change.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/runtime/support.h"

/* ---- 10 ---- */

static int root_of_a_start(void *arg)
{
    int *ran = arg;
    *ran = 1;
    return weft_sleep(WEFT_MSEC) == 0 ? 7 : 8;
}

static int start_without_fds(void *arg)
{
    (void)arg;
    int failed = 0;
    int worked = 0;
    /* each worker's loop takes some */
    for (int spare = 0; spare < 12 || (worked == 0 && spare < 64); spare++) {
        struct rlimit limit;
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        struct rlimit old = limit;
        int before = harness_fd_count();
        harness_limit_fds(spare);
        int ran = 0;
        int result = run_real(root_of_a_start, &ran);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
        CHECK(result == 7 || (result < 0 && !ran));
        failed += result != 7;
        worked += result == 7;
        CHECK_EQ(harness_fd_count(), before);
    }
    CHECK(worked > 0);
    CHECK(failed > 0);
    return run_real(root_of_a_start, arg);
}

WEFT_TEST(life, 10_a_start_without_descriptors_fails_cleanly)
{
    struct harness_child child;
    int ran = 0;

    harness_run_child(&child, start_without_fds, &ran);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 7);
    CHECK_STR(child.output, "");
}

#ifndef __SANITIZE_ADDRESS__ /* which needs these calls itself */

static int start_without_syscall(void *arg)
{
    int ran = 0;
    int before = harness_fd_count();
    if (!harness_deny_syscall(*(long *)arg, EMFILE)) return 0;
    int result = run_real(root_of_a_start, &ran);
    CHECK(result == 7 || (result < 0 && !ran));
    CHECK_EQ(harness_fd_count(), before);
    return 0;
}

WEFT_TEST(life, 10b_a_start_without_a_system_call_fails_cleanly_or_works)
{
    static const long numbers[] = {SYS_epoll_create1,
                                   SYS_eventfd2,
                                   SYS_timerfd_create,
                                   SYS_pipe2,
                                   SYS_epoll_ctl,
                                   SYS_sigaltstack,
                                   SYS_signalfd4,
                                   SYS_madvise,
                                   SYS_process_madvise};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct harness_child child;
        long number = numbers[i];
        harness_run_child(&child, start_without_syscall, &number);
        CHECK(child.exited);
        CHECK_EQ(child.exit_code, 0);
    }
}

#endif

/* ---- 12, 13, 14, row 42 ---- */

struct forked {
    int fds[2];
    struct weft_runtime *runtime;
    struct weft_chan *chan;
    int child_code;
};

WEFT_TASK(echo_one, (int, fd))
{
    char byte = 0;
    CHECK_EQ(weft_read(fd, &byte, 1), 1);
    CHECK_EQ(weft_write(fd, &byte, 1), 1);
    return byte;
}

static int exit_code_of(pid_t pid)
{
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Forks with a task asleep in a read and one in a sleep, runs `in_child` there, and then lets the
 * parent go on as if nothing had happened. */
static void fork_inside(struct forked *forked, int (*in_child)(struct forked *))
{
    weft_task echo;
    CHECK_EQ(echo_one_spawn(&echo, forked->fds[0]), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(in_child(forked));
    CHECK(pid > 0);
    if (pid > 0) forked->child_code = exit_code_of(pid);

    char byte = 'k';
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(weft_write(forked->fds[1], &byte, 1), 1);
    CHECK_EQ(join_result(echo), 'k');
    byte = 0;
    CHECK_EQ(weft_read(forked->fds[1], &byte, 1), 1);
    CHECK_EQ(byte, 'k');
    CHECK_EQ(weft_wait_fd(forked->fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
}

static int child_just_exits(struct forked *forked)
{
    (void)forked;
    return 11;
}

static int root_forks_and_exits(void *arg)
{
    struct forked *forked = arg;
    fork_inside(forked, child_just_exits);
    CHECK_EQ(forked->child_code, 11);
    return 1;
}

static int run_in_child(void *arg)
{
    struct forked forked = {0};
    harness_socket_pair(forked.fds);
    int result = run_real(*(weft_fn *)arg, &forked);
    close(forked.fds[0]);
    close(forked.fds[1]);
    return result;
}

static void check_fork(weft_fn root)
{
    struct harness_child child;

    harness_run_child(&child, run_in_child, &root);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 1);
    CHECK(strstr(child.output, "weft: ") == NULL);
}

WEFT_TEST(life, 14_a_child_that_just_exits_leaves_the_parent_alone)
{
    check_fork(root_forks_and_exits);
}

static int child_execs(struct forked *forked)
{
    (void)forked;
    execl("/bin/sh", "sh", "-c", "exit 12", (char *)NULL);
    return 1;
}

static int root_forks_and_execs(void *arg)
{
    struct forked *forked = arg;
    fork_inside(forked, child_execs);
    CHECK_EQ(forked->child_code, 12);
    return 1;
}

WEFT_TEST(life, 12_a_child_that_execs_leaves_the_parent_alone)
{
    check_fork(root_forks_and_execs);
}

static int root_in_the_child(void *arg)
{
    struct forked *forked = arg;
    int fds[2];
    weft_task echo;
    char byte = 'c';
    (void)forked;
    harness_socket_pair(fds);
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(echo_one_spawn(&echo, fds[0]), 0);
    CHECK_EQ(weft_write(fds[1], &byte, 1), 1);
    CHECK_EQ(join_result(echo), 'c');
    CHECK_EQ(weft_read(fds[1], &byte, 1), 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 13;
}

static int child_starts_fresh(struct forked *forked)
{
    CHECK_EQ(weft_after_fork_child(), 0);
    CHECK_EQ(weft_self().id, 0);
    CHECK_EQ(weft_yield(), -EPERM);
    return run_real(root_in_the_child, forked);
}

static int root_forks_and_starts(void *arg)
{
    struct forked *forked = arg;
    fork_inside(forked, child_starts_fresh);
    CHECK_EQ(forked->child_code, 13);
    return 1;
}

WEFT_TEST(life, 13_a_child_starts_a_runtime_of_its_own)
{
    check_fork(root_forks_and_starts);
}

static int child_calls_on(struct forked *forked)
{
    char byte = 0;
    struct weft_post node = {.fn = free};
    weft_task task;
    CHECK_EQ(weft_yield(), -EOWNERDEAD);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -EOWNERDEAD);
    CHECK_EQ(weft_read(forked->fds[1], &byte, 1), -EOWNERDEAD);
    CHECK_EQ(weft_write(forked->fds[1], &byte, 1), -EOWNERDEAD);
    CHECK_EQ(weft_wait_fd(forked->fds[1], WEFT_WRITABLE), -EOWNERDEAD);
    CHECK_EQ(weft_chan_send(forked->chan, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_select(weft_after(WEFT_MSEC)), -EOWNERDEAD);
    CHECK_EQ(weft_spawn(&task, do_nothing, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_post(forked->runtime, &node), -EOWNERDEAD);
    CHECK_EQ(weft_runtime_spawn(forked->runtime, &task, NULL, do_nothing, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_runtime_stop(forked->runtime), -EOWNERDEAD);
    CHECK_EQ(weft_after_fork_child(), 0);
    CHECK_EQ(weft_after_fork_child(), -EPERM);
    return 14;
}

static int root_forks_and_calls_on(void *arg)
{
    struct forked *forked = arg;
    forked->runtime = weft_runtime_current();
    forked->chan = open_chan(0, 1);
    fork_inside(forked, child_calls_on);
    CHECK_EQ(forked->child_code, 14);
    CHECK_EQ(weft_chan_len(forked->chan), 0);
    CHECK_EQ(weft_after_fork_child(), -EPERM);
    weft_chan_unref(forked->chan);
    return 1;
}

WEFT_TEST(life, 14b_other_calls_in_a_child_give_eownerdead)
{
    check_fork(root_forks_and_calls_on);
}

WEFT_TEST(life, 14c_after_fork_is_refused_where_nobody_forked)
{
    CHECK_EQ(weft_after_fork_child(), -EPERM);
}

/* ---- 17, row 38: ways to end the process ---- */

static void say_goodbye(void)
{
    (void)fputs("[goodbye]", stdout);
}

static int exit_in_task(void *arg)
{
    (void)arg;
    exit(15);
}

static int root_exits_in_task(void *arg)
{
    int *fds = arg;
    CHECK_EQ(atexit(say_goodbye), 0);
    CHECK_EQ(weft_go(echo_one, fds[0]), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return join_result(spawn_task(exit_in_task, NULL));
}

static int run_exit(void *arg)
{
    (void)arg;
    int fds[2];
    harness_socket_pair(fds);
    return run_real(root_exits_in_task, fds);
}

WEFT_TEST(life, 17_exit_in_a_task_ends_the_process)
{
    struct harness_child child;

    harness_run_child(&child, run_exit, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 15);
#ifdef __SANITIZE_ADDRESS__ /* the leak checker may add a line of its own at exit */
    CHECK(strstr(child.output, "[goodbye]") != NULL);
#else
    CHECK_STR(child.output, "[goodbye]");
#endif
}

static void *exit_in_thread(void *arg)
{
    (void)arg;
    harness_sleep_ms(10);
    exit(16);
}

static int root_sleeps_on(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_MINUTE);
}

static int run_thread_exit(void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, exit_in_thread, arg), 0);
    return run_real(root_sleeps_on, NULL);
}

WEFT_TEST(life, 17b_exit_in_a_thread_ends_the_process)
{
    struct harness_child child;

    harness_run_child(&child, run_thread_exit, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 16);
}

static int refuse_to_end(void *arg)
{
    int result = 0;
    weft_shielded
    {
        result = weft_chan_recv((struct weft_chan *)arg, NULL);
    }
    return result;
}

static int main_with_survivor(int argc, char **argv)
{
    (void)printf("[%d %s]", argc, argv[0]);
    CHECK_EQ(weft_spawn(NULL, refuse_to_end, open_chan(0, 0)), 0);
    let_others_run();
    return 0;
}

static int main_returns_seven(int argc, char **argv)
{
    (void)argv;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return argc == 1 ? 7 : 300;
}

static int run_main(void *arg)
{
    static char name[] = "name";
    static char more[] = "more";
    char *argv[] = {name, more, NULL};
    int kind = *(int *)arg;
    harness_use_virtual_clock();
    if (kind == 0) return weft_main(main_returns_seven, 1, argv);
    if (kind == 1) return weft_main(main_returns_seven, 2, argv);
    (void)weft_main(main_with_survivor, 2, argv);
    CHECK_FAIL("weft_main() returned with a survivor");
    return 99;
}

WEFT_TEST(life, 17c_main_turns_results_into_exit_codes)
{
    static const int codes[] = {7, 1, 1};

    for (int kind = 0; kind < 3; kind++) {
        struct harness_child child;
        harness_run_child(&child, run_main, &kind);
        CHECK(child.exited);
        CHECK_EQ(child.exit_code, codes[kind]);
        if (kind == 2) CHECK(strstr(child.output, "[2 name]") != NULL);
    }
}

/* ---- 18 ---- */

static int root_reads_pair(void *arg)
{
    (void)arg;
    int fds[2];
    char byte = 0;
    harness_socket_pair(fds);
    weft_task echo;
    CHECK_EQ(echo_one_spawn(&echo, fds[0]), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_write(fds[1], "e", 1), 1);
    CHECK_EQ(weft_read(fds[1], &byte, 1), 1);
    CHECK_EQ(join_result(echo), 'e');
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 7;
}

static int run_with_environment(void *arg)
{
    const char *const *setting = arg;
    CHECK_EQ(setenv(setting[0], setting[1], 1), 0);
    return run_real(root_reads_pair, NULL);
}

WEFT_TEST(life, 18_the_environment_of_event_loops_changes_nothing)
{
    static const char *const settings[][2] = {
        {"LIBEV_FLAGS", "1"},
        {"LIBEV_FLAGS", "2"},
        {"EVENT_NOEPOLL", "1"},
        {"EVENT_NOPOLL", "1"},
        {"EVENT_SHOW_METHOD", "1"},
        {"EVENT_PRECISE_TIMER", "1"},
        {"EVENT_EPOLL_USE_CHANGELIST", "1"},
        {"UV_THREADPOOL_SIZE", "1"},
        {"UV_USE_IO_URING", "1"},
    };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct harness_child child;
        const char *setting[2] = {settings[i][0], settings[i][1]};
        harness_run_child(&child, run_with_environment, setting);
        CHECK(child.exited);
        CHECK_EQ(child.exit_code, 7);
        CHECK_STR(child.output, "");
    }
}

WEFT_TEST(life, 18b_the_library_names_its_backend_and_version)
{
    CHECK(weft_backend_name() != NULL);
    CHECK(weft_backend_name()[0] != '\0');
    CHECK_EQ(weft_version(), WEFT_VERSION);
}
