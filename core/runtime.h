/* SPDX-License-Identifier: MIT */
/*
 * A runtime: its workers, its root scope, and the counted public handle.
 */
#ifndef WEFT_CORE_RUNTIME_H
#define WEFT_CORE_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <weft/runtime.h>

#include "core/crew.h"
#include "core/fd_users.h"
#include "core/host.h"
#include "core/record.h"
#include "core/scope.h"
#include "core/worker.h"

/* The settings of one run: the caller's configuration after the environment was applied. */
struct settings {
    struct weft_config config;
    uint64_t shuffle_seed; /* WEFT_TEST_SHUFFLE; 0: off */
    bool is_virtual;
    bool reports_leaks;
    bool guards_required;
};

int weft__settings_load(struct settings *ret, const struct weft_config *config);

/* Of weft_runtime.gate. */
enum { GATE_OPEN = 1, GATE_ENTRANT = 2 };

/* The public, counted part: lives until the last reference is gone. */
struct weft_runtime {
    atomic_size_t references; /* one is the runtime's own */
    /* Posters count themselves in and check `is_open`; the end clears it and waits until all are
     * out. Bit 0: open; the rest: posters inside, times 2. */
    atomic_uintptr_t gate;
    struct runtime *runtime; /* valid while the gate is held open */
};

struct runtime {
    struct weft_runtime *handle;
    struct settings settings;
    struct worker worker;    /* number 0; the calling thread of weft_run() or weft_attach() */
    struct worker **workers; /* all, by number */
    unsigned worker_count;
    bool has_many;             /* workers: what is private may become shared */
    struct fd_users *fd_users; /* with many workers */
    struct crew crew;          /* how they start, rest and end; core/crew.h */
    struct host host;
    struct record_pool foreign_records; /* of weft_runtime_spawn(), behind foreign_lock */
    pthread_mutex_t foreign_lock;
    struct task *root; /* NULL once it has ended, and in a host's loop */
    int root_result;
    atomic_bool is_cancelled; /* the root scope is; relaxed */
    bool is_over;             /* the root has ended: everything else is being cancelled */
    bool is_deadlocked;
    atomic_bool is_given_up; /* survivors cannot be woken: they are never resumed */
    int64_t grace_end_ns;
    atomic_bool stop_requested;
    struct weft_post stop_post;
    atomic_size_t shared_parked; /* tasks of this runtime asleep in shared channels */
    struct runtime *next;        /* of the process's list of live runtimes */
};

/* `runtime` is zeroed, but for `host`. On failure nothing is left to close. */
int weft__runtime_open(struct runtime *runtime, const struct weft_config *config);

/* After the worker's loop: gives its result, and frees everything but the struct itself, into which
 * the stacks of survivors point. */
int weft__runtime_end(struct runtime *runtime, bool *ret_has_survivors);

/* Runs `visit` for every task of the runtime that has not been released. */
void weft__runtime_visit(struct runtime *runtime,
                         void (*visit)(struct task *task, void *arg),
                         void *arg);

/* Of those that other threads spawned. */
void weft__runtime_visit_foreign(struct runtime *runtime,
                                 void (*visit)(struct task *task, void *arg),
                                 void *arg);

/* Cancels the root scope. */
void weft__runtime_cancel_all(struct runtime *runtime);

/* What a worker (arg) is posted for that: refreshes the tasks whose records it has. */
void weft__runtime_refresh(void *arg);

static inline bool runtime_is_cancelled(const struct runtime *runtime)
{
    return atomic_load_explicit(&runtime->is_cancelled, memory_order_relaxed);
}

/* Tasks that have not ended. The other workers rest, or are gone. */
uint64_t weft__runtime_live(const struct runtime *runtime);

/* Counts the caller in if the runtime is open (then leave must follow); any thread, signals. */
struct runtime *weft__runtime_enter(struct weft_runtime *handle);
void weft__runtime_leave(struct weft_runtime *handle);

/* Makes forked children known, once per process. */
void weft__fork_watch(void);

/* In a forked child that has not called weft_after_fork_child(). */
bool weft__is_forked(void);

/* In a forked child: the parent's runtimes are none of its business. */
void weft__runtimes_forget(void);

/* Handles of live runtimes, at most `max`; each is held for the caller. */
size_t weft__runtimes_hold(struct weft_runtime **ret, size_t max);

/* As weft__share_wait(), for a worker of any runtime, which may be gone, too: then nothing is to be
 * waited for. Only where the barrier exists. */
void weft__runtimes_wait_for(const struct worker *worker);

/* -EPERM, or -EOWNERDEAD in a forked child that has not called weft_after_fork_child(). */
int weft__not_in_task(void);

#endif
