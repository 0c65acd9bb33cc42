/* SPDX-License-Identifier: MIT */
/*
 * LIM-01, 02, 04, 12, 18, 19: what the kernel refuses, and descriptors that are not there.
 *
 * Everything runs in a child, whose limits and descriptors are its own.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "conformance/capabilities.h"
#include "conformance/runtime/tcp_support.h"

static void set_fd_limit(rlim_t soft)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = soft;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t fd_limit(void)
{
    struct rlimit limit = {0};
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur;
}

static void check_child(int (*fn)(void *arg))
{
    struct harness_child child;
    harness_run_child(&child, fn, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

/* ---- 01: no descriptor ---- */

static int no_fd_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    int fds[2];
    harness_pipe(fds);
    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    CHECK_EQ(weft_wait_fd(listener, WEFT_READABLE), WEFT_READABLE);
    rlim_t limit = fd_limit();
    harness_limit_fds(0);

    int fd = 77;
    CHECK_EQ(weft_accept(listener, NULL, NULL), -EMFILE);
    CHECK_EQ(weft_tcp_listen(&fd, "127.0.0.1:0", NULL), -EMFILE);
    CHECK_EQ(weft_tcp_dial(&fd, address.text), -EMFILE);
    CHECK_EQ(fd, 77);

    /* What is open works on. */
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    put_byte(fds[1], 'x');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);

    set_fd_limit(limit);
    fd = weft_accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

static int returns_0(void *arg)
{
    (void)arg;
    return 0;
}

static int no_fd_child(void *arg)
{
    CHECK_EQ(run_real(no_fd_root, arg), 0);
    int fd_count = harness_fd_count();
    rlim_t limit = fd_limit();
    for (int spare = 0; spare < 4; spare++) {
        harness_limit_fds(spare);
        int result = run_real(returns_0, NULL);
        CHECK(result == -EMFILE || (spare > 0 && result == 0));
        set_fd_limit(limit);
        CHECK_EQ(harness_fd_count(), fd_count);
    }
    return run_real(returns_0, NULL);
}

WEFT_TEST(lim, 01_without_descriptors_calls_fail_and_the_runtime_goes_on)
{
    check_child(no_fd_child);
}

/* ---- 02: no memory in the kernel ---- */

static int denied_error;

static int accept_denied_root(void *arg)
{
    (void)arg;
    struct address address;
    int listener = listen_on_loopback(&address);
    int client = -1;
    CHECK_EQ(weft_tcp_dial(&client, address.text), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    if (!harness_deny_syscall(SYS_accept4, denied_error)) return 0;

    int64_t cpu_ns = harness_thread_cpu_ns();
    int64_t end_ns = harness_now_ns() + 100 * WEFT_MSEC;
    int failures = 0;
    while (harness_now_ns() < end_ns) {
        CHECK_EQ(weft_accept(listener, NULL, NULL), -denied_error);
        failures++;
    }
    CHECK_WITHIN(failures, 1, 110);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 20 * WEFT_MSEC);
    return 0;
}

static int accept_denied_child(void *arg)
{
    return run_real(accept_denied_root, arg);
}

WEFT_TEST(lim, 02_an_accept_that_lacks_memory_reports_it_and_does_not_spin)
{
    static const int errors[] = {ENFILE, ENOBUFS, ENOMEM};
    for (int i = 0; i < 3; i++) {
        denied_error = errors[i];
        check_child(accept_denied_child);
    }
}

static int send_denied_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    if (!harness_deny_syscall(SYS_sendto, ENOBUFS)) return 0;
    if (!harness_deny_syscall(SYS_sendmsg, ENOBUFS)) return 0;
    if (!harness_deny_syscall(SYS_socket, ENOBUFS)) return 0;

    size_t done = 77;
    int fd = 77;
    CHECK_EQ(weft_write(fds[0], "x", 1), -ENOBUFS);
    CHECK_EQ(weft_write_all(fds[0], "xyz", 3, &done), -ENOBUFS);
    CHECK_EQ(done, 0);
    CHECK_EQ(weft_tcp_listen(&fd, "127.0.0.1:0", NULL), -ENOBUFS);
    CHECK_EQ(weft_tcp_dial(&fd, "127.0.0.1:1"), -ENOBUFS);
    CHECK_EQ(fd, 77);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return 0;
}

