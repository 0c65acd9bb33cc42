/* SPDX-License-Identifier: MIT */
/*
 * Runtimes of several workers that start, sleep, are stopped and end while threads post and spawn
 * (MT-02, 05, 07, 09, 10, 11, 17, 18, 19; STRESS-10).
 *
 * What was accepted has had its effect, once, when weft_run() returns; nothing is left behind; and
 * workers that have nothing to do sleep.
 *
 * usage: see tests/stress/mt.h
 */
#include <dirent.h>
#include <sys/resource.h>

#include "tests/stress/mt.h"

#define THREADS 3

/* How many threads this process has; they disappear from the list a moment after their join. */
static int thread_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    if (!directory) return -1;
    while (readdir(directory)) {
        count++;
    }
    (void)closedir(directory);
    return count - 2; /* "." and ".." */
}

static void expect_threads(int wanted)
{
    for (int i = 0; i < 1000 && thread_count() > wanted; i++) {
        stress_sleep_us(1000);
    }
    EXPECT(thread_count() <= wanted);
}

/* ---- lives under attack ---- */

#define CALLS 300 /* of one thread, per runtime */

struct life {
    struct mt *mt;
    struct weft_runtime *runtime; /* one reference, until the threads have been joined */
    atomic_bool is_published;
    bool stops;
    atomic_int posts_accepted;
    atomic_int posts_ran;
    atomic_int spawns_accepted;
    atomic_int spawns_ran;
    atomic_int spawns_ended;
};

struct attacker {
    struct life *life;
    uint64_t random;
    struct weft_post posts[CALLS];
};

static void life_posted(void *arg)
{
    struct life *life = arg;
    atomic_fetch_add_explicit(&life->posts_ran, 1, memory_order_relaxed);
}

static int life_twig(void *arg)
{
    struct life *life = arg;
    atomic_fetch_add_explicit(&life->spawns_ran, 1, memory_order_relaxed);
    int status = weft_sleep(WEFT_HOUR);
    EXPECT(status == -ECANCELED);
    atomic_fetch_add_explicit(&life->spawns_ended, 1, memory_order_relaxed);
    return 0;
}

/* Spawns from its worker, too, also when all is being cancelled. */
static int life_branch(void *arg)
{
    struct life *life = arg;
    for (int i = 0; i < 20; i++) {
        int status =
            i % 2 ? mt_spawn(NULL, NULL, life_twig, life) : weft_spawn(NULL, life_twig, life);
        if (EXPECT(status == 0)) atomic_fetch_add(&life->spawns_accepted, 1);
    }
    return life_twig(arg);
}

static void attack_once(struct attacker *attacker, int call)
{
    struct life *life = attacker->life;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    int status = 0;
    unsigned choice = stress_random(&attacker->random) % 16;
    if (choice < 3) {
        options.placement = choice == 0 ? WEFT_ANYWHERE : WEFT_SPREAD;
        weft_fn fn = choice == 2 ? life_branch : life_twig;
        status = weft_runtime_spawn(life->runtime, NULL, &options, fn, life);
        if (status == 0) atomic_fetch_add(&life->spawns_accepted, 1);
    } else if (choice == 3 && life->stops) {
        if (stress_random(&attacker->random) % 16 == 0) status = weft_runtime_stop(life->runtime);
    } else {
        attacker->posts[call] = (struct weft_post){.fn = life_posted, .arg = life};
        status = weft_post(life->runtime, &attacker->posts[call]);
        if (status == 0) atomic_fetch_add(&life->posts_accepted, 1);
    }
    EXPECT(status == 0 || status == -ESRCH);
}

static void *attack(void *arg)
{
    struct attacker *attacker = arg;
    /* Acquire: pairs with the release in life_root(). */
    while (!atomic_load_explicit(&attacker->life->is_published, memory_order_acquire)) {
        (void)sched_yield();
    }
    for (int i = 0; i < CALLS; i++) {
        attack_once(attacker, i);
        stress_delay(&attacker->random);
    }
    return NULL;
}

