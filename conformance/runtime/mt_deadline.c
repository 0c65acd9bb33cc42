/* SPDX-License-Identifier: MIT */
/*
 * A scope's deadline that is moved from another worker than its owner's: MT-27. What happens while
 * the owner moves, too, is in mt_migrate.c.
 */
#include "conformance/runtime/mt_support.h"

#define YIELDS 10 /* each lets the worker look at its inbox and at its timers */

/* The two tasks of a test, on two workers; in turn they wait for each other's steps. */
struct pair {
    struct weft_scope scope; /* opened by the owner */
    int64_t old_ns;          /* its first duration */
    weft_fn owner;
    weft_fn mover;
    int owner_place; /* the owner's worker; the mover is on the next one */
    atomic_int started;
    atomic_int step;
};

struct seat {
    struct pair *pair;
    int place;
};

/* Holds its worker meanwhile, so that nothing that was asked of this one is looked at. */
static void await_step(struct pair *pair, int step)
{
    CHECK(compute_until(&pair->step, step));
}

static void make_step(struct pair *pair)
{
    count_up(&pair->step);
}

/* In `after_ns` from now; WEFT_FOREVER: never. */
static int set_after(struct pair *pair, int64_t after_ns)
{
    int64_t deadline_ns = after_ns == WEFT_FOREVER ? WEFT_FOREVER : weft_now() + after_ns;
    return weft_scope_set_deadline(&pair->scope, deadline_ns);
}

/* What the first of some yields gives that does not give 0. */
static int yield_some(void)
{
    int status = 0;
    for (int i = 0; i < YIELDS && status == 0; i++) {
        status = weft_yield();
    }
    return status;
}

/* One of these starts on each worker before any of them goes on. */
static int take_seat(void *arg)
{
    struct seat *seat = arg;
    struct pair *pair = seat->pair;
    int workers = (int)weft_worker_count();
    CHECK_EQ(weft_worker_index(), (unsigned)seat->place);
    bool is_owner = seat->place == pair->owner_place;
    if (is_owner) CHECK_EQ(weft_scope_open_timeout(&pair->scope, pair->old_ns), 0);
    count_up(&pair->started);
    CHECK(compute_until(&pair->started, workers));
    if (is_owner) return pair->owner(pair);
    return seat->place == (pair->owner_place + 1) % workers ? pair->mover(pair) : 0;
}

static int root_of_pair(void *arg)
{
    struct seat seats[4];
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < (int)weft_worker_count(); i++) {
        seats[i] = (struct seat){arg, i};
        (void)spawn_spread(&scope, take_seat, &seats[i]);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

/* The owner on the first worker, and on the last one. */
static void run_pair(unsigned workers, int64_t old_ns, weft_fn owner, weft_fn mover)
{
    for (int i = 0; i < 2; i++) {
        struct pair pair = {.old_ns = old_ns,
                            .owner = owner,
                            .mover = mover,
                            .owner_place = i == 0 ? 0 : (int)workers - 1};
        CHECK_EQ(run_virtual_with(workers, root_of_pair, &pair), 0);
    }
}

/* ---- the owner sleeps ---- */

struct night {
    struct pair pair; /* the first member */
    int64_t new_ns;
    int64_t sleep_ns; /* of the owner, and of its children on all workers */
    int status;       /* what that gives */
    int64_t end_ns;   /* when it does, if the deadline ends it */
};

static int sleep_in_scope(void *arg)
{
    const struct night *night = arg;
    int64_t start = weft_now();
    CHECK_EQ(weft_sleep(night->sleep_ns), night->status);
    if (night->status == 0) {
        CHECK_LASTED(weft_now() - start, night->sleep_ns);
    } else {
        CHECK_LASTED(weft_now(), night->end_ns);
    }
    return 0;
}

static int sleep_as_owner(void *arg)
{
    struct night *night = arg;
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        (void)spawn_spread(&night->pair.scope, sleep_in_scope, night);
    }
    (void)sleep_in_scope(night);
    CHECK_EQ(weft_scope_close(&night->pair.scope), night->status);
    return 0;
}

static int move_at_night(void *arg)
{
    struct night *night = arg;
    let_others_run(); /* all sleep then */
    bool is_ahead = night->new_ns > 0 && night->new_ns != WEFT_FOREVER;
    night->end_ns = weft_now() + (is_ahead ? night->new_ns : 0);
    CHECK_EQ(set_after(&night->pair, night->new_ns), 0);
    return 0;
}

static void run_night(unsigned workers, struct night night)
{
    for (int i = 0; i < 2; i++) {
        struct night copy = night;
        copy.pair.owner = sleep_as_owner;
        copy.pair.mover = move_at_night;
        copy.pair.owner_place = i == 0 ? 0 : (int)workers - 1;
        CHECK_EQ(run_virtual_with(workers, root_of_pair, &copy), 0);
    }
}

