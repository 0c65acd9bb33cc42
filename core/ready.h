/* SPDX-License-Identifier: MIT */
/*
 * Who runs next: the ready queues of one worker, and the order of picking.
 *
 * Three places: the hand-over slot (the task that was woken first in this slice), the FIFO of woken
 * tasks, and a stack of batches of unstarted tasks, one batch per slice that spawned. All bounds
 * are counts, the same on every backend. The top of the stack, `newest`, lies beside the ring of
 * the others: it is empty only if that is, too.
 */
#ifndef WEFT_CORE_READY_H
#define WEFT_CORE_READY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/random.h"
#include "core/task.h"

enum {
    READY_SLOT_RUN = 16,         /* the slot runs at most so often in a row */
    READY_UNSTARTED_RUN = 8,     /* after so many unstarted in a row, one woken task */
    READY_SLICES_PER_TURN = 256, /* then the worker looks around */
    READY_CLOCK_PERIOD = 64,     /* each so many slices it looks at the clock ... */
    READY_TURN_NS = 100000,      /* ... and looks around if the turn has lasted this long */
    READY_PUBLIC_PERIODS = 14,   /* of these: then the head of the oldest public batch, which
                                    thieves take otherwise */
    READY_BUDGET = 128,          /* weft operations per slice */
    READY_BATCHES_MIN = 64,
    READY_PUBLIC_MAX = 64, /* chunks that other workers may take */
};

/* Unstarted tasks spawned in one slice: a FIFO list. */
struct batch {
    struct task *head;
    bool is_pinned; /* none of it may go to another worker */
    bool is_due;    /* in the deque: thieves asked for it; shared, and taken at first sight */
    struct task *tail;
    uint64_t number; /* in the deque: which one it is */
};

/* Batches that other workers may take: a ring, the oldest at `first`. */
struct public_deque {
    pthread_mutex_t lock;
    atomic_uint count; /* changed under the lock, read without */
    unsigned first;
    uint64_t pushed; /* ever */
    struct batch chunks[READY_PUBLIC_MAX];
};

struct ready {
    struct task *slot;
    struct task *head; /* woken tasks, first in first out */
    struct task *tail;
    unsigned slot_run;      /* picks of the slot in a row */
    unsigned unstarted_run; /* picks of unstarted tasks in a row */

    struct batch newest; /* without a head: there is no batch */
    bool batch_is_open;  /* the newest batch belongs to the running slice */
    bool oldest_is_due;  /* a period is over: the next slow pick is of the oldest batch */
    unsigned periods;    /* since a public one was picked like that */
    struct task *mark;   /* in the open batch: its tail when chunks were last published, or NULL */

    struct batch *batches; /* the older ones: a ring of batch_mask + 1, the oldest at batch_first */
    size_t batch_mask;
    size_t batch_first;
    size_t batch_count;
    struct public_deque public; /* with several workers: core/steal.c */

    struct random shuffle; /* test only: */
    bool is_shuffled;      /* picks at random instead */
};

int weft__ready_open(struct ready *ready);
void weft__ready_close(struct ready *ready);

/* Makes room for one more batch: 0 or -ENOMEM. */
int weft__ready_reserve_batch(struct ready *ready);

/* In steal.c: there is no batch, and the newest public one becomes one, if there is any. */
bool weft__ready_take_back(struct ready *ready);

/* In steal.c: the first task of the oldest public batch, which stays public; NULL: none is. */
struct task *weft__ready_pop_public(struct ready *ready);

/* In ready_sort.c: sorts the woken tasks that were queued after `last` (NULL: all), which have all
 * waited for descriptors: who began first comes first. */
void weft__ready_sort_from(struct ready *ready, struct task *last);

/* Any task, or NULL; the orders of the slow cases. */
struct task *weft__ready_pick_slow(struct ready *ready);

static inline void ready_push_woken(struct ready *ready, struct task *task)
{
    task->next = NULL;
    if (ready->tail) {
        ready->tail->next = task;
    } else {
        ready->head = task;
    }
    ready->tail = task;
}

static inline struct task *ready_pop_woken(struct ready *ready)
{
    struct task *task = ready->head;
    ready->head = task->next;
    if (!ready->head) ready->tail = NULL;
    return task;
}

/* Word by word: a wider load would wait for the store of a part that has just been changed. */
static inline void batch_move(struct batch *to, const struct batch *from)
{
    to->head = from->head;
    to->is_pinned = from->is_pinned;
    to->tail = from->tail;
}

/* Makes place for another newest batch. The caller has reserved one. */
static inline void ready_stow_newest(struct ready *ready)
{
    if (!ready->newest.head) return;
    size_t end = ready->batch_first + ready->batch_count++;
    batch_move(&ready->batches[end & ready->batch_mask], &ready->newest);
}

/* The caller has reserved a batch if none is open. */
static inline void ready_push_unstarted(struct ready *ready, struct task *task)
{
    task->next = NULL;
    if (ready->batch_is_open) {
        ready->newest.tail->next = task;
        ready->newest.tail = task;
        return;
    }
    ready->batch_is_open = true;
    ready->mark = NULL;
    ready_stow_newest(ready);
    ready->newest.head = task;
    ready->newest.tail = task;
    ready->newest.is_pinned = false;
}

/* There is a batch. When it is used up, the one before takes its place. */
static inline struct task *ready_pop_newest(struct ready *ready)
{
    struct task *task = ready->newest.head;
    ready->newest.head = task->next;
    if (!task->next && ready->batch_count != 0) {
        size_t last = ready->batch_first + --ready->batch_count;
        batch_move(&ready->newest, &ready->batches[last & ready->batch_mask]);
    }
    return task;
}

/* None of the newest batch may go to another worker. There is one. */
static inline void ready_pin_newest(struct ready *ready)
{
    ready->newest.is_pinned = true;
}

static inline bool ready_is_empty(const struct ready *ready)
{
    /* relaxed: only its worker makes it greater */
    return !ready->slot && !ready->head && !ready->newest.head &&
           atomic_load_explicit(&ready->public.count, memory_order_relaxed) == 0;
}

#endif
