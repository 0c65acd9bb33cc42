/* SPDX-License-Identifier: MIT */
/*
 * Tasks that may change workers after they have started (WEFT_MIGRATABLE).
 *
 * Only its own worker sends such a task away, between two slices, when it is ready: then it stands
 * in no queue but that of the ready ones. It is shared since its spawn, and its scopes since they
 * were opened (core/share.h), so nothing of it becomes shared by the move.
 */
#ifndef WEFT_CORE_MIGRATE_H
#define WEFT_CORE_MIGRATE_H

#include <stdbool.h>

struct runtime;
struct task;
struct worker;

/* Of a task that is not known to anybody yet, and will be shared when it is. Any thread. */
void weft__migrate_allow(struct runtime *runtime, struct task *task);

/* In a turn, which the thread may have slept in: sends ready tasks to workers that rest, if those
 * that run here run for long. */
void weft__migrate(struct worker *worker, bool has_slept);

/* Before a task that may move yields: a turn comes next, if there is a better place. */
void weft__migrate_offer(struct worker *worker);

/* It came out of the worker's inbox; with the lock. */
void weft__migrate_arrive(struct worker *worker, struct task *task);

#endif
