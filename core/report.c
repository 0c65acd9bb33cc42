/* SPDX-License-Identifier: MIT */
/*
 * The reports: deadlock, leaks, survivors, and the dump that a signal asks for.
 *
 * Each worker has a reporter, which dumps the tasks of its own worker on its own thread. The
 * handler of the dump signal does so for the thread that it interrupts, and passes the signal on to
 * every other thread that runs tasks; weft_dump() posts to the other workers. A reporter is freed
 * only when no handler looks at the list of them.
 */
#include "core/report.h"

#include <errno.h>
#include <fcntl.h>
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
#include "core/post.h"
#include "core/runtime.h"
#include "core/watchdog.h"

/* A descriptor that another worker's weft_dump() wants a worker's tasks written to. */
struct errand {
    struct errand *next;
    int fd; /* a duplicate: the caller may close his before it is written */
};

/* What each worker of a live runtime has for its reports. */
struct reporter {
    _Atomic(struct reporter *) next;
    struct worker *worker;
    _Atomic(pid_t) thread;  /* runs its tasks; 0: has ended */
    atomic_bool asked;      /* another thread's handler has passed the signal on */
    struct errand *errands; /* oldest first; guarded by reporters_lock */
    struct weft_post errands_post;
    struct weft_post outliving_post;
    struct watchdog *watchdog; /* of the runtime: worker 0's has it */
};

/* Changed under reporters_lock; read by handlers without it. */
static _Atomic(struct reporter *) reporters;
static atomic_uint readers; /* handlers, and others, that walk the list now without the lock */

static pthread_mutex_t reporters_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    size_t users; /* runtimes that asked for this signal */
    struct sigaction former;
} dump_signals[NSIG]; /* guarded by reporters_lock */

static int signal_open(int signal);
static void signal_close(int signal);
static void on_dump_signal(int signal, siginfo_t *info, void *context);
static void describe_task(uint64_t id, char *buffer, size_t size);
static void do_errands(void *arg);

/* ---- open and close ---- */

static struct reporter *next_reporter(struct reporter *reporter)
{
    return atomic_load_explicit(&reporter->next, memory_order_acquire);
}

static void free_reporter(struct reporter *reporter)
{
    while (reporter->errands) {
        struct errand *errand = reporter->errands;
        reporter->errands = errand->next;
        (void)close(errand->fd);
        free(errand);
    }
    free(reporter);
}

static void free_reporters(struct reporter *reporter)
{
    while (reporter) {
        struct reporter *next = next_reporter(reporter);
        free_reporter(reporter);
        reporter = next;
    }
}

/* One per worker, linked, in any order: NULL without memory. */
static struct reporter *make_reporters(struct runtime *runtime)
{
    struct reporter *first = NULL;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct reporter *reporter = calloc(1, sizeof *reporter);
        if (!reporter) {
            free_reporters(first);
            return NULL;
        }
        struct worker *worker = runtime->workers[i];
        reporter->worker = worker;
        reporter->errands_post = (struct weft_post){.fn = do_errands, .arg = reporter};
        atomic_init(&reporter->thread, i == 0 ? gettid() : worker->tid);
        atomic_init(&reporter->next, first);
        first = reporter;
    }
    return first;
}

/* Puts the linked reporters on the list; under the lock. */
static void list_reporters(struct reporter *first)
{
    struct reporter *last = first;
    while (next_reporter(last))
        last = next_reporter(last);
    struct reporter *others = atomic_load_explicit(&reporters, memory_order_relaxed);
    atomic_store_explicit(&last->next, others, memory_order_relaxed);
    /* release: a handler sees them complete; pairs with on_dump_signal() */
    atomic_store_explicit(&reporters, first, memory_order_release);
}

int weft__report_open(struct runtime *runtime)
{
    const struct weft_config *config = &runtime->settings.config;
    struct reporter *first = make_reporters(runtime);
    if (!first) return -ENOMEM;
    weft__overflow_describe_with(describe_task);

    int result = 0;
    if (config->watchdog_ns > 0) result = weft__watchdog_open(&first->watchdog, runtime);
    if (result < 0) goto free_reporters;

    (void)pthread_mutex_lock(&reporters_lock);
    result = signal_open(config->dump_signal);
    if (result == 0) list_reporters(first);
    (void)pthread_mutex_unlock(&reporters_lock);
    if (result < 0) goto close_watchdog;
    return 0;

close_watchdog:
    weft__watchdog_close(first->watchdog);
free_reporters:
    free_reporters(first);
    return result;
}

/* Who comes in afterwards sees what was stored before, with seq_cst as here. */
static void await_readers(void)
{
    while (atomic_load_explicit(&readers, memory_order_seq_cst) > 0)
        (void)sched_yield();
}