static int send_denied_child(void *arg)
{
    return run_real(send_denied_root, arg);
}

WEFT_TEST(lim, 02_a_send_or_a_socket_that_lacks_memory_reports_it)
{
    check_child(send_denied_child);
}

/* ---- 04: the kernel watches no more ---- */

static int watch_denied_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_pipe(fds);
    if (!harness_deny_watching(ENOSPC)) return 0;

    int refused = capabilities()->needs_no_epoll ? -ETIMEDOUT : -ENOSPC;
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 10 * WEFT_MSEC), refused);
    char byte;
    ssize_t result = 0;
    weft_with_timeout(10 * WEFT_MSEC)
        result = weft_read(fds[0], &byte, 1);
    CHECK_EQ(result, refused);
    put_byte(fds[1], 'x');
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(stats_now().waiting_fd, 0);
    close_both(fds);
    return 0;
}

static int watch_denied_child(void *arg)
{
    return run_real(watch_denied_root, arg);
}

WEFT_TEST(lim, 04_a_wait_that_the_kernel_refuses_fails_and_nothing_aborts)
{
    check_child(watch_denied_child);
}

/* ---- 12, 18, 19: descriptors of the process ---- */

static int low_numbers_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_pipe(fds);
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    put_byte(fds[1], 'x');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    struct later later;
    char byte;
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    later_start(&later, fds[1], 5, 'y');
    CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    later_join(&later);
    close_both(fds);
    return 0;
}

static int low_numbers_child(void *arg)
{
    for (int fd = 0; fd < 3; fd++) {
        CHECK_EQ(close(fd), 0);
    }
    return run_real(low_numbers_root, arg);
}

WEFT_TEST(lim, 12_a_runtime_whose_descriptors_are_0_to_2_works)
{
    check_child(low_numbers_child);
}

static int closes_everything_root(void *arg)
{
    (void)arg;
    for (int fd = 3; fd < 256; fd++) {
        (void)close(fd);
    }
    int64_t cpu_ns = harness_thread_cpu_ns();
    (void)weft_sleep(50 * WEFT_MSEC); /* whatever it says, it ends */
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 60 * WEFT_MSEC);
    return 0;
}

static int closes_everything_child(void *arg)
{
    (void)run_real(closes_everything_root, arg);
    return 0;
}

/* It may end the process, saying why; it must not turn around for ever. */
WEFT_TEST(lim, 18_a_runtime_whose_descriptors_were_closed_ends)
{
    /* Of another worker's loop libuv says nothing when it cannot wake it any more: it aborts. */
    harness_needs_one_worker();
    struct harness_child child;
    harness_run_child(&child, closes_everything_child, NULL);

    CHECK(child.exited || child.signal_number == SIGABRT);
    if (!child.exited) CHECK(child.output_size > 0);
}

static int moving_limit_root(void *arg)
{
    (void)arg;
    rlim_t limit = fd_limit();
    int fds[2];
    harness_pipe(fds);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 300);
    CHECK_EQ(high, 300);
    CHECK_EQ(wait_for(high, WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);

    set_fd_limit(100);
    struct waiter waiter = {.fd = high, .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    put_byte(fds[1], 'x');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(fcntl(fds[0], F_DUPFD_CLOEXEC, 200), -1);

    set_fd_limit(limit);
    int higher = fcntl(fds[0], F_DUPFD_CLOEXEC, (int)limit - 2);
    CHECK(higher >= 0);
    CHECK_EQ(weft_wait_fd(higher, WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_close(higher), 0);
    CHECK_EQ(weft_close(high), 0);
    close_both(fds);
    return 0;
}

static int moving_limit_child(void *arg)
{
    set_fd_limit(512);
    CHECK_EQ(run_real(moving_limit_root, arg), 0);
    return 0;
}

WEFT_TEST(lim, 19_the_limit_of_descriptors_may_move_while_it_runs)
{
    check_child(moving_limit_child);
}
