/* SPDX-License-Identifier: MIT */
/*
 * What is run while calls fail: each scenario uses one part of the library, through its public
 * interface only, and gives everything back whatever fails.
 */
#ifndef WEFT_TESTS_FAULTS_SCENARIOS_H
#define WEFT_TESTS_FAULTS_SCENARIOS_H

#include <errno.h>
#include <stddef.h>

#include <weft/weft.h>

/* What a scenario returns when the library said "done" and it was not. */
#define WRONG (-ENOTRECOVERABLE)

struct scenario {
    const char *name;
    int (*run)(void); /* 0: all was done, and rightly; negative: the error that a call returned */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* In scenarios_io.c. */
int run_echo(void);
int run_pipe(void);

/* weft_run() with settings that suit; `flags` are bits of weft_config.flags. */
int run_root(weft_fn root, void *arg, unsigned flags);

/* Ends a scope in which a call gave `result`: that, or what the scope says. */
int finish(struct weft_scope *scope, int result);

#endif
