/* SPDX-License-Identifier: MIT */
/*
 * LIM-09 to 11, 16, 17, 21: handles, objects, sizes, threads and signals that are not in order.
 */
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "conformance/runtime/tcp_support.h"

/* ---- 09, 10: handles and objects ---- */

static int returns_7(void *arg)
{
    (void)arg;
    return 7;
}

static void check_stale(weft_task task)
{
    int result = 77;
    int status = 77;
    CHECK_EQ(weft_join(task, &result), -ESRCH);
    CHECK_EQ(weft_cancel(task), -ESRCH);
    CHECK_EQ(weft_detach(task), -ESRCH);
    CHECK_EQ(weft_select(weft_on_joined(task, &result, &status), weft_after(WEFT_HOUR)), 0);
    CHECK_EQ(status, -ESRCH);
    CHECK_EQ(result, 77);
}

static int handles_root(void *arg)
{
    weft_task *earlier = arg;
    weft_task task = start(returns_7, NULL);
    CHECK_EQ(finish(task), 7);
    check_stale(task);
    check_stale((weft_task){0, NULL});
    check_stale((weft_task){0, task.slot});
    check_stale((weft_task){UINT64_MAX, task.slot});
    check_stale((weft_task){task.id + 1000, NULL});
    check_stale(*earlier);

    /* The record is used again: the old handle does not reach the new task. */
    weft_task again = start(returns_7, NULL);
    check_stale(task);
    CHECK_EQ(finish(again), 7);
    return 0;
}

static int gives_handle_root(void *arg)
{
    *(weft_task *)arg = weft_self();
    return 0;
}

WEFT_TEST(lim, 09_handles_of_no_task_give_esrch)
{
    weft_task earlier = {0, NULL};
    CHECK_EQ(run_virtual(gives_handle_root, &earlier), 0);
    CHECK(earlier.id != 0);
    CHECK_EQ(run_virtual(handles_root, &earlier), 0);
}

static void check_no_scope(struct weft_scope *scope)
{
    CHECK_EQ(weft_scope_close(scope), -EINVAL);
    CHECK_EQ(weft_scope_cancel(scope), -EINVAL);
    CHECK_EQ(weft_scope_set_deadline(scope, WEFT_FOREVER), -EINVAL);
    CHECK_EQ(weft_scope_spawn(scope, NULL, returns_7, NULL), -EINVAL);
    CHECK_EQ(weft_scope_next(scope, NULL, NULL), -EINVAL);
}

