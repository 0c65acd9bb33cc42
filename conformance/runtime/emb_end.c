/* SPDX-License-Identifier: MIT */
/* EMB-10, EMB-12, EMB-14: leaving the host's loop, forgetting to, and what stays the host's. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "conformance/runtime/emb_support.h"

/* ---- EMB-10 ---- */

struct ending {
    struct emb emb;
    int fds[2];
    int fired;
    int heard;
    int cancelled;
    int result;
    struct host_watch *watch;
};

static int wait_to_be_cancelled(void *arg)
{
    struct ending *ending = arg;
    ending->cancelled += weft_wait_fd(ending->fds[0], WEFT_READABLE) == -ECANCELED;
    weft_shielded
    {
        /* clean-up that takes time, in the loop of its own */
        CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
        CHECK_EQ(weft_wait_fd(ending->fds[1], WEFT_WRITABLE), WEFT_WRITABLE);
    }
    return 0;
}

static void on_timer(void *arg)
{
    struct ending *ending = arg;
    ending->fired++;
    CHECK_EQ(write(ending->fds[1], "x", 1), 1);
}

static void on_readable(void *arg)
{
    struct ending *ending = arg;
    ending->heard += (int)harness_drain(ending->fds[0]);
    host_adapter.watch_stop(ending->watch);
}

static void detach_in_callback(void *arg)
{
    struct ending *ending = arg;
    ending->result = host_adapter.detach(ending->emb.loop, ending->emb.runtime);
}

/* The host's own timer and watch work on in what is left of the pass, and later. */
static void check_detached(struct ending *ending)
{
    struct weft_runtime *runtime = ending->emb.runtime;
    CHECK_EQ(ending->result, 0);
    CHECK_EQ(ending->cancelled, 2);
    CHECK_PTR(weft_runtime_current(), NULL);
    CHECK_EQ(weft_runtime_spawn(runtime, NULL, NULL, do_nothing, NULL), -ESRCH);
    CHECK_EQ(weft_runtime_unref(runtime), 0);

    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK(host_adapter.timer_start(ending->emb.loop, 20, on_timer, ending));
    ending->watch = host_adapter.watch_start(ending->emb.loop, ending->fds[0], on_readable, ending);
    emb_run(&ending->emb);
    CHECK_EQ(ending->fired, 1);
    CHECK_EQ(ending->heard, 1);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 10 * NS_PER_MS * harness_pace());
}

WEFT_TEST(emb, 10_detached_in_a_callback_it_leaves_the_loop_as_it_was)
{
    struct ending ending = {0};
    harness_socket_pair(ending.fds);
    if (!emb_open(&ending.emb)) return;
    CHECK_EQ(weft_runtime_ref(ending.emb.runtime), 0);
    emb_spawn(&ending.emb, wait_to_be_cancelled, &ending);
    CHECK(host_adapter.timer_start(ending.emb.loop, 5, detach_in_callback, &ending));
    ending.cancelled = 1; /* as in 10b */
    int fds[2];
    harness_pipe(fds);
    emb_run(&ending.emb);
    /* one direction of the pair only: the host's byte comes from the other end */
    int other = ending.fds[0];
    ending.fds[0] = fds[0];
    ending.fds[1] = fds[1];
    check_detached(&ending);
    close(other);
    CHECK(host_adapter.close(ending.emb.loop));
}

WEFT_TEST(emb, 10b_detached_outside_of_the_loop_and_attached_again)
{
    void *loop = host_adapter.open();
    for (int i = 0; i < 3; i++) {
        struct ending ending = {.emb = {.loop = loop}};
        harness_socket_pair(ending.fds);
        if (!emb_attach(loop, &ending.emb.runtime, NULL)) break;
        CHECK_EQ(weft_runtime_ref(ending.emb.runtime), 0);
        emb_spawn(&ending.emb, wait_to_be_cancelled, &ending);
        emb_spawn(&ending.emb, wait_to_be_cancelled, &ending);
        if (i != 1) emb_run_for(&ending.emb, 2); /* else they have not even started */
        detach_in_callback(&ending);
        int pair[2] = {ending.fds[0], ending.fds[1]};
        harness_pipe(ending.fds);
        check_detached(&ending);
        close(pair[0]);
        close(pair[1]);
    }
    CHECK(host_adapter.close(loop));
}

