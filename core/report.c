/* SPDX-License-Identifier: MIT */
/*
 * The reports: deadlock, leaks, survivors, and the dump that a signal asks for.
 *
 * The handler of the dump signal reads only what belongs to the thread that it interrupts, so it
 * needs no locks; to every other thread that runs tasks it passes the signal on. A runtime is
 * closed only when no handler looks at the list of runtimes.
 */
#include "core/report.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "core/dump.h"
#include "core/overflow.h"
#include "core/park.h"
#include "core/runtime.h"
#include "core/watchdog.h"

/* What a live runtime has for its reports. */
struct reporter {
    _Atomic(struct reporter *) next;
    struct runtime *runtime;
    pid_t thread;      /* runs its tasks */
    atomic_bool asked; /* another thread's handler has passed the signal on */
    struct watchdog *watchdog;
};

/* Changed under reporters_lock; read by handlers without it. */
static _Atomic(struct reporter *) reporters;
static atomic_uint readers; /* handlers that walk the list now */

static pthread_mutex_t reporters_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    size_t users; /* runtimes that asked for this signal */
    struct sigaction former;
} dump_signals[NSIG]; /* guarded by reporters_lock */

static int signal_open(int signal);
static void signal_close(int signal);
static void on_dump_signal(int signal, siginfo_t *info, void *context);
static void describe_task(uint64_t id, char *buffer, size_t size);

/* ---- open and close ---- */

int weft__report_open(struct runtime *runtime)
{
    const struct weft_config *config = &runtime->settings.config;
    struct reporter *reporter = calloc(1, sizeof *reporter);
    if (!reporter) return -ENOMEM;
    reporter->runtime = runtime;
    reporter->thread = gettid();
    weft__overflow_describe_with(describe_task);

    int result = 0;
    if (config->watchdog_ns > 0) result = weft__watchdog_open(&reporter->watchdog, runtime);
    if (result < 0) goto free_reporter;

    (void)pthread_mutex_lock(&reporters_lock);
    result = signal_open(config->dump_signal);
    if (result == 0) {
        struct reporter *first = atomic_load_explicit(&reporters, memory_order_relaxed);
        atomic_init(&reporter->next, first);
        /* release: a handler sees the reporter complete; pairs with on_dump_signal() */
        atomic_store_explicit(&reporters, reporter, memory_order_release);
    }
    (void)pthread_mutex_unlock(&reporters_lock);
    if (result < 0) goto close_watchdog;
    return 0;

close_watchdog:
    weft__watchdog_close(reporter->watchdog);
free_reporter:
    free(reporter);
    return result;
}

void weft__report_close(struct runtime *runtime)
{
    (void)pthread_mutex_lock(&reporters_lock);
    _Atomic(struct reporter *) *link = &reporters;
    struct reporter *reporter = atomic_load_explicit(link, memory_order_relaxed);
    while (reporter->runtime != runtime) {
        link = &reporter->next;
        reporter = atomic_load_explicit(link, memory_order_relaxed);
    }
    struct reporter *next = atomic_load_explicit(&reporter->next, memory_order_relaxed);
    /* seq_cst, both: a handler that comes in after the count was zero finds the list without it */
    atomic_store_explicit(link, next, memory_order_seq_cst);
    while (atomic_load_explicit(&readers, memory_order_seq_cst) > 0)
        (void)sched_yield();
    signal_close(runtime->settings.config.dump_signal);
    (void)pthread_mutex_unlock(&reporters_lock);

    weft__watchdog_close(reporter->watchdog);
    free(reporter);
}

void weft__reports_forget(void)
{
    (void)pthread_mutex_init(&reporters_lock, NULL); /* its holder does not exist in the child */
    /* relaxed: the child has one thread */
    struct reporter *reporter = atomic_load_explicit(&reporters, memory_order_relaxed);
    while (reporter) {
        struct reporter *next = atomic_load_explicit(&reporter->next, memory_order_relaxed);
        free(reporter);
        reporter = next;
    }
    atomic_store_explicit(&reporters, NULL, memory_order_relaxed);
    atomic_store_explicit(&readers, 0, memory_order_relaxed);
    for (int signal = 1; signal < NSIG; signal++) {
        if (dump_signals[signal].users == 0) continue;
        dump_signals[signal].users = 1;
        signal_close(signal);
    }
}

