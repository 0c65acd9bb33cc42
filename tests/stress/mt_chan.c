/* SPDX-License-Identifier: MIT */
/*
 * Channels between the workers of one runtime: values, selects, closes, tries, and an owner that
 * computes instead of attending to them (MT-02, 05, 06, 13; SEL-16 and its neighbours).
 *
 * Nothing is lost, nothing comes twice, and what is handed on is seen by whoever gets it.
 *
 * usage: see tests/stress/mt.h
 */
#include "tests/stress/mt.h"

#define SPREAD 8 /* tasks of a kind: some on each worker */

/* ---- every value once, in its sender's order ---- */

struct pass {
    struct mt *mt;
    struct weft_chan *chan;
    size_t capacity;
    int each; /* values of one sender */
    atomic_uchar *seen;
    atomic_int sending; /* senders at work */
};

struct passer {
    struct pass *pass;
    int sender; /* its number; -1: a receiver */
    uint64_t random;
};

static int pass_send(struct passer *passer)
{
    struct pass *pass = passer->pass;
    for (int i = 0; i < pass->each; i++) {
        int64_t value = (int64_t)passer->sender << 32 | i;
        EXPECT(weft_chan_send(pass->chan, &value) == 0);
        mt_delay(&passer->random);
    }
    if (atomic_fetch_sub(&pass->sending, 1) == 1) EXPECT(weft_chan_close(pass->chan) == 0);
    return 0;
}

static int pass_recv(struct passer *passer)
{
    struct pass *pass = passer->pass;
    int next[SPREAD] = {0};
    int64_t value = 0;
    int status = 0;
    while ((status = weft_chan_recv(pass->chan, &value)) == 0) {
        int sender = (int)(value >> 32);
        int number = (int)(value & INT32_MAX);
        if (!EXPECT(sender >= 0 && sender < SPREAD && number < pass->each)) return 0;
        EXPECT(number >= next[sender]);
        next[sender] = number + 1;
        EXPECT(atomic_fetch_add(&pass->seen[sender * pass->each + number], 1) == 0);
        mt_delay(&passer->random);
    }
    EXPECT(status == -EPIPE);
    return 0;
}

static int pass_task(void *arg)
{
    struct passer *passer = arg;
    return passer->sender < 0 ? pass_recv(passer) : pass_send(passer);
}

static int pass_root(void *arg)
{
    struct pass *pass = arg;
    struct passer passers[2 * SPREAD];
    pass->chan = mt_chan(pass->capacity);
    atomic_init(&pass->sending, SPREAD);
    for (int i = 0; i < 2 * SPREAD; i++) {
        passers[i] = (struct passer){pass, i % 2 ? i / 2 : -1, mt_seed(pass->mt)};
    }
    EXPECT(mt_each(pass_task, passers, 2 * SPREAD, sizeof *passers) == 0);
    weft_chan_unref(pass->chan);
    return 0;
}

static void run_pass(struct mt *mt)
{
    static const size_t capacities[] = {0, 1, 64};
    for (int i = 0; i < 3; i++) {
        struct pass pass = {.mt = mt, .capacity = capacities[i], .each = mt_scale(mt, 3000)};
        size_t count = (size_t)(SPREAD * pass.each);
        pass.seen = calloc(count, sizeof *pass.seen);
        if (!pass.seen) abort();
        mt_run(mt, pass_root, &pass);
        for (size_t j = 0; j < count; j++) {
            if (!EXPECT(atomic_load(&pass.seen[j]) == 1)) break;
        }
        free(pass.seen);
    }
}

/* ---- selects, tries and deadlines over two channels ---- */

/* ANY asks for one thing at a time, BOTH selects over both channels: so somebody is always there
 * for who waits for ever. */
enum role { SEND_ANY, SEND_BOTH, RECV_ANY, RECV_BOTH, SEND_RECV };

struct arena {
    struct mt *mt;
    struct weft_chan *chan[2];
    size_t capacity;
    enum role roles[2];
    int64_t wanted; /* operations, after which both are closed; 0: somebody else closes */
    atomic_llong sent;
    atomic_llong received;
    atomic_llong sends;
    atomic_llong receives;
};

