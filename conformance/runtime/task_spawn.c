/* SPDX-License-Identifier: MIT */
/*
 * Rows TASK-01, 02, 03, 07, 12, 19, 22, 24, 25, 33 and SEMANTICS rows 27a, 36, 40: what a spawn
 * promises, in which order tasks run, and what calls outside of a task give.
 */
#include <pthread.h>
#include <sys/uio.h>

#include "conformance/runtime/support.h"

/* ---- 01 ---- */

struct record {
    int runs;
    void *seen;
    weft_task self;
};

static int record_call(void *arg)
{
    struct record *record = arg;
    record->runs++;
    record->seen = arg;
    record->self = weft_self();
    return 0;
}

static int root_spawns_once(void *arg)
{
    struct record *record = arg;

    weft_task task = {0, NULL};
    CHECK_EQ(weft_spawn(&task, record_call, record), 0);
    CHECK(task.id != 0);
    CHECK_EQ(record->runs, 0);

    CHECK_EQ(join_result(task), 0);
    CHECK(record->self.id == task.id);
    return 0;
}

WEFT_TEST(task, 01_runs_once_with_its_argument)
{
    struct record record = {0};

    CHECK_EQ(run_virtual(root_spawns_once, &record), 0);

    CHECK_EQ(record.runs, 1);
    CHECK_PTR(record.seen, &record);
}

/* ---- 02, 03, 36: order ---- */

static char trace[64];
static size_t trace_size;

static void note(char letter)
{
    if (trace_size < sizeof trace - 1) trace[trace_size++] = letter;
}

WEFT_TASK(two_letters, (char, first), (char, second))
{
    note(first);
    CHECK_EQ(weft_yield(), 0);
    note(second);
    return 0;
}

static int root_of_the_letters(void *arg)
{
    (void)arg;
    weft_task one;
    weft_task two;
    note('p');
    CHECK_EQ(two_letters_spawn(&one, 'a', 'b'), 0);
    note('q');
    CHECK_EQ(two_letters_spawn(&two, 'c', 'd'), 0);
    note('r');
    CHECK_EQ(weft_yield(), 0);
    note('s');
    CHECK_EQ(join_result(one), 0);
    CHECK_EQ(join_result(two), 0);
    note('t');
    return 0;
}

WEFT_TEST(task, 02_the_schedule_is_fixed)
{
    harness_needs_order();

    CHECK_EQ(run_virtual(root_of_the_letters, NULL), 0);

    CHECK_STR(trace, "pqracsbdt");
}

static int sum;

WEFT_TASK(add_steps, (char, letter), (int, step), (int, count))
{
    for (int i = 0; i < count; i++) {
        note(letter);
        sum += step;
        CHECK_EQ(weft_yield(), 0);
    }
    return 0;
}

static int root_of_the_steps(void *arg)
{
    (void)arg;
    weft_task tasks[3];
    CHECK_EQ(add_steps_spawn(&tasks[0], 'A', 7, 3), 0);
    CHECK_EQ(add_steps_spawn(&tasks[1], 'B', 11, 1), 0);
    CHECK_EQ(add_steps_spawn(&tasks[2], 'C', 5, 2), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join_result(tasks[i]), 0);
    }
    return 0;
}

WEFT_TEST(task, 03_yield_goes_behind_all_ready_tasks)
{
    harness_needs_order();

    CHECK_EQ(run_virtual(root_of_the_steps, NULL), 0);

    CHECK_EQ(sum, 42);
    CHECK_STR(trace, "ABCACA");
}

WEFT_TASK(spawn_below, (int, generation), (char, letter))
{
    note(letter);
    if (generation < 2) {
        CHECK_EQ(weft_go(spawn_below, generation + 1, (char)(letter + 3)), 0);
        CHECK_EQ(weft_go(spawn_below, generation + 1, (char)(letter + 4)), 0);
    }
    return 0;
}

static int root_of_the_generations(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_go(spawn_below, 1, 'a'), 0);
    CHECK_EQ(weft_go(spawn_below, 1, 'h'), 0);
    note('.');
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return 0;
}

