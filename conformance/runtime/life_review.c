/* SPDX-License-Identifier: MIT */
/*
 * Ends and corners that a review of the core found: rows 18, 27b, 36, 37, 38, 39 and 42 of the
 * semantics, each where two parts of the core meet.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/weft.h>

#include "conformance/harness.h"

/* ---- a survivor and its shared channel ---- */

static int receive_shielded(void *arg)
{
    int value = 0;
    weft_shielded
    {
        CHECK_FAIL("resumed with %d", weft_chan_recv(arg, &value));
    }
    return 0;
}

static int select_shielded(void *arg)
{
    int value = 0;
    weft_shielded
    {
        int winner = weft_select(weft_on_recv(arg, &value), weft_after(WEFT_HOUR));
        CHECK_FAIL("resumed with %d", winner);
    }
    return 0;
}

static int leave_two_asleep(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, receive_shielded, arg), 0);
    CHECK_EQ(weft_spawn(NULL, select_shielded, arg), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    return 0;
}

static int end_before_survivors(void *arg)
{
    (void)arg;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.shared = 1;
    struct weft_chan *chan = NULL;
    CHECK_OR_RETURN(weft_chan_open_with(&chan, &options) == 0, 1);
    struct weft_config config = WEFT_CONFIG_INIT;
    config.grace_ns = 5 * WEFT_MSEC;

    CHECK_EQ(weft_run(&config, leave_two_asleep, chan), -EBUSY);

    int value = 7;
    CHECK_EQ(weft_chan_try_send(chan, &value), -EAGAIN); /* they will never take it */
    weft_chan_unref(chan);
    return 0;
}

WEFT_TEST(life, 03f_survivors_take_nothing_from_a_shared_channel)
{
    struct harness_child child; /* reports are written */

    harness_run_child(&child, end_before_survivors, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}

/* ---- threads that let go at the last moment ---- */

#define ROUNDS 500

struct relay {
    _Atomic(struct weft_runtime *) runtime; /* of the round, held by the thread; NULL: none */
    atomic_bool is_over;
    struct weft_chan *shared;
    struct weft_chan *local;
    struct weft_post post;
    unsigned patience;
};

static void send_here(void *arg)
{
    struct relay *relay = arg;
    int value = 1;
    CHECK_EQ(weft_chan_try_send(relay->local, &value), 0);
}

/* Posts and lets go at once, after a while that differs from round to round. */
static void *post_and_let_go(void *arg)
{
    struct relay *relay = arg;
    while (!atomic_load(&relay->is_over)) {
        struct weft_runtime *runtime = atomic_exchange(&relay->runtime, NULL);
        if (!runtime) {
            (void)sched_yield();
            continue;
        }
        for (volatile unsigned i = 0; i < relay->patience; i++) {
        }
        CHECK_EQ(weft_post(runtime, &relay->post), 0);
        CHECK_EQ(weft_runtime_unref(runtime), 0);
    }
    return NULL;
}

static int wait_for_post(void *arg)
{
    struct relay *relay = arg;
    CHECK_OR_RETURN(weft_chan_open(&relay->local, sizeof(int), 0) == 0, 1);
    struct weft_runtime *runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(runtime), 0);
    atomic_store(&relay->runtime, runtime);
    int value = 0;
    int result = weft_chan_recv(relay->local, &value);
    weft_chan_unref(relay->local);
    return result;
}

static int yield_first(void *arg)
{
    weft_task task;
    int result = 0;
    CHECK_EQ(weft_spawn(&task, wait_for_post, arg), 0);
    CHECK_EQ(weft_join(task, &result), 0);
    return result;
}

WEFT_TEST(life, 08g_a_post_before_the_last_reference_goes_is_no_deadlock)
{
    struct relay relay = {.post = {.fn = send_here, .arg = &relay}};
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_DEADLOCK_REPORT;
    pthread_t thread;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, post_and_let_go, &relay) == 0, );

    for (unsigned round = 0; round < ROUNDS; round++) {
        relay.patience = 2 * round;
        if (!CHECK_EQ(weft_run(&config, yield_first, &relay), 0)) break;
    }

    atomic_store(&relay.is_over, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void *send_shared(void *arg)
{
    struct relay *relay = arg;
    int value = 0;
    while (weft_chan_send(relay->shared, &value) == 0)
        value++;
    return NULL;
}

static int receive_one(void *arg)
{
    struct relay *relay = arg;
    int value = 0;
    return weft_chan_recv(relay->shared, &value);
}

/* What the sender does last for a round must not touch a runtime that has ended: for sanitizers. */
WEFT_TEST(life, 09b_a_runtime_ends_after_who_woke_its_last_task)
{
    struct relay relay = {.is_over = false};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int);
    options.shared = 1;
    CHECK_OR_RETURN(weft_chan_open_with(&relay.shared, &options) == 0, );
    pthread_t thread;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, send_shared, &relay) == 0, );

    for (unsigned round = 0; round < ROUNDS; round++) {
        if (!CHECK_EQ(weft_run(NULL, receive_one, &relay), 0)) break;
    }

    CHECK_EQ(weft_chan_close(relay.shared), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(relay.shared);
}

/* ---- order ---- */

#define LINKS_MAX 5000

static int links;
static int links_when_it_ran;

static int note_links(void *arg)
{
    (void)arg;
    links_when_it_ran = links;
    return 0;
}

