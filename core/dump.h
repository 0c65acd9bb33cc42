/* SPDX-License-Identifier: MIT */
/*
 * The task dump: one line per task, from the records.
 *
 * Everything here may be called in a signal handler that interrupts the tasks' own thread: then the
 * runtime stands still, but at any instruction, so that a record is believed only as far as it
 * cannot lead outside of mapped memory.
 */
#ifndef WEFT_CORE_DUMP_H
#define WEFT_CORE_DUMP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"
#include "core/view.h"
#include "core/wait.h"

struct runtime;
struct task;
struct worker;

/* Text about one runtime. */
struct dump {
    struct text text;
    struct view view;
    const struct worker *clock; /* the thread's, or one that stands still */
    char buffer[1024]; /* small: the handler runs on a task's stack where there is no other */
};

/* Of what runs on the calling thread's worker. */
void weft__dump_open(struct dump *dump, struct worker *worker, int fd, bool in_signal);

/* Of all workers, which stand still. */
void weft__dump_open_all(struct dump *dump, struct runtime *runtime, int fd);

/* 0, or the negative errno of the first write() that failed. */
int weft__dump_close(struct dump *dump);

/* Writes "worker 1: " if there are several and the dump is about one. */
void weft__dump_put_worker(struct dump *dump);

/* Which tasks a dump shows. */
typedef bool dump_filter_fn(const struct task *task);
bool weft__dump_is_alive(const struct task *task); /* it has not ended */

/* Writes a line for each task that passes the filter (NULL: all), by state; returns how many. If
 * they are many a summary comes first. Last, shortly, those that run on other workers than the
 * dump's; with a filter only if they have not ended. */
size_t weft__dump_tasks(struct dump *dump, dump_filter_fn *shows);

/* How many lines that would be. */
size_t weft__dump_count(struct dump *dump, dump_filter_fn *shows);

/* In groups.c: how many tasks of the filter are in the same state and wait, from the same site. */
void weft__dump_groups(struct dump *dump, dump_filter_fn *shows);

/* "parked" and the like. */
const char *weft__dump_state(unsigned state);

/* Writes a heading with the numbers, and all tasks of the worker: what weft_dump() and the dump
 * signal show. */
void weft__dump_all(struct dump *dump);

/* Writes `7 "reader", spawned at main.c:12`. */
void weft__dump_who(struct text *text, const struct task *task);

/* What a sleep is about, for counting and for showing its object. */
enum wait_class {
    WAIT_OTHER,
    WAIT_CHAN,
    WAIT_SELECT,
    WAIT_TIME,
    WAIT_FD,
    WAIT_JOIN,
    WAIT_SCOPE,
    WAIT_MUTEX,
};
enum wait_class weft__wait_class(const struct wait_kind *kind);

#endif
