/* SPDX-License-Identifier: MIT */
/*
 * Channels: typed or sized values between tasks, with Go's meaning.
 *
 * Capacity 0 is a rendezvous: both sides leave together. Values, waiting senders and waiting
 * receivers are each served first come, first served. Sending on a closed channel is an error, not
 * a crash; closing is not freeing: the last reference frees.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/base.h>

WEFT_EXTERN_C_BEGIN

struct weft_chan;

/* Begin with WEFT_CHAN_OPTIONS_INIT; zero means the default. */
struct weft_chan_options {
    size_t size;       /* sizeof(struct weft_chan_options), set by the initialiser */
    size_t value_size; /* bytes per value; 0: a pure signal */
    size_t capacity;   /* values that wait in the channel; 0: rendezvous */
    void (*drop)(void *value, void *arg); /* called for each value left when the last reference
                                             goes; must not block; value is borrowed */
    void *drop_arg;
    int shared;        /* not 0: also for plain threads and other runtimes */
    int reserved_int;  /* zero */
    void *reserved[3]; /* zero */
};

#define WEFT_CHAN_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(struct weft_chan_options), 0, 0, NULL, NULL, 0, 0,                                  \
        {                                                                                          \
            NULL, NULL, NULL                                                                       \
        }                                                                                          \
    }

/**
 * Makes a channel for the tasks of this runtime, with one reference.
 *
 * @param ret         receives the channel; weft_chan_unref() it
 * @param value_size  bytes per value, copied in and out; 0 for a pure signal
 * @param capacity    values that can wait in it; 0 for a rendezvous
 *
 * @return 0, or
 *   -ENOMEM  no memory
 *   -EINVAL  the sizes overflow
 *   -EPERM   outside of a runtime (open it with .shared)
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_open(struct weft_chan **ret,
                                            size_t value_size,
                                            size_t capacity);

/** As weft_chan_open(), with the creation site. Context: task, or a posted function. */
WEFT_API WEFT_MUST_CHECK int weft_chan_open_at(struct weft_chan **ret,
                                               size_t value_size,
                                               size_t capacity,
                                               const char *site);
#define weft_chan_open(ret, value_size, capacity)                                                  \
    weft_chan_open_at(ret, value_size, capacity, WEFT_SITE)

/**
 * Makes a channel with options; a .shared one also outside of a runtime.
 *
 * @param options  borrowed for the call
 *
 * @return as weft_chan_open()
 *
 * Context: any (with .shared), else task. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_open_with(struct weft_chan **ret,
                                                 const struct weft_chan_options *options);

/** As weft_chan_open_with(), with the creation site. Context: as weft_chan_open_with(). */
WEFT_API WEFT_MUST_CHECK int weft_chan_open_with_at(struct weft_chan **ret,
                                                    const struct weft_chan_options *options,
                                                    const char *site);
#define weft_chan_open_with(ret, options) weft_chan_open_with_at(ret, options, WEFT_SITE)

/**
 * Sends one value, sleeping until a receiver or a free slot takes it.
 *
 * @param chan   borrowed for the call
 * @param value  value_size bytes to copy; stays the caller's. May be NULL if value_size is 0
 *
 * @return 0: accepted; or, with nothing sent:
 *   -EPIPE      the channel is closed
 *   -ETIMEDOUT  the current scope's deadline passed
 *   -ECANCELED  this task was cancelled
 *   -EPERM      outside a task, on a channel that is not shared; or another runtime's channel
 *   -EINVAL     chan is NULL
 *
 * Context: task; any thread if the channel is shared. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_send(struct weft_chan *chan, const void *value);

/**
 * Receives one value, sleeping until there is one.
 *
 * @param chan       borrowed for the call
 * @param ret_value  receives value_size bytes; NULL throws the value away
 *
 * @return 0: received; or, with nothing received:
 *   -EPIPE      the channel is closed and empty; *ret_value is zeroed
 *   -ETIMEDOUT  the current scope's deadline passed
 *   -ECANCELED  this task was cancelled
 *   -EPERM      outside a task, on a channel that is not shared; or another runtime's channel
 *   -EINVAL     chan is NULL
 *
 * Context: task; any thread if the channel is shared. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_recv(struct weft_chan *chan, void *ret_value);

/**
 * Sends if a receiver waits or a slot is free.
 *
 * @return as weft_chan_send(), never -ETIMEDOUT or -ECANCELED; -EAGAIN if it would sleep
 *
 * Context: task, or a posted function; any thread if shared. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_try_send(struct weft_chan *chan, const void *value);

/**
 * Receives if a value is there or a sender waits.
 *
 * @return as weft_chan_recv(), never -ETIMEDOUT or -ECANCELED; -EAGAIN if it would sleep
 *
 * Context: task, or a posted function; any thread if shared. Sleeps: no. Cancellation point: no.
 */
WEFT_API WEFT_MUST_CHECK int weft_chan_try_recv(struct weft_chan *chan, void *ret_value);

/**
 * Closes: no further value is accepted. Waiting senders get -EPIPE and their values are not
 * delivered; receivers drain what is buffered, then get -EPIPE.
 *
 * @return 0, or
 *   -EPIPE   it was closed already; harmless
 *   -EPERM   another runtime's channel
 *   -EINVAL  chan is NULL
 *
 * Context: task, or a posted function; any thread if shared. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_chan_close(struct weft_chan *chan);

/**
 * Takes a reference.
 *
 * @return chan, for convenience; NULL if chan is NULL
 *
 * Context: as weft_chan_close(). Sleeps: no. Cancellation point: no.
 */
