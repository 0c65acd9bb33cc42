/* SPDX-License-Identifier: MIT */
/*
 * Select: wait for the first of several things, take exactly that one.
 *
 *   switch (weft_select(weft_on_send(c, &x), weft_on_recv(quit, NULL), weft_after(WEFT_SEC))) {
 *   case 0: ...   the value was accepted
 *   case 1: ...   quit has something, or is closed
 *   case 2: ...   a second has passed
 *   default: return 0;   cancelled
 *   }
 *
 * Of several ready cases one is chosen at random. Losing cases have no effect at all. A case whose
 * channel is NULL is disabled; one whose channel is closed is ready, and its status says -EPIPE.
 */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/base.h>
#include <weft/task.h>

WEFT_EXTERN_C_BEGIN

struct weft_chan;

enum weft_case_kind {
    WEFT_CASE_DISABLED = 0,
    WEFT_CASE_SEND = 1,
    WEFT_CASE_RECV = 2,
    WEFT_CASE_TIMER = 3,    /* number: absolute deadline */
    WEFT_CASE_READABLE = 4, /* number: descriptor */
    WEFT_CASE_WRITABLE = 5, /* number: descriptor */
    WEFT_CASE_JOINED = 6,   /* number: task id; object: its slot; value: int * for the result */
    WEFT_CASE_DEFAULT = 7,
};

/* One case: 64 bytes, made by the builders below; stays the caller's. */
struct weft_case {
    unsigned kind;     /* an enum weft_case_kind */
    int result;        /* the core's, while waiting */
    void *object;      /* what it is about */
    void *value;       /* where a value comes from or goes to */
    int *status;       /* NULL, or receives 0 or the error when this case wins */
    int64_t number;    /* see enum weft_case_kind */
    void *reserved[3]; /* the core's, while waiting */
};

/* Bits of weft_select_from()'s flags. */
enum {
    WEFT_ORDERED = 1 << 0, /* of several ready cases the first one wins */
};

/**
 * Waits until one of `count` cases can go ahead, and lets that one go ahead.
 *
 * @param cases  borrowed for the call
 * @param count  how many; any number
 * @param flags  WEFT_ORDERED or 0
 *
 * @return the winner's index; or, with no effect at all:
 *   -ETIMEDOUT  the current scope's deadline passed
 *   -ECANCELED  this task was cancelled
 *   -EINVAL     no case is enabled, a bad case or flag; two default cases
 *   -EBADF      a descriptor case whose descriptor is not open
 *   -EPERM      outside a task; or a channel or task of another runtime
 *   -ENOMEM     no memory for a descriptor's record
 *
 * Context: task. Sleeps: yes. Cancellation point: yes.
 */
WEFT_API WEFT_MUST_CHECK int weft_select_from(struct weft_case *cases,
                                              size_t count,
                                              unsigned flags);

WEFT_INLINE struct weft_case weft_case_make(
    unsigned kind, void *object, void *value, int *ret_status, int64_t number)
{
    struct weft_case made;
    made.kind = kind;
    made.result = 0;
    made.object = object;
    made.value = value;
    made.status = ret_status;
    made.number = number;
    return made;
}

WEFT_INLINE struct weft_case weft_case_send(struct weft_chan *chan,
                                            const void *value,
                                            int *ret_status)
{
    return weft_case_make(
        chan ? WEFT_CASE_SEND : WEFT_CASE_DISABLED, chan, (void *)(uintptr_t)value, ret_status, 0);
}

WEFT_INLINE struct weft_case weft_case_recv(struct weft_chan *chan,
                                            void *ret_value,
                                            int *ret_status)
{
    return weft_case_make(
        chan ? WEFT_CASE_RECV : WEFT_CASE_DISABLED, chan, ret_value, ret_status, 0);
}

/* The relative time of weft_after() is turned into a deadline by the select itself. */
#define WEFT_CASE_RELATIVE ((void *)1)

WEFT_INLINE struct weft_case weft_case_after(int64_t duration_ns, int *ret_status)
{
    return weft_case_make(WEFT_CASE_TIMER, WEFT_CASE_RELATIVE, NULL, ret_status, duration_ns);
}

WEFT_INLINE struct weft_case weft_case_at(int64_t deadline_ns, int *ret_status)
{
    return weft_case_make(WEFT_CASE_TIMER, NULL, NULL, ret_status, deadline_ns);
}

