/* SPDX-License-Identifier: MIT */
/*
 * The fault handler and who asked for it.
 *
 * Each thread lists its own watches, so that the handler reads nothing that another thread may be
 * changing. The handlers themselves belong to the process: counted, under one lock.
 */
#include "core/overflow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/stack.h"
#include "core/task.h"
#include "core/worker.h"

/* Enough for a former handler that prints a backtrace, and for the registers of any processor. */
#define SIGNAL_STACK_SIZE ((size_t)128 << 10)
/*
 * How far the stack pointer may be from the guard that was hit: below it by the part of a large
 * frame that no longer fitted, above it by the red zone that leaf functions use.
 */
#define FRAME_EXCESS_MAX ((uintptr_t)128 << 10)
#define RED_ZONE_MAX     ((uintptr_t)256)

/* One stack cache that the thread runs tasks on. */
struct watch {
    struct watch *next;
    const struct stack_cache *cache;
    void *signal_stack; /* what this watch gave the thread; NULL if it had one */
};

struct handler {
    int signal;
    bool installed;
    struct sigaction former; /* valid once installed, also for a handler that was put over ours */
};

/* Changed by its thread with one store each, read by the handler that interrupts it. */
static _Thread_local struct watch *watches;

static pthread_mutex_t handlers_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static size_t watch_count;
static struct handler handlers[] = {{.signal = SIGSEGV}, {.signal = SIGBUS}};

static _Atomic(overflow_describe_fn *) describer;

static int signal_stack_open(void **ret_stack);
static void signal_stack_close(void *stack);
static void handlers_install(bool force);
static void handlers_remove(void);
static void on_fault(int signal, siginfo_t *info, void *context);

int weft__overflow_acquire(struct stack_cache *cache, bool force)
{
    struct watch *watch = malloc(sizeof *watch);
    if (!watch) return -ENOMEM;

    int result = signal_stack_open(&watch->signal_stack);
    if (result < 0) {
        free(watch);
        return result;
    }
    watch->cache = cache;
    watch->next = watches;
    atomic_signal_fence(memory_order_release); /* the handler sees the watch complete or not */
    watches = watch;

    pthread_mutex_lock(&handlers_lock);
    watch_count++;
    handlers_install(force);
    pthread_mutex_unlock(&handlers_lock);
    return 0;
}

void weft__overflow_release(struct stack_cache *cache)
{
    struct watch **link = &watches;
    while (*link && (*link)->cache != cache) {
        link = &(*link)->next;
    }
    struct watch *watch = *link;
    if (!watch) return;

    pthread_mutex_lock(&handlers_lock);
    if (--watch_count == 0) handlers_remove();
    pthread_mutex_unlock(&handlers_lock);

    *link = watch->next;
    atomic_signal_fence(memory_order_seq_cst); /* unlisted before it is freed, for the handler */
    if (watch->signal_stack) signal_stack_close(watch->signal_stack);
    free(watch);
}

/* Relaxed: a handler calls what it finds, and every value that was ever stored works. */
void weft__overflow_describe_with(overflow_describe_fn *describe)
{
    atomic_store_explicit(&describer, describe, memory_order_relaxed);
}

/* Stores the mapping that became the thread's alternate stack, or NULL if it has its own. */
static int signal_stack_open(void **ret_stack)
{
    stack_t current;
    if (sigaltstack(NULL, &current) != 0) return -errno;
    if (!(current.ss_flags & SS_DISABLE)) {
        *ret_stack = NULL;
        return 0;
    }

    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, SIGNAL_STACK_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) return -ENOMEM;

    (void)mprotect(base, guard, PROT_NONE); /* better with one, but works without */
    stack_t own = {.ss_sp = base + guard, .ss_size = SIGNAL_STACK_SIZE - guard};
    if (sigaltstack(&own, NULL) != 0) {
        int result = -errno;
        (void)munmap(base, SIGNAL_STACK_SIZE); /* cannot fail with the arguments of the mmap() */
        return result;
    }
    *ret_stack = base;
    return 0;
}

/* Leaves an alternate stack alone that the thread has got from elsewhere since. */
static void signal_stack_close(void *stack)
{
    stack_t current;
    if (sigaltstack(NULL, &current) != 0) return;

    char *own = (char *)stack + sysconf(_SC_PAGESIZE);
    if (current.ss_sp == own) {
        stack_t none = {.ss_flags = SS_DISABLE};
        if (sigaltstack(&none, NULL) != 0) return; /* we are running on it: it has to stay */
    }
    (void)munmap(stack, SIGNAL_STACK_SIZE); /* cannot fail with the arguments of the mmap() */
}

static void handlers_install(bool force)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        struct handler *handler = &handlers[i];
        if (handler->installed) continue;
        if (sigaction(handler->signal, NULL, &handler->former) != 0) continue;
        if (!force && handler->former.sa_handler != SIG_DFL) continue;

        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
        action.sa_sigaction = on_fault;
        sigemptyset(&action.sa_mask);
        handler->installed = sigaction(handler->signal, &action, NULL) == 0;
    }
}

