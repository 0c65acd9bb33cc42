/* SPDX-License-Identifier: MIT */
/*
 * Rows LIFE-01 to 03, 05, 06, 08, 09, 15, 16 and SEMANTICS row 38: what a run gives back, and how
 * the tasks end that are left over when the root returns.
 */
#include <dirent.h>
#include <pthread.h>

#include "conformance/runtime/support.h"

/* ---- 01 ---- */

static int thread_count(void)
{
    DIR *directory = opendir("/proc/self/task");
    CHECK_OR_RETURN(directory, -1);
    int count = 0;
    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count - 2;
}

static int root_with_a_child(void *arg)
{
    (void)arg;
    CHECK_EQ(join_result(spawn_task(do_nothing, NULL)), 0);
    return 7;
}

WEFT_TEST(life, 01_a_thousand_runs_keep_nothing, .timeout = 60)
{
    int fds = 0;
    int threads = 0;
    size_t resident = 0;
    size_t writable = 0;

    for (int i = 0; i < 1000; i++) {
        if (i == 50) {
            fds = harness_fd_count();
            threads = thread_count();
            resident = harness_resident_size();
            writable = harness_writable_size();
        }
        CHECK_EQ(run_real(root_with_a_child, NULL), 7);
    }

    CHECK_EQ(harness_fd_count(), fds);
    CHECK_EQ(thread_count(), threads);
    /* qemu's own notes of what was mapped and unmapped grow with each run. */
    if (!harness_is_emulated()) check_resident(resident + 4 * 1024 * 1024);
    if (harness_sizes_are_exact()) {
        CHECK_WITHIN(harness_writable_size(), 1, writable + 4 * 1024 * 1024);
    }
}

/* ---- 02, 08 ---- */

static int return_given(void *arg)
{
    return *(int *)arg;
}

WEFT_TEST(life, 02_a_run_returns_the_roots_result)
{
    static const int results[] = {0, 1, 255, 256, INT32_MAX, -1, -EIO, INT32_MIN};

    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int result = results[i];
        CHECK_EQ(run_virtual(return_given, &result), results[i]);
    }
}

WEFT_TEST(life, 02b_bad_configurations_run_nothing)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    int result = 5;

    CHECK_EQ(weft_run(NULL, NULL, NULL), -EINVAL);
    config.size = 1;
    CHECK_EQ(weft_run(&config, return_given, &result), -EINVAL);
    config.size = sizeof config;
    config.flags = 1u << 31;
    CHECK_EQ(weft_run(&config, return_given, &result), -EINVAL);
    config.flags = 0;
    CHECK_EQ(weft_run(&config, return_given, &result), 5);
}

WEFT_TEST(life, 08_a_run_with_nothing_to_do_returns_at_once)
{
    int64_t slack = harness_slack_ns();
    int64_t start = harness_now_ns();

    CHECK_EQ(run_real(do_nothing, NULL), 0);

    CHECK_WITHIN(harness_now_ns() - start, 0, slack);
}

/* ---- 03, 09 ---- */

struct leftovers {
    int pair[2];
    int listener;
    struct weft_chan *chan;
    int results[6];
};

static int leave_sleep(void *arg)
{
    return *(int *)arg = weft_sleep(WEFT_HOUR);
}

WEFT_TASK(leave_recv, (struct weft_chan *, chan), (int *, result))
{
    *result = weft_chan_recv(chan, NULL);
    weft_chan_unref(chan);
    return 0;
}

WEFT_TASK(leave_wait, (int, fd), (int *, result))
{
    return *result = weft_wait_fd(fd, WEFT_READABLE);
}

WEFT_TASK(leave_accept, (int, fd), (int *, result))
{
    return *result = weft_accept(fd, NULL, NULL);
}

WEFT_TASK(leave_select, (struct weft_chan *, chan), (int, fd), (int *, result))
{
    *result = weft_select(weft_on_recv(chan, NULL), weft_on_readable(fd), weft_after(WEFT_HOUR));
    weft_chan_unref(chan);
    return 0;
}

WEFT_TASK(leave_join, (weft_task, task), (int *, result))
{
    return *result = weft_join(task, NULL);
}

static int root_leaves_tasks(void *arg)
{
    struct leftovers *left = arg;
    left->chan = open_chan(0, 0);
    weft_task sleeper = spawn_task(leave_sleep, &left->results[0]);
    CHECK_EQ(weft_go(leave_recv, left->chan, &left->results[1]), 0);
    CHECK_EQ(weft_go(leave_wait, left->pair[0], &left->results[2]), 0);
    CHECK_EQ(weft_go(leave_accept, left->listener, &left->results[3]), 0);
    CHECK_EQ(weft_go(leave_select, weft_chan_ref(left->chan), left->pair[1], &left->results[4]), 0);
    CHECK_EQ(weft_go(leave_join, sleeper, &left->results[5]), 0);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    return 9;
}

