/* SPDX-License-Identifier: MIT */
/*
 * Tasks that nobody has placed: trees of computing tasks, a spawner that never yields, more tasks
 * than can be public, tasks that sleep after they were taken, and those that must stay (MT-02, 03,
 * 04, 18, 19).
 *
 * Each task runs exactly once, on one worker from its first to its last line.
 *
 * usage: see tests/stress/mt.h
 */
#include <sys/syscall.h>

#include "tests/stress/mt.h"

/* ---- where tasks ran ---- */

#define WORKERS_MAX 64

/* One thread is one worker, and the other way round. */
struct places {
    atomic_int threads[WORKERS_MAX]; /* by worker; 0: none has run a task there */
    atomic_llong ran;
};

static void places_note(struct places *places)
{
    int thread = (int)syscall(SYS_gettid);
    int none = 0;
    unsigned worker = weft_worker_index();
    if (!EXPECT(worker < weft_worker_count() && worker < WORKERS_MAX)) return;
    if (!atomic_compare_exchange_strong(&places->threads[worker], &none, thread)) {
        EXPECT(none == thread);
    }
    atomic_fetch_add_explicit(&places->ran, 1, memory_order_relaxed);
}

static unsigned places_count(struct places *places)
{
    unsigned count = 0;
    for (int i = 0; i < WORKERS_MAX; i++) {
        int thread = atomic_load(&places->threads[i]);
        count += thread != 0;
        for (int j = 0; j < i; j++) {
            EXPECT(thread == 0 || atomic_load(&places->threads[j]) != thread);
        }
    }
    return count;
}

/* ---- a spawner that never yields ---- */

#define HERD 200

struct herd {
    struct mt *mt;
    struct places places;
    atomic_int elsewhere; /* how many have run on another worker than the spawner's */
    struct cow {
        struct herd *herd;
        atomic_int runs;
        int result; /* plain: read by the root after the end */
    } cows[HERD];
};

static int cow_task(void *arg)
{
    struct cow *cow = arg;
    places_note(&cow->herd->places);
    mt_spin(200);
    cow->result = (int)(cow - cow->herd->cows);
    atomic_fetch_add(&cow->runs, 1);
    if (weft_worker_index() != 0) {
        /* Release: pairs with mt_spin_until(). */
        atomic_fetch_add_explicit(&cow->herd->elsewhere, 1, memory_order_release);
    }
    return 0;
}

/* Half of them are taken while their spawner computes. */
static int herd_root(void *arg)
{
    struct herd *herd = arg;
    struct weft_scope scope;
    int64_t sum = 0;
    EXPECT(weft_worker_index() == 0);
    places_note(&herd->places); /* it may be that no cow runs here */
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < HERD; i++) {
        herd->cows[i].herd = herd;
        EXPECT(weft_scope_spawn(&scope, NULL, cow_task, &herd->cows[i]) == 0);
    }
    if (mt_steals(herd->mt)) mt_spin_until(&herd->elsewhere, HERD / 2);
    EXPECT(weft_scope_close(&scope) == 0);
    for (int i = 0; i < HERD; i++) {
        EXPECT(atomic_load(&herd->cows[i].runs) == 1);
        sum += herd->cows[i].result;
    }
    EXPECT(sum == HERD * (HERD - 1) / 2);
    return 0;
}

static void run_herd(struct mt *mt)
{
    for (int i = mt_scale(mt, 50); i > 0; i--) {
        struct herd herd = {.mt = mt};
        mt_run(mt, herd_root, &herd);
        EXPECT(atomic_load(&herd.places.ran) == HERD + 1);
        EXPECT(!mt_steals(mt) || places_count(&herd.places) > 1);
    }
}

/* ---- so many that thieves ask for more ---- */

#define HORDE 4096 /* many times what can be public */