struct player {
    struct arena *arena;
    enum role role;
    uint64_t random;
};

static void arena_close(struct arena *arena)
{
    for (int i = 0; i < 2; i++) {
        int status = weft_chan_close(arena->chan[i]);
        EXPECT(status == 0 || status == -EPIPE);
    }
}

static int count_sent(struct arena *arena, int64_t value, int status)
{
    if (status < 0) return status;
    atomic_fetch_add_explicit(&arena->sent, value, memory_order_relaxed);
    long long before = atomic_fetch_add_explicit(&arena->sends, 1, memory_order_relaxed);
    if (before + 1 == arena->wanted) arena_close(arena);
    return 0;
}

static int count_received(struct arena *arena, int64_t value, int status)
{
    if (status < 0) return status;
    EXPECT(value > 0);
    atomic_fetch_add_explicit(&arena->received, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->receives, 1, memory_order_relaxed);
    return 0;
}

/* One thing at one channel. */
static int player_single(struct player *player, bool sends)
{
    struct arena *arena = player->arena;
    struct weft_chan *chan = arena->chan[stress_random(&player->random) % 2];
    bool tries = stress_random(&player->random) % 4 == 0;
    int64_t value = 1 + stress_random(&player->random) % 1000;
    int64_t got = 0;
    int status = 0;
    if (sends) {
        status = tries ? weft_chan_try_send(chan, &value) : weft_chan_send(chan, &value);
        EXPECT(tries || status != -EAGAIN);
        return count_sent(arena, value, status);
    }
    status = tries ? weft_chan_try_recv(chan, &got) : weft_chan_recv(chan, &got);
    EXPECT(tries || status != -EAGAIN);
    return count_received(arena, got, status);
}

/* A select over both channels, in each direction that the role has, at times with a timer or a
 * default case. */
static int player_select(struct player *player, bool sends, bool receives)
{
    struct arena *arena = player->arena;
    struct weft_case cases[5];
    int64_t values[2];
    int64_t got[2] = {0, 0};
    int status[4] = {0};
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        struct weft_chan *chan = arena->chan[i];
        values[i] = 1 + stress_random(&player->random) % 1000;
        cases[count++] = weft_case_send(sends ? chan : NULL, &values[i], &status[2 * i]);
        cases[count++] = weft_case_recv(receives ? chan : NULL, &got[i], &status[2 * i + 1]);
    }
    unsigned choice = stress_random(&player->random) % 8;
    if (choice == 0) cases[count++] = weft_default();
    if (choice == 1) {
        int64_t duration = stress_random(&player->random) % 50 * WEFT_USEC;
        cases[count++] = weft_case_after(duration, NULL);
    }
    unsigned flags = stress_random(&player->random) % 4 == 0 ? WEFT_ORDERED : 0;
    int index = weft_select_from(cases, count, flags);
    if (index < 0) return index;
    if (!EXPECT(index < (int)count)) return -EINVAL;
    if (index == 4) return -EAGAIN;
    for (int i = 0; i < 4; i++) {
        EXPECT(i == index || status[i] == 0);
    }
    return index % 2 == 0 ? count_sent(arena, values[index / 2], status[index])
                          : count_received(arena, got[index / 2], status[index]);
}

static int player_step(struct player *player)
{
    bool sends = player->role != RECV_ANY && player->role != RECV_BOTH;
    bool receives = player->role != SEND_ANY && player->role != SEND_BOTH;
    bool is_any = player->role == SEND_ANY || player->role == RECV_ANY;
    if (is_any && stress_random(&player->random) % 4 != 0) return player_single(player, sends);
    return player_select(player, sends, receives);
}

static int player_task(void *arg)
{
    struct player *player = arg;
    int status = 0;
    while (status != -EPIPE) {
        bool is_timed = stress_random(&player->random) % 8 == 0;
        int64_t timeout = stress_random(&player->random) % 50 * WEFT_USEC;
        weft_with_timeout(is_timed ? timeout : WEFT_FOREVER) {
            status = player_step(player);
        }
        EXPECT(status == 0 || status == -EPIPE || status == -EAGAIN ||
               (is_timed && status == -ETIMEDOUT));
        mt_delay(&player->random);
    }
    return 0;
}