static int objects_root(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    memset(&scope, 0, sizeof scope);
    check_no_scope(&scope);
    memset(&scope, 0xa5, sizeof scope);
    check_no_scope(&scope);
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    check_no_scope(&scope);

    struct weft_ticker ticker;
    memset(&ticker, 0, sizeof ticker);
    CHECK_EQ(weft_ticker_wait(&ticker, NULL), -EINVAL);
    CHECK_EQ(weft_ticker_next(&ticker), WEFT_FOREVER);

    int value = 5;
    CHECK_EQ(weft_chan_send(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_recv(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_try_send(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_try_recv(NULL, &value), -EINVAL);
    CHECK_EQ(weft_chan_close(NULL), -EINVAL);
    CHECK_EQ(value, 5);
    struct weft_case bad = {.kind = 99};
    CHECK_EQ(weft_select_from(&bad, 1, 0), -EINVAL);
    CHECK_EQ(weft_select_from(NULL, 0, 0), -EINVAL);
    CHECK_EQ(weft_select_from(&bad, 1, 0xff), -EINVAL);

    struct weft_post post = {0};
    CHECK_EQ(weft_post(weft_runtime_current(), &post), -EINVAL);
    CHECK_EQ(weft_post(weft_runtime_current(), NULL), -EINVAL);
    CHECK_EQ(weft_post(NULL, &post), -EINVAL);
    CHECK_EQ(weft_runtime_ref(NULL), -EINVAL);
    CHECK_EQ(weft_runtime_unref(NULL), -EINVAL);
    CHECK_EQ(weft_runtime_stop(NULL), -EINVAL);
    CHECK_EQ(weft_local_set((struct weft_local_key){0}, NULL), -EINVAL);
    CHECK_EQ(weft_local_set((struct weft_local_key){UINT_MAX}, NULL), -EINVAL);
    CHECK_PTR(weft_local_get((struct weft_local_key){UINT_MAX}), NULL);
    CHECK_EQ(weft_defer(NULL, NULL), -EINVAL);
    CHECK_EQ(weft_spawn(NULL, NULL, NULL), -EINVAL);
    return 0;
}

WEFT_TEST(lim, 10_objects_that_were_never_set_up_give_einval)
{
    CHECK_EQ(run_virtual(objects_root, NULL), 0);

    struct weft_config config = WEFT_CONFIG_INIT;
    config.size = 3;
    CHECK_EQ(weft_run(&config, returns_7, NULL), -EINVAL);
    CHECK_EQ(weft_run(NULL, NULL, NULL), -EINVAL);
}

/* ---- 11: sizes ---- */

#define HUGE_SIZE ((size_t)3 << 30) /* more than an int, and than one call of the kernel's moves */

static int sizes_root(void *arg)
{
    char *memory = arg;
    int null = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ssize_t moved = weft_write(null, memory, HUGE_SIZE);
    CHECK_WITHIN(moved, INT64_C(0x7ffff000), HUGE_SIZE);
    size_t done = 77;
    CHECK_EQ(weft_write_all(null, memory, HUGE_SIZE, &done), 0);
    CHECK_EQ(done, HUGE_SIZE);
    CHECK_EQ(weft_read(null, memory, HUGE_SIZE), 0);
    CHECK_EQ(weft_close(null), 0);

    int fds[2];
    harness_socket_pair(fds);
    put_byte(fds[1], 'h');
    CHECK_EQ(weft_read(fds[0], memory, HUGE_SIZE), 1);
    CHECK_EQ(memory[0], 'h');
    struct iovec part = {memory, 1};
    CHECK_EQ(weft_readv(fds[0], &part, INT_MAX), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], &part, INT_MAX), -EINVAL);
    CHECK_EQ(weft_writev(fds[0], &part, INT_MIN), -EINVAL);
    close_both(fds);

    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open(&chan, SIZE_MAX, 2), -EINVAL);
    CHECK_EQ(weft_chan_open(&chan, 2, SIZE_MAX), -EINVAL);
    CHECK_EQ(weft_chan_open(&chan, (size_t)1 << 33, (size_t)1 << 33), -EINVAL);
    int result = weft_chan_open(&chan, 1, (size_t)1 << 60);
    CHECK(result == -ENOMEM || result == -EINVAL);
    CHECK_PTR(chan, NULL);

    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task task;
    options.stack_size = SIZE_MAX;
    result = weft_spawn_with(&task, &options, returns_7, NULL);
    if (result == 0) result = finish(task);
    CHECK(result == -ENOMEM || result == -EINVAL);
    return 0;
}

WEFT_TEST(lim, 11_absurd_sizes_are_refused_or_kept_whole)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *memory = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK_OR_RETURN(memory != MAP_FAILED, );

    CHECK_EQ(run_virtual(sizes_root, memory), 0);
}

/* ---- 16: silence ---- */

static int errors_root(void *arg)
{
    (void)arg;
    char byte;
    int fds[2];
    struct address address;
    harness_pipe(fds);
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(weft_write(fds[1], "x", 1), -EPIPE);
    CHECK_EQ(weft_read(fds[1], &byte, 1), -EBADF);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), -EBADF);
    CHECK_EQ(weft_close(listen_on_loopback(&address)), 0);
    int fd;
    CHECK_EQ(weft_tcp_dial(&fd, address.text), -ECONNREFUSED);
    CHECK_EQ(weft_tcp_dial(&fd, "nonsense"), -EINVAL);
    CHECK_EQ(weft_join(weft_self(), NULL), -EDEADLK);
    CHECK_EQ(weft_run(NULL, returns_7, NULL), -EPERM);
    CHECK_EQ(wait_for(fds[1], WEFT_READABLE, WEFT_MSEC), WEFT_READABLE);
    CHECK_EQ(close(fds[1]), 0); /* behind weft's back */
    CHECK_EQ(weft_wait_fd(fds[1], WEFT_READABLE), -EBADF);
    harness_limit_fds(0);
    CHECK_EQ(weft_tcp_listen(&fd, "127.0.0.1:0", NULL), -EMFILE);
    CHECK_EQ(weft_cancel(weft_self()), 0);
    CHECK_EQ(weft_sleep(1), -ECANCELED);
    return 0;
}

static int errors_child(void *arg)
{
    CHECK_EQ(weft_sleep(1), -EPERM);
    CHECK_EQ(weft_close(-1), -EBADF);
    return run_real(errors_root, arg);
}

