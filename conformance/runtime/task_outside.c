/* SPDX-License-Identifier: MIT */
/*
 * Rows TASK-24, 25, 30, 33 and SEMANTICS row 40: calls outside of a task, bad arguments, objects
 * of another runtime, names and hooks.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "conformance/runtime/support.h"

/* ---- 24, row 40 ---- */

static void ignore(void *arg)
{
    (void)arg;
}

static void check_task_calls_outside(void)
{
    weft_task none = {0, NULL};
    weft_task task;
    int result;
    void *low;
    void *high;
    struct weft_scope scope;
    struct weft_ticker ticker;
    struct weft_stats stats = {.size = sizeof stats};
    struct weft_chan *chan;
    struct weft_local_key key;

    CHECK_EQ(weft_spawn(&task, do_nothing, NULL), -EPERM);
    CHECK_EQ(weft_join(none, &result), -EPERM);
    CHECK_EQ(weft_yield(), -EPERM);
    CHECK_EQ(weft_defer(ignore, NULL), -EPERM);
    CHECK_EQ(weft_stack_bounds(&low, &high), -EPERM);
    CHECK_EQ(weft_stack_high_water(), 0);
    CHECK_PTR(weft_task_name(), NULL);
    CHECK_EQ(weft_sleep(0), -EPERM);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -EPERM);
    CHECK_EQ(weft_sleep_until(weft_now() + WEFT_MSEC), -EPERM);
    CHECK_EQ(weft_ticker_open(&ticker, WEFT_MSEC, WEFT_TICKER_SKIP), 0);
    CHECK_EQ(weft_ticker_wait(&ticker, NULL), -EPERM);
    CHECK_EQ(weft_scope_open(&scope), -EPERM);
    CHECK_EQ(weft_scope_status(), -EPERM);
    CHECK_EQ(weft_chan_open(&chan, sizeof(int), 1), -EPERM);
    CHECK_EQ(weft_select(weft_after(WEFT_MSEC)), -EPERM);
    CHECK_EQ(weft_select(weft_default()), -EPERM);
    CHECK_EQ(weft_local_open(&key, NULL), 0);
    CHECK_EQ(weft_local_set(key, &key), -EPERM);
    CHECK_PTR(weft_local_get(key), NULL);
    CHECK_EQ(weft_dump(STDERR_FILENO), -EPERM);
    CHECK_EQ(weft_stats(&stats), -EPERM);
    CHECK_PTR(weft_runtime_current(), NULL);
    CHECK_PTR(weft_native_loop(), NULL);
    CHECK_EQ(weft_native_fd(), -EPERM);
}

static void check_descriptor_calls_outside(void)
{
    int fds[2];
    harness_socket_pair(fds);
    char byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    size_t done = 77;
    int dialled = -1;

    CHECK_EQ(weft_wait_fd(fds[0], WEFT_WRITABLE), -EPERM);
    CHECK_EQ(weft_read(fds[0], &byte, 1), -EPERM);
    CHECK_EQ(weft_write(fds[0], &byte, 1), -EPERM);
    CHECK_EQ(weft_readv(fds[0], &part, 1), -EPERM);
    CHECK_EQ(weft_writev(fds[0], &part, 1), -EPERM);
    CHECK_EQ(weft_read_exactly(fds[0], &byte, 1, &done), -EPERM);
    CHECK_EQ(done, 0);
    CHECK_EQ(weft_write_all(fds[0], &byte, 1, &done), -EPERM);
    CHECK_EQ(weft_recvmsg(fds[0], &message, 0), -EPERM);
    CHECK_EQ(weft_sendmsg(fds[0], &message, 0), -EPERM);
    CHECK_EQ(weft_accept(fds[0], NULL, NULL), -EPERM);
    CHECK_EQ(weft_tcp_dial(&dialled, "127.0.0.1:9"), -EPERM);
    CHECK_EQ(dialled, -1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
}

WEFT_TEST(task, 24_blocking_calls_outside_give_eperm)
{
    check_task_calls_outside();
    check_descriptor_calls_outside();

    CHECK_EQ(run_virtual(do_nothing, NULL), 0);
    check_task_calls_outside();
    check_descriptor_calls_outside();
}

static void *thread_outside(void *arg)
{
    check_task_calls_outside();
    check_descriptor_calls_outside();
    CHECK_EQ(weft_chan_close((struct weft_chan *)arg), 0);
    return NULL;
}

/* Leaves its worker free meanwhile: a close in another thread waits for it. */
static int root_starts_a_thread(void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_outside, arg), 0);
    CHECK_EQ(weft_chan_recv((struct weft_chan *)arg, NULL), -EPIPE);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

WEFT_TEST(task, 24b_a_thread_beside_a_runtime_is_outside_too)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    struct weft_chan *finished = NULL;
    CHECK_EQ(weft_chan_open_with(&finished, &options), 0);

    CHECK_EQ(run_real(root_starts_a_thread, finished), 0);

    weft_chan_unref(finished);
}

static int inner_run_result;

static void call_everything(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_yield(), -EPERM);
    CHECK_EQ(weft_sleep(WEFT_MSEC), -EPERM);
    CHECK_EQ(weft_select(weft_after(WEFT_MSEC)), -EPERM);
    CHECK_EQ(weft_self().id, 0);
    CHECK(weft_runtime_current() != NULL);
    inner_run_result = weft_run(NULL, do_nothing, NULL);
}

