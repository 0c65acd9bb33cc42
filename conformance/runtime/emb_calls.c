/* SPDX-License-Identifier: MIT */
/* EMB-04 to EMB-07: what the host's callbacks may call, and what they may not. */
#include <pthread.h>

#include "conformance/runtime/emb_support.h"

/* ---- EMB-04 ---- */

struct talk {
    struct emb emb;
    struct weft_chan *chan;
    int received;
    int sum;
    int result;
};

static void open_shared(struct talk *talk)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    options.value_size = sizeof(int);
    options.capacity = 4;
    CHECK_EQ(weft_chan_open_with(&talk->chan, &options), 0);
}

static void open_local(void *arg)
{
    struct talk *talk = arg;
    CHECK_EQ(weft_chan_open(&talk->chan, sizeof(int), 4), 0);
}

static int receive_all(void *arg)
{
    struct talk *talk = arg;
    int value = 0;
    while ((talk->result = weft_chan_recv(talk->chan, &value)) == 0) {
        talk->received++;
        talk->sum += value;
    }
    return 0;
}

/* The pass after the one that a callback belongs to, at the latest. */
static void pass_twice(struct talk *talk)
{
    host_adapter.run_nowait(talk->emb.loop);
    host_adapter.run_nowait(talk->emb.loop);
}

WEFT_TEST(emb, 04_a_callback_wakes_a_task_through_a_shared_channel)
{
    struct talk talk = {0};
    if (!emb_open(&talk.emb)) return;
    open_shared(&talk);
    emb_spawn(&talk.emb, receive_all, &talk);
    pass_twice(&talk);
    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(weft_chan_try_send(talk.chan, &i), 0);
        pass_twice(&talk);
        CHECK_EQ(talk.received, i);
    }
    CHECK_EQ(talk.sum, 55);
    CHECK_EQ(weft_chan_close(talk.chan), 0);
    pass_twice(&talk);
    CHECK_EQ(talk.result, -EPIPE);
    weft_chan_unref(talk.chan);
    emb_close(&talk.emb);
}

static void send_one(void *arg)
{
    struct talk *talk = arg;
    int value = 2;
    CHECK_PTR(weft_runtime_current(), talk->emb.runtime);
    CHECK_EQ(weft_chan_try_send(talk->chan, &value), 0);
}

static void close_chan(void *arg)
{
    struct talk *talk = arg;
    CHECK_EQ(weft_chan_close(talk->chan), 0);
    weft_chan_unref(talk->chan);
}

WEFT_TEST(emb, 04b_a_callback_calls_into_the_runtime)
{
    struct talk talk = {0};
    if (!emb_open(&talk.emb)) return;
    CHECK_EQ(weft_host_call(talk.emb.runtime, open_local, &talk), 0);
    emb_spawn(&talk.emb, receive_all, &talk);
    pass_twice(&talk);
    int value = 1;
    CHECK_EQ(weft_chan_try_send(talk.chan, &value), -EPERM); /* it is the runtime's own */
    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(weft_host_call(talk.emb.runtime, send_one, &talk), 0);
        pass_twice(&talk);
        CHECK_EQ(talk.received, i);
    }
    CHECK_EQ(weft_host_call(talk.emb.runtime, close_chan, &talk), 0);
    pass_twice(&talk);
    CHECK_EQ(talk.sum, 20);
    CHECK_EQ(talk.result, -EPIPE);
    emb_close(&talk.emb);
}

static int sleep_until_cancelled(void *arg)
{
    struct talk *talk = arg;
    talk->result = weft_sleep(WEFT_FOREVER);
    return 0;
}

static void spawn_in_callback(void *arg)
{
    struct talk *talk = arg;
    weft_task task = {0, NULL};
    CHECK_PTR(weft_runtime_current(), talk->emb.runtime);
    CHECK_EQ(weft_runtime_spawn(talk->emb.runtime, &task, NULL, sleep_until_cancelled, talk), 0);
    CHECK_EQ(weft_cancel(task), 0);
}

