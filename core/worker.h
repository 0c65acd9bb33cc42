/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread with its own loop, ready queues, timers and stacks.
 *
 * What is in struct worker belongs to its thread. Other threads and signal handlers touch the
 * atomic words (docs/architecture.md has the table), and, where that is said, what crew.lock or the
 * watcher's office guards.
 */
#ifndef WEFT_CORE_WORKER_H
#define WEFT_CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <weft/runtime.h>

#include "backends/contract.h"
#include "core/fdtable.h"
#include "core/ready.h"
#include "core/record.h"
#include "core/stack.h"
#include "core/task.h"
#include "core/timer.h"

/* Bits of task.remote: requests of other threads, of which the first one puts the task into its
 * worker's inbox ... */
enum remote_request {
    REMOTE_SPAWN = 1,      /* queue it: it was spawned by another thread */
    REMOTE_WAKE = 2,       /* a partner has completed its wait: wake it with wake_result */
    REMOTE_WALK = 4,       /* something above it was cancelled or has expired */
    REMOTE_MOVE = 128,     /* it has moved here: queue it */
    REMOTE_DEADLINE = 256, /* the deadline of a scope of its own shall be another one */
    REMOTE_REQUESTS = REMOTE_SPAWN | REMOTE_WAKE | REMOTE_WALK | REMOTE_MOVE | REMOTE_DEADLINE,
};

/* ... and what others must know of a shared task; guarded by weft__shared_lock. */
enum remote_fact {
    REMOTE_ENDED = 8,     /* its result stands */
    REMOTE_DETACHED = 16, /* nobody will join it */
    REMOTE_ZOMBIE = 32,   /* given up, but still in an inbox: released when it comes out */
    REMOTE_COUNTED = 64,  /* sleeps where others than tasks of the runtime may wake it */
};

/* What a timer belongs to. */
enum timer_kind {
    TIMER_SLEEP = 1,  /* a task in weft_sleep() */
    TIMER_SELECT = 2, /* a task in select: its timer case wins */
    TIMER_SCOPE = 3,  /* a scope's deadline */
    TIMER_PART = 4,   /* a task in weft_close() that waits for other workers */
    TIMER_MOVING = 5, /* a scope's deadline, whose owner is on its way to another worker */
};

/* The errno and the C++ exception words of this thread. */
struct cxa_globals {
    void *caught;
    unsigned uncaught;
};

/* What the watcher has seen of a worker. */
struct sight {
    uint64_t pushed;      /* chunks, ever, at the last look */
    size_t stacks;        /* in use, at .. */
    int64_t stacks_ns;    /* .. this time */
    bool starts_sleepers; /* as it was found then */
};

struct worker {
    /* Hot: touched by every switch. */
    struct task *current;     /* who runs; NULL on the worker's own stack */
    _Atomic(uint8_t) in_core; /* it is in an operation on private objects: core/share.h */
    int *errno_location;      /* of this thread */
    struct cxa_globals *cxa;  /* of this thread; NULL if the process has no C++ runtime */
    int budget;               /* operations left in this slice */
    int slices_left;          /* until the next look at the clock */
    int periods_left;         /* of such looks until the next turn */
    int spawns_left;          /* until a chunk is published */
    _Atomic(uintptr_t) inbox; /* newest first; low bit: a task, else a struct weft_post */
    uint64_t turn;            /* counts turns of the loop */
    void *sp;                 /* the worker's own context while a task runs */
    uint64_t newborn;         /* task.condition of one that is spawned into the root scope */
    uint64_t tasks_total;     /* ever spawned */
    uint64_t tasks_ended;
    struct task *starved; /* unstarted tasks that found no stack, put aside until a task ends */
    struct ready ready;
    struct stack_cache stacks;
    struct record_pool records;

