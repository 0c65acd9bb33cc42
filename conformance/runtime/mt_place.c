/* SPDX-License-Identifier: MIT */
/*
 * Which worker runs what: how many there are, what is taken, what stays, and what a task may rely
 * on where it is: MT-01 to 04, 20.
 */
#include <sched.h>
#include <sys/syscall.h>

#include "conformance/runtime/mt_support.h"

#define HERD 200

static int thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

/* ---- 01 ---- */

static int check_caller(void *arg)
{
    int thread = *(int *)arg;
    CHECK_EQ(thread_id(), thread);
    CHECK_EQ(weft_worker_index(), 0);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(thread_id(), thread);
    return 0;
}

static int root_of_one(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_worker_count(), 1);
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, check_caller, arg), 0);
        if (i % 50 == 0) (void)spawn_spread(&scope, check_caller, arg);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

WEFT_TEST(mt, 01_one_worker_is_the_callers_thread)
{
    int thread = thread_id();
    CHECK_EQ(run_with(1, root_of_one, &thread), 0);
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
    CHECK_EQ(weft_run(NULL, root_of_one, &thread), 0);
}

static int give_count(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_worker_index(), 0);
    return (int)weft_worker_count();
}

WEFT_TEST(mt, 01b_none_is_one_per_processor)
{
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK_EQ(run_with(0, give_count, NULL), CPU_COUNT(&set));
    CHECK_EQ(run_with(3, give_count, NULL), 3);
}

WEFT_TEST(mt, 01c_the_environment_says_how_many)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    CHECK_EQ(setenv("WEFT_WORKERS", "3", 1), 0);
    CHECK_EQ(weft_run(NULL, give_count, NULL), 3);
    CHECK_EQ(weft_run(&config, give_count, NULL), 3);
    config.flags = WEFT_NO_ENVIRONMENT;
    CHECK_EQ(weft_run(&config, give_count, NULL), 1);
    CHECK_EQ(setenv("WEFT_WORKERS", "many", 1), 0);
    CHECK_EQ(weft_run(NULL, give_count, NULL), -EINVAL);
}

/* ---- 02 ---- */

#define OUTSIDE 1000 /* tasks of each thread */

struct many {
    struct weft_runtime *runtime;
    atomic_int ran;
};

static int add_one(void *arg)
{
    count_up(&((struct many *)arg)->ran);
    return 0;
}

static void *spawn_from_outside(void *arg)
{
    struct many *many = arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    for (int i = 0; i < OUTSIDE; i++) {
        options.placement = i % 2 ? WEFT_SPREAD : WEFT_ANYWHERE;
        CHECK_EQ(weft_runtime_spawn(many->runtime, NULL, &options, add_one, many), 0);
    }
    return NULL;
}

static int root_of_many(void *arg)
{
    struct many *many = arg;
    many->runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(many->runtime), 0);
    pthread_t threads[] = {start_thread(spawn_from_outside, many),
                           start_thread(spawn_from_outside, many)};
    for (int i = 0; i < 10 * OUTSIDE; i++) {
        CHECK_EQ(weft_spawn(NULL, add_one, many), 0);
        if (i % 500 == 0) CHECK_EQ(weft_yield(), 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(weft_runtime_unref(many->runtime), 0);
    return 0;
}

MT_TEST(mt, 02_tasks_from_inside_and_outside_all_run)
{
    struct many many = {.runtime = NULL};
    CHECK_EQ(run_with(workers, root_of_many, &many), 0);
    CHECK_EQ(atomic_load(&many.ran), 12 * OUTSIDE);
}

/* ---- 03 ---- */

struct herd {
    atomic_int elsewhere;
    atomic_int here;
    int values[HERD];
};

WEFT_TASK(graze, (struct herd *, herd), (int, number))
{
    herd->values[number]++;
    count_up(weft_worker_index() == 0 ? &herd->here : &herd->elsewhere);
    return 0;
}

static int root_computes(void *arg)
{
    struct herd *herd = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(graze_scope_spawn(&scope, NULL, herd, i), 0);
    }
    CHECK(compute_until(&herd->elsewhere, HERD / 2));
    CHECK_EQ(atomic_load(&herd->here), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(herd->values[i], 1);
    }
    return 0;
}

MT_TEST(mt, 03_a_spawner_that_computes_is_relieved)
{
    struct herd herd = {.elsewhere = 0};
    CHECK_EQ(run_with(workers, root_computes, &herd), 0);
    CHECK_EQ(atomic_load(&herd.elsewhere) + atomic_load(&herd.here), HERD);
}

/* ---- 04 ---- */

struct spread {
    struct weft_chan *go;
    atomic_int at[4];
    atomic_int threads[4];
    atomic_int started;
};

