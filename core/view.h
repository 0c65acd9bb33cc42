/* SPDX-License-Identifier: MIT */
/*
 * A look at the tasks of a runtime: who may be read, and what keeps it from changing meanwhile.
 *
 * While workers run, a thread reads the tasks that run on its own worker, and of those that it has
 * spawned and that run elsewhere only what never changes. When all stand still it reads all.
 */
#ifndef WEFT_CORE_VIEW_H
#define WEFT_CORE_VIEW_H

#include <stdbool.h>

struct runtime;
struct task;
struct text;
struct worker;

struct view {
    struct runtime *runtime;
    struct worker *worker; /* the calling thread's, which shows its own; NULL: all stand still */
    struct text *text;     /* is not written out while a record is held; may be NULL */
    bool in_signal;        /* in a signal handler: no lock is waited for */
    bool is_locked_out;    /* ... and one was out of reach for long */
};

typedef void view_fn(struct task *task, void *arg);

/* `where` it runs, or ran; the shared lock is held then. NULL: a signal handler did not get it. */
typedef void view_elsewhere_fn(struct task *task, const struct worker *where, void *arg);

/* Calls visit(task, arg) for each task that may be read. In a signal handler it leaves out the
 * tasks of other threads' spawns while one of these is under way. */
void weft__view_tasks(struct view *view, view_fn *visit, void *arg);

/* Those that were spawned on the view's worker and run on another one. Of these only the id, the
 * spawn site, `remote` and, with the lock, the name may be read. */
void weft__view_elsewhere(struct view *view, view_elsewhere_fn *visit, void *arg);

/* With the lock: has one that ran elsewhere ended? */
bool weft__view_has_ended(const struct task *task);

#endif
