/* SPDX-License-Identifier: MIT */
/* The dump that a signal asks for: whichever thread gets it, whatever the worker is doing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/core/report_support.h"

TestSuite(dump_signal, .init = open_configuration);

static atomic_bool spinning;
static atomic_int raised;

static int spin_until_dumped(void *arg)
{
    (void)arg;
    (void)spawn_named("patient", sleep_an_hour, NULL);
    (void)weft_yield();
    atomic_store(&spinning, true);
    while (!atomic_load(&raised)) {
    }
    return 0;
}

/* To the process: which of the threads gets it is the kernel's choice. */
static void *signal_the_process(void *arg)
{
    (void)arg;
    while (!atomic_load(&spinning))
        sched_yield();
    kill(getpid(), SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    atomic_store(&raised, 1);
    return NULL;
}

/* To a thread that runs no tasks: it has to be passed on. */
static void *signal_oneself(void *arg)
{
    (void)arg;
    while (!atomic_load(&spinning))
        sched_yield();
    pthread_kill(pthread_self(), SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    atomic_store(&raised, 1);
    return NULL;
}

static void check_dump_of_spinner(void *(*sender)(void *))
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, sender, NULL), 0);

    int result = run_reporting(config, spin_until_dumped);
    pthread_join(thread, NULL);

    cr_assert_eq(result, 0);
    cr_expect_eq(count_of("weft: 2 tasks, "), 1);
    cr_expect_eq(count_of(": running"), 1);
    cr_expect(strstr(line_of("\"patient\""), "in sleep"));
}

Test(dump_signal, a_signal_dumps_while_a_task_spins)
{
    check_dump_of_spinner(signal_the_process);
}

Test(dump_signal, a_signal_to_any_thread_reaches_the_worker)
{
    check_dump_of_spinner(signal_oneself);
}

static void note_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&raised, 1);
}

static int signal_inside(void *arg)
{
    return raise(arg ? *(int *)arg : SIGUSR1);
}

Test(dump_signal, the_former_handler_comes_back)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    struct sigaction action = {.sa_handler = note_signal};
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);

    cr_assert_eq(run_reporting(config, signal_inside), 0);
    cr_expect_eq(atomic_load(&raised), 0);
    cr_expect_eq(count_of(": running"), 1);

    raise(SIGUSR1);
    cr_expect_eq(atomic_load(&raised), 1);
}

static int dump_in_a_child(void *arg)
{
    (void)arg;
    pid_t child = fork();
    if (child == 0) {
        int result = weft_after_fork_child();
        raise(SIGWINCH); /* the parent's handler is gone, and the default ignores it */
        _exit(result == 0 ? weft_run(&virtual, signal_inside, &virtual.dump_signal) : 1);
    }
    int status = 0;
    bool is_well = waitpid(child, &status, 0) == child && WIFEXITED(status);
    return is_well ? WEXITSTATUS(status) : 1;
}

Test(dump_signal, a_forked_child_reports_for_itself)
{
    virtual.dump_signal = SIGWINCH;
    virtual.report_fd = memfd_create("report", MFD_CLOEXEC);

    cr_assert_eq(weft_run(&virtual, dump_in_a_child, NULL), 0);

    cr_assert_gt(pread(virtual.report_fd, output, sizeof output - 1, 0), 0);
    cr_expect_eq(count_of("weft: 1 task, "), 1);
    cr_expect_eq(count_of(": running"), 1);
}

Test(dump_signal, a_signal_that_cannot_be_caught_is_refused)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGKILL;

    cr_assert_eq(run_reporting(config, end_at_once), -EINVAL);
}

/* ---- dumps at any instruction ---- */

static int live_shortly(void *arg)
{
    int result = weft_sleep(*(unsigned char *)arg * 1000);
    return result < 0 ? result : 0;
}

static int churn(void *arg)
{
    (void)arg;
    static unsigned char durations[50];
    char name[] = "short-lived";
    atomic_store(&spinning, true);
    while (!atomic_load(&raised)) {
        weft_task tasks[50];
        for (size_t i = 0; i < 50; i++) {
            durations[i] = (unsigned char)(i % 5);
            tasks[i] = spawn_named(i % 3 ? name : NULL, live_shortly, &durations[i]);
        }
        for (size_t i = 0; i < 50; i++) {
            if (weft_join(tasks[i], NULL) < 0) return 1;
        }
    }
    return 0;
}

static void *signal_often(void *arg)
{
    pthread_t *target = arg;
    while (!atomic_load(&spinning))
        sched_yield();
    for (int i = 0; i < 300; i++) {
        pthread_kill(*target, SIGUSR1);
        nanosleep(&(struct timespec){.tv_nsec = (i * 7919) % 400000}, NULL);
    }
    atomic_store(&raised, 1);
    return NULL;
}

Test(dump_signal, dumps_at_any_moment_do_no_harm)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.dump_signal = SIGUSR1;
    pthread_t self = pthread_self();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, signal_often, &self), 0);

    int result = run_reporting(config, churn);
    pthread_join(thread, NULL);

    cr_assert_eq(result, 0);
    cr_expect_gt(count_of("backend "), 1);
    cr_expect_eq(count_of("\nweft: 0 tasks"), 0);
}