/* SEMANTICS row 36: grandchildren run before the next child. */
WEFT_TEST(task, 02b_generations_run_depth_first)
{
    harness_needs_order();

    CHECK_EQ(run_virtual(root_of_the_generations, NULL), 0);

    CHECK_STR(trace, ".adehkl");
}

WEFT_TASK(spawn_for_ever, (bool *, stop), (int *, count))
{
    if (*stop || ++*count > 100000) return 0;
    CHECK_EQ(weft_go(spawn_for_ever, stop, count), 0);
    return 0;
}

WEFT_TASK(set_flag, (bool *, flag))
{
    *flag = true;
    return 0;
}

static int root_of_the_endless_line(void *arg)
{
    int *count = arg;
    bool stop = false;
    weft_task last;
    CHECK_EQ(weft_go(spawn_for_ever, &stop, count), 0);
    CHECK_EQ(set_flag_spawn(&last, &stop), 0);
    CHECK_EQ(join_result(last), 0);
    let_others_run();
    return 0;
}

/* SEMANTICS row 36: depth first, and yet the second child is not starved by an endless line. */
WEFT_TEST(task, 02c_an_endless_line_of_children_starves_nobody)
{
    int count = 0;

    CHECK_EQ(run_virtual(root_of_the_endless_line, &count), 0);

    CHECK_WITHIN(count, 0, 1000);
}

/* ---- 07: spawn from everywhere ---- */

static int spawn_and_join(void)
{
    struct record record = {0};
    CHECK_EQ(join_result(spawn_task(record_call, &record)), 0);
    return record.runs;
}

static int child_spawns(void *arg)
{
    (void)arg;
    return spawn_and_join();
}

static int root_and_child_spawn(void *arg)
{
    (void)arg;
    CHECK_EQ(spawn_and_join(), 1);
    CHECK_EQ(join_result(spawn_task(child_spawns, NULL)), 1);
    return 0;
}

WEFT_TEST(task, 07_spawns_from_root_and_task)
{
    CHECK_EQ(run_virtual(root_and_child_spawn, NULL), 0);
}

static int root_spawns_after_timer(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(spawn_and_join(), 1);
    return 0;
}

WEFT_TEST(task, 07b_spawns_right_after_a_timer)
{
    CHECK_EQ(run_virtual(root_spawns_after_timer, NULL), 0);
}

WEFT_TASK(write_byte, (int, fd))
{
    CHECK_EQ(write(fd, "x", 1), 1);
    return 0;
}

static int root_spawns_after_fd(void *arg)
{
    int *fds = arg;
    CHECK_EQ(weft_go(write_byte, fds[1]), 0);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(spawn_and_join(), 1);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(task, 07c_spawns_right_after_a_descriptor)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_spawns_after_fd, fds), 0);
}

struct posted_spawn {
    struct weft_chan *done;
    int runs;
};

static int posted_child(void *arg)
{
    struct posted_spawn *context = arg;
    context->runs++;
    return weft_chan_send(context->done, NULL);
}

static void spawn_from_post(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, posted_child, arg), 0);
}

static int root_spawns_in_post(void *arg)
{
    struct posted_spawn *context = arg;
    context->done = open_chan(0, 0);
    struct weft_post node = {.fn = spawn_from_post, .arg = context};

    CHECK_EQ(weft_post(weft_runtime_current(), &node), 0);
    CHECK_EQ(weft_chan_recv(context->done, NULL), 0);

    CHECK_EQ(context->runs, 1);
    CHECK_EQ(spawn_and_join(), 1);
    weft_chan_unref(context->done);
    return 0;
}

WEFT_TEST(task, 07d_spawns_in_a_posted_function)
{
    struct posted_spawn context = {0};

    CHECK_EQ(run_virtual(root_spawns_in_post, &context), 0);
}

/* ---- 12: stack size ---- */

#define FRAME_SIZE 2048

