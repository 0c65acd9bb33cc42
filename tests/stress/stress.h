/* SPDX-License-Identifier: MIT */
/*
 * What the stress programs share: TAP lines, expectations, random delays.
 *
 * No Criterion and nothing that hides a race: an expectation is one atomic add, so TSan sees no
 * more order between the threads than the library gives them.
 */
#ifndef WEFT_TESTS_STRESS_STRESS_H
#define WEFT_TESTS_STRESS_STRESS_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <weft/weft.h>

static atomic_int stress_failed; /* expectations, in this test */
static int stress_number;        /* of TAP lines */
static int stress_result;        /* exit status */

#define EXPECT(condition) stress_expect((condition), __FILE__, __LINE__, #condition)

static inline bool stress_expect(bool holds, const char *file, int line, const char *text)
{
    /* Relaxed: only the sum counts, and it is read after all threads were joined. */
    if (!holds && atomic_fetch_add_explicit(&stress_failed, 1, memory_order_relaxed) < 10) {
        (void)fprintf(stderr, "# %s:%d: %s\n", file, line, text);
    }
    return holds;
}

/* How many rounds: the program's argument, else `standard`. */
static inline int stress_rounds(int argc, char **argv, int standard)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : standard;
    return rounds > 0 && rounds < 100000000 ? (int)rounds : standard;
}

/* Ends one test: prints its line. */
static inline void stress_report(const char *name)
{
    bool is_good = atomic_exchange(&stress_failed, 0) == 0;
    if (!is_good) stress_result = 1;
    (void)printf("%s %d - %s\n", is_good ? "ok" : "not ok", ++stress_number, name);
    (void)fflush(stdout);
}

static inline int stress_end(void)
{
    (void)printf("1..%d\n", stress_number);
    return stress_result;
}

static inline unsigned stress_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33);
}

static inline void stress_sleep_us(long microseconds)
{
    struct timespec rest = {0, microseconds * 1000};
    (void)nanosleep(&rest, NULL);
}

/* Nothing, a little computing, another thread's turn, or a short sleep of the thread. */
static inline void stress_delay(uint64_t *state)
{
    unsigned choice = stress_random(state) % 16;
    if (choice < 8) return;
    if (choice == 15) {
        stress_sleep_us(stress_random(state) % 50);
    } else if (choice > 12) {
        (void)sched_yield();
    } else {
        for (unsigned i = stress_random(state) % 500; i > 0; i--) {
            __asm__ volatile("" ::: "memory");
        }
    }
}

static inline struct weft_chan *stress_chan(size_t capacity)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(int64_t);
    options.capacity = capacity;
    options.shared = 1;
    struct weft_chan *chan = NULL;
    if (weft_chan_open_with(&chan, &options) != 0) abort();
    return chan;
}

static inline pthread_t stress_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, fn, arg) != 0) abort();
    return thread;
}

static inline void stress_join(pthread_t thread)
{
    if (pthread_join(thread, NULL) != 0) abort();
}

#endif