/* ---- reports ---- */

static size_t count_tasks(struct runtime *runtime, dump_filter_fn *shows);

/* Writes "weft: 3 tasks" or "weft: 1 task". */
static void put_count(struct dump *dump, size_t count)
{
    weft__text_put(&dump->text, "weft: ");
    weft__text_number(&dump->text, count);
    weft__text_put(&dump->text, count == 1 ? " task" : " tasks");
}

static void put_line(struct dump *dump, const char *line)
{
    weft__text_put(&dump->text, line);
    weft__text_end_line(&dump->text);
}

/* A report that cannot be written has no other place to complain. */
static void open_report(struct dump *dump, struct runtime *runtime)
{
    weft__dump_open(dump, runtime, runtime->settings.config.report_fd, false);
}

void weft__report_deadlock(struct runtime *runtime)
{
    struct dump dump;
    open_report(&dump, runtime);
    put_line(&dump, "weft: deadlock: every task sleeps, and nothing is left that could wake one");
    size_t count = weft__dump_tasks(&dump, NULL);
    put_count(&dump, count);
    put_line(&dump,
             "; all are cancelled now. Is a channel never closed, or a result never sent?"
             " A thread that will wake a task holds weft_runtime_ref().");
    (void)weft__dump_close(&dump);
}

void weft__report_survivors(struct runtime *runtime)
{
    struct dump dump;
    open_report(&dump, runtime);
    put_count(&dump, count_tasks(runtime, weft__dump_is_alive));
    weft__text_put(&dump.text, " did not end within ");
    weft__text_duration(&dump.text, runtime->settings.config.grace_ns);
    put_line(&dump,
             runtime->host.is_hosted ? " after the detach, and will never be resumed"
                                     : " after the root, and will never be resumed");
    (void)weft__dump_tasks(&dump, weft__dump_is_alive);
    (void)weft__dump_close(&dump);
}

/* `ignored` of a task that ended before the root did, which nobody else uses any more. */
enum { ENDED_BEFORE_ROOT = UINT16_MAX };

static bool outlives_root(const struct task *task)
{
    return weft__dump_is_alive(task) && !(task->flags & TASK_ROOT);
}

static void mark_ended(struct task *task, void *arg)
{
    (void)arg;
    if (task->state == TASK_ENDED) task->ignored = ENDED_BEFORE_ROOT;
}

void weft__report_outliving(struct runtime *runtime)
{
    if (!runtime->settings.reports_leaks) return;
    weft__runtime_visit(runtime, mark_ended, NULL);
    if (runtime_is_cancelled(runtime)) return; /* by a stop or a deadlock: they are on their way out */
    size_t count = count_tasks(runtime, outlives_root);
    if (count == 0) return;

    struct dump dump;
    open_report(&dump, runtime);
    put_count(&dump, count);
    put_line(&dump,
             runtime->host.is_hosted ? " alive when the loop was detached"
                                     : " alive when the root returned");
    (void)weft__dump_tasks(&dump, outlives_root);
    (void)weft__dump_close(&dump);
}

void weft__report_attached(struct runtime *runtime)
{
    if (!runtime->settings.reports_leaks) return;
    struct dump dump;
    open_report(&dump, runtime);
    put_line(&dump,
             "weft: a runtime is attached to a loop that ends: weft_detach_loop() was not called");
    (void)weft__dump_close(&dump);
}

static bool is_unjoined(const struct task *task)
{
    return task->state == TASK_ENDED && task->ignored == ENDED_BEFORE_ROOT;
}

void weft__report_leaks(struct runtime *runtime)
{
    if (!runtime->settings.reports_leaks) return;
    size_t count = count_tasks(runtime, is_unjoined);
    if (count == 0) return;

    struct dump dump;
    open_report(&dump, runtime);
    put_count(&dump, count);
    put_line(&dump, " ended, and nobody joined or detached it");
    (void)weft__dump_tasks(&dump, is_unjoined);
    (void)weft__dump_close(&dump);
}

