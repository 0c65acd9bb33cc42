/* SPDX-License-Identifier: MIT */
/*
 * The scenarios. A root task opens a scope, does its part, cancels the rest if a call failed, and
 * returns the first error; without one it checks that everything was done.
 */
#include "tests/faults/scenarios.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <weft/weft.h>

#include "tests/faults/wrap.h"

int run_root(weft_fn root, void *arg, unsigned flags)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_DEADLOCK_REPORT | WEFT_NO_ENVIRONMENT | flags;
    config.seed = 7;
    config.grace_ns = WEFT_SEC;
    return weft_run(&config, root, arg);
}

int finish(struct weft_scope *scope, int result)
{
    if (result < 0) (void)weft_scope_cancel(scope); /* it is open */
    int closed = weft_scope_close(scope);
    return result < 0 ? result : closed;
}

/* ---- nothing ---- */

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_nothing(void)
{
    return run_root(does_nothing, NULL, 0);
}

/* ---- spawn ---- */

#define SPAWNS 20

struct spawns {
    int started;
    int ran;
    int dropped;
};

struct big {
    struct spawns *spawns;
    unsigned char bytes[200];
};

static int spawned(void *arg)
{
    struct spawns *spawns = arg;
    spawns->ran++;
    return 0;
}

static int spawned_big(void *arg)
{
    const struct big *big = arg;
    big->spawns->ran++;
    return big->bytes[199] == 199 ? 0 : WRONG;
}

static void drop(void *arg)
{
    struct spawns *spawns = arg;
    spawns->dropped++;
}

static int spawn_one(struct spawns *spawns, int number, weft_task *ret)
{
    if (number % 3 == 0) {
        struct big big = {.spawns = spawns};
        big.bytes[199] = 199;
        return weft_spawn_copy_at(ret, NULL, spawned_big, &big, sizeof big, "faults");
    }
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = "spawned";
    options.stack_size = number % 3 == 1 ? (size_t)(64 + 4 * number) << 10 : 0;
    options.on_drop = drop;
    return weft_spawn_with(ret, &options, spawned, spawns);
}

static int spawn_root(void *arg)
{
    struct spawns *spawns = arg;
    int first_error = 0;
    weft_task tasks[SPAWNS];
    int count = 0;
    while (count < SPAWNS) {
        first_error = spawn_one(spawns, count, &tasks[count]);
        if (first_error < 0) break;
        count++;
    }
    spawns->started = count;
    int unheard = 0; /* dropped without on_drop: those with big arguments */
    for (int i = 0; i < count; i++) {
        int result = 0;
        int joined = weft_join(tasks[i], &result);
        if (joined < 0 || result == WRONG) return WRONG;
        if (result < 0 && i % 3 == 0) unheard++;
        if (result < 0 && first_error == 0) first_error = result;
    }
    return spawns->ran + spawns->dropped + unheard == count ? first_error : WRONG;
}

static int run_spawn(void)
{
    struct spawns spawns = {0};
    int result = run_root(spawn_root, &spawns, 0);
    return result == 0 && spawns.ran != SPAWNS ? WRONG : result;
}

/* ---- channels ---- */

#define SENDS 10

struct pipeline {
    struct weft_chan *chans[3];
    int sum;
    int drops;
};

static int sends_all(void *arg)
{
    struct pipeline *pipeline = arg;
    for (int i = 1; i <= SENDS; i++) {
        for (int k = 0; k < 3; k++) {
            int result = weft_chan_send(pipeline->chans[k], &i);
            if (result < 0) return result;
        }
    }
    return 0;
}

static int receives_all(void *arg)
{
    struct pipeline *pipeline = arg;
    for (int i = 1; i <= SENDS; i++) {
        for (int k = 0; k < 3; k++) {
            int value = 0;
            int result = weft_chan_recv(pipeline->chans[k], &value);
            if (result < 0) return result;
            if (value != i) return WRONG;
            pipeline->sum += value;
        }
    }
    return 0;
}

static void count_drop(void *value, void *arg)
{
    (void)value;
    ++*(int *)arg;
}

static int open_chans(struct pipeline *pipeline)
{
    for (int k = 0; k < 3; k++) {
        struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
        options.value_size = sizeof(int);
        options.capacity = (size_t)(4 * k);
        options.shared = k == 1;
        options.drop = count_drop;
        options.drop_arg = &pipeline->drops;
        int result = weft_chan_open_with(&pipeline->chans[k], &options);
        if (result < 0) return result;
    }
    return 0;
}

