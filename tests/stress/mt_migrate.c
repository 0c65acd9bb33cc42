/* SPDX-License-Identifier: MIT */
/*
 * Tasks that may move (WEFT_MIGRATABLE): they compute, yield, sleep, talk over channels and
 * descriptors, open scopes with deadlines and children, are cancelled and joined from elsewhere
 * (MT-20, MT-05, MT-08).
 *
 * Nothing is lost or doubled, every task ends once, and tasks do move.
 *
 * usage: see tests/stress/mt.h
 */
#include <sys/socket.h>

#include "tests/stress/mt.h"

#define TRAVELLERS 24

struct land {
    struct mt *mt;
    struct weft_chan *chan; /* any of them sends and receives */
    atomic_llong sent;
    atomic_llong received;
    atomic_int moves;
    atomic_int ended;
    atomic_int children;
    int steps;
};

struct traveller {
    struct land *land;
    uint64_t random;
    int ends[2];
};

static int spawn_traveller(struct weft_scope *scope, weft_task *ret, weft_fn fn, void *arg)
{
    static atomic_uint number;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_MIGRATABLE;
    if (atomic_fetch_add(&number, 1) % 4 == 0) options.stack_size = 200000; /* of its own size */
    return scope ? weft_scope_spawn_with(scope, ret, &options, fn, arg)
                 : weft_spawn_with(ret, &options, fn, arg);
}

/* ---- what they do on their way ---- */

/* What a task is told that shall end: it may be in the very scope whose time is over. */
static bool is_called_back(ssize_t status)
{
    return status == -ECANCELED || status == -ETIMEDOUT;
}

static int compute(struct traveller *self)
{
    mt_spin(stress_random(&self->random) % 40000);
    return weft_yield();
}

static int send_one(struct traveller *self)
{
    int64_t value = stress_random(&self->random) % 1000;
    int status = 0;
    weft_with_timeout(200 * WEFT_USEC) {
        status = weft_chan_send(self->land->chan, &value);
        if (status == 0) atomic_fetch_add(&self->land->sent, value);
    }
    return status == -ETIMEDOUT ? 0 : status;
}

static int receive_one(struct traveller *self)
{
    int64_t value = 0;
    int status = 0;
    int winner = weft_select(weft_on_recv(self->land->chan, &value, &status),
                             weft_after(stress_random(&self->random) % 200 * WEFT_USEC));
    if (winner == 0 && status == 0) atomic_fetch_add(&self->land->received, value);
    return winner < 0 ? winner : 0;
}

static int child(void *arg)
{
    struct land *land = arg;
    int status = weft_sleep(20 * WEFT_USEC);
    atomic_fetch_add(&land->children, 1);
    return status == -ECANCELED ? 0 : status;
}

/* Children are closed somewhere else than where they were spawned, perhaps. */
static int have_children(struct traveller *self)
{
    struct weft_scope scope;
    struct land *land = self->land;
    int before = atomic_load(&land->children);
    int status = 0;
    EXPECT(weft_scope_open_timeout(&scope, WEFT_HOUR) == 0);
    int count = 3 + (int)(stress_random(&self->random) % 8 == 0) * 30; /* some are stolen */
    for (int i = 0; i < count; i++) {
        if (i % 3 == 1) {
            EXPECT(spawn_traveller(&scope, NULL, child, land) == 0);
        } else {
            EXPECT(weft_scope_spawn(&scope, NULL, child, land) == 0);
        }
        if (status == 0) status = compute(self);
    }
    int result = weft_scope_close(&scope);
    EXPECT(result == 0 || result == -ECANCELED);
    EXPECT(atomic_load(&land->children) - before >= count);
    return status;
}

static int talk_to_itself(struct traveller *self)
{
    char byte = 'x';
    ssize_t count = weft_write(self->ends[0], &byte, 1);
    if (count < 0) return (int)count;
    int status = compute(self);
    if (status < 0) return status;
    count = weft_read(self->ends[1], &byte, 1);
    EXPECT(count == 1 || is_called_back(count));
    return count < 0 ? (int)count : 0;
}

static int step(struct traveller *self)
{
    switch (stress_random(&self->random) % 8) {
    case 0:
        return weft_sleep(stress_random(&self->random) % 60 * WEFT_USEC);
    case 1:
        return send_one(self);
    case 2:
        return receive_one(self);
    case 3:
        return have_children(self);
    case 4:
        return talk_to_itself(self);
    default:
        return compute(self);
    }
}