static void check_leftovers(void)
{
    struct leftovers left = {.results = {77, 77, 77, 77, 77, 77}};
    uint16_t port = 0;
    harness_socket_pair(left.pair);
    left.listener = harness_tcp_listener(&port);
    int64_t start = harness_now_ns();

    CHECK_EQ(run_real(root_leaves_tasks, &left), 9);

    CHECK_WITHIN(harness_now_ns() - start, 0, 5 * NS_PER_MS + 2 * harness_slack_ns());
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(left.results[i], -ECANCELED);
    }
    close(left.pair[0]);
    close(left.pair[1]);
    close(left.listener);
}

WEFT_TEST(life, 03_tasks_left_over_are_cancelled_and_joined)
{
    (void)harness_slack_ns();

    check_leftovers();
}

WEFT_TEST(life, 09_ending_with_everything_open_keeps_no_descriptor)
{
    check_leftovers();
    int fds = harness_fd_count();

    for (int i = 0; i < 20; i++) {
        check_leftovers();
    }

    CHECK_EQ(harness_fd_count(), fds);
}

static int root_leaves_unstarted(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, leave_sleep, arg), 0);
    return 4;
}

WEFT_TEST(life, 03b_a_task_that_never_ran_runs_once_cancelled)
{
    int result = 77;

    CHECK_EQ(run_virtual(root_leaves_unstarted, &result), 4);

    CHECK_EQ(result, -ECANCELED);
}

/* ---- row 38 ---- */

static int outlive(void *arg)
{
    struct weft_chan *chan = arg;
    weft_shielded
    {
        CHECK_EQ(weft_chan_recv(chan, NULL), 0);
        CHECK_FAIL("a survivor was resumed");
    }
    return 0;
}

struct survivor {
    int root_result;
    int64_t grace_ns;
    int64_t lasted_ns;
};

static int root_leaves_a_survivor(void *arg)
{
    struct survivor *survivor = arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "never-ending";
    CHECK_EQ(weft_spawn_with(NULL, &options, outlive, open_chan(0, 0)), 0);
    CHECK_EQ(weft_spawn(NULL, sleep_forever, NULL), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    survivor->lasted_ns = harness_now_ns();
    return survivor->root_result;
}

static int run_with_survivor(void *arg)
{
    struct survivor *survivor = arg;
    struct weft_config config = WEFT_CONFIG_INIT;
    config.grace_ns = survivor->grace_ns;
    int expected = survivor->root_result ? survivor->root_result : -EBUSY;
    CHECK_EQ(weft_run(&config, root_leaves_a_survivor, survivor), expected);
    survivor->lasted_ns = harness_now_ns() - survivor->lasted_ns;
    CHECK_WITHIN(survivor->lasted_ns, 0, survivor->grace_ns + harness_slack_ns());
    CHECK_EQ(run_virtual(root_with_a_child, NULL), 7);
    return 0;
}

static void check_survivor(int root_result)
{
    struct survivor survivor = {.root_result = root_result, .grace_ns = 30 * NS_PER_MS};
    struct harness_child child;

    harness_run_child(&child, run_with_survivor, &survivor);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK(strstr(child.output, "never-ending") != NULL);
    CHECK(strstr(child.output, "life_run.c:") != NULL);
}

WEFT_TEST(life, 03c_a_survivor_is_named_and_never_resumed)
{
    check_survivor(0);
}

WEFT_TEST(life, 03d_the_roots_own_result_wins_over_ebusy)
{
    check_survivor(6);
}

static int clean_up_slowly(void *arg)
{
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ECANCELED);
    weft_shielded
    {
        CHECK_EQ(weft_sleep(4 * WEFT_SEC), 0);
    }
    *(int *)arg = 1;
    return 0;
}

static int root_leaves_a_slow_one(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, clean_up_slowly, arg), 0);
    let_others_run();
    return 0;
}

WEFT_TEST(life, 03e_the_default_grace_is_five_seconds)
{
    int cleaned = 0;

    CHECK_EQ(run_virtual(root_leaves_a_slow_one, &cleaned), 0);

    CHECK_EQ(cleaned, 1);
}

/* ---- 05 ---- */

static struct weft_runtime *kept_runtime;

static int root_keeps_its_runtime(void *arg)
{
    (void)arg;
    kept_runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(kept_runtime), 0);
    return 0;
}

