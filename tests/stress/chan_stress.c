/* SPDX-License-Identifier: MIT */
/*
 * Shared channels between plain threads and the tasks of two runtimes: sends, receives, tries,
 * selects, deadlines, cancels, and a close in the midst of it.
 *
 * What was accepted was received, or is still in the channel: the sums agree, whatever raced.
 *
 * usage: chan_stress [ROUNDS]
 */
#include "tests/stress/stress.h"

#define TASKS   6
#define THREADS 2 /* of each kind */

struct arena {
    struct weft_chan *chan;
    atomic_bool is_closed;
    atomic_llong sent;
    atomic_llong received;
    atomic_llong sends;
    atomic_llong receives;
    atomic_uint seed;
};

/* One runtime's part: its tasks draw from one generator, since one worker runs them all. */
struct team {
    struct arena *arena;
    uint64_t random;
    struct weft_chan *local; /* of the runtime alone */
    weft_task tasks[TASKS];
};

static uint64_t arena_seed(struct arena *arena)
{
    return atomic_fetch_add(&arena->seed, 1);
}

static void count_sent(struct arena *arena, int64_t value)
{
    atomic_fetch_add_explicit(&arena->sent, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->sends, 1, memory_order_relaxed);
}

static void count_received(struct arena *arena, int64_t value)
{
    EXPECT(value > 0);
    atomic_fetch_add_explicit(&arena->received, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->receives, 1, memory_order_relaxed);
}

/* ---- plain threads ---- */

static void *thread_sender(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = arena_seed(arena);
    int status = 0;
    while (status != -EPIPE) {
        int64_t value = 1 + stress_random(&random) % 1000;
        bool tries = stress_random(&random) % 4 == 0;
        status =
            tries ? weft_chan_try_send(arena->chan, &value) : weft_chan_send(arena->chan, &value);
        EXPECT(status == 0 || status == -EPIPE || (tries && status == -EAGAIN));
        if (status == 0) count_sent(arena, value);
        stress_delay(&random);
    }
    return NULL;
}

static void *thread_receiver(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = arena_seed(arena);
    int status = 0;
    while (status != -EPIPE) {
        int64_t value = 0;
        bool tries = stress_random(&random) % 4 == 0;
        status =
            tries ? weft_chan_try_recv(arena->chan, &value) : weft_chan_recv(arena->chan, &value);
        EXPECT(status == 0 || status == -EPIPE || (tries && status == -EAGAIN));
        if (status == 0) count_received(arena, value);
        stress_delay(&random);
    }
    return NULL;
}

/* ---- tasks ---- */

/* One operation; 0, or why it failed. */
static int team_step(struct team *team)
{
    struct arena *arena = team->arena;
    int64_t value = 1 + stress_random(&team->random) % 1000;
    int64_t got = 0;
    int64_t local = 0;
    int sent = 0;
    int received = 0;
    int status = 0;
    switch (stress_random(&team->random) % 4) {
    case 0:
        status = weft_chan_send(arena->chan, &value);
        if (status == 0) count_sent(arena, value);
        return status;
    case 1:
        status = weft_chan_recv(arena->chan, &got);
        if (status == 0) count_received(arena, got);
        return status;
    case 2:
        (void)!weft_chan_try_send(team->local, &value);
        return weft_yield();
    }
    status = weft_select(weft_on_send(arena->chan, &value, &sent),
                         weft_on_recv(arena->chan, &got, &received),
                         weft_on_recv(team->local, &local),
                         weft_after(stress_random(&team->random) % 100 * WEFT_USEC));
    if (status == 0 && sent == 0) count_sent(arena, value);
    if (status == 1 && received == 0) count_received(arena, got);
    if (status == 0) return sent;
    if (status == 1) return received;
    return status < 0 ? status : 0;
}

static int team_task(void *arg)
{
    struct team *team = arg;
    int status = 0;
    while (status != -EPIPE && status != -ECANCELED) {
        int64_t timeout = WEFT_FOREVER;
        if (stress_random(&team->random) % 2 == 0) {
            timeout = stress_random(&team->random) % 100 * WEFT_USEC;
        }
        weft_with_timeout(timeout) {
            status = team_step(team);
        }
        EXPECT(status == 0 || status == -EPIPE || status == -ECANCELED || status == -ETIMEDOUT);
    }
    return status;
}

/* Cancels one of its tasks after the other until the channel is closed. */
static int team_root(void *arg)
{
    struct team *team = arg;
    int status = weft_chan_open(&team->local, sizeof(int64_t), 2);
    if (!EXPECT(status == 0)) return status;
    for (int i = 0; i < TASKS; i++) {
        EXPECT(weft_spawn(&team->tasks[i], team_task, team) == 0);
    }
    while (!atomic_load(&team->arena->is_closed)) {
        int result = 0;
        unsigned which = stress_random(&team->random) % TASKS;
        EXPECT(weft_sleep(stress_random(&team->random) % 200 * WEFT_USEC) == 0);
        EXPECT(weft_cancel(team->tasks[which]) == 0);
        EXPECT(weft_join(team->tasks[which], &result) == 0);
        EXPECT(result == -ECANCELED || result == -EPIPE);
        EXPECT(weft_spawn(&team->tasks[which], team_task, team) == 0);
    }
    for (int i = 0; i < TASKS; i++) {
        int result = 0;
        EXPECT(weft_join(team->tasks[i], &result) == 0);
        EXPECT(result == -EPIPE);
    }
    weft_chan_unref(team->local);
    return 0;
}