static int arena_root(void *arg)
{
    struct arena *arena = arg;
    struct player players[2 * SPREAD];
    struct weft_scope scope;
    arena->chan[0] = mt_chan(arena->capacity);
    arena->chan[1] = mt_chan(arena->capacity);
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < 2 * SPREAD; i++) {
        players[i] = (struct player){arena, arena->roles[i % 2], mt_seed(arena->mt)};
        EXPECT(mt_spawn(&scope, NULL, player_task, &players[i]) == 0);
    }
    if (arena->wanted == 0) {
        EXPECT(weft_sleep(stress_random(&arena->mt->random) % 300 * WEFT_USEC) == 0);
        arena_close(arena);
    }
    EXPECT(weft_scope_close(&scope) == 0);

    for (int i = 0; i < 2; i++) {
        int64_t left = 0;
        while (weft_chan_try_recv(arena->chan[i], &left) == 0) {
            count_received(arena, left, 0);
        }
        weft_chan_unref(arena->chan[i]);
    }
    return 0;
}

static void run_arena(struct mt *mt, enum role even, enum role odd, size_t capacity, int64_t wanted)
{
    struct arena arena = {.mt = mt, .roles = {even, odd}, .capacity = capacity, .wanted = wanted};
    mt_run(mt, arena_root, &arena);
    EXPECT(atomic_load(&arena.sends) >= wanted);
    EXPECT(atomic_load(&arena.sent) == atomic_load(&arena.received));
    EXPECT(atomic_load(&arena.sends) == atomic_load(&arena.receives));
}

static void run_selects(struct mt *mt)
{
    int wanted = mt_scale(mt, 10000);
    for (size_t capacity = 0; capacity < 2; capacity++) {
        run_arena(mt, SEND_ANY, RECV_BOTH, capacity, wanted);
        run_arena(mt, SEND_BOTH, RECV_ANY, capacity, wanted);
        run_arena(mt, SEND_BOTH, RECV_BOTH, capacity, wanted);
        run_arena(mt, SEND_RECV, SEND_RECV, capacity, wanted);
    }
}

static void run_closes(struct mt *mt)
{
    static const size_t capacities[] = {0, 1, 7};
    for (int i = mt_scale(mt, 200); i > 0; i--) {
        enum role even = (enum role)(stress_random(&mt->random) % 5);
        enum role odd = (enum role)(stress_random(&mt->random) % 5);
        run_arena(mt, even, odd, capacities[i % 3], 0);
    }
}

/* ---- the worker that opened the channel computes ---- */

struct busy {
    struct weft_chan *chan[3]; /* there, back, and the places of who takes part */
    int rounds;
    atomic_int done;
};

/* Two tasks of other workers play; who sits on the busy one never starts, or finds no place. */
static int busy_task(void *arg)
{
    struct busy *busy = arg;
    int64_t place = 0;
    if (weft_worker_index() == 0) return 0;
    if (weft_chan_try_recv(busy->chan[2], &place) < 0) return 0;
    for (int i = 0; i < busy->rounds; i++) {
        int64_t value = i;
        EXPECT(place == 1 || weft_chan_send(busy->chan[0], &value) == 0);
        EXPECT(weft_chan_recv(busy->chan[place == 1 ? 0 : 1], &value) == 0);
        EXPECT(value == i);
        EXPECT(place == 0 || weft_chan_send(busy->chan[1], &value) == 0);
    }
    /* Release: pairs with mt_spin_until(). */
    atomic_fetch_add_explicit(&busy->done, 1, memory_order_release);
    return 0;
}

static int busy_root(void *arg)
{
    struct busy *busy = arg;
    struct weft_scope scope;
    EXPECT(weft_worker_index() == 0);
    for (int i = 0; i < 3; i++) {
        busy->chan[i] = mt_chan((size_t)i);
    }
    for (int64_t place = 0; place < 2; place++) {
        EXPECT(weft_chan_try_send(busy->chan[2], &place) == 0);
    }
    EXPECT(weft_scope_open(&scope) == 0);
    for (unsigned i = 0; i < 3 * weft_worker_count(); i++) {
        EXPECT(mt_spawn(&scope, NULL, busy_task, busy) == 0);
    }
    mt_spin_until(&busy->done, 2);
    EXPECT(weft_scope_close(&scope) == 0);
    for (int i = 0; i < 3; i++) {
        weft_chan_unref(busy->chan[i]);
    }
    return 0;
}

