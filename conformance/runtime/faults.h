/* SPDX-License-Identifier: MIT */
/*
 * Failures on demand: the linker sends the library's allocations, transfers and looks at the clock
 * through here (see --wrap in the build file). Nothing fails unless a test asks for it, and then
 * only on the thread that asked.
 */
#ifndef WEFT_CONFORMANCE_FAULTS_H
#define WEFT_CONFORMANCE_FAULTS_H

#include <stdbool.h>

/* The `number`-th allocation from now on fails (1: the next one); 0: none does. */
void faults_fail_allocation(int number);

/* Whether it has failed; no further one fails then. */
bool faults_allocation_failed(void);

/* From now on every second transfer is interrupted by a signal, and the others move one byte. */
void faults_cut_transfers(bool on);

/* How many transfers were interrupted. */
int faults_interruptions(void);

/* How often this thread has called recv(2). */
int faults_receives(void);

/* How often a loop was woken by an eventfd of weft's, on any thread. */
int faults_wakes(void);

/* From now on the wall clock jumps by years with each look. */
void faults_shake_wall_clock(bool on);

/* How often it was looked at while it was shaken. */
int faults_wall_clock_reads(void);

#endif