static int root_posts_calls(void *arg)
{
    (void)arg;
    struct weft_post node = {.fn = call_everything};
    CHECK_EQ(weft_post(weft_runtime_current(), &node), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), -EPERM);
    return 0;
}

WEFT_TEST(task, 24c_a_posted_function_must_not_block)
{
    CHECK_EQ(run_virtual(root_posts_calls, NULL), 0);

    CHECK_EQ(inner_run_result, -EPERM);
}

/* ---- 25 ---- */

static int root_spawns_badly(void *arg)
{
    (void)arg;
    weft_task task = {0, NULL};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    size_t before = live_tasks();

    CHECK_EQ(weft_spawn(&task, NULL, NULL), -EINVAL);
    CHECK_EQ(weft_spawn_with(&task, &options, NULL, NULL), -EINVAL);
    options.placement = 99;
    CHECK_EQ(weft_spawn_with(&task, &options, do_nothing, NULL), -EINVAL);
    options.placement = 0;
    options.flags = 1u << 31;
    CHECK_EQ(weft_spawn_with(&task, &options, do_nothing, NULL), -EINVAL);
    options.flags = 0;
    options.size = 0;
    CHECK_EQ(weft_spawn_with(&task, &options, do_nothing, NULL), -EINVAL);
    CHECK_EQ(weft_defer(NULL, NULL), -EINVAL);

    CHECK_EQ(task.id, 0);
    CHECK_EQ(live_tasks(), before);
    return 0;
}

WEFT_TEST(task, 25_bad_arguments_spawn_nothing)
{
    CHECK_EQ(run_virtual(root_spawns_badly, NULL), 0);
}

/* ---- 30 ---- */

struct pair_of_runtimes {
    pthread_barrier_t barrier;
    struct weft_chan *first_chan;
    weft_task first_task;
};

static int root_of_the_first(void *arg)
{
    struct pair_of_runtimes *pair = arg;
    pair->first_chan = open_chan(sizeof(int), 1);
    pair->first_task = weft_self();
    pthread_barrier_wait(&pair->barrier);

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(weft_sleep(WEFT_MSEC / 2), 0);
    }
    pthread_barrier_wait(&pair->barrier);

    CHECK_EQ(weft_chan_len(pair->first_chan), 0);
    weft_chan_unref(pair->first_chan);
    return 1;
}

static int root_of_the_second(void *arg)
{
    struct pair_of_runtimes *pair = arg;
    int value = 5;
    pthread_barrier_wait(&pair->barrier);

    CHECK_EQ(weft_chan_send(pair->first_chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_send(pair->first_chan, &value), -EPERM);
    CHECK_EQ(weft_chan_recv(pair->first_chan, &value), -EPERM);
    CHECK_EQ(weft_chan_try_recv(pair->first_chan, &value), -EPERM);
    CHECK_EQ(weft_select(weft_on_recv(pair->first_chan, &value), weft_default()), -EPERM);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(weft_sleep(WEFT_MSEC / 2), 0);
    }
    pthread_barrier_wait(&pair->barrier);
    return 2;
}

static void *run_second(void *arg)
{
    CHECK_EQ(run_real(root_of_the_second, arg), 2);
    return NULL;
}

WEFT_TEST(task, 30_two_runtimes_are_independent)
{
    struct pair_of_runtimes pair = {0};
    CHECK_EQ(pthread_barrier_init(&pair.barrier, NULL, 2), 0);

    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run_second, &pair), 0);
    CHECK_EQ(run_real(root_of_the_first, &pair), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(pthread_barrier_destroy(&pair.barrier), 0);
}

/* ---- 33 ---- */

struct hook_count {
    int started;
    int ended;
    uint64_t last_started;
    uint64_t last_ended;
};

static void count_start(weft_task task, void *arg)
{
    struct hook_count *count = arg;
    count->started++;
    count->last_started = task.id;
}

static void count_end(weft_task task, void *arg)
{
    struct hook_count *count = arg;
    count->ended++;
    count->last_ended = task.id;
}

static int compare_name(void *arg)
{
    CHECK_STR(weft_task_name(), arg);
    CHECK_EQ(weft_yield(), 0);
    CHECK_STR(weft_task_name(), arg);
    return 0;
}

static int root_names_tasks(void *arg)
{
    struct hook_count *count = arg;
    static char names[2][8] = {"left", "right"};
    weft_task tasks[2];
    CHECK_PTR(weft_task_name(), NULL);

    for (int i = 0; i < 2; i++) {
        struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
        options.name = names[i];
        CHECK_EQ(weft_spawn_with(&tasks[i], &options, compare_name, names[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(join_result(tasks[i]), 0);
    }
    CHECK_EQ(count->started, 3);
    CHECK_EQ(count->ended, 2);

    weft_task last = spawn_task(do_nothing, NULL);
    CHECK_EQ(join_result(last), 0);
    CHECK_EQ(count->last_started, last.id);
    CHECK_EQ(count->last_ended, last.id);
    return 0;
}

WEFT_TEST(task, 33_names_and_hooks)
{
    struct hook_count count = {0};
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK;
    config.on_task_start = count_start;
    config.on_task_end = count_end;
    config.hook_arg = &count;

    CHECK_EQ(weft_run(&config, root_names_tasks, &count), 0);

    CHECK_EQ(count.started, 4);
    CHECK_EQ(count.ended, 4);
}