static int chan_root(void *arg)
{
    struct pipeline *pipeline = arg;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    result = open_chans(pipeline);
    if (result == 0) result = weft_scope_spawn(&scope, NULL, sends_all, pipeline);
    if (result == 0) result = weft_scope_spawn(&scope, NULL, receives_all, pipeline);
    result = finish(&scope, result);

    int left = 0;
    if (result == 0) {
        left = weft_chan_try_send(pipeline->chans[2], &left) == 0;
        (void)weft_chan_close(pipeline->chans[0]);
    }
    int drops_before = pipeline->drops;
    for (int k = 0; k < 3; k++)
        weft_chan_unref(pipeline->chans[k]);
    if (result == 0 && pipeline->drops - drops_before != left) return WRONG;
    return result;
}

static int run_chan(void)
{
    struct pipeline pipeline = {0};
    int result = run_root(chan_root, &pipeline, 0);
    return result == 0 && pipeline.sum != 3 * SENDS * (SENDS + 1) / 2 ? WRONG : result;
}

/* ---- select ---- */

#define CASES 64

struct choices {
    struct weft_chan *chans[CASES];
    int fds[2];
    int got;
};

static int feeds(void *arg)
{
    struct choices *choices = arg;
    for (int i = 0; i < CASES - 2; i += 7) {
        int result = weft_chan_send(choices->chans[i], &i);
        if (result < 0) return result;
    }
    return write(choices->fds[1], "x", 1) == 1 ? 0 : WRONG;
}

static int selects(struct choices *choices)
{
    int value = 0;
    struct weft_case cases[CASES];
    for (int i = 0; i < CASES - 2; i++)
        cases[i] = weft_on_recv(choices->chans[i], &value);
    cases[CASES - 2] = weft_on_readable(choices->fds[0]);
    cases[CASES - 1] = weft_after(WEFT_MINUTE);
    for (;;) {
        int won = weft_select_from(cases, CASES, 0);
        if (won < 0) return won;
        if (won == CASES - 2) return 0;
        if (won == CASES - 1 || won != value) return WRONG;
        choices->got++;
    }
}

static int select_root(void *arg)
{
    struct choices *choices = arg;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    for (int i = 0; i < CASES && result == 0; i++)
        result = weft_chan_open(&choices->chans[i], sizeof(int), 0);
    if (result == 0) result = weft_scope_spawn(&scope, NULL, feeds, choices);
    if (result == 0) result = selects(choices);
    result = finish(&scope, result);
    for (int i = 0; i < CASES; i++)
        weft_chan_unref(choices->chans[i]);
    if (weft_release(choices->fds[0]) == -EOWNERDEAD) return WRONG;
    return result;
}

static int run_select(void)
{
    struct choices choices = {0};
    if (pipe(choices.fds) < 0) return WRONG;
    int result = run_root(select_root, &choices, 0);
    (void)close(choices.fds[0]); /* nothing was written that could be lost */
    (void)close(choices.fds[1]);
    return result == 0 && choices.got != (CASES - 2 + 6) / 7 ? WRONG : result;
}

/* ---- scopes ---- */

static int child(void *arg)
{
    struct weft_scope scope;
    int result = weft_scope_open_timeout(&scope, WEFT_HOUR);
    if (result < 0) return result;
    result = weft_scope_spawn(&scope, NULL, does_nothing, arg);
    return finish(&scope, result);
}

static int scope_root(void *arg)
{
    int *ended = arg;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    for (int i = 0; i < 8 && result == 0; i++) {
        weft_task task;
        result = weft_scope_spawn(&scope, &task, child, NULL);
    }
    while (result == 0) {
        weft_task task;
        int status = 0;
        result = weft_scope_next(&scope, &task, &status);
        if (result == 0 && status < 0) result = status;
        if (result == 0) ++*ended;
    }
    return finish(&scope, result == -ESRCH ? 0 : result);
}

static int run_scope(void)
{
    int ended = 0;
    int result = run_root(scope_root, &ended, 0);
    return result == 0 && ended != 8 ? WRONG : result;
}

/* ---- time ---- */

static int sleeper(void *arg)
{
    int *woken = arg;
    int result = weft_sleep(WEFT_SEC);
    if (result == 0) ++*woken;
    return result;
}

