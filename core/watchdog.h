/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: a thread that names a task which holds its worker for too long. It exists only in
 * runtimes that asked for it (weft_config.watchdog_ns).
 */
#ifndef WEFT_CORE_WATCHDOG_H
#define WEFT_CORE_WATCHDOG_H

struct runtime;
struct watchdog;

/* Starts the thread: 0 or a negative errno. */
int weft__watchdog_open(struct watchdog **ret, struct runtime *runtime);
void weft__watchdog_close(struct watchdog *watchdog); /* NULL is fine */

#endif
