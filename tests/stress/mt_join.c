/* SPDX-License-Identifier: MIT */
/*
 * Tasks of other workers by their handles: joins, selects on their ends, detaches, cancels, and
 * handles that have gone stale (MT-02, 05, 13; JOIN-15 and 16; STRESS-14).
 *
 * A result is told to who waited for it, once; whoever comes later is told that it is gone.
 *
 * usage: see tests/stress/mt.h
 */
#include <sys/socket.h>

#include "tests/stress/mt.h"

#define BATCH 64 /* tasks at once */

/* ---- results ---- */

struct worked {
    struct mt *mt;
    uint64_t random;
    int result;
    unsigned worker;
    atomic_int runs;
};

static int worked_task(void *arg)
{
    struct worked *worked = arg;
    worked->worker = weft_worker_index();
    EXPECT(worked->worker < weft_worker_count());
    mt_delay(&worked->random);
    EXPECT(weft_worker_index() == worked->worker);
    atomic_fetch_add(&worked->runs, 1);
    return worked->result;
}

/* `task` has ended and told its result: what it wrote is seen, and its handle is stale. */
static void worked_check(struct worked *worked, weft_task task, int result)
{
    EXPECT(result == worked->result);
    EXPECT(worked->worker < weft_worker_count());
    EXPECT(atomic_load(&worked->runs) == 1);
    EXPECT(weft_join(task, NULL) == -ESRCH);
    EXPECT(weft_cancel(task) == -ESRCH);
    EXPECT(weft_detach(task) == -ESRCH);
}

static void worked_spawn(struct worked *all, weft_task *tasks, struct mt *mt)
{
    for (int i = 0; i < BATCH; i++) {
        all[i] = (struct worked){.mt = mt, .random = mt_seed(mt), .result = i * 7};
        EXPECT(mt_spawn(NULL, &tasks[i], worked_task, &all[i]) == 0);
    }
}

static int results_root(void *arg)
{
    struct mt *mt = arg;
    static struct worked all[BATCH];
    weft_task tasks[BATCH];
    for (int round = mt_scale(mt, 300); round > 0; round--) {
        worked_spawn(all, tasks, mt);
        unsigned start = stress_random(&mt->random) % BATCH;
        for (unsigned i = 0; i < BATCH; i++) {
            unsigned which = (start + i * 5) % BATCH; /* 5 and BATCH have no factor in common */
            int result = -1;
            EXPECT(weft_join(tasks[which], &result) == 0);
            worked_check(&all[which], tasks[which], result);
        }
    }
    return 0;
}

static void run_results(struct mt *mt)
{
    mt_run(mt, results_root, mt);
}

/* ---- selects on ends ---- */

/* All that are left, and a timer: one end is told each time. */
static int selects_once(struct worked *all, weft_task *tasks, uint64_t *random)
{
    struct weft_case cases[BATCH + 1];
    int results[BATCH];
    int status[BATCH];
    for (int i = 0; i < BATCH; i++) {
        results[i] = status[i] = -1;
        cases[i] = weft_case_joined(tasks[i], &results[i], &status[i]);
        if (tasks[i].id == 0) cases[i].kind = WEFT_CASE_DISABLED;
    }
    bool is_timed = stress_random(random) % 4 == 0;
    int64_t duration = is_timed ? stress_random(random) % 50 * WEFT_USEC : WEFT_HOUR;
    cases[BATCH] = weft_case_after(duration, NULL);
    int index = weft_select_from(cases, BATCH + 1, 0);
    if (index == BATCH) return EXPECT(is_timed) ? 0 : 1;
    if (!EXPECT(index >= 0 && index < BATCH)) return 1;
    EXPECT(status[index] == 0);
    worked_check(&all[index], tasks[index], results[index]);
    for (int i = 0; i < BATCH; i++) {
        EXPECT(i == index || (results[i] == -1 && status[i] == -1));
    }
    tasks[index].id = 0;
    return 1;
}

static int selects_root(void *arg)
{
    struct mt *mt = arg;
    static struct worked all[BATCH];
    weft_task tasks[BATCH];
    for (int round = mt_scale(mt, 50); round > 0; round--) {
        worked_spawn(all, tasks, mt);
        for (int told = 0; told < BATCH;) {
            told += selects_once(all, tasks, &mt->random);
        }
    }
    return 0;
}

static void run_selects(struct mt *mt)
{
    mt_run(mt, selects_root, mt);
}

/* ---- many joiners of one task ---- */

#define JOINERS 12

