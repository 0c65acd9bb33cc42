/* SPDX-License-Identifier: MIT */
/*
 * The slow cases of picking who runs next, and the ring of batches.
 */
#include "core/ready.h"

#include <errno.h>
#include <stdlib.h>

static struct task *pop_starving(struct ready *ready);
static struct task *pop_oldest(struct ready *ready);
static struct task *pick_random(struct ready *ready);

int weft__ready_open(struct ready *ready)
{
    ready->batches = malloc(READY_BATCHES_MIN * sizeof *ready->batches);
    if (!ready->batches) return -ENOMEM;

    ready->batch_mask = READY_BATCHES_MIN - 1;
    ready->public.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    return 0;
}

void weft__ready_close(struct ready *ready)
{
    free(ready->batches);
    ready->batches = NULL;
}

int weft__ready_reserve_batch(struct ready *ready)
{
    if (ready->batch_count <= ready->batch_mask) return 0;

    size_t size = (ready->batch_mask + 1) * 2;
    struct batch *batches = malloc(size * sizeof *batches);
    if (!batches) return -ENOMEM;

    for (size_t i = 0; i < ready->batch_count; i++) {
        batches[i] = ready->batches[(ready->batch_first + i) & ready->batch_mask];
    }
    free(ready->batches);
    ready->batches = batches;
    ready->batch_mask = size - 1;
    ready->batch_first = 0;
    return 0;
}

struct task *weft__ready_pick_slow(struct ready *ready)
{
    if (ready->is_shuffled) return pick_random(ready);

    /* What is public comes when nothing else is ready, or in the place of the oldest batch. */
    if (!ready->newest.head) (void)weft__ready_take_back(ready);

    struct task *slot = ready->slot;
    ready->slot = NULL;
    if (slot && ready->slot_run < READY_SLOT_RUN) {
        ready->slot_run++;
        return slot;
    }
    if (slot) ready_push_woken(ready, slot); /* it has had its run: behind everybody */
    ready->slot_run = 0;

    bool oldest = ready->oldest_is_due;
    ready->oldest_is_due = false;
    struct task *starving = oldest ? pop_starving(ready) : NULL;
    if (starving) {
        ready->unstarted_run++;
        return starving;
    }
    bool unstarted_first = ready->unstarted_run < READY_UNSTARTED_RUN || !ready->head;
    if (ready->newest.head && (unstarted_first || oldest)) {
        ready->unstarted_run++;
        return oldest ? pop_oldest(ready) : ready_pop_newest(ready);
    }
    ready->unstarted_run = 0;
    return ready->head ? ready_pop_woken(ready) : NULL;
}

/* What is public waits for thieves, but not for ever. NULL: none is, or not for long. */
static struct task *pop_starving(struct ready *ready)
{
    if (++ready->periods < READY_PUBLIC_PERIODS) return NULL;
    ready->periods = 0;
    return weft__ready_pop_public(ready);
}

/* There is a batch. */
static struct task *pop_oldest(struct ready *ready)
{
    if (ready->batch_count == 0) return ready_pop_newest(ready);
    struct batch *batch = &ready->batches[ready->batch_first & ready->batch_mask];
    struct task *task = batch->head;
    batch->head = task->next;
    if (!batch->head) {
        ready->batch_first = (ready->batch_first + 1) & ready->batch_mask;
        ready->batch_count--;
    }
    return task;
}

/* Test only: any of the first few, woken and unstarted tasks alike. */
static struct task *pick_random(struct ready *ready)
{
    if (ready->slot) {
        ready_push_woken(ready, ready->slot);
        ready->slot = NULL;
    }
    while (ready->newest.head)
        ready_push_woken(ready, pop_oldest(ready));
    if (!ready->head) return NULL;

    for (uint32_t turns = weft__random_below(&ready->shuffle, 8); turns > 0; turns--) {
        ready_push_woken(ready, ready_pop_woken(ready)); /* rotate by a random amount */
    }
    return ready_pop_woken(ready);
}
