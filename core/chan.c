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

#include "core/chan_shared.h"
#include "core/runtime.h"

static int send_elsewhere(struct weft_chan *chan, const void *value);
static int recv_elsewhere(struct weft_chan *chan, void *ret_value);
static int find_way(struct weft_chan *chan);
static struct worker *begin(struct weft_chan *chan);
static int send_now(struct worker *worker, struct weft_chan *chan, const void *value);
static int recv_now(struct worker *worker, struct weft_chan *chan, void *ret_value);
static int send_or_park(struct worker *worker, struct weft_chan *chan, const void *value);
static int recv_or_park(struct worker *worker, struct weft_chan *chan, void *ret_value);
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
    if (unlikely(task->worker->runtime->has_many)) return weft__shared_abandon(task);
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
        .owner = options->shared ? NULL : worker,
        .home = options->shared ? NULL : worker,
        .sharing = options->shared ? SHARED : PRIVATE,
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

/* The end of an operation that did not sleep. */
static inline int done(struct worker *worker, int result)
{
    core_leave(worker);
    return result;
}

/* A value of eight bytes, without a call. */
static inline void copy_word(void *target, const void *source)
{
    memcpy(target, source, sizeof(uint64_t));
}

int weft_chan_send(struct weft_chan *chan, const void *value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan)) return send_elsewhere(chan, value);
    core_enter(worker);
    if (!chan_is_private(chan, worker)) return send_elsewhere(chan, value);
    struct task *self = worker->current;
    if (unlikely(--worker->budget < 0 || self->interrupt)) return send_late(worker, chan, value);
    if (unlikely(chan->closed)) return done(worker, -EPIPE);
    if (!list_is_empty(&chan->receivers)) return hand_to_receiver(worker, chan, value);
    if (chan->count < chan->capacity) {
        if (unlikely(chan->value_size != sizeof(uint64_t))) return send_now(worker, chan, value);
        copy_word(chan_slot(chan, chan->count), value);
        chan->count++;
        return done(worker, 0);
    }
    if (unlikely(self->no_sleep)) return done(worker, self->no_sleep);
    return send_park(worker, self, chan, value);
}

int weft_chan_recv(struct weft_chan *chan, void *ret_value)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !worker->current || !chan)) return recv_elsewhere(chan, ret_value);
    core_enter(worker);
    if (!chan_is_private(chan, worker)) return recv_elsewhere(chan, ret_value);
    struct task *self = worker->current;
    if (unlikely(--worker->budget < 0 || self->interrupt))
        return recv_late(worker, chan, ret_value);
    if (chan->count > 0) {
        bool is_word = chan->value_size == sizeof(uint64_t) && ret_value;
        if (unlikely(!is_word || !list_is_empty(&chan->senders))) {
            return recv_now(worker, chan, ret_value);
        }
        copy_word(ret_value, &chan->slots[(size_t)chan->first * sizeof(uint64_t)]);
        if (++chan->first == chan->capacity) chan->first = 0;
        chan->count--;
        return done(worker, 0);
    }
    if (!list_is_empty(&chan->senders)) return take_from_sender(worker, chan, ret_value);
    if (unlikely(chan->closed)) return recv_now(worker, chan, ret_value);
    if (unlikely(self->no_sleep)) return done(worker, self->no_sleep);
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

__attribute__((noinline)) static int send_now(struct worker *worker,
                                              struct weft_chan *chan,
                                              const void *value)
{
    return done(worker, weft__chan_send_now(chan, value));
}

__attribute__((noinline)) static int recv_now(struct worker *worker,
                                              struct weft_chan *chan,
                                              void *ret_value)
{
    return done(worker, weft__chan_recv_now(chan, ret_value));
}

__attribute__((noinline)) static int send_or_park(struct worker *worker,
                                                  struct weft_chan *chan,
                                                  const void *value)
{
    int result = weft__chan_send_now(chan, value);
    if (likely(result != -EAGAIN)) return done(worker, result);
    struct task *self = worker->current;
    if (self->no_sleep) return done(worker, self->no_sleep);
    return send_park(worker, self, chan, value);
}

