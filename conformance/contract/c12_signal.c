/* SPDX-License-Identifier: MIT */
/* [C-12] A signal is not an error: poll() returns 0. */
#include <signal.h>
#include <sys/time.h>

#include "conformance/contract/fixture.h"

static volatile sig_atomic_t signal_count;

static void count_signal(int number)
{
    (void)number;
    signal_count++;
}

static void set_handler(int flags)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
}

static void set_alarm(int first_us, int interval_us)
{
    struct itimerval alarm = {
        .it_value.tv_usec = first_us,
        .it_interval.tv_usec = interval_us,
    };
    CHECK_EQ(setitimer(ITIMER_REAL, &alarm, NULL), 0);
}

/* Under Criterion the process has threads of its own, which may take the signal; an alarm that
 * repeats comes to this one, too. */
static void check_interrupted(int64_t timeout_ns)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    set_alarm(10000, 10000);

    CHECK_EQ(fixture_poll(&fixture, timeout_ns), 0);

    set_alarm(0, 0);
    CHECK(signal_count > 0);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), 0);
    fixture_close(&fixture);
}

WEFT_TEST(c12, interrupted_poll_returns_zero)
{
    set_handler(0);
    check_interrupted(100 * NS_PER_MS);
}

WEFT_TEST(c12, also_with_handlers_that_restart_calls)
{
    set_handler(SA_RESTART);
    check_interrupted(100 * NS_PER_MS);
}

WEFT_TEST(c12, many_signals_do_not_lose_an_event)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    set_handler(0);
    fixture_arm(&fixture, fds[0], READ, 1);
    set_alarm(500, 500);

    for (int i = 0; i < 50; i++) {
        fixture_put(fds[1], 1);
        CHECK_EQ(fixture_wait(&fixture, 1), READ);
        harness_drain(fds[0]);
        CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), 0);
    }

    set_alarm(0, 0);
    fixture_close(&fixture);
}
