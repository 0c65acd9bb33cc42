/* SPDX-License-Identifier: MIT */
/*
 * MT-20, second half: what a task owns when it has really continued on another worker
 * (WEFT_MIGRATABLE): stack memory, errno, local values, deferred calls, scopes with their
 * deadlines, children, channels, descriptors. And deadlines that others move meanwhile: MT-27.
 */
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/runtime/mt_support.h"

#define VOYAGERS 6

struct voyage {
    atomic_int moved; /* how many have seen themselves on another worker */
    atomic_int deferred;
    atomic_int children;
    atomic_int done;
    struct weft_chan *chan; /* of the first worker */
};

static struct weft_local_key own_key;

static void spin_us(int64_t microseconds)
{
    int64_t end = harness_now_ns() + microseconds * 1000;
    while (harness_now_ns() < end) {
        (void)harness_now_ns();
    }
}

/* Computes in slices until two tasks have seen themselves on another worker: true; false when that
 * never is, or the task is called back. */
static bool travel(struct voyage *voyage)
{
    unsigned start = weft_worker_index();
    int64_t limit = harness_now_ns() + 10 * NS_PER_SEC * harness_pace();
    bool is_counted = false;
    while (atomic_load(&voyage->moved) < 2 && harness_now_ns() < limit) {
        spin_us(20);
        if (weft_yield() < 0) return false;
        if (is_counted || weft_worker_index() == start) continue;
        is_counted = true;
        count_up(&voyage->moved);
    }
    return atomic_load(&voyage->moved) >= 2;
}

static weft_task spawn_migratable(struct weft_scope *scope, weft_fn fn, void *arg)
{
    weft_task task = {0, NULL};
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.placement = WEFT_MIGRATABLE;
    int status = scope ? weft_scope_spawn_with(scope, &task, &options, fn, arg)
                       : weft_spawn_with(&task, &options, fn, arg);
    CHECK_EQ(status, 0);
    return task;
}

static int run_voyage(unsigned workers, weft_fn root, struct voyage *voyage)
{
    if (own_key.number == 0) CHECK_EQ(weft_local_open(&own_key, NULL), 0);
    return run_with(workers, root, voyage);
}

/* ---- what it owns ---- */

static void note_deferred(void *arg)
{
    count_up(arg);
}

static int keep_across_moves(void *arg)
{
    static atomic_int numbers;
    struct voyage *voyage = arg;
    int own = atomic_fetch_add(&numbers, 1) % 100 + 1;
    volatile unsigned char memory[3000];
    memset((void *)(uintptr_t)memory, own, sizeof memory);
    CHECK_EQ(weft_local_set(own_key, (void *)(uintptr_t)&memory[0]), 0);
    CHECK_EQ(weft_defer(note_deferred, &voyage->deferred), 0);
    weft_set_errno(own);
    CHECK(travel(voyage));
    CHECK_EQ(weft_errno(), own);
    CHECK_PTR(weft_local_get(own_key), (void *)(uintptr_t)&memory[0]);
    for (size_t i = 0; i < sizeof memory; i++) {
        if (!CHECK_EQ(memory[i], own)) break;
    }
    return own;
}

static int root_of_keepers(void *arg)
{
    struct voyage *voyage = arg;
    weft_task tasks[VOYAGERS];
    for (int i = 0; i < VOYAGERS; i++) {
        tasks[i] = spawn_migratable(NULL, keep_across_moves, voyage);
    }
    for (int i = 0; i < VOYAGERS; i++) {
        CHECK(join_result(tasks[i]) > 0);
    }
    return 0;
}

MT_TEST(mt, 20b_a_task_that_has_moved_keeps_what_it_owns)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_voyage(workers, root_of_keepers, &voyage), 0);
    CHECK(atomic_load(&voyage.moved) >= 2);
    CHECK_EQ(atomic_load(&voyage.deferred), VOYAGERS);
}

/* ---- scopes, deadlines, children ---- */

static int child_of_a_voyager(void *arg)
{
    struct voyage *voyage = arg;
    CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    count_up(&voyage->children);
    return 0;
}