WEFT_INLINE struct weft_case weft_case_readable(int fd, int *ret_status)
{
    return weft_case_make(WEFT_CASE_READABLE, NULL, NULL, ret_status, fd);
}

WEFT_INLINE struct weft_case weft_case_writable(int fd, int *ret_status)
{
    return weft_case_make(WEFT_CASE_WRITABLE, NULL, NULL, ret_status, fd);
}

WEFT_INLINE struct weft_case weft_case_joined(weft_task task, int *ret_result, int *ret_status)
{
    return weft_case_make(WEFT_CASE_JOINED, task.slot, ret_result, ret_status, (int64_t)task.id);
}

WEFT_INLINE struct weft_case weft_default(void)
{
    return weft_case_make(WEFT_CASE_DEFAULT, NULL, NULL, NULL, 0);
}

WEFT_EXTERN_C_END

/* The builders: weft_on_send(chan, &value) or weft_on_send(chan, &value, &status), and so on. */
#define WEFT__PICK_3(a, b, c, name, ...) name
#define WEFT__PICK_2(a, b, name, ...)    name

/* (chan, value[, &status]): value is copied when this case wins. */
#define weft_on_send(...)                                                                          \
    WEFT__PICK_3(__VA_ARGS__, weft_case_send, WEFT__ON_SEND_2, ~, ~)(__VA_ARGS__)
#define WEFT__ON_SEND_2(chan, value) weft_case_send(chan, value, NULL)

/* (chan, value or NULL[, &status]) */
#define weft_on_recv(...)                                                                          \
    WEFT__PICK_3(__VA_ARGS__, weft_case_recv, WEFT__ON_RECV_2, ~, ~)(__VA_ARGS__)
#define WEFT__ON_RECV_2(chan, value) weft_case_recv(chan, value, NULL)

/* (duration in ns[, &status]) */
#define weft_after(...) WEFT__PICK_2(__VA_ARGS__, weft_case_after, WEFT__AFTER_1, ~)(__VA_ARGS__)

#define WEFT__AFTER_1(duration) weft_case_after(duration, NULL)

/* (absolute deadline in ns[, &status]) */
#define weft_at(...)         WEFT__PICK_2(__VA_ARGS__, weft_case_at, WEFT__AT_1, ~)(__VA_ARGS__)
#define WEFT__AT_1(deadline) weft_case_at(deadline, NULL)

/* (fd[, &status]) */
#define weft_on_readable(...)                                                                      \
    WEFT__PICK_2(__VA_ARGS__, weft_case_readable, WEFT__ON_READABLE_1, ~)(__VA_ARGS__)
#define WEFT__ON_READABLE_1(fd) weft_case_readable(fd, NULL)
#define weft_on_writable(...)                                                                      \
    WEFT__PICK_2(__VA_ARGS__, weft_case_writable, WEFT__ON_WRITABLE_1, ~)(__VA_ARGS__)
#define WEFT__ON_WRITABLE_1(fd) weft_case_writable(fd, NULL)

/* (task, &result or NULL[, &status]): as weft_join(), which then is not needed any more. */
#define weft_on_joined(...)                                                                        \
    WEFT__PICK_3(__VA_ARGS__, weft_case_joined, WEFT__ON_JOINED_2, ~, ~)(__VA_ARGS__)
#define WEFT__ON_JOINED_2(task, result) weft_case_joined(task, result, NULL)

/* weft_select(case, ...): the cases stand in the call; the result must be looked at. */
#ifdef __cplusplus
template <class... Cases>
WEFT_MUST_CHECK inline int weft_select_cases(unsigned flags, Cases... cases)
{
    struct weft_case array[] = {cases...};
    return weft_select_from(array, sizeof...(cases), flags);
}
#define weft_select(...)         weft_select_cases(0u, __VA_ARGS__)
#define weft_select_ordered(...) weft_select_cases((unsigned)WEFT_ORDERED, __VA_ARGS__)
#else
#define WEFT__CASES(...) ((struct weft_case[]){__VA_ARGS__})
#define weft_select(...)                                                                           \
    weft_select_from(                                                                              \
        WEFT__CASES(__VA_ARGS__), sizeof(WEFT__CASES(__VA_ARGS__)) / sizeof(struct weft_case), 0)
#define weft_select_ordered(...)                                                                   \
    weft_select_from(WEFT__CASES(__VA_ARGS__),                                                     \
                     sizeof(WEFT__CASES(__VA_ARGS__)) / sizeof(struct weft_case),                  \
                     WEFT_ORDERED)
#endif

#endif
