/* SPDX-License-Identifier: MIT */
/*
 * What the stress programs of several workers share: tests that run once per number of workers,
 * tasks that are spread over them, a seed, and a watchdog.
 *
 * usage: mt_NAME [-r ROUNDS] [-w WORKERS] [-s SEED] [TEST]: so many times the usual work, not with
 * 2 workers, 4, and 2 whose ready queues are shuffled; only the test whose name begins so.
 */
#ifndef WEFT_TESTS_STRESS_MT_H
#define WEFT_TESTS_STRESS_MT_H

#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/stress/stress.h"

#define MT_PATIENCE 120 /* seconds that one test may take; see WEFT_TEST_TIMEOUT_FACTOR */
#define MT_DUMP     SIGUSR1

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MT_SLOWER 10
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MT_SLOWER 10
#endif
#endif
#ifndef MT_SLOWER
#define MT_SLOWER 1
#endif

/* What one test runs with. */
struct mt {
    unsigned workers;
    int rounds;
    bool is_shuffled;
    uint64_t random;
};

struct mt_test {
    const char *name;
    void (*fn)(struct mt *mt);
    unsigned workers_min; /* with fewer it makes no sense */
};

static _Atomic(const char *) mt_name; /* of the running test, for the watchdog */
static atomic_uint mt_number;
static int mt_patience; /* seconds */

/* ---- in tests ---- */

/* How often something is done: fewer times under sanitizers, never 0. */
static inline int mt_scale(const struct mt *mt, int count)
{
    int scaled = count / MT_SLOWER * mt->rounds;
    return scaled > 0 ? scaled : 1;
}

static inline uint64_t mt_seed(struct mt *mt)
{
    return (uint64_t)stress_random(&mt->random) << 20 | stress_random(&mt->random);
}

static inline struct weft_config mt_config(const struct mt *mt)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.workers = mt->workers;
    config.dump_signal = MT_DUMP;
    return config;
}

/* Runs root(arg) on the test's workers; it returns 0, and every task ends. */
static inline void mt_run(const struct mt *mt, weft_fn root, void *arg)
{
    struct weft_config config = mt_config(mt);
    EXPECT(weft_run(&config, root, arg) == 0);
}

/* Are unstarted tasks taken by idle workers? Not from shuffled queues. */
static inline bool mt_steals(const struct mt *mt)
{
    return mt->workers > 1 && !mt->is_shuffled;
}

/* ---- in tasks ---- */

/* Spawns a task on the worker that has the fewest of these; scope NULL: into the root scope. */
static inline int mt_spawn(struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_SPREAD;
    return scope ? weft_scope_spawn_with(scope, ret, &options, fn, arg)
                 : weft_spawn_with(ret, &options, fn, arg);
}

/* One spread task for each element of an array; returns the result of their scope. */
static inline int mt_each(weft_fn fn, void *elements, size_t count, size_t size)
{
    struct weft_scope scope;
    if (!EXPECT(weft_scope_open(&scope) == 0)) return -EPERM;
    for (size_t i = 0; i < count; i++) {
        EXPECT(mt_spawn(&scope, NULL, fn, (char *)elements + i * size) == 0);
    }
    return weft_scope_close(&scope);
}

static inline struct weft_chan *mt_chan(size_t capacity)
{
    struct weft_chan *chan = NULL;
    if (weft_chan_open(&chan, sizeof(int64_t), capacity) != 0) abort();
    return chan;
}

static inline void mt_spin(unsigned turns)
{
    for (; turns > 0; turns--) {
        __asm__ volatile("" ::: "memory");
    }
}

/* Mostly nothing; else a little computing, a turn of others, a moment of sleep. */
static inline void mt_delay(uint64_t *random)
{
    unsigned choice = stress_random(random) % 32;
    if (choice < 16) return;
    if (choice < 24) {
        mt_spin(stress_random(random) % 1000);
    } else if (choice < 28) {
        (void)weft_yield(); /* what ends the task is told by its next call */
    } else if (choice < 30) {
        (void)sched_yield();
    } else if (choice == 30) {
        (void)weft_sleep(stress_random(random) % 50 * WEFT_USEC);
    }
}