/* A deadline that was set before the move, one that is set after it, and children of both times. */
static int expire_after_moves(void *arg)
{
    struct voyage *voyage = arg;
    struct weft_scope outer;
    struct weft_scope inner;
    CHECK_EQ(weft_scope_open(&outer), 0);
    CHECK_EQ(weft_scope_open(&inner), 0);
    CHECK_EQ(weft_scope_spawn(&outer, NULL, child_of_a_voyager, voyage), 0);
    CHECK_EQ(weft_scope_set_deadline(&inner, weft_now() + WEFT_HOUR), 0);
    CHECK(travel(voyage));
    CHECK_EQ(weft_scope_set_deadline(&inner, weft_now() + WEFT_MSEC), 0);
    CHECK_EQ(weft_sleep(WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&inner), -ETIMEDOUT);
    CHECK_EQ(weft_scope_spawn(&outer, NULL, child_of_a_voyager, voyage), 0);
    CHECK_EQ(weft_scope_close(&outer), 0);
    return 0;
}

/* The deadline passes on its own, while the task computes and moves. */
static int expire_on_the_way(void *arg)
{
    struct voyage *voyage = arg;
    int64_t start = weft_now();
    weft_with_timeout(50 * WEFT_MSEC) {
        (void)travel(voyage);
        int status = 0;
        while ((status = weft_yield()) == 0)
            spin_us(20);
        CHECK_EQ(status, -ETIMEDOUT);
        CHECK(weft_now() - start >= 50 * WEFT_MSEC);
    }
    CHECK_EQ(weft_yield(), 0);
    return 0;
}

static int root_of_scopes(void *arg)
{
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < VOYAGERS; i++) {
        weft_fn fn = i % 2 ? expire_after_moves : expire_on_the_way;
        (void)spawn_migratable(&scope, fn, arg);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 20c_deadlines_and_children_go_with_a_task_that_moves)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_voyage(workers, root_of_scopes, &voyage), 0);
    CHECK(atomic_load(&voyage.moved) >= 2);
    CHECK_EQ(atomic_load(&voyage.children), VOYAGERS / 2 * 2);
}

/* ---- cancel, join, channels, descriptors ---- */

static int travel_until_cancelled(void *arg)
{
    struct voyage *voyage = arg;
    (void)travel(voyage);
    count_up(&voyage->done);
    int status = 0;
    while ((status = weft_yield()) == 0)
        spin_us(20);
    CHECK_EQ(status, -ECANCELED);
    return 7;
}

static int root_of_cancelled(void *arg)
{
    struct voyage *voyage = arg;
    weft_task tasks[VOYAGERS];
    for (int i = 0; i < VOYAGERS; i++) {
        tasks[i] = spawn_migratable(NULL, travel_until_cancelled, voyage);
    }
    while (atomic_load(&voyage->done) < VOYAGERS)
        CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    for (int i = 0; i < VOYAGERS; i++) {
        CHECK_EQ(weft_cancel(tasks[i]), 0);
    }
    for (int i = 0; i < VOYAGERS; i++) {
        CHECK_EQ(join_result(tasks[i]), 7);
    }
    return 0;
}

MT_TEST(mt, 20d_a_task_that_has_moved_is_cancelled_and_joined)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_voyage(workers, root_of_cancelled, &voyage), 0);
    CHECK(atomic_load(&voyage.moved) >= 2);
}

/* Its channel is of the worker where it was opened; its descriptors are used where it is. */
static int talk_after_moves(void *arg)
{
    struct voyage *voyage = arg;
    int ends[2];
    int64_t value = 42;
    int64_t back = 0;
    char byte = 0;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    CHECK_EQ(weft_write(ends[0], "a", 1), 1);
    CHECK(travel(voyage));
    CHECK_EQ(weft_read(ends[1], &byte, 1), 1);
    CHECK_EQ(byte, 'a');
    weft_with_timeout(WEFT_MSEC) {
        CHECK_EQ(weft_read(ends[1], &byte, 1), -ETIMEDOUT);
    }
    CHECK_EQ(weft_chan_send(voyage->chan, &value), 0);
    int winner = weft_select(weft_on_recv(voyage->chan, &back), weft_after(WEFT_HOUR));
    CHECK_EQ(winner, 0);
    CHECK_EQ(back, 42);
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(weft_read(ends[1], &byte, 1), 0);
    CHECK_EQ(weft_close(ends[1]), 0);
    return 0;
}

