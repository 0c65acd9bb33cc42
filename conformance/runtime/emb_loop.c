/* SPDX-License-Identifier: MIT */
/* EMB-08, EMB-09, EMB-13, EMB-15: ways to turn the loop, a host that is slow, two runtimes. */
#include <signal.h>

#include "conformance/runtime/emb_support.h"

/* ---- EMB-08 ---- */

struct flow {
    struct emb emb;
    int fds[2];
    int written;
    int read;
    int stops;
};

enum { BYTES = 40 };

static int write_slowly(void *arg)
{
    struct flow *flow = arg;
    for (; flow->written < BYTES; flow->written++) {
        CHECK_EQ(weft_write(flow->fds[1], "x", 1), 1);
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }
    return 0;
}

static int read_all(void *arg)
{
    struct flow *flow = arg;
    char bytes[4];
    while (flow->read < BYTES) {
        ssize_t size = weft_read(flow->fds[0], bytes, sizeof bytes);
        if (!CHECK(size > 0)) return -1;
        flow->read += (int)size;
    }
    return 0;
}

static void start_flow(struct flow *flow)
{
    harness_socket_pair(flow->fds);
    emb_spawn(&flow->emb, write_slowly, flow);
    emb_spawn(&flow->emb, read_all, flow);
}

WEFT_TEST(emb, 08_a_loop_that_is_stopped_and_run_again_loses_nothing)
{
    struct flow flow = {0};
    if (!emb_open(&flow.emb)) return;
    start_flow(&flow);
    for (; flow.read < BYTES && flow.stops < 1000; flow.stops++) {
        emb_run_for(&flow.emb, 5);
        harness_sleep_ms(3); /* the host does something else meanwhile */
    }
    CHECK_WITHIN(flow.stops, 3, 999);
    emb_run(&flow.emb);
    CHECK_EQ(flow.written, BYTES);
    emb_close(&flow.emb);
}

static int stop_the_host(void *arg)
{
    struct flow *flow = arg;
    flow->stops++;
    host_adapter.stop(flow->emb.loop);
    return weft_sleep(WEFT_MSEC) == 0 ? ++flow->stops : -1;
}

/* The stop may take effect after this pass; the task is in it. */
WEFT_TEST(emb, 08b_a_task_may_stop_the_loop)
{
    struct flow flow = {0};
    if (!emb_open(&flow.emb)) return;
    emb_spawn(&flow.emb, stop_the_host, &flow);
    emb_run(&flow.emb);
    CHECK_EQ(flow.stops, 1);
    emb_run(&flow.emb);
    CHECK_EQ(flow.stops, 2);
    emb_close(&flow.emb);
}

/* ---- EMB-09 ---- */

WEFT_TEST(emb, 09_one_pass_at_a_time)
{
    struct flow flow = {0};
    if (!emb_open(&flow.emb)) return;
    start_flow(&flow);
    int passes = 0;
    for (; flow.read < BYTES && passes < 10000; passes++)
        host_adapter.run_once(flow.emb.loop);
    CHECK_EQ(flow.read, BYTES);
    CHECK_WITHIN(passes, 2, 20 * BYTES); /* each sleeps until there is something to do */
    emb_run(&flow.emb);
    emb_close(&flow.emb);
}

WEFT_TEST(emb, 09b_passes_that_do_not_sleep)
{
    struct flow flow = {0};
    if (!emb_open(&flow.emb)) return;
    start_flow(&flow);
    int64_t limit_ns = harness_now_ns() + 10 * NS_PER_SEC;
    int64_t longest_ns = 0;
    while (flow.read < BYTES && harness_now_ns() < limit_ns) {
        int64_t start_ns = harness_thread_cpu_ns();
        host_adapter.run_nowait(flow.emb.loop);
        int64_t passed_ns = harness_thread_cpu_ns() - start_ns;
        if (passed_ns > longest_ns) longest_ns = passed_ns;
    }
    CHECK_EQ(flow.read, BYTES);
    CHECK_WITHIN(longest_ns, 0, 20 * NS_PER_MS * harness_pace());
    emb_run(&flow.emb);
    emb_close(&flow.emb);
}

/* ---- EMB-13 ---- */

struct late {
    int64_t due_ns[3];
    int64_t woke_ns[3];
    int order[3];
    int woken;
};

