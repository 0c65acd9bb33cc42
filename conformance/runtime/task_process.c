/* SPDX-License-Identifier: MIT */
/*
 * Rows TASK-13, 23, 26, 28 and SEMANTICS rows 25a, 41: what needs a process of its own (overflow,
 * abort, no memory), and the counters.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "conformance/runtime/support.h"

/* ---- 13, row 41 ---- */

static int __attribute__((noinline)) recurse(int depth)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    frame[1023] = (char)depth;
    return depth > 1000000 ? 0 : recurse(depth + 1) + frame[0] + frame[1023];
}

static int overflow(void *arg)
{
    (void)arg;
    return recurse(0) == 12345;
}

static int root_overflows(void *arg)
{
    (void)arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "deep-diver";
    options.stack_size = (size_t)1024 * 1024;
    weft_task task;
    CHECK_EQ(weft_spawn_with(&task, &options, overflow, NULL), 0);
    return join_result(task);
}

static int run_overflow(void *arg)
{
    (void)arg;
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    struct weft_config config = WEFT_CONFIG_INIT;
    /* A sanitizer has its own handler; weft's goes on top of it when asked. */
    config.flags = WEFT_OVERFLOW_FORCE;
    return weft_run(&config, root_overflows, NULL);
}

WEFT_TEST(task, 13_an_overflow_names_the_task_and_kills)
{
    struct harness_child child;

    harness_run_child(&child, run_overflow, NULL);

    CHECK(!child.exited);
    CHECK(child.signal_number == SIGSEGV || child.signal_number == SIGABRT);
    CHECK(strstr(child.output, "deep-diver") != NULL);
    CHECK(strstr(child.output, "1048576") != NULL);
    CHECK(strstr(child.output, "task_process.c:") != NULL);
}

static int crash(void *arg)
{
    (void)arg;
    int *volatile nowhere = NULL;
    return *nowhere;
}

static int root_crashes(void *arg)
{
    (void)arg;
    return join_result(spawn_task(crash, NULL));
}

static int run_crash(void *arg)
{
    (void)arg;
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    return run_virtual(root_crashes, NULL);
}

/* SEMANTICS row 41: an address outside of a guard is no overflow. */
WEFT_TEST(task, 13b_another_crash_is_not_called_an_overflow)
{
    struct harness_child child;

    harness_run_child(&child, run_crash, NULL);

#ifdef __SANITIZE_ADDRESS__ /* its own handler may end the process in either way */
    CHECK(!child.exited || child.exit_code != 0);
#else
    CHECK(!child.exited);
    CHECK_EQ(child.signal_number, SIGSEGV);
#endif
    CHECK(strstr(child.output, "overflow") == NULL);
}

/* ---- 23 ---- */

WEFT_TASK(wait_readable, (int, fd))
{
    return weft_wait_fd(fd, WEFT_READABLE);
}

static int root_aborts(void *arg)
{
    (void)arg;
    int fds[2];
    harness_socket_pair(fds);
    CHECK_EQ(weft_go(wait_readable, fds[0]), 0);
    CHECK_EQ(weft_yield(), 0);
    abort();
}

static int run_abort(void *arg)
{
    (void)arg;
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
    return run_real(root_aborts, NULL);
}

WEFT_TEST(task, 23_abort_in_a_task_ends_the_process)
{
    struct harness_child child;

    harness_run_child(&child, run_abort, NULL);

    CHECK(!child.exited);
    CHECK_EQ(child.signal_number, SIGABRT);
}

/* ---- 26 ---- */

/* Leaves address space for `size` bytes more; false where the limit is ignored (qemu-user). */
static bool limit_space(size_t size)
{
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, false);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    CHECK_OR_RETURN(length > 0, false);
    text[length] = '\0';
    size_t used = strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
    struct rlimit limit = {used + size, RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (mmap(NULL, 2 * size, PROT_NONE, flags, -1, 0) == MAP_FAILED) return true;
    harness_skip("RLIMIT_AS is ignored here");
    return false;
}

static int never_runs(void *arg)
{
    (void)arg;
    CHECK_FAIL("a task without its arguments ran");
    return 0;
}

#ifndef __SANITIZE_ADDRESS__ /* its allocator takes no refusal */

static int root_without_memory(void *arg)
{
    (void)arg;
    /* Larger than what an arena of malloc has in store. */
    static char large[128 * 1024 * 1024];
    weft_task task = {0, NULL};
    CHECK_EQ(join_result(spawn_task(do_nothing, NULL)), 0);
    size_t live = live_tasks();
    if (!limit_space((size_t)1024 * 1024)) return 0;

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_spawn_copy_at(&task, NULL, never_runs, large, sizeof large, WEFT_SITE),
                 -ENOMEM);
    }

    CHECK_EQ(task.id, 0);
    CHECK_EQ(live_tasks(), live);
    CHECK_EQ(join_result(spawn_task(do_nothing, NULL)), 0);
    return 0;
}

static int run_without_memory(void *arg)
{
    (void)arg;
    return run_virtual(root_without_memory, NULL);
}

