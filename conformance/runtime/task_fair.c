/* SPDX-License-Identifier: MIT */
/*
 * Rows TASK-04, 05, 06, 08, 09, 31, 32, 34: tasks that are always ready starve nobody, and a task
 * may block again wherever it was woken.
 */
#include <pthread.h>

#include "conformance/runtime/support.h"

/* More yields than any bound of the scheduler, and still few. */
#define YIELDS_MAX 2000

/* Yields until *flag is set; the number of yields. */
static int yield_until(const bool *flag, int limit)
{
    int count = 0;
    while (!*flag && count < limit) {
        CHECK_EQ(weft_yield(), 0);
        count++;
    }
    return count;
}

/* ---- 04 ---- */

WEFT_TASK(read_one, (int, fd), (bool *, done))
{
    char byte = 0;
    CHECK_EQ(weft_read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    *done = true;
    return 0;
}

static int root_spins_beside_reader(void *arg)
{
    int *fds = arg;
    bool done = false;
    CHECK_EQ(weft_go(read_one, fds[0], &done), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK(!done);

    CHECK_EQ(write(fds[1], "x", 1), 1);
    int yields = yield_until(&done, 1000000);

    CHECK(done);
    CHECK_WITHIN(yields, 1, YIELDS_MAX);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(task, 04_a_yield_loop_does_not_starve_descriptors)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_spins_beside_reader, fds), 0);
}

/* ---- 05 ---- */

WEFT_TASK(sleep_then_set, (int64_t, duration_ns), (bool *, done))
{
    CHECK_EQ(weft_sleep(duration_ns), 0);
    *done = true;
    return 0;
}

static int root_spins_beside_sleeper(void *arg)
{
    (void)arg;
    bool done = false;
    int64_t start = harness_now_ns();
    CHECK_EQ(weft_go(sleep_then_set, 10 * WEFT_MSEC, &done), 0);

    while (!done && harness_now_ns() - start < 10 * NS_PER_SEC) {
        CHECK_EQ(weft_yield(), 0);
    }

    CHECK(done);
    CHECK_WITHIN(harness_now_ns() - start, 10 * NS_PER_MS, 10 * NS_PER_MS + harness_slack_ns());
    return 0;
}

WEFT_TEST(task, 05_a_yield_loop_does_not_starve_timers)
{
    (void)harness_slack_ns();

    CHECK_EQ(run_real(root_spins_beside_sleeper, NULL), 0);
}

/* ---- 06 ---- */

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static int root_spins_beside_post(void *arg)
{
    (void)arg;
    bool done = false;
    struct weft_post node = {.fn = set_true, .arg = &done};
    CHECK_EQ(weft_post(weft_runtime_current(), &node), 0);
    CHECK(!done);

    int yields = yield_until(&done, 1000000);

    CHECK(done);
    CHECK_WITHIN(yields, 1, YIELDS_MAX);
    return 0;
}

WEFT_TEST(task, 06_a_yield_loop_does_not_starve_posts)
{
    CHECK_EQ(run_real(root_spins_beside_post, NULL), 0);
}

struct endless_post {
    struct weft_post node;
    struct weft_runtime *runtime;
    bool stop;
    long runs;
};

static void post_again(void *arg)
{
    struct endless_post *post = arg;
    post->runs++;
    if (!post->stop) CHECK_EQ(weft_post(post->runtime, &post->node), 0);
}

static int root_passes_checkpoints(void *arg)
{
    (void)arg;
    struct endless_post post = {.runtime = weft_runtime_current()};
    post.node.fn = post_again;
    post.node.arg = &post;
    CHECK_EQ(weft_post(post.runtime, &post.node), 0);

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    }

    CHECK(post.runs >= 1);
    post.stop = true;
    long runs = post.runs;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK(post.runs <= runs + 1);
    return 20;
}

WEFT_TEST(task, 06b_an_endless_post_does_not_starve_tasks)
{
    CHECK_EQ(run_real(root_passes_checkpoints, NULL), 20);
}

/* ---- 08, 09 ---- */

struct foreign {
    struct weft_runtime *runtime;
    struct weft_chan *done;
    int64_t spawned_ns;
    int64_t ran_ns;
    bool ran;
};