static void *team_thread(void *arg)
{
    struct team *team = arg;
    team->random = arena_seed(team->arena);
    EXPECT(weft_run(NULL, team_root, team) == 0);
    return NULL;
}

static void run_round(size_t capacity, unsigned round)
{
    struct arena arena = {.chan = stress_chan(capacity)};
    struct team teams[2] = {{.arena = &arena}, {.arena = &arena}};
    pthread_t threads[2 + 2 * THREADS];
    uint64_t random = round;
    atomic_init(&arena.seed, round * 100);
    for (int i = 0; i < 2; i++) {
        threads[i] = stress_thread(team_thread, &teams[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        threads[2 + 2 * i] = stress_thread(thread_sender, &arena);
        threads[3 + 2 * i] = stress_thread(thread_receiver, &arena);
    }

    stress_sleep_us(500 + stress_random(&random) % 4000);
    EXPECT(weft_chan_close(arena.chan) == 0);
    EXPECT(weft_chan_close(arena.chan) == -EPIPE);
    atomic_store(&arena.is_closed, true);

    for (int i = 0; i < 2 + 2 * THREADS; i++) {
        stress_join(threads[i]);
    }
    int64_t left = 0;
    while (weft_chan_try_recv(arena.chan, &left) == 0) {
        count_received(&arena, left);
    }
    EXPECT(atomic_load(&arena.sent) == atomic_load(&arena.received));
    EXPECT(atomic_load(&arena.sends) == atomic_load(&arena.receives));
    weft_chan_unref(arena.chan);
}

/* ---- two selects, one rendezvous ---- */

struct facing {
    struct weft_chan *to;
    struct weft_chan *from;
    int rounds;
    int64_t sent;
    int64_t received;
    uint64_t random;
};

static int facing_root(void *arg)
{
    struct facing *facing = arg;
    for (int i = 0; i < facing->rounds; i++) {
        int64_t value = -1;
        int index = weft_select(weft_on_send(facing->to, &facing->sent),
                                weft_on_recv(facing->from, &value));
        if (!EXPECT(index == 0 || index == 1)) return 0;
        if (index == 0) {
            facing->sent++;
        } else {
            EXPECT(value == facing->received);
            facing->received++;
        }
        stress_delay(&facing->random);
    }
    return 0;
}

static void *facing_thread(void *arg)
{
    EXPECT(weft_run(NULL, facing_root, arg) == 0);
    return NULL;
}

static void run_facing(int rounds)
{
    struct weft_chan *there = stress_chan(0);
    struct weft_chan *back = stress_chan(0);
    struct facing left = {.to = there, .from = back, .rounds = rounds, .random = 1};
    struct facing right = {.to = back, .from = there, .rounds = rounds, .random = 2};
    pthread_t threads[] = {stress_thread(facing_thread, &left),
                           stress_thread(facing_thread, &right)};
    stress_join(threads[0]);
    stress_join(threads[1]);
    EXPECT(left.sent == right.received);
    EXPECT(right.sent == left.received);
    weft_chan_unref(there);
    weft_chan_unref(back);
}

/* ---- memory handed over ---- */

/* Each value is the address of plain memory that only its holder touches. */
static void *thread_handing_on(void *arg)
{
    struct weft_chan *chan = arg;
    int64_t address = 0;
    while (weft_chan_recv(chan, &address) == 0) {
        int *count = (int *)(intptr_t)address;
        (*count)++;
        if (weft_chan_send(chan, &address) != 0) {
            free(count);
            break;
        }
    }
    return NULL;
}

static int task_handing_on(void *arg)
{
    struct weft_chan *chan = arg;
    for (int i = 0; i < 1000; i++) {
        int64_t address = 0;
        int status = weft_chan_recv(chan, &address);
        if (status < 0) return 0;
        (*(int *)(intptr_t)address)++;
        if (!EXPECT(weft_chan_send(chan, &address) == 0)) free((void *)(intptr_t)address);
    }
    return 0;
}

static void run_handing_on(void)
{
    struct weft_chan *chan = stress_chan(2);
    for (int i = 0; i < 2; i++) {
        int64_t address = (intptr_t)calloc(1, sizeof(int));
        EXPECT(address != 0);
        EXPECT(weft_chan_send(chan, &address) == 0);
    }
    pthread_t threads[] = {stress_thread(thread_handing_on, chan),
                           stress_thread(thread_handing_on, chan)};
    EXPECT(weft_run(NULL, task_handing_on, chan) == 0);
    EXPECT(weft_chan_close(chan) == 0);
    stress_join(threads[0]);
    stress_join(threads[1]);
    int64_t address = 0;
    while (weft_chan_try_recv(chan, &address) == 0) {
        free((void *)(intptr_t)address);
    }
    weft_chan_unref(chan);
}

int main(int argc, char **argv)
{
    static const size_t capacities[] = {0, 1, 7};
    int rounds = stress_rounds(argc, argv, 60);

    for (int i = 0; i < rounds; i++) {
        run_round(capacities[i % 3], (unsigned)i);
    }
    stress_report("shared channels lose and double nothing");
    run_facing(rounds * 100);
    stress_report("selects of two runtimes meet");
    for (int i = 0; i < rounds; i++) {
        run_handing_on();
    }
    stress_report("memory goes along with its address");
    return stress_end();
}
