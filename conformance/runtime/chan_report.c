/* SPDX-License-Identifier: MIT */
/*
 * Channels, when nobody can wake anybody: CHAN-26; row 39 of the semantics.
 *
 * The report goes to a pipe that the test reads; each counter-example has exactly one thing that
 * may still wake a task.
 */
#include <pthread.h>
#include <unistd.h>

#include "conformance/runtime/chan_kit.h"

/* Runs root with reports to `text`, and says how that ended. */
static int run_reporting(weft_fn root, void *arg, char text[4096])
{
    int fds[2];
    harness_pipe(fds);
    struct weft_config config = WEFT_CONFIG_INIT;
    config.report_fd = fds[1];
    int result = weft_run(&config, root, arg);
    ssize_t size = read(fds[0], text, 4095);
    text[size > 0 ? size : 0] = '\0';
    close(fds[0]);
    close(fds[1]);
    return result;
}

struct blocked {
    struct weft_chan *chan;
    int receive_status;
    int send_status;
};

static int blocked_receiver(void *arg)
{
    struct blocked *blocked = arg;
    blocked->receive_status = weft_chan_recv(blocked->chan, NULL);
    return 0;
}

static int blocked_root(void *arg)
{
    struct blocked *blocked = arg;
    struct weft_chan *full = open_ints(0);
    blocked->chan = open_ints(3);
    CHECK_EQ(weft_spawn(NULL, blocked_receiver, blocked), 0);
    CHECK_EQ(weft_spawn(NULL, blocked_receiver, blocked), 0);
    blocked->send_status = send_int(full, 1);
    CHECK_EQ(weft_yield(), -ECANCELED);
    weft_chan_unref(full);
    weft_chan_unref(blocked->chan);
    return 0;
}

WEFT_TEST(chan, 26_all_asleep_on_channels_is_reported)
{
    struct blocked blocked = {.receive_status = PENDING, .send_status = PENDING};
    char text[4096];

    CHECK_EQ(run_reporting(blocked_root, &blocked, text), -EDEADLK);

    CHECK_EQ(blocked.send_status, -ECANCELED);
    CHECK_EQ(blocked.receive_status, -ECANCELED);
    int spawned_here = 0;
    for (const char *found = strstr(text, "chan_report.c:"); found; spawned_here++) {
        found = strstr(found + 1, "chan_report.c:");
    }
    CHECK(spawned_here >= 2); /* each child's line tells where it was spawned */
    CHECK(strstr(text, "send") != NULL);
    CHECK(strstr(text, "recv") != NULL);
}

static int wait_beside_a_timer(void *arg)
{
    (void)arg;
    struct weft_chan *chan = open_ints(0);
    int status = PENDING;
    weft_task receiver;
    int value = 0;
    CHECK_EQ(recv_one_spawn(&receiver, chan, &value, &status), 0);
    CHECK_EQ(weft_sleep(10 * WEFT_MSEC), 0);
    CHECK_EQ(send_int(chan, 7), 0);
    CHECK_EQ(weft_join(receiver, NULL), 0);
    CHECK_EQ(value, 7);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(chan, 26b_a_pending_timer_is_no_deadlock)
{
    char text[4096];

    CHECK_EQ(run_reporting(wait_beside_a_timer, NULL, text), 0);

    CHECK_STR(text, "");
}

struct reader {
    int fd;
    struct weft_chan *chan;
};

static int forward_a_byte(void *arg)
{
    struct reader *reader = arg;
    CHECK_EQ(weft_wait_fd(reader->fd, WEFT_READABLE), WEFT_READABLE);
    return send_int(reader->chan, 7);
}

static void *write_late(void *arg)
{
    harness_sleep_ms(10);
    CHECK_EQ(write(*(int *)arg, "x", 1), 1);
    return NULL;
}

static int wait_beside_a_descriptor(void *arg)
{
    int *fds = arg;
    struct reader reader = {.fd = fds[0], .chan = open_ints(0)};
    CHECK_EQ(weft_spawn(NULL, forward_a_byte, &reader), 0);
    CHECK_EQ(recv_int(reader.chan), 7);
    weft_chan_unref(reader.chan);
    return 0;
}

WEFT_TEST(chan, 26c_a_pending_descriptor_is_no_deadlock)
{
    char text[4096];
    int fds[2];
    harness_pipe(fds);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, write_late, &fds[1]), 0);

    CHECK_EQ(run_reporting(wait_beside_a_descriptor, fds, text), 0);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_STR(text, "");
}

static void *send_late(void *arg)
{
    harness_sleep_ms(10);
    CHECK_EQ(send_int(arg, 7), 0);
    return NULL;
}

static int wait_on_a_shared_channel(void *arg)
{
    CHECK_EQ(recv_int(arg), 7);
    return 0;
}

WEFT_TEST(chan, 26d_a_task_asleep_on_a_shared_channel_is_no_deadlock)
{
    char text[4096];
    struct weft_chan *chan = open_shared_ints(0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_late, chan), 0);

    CHECK_EQ(run_reporting(wait_on_a_shared_channel, chan, text), 0);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_STR(text, "");
    weft_chan_unref(chan);
}

struct holder {
    struct weft_runtime *runtime;
    struct weft_chan *chan;
    struct weft_post post;
};

static void post_send(void *arg)
{
    struct holder *holder = arg;
    CHECK_EQ(try_send_int(holder->chan, 7), 0);
}

static void *post_late(void *arg)
{
    struct holder *holder = arg;
    harness_sleep_ms(10);
    CHECK_EQ(weft_post(holder->runtime, &holder->post), 0);
    CHECK_EQ(weft_runtime_unref(holder->runtime), 0);
    return NULL;
}

static int wait_for_a_post(void *arg)
{
    (void)arg;
    struct holder holder = {.runtime = weft_runtime_current(), .chan = open_ints(1)};
    holder.post = (struct weft_post){.fn = post_send, .arg = &holder};
    CHECK_EQ(weft_runtime_ref(holder.runtime), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, post_late, &holder), 0);

    CHECK_EQ(recv_int(holder.chan), 7);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(holder.chan);
    return 0;
}

WEFT_TEST(chan, 26e_a_held_runtime_is_no_deadlock)
{
    char text[4096];

    CHECK_EQ(run_reporting(wait_for_a_post, NULL, text), 0);

    CHECK_STR(text, "");
}
