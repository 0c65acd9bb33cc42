/* SPDX-License-Identifier: MIT */
/*
 * Wake-ups between workers, from threads and from signals, none of which is lost, and memory that
 * goes along with them: MT-05 to 08, 21; JOIN-16 and 18.
 */
#include <signal.h>

#include "conformance/runtime/mt_support.h"

/* ---- 05 ---- */

struct waking {
    struct weft_runtime *runtime;
    struct weft_chan *chan;
    atomic_int woken;
    struct weft_post post;
};

static struct waking *waking_of_handler;

static int wait_for_close(void *arg)
{
    struct waking *waking = arg;
    CHECK_EQ(weft_chan_recv(waking->chan, NULL), -EPIPE);
    count_up(&waking->woken);
    return 0;
}

static struct weft_chan *open_shared(void)
{
    struct weft_chan *chan = NULL;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    return chan;
}

static void *close_from_thread(void *arg)
{
    CHECK_EQ(weft_chan_close(((struct waking *)arg)->chan), 0);
    return NULL;
}

static int close_from_task(void *arg)
{
    CHECK_EQ(weft_chan_close(((struct waking *)arg)->chan), 0);
    return 0;
}

static void close_posted(void *arg)
{
    CHECK_EQ(weft_chan_close(((struct waking *)arg)->chan), 0);
}

static void post_from_handler(int number)
{
    (void)number;
    CHECK_EQ(weft_post(waking_of_handler->runtime, &waking_of_handler->post), 0);
}

/* Tasks of every worker sleep; somebody else wakes them all. */
static void wake_all(struct waking *waking, int how)
{
    int count = 3 * (int)weft_worker_count();
    struct weft_scope scope;
    waking->chan = how == 0 ? open_chan(0, 0) : open_shared();
    atomic_store(&waking->woken, 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < count; i++) {
        (void)spawn_spread(&scope, wait_for_close, waking);
    }
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_EQ(atomic_load(&waking->woken), 0);
    if (how == 0) (void)spawn_spread(&scope, close_from_task, waking);
    if (how == 1) {
        pthread_t thread = start_thread(close_from_thread, waking);
        CHECK_EQ(weft_scope_close(&scope), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    } else {
        if (how == 2) CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(weft_scope_close(&scope), 0);
    }
    CHECK_EQ(atomic_load(&waking->woken), count);
    weft_chan_unref(waking->chan);
}

static int root_wakes(void *arg)
{
    struct waking *waking = arg;
    waking->runtime = weft_runtime_current();
    waking->post = (struct weft_post){.fn = close_posted, .arg = waking};
    for (int how = 0; how < 3; how++) {
        wake_all(waking, how);
    }
    return 0;
}

MT_TEST(mt, 05_tasks_of_all_workers_are_woken_from_anywhere)
{
    struct waking waking = {.runtime = NULL};
    struct sigaction action = {.sa_handler = post_from_handler};
    waking_of_handler = &waking;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(run_with(workers, root_wakes, &waking), 0);
}

/* ---- 06 ---- */

#define ROUNDS 20000

struct rally {
    struct weft_chan *chan[2];
    atomic_int places;
    int rounds;
};

static int play(void *arg)
{
    struct rally *rally = arg;
    int side = atomic_fetch_add(&rally->places, 1);
    for (int i = 0; i < rally->rounds; i++) {
        if (side == 0) CHECK_EQ(weft_chan_send(rally->chan[0], NULL), 0);
        if (!CHECK_EQ(weft_chan_recv(rally->chan[!side], NULL), 0)) return 0;
        for (int spin = i % 128 * 16; spin > 0; spin--) {
            __asm__ volatile("" ::: "memory");
        }
        if (side == 1) CHECK_EQ(weft_chan_send(rally->chan[1], NULL), 0);
    }
    return 0;
}

static int root_of_rally(void *arg)
{
    struct rally *rally = arg;
    rally->chan[0] = open_chan(0, 0);
    rally->chan[1] = open_chan(0, 0);
    run_spread(2, play, rally);
    weft_chan_unref(rally->chan[0]);
    weft_chan_unref(rally->chan[1]);
    return 0;
}

/* One player computes a little longer each time: it meets the other in each state of going to
 * sleep. */
MT_TEST(mt, 06_no_wake_up_is_lost_while_going_to_sleep, .timeout = 60)
{
    struct rally rally = {.rounds = ROUNDS / harness_pace()};
    CHECK_EQ(run_with(workers, root_of_rally, &rally), 0);
}

/* ---- 07 ---- */

#define POSTS 1000

struct burst {
    struct weft_runtime *runtime;
    struct weft_post posts[POSTS];
    int ran;
};

static void post_runs(void *arg)
{
    ((struct burst *)arg)->ran++;
}

static void *post_burst(void *arg)
{
    struct burst *burst = arg;
    for (int i = 0; i < POSTS; i++) {
        burst->posts[i] = (struct weft_post){.fn = post_runs, .arg = burst};
        CHECK_EQ(weft_post(burst->runtime, &burst->posts[i]), 0);
    }
    return NULL;
}

/* The worker is held until all are posted: they cost a few turns together, not one each. */
static int root_of_burst(void *arg)
{
    struct burst *burst = arg;
    struct weft_stats before = {.size = sizeof before};
    struct weft_stats after = {.size = sizeof after};
    burst->runtime = weft_runtime_current();
    pthread_t thread = start_thread(post_burst, burst);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_stats(&before), 0);
    while (burst->ran < POSTS) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(weft_stats(&after), 0);
    CHECK_WITHIN(after.turns - before.turns, 1, POSTS / 10);
    CHECK_WITHIN(after.polls - before.polls, 0, POSTS / 10);
    return 0;
}