static int travel(void *arg)
{
    struct traveller *self = arg;
    struct land *land = self->land;
    unsigned place = weft_worker_index();
    weft_set_errno((int)(self->random % 100));
    int number = weft_errno();
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, self->ends) == 0);
    int status = 0;
    for (int i = 0; i < land->steps && status == 0; i++) {
        weft_set_errno(number);
        status = step(self);
        if (weft_worker_index() == place) continue;
        place = weft_worker_index();
        atomic_fetch_add_explicit(&land->moves, 1, memory_order_relaxed);
    }
    EXPECT(status == 0 || is_called_back(status));
    EXPECT(weft_close(self->ends[0]) == 0);
    EXPECT(weft_close(self->ends[1]) == 0);
    atomic_fetch_add(&land->ended, 1);
    return status;
}

/* ---- all of them, and some are cancelled ---- */

static void empty(struct land *land)
{
    int64_t value = 0;
    while (weft_chan_try_recv(land->chan, &value) == 0)
        atomic_fetch_add(&land->received, value);
    EXPECT(atomic_load(&land->sent) == atomic_load(&land->received));
    weft_chan_unref(land->chan);
}

static int land_root(void *arg)
{
    struct land *land = arg;
    static struct traveller travellers[TRAVELLERS];
    weft_task tasks[TRAVELLERS];
    land->chan = mt_chan(4);
    for (int i = 0; i < TRAVELLERS; i++) {
        travellers[i] = (struct traveller){.land = land, .random = mt_seed(land->mt)};
        EXPECT(spawn_traveller(NULL, &tasks[i], travel, &travellers[i]) == 0);
    }
    for (int i = 0; i < TRAVELLERS / 4; i++) {
        mt_delay(&land->mt->random);
        EXPECT(weft_cancel(tasks[stress_random(&land->mt->random) % TRAVELLERS]) == 0);
    }
    for (int i = 0; i < TRAVELLERS; i++) {
        int result = 1;
        EXPECT(weft_join(tasks[i], &result) == 0);
        EXPECT(result == 0 || result == -ECANCELED);
    }
    empty(land);
    return 0;
}

static void run_land(struct mt *mt)
{
    int moves = 0;
    for (int i = mt_scale(mt, 30); i > 0; i--) {
        struct land land = {.mt = mt, .steps = 60};
        mt_run(mt, land_root, &land);
        EXPECT(atomic_load(&land.ended) == TRAVELLERS);
        moves += atomic_load(&land.moves);
    }
    (void)printf("# %d moves\n", moves);
    EXPECT(moves > 0 || !mt_steals(mt));
}

/* ---- in a scope that is left early ---- */

static int left_root(void *arg)
{
    struct land *land = arg;
    static struct traveller travellers[TRAVELLERS];
    struct weft_scope scope;
    land->chan = mt_chan(4);
    int64_t timeout = 1 + stress_random(&land->mt->random) % 5000 * WEFT_USEC;
    EXPECT(weft_scope_open_timeout(&scope, timeout) == 0);
    for (int i = 0; i < TRAVELLERS; i++) {
        travellers[i] = (struct traveller){.land = land, .random = mt_seed(land->mt)};
        EXPECT(spawn_traveller(&scope, NULL, travel, &travellers[i]) == 0);
    }
    int status = weft_scope_close(&scope);
    EXPECT(status == 0 || status == -ETIMEDOUT || status == -ECANCELED);
    EXPECT(atomic_load(&land->ended) == TRAVELLERS);
    empty(land);
    return 0;
}

static void run_left(struct mt *mt)
{
    for (int i = mt_scale(mt, 60); i > 0; i--) {
        struct land land = {.mt = mt, .steps = 60};
        mt_run(mt, left_root, &land);
    }
}

/* ---- when the root returns, with travellers on their way ---- */

static int abandoned(void *arg)
{
    struct traveller *self = arg;
    int status = 0;
    while ((status = compute(self)) == 0) {
    }
    atomic_fetch_add(&self->land->ended, 1);
    return status;
}

static int abandon_root(void *arg)
{
    struct land *land = arg;
    static struct traveller travellers[TRAVELLERS];
    for (int i = 0; i < TRAVELLERS; i++) {
        travellers[i] = (struct traveller){.land = land, .random = mt_seed(land->mt)};
        EXPECT(spawn_traveller(NULL, NULL, abandoned, &travellers[i]) == 0);
    }
    mt_delay(&land->mt->random);
    return weft_sleep(stress_random(&land->mt->random) % 300 * WEFT_USEC);
}

static void run_abandon(struct mt *mt)
{
    for (int i = mt_scale(mt, 100); i > 0; i--) {
        struct land land = {.mt = mt};
        mt_run(mt, abandon_root, &land);
        EXPECT(atomic_load(&land.ended) == TRAVELLERS);
    }
}

MT_MAIN({"travellers lose nothing", run_land, 1},
        {"travellers are called back by their scope", run_left, 1},
        {"the end reaches travellers on their way", run_abandon, 1});
