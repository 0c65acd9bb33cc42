/* SPDX-License-Identifier: MIT */
/*
 * Corners of several workers that a storm meets too seldom, each made on purpose: rows 20, 24, 25
 * and 37 of the semantics with a task on another worker.
 *
 * usage: see tests/stress/mt.h
 */
#include <poll.h>

#include <weft/host.h>

#include "tests/stress/mt.h"

/* ---- detached children ---- */

static int step_task(void *arg)
{
    atomic_int *step = arg;
    while (atomic_load(step) == 0)
        (void)weft_yield();
    return 0;
}

/* Each child is detached while it lives: nobody can be told of its end. */
static int detached_root(void *arg)
{
    const struct mt *mt = arg;
    for (int round = mt_scale(mt, 200); round > 0; round--) {
        atomic_int step = 0;
        struct weft_scope scope;
        EXPECT(weft_scope_open_timeout(&scope, 10 * WEFT_SEC) == 0);
        for (unsigned i = 0; i < 2 * mt->workers; i++) {
            weft_task child;
            EXPECT(mt_spawn(&scope, &child, step_task, &step) == 0);
            EXPECT(weft_detach(child) == 0);
        }
        atomic_store(&step, 1);
        EXPECT(weft_scope_next(&scope, NULL, NULL) == -ESRCH);
        EXPECT(weft_scope_close(&scope) == 0);

        EXPECT(weft_scope_open_timeout(&scope, 10 * WEFT_SEC) == 0);
        weft_task last;
        for (unsigned i = 0; i < mt->workers; i++) {
            EXPECT(mt_spawn(&scope, &last, step_task, &step) == 0);
            if (i + 1 < mt->workers) EXPECT(weft_detach(last) == 0);
        }
        weft_task told = {0};
        EXPECT(weft_scope_next(&scope, &told, NULL) == 0 && told.id == last.id);
        EXPECT(weft_scope_next(&scope, NULL, NULL) == -ESRCH);
        EXPECT(weft_scope_close(&scope) == 0);
    }
    return 0;
}

static void run_detached(struct mt *mt)
{
    mt_run(mt, detached_root, mt);
}

/* ---- cancels of oneself ---- */

struct twice {
    struct weft_scope scope;
    unsigned worker; /* of the owner */
    atomic_int asked;
};

static int twice_task(void *arg)
{
    struct twice *twice = arg;
    if (weft_worker_index() != twice->worker) {
        EXPECT(weft_scope_cancel(&twice->scope) == 0);
        atomic_fetch_add(&twice->asked, 1);
    }
    return 0;
}

/* The owner cancels a scope that a child elsewhere has cancelled, but has not heard of it yet. */
static int twice_root(void *arg)
{
    const struct mt *mt = arg;
    for (int round = mt_scale(mt, 200); round > 0; round--) {
        struct twice twice = {.worker = weft_worker_index()};
        EXPECT(weft_scope_open(&twice.scope) == 0);
        for (unsigned i = 0; i < mt->workers; i++)
            EXPECT(mt_spawn(&twice.scope, NULL, twice_task, &twice) == 0);
        mt_spin_until(&twice.asked, 1);
        EXPECT(weft_scope_cancel(&twice.scope) == 0);
        EXPECT(weft_yield() == -ECANCELED);
        EXPECT(weft_scope_close(&twice.scope) == -ECANCELED);
    }
    return 0;
}

static void run_twice(struct mt *mt)
{
    mt_run(mt, twice_root, mt);
}

static int own_task(void *arg)
{
    (void)arg;
    EXPECT(weft_cancel(weft_self()) == 0);
    EXPECT(weft_yield() == -ECANCELED);
    return 0;
}

/* A task that others may join cancels itself. */
static int own_root(void *arg)
{
    const struct mt *mt = arg;
    for (int round = mt_scale(mt, 200); round > 0; round--) {
        struct weft_scope scope;
        EXPECT(weft_scope_open(&scope) == 0);
        for (unsigned i = 0; i < 2 * mt->workers; i++)
            EXPECT(mt_spawn(&scope, NULL, own_task, NULL) == 0);
        EXPECT(weft_scope_close(&scope) == 0);
    }
    return 0;
}

static void run_own(struct mt *mt)
{
    mt_run(mt, own_root, mt);
}

/* ---- in a host's loop ---- */

struct hosted {
    atomic_int are_spawned;
    atomic_int started;
    atomic_int is_over;
};

enum { HOSTED_CHILDREN = 64 };

static int hosted_child(void *arg)
{
    struct hosted *hosted = arg;
    atomic_fetch_add(&hosted->started, 1);
    return 0;
}

/* Computes until all its children but those of the last batch have started elsewhere. */
static int hosted_parent(void *arg)
{
    struct hosted *hosted = arg;
    EXPECT(weft_worker_index() == 1);
    for (int i = 0; i < HOSTED_CHILDREN; i++)
        EXPECT(weft_spawn(NULL, hosted_child, hosted) == 0);
    atomic_store(&hosted->are_spawned, 1);
    mt_spin_until(&hosted->started, 16);
    atomic_store(&hosted->is_over, 1);
    return 0;
}

static int hosted_sleeper(void *arg)
{
    struct hosted *hosted = arg;
    while (atomic_load(&hosted->is_over) == 0)
        if (weft_sleep(1000 * WEFT_SEC) < 0) break;
    return 0;
}

