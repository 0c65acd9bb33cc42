/* SPDX-License-Identifier: MIT */
/*
 * FD-09 to 11, 13, 14, 27, 33, 34, 47: every kind of descriptor, open in every way, or not at all.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

#ifndef SYS_pidfd_open /* Linux 5.3; one number on every machine */
#define SYS_pidfd_open 434
#endif

/* ---- 09: no descriptor ---- */

static void check_bad(int fd)
{
    char byte = 0;
    struct msghdr message = {0};
    struct sockaddr address = {.sa_family = AF_UNSPEC};
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), -EBADF);
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE | WEFT_WRITABLE), -EBADF);
    CHECK_EQ(weft_read(fd, &byte, 1), -EBADF);
    CHECK_EQ(weft_write(fd, &byte, 1), -EBADF);
    CHECK_EQ(weft_read_exactly(fd, &byte, 1, NULL), -EBADF);
    CHECK_EQ(weft_write_all(fd, &byte, 1, NULL), -EBADF);
    CHECK_EQ(weft_recvmsg(fd, &message, 0), -EBADF);
    CHECK_EQ(weft_sendmsg(fd, &message, 0), -EBADF);
    CHECK_EQ(weft_accept(fd, NULL, NULL), -EBADF);
    CHECK_EQ(weft_connect(fd, &address, sizeof address), -EBADF);
    CHECK_EQ(weft_shutdown(fd, SHUT_WR), -EBADF);
    CHECK_EQ(weft_tcp_port(fd), -EBADF);
    CHECK_EQ(weft_select(weft_on_readable(fd), weft_after(WEFT_HOUR)), -EBADF);
}

static int bad_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    close_both(fds);

    check_bad(-1);
    check_bad(999);
    check_bad(INT_MIN);
    check_bad(INT_MAX);
    check_bad(fds[0]);
    return 0;
}

static int bad_child(void *arg)
{
    return run_virtual(bad_root, arg);
}

