/* SPDX-License-Identifier: MIT */
/*
 * What the runtime tests of tasks, joins, cancellation and life share: ways to start a runtime,
 * and tasks that do one thing.
 */
#ifndef WEFT_CONFORMANCE_RUNTIME_SUPPORT_H
#define WEFT_CONFORMANCE_RUNTIME_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <weft/weft.h>

#include "conformance/harness.h"

/* Runs root under the virtual clock; a deadlock is detected, but not printed. */
static inline __attribute__((unused)) int run_virtual(weft_fn root, void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK | WEFT_NO_DEADLOCK_REPORT;
    return weft_run(&config, root, arg);
}

/* Runs root in real time. */
static inline __attribute__((unused)) int run_real(weft_fn root, void *arg)
{
    return weft_run(NULL, root, arg);
}

/* A task that sleeps until it is cancelled, and returns what the sleep gave. */
static inline __attribute__((unused)) int sleep_forever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

/* A task that receives from the channel `arg` a value of no size, and returns what that gave. */
static inline __attribute__((unused)) int receive_signal(void *arg)
{
    return weft_chan_recv((struct weft_chan *)arg, NULL);
}

/* A task that does nothing. */
static inline __attribute__((unused)) int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Under the virtual clock time also passes by itself: durations in tests are seconds, and this
 * much more is still exact. */
#define CHECK_LASTED(elapsed_ns, duration_ns)                                                      \
    CHECK_WITHIN(elapsed_ns, duration_ns, (duration_ns) + WEFT_SEC / 2)

/* For the virtual clock, where time jumps when nothing is ready: whatever is ready has run then. */
static inline __attribute__((unused)) void let_others_run(void)
{
    CHECK_EQ(weft_sleep(WEFT_SEC), 0);
}

/* The result of a joinable task; a failed join is recorded. */
static inline __attribute__((unused)) int join_result(weft_task task)
{
    int result = -1000;
    CHECK_EQ(weft_join(task, &result), 0);
    return result;
}

/* A spawn that must succeed. */
static inline __attribute__((unused)) weft_task spawn_task(weft_fn fn, void *arg)
{
    weft_task task = {0, NULL};
    CHECK_EQ(weft_spawn(&task, fn, arg), 0);
    return task;
}

/* A channel that must open. */
static inline __attribute__((unused)) struct weft_chan *open_chan(size_t value_size,
                                                                  size_t capacity)
{
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open(&chan, value_size, capacity), 0);
    return chan;
}

/* Memory has not grown above a bound; tools that keep freed memory are not asked. */
static inline __attribute__((unused)) void check_resident(size_t size_max)
{
    if (harness_sizes_are_exact()) CHECK_WITHIN(harness_resident_size(), 1, size_max);
}

/* How many tasks are live, the caller included. */
static inline __attribute__((unused)) size_t live_tasks(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    return (size_t)stats.tasks_live;
}

#endif