static int root_of_talkers(void *arg)
{
    struct voyage *voyage = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_chan_open(&voyage->chan, sizeof(int64_t), VOYAGERS), 0);
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < VOYAGERS; i++) {
        (void)spawn_migratable(&scope, talk_after_moves, voyage);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    weft_chan_unref(voyage->chan);
    return 0;
}

MT_TEST(mt, 20e_a_task_that_has_moved_talks_over_channels_and_descriptors)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_voyage(workers, root_of_talkers, &voyage), 0);
    CHECK(atomic_load(&voyage.moved) >= 2);
}

/* ---- those that stay ---- */

static int stay_and_compute(void *arg)
{
    unsigned start = weft_worker_index();
    (void)arg;
    for (int i = 0; i < 200; i++) {
        spin_us(20);
        CHECK_EQ(weft_yield(), 0);
        if (!CHECK_EQ(weft_worker_index(), start)) break;
    }
    return 0;
}

static int root_of_settled(void *arg)
{
    struct voyage *voyage = arg;
    weft_task tasks[VOYAGERS];
    for (int i = 0; i < VOYAGERS; i++) {
        if (i % 2) {
            tasks[i] = spawn_migratable(NULL, keep_across_moves, voyage);
        } else {
            CHECK_EQ(weft_spawn(&tasks[i], stay_and_compute, NULL), 0);
        }
    }
    for (int i = 0; i < VOYAGERS; i++) {
        CHECK(join_result(tasks[i]) >= 0);
    }
    return 0;
}

MT_TEST(mt, 20f_others_stay_where_they_started)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_voyage(workers, root_of_settled, &voyage), 0);
}

/* ---- deadlines that others move meanwhile ---- */

struct toss {
    struct voyage *voyage;
    struct weft_scope scope;
    atomic_int is_open;
    atomic_int has_arrived;
    atomic_int slices; /* that it has had */
    atomic_int *is_over;
};

/* No task moves from shuffled queues. */
static int run_virtual_voyage(unsigned workers, weft_fn root, void *arg)
{
    harness_needs_order();
    return run_virtual_with(workers, root, arg);
}

static int travel_tossed(void *arg)
{
    struct toss *toss = arg;
    CHECK_EQ(weft_scope_open_timeout(&toss->scope, WEFT_HOUR), 0);
    count_up(&toss->is_open);
    CHECK(travel(toss->voyage));
    count_up(&toss->has_arrived);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&toss->scope), -ETIMEDOUT);
    return 0;
}

/* Off, away, and near at last. */
static int toss_one(void *arg)
{
    struct toss *toss = arg;
    for (int i = 0; atomic_load(&toss->has_arrived) == 0; i++) {
        if (atomic_load(&toss->is_open)) {
            int64_t deadline_ns = i % 3 == 0 ? WEFT_FOREVER : weft_now() + WEFT_HOUR;
            CHECK_EQ(weft_scope_set_deadline(&toss->scope, deadline_ns), 0);
        }
        spin_us(10);
        if (!CHECK_EQ(weft_yield(), 0)) break;
    }
    CHECK_EQ(weft_scope_set_deadline(&toss->scope, weft_now() + WEFT_SEC), 0);
    return 0;
}

static int root_of_tossed(void *arg)
{
    static struct toss tosses[VOYAGERS];
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < VOYAGERS; i++) {
        tosses[i] = (struct toss){.voyage = arg};
        (void)spawn_migratable(&scope, travel_tossed, &tosses[i]);
    }
    for (int i = 0; i < VOYAGERS / 2; i++) {
        (void)spawn_spread(&scope, toss_one, &tosses[i]);
    }
    for (int i = VOYAGERS / 2; i < VOYAGERS; i++) {
        (void)spawn_migratable(&scope, toss_one, &tosses[i]); /* they move themselves */
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 27j_a_deadline_is_moved_while_its_owner_moves)
{
    struct voyage voyage = {.chan = NULL};
    CHECK_EQ(run_virtual_voyage(workers, root_of_tossed, &voyage), 0);
    CHECK(atomic_load(&voyage.moved) >= 2);
}

