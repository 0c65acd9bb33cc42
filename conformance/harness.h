/* SPDX-License-Identifier: MIT */
/*
 * How a conformance test is written, for Criterion and for the plain runner alike.
 *
 *     #include "conformance/harness.h"
 *
 *     WEFT_TEST(chan, 07_full_buffer_takes_parked_sender)
 *     {
 *         int fds[2];
 *         harness_pipe(fds);
 *         CHECK_EQ(weft_run(NULL, root, fds), 0);
 *     }
 *
 *     WEFT_TEST(time, 31_sleeps_a_year, .timeout = 5)      (seconds; 20 if not given)
 *     {
 *         harness_use_virtual_clock();                     (before weft_run)
 *         ...
 *     }
 *
 * - A test name may begin with the row's number. One process per test: global state is fresh.
 * - CHECK... records file, line and message and goes on: it never leaves the function, never
 *   blocks, needs little stack, and works in tasks, threads, signal handlers and forked children.
 *   The test fails at its end if anything was recorded. Criterion's own assertions are not used in
 *   bodies, because they jump to the stack of the runner.
 * - CHECK_OR_RETURN(condition, value) is for what the rest of the function stands on; leave the
 *   value empty in a void function: CHECK_OR_RETURN(fd >= 0, ).
 * - Lower bounds of time are exact, upper bounds come from harness_slack_ns():
 *   CHECK_WITHIN(elapsed_ns, 20 * NS_PER_MS, 20 * NS_PER_MS + harness_slack_ns()).
 * - Whatever ends a process, forks, changes limits or writes to stderr runs in harness_run_child().
 */
#ifndef WEFT_CONFORMANCE_HARNESS_H
#define WEFT_CONFORMANCE_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef WEFT_TEST_PLAIN
#include <criterion/criterion.h>
#endif

/* gcc predefines it, and a suite has this name. */
#undef unix

/* clang says by other means what gcc predefines. */
#if defined(__clang__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#elif __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#define NS_PER_US  INT64_C(1000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

#define HARNESS_TIMEOUT 20 /* seconds */

/* ---- checks: false if it failed, so that `if (!CHECK(...)) return;` works ---- */

#define CHECK(condition) harness_check(!!(condition), __FILE__, __LINE__, #condition)

