/* SPDX-License-Identifier: MIT */
/*
 * Names the task that ran over the end of its stack, and lets the process die of it as usual.
 *
 * A fault handler on an alternate stack. Faults outside the guards of the calling worker's stacks
 * go on to whoever handled them before.
 */
#ifndef WEFT_CORE_OVERFLOW_H
#define WEFT_CORE_OVERFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_cache;

/*
 * Watches the stacks of `cache` for the calling thread, which runs on them and calls the release
 * later; one runtime more. Gives the thread an alternate stack if it has none. The handlers are
 * installed where the disposition is the default or `force` is set.
 *
 * Returns 0, also where somebody else's handler was left alone; or -ENOMEM, with nothing done.
 */
int weft__overflow_acquire(struct stack_cache *cache, bool force);

/* Takes the calling thread's watch off; the last one restores what was there before. */
void weft__overflow_release(struct stack_cache *cache);

/*
 * Who describes a task in the report, for the whole process; until then it has the bare id.
 * `describe` is called from the handler and must be async-signal-safe. It writes a C string into
 * `buffer`, cut to `size`, e.g. `7 "reader", spawned at main.c:12`.
 */
typedef void overflow_describe_fn(uint64_t task_id, char *buffer, size_t size);
void weft__overflow_describe_with(overflow_describe_fn *describe);

#endif