WEFT_TEST(emb, 04c_a_callback_spawns_and_cancels)
{
    struct talk talk = {0};
    if (!emb_open(&talk.emb)) return;
    CHECK(host_adapter.timer_start(talk.emb.loop, 5, spawn_in_callback, &talk));
    emb_run(&talk.emb);
    emb_run_for(&talk.emb, 20); /* a post keeps no native loop alive */
    CHECK_EQ(talk.result, -ECANCELED);
    emb_close(&talk.emb);
}

static void note_post(void *arg)
{
    struct talk *talk = arg;
    CHECK_EQ(weft_spawn(NULL, do_nothing, NULL), 0);
    talk->received++;
}

WEFT_TEST(emb, 04d_a_callback_posts)
{
    struct talk talk = {0};
    if (!emb_open(&talk.emb)) return;
    struct weft_post post = {.fn = note_post, .arg = &talk};
    for (int i = 1; i <= 5; i++) {
        CHECK_EQ(weft_post(talk.emb.runtime, &post), 0);
        pass_twice(&talk);
        CHECK_EQ(talk.received, i);
    }
    emb_close(&talk.emb);
}

struct sender {
    struct talk *talk;
    struct weft_post post;
    struct host_timer *limit;
    int64_t posted_ns;
    int64_t ran_ns;
};

static void note_time(void *arg)
{
    struct sender *sender = arg;
    sender->ran_ns = harness_now_ns();
    host_adapter.stop(sender->talk->emb.loop);
}

static void give_up(void *arg)
{
    struct sender *sender = arg;
    sender->limit = NULL;
    host_adapter.stop(sender->talk->emb.loop);
}

static void *post_later(void *arg)
{
    struct sender *sender = arg;
    struct weft_runtime *runtime = sender->talk->emb.runtime;
    harness_sleep_ms(20);
    sender->posted_ns = harness_now_ns();
    CHECK_EQ(weft_post(runtime, &sender->post), 0);
    CHECK_PTR(weft_runtime_current(), NULL);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_runtime_spawn(runtime, NULL, NULL, do_nothing, NULL), 0);
    }
    return NULL;
}

WEFT_TEST(emb, 04e_another_thread_wakes_the_hosts_loop)
{
    struct talk talk = {0};
    struct sender sender = {.talk = &talk, .post = {.fn = note_time, .arg = &sender}};
    pthread_t thread;
    if (!emb_open(&talk.emb)) return;
    emb_spawn(&talk.emb, do_nothing, NULL);
    emb_run(&talk.emb); /* not only before the first turn */
    CHECK_EQ(pthread_create(&thread, NULL, post_later, &sender), 0);
    sender.limit = host_adapter.timer_start(talk.emb.loop, 5000, give_up, &sender);
    emb_run(&talk.emb);
    if (sender.limit) host_adapter.timer_stop(sender.limit);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_WITHIN(sender.ran_ns - sender.posted_ns, 0, harness_slack_ns());
    emb_close(&talk.emb);
}

/* ---- EMB-05 ---- */

struct moved {
    struct emb emb;
    struct weft_scope *scope;
    int64_t first_ns; /* the time-out at first */
    int64_t delay_ns; /* from the host's call to the new deadline */
    int64_t asked_ns;
    int64_t woke_ns;
    int status;
};

static int sleep_in_a_scope(void *arg)
{
    struct moved *moved = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open_timeout(&scope, moved->first_ns), 0);
    moved->scope = &scope;
    moved->status = weft_sleep(WEFT_FOREVER);
    moved->woke_ns = weft_now();
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    return 0;
}

static void move_deadline(void *arg)
{
    struct moved *moved = arg;
    moved->asked_ns = weft_now() + moved->delay_ns;
    CHECK_EQ(weft_scope_set_deadline(moved->scope, moved->asked_ns), 0);
}