/*
 * A handler that somebody put over ours may pass faults on to it: ours stays below it then, for
 * good, with nothing to watch. Installed a second time the two would call each other for ever.
 */
static void handlers_remove(void)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        struct handler *handler = &handlers[i];
        struct sigaction current;
        if (!handler->installed || sigaction(handler->signal, NULL, &current) != 0) continue;
        if (!(current.sa_flags & SA_SIGINFO) || current.sa_sigaction != on_fault) continue;

        handler->installed = sigaction(handler->signal, &handler->former, NULL) != 0;
    }
}

/* The stack pointer at the fault, or 0 where this file cannot tell. */
static uintptr_t fault_stack_pointer(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.sp;
#else
    (void)context;
    return 0;
#endif
}

/* The running task may have come from another worker, with its stack. */
static const struct stack *moved_stack(const void *address)
{
    const struct worker *worker = watches ? weft__worker() : NULL;
    if (!worker || !worker->current) return NULL;
    const struct stack *stack = worker->current->stack;
    return stack && weft__stack_is_overrun(stack, address) ? stack : NULL;
}

/* The stack that ran over, or NULL if the fault is something else, as a wild pointer. */
static const struct stack *overflown_stack(const siginfo_t *info, const ucontext_t *context)
{
    if (info->si_code <= 0) return NULL; /* sent by a process; the address means nothing */

    const struct stack *stack = NULL;
    for (const struct watch *watch = watches; watch && !stack; watch = watch->next) {
        stack = weft__stack_by_guard(watch->cache, info->si_addr);
    }
    if (!stack) stack = moved_stack(info->si_addr);
    if (!stack || stack->task_id == 0) return NULL;

    uintptr_t sp = fault_stack_pointer(context);
    uintptr_t bottom = (uintptr_t)stack->bottom;
    bool runs_on_it = sp <= bottom + RED_ZONE_MAX && sp >= bottom - FRAME_EXCESS_MAX;
    return sp == 0 || runs_on_it ? stack : NULL;
}

static char *append(char *at, const char *end, const char *text)
{
    while (*text && at < end) {
        *at++ = *text++;
    }
    return at;
}

static char *append_number(char *at, const char *end, uint64_t number)
{
    char digits[24];
    char *first = &digits[sizeof digits - 1];
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return append(at, end, first);
}

static void report(const struct stack *stack)
{
    char line[512] = "";
    char *at = line;
    const char *end = line + sizeof line - 1; /* room for the newline */

    at = append(at, end, "weft: stack overflow in task ");
    overflow_describe_fn *describe = atomic_load_explicit(&describer, memory_order_relaxed);
    if (describe) {
        char who[256] = "";
        describe(stack->task_id, who, sizeof who);
        who[sizeof who - 1] = '\0';
        at = append(at, end, who);
    } else {
        at = append_number(at, end, stack->task_id);
    }
    at = append(at, end, "; its stack has ");
    at = append_number(at, end, stack->size);
    at = append(at, end, " bytes");
    *at++ = '\n';

    ssize_t written = write(STDERR_FILENO, line, (size_t)(at - line));
    (void)written; /* there is no other place to complain */
}

/* A fault comes again when the handler returns, with the same registers; a sent signal does not. */
static void die_by_default(int signal, const siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, NULL); /* fails only for numbers that are no signals */
    if (info->si_code <= 0) (void)raise(signal);
}

static void chain(struct handler *handler, siginfo_t *info, void *context)
{
    struct sigaction former = handler->former;
    bool sent = info->si_code <= 0;

    if (!(former.sa_flags & SA_SIGINFO)) {
        if (former.sa_handler == SIG_IGN && sent) return;
        if (former.sa_handler == SIG_DFL || former.sa_handler == SIG_IGN) {
            die_by_default(handler->signal, info);
            return;
        }
    }

    /* As the kernel would have called it; the mask returns to what it was with this handler. */
    if (former.sa_flags & SA_NODEFER) {
        sigset_t own;
        sigemptyset(&own);
        sigaddset(&own, handler->signal);
        (void)pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    }
    (void)pthread_sigmask(SIG_BLOCK, &former.sa_mask, NULL);
    if ((unsigned)former.sa_flags & SA_RESETHAND) {
        handler->former = (struct sigaction){.sa_handler = SIG_DFL};
    }
    if (former.sa_flags & SA_SIGINFO) {
        former.sa_sigaction(handler->signal, info, context);
    } else {
        former.sa_handler(handler->signal);
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    const struct stack *stack = overflown_stack(info, context);
    if (stack) {
        report(stack);
        die_by_default(signal, info);
    } else {
        chain(&handlers[signal == SIGBUS], info, context);
    }
    errno = saved_errno;
}