WEFT_TEST(fd, 09_a_number_that_is_not_open_gives_ebadf_and_no_noise)
{
    struct harness_child child;
    harness_run_child(&child, bad_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

/* ---- 10, 11: files and devices that cannot be waited for ---- */

static void check_always_ready(int fd)
{
    CHECK_OR_RETURN(fd >= 0, );
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_wait_fd(fd, WEFT_WRITABLE), WEFT_WRITABLE);
    CHECK_EQ(weft_wait_fd(fd, WEFT_READABLE | WEFT_WRITABLE), WEFT_READABLE | WEFT_WRITABLE);
    CHECK_EQ(wait_for(fd, WEFT_READABLE, 0), WEFT_READABLE);
    CHECK_EQ(weft_select(weft_on_readable(fd), weft_after(WEFT_HOUR)), 0);
}

static int files_root(void *arg)
{
    (void)arg;
    FILE *file = tmpfile();
    CHECK_OR_RETURN(file, 1);
    int fd = fileno(file);
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fds[2];
    harness_pipe(fds);
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    settle();

    check_always_ready(fd);
    check_always_ready(folder);
    check_idle(60);

    char text[16] = "";
    CHECK_EQ(weft_write(fd, "first ", 6), 6);
    CHECK_EQ(weft_write_all(fd, "second", 6, NULL), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(weft_read(fd, text, sizeof text - 1), 12);
    CHECK_STR(text, "first second");
    CHECK_EQ(weft_read(fd, text, sizeof text), 0);
    CHECK_EQ(weft_read(folder, text, sizeof text), -EISDIR);
    CHECK_EQ(weft_close(folder), 0);
    put_byte(fds[1], 'f');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(weft_release(fd), 0);
    CHECK_EQ(fclose(file), 0);
    return 0;
}

WEFT_TEST(fd, 10_files_and_directories_are_always_ready_and_do_not_spin)
{
    CHECK_EQ(run_real(files_root, NULL), 0);
}

static int devices_root(void *arg)
{
    (void)arg;
    char bytes[32];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    int random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    check_always_ready(null);
    check_always_ready(zero);
    check_always_ready(random);
    check_idle(60);

    CHECK_EQ(weft_read(null, bytes, sizeof bytes), 0);
    CHECK_EQ(weft_write(null, bytes, sizeof bytes), sizeof bytes);
    memset(bytes, 'x', sizeof bytes);
    CHECK_EQ(weft_read(zero, bytes, sizeof bytes), sizeof bytes);
    CHECK(bytes[0] == 0 && bytes[31] == 0);
    CHECK_EQ(weft_read(random, bytes, sizeof bytes), sizeof bytes);
    CHECK_EQ(weft_close(null), 0);
    CHECK_EQ(weft_close(zero), 0);
    CHECK_EQ(weft_close(random), 0);
    return 0;
}

WEFT_TEST(fd, 11_devices_that_never_block_are_like_files)
{
    CHECK_EQ(run_real(devices_root, NULL), 0);
}

/* ---- 13, 14: descriptors that stand for events ---- */

static void fire_eventfd(int fd)
{
    uint64_t one = 1;
    CHECK_EQ(write(fd, &one, sizeof one), sizeof one);
}

static void fire_timerfd(int fd)
{
    struct itimerspec soon = {.it_value = {0, 5 * NS_PER_MS}};
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
}

static void fire_signal(int fd)
{
    (void)fd;
    CHECK_EQ(raise(SIGUSR2), 0);
}

static void fire_inotify(int fd)
{
    char name[] = "weft-inotify-XXXXXX";
    CHECK(inotify_add_watch(fd, ".", IN_CREATE) >= 0);
    int file = mkstemp(name);
    CHECK(file >= 0);
    CHECK_EQ(close(file), 0);
    CHECK_EQ(unlink(name), 0);
}

static pid_t pidfd_child;

static void fire_pidfd(int fd)
{
    (void)fd;
    CHECK_EQ(kill(pidfd_child, SIGKILL), 0);
}

static void check_event_source(int fd, void (*fire)(int fd))
{
    CHECK_OR_RETURN(fd >= 0, );
    CHECK_EQ(wait_for(fd, WEFT_READABLE, 5 * WEFT_MSEC), -ETIMEDOUT);
    struct waiter waiter = {.fd = fd, .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    settle();
    CHECK_EQ(waiter.wakes, 0);
    fire(fd);
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(weft_close(fd), 0);
}

static int event_sources_root(void *arg)
{
    const sigset_t *signals = arg;
    pidfd_child = fork();
    if (pidfd_child == 0) {
        pause();
        _exit(0);
    }

    check_event_source(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), fire_eventfd);
    check_event_source(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), fire_timerfd);
    check_event_source(signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC), fire_signal);
    check_event_source(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fire_inotify);
    check_event_source((int)syscall(SYS_pidfd_open, pidfd_child, 0), fire_pidfd);
    CHECK_EQ(waitpid(pidfd_child, NULL, 0), pidfd_child);
    return 0;
}

WEFT_TEST(fd, 13_descriptors_that_stand_for_events_can_be_waited_for)
{
    /* before: with <ucontext.h> the mask is each task's own */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);

    CHECK_EQ(run_real(event_sources_root, &signals), 0);
}

static int nested_root(void *arg)
{
    int *fds = arg;
    int inner = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, fds[0], &event), 0);
    CHECK_EQ(wait_for(inner, WEFT_READABLE, 20 * WEFT_MSEC), -ETIMEDOUT);
    struct waiter waiter = {.fd = inner, .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    settle();
    put_byte(fds[1], 'i');
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(epoll_wait(inner, &event, 1, 0), 1);
    CHECK_EQ(weft_close(inner), 0);
    return 0;
}

WEFT_TEST(fd, 14_an_epoll_instance_is_readable_when_it_has_events)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_real(nested_root, fds), 0);
}

/* ---- 27, 34: copies and urgent data ---- */

static int copy_root(void *arg)
{
    int *fds = arg;
    int copy = dup(fds[0]);
    struct waiter waiters[2] = {{.fd = fds[0], .events = WEFT_READABLE},
                                {.fd = copy, .events = WEFT_READABLE}};
    weft_task tasks[2] = {start(wait_once, &waiters[0]), start(wait_once, &waiters[1])};
    settle();
    put_byte(fds[1], 'd');
    CHECK_EQ(finish(tasks[0]), 0);
    CHECK_EQ(finish(tasks[1]), 0);
    CHECK_EQ(waiters[0].result, WEFT_READABLE);
    CHECK_EQ(waiters[1].result, WEFT_READABLE);

    /* The one is closed, the other one lives on. */
    CHECK_EQ(take_byte(copy), 'd');
    CHECK_EQ(weft_close(fds[0]), 0);
    tasks[1] = start(wait_once, &waiters[1]);
    settle();
    put_byte(fds[1], 'e');
    CHECK_EQ(finish(tasks[1]), 0);
    CHECK_EQ(waiters[1].result, WEFT_READABLE);
    CHECK_EQ(take_byte(copy), 'e');
    CHECK_EQ(weft_close(copy), 0);
    return 0;
}