static int time_root(void *arg)
{
    int *woken = arg;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    for (int i = 0; i < 3 && result == 0; i++)
        result = weft_scope_spawn(&scope, NULL, sleeper, arg);
    result = finish(&scope, result);
    if (result < 0) return result;

    weft_with_timeout_into(&result, WEFT_SEC) {
        if (weft_sleep(WEFT_MINUTE) != -ETIMEDOUT) *woken = -1;
    }
    return result == -ETIMEDOUT ? 0 : result;
}

static int run_time(void)
{
    int woken = 0;
    int result = run_root(time_root, &woken, WEFT_VIRTUAL_CLOCK);
    return result == 0 && woken != 3 ? WRONG : result;
}

/* ---- task-locals and deferred calls ---- */

static struct weft_local_key local_key;
static int destroyed;

static void destroy(void *value)
{
    destroyed += value == &local_key;
}

static void count_deferred(void *arg)
{
    ++*(int *)arg;
}

static int owns(void *arg)
{
    int *deferred = arg;
    int result = weft_defer(count_deferred, deferred);
    if (result == 0) result = weft_defer(count_deferred, deferred);
    if (result < 0) return result;
    return weft_local_set(local_key, &local_key);
}

static int own_root(void *arg)
{
    if (local_key.number == 0 && weft_local_open(&local_key, destroy) < 0) return WRONG;
    struct weft_scope scope;
    int result = weft_scope_open(&scope);
    if (result < 0) return result;
    for (int i = 0; i < 5 && result == 0; i++)
        result = weft_scope_spawn(&scope, NULL, owns, arg);
    return finish(&scope, result);
}

static int run_own(void)
{
    int deferred = 0;
    destroyed = 0;
    int result = run_root(own_root, &deferred, 0);
    return result == 0 && (deferred != 10 || destroyed != 5) ? WRONG : result;
}

/* ---- other threads ---- */

struct outside {
    struct weft_runtime *runtime;
    struct weft_chan *done;
    struct weft_post post;
    int spawn_result;
    int ran;
};

static int spawned_outside(void *arg)
{
    ((struct outside *)arg)->ran++;
    return 0;
}

static void tell_done(void *arg)
{
    struct outside *outside = arg;
    if (weft_chan_try_send(outside->done, NULL) != 0) outside->spawn_result = WRONG;
}

static void *outside_main(void *arg)
{
    struct outside *outside = arg;
    for (int i = 0; i < 4 && outside->spawn_result == 0; i++) {
        struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
        options.name = "outside";
        outside->spawn_result =
            weft_runtime_spawn(outside->runtime, NULL, &options, spawned_outside, outside);
    }
    (void)weft_post(outside->runtime, &outside->post);
    (void)weft_runtime_unref(outside->runtime);
    return NULL;
}

static int outside_root(void *arg)
{
    struct outside *outside = arg;
    int result = weft_chan_open(&outside->done, 0, 1);
    if (result < 0) return result;
    outside->runtime = weft_runtime_current();
    outside->post = (struct weft_post){.fn = tell_done, .arg = outside};
    (void)weft_runtime_ref(outside->runtime);
    pthread_t thread;
    if (fault_thread(&thread, outside_main, outside) != 0) return WRONG;
    result = weft_chan_recv(outside->done, NULL);
    (void)pthread_join(thread, NULL);
    weft_chan_unref(outside->done);
    return result < 0 ? result : outside->spawn_result;
}

static int run_outside(void)
{
    struct outside outside = {0};
    int result = run_root(outside_root, &outside, 0);
    return result == 0 && outside.ran != 4 ? WRONG : result;
}

/* ---- reports ---- */

static int run_reports(void)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_ENVIRONMENT | WEFT_GUARDS_REQUIRED;
    config.watchdog_ns = WEFT_MINUTE;
    config.dump_signal = SIGUSR2;
    return weft_run(&config, does_nothing, NULL);
}

const struct scenario scenarios[] = {
    {"nothing", run_nothing},
    {"spawn", run_spawn},
    {"chan", run_chan},
    {"select", run_select},
    {"scope", run_scope},
    {"time", run_time},
    {"own", run_own},
    {"outside", run_outside},
    {"reports", run_reports},
    {"echo", run_echo},
    {"pipe", run_pipe},
};
const size_t scenario_count = sizeof scenarios / sizeof *scenarios;