/* Turns its loop when it is told to, and only then, once the children are there. */
static void hosted_round(struct weft_runtime *runtime, struct hosted *hosted)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_SPREAD; /* in turn */
    EXPECT(weft_runtime_spawn(runtime, NULL, &options, hosted_sleeper, hosted) == 0);
    EXPECT(weft_runtime_spawn(runtime, NULL, &options, hosted_parent, hosted) == 0);
    while (atomic_load(&hosted->are_spawned) == 0)
        EXPECT(weft_host_dispatch(runtime) == 0);
    EXPECT(weft_host_dispatch(runtime) == 0);
    for (int i = 0; i < 1000 && atomic_load(&hosted->is_over) == 0; i++) {
        struct pollfd request = {.fd = weft_host_fd(runtime), .events = POLLIN};
        int timeout_ms = weft_host_timeout_ms(runtime);
        int limit_ms = timeout_ms >= 0 && timeout_ms < 100 ? timeout_ms : 100;
        bool is_wanted = poll(&request, 1, limit_ms) > 0 || limit_ms == timeout_ms;
        if (is_wanted) EXPECT(weft_host_dispatch(runtime) == 0);
        if (!EXPECT(i < 50)) atomic_store(&hosted->started, 16);
    }
}

/* The worker in the host's loop has nothing to do, and takes what another one cannot run. */
static void run_hosted(struct mt *mt)
{
    if (mt->workers < 2 || !mt_steals(mt)) return;
    for (int round = mt_scale(mt, 20); round > 0; round--) {
        struct weft_config config = mt_config(mt);
        struct weft_runtime *runtime = NULL;
        int result = weft_attach(&runtime, &config, NULL);
        if (result == -ENOTSUP) return;
        if (!EXPECT(result == 0)) return;
        struct hosted hosted = {0};
        hosted_round(runtime, &hosted);
        EXPECT(weft_detach_loop(runtime) == 0);
        EXPECT(atomic_load(&hosted.started) >= HOSTED_CHILDREN);
    }
}

/* ---- an end that was private ---- */

struct ended {
    weft_task task;
    atomic_int round; /* the task is there, and has ended */
    atomic_int done;
    int rounds;
};

static int ended_task(void *arg)
{
    (void)arg;
    return 7;
}

/* On another worker, which shares the task by detaching it. */
static int ended_rival(void *arg)
{
    struct ended *ended = arg;
    for (int round = 1; round <= ended->rounds; round++) {
        mt_spin_until(&ended->round, round);
        (void)weft_detach(ended->task); /* -ESRCH: the other was faster */
        atomic_store(&ended->done, round);
    }
    return 0;
}

/* A select finds a task that has ended, or that it is gone, while another worker shares it. */
static int ended_root(void *arg)
{
    struct mt *mt = arg;
    struct ended ended = {.rounds = mt_scale(mt, 2000)};
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    EXPECT(mt_spawn(&scope, NULL, ended_task, NULL) == 0); /* on this worker */
    EXPECT(mt_spawn(&scope, NULL, ended_rival, &ended) == 0);
    for (int round = 1; round <= ended.rounds; round++) {
        EXPECT(weft_spawn(&ended.task, ended_task, NULL) == 0);
        (void)weft_yield();
        weft_task task = ended.task;
        atomic_store(&ended.round, round);
        mt_spin(stress_random(&mt->random) % 500);
        int result = -1;
        int status = -1;
        struct weft_case cases[] = {weft_case_joined(task, &result, &status),
                                    weft_case_after(2 * WEFT_SEC, NULL)};
        if (!EXPECT(weft_select_from(cases, 2, WEFT_ORDERED) == 0)) break;
        EXPECT((status == 0 && result == 7) || status == -ESRCH);
        mt_spin_until(&ended.done, round);
    }
    atomic_store(&ended.round, ended.rounds);
    return weft_scope_close(&scope);
}

static void run_ended(struct mt *mt)
{
    if (!mt->is_shuffled) mt_run(mt, ended_root, mt);
}

/* ---- children of two kinds ---- */

enum { KIN = 12 };

static int kin_task(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    mt_spin(stress_random(&random) % 300);
    return 0;
}

/* Some children are on other workers, and end while the parent joins and detaches its own. */
static int kin_root(void *arg)
{
    struct mt *mt = arg;
    for (int round = mt_scale(mt, 3000); round > 0; round--) {
        weft_task own[KIN];
        weft_task others[KIN];
        struct weft_scope scope;
        EXPECT(weft_scope_open_timeout(&scope, 20 * WEFT_SEC) == 0);
        for (int i = 0; i < KIN; i++)
            EXPECT(weft_scope_spawn(&scope, &own[i], kin_task, NULL) == 0);
        for (int i = 0; i < KIN; i++) {
            void *seed = (void *)(uintptr_t)mt_seed(mt);
            EXPECT(mt_spawn(&scope, &others[i], kin_task, seed) == 0);
        }
        (void)weft_yield();
        for (int i = 0; i < KIN; i++) {
            int result = i % 2 ? weft_detach(own[i]) : weft_join(own[i], NULL);
            EXPECT(result == 0);
        }
        int told = 0;
        int result = 0;
        while ((result = weft_scope_next(&scope, NULL, NULL)) == 0)
            told++;
        if (!EXPECT(result == -ESRCH && told == KIN)) (void)printf("# %d %d\n", result, told);
        EXPECT(weft_scope_close(&scope) == 0);
    }
    return 0;
}

static void run_kin(struct mt *mt)
{
    mt_run(mt, kin_root, mt);
}

MT_MAIN({"who detaches a child is not told of it", run_detached, 1},
        {"a scope is cancelled twice", run_twice, 2},
        {"a task cancels itself", run_own, 1},
        {"a host takes its share", run_hosted, 2},
        {"a select sees an end that was private", run_ended, 2},
        {"children here and elsewhere end", run_kin, 1});