WEFT_TEST(fd, 27_a_descriptor_and_its_copy_are_both_woken)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(copy_root, fds), 0);
}

static int urgent_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_tcp_pair(fds);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 5 * WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(send(fds[1], "!", 1, MSG_OOB), 1);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 30 * WEFT_MSEC), -ETIMEDOUT);
    check_idle(40);
    put_byte(fds[1], 'o');
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'o');
    close_both(fds);
    return 0;
}

WEFT_TEST(fd, 34_urgent_data_alone_is_not_readable)
{
    CHECK_EQ(run_real(urgent_root, NULL), 0);
}

/* ---- 33: descriptors that somebody else opened ---- */

struct borrowed {
    int fd;
    int flags;
    bool other_ran;
};

static int notes_that_it_ran(void *arg)
{
    struct borrowed *borrowed = arg;
    borrowed->other_ran = true;
    return 0;
}

/* Reads what does not come yet: another task runs meanwhile, and the flags stay. */
static void check_borrowed(int reader, int writer)
{
    struct borrowed borrowed = {.fd = reader, .flags = fcntl(reader, F_GETFL)};
    int writer_flags = fcntl(writer, F_GETFL);
    CHECK_EQ(borrowed.flags & O_NONBLOCK, 0);
    struct later later;
    char buffer[8];
    later_start(&later, writer, 10, 'l');
    weft_task other = start(notes_that_it_ran, &borrowed);
    CHECK_EQ(weft_read(reader, buffer, sizeof buffer), 1);
    CHECK(borrowed.other_ran);
    later_join(&later);
    CHECK_EQ(finish(other), 0);
    CHECK_EQ(wait_for(reader, WEFT_READABLE, 5 * WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(weft_write(writer, "ab", 2), 2);
    CHECK_EQ(weft_read(reader, buffer, sizeof buffer), 2);
    CHECK_EQ(fcntl(reader, F_GETFL), borrowed.flags);
    CHECK_EQ(fcntl(writer, F_GETFL), writer_flags);
}

static int borrowed_root(void *arg)
{
    (void)arg;
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    check_borrowed(fds[0], fds[1]);
    close_both(fds);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_borrowed(fds[0], fds[1]);
    close_both(fds);
    return 0;
}

WEFT_TEST(fd, 33_a_blocking_descriptor_stays_so_and_does_not_block_the_worker)
{
    CHECK_EQ(run_real(borrowed_root, NULL), 0);
}

#define MUCH (256 * 1024)

static int reads_much(void *arg)
{
    const int *fd = arg;
    static char bytes[MUCH];
    size_t done = 0;
    CHECK_EQ(weft_read_exactly(*fd, bytes, MUCH, &done), 0);
    CHECK_EQ(done, MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        if (bytes[i] != (char)(i % 251)) return (int)i + 1;
    }
    return 0;
}

/* The pipe blocks, and holds less than is written: only the worker's patience helps. */
static int blocking_pipe_root(void *arg)
{
    (void)arg;
    static char bytes[MUCH];
    for (size_t i = 0; i < MUCH; i++) {
        bytes[i] = (char)(i % 251);
    }
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    ssize_t first = weft_write(fds[1], bytes, MUCH);
    CHECK_WITHIN(first, 1, PIPE_BUF);
    weft_task reader = start(reads_much, &fds[0]);
    size_t done = 0;
    CHECK_EQ(weft_write_all(fds[1], bytes + first, MUCH - (size_t)first, &done), 0);
    CHECK_EQ(done, MUCH - (size_t)first);
    CHECK_EQ(finish(reader), 0);
    CHECK_EQ(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    close_both(fds);
    return 0;
}

WEFT_TEST(fd, 33_a_large_write_to_a_blocking_pipe_goes_in_small_pieces)
{
    CHECK_EQ(run_real(blocking_pipe_root, NULL), 0);
}
