/* SPDX-License-Identifier: MIT */
/*
 * A channel: a ring of values, and the queues of who waits.
 *
 * A receiver never waits beside a stored value, a sender never beside a free slot. A channel is
 * private to the worker that opened it, or shared: from the beginning, for plain threads and other
 * runtimes too (runtime NULL), or since another worker of its runtime has used it (core/share.h).
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
#include "core/share.h"

struct runtime;

struct weft_chan {
    /* Line 0: all that a send or a receive looks at. */
    _Alignas(64) _Atomic(struct worker *) home; /* whose it is; NULL: shared. Relaxed */
    struct list senders;                        /* waiters with a value to send */
    struct list receivers;                      /* waiters with room for a value */
    uint32_t value_size;
    uint32_t capacity;
    uint32_t count; /* values stored */
    uint32_t first; /* index of the oldest */
    bool closed;
    _Atomic(uint8_t) sharing; /* enum sharing */

    struct runtime *runtime; /* whose tasks may use it; NULL: anybody */
    struct worker *owner;    /* whose it was at first; NULL: nobody's */
    atomic_size_t references;
    void (*drop)(void *value, void *arg);
    void *drop_arg;
    const char *site;
    void *block; /* what free() gets */
    _Alignas(16) unsigned char slots[];
};

_Static_assert(offsetof(struct weft_chan, closed) < 64, "one cache line");

/* May the worker touch it without a lock? In an operation. */
static inline bool chan_is_private(const struct weft_chan *chan, const struct worker *worker)
{
    return __builtin_expect(atomic_load_explicit(&chan->home, memory_order_relaxed) == worker, 1);
}

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

static inline void *chan_slot(struct weft_chan *chan, uint32_t index)
{
    uint32_t position = chan->first + index; /* both are below 2^31 */
    if (position >= chan->capacity) position -= chan->capacity;
    return &chan->slots[(size_t)position * chan->value_size];
}

/* Hands over or stores: 0, -EPIPE, or -EAGAIN if it would sleep. */
int weft__chan_send_now(struct weft_chan *chan, const void *value);

/* Takes the oldest value, and lets the longest waiting sender move up: 0, -EPIPE or -EAGAIN. */
int weft__chan_recv_now(struct weft_chan *chan, void *ret_value);

/* Would send_now (recv_now) do something else than -EAGAIN? For select, which only then acts;
 * without branches, which could not be predicted. */
static inline bool chan_can_send(const struct weft_chan *chan)
{
    return (chan->count < chan->capacity) | !list_is_empty(&chan->receivers) | chan->closed;
}

static inline bool chan_can_recv(const struct weft_chan *chan)
{
    return (chan->count > 0) | !list_is_empty(&chan->senders) | chan->closed;
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
