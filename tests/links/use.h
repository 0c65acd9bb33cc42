/* SPDX-License-Identifier: MIT */
/*
 * What a program uses an event library for besides weft: one file per library implements it, and
 * knows nothing of weft.
 */
#ifndef WEFT_TESTS_LINKS_USE_H
#define WEFT_TESTS_LINKS_USE_H

/* Runs a loop of the library's own until all that it waited for has come: 0, or what failed. */
int use_loop(void);

#endif
