/* SPDX-License-Identifier: MIT */
/* [C-13] wake() ends one poll, from any thread and any signal handler. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c13, wake_before_poll_ends_it)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (int i = 0; i < 10; i++) {
        weft__backend.wake(fixture.state);
        CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 0);
    }
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c13, many_wakes_are_one)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (int i = 0; i < 1000; i++) {
        weft__backend.wake(fixture.state);
    }

    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 0);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

/* A wake through a pipe that nobody empties would block after 65,536 bytes. */
WEFT_TEST(c13, wakes_that_nobody_polls_for_do_not_block)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (int i = 0; i < 100000; i++) {
        weft__backend.wake(fixture.state);
    }

    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 0);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c13, errno_is_kept)
{
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    errno = EXFULL;
    weft__backend.wake(fixture.state);
    weft__backend.wake(fixture.state);
    CHECK_EQ(errno, EXFULL);
    fixture_close(&fixture);
}

static void *wake_after_15_ms(void *state)
{
    harness_sleep_ms(15);
    weft__backend.wake(state);
    return NULL;
}

WEFT_TEST(c13, wake_from_a_thread_ends_the_sleep)
{
    struct fixture fixture;
    pthread_t thread;
    if (!fixture_open(&fixture)) return;
    int64_t start = harness_now_ns();
    CHECK_EQ(pthread_create(&thread, NULL, wake_after_15_ms, fixture.state), 0);

    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 0);

    CHECK_WITHIN(harness_now_ns() - start, 15 * NS_PER_MS, 5 * NS_PER_SEC);
    pthread_join(thread, NULL);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c13, wake_hides_no_event)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    fixture_put(fds[1], 1);
    weft__backend.wake(fixture.state);

    CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);

    CHECK_EQ(fixture_found(&fixture, 1), READ);
    fixture_close(&fixture);
}

static struct fixture signal_fixture;

static void wake_in_handler(int number)
{
    (void)number;
    weft__backend.wake(signal_fixture.state);
}

WEFT_TEST(c13, wake_from_a_signal_handler)
{
    struct sigaction action = {.sa_handler = wake_in_handler, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    if (!fixture_open(&signal_fixture)) return;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(fixture_poll(&signal_fixture, WEFT_POLL_FOREVER), 0);
    }
    CHECK_QUIET(&signal_fixture);
    fixture_close(&signal_fixture);
}

struct ping_pong {
    struct fixture fixture;
    atomic_int asked;
    atomic_int answered;
};

#define ROUNDS 3000

static void *answer(void *argument)
{
    struct ping_pong *game = argument;
    for (int round = 1; round <= ROUNDS; round++) {
        /* acquire pairs with the release of the test; the store is seen after the wake */
        while (atomic_load_explicit(&game->asked, memory_order_acquire) < round) {
        }
        atomic_store_explicit(&game->answered, round, memory_order_release);
        weft__backend.wake(game->fixture.state);
    }
    return NULL;
}

WEFT_TEST(c13, no_wake_is_lost)
{
    static struct ping_pong game;
    pthread_t thread;
    if (!fixture_open(&game.fixture)) return;
    CHECK_OR_RETURN(pthread_create(&thread, NULL, answer, &game) == 0, );

    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store_explicit(&game.asked, round, memory_order_release);
        while (atomic_load_explicit(&game.answered, memory_order_acquire) < round) {
            CHECK_EQ(fixture_poll(&game.fixture, WEFT_POLL_FOREVER), 0);
        }
    }

    pthread_join(thread, NULL);
    fixture_close(&game.fixture);
}

static void *wake_often(void *state)
{
    for (int i = 0; i < 5000; i++) {
        weft__backend.wake(state);
    }
    return NULL;
}

WEFT_TEST(c13, wakes_from_four_threads_at_once)
{
    struct fixture fixture;
    pthread_t threads[4];
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    fixture_put(fds[1], 1);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wake_often, fixture.state), 0);
    }

    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(fixture_poll(&fixture, WEFT_POLL_FOREVER), 1);
    }

    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    harness_drain(fds[0]);
    CHECK_EQ(fixture_poll(&fixture, 0), 0);
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}