static int ignore_cancellation(void *arg)
{
    int result = 0;
    weft_shielded
    {
        result = weft_chan_recv((struct weft_chan *)arg, NULL);
    }
    return result;
}

static int detach_with_survivor(void *arg)
{
    (void)arg;
    struct emb emb;
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    struct weft_chan *chan = NULL;
    CHECK_EQ(weft_chan_open_with(&chan, &options), 0);
    struct weft_config config = WEFT_CONFIG_INIT;
    config.grace_ns = 20 * WEFT_MSEC;
    if (!emb_open_with(&emb, &config)) return 1;
    emb_spawn(&emb, ignore_cancellation, chan);
    host_adapter.run_nowait(emb.loop);
    host_adapter.run_nowait(emb.loop);
    CHECK_EQ(host_adapter.detach(emb.loop, emb.runtime), -EBUSY);
    CHECK(host_adapter.close(emb.loop)); /* detached all the same */
    return 0;
}

WEFT_TEST(emb, 10c_survivors_are_named_and_detached_from)
{
    struct harness_child child;
    harness_run_child(&child, detach_with_survivor, NULL);
    CHECK(child.exited);
    if (child.exit_code == 1) return; /* no loop to live in: asserted there */
    CHECK_EQ(child.exit_code, 0);
    CHECK(strstr(child.output, "1 task did not end within 20.000 ms after the detach"));
    CHECK(strstr(child.output, "emb_end.c"));
}

static int sleep_and_note(void *arg)
{
    struct ending *ending = arg;
    ending->result = weft_sleep(WEFT_FOREVER);
    ending->cancelled++;
    return 0;
}

WEFT_TEST(emb, 10d_a_stop_cancels_and_leaves_it_attached)
{
    struct ending ending = {0};
    if (!emb_open(&ending.emb)) return;
    emb_spawn(&ending.emb, sleep_and_note, &ending);
    emb_run_for(&ending.emb, 2);
    CHECK_EQ(weft_runtime_stop(ending.emb.runtime), 0);
    emb_run_for(&ending.emb, 5);
    CHECK_EQ(ending.cancelled, 1);
    CHECK_EQ(ending.result, -ECANCELED);
    CHECK_PTR(weft_runtime_current(), ending.emb.runtime);
    emb_spawn(&ending.emb, sleep_and_note, &ending); /* so is every later one */
    emb_run(&ending.emb);
    CHECK_EQ(ending.cancelled, 2);
    emb_close(&ending.emb);
}

struct poster {
    struct weft_runtime *runtime;
    atomic_int ran;
    atomic_bool stops;
    int accepted;
};

static void note_post(void *arg)
{
    struct poster *poster = arg;
    atomic_fetch_add(&poster->ran, 1);
}

/* Until it is told that the runtime has ended: whatever was accepted before runs. */
static void *post_all_the_time(void *arg)
{
    struct poster *poster = arg;
    struct weft_post post = {.fn = note_post, .arg = poster};
    for (;;) {
        int before = atomic_load(&poster->ran);
        if (weft_post(poster->runtime, &post) == -ESRCH) break;
        poster->accepted++;
        while (atomic_load(&poster->ran) == before) {
            if (atomic_load(&poster->stops)) goto done;
        }
    }
done:
    CHECK_EQ(weft_runtime_unref(poster->runtime), 0);
    return NULL;
}