static int settle_somewhere(void *arg)
{
    struct spread *spread = arg;
    unsigned worker = weft_worker_index();
    int thread = thread_id();
    int none = 0;
    CHECK_OR_RETURN(worker < weft_worker_count(), -EINVAL);
    count_up(&spread->at[worker]);
    if (!atomic_compare_exchange_strong(&spread->threads[worker], &none, thread)) {
        CHECK_EQ(none, thread);
    }
    count_up(&spread->started);
    CHECK_EQ(weft_chan_recv(spread->go, NULL), -EPIPE);
    CHECK_EQ(weft_worker_index(), worker);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(weft_worker_index(), worker);
    CHECK_EQ(weft_yield(), 0);
    CHECK_EQ(thread_id(), thread);
    return 0;
}

static int root_spreads(void *arg)
{
    struct spread *spread = arg;
    int workers = (int)weft_worker_count();
    struct weft_scope scope;
    spread->go = open_chan(0, 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < 10 * workers; i++) {
        (void)spawn_spread(&scope, settle_somewhere, spread);
    }
    while (atomic_load(&spread->started) < 10 * workers) {
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    }
    CHECK_EQ(weft_chan_close(spread->go), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    for (int i = 0; i < workers; i++) {
        CHECK_EQ(atomic_load(&spread->at[i]), 10);
        for (int j = 0; j < i; j++) {
            CHECK(atomic_load(&spread->threads[i]) != atomic_load(&spread->threads[j]));
        }
    }
    weft_chan_unref(spread->go);
    return 0;
}

MT_TEST(mt, 04_spread_tasks_are_as_many_on_each_worker_and_stay)
{
    struct spread spread = {.go = NULL};
    CHECK_EQ(run_with(workers, root_spreads, &spread), 0);
}

static int stay(void *arg)
{
    (void)arg;
    CHECK_EQ(weft_worker_index(), 0);
    return 0;
}

/* Leaves a batch behind, none of which may be taken. */
static int spawn_some_that_stay(void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    (void)arg;
    options.placement = WEFT_HERE;
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(weft_spawn_with(NULL, &options, stay, NULL), 0);
    }
    options.placement = 99;
    CHECK_EQ(weft_spawn_with(NULL, &options, stay, NULL), -EINVAL);
    return 0;
}

static int spawn_some_and_compute(void *arg)
{
    struct herd *herd = arg;
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(graze_spawn(NULL, herd, i), 0);
    }
    CHECK(compute_until(&herd->elsewhere, HERD / 4));
    return 0;
}

static int root_keeps(void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task tasks[2];
    options.placement = WEFT_HERE;
    CHECK_EQ(weft_spawn_with(&tasks[0], &options, spawn_some_that_stay, NULL), 0);
    CHECK_EQ(weft_spawn_with(&tasks[1], &options, spawn_some_and_compute, arg), 0);
    CHECK_EQ(join_result(tasks[0]), 0);
    CHECK_EQ(join_result(tasks[1]), 0);
    return 0;
}

MT_TEST(mt, 04b_what_must_stay_is_left_when_others_are_taken)
{
    struct herd herd = {.elsewhere = 0};
    CHECK_EQ(run_with(workers, root_keeps, &herd), 0);
}

/* ---- 20 ---- */

static struct weft_local_key key;

/* Each has its own errno, stack and local value, and neighbours that write theirs. */
static int keep_own_things(void *arg)
{
    struct spread *spread = arg;
    int own = atomic_fetch_add(&spread->started, 1) + 1;
    volatile unsigned char memory[2000];
    memset((void *)(uintptr_t)memory, own % 256, sizeof memory);
    CHECK_EQ(weft_local_set(key, (void *)(uintptr_t)&memory[0]), 0);
    for (int i = 0; i < 20; i++) {
        errno = own;
        int status = i % 2 ? weft_yield() : weft_sleep(10 * WEFT_USEC);
        CHECK_EQ(errno, own);
        CHECK_EQ(status, 0);
        CHECK_PTR(weft_local_get(key), (void *)(uintptr_t)&memory[0]);
    }
    for (size_t i = 0; i < sizeof memory; i++) {
        if (!CHECK_EQ(memory[i], own % 256)) break;
    }
    return 0;
}

static int root_of_owners(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < HERD; i++) {
        CHECK_EQ(weft_scope_spawn(&scope, NULL, keep_own_things, arg), 0);
        if (i % 10 == 0) (void)spawn_spread(&scope, keep_own_things, arg);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 20_errno_stacks_and_locals_are_each_tasks_own)
{
    struct spread spread = {.go = NULL};
    if (key.number == 0) CHECK_EQ(weft_local_open(&key, NULL), 0);
    CHECK_EQ(run_with(workers, root_of_owners, &spread), 0);
    CHECK_EQ(atomic_load(&spread.started), HERD + HERD / 10);
}