static void must_not_run(void *arg)
{
    (void)arg;
    CHECK_FAIL("a post ran after the end");
}

WEFT_TEST(life, 05_calls_on_an_ended_runtime_give_esrch)
{
    CHECK_EQ(run_virtual(root_keeps_its_runtime, NULL), 0);

    struct weft_post node = {.fn = must_not_run};
    weft_task task = {5, NULL};
    CHECK_EQ(weft_post(kept_runtime, &node), -ESRCH);
    CHECK_EQ(weft_runtime_spawn(kept_runtime, &task, NULL, do_nothing, NULL), -ESRCH);
    CHECK_EQ(task.id, 5);
    CHECK_EQ(weft_runtime_stop(kept_runtime), -ESRCH);
    CHECK_EQ(weft_sleep(1), -EPERM);
    CHECK_EQ(weft_wait_fd(0, WEFT_READABLE), -EPERM);
    CHECK_EQ(weft_runtime_unref(kept_runtime), 0);
    CHECK_EQ(weft_runtime_ref(NULL), -EINVAL);
    CHECK_EQ(weft_runtime_unref(NULL), -EINVAL);
    CHECK_EQ(weft_runtime_stop(NULL), -EINVAL);
    CHECK_EQ(weft_post(NULL, &node), -EINVAL);
}

/* ---- 06 ---- */

struct farewell {
    struct weft_chan *chan;
    int sent;
    int spawned;
    int child_saw;
};

static int run_late(void *arg)
{
    struct farewell *farewell = arg;
    farewell->child_saw = weft_sleep(WEFT_HOUR);
    weft_chan_unref(farewell->chan);
    return 0;
}

static void say_farewell(void *arg)
{
    struct farewell *farewell = arg;
    int value = 5;
    farewell->sent = weft_chan_send(farewell->chan, &value);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_chan_recv(farewell->chan, &value), 0);
    CHECK_EQ(value, 5);
    farewell->spawned = weft_spawn(NULL, run_late, farewell);
}

static int sleep_and_say_farewell(void *arg)
{
    CHECK_EQ(weft_defer(say_farewell, arg), 0);
    return weft_sleep(WEFT_HOUR);
}

static int root_ends_first(void *arg)
{
    struct farewell *farewell = arg;
    farewell->chan = open_chan(sizeof(int), 1);
    CHECK_EQ(weft_spawn(NULL, sleep_and_say_farewell, farewell), 0);
    let_others_run();
    return 8;
}

/* A spawn during the end is not refused: the new task starts cancelled, as any other. */
WEFT_TEST(life, 06_deferred_calls_block_and_spawn_during_the_end)
{
    struct farewell farewell = {.sent = 77, .spawned = 77, .child_saw = 77};

    CHECK_EQ(run_virtual(root_ends_first, &farewell), 8);

    CHECK_EQ(farewell.sent, 0);
    CHECK_EQ(farewell.spawned, 0);
    CHECK_EQ(farewell.child_saw, -ECANCELED);
}

/* ---- 15, 16 ---- */

static void *run_and_return(void *arg)
{
    CHECK_EQ(run_real(root_with_a_child, arg), 7);
    return NULL;
}

static void *run_and_exit(void *arg)
{
    CHECK_EQ(run_real(root_with_a_child, arg), 7);
    pthread_exit(NULL);
}

WEFT_TEST(life, 15_a_thread_that_ran_a_runtime_ends_cleanly)
{
    int fds = 0;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, i % 2 ? run_and_return : run_and_exit, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        if (i == 10) fds = harness_fd_count();
    }
    CHECK_EQ(harness_fd_count(), fds);
}

static pthread_key_t runtime_key;
static int dropped_runtimes;

static void drop_runtime(void *runtime)
{
    struct weft_post node = {.fn = must_not_run};
    CHECK_EQ(weft_post(runtime, &node), -ESRCH);
    CHECK_EQ(weft_runtime_unref(runtime), 0);
    dropped_runtimes++;
}

static int root_stores_its_runtime(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_runtime_ref(weft_runtime_current()), 0);
    CHECK_EQ(pthread_setspecific(runtime_key, weft_runtime_current()), 0);
    return 0;
}

static void *run_and_store(void *arg)
{
    CHECK_EQ(run_real(root_stores_its_runtime, arg), 0);
    return NULL;
}

WEFT_TEST(life, 16_a_runtime_kept_in_a_thread_local_is_dropped_at_thread_exit)
{
    CHECK_EQ(pthread_key_create(&runtime_key, drop_runtime), 0);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, run_and_store, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);

    CHECK_EQ(dropped_runtimes, 1);
}