/* Integers and enums. */
#define CHECK_EQ(actual, expected)                                                                 \
    harness_check_eq((long long)(actual), (long long)(expected), __FILE__, __LINE__, #actual)
#define CHECK_WITHIN(actual, low, high)                                                            \
    harness_check_within(                                                                          \
        (long long)(actual), (long long)(low), (long long)(high), __FILE__, __LINE__, #actual)
#define CHECK_STR(actual, expected)                                                                \
    harness_check_str((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_PTR(actual, expected)                                                                \
    harness_check_ptr((actual), (expected), __FILE__, __LINE__, #actual)

#define CHECK_OR_RETURN(condition, value)                                                          \
    do {                                                                                           \
        if (!CHECK(condition)) return value;                                                       \
    } while (0)

/* Records a failure with a message of its own. */
#define CHECK_FAIL(...) harness_fail(__FILE__, __LINE__, __VA_ARGS__)

bool harness_check(bool holds, const char *file, int line, const char *text);
bool harness_check_eq(
    long long actual, long long expected, const char *file, int line, const char *text);
bool harness_check_within(
    long long actual, long long low, long long high, const char *file, int line, const char *text);
bool harness_check_str(
    const char *actual, const char *expected, const char *file, int line, const char *text);
bool harness_check_ptr(
    const void *actual, const void *expected, const char *file, int line, const char *text);
void harness_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How many checks failed so far, in this process and in its children. */
int harness_failures(void);

/* Says that this machine cannot run the test, or a part of it: it counts as skipped, unless a check
 * fails. Leaves the function to its caller, and works in children. The reason is a literal. */
void harness_skip(const char *reason);
const char *harness_skipped(void); /* the first reason; NULL if there is none */

/* ---- time ---- */

int64_t harness_now_ns(void);            /* CLOCK_MONOTONIC, real also under the virtual clock */
int64_t harness_thread_cpu_ns(void);     /* CPU time of the calling thread, for "does not spin" */
int64_t harness_slack_ns(void);          /* how late is on time here: 50 ms, more under load */
void harness_sleep_ms(int milliseconds); /* blocks the thread; signals do not shorten it */

void harness_use_virtual_clock(void);
bool harness_clock_is_virtual(void);

/* For tests of an order that the scheduler promises: ignores WEFT_TEST_SHUFFLE from here on. */
void harness_needs_order(void);

/* WEFT_TEST_WORKERS=N gives each runtime N workers that does not ask for a number itself. For tests
 * of what only one worker promises: ignores it from here on; the comment at the call says why. */
void harness_needs_one_worker(void);

/* ---- the process ---- */

int harness_fd_count(void);
size_t harness_resident_size(void); /* bytes; under qemu-user its own memory counts, too */
size_t harness_writable_size(void); /* bytes of writable mappings, touched or not */
bool harness_is_emulated(void);     /* by qemu-user */

/* False under sanitizers and Valgrind, which keep freed memory and need much of their own. */
bool harness_sizes_are_exact(void);
/* What this thread allocates between the two calls may stay for ever: LeakSanitizer looks away. */
void harness_allow_leaks(bool allow);

int harness_pace(void); /* how many times more processor time than usual a program may take here */

/* Lowers the limit of open files so that `spare` more descriptors fit. Only in a child. */
void harness_limit_fds(int spare);

/* Makes system call `number` (SYS_...) fail with `error` (EMFILE, ...) from now on, for this
 * process. Only in a child. False where the machine cannot do that (qemu-user): the test then
 * counts as skipped. */
bool harness_deny_syscall(long number, int error);

/* As above, for what epoll_ctl(2) adds or changes; deletions, which need no room, go on working. */
bool harness_deny_watching(int error);

struct harness_child {
    bool exited;       /* by itself; false: killed by a signal, or by us after 10 s */
    int exit_code;     /* if exited: what the function returned, 0 to 255 */
    int signal_number; /* if not */
    size_t output_size;
    char output[8192]; /* what it wrote to stdout and stderr, cut, with a final NUL */
};

/* Runs fn(arg) in a forked child and waits for its end. Checks that fail there count here. */
void harness_run_child(struct harness_child *ret, int (*fn)(void *arg), void *arg);

/* ---- descriptors: non-blocking and close-on-exec; a failure is recorded and gives -1 ---- */

void harness_pipe(int ret_fds[2]);        /* [0] reads, [1] writes */
void harness_socket_pair(int ret_fds[2]); /* AF_UNIX, stream */
void harness_tcp_pair(int ret_fds[2]);    /* over 127.0.0.1; [0] accepted, [1] connected */
int harness_tcp_listener(uint16_t *ret_port);
void harness_fill(int fd);    /* writes until it would block */
size_t harness_drain(int fd); /* reads until it would block or ends; returns how many bytes */

/* ---- the machinery below WEFT_TEST ---- */

struct harness_test {
    double timeout; /* seconds; the only member that a test sets */
    const char *suite;
    const char *name;
    void (*body)(void);
    struct harness_test *next;
};

void harness_begin(void);
const char *harness_report(void); /* the recorded failures, one per line */
void harness_register(struct harness_test *test);

/* A second .timeout replaces the default; that is what the warning is about. */
#define HARNESS_OVERRIDE_BEGIN                                                                     \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#define HARNESS_OVERRIDE_END _Pragma("GCC diagnostic pop")

#ifdef WEFT_TEST_PLAIN
#define WEFT_TEST(suite_, name_, ...)                                                              \
    static void suite_##_##name_##_body(void);                                                     \
    __attribute__((constructor)) static void suite_##_##name_##_register(void)                     \
    {                                                                                              \
        HARNESS_OVERRIDE_BEGIN                                                                     \
        static struct harness_test test = {.timeout = HARNESS_TIMEOUT,                             \
                                           .suite = #suite_,                                       \
                                           .name = #name_,                                         \
                                           .body = suite_##_##name_##_body,                        \
                                           ##__VA_ARGS__};                                         \
        HARNESS_OVERRIDE_END                                                                       \
        harness_register(&test);                                                                   \
    }                                                                                              \
    static void suite_##_##name_##_body(void)
#else
#define WEFT_TEST(suite_, name_, ...)                                                              \
    static void suite_##_##name_##_body(void);                                                     \
    HARNESS_OVERRIDE_BEGIN                                                                         \
    Test(suite_, name_, .timeout = HARNESS_TIMEOUT, ##__VA_ARGS__)                                 \
    {                                                                                              \
        harness_begin();                                                                           \
        suite_##_##name_##_body();                                                                 \
        cr_assert(harness_failures() == 0, "%s", harness_report());                                \
        if (harness_skipped()) cr_skip_test("%s", harness_skipped());                              \
    }                                                                                              \
    HARNESS_OVERRIDE_END                                                                           \
    static void suite_##_##name_##_body(void)
#endif

#endif
