/* SPDX-License-Identifier: MIT */
/*
 * The counters of weft_stats(): most are counted when asked, by a walk over the records, so that
 * nothing on the hot path keeps them. They are the calling worker's, which needs no agreement with
 * the others.
 */
#include <errno.h>

#include <weft/report.h>

#include "core/dump.h"
#include "core/park.h"
#include "core/runtime.h"

static void count_wait(const struct task *task, struct weft_stats *stats)
{
    stats->tasks_parked++;
    switch (weft__wait_class(task->wait.kind)) {
    case WAIT_CHAN:
        stats->waiting_chan++;
        break;
    case WAIT_SELECT:
        stats->waiting_select++;
        break;
    case WAIT_TIME:
        stats->waiting_time++;
        break;
    case WAIT_FD:
        stats->waiting_fd++;
        break;
    case WAIT_JOIN:
    case WAIT_SCOPE:
        stats->waiting_join++;
        break;
    case WAIT_MUTEX:
    case WAIT_OTHER:
        break;
    }
}

static void count_task(struct task *task, void *arg)
{
    struct weft_stats *stats = arg;
    if (task->state == TASK_ENDED) {
        stats->tasks_ended++;
        return;
    }
    stats->tasks_live++;
    if (task->state == TASK_UNSTARTED || task->state == TASK_READY) stats->tasks_ready++;
    if (task->state == TASK_PARKED) count_wait(task, stats);
}

static void count_elsewhere(struct task *task, const struct worker *where, void *arg)
{
    struct weft_stats *stats = arg;
    (void)where;
    if (weft__view_has_ended(task)) {
        stats->tasks_ended++;
    } else {
        stats->tasks_live++;
    }
}

int weft_stats(struct weft_stats *ret)
{
    struct worker *worker = weft__worker();
    if (!worker) return weft__not_in_task();
    if (!ret || ret->size < sizeof *ret) return -EINVAL;

    struct weft_stats stats = {
        .size = ret->size,
        .tasks_total = worker->tasks_total,
        .timers = worker->timers.count,
        .descriptors = worker->fd_armed,
        .turns = worker->turn,
        .polls = worker->polls,
        .slices = worker_slices(worker),
        .stacks = stacks_live(&worker->stacks),
        .stacks_unguarded = worker->stacks.unguarded_count,
    };
    struct view view = {.runtime = worker->runtime, .worker = worker};
    weft__view_tasks(&view, count_task, &stats);
    weft__view_elsewhere(&view, count_elsewhere, &stats);
    *ret = stats;
    return 0;
}