void weft__report_part(struct worker *worker)
{
    (void)pthread_mutex_lock(&reporters_lock);
    struct reporter *at = atomic_load_explicit(&reporters, memory_order_relaxed);
    while (at && at->worker != worker)
        at = next_reporter(at);
    /* seq_cst, both: nobody sends a signal to it afterwards */
    if (at) atomic_store_explicit(&at->thread, 0, memory_order_seq_cst);
    await_readers();
    (void)pthread_mutex_unlock(&reporters_lock);
}

/* Takes those of the runtime off the list, and links them; under the lock. */
static struct reporter *unlist_reporters(const struct runtime *runtime)
{
    struct reporter *taken = NULL;
    _Atomic(struct reporter *) *link = &reporters;
    struct reporter *reporter = NULL;
    while ((reporter = atomic_load_explicit(link, memory_order_relaxed)) != NULL) {
        if (reporter->worker->runtime != runtime) {
            link = &reporter->next;
            continue;
        }
        /* seq_cst, all: a handler that comes in after the count was zero finds the list without
         * it, and one that is here goes on from it */
        atomic_store_explicit(link, next_reporter(reporter), memory_order_seq_cst);
        await_readers();
        atomic_store_explicit(&reporter->next, taken, memory_order_relaxed);
        taken = reporter;
    }
    return taken;
}

void weft__report_close(struct runtime *runtime)
{
    (void)pthread_mutex_lock(&reporters_lock);
    struct reporter *first = unlist_reporters(runtime);
    signal_close(runtime->settings.config.dump_signal);
    (void)pthread_mutex_unlock(&reporters_lock);

    for (struct reporter *at = first; at; at = next_reporter(at))
        weft__watchdog_close(at->watchdog);
    free_reporters(first);
}

void weft__reports_forget(void)
{
    (void)pthread_mutex_init(&reporters_lock, NULL); /* its holder does not exist in the child */
    /* relaxed: the child has one thread */
    free_reporters(atomic_load_explicit(&reporters, memory_order_relaxed));
    atomic_store_explicit(&reporters, NULL, memory_order_relaxed);
    atomic_store_explicit(&readers, 0, memory_order_relaxed);
    for (int signal = 1; signal < NSIG; signal++) {
        if (dump_signals[signal].users == 0) continue;
        dump_signals[signal].users = 1;
        signal_close(signal);
    }
}

/* ---- reports ---- */

