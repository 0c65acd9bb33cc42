/* SPDX-License-Identifier: MIT */
/*
 * What the runtime tells about itself: the task dump and the reports that are built on it.
 *
 * Reports are written with write(2), from fixed buffers: they work in a signal handler and when
 * memory is short.
 */
#ifndef WEFT_CORE_REPORT_H
#define WEFT_CORE_REPORT_H

struct runtime;
struct worker;

/* Installs what the settings ask for: the dump signal, the watchdog; 0 or a negative errno. On the
 * thread that will run the tasks. */
int weft__report_open(struct runtime *runtime);
void weft__report_close(struct runtime *runtime);

/* The calling thread, which ran the tasks of this worker, is about to end. */
void weft__report_part(struct worker *worker);

/* The other workers of the runtime write their tasks to a duplicate of `fd`, soon: 0, -ENOMEM, or
 * what fcntl(2) said. */
int weft__report_dump_others(struct worker *worker, int fd);

/* In a forked child: the parent's runtimes are none of its business. */
void weft__reports_forget(void);

/* All tasks sleep and nothing can wake them: who waits for what, and where it was spawned. */
void weft__report_deadlock(struct runtime *runtime);

/* Tasks that did not end within the grace time. */
void weft__report_survivors(struct runtime *runtime);

/* The root task has returned, on worker 0, and nothing was cancelled because of it yet: names who
 * is alive, if leaks are reported; other workers do so soon. */
void weft__report_outliving(struct runtime *runtime);

/* The thread or the process ends, and it lives in a host's loop; only when leaks are reported. */
void weft__report_attached(struct runtime *runtime);

/* Tasks that ended unjoined, but for those that were named before; only when asked for. */
void weft__report_leaks(struct runtime *runtime);

#endif