static void run_busy(struct mt *mt)
{
    for (int i = mt_scale(mt, 20); i > 0; i--) {
        struct busy busy = {.rounds = 100};
        mt_run(mt, busy_root, &busy);
    }
}

/* ---- a ball between two sleepers ---- */

struct rally {
    struct mt *mt;
    struct weft_chan *chan[2];
    int rounds;
};

struct rally_side {
    struct rally *rally;
    int side;
    uint64_t random;
};

/* Computes for a while between its turns, so that the other one is met in each state of going to
 * sleep. */
static int rally_task(void *arg)
{
    struct rally_side *side = arg;
    struct rally *rally = side->rally;
    for (int i = 0; i < rally->rounds; i++) {
        int64_t value = i;
        if (side->side == 0) EXPECT(weft_chan_send(rally->chan[0], &value) == 0);
        if (!EXPECT(weft_chan_recv(rally->chan[!side->side], &value) == 0)) return 0;
        EXPECT(value == i);
        mt_spin(stress_random(&side->random) % 4096);
        if (side->side == 1) EXPECT(weft_chan_send(rally->chan[1], &value) == 0);
    }
    return 0;
}

static int rally_root(void *arg)
{
    struct rally *rally = arg;
    struct rally_side sides[2];
    for (int i = 0; i < 2; i++) {
        rally->chan[i] = mt_chan((size_t)i);
        sides[i] = (struct rally_side){rally, i, mt_seed(rally->mt)};
    }
    EXPECT(mt_each(rally_task, sides, 2, sizeof *sides) == 0);
    weft_chan_unref(rally->chan[0]);
    weft_chan_unref(rally->chan[1]);
    return 0;
}

static void run_rally(struct mt *mt)
{
    struct rally rally = {.mt = mt, .rounds = mt_scale(mt, 30000)};
    mt_run(mt, rally_root, &rally);
}

/* ---- memory handed over ---- */

struct relay {
    struct weft_chan *chan;
    int rounds; /* of each task */
};

/* A value is the address of plain memory that only its holder touches. */
static int relay_task(void *arg)
{
    struct relay *relay = arg;
    for (int i = 0; i < relay->rounds; i++) {
        int64_t address = 0;
        if (!EXPECT(weft_chan_recv(relay->chan, &address) == 0)) return 0;
        (*(int *)(intptr_t)address)++;
        EXPECT(weft_chan_send(relay->chan, &address) == 0);
    }
    return 0;
}

static int relay_root(void *arg)
{
    struct relay *relay = arg;
    int counts[SPREAD / 2] = {0};
    int sum = 0;
    relay->chan = mt_chan(SPREAD / 2);
    for (int i = 0; i < SPREAD / 2; i++) {
        int64_t address = (intptr_t)&counts[i];
        EXPECT(weft_chan_send(relay->chan, &address) == 0);
    }
    EXPECT(mt_each(relay_task, relay, SPREAD, 0) == 0);
    for (int i = 0; i < SPREAD / 2; i++) {
        sum += counts[i];
    }
    EXPECT(sum == SPREAD * relay->rounds);
    weft_chan_unref(relay->chan);
    return 0;
}

static void run_relay(struct mt *mt)
{
    struct relay relay = {.rounds = mt_scale(mt, 5000)};
    mt_run(mt, relay_root, &relay);
}

MT_MAIN({"each value arrives once and in order", run_pass, 1},
        {"selects of several workers meet", run_selects, 1},
        {"a close wakes who waits on other workers", run_closes, 1},
        {"an owner that computes holds up nobody", run_busy, 2},
        {"no wake-up is lost between two sleepers", run_rally, 1},
        {"memory goes along with its address", run_relay, 1});
