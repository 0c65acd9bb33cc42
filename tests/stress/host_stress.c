/* SPDX-License-Identifier: MIT */
/*
 * Runtimes that are attached to a host's loop and leave it while other threads post, spawn, and
 * serve shared channels.
 *
 * A call that said 0 has had its effect exactly once when weft_detach_loop() has returned, and a
 * task that cleans up during the detach is still woken by other threads.
 *
 * usage: host_stress [ROUNDS]
 */
#include "conformance/hosts/host.h"
#include "tests/stress/stress.h"

#define THREADS 3
#define CALLS   200 /* of one thread, per runtime */

struct life {
    void *loop;
    struct weft_runtime *runtime;
    struct weft_chan *chan; /* shared: from a thread to the task that cleans up */
    atomic_int posts_accepted;
    atomic_int posts_ran;
    atomic_int spawns_accepted;
    atomic_int spawns_ran;
    int values;
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
    return weft_sleep(50 * WEFT_USEC);
}

static void *attack(void *arg)
{
    struct attacker *attacker = arg;
    struct life *life = attacker->life;
    for (int i = 0; i < CALLS; i++) {
        int status = 0;
        if (stress_random(&attacker->random) % 4 == 0) {
            status = weft_runtime_spawn(life->runtime, NULL, NULL, spawn_ran, life);
            if (status == 0) atomic_fetch_add(&life->spawns_accepted, 1);
        } else {
            attacker->posts[i] = (struct weft_post){.fn = post_ran, .arg = life};
            status = weft_post(life->runtime, &attacker->posts[i]);
            if (status == 0) atomic_fetch_add(&life->posts_accepted, 1);
        }
        EXPECT(status == 0 || status == -ESRCH);
        stress_delay(&attacker->random);
    }
    return NULL;
}

static void *serve(void *arg)
{
    struct life *life = arg;
    int value = 0;
    while (weft_chan_send(life->chan, &value) == 0)
        value++;
    return NULL;
}

/* Receives also while it is cancelled: the detach waits for it. */
static int receive(void *arg)
{
    struct life *life = arg;
    int value = 0;
    while (weft_chan_recv(life->chan, &value) == 0)
        life->values++;
    weft_shielded
    {
        for (int i = 0; i < 20; i++) {
            EXPECT(weft_chan_recv(life->chan, &value) == 0);
            life->values++;
        }
    }
    EXPECT(weft_chan_close(life->chan) == 0);
    return 0;
}

static void stop_loop(void *arg)
{
    host_adapter.stop(arg);
}

static bool open_life(struct life *life, void *loop)
{
    *life = (struct life){.loop = loop};
    int status = host_adapter.attach(loop, &life->runtime, NULL);
    if (status == -ENOTSUP) return false; /* asserted by the rows of host mode */
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.shared = 1;
    options.value_size = sizeof(int);
    EXPECT(weft_chan_open_with(&life->chan, &options) == 0);
    EXPECT(weft_runtime_ref(life->runtime) == 0);
    EXPECT(weft_runtime_spawn(life->runtime, NULL, NULL, receive, life) == 0);
    return EXPECT(status == 0);
}

static bool run_life(void *loop, unsigned round)
{
    static struct attacker attackers[THREADS];
    struct life life;
    if (!open_life(&life, loop)) return false;
    pthread_t threads[THREADS];
    pthread_t server = stress_thread(serve, &life);
    for (int i = 0; i < THREADS; i++) {
        attackers[i].life = &life;
        attackers[i].random = round * 10 + (unsigned)i;
        threads[i] = stress_thread(attack, &attackers[i]);
    }

    EXPECT(host_adapter.timer_start(loop, (int)(round % 3), stop_loop, loop) != NULL);
    host_adapter.run(loop);
    EXPECT(host_adapter.detach(loop, life.runtime) == 0);

    for (int i = 0; i < THREADS; i++) {
        stress_join(threads[i]);
    }
    stress_join(server);
    EXPECT(atomic_load(&life.posts_ran) == atomic_load(&life.posts_accepted));
    EXPECT(atomic_load(&life.spawns_ran) == atomic_load(&life.spawns_accepted));
    EXPECT(life.values >= 20);
    weft_chan_unref(life.chan);
    EXPECT(weft_runtime_unref(life.runtime) == 0);
    return true;
}

int main(int argc, char **argv)
{
    int rounds = stress_rounds(argc, argv, 100);
    void *loop = host_adapter.open();
    EXPECT(loop != NULL);
    for (int round = 0; round < rounds && run_life(loop, (unsigned)round); round++) {
        host_adapter.run_nowait(loop);
    }
    EXPECT(host_adapter.close(loop));
    stress_report("a detach loses nothing that other threads have handed over");
    return stress_end();
}
