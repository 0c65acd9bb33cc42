/* SPDX-License-Identifier: MIT */
/*
 * A worker that looks on for a while before it sleeps (weft_config.spin_ns): nobody needs to wake
 * it; and then it sleeps as ever: MT-25.
 */
#include <sys/resource.h>

#include "conformance/runtime/faults.h"
#include "conformance/runtime/mt_support.h"

enum { MESSAGES = 30, WORKERS_MAX = 2 };

/* One receiver on each worker, and what its thread's sleeps and wake-ups were. */
struct station {
    struct weft_chan *chan; /* shared */
    long sleeps;
};

struct stations {
    struct station at[WORKERS_MAX];
    int count;
    atomic_int received;
    int wakes;
    int64_t spin_ns;
    const char *spin_us; /* of the environment; NULL: spin_ns */
};

static long sleeps_of_thread(void)
{
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

static int receive_all(void *arg)
{
    struct stations *stations = arg;
    struct station *station = &stations->at[weft_worker_index()];
    CHECK_EQ(weft_chan_recv(station->chan, NULL), 0);
    count_up(&stations->received);
    long before = sleeps_of_thread();
    for (int i = 1; i < MESSAGES; i++) {
        CHECK_EQ(weft_chan_recv(station->chan, NULL), 0);
        count_up(&stations->received);
    }
    station->sleeps = sleeps_of_thread() - before;
    return 0;
}

/* Without a processor of its own: who looks on may need them all. */
static void await_received(struct stations *stations, int wanted)
{
    int64_t limit = harness_now_ns() + 10 * NS_PER_SEC * harness_pace();
    while (atomic_load(&stations->received) < wanted) {
        CHECK_OR_RETURN(harness_now_ns() < limit, );
        harness_sleep_ms(1);
    }
}

/* Long enough after the last message has arrived that who sleeps at all sleeps. */
static void *send_all(void *arg)
{
    struct stations *stations = arg;
    int before = 0;
    for (int i = 0; i < MESSAGES; i++) {
        await_received(stations, i * stations->count);
        harness_sleep_ms(1);
        if (i == 1) before = faults_wakes();
        for (int j = 0; j < stations->count; j++) {
            CHECK_EQ(weft_chan_send(stations->at[j].chan, NULL), 0);
        }
    }
    await_received(stations, MESSAGES * stations->count);
    stations->wakes = faults_wakes() - before;
    return NULL;
}

static int root_of_stations(void *arg)
{
    struct stations *stations = arg;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    stations->count = (int)weft_worker_count();
    options.shared = 1;
    options.capacity = 1;
    for (int i = 0; i < stations->count; i++) {
        CHECK_EQ(weft_chan_open_with(&stations->at[i].chan, &options), 0);
    }
    pthread_t thread = start_thread(send_all, stations);
    run_spread((unsigned)stations->count, receive_all, stations);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (int i = 0; i < stations->count; i++) {
        weft_chan_unref(stations->at[i].chan);
    }
    return 0;
}

static void run_stations(struct stations *stations, unsigned workers)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.workers = workers;
    config.spin_ns = stations->spin_ns;
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    CHECK_EQ(unsetenv("WEFT_CLOCK"), 0);
    CHECK_EQ(stations->spin_us ? setenv("WEFT_SPIN_US", stations->spin_us, 1)
                               : unsetenv("WEFT_SPIN_US"),
             0);
    CHECK_EQ(weft_run(&config, root_of_stations, stations), 0);
    CHECK_EQ(unsetenv("WEFT_SPIN_US"), 0);
}

/* At the end the receivers of the other worker may be waited for, and locks for each other. */
static void check_no_sleep(struct stations *stations, unsigned workers)
{
    run_stations(stations, workers);
    CHECK_WITHIN(stations->wakes, 0, MESSAGES / 10);
    for (unsigned i = 0; i < workers; i++) {
        CHECK_WITHIN(stations->at[i].sleeps, 0, MESSAGES / 4);
    }
}

WEFT_TEST(mt, 25_who_looks_on_is_not_woken_and_does_not_sleep, .timeout = 60)
{
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct stations by_config = {.spin_ns = 5 * WEFT_SEC};
        struct stations by_environment = {.spin_us = "5000000"};
        check_no_sleep(&by_config, workers);
        check_no_sleep(&by_environment, workers);
    }
}

/* Loops that bring their own wake-up make no eventfd of weft's. */
WEFT_TEST(mt, 25b_without_it_each_message_wakes_a_sleeper, .timeout = 60)
{
    struct stations own = {.spin_ns = 0};
    run_stations(&own, 1);
    CHECK_WITHIN(own.at[0].sleeps, MESSAGES / 2, 4 * MESSAGES);
    const char *loop = weft_backend_name();
    bool is_by_eventfd = !strcmp(loop, "epoll") || !strcmp(loop, "poll") || !strcmp(loop, "fake");
    if (is_by_eventfd) CHECK_WITHIN(own.wakes, MESSAGES / 2, 2 * MESSAGES);
}

/* ---- and then it sleeps ---- */

static int64_t cpu_ns(void)
{
    struct timespec now;
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static int root_idles(void *arg)
{
    (void)arg;
    run_spread(weft_worker_count(), do_nothing, NULL);
    CHECK_EQ(weft_yield(), 0);
    int64_t start_ns = weft_now();
    int64_t before_ns = cpu_ns();
    CHECK_EQ(weft_sleep(400 * WEFT_MSEC), 0);
    CHECK_WITHIN(cpu_ns() - before_ns, 0, 100 * WEFT_MSEC);
    CHECK_WITHIN(weft_now() - start_ns, 400 * WEFT_MSEC, 400 * WEFT_MSEC + harness_slack_ns());
    return 0;
}

static int root_is_stuck(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

static void *give_back(void *arg)
{
    harness_sleep_ms(5);
    CHECK_EQ(weft_runtime_unref(arg), 0);
    return NULL;
}

/* While it is held it may be woken; the end of that is told to a worker that looks on. */
static int root_is_stuck_later(void *arg)
{
    pthread_t *thread = arg;
    CHECK_EQ(weft_runtime_ref(weft_runtime_current()), 0);
    *thread = start_thread(give_back, weft_runtime_current());
    return weft_sleep(WEFT_FOREVER);
}

MT_TEST(mt, 25c_then_it_sleeps_and_deadlocks_and_ends_are_found, .timeout = 60)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.workers = workers;
    config.flags = WEFT_NO_DEADLOCK_REPORT | WEFT_NO_ENVIRONMENT;
    config.spin_ns = 10 * WEFT_MSEC;
    CHECK_EQ(weft_run(&config, root_idles, NULL), 0);
    CHECK_EQ(weft_run(&config, root_is_stuck, NULL), -EDEADLK);
    pthread_t thread;
    CHECK_EQ(weft_run(&config, root_is_stuck_later, &thread), -EDEADLK);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    config.spin_ns = -1;
    CHECK_EQ(weft_run(&config, root_is_stuck, NULL), -EINVAL);
}

static int root_sleeps_long(void *arg)
{
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_sleep(3600 * WEFT_SEC), 0);
    CHECK_WITHIN(harness_now_ns() - start_ns, 0, 2 * NS_PER_SEC);
    (void)arg;
    return 0;
}

MT_TEST(mt, 25d_never_with_the_virtual_clock)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.workers = workers;
    config.flags = WEFT_VIRTUAL_CLOCK | WEFT_NO_ENVIRONMENT;
    config.spin_ns = 5 * WEFT_SEC;
    CHECK_EQ(weft_run(&config, root_sleeps_long, NULL), 0);
}
