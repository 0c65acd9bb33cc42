/* SPDX-License-Identifier: MIT */
/*
 * What the channel, select and stress tests share: tests whose body is a task, and tasks that do
 * one channel operation and say how it ended.
 *
 * The virtual clock runs as the real one and jumps when no task is ready. settle() sleeps longer
 * than any test runs, so it means "until every other task sleeps", whatever the order in which the
 * worker picks them; what must not fire during it has a deadline of hours.
 */
#ifndef WEFT_CONFORMANCE_RUNTIME_CHAN_KIT_H
#define WEFT_CONFORMANCE_RUNTIME_CHAN_KIT_H

#include <errno.h>
#include <stdlib.h>

#include <weft/weft.h>

#include "conformance/harness.h"

#define PENDING 1 /* a status that no call on a channel returns */

static inline int run_virtual(weft_fn root, void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK;
    return weft_run(&config, root, arg);
}

/* On the real clock, whatever the environment says. */
static inline int run_real(weft_fn root, void *arg)
{
    CHECK_EQ(unsetenv("WEFT_CLOCK"), 0);
    return weft_run(NULL, root, arg);
}

static inline void settle(void)
{
    CHECK_EQ(weft_sleep(WEFT_MINUTE), 0);
}

/* WEFT_TEST whose body is the root task of a runtime; its clock is virtual, or real. */
#define VIRTUAL_TEST(suite_, name_, ...)                                                           \
    TASK_TEST_(suite_, name_, run_virtual(suite_##_##name_##_root, NULL), ##__VA_ARGS__)
#define REAL_TEST(suite_, name_, ...)                                                              \
    TASK_TEST_(suite_, name_, run_real(suite_##_##name_##_root, NULL), ##__VA_ARGS__)
#define TASK_TEST_(suite_, name_, run_, ...)                                                       \
    static void suite_##_##name_##_task(void);                                                     \
    static int suite_##_##name_##_root(void *arg)                                                  \
    {                                                                                              \
        (void)arg;                                                                                 \
        suite_##_##name_##_task();                                                                 \
        return 0;                                                                                  \
    }                                                                                              \
    WEFT_TEST(suite_, name_, ##__VA_ARGS__)                                                        \
    {                                                                                              \
        CHECK_EQ(run_, 0);                                                                         \
    }                                                                                              \
    static void suite_##_##name_##_task(void)

/* A channel of int; NULL, and a recorded failure, if it cannot be had. */
static inline struct weft_chan *open_ints(size_t capacity)
{
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open(&chan, sizeof(int), capacity), 0);
    return chan;
}

/* The same for threads and other runtimes too. */
static inline struct weft_chan *open_shared_ints(size_t capacity)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.capacity = capacity;
    options.shared = 1;
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    return chan;
}

static inline int send_int(struct weft_chan *chan, int value)
{
    return weft_chan_send(chan, &value);
}

static inline int try_send_int(struct weft_chan *chan, int value)
{
    return weft_chan_try_send(chan, &value);
}

/* The received value; -1, and a recorded failure, if there is none. */
static inline int recv_int(struct weft_chan *chan)
{
    int value = -1;
    CHECK_EQ(weft_chan_recv(chan, &value), 0);
    return value;
}

static inline int try_recv_int(struct weft_chan *chan)
{
    int value = -1;
    CHECK_EQ(weft_chan_try_recv(chan, &value), 0);
    return value;
}

WEFT_TASK(send_one, (struct weft_chan *, chan), (int, value), (int *, ret_status))
{
    *ret_status = weft_chan_send(chan, &value);
    return 0;
}

WEFT_TASK(recv_one, (struct weft_chan *, chan), (int *, ret_value), (int *, ret_status))
{
    *ret_status = weft_chan_recv(chan, ret_value);
    return 0;
}

/* A small generator of the tests' own, so that a seed names a run. */
static inline unsigned random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33);
}

/* How long the scaled-down rows run: WEFT_STRESS_SECONDS, else 1. */
static inline int64_t stress_duration_ns(void)
{
    const char *seconds = getenv("WEFT_STRESS_SECONDS");
    long count = seconds ? strtol(seconds, NULL, 10) : 1;
    return (count > 0 ? count : 1) * NS_PER_SEC;
}

#endif