static int life_root(void *arg)
{
    struct life *life = arg;
    life->runtime = weft_runtime_current();
    EXPECT(weft_runtime_ref(life->runtime) == 0);
    /* Release: pairs with the acquire in attack(). */
    atomic_store_explicit(&life->is_published, true, memory_order_release);
    int status = weft_sleep(stress_random(&life->mt->random) % 1000 * WEFT_USEC);
    EXPECT(status == 0 || (life->stops && status == -ECANCELED));
    return 0;
}

/* The threads go on for a while after the end: then everything says -ESRCH. */
static void run_life(struct mt *mt, bool stops)
{
    static struct attacker attackers[THREADS];
    struct life life = {.mt = mt, .stops = stops};
    struct weft_post late = {.fn = life_posted, .arg = &life};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        attackers[i].life = &life;
        attackers[i].random = mt_seed(mt);
        threads[i] = stress_thread(attack, &attackers[i]);
    }

    mt_run(mt, life_root, &life);

    EXPECT(weft_post(life.runtime, &late) == -ESRCH);
    for (int i = 0; i < THREADS; i++) {
        stress_join(threads[i]);
    }
    EXPECT(atomic_load(&life.posts_ran) == atomic_load(&life.posts_accepted));
    EXPECT(atomic_load(&life.spawns_ran) == atomic_load(&life.spawns_accepted));
    EXPECT(atomic_load(&life.spawns_ended) == atomic_load(&life.spawns_ran));
    EXPECT(weft_runtime_spawn(life.runtime, NULL, NULL, life_twig, &life) == -ESRCH);
    EXPECT(weft_runtime_stop(life.runtime) == -ESRCH);
    EXPECT(weft_runtime_unref(life.runtime) == 0);
}

static void run_lives(struct mt *mt)
{
    int threads = thread_count();
    for (int i = 2 * mt_scale(mt, 50); i > 0; i--) {
        run_life(mt, i % 2);
    }
    expect_threads(threads);
}

/* ---- tasks that spawn while all are told to end ---- */

struct flood {
    struct mt *mt;
    atomic_llong spawned;
    atomic_llong ran;
    atomic_int budget;
    bool stops;
};

static int flood_task(void *arg);

static void flood_spawn(struct flood *flood, bool is_spread)
{
    if (atomic_fetch_sub(&flood->budget, 1) <= 0) return;
    int status =
        is_spread ? mt_spawn(NULL, NULL, flood_task, flood) : weft_spawn(NULL, flood_task, flood);
    if (EXPECT(status == 0)) atomic_fetch_add(&flood->spawned, 1);
}

static int flood_task(void *arg)
{
    struct flood *flood = arg;
    long long number = atomic_fetch_add(&flood->ran, 1);
    flood_spawn(flood, number % 4 == 0);
    flood_spawn(flood, false);
    if (number % 8 == 0) (void)weft_yield();
    flood_spawn(flood, number % 4 == 1);
    return 0;
}

/* Ends, or stops everything, in the midst of it. */
static int flood_root(void *arg)
{
    struct flood *flood = arg;
    for (int i = 0; i < 8; i++) {
        flood_spawn(flood, true);
    }
    (void)weft_sleep(stress_random(&flood->mt->random) % 500 * WEFT_USEC);
    if (flood->stops) EXPECT(weft_runtime_stop(weft_runtime_current()) == 0);
    return 0;
}

static void run_flood(struct mt *mt)
{
    int size = mt_scale(mt, 10000);
    for (int i = 0; i < 10; i++) {
        struct flood flood = {.mt = mt, .stops = i % 2};
        atomic_init(&flood.budget, size);
        mt_run(mt, flood_root, &flood);
        EXPECT(atomic_load(&flood.ran) == atomic_load(&flood.spawned));
    }
}

/* ---- posts in order, from threads and from a signal handler ---- */

#define ORDERED 1000

struct producer {
    struct order *order;
    struct weft_post posts[ORDERED];
    int next;
    uint64_t random;
};

struct order {
    struct mt *mt;
    struct weft_runtime *runtime;
    struct producer producers[THREADS];
    int ran; /* of worker 0 alone */
    struct weft_post signalled;
    atomic_int signals;
};

static struct order *order_of_handler;

static void order_posted(void *arg)
{
    struct producer *producer = arg;
    EXPECT(weft_self().id == 0);
    EXPECT(weft_worker_index() == 0);
    EXPECT(producer->next < ORDERED);
    producer->next++;
    producer->order->ran++;
}

