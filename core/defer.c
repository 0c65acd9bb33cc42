/* SPDX-License-Identifier: MIT */
/*
 * Deferred calls: a list per task, newest first, run when the task ends.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/runtime.h"
#include "core/task.h"
#include "core/worker.h"

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

int weft_defer(void (*fn)(void *arg), void *arg)
{
    if (!fn) return -EINVAL;
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return weft__not_in_task();

    struct deferred *deferred = malloc(sizeof *deferred);
    if (!deferred) return -ENOMEM;
    struct task_body *body = task_body(worker->current);
    *deferred = (struct deferred){.next = body->deferred, .fn = fn, .arg = arg};
    body->deferred = deferred;
    task_set_flag(worker->current, TASK_OWES);
    return 0;
}

void weft__defer_run(struct task *task)
{
    struct task_body *body = task_body(task);
    while (body->deferred) { /* a deferred call may defer another one */
        struct deferred *deferred = body->deferred;
        body->deferred = deferred->next;
        deferred->fn(deferred->arg);
        free(deferred);
    }
}
