/* SPDX-License-Identifier: MIT */
/*
 * What tests stand on: recorded failures, clocks, children, descriptors.
 *
 * Failures live in memory shared with forked children, one slot each, taken with one atomic add:
 * nothing here blocks, so a check may run in a task, a thread or a signal handler.
 */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance/harness.h"

#ifdef __SANITIZE_ADDRESS__ /* harness.h knows it of clang, too */
#include <sanitizer/lsan_interface.h>
#endif

#define FAILURES_MAX    24
#define FAILURE_SIZE    320
#define CHILD_LIMIT_SEC 10

struct failures {
    atomic_int count;              /* how many happened; only the first FAILURES_MAX are kept */
    _Atomic(const char *) skipped; /* why; a literal has one address in all children */
    char text[FAILURES_MAX][FAILURE_SIZE];
};

static struct failures own_failures; /* until harness_begin(), and if it has no memory */
static struct failures *failures = &own_failures;

static void child_collect(struct harness_child *child, pid_t pid, int output_fd);
static void child_read(struct harness_child *child, int output_fd);
static int tcp_connect(uint16_t port);

#ifdef __SANITIZE_ADDRESS__
/* Asked by LeakSanitizer when a process ends. What Criterion's runner leaks is its own affair; each
 * test runs in a process of its own, which is looked at. */
static bool is_test_process;

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return !is_test_process;
}

void harness_allow_leaks(bool allow)
{
    if (allow) {
        __lsan_disable();
    } else {
        __lsan_enable();
    }
}
#else
void harness_allow_leaks(bool allow)
{
    (void)allow;
}
#endif

void harness_begin(void)
{
#ifdef __SANITIZE_ADDRESS__
    is_test_process = true;
#endif
    void *shared =
        mmap(NULL, sizeof *failures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (failures != &own_failures) munmap(failures, sizeof *failures);
    failures = shared == MAP_FAILED ? &own_failures : shared;

    const char *workers = getenv("WEFT_TEST_WORKERS");
    if (workers) CHECK_EQ(setenv("WEFT_WORKERS", workers, 1), 0);
}

int harness_failures(void)
{
    /* Relaxed: read after the threads and children that count were joined. */
    return atomic_load_explicit(&failures->count, memory_order_relaxed);
}

void harness_skip(const char *reason)
{
    /* Relaxed: as the count. */
    const char *none = NULL;
    (void)atomic_compare_exchange_strong_explicit(
        &failures->skipped, &none, reason, memory_order_relaxed, memory_order_relaxed);
}

const char *harness_skipped(void)
{
    return atomic_load_explicit(&failures->skipped, memory_order_relaxed);
}

const char *harness_report(void)
{
    static char report[FAILURES_MAX * FAILURE_SIZE + 64];

    int count = harness_failures();
    size_t used = 0;
    report[0] = '\0';
    for (int i = 0; i < count && i < FAILURES_MAX; i++) {
        int added = snprintf(report + used, sizeof report - used, "%s\n", failures->text[i]);
        used += (size_t)added;
    }
    if (count > FAILURES_MAX) {
        (void)snprintf(report + used, sizeof report - used, "and %d more\n", count - FAILURES_MAX);
    }
    return report;
}

void harness_fail(const char *file, int line, const char *format, ...)
{
    int saved_errno = errno;

    /* Relaxed: the add only hands out slots, see harness_failures(). */
    int index = atomic_fetch_add_explicit(&failures->count, 1, memory_order_relaxed);
    if (index < FAILURES_MAX) {
        char *text = failures->text[index];
        int used = snprintf(text, FAILURE_SIZE, "%s:%d: ", file, line);
        if (used < FAILURE_SIZE) {
            va_list arguments;
            va_start(arguments, format);
            (void)vsnprintf(text + used, (size_t)(FAILURE_SIZE - used), format, arguments);
            va_end(arguments);
        }
    }
    errno = saved_errno;
}

bool harness_check(bool holds, const char *file, int line, const char *text)
{
    if (!holds) harness_fail(file, line, "%s", text);
    return holds;
}

bool harness_check_eq(
    long long actual, long long expected, const char *file, int line, const char *text)
{
    if (actual == expected) return true;
    harness_fail(file, line, "%s is %lld, not %lld", text, actual, expected);
    return false;
}

bool harness_check_within(
    long long actual, long long low, long long high, const char *file, int line, const char *text)
{
    if (actual >= low && actual <= high) return true;
    harness_fail(file, line, "%s is %lld, not within %lld and %lld", text, actual, low, high);
    return false;
}

bool harness_check_str(
    const char *actual, const char *expected, const char *file, int line, const char *text)
{
    if (actual && expected && strcmp(actual, expected) == 0) return true;
    harness_fail(file,
                 line,
                 "%s is \"%.100s\", not \"%.100s\"",
                 text,
                 actual ? actual : "(null)",
                 expected ? expected : "(null)");
    return false;
}

bool harness_check_ptr(
    const void *actual, const void *expected, const char *file, int line, const char *text)
{
    if (actual == expected) return true;
    harness_fail(file, line, "%s is %p, not %p", text, actual, expected);
    return false;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

int64_t harness_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t harness_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t harness_slack_ns(void)
{
    static _Atomic int64_t measured;

    /* Relaxed: whoever comes second measures once more, which does no harm. */
    int64_t slack = atomic_load_explicit(&measured, memory_order_relaxed);
    if (slack != 0) return slack;

    int64_t start = harness_now_ns();
    harness_sleep_ms(5);
    int64_t late = harness_now_ns() - start - 5 * NS_PER_MS;
    slack = 50 * NS_PER_MS + 10 * late;

    /* One measurement does not show what others on the machine do a moment later. */
    double load = 0;
    if (getloadavg(&load, 1) == 1 && load > 0) {
        slack += (int64_t)(load / (double)sysconf(_SC_NPROCESSORS_ONLN) * 50 * (double)NS_PER_MS);
    }
    if (RUNNING_ON_VALGRIND) slack *= 10; /* one thread at a time, each slice 100 ms */
    atomic_store_explicit(&measured, slack, memory_order_relaxed);
    return slack;
}

void harness_sleep_ms(int milliseconds)
{
    struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * NS_PER_MS};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR) {
    }
}

