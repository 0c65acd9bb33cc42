/* SPDX-License-Identifier: MIT */
/*
 * FD-04, 05; TCP-01, 07; TIME-37; LIFE-03; LIM-04: what faults planted where the library meets
 * the system showed to be untested.
 */
#include "conformance/runtime/tcp_support.h"

static int run_quietly(weft_fn root, void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK | WEFT_NO_DEADLOCK_REPORT;
    return weft_run(&config, root, arg);
}

/* After the wait has given up, nothing can happen any more. */
static int sleeps_after_a_wait(void *arg)
{
    const int *fds = arg;
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    put_byte(fds[1], 'a');
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    return weft_sleep(WEFT_FOREVER);
}

WEFT_TEST(fd, 05m_a_wait_that_is_over_hides_no_deadlock)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_quietly(sleeps_after_a_wait, fds), -EDEADLK);
}

#define ROUNDS 200

static int echoes_bytes(void *arg)
{
    const int *fds = arg;
    char bytes[64];
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_read(fds[1], bytes, sizeof bytes), 1);
        CHECK_EQ(weft_write(fds[1], bytes, 1), 1);
    }
    return 0;
}

static int counts_polls(void *arg)
{
    const int *fds = arg;
    weft_task task = start(echoes_bytes, arg);
    settle();
    uint64_t polls = stats_now().polls;
    for (int i = 0; i < ROUNDS; i++) {
        char bytes[64];
        CHECK_EQ(weft_write(fds[0], "b", 1), 1);
        CHECK_EQ(weft_read(fds[0], bytes, sizeof bytes), 1);
    }
    CHECK_WITHIN(stats_now().polls - polls, 1, 4 * ROUNDS);
    CHECK_EQ(finish(task), 0);
    return 0;
}

WEFT_TEST(fd, 04m_each_byte_of_a_dialogue_costs_one_wait)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(counts_polls, fds), 0);
}

static int connects_blocking(void *arg)
{
    const struct sockaddr_in *address = arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    int flags = fcntl(fd, F_GETFL);
    CHECK_EQ(flags & O_NONBLOCK, 0);

    CHECK_EQ(weft_connect(fd, (const struct sockaddr *)address, sizeof *address), 0);

    CHECK_EQ(fcntl(fd, F_GETFL), flags);
    CHECK_EQ(weft_close(fd), 0);
    return 0;
}

WEFT_TEST(tcp, 01m_connect_leaves_a_blocking_socket_blocking)
{
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    CHECK(listener >= 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    CHECK_EQ(run_real(connects_blocking, &address), 0);
}

static int accepts_once(void *arg)
{
    return weft_accept(*(const int *)arg, NULL, NULL);
}

static int closes_during_the_pause(void *arg)
{
    const int *listener = arg;
    harness_limit_fds(0);
    weft_task task = start(accepts_once, arg);
    CHECK_EQ(weft_sleep(2 * WEFT_MSEC), 0);
    CHECK_EQ(weft_close(*listener), 0);
    CHECK_EQ(finish(task), -EBADF);
    return 0;
}

static int runs_without_descriptors(void *arg)
{
    (void)arg;
    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(run_quietly(closes_during_the_pause, &listener), 0);
    return 0;
}

WEFT_TEST(tcp, 07m_a_listener_closed_in_the_pause_of_an_accept_is_gone)
{
    struct harness_child child;
    harness_run_child(&child, runs_without_descriptors, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- stacks give their memory back ---- */

#define STACKS  256 /* few enough that their mappings stay */
#define TOUCHED ((size_t)40 << 10)

static int touches_its_stack(void *arg)
{
    unsigned char bytes[TOUCHED];
    memset(bytes, 1, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
    (void)arg;
    return weft_sleep(20 * WEFT_MSEC) + bytes[7] - 1;
}

static int uses_stacks(void *arg)
{
    (void)arg;
    static weft_task tasks[STACKS];
    size_t before = harness_resident_size();
    for (int i = 0; i < STACKS; i++)
        tasks[i] = start(touches_its_stack, NULL);
    settle();
    size_t during = harness_resident_size();
    for (int i = 0; i < STACKS; i++)
        CHECK_EQ(finish(tasks[i]), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(weft_sleep(60 * WEFT_MSEC), 0);
    size_t after = harness_resident_size();

    if (!harness_sizes_are_exact()) return 0;
    CHECK(during - before > STACKS * TOUCHED * 9 / 10);
    CHECK(after - before < STACKS * TOUCHED / 2); /* a fourth of them is kept at hand */
    return 0;
}

WEFT_TEST(lim, 04m_the_memory_of_a_few_hundred_stacks_comes_back)
{
    harness_needs_one_worker(); /* each keeps a part at hand, and gives back in sleeps of its own */
    CHECK_EQ(run_real(uses_stacks, NULL), 0);
}

/* ---- time and descriptors ---- */

static int waits_for_what_is_there(void *arg)
{
    const int *fds = arg;
    put_byte(fds[1], 'c');
    int64_t start_ns = weft_now();

    CHECK_EQ(weft_select(weft_after(WEFT_HOUR), weft_on_readable(fds[0])), 1);

    CHECK_WITHIN(weft_now() - start_ns, 0, WEFT_MINUTE);
    return 0;
}

WEFT_TEST(time, 37m_time_does_not_jump_while_a_descriptor_is_ready)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_quietly(waits_for_what_is_there, fds), 0);
}

/* ---- the grace period ---- */

static int sleeps_shielded(void *arg)
{
    (void)arg;
    weft_shielded
    {
        (void)weft_sleep(15 * WEFT_SEC);
    }
    return 0;
}

static int leaves_a_sleeper(void *arg)
{
    (void)start(sleeps_shielded, arg);
    settle();
    return 0;
}

static int ends_after_grace(void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.grace_ns = 100 * WEFT_MSEC;
    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_run(&config, leaves_a_sleeper, arg), -EBUSY);
    CHECK_WITHIN(harness_now_ns() - start_ns, 100 * NS_PER_MS, 5 * NS_PER_SEC);
    return 0;
}

WEFT_TEST(life, 03m_the_grace_ends_also_while_everybody_sleeps)
{
    struct harness_child child;
    harness_run_child(&child, ends_after_grace, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}