/* Each link is slow, starts the next one, and ends. */
static int link_of_chain(void *arg)
{
    int64_t end_ns = harness_now_ns() + 20 * NS_PER_US;
    while (harness_now_ns() < end_ns) {
    }
    if (++links < LINKS_MAX && links_when_it_ran == 0) {
        CHECK_EQ(weft_spawn(NULL, link_of_chain, arg), 0);
    }
    return 0;
}

static int spawn_chain_and_another(void *arg)
{
    CHECK_EQ(weft_spawn(NULL, link_of_chain, arg), 0);
    CHECK_EQ(weft_spawn(NULL, note_links, arg), 0);
    return 0;
}

WEFT_TEST(task, 02d_slow_generations_do_not_starve_the_oldest_batch)
{
    harness_needs_order();

    CHECK_EQ(weft_run(NULL, spawn_chain_and_another, NULL), 0);

    CHECK_WITHIN(links_when_it_ran, 1, 1000);
}

/* ---- strangers ---- */

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

static int select_stranger(void *arg)
{
    const weft_task *stranger = arg;
    CHECK_EQ(weft_select(weft_on_joined(*stranger, NULL), weft_default()), -EPERM);
    return 0;
}

static void *run_select_stranger(void *arg)
{
    CHECK_EQ(weft_run(NULL, select_stranger, arg), 0);
    return NULL;
}

static int show_to_stranger(void *arg)
{
    (void)arg;
    weft_task task;
    CHECK_EQ(weft_spawn(&task, sleep_for_ever, NULL), 0);
    CHECK_EQ(weft_yield(), 0);
    pthread_t thread;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, run_select_stranger, &task) == 0, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(weft_join(task, NULL), 0);
    return 0;
}

WEFT_TEST(sel, 26c_a_task_of_another_runtime_is_refused)
{
    CHECK_EQ(weft_run(NULL, show_to_stranger, NULL), 0);
}

/* ---- the status of a block ---- */

static int leave_inner_open(void *arg)
{
    (void)arg;
    int status = 1;
    struct weft_scope inner;
    weft_with_timeout_into(&status, WEFT_MSEC) {
        CHECK_EQ(weft_scope_open(&inner), 0);
        CHECK_EQ(weft_sleep(WEFT_SEC), -ECANCELED);
    }
    CHECK_EQ(status, -ETIMEDOUT);
    return 0;
}

WEFT_TEST(cancel, 24p_the_status_of_a_block_is_its_own)
{
    harness_use_virtual_clock();

    CHECK_EQ(weft_run(NULL, leave_inner_open, NULL), 0);
}

/* ---- forked children ---- */

static int exit_code_of(pid_t pid)
{
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int fork_in_block(void *arg)
{
    (void)arg;
    pid_t pid = -1;
    int status = 1;
    weft_with_timeout_into(&status, WEFT_HOUR) {
        pid = fork();
    }
    if (pid == 0) _exit(status == -EOWNERDEAD ? 0 : 1);
    CHECK_EQ(status, 0);
    CHECK_EQ(exit_code_of(pid), 0);
    return 0;
}

WEFT_TEST(life, 14d_a_forked_child_may_leave_a_block)
{
    CHECK_EQ(weft_run(NULL, fork_in_block, NULL), 0);
}

static void *fork_and_close(void *arg)
{
    int *exit_code = arg;
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(5);
        _exit(weft_close(STDIN_FILENO) == 0 ? 0 : 1);
    }
    *exit_code = exit_code_of(pid);
    return NULL;
}

static int fork_beside(void *arg)
{
    int exit_code = -1;
    pthread_t thread;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, fork_and_close, &exit_code) == 0, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(exit_code, 0);
    (void)arg;
    return 0;
}

WEFT_TEST(life, 14e_a_child_of_another_thread_knows_no_runtime)
{
    CHECK_EQ(weft_run(NULL, fork_beside, NULL), 0);
}

#define LONG_VALUE ((size_t)16 << 20)

struct long_copies {
    struct weft_chan *chan;
    void *value;
    atomic_bool is_over;
};

/* Nearly always inside of a shared channel. */
static void *copy_for_long(void *arg)
{
    struct long_copies *copies = arg;
    while (!atomic_load(&copies->is_over)) {
        CHECK_EQ(weft_chan_try_send(copies->chan, copies->value), 0);
        CHECK_EQ(weft_chan_try_recv(copies->chan, copies->value), 0);
    }
    return NULL;
}

static int use_shared_in_child(void)
{
    (void)alarm(5);
    if (weft_after_fork_child() != 0) return 1;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.capacity = 1;
    options.shared = 1;
    struct weft_chan *chan = NULL;
    if (weft_chan_open_with(&chan, &options) != 0) return 2;
    return weft_chan_try_send(chan, NULL) == 0 ? 0 : 3;
}

static int fork_beside_copies(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        harness_sleep_ms(3);
        pid_t pid = fork();
        if (pid == 0) _exit(use_shared_in_child());
        if (!CHECK_EQ(exit_code_of(pid), 0)) break;
    }
    return 0;
}

WEFT_TEST(life, 13b_a_fresh_start_finds_shared_channels_free)
{
    struct long_copies copies = {.value = calloc(1, LONG_VALUE)};
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = LONG_VALUE;
    options.capacity = 1;
    options.shared = 1;
    CHECK_OR_RETURN(copies.value && weft_chan_open_with(&copies.chan, &options) == 0, );
    pthread_t thread;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, copy_for_long, &copies) == 0, );

    CHECK_EQ(weft_run(NULL, fork_beside_copies, NULL), 0);

    atomic_store(&copies.is_over, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(copies.chan);
    free(copies.value);
}