/* Writes "weft: 3 tasks" or "weft: 1 task". */
static void put_count(struct dump *dump, size_t count)
{
    weft__text_put(&dump->text, "weft: ");
    weft__dump_put_worker(dump);
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
    weft__dump_open_all(dump, runtime, runtime->settings.config.report_fd);
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
    put_count(&dump, weft__dump_count(&dump, weft__dump_is_alive));
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

static void mark_elsewhere(struct task *task, const struct worker *where, void *arg)
{
    (void)where;
    (void)arg;
    if (weft__view_has_ended(task)) task->ignored = ENDED_BEFORE_ROOT; /* nobody else's any more */
}

static void mark_all(struct worker *worker)
{
    struct view view = {.runtime = worker->runtime, .worker = worker};
    weft__view_tasks(&view, mark_ended, NULL);
    weft__view_elsewhere(&view, mark_elsewhere, NULL);
}

static void name_outliving(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    struct dump dump;
    weft__dump_open(&dump, worker, runtime->settings.config.report_fd, false);
    size_t count = weft__dump_count(&dump, outlives_root);
    if (count > 0) {
        put_count(&dump, count);
        put_line(&dump,
                 runtime->host.is_hosted ? " alive when the loop was detached"
                                         : " alive when the root returned");
        (void)weft__dump_tasks(&dump, outlives_root);
    }
    (void)weft__dump_close(&dump);
}

/* Posted to the other workers when the root had ended, before anything was cancelled because of it;
 * the first if something had been cancelled before. */
static void mark_here(void *arg)
{
    mark_all(arg);
}

static void report_outliving_here(void *arg)
{
    mark_all(arg);
    name_outliving(arg);
}

/* Counted as a reader, because of who holds the shared lock here. */
static void post_outliving(const struct runtime *runtime, void (*fn)(void *arg))
{
    atomic_fetch_add_explicit(&readers, 1, memory_order_seq_cst);
    struct reporter *at = atomic_load_explicit(&reporters, memory_order_seq_cst);
    for (; at; at = next_reporter(at)) {
        if (at->worker->runtime != runtime || at->worker == &runtime->worker) continue;
        at->outliving_post = (struct weft_post){.fn = fn, .arg = at->worker}; /* the only time */
        weft__post_to(at->worker, &at->outliving_post);
    }
    atomic_fetch_sub_explicit(&readers, 1, memory_order_release);
}

void weft__report_outliving(struct runtime *runtime)
{
    if (!runtime->settings.reports_leaks) return;
    /* by a stop or a deadlock: they are on their way out */
    bool is_quiet = runtime_is_cancelled(runtime);
    mark_all(&runtime->worker);
    if (!is_quiet) name_outliving(&runtime->worker);
    if (runtime->has_many) post_outliving(runtime, is_quiet ? mark_here : report_outliving_here);
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
    struct dump dump;
    open_report(&dump, runtime);
    size_t count = weft__dump_count(&dump, is_unjoined);
    if (count == 0) return;

    put_count(&dump, count);
    put_line(&dump, " ended, and nobody joined or detached it");
    (void)weft__dump_tasks(&dump, is_unjoined);
    (void)weft__dump_close(&dump);
}

/* ---- weft_dump() on all workers ---- */

static struct errand *take_errands(struct reporter *reporter)
{
    (void)pthread_mutex_lock(&reporters_lock);
    struct errand *first = reporter->errands;
    reporter->errands = NULL;
    (void)pthread_mutex_unlock(&reporters_lock);
    return first;
}

/* Posted to the reporter's worker. */
static void do_errands(void *arg)
{
    struct reporter *reporter = arg;
    struct errand *errand = take_errands(reporter);
    while (errand) {
        struct errand *next = errand->next;
        struct dump dump;
        weft__dump_open(&dump, reporter->worker, errand->fd, false);
        weft__dump_all(&dump);
        (void)weft__dump_close(&dump); /* who asked is gone */
        (void)close(errand->fd);
        free(errand);
        errand = next;
    }
}

/* Under the lock. */
static int ask(struct reporter *reporter, int fd)
{
    struct errand *errand = malloc(sizeof *errand);
    if (!errand) return -ENOMEM;
    *errand = (struct errand){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (errand->fd < 0) {
        int result = -errno;
        free(errand);
        return result;
    }
    struct errand **link = &reporter->errands;
    while (*link)
        link = &(*link)->next;
    *link = errand;
    weft__post_to(reporter->worker, &reporter->errands_post);
    return 0;
}

int weft__report_dump_others(struct worker *worker, int fd)
{
    if (!worker->runtime->has_many) return 0;
    int result = 0;
    (void)pthread_mutex_lock(&reporters_lock);
    struct reporter *at = atomic_load_explicit(&reporters, memory_order_relaxed);
    for (; at && result == 0; at = next_reporter(at)) {
        bool is_other = at->worker->runtime == worker->runtime && at->worker != worker;
        if (is_other) result = ask(at, fd);
    }
    (void)pthread_mutex_unlock(&reporters_lock);
    return result;
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

static void dump_in_handler(struct worker *worker)
{
    struct dump dump;
    weft__dump_open(&dump, worker, worker->runtime->settings.config.report_fd, true);
    weft__dump_all(&dump);
    (void)weft__dump_close(&dump);
}

/* seq_cst: pairs with weft__report_part() */
static pid_t thread_of(const struct reporter *reporter)
{
    return atomic_load_explicit(&reporter->thread, memory_order_seq_cst);
}

/* Its thread has several runtimes in its loop, and got the signal for an earlier one. */
static bool is_asked_by(struct reporter *first, const struct reporter *which)
{
    for (struct reporter *at = first; at != which; at = next_reporter(at)) {
        if (thread_of(at) == thread_of(which)) return true;
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
        if (thread_of(at) != thread)
            continue; /* relaxed: a mere mark, whose message is the signal */
        if (atomic_exchange_explicit(&at->asked, false, memory_order_relaxed)) is_passed_on = true;
    }
    for (struct reporter *at = is_passed_on ? NULL : first; at; at = next_reporter(at)) {
        pid_t other = thread_of(at);
        if (other == 0 || other == thread || is_asked_by(first, at)) continue;
        atomic_store_explicit(&at->asked, true, memory_order_relaxed);
        (void)tgkill(getpid(), other, signal); /* it lives: see await_readers() */
    }
    for (struct reporter *at = first; at; at = next_reporter(at)) {
        if (thread_of(at) == thread) dump_in_handler(at->worker);
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
    if (worker && worker->current) find_task(worker->current, &search);
    if (worker && !search.found) { /* in the middle of a switch */
        struct view view = {.runtime = worker->runtime, .worker = worker, .in_signal = true};
        weft__view_tasks(&view, find_task, &search);
    }
    if (search.found) {
        weft__dump_who(&text, search.found);
    } else {
        weft__text_number(&text, id);
    }
}