WEFT_TEST(emb, 10e_a_detach_loses_no_post_of_other_threads)
{
    for (int i = 0; i < 20; i++) {
        struct emb emb;
        if (!emb_open(&emb)) return;
        struct poster poster = {.runtime = emb.runtime};
        pthread_t thread;
        CHECK_EQ(weft_runtime_ref(emb.runtime), 0);
        CHECK_EQ(pthread_create(&thread, NULL, post_all_the_time, &poster), 0);
        emb_run_for(&emb, 1 + i % 4);
        emb_close(&emb);
        atomic_store(&poster.stops, true);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(atomic_load(&poster.ran), poster.accepted);
    }
}

static int read_shielded(void *arg)
{
    struct ending *ending = arg;
    char byte;
    weft_shielded
    {
        ending->heard = (int)weft_read(ending->fds[0], &byte, 1);
    }
    return 0;
}

WEFT_TEST(emb, 10f_what_a_task_waits_for_moves_with_it)
{
    struct ending ending = {0};
    harness_pipe(ending.fds);
    if (!emb_open(&ending.emb)) return;
    emb_spawn(&ending.emb, read_shielded, &ending);
    emb_run_for(&ending.emb, 2);
    CHECK_EQ(write(ending.fds[1], "x", 1), 1);
    emb_close(&ending.emb);
    CHECK_EQ(ending.heard, 1);
}

/* 0: done; 1: no loop to live in, which emb_open() has asserted. */
static int attach_and_detach_without_fds(void *arg)
{
    (void)arg;
    struct emb emb;
    if (!emb_open(&emb)) return 1; /* also sets up what a library sets up once */
    emb_close(&emb);
    void *loop = host_adapter.open();
    void *native = capabilities()->can_attach ? loop : NULL;
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int before = harness_fd_count();
    int failures = 0;
    for (int spare = 0; spare < 8; spare++) {
        struct weft_runtime *runtime = NULL;
        harness_limit_fds(spare);
        int attached = weft_attach(&runtime, NULL, native);
        int detached = attached < 0 ? 0 : weft_detach_loop(runtime);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        failures += attached < 0;
        if (attached < 0) CHECK_EQ(attached, -EMFILE);
        if (attached < 0) continue;
        if (detached == 0) continue;
        CHECK_EQ(detached, -EMFILE); /* it has stayed where it was */
        CHECK_PTR(weft_runtime_current(), runtime);
        CHECK_EQ(weft_detach_loop(runtime), 0);
    }
    CHECK(failures > 0);
    host_adapter.run_nowait(loop);
    CHECK_EQ(harness_fd_count(), before);
    CHECK(host_adapter.close(loop));
    return 0;
}

WEFT_TEST(emb, 10g_without_descriptors_it_fails_cleanly)
{
    struct harness_child child;
    harness_run_child(&child, attach_and_detach_without_fds, NULL);
    CHECK(child.exited);
    CHECK_WITHIN(child.exit_code, 0, 1);
    CHECK_STR(child.output, "");
}

/* ---- EMB-12 ---- */

static int leave_attached(void *arg)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    if (*(bool *)arg) config.flags = WEFT_REPORT_LEAKS;
    struct emb emb;
    if (!emb_open_with(&emb, &config)) exit(1);
    emb_spawn(&emb, sleep_forever, NULL);
    emb_run_for(&emb, 2);
    exit(7); /* NOLINT(concurrency-mt-unsafe): that is the point */
}

static void check_forgotten(bool reports)
{
    struct harness_child child;
    harness_run_child(&child, leave_attached, &reports);
    CHECK(child.exited);
    if (child.exit_code == 1) return; /* no loop to live in: asserted there */
    CHECK_EQ(child.exit_code, 7);
    const char *warning = strstr(child.output, "weft_detach_loop() was not called");
    CHECK_EQ(warning != NULL, reports);
}

WEFT_TEST(emb, 12_a_host_that_forgets_to_detach_is_told_if_it_asked)
{
    check_forgotten(true);
    check_forgotten(false);
}