__attribute__((noinline)) static int recv_or_park(struct worker *worker,
                                                  struct weft_chan *chan,
                                                  void *ret_value)
{
    int result = weft__chan_recv_now(chan, ret_value);
    if (likely(result != -EAGAIN)) return done(worker, result);
    struct task *self = worker->current;
    if (self->no_sleep) return done(worker, self->no_sleep);
    return recv_park(worker, self, chan, ret_value);
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
        return done(worker, 0);
    }
    return send_or_park(worker, chan, value);
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
        return done(worker, 0);
    }
    return recv_or_park(worker, chan, ret_value);
}

/* The budget is used up, or the call is refused. */
__attribute__((noinline)) static int send_late(struct worker *worker,
                                               struct weft_chan *chan,
                                               const void *value)
{
    struct task *self = worker->current;
    int result = weft__enter_late(worker, self);
    if (result) return done(worker, result);
    core_enter(worker);
    if (!chan_is_private(chan, worker)) return send_elsewhere(chan, value);
    return send_or_park(worker, chan, value);
}

__attribute__((noinline)) static int recv_late(struct worker *worker,
                                               struct weft_chan *chan,
                                               void *ret_value)
{
    struct task *self = worker->current;
    int result = weft__enter_late(worker, self);
    if (result) return done(worker, result);
    core_enter(worker);
    if (!chan_is_private(chan, worker)) return recv_elsewhere(chan, ret_value);
    return recv_or_park(worker, chan, ret_value);
}

/* Not a task, or not a private channel of this worker. */
__attribute__((noinline)) static int send_elsewhere(struct weft_chan *chan, const void *value)
{
    int way = find_way(chan);
    return way < 0 ? way : weft__shared_send(chan, value);
}

__attribute__((noinline)) static int recv_elsewhere(struct weft_chan *chan, void *ret_value)
{
    int way = find_way(chan);
    return way < 0 ? way : weft__shared_recv(chan, ret_value);
}

int weft_chan_try_send(struct weft_chan *chan, const void *value)
{
    struct worker *worker = begin(chan);
    if (likely(worker)) return done(worker, weft__chan_send_now(chan, value));
    int way = find_way(chan);
    return way < 0 ? way : weft__shared_try_send(chan, value);
}

int weft_chan_try_recv(struct weft_chan *chan, void *ret_value)
{
    struct worker *worker = begin(chan);
    if (likely(worker)) return done(worker, weft__chan_recv_now(chan, ret_value));
    int way = find_way(chan);
    return way < 0 ? way : weft__shared_try_recv(chan, ret_value);
}

/* Begins an operation on a private channel of the calling worker; NULL: it is none. */
static inline struct worker *begin(struct weft_chan *chan)
{
    struct worker *worker = weft__worker();
    if (unlikely(!worker || !chan)) return NULL;
    core_enter(worker);
    if (chan_is_private(chan, worker)) return worker;
    core_leave(worker);
    return NULL;
}

/* The channel is not private to the calling worker: 0 if the lock gives access to it. Ends the
 * operation that found this out. */
__attribute__((noinline)) static int find_way(struct weft_chan *chan)
{
    if (!chan) return -EINVAL;
    struct worker *worker = weft__worker();
    if (worker) core_leave(worker);
    if (!chan->runtime) return 0;
    if (!worker || chan->runtime != worker->runtime) return weft__not_in_task();
    if (chan_is_private(chan, worker)) return weft__not_in_task(); /* it would have to sleep */
    weft__share_chan(chan, worker);
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
    struct worker *worker = begin(chan);
    if (!worker) {
        int way = find_way(chan);
        return way < 0 ? way : weft__shared_close(chan);
    }
    if (chan->closed) return done(worker, -EPIPE);
    weft__chan_shut(chan);
    return done(worker, 0);
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

    (void)weft_chan_close(chan); /* -EPIPE: closed already; -EPERM: its runtime has ended */
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
    struct weft_chan *object = (struct weft_chan *)(uintptr_t)chan;
    struct worker *worker = begin(object);
    if (!worker) return find_way(object) < 0 ? 0 : weft__shared_len(chan);
    size_t count = chan->count;
    core_leave(worker);
    return count;
}

size_t weft_chan_cap(const struct weft_chan *chan)
{
    return chan ? chan->capacity : 0;
}
