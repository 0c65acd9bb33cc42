/* SPDX-License-Identifier: MIT */
/*
 * What the generators share: random numbers, and how tasks, channels and operations are added.
 *
 * The generator of numbers is our own, so that a seed means the same program on every system.
 */
#ifndef WEFT_CONFORMANCE_DIFFERENTIAL_BUILD_H
#define WEFT_CONFORMANCE_DIFFERENTIAL_BUILD_H

#include "conformance/differential/program.h"

struct build {
    struct program *program;
    uint64_t state; /* of the random numbers */
    int group;      /* of what is added */
};

/* From 0 to limit - 1. */
uint32_t pick(struct build *build, uint32_t limit);

/* With a probability of `percent`. */
bool chance(struct build *build, uint32_t percent);

void build_group(struct build *build); /* what follows is a group of its own */

/* Room for so many of each, and for some operations in `task`. */
bool build_has_room(const struct build *build, int task, int tasks, int chans, int lines);

int build_chan(struct build *build); /* any capacity and size */
int build_chan_of(struct build *build, int capacity);

/* Never a .shared one: those wake by way of the inbox, later than others. */
int build_private_chan(struct build *build, int capacity);

int build_line(struct build *build, enum line_kind kind);

/* A new task, which `parent` spawns with `call`. */
int build_task(struct build *build, int parent, enum call call);

/* At the end of the task's list; expects OUT_OK once. */
struct op *build_op(struct build *build, int task, enum call call, int object);

/* The same, with another outcome. */
struct op *build_expect(
    struct build *build, int task, enum call call, int object, enum outcome outcome);

/* Sends `count` new values, all of which are accepted. */
struct op *build_send(struct build *build, int task, int chan, int count);

/* Receives `count` values; then, if `end`, hears that the channel is closed. */
struct op *build_recv(struct build *build, int task, int chan, int count, bool end);

uint16_t build_values(struct build *build, int count); /* the first of so many */

struct choice *build_case(struct op *op, enum case_kind kind, int object);

/* The generators: racing.c, and the statements of confluent programs. */
void racing_generate(struct build *build);
void confluent_generate(struct build *build);

/* Something that does not depend on anything outside; `depth` bounds how deep it may nest. */
void statement(struct build *build, int task, int depth);
void statement_chan(struct build *build, int task, int depth);
void statement_task(struct build *build, int task, int depth);
void statement_line(struct build *build, int task, int depth);

/* A few steps of waiting, so that either side may be the later one. */
void build_dawdle(struct build *build, int task);

/* What `child` does next is certain to wait before `task` goes on: it says that it is about to, and
 * with one worker it goes on before its parent does. */
void build_meet(struct build *build, int task, int child);

/* Writes until nothing more fits. Also in a task that was cancelled. */
void build_fill(struct build *build, int task, int line, int side);

/* An operation that sleeps until something from outside ends it with `outcome`. */
void build_block(struct build *build, int task, enum outcome outcome);

#endif