WEFT_TASK(sleep_in_order, (struct late *, late), (int, index))
{
    late->due_ns[index] = weft_now() + (index + 1) * 5 * WEFT_MSEC;
    CHECK_EQ(weft_sleep((index + 1) * 5 * WEFT_MSEC), 0);
    late->woke_ns[index] = weft_now();
    late->order[late->woken++] = index;

    /* armed right after the stall, it has its whole time */
    int64_t start_ns = weft_now();
    CHECK_EQ(weft_sleep(4 * WEFT_MSEC), 0);
    CHECK_WITHIN(weft_now() - start_ns, 4 * NS_PER_MS, 4 * NS_PER_MS + harness_slack_ns());
    return 0;
}

static int spawn_late(void *arg)
{
    struct late *late = arg;
    for (int i = 2; i >= 0; i--) {
        CHECK_EQ(sleep_in_order_spawn(NULL, late, i), 0);
    }
    return 0;
}

static void stall(void *arg)
{
    (void)arg;
    harness_sleep_ms(40);
}

WEFT_TEST(emb, 13_a_host_that_stalls_makes_timers_late_but_not_early_nor_disordered)
{
    struct emb emb;
    struct late late = {0};
    if (!emb_open(&emb)) return;
    emb_spawn(&emb, spawn_late, &late);
    CHECK(host_adapter.timer_start(emb.loop, 2, stall, NULL));
    emb_run(&emb);
    CHECK_EQ(late.woken, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(late.order[i], i);
        CHECK(late.woke_ns[i] >= late.due_ns[i]);
    }
    emb_close(&emb);
}