WEFT_TEST(lim, 16_errors_are_returned_and_not_printed)
{
    struct harness_child child;
    harness_run_child(&child, errors_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

/* ---- 17: SIGPIPE ---- */

static volatile sig_atomic_t pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    pipe_signals++;
}

/* Every call that writes, to a peer that is gone. */
static void check_broken(int fd, bool is_socket)
{
    char bytes[4] = "abc";
    struct iovec parts[2] = {{bytes, 1}, {bytes + 1, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    CHECK_EQ(weft_write(fd, bytes, 3), -EPIPE);
    CHECK_EQ(weft_writev(fd, parts, 2), -EPIPE);
    CHECK_EQ(weft_write_all(fd, bytes, 3, NULL), -EPIPE);
    if (is_socket) CHECK_EQ(weft_sendmsg(fd, &message, 0), -EPIPE);
    CHECK_EQ(weft_close(fd), 0);
}

static int broken_root(void *arg)
{
    (void)arg;
    int fds[2];
    for (int blocking = 0; blocking < 2; blocking++) {
        CHECK_EQ(pipe2(fds, O_CLOEXEC | (blocking ? 0 : O_NONBLOCK)), 0);
        CHECK_EQ(close(fds[0]), 0);
        check_broken(fds[1], false);
        int type = SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK);
        CHECK_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
        CHECK_EQ(close(fds[0]), 0);
        check_broken(fds[1], true);
    }
    return 0;
}

WEFT_TEST(lim, 17_writing_to_nobody_raises_no_signal_and_leaves_the_hosts_alone)
{
    struct sigaction action = {.sa_handler = count_pipe_signal};
    struct sigaction after;
    sigset_t mask_before;
    sigset_t mask_after;
    CHECK_EQ(sigaction(SIGPIPE, &action, NULL), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask_before), 0);

    CHECK_EQ(run_real(broken_root, NULL), 0);

    CHECK_EQ(pipe_signals, 0);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &after), 0);
    CHECK(after.sa_handler == count_pipe_signal);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask_after), 0);
    CHECK_EQ(sigismember(&mask_before, SIGPIPE), sigismember(&mask_after, SIGPIPE));
    CHECK_EQ(raise(SIGPIPE), 0);
    CHECK_EQ(pipe_signals, 1);
}

/* A signal of the host's own, blocked and pending, is still pending afterwards. */
WEFT_TEST(lim, 17_a_pending_signal_of_the_host_stays_pending)
{
    struct sigaction action = {.sa_handler = count_pipe_signal};
    CHECK_EQ(sigaction(SIGPIPE, &action, NULL), 0);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &mask, NULL), 0);
    CHECK_EQ(raise(SIGPIPE), 0);

    CHECK_EQ(run_real(broken_root, NULL), 0);

    CHECK_EQ(pipe_signals, 0);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &mask, NULL), 0);
    CHECK_EQ(pipe_signals, 1);
}

/* ---- 21: from the wrong thread ---- */

struct overlap {
    struct weft_chan *chan;
    struct weft_scope *scope;
    weft_task task;
};

static void *overlap_main(void *arg)
{
    struct overlap *overlap = arg;
    int value = 5;
    CHECK_EQ(weft_chan_send(overlap->chan, &value), -EPERM);
    CHECK_EQ(weft_chan_recv(overlap->chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_send(overlap->chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_recv(overlap->chan, &value), -EPERM);
    CHECK_EQ(weft_chan_close(overlap->chan), -EPERM);
    CHECK_EQ(weft_scope_cancel(overlap->scope), -EPERM);
    CHECK_EQ(weft_scope_close(overlap->scope), -EPERM);
    CHECK_EQ(weft_scope_set_deadline(overlap->scope, 0), -EPERM);
    CHECK_EQ(weft_scope_spawn(overlap->scope, NULL, returns_7, NULL), -EPERM);
    CHECK_EQ(weft_join(overlap->task, NULL), -EPERM);
    CHECK_EQ(value, 5);
    return NULL;
}

static int overlap_root(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    struct overlap overlap = {.scope = &scope, .task = start(returns_7, NULL)};
    CHECK_EQ(weft_chan_open(&overlap.chan, sizeof(int), 2), 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, overlap_main, &overlap), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(weft_chan_len(overlap.chan), 0);
    CHECK_EQ(weft_chan_close(overlap.chan), 0);
    weft_chan_unref(overlap.chan);
    CHECK_EQ(finish(overlap.task), 7);
    return 0;
}

WEFT_TEST(lim, 21_a_thread_without_permission_is_refused)
{
    CHECK_EQ(run_real(overlap_root, NULL), 0);
}