MT_TEST(mt, 27_a_deadline_is_put_off_from_another_worker)
{
    struct night night = {
        .pair.old_ns = WEFT_MINUTE, .new_ns = WEFT_HOUR, .sleep_ns = 10 * WEFT_MINUTE};
    run_night(workers, night);
    night.sleep_ns = WEFT_FOREVER; /* it comes then */
    night.status = -ETIMEDOUT;
    run_night(workers, night);
}

MT_TEST(mt, 27b_or_taken_away)
{
    run_night(
        workers,
        (struct night){.pair.old_ns = WEFT_MINUTE, .new_ns = WEFT_FOREVER, .sleep_ns = WEFT_HOUR});
}

MT_TEST(mt, 27c_or_brought_forward_where_all_sleep)
{
    struct night night = {.pair.old_ns = WEFT_HOUR,
                          .new_ns = WEFT_MINUTE,
                          .sleep_ns = WEFT_FOREVER,
                          .status = -ETIMEDOUT};
    run_night(workers, night);
    night.pair.old_ns = WEFT_FOREVER; /* there was none */
    run_night(workers, night);
    night.new_ns = -WEFT_SEC; /* a past one */
    run_night(workers, night);
}

/* ---- the owner computes ---- */

static int compute_as_owner(void *arg)
{
    struct pair *pair = arg;
    make_step(pair);
    await_step(pair, 2); /* the old one has passed: it counts no more */
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(yield_some(), 0);
    make_step(pair);
    await_step(pair, 4);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    CHECK_EQ(yield_some(), -ETIMEDOUT);
    make_step(pair);
    await_step(pair, 6);
    CHECK_EQ(weft_yield(), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&pair->scope), -ETIMEDOUT);
    return 0;
}

static int move_of_computing(void *arg)
{
    struct pair *pair = arg;
    await_step(pair, 1);
    CHECK_EQ(set_after(pair, WEFT_HOUR), 0);
    make_step(pair);
    await_step(pair, 3);
    CHECK_EQ(set_after(pair, -1), 0);
    make_step(pair);
    await_step(pair, 5);
    CHECK_EQ(set_after(pair, WEFT_HOUR), -ETIMEDOUT);
    CHECK_EQ(set_after(pair, WEFT_FOREVER), -ETIMEDOUT);
    make_step(pair);
    return 0;
}

MT_TEST(mt, 27d_a_computing_owner_obeys_too_and_what_has_expired_stays_so)
{
    run_pair(workers, 1, compute_as_owner, move_of_computing);
}

/* ---- of several, the last one counts ---- */

static int set_it_last(void *arg)
{
    struct pair *pair = arg;
    make_step(pair);
    await_step(pair, 2); /* another task has asked twice */
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(yield_some(), 0);
    make_step(pair);
    await_step(pair, 4); /* it has asked again, and is too late */
    CHECK_EQ(set_after(pair, WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(yield_some(), 0);
    CHECK_EQ(set_after(pair, -1), 0);
    make_step(pair);
    await_step(pair, 6); /* before the worker has looked at it */
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(yield_some(), 0);
    CHECK_EQ(weft_scope_close(&pair->scope), 0);
    return 0;
}

static int set_it_first(void *arg)
{
    struct pair *pair = arg;
    await_step(pair, 1);
    CHECK_EQ(set_after(pair, -1), 0);
    CHECK_EQ(weft_scope_set_deadline(&pair->scope, INT64_MIN), 0);
    CHECK_EQ(set_after(pair, WEFT_HOUR), 0);
    make_step(pair);
    await_step(pair, 3);
    CHECK_EQ(weft_scope_set_deadline(&pair->scope, 0), 0);
    make_step(pair);
    await_step(pair, 5);
    CHECK_EQ(set_after(pair, WEFT_FOREVER), 0);
    make_step(pair);
    return 0;
}

MT_TEST(mt, 27e_the_last_one_counts)
{
    run_pair(workers, WEFT_HOUR, set_it_last, set_it_first);
}

/* ---- a task inside the scope, on another worker ---- */

/* Whose current scope it is, too. */
static int move_from_inside(void *arg)
{
    struct pair *pair = arg;
    CHECK(weft_worker_index() != (unsigned)pair->owner_place);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    CHECK_EQ(set_after(pair, WEFT_HOUR), 0);
    CHECK_EQ(weft_scope_status(), 0);
    CHECK_EQ(yield_some(), 0);
    CHECK_EQ(weft_scope_set_deadline(&pair->scope, INT64_MIN), 0);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    make_step(pair);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    return 0;
}

/* The first spread task would come here. */
static int root_of_inside(void *arg)
{
    struct pair *pair = arg;
    struct weft_scope outer;
    CHECK_EQ(weft_scope_open(&outer), 0);
    CHECK_EQ(weft_scope_open_timeout(&pair->scope, 1), 0);
    (void)spawn_spread(&outer, do_nothing, NULL);
    (void)spawn_spread(&pair->scope, move_from_inside, pair);
    await_step(pair, 1);
    CHECK_EQ(weft_scope_status(), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&pair->scope), -ETIMEDOUT);
    CHECK_EQ(weft_scope_close(&outer), 0);
    return 0;
}

MT_TEST(mt, 27f_a_task_inside_moves_it_and_sees_that_at_once)
{
    struct pair pair = {.owner_place = 0};
    CHECK_EQ(run_virtual_with(workers, root_of_inside, &pair), 0);
}

/* ---- a posted function ---- */

static void move_in_post(void *arg)
{
    CHECK_EQ(weft_worker_index(), 0);
    CHECK_EQ(set_after(arg, WEFT_MINUTE), 0);
}

static int sleep_until_posted(void *arg)
{
    struct pair *pair = arg;
    int64_t start = weft_now();
    CHECK(weft_worker_index() != 0);
    CHECK_EQ(weft_scope_open(&pair->scope), 0);
    make_step(pair);
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ETIMEDOUT);
    CHECK(weft_now() - start >= WEFT_MINUTE);
    CHECK_EQ(weft_scope_close(&pair->scope), -ETIMEDOUT);
    return 0;
}

