/* SPDX-License-Identifier: MIT */
/*
 * Rows CANCEL-34, 35 and SEMANTICS row 20a: which calls are cancellation points, exactly, and what
 * becomes of a task that ignores its cancellation.
 */
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "conformance/runtime/support.h"

/* ---- 35 ---- */

struct points {
    int fds[2];
    int listener;
    uint16_t port;
    struct weft_chan *chan; /* one value and room for one more: nothing would have to sleep */
    weft_task ended;
};

static void check_channel_points(struct points *points)
{
    int value = 7;
    struct weft_ticker ticker;
    struct weft_mutex mutex = WEFT_MUTEX_INIT;
    struct weft_scope scope;

    CHECK_EQ(weft_yield(), -ECANCELED);
    CHECK_EQ(weft_mutex_lock(&mutex), -ECANCELED);
    CHECK_EQ(weft_mutex_try_lock(&mutex), 0);
    CHECK_EQ(weft_mutex_unlock(&mutex), 0);
    CHECK_EQ(weft_mutex_close(&mutex), 0);
    CHECK_EQ(weft_sleep(0), -ECANCELED);
    CHECK_EQ(weft_sleep(-1), -ECANCELED);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -ECANCELED);
    CHECK_EQ(weft_sleep_until(0), -ECANCELED);
    CHECK_EQ(weft_sleep_until(weft_now() + WEFT_MSEC), -ECANCELED);
    CHECK_EQ(weft_ticker_open(&ticker, 1, WEFT_TICKER_SKIP), 0);
    CHECK_EQ(weft_ticker_wait(&ticker, NULL), -ECANCELED);
    weft_ticker_close(&ticker);
    CHECK_EQ(weft_chan_send(points->chan, &value), -ECANCELED);
    CHECK_EQ(weft_chan_recv(points->chan, &value), -ECANCELED);
    CHECK_EQ(weft_select(weft_on_recv(points->chan, &value)), -ECANCELED);
    CHECK_EQ(weft_select(weft_on_send(points->chan, &value), weft_default()), -ECANCELED);
    CHECK_EQ(weft_join(points->ended, &value), -ECANCELED);
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_next(&scope, NULL, NULL), -ECANCELED);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(weft_chan_len(points->chan), 1);
}

static void check_descriptor_points(struct points *points)
{
    char byte = 'p';
    size_t done = 77;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(points->port)};
    int dialled = -77;
    int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK_EQ(weft_wait_fd(points->fds[0], WEFT_READABLE), -ECANCELED);
    CHECK_EQ(weft_read(points->fds[0], &byte, 1), -ECANCELED);
    CHECK_EQ(weft_readv(points->fds[0], &part, 1), -ECANCELED);
    CHECK_EQ(weft_recvmsg(points->fds[0], &message, 0), -ECANCELED);
    CHECK_EQ(weft_read_exactly(points->fds[0], &byte, 1, &done), -ECANCELED);
    CHECK_EQ(done, 0);
    CHECK_EQ(weft_write(points->fds[1], &byte, 1), -ECANCELED);
    CHECK_EQ(weft_writev(points->fds[1], &part, 1), -ECANCELED);
    CHECK_EQ(weft_sendmsg(points->fds[1], &message, 0), -ECANCELED);
    done = 77;
    CHECK_EQ(weft_write_all(points->fds[1], &byte, 1, &done), -ECANCELED);
    CHECK_EQ(done, 0);
    CHECK_EQ(weft_accept(points->listener, NULL, NULL), -ECANCELED);
    CHECK_EQ(weft_connect(socket_fd, (struct sockaddr *)&address, sizeof address), -ECANCELED);
    CHECK_EQ(weft_tcp_dial(&dialled, "127.0.0.1:9"), -ECANCELED);
    CHECK_EQ(dialled, -77);
    CHECK_EQ(byte, 'p');
    CHECK_EQ(weft_close(socket_fd), 0);
    CHECK_EQ(harness_drain(points->fds[0]), 1);
}

static void do_nothing_deferred(void *arg)
{
    (void)arg;
}

