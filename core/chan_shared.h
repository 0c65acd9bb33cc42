/* SPDX-License-Identifier: MIT */
/*
 * Shared channels: for plain threads and the tasks of any runtime, under one process-wide lock.
 *
 * Lock order: weft__shared_lock is innermost but for a worker's inbox, which takes none.
 */
#ifndef WEFT_CORE_CHAN_SHARED_H
#define WEFT_CORE_CHAN_SHARED_H

#include <stdbool.h>

#include <weft/chan.h>

struct task;

/* Recursive: a select over local and shared channels may complete others while it holds it. */
void weft__shared_lock(void);
void weft__shared_unlock(void);

/* False if another thread holds it; for signal handlers. */
bool weft__shared_try_lock(void);

/* In a forked child: the thread that held the lock does not exist. */
void weft__shared_forget(void);

/* With the lock held: 0, -EPIPE or -EAGAIN. */
int weft__shared_send_now(struct weft_chan *chan, const void *value);
int weft__shared_recv_now(struct weft_chan *chan, void *ret_value);

/* A task that will never run again takes nothing from shared channels any more. */
void weft__shared_leave(struct task *task);

/* On the task's worker: another thread has completed its operation. */
void weft__shared_arrived(struct task *task);

#endif
