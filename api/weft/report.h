/* SPDX-License-Identifier: MIT */
/*
 * Looking inside: which tasks there are, what each waits for, and counters.
 */
#ifndef WEFT_REPORT_H
#define WEFT_REPORT_H

#include <weft/base.h>

WEFT_EXTERN_C_BEGIN

/**
 * Writes a heading with the numbers of tasks, and then one line per task, by state: id, name, what
 * it waits for (a channel and where it was opened, a descriptor, a task, the time left) and since
 * which turn of the worker's loop, the nearest deadline, the use of its stack, the spawn site.
 * weft_config.dump_signal prints the same while a task runs and does not yield.
 *
 * With several workers each writes its own part, with a heading that names it: the caller's before
 * this returns, each other one when its worker comes to look, after the slice that runs there.
 * They write to duplicates of the descriptor, which may be closed at once; what fails there is not
 * told. A task that was spawned on one worker and runs on another one stands, shortly, in the part
 * of the first. The dump signal need not wait for slices.
 *
 * @param fd  where to write, with plain write(2)
 *
 * @return 0, or
 *   -EPERM   outside of a runtime
 *   -ENOMEM  other workers were not asked
 *   and the negative errno of write(2), or of duplicating the descriptor
 *
 * Context: task, or a posted function. Sleeps: no (but for the write). Cancellation point: no.
 */
WEFT_API int weft_dump(int fd);

/*
 * Counters of the calling worker: of the runtime, if it has one. With several, a task is counted
 * where it was spawned, in tasks_live or tasks_ended, wherever it runs; tasks_ready, tasks_parked
 * and waiting_... count those of them that run on this worker.
 */
struct weft_stats {
    size_t size;           /* sizeof(struct weft_stats), set by the caller */
    uint64_t tasks_live;   /* spawned and not ended */
    uint64_t tasks_total;  /* ever spawned */
    uint64_t tasks_ready;  /* unstarted or woken, waiting for the worker */
    uint64_t tasks_parked; /* asleep */
    uint64_t tasks_ended;  /* ended, not yet joined */
    uint64_t waiting_chan; /* of the parked: in a channel operation */
    uint64_t waiting_select;
    uint64_t waiting_time;
    uint64_t waiting_fd;
    uint64_t waiting_join; /* for a task or a scope */
    uint64_t timers;       /* armed */
    uint64_t descriptors;  /* registered with the backend */
    uint64_t turns;        /* of the worker's loop */
    uint64_t polls;        /* of the backend */
    uint64_t slices;       /* times that a task was given the worker */
    uint64_t stacks;       /* in use */
    uint64_t stacks_unguarded;
    uint64_t reserved[8];
};

/**
 * Reads the counters; those of another worker are read by a task there.
 *
 * @param ret  its size member must be set
 *
 * @return 0, or
 *   -EPERM   outside of a runtime
 *   -EINVAL  bad size
 *
 * Context: task, or a posted function. Sleeps: no. Cancellation point: no.
 */
WEFT_API int weft_stats(struct weft_stats *ret);

WEFT_EXTERN_C_END

#endif
