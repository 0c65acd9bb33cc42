/* SPDX-License-Identifier: MIT */
/*
 * A channel: a ring of values, and the queues of who waits.
 *
 * A receiver never waits beside a stored value, a sender never beside a free slot. A channel
 * belongs to one runtime and is touched by its worker only; a shared one (runtime NULL) is touched
 * only under weft__shared_lock.
 */
#ifndef WEFT_CORE_CHAN_H
#define WEFT_CORE_CHAN_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <weft/chan.h>

#include "base/list.h"
#include "core/park.h"

struct runtime;

struct weft_chan {
    struct runtime *runtime; /* whose tasks may use it; NULL: shared */
    size_t value_size;
    size_t capacity;
    size_t count; /* values stored */
    size_t first; /* index of the oldest */
    bool closed;
    struct list senders;   /* waiters with a value to send */
    struct list receivers; /* waiters with room for a value */
    atomic_size_t references;
    void (*drop)(void *value, void *arg);
    void *drop_arg;
    const char *site;
    _Alignas(16) unsigned char slots[];
};

/* Sizes that fit a register are most of what is sent. */
static inline void chan_copy(void *target, const void *source, size_t size)
{
    if (size == sizeof(uint64_t)) {
        memcpy(target, source, sizeof(uint64_t));
    } else if (size == sizeof(uint32_t)) {
        memcpy(target, source, sizeof(uint32_t));
    } else if (size > 0) {
        memcpy(target, source, size);
    }
}

static inline void *chan_slot(struct weft_chan *chan, size_t index)
{
    size_t position = chan->first + index;
    if (position >= chan->capacity) position -= chan->capacity;
    return &chan->slots[position * chan->value_size];
}

/* The longest waiting of a queue, off it; NULL if there is none. */
static inline struct waiter *chan_pop_waiter(struct list *queue)
{
    while (!list_is_empty(queue)) {
        struct waiter *waiter = waiter_of_link(list_pop_front(queue));
        if (likely(weft__waiter_claim(waiter))) return waiter;
    }
    return NULL;
}

/* Hands over or stores: 0, -EPIPE, or -EAGAIN if it would sleep. */
static inline int chan_send_now(struct weft_chan *chan, const void *value)
{
    if (unlikely(chan->closed)) return -EPIPE;

    if (!list_is_empty(&chan->receivers)) {
        struct waiter *receiver = chan_pop_waiter(&chan->receivers);
        if (likely(receiver != NULL)) {
            void *target = waiter_value(receiver);
            if (target) chan_copy(target, value, chan->value_size);
            weft__waiter_complete(receiver, 0);
            return 0;
        }
    }
    if (chan->count == chan->capacity) return -EAGAIN;

    chan_copy(chan_slot(chan, chan->count), value, chan->value_size);
    chan->count++;
    return 0;
}

/* Takes the oldest value, and lets the longest waiting sender move up: 0, -EPIPE or -EAGAIN. */
static inline int chan_recv_now(struct weft_chan *chan, void *ret_value)
{
    if (chan->count > 0) {
        if (ret_value) chan_copy(ret_value, chan_slot(chan, 0), chan->value_size);
        if (++chan->first == chan->capacity) chan->first = 0;
        chan->count--;
        if (list_is_empty(&chan->senders)) return 0;

        struct waiter *sender = chan_pop_waiter(&chan->senders);
        if (unlikely(!sender)) return 0;
        chan_copy(chan_slot(chan, chan->count), waiter_value(sender), chan->value_size);
        chan->count++;
        weft__waiter_complete(sender, 0);
        return 0;
    }

    if (!list_is_empty(&chan->senders)) {
        struct waiter *sender = chan_pop_waiter(&chan->senders);
        if (likely(sender != NULL)) {
            if (ret_value) chan_copy(ret_value, waiter_value(sender), chan->value_size);
            weft__waiter_complete(sender, 0);
            return 0;
        }
    }
    if (likely(!chan->closed)) return -EAGAIN;

    if (ret_value) memset(ret_value, 0, chan->value_size);
    return -EPIPE;
}

/* Would send_now (recv_now) do something else than -EAGAIN? For select, which only then acts. */
static inline bool chan_can_send(const struct weft_chan *chan)
{
    return chan->count < chan->capacity || !list_is_empty(&chan->receivers) || chan->closed;
}

static inline bool chan_can_recv(const struct weft_chan *chan)
{
    return chan->count > 0 || !list_is_empty(&chan->senders) || chan->closed;
}

/* Marks it closed and wakes everybody; it was open. */
void weft__chan_shut(struct weft_chan *chan);

/* Hands what is left to the destructor, and frees. The last reference is gone, nobody waits. */
void weft__chan_destroy(struct weft_chan *chan);

/* The same calls on a shared channel; also from plain threads (worker or current NULL). */
int weft__shared_send(struct weft_chan *chan, const void *value);
int weft__shared_recv(struct weft_chan *chan, void *ret_value);
int weft__shared_try_send(struct weft_chan *chan, const void *value);
int weft__shared_try_recv(struct weft_chan *chan, void *ret_value);
int weft__shared_close(struct weft_chan *chan);
size_t weft__shared_len(const struct weft_chan *chan);

#endif
