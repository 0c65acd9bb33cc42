/* SPDX-License-Identifier: MIT */
/*
 * Runtimes that start and end while other threads post, spawn, cancel and stop.
 *
 * A call that said 0 has had its effect exactly once by the time that weft_run() has returned; a
 * call that said -ESRCH never has any.
 *
 * usage: runtime_stress [ROUNDS]
 */
#include "tests/stress/stress.h"

#define THREADS       3
#define CALLS         200 /* of one thread, per runtime */
#define TASKS_OF_ROOT 4

/* One life of a runtime, and what was done to it. */
struct life {
    struct weft_runtime *runtime; /* one reference, until the threads have been joined */
    atomic_bool is_published;
    weft_task tasks[TASKS_OF_ROOT]; /* written before is_published */
    uint64_t random;
    atomic_int posts_accepted;
    atomic_int posts_ran;
    atomic_int spawns_accepted;
    atomic_int spawns_ran;
    bool stops;
};

struct attacker {
    struct life *life;
    uint64_t random;
    struct weft_post posts[CALLS];
};

static void post_ran(void *arg)
{
    struct life *life = arg;
    atomic_fetch_add_explicit(&life->posts_ran, 1, memory_order_relaxed);
}

static int spawn_ran(void *arg)
{
    struct life *life = arg;
    atomic_fetch_add_explicit(&life->spawns_ran, 1, memory_order_relaxed);
    int status = weft_sleep(WEFT_HOUR);
    EXPECT(status == -ECANCELED);
    return 0;
}

static void attack_once(struct attacker *attacker, int call)
{
    struct life *life = attacker->life;
    int status = 0;
    switch (stress_random(&attacker->random) % 8) {
    case 0:
        status = weft_cancel(life->tasks[stress_random(&attacker->random) % TASKS_OF_ROOT]);
        break;
    case 1:
        status = weft_runtime_spawn(life->runtime, NULL, NULL, spawn_ran, life);
        if (status == 0) atomic_fetch_add(&life->spawns_accepted, 1);
        break;
    case 2:
        if (life->stops && stress_random(&attacker->random) % 16 == 0) {
            status = weft_runtime_stop(life->runtime);
        }
        break;
    default:
        attacker->posts[call] = (struct weft_post){.fn = post_ran, .arg = life};
        status = weft_post(life->runtime, &attacker->posts[call]);
        if (status == 0) atomic_fetch_add(&life->posts_accepted, 1);
        break;
    }
    EXPECT(status == 0 || status == -ESRCH);
}

static void *attack(void *arg)
{
    struct attacker *attacker = arg;
    while (!atomic_load_explicit(&attacker->life->is_published, memory_order_acquire)) {
        (void)sched_yield();
    }
    for (int i = 0; i < CALLS; i++) {
        attack_once(attacker, i);
        stress_delay(&attacker->random);
    }
    return NULL;
}

/* Sleeps in turn on time and on a channel that nobody serves. */
static int task_of_root(void *arg)
{
    struct weft_chan *chan = NULL;
    (void)arg;
    if (!EXPECT(weft_chan_open(&chan, sizeof(int64_t), 0) == 0)) return 0;
    int status = 0;
    while (status == 0) {
        status = weft_select(weft_on_recv(chan, NULL), weft_after(20 * WEFT_USEC));
        if (status > 0) status = 0;
    }
    EXPECT(status == -ECANCELED);
    weft_chan_unref(chan);
    return status;
}

static int root(void *arg)
{
    struct life *life = arg;
    life->runtime = weft_runtime_current();
    EXPECT(weft_runtime_ref(life->runtime) == 0);
    for (int i = 0; i < TASKS_OF_ROOT; i++) {
        EXPECT(weft_spawn(&life->tasks[i], task_of_root, NULL) == 0);
    }
    /* Release: pairs with the acquire in attack(). */
    atomic_store_explicit(&life->is_published, true, memory_order_release);
    int status = weft_sleep(stress_random(&life->random) % 1000 * WEFT_USEC);
    EXPECT(status == 0 || (life->stops && status == -ECANCELED));
    return 0;
}

/* The threads go on for a while after the end: then everything says -ESRCH. */
static void run_life(unsigned round, bool stops)
{
    static struct attacker attackers[THREADS];
    struct life life = {.random = round, .stops = stops};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        attackers[i].life = &life;
        attackers[i].random = round * 10 + (unsigned)i;
        threads[i] = stress_thread(attack, &attackers[i]);
    }

    EXPECT(weft_run(NULL, root, &life) == 0);

    for (int i = 0; i < THREADS; i++) {
        stress_join(threads[i]);
    }
    EXPECT(atomic_load(&life.posts_ran) == atomic_load(&life.posts_accepted));
    EXPECT(atomic_load(&life.spawns_ran) == atomic_load(&life.spawns_accepted));
    struct weft_post late = {.fn = post_ran, .arg = &life};
    EXPECT(weft_post(life.runtime, &late) == -ESRCH);
    EXPECT(weft_runtime_spawn(life.runtime, NULL, NULL, spawn_ran, &life) == -ESRCH);
    EXPECT(weft_runtime_stop(life.runtime) == -ESRCH);
    EXPECT(weft_cancel(life.tasks[0]) == -ESRCH);
    EXPECT(weft_runtime_unref(life.runtime) == 0);
}