struct target {
    struct weft_chan *start;
    weft_task task;
    uint64_t random;
    atomic_int told;
    struct joiner {
        struct target *target;
        uint64_t random;
    } joiners[JOINERS];
};

static int target_task(void *arg)
{
    struct target *target = arg;
    mt_delay(&target->random);
    return 4711;
}

/* Under a deadline at times: an end that was missed by it can be had later, if nobody else took
 * it. */
static int target_join(void *arg)
{
    struct joiner *joiner = arg;
    struct target *target = joiner->target;
    EXPECT(weft_chan_recv(target->start, NULL) == -EPIPE);
    int status = -ETIMEDOUT;
    int result = 0;
    mt_delay(&joiner->random);
    while (status == -ETIMEDOUT) {
        bool is_timed = stress_random(&joiner->random) % 2 == 0;
        int64_t timeout = stress_random(&joiner->random) % 20 * WEFT_USEC;
        weft_with_timeout(is_timed ? timeout : WEFT_FOREVER) {
            status = weft_join(target->task, &result);
        }
        EXPECT(is_timed || status != -ETIMEDOUT);
    }
    EXPECT(status == -ESRCH || (status == 0 && result == 4711));
    if (status == 0) atomic_fetch_add(&target->told, 1);
    return 0;
}

static int joiners_root(void *arg)
{
    struct mt *mt = arg;
    for (int round = mt_scale(mt, 1000); round > 0; round--) {
        struct target target = {.start = mt_chan(0), .random = mt_seed(mt)};
        struct weft_scope scope;
        EXPECT(weft_scope_open(&scope) == 0);
        for (int i = 0; i < JOINERS; i++) {
            target.joiners[i] = (struct joiner){&target, mt_seed(mt)};
            EXPECT(mt_spawn(&scope, NULL, target_join, &target.joiners[i]) == 0);
        }
        EXPECT(mt_spawn(NULL, &target.task, target_task, &target) == 0);
        EXPECT(weft_chan_close(target.start) == 0);
        EXPECT(weft_scope_close(&scope) == 0);
        EXPECT(atomic_load(&target.told) >= 1);
        EXPECT(weft_join(target.task, NULL) == -ESRCH);
        weft_chan_unref(target.start);
    }
    return 0;
}

static void run_joiners(struct mt *mt)
{
    mt_run(mt, joiners_root, mt);
}

/* ---- join, detach and cancel at once ---- */

#define HANDLES 16

/* Handles that every worker draws from: two words that need not belong together. */
struct handles {
    struct mt *mt;
    _Atomic(uint64_t) ids[HANDLES];
    void *_Atomic slots[HANDLES];
    atomic_llong spawned;
    atomic_llong ended;
    atomic_llong joined;
    atomic_llong detached;
    int rounds;
};

struct dealer {
    struct handles *handles;
    uint64_t random;
};

static int handles_end(void *arg)
{
    struct handles *handles = arg;
    uint64_t random = (uint64_t)atomic_fetch_add(&handles->spawned, 1);
    int status = 0;
    for (int i = 0; i < 4 && status == 0; i++) {
        status = weft_sleep(stress_random(&random) % 20 * WEFT_USEC);
    }
    EXPECT(status == 0 || status == -ECANCELED);
    return status;
}

static void handles_ended(void *arg)
{
    struct handles *handles = arg;
    atomic_fetch_add(&handles->ended, 1);
}

static int handles_task(void *arg)
{
    EXPECT(weft_defer(handles_ended, arg) == 0);
    return handles_end(arg);
}

static weft_task handles_draw(struct dealer *dealer)
{
    struct handles *handles = dealer->handles;
    unsigned which = stress_random(&dealer->random) % HANDLES;
    return (weft_task){.id = atomic_load(&handles->ids[which]),
                       .slot = atomic_load(&handles->slots[which])};
}

/* Each task is joined or detached by whoever comes first; the others find it gone. */
static void dealer_step(struct dealer *dealer)
{
    struct handles *handles = dealer->handles;
    weft_task task = handles_draw(dealer);
    int result = 1;
    int status = 0;
    switch (stress_random(&dealer->random) % 4) {
    case 0:
        status = weft_cancel(task);
        break;
    case 1:
        status = weft_detach(task);
        if (status == 0) atomic_fetch_add(&handles->detached, 1);
        break;
    case 2:
        weft_with_timeout(stress_random(&dealer->random) % 50 * WEFT_USEC) {
            status = weft_join(task, &result);
        }
        if (status == 0) EXPECT(result == 0 || result == -ECANCELED);
        if (status == 0) atomic_fetch_add(&handles->joined, 1);
        if (status == -ETIMEDOUT) status = 0;
        break;
    default:
        status = mt_spawn(NULL, &task, handles_task, handles);
        if (!EXPECT(status == 0)) return;
        unsigned which = stress_random(&dealer->random) % HANDLES;
        atomic_store(&handles->slots[which], task.slot);
        atomic_store(&handles->ids[which], task.id);
        break;
    }
    EXPECT(status == 0 || status == -ESRCH);
}

