/* SPDX-License-Identifier: MIT */
/*
 * Rows TASK-10, 14 to 18, 21, 27, 28: what belongs to one task only (values, errno, rounding,
 * deferred calls), what is given back when it ends, and the counters.
 */
#include <fenv.h>
#include <stdio.h>

#include "conformance/runtime/support.h"

/* ---- 10, 27 ---- */

static size_t mapping_count(void)
{
    char block[4096];
    size_t lines = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, 0);
    for (ssize_t size = read(fd, block, sizeof block); size > 0;
         size = read(fd, block, sizeof block)) {
        for (ssize_t i = 0; i < size; i++) {
            lines += block[i] == '\n';
        }
    }
    close(fd);
    return lines;
}

static int root_reuses_stacks(void *arg)
{
    (void)arg;
    size_t mappings = 0;
    size_t resident = 0;
    for (int i = 0; i < 100000; i++) {
        if (i == 1000) {
            mappings = mapping_count();
            resident = harness_resident_size();
        }
        weft_task task;
        if (weft_spawn(&task, do_nothing, NULL) != 0 || weft_join(task, NULL) != 0) {
            CHECK_FAIL("round %d", i);
            return 1;
        }
    }
    CHECK_WITHIN(mapping_count(), 1, mappings + 8);
    check_resident(resident + 4 * 1024 * 1024);
    return 0;
}

WEFT_TEST(task, 10_many_short_tasks_reuse_stacks)
{
    CHECK_EQ(run_virtual(root_reuses_stacks, NULL), 0);
}

static long counted;

static int count_run(void *arg)
{
    (void)arg;
    counted++;
    return (int)(counted % 3) - 1;
}

/* Releases a handle before, during or after the run; or never has one. */
static int spawn_released(int i)
{
    weft_task task;
    if (i % 4 == 0) return weft_spawn(NULL, count_run, NULL);
    int result = weft_spawn(&task, count_run, NULL);
    if (result != 0) return result;
    if (i % 4 == 2) CHECK_EQ(weft_yield(), 0);
    return weft_detach(task);
}

static int root_detaches(void *arg)
{
    (void)arg;
    size_t resident = 0;
    for (int i = 0; i < 100000; i++) {
        if (i == 5000) resident = harness_resident_size();
        if (spawn_released(i) != 0) {
            CHECK_FAIL("round %d", i);
            return 1;
        }
        while (i - counted > 64) { /* no more than that wait at a time */
            CHECK_EQ(weft_yield(), 0);
        }
    }
    let_others_run();
    CHECK_EQ(counted, 100000);
    CHECK_EQ(live_tasks(), 1);
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    CHECK_EQ(stats.tasks_ended, 0);
    check_resident(resident + 8 * 1024 * 1024);
    return 0;
}

WEFT_TEST(task, 27_detached_tasks_are_freed_without_join)
{
    CHECK_EQ(run_virtual(root_detaches, NULL), 0);
}

static int root_detaches_and_joins(void *arg)
{
    (void)arg;
    weft_task running = spawn_task(sleep_forever, NULL);
    weft_task ended = spawn_task(do_nothing, NULL);
    let_others_run();

    CHECK_EQ(weft_detach(ended), 0);
    CHECK_EQ(weft_detach(ended), -ESRCH);
    CHECK_EQ(weft_join(ended, NULL), -ESRCH);
    CHECK_EQ(weft_detach(running), 0);
    CHECK_EQ(weft_cancel(running), 0);
    let_others_run();
    CHECK_EQ(weft_cancel(running), -ESRCH);
    CHECK_EQ(weft_detach((weft_task){0, NULL}), -ESRCH);
    return 0;
}

WEFT_TEST(task, 27b_a_released_handle_becomes_stale)
{
    CHECK_EQ(run_virtual(root_detaches_and_joins, NULL), 0);
}

/* ---- 14, 15, 16 ---- */

static struct weft_local_key key;
static int destroyed;
static uintptr_t destroyed_sum;

static void destroy_value(void *value)
{
    destroyed++;
    destroyed_sum += (uintptr_t)value;
}

