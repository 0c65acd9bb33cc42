/* SPDX-License-Identifier: MIT */
/*
 * What is shared between workers, runtimes and plain threads: one process-wide lock, and channels.
 *
 * Lock order: weft__shared_lock is innermost but for a worker's inbox, which takes none.
 */
#ifndef WEFT_CORE_CHAN_SHARED_H
#define WEFT_CORE_CHAN_SHARED_H

#include <stdbool.h>

#include <weft/chan.h>

struct list;
struct task;
struct waiter;
struct worker;

/* Recursive: a select over local and shared channels may complete others while it holds it. */
void weft__shared_lock(void);
void weft__shared_unlock(void);

/* Wakes a worker whose inbox was filled (core/post.c): at once, or, with the lock held, when the
 * caller has left it: else the worker would wake only to wait for the lock. */
void weft__shared_wake(struct worker *worker);

/* False if another thread holds it; for signal handlers. */
bool weft__shared_try_lock(void);

/* In a forked child: the thread that held the lock does not exist. */
void weft__shared_forget(void);

/* With the lock held: 0, -EPIPE or -EAGAIN. */
int weft__shared_send_now(struct weft_chan *chan, const void *value);
int weft__shared_recv_now(struct weft_chan *chan, void *ret_value);

/* With the lock held: the waiter, off its queue, has its value or its error. Wakes whoever it is,
 * through the inbox of its worker. */
void weft__shared_complete(struct waiter *waiter, int status);

/* Blocks the calling plain thread in a queue, in front of all others or behind them, until it is
 * completed; returns the status. The lock is held before and after. */
int weft__shared_block(struct list *queue, bool is_first);

/* With the lock held: has the task's wait been completed, so that its waiters mean nothing? */
bool weft__shared_is_done(const struct waiter *waiter);

/* What wait_kind.abandon does for a plain wait that others may complete. */
bool weft__shared_abandon(struct task *task);

/* A task that will never run again takes nothing from shared channels any more. */
void weft__shared_leave(struct task *task);

/* On the task's worker, with the lock: another thread has completed its operation. */
void weft__shared_arrived(struct task *task);

/* The task goes to sleep where also others than tasks of its runtime may wake it, which is no
 * deadlock; and it does so no more, if it did. */
void weft__shared_count(struct worker *worker, struct task *task);
void weft__shared_uncount(struct worker *worker, struct task *task);

#endif