/* Computes, without a turn for other tasks, until the count is reached; the watchdog sees that it
 * never is. */
static inline void mt_spin_until(const atomic_int *count, int wanted)
{
    /* Acquire: pairs with whatever counted. */
    while (atomic_load_explicit(count, memory_order_acquire) < wanted) {
        mt_spin(100);
        if (MT_SLOWER > 1) (void)sched_yield();
    }
}

/* ---- the program ---- */

/* A lost wake-up is a hang: names the test, lets each runtime print its tasks, and aborts. */
static void *mt_watch(void *arg)
{
    unsigned seen = 0;
    (void)arg;
    for (int seconds = 0; seconds < mt_patience; seconds++) {
        struct timespec second = {1, 0};
        (void)nanosleep(&second, NULL);
        unsigned number = atomic_load(&mt_number);
        if (number != seen) seconds = 0;
        seen = number;
    }
    (void)fprintf(stderr, "# hangs: %s, for %d s\n", atomic_load(&mt_name), mt_patience);
    (void)kill(getpid(), MT_DUMP);
    struct timespec rest = {3, 0};
    (void)nanosleep(&rest, NULL);
    abort();
}

static inline void mt_run_test(const struct mt_test *test, struct mt *mt)
{
    char line[160];
    (void)snprintf(line,
                   sizeof line,
                   "%s, %u workers%s",
                   test->name,
                   mt->workers,
                   mt->is_shuffled ? ", shuffled" : "");
    atomic_store(&mt_name, test->name);
    atomic_fetch_add(&mt_number, 1);
    time_t start = time(NULL);
    test->fn(mt);
    if (time(NULL) - start > 5) (void)printf("# took %lld s\n", (long long)(time(NULL) - start));
    stress_report(line);
}

static inline void mt_run_all(const struct mt_test *tests,
                              size_t count,
                              const char *only,
                              struct mt *mt)
{
    char seed[24];
    (void)snprintf(seed, sizeof seed, "%u", stress_random(&mt->random) + 1);
    (void)setenv("WEFT_TEST_SHUFFLE", mt->is_shuffled ? seed : "", 1);
    for (size_t i = 0; i < count; i++) {
        if (mt->workers < tests[i].workers_min) continue;
        if (only && strncmp(tests[i].name, only, strlen(only)) != 0) continue;
        mt_run_test(&tests[i], mt);
    }
}

static inline int mt_main(int argc, char **argv, const struct mt_test *tests, size_t count)
{
    struct mt mt = {.rounds = 1, .random = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32};
    unsigned workers = 0;
    for (int option = 0; (option = getopt(argc, argv, "r:w:s:")) != -1;) {
        if (option == '?') return 2;
        unsigned long long number = strtoull(optarg, NULL, 0);
        if (option == 'r') mt.rounds = (int)number;
        if (option == 'w') workers = (unsigned)number;
        if (option == 's') mt.random = number;
    }
    const char *factor = getenv("WEFT_TEST_TIMEOUT_FACTOR");
    mt_patience = MT_PATIENCE * mt.rounds * (factor ? (int)strtol(factor, NULL, 10) : 1);
    (void)unsetenv("WEFT_WORKERS");
    (void)printf("# seed %llu\n", (unsigned long long)mt.random);
    (void)fflush(stdout);
    if (pthread_detach(stress_thread(mt_watch, NULL)) != 0) abort();

    for (int i = 0; i < 3; i++) {
        if (workers && i == 1) continue;
        mt.workers = workers ? workers : i == 1 ? 4 : 2;
        mt.is_shuffled = i == 2;
        mt_run_all(tests, count, optind < argc ? argv[optind] : NULL, &mt);
    }
    return stress_end();
}

/* Defines main(): the tests, each {name, function, fewest workers}. */
#define MT_MAIN(...)                                                                               \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct mt_test tests[] = {__VA_ARGS__};                                       \
        return mt_main(argc, argv, tests, sizeof tests / sizeof *tests);                           \
    }                                                                                              \
    struct mt

#endif