static void check_calls_that_go_on(struct points *points)
{
    int value = 8;
    void *low;
    void *high;
    weft_task task;
    struct weft_chan *chan = open_chan(0, 1);
    struct weft_stats stats = {.size = sizeof stats};
    struct weft_scope scope;

    CHECK_EQ(weft_chan_try_send(points->chan, &value), 0);
    CHECK_EQ(weft_chan_try_recv(points->chan, &value), 0);
    CHECK_EQ(weft_chan_try_recv(points->chan, &value), 0);
    CHECK_EQ(weft_chan_len(points->chan), 0);
    CHECK_EQ(weft_chan_close(points->chan), 0);
    weft_chan_unref(chan);
    CHECK_EQ(weft_spawn(&task, do_nothing, NULL), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(weft_detach(task), 0);
    CHECK_EQ(weft_defer(do_nothing_deferred, NULL), 0);
    CHECK_EQ(weft_stack_bounds(&low, &high), 0);
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_spawn(&scope, NULL, do_nothing, NULL), 0);
    CHECK_EQ(weft_scope_set_deadline(&scope, weft_now() + WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(weft_shutdown(points->fds[0], SHUT_WR), 0);
    CHECK_EQ(weft_release(points->fds[1]), 0);
    CHECK_EQ(weft_close(points->fds[0]), 0);
    CHECK_EQ(weft_close(points->fds[1]), 0);
    CHECK_EQ(weft_close(points->listener), 0);
}

static int root_calls_everything(void *arg)
{
    struct points *points = arg;
    int value = 1;
    points->chan = open_chan(sizeof(int), 2);
    points->ended = spawn_task(do_nothing, NULL);
    CHECK_EQ(weft_chan_send(points->chan, &value), 0);
    CHECK_EQ(write(points->fds[1], "q", 1), 1);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);

    check_channel_points(points);
    check_descriptor_points(points);
    check_calls_that_go_on(points);

    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    CHECK_EQ(join_result(points->ended), 0);
    weft_chan_unref(points->chan);
    return 0;
}

WEFT_TEST(cancel, 35_cancellation_points_are_exactly_those)
{
    struct points points = {0};
    harness_socket_pair(points.fds);
    points.listener = harness_tcp_listener(&points.port);

    CHECK_EQ(run_real(root_calls_everything, &points), 0);
}

/* ---- 34, row 20a ---- */

static bool stop_ignoring;
static long ignored;

static int ignore_by_yield(void *arg)
{
    (void)arg;
    while (!stop_ignoring && ignored < 10000000) {
        ignored += weft_yield() < 0;
    }
    return 3;
}

static int ignore_by_select(void *arg)
{
    while (!stop_ignoring && ignored < 10000000) {
        switch (weft_select(weft_on_recv((struct weft_chan *)arg, NULL), weft_after(WEFT_HOUR))) {
        case 0:
            return 0;
        case -ECANCELED:
            ignored++;
        }
    }
    return 3;
}

static void dump_to(char *text, size_t size)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, );
    CHECK_EQ(weft_dump(fd), 0);
    ssize_t length = pread(fd, text, size - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    close(fd);
}

static int root_beside_the_ignorant(void *arg)
{
    struct weft_chan *chan = open_chan(0, 0);
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    static char before[8192];
    static char after[8192];
    weft_task task;
    options.name = "deaf-one";
    CHECK_EQ(weft_spawn_with(&task, &options, *(weft_fn *)arg, chan), 0);
    CHECK_EQ(weft_cancel(task), 0);
    dump_to(before, sizeof before);

    int turns = 0;
    while (ignored < 5000 && turns < 10000) {
        CHECK_EQ(weft_yield(), 0);
        turns++;
    }
    CHECK(turns < 10000);
    CHECK(turns >= 1);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    dump_to(after, sizeof after);

    CHECK(strstr(before, "ignores") == NULL);
    const char *line = strstr(after, "deaf-one");
    CHECK(line != NULL);
    CHECK(line && strstr(line, "ignore") != NULL);
    stop_ignoring = true;
    CHECK_EQ(join_result(task), 3);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(cancel, 34_a_yield_loop_that_ignores_its_cancellation)
{
    weft_fn fn = ignore_by_yield;

    CHECK_EQ(run_real(root_beside_the_ignorant, &fn), 0);
}

WEFT_TEST(cancel, 34b_a_select_loop_that_ignores_its_cancellation)
{
    weft_fn fn = ignore_by_select;

    CHECK_EQ(run_real(root_beside_the_ignorant, &fn), 0);
}

/* Waiting for an ended task in a cancelled scope is one call, not a loop inside the library. */
static int root_waits_for_the_ended(void *arg)
{
    (void)arg;
    weft_task sleeper = spawn_task(sleep_forever, NULL);
    int64_t cpu = harness_thread_cpu_ns();
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    weft_shielded
    {
        CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    }
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu, 0, harness_pace() * 20 * NS_PER_MS);
    CHECK_EQ(weft_cancel(sleeper), 0);
    CHECK_EQ(join_result(sleeper), -ECANCELED);
    return 0;
}

WEFT_TEST(cancel, 34c_a_cancelled_scope_does_not_spin)
{
    CHECK_EQ(run_real(root_waits_for_the_ended, NULL), 0);
}