/* The node tells which one it is: each is another function's argument. */
static void order_next(void *arg)
{
    struct weft_post *node = arg;
    struct order *order = order_of_handler;
    for (int i = 0; i < THREADS; i++) {
        struct producer *producer = &order->producers[i];
        if (node < producer->posts || node >= producer->posts + ORDERED) continue;
        EXPECT(node == &producer->posts[producer->next]);
        order_posted(producer);
    }
}

static void order_signalled(void *arg)
{
    struct order *order = arg;
    atomic_fetch_add(&order->signals, 1);
}

static void order_handler(int number)
{
    (void)number;
    int error = errno;
    EXPECT(weft_post(order_of_handler->runtime, &order_of_handler->signalled) == 0);
    errno = error;
}

static void *order_produce(void *arg)
{
    struct producer *producer = arg;
    for (int i = 0; i < ORDERED; i++) {
        producer->posts[i] = (struct weft_post){.fn = order_next, .arg = &producer->posts[i]};
        EXPECT(weft_post(producer->order->runtime, &producer->posts[i]) == 0);
        if (i % 100 == 50) EXPECT(raise(SIGUSR2) == 0);
        if (i % 16 == 0) stress_delay(&producer->random);
    }
    return NULL;
}

/* Meanwhile the other workers are busy with tasks that compute and yield, and a timer goes. */
static int order_yield(void *arg)
{
    int status = 0;
    (void)arg;
    while (status == 0) {
        mt_spin(1000);
        status = weft_yield();
    }
    EXPECT(status == -ECANCELED);
    return 0;
}