/* ---- posts in order, one node posted again and again ---- */

#define ORDERED 2000

struct order {
    struct weft_runtime *runtime;
    struct weft_post posts[ORDERED];
    int ran;
    struct weft_post again;
    atomic_int again_ran;
};

static struct order order;

static void post_in_order(void *arg)
{
    EXPECT(arg == &order.posts[order.ran]);
    order.ran++;
}

static void post_again(void *arg)
{
    (void)arg;
    atomic_fetch_add(&order.again_ran, 1);
}

static void *thread_in_order(void *arg)
{
    uint64_t random = *(unsigned *)arg;
    for (int i = 0; i < ORDERED; i++) {
        order.posts[i] = (struct weft_post){.fn = post_in_order, .arg = &order.posts[i]};
        EXPECT(weft_post(order.runtime, &order.posts[i]) == 0);
        EXPECT(weft_post(order.runtime, &order.again) == 0); /* often queued already: no-op */
        if (i % 16 == 0) stress_delay(&random);
    }
    return NULL;
}

static int root_in_order(void *arg)
{
    order.runtime = weft_runtime_current();
    order.ran = 0;
    order.again = (struct weft_post){.fn = post_again, .arg = NULL};
    atomic_store(&order.again_ran, 0);
    pthread_t thread = stress_thread(thread_in_order, arg);
    while (order.ran < ORDERED) {
        EXPECT(weft_sleep(10 * WEFT_USEC) == 0);
    }
    stress_join(thread);
    EXPECT(weft_sleep(WEFT_MSEC) == 0);
    EXPECT(order.ran == ORDERED);
    EXPECT(atomic_load(&order.again_ran) >= 1);
    EXPECT(atomic_load(&order.again_ran) <= ORDERED);
    return 0;
}

/* ---- several runtimes at once, cancelling each other's tasks ---- */

struct neighbour {
    struct neighbour *other;
    _Atomic(uint64_t) victim_id; /* 0: none at the moment */
    void *_Atomic victim_slot;
    uint64_t random;
    int rounds;
    atomic_bool is_done;
    int64_t cancelled;
};

static int neighbour_victim(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_SEC / 100);
}

/* Publishes a task, cancels the other side's, and joins its own. A stale handle is no crash. */
static int neighbour_root(void *arg)
{
    struct neighbour *self = arg;
    for (int i = 0; i < self->rounds; i++) {
        weft_task task;
        int result = 0;
        EXPECT(weft_spawn(&task, neighbour_victim, NULL) == 0);
        atomic_store(&self->victim_slot, task.slot);
        atomic_store(&self->victim_id, task.id);
        weft_task theirs = {.id = atomic_load(&self->other->victim_id),
                            .slot = atomic_load(&self->other->victim_slot)};
        int status = weft_cancel(theirs);
        EXPECT(status == 0 || status == -ESRCH);
        if (stress_random(&self->random) % 2 == 0) {
            EXPECT(weft_yield() == 0);
            EXPECT(weft_cancel(task) == 0);
        }
        EXPECT(weft_join(task, &result) == 0);
        EXPECT(result == 0 || result == -ECANCELED);
        self->cancelled += result == -ECANCELED;
    }
    return 0;
}

static void *neighbour_thread(void *arg)
{
    EXPECT(weft_run(NULL, neighbour_root, arg) == 0);
    return NULL;
}

static void run_neighbours(int rounds)
{
    struct neighbour left = {.random = 1, .rounds = rounds};
    struct neighbour right = {.other = &left, .random = 2, .rounds = rounds};
    left.other = &right;
    pthread_t threads[] = {stress_thread(neighbour_thread, &left),
                           stress_thread(neighbour_thread, &right)};
    stress_join(threads[0]);
    stress_join(threads[1]);
    EXPECT(left.cancelled > 0);
    EXPECT(right.cancelled > 0);
}

int main(int argc, char **argv)
{
    int rounds = stress_rounds(argc, argv, 100);

    for (int i = 0; i < rounds; i++) {
        run_life((unsigned)i, false);
    }
    stress_report("runtimes end under posts, spawns and cancels");
    for (int i = 0; i < rounds; i++) {
        run_life((unsigned)i, true);
    }
    stress_report("runtimes are stopped under posts, spawns and cancels");
    for (int i = 0; i < 1 + rounds / 10; i++) {
        unsigned seed = (unsigned)i;
        EXPECT(weft_run(NULL, root_in_order, &seed) == 0);
    }
    stress_report("posts of one thread run in order");
    run_neighbours(rounds);
    stress_report("runtimes side by side cancel each other's tasks");
    return stress_end();
}
