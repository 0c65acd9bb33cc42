/* SPDX-License-Identifier: MIT */
/*
 * How a test drives the fake backend; only programs that are linked with it may call these.
 *
 * Numbers from WEFT_FAKE_FD on, WEFT_FAKE_FD_COUNT of them, are scripted descriptors: no file
 * stands behind them, and they are ready for what the script says, level-triggered. The script
 * belongs to the process and is only touched by the thread that polls.
 */
#ifndef WEFT_CONFORMANCE_FAKE_SCRIPT_H
#define WEFT_CONFORMANCE_FAKE_SCRIPT_H

#define WEFT_FAKE_FD       (1 << 20)
#define WEFT_FAKE_FD_COUNT 1024

/* From now on `fd` is ready for `ready` (WEFT_IO_* bits; HANGUP implies both directions). */
void weft__fake_set(int fd, unsigned ready);

/* From now on arm() answers `error` (negative errno) for `fd`; 0: it works again. */
void weft__fake_refuse(int fd, int error);

#endif