struct horde {
    struct mt *mt;
    struct places places;
    atomic_int joined;
    struct rider {
        struct horde *horde;
        weft_task task;
        unsigned work;
        int result; /* plain: read by who has joined it */
    } riders[HORDE];
};

static int rider_task(void *arg)
{
    struct rider *rider = arg;
    places_note(&rider->horde->places);
    mt_spin(rider->work);
    int status = rider->work % 16 == 0 ? weft_yield() : 0;
    EXPECT(status == 0 || status == -ECANCELED);
    rider->result = (int)(rider - rider->horde->riders);
    return rider->result;
}

/* Joins each second one from `first` on, in an order that is nobody else's. */
static void horde_join(struct horde *horde, unsigned first)
{
    uint64_t random = first;
    unsigned start = stress_random(&random) % HORDE;
    for (unsigned i = 0; i < HORDE; i++) {
        unsigned which = (start + i * 5) % HORDE; /* 5 and HORDE have no factor in common */
        struct rider *rider = &horde->riders[which];
        int result = -1;
        if (which % 2 != first) continue;
        if (which % 7 == 0) EXPECT(weft_cancel(rider->task) == 0);
        EXPECT(weft_join(rider->task, &result) == 0);
        EXPECT(result == (int)which && rider->result == result);
        atomic_fetch_add(&horde->joined, 1);
    }
}

static int horde_far(void *arg)
{
    horde_join(arg, 1);
    return 0;
}

/* They are joined and cancelled here and elsewhere, while thieves take what they asked for. */
static int horde_root(void *arg)
{
    struct horde *horde = arg;
    struct weft_scope scope;
    for (int i = 0; i < HORDE; i++) {
        struct rider *rider = &horde->riders[i];
        rider->horde = horde;
        rider->work = stress_random(&horde->mt->random) % 30000; /* worth a theft */
        EXPECT(weft_spawn(&rider->task, rider_task, rider) == 0);
    }
    EXPECT(weft_scope_open(&scope) == 0);
    EXPECT(mt_spawn(&scope, NULL, horde_far, horde) == 0);
    horde_join(horde, 0);
    EXPECT(weft_scope_close(&scope) == 0);
    return 0;
}

static void run_horde(struct mt *mt)
{
    for (int i = mt_scale(mt, 10); i > 0; i--) {
        struct horde *horde = calloc(1, sizeof *horde);
        if (!EXPECT(horde != NULL)) return;
        horde->mt = mt;
        mt_run(mt, horde_root, horde);
        EXPECT(atomic_load(&horde->places.ran) == HORDE);
        EXPECT(atomic_load(&horde->joined) == HORDE);
        (void)places_count(&horde->places);
        free(horde);
    }
}

/* ---- trees ---- */

#define BRANCHES    5
#define TREE_DEPTH  (MT_SLOWER > 1 ? 4 : 6)
#define TREE_LEAVES (MT_SLOWER > 1 ? 625 : 15625)

/* Counts what lies below it: each task is a node, the leaves compute. */
struct tree {
    struct places *places;
    int depth;
    int64_t sum;
    unsigned work;
};

