/* SPDX-License-Identifier: MIT */
/* EMB-01 to EMB-03, EMB-11: a runtime in a host's loop; what the host is told; what keeps it up. */
#include <pthread.h>

#include "conformance/runtime/emb_support.h"

/* ---- EMB-01 ---- */

struct work {
    int fds[2];
    int64_t slept_ns;
    size_t received;
    bool is_spawned;
};

static int sleep_some(void *arg)
{
    struct work *work = arg;
    int64_t start_ns = weft_now();
    int result = weft_sleep(20 * WEFT_MSEC);
    work->slept_ns = weft_now() - start_ns;
    return result;
}

static int mark_spawned(void *arg)
{
    struct work *work = arg;
    work->is_spawned = true;
    return 0;
}

static int read_three(void *arg)
{
    struct work *work = arg;
    char bytes[16];
    CHECK_EQ(weft_spawn(NULL, mark_spawned, work), 0);
    while (work->received < 3) {
        ssize_t size = weft_read(work->fds[0], bytes, sizeof bytes);
        if (!CHECK(size > 0)) return -1;
        work->received += (size_t)size;
    }
    return 0;
}

static int write_three(void *arg)
{
    struct work *work = arg;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_write(work->fds[1], "x", 1), 1);
        CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    }
    return 0;
}

WEFT_TEST(emb, 01_tasks_timers_and_descriptors_work)
{
    struct emb emb;
    struct work work = {0};
    harness_socket_pair(work.fds);
    if (!emb_open(&emb)) return;
    emb_spawn(&emb, sleep_some, &work);
    emb_spawn(&emb, read_three, &work);
    emb_spawn(&emb, write_three, &work);
    emb_run(&emb); /* until nothing keeps the loop alive */
    CHECK_WITHIN(work.slept_ns, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns());
    CHECK_EQ(work.received, 3);
    CHECK(work.is_spawned);
    emb_close(&emb);
}

static void nothing(void *arg)
{
    (void)arg;
}

static int wait_readable(void *arg)
{
    return weft_wait_fd(*(int *)arg, WEFT_READABLE);
}

WEFT_TEST(emb, 01b_costs_no_processor_time_when_idle)
{
    struct emb emb;
    int fds[2];
    harness_pipe(fds);
    if (!emb_open(&emb)) return;
    emb_spawn(&emb, wait_readable, &fds[0]);
    emb_spawn(&emb, sleep_forever, NULL);
    host_adapter.run_nowait(emb.loop);
    int64_t start_ns = harness_thread_cpu_ns();
    emb_run_for(&emb, 300);
    CHECK_WITHIN(harness_thread_cpu_ns() - start_ns, 0, 10 * NS_PER_MS * harness_pace());
    emb_close(&emb);
}

/* Without any descriptor a wake-up is taken note of, too. */
WEFT_TEST(emb, 01d_costs_no_processor_time_after_a_wake_up)
{
    struct emb emb;
    if (!emb_open(&emb)) return;
    struct weft_post post = {.fn = nothing};
    CHECK_EQ(weft_post(emb.runtime, &post), 0);
    int64_t start_ns = harness_thread_cpu_ns();
    emb_run_for(&emb, 200);
    CHECK_WITHIN(harness_thread_cpu_ns() - start_ns, 0, 10 * NS_PER_MS * harness_pace());
    emb_close(&emb);
}

static int count_up(void *arg)
{
    ++*(int *)arg;
    return 0;
}

WEFT_TEST(emb, 01c_attached_again_and_again)
{
    void *loop = host_adapter.open();
    struct weft_runtime *runtime = NULL;
    int count = 0;
    int fd_count = 0;
    for (int i = 0; i < 20; i++) {
        if (!emb_attach(loop, &runtime, NULL)) break;
        CHECK_PTR(weft_runtime_current(), runtime);
        CHECK_EQ(weft_runtime_spawn(runtime, NULL, NULL, count_up, &count), 0);
        host_adapter.run(loop);
        CHECK_EQ(count, i + 1);
        CHECK_EQ(host_adapter.detach(loop, runtime), 0);
        CHECK_PTR(weft_runtime_current(), NULL);
        host_adapter.run_nowait(loop); /* some loops free their handles then */
        if (i == 0) fd_count = harness_fd_count();
    }
    if (count > 0) CHECK_EQ(harness_fd_count(), fd_count);
    CHECK(host_adapter.close(loop));
}

/* ---- EMB-02 ---- */

static int sleep_30_ms(void *arg)
{
    (void)arg;
    return weft_sleep(30 * WEFT_MSEC);
}