static void on_timer_move(void *arg)
{
    struct moved *moved = arg;
    CHECK_EQ(weft_host_call(moved->emb.runtime, move_deadline, moved), 0);
}

static void check_moved(int64_t first_ns, int64_t delay_ns)
{
    struct moved moved = {.first_ns = first_ns, .delay_ns = delay_ns};
    if (!emb_open(&moved.emb)) return;
    emb_spawn(&moved.emb, sleep_in_a_scope, &moved);
    host_adapter.run_nowait(moved.emb.loop);
    host_adapter.run_nowait(moved.emb.loop);
    CHECK(host_adapter.timer_start(moved.emb.loop, 5, on_timer_move, &moved));
    emb_run(&moved.emb);
    CHECK_EQ(moved.status, -ETIMEDOUT);
    int64_t earliest_ns = delay_ns > 0 ? moved.asked_ns : moved.asked_ns - delay_ns;
    CHECK_WITHIN(moved.woke_ns, earliest_ns, earliest_ns + harness_slack_ns());
    emb_close(&moved.emb);
}

WEFT_TEST(emb, 05_a_deadline_moved_by_the_host_takes_effect)
{
    check_moved(10 * NS_PER_SEC, 3 * NS_PER_MS);   /* earlier */
    check_moved(300 * NS_PER_MS, 400 * NS_PER_MS); /* later */
    check_moved(10 * NS_PER_SEC, -NS_PER_MS);      /* past */
}

/* ---- EMB-06 ---- */

static void call_what_waits(void *arg)
{
    struct talk *talk = arg;
    char byte;
    int fds[2];
    weft_task task = {0, NULL};
    struct weft_scope scope;
    harness_pipe(fds);
    CHECK_EQ(weft_yield(), -EPERM);
    CHECK_EQ(weft_sleep(0), -EPERM);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -EPERM);
    CHECK_EQ(weft_select(weft_after(WEFT_MSEC)), -EPERM);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), -EPERM);
    CHECK_EQ(weft_read(fds[0], &byte, 1), -EPERM);
    CHECK_EQ(weft_write(fds[1], &byte, 1), -EPERM);
    CHECK_EQ(weft_join(task, NULL), -EPERM);
    CHECK_EQ(weft_scope_open(&scope), -EPERM);
    CHECK_EQ(weft_chan_recv(talk->chan, NULL), -EPERM); /* shared: a thread would wait */
    CHECK_EQ(weft_chan_send(talk->chan, &talk->sum), -EPERM);
    CHECK_EQ(weft_self().id, 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_release(fds[1]), 0);
    CHECK_EQ(close(fds[1]), 0);
    talk->received++;
}

WEFT_TEST(emb, 06_calls_that_wait_are_refused_outside_of_tasks)
{
    struct talk talk = {0};
    open_shared(&talk);
    if (emb_open(&talk.emb)) {
        call_what_waits(&talk);
        CHECK(host_adapter.timer_start(talk.emb.loop, 1, call_what_waits, &talk));
        emb_run(&talk.emb);
        CHECK_EQ(talk.received, 2);
        emb_close(&talk.emb);
    }
    weft_chan_unref(talk.chan);
}

struct closing {
    int fds[2];
    int result;
};

static int read_until_closed(void *arg)
{
    struct closing *closing = arg;
    char byte;
    closing->result = (int)weft_read(closing->fds[0], &byte, 1);
    return 0;
}

static void close_in_callback(void *arg)
{
    struct closing *closing = arg;
    CHECK_EQ(weft_close(closing->fds[0]), 0);
}

WEFT_TEST(emb, 06b_a_callback_closes_what_a_task_waits_for)
{
    struct emb emb;
    struct closing closing = {.result = 1};
    harness_pipe(closing.fds);
    if (!emb_open(&emb)) return;
    emb_spawn(&emb, read_until_closed, &closing);
    CHECK(host_adapter.timer_start(emb.loop, 5, close_in_callback, &closing));
    emb_run(&emb);
    CHECK_EQ(closing.result, -EBADF);
    emb_close(&emb);
}