WEFT_TEST(task, 26_no_memory_for_arguments_is_an_error_of_spawn)
{
    struct harness_child child;

    harness_run_child(&child, run_without_memory, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

#endif

/* ---- row 25a ---- */

#define HUGE_STACK ((size_t)512 * 1024 * 1024)

static int drops;

static void count_drop(void *arg)
{
    CHECK_EQ(weft_self().id, 0);
    *(int *)arg += 1;
    drops++;
}

static weft_task spawn_huge(weft_fn fn, void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task task = {0, NULL};
    options.stack_size = HUGE_STACK;
    options.on_drop = count_drop;
    CHECK_EQ(weft_spawn_with(&task, &options, fn, arg), 0);
    return task;
}

static int root_without_stack(void *arg)
{
    (void)arg;
    int dropped = 0;
    if (!limit_space(HUGE_STACK / 2)) return 0;

    weft_task task = spawn_huge(never_runs, &dropped);
    CHECK_EQ(drops, 0);
    CHECK_EQ(join_result(task), -ENOMEM);

    CHECK_EQ(dropped, 1);
    CHECK_EQ(join_result(spawn_task(do_nothing, NULL)), 0);
    return 0;
}

static int run_without_stack(void *arg)
{
    (void)arg;
    return run_virtual(root_without_stack, NULL);
}

WEFT_TEST(task, 26b_a_task_that_never_gets_a_stack_is_dropped_once)
{
    struct harness_child child;

    harness_run_child(&child, run_without_stack, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

static int set_one(void *arg)
{
    *(int *)arg = 1;
    return 11;
}

static int root_with_one_stack(void *arg)
{
    (void)arg;
    struct weft_chan *gate = open_chan(0, 0);
    int ran = 0;
    if (!limit_space(HUGE_STACK + HUGE_STACK / 2)) {
        weft_chan_unref(gate);
        return 0;
    }

    weft_task holder = spawn_huge(receive_signal, gate);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    weft_task late = spawn_huge(set_one, &ran);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(ran, 0);
    CHECK_EQ(weft_chan_send(gate, NULL), 0);
    CHECK_EQ(join_result(holder), 0);
    CHECK_EQ(join_result(late), 11);

    CHECK_EQ(ran, 1);
    CHECK_EQ(drops, 0);
    weft_chan_unref(gate);
    return 0;
}

static int run_with_one_stack(void *arg)
{
    (void)arg;
    return run_virtual(root_with_one_stack, NULL);
}

WEFT_TEST(task, 26c_a_task_without_stack_starts_when_another_ends)
{
    struct harness_child child;

    harness_run_child(&child, run_with_one_stack, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- 28 ---- */

static struct weft_stats read_stats(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    CHECK_EQ(weft_stats(&stats), 0);
    return stats;
}

static int sleep_an_hour(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_HOUR);
}

static int select_signal(void *arg)
{
    return weft_select(weft_on_recv((struct weft_chan *)arg, NULL), weft_after(WEFT_HOUR));
}

static int wait_input(void *arg)
{
    return weft_wait_fd(*(int *)arg, WEFT_READABLE);
}

static int join_other(void *arg)
{
    return weft_join(*(weft_task *)arg, NULL);
}

static void check_asleep(struct weft_stats before)
{
    struct weft_stats stats = read_stats();
    CHECK_EQ(stats.tasks_live, 6);
    CHECK_EQ(stats.tasks_total, before.tasks_total + 6);
    CHECK_EQ(stats.tasks_ready, 0);
    CHECK_EQ(stats.tasks_parked, 5);
    CHECK_EQ(stats.tasks_ended, 1);
    CHECK_EQ(stats.waiting_chan, 1);
    CHECK_EQ(stats.waiting_select, 1);
    CHECK_EQ(stats.waiting_time, 1);
    CHECK_EQ(stats.waiting_fd, 1);
    CHECK_EQ(stats.waiting_join, 1);
    CHECK_EQ(stats.timers, 2);
    CHECK_EQ(stats.descriptors, before.descriptors + 1);
    CHECK_EQ(stats.stacks, before.stacks + 5);
    CHECK(stats.slices > before.slices);
    CHECK(stats.turns >= before.turns);
}

static int root_counts(void *arg)
{
    int *fds = arg;
    struct weft_chan *chan = open_chan(0, 0);
    struct weft_stats before = read_stats();
    CHECK_EQ(before.tasks_live, 1);
    CHECK_EQ(before.tasks_parked, 0);
    CHECK_EQ(before.tasks_ready, 0);
    CHECK_EQ(before.timers, 0);

    weft_task tasks[6];
    tasks[0] = spawn_task(sleep_an_hour, NULL);
    tasks[1] = spawn_task(receive_signal, chan);
    tasks[2] = spawn_task(select_signal, chan);
    tasks[3] = spawn_task(wait_input, &fds[0]);
    tasks[4] = spawn_task(join_other, &tasks[0]);
    tasks[5] = spawn_task(do_nothing, NULL);
    CHECK_EQ(read_stats().tasks_ready, 6);
    CHECK_EQ(read_stats().tasks_live, 7);
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    check_asleep(before);

    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_cancel(tasks[4 - i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(join_result(tasks[i]), i < 5 ? -ECANCELED : 0);
    }
    struct weft_stats after = read_stats();
    CHECK_EQ(after.tasks_live, 1);
    CHECK_EQ(after.tasks_parked, 0);
    CHECK_EQ(after.tasks_ended, 0);
    CHECK_EQ(after.timers, 0);
    CHECK_EQ(after.stacks, before.stacks);
    weft_chan_unref(chan);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(read_stats().descriptors, before.descriptors);
    return 0;
}

WEFT_TEST(task, 28_counters_tell_the_truth)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(root_counts, fds), 0);
}

static int root_reads_bad_stats(void *arg)
{
    (void)arg;
    struct weft_stats stats = {.size = 0};
    CHECK_EQ(weft_stats(&stats), -EINVAL);
    return 0;
}

WEFT_TEST(task, 28b_counters_need_their_size)
{
    CHECK_EQ(run_virtual(root_reads_bad_stats, NULL), 0);
}
