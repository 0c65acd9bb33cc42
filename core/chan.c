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
static int send_late(struct worker *worker, struct weft_chan *chan, const void *value);
static int recv_late(struct worker *worker, struct weft_chan *chan, void *ret_value);
static int hand_to_receiver(struct worker *worker, struct weft_chan *chan, const void *value);
static int take_from_sender(struct worker *worker, struct weft_chan *chan, void *ret_value);
static int send_park(struct worker *worker,
                     struct task *self,
                     struct weft_chan *chan,
                     const void *value);
static int recv_park(struct worker *worker,
                     struct task *self,
                     struct weft_chan *chan,
                     void *ret_value);

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
    /* Aligned by hand: an aligned allocation takes ten times the instructions of a plain one. */
    const size_t line = _Alignof(struct weft_chan);
    char *block = malloc(sizeof(struct weft_chan) + slots_size + line - _Alignof(max_align_t));
    if (!block) return -ENOMEM;

    struct weft_chan *chan = (void *)(block + (-(uintptr_t)block & (line - 1)));
    *chan = (struct weft_chan){
        .block = block,
        .runtime = options->shared ? NULL : worker->runtime,
        .value_size = (uint32_t)options->value_size,
        .capacity = (uint32_t)options->capacity,
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

/*
 * The two calls below are laid out for speed: what is usual stands in the function itself, and what
 * is not is left to a tail call, so that the usual way needs no stack frame.
 */

/* A value of eight bytes, without a call. */
static inline void copy_word(void *target, const void *source)
{
    memcpy(target, source, sizeof(uint64_t));
}

int weft_chan_send(struct weft_chan *chan, const void *value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan || chan->runtime != worker->runtime)) {
        return send_elsewhere(chan, value);
    }
    struct task *self = worker->current;
    if (unlikely(--worker->budget < 0 || self->interrupt)) return send_late(worker, chan, value);
    if (unlikely(chan->closed)) return -EPIPE;
    if (!list_is_empty(&chan->receivers)) return hand_to_receiver(worker, chan, value);
    if (chan->count < chan->capacity) {
        if (unlikely(chan->value_size != sizeof(uint64_t))) return weft__chan_send_now(chan, value);
        copy_word(chan_slot(chan, chan->count), value);
        chan->count++;
        return 0;
    }
    if (unlikely(self->no_sleep)) return self->no_sleep;
    return send_park(worker, self, chan, value);
}

int weft_chan_recv(struct weft_chan *chan, void *ret_value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan || chan->runtime != worker->runtime)) {
        return recv_elsewhere(chan, ret_value);
    }
    struct task *self = worker->current;
    if (unlikely(--worker->budget < 0 || self->interrupt))
        return recv_late(worker, chan, ret_value);
    if (chan->count > 0) {
        bool is_word = chan->value_size == sizeof(uint64_t) && ret_value;
        if (unlikely(!is_word || !list_is_empty(&chan->senders))) {
            return weft__chan_recv_now(chan, ret_value);
        }
        copy_word(ret_value, &chan->slots[(size_t)chan->first * sizeof(uint64_t)]);
        if (++chan->first == chan->capacity) chan->first = 0;
        chan->count--;
        return 0;
    }
    if (!list_is_empty(&chan->senders)) return take_from_sender(worker, chan, ret_value);
    if (unlikely(chan->closed)) return weft__chan_recv_now(chan, ret_value);
    if (unlikely(self->no_sleep)) return self->no_sleep;
    return recv_park(worker, self, chan, ret_value);
}

static inline int send_park(struct worker *worker,
                            struct task *self,
                            struct weft_chan *chan,
                            const void *value)
{
    weft__wait_for(self, &send_wait, chan, (void *)(uintptr_t)value);
    list_push_back(&chan->senders, &self->wait.waiter.link);
    return weft__park(worker, self);
}

static inline int recv_park(struct worker *worker,
                            struct task *self,
                            struct weft_chan *chan,
                            void *ret_value)
{
    weft__wait_for(self, &recv_wait, chan, ret_value);
    list_push_back(&chan->receivers, &self->wait.waiter.link);
    return weft__park(worker, self);
}

/* A receiver waits. If another thread takes them all away, the value is stored, or waits itself. */
__attribute__((noinline)) static int hand_to_receiver(struct worker *worker,
                                                      struct weft_chan *chan,
                                                      const void *value)
{
    struct waiter *receiver = waiter_of_link(list_first(&chan->receivers));
    struct wait *wait = &receiver->task->wait;
    if (likely(receiver == &wait->waiter && chan->value_size == sizeof(uint64_t) && wait->value)) {
        list_remove(&receiver->link);
        copy_word(wait->value, value);
        weft__wake(receiver->task, 0);
        return 0;
    }
    int result = weft__chan_send_now(chan, value);
    if (likely(result != -EAGAIN)) return result;
    struct task *self = worker->current;
    return self->no_sleep ? self->no_sleep : send_park(worker, self, chan, value);
}

/* Nothing is stored, and a sender waits. */
__attribute__((noinline)) static int take_from_sender(struct worker *worker,
                                                      struct weft_chan *chan,
                                                      void *ret_value)
{
    struct waiter *sender = waiter_of_link(list_first(&chan->senders));
    struct wait *wait = &sender->task->wait;
    if (likely(sender == &wait->waiter && chan->value_size == sizeof(uint64_t) && ret_value)) {
        list_remove(&sender->link);
        copy_word(ret_value, wait->value);
        weft__wake(sender->task, 0);
        return 0;
    }
    int result = weft__chan_recv_now(chan, ret_value);
    if (likely(result != -EAGAIN)) return result;
    struct task *self = worker->current;
    return self->no_sleep ? self->no_sleep : recv_park(worker, self, chan, ret_value);
}

/* The budget is used up, or the call is refused. */
__attribute__((noinline)) static int send_late(struct worker *worker,
                                               struct weft_chan *chan,
                                               const void *value)
{
    struct task *self = worker->current;
    int result = weft__enter_late(worker, self);
    if (result) return result;
    result = weft__chan_send_now(chan, value);
    if (result != -EAGAIN) return result;
    return self->no_sleep ? self->no_sleep : send_park(worker, self, chan, value);
}

__attribute__((noinline)) static int recv_late(struct worker *worker,
                                               struct weft_chan *chan,
                                               void *ret_value)
{
    struct task *self = worker->current;
    int result = weft__enter_late(worker, self);
    if (result) return result;
    result = weft__chan_recv_now(chan, ret_value);
    if (result != -EAGAIN) return result;
    return self->no_sleep ? self->no_sleep : recv_park(worker, self, chan, ret_value);
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
    return chan->runtime ? weft__chan_send_now(chan, value) : weft__shared_try_send(chan, value);
}

int weft_chan_try_recv(struct weft_chan *chan, void *ret_value)
{
    int result = check_owner(chan);
    if (unlikely(result < 0)) return result;
    return chan->runtime ? weft__chan_recv_now(chan, ret_value)
                         : weft__shared_try_recv(chan, ret_value);
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

/* The longest waiting of a queue, off it; NULL if there is none. */
static inline struct waiter *chan_pop_waiter(struct list *queue)
{
    while (!list_is_empty(queue)) {
        struct waiter *waiter = waiter_of_link(list_pop_front(queue));
        if (likely(weft__waiter_claim(waiter))) return waiter;
    }
    return NULL;
}

int weft__chan_send_now(struct weft_chan *chan, const void *value)
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

int weft__chan_recv_now(struct weft_chan *chan, void *ret_value)
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
    free(chan->block);
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
