/* SPDX-License-Identifier: MIT */
/*
 * What the tests of several workers share: bodies that run with 2 workers and with 4, tasks that
 * are spread over them, and waiting without a turn for other tasks.
 */
#ifndef WEFT_CONFORMANCE_RUNTIME_MT_SUPPORT_H
#define WEFT_CONFORMANCE_RUNTIME_MT_SUPPORT_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "conformance/runtime/support.h"

/* WEFT_TEST whose body gets `unsigned workers`. */
#define MT_TEST(suite_, name_, ...)                                                                \
    static void suite_##_##name_##_with(unsigned workers);                                         \
    WEFT_TEST(suite_, name_, ##__VA_ARGS__)                                                        \
    {                                                                                              \
        suite_##_##name_##_with(2);                                                                \
        suite_##_##name_##_with(4);                                                                \
    }                                                                                              \
    static void suite_##_##name_##_with(unsigned workers)

/* With that many workers, whatever WEFT_TEST_WORKERS says. */
static inline __attribute__((unused)) int run_with(unsigned workers, weft_fn root, void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    return weft_run(&config, root, arg);
}

/* The same on the virtual clock. */
static inline __attribute__((unused)) int run_virtual_with(unsigned workers,
                                                           weft_fn root,
                                                           void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    config.workers = workers;
    config.flags = WEFT_VIRTUAL_CLOCK;
    return weft_run(&config, root, arg);
}

/* On the worker that has the fewest of these; into the root scope if scope is NULL. */
static inline __attribute__((unused)) weft_task spawn_spread(struct weft_scope *scope,
                                                             weft_fn fn,
                                                             void *arg)
{
    weft_task task = {0, NULL};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_SPREAD;
    int status = scope ? weft_scope_spawn_with(scope, &task, &options, fn, arg)
                       : weft_spawn_with(&task, &options, fn, arg);
    CHECK_EQ(status, 0);
    return task;
}

/* `count` spread tasks with one argument, until all have ended. */
static inline __attribute__((unused)) void run_spread(unsigned count, weft_fn fn, void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < count; i++) {
        (void)spawn_spread(&scope, fn, arg);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
}

static inline __attribute__((unused)) pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0)) abort();
    return thread;
}

/* Counts for compute_until(). */
static inline __attribute__((unused)) void count_up(atomic_int *count)
{
    /* Release: what was done before is seen by who waits for it. */
    atomic_fetch_add_explicit(count, 1, memory_order_release);
}

/* Holds its worker until the count is reached: true, or false when it never is. */
static inline __attribute__((unused)) bool compute_until(const atomic_int *count, int wanted)
{
    int64_t limit = harness_now_ns() + 5 * NS_PER_SEC * harness_pace();
    /* Acquire: pairs with the release in count_up(). */
    while (atomic_load_explicit(count, memory_order_acquire) < wanted) {
        if (harness_now_ns() > limit) return false;
        (void)sched_yield();
    }
    return true;
}

#endif