struct count {
    dump_filter_fn *shows;
    size_t count;
};

static void count_task(struct task *task, void *arg)
{
    struct count *count = arg;
    if (count->shows(task)) count->count++;
}

static size_t count_tasks(struct runtime *runtime, dump_filter_fn *shows)
{
    struct count count = {.shows = shows};
    weft__dump_visit(runtime, false, count_task, &count);
    return count.count;
}

/* ---- the dump signal ---- */

static int signal_open(int signal)
{
    if (signal == 0) return 0;
    if (dump_signals[signal].users == 0) {
        struct sigaction action = {
            .sa_sigaction = on_dump_signal,
            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
        };
        (void)sigemptyset(&action.sa_mask); /* cannot fail */
        if (sigaction(signal, &action, &dump_signals[signal].former) != 0) return -errno;
    }
    dump_signals[signal].users++;
    return 0;
}

/* The last one restores what was there, unless somebody has put a handler over ours. */
static void signal_close(int signal)
{
    if (signal == 0 || --dump_signals[signal].users > 0) return;
    struct sigaction current;
    if (sigaction(signal, NULL, &current) != 0) return;
    if (!(current.sa_flags & SA_SIGINFO) || current.sa_sigaction != on_dump_signal) return;
    (void)sigaction(signal, &dump_signals[signal].former, NULL);
}

static void dump_in_handler(struct runtime *runtime)
{
    struct dump dump;
    weft__dump_open(&dump, runtime, runtime->settings.config.report_fd, true);
    weft__dump_all(&dump);
    (void)weft__dump_close(&dump);
}

static struct reporter *next_reporter(struct reporter *reporter)
{
    return atomic_load_explicit(&reporter->next, memory_order_acquire);
}

/* Its thread has several runtimes in its loop, and got the signal for an earlier one. */
static bool is_asked_by(struct reporter *first, const struct reporter *which)
{
    for (struct reporter *at = first; at != which; at = next_reporter(at)) {
        if (at->thread == which->thread) return true;
    }
    return false;
}

static void on_dump_signal(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    int saved_errno = errno;
    pid_t thread = gettid();
    bool is_passed_on = false;
    /* seq_cst, both: pairs with weft__report_close() */
    atomic_fetch_add_explicit(&readers, 1, memory_order_seq_cst);
    struct reporter *first = atomic_load_explicit(&reporters, memory_order_seq_cst);
    for (struct reporter *at = first; at; at = next_reporter(at)) {
        if (at->thread != thread) continue; /* relaxed: a mere mark, whose message is the signal */
        if (atomic_exchange_explicit(&at->asked, false, memory_order_relaxed)) is_passed_on = true;
    }
    for (struct reporter *at = is_passed_on ? NULL : first; at; at = next_reporter(at)) {
        if (at->thread == thread || is_asked_by(first, at)) continue;
        atomic_store_explicit(&at->asked, true, memory_order_relaxed);
        (void)tgkill(getpid(), at->thread, signal); /* it lives: see weft__report_close() */
    }
    for (struct reporter *at = first; at; at = next_reporter(at)) {
        if (at->thread == thread) dump_in_handler(at->runtime);
    }
    /* release: pairs with the wait in weft__report_close() */
    atomic_fetch_sub_explicit(&readers, 1, memory_order_release);
    errno = saved_errno;
}

/* ---- for the overflow report ---- */

struct search {
    uint64_t id;
    const struct task *found;
};

static void find_task(struct task *task, void *arg)
{
    struct search *search = arg;
    if (task_id(task) == search->id) search->found = task;
}

static void describe_task(uint64_t id, char *buffer, size_t size)
{
    struct text text;
    weft__text_open(&text, buffer, size, -1);
    struct search search = {.id = id};
    struct worker *worker = weft__worker();
    if (worker) weft__dump_visit(worker->runtime, true, find_task, &search);
    if (search.found) {
        weft__dump_who(&text, search.found);
    } else {
        weft__text_number(&text, id);
    }
}