static int note_time(void *arg)
{
    struct foreign *foreign = arg;
    foreign->ran_ns = harness_now_ns();
    foreign->ran = true;
    return weft_chan_send(foreign->done, NULL);
}

static void *spawn_late(void *arg)
{
    struct foreign *foreign = arg;
    harness_sleep_ms(20);
    foreign->spawned_ns = harness_now_ns();
    CHECK_EQ(weft_runtime_spawn(foreign->runtime, NULL, NULL, note_time, foreign), 0);
    CHECK_EQ(weft_runtime_unref(foreign->runtime), 0);
    return NULL;
}

static void start_foreign(struct foreign *foreign, pthread_t *ret_thread)
{
    foreign->runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(foreign->runtime), 0);
    CHECK_EQ(pthread_create(ret_thread, NULL, spawn_late, foreign), 0);
}

static int root_waits_idle(void *arg)
{
    struct foreign *foreign = arg;
    pthread_t thread;
    foreign->done = open_chan(0, 0);
    start_foreign(foreign, &thread);

    CHECK_EQ(weft_chan_recv(foreign->done, NULL), 0);

    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(foreign->done);
    return 0;
}

WEFT_TEST(task, 08_a_foreign_spawn_wakes_an_idle_loop)
{
    struct foreign foreign = {0};
    int64_t slack = harness_slack_ns();

    CHECK_EQ(run_real(root_waits_idle, &foreign), 0);

    CHECK_WITHIN(foreign.ran_ns - foreign.spawned_ns, 0, slack);
}

static int root_waits_busy(void *arg)
{
    struct foreign *foreign = arg;
    pthread_t thread;
    foreign->done = open_chan(0, 1);
    start_foreign(foreign, &thread);

    int64_t limit = harness_now_ns() + 10 * NS_PER_SEC;
    while (!foreign->ran && harness_now_ns() < limit) {
        CHECK_EQ(weft_yield(), 0);
    }

    CHECK(foreign->ran);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(foreign->done);
    return 0;
}

WEFT_TEST(task, 09_a_foreign_spawn_reaches_a_busy_loop)
{
    struct foreign foreign = {0};
    int64_t slack = harness_slack_ns();

    CHECK_EQ(run_real(root_waits_busy, &foreign), 0);

    CHECK_WITHIN(foreign.ran_ns - foreign.spawned_ns, 0, slack);
}

/* ---- 31 ---- */

struct rally {
    struct weft_chan *there;
    struct weft_chan *back;
    long hits;
    bool stop;
};

static int hit_ball(void *arg)
{
    struct rally *rally = arg;
    while (!rally->stop && rally->hits < 1000000) {
        rally->hits++;
        if (weft_chan_send(rally->there, NULL) < 0) break;
        if (weft_chan_recv(rally->back, NULL) < 0) break;
    }
    CHECK_EQ(weft_chan_close(rally->there), 0);
    return 0;
}

static int return_ball(void *arg)
{
    struct rally *rally = arg;
    while (weft_chan_recv(rally->there, NULL) == 0) {
        if (weft_chan_send(rally->back, NULL) < 0) break;
    }
    return 0;
}

static int root_referees(void *arg)
{
    (void)arg;
    struct rally rally = {open_chan(0, 0), open_chan(0, 0), 0, false};
    weft_task players[2] = {spawn_task(hit_ball, &rally), spawn_task(return_ball, &rally)};
    for (int i = 0; i < 20; i++) {
        long hits = rally.hits;
        CHECK_EQ(weft_yield(), 0);
        CHECK_WITHIN(rally.hits - hits, 0, 500);
    }
    CHECK(rally.hits > 0);

    rally.stop = true;
    CHECK_EQ(join_result(players[0]), 0);
    CHECK_EQ(join_result(players[1]), 0);
    weft_chan_unref(rally.there);
    weft_chan_unref(rally.back);
    return 0;
}

WEFT_TEST(task, 31_two_tasks_at_ping_pong_starve_no_third)
{
    CHECK_EQ(run_real(root_referees, NULL), 0);
}

/* ---- 32 ---- */

struct greedy {
    struct weft_chan *chan;
    int fd;
    bool stop;
    long calls;
};

