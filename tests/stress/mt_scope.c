/* SPDX-License-Identifier: MIT */
/*
 * Scopes whose children are on all workers: sums, failures, ends one by one, nested scopes, and
 * a storm of cancels (MT-13, 19; STRESS-05 and 07).
 *
 * A scope closes when its last child has ended, wherever that was, and says why it ended.
 *
 * usage: see tests/stress/mt.h
 */
#include <sys/socket.h>

#include "tests/stress/mt.h"

#define CHILDREN 16

/* ---- every kind of call that sleeps ---- */

enum sleep_kind { RECV, SEND, SELECT, SHARED, SLEEP, YIELD, JOIN, NEXT, WAIT_FD, READ, KINDS };

struct beds {
    struct weft_chan *empty;
    struct weft_chan *full; /* a rendezvous that nobody receives from */
    struct weft_chan *shared;
    int fds[2];
};

static void beds_open(struct beds *beds)
{
    beds->empty = mt_chan(1);
    beds->full = mt_chan(0);
    beds->shared = stress_chan(0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, beds->fds) != 0) abort();
}

static void beds_close(struct beds *beds)
{
    weft_chan_unref(beds->empty);
    weft_chan_unref(beds->full);
    weft_chan_unref(beds->shared);
    EXPECT(weft_close(beds->fds[0]) == 0);
    EXPECT(weft_close(beds->fds[1]) == 0);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_FOREVER);
}

/* The child is of another worker; it goes when this scope is cancelled from outside. */
static int sleep_in_next(void)
{
    struct weft_scope scope;
    weft_task child;
    EXPECT(weft_scope_open(&scope) == 0);
    EXPECT(mt_spawn(&scope, &child, sleep_for_ever, NULL) == 0);
    int status = weft_scope_next(&scope, NULL, NULL);
    EXPECT(weft_scope_close(&scope) <= 0);
    return status;
}

/* The target belongs to the root scope: it has to be taken along. */
static int sleep_in_join(void)
{
    weft_task sleeper;
    int result = 0;
    if (!EXPECT(mt_spawn(NULL, &sleeper, sleep_for_ever, NULL) == 0)) return -EINVAL;
    int status = weft_join(sleeper, NULL);
    weft_shielded
    {
        EXPECT(weft_cancel(sleeper) == 0);
        EXPECT(weft_join(sleeper, &result) == 0);
        EXPECT(result == -ECANCELED);
    }
    return status;
}

/* Sleeps once in a call of that kind; 0, or why it failed. */
static int sleep_once(struct beds *beds, enum sleep_kind kind)
{
    int64_t value = 1;
    char byte = 0;
    int status = -EINVAL;
    switch (kind) {
    case RECV:
        return weft_chan_recv(beds->empty, &value);
    case SEND:
        return weft_chan_send(beds->full, &value);
    case SELECT:
        status = weft_select(weft_on_recv(beds->empty, &value),
                             weft_on_send(beds->full, &value),
                             weft_on_recv(beds->shared, &value),
                             weft_on_readable(beds->fds[0]),
                             weft_after(WEFT_HOUR));
        break;
    case SHARED:
        return weft_chan_recv(beds->shared, &value);
    case SLEEP:
        return weft_sleep(WEFT_HOUR);
    case YIELD:
        return weft_yield();
    case JOIN:
        return sleep_in_join();
    case NEXT:
        return sleep_in_next();
    case WAIT_FD:
        status = weft_wait_fd(beds->fds[0], WEFT_READABLE);
        break;
    case READ:
        status = (int)weft_read(beds->fds[0], &byte, 1);
        break;
    case KINDS:
        break;
    }
    return status < 0 ? status : 0;
}

/* ---- a storm of cancels ---- */

#define VICTIMS 32

struct storm {
    struct mt *mt;
    struct beds beds;
    struct victim {
        struct storm *storm;
        enum sleep_kind kind;
        uint64_t random;
        atomic_int ended;
    } victims[VICTIMS];
    atomic_bool is_over;
};

/* Until it is cancelled. Being woken in between is fine. */
static int victim_task(void *arg)
{
    struct victim *victim = arg;
    int status = 0;
    while (status == 0) {
        status = sleep_once(&victim->storm->beds, victim->kind);
        mt_delay(&victim->random);
    }
    EXPECT(status == -ECANCELED);
    atomic_fetch_add(&victim->ended, 1);
    return status;
}

/* Wakes sleepers in the ordinary way, so that cancels meet completions. */
static int storm_waker(void *arg)
{
    struct victim *waker = arg;
    struct beds *beds = &waker->storm->beds;
    while (!atomic_load(&waker->storm->is_over)) {
        int64_t value = 1;
        char byte = 0;
        int status = 0;
        switch (stress_random(&waker->random) % 4) {
        case 0:
            status = weft_chan_try_send(beds->empty, &value);
            break;
        case 1:
            status = weft_chan_try_recv(beds->full, &value);
            break;
        case 2:
            status = weft_chan_try_send(beds->shared, &value);
            break;
        default:
            EXPECT(send(beds->fds[1], &byte, 1, MSG_DONTWAIT) == 1 || errno == EAGAIN);
            break;
        }
        EXPECT(status == 0 || status == -EAGAIN);
        mt_delay(&waker->random);
        EXPECT(weft_yield() == 0);
    }
    return 0;
}