void harness_use_virtual_clock(void)
{
    CHECK_EQ(setenv("WEFT_CLOCK", "virtual", 1), 0);
}

bool harness_clock_is_virtual(void)
{
    const char *clock = getenv("WEFT_CLOCK");
    return clock && strcmp(clock, "virtual") == 0;
}

void harness_needs_order(void)
{
    CHECK_EQ(unsetenv("WEFT_TEST_SHUFFLE"), 0);
}

void harness_needs_one_worker(void)
{
    CHECK_EQ(unsetenv("WEFT_WORKERS"), 0);
}

int harness_fd_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    CHECK_OR_RETURN(directory, -1);

    int count = 0;
    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count - 3; /* ".", ".." and the directory's own */
}

size_t harness_resident_size(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    CHECK_OR_RETURN(fd >= 0, 0);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    CHECK_OR_RETURN(size > 0, 0);

    text[size] = '\0';
    char *resident = strchr(text, ' ');
    CHECK_OR_RETURN(resident, 0);
    return (size_t)strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

size_t harness_writable_size(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK_OR_RETURN(maps, 0);
    size_t total = 0;
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        char *end = NULL;
        uintptr_t low = (uintptr_t)strtoull(line, &end, 16);
        if (*end != '-') continue; /* the rest of a long line */
        uintptr_t high = (uintptr_t)strtoull(end + 1, &end, 16);
        if (end[0] == ' ' && end[1] == 'r' && end[2] == 'w') total += high - low;
    }
    (void)fclose(maps);
    return total;
}

/* The kernel names a process after the program that it started: here, the emulator. */
bool harness_is_emulated(void)
{
    char name[32] = "";
    FILE *file = fopen("/proc/self/comm", "re");
    CHECK_OR_RETURN(file, false);
    bool is_read = fgets(name, sizeof name, file) != NULL;
    (void)fclose(file);
    return is_read && strncmp(name, "qemu-", 5) == 0;
}

int harness_pace(void)
{
    return RUNNING_ON_VALGRIND ? 10 : 1;
}

bool harness_sizes_are_exact(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return !RUNNING_ON_VALGRIND;
#endif
}

