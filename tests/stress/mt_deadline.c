/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of scopes that tasks of all workers move, while their owners compute, sleep and move,
 * too (MT-27).
 *
 * A scope expires, and not before the last deadline that was asked for.
 *
 * usage: see tests/stress/mt.h
 */
#include "tests/stress/mt.h"

#define OWNERS 4
#define MOVERS 3

struct moving {
    uint64_t random;
    struct weft_scope scope;
    int mover_count;
    atomic_int movers_left; /* before the last deadline, */
    atomic_int at_work;     /* ... and after it */
    atomic_bool may_expire; /* a deadline was near, and was not put off in time */
    int rounds;
    int moves;
    struct mover {
        struct moving *moving;
        uint64_t random;
    } movers[MOVERS];
};

/* Near, and off again: false if that came too late. Who is alone can tell. */
static bool bring_near(struct mover *mover)
{
    struct moving *moving = mover->moving;
    int64_t near_ns = weft_now() + stress_random(&mover->random) % 30 * WEFT_USEC;
    atomic_store(&moving->may_expire, true);
    EXPECT(weft_scope_set_deadline(&moving->scope, near_ns) == 0);
    mt_delay(&mover->random);
    int status = weft_scope_set_deadline(&moving->scope, near_ns + WEFT_HOUR);
    EXPECT(status == 0 || status == -ETIMEDOUT);
    if (status == 0) atomic_store(&moving->may_expire, false);
    return status == 0;
}

/* Near at last: until then it is far away, or there is none, and nothing expires. */
static void move_on(struct mover *mover)
{
    struct moving *moving = mover->moving;
    for (int i = 0; i < moving->moves; i++) {
        int64_t deadline_ns = weft_now() + WEFT_HOUR + stress_random(&mover->random);
        if (stress_random(&mover->random) % 4 == 0) deadline_ns = WEFT_FOREVER;
        EXPECT(weft_scope_set_deadline(&moving->scope, deadline_ns) == 0);
        mt_delay(&mover->random);
        if (moving->mover_count == 1 && !bring_near(mover)) return;
    }
    if (atomic_fetch_sub(&moving->movers_left, 1) > 1) return;
    int64_t deadline_ns = weft_now() + stress_random(&mover->random) % 2 * 50 * WEFT_USEC;
    atomic_store(&moving->may_expire, true);
    EXPECT(weft_scope_set_deadline(&moving->scope, deadline_ns) == 0);
}

static int moving_task(void *arg)
{
    struct mover *mover = arg;
    move_on(mover);
    atomic_fetch_sub(&mover->moving->at_work, 1);
    return 0;
}

static int sleep_until_late(void *arg)
{
    const struct moving *moving = arg;
    EXPECT(weft_sleep(WEFT_FOREVER) == -ETIMEDOUT);
    EXPECT(atomic_load(&moving->may_expire));
    return 0;
}

static void compute_until_late(struct moving *moving)
{
    int status = 0;
    while (status == 0) {
        mt_spin(stress_random(&moving->random) % 4000);
        status = weft_scope_status(); /* it may be late, and put off again before it expires */
        EXPECT(status == 0 || status == -ETIMEDOUT);
        status = weft_yield();
    }
    EXPECT(status == -ETIMEDOUT);
    EXPECT(atomic_load(&moving->may_expire));
}

static void moving_round(struct moving *moving)
{
    struct weft_scope outer;
    EXPECT(weft_scope_open(&outer) == 0); /* outside of the one that expires */
    EXPECT(weft_scope_open_timeout(&moving->scope, WEFT_HOUR) == 0);
    moving->mover_count = stress_random(&moving->random) % 2 ? MOVERS : 1;
    atomic_store(&moving->movers_left, moving->mover_count);
    atomic_store(&moving->at_work, moving->mover_count);
    atomic_store(&moving->may_expire, false);
    for (int i = 0; i < moving->mover_count; i++) {
        struct mover *mover = &moving->movers[i];
        mover->moving = moving;
        mover->random = (uint64_t)stress_random(&moving->random) << 20;
        EXPECT(mt_spawn(&outer, NULL, moving_task, mover) == 0);
        if (stress_random(&moving->random) % 4 > 0) continue;
        EXPECT(mt_spawn(&moving->scope, NULL, sleep_until_late, moving) == 0);
    }
    if (stress_random(&moving->random) % 2) {
        compute_until_late(moving);
    } else {
        (void)sleep_until_late(moving);
    }
    weft_shielded
    {
        while (atomic_load(&moving->at_work) > 0)
            (void)weft_yield();
    }
    EXPECT(weft_scope_close(&moving->scope) == -ETIMEDOUT);
    EXPECT(weft_scope_close(&outer) == 0);
}

static int moving_owner(void *arg)
{
    struct moving *moving = arg;
    for (int i = 0; i < moving->rounds; i++) {
        moving_round(moving);
    }
    return 0;
}

static int moving_root(void *arg)
{
    struct mt *mt = arg;
    static struct moving movings[OWNERS];
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < OWNERS; i++) {
        movings[i] =
            (struct moving){.random = mt_seed(mt), .rounds = mt_scale(mt, 100), .moves = 10};
        options.placement = i % 2 ? WEFT_MIGRATABLE : WEFT_SPREAD;
        EXPECT(weft_scope_spawn_with(&scope, NULL, &options, moving_owner, &movings[i]) == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    return 0;
}

static void run_moving(struct mt *mt)
{
    mt_run(mt, moving_root, mt);
}

MT_MAIN({"deadlines are moved from everywhere", run_moving, 1});