/* ---- EMB-07 ---- */

struct nested {
    struct emb emb;
    int ran;
};

static int call_what_nests(void *arg)
{
    struct nested *nested = arg;
    struct weft_runtime *other = NULL;
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), -EPERM);
    CHECK_EQ(weft_attach(&other, NULL, NULL), -EPERM);
    CHECK_EQ(weft_attach(&other, NULL, nested->emb.loop), -EPERM);
    CHECK_EQ(weft_detach_loop(nested->emb.runtime), -EPERM);
    CHECK_EQ(weft_host_dispatch(nested->emb.runtime), -EPERM);
    CHECK_EQ(weft_host_call(nested->emb.runtime, note_post, nested), -EPERM);
    nested->ran++;
    return 0;
}

static void post_what_nests(void *arg)
{
    (void)call_what_nests(arg);
}

static void run_in_callback(void *arg)
{
    struct nested *nested = arg;
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), 0); /* a loop of its own */
    CHECK_PTR(weft_runtime_current(), nested->emb.runtime);
    nested->ran++;
}

WEFT_TEST(emb, 07_no_turn_inside_a_turn)
{
    struct nested nested = {0};
    if (!emb_open(&nested.emb)) return;
    struct weft_post post = {.fn = post_what_nests, .arg = &nested};
    emb_spawn(&nested.emb, call_what_nests, &nested);
    CHECK_EQ(weft_post(nested.emb.runtime, &post), 0);
    CHECK(host_adapter.timer_start(nested.emb.loop, 5, run_in_callback, &nested));
    emb_run(&nested.emb);
    CHECK_EQ(nested.ran, 3);
    emb_close(&nested.emb);
}

static int spawn_into_the_other(void *arg)
{
    struct nested *nested = arg;
    CHECK_EQ(weft_runtime_spawn(nested->emb.runtime, NULL, NULL, do_nothing, NULL), 0);
    CHECK_EQ(weft_detach_loop(nested->emb.runtime), -EPERM);
    nested->ran++;
    return weft_sleep(WEFT_MSEC);
}

WEFT_TEST(emb, 07b_a_run_beside_what_is_attached)
{
    struct nested nested = {0};
    if (!emb_open(&nested.emb)) return;
    CHECK_EQ(weft_run(NULL, spawn_into_the_other, &nested), 0);
    emb_run(&nested.emb);
    CHECK_EQ(nested.ran, 1);
    emb_close(&nested.emb);
}

static void *call_elsewhere(void *arg)
{
    struct nested *nested = arg;
    struct weft_runtime *runtime = nested->emb.runtime;
    CHECK_EQ(weft_detach_loop(runtime), -EPERM);
    CHECK_EQ(weft_host_dispatch(runtime), -EPERM);
    CHECK_EQ(weft_host_fd(runtime), -EPERM);
    CHECK_EQ(weft_host_timeout(runtime), WEFT_FOREVER);
    CHECK_EQ(weft_host_call(runtime, note_post, nested), -EPERM);
    CHECK_EQ(weft_detach_loop(NULL), -EINVAL);
    CHECK_EQ(weft_host_dispatch(NULL), -EINVAL);
    CHECK_EQ(weft_host_call(runtime, NULL, NULL), -EINVAL);
    CHECK_EQ(weft_attach(NULL, NULL, NULL), -EINVAL);
    return NULL;
}

static int root_detaches_itself(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_detach_loop(weft_runtime_current()), -EPERM);
    CHECK_EQ(weft_host_fd(weft_runtime_current()), -EPERM);
    return 0;
}

WEFT_TEST(emb, 07c_only_the_thread_that_attached)
{
    struct nested nested = {0};
    pthread_t thread;
    if (!emb_open(&nested.emb)) return;
    CHECK_EQ(pthread_create(&thread, NULL, call_elsewhere, &nested), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_run(NULL, root_detaches_itself, NULL), 0);
    emb_close(&nested.emb);
}
