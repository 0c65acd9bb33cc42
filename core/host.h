/* SPDX-License-Identifier: MIT */
/*
 * A runtime that lives in a host's loop: what it keeps, and what the rest of the core asks.
 */
#ifndef WEFT_CORE_HOST_H
#define WEFT_CORE_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/contract.h"

struct runtime;

/* Part of struct runtime; all zero in one of weft_run(). */
struct host {
    struct weft_host hook;  /* what the backend calls in each pass; borrowed by it */
    struct runtime *next;   /* attached to the same thread, before this one */
    pthread_t thread;       /* that attached it, and turns the loop */
    void *native;           /* the host's loop; NULL: it watches our descriptor */
    int64_t wanted_ns;      /* when the next turn is wanted, on the backend's clock */
    int64_t quiet_until_ns; /* virtual clock: time may jump if nothing runs until then */
    bool is_hosted;         /* it was attached: it has no root, and never had one */
    bool is_attached;       /* it lives in the host's loop now */
};

/* Opens the loop that the runtime shall live in: its own, or inside the host's. */
int weft__host_open_loop(struct runtime *runtime, void *state);

/* The runtime that was attached last to the calling thread; NULL: none is. */
struct runtime *weft__host_current(void);

/* Attached to the calling thread? Any thread, for a runtime that cannot end meanwhile. */
bool weft__host_is_here(const struct runtime *runtime);

/* A callback of the host has made something ready: asks the loop for a turn. */
void weft__host_rouse(struct runtime *runtime);

/* Runs `visit` for each runtime that is attached to the calling thread. */
void weft__host_visit(void (*visit)(struct runtime *runtime, void *arg), void *arg);

/* In a forked child: gives up its copies of what the forking thread had attached. */
void weft__hosts_after_fork(void);

#endif