static int root_of_post(void *arg)
{
    struct pair *pair = arg;
    struct weft_scope outer;
    struct weft_post post = {.fn = move_in_post, .arg = pair};
    CHECK_EQ(weft_scope_open(&outer), 0);
    (void)spawn_spread(&outer, do_nothing, NULL);
    (void)spawn_spread(&outer, sleep_until_posted, pair);
    await_step(pair, 1);
    CHECK_EQ(weft_post(weft_runtime_current(), &post), 0);
    CHECK_EQ(weft_scope_close(&outer), 0);
    return 0;
}

MT_TEST(mt, 27g_a_posted_function_moves_it)
{
    struct pair pair = {.owner_place = 1};
    CHECK_EQ(run_virtual_with(workers, root_of_post, &pair), 0);
}

/* ---- between the inbox and the timers ---- */

/* When the worker has emptied its inbox, and is about to look at its timers. */
static void hold_the_turn(void *arg)
{
    struct pair *pair = arg;
    make_step(pair);
    await_step(pair, 2);
}

static int move_in_turn(void *arg)
{
    struct pair *pair = arg;
    CHECK(weft_worker_index() != 0);
    await_step(pair, 1);
    CHECK_EQ(set_after(pair, WEFT_HOUR), 0);
    make_step(pair);
    return 0;
}

static int root_of_turn(void *arg)
{
    struct pair *pair = arg;
    struct weft_scope outer;
    struct weft_post post = {.fn = hold_the_turn, .arg = pair};
    CHECK_EQ(weft_scope_open(&outer), 0);
    (void)spawn_spread(&outer, do_nothing, NULL);
    (void)spawn_spread(&outer, move_in_turn, pair);
    CHECK_EQ(weft_scope_open_timeout(&pair->scope, 1), 0);
    CHECK_EQ(weft_post(weft_runtime_current(), &post), 0);
    CHECK_EQ(yield_some(), 0);
    CHECK_EQ(atomic_load(&pair->step), 2);
    CHECK_EQ(weft_scope_close(&pair->scope), 0);
    CHECK_EQ(weft_scope_close(&outer), 0);
    return 0;
}

MT_TEST(mt, 27h_nothing_expires_that_was_put_off_before)
{
    struct pair pair = {.owner_place = 0};
    CHECK_EQ(run_virtual_with(workers, root_of_turn, &pair), 0);
}

/* ---- another runtime ---- */

static int move_of_strangers(void *arg)
{
    struct pair *pair = arg;
    CHECK_EQ(set_after(pair, -1), -EPERM);
    CHECK_EQ(set_after(pair, WEFT_FOREVER), -EPERM);
    return 0;
}

static void *run_beside(void *arg)
{
    CHECK_EQ(run_with(1, move_of_strangers, arg), 0);
    return NULL;
}

static int root_of_strangers(void *arg)
{
    struct pair *pair = arg;
    CHECK_EQ(weft_scope_open_timeout(&pair->scope, WEFT_HOUR), 0);
    CHECK_EQ(pthread_join(start_thread(run_beside, pair), NULL), 0);
    CHECK_EQ(yield_some(), 0);
    CHECK_EQ(weft_scope_close(&pair->scope), 0);
    return 0;
}

MT_TEST(mt, 27i_a_scope_of_another_runtime_is_refused)
{
    struct pair pair = {.owner_place = 0};
    CHECK_EQ(run_virtual_with(workers, root_of_strangers, &pair), 0);
}