WEFT_API struct weft_chan *weft_chan_ref(struct weft_chan *chan);

/**
 * Gives a reference back; the last one closes the channel (waking whoever waits with -EPIPE),
 * hands left-over values to .drop, and frees it. NULL is fine.
 *
 * Context: as weft_chan_close(). Sleeps: no. Cancellation point: no.
 */
WEFT_API void weft_chan_unref(struct weft_chan *chan);

/**
 * Tells how many values wait in the channel; parked senders are not counted.
 *
 * @return a count; 0 for NULL
 *
 * Context: as weft_chan_close(). Sleeps: no. Cancellation point: no.
 */
WEFT_API size_t weft_chan_len(const struct weft_chan *chan);

/**
 * Tells the capacity.
 *
 * @return a count; 0 for NULL
 *
 * Context: any. Sleeps: no. Cancellation point: no.
 */
WEFT_API size_t weft_chan_cap(const struct weft_chan *chan);

WEFT_EXTERN_C_END

/*
 * WEFT_CHAN_TYPE(ints, int);
 *
 * Declares `struct ints`, a channel of int: ints_open(&c, capacity), ints_send(c, 42),
 * ints_recv(c, &value), ints_try_send, ints_try_recv, ints_close, ints_ref, ints_unref, ints_len,
 * ints_cap, and for select ints_on_send(c, &value), ints_on_recv(c, &value) (in weft/select.h's
 * terms, with ints_on_send_status and ints_on_recv_status for the status). Each is one call to the
 * untyped function. A wrong type does not compile.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): type is a type */
#define WEFT_CHAN_TYPE(name, type)                                                                 \
    struct name {                                                                                  \
        struct weft_chan *chan;                                                                    \
    };                                                                                             \
    WEFT_INLINE WEFT_MUST_CHECK int name##_open(struct name *ret, size_t capacity)                 \
    {                                                                                              \
        return weft_chan_open_at(&ret->chan, sizeof(type), capacity, WEFT_SITE);                   \
    }                                                                                              \
    WEFT_INLINE WEFT_MUST_CHECK int name##_open_shared(struct name *ret, size_t capacity)          \
    {                                                                                              \
        struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;                                 \
        options.value_size = sizeof(type);                                                         \
        options.capacity = capacity;                                                               \
        options.shared = 1;                                                                        \
        return weft_chan_open_with_at(&ret->chan, &options, WEFT_SITE);                            \
    }                                                                                              \
    WEFT_INLINE WEFT_MUST_CHECK int name##_send(struct name to, type value)                        \
    {                                                                                              \
        return weft_chan_send(to.chan, &value);                                                    \
    }                                                                                              \
    WEFT_INLINE WEFT_MUST_CHECK int name##_recv(struct name from, type *ret_value)                 \
    {                                                                                              \
        return weft_chan_recv(from.chan, ret_value);                                               \
    }                                                                                              \
    WEFT_INLINE WEFT_MUST_CHECK int name##_try_send(struct name to, type value)                    \
    {                                                                                              \
        return weft_chan_try_send(to.chan, &value);                                                \
    }                                                                                              \
    WEFT_INLINE WEFT_MUST_CHECK int name##_try_recv(struct name from, type *ret_value)             \
    {                                                                                              \
        return weft_chan_try_recv(from.chan, ret_value);                                           \
    }                                                                                              \
    WEFT_INLINE int name##_close(struct name it)                                                   \
    {                                                                                              \
        return weft_chan_close(it.chan);                                                           \
    }                                                                                              \
    WEFT_INLINE struct name name##_ref(struct name it)                                             \
    {                                                                                              \
        weft_chan_ref(it.chan);                                                                    \
        return it;                                                                                 \
    }                                                                                              \
    WEFT_INLINE void name##_unref(struct name it)                                                  \
    {                                                                                              \
        weft_chan_unref(it.chan);                                                                  \
    }                                                                                              \
    WEFT_INLINE size_t name##_len(struct name it)                                                  \
    {                                                                                              \
        return weft_chan_len(it.chan);                                                             \
    }                                                                                              \
    WEFT_INLINE size_t name##_cap(struct name it)                                                  \
    {                                                                                              \
        return weft_chan_cap(it.chan);                                                             \
    }                                                                                              \
    WEFT_INLINE struct weft_case name##_on_send(struct name to, const type *value)                 \
    {                                                                                              \
        return weft_case_send(to.chan, value, NULL);                                               \
    }                                                                                              \
    WEFT_INLINE struct weft_case name##_on_recv(struct name from, type *ret_value)                 \
    {                                                                                              \
        return weft_case_recv(from.chan, ret_value, NULL);                                         \
    }                                                                                              \
    WEFT_INLINE struct weft_case name##_on_send_status(                                            \
        struct name to, const type *value, int *ret_status)                                        \
    {                                                                                              \
        return weft_case_send(to.chan, value, ret_status);                                         \
    }                                                                                              \
    WEFT_INLINE struct weft_case name##_on_recv_status(                                            \
        struct name from, type *ret_value, int *ret_status)                                        \
    {                                                                                              \
        return weft_case_recv(from.chan, ret_value, ret_status);                                   \
    }                                                                                              \
    struct name
/* NOLINTEND(bugprone-macro-parentheses) */

#include <weft/select.h>

#endif
