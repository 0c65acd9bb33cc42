/* SPDX-License-Identifier: MIT */
/*
 * The inbox of a worker: a lock-free stack of posts and tasks, turned round when it is drained.
 */
#ifndef WEFT_CORE_POST_H
#define WEFT_CORE_POST_H

struct weft_post;
struct worker;

/* Wakes a worker that was found asleep after its inbox was filled; or does not, since another one
 * of the same does. */
void weft__inbox_wake(struct worker *worker);
void weft__inbox_forgo(struct worker *worker);

/* Returns when nobody is on the way to wake it any more. Its inbox is filled no more. */
void weft__await_wakers(const struct worker *worker);

/* As weft_post(), to any worker of a runtime that cannot end meanwhile. */
void weft__post_to(struct worker *worker, struct weft_post *post);

/* Runs or adopts everything that other threads have handed over, in order. */
void weft__inbox_drain(struct worker *worker);

/* At the end, with the gate shut: what is left will not run. */
void weft__inbox_discard(struct worker *worker);

#endif
