/* SPDX-License-Identifier: MIT */
/*
 * The exchange of stacks, one implementation per folder of core/arch/.
 *
 * A suspended context is one pointer: where its registers lie on its stack. weft__switch() has one
 * caller for each direction in core/park.c; nothing else exchanges stacks.
 */
#ifndef WEFT_CORE_ARCH_SWITCH_H
#define WEFT_CORE_ARCH_SWITCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * Saves the caller's context, stores where in *ret_from, and continues `to`, whose own
 * weft__switch() call returns the low 32 bits of `value` (an int, so that blocking calls that
 * return int can end in a tail call). Saves callee-saved registers and the floating-point control
 * words; the status flags are undefined afterwards. errno is the caller's business.
 * Meant to be called last (as a tail call), so that the only return address is the user's own.
 */
int weft__switch(void **ret_from, void *to, intptr_t value);

/* Continues `to` in the same way, for who never comes back. Never returns: not declared so, as the
 * compiler would make no tail call of it. */
void weft__switch_leave(void *to, intptr_t value);

/*
 * Makes a context on a fresh stack that ends (exclusively) at `top`, 64-byte aligned. The first
 * switch to it calls `entry(value)`, which never returns, with the floating-point control words
 * that a new process has. Unwinding ends there.
 */
void *weft__switch_prepare(void *top, void (*entry)(intptr_t value));

/* Prepares and switches in one: saves the caller's context as weft__switch() does, and calls
 * `entry(value)` on the fresh stack. */
int weft__switch_start(void **ret_from, void *top, intptr_t value, void (*entry)(intptr_t value));

/*
 * Abandons everything on the current stack and calls `entry(value)` at its `top`, with control
 * words as above. Never returns: not declared so, as above.
 */
void weft__switch_restart(void *top, void (*entry)(intptr_t value), intptr_t value);

#endif
