/* SPDX-License-Identifier: MIT */
/*
 * The two ways to make a page that nobody can touch, and what they cost.
 *
 * A marker is free: it does not split the mapping. A guard by mprotect() costs two mappings of the
 * process; some are left for others, as a process that has used up all cannot even malloc().
 */
#ifndef WEFT_CORE_GUARD_H
#define WEFT_CORE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/stack.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/* Marks the page at `first` and each `distance` bytes further on, `count` in all; how many were
 * done, the first ones. */
unsigned weft__guards_mark(char *first, size_t distance, unsigned count);

/* Claims one guard by mprotect(); false if the process has all that it may. Any thread. */
bool weft__guard_budget_take(void);
void weft__guard_budget_return(long count);

#endif
