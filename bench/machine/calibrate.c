/* SPDX-License-Identifier: MIT */
/*
 * The machine's own speed, taken between the rounds of a benchmark: if these numbers wander, so do
 * all others. Arithmetic that nothing but the clock rate can change; loads from far memory; and how
 * long a cache line needs to another core and back.
 *
 * usage: calibrate
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "bench/bench.h"

enum { STEPS = 8000000, CELLS = 1 << 20, LOADS = 1000000, TRIPS = 20000 };

static void arithmetic(void)
{
    uint64_t state = 1;
    int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < STEPS; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
    }
    int64_t elapsed_ns = bench_clock_ns(CLOCK_MONOTONIC) - start_ns;
    BENCH_CHECK(state != 0);
    bench_print("arithmetic", "ns", (double)elapsed_ns / STEPS);
}

/* Each load's address comes from the one before; a cell is a cache line, 64 MiB in all. */
static void memory(void)
{
    struct cell {
        uint32_t next;
        char rest[60];
    } *cells = calloc(CELLS, sizeof *cells);
    BENCH_CHECK(cells);
    uint32_t at = 0;
    for (uint32_t i = 0; i < CELLS; i++) { /* one lap through all of them: a full period */
        uint32_t next = (at * 1664525u + 1013904223u) % CELLS;
        cells[at].next = next;
        at = next;
    }
    int64_t start_ns = bench_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < LOADS; i++) {
        at = cells[at].next;
    }
    int64_t elapsed_ns = bench_clock_ns(CLOCK_MONOTONIC) - start_ns;
    BENCH_CHECK(at < CELLS);
    bench_print("memory", "ns", (double)elapsed_ns / LOADS);
    free(cells);
}

static _Atomic int turn;

static void *answer(void *arg)
{
    (void)arg;
    for (int i = 0; i < TRIPS; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != 2 * i + 1) {
        }
        atomic_store_explicit(&turn, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

/* Nothing is printed on one core: the two would wait for each other's time slices. */
static void cores(void)
{
    cpu_set_t allowed;
    BENCH_CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    if (CPU_COUNT(&allowed) < 2) return;

    pthread_t other;
    BENCH_CHECK(pthread_create(&other, NULL, answer, NULL) == 0);
    int64_t start_ns = 0;
    for (int i = 0; i < TRIPS; i++) {
        if (i == TRIPS / 10) start_ns = bench_clock_ns(CLOCK_MONOTONIC); /* both run by now */
        atomic_store_explicit(&turn, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&turn, memory_order_acquire) != 2 * i + 2) {
        }
    }
    int64_t elapsed_ns = bench_clock_ns(CLOCK_MONOTONIC) - start_ns;
    BENCH_CHECK(pthread_join(other, NULL) == 0);
    bench_print("cores", "ns", (double)elapsed_ns / (TRIPS - TRIPS / 10));
}

int main(void)
{
    arithmetic();
    memory();
    cores();
    return 0;
}