static int use_full_channel(void *arg)
{
    struct greedy *greedy = arg;
    while (!greedy->stop && greedy->calls < 1000000) {
        CHECK_EQ(weft_chan_send(greedy->chan, NULL), 0);
        CHECK_EQ(weft_chan_recv(greedy->chan, NULL), 0);
        greedy->calls++;
    }
    return 0;
}

static int use_ready_select(void *arg)
{
    struct greedy *greedy = arg;
    while (!greedy->stop && greedy->calls < 1000000) {
        CHECK_EQ(weft_select(weft_on_send(greedy->chan, NULL), weft_after(WEFT_SEC)), 0);
        CHECK_EQ(weft_select(weft_on_recv(greedy->chan, NULL), weft_after(WEFT_SEC)), 0);
        greedy->calls++;
    }
    return 0;
}

static int use_full_socket(void *arg)
{
    struct greedy *greedy = arg;
    char byte;
    while (!greedy->stop && weft_read(greedy->fd, &byte, 1) == 1) {
        greedy->calls++;
    }
    return 0;
}

/* Runs a greedy task beside the root; how many of its calls fit into one turn of the root. */
static void check_turn(struct greedy *greedy, weft_fn fn)
{
    weft_task task = spawn_task(fn, greedy);
    CHECK_EQ(weft_yield(), 0);
    CHECK_WITHIN(greedy->calls, 1, 20000);
    long calls = greedy->calls;
    CHECK_EQ(weft_yield(), 0);
    CHECK_WITHIN(greedy->calls - calls, 1, 20000);
    greedy->stop = true;
    CHECK_EQ(join_result(task), 0);
}

static int root_beside_channel(void *arg)
{
    struct greedy greedy = {.chan = open_chan(0, 4)};
    check_turn(&greedy, *(weft_fn *)arg);
    weft_chan_unref(greedy.chan);
    return 0;
}

WEFT_TEST(task, 32_an_always_ready_channel_yields)
{
    weft_fn fn = use_full_channel;
    harness_needs_order();

    CHECK_EQ(run_real(root_beside_channel, &fn), 0);
}

WEFT_TEST(task, 32b_an_always_ready_select_yields)
{
    weft_fn fn = use_ready_select;
    harness_needs_order();

    CHECK_EQ(run_real(root_beside_channel, &fn), 0);
}

static int root_beside_socket(void *arg)
{
    int *fds = arg;
    struct greedy greedy = {.fd = fds[0]};
    harness_fill(fds[1]);
    check_turn(&greedy, use_full_socket);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(task, 32c_a_socket_that_is_never_drained_yields)
{
    int fds[2];
    harness_needs_order();
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_beside_socket, fds), 0);
}

/* ---- 34 ---- */

struct relay {
    int fds[2];
    struct weft_chan *chan;
};

static int feed_relay(void *arg)
{
    struct relay *relay = arg;
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(weft_write(relay->fds[1], "a", 1), 1);
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(weft_chan_send(relay->chan, NULL), 0);
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(weft_write(relay->fds[1], "b", 1), 1);
    return 3;
}

static int root_blocks_in_turn(void *arg)
{
    struct relay *relay = arg;
    char byte = 0;
    relay->chan = open_chan(0, 0);
    weft_task feeder = spawn_task(feed_relay, relay);

    CHECK_EQ(weft_read(relay->fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'a');
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_chan_recv(relay->chan, NULL), 0);
    CHECK_EQ(weft_wait_fd(relay->fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_read(relay->fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'b');
    CHECK_EQ(join_result(feeder), 3);
    CHECK_EQ(weft_select(weft_on_recv(relay->chan, NULL), weft_after(WEFT_MSEC)), 1);

    weft_chan_unref(relay->chan);
    CHECK_EQ(weft_close(relay->fds[0]), 0);
    CHECK_EQ(weft_close(relay->fds[1]), 0);
    return 0;
}

WEFT_TEST(task, 34_a_woken_task_may_block_in_any_other_call)
{
    struct relay relay = {0};
    harness_socket_pair(relay.fds);

    CHECK_EQ(run_real(root_blocks_in_turn, &relay), 0);
}