WEFT_TEST(emb, 02_a_host_of_its_own_is_told_how_long_to_sleep)
{
    struct weft_runtime *runtime = NULL;
    if (!emb_is_able(weft_attach(&runtime, NULL, NULL), capabilities()->has_native_fd)) return;
    CHECK(weft_host_fd(runtime) >= 0);
    CHECK_EQ(weft_host_timeout(runtime), WEFT_FOREVER);
    CHECK_EQ(weft_host_timeout_ms(runtime), -1);
    CHECK_EQ(weft_host_is_alive(runtime), 0);

    CHECK_EQ(weft_runtime_spawn(runtime, NULL, NULL, sleep_30_ms, NULL), 0);
    CHECK_EQ(weft_host_timeout(runtime), 0);
    CHECK_EQ(weft_host_timeout_ms(runtime), 0);
    CHECK_EQ(weft_host_is_alive(runtime), 1);

    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_host_dispatch(runtime), 0);
    int64_t left_ns = weft_host_timeout(runtime);
    int64_t left_ms = weft_host_timeout_ms(runtime);
    int64_t passed_ns = harness_now_ns() - start_ns;
    CHECK_WITHIN(left_ns, 30 * NS_PER_MS - passed_ns, 30 * NS_PER_MS);
    CHECK_WITHIN(left_ms * NS_PER_MS, 30 * NS_PER_MS - passed_ns, 30 * NS_PER_MS);
    CHECK_EQ(weft_host_is_alive(runtime), 1);

    while (weft_host_timeout(runtime) != WEFT_FOREVER) {
        CHECK_EQ(weft_host_dispatch(runtime), 0); /* too early does no harm */
    }
    CHECK(harness_now_ns() - start_ns >= 30 * NS_PER_MS);
    CHECK_EQ(weft_runtime_ref(runtime), 0);
    CHECK_EQ(weft_detach_loop(runtime), 0);
    CHECK_EQ(weft_host_timeout(runtime), WEFT_FOREVER);
    CHECK_EQ(weft_host_timeout_ms(runtime), -1);
    CHECK_EQ(weft_host_fd(runtime), -ESRCH);
    CHECK_EQ(weft_host_dispatch(runtime), -ESRCH);
    CHECK_EQ(weft_detach_loop(runtime), -ESRCH);
    CHECK_EQ(weft_runtime_unref(runtime), 0);
}

WEFT_TEST(emb, 02b_a_millisecond_that_has_begun_counts)
{
    struct weft_runtime *runtime = NULL;
    if (!emb_is_able(weft_attach(&runtime, NULL, NULL), capabilities()->has_native_fd)) return;
    CHECK_EQ(weft_runtime_spawn(runtime, NULL, NULL, sleep_30_ms, NULL), 0);
    CHECK_EQ(weft_host_dispatch(runtime), 0);
    while (weft_host_timeout(runtime) != WEFT_FOREVER) {
        int64_t before_ns = weft_host_timeout(runtime);
        int64_t rounded_ns = weft_host_timeout_ms(runtime) * NS_PER_MS;
        int64_t after_ns = weft_host_timeout(runtime);
        if (!CHECK_WITHIN(rounded_ns, after_ns, before_ns + NS_PER_MS)) break;
        if (after_ns == 0) CHECK_EQ(weft_host_dispatch(runtime), 0);
    }
    CHECK_EQ(weft_detach_loop(runtime), 0);
}

/* What belongs to one kind of host is refused in the other. */
WEFT_TEST(emb, 02c_a_native_loop_needs_no_dispatch)
{
    struct emb emb;
    if (!emb_open(&emb)) return;
    int fd = weft_host_fd(emb.runtime);
    if (fd >= 0) {
        CHECK_EQ(weft_host_dispatch(emb.runtime), 0);
        struct weft_runtime *other = NULL;
        CHECK_EQ(weft_attach(&other, NULL, emb.loop), -ENOTSUP);
    } else {
        CHECK_EQ(fd, -ENOTSUP);
        CHECK_EQ(weft_host_dispatch(emb.runtime), -ENOTSUP);
        CHECK_EQ(weft_host_timeout(emb.runtime), WEFT_FOREVER);
        CHECK_EQ(weft_host_timeout_ms(emb.runtime), -1);
    }
    emb_close(&emb);
}

/* ---- EMB-03 ---- */

struct own {
    void *loop;
    int fds[2];
    int fired;
    int heard;
    struct host_watch *watch;
};

static void on_timer(void *arg)
{
    struct own *own = arg;
    own->fired++;
    CHECK_EQ(write(own->fds[1], "y", 1), 1);
}

static void on_readable(void *arg)
{
    struct own *own = arg;
    own->heard += (int)harness_drain(own->fds[0]);
    host_adapter.watch_stop(own->watch);
}