static int tree_task(void *arg)
{
    struct tree *tree = arg;
    places_note(tree->places);
    if (tree->depth == 0) {
        mt_spin(tree->work);
        tree->sum = 1;
        return 0;
    }
    struct tree below[BRANCHES];
    struct weft_scope scope;
    unsigned worker = weft_worker_index();
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < BRANCHES; i++) {
        below[i] = (struct tree){tree->places, tree->depth - 1, 0, tree->work};
        EXPECT(weft_scope_spawn(&scope, NULL, tree_task, &below[i]) == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    EXPECT(weft_worker_index() == worker);
    tree->sum = 1;
    for (int i = 0; i < BRANCHES; i++) {
        tree->sum += below[i].sum;
    }
    return 0;
}

static void run_tree(struct mt *mt)
{
    for (int i = mt_scale(mt, 10); i > 0; i--) {
        struct places places = {.ran = 0};
        struct tree tree = {&places, TREE_DEPTH, 0, stress_random(&mt->random) % 2000};
        mt_run(mt, tree_task, &tree);
        EXPECT(tree.sum == (BRANCHES * TREE_LEAVES - 1) / (BRANCHES - 1));
        EXPECT(atomic_load(&places.ran) == tree.sum);
        (void)places_count(&places);
    }
}

/* ---- wide and shallow: one scope, many children that do this and that ---- */

struct crowd {
    struct mt *mt;
    struct places places;
    struct weft_chan *chan;
    atomic_int seed;
    atomic_llong paid;
    int size;
};

/* After its first line it sleeps, wakes and spawns where it is. */
static int crowd_task(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t random = (uint64_t)atomic_fetch_add(&crowd->seed, 1);
    unsigned worker = weft_worker_index();
    places_note(&crowd->places);
    int status = 0;
    int64_t value = 1;
    switch (stress_random(&random) % 8) {
    case 0:
        status = weft_sleep(stress_random(&random) % 100 * WEFT_USEC);
        break;
    case 1:
        status = weft_yield();
        break;
    case 2:
    case 3:
        status = weft_chan_send(crowd->chan, &value);
        break;
    default:
        mt_spin(stress_random(&random) % 2000);
        break;
    }
    EXPECT(status == 0);
    EXPECT(weft_worker_index() == worker);
    return 0;
}

static int crowd_pay(void *arg)
{
    struct crowd *crowd = arg;
    int64_t value = 0;
    while (weft_chan_recv(crowd->chan, &value) == 0) {
        atomic_fetch_add_explicit(&crowd->paid, value, memory_order_relaxed);
    }
    return 0;
}

static int crowd_root(void *arg)
{
    struct crowd *crowd = arg;
    struct weft_scope payers;
    struct weft_scope scope;
    crowd->chan = mt_chan(4);
    EXPECT(weft_scope_open(&payers) == 0);
    for (int i = 0; i < 4; i++) {
        EXPECT(mt_spawn(&payers, NULL, crowd_pay, crowd) == 0);
    }
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < crowd->size; i++) {
        EXPECT(weft_scope_spawn(&scope, NULL, crowd_task, crowd) == 0);
        if (stress_random(&crowd->mt->random) % 128 == 0) EXPECT(weft_yield() == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    EXPECT(weft_chan_close(crowd->chan) == 0);
    EXPECT(weft_scope_close(&payers) == 0);
    weft_chan_unref(crowd->chan);
    return 0;
}

static void run_crowd(struct mt *mt)
{
    for (int i = 0; i < 10; i++) {
        struct crowd crowd = {.mt = mt, .size = mt_scale(mt, 3000)};
        atomic_init(&crowd.seed, (int)stress_random(&mt->random) / 2);
        mt_run(mt, crowd_root, &crowd);
        EXPECT(atomic_load(&crowd.places.ran) == crowd.size);
        EXPECT(atomic_load(&crowd.paid) > 0);
    }
}

/* ---- those that must stay ---- */

struct stay {
    struct mt *mt;
    atomic_int elsewhere;
    atomic_int ran;
};

static int stay_task(void *arg)
{
    struct stay *stay = arg;
    atomic_fetch_add(&stay->ran, 1);
    EXPECT(weft_worker_index() == 0);
    EXPECT(weft_yield() == 0);
    EXPECT(weft_worker_index() == 0);
    return 0;
}

static int stray_task(void *arg)
{
    struct stay *stay = arg;
    mt_spin(1000);
    /* Release: pairs with mt_spin_until(). */
    if (weft_worker_index() != 0) {
        atomic_fetch_add_explicit(&stay->elsewhere, 1, memory_order_release);
    }
    return 0;
}

/* Leaves a batch of both kinds behind, some of which must not be taken. */
static int stay_spawn_both(void *arg)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_HERE;
    for (int i = 0; i < HERD; i++) {
        EXPECT(weft_spawn_with(NULL, &options, stay_task, arg) == 0);
        EXPECT(weft_spawn(NULL, stray_task, arg) == 0);
    }
    return 0;
}

/* Computes until some of what it has spawned are taken, those that must stay lying about. */
static int stay_spawn_strays(void *arg)
{
    struct stay *stay = arg;
    for (int i = 0; i < HERD; i++) {
        EXPECT(weft_spawn(NULL, stray_task, stay) == 0);
    }
    if (mt_steals(stay->mt)) mt_spin_until(&stay->elsewhere, HERD / 4);
    return 0;
}

static int stay_root(void *arg)
{
    struct stay *stay = arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_HERE;
    EXPECT(weft_spawn_with(NULL, &options, stay_spawn_both, stay) == 0);
    EXPECT(weft_spawn_with(NULL, &options, stay_spawn_strays, stay) == 0);
    while (atomic_load(&stay->ran) < HERD) {
        EXPECT(weft_sleep(100 * WEFT_USEC) == 0);
    }
    return 0;
}

static void run_stay(struct mt *mt)
{
    for (int i = mt_scale(mt, 20); i > 0; i--) {
        struct stay stay = {.mt = mt};
        mt_run(mt, stay_root, &stay);
        EXPECT(atomic_load(&stay.ran) == HERD);
    }
}

/* ---- cancelled, or left alone by the root, before all have started ---- */

struct leave {
    struct mt *mt;
    atomic_int ran;
    atomic_int ended;
    int mode;
};

/* A task starts, whatever befell its scope. */
static int leave_task(void *arg)
{
    struct leave *leave = arg;
    atomic_fetch_add(&leave->ran, 1);
    mt_spin(100);
    int status = weft_sleep(20 * WEFT_USEC);
    EXPECT(status == 0 || status == -ECANCELED || status == -ETIMEDOUT);
    atomic_fetch_add(&leave->ended, 1);
    return 0;
}

static int leave_root(void *arg)
{
    struct leave *leave = arg;
    struct weft_scope scope;
    if (leave->mode == 0) { /* the root returns at once */
        for (int i = 0; i < HERD; i++) {
            EXPECT(weft_spawn(NULL, leave_task, leave) == 0);
        }
        mt_delay(&leave->mt->random);
        return 0;
    }
    bool is_timed = leave->mode == 1;
    int64_t timeout = 1 + stress_random(&leave->mt->random) % 200 * WEFT_USEC;
    EXPECT(weft_scope_open_timeout(&scope, is_timed ? timeout : WEFT_HOUR) == 0);
    for (int i = 0; i < HERD; i++) {
        EXPECT(weft_scope_spawn(&scope, NULL, leave_task, leave) == 0);
    }
    mt_delay(&leave->mt->random);
    if (!is_timed) EXPECT(weft_scope_cancel(&scope) == 0);
    int status = weft_scope_close(&scope);
    EXPECT(status == 0 || status == (is_timed ? -ETIMEDOUT : -ECANCELED));
    EXPECT(atomic_load(&leave->ended) == HERD);
    return 0;
}

static void run_leave(struct mt *mt)
{
    for (int i = 3 * mt_scale(mt, 50); i > 0; i--) {
        struct leave leave = {.mt = mt, .mode = i % 3};
        mt_run(mt, leave_root, &leave);
        EXPECT(atomic_load(&leave.ran) == HERD);
        EXPECT(atomic_load(&leave.ended) == HERD);
    }
}

MT_MAIN({"a spawner that computes is relieved", run_herd, 1},
        {"a horde is joined while thieves take it", run_horde, 1},
        {"trees count all their leaves", run_tree, 1},
        {"what was taken sleeps and wakes where it is", run_crowd, 1},
        {"what must stay stays", run_stay, 1},
        {"what is cancelled still starts, once", run_leave, 1});