/* The limit is a number, not a count: it is the first free number after `spare` free ones. */
void harness_limit_fds(int spare)
{
    int number = 0;
    for (int free_count = 0; free_count <= spare; number++) {
        if (fcntl(number, F_GETFD) < 0) free_count++;
    }

    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)number - 1;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static bool install_filter(struct sock_filter *code, unsigned short length)
{
    struct sock_fprog program = {.len = length, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
        return true;
    }
    harness_skip("no system call can be denied here");
    return false;
}

bool harness_deny_syscall(long number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return install_filter(code, sizeof code / sizeof *code);
}

bool harness_deny_watching(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_ctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, EPOLL_CTL_DEL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return install_filter(code, sizeof code / sizeof *code);
}

void harness_run_child(struct harness_child *ret, int (*fn)(void *arg), void *arg)
{
    *ret = (struct harness_child){.exit_code = -1};

    int output[2];
    harness_pipe(output);
    pid_t pid = fork();
    if (pid == 0) {
        /* Blocking again, or a program that prints much would lose some of it. */
        (void)fcntl(output[1], F_SETFL, 0);
        dup2(output[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        close(output[0]);
        close(output[1]);
        int code = fn(arg);
        (void)fflush(NULL);
        _exit(code);
    }
    close(output[1]);
    if (pid < 0) {
        CHECK_FAIL("fork: errno %d", errno);
    } else {
        child_collect(ret, pid, output[0]);
    }
    close(output[0]);
}

/* Reads until the child has ended, not until end of file: a grandchild may hold the pipe. */
static void child_collect(struct harness_child *child, pid_t pid, int output_fd)
{
    int64_t limit = harness_now_ns() + CHILD_LIMIT_SEC * NS_PER_SEC;
    int status = 0;
    pid_t ended = 0;
    while (ended == 0) {
        struct pollfd ready = {.fd = output_fd, .events = POLLIN};
        (void)poll(&ready, 1, 1);
        child_read(child, output_fd);
        if (ready.revents & POLLHUP) harness_sleep_ms(1);
        if (harness_now_ns() > limit) kill(pid, SIGKILL);
        ended = waitpid(pid, &status, WNOHANG);
    }
    child_read(child, output_fd);
    child->exited = WIFEXITED(status);
    if (child->exited) {
        child->exit_code = WEXITSTATUS(status);
    } else {
        child->signal_number = WTERMSIG(status);
    }
}

static void child_read(struct harness_child *child, int output_fd)
{
    char spill[512];
    for (;;) {
        size_t room = sizeof child->output - 1 - child->output_size;
        ssize_t size = room > 0 ? read(output_fd, child->output + child->output_size, room)
                                : read(output_fd, spill, sizeof spill);
        if (size <= 0) return;
        if (room > 0) child->output_size += (size_t)size;
    }
}

void harness_pipe(int ret_fds[2])
{
    ret_fds[0] = ret_fds[1] = -1;
    CHECK_EQ(pipe2(ret_fds, O_NONBLOCK | O_CLOEXEC), 0);
}

void harness_socket_pair(int ret_fds[2])
{
    ret_fds[0] = ret_fds[1] = -1;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds), 0);
}

int harness_tcp_listener(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_OR_RETURN(fd >= 0, -1);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(listen(fd, 128), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

void harness_tcp_pair(int ret_fds[2])
{
    ret_fds[0] = ret_fds[1] = -1;

    uint16_t port = 0;
    int listener = harness_tcp_listener(&port);
    CHECK_OR_RETURN(listener >= 0, );
    ret_fds[1] = tcp_connect(port);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    CHECK_EQ(poll(&ready, 1, 5000), 1);
    ret_fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(ret_fds[0] >= 0);
    close(listener);
}

/* Connects while blocking: on loopback that needs no accept, and leaves nothing in progress. */
static int tcp_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OR_RETURN(fd >= 0, -1);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

void harness_fill(int fd)
{
    static const char block[4096];
    while (write(fd, block, sizeof block) > 0) {
    }
    /* A stream socket may still take a little where a whole block did not fit. */
    while (write(fd, block, 1) > 0) {
    }
    CHECK(errno == EAGAIN);
}

size_t harness_drain(int fd)
{
    char block[4096];
    size_t total = 0;
    for (ssize_t size = read(fd, block, sizeof block); size > 0;
         size = read(fd, block, sizeof block)) {
        total += (size_t)size;
    }
    return total;
}