    struct runtime *runtime;
    unsigned index;         /* among the runtime's workers */
    atomic_bool is_resting; /* changed under crew.lock */
    bool has_rested;        /* since it ran a task */
    uint64_t rest_number;   /* under crew.lock: crew.rests when it began */
    pthread_t thread;
    bool has_ended;                /* the thread; under crew.lock */
    pid_t tid;                     /* of the thread; not known of worker 0 */
    struct weft_post refresh_post; /* the root scope was cancelled */
    struct weft_post publish_post; /* thieves have taken everything that was public */
    atomic_uint spread_live;       /* tasks that were put here by WEFT_SPREAD */
    atomic_uint crowd;             /* ready tasks in its last turn, and those sent here since */
    struct sight sight;            /* the watcher's */
    int64_t watch_next_ns;         /* as the watcher: when to look again, */
    unsigned watched_in_vain;      /* ... how many looks found nothing public, */
    unsigned looks_to_pass;        /* ... and how many shall take nothing, */
    unsigned looks_passed;         /* ... since the last theft was not worth the while */
    int64_t stolen_ns;             /* when it took a chunk; 0 when it has been idle since */
    struct fdtable fds;            /* who of its tasks waits for which descriptor */
    struct timers timers;
    int64_t clock_offset_ns;           /* virtual clock: how far it has jumped */
    int64_t trimmed_ns;                /* when idle memory was last looked at */
    int64_t turn_start_ns;             /* weft time when this turn began */
    int64_t last_turn_ns;              /* ... and the one before, */
    uint64_t last_turn_slices;         /* ... and how many had run then */
    uint64_t slices;                   /* whole periods of READY_CLOCK_PERIOD, for the counters */
    struct sanitizer_fiber dead_fiber; /* of the task that ended last; sanitizer builds */
    bool has_dead_fiber;
    uint64_t polls;
    uint64_t spun_slices;   /* when as many have run it has spun in vain, and sleeps next */
    uint64_t napped_slices; /* as many had run when it took a nap before it gives memory back */
    uint64_t served_slices; /* when as many have run as the last poll found descriptors */
    uint32_t fd_order;      /* numbers waits for descriptors */
    size_t fd_waiters;      /* sleeping in a descriptor's queue */
    size_t fd_armed;        /* descriptors registered with the backend */
    size_t starved_count;   /* of `starved` */
    bool must_drop;         /* ... one of them: nothing else can make progress; as is_resting */
    struct random random;
    atomic_bool is_asleep;        /* in poll(), about to be, or the host has the thread; pairs with
                                     the inbox */
    atomic_bool is_exposed;       /* others may complete selects of its tasks: core/share.h */
    atomic_uint wakers;           /* threads that are calling the backend's wake() now */
    struct sanitizer_fiber fiber; /* the worker's own stack, for the sanitizers */
    struct cxa_globals own_cxa;   /* what *cxa holds while no task runs */
    void *backend_state;
};

/* The worker of the calling thread; NULL on other threads. Never cached over a switch. */
#if defined(__x86_64__) && !defined(WEFT__PORTABLE_TLS)
static inline struct worker *weft__worker(void)
{
    /* Opaque to the compiler, which may otherwise reuse the address after a switch; initial-exec
     * model. https://www.akkadia.org/drepper/tls.pdf, 4.1.6 */
    struct worker *worker;
    __asm__ volatile("movq weft__tls_worker@gottpoff(%%rip), %0\n\t"
                     "movq %%fs:(%0), %0"
                     : "=r"(worker));
    return worker;
}
#else
struct worker *weft__worker(void);
#endif
void weft__worker_set(struct worker *worker);

/* Time on the worker's clock, read now. */
static inline int64_t weft__worker_now(const struct worker *worker)
{
    return weft__backend.now_ns(worker->backend_state) + worker->clock_offset_ns;
}

/* How often a task was given the worker; in a task, this time included. */
static inline uint64_t worker_slices(const struct worker *worker)
{
    if (worker->ready.is_shuffled) return worker->slices;
    return worker->slices + (uint64_t)(READY_CLOCK_PERIOD - worker->slices_left);
}

/* The loop shall look around before the next task. */
static inline void worker_end_period(struct worker *worker)
{
    if (!worker->ready.is_shuffled) worker->slices -= (uint64_t)worker->slices_left;
    worker->slices_left = 0;
    worker->periods_left = 0;
}

int weft__worker_open(struct worker *worker, struct runtime *runtime);
void weft__worker_close(struct worker *worker);

/* Sets `newborn`: at the beginning, and when the root scope was cancelled. */
void weft__worker_set_newborn(struct worker *worker);

/* The calling thread is the one that runs the tasks: its errno, its C++ exceptions. */
void weft__worker_take_thread(struct worker *worker);

/* One look at everything outside; sleeps up to `timeout_ns` first. */
void weft__worker_turn(struct worker *worker, int64_t timeout_ns);

/* Runs tasks until the runtime is over: its root ended and all tasks with it, or grace passed. */
void weft__worker_loop(struct worker *worker);

/* Hands `entry` (a struct weft_post *, or a struct task * with the low bit set) to the worker and
 * wakes it if it sleeps. Any thread, any signal handler. */
void weft__inbox_push(struct worker *worker, uintptr_t entry);

/* Asks the task's worker for something. Others than that worker hold weft__shared_lock, unless the
 * task is on its way still. */
void weft__mail(struct task *task, enum remote_request request);

#endif
