/* SPDX-License-Identifier: MIT */
/*
 * Workers that sleep, end with queued tasks, cannot be started, and are stopped while tasks spawn:
 * MT-17 to 19.
 */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "conformance/runtime/mt_support.h"

/* ---- 17 ---- */

struct quiet {
    struct weft_chan *chan; /* shared */
    struct rusage before;
    struct rusage after;
};

static int wait_quietly(void *arg)
{
    CHECK_EQ(weft_chan_recv(((struct quiet *)arg)->chan, NULL), -EPIPE);
    return 0;
}

/* The tasks of all workers sleep, when they have been busy before. */
static int root_is_quiet(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, do_nothing, NULL), 0);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    run_spread(2 * weft_worker_count(), wait_quietly, arg);
    return 0;
}

static void *watch_quiet(void *arg)
{
    struct quiet *quiet = arg;
    harness_sleep_ms(100);
    CHECK_EQ(getrusage(RUSAGE_SELF, &quiet->before), 0);
    harness_sleep_ms(400);
    CHECK_EQ(getrusage(RUSAGE_SELF, &quiet->after), 0);
    CHECK_EQ(weft_chan_close(quiet->chan), 0);
    return NULL;
}

static int64_t cpu_ns(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * NS_PER_SEC +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * NS_PER_US;
}

MT_TEST(mt, 17_workers_without_work_sleep)
{
    struct quiet quiet = {.chan = NULL};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&quiet.chan, &options), 0);
    pthread_t thread = start_thread(watch_quiet, &quiet);
    CHECK_EQ(run_with(workers, root_is_quiet, &quiet), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(quiet.chan);
    if (!harness_sizes_are_exact()) return; /* a sanitizer has a thread of its own */
    CHECK_WITHIN(cpu_ns(&quiet.after) - cpu_ns(&quiet.before), 0, 10 * NS_PER_MS);
    CHECK_WITHIN(quiet.after.ru_nvcsw - quiet.before.ru_nvcsw, 0, 8); /* ours is one */
}

/* ---- 18 ---- */

struct batch {
    atomic_int ran;
    atomic_int ended;
};

static int run_in_batch(void *arg)
{
    struct batch *batch = arg;
    count_up(&batch->ran);
    int status = weft_sleep(WEFT_FOREVER);
    CHECK_EQ(status, -ECANCELED);
    count_up(&batch->ended);
    return 0;
}

/* Leaves before any of them has started. */
static int root_leaves(void *arg)
{
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_spawn(NULL, run_in_batch, arg), 0);
        CHECK_EQ(weft_detach(spawn_spread(NULL, run_in_batch, arg)), 0);
    }
    return 0;
}

static int thread_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    CHECK_OR_RETURN(directory, -1);
    while (readdir(directory)) {
        count++;
    }
    (void)closedir(directory);
    return count - 2; /* "." and ".." */
}

MT_TEST(mt, 18_workers_end_with_queued_tasks_and_leave_nothing)
{
    int fds = 0;
    int threads = thread_count();
    for (int i = 0; i < 20; i++) {
        struct batch batch = {.ran = 0};
        CHECK_EQ(run_with(workers, root_leaves, &batch), 0);
        CHECK_EQ(atomic_load(&batch.ran), 200);
        CHECK_EQ(atomic_load(&batch.ended), 200);
        if (i == 0) fds = harness_fd_count();
    }
    CHECK_EQ(harness_fd_count(), fds);
    /* A joined thread disappears from the list a moment later. */
    for (int i = 0; i < 1000 && thread_count() > threads; i++) {
        harness_sleep_ms(1);
    }
    CHECK_EQ(thread_count(), threads);
}

/* A record of its own worker, which the first one does not visit. */
static int leave_sleeper(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, run_in_batch, arg), 0);
    while (atomic_load(&((struct batch *)arg)->ran) < 2 * (int)weft_worker_count()) {
        if (weft_sleep(100 * WEFT_USEC) < 0) break;
    }
    return 0;
}

static int root_leaves_sleepers(void *arg)
{
    run_spread(2 * weft_worker_count(), leave_sleeper, arg);
    return 0;
}

MT_TEST(mt, 18d_the_end_reaches_what_other_workers_have_spawned)
{
    struct batch batch = {.ran = 0};
    CHECK_EQ(run_with(workers, root_leaves_sleepers, &batch), 0);
    CHECK_EQ(atomic_load(&batch.ended), 2 * (int)workers);
}

static int run_without_threads(void *arg)
{
    unsigned workers = *(unsigned *)arg;
    int fds = harness_fd_count();
    if (!harness_deny_syscall(SYS_clone3, EAGAIN)) return 0;
    if (!harness_deny_syscall(SYS_clone, EAGAIN)) return 0;
    CHECK_EQ(run_with(workers, do_nothing, NULL), -EAGAIN);
    CHECK_EQ(harness_fd_count(), fds);
    CHECK_EQ(run_with(1, do_nothing, NULL), 0);
    return 0;
}

MT_TEST(mt, 18b_a_worker_that_cannot_start_is_an_error_of_the_run)
{
    struct harness_child child;
    harness_run_child(&child, run_without_threads, &workers);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

static int run_without_barriers(void *arg)
{
    unsigned workers = *(unsigned *)arg;
    if (!harness_deny_syscall(SYS_membarrier, ENOSYS)) return 0;
    CHECK_EQ(run_with(workers, do_nothing, NULL), -ENOTSUP);
    CHECK_EQ(run_with(1, do_nothing, NULL), 0);
    return 0;
}

MT_TEST(mt, 18c_an_old_kernel_has_one_worker)
{
    struct harness_child child;
    harness_run_child(&child, run_without_barriers, &workers);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- 19 ---- */

struct flood {
    atomic_int budget;
    atomic_int spawned;
    atomic_int ran;
};

static int spawn_more(void *arg)
{
    struct flood *flood = arg;
    int number = atomic_fetch_add(&flood->ran, 1);
    for (int i = 0; i < 3 && atomic_fetch_sub(&flood->budget, 1) > 0; i++) {
        if (number % 8 == 0) {
            CHECK_EQ(weft_detach(spawn_spread(NULL, spawn_more, flood)), 0);
        } else {
            CHECK_EQ(weft_spawn(NULL, spawn_more, flood), 0);
        }
        atomic_fetch_add(&flood->spawned, 1);
    }
    return 0;
}

static int root_stops(void *arg)
{
    struct flood *flood = arg;
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        atomic_fetch_add(&flood->spawned, 1);
        CHECK_EQ(weft_detach(spawn_spread(NULL, spawn_more, flood)), 0);
    }
    CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    CHECK_EQ(weft_runtime_stop(weft_runtime_current()), 0);
    return 0;
}

MT_TEST(mt, 19_a_stop_amid_spawns_is_a_clean_end, .timeout = 60)
{
    for (int i = 0; i < 5; i++) {
        struct flood flood;
        atomic_init(&flood.budget, 10000);
        atomic_init(&flood.spawned, 0);
        atomic_init(&flood.ran, 0);
        CHECK_EQ(run_with(workers, root_stops, &flood), 0);
        CHECK_EQ(atomic_load(&flood.ran), atomic_load(&flood.spawned));
    }
}
