/* SPDX-License-Identifier: MIT */
/*
 * LIM-03, 07, 08: no memory, much memory, and nearly all of a stack.
 *
 * Each call is made again and again, with one allocation more granted each time, until none fails.
 */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "conformance/runtime/faults.h"
#include "conformance/runtime/tcp_support.h"

#define ALLOCATIONS_MAX 100 /* more than any one call makes */

/* ---- 03: each allocation fails once ---- */

static int returns_0(void *arg)
{
    (void)arg;
    return 0;
}

static void drops_nothing(void *arg)
{
    (void)arg;
}

/* What is called with failing memory: 0 or -ENOMEM; undo() follows a success. */
struct operation {
    const char *name;
    int (*call)(void);
    void (*undo)(void);
};

static weft_task made_task;
static struct weft_chan *made_chan;
static struct weft_scope made_scope;
static int made_fd;
static int pair_fds[2];

static int call_spawn(void)
{
    return weft_spawn(&made_task, returns_0, NULL);
}

static int call_spawn_with(void)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "named";
    options.stack_size = 128 << 10;
    options.on_drop = drops_nothing;
    return weft_spawn_with(&made_task, &options, returns_0, NULL);
}

static int call_spawn_copy(void)
{
    static const char large[500];
    return weft_spawn_copy_at(&made_task, NULL, returns_0, large, sizeof large, WEFT_SITE);
}

static int call_runtime_spawn(void)
{
    return weft_runtime_spawn(weft_runtime_current(), &made_task, NULL, returns_0, NULL);
}

static void undo_spawn(void)
{
    int result = 1;
    CHECK_EQ(weft_join(made_task, &result), 0);
    CHECK_EQ(result, 0);
}

static int call_scope_spawn(void)
{
    CHECK_EQ(weft_scope_open(&made_scope), 0);
    int result = weft_scope_spawn(&made_scope, NULL, returns_0, NULL);
    faults_fail_allocation(0);
    CHECK_EQ(weft_scope_close(&made_scope), 0);
    return result;
}

static int call_chan_open(void)
{
    return weft_chan_open(&made_chan, sizeof(int), 100);
}

static int call_chan_open_shared(void)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = 8;
    options.capacity = 4;
    options.shared = 1;
    return weft_chan_open_with(&made_chan, &options);
}

static void undo_chan(void)
{
    weft_chan_unref(made_chan);
}

static int call_defer(void)
{
    return weft_defer(drops_nothing, NULL);
}

static int call_sleep(void)
{
    return weft_sleep(10 * WEFT_USEC);
}

/* A number that nothing has used so far: the tables must grow for it. */
static int call_wait_fd(void)
{
    int result = weft_wait_fd(made_fd, WEFT_WRITABLE);
    return result > 0 ? 0 : result;
}

static int call_select(void)
{
    int result = weft_select(weft_on_writable(made_fd), weft_after(WEFT_SEC));
    return result > 0 ? 0 : result;
}

static int call_read(void)
{
    char byte;
    ssize_t result = 0;
    weft_with_timeout(10 * WEFT_USEC)
        result = weft_read(made_fd, &byte, 1);
    return result == -ETIMEDOUT ? 0 : (int)result;
}

static void undo_high_fd(void)
{
    CHECK_EQ(weft_close(made_fd), 0);
    int next = fcntl(pair_fds[0], F_DUPFD_CLOEXEC, made_fd + 300);
    CHECK(next > made_fd);
    made_fd = next;
}

static int call_listen(void)
{
    return weft_tcp_listen(&made_fd, "127.0.0.1:0", NULL);
}

static void undo_listen(void)
{
    CHECK_EQ(weft_close(made_fd), 0);
}

static void call_until_it_succeeds(const struct operation *operation)
{
    int fd_count = harness_fd_count();
    uint64_t live = stats_now().tasks_live;
    for (int number = 1; number < ALLOCATIONS_MAX; number++) {
        faults_fail_allocation(number);
        int result = operation->call();
        bool failed = faults_allocation_failed();
        faults_fail_allocation(0);
        if (result != 0 && result != -ENOMEM) {
            CHECK_FAIL("%s gave %d at allocation %d", operation->name, result, number);
        }
        if (result == 0 && operation->undo) operation->undo();
        if (harness_fd_count() != fd_count || stats_now().tasks_live != live) {
            CHECK_FAIL("%s left something at allocation %d", operation->name, number);
        }
        if (!failed) return;
    }
    CHECK_FAIL("%s allocates too often", operation->name);
}

static int operations_task(void *arg)
{
    (void)arg;
    static const struct operation operations[] = {
        {"spawn", call_spawn, undo_spawn},
        {"spawn_with", call_spawn_with, undo_spawn},
        {"spawn_copy", call_spawn_copy, undo_spawn},
        {"runtime_spawn", call_runtime_spawn, undo_spawn},
        {"scope_spawn", call_scope_spawn, NULL},
        {"chan_open", call_chan_open, undo_chan},
        {"chan_open_with", call_chan_open_shared, undo_chan},
        {"defer", call_defer, NULL},
        {"sleep", call_sleep, NULL},
        {"tcp_listen", call_listen, undo_listen},
    };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        call_until_it_succeeds(&operations[i]);
    }

    static const struct operation waits[] = {
        {"wait_fd", call_wait_fd, undo_high_fd},
        {"read", call_read, undo_high_fd},
        {"select", call_select, undo_high_fd},
    };
    harness_socket_pair(pair_fds);
    made_fd = fcntl(pair_fds[0], F_DUPFD_CLOEXEC, 400);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        call_until_it_succeeds(&waits[i]);
    }
    return 0;
}