static void own_open(struct own *own, void *loop, int delay_ms)
{
    *own = (struct own){.loop = loop};
    harness_pipe(own->fds);
    CHECK(host_adapter.timer_start(loop, delay_ms, on_timer, own));
    own->watch = host_adapter.watch_start(loop, own->fds[0], on_readable, own);
}

WEFT_TEST(emb, 03_the_hosts_own_timers_and_descriptors_work_on)
{
    struct own before, after;
    struct work work = {0};
    harness_socket_pair(work.fds);
    struct emb emb = {.loop = host_adapter.open()};
    own_open(&before, emb.loop, 15);
    bool is_able = emb_attach(emb.loop, &emb.runtime, NULL);
    own_open(&after, emb.loop, 5);
    if (is_able) {
        emb_spawn(&emb, sleep_some, &work);
        emb_spawn(&emb, read_three, &work);
        emb_spawn(&emb, write_three, &work);
    }
    emb_run(&emb);
    CHECK_EQ(before.fired + after.fired, 2);
    CHECK_EQ(before.heard + after.heard, 2);
    if (is_able) {
        CHECK_EQ(work.received, 3);
        CHECK_EQ(host_adapter.detach(emb.loop, emb.runtime), 0);
    }
    CHECK(host_adapter.close(emb.loop));
}

static void on_readable_look(void *arg)
{
    struct own *own = arg;
    own->heard++;
    host_adapter.watch_stop(own->watch);
}

static int wait_and_note(void *arg)
{
    struct own *own = arg;
    int duplicate = dup(own->fds[0]);
    CHECK_EQ(weft_wait_fd(duplicate, WEFT_READABLE), WEFT_READABLE);
    own->fired += 10;
    return weft_close(duplicate);
}

/* A duplicate, as a number has one owner. */
WEFT_TEST(emb, 03b_host_and_task_watch_the_same_file)
{
    struct emb emb;
    struct own own = {0};
    if (!emb_open(&emb)) return;
    own.loop = emb.loop;
    harness_pipe(own.fds);
    own.watch = host_adapter.watch_start(emb.loop, own.fds[0], on_readable_look, &own);
    CHECK(host_adapter.timer_start(emb.loop, 5, on_timer, &own));
    emb_spawn(&emb, wait_and_note, &own);
    emb_run(&emb);
    CHECK_EQ(own.heard, 1);
    CHECK_EQ(own.fired, 11);
    emb_close(&emb);
}

/* ---- EMB-11 ---- */

WEFT_TEST(emb, 11_nothing_to_do_keeps_no_loop_alive)
{
    struct emb emb;
    if (!emb_open(&emb)) return;
    int64_t start_ns = harness_now_ns();
    emb_run(&emb);
    emb_spawn(&emb, sleep_forever, NULL); /* only a cancellation ends it */
    emb_run(&emb);
    CHECK_WITHIN(harness_now_ns() - start_ns, 0, harness_slack_ns());
    emb_close(&emb);
}

static int read_in_time(void *arg)
{
    char byte;
    ssize_t size = 0;
    weft_with_timeout(10 * WEFT_MSEC) {
        size = weft_read(*(int *)arg, &byte, 1);
    }
    return CHECK_EQ(size, -ETIMEDOUT) ? 0 : -1;
}

WEFT_TEST(emb, 11b_a_deadline_does)
{
    struct emb emb;
    int fds[2];
    harness_pipe(fds);
    if (!emb_open(&emb)) return;
    int64_t start_ns = harness_now_ns();
    emb_spawn(&emb, sleep_30_ms, NULL);
    emb_run(&emb);
    CHECK_WITHIN(harness_now_ns() - start_ns, 30 * NS_PER_MS, 30 * NS_PER_MS + harness_slack_ns());

    /* a descriptor that nobody waits for any more does not */
    start_ns = harness_now_ns();
    emb_spawn(&emb, read_in_time, &fds[0]);
    emb_run(&emb);
    CHECK_WITHIN(harness_now_ns() - start_ns, 10 * NS_PER_MS, 10 * NS_PER_MS + harness_slack_ns());
    emb_close(&emb);
}

static void *write_later(void *arg)
{
    harness_sleep_ms(30);
    CHECK_EQ(write(*(int *)arg, "z", 1), 1);
    return NULL;
}

WEFT_TEST(emb, 11c_a_descriptor_that_a_task_waits_for_does)
{
    struct emb emb;
    int fds[2];
    pthread_t thread;
    harness_pipe(fds);
    if (!emb_open(&emb)) return;
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(pthread_create(&thread, NULL, write_later, &fds[1]), 0);
    emb_spawn(&emb, wait_readable, &fds[0]);
    emb_run(&emb);
    CHECK(harness_now_ns() - start_ns >= 30 * NS_PER_MS);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    host_adapter.timer_stop(host_adapter.timer_start(emb.loop, 1000, nothing, NULL));
    emb_close(&emb);
}