MT_TEST(mt, 07_a_burst_of_wake_ups_costs_a_few_turns)
{
    static struct burst burst;
    burst.ran = 0;
    CHECK_EQ(run_with(workers, root_of_burst, &burst), 0);
    CHECK_EQ(burst.ran, POSTS);
}

/* ---- 08 ---- */

#define WAKERS 8

struct storm {
    struct weft_runtime *runtime;
    struct weft_chan *chan; /* shared */
    atomic_bool is_over;
    int fds[2];
    atomic_int wakers;
    struct weft_post posts[WAKERS]; /* of one thread each; queued still, maybe, when it ends */
};

static void do_nothing_posted(void *arg)
{
    (void)arg;
}

static void *wake_all_the_time(void *arg)
{
    struct storm *storm = arg;
    struct weft_post *post = &storm->posts[atomic_fetch_add(&storm->wakers, 1)];
    *post = (struct weft_post){.fn = do_nothing_posted};
    while (!atomic_load(&storm->is_over)) {
        CHECK_EQ(weft_post(storm->runtime, post), 0);
        int status = weft_chan_try_send(storm->chan, NULL);
        CHECK(status == 0 || status == -EAGAIN);
    }
    return NULL;
}

static int receive_all(void *arg)
{
    int status = 0;
    while (status == 0) {
        status = weft_chan_recv(((struct storm *)arg)->chan, NULL);
    }
    CHECK_EQ(status, -EPIPE);
    return 0;
}

/* A timer and a descriptor in turn, on a worker that is woken all the time. */
static int sleep_and_read(void *arg)
{
    struct storm *storm = arg;
    for (int i = 0; i < 20; i++) {
        char byte = 'x';
        int64_t start = weft_now();
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
        CHECK_WITHIN(weft_now() - start, WEFT_MSEC, WEFT_MSEC + 10 * harness_slack_ns());
        CHECK_EQ(weft_write(storm->fds[1], &byte, 1), 1);
        CHECK_EQ(weft_read(storm->fds[0], &byte, 1), 1);
    }
    return 0;
}

static int root_of_storm(void *arg)
{
    struct storm *storm = arg;
    pthread_t threads[WAKERS];
    struct weft_scope scope;
    storm->runtime = weft_runtime_current();
    storm->chan = open_shared();
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        (void)spawn_spread(&scope, receive_all, storm);
    }
    for (int i = 0; i < WAKERS; i++) {
        threads[i] = start_thread(wake_all_the_time, storm);
    }
    run_spread(2 * weft_worker_count(), sleep_and_read, storm);
    atomic_store(&storm->is_over, true);
    for (int i = 0; i < WAKERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(weft_chan_close(storm->chan), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    weft_chan_unref(storm->chan);
    return 0;
}

MT_TEST(mt, 08_a_storm_of_wake_ups_starves_nothing, .timeout = 60)
{
    struct storm storm = {.runtime = NULL};
    harness_socket_pair(storm.fds);
    CHECK_EQ(run_with(workers, root_of_storm, &storm), 0);
    (void)close(storm.fds[0]);
    (void)close(storm.fds[1]);
}

/* ---- join 16, 18; 21 ---- */

/* Plain memory, written by one and read by another: what orders that is the call alone. */
struct errand {
    int given;
    int brought;
};

static int run_errand(void *arg)
{
    struct errand *errand = arg;
    errand->brought = errand->given + 1;
    return errand->given;
}

static int root_joins(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000 / harness_pace(); i++) {
        struct errand errands[4];
        weft_task tasks[4];
        for (int j = 0; j < 4; j++) {
            errands[j] = (struct errand){.given = i + j};
            tasks[j] = spawn_spread(NULL, run_errand, &errands[j]);
        }
        for (int spin = i % 128 * 16; spin > 0; spin--) {
            __asm__ volatile("" ::: "memory");
        }
        for (int j = 0; j < 4; j++) {
            CHECK_EQ(join_result(tasks[j]), i + j);
            CHECK_EQ(errands[j].brought, i + j + 1);
            CHECK_EQ(weft_join(tasks[j], NULL), -ESRCH);
        }
    }
    return 0;
}