static int dealer_task(void *arg)
{
    struct dealer *dealer = arg;
    for (int i = 0; i < dealer->handles->rounds; i++) {
        dealer_step(dealer);
        mt_delay(&dealer->random);
    }
    return 0;
}

/* The handles that nobody has met go with the runtime. */
static int handles_root(void *arg)
{
    struct handles *handles = arg;
    struct dealer dealers[8];
    for (int i = 0; i < 8; i++) {
        dealers[i] = (struct dealer){handles, mt_seed(handles->mt)};
    }
    EXPECT(mt_each(dealer_task, dealers, 8, sizeof *dealers) == 0);
    return 0;
}

static void run_handles(struct mt *mt)
{
    struct handles handles = {.mt = mt, .rounds = mt_scale(mt, 5000)};
    mt_run(mt, handles_root, &handles);
    EXPECT(atomic_load(&handles.spawned) == atomic_load(&handles.ended));
    EXPECT(atomic_load(&handles.joined) > 0);
    EXPECT(atomic_load(&handles.detached) > 0);
}

/* ---- reads with deadlines against cancels ---- */

#define READERS 4

struct race {
    struct mt *mt;
    int rounds;
};

struct racer {
    struct race *race;
    uint64_t random;
};

struct reader {
    int fd;
    int64_t timeout;
    int resumptions;
    int status;
};

static int reader_task(void *arg)
{
    struct reader *reader = arg;
    char byte = 0;
    ssize_t size = 0;
    weft_with_timeout(reader->timeout) {
        size = weft_read(reader->fd, &byte, 1);
    }
    reader->resumptions++;
    reader->status = size < 0 ? (int)size : 0;
    EXPECT(size == 1 || size == -ETIMEDOUT || size == -ECANCELED);
    return reader->status;
}

/* Four reads of one descriptor, three bytes, deadlines, and a cancel for one of them. */
static void racer_round(struct racer *racer, const int *fds)
{
    struct reader readers[READERS];
    weft_task tasks[READERS];
    char bytes[READERS] = {0};
    int got = 0;
    for (int i = 0; i < READERS; i++) {
        int64_t timeout = 1 + stress_random(&racer->random) % 60;
        readers[i] = (struct reader){fds[0], timeout * WEFT_USEC, 0, 1};
        EXPECT(mt_spawn(NULL, &tasks[i], reader_task, &readers[i]) == 0);
    }
    mt_delay(&racer->random);
    EXPECT(write(fds[1], bytes, READERS - 1) == READERS - 1);
    EXPECT(weft_cancel(tasks[stress_random(&racer->random) % READERS]) == 0);
    for (int i = 0; i < READERS; i++) {
        int result = 1;
        EXPECT(weft_join(tasks[i], &result) == 0);
        EXPECT(result == readers[i].status);
        EXPECT(readers[i].resumptions == 1);
        got += result == 0;
    }
    EXPECT(recv(fds[0], bytes, sizeof bytes, MSG_DONTWAIT) == READERS - 1 - got ||
           got == READERS - 1);
}

static int racer_task(void *arg)
{
    struct racer *racer = arg;
    int fds[2];
    if (!EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)) return 0;
    for (int i = 0; i < racer->race->rounds; i++) {
        racer_round(racer, fds);
    }
    EXPECT(weft_close(fds[0]) == 0);
    EXPECT(weft_close(fds[1]) == 0);
    return 0;
}

static int race_root(void *arg)
{
    struct race *race = arg;
    struct racer racers[4];
    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){race, mt_seed(race->mt)};
    }
    EXPECT(mt_each(racer_task, racers, 4, sizeof *racers) == 0);
    return 0;
}

static void run_race(struct mt *mt)
{
    struct race race = {.mt = mt, .rounds = mt_scale(mt, 1000)};
    mt_run(mt, race_root, &race);
}

MT_MAIN({"joins get results from other workers", run_results, 1},
        {"selects tell each end once", run_selects, 1},
        {"many joiners of one task", run_joiners, 1},
        {"whoever joins or detaches first has it", run_handles, 1},
        {"reads with deadlines are resumed once", run_race, 1});
