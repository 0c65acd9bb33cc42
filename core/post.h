/* SPDX-License-Identifier: MIT */
/*
 * The inbox of a worker: a lock-free stack of posts and tasks, turned round when it is drained.
 */
#ifndef WEFT_CORE_POST_H
#define WEFT_CORE_POST_H

struct weft_post;
struct worker;

/* As weft_post(), to any worker of a runtime that cannot end meanwhile. */
void weft__post_to(struct worker *worker, struct weft_post *post);

/* Runs or adopts everything that other threads have handed over, in order. */
void weft__inbox_drain(struct worker *worker);

/* At the end, with the gate shut: what is left will not run. */
void weft__inbox_discard(struct worker *worker);

#endif