WEFT_TASK(keep_value, (uintptr_t, value), (int, last))
{
    CHECK_PTR(weft_local_get(key), NULL);
    CHECK_EQ(weft_local_set(key, (void *)value), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ((uintptr_t)weft_local_get(key), value);
    return last ? weft_sleep(WEFT_FOREVER) : 0;
}

static int root_of_the_locals(void *arg)
{
    (void)arg;
    weft_task tasks[3];
    CHECK_EQ(keep_value_spawn(&tasks[0], 1, 0), 0);
    CHECK_EQ(keep_value_spawn(&tasks[1], 20, 0), 0);
    CHECK_EQ(keep_value_spawn(&tasks[2], 300, 1), 0);
    CHECK_PTR(weft_local_get(key), NULL);
    let_others_run();
    CHECK_EQ(destroyed, 2);
    CHECK_EQ(destroyed_sum, 21);

    CHECK_EQ(weft_cancel(tasks[2]), 0);
    CHECK_EQ(join_result(tasks[2]), -ECANCELED);
    CHECK_EQ(destroyed, 3);
    CHECK_EQ(destroyed_sum, 321);
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    return 0;
}

WEFT_TEST(task, 14_values_belong_to_one_task_and_are_destroyed_once)
{
    CHECK_EQ(weft_local_open(&key, destroy_value), 0);

    CHECK_EQ(run_virtual(root_of_the_locals, NULL), 0);

    CHECK_EQ(destroyed, 3);
}

static int root_of_many_locals(void *arg)
{
    (void)arg;
    for (uintptr_t i = 1; i <= 100; i++) {
        weft_task task;
        CHECK_EQ(keep_value_spawn(&task, i, 0), 0);
        CHECK_EQ(join_result(task), 0);
    }
    CHECK_EQ(destroyed, 100);
    CHECK_EQ(destroyed_sum, 5050);
    return 0;
}

WEFT_TEST(task, 15_values_never_reach_the_next_task_of_a_slot)
{
    CHECK_EQ(weft_local_open(&key, destroy_value), 0);

    CHECK_EQ(run_virtual(root_of_many_locals, NULL), 0);
}

static int root_uses_all_keys(void *arg)
{
    struct weft_local_key *keys = arg;
    for (uintptr_t i = 0; i < WEFT_LOCAL_KEYS_MAX; i++) {
        CHECK_EQ(weft_local_set(keys[i], &keys[i]), 0);
    }
    for (uintptr_t i = 0; i < WEFT_LOCAL_KEYS_MAX; i++) {
        CHECK_PTR(weft_local_get(keys[i]), &keys[i]);
    }
    CHECK_EQ(weft_local_set((struct weft_local_key){0}, arg), -EINVAL);
    CHECK_EQ(weft_local_set((struct weft_local_key){1000}, arg), -EINVAL);
    CHECK_PTR(weft_local_get((struct weft_local_key){0}), NULL);
    CHECK_PTR(weft_local_get((struct weft_local_key){1000}), NULL);
    return 0;
}

WEFT_TEST(task, 16_too_many_keys_are_an_error)
{
    struct weft_local_key keys[WEFT_LOCAL_KEYS_MAX];
    for (int i = 0; i < WEFT_LOCAL_KEYS_MAX; i++) {
        CHECK_EQ(weft_local_open(&keys[i], NULL), 0);
    }
    struct weft_local_key more = {77};
    CHECK_EQ(weft_local_open(&more, NULL), -ENOSPC);
    CHECK_EQ(more.number, 77);

    CHECK_EQ(run_virtual(root_uses_all_keys, keys), 0);
}

/* ---- 17 ---- */

WEFT_TASK(spoil_errno, (int, fd), (int, value))
{
    for (int i = 0; i < 10; i++) {
        errno = value;
        char byte;
        weft_with_timeout(WEFT_MSEC / 4) {
            CHECK_EQ(weft_read(fd, &byte, 1), -ETIMEDOUT);
        }
        errno = value;
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(errno, value);
    }
    return 0;
}

static int root_keeps_errno(void *arg)
{
    int *fds = arg;
    weft_task tasks[2];
    CHECK_EQ(spoil_errno_spawn(&tasks[0], fds[0], 1001), 0);
    CHECK_EQ(spoil_errno_spawn(&tasks[1], fds[1], 1002), 0);
    for (int i = 0; i < 10; i++) {
        errno = 1000;
        CHECK_EQ(weft_sleep(WEFT_MSEC / 2), 0);
        CHECK_EQ(errno, 1000);
    }
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(task, 17_errno_belongs_to_the_task)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_keeps_errno, fds), 0);
}

/* ---- 18 ---- */

static int round_upward(void *arg)
{
    CHECK_EQ(fegetround(), FE_TONEAREST);
    CHECK_EQ(fesetround(FE_UPWARD), 0);
    if (arg) {
        CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(fegetround(), FE_UPWARD);
    }
    return 0;
}

static int root_rounds(void *arg)
{
    (void)arg;
    weft_task tasks[3];
    tasks[0] = spawn_task(round_upward, &tasks);
    tasks[1] = spawn_task(round_upward, NULL);
    tasks[2] = spawn_task(round_upward, NULL);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join_result(tasks[i]), 0);
        CHECK_EQ(fegetround(), FE_TONEAREST);
    }
    return 0;
}

WEFT_TEST(task, 18_the_rounding_mode_belongs_to_the_task)
{
    CHECK_EQ(run_virtual(root_rounds, NULL), 0);
}

WEFT_TASK(print_number, (double, number))
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.3f", number);
    CHECK_STR(text, "3.250");
    CHECK_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
    return 0;
}

static int root_prints(void *arg)
{
    (void)arg;
    weft_task task;
    CHECK_EQ(print_number_spawn(&task, 3.25), 0);
    CHECK_EQ(join_result(task), 0);
    return print_number(3.25);
}

WEFT_TEST(task, 18b_stacks_are_aligned_as_the_abi_asks)
{
    CHECK_EQ(run_virtual(root_prints, NULL), 0);
}

/* ---- 21 ---- */

static int digits;

static void append_digit(void *arg)
{
    digits = digits * 10 + *(int *)arg;
    CHECK_EQ(weft_yield(), 0);
}

static int defer_four(void *arg)
{
    static int values[4] = {1, 2, 4, 8};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_defer(append_digit, &values[i]), 0);
    }
    return *(int *)arg;
}

static int root_defers(void *arg)
{
    CHECK_EQ(join_result(spawn_task(defer_four, arg)), 9);
    CHECK_EQ(digits, 8421);
    return 0;
}

WEFT_TEST(task, 21_deferred_calls_run_last_first)
{
    int result = 9;

    CHECK_EQ(run_virtual(root_defers, &result), 0);
}

static void defer_more(void *arg)
{
    static int value = 5;
    digits = 7;
    CHECK_EQ(weft_defer(append_digit, &value), 0);
    (void)arg;
}

static int root_defers_in_defer(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_defer(defer_more, NULL), 0);
    return 3;
}

WEFT_TEST(task, 21b_a_deferred_call_may_defer)
{
    CHECK_EQ(run_virtual(root_defers_in_defer, NULL), 3);

    CHECK_EQ(digits, 75);
}