static int order_root(void *arg)
{
    struct order *order = arg;
    pthread_t threads[THREADS];
    struct weft_scope scope;
    order->runtime = weft_runtime_current();
    order->signalled = (struct weft_post){.fn = order_signalled, .arg = order};
    EXPECT(weft_scope_open(&scope) == 0);
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        EXPECT(mt_spawn(&scope, NULL, order_yield, order) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        order->producers[i].order = order;
        order->producers[i].random = mt_seed(order->mt);
        threads[i] = stress_thread(order_produce, &order->producers[i]);
    }
    while (order->ran < THREADS * ORDERED || atomic_load(&order->signals) == 0) {
        EXPECT(weft_sleep(100 * WEFT_USEC) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        stress_join(threads[i]);
    }
    EXPECT(weft_scope_cancel(&scope) == 0);
    EXPECT(weft_scope_close(&scope) == -ECANCELED);
    return 0;
}

static void run_order(struct mt *mt)
{
    struct sigaction action = {.sa_handler = order_handler, .sa_flags = SA_RESTART};
    EXPECT(sigaction(SIGUSR2, &action, NULL) == 0);
    for (int i = mt_scale(mt, 10); i > 0; i--) {
        struct order *order = calloc(1, sizeof *order);
        if (!order) abort();
        order->mt = mt;
        order_of_handler = order;
        mt_run(mt, order_root, order);
        EXPECT(order->ran == THREADS * ORDERED);
        free(order);
    }
}

/* ---- two runtimes side by side ---- */

#define NEIGHBOURS 4 /* tasks of each runtime */

struct side {
    struct mt *mt;
    struct weft_chan *to;
    struct weft_chan *from;
    struct weft_chan *own; /* of this runtime alone; the other one must not touch it */
    struct side *other;
    pthread_barrier_t *both; /* have opened theirs; have tried the other's */
    int rounds;
    atomic_llong sent;
    atomic_llong received;
};

static int side_task(void *arg)
{
    struct side *side = arg;
    for (int i = 0; i < side->rounds; i++) {
        int64_t value = i + 1;
        int64_t got = 0;
        int index = weft_select(weft_on_send(side->to, &value), weft_on_recv(side->from, &got));
        if (!EXPECT(index == 0 || index == 1)) return 0;
        atomic_fetch_add(index == 0 ? &side->sent : &side->received, index == 0 ? value : got);
    }
    return 0;
}

static int side_root(void *arg)
{
    struct side *side = arg;
    int64_t value = 1;
    EXPECT(weft_worker_count() == side->mt->workers);
    side->own = mt_chan(1);
    (void)pthread_barrier_wait(side->both);
    EXPECT(weft_chan_try_send(side->other->own, &value) == -EPERM);
    (void)pthread_barrier_wait(side->both);
    EXPECT(mt_each(side_task, side, NEIGHBOURS, 0) == 0);
    weft_chan_unref(side->own);
    return 0;
}

static void *side_thread(void *arg)
{
    struct side *side = arg;
    mt_run(side->mt, side_root, side);
    return NULL;
}

/* Both make as many steps; a step of one is a step of the other. */
static void run_sides(struct mt *mt)
{
    int threads = thread_count();
    for (int i = mt_scale(mt, 10); i > 0; i--) {
        pthread_barrier_t both;
        struct weft_chan *there = stress_chan(0);
        struct weft_chan *back = stress_chan(0);
        struct side left = {.mt = mt, .to = there, .from = back, .both = &both, .rounds = 500};
        struct side right = {
            .mt = mt, .to = back, .from = there, .both = &both, .rounds = 500, .other = &left};
        left.other = &right;
        EXPECT(pthread_barrier_init(&both, NULL, 2) == 0);
        pthread_t sides[] = {stress_thread(side_thread, &left), stress_thread(side_thread, &right)};
        stress_join(sides[0]);
        stress_join(sides[1]);
        EXPECT(atomic_load(&left.sent) == atomic_load(&right.received));
        EXPECT(atomic_load(&right.sent) == atomic_load(&left.received));
        (void)pthread_barrier_destroy(&both);
        weft_chan_unref(there);
        weft_chan_unref(back);
    }
    expect_threads(threads);
}

/* ---- workers that have nothing to do ---- */

struct idle {
    struct weft_chan *wake;
    struct rusage used;
};

static int idle_spin(void *arg)
{
    (void)arg;
    mt_spin(10000);
    return 0;
}

static int idle_wait(void *arg)
{
    EXPECT(weft_chan_recv(((struct idle *)arg)->wake, NULL) == 0);
    return 0;
}

/* The machine is busy for a moment, as is the deque; then all tasks wait. */
static int idle_root(void *arg)
{
    struct idle *idle = arg;
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < 200; i++) {
        EXPECT(weft_scope_spawn(&scope, NULL, idle_spin, NULL) == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    EXPECT(mt_each(idle_wait, idle, 8, 0) == 0);
    return 0;
}

static void *idle_measure(void *arg)
{
    struct idle *idle = arg;
    struct rusage before;
    int64_t value = 0;
    stress_sleep_us(200000);
    EXPECT(getrusage(RUSAGE_SELF, &before) == 0);
    stress_sleep_us(500000);
    EXPECT(getrusage(RUSAGE_SELF, &idle->used) == 0);
    idle->used.ru_nvcsw -= before.ru_nvcsw;
    idle->used.ru_utime.tv_usec +=
        (idle->used.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 - before.ru_utime.tv_usec;
    idle->used.ru_stime.tv_usec +=
        (idle->used.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 - before.ru_stime.tv_usec;
    for (int i = 0; i < 8; i++) {
        EXPECT(weft_chan_send(idle->wake, &value) == 0);
    }
    return NULL;
}

/* A wake-up every 10 ms would be 50; the watchdog of this program has one, and so have the threads
 * of a sanitizer, which cannot be told apart. */
static void run_idle(struct mt *mt)
{
    struct idle idle = {.wake = stress_chan(0)};
    pthread_t thread = stress_thread(idle_measure, &idle);
    mt_run(mt, idle_root, &idle);
    stress_join(thread);
    long cpu_us = idle.used.ru_utime.tv_usec + idle.used.ru_stime.tv_usec;
    (void)printf("# idle for 500 ms: %ld us of CPU, %ld switches\n", cpu_us, idle.used.ru_nvcsw);
    if (MT_SLOWER == 1) {
        EXPECT(idle.used.ru_nvcsw < 20);
        EXPECT(cpu_us < 20000);
    }
    weft_chan_unref(idle.wake);
}

MT_MAIN({"runtimes end under posts and spawns", run_lives, 1},
        {"what was spawned has run when all is told to end", run_flood, 1},
        {"posts of one thread run in order", run_order, 1},
        {"two runtimes mind their own tasks", run_sides, 1},
        {"who has nothing to do sleeps", run_idle, 1});