MT_TEST(join, 18_an_end_between_the_look_and_the_sleep_is_not_lost, .timeout = 60)
{
    CHECK_EQ(run_with(workers, root_joins, NULL), 0);
}

struct far {
    atomic_int elsewhere;
    struct weft_chan *go;
};

static int end_elsewhere(void *arg)
{
    struct far *far = arg;
    if (weft_worker_index() != 0) count_up(&far->elsewhere);
    CHECK_EQ(weft_chan_recv(far->go, NULL), -EPIPE);
    return 40 + (int)weft_worker_index();
}

/* One that has ended, and one that is waited for. */
static int root_joins_elsewhere(void *arg)
{
    struct far *far = arg;
    weft_task tasks[8];
    int seen = 0;
    far->go = open_chan(0, 0);
    for (int i = 0; i < 8; i++) {
        tasks[i] = spawn_spread(NULL, end_elsewhere, far);
    }
    CHECK(compute_until(&far->elsewhere, 4));
    CHECK_EQ(weft_chan_close(far->go), 0);
    for (int i = 0; i < 8; i++) {
        int result = join_result(tasks[i]);
        CHECK_WITHIN(result, 40, 39 + (int)weft_worker_count());
        seen |= 1 << (result - 40);
        if (i == 3) CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    }
    CHECK_EQ(seen, (1 << weft_worker_count()) - 1);
    weft_chan_unref(far->go);
    return 0;
}

MT_TEST(join, 16_a_task_of_another_worker_tells_its_result)
{
    struct far far = {.elsewhere = 0};
    CHECK_EQ(run_with(workers, root_joins_elsewhere, &far), 0);
}

static int give_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int join_left(void *arg)
{
    CHECK_EQ(join_result(*(weft_task *)arg), 7);
    return 0;
}

/* They end here, where nobody but their worker knows of them. */
static int root_leaves_results(void *arg)
{
    weft_task tasks[8];
    struct weft_scope scope;
    (void)arg;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        CHECK_EQ(weft_spawn(&tasks[i], give_seven, NULL), 0);
    }
    CHECK_EQ(weft_yield(), 0);
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        (void)spawn_spread(&scope, join_left, &tasks[i]);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(join, 16b_a_result_that_was_left_is_found_from_elsewhere)
{
    CHECK_EQ(run_with(workers, root_leaves_results, NULL), 0);
}

struct baton {
    struct weft_chan *chan;
    int count; /* plain: of whoever holds the value */
    int rounds;
};

static int pass_on(void *arg)
{
    struct baton *baton = arg;
    for (int i = 0; i < baton->rounds; i++) {
        CHECK_EQ(weft_chan_recv(baton->chan, NULL), 0);
        baton->count++;
        CHECK_EQ(weft_chan_send(baton->chan, NULL), 0);
    }
    return 0;
}

static int root_of_baton(void *arg)
{
    struct baton *baton = arg;
    baton->chan = open_chan(0, 1);
    CHECK_EQ(weft_chan_send(baton->chan, NULL), 0);
    run_spread(8, pass_on, baton);
    CHECK_EQ(baton->count, 8 * baton->rounds);
    weft_chan_unref(baton->chan);
    return 0;
}

/* The stress programs look for races under ThreadSanitizer; here it is the count that shows one. */
MT_TEST(mt, 21_plain_memory_goes_along_with_a_value)
{
    struct baton baton = {.rounds = 1000 / harness_pace()};
    CHECK_EQ(run_with(workers, root_of_baton, &baton), 0);
}
