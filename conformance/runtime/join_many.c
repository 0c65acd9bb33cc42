/* SPDX-License-Identifier: MIT */
/*
 * Rows JOIN-15, 17, 19 and SEMANTICS row 37: chains, other threads, unjoined tasks, and waiting
 * for a task in a select.
 */
#include <pthread.h>

#include "conformance/runtime/support.h"

/* ---- 17 ---- */

#define CHAIN 10000

static weft_task links[CHAIN];

WEFT_TASK(join_next_link, (int, index))
{
    int below = 0;
    if (index + 1 < CHAIN && weft_join(links[index + 1], &below) != 0) return -1;
    return below + 1;
}

static int root_of_the_chain(void *arg)
{
    (void)arg;
    for (int i = 0; i < CHAIN; i++) {
        if (join_next_link_spawn(&links[i], i) != 0) {
            CHECK_FAIL("link %d", i);
            return 1;
        }
    }
    return join_result(links[0]);
}

WEFT_TEST(join, 17_a_chain_of_ten_thousand, .timeout = 60)
{
    CHECK_EQ(run_virtual(root_of_the_chain, NULL), CHAIN);
}

/* ---- 15 ---- */

#define ROUNDS 2000

struct exchange {
    struct weft_runtime *runtime;
    struct weft_chan *handles; /* shared, of weft_task */
};

static int answer(void *arg)
{
    (void)arg;
    return 4;
}

static void *spawn_from_thread(void *arg)
{
    struct exchange *exchange = arg;
    for (int i = 0; i < ROUNDS; i++) {
        weft_task task = {0, NULL};
        CHECK_EQ(weft_runtime_spawn(exchange->runtime, &task, NULL, answer, NULL), 0);
        CHECK_EQ(weft_chan_send(exchange->handles, &task), 0);
        if (i % 3 == 0) {
            int result = weft_cancel(task);
            CHECK(result == 0 || result == -ESRCH);
        }
    }
    CHECK_EQ(weft_chan_close(exchange->handles), 0);
    return NULL;
}

static int root_takes_from_thread(void *arg)
{
    struct exchange *exchange = arg;
    exchange->runtime = weft_runtime_current();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, spawn_from_thread, exchange), 0);

    weft_task task;
    int count = 0;
    while (weft_chan_recv(exchange->handles, &task) == 0) {
        if (count % 2 == 0) {
            CHECK_EQ(weft_detach(task), 0);
        } else {
            CHECK_EQ(join_result(task), 4);
        }
        count++;
    }

    CHECK_EQ(count, ROUNDS);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_sleep(20 * WEFT_MSEC), 0);
    CHECK_EQ(live_tasks(), 1);
    return 0;
}

WEFT_TEST(join, 15_handles_are_released_while_another_thread_schedules)
{
    struct exchange exchange = {0};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(weft_task);
    options.capacity = 16;
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&exchange.handles, &options), 0);

    CHECK_EQ(run_real(root_takes_from_thread, &exchange), 0);

    weft_chan_unref(exchange.handles);
}

/* ---- 19 ---- */

static int send_answer(void *arg)
{
    int value = 42;
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    return weft_chan_send((struct weft_chan *)arg, &value);
}

struct threads_wait {
    struct weft_chan *answers; /* shared, of int */
    weft_task task;
    int value;
};

static void *wait_in_thread(void *arg)
{
    struct threads_wait *wait = arg;
    CHECK_EQ(weft_join(wait->task, NULL), -EPERM);
    CHECK_EQ(weft_chan_recv(wait->answers, &wait->value), 0);
    return NULL;
}

static int root_answers_thread(void *arg)
{
    struct threads_wait *wait = arg;
    pthread_t thread;
    wait->task = spawn_task(send_answer, wait->answers);
    CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, wait), 0);
    CHECK_EQ(join_result(wait->task), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

/* A thread does not join; it waits for the result on a shared channel. */
WEFT_TEST(join, 19_a_thread_gets_a_result_by_a_shared_channel)
{
    struct threads_wait wait = {0};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.shared = 1;
    CHECK_EQ(weft_chan_open_with(&wait.answers, &options), 0);

    CHECK_EQ(run_real(root_answers_thread, &wait), 0);

    CHECK_EQ(wait.value, 42);
    weft_chan_unref(wait.answers);
}

/* ---- row 37 ---- */

static int root_leaves_one_unjoined(void *arg)
{
    (void)arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task task;
    options.name = "forgotten";
    CHECK_EQ(weft_spawn_with(&task, &options, answer, NULL), 0);
    options.name = "taken-home";
    CHECK_EQ(weft_spawn_with(&task, &options, answer, NULL), 0);
    CHECK_EQ(join_result(task), 4);
    let_others_run();
    return 0;
}

static int run_with_leak_report(void *arg)
{
    (void)arg;
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK | WEFT_REPORT_LEAKS;
    return weft_run(&config, root_leaves_one_unjoined, NULL);
}

WEFT_TEST(join, 03b_unjoined_tasks_are_in_the_leak_report)
{
    struct harness_child child;

    harness_run_child(&child, run_with_leak_report, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK(strstr(child.output, "forgotten") != NULL);
    CHECK(strstr(child.output, "taken-home") == NULL);
    CHECK(strstr(child.output, "join_many.c:") != NULL);
}

/* ---- 01 by select ---- */

static int root_selects_joined(void *arg)
{
    (void)arg;
    int result = 0;
    int status = 77;
    weft_task target = spawn_task(answer, NULL);
    weft_task slow = spawn_task(sleep_forever, NULL);

    CHECK_EQ(weft_select(weft_on_joined(slow, NULL), weft_on_joined(target, &result, &status)), 1);
    CHECK_EQ(result, 4);
    CHECK_EQ(status, 0);
    CHECK_EQ(weft_join(target, NULL), -ESRCH);

    CHECK_EQ(weft_select(weft_on_joined(slow, &result), weft_after(WEFT_MSEC)), 1);
    CHECK_EQ(result, 4);
    CHECK_EQ(weft_cancel(slow), 0);
    CHECK_EQ(weft_select(weft_on_joined(slow, &result), weft_after(WEFT_MSEC)), 0);
    CHECK_EQ(result, -ECANCELED);
    return 0;
}

WEFT_TEST(join, 01b_select_joins_exactly_the_winner)
{
    CHECK_EQ(run_virtual(root_selects_joined, NULL), 0);
}