/* The deadline lies ahead, and is gone, or lies further ahead, when it is over. */
static int travel_slice_by_slice(void *arg)
{
    struct toss *toss = arg;
    CHECK_EQ(weft_scope_open_timeout(&toss->scope, WEFT_HOUR), 0);
    count_up(&toss->is_open);
    while (atomic_load(toss->is_over) == 0) {
        spin_us(20);
        atomic_fetch_add(&toss->slices, 1);
        if (!CHECK_EQ(weft_yield(), 0)) break;
    }
    CHECK_EQ(weft_sleep(2 * WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_close(&toss->scope), 0);
    return 0;
}

/* Has one of them stood still while those that have not had many slices? The caller's worker and
 * all but the first one compute: who is sent there does not arrive. */
static bool is_one_on_its_way(struct toss *tosses)
{
    int before[VOYAGERS];
    int passed_max = 0;
    int passed_min = INT_MAX;
    for (int i = 0; i < VOYAGERS; i++) {
        before[i] = atomic_load(&tosses[i].slices);
    }
    spin_us(5000);
    for (int i = 0; i < VOYAGERS; i++) {
        int passed = atomic_load(&tosses[i].slices) - before[i];
        if (passed > passed_max) passed_max = passed;
        if (passed < passed_min) passed_min = passed;
    }
    return passed_min == 0 && passed_max > 10;
}

struct catcher {
    struct toss *tosses;
    atomic_int *started;
    atomic_int *is_over;
    int64_t after_ns; /* when the new deadline shall be; WEFT_FOREVER: never; 0: keeps its worker */
};

static int catch_on_the_way(void *arg)
{
    struct catcher *catcher = arg;
    count_up(catcher->started);
    if (catcher->after_ns == 0) {
        CHECK(compute_until(catcher->is_over, 1));
        return 0;
    }
    for (int i = 0; i < VOYAGERS; i++) {
        CHECK(compute_until(&catcher->tosses[i].is_open, 1));
    }
    int64_t limit = harness_now_ns() + 4 * NS_PER_SEC * harness_pace();
    while (!is_one_on_its_way(catcher->tosses)) {
        if (!CHECK(harness_now_ns() < limit)) break;
    }
    for (int i = 0; i < VOYAGERS; i++) {
        int64_t deadline_ns = WEFT_FOREVER;
        if (catcher->after_ns != WEFT_FOREVER) deadline_ns = weft_now() + catcher->after_ns;
        CHECK_EQ(weft_scope_set_deadline(&catcher->tosses[i].scope, deadline_ns), 0);
    }
    count_up(catcher->is_over);
    return 0;
}

static int root_of_caught(void *arg)
{
    static struct toss tosses[VOYAGERS];
    struct catcher catchers[4];
    struct weft_scope scope;
    int workers = (int)weft_worker_count();
    atomic_int started = 0;
    atomic_int is_over = 0;
    const int64_t *after_ns = arg;
    for (int i = 0; i < VOYAGERS; i++) {
        tosses[i] = (struct toss){.is_over = &is_over};
    }
    CHECK_EQ(weft_scope_open(&scope), 0);
    (void)spawn_spread(&scope, do_nothing, NULL); /* the first one comes here */
    for (int i = 1; i < workers; i++) {
        catchers[i] = (struct catcher){tosses, &started, &is_over, i == 1 ? *after_ns : 0};
        (void)spawn_spread(&scope, catch_on_the_way, &catchers[i]);
    }
    CHECK(compute_until(&started, workers - 1)); /* nobody is idle and takes what has not started */
    for (int i = 0; i < VOYAGERS; i++) {
        (void)spawn_migratable(&scope, travel_slice_by_slice, &tosses[i]);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 27k_a_deadline_is_taken_away_while_its_owner_is_on_its_way_here)
{
    int64_t after_ns = WEFT_FOREVER;
    CHECK_EQ(run_virtual_voyage(workers, root_of_caught, &after_ns), 0);
}

MT_TEST(mt, 27l_or_put_off)
{
    int64_t after_ns = 3 * WEFT_HOUR;
    CHECK_EQ(run_virtual_voyage(workers, root_of_caught, &after_ns), 0);
}
