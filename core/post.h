/* SPDX-License-Identifier: MIT */
/*
 * The inbox of a worker: a lock-free stack of posts and tasks, turned round when it is drained.
 */
#ifndef WEFT_CORE_POST_H
#define WEFT_CORE_POST_H

struct worker;

/* Runs or adopts everything that other threads have handed over, in order. */
void weft__inbox_drain(struct worker *worker);

/* At the end, with the gate shut: what is left will not run. */
void weft__inbox_discard(struct worker *worker);

#endif
