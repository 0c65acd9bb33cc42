/* SPDX-License-Identifier: MIT */
/*
 * What a forked child may do: exec, or forget the parent's runtime and start a fresh one.
 *
 * The child is the parent's task, or its host, on the parent's stack. A handler that takes no lock
 * clears the worker of its only thread, so that every call finds itself outside of a runtime.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "core/runtime.h"

static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static struct worker *parents_worker; /* in a child: what the forking thread ran */
static bool is_forked;                /* in a child, until weft_after_fork_child() */

static void in_child(void)
{
    parents_worker = weft__worker();
    is_forked = parents_worker || weft__host_current();
    weft__worker_set(NULL);
    if (!is_forked) weft__runtimes_forget(); /* they run on threads that were not forked */
}

static void watch(void)
{
    (void)pthread_atfork(NULL, NULL, in_child); /* without memory, a child is not detected */
}

void weft__fork_watch(void)
{
    (void)pthread_once(&watch_once, watch);
}

bool weft__is_forked(void)
{
    return is_forked;
}

int weft__not_in_task(void)
{
    return is_forked ? -EOWNERDEAD : -EPERM;
}

int weft_after_fork_child(void)
{
    if (!is_forked) return -EPERM;
    if (parents_worker && !parents_worker->runtime->host.is_attached) {
        weft__backend.after_fork(parents_worker->backend_state);
    }
    weft__hosts_after_fork();
    weft__runtimes_forget();
    parents_worker = NULL;
    is_forked = false;
    return 0;
}