/* Uses `size` bytes of stack, a frame at a time, and comes back with all of them intact. */
static int __attribute__((noinline)) use_stack(size_t size)
{
    volatile char frame[FRAME_SIZE];
    frame[0] = (char)(size / FRAME_SIZE);
    frame[FRAME_SIZE - 1] = frame[0];
    int below = size > 2 * sizeof frame ? use_stack(size - sizeof frame) : 0;
    return below + (frame[0] != (char)(size / FRAME_SIZE)) + (frame[FRAME_SIZE - 1] != frame[0]);
}

static size_t bounds_size(void)
{
    void *low = NULL;
    void *high = NULL;
    CHECK_EQ(weft_stack_bounds(&low, &high), 0);
    CHECK((char *)__builtin_frame_address(0) > (char *)low);
    CHECK((char *)__builtin_frame_address(0) < (char *)high);
    return (size_t)((char *)high - (char *)low);
}

WEFT_TASK(check_stack, (size_t, size_min), (size_t, used))
{
    CHECK(bounds_size() >= size_min);
    CHECK_EQ(use_stack(used), 0);
    CHECK(weft_stack_high_water() >= used / 2);
    return 7;
}

static int check_large_stack(void *arg)
{
    (void)arg;
    return check_stack(1024 * 1024, 1024 * 1024 / 10 * 7);
}

static int check_small_stack(void *arg)
{
    (void)arg;
    return bounds_size() >= (size_t)16 * 1024 ? 7 : 0;
}

static int root_checks_stacks(void *arg)
{
    (void)arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task task;

    options.stack_size = 1024 * 1024;
    CHECK_EQ(weft_spawn_with(&task, &options, check_large_stack, NULL), 0);
    CHECK_EQ(join_result(task), 7);

    options.stack_size = 1;
    CHECK_EQ(weft_spawn_with(&task, &options, check_small_stack, NULL), 0);
    CHECK_EQ(join_result(task), 7);
    return 0;
}

/* Frames are larger in sanitizer builds, hence 70 % and not 90. */
WEFT_TEST(task, 12_the_stack_size_is_honoured)
{
    CHECK_EQ(run_virtual(root_checks_stacks, NULL), 0);
}

/* ---- 19: identity ---- */

#define IDENTITIES 500

static uint64_t inner_ids[IDENTITIES];

WEFT_TASK(store_id, (int, index))
{
    inner_ids[index] = weft_self().id;
    return 0;
}

static int root_compares_ids(void *arg)
{
    (void)arg;
    static weft_task tasks[IDENTITIES];
    for (int i = 0; i < IDENTITIES; i++) {
        CHECK_EQ(store_id_spawn(&tasks[i], i), 0);
    }
    for (int i = 0; i < IDENTITIES; i++) {
        CHECK(tasks[i].id != 0);
        CHECK(tasks[i].id != weft_self().id);
        for (int j = 0; j < i; j++) {
            CHECK(tasks[i].id != tasks[j].id);
        }
        CHECK_EQ(join_result(tasks[i]), 0);
        CHECK_EQ(inner_ids[i], tasks[i].id);
    }
    return 0;
}

WEFT_TEST(task, 19_ids_are_unique_and_the_same_inside_and_outside)
{
    CHECK_EQ(run_virtual(root_compares_ids, NULL), 0);

    CHECK_EQ(weft_self().id, 0);
    CHECK_PTR(weft_self().slot, NULL);
}

/* ---- 22: failures ---- */

WEFT_TASK(end_with, (int, result))
{
    CHECK_EQ(weft_yield(), 0);
    return result;
}

static int root_sees_failures(void *arg)
{
    (void)arg;
    weft_task good;
    weft_task bad;
    weft_task late;
    CHECK_EQ(end_with_spawn(&good, 1), 0);
    CHECK_EQ(end_with_spawn(&bad, -EIO), 0);
    CHECK_EQ(end_with_spawn(&late, 3), 0);
    CHECK_EQ(join_result(bad), -EIO);
    CHECK_EQ(join_result(late), 3);
    CHECK_EQ(join_result(good), 1);
    CHECK_EQ(weft_yield(), 0);
    return 0;
}

WEFT_TEST(task, 22_a_failing_task_disturbs_no_sibling)
{
    CHECK_EQ(run_virtual(root_sees_failures, NULL), 0);
}
