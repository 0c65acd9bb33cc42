/* SPDX-License-Identifier: MIT */
/*
 * Row TASK-01 for typed spawns: arguments are copied when the task is spawned, in any number from
 * 0 to 8 and of any size, and spawned into a scope they belong to it.
 */
#include "conformance/runtime/support.h"

static int calls;

WEFT_TASK(take_none)
{
    calls++;
    return 40;
}

WEFT_TASK(take_one, (int, a))
{
    return a;
}

WEFT_TASK(take_three, (char, a), (int64_t, b), (double, c))
{
    CHECK_EQ(a, 'a');
    CHECK(c > 1.4 && c < 1.6);
    return (int)(b >> 32);
}

WEFT_TASK(take_eight,
          (int8_t, a),
          (int16_t, b),
          (int32_t, c),
          (int64_t, d),
          (const char *, e),
          (double, f),
          (char, g),
          (uint64_t, h))
{
    CHECK_EQ(a, -1);
    CHECK_EQ(b, -2);
    CHECK_EQ(c, -3);
    CHECK_EQ(d, -4);
    CHECK_STR(e, "five");
    CHECK(f > 5.9 && f < 6.1);
    CHECK_EQ(g, '7');
    CHECK(h == UINT64_MAX);
    return 8;
}

static int root_passes_few_and_many(void *arg)
{
    (void)arg;
    weft_task tasks[4];
    CHECK_EQ(take_none_spawn(&tasks[0]), 0);
    CHECK_EQ(take_one_spawn(&tasks[1], 41), 0);
    CHECK_EQ(take_three_spawn(&tasks[2], 'a', INT64_C(42) << 32, 1.5), 0);
    CHECK_EQ(take_eight_spawn(&tasks[3], -1, -2, -3, -4, "five", 6.0, '7', UINT64_MAX), 0);
    CHECK_EQ(join_result(tasks[0]), 40);
    CHECK_EQ(join_result(tasks[1]), 41);
    CHECK_EQ(join_result(tasks[2]), 42);
    CHECK_EQ(join_result(tasks[3]), 8);

    CHECK_EQ(weft_go(take_none), 0);
    CHECK_EQ(weft_go(take_one, 1), 0);
    CHECK_EQ(weft_go(take_eight, -1, -2, -3, -4, "five", 6.0, '7', UINT64_MAX), 0);
    let_others_run();
    CHECK_EQ(calls, 2);
    return 0;
}

WEFT_TEST(task, 01b_typed_spawns_pass_up_to_eight_arguments)
{
    CHECK_EQ(run_virtual(root_passes_few_and_many, NULL), 0);
}

struct large {
    char bytes[1000];
};

WEFT_TASK(sum_bytes, (struct large, large), (int, expected))
{
    int sum = 0;
    CHECK_EQ(weft_yield(), 0);
    for (size_t i = 0; i < sizeof large.bytes; i++) {
        sum += large.bytes[i];
    }
    CHECK_EQ(sum, expected);
    return sum;
}

static int root_passes_large_values(void *arg)
{
    (void)arg;
    struct large large;
    weft_task tasks[3];
    for (int i = 0; i < 3; i++) {
        memset(large.bytes, i + 1, sizeof large.bytes);
        CHECK_EQ(sum_bytes_spawn(&tasks[i], large, 1000 * (i + 1)), 0);
    }
    memset(large.bytes, 9, sizeof large.bytes);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join_result(tasks[i]), 1000 * (i + 1));
    }
    return 0;
}

WEFT_TEST(task, 01c_arguments_are_copied_at_the_spawn)
{
    CHECK_EQ(run_virtual(root_passes_large_values, NULL), 0);
}

#define SIZE_MAX_TRIED 130

static int check_pattern(void *arg)
{
    const unsigned char *bytes = arg;
    int size = bytes[0];
    for (int i = 1; i < size; i++) {
        CHECK_EQ(bytes[i], (unsigned char)(size + i));
    }
    return size;
}

static int root_copies_every_size(void *arg)
{
    (void)arg;
    weft_task tasks[SIZE_MAX_TRIED];
    for (int size = 1; size < SIZE_MAX_TRIED; size++) {
        unsigned char bytes[SIZE_MAX_TRIED];
        bytes[0] = (unsigned char)size;
        for (int i = 1; i < size; i++) {
            bytes[i] = (unsigned char)(size + i);
        }
        CHECK_EQ(
            weft_spawn_copy_at(&tasks[size], NULL, check_pattern, bytes, (size_t)size, WEFT_SITE),
            0);
    }
    for (int size = 1; size < SIZE_MAX_TRIED; size++) {
        CHECK_EQ(join_result(tasks[size]), size);
    }
    return 0;
}

WEFT_TEST(task, 01d_arguments_of_every_size_arrive_whole)
{
    CHECK_EQ(run_virtual(root_copies_every_size, NULL), 0);
}

WEFT_TASK(sleep_for, (int64_t, duration_ns))
{
    return weft_sleep(duration_ns);
}

static int root_spawns_into_scope(void *arg)
{
    (void)arg;
    struct weft_scope scope;
    weft_task task;
    CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_SEC), 0);
    CHECK_EQ(sleep_for_scope_spawn(&scope, &task, 100 * WEFT_SEC), 0);
    CHECK_EQ(sleep_for_scope_spawn(&scope, NULL, 100 * WEFT_SEC), 0);
    weft_shielded
    {
        CHECK_EQ(join_result(task), -ETIMEDOUT);
    }
    CHECK_EQ(weft_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(live_tasks(), 1);
    return 0;
}

WEFT_TEST(task, 01e_typed_spawns_into_a_scope)
{
    CHECK_EQ(run_virtual(root_spawns_into_scope, NULL), 0);
}