static void *attach_and_end(void *arg)
{
    struct emb *emb = arg;
    harness_allow_leaks(true); /* nobody gives them back: that is what is tested */
    bool is_open = emb_open(emb);
    if (is_open) {
        emb_spawn(emb, sleep_forever, NULL);
        emb_run_for(emb, 2);
    }
    harness_allow_leaks(false);
    return is_open ? emb : NULL;
}

WEFT_TEST(emb, 12b_a_thread_that_ends_without_detaching_does_no_harm)
{
    struct emb emb;
    pthread_t thread;
    void *is_able = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, attach_and_end, &emb), 0);
    CHECK_EQ(pthread_join(thread, &is_able), 0);
    if (!is_able) return;
    struct poster poster = {0};
    struct weft_post post = {.fn = note_post, .arg = &poster};
    CHECK_EQ(weft_post(emb.runtime, &post), -ESRCH);
    CHECK_EQ(weft_runtime_spawn(emb.runtime, NULL, NULL, do_nothing, NULL), -ESRCH);
    CHECK_EQ(weft_detach_loop(emb.runtime), -ESRCH);
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), 0);
    int fds[2];
    harness_pipe(fds);
    CHECK_EQ(weft_close(fds[0]), 0); /* does not wait for who is not there */
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(atomic_load(&poster.ran), 0);
}

/* ---- EMB-14 ---- */

static int children;

static void on_child(int signal)
{
    (void)signal;
    children++;
}

static void read_dispositions(struct sigaction *ret)
{
    for (int signal = 1; signal < NSIG; signal++) {
        ret[signal] = (struct sigaction){0};
        /* stack overflows are caught while a runtime lives */
        if (signal == SIGSEGV || signal == SIGBUS) continue;
        (void)sigaction(signal, NULL, &ret[signal]); /* fails for those of the C library */
    }
}

static void check_signals_are(const struct sigaction *before, const sigset_t *mask)
{
    struct sigaction now[NSIG];
    sigset_t now_mask;
    read_dispositions(now);
    for (int signal = 1; signal < NSIG; signal++) {
        CHECK(now[signal].sa_handler == before[signal].sa_handler);
        CHECK_EQ(now[signal].sa_flags, before[signal].sa_flags);
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now_mask), 0);
    for (int signal = 1; signal < NSIG; signal++) {
        CHECK_EQ(sigismember(&now_mask, signal), sigismember(mask, signal));
    }
}

static void reap_own_child(struct emb *emb)
{
    int before = children;
    pid_t pid = fork();
    if (pid == 0) _exit(5);
    CHECK(pid > 0);
    for (int i = 0; i < 200 && children == before; i++)
        emb_run_for(emb, 5);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 5);
    CHECK_EQ(children, before + 1);
}

WEFT_TEST(emb, 14_signals_and_children_are_the_hosts)
{
    struct sigaction own = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct sigaction before[NSIG];
    sigset_t mask;
    CHECK_EQ(sigaction(SIGCHLD, &own, NULL), 0);
    struct emb warm;
    if (!emb_open(&warm)) return; /* libraries may set up something once in a process */
    emb_close(&warm);
    void *loop = host_adapter.open();
    read_dispositions(before);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK(before[SIGCHLD].sa_handler == on_child);

    struct emb emb = {.loop = loop};
    CHECK_EQ(host_adapter.attach(loop, &emb.runtime, NULL), 0);
    check_signals_are(before, &mask);
    emb_spawn(&emb, sleep_forever, NULL);
    reap_own_child(&emb);
    check_signals_are(before, &mask);
    CHECK_EQ(host_adapter.detach(loop, emb.runtime), 0);
    check_signals_are(before, &mask);
    CHECK(host_adapter.close(loop));
}

static int spoil_errno(void *arg)
{
    (void)arg;
    errno = E2BIG;
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(errno, E2BIG);
    return 0;
}

