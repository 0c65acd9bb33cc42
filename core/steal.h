/* SPDX-License-Identifier: MIT */
/*
 * How unstarted tasks come to other workers: chunks in a public deque, a watcher, and placement.
 *
 * The owner publishes at the newest end what it would run last, and takes the newest back when it
 * has no unstarted task of its own; thieves take the oldest. Nobody takes a started task.
 */
#ifndef WEFT_CORE_STEAL_H
#define WEFT_CORE_STEAL_H

#include <stdbool.h>
#include <stdint.h>

struct ready;
struct runtime;
struct task;
struct worker;

/* After PUBLISH_PERIOD spawns: publishes the oldest batch, or the older part of the only one. */
void weft__publish(struct worker *worker);

#define WEFT__WATCH_NS ((int64_t)250000) /* between two looks of the watcher */

/* What a worker (arg) is posted for by a thief that took its last chunk. */
void weft__publish_more(void *arg);

/* For a worker without a ready task: takes a chunk that has been public for a while. True: it has
 * tasks now. Else `*timeout_ns` may have become shorter: the worker watches. */
bool weft__steal(struct worker *worker, int64_t *timeout_ns);

/* A worker that rested has got a task: somebody else shall watch, also if it was called to. */
void weft__steal_hand_on(struct worker *worker);

/* A worker begins to rest: true if something is public and nobody else watches, so that it must not
 * sleep for long. With crew.lock. */
bool weft__steal_must_watch(struct worker *worker);

/* The worker with the fewest live WEFT_SPREAD tasks, and one more from now on. */
struct worker *weft__spread_choose(struct runtime *runtime);

/* Such a task has ended. */
void weft__spread_ended(struct worker *worker);

#endif