static int compute(void *arg)
{
    struct flow *flow = arg;
    while (flow->stops < 3) {
        flow->read++;
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static void on_timer_count(void *arg)
{
    struct flow *flow = arg;
    flow->stops++;
    if (flow->stops < 3) {
        CHECK(host_adapter.timer_start(flow->emb.loop, 5, on_timer_count, flow));
    }
}

WEFT_TEST(emb, 13b_tasks_that_are_always_ready_leave_time_to_the_host)
{
    struct flow flow = {0};
    if (!emb_open(&flow.emb)) return;
    emb_spawn(&flow.emb, compute, &flow);
    emb_spawn(&flow.emb, compute, &flow);
    int64_t start_ns = harness_now_ns();
    CHECK(host_adapter.timer_start(flow.emb.loop, 5, on_timer_count, &flow));
    emb_run(&flow.emb);
    CHECK_EQ(flow.stops, 3);
    CHECK(flow.read > 100);
    CHECK_WITHIN(harness_now_ns() - start_ns, 13 * NS_PER_MS, 30 * NS_PER_MS + harness_slack_ns());
    emb_close(&flow.emb);
}

/* The other way round: a watch of the host that is always ready. */
static void nothing(void *arg)
{
    (void)arg;
}

WEFT_TEST(emb, 13c_a_host_that_is_always_busy_leaves_time_to_tasks)
{
    struct flow flow = {0};
    int busy[2];
    harness_pipe(busy);
    CHECK_EQ(write(busy[1], "x", 1), 1);
    if (!emb_open(&flow.emb)) return;
    struct host_watch *watch = host_adapter.watch_start(flow.emb.loop, busy[0], nothing, NULL);
    start_flow(&flow);
    for (int i = 0; i < 500 && flow.read < BYTES; i++)
        emb_run_for(&flow.emb, 20);
    CHECK_EQ(flow.read, BYTES);
    host_adapter.watch_stop(watch);
    emb_run(&flow.emb);
    emb_close(&flow.emb);
}

/* ---- EMB-15 ---- */

WEFT_TEST(emb, 15_two_runtimes_in_one_loop)
{
    struct flow flow = {0}, other = {0};
    if (!emb_open(&flow.emb)) return;
    other.emb.loop = flow.emb.loop;
    CHECK_EQ(host_adapter.attach(other.emb.loop, &other.emb.runtime, NULL), 0);
    CHECK_PTR(weft_runtime_current(), other.emb.runtime); /* the latest */
    start_flow(&flow);
    start_flow(&other);
    emb_run(&flow.emb);
    CHECK_EQ(flow.read, BYTES);
    CHECK_EQ(other.read, BYTES);

    CHECK_EQ(host_adapter.detach(flow.emb.loop, flow.emb.runtime), 0);
    CHECK_PTR(weft_runtime_current(), other.emb.runtime);
    other.read = other.written = 0;
    start_flow(&other);
    emb_run(&other.emb);
    CHECK_EQ(other.read, BYTES);
    emb_close(&other.emb);
    CHECK_PTR(weft_runtime_current(), NULL);
}

struct tag {
    struct weft_runtime *expected;
    struct weft_runtime *other;
    struct weft_chan *chan;
    int seen;
    int limit;
};

static int tell_who(void *arg)
{
    struct tag *tag = arg;
    CHECK_PTR(weft_runtime_current(), tag->expected);
    tag->seen++;
    return 0;
}

static int spawn_there(void *arg)
{
    struct tag *tags = arg;
    CHECK_PTR(weft_runtime_current(), tags[0].expected);
    CHECK_EQ(weft_runtime_spawn(tags[0].other, NULL, NULL, tell_who, &tags[1]), 0);
    CHECK_PTR(weft_runtime_current(), tags[0].expected);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_PTR(weft_runtime_current(), tags[0].expected);
    tags[0].seen++;
    return 0;
}

static int pass_on(void *arg)
{
    struct tag *tag = arg;
    int value = 0;
    while (value < tag->limit) {
        if (weft_chan_recv(tag->chan, &value) < 0) return 0; /* closed */
        CHECK_PTR(weft_runtime_current(), tag->expected);
        tag->seen++;
        value++;
        if (weft_chan_send(tag->chan, &value) < 0) return 0;
    }
    return 0;
}

WEFT_TEST(emb, 15b_each_task_knows_its_runtime)
{
    struct emb emb, other;
    if (!emb_open(&emb)) return;
    other.loop = emb.loop;
    CHECK_EQ(host_adapter.attach(other.loop, &other.runtime, NULL), 0);
    struct tag tags[2] = {{.expected = emb.runtime, .other = other.runtime},
                          {.expected = other.runtime}};
    emb_spawn(&emb, spawn_there, tags);
    emb_run(&emb);
    CHECK_EQ(tags[0].seen, 1);
    CHECK_EQ(tags[1].seen, 1);
    CHECK_EQ(host_adapter.detach(emb.loop, emb.runtime), 0);
    emb_close(&other);
}

/* Two runtimes of one thread: the signal is handled once, and neither is left out. */
static int dump_both(void *arg)
{
    (void)arg;
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    struct emb emb, other;
    if (!emb_open_with(&emb, &config)) return 1;
    other.loop = emb.loop;
    CHECK_EQ(host_adapter.attach(other.loop, &other.runtime, &config), 0);
    emb_spawn(&emb, sleep_forever, NULL);
    emb_spawn(&other, sleep_forever, NULL);
    emb_run_for(&emb, 2);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(host_adapter.detach(emb.loop, emb.runtime), 0);
    emb_close(&other);
    return 0;
}

WEFT_TEST(emb, 15d_a_dump_shows_all_runtimes_of_the_thread)
{
    struct harness_child child;
    harness_run_child(&child, dump_both, NULL);
    CHECK(child.exited);
    if (child.exit_code == 1) return; /* no loop to live in: asserted there */
    int headings = 0;
    for (const char *at = child.output; (at = strstr(at, "1 task, 0 unstarted")); at++)
        headings++;
    CHECK_EQ(headings, 2);
}

WEFT_TEST(emb, 15c_two_runtimes_of_a_loop_share_a_channel)
{
    struct emb emb, other;
    if (!emb_open(&emb)) return;
    other.loop = emb.loop;
    CHECK_EQ(host_adapter.attach(other.loop, &other.runtime, NULL), 0);
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    options.value_size = sizeof(int);
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);

    struct tag one = {.expected = emb.runtime, .chan = chan, .limit = 200};
    struct tag two = {.expected = other.runtime, .chan = chan, .limit = 200};
    emb_spawn(&emb, pass_on, &one);
    emb_spawn(&other, pass_on, &two);
    int zero = 0;
    for (int i = 0; i < 5 && weft_chan_try_send(chan, &zero) == -EAGAIN; i++) {
        host_adapter.run_nowait(emb.loop);
    }
    int64_t start_ns = harness_now_ns();
    while (one.seen + two.seen < 200 && harness_now_ns() - start_ns < 5 * NS_PER_SEC) {
        emb_run_for(&emb, 5);
    }
    CHECK(one.seen > 50 && two.seen > 50);
    CHECK_EQ(weft_chan_close(chan), 0);
    CHECK_EQ(host_adapter.detach(emb.loop, emb.runtime), 0);
    emb_close(&other);
    weft_chan_unref(chan);
}