WEFT_TEST(emb, 14b_errno_is_the_hosts)
{
    struct emb emb;
    if (!emb_open(&emb)) return;
    int fd = weft_host_fd(emb.runtime);
    emb_spawn(&emb, spoil_errno, NULL);
    while (fd >= 0 && weft_host_is_alive(emb.runtime)) {
        errno = ENOTTY;
        CHECK_EQ(weft_host_dispatch(emb.runtime), 0);
        CHECK_EQ(errno, ENOTTY);
    }
    emb_run(&emb);
    emb_close(&emb);
}

/* ---- forks ---- */

static int echo_bytes(void *arg)
{
    int *fds = arg;
    char byte;
    while (weft_read(fds[0], &byte, 1) == 1)
        CHECK_EQ(weft_write(fds[0], &byte, 1), 1);
    return 0;
}

static int run_in_child(struct emb *emb)
{
    struct weft_runtime *other = NULL;
    struct weft_post post = {.fn = note_post};
    CHECK_EQ(weft_post(emb->runtime, &post), -EOWNERDEAD);
    CHECK_EQ(weft_runtime_spawn(emb->runtime, NULL, NULL, do_nothing, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_host_dispatch(emb->runtime), -EOWNERDEAD);
    CHECK_EQ(weft_host_call(emb->runtime, note_post, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_detach_loop(emb->runtime), -EOWNERDEAD);
    CHECK_EQ(weft_attach(&other, NULL, NULL), -EOWNERDEAD);
    CHECK_EQ(weft_sleep(1), -EOWNERDEAD);
    CHECK_EQ(weft_close(0), -EOWNERDEAD);
    CHECK_PTR(weft_runtime_current(), NULL);

    CHECK_EQ(weft_after_fork_child(), 0);
    CHECK_EQ(weft_host_dispatch(emb->runtime), -ESRCH);
    CHECK_EQ(weft_detach_loop(emb->runtime), -ESRCH);
    CHECK_PTR(weft_runtime_current(), NULL);
    CHECK_EQ(weft_run(NULL, do_nothing, NULL), 0);
    struct emb fresh;
    if (!emb_open(&fresh)) return 1;
    emb_spawn(&fresh, do_nothing, NULL);
    emb_run(&fresh);
    emb_close(&fresh);
    return 21;
}

WEFT_TEST(emb, 14c_a_fork_of_the_host_leaves_the_parent_alone)
{
    struct emb emb;
    int fds[2];
    harness_socket_pair(fds);
    if (!emb_open(&emb)) return;
    emb_spawn(&emb, echo_bytes, fds);
    emb_run_for(&emb, 2);
    pid_t pid = fork();
    if (pid == 0) _exit(run_in_child(&emb));
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 21);

    for (int i = 0; i < 3; i++) { /* what the parent has armed works on */
        char byte = 0;
        CHECK_EQ(write(fds[1], "y", 1), 1);
        emb_run_for(&emb, 10);
        CHECK_EQ(read(fds[1], &byte, 1), 1);
    }
    emb_close(&emb);
}

/* ---- the virtual clock ---- */

static int sleep_an_hour(void *arg)
{
    int64_t start_ns = weft_now();
    int result = weft_sleep(3600 * WEFT_SEC);
    *(int64_t *)arg = weft_now() - start_ns;
    return result;
}

WEFT_TEST(emb, 13d_virtual_time_jumps_when_the_loop_is_quiet)
{
    harness_needs_one_worker(); /* several on a virtual clock cannot be attached */
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK;
    struct emb emb;
    int64_t passed_ns = 0;
    if (!emb_open_with(&emb, &config)) return;
    int64_t start_ns = harness_now_ns();
    emb_spawn(&emb, sleep_an_hour, &passed_ns);
    emb_run(&emb);
    CHECK_LASTED(passed_ns, 3600 * WEFT_SEC);
    CHECK_WITHIN(harness_now_ns() - start_ns, 2 * NS_PER_MS, NS_PER_SEC + harness_slack_ns());
    emb_close(&emb);
}
