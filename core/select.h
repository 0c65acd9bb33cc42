/* SPDX-License-Identifier: MIT */
/*
 * Select, as timers, descriptors and shared channels see it.
 */
#ifndef WEFT_CORE_SELECT_H
#define WEFT_CORE_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/select.h>

#include "core/wait.h"

struct task;
struct worker;

/* While a select sleeps, a timer case keeps its absolute deadline in the words that others use for
 * their waiter. */
static inline int64_t *case_deadline(struct weft_case *which)
{
    return (int64_t *)(void *)&which->reserved[2];
}

/* The timer of a sleeping select has come. */
void weft__select_timer(struct task *task);

/* Takes every waiter of a sleeping select, but `winner`'s (or none: NULL), out of its queue, and
 * stops its timer. */
void weft__select_withdraw(struct task *task, const struct weft_case *winner);

/* The part of it that lies in shared channels; the caller holds weft__shared_lock. */
void weft__select_withdraw_shared(struct task *task, const struct weft_case *winner);

/* The waiters of a sleeping select whose kind is this are partly in shared channels. */
extern const struct wait_kind weft__select_shared_wait;

#endif
