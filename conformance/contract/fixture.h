/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the contract share: one opened backend, and what its last poll reported.
 *
 * Waits here are real time, because a backend has no other: keep each under 100 ms.
 */
#ifndef WEFT_CONFORMANCE_CONTRACT_FIXTURE_H
#define WEFT_CONFORMANCE_CONTRACT_FIXTURE_H

#include "backends/contract.h"
#include "conformance/harness.h"

#define READ   WEFT_IO_READ
#define WRITE  WEFT_IO_WRITE
#define BOTH   (WEFT_IO_READ | WEFT_IO_WRITE)
#define HANGUP (WEFT_IO_READ | WEFT_IO_WRITE | WEFT_IO_HANGUP)

/* A hang-up or an error was found for a descriptor armed with `interest`. */
#define CHECK_HANGUP(found, interest)                                                              \
    CHECK_EQ((found), weft__backend.facts().tells_hangup ? HANGUP : (interest))

#define FIXTURE_EVENTS 64

struct fixture {
    void *state;
    int event_count; /* of the last poll */
    struct weft_event events[FIXTURE_EVENTS];
};

/* Records a failure and gives false if the backend does not open. */
bool fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

void fixture_arm(struct fixture *fixture, int fd, unsigned interest, uint64_t token);
void fixture_disarm(struct fixture *fixture, int fd);

/* One poll. Checks what must hold of any: no more than fits, no token twice, HANGUP with both. */
int fixture_poll(struct fixture *fixture, int64_t timeout_ns);

/* What the last poll found for `token`; 0 if it was not reported. */
unsigned fixture_found(const struct fixture *fixture, uint64_t token);

/* Polls (for a second at most) until something is reported, and gives what was for `token`. */
unsigned fixture_wait(struct fixture *fixture, uint64_t token);

/* Polls for 60 ms and checks that nothing was reported, and that the thread slept meanwhile: a
 * few early returns are allowed, a busy loop is not. */
#define CHECK_QUIET(fixture) fixture_check_quiet((fixture), __FILE__, __LINE__)
void fixture_check_quiet(struct fixture *fixture, const char *file, int line);

void fixture_put(int fd, size_t size); /* writes that many bytes */

#endif
