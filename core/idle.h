/* SPDX-License-Identifier: MIT */
/*
 * What a worker does when no task is ready: for how long to sleep, or that nothing can wake it.
 */
#ifndef WEFT_CORE_IDLE_H
#define WEFT_CORE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/contract.h"

struct runtime;
struct worker;

#define WEFT__IDLE_STUCK INT64_MIN
#define WEFT__IDLE_QUIET ((int64_t)2000000) /* virtual clock: real quiet, before time jumps */

/* How long poll() may sleep now that nobody is ready; WEFT__IDLE_STUCK: no task, timer, descriptor
 * or thread can make one ready. With a virtual clock this is where time jumps. */
int64_t weft__idle_timeout(struct worker *worker);

/* The worker's next deadline; WEFT_FOREVER: none. It is the caller's, or at rest. */
int64_t weft__idle_next(struct worker *worker);

/* Something outside of the ready queues and timers may still make a task ready. The other workers
 * rest. */
bool weft__idle_can_be_woken(const struct runtime *runtime);

/* Reports the deadlock and cancels everything; if that was done already, gives the rest up. */
void weft__idle_stuck(struct worker *worker);

/* Gives idle memory back before a long sleep, and once in a while when all sleeps are short. */
void weft__idle_trim(struct worker *worker, int64_t timeout_ns);

/* Virtual clock, after real quiet: time jumps to the next deadline. */
void weft__idle_jump(struct worker *worker);

/* The only caller of the backend's poll(): tells other threads that the worker is asleep. */
int weft__idle_poll(struct worker *worker,
                    int64_t timeout_ns,
                    struct weft_event *events,
                    int capacity);

#endif