static int operations_root(void *arg)
{
    return finish(start(operations_task, arg));
}

WEFT_TEST(lim, 03_a_failing_allocation_is_reported_by_every_call)
{
    CHECK_EQ(run_real(operations_root, NULL), 0);
}

WEFT_TEST(lim, 03_a_run_without_memory_fails_and_leaves_nothing)
{
    CHECK_EQ(run_real(returns_0, NULL), 0);
    int fd_count = harness_fd_count();
    bool failed = true;
    for (int number = 1; failed && number < ALLOCATIONS_MAX; number++) {
        faults_fail_allocation(number);
        int result = run_real(returns_0, NULL);
        failed = faults_allocation_failed();
        faults_fail_allocation(0);
        CHECK(result == -ENOMEM || result == 0);
        CHECK_EQ(harness_fd_count(), fd_count);
    }
    CHECK(!failed);
    CHECK_EQ(run_real(returns_0, NULL), 0);
}

/* ---- 07: a hundred thousand tasks, and too many ---- */

#ifdef __SANITIZE_ADDRESS__
#define MANY         10000
#define BYTES_A_TASK (64 << 10)
#else
#define MANY         100000
#define BYTES_A_TASK (12 << 10) /* its record, a page or two of stack, and what the kernel hides */
#endif

struct many {
    atomic_int started; /* of all workers */
    atomic_int ended;
};

static int sleeps_once(void *arg)
{
    struct many *many = arg;
    many->started++;
    CHECK_EQ(weft_sleep(WEFT_MINUTE), 0);
    many->ended++;
    return 0;
}

static int many_root(void *arg)
{
    struct many *many = arg;
    size_t resident = harness_resident_size();
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(weft_spawn(NULL, sleeps_once, many), 0);
    }
    while (many->started < MANY) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK_WITHIN(harness_resident_size(), 0, resident + (size_t)MANY * BYTES_A_TASK);
    CHECK_EQ(many->ended, 0);
    CHECK_EQ(weft_sleep(2 * WEFT_MINUTE), 0);
    CHECK_EQ(many->ended, MANY);
    CHECK_EQ(stats_now().tasks_live, 1);
    return 0;
}

WEFT_TEST(lim, 07_a_hundred_thousand_tasks_sleep_at_once, .timeout = 60)
{
    struct many many = {0};
    CHECK_EQ(run_virtual(many_root, &many), 0);
}

#ifndef __SANITIZE_ADDRESS__ /* which needs address space of its own */

#define CROWD 20000

static int crowd_root(void *arg)
{
    struct many *many = arg;
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(weft_spawn(NULL, sleeps_once, many), 0);
    }
    for (int i = 0; i < 100000 && many->ended < CROWD; i++) {
        CHECK_EQ(weft_sleep(WEFT_SEC), 0);
    }
    CHECK_EQ(many->started, CROWD);
    CHECK_EQ(many->ended, CROWD);
    return 0;
}

/* Address space for a few thousand stacks only: the others start when those have ended. */
static int crowd_child(void *arg)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file && fscanf(file, "%zu", &pages) == 1); /* NOLINT(cert-err34-c): the kernel's text */
    if (file) (void)fclose(file);
    struct rlimit limit = {.rlim_cur = pages * 4096 + (256 << 20), .rlim_max = RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    /* It runs all the same, but nobody has to wait for a stack. */
    if (harness_is_emulated()) harness_skip("RLIMIT_AS is ignored here");
    struct many many = {0};
    (void)arg;
    return run_virtual(crowd_root, &many);
}

WEFT_TEST(lim, 07_tasks_beyond_the_address_space_wait_for_a_stack, .timeout = 60)
{
    harness_needs_one_worker(); /* the stacks and heaps of threads need address space, too */
    struct harness_child child;
    harness_run_child(&child, crowd_child, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

#endif

/* ---- 08: nearly a whole stack ---- */

/* Goes down until only `rest` bytes are left, and comes back. */
static int __attribute__((noinline)) go_down(const char *low, size_t rest, int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    frame[511] = (char)depth;
    if ((uintptr_t)frame < (uintptr_t)low + rest) return depth;
    int reached = go_down(low, rest, depth + 1);
    return frame[0] == (char)depth && frame[511] == (char)depth ? reached : -1;
}

static int goes_deep(void *arg)
{
    const size_t *size = arg;
    void *low = NULL;
    void *high = NULL;
    CHECK_EQ(weft_stack_bounds(&low, &high), 0);
    size_t actual = (size_t)((char *)high - (char *)low);
    CHECK(actual >= *size * 9 / 10);
    int depth = go_down(low, actual / 10, 0);
    CHECK(depth > 0 && (size_t)depth >= actual * 6 / 10 / 1024);
    CHECK_EQ(weft_sleep(WEFT_USEC), 0);
    CHECK(weft_stack_high_water() >= actual * 8 / 10);
    return 0;
}

static int deep_root(void *arg)
{
    (void)arg;
    size_t sizes[] = {16 << 10, 64 << 10, 100000, 1 << 20};
    for (int i = 0; i < 4; i++) {
        struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
        options.stack_size = sizes[i];
        weft_task task;
        CHECK_EQ(weft_spawn_with(&task, &options, goes_deep, &sizes[i]), 0);
        CHECK_EQ(finish(task), 0);
    }
    return 0;
}

WEFT_TEST(lim, 08_nine_tenths_of_a_stack_can_be_used)
{
    CHECK_EQ(run_real(deep_root, NULL), 0);
}