/* Cancels and joins the tasks of its own share, again and again. */
static int storm_canceller(void *arg)
{
    struct victim *first = arg;
    struct storm *storm = first->storm;
    uint64_t random = first->random + 1; /* the victim draws from that one */
    weft_task tasks[VICTIMS / 4];
    for (int round = mt_scale(storm->mt, 200); round > 0; round--) {
        for (int i = 0; i < VICTIMS / 4; i++) {
            first[i].kind = (enum sleep_kind)(stress_random(&random) % KINDS);
            EXPECT(mt_spawn(NULL, &tasks[i], victim_task, &first[i]) == 0);
        }
        mt_delay(&random);
        (void)weft_yield();
        for (int i = 0; i < VICTIMS / 4; i++) {
            int result = 0;
            EXPECT(weft_cancel(tasks[i]) == 0);
            EXPECT(weft_join(tasks[i], &result) == 0);
            EXPECT(result == -ECANCELED);
            EXPECT(atomic_exchange(&first[i].ended, 0) == 1);
        }
    }
    return 0;
}

static int storm_root(void *arg)
{
    struct storm *storm = arg;
    struct victim wakers[2];
    struct weft_scope scope;
    struct weft_scope outer;
    beds_open(&storm->beds);
    EXPECT(weft_scope_open(&outer) == 0);
    for (int i = 0; i < 2; i++) {
        wakers[i] = (struct victim){.storm = storm, .random = mt_seed(storm->mt)};
        EXPECT(mt_spawn(&outer, NULL, storm_waker, &wakers[i]) == 0);
    }
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < VICTIMS; i++) {
        storm->victims[i].storm = storm;
        storm->victims[i].random = mt_seed(storm->mt);
    }
    for (int i = 0; i < VICTIMS; i += VICTIMS / 4) {
        EXPECT(mt_spawn(&scope, NULL, storm_canceller, &storm->victims[i]) == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    atomic_store(&storm->is_over, true);
    EXPECT(weft_scope_close(&outer) == 0);
    beds_close(&storm->beds);
    return 0;
}

static void run_storm(struct mt *mt)
{
    struct storm storm = {.mt = mt};
    mt_run(mt, storm_root, &storm);
}

/* ---- how a scope ends ---- */

/* What one child of a family does. */
enum part { SLEEPS, FAILS, CANCELS, ENDS };

struct family {
    struct mt *mt;
    struct beds beds;
    struct weft_scope *scope;
    atomic_int ended;
    int failure; /* how the scope ends: 0, -EIO, -ECANCELED, -ETIMEDOUT */
    struct child {
        struct family *family;
        enum part part;
        enum sleep_kind kind;
        uint64_t random;
    } children[CHILDREN];
};

/* A deadline is the scope's own affair: what it did to a child is no failure of that. */
static int child_sleep(struct child *child)
{
    struct family *family = child->family;
    int status = 0;
    while (status == 0) {
        status = sleep_once(&family->beds, child->kind);
    }
    EXPECT(status == -ECANCELED || (family->failure == -ETIMEDOUT && status == -ETIMEDOUT));
    return family->failure == -ETIMEDOUT ? 0 : status;
}

static int child_task(void *arg)
{
    struct child *child = arg;
    struct family *family = child->family;
    int status = 0;
    mt_delay(&child->random);
    switch (child->part) {
    case SLEEPS:
        status = child_sleep(child);
        break;
    case FAILS:
        status = -EIO;
        break;
    case CANCELS:
        EXPECT(weft_scope_cancel(family->scope) == 0);
        break;
    case ENDS:
        break;
    }
    atomic_fetch_add(&family->ended, 1);
    return status;
}

/* One child does what ends the scope; the others sleep, or end by themselves. */
static void family_round(struct family *family, int failure)
{
    uint64_t *random = &family->mt->random;
    unsigned culprit = stress_random(random) % CHILDREN;
    int64_t timeout = stress_random(random) % 200 * WEFT_USEC;
    struct weft_scope scope;
    family->failure = failure;
    family->scope = &scope;
    atomic_store(&family->ended, 0);
    EXPECT(weft_scope_open_timeout(&scope, failure == -ETIMEDOUT ? 1 + timeout : WEFT_HOUR) == 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        struct child *child = &family->children[i];
        enum part others = failure == 0 || i % 4 == 0 ? ENDS : SLEEPS;
        enum part own = failure == -EIO ? FAILS : failure == -ECANCELED ? CANCELS : SLEEPS;
        child->family = family;
        child->part = i == culprit && failure != 0 ? own : others;
        child->kind = (enum sleep_kind)(stress_random(random) % KINDS);
        child->random = mt_seed(family->mt);
        EXPECT(mt_spawn(&scope, NULL, child_task, child) == 0);
    }
    EXPECT(weft_scope_close(&scope) == failure);
    EXPECT(atomic_load(&family->ended) == CHILDREN);
    EXPECT(weft_scope_status() == 0);
}

static int family_root(void *arg)
{
    static const int failures[] = {0, -EIO, -ECANCELED, -ETIMEDOUT};
    struct family *family = arg;
    beds_open(&family->beds);
    for (int round = mt_scale(family->mt, 400); round > 0; round--) {
        family_round(family, failures[round % 4]);
    }
    beds_close(&family->beds);
    return 0;
}

static void run_family(struct mt *mt)
{
    struct family family = {.mt = mt};
    mt_run(mt, family_root, &family);
}

/* ---- children one by one ---- */

struct number {
    uint64_t random;
    int result;
};

static int number_task(void *arg)
{
    struct number *number = arg;
    mt_delay(&number->random);
    return number->result;
}

static int next_root(void *arg)
{
    struct mt *mt = arg;
    for (int round = mt_scale(mt, 500); round > 0; round--) {
        struct number numbers[CHILDREN];
        weft_task tasks[CHILDREN];
        int told[CHILDREN] = {0};
        struct weft_scope scope;
        EXPECT(weft_scope_open(&scope) == 0);
        for (int i = 0; i < CHILDREN; i++) {
            numbers[i] = (struct number){mt_seed(mt), i};
            EXPECT(mt_spawn(&scope, &tasks[i], number_task, &numbers[i]) == 0);
        }
        weft_task task = {0};
        int result = -1;
        while (weft_scope_next(&scope, &task, &result) == 0) {
            if (!EXPECT(result >= 0 && result < CHILDREN)) break;
            EXPECT(tasks[result].id == task.id);
            told[result]++;
        }
        for (int i = 0; i < CHILDREN; i++) {
            EXPECT(told[i] == 1);
        }
        EXPECT(weft_scope_close(&scope) == 0);
    }
    return 0;
}

static void run_next(struct mt *mt)
{
    mt_run(mt, next_root, mt);
}

/* ---- a family that grows from below, and scopes in scopes ---- */

struct grove {
    struct mt *mt;
    struct weft_scope *top;
    atomic_llong ended;
    atomic_int seed;
    int depth;
    bool is_cancelled;
};

struct node {
    struct grove *grove;
    struct weft_scope *scope; /* that its siblings are spawned into */
    int depth;
};

static int node_task(void *arg);

static void node_spawn(struct node *node, struct weft_scope *scope, int depth)
{
    struct node *child = malloc(sizeof *child);
    if (!child) abort();
    *child = (struct node){node->grove, scope, depth};
    EXPECT(mt_spawn(scope, NULL, node_task, child) == 0);
}

/* Has two children in a scope of its own, and one more in the scope that it is in itself. */
static int node_task(void *arg)
{
    struct node *node = arg;
    struct grove *grove = node->grove;
    uint64_t random = (uint64_t)atomic_fetch_add(&grove->seed, 1);
    struct weft_scope scope;
    mt_delay(&random);
    if (node->depth > 0) {
        node_spawn(node, node->scope, node->depth - 1);
        EXPECT(weft_scope_open(&scope) == 0);
        node_spawn(node, &scope, node->depth - 1);
        node_spawn(node, &scope, node->depth - 1);
        int status = weft_scope_close(&scope);
        EXPECT(status == 0 || (grove->is_cancelled && status == -ECANCELED));
    } else if (grove->is_cancelled && stress_random(&random) % 64 == 0) {
        EXPECT(weft_scope_cancel(grove->top) == 0);
    }
    atomic_fetch_add(&grove->ended, 1);
    free(node);
    return 0;
}

static int grove_root(void *arg)
{
    struct grove *grove = arg;
    struct node above = {.grove = grove};
    struct weft_scope top;
    EXPECT(weft_scope_open(&top) == 0);
    grove->top = &top;
    node_spawn(&above, &top, grove->depth);
    int status = weft_scope_close(&top);
    EXPECT(status == 0 || (grove->is_cancelled && status == -ECANCELED));
    return 0;
}

/* A cancelled task still starts, and spawns; so the number is the same: 1 + 3 + 9 + ... */
static void run_grove(struct mt *mt)
{
    for (int i = 2 * mt_scale(mt, 10); i > 0; i--) {
        struct grove grove = {.mt = mt, .depth = 6, .is_cancelled = i % 2};
        atomic_init(&grove.seed, (int)stress_random(&mt->random) / 2);
        mt_run(mt, grove_root, &grove);
        EXPECT(atomic_load(&grove.ended) == (3 * 729 - 1) / 2);
    }
}

MT_MAIN({"a storm of cancels meets every kind of sleep", run_storm, 1},
        {"a scope ends as its children and deadline say", run_family, 1},
        {"children end one by one", run_next, 1},
        {"scopes grow from below", run_grove, 1});
