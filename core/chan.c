/* SPDX-License-Identifier: MIT */
/*
 * Channels of one runtime: send, receive, close.
 *
 * Refuse, hand over or store, else sleep; the sleeper's partner copies the value straight between
 * the two tasks' memory and wakes it. Shared channels go to core/chan_shared.c at once.
 */
#include "core/chan.h"

#include <limits.h>
#include <stdlib.h>

#include "core/runtime.h"

static int send_elsewhere(struct weft_chan *chan, const void *value);
static int recv_elsewhere(struct weft_chan *chan, void *ret_value);
static int check_owner(const struct weft_chan *chan);

static bool chan_abandon(struct task *task)
{
    list_remove(&task->wait.waiter.link);
    return true;
}

static const struct wait_kind send_wait = {.name = "chan send", .abandon = chan_abandon};
static const struct wait_kind recv_wait = {.name = "chan recv", .abandon = chan_abandon};

/* ---- open ---- */

int weft_chan_open_with_at(struct weft_chan **ret,
                           const struct weft_chan_options *options,
                           const char *site)
{
    if (!ret || !options || options->size < sizeof *options) return -EINVAL;
    struct worker *worker = weft__worker();
    if (!worker && !options->shared) return weft__not_in_task();

    size_t slots_size = 0;
    if (__builtin_mul_overflow(options->value_size, options->capacity, &slots_size) ||
        options->value_size > INT_MAX || options->capacity > INT_MAX ||
        slots_size > PTRDIFF_MAX / 2) {
        return -EINVAL;
    }
    struct weft_chan *chan = malloc(sizeof *chan + slots_size);
    if (!chan) return -ENOMEM;

    *chan = (struct weft_chan){
        .runtime = options->shared ? NULL : worker->runtime,
        .value_size = options->value_size,
        .capacity = options->capacity,
        .references = 1,
        .drop = options->drop,
        .drop_arg = options->drop_arg,
        .site = site,
    };
    list_open(&chan->senders);
    list_open(&chan->receivers);
    *ret = chan;
    return 0;
}

int(weft_chan_open_with)(struct weft_chan **ret, const struct weft_chan_options *options)
{
    return weft_chan_open_with_at(ret, options, NULL);
}

int weft_chan_open_at(struct weft_chan **ret, size_t value_size, size_t capacity, const char *site)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = value_size;
    options.capacity = capacity;
    return weft_chan_open_with_at(ret, &options, site);
}

int(weft_chan_open)(struct weft_chan **ret, size_t value_size, size_t capacity)
{
    return weft_chan_open_at(ret, value_size, capacity, NULL);
}

/* ---- send and receive ---- */

int weft_chan_send(struct weft_chan *chan, const void *value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan || chan->runtime != worker->runtime)) {
        return send_elsewhere(chan, value);
    }
    struct task *self = worker->current;
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;
    result = chan_send_now(chan, value);
    if (result != -EAGAIN) return result;
    if (unlikely(self->no_sleep)) return self->no_sleep;

    weft__wait_for(self, &send_wait, chan, (void *)(uintptr_t)value);
    list_push_back(&chan->senders, &self->wait.waiter.link);
    return weft__park(worker, self);
}

int weft_chan_recv(struct weft_chan *chan, void *ret_value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan || chan->runtime != worker->runtime)) {
        return recv_elsewhere(chan, ret_value);
    }
    struct task *self = worker->current;
    int result = weft__enter(worker, self);
    if (unlikely(result)) return result;
    result = chan_recv_now(chan, ret_value);
    if (result != -EAGAIN) return result;
    if (unlikely(self->no_sleep)) return self->no_sleep;

    weft__wait_for(self, &recv_wait, chan, ret_value);
    list_push_back(&chan->receivers, &self->wait.waiter.link);
    return weft__park(worker, self);
}

/* Not a task, or not a channel of this runtime. */
static int send_elsewhere(struct weft_chan *chan, const void *value)
{
    if (!chan) return -EINVAL;
    return chan->runtime ? weft__not_in_task() : weft__shared_send(chan, value);
}

static int recv_elsewhere(struct weft_chan *chan, void *ret_value)
{
    if (!chan) return -EINVAL;
    return chan->runtime ? weft__not_in_task() : weft__shared_recv(chan, ret_value);
}

int weft_chan_try_send(struct weft_chan *chan, const void *value)
{
    int result = check_owner(chan);
    if (unlikely(result < 0)) return result;
    return chan->runtime ? chan_send_now(chan, value) : weft__shared_try_send(chan, value);
}

int weft_chan_try_recv(struct weft_chan *chan, void *ret_value)
{
    int result = check_owner(chan);
    if (unlikely(result < 0)) return result;
    return chan->runtime ? chan_recv_now(chan, ret_value) : weft__shared_try_recv(chan, ret_value);
}

/* 0 if the calling thread may touch it: shared, or of the runtime that runs here. */
static int check_owner(const struct weft_chan *chan)
{
    if (unlikely(!chan)) return -EINVAL;
    if (!chan->runtime) return 0;
    struct worker *worker = weft__worker();
    if (unlikely(!worker || chan->runtime != worker->runtime)) return weft__not_in_task();
    return 0;
}

/* ---- close and free ---- */

int weft_chan_close(struct weft_chan *chan)
{
    int result = check_owner(chan);
    if (result < 0) return result;
    if (!chan->runtime) return weft__shared_close(chan);
    if (chan->closed) return -EPIPE;
    weft__chan_shut(chan);
    return 0;
}

void weft__chan_shut(struct weft_chan *chan)
{
    chan->closed = true;
    struct waiter *waiter = NULL;
    while ((waiter = chan_pop_waiter(&chan->receivers)) != NULL) {
        void *target = waiter_value(waiter);
        if (target) memset(target, 0, chan->value_size);
        weft__waiter_complete(waiter, -EPIPE);
    }
    while ((waiter = chan_pop_waiter(&chan->senders)) != NULL) {
        weft__waiter_complete(waiter, -EPIPE);
    }
}

struct weft_chan *weft_chan_ref(struct weft_chan *chan)
{
    /* relaxed: the caller holds a reference already, which orders everything */
    if (chan) atomic_fetch_add_explicit(&chan->references, 1, memory_order_relaxed);
    return chan;
}

void weft_chan_unref(struct weft_chan *chan)
{
    if (!chan) return;
    /* acq_rel: the last one sees what all others did to the channel; pairs with itself */
    if (atomic_fetch_sub_explicit(&chan->references, 1, memory_order_acq_rel) > 1) return;

    if (!chan->runtime) {
        (void)weft__shared_close(chan); /* -EPIPE: closed already */
    } else if (!chan->closed && check_owner(chan) == 0) {
        weft__chan_shut(chan);
    }
    weft__chan_destroy(chan);
}

void weft__chan_destroy(struct weft_chan *chan)
{
    for (; chan->drop && chan->count > 0; chan->count--) {
        chan->drop(chan_slot(chan, 0), chan->drop_arg);
        if (++chan->first == chan->capacity) chan->first = 0;
    }
    free(chan);
}

size_t weft_chan_len(const struct weft_chan *chan)
{
    if (check_owner(chan) < 0) return 0;
    return chan->runtime ? chan->count : weft__shared_len(chan);
}

size_t weft_chan_cap(const struct weft_chan *chan)
{
    return chan ? chan->capacity : 0;
}
