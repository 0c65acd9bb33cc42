/* SPDX-License-Identifier: MIT */
/*
 * Every call that can fail, fails once: for each scenario and each kind of call, the k-th one, for
 * every k up to the number that a clean run makes. Then: no crash, no hang, no wrong result,
 * nothing leaked, and the next run is as good as new. Prints TAP.
 *
 *     faults [--lasting] [SCENARIO...]       --lasting: the k-th and all that follow
 */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/scenarios.h"
#include "tests/faults/wrap.h"

enum { LIMIT_SECONDS = 20 };

/* Shared with the children. */
struct findings {
    int calls[FAULT_COUNT]; /* of the clean run */
    int64_t mapped;         /* that a clean run leaves: records are never unmapped */
    int errors;             /* children whose run returned an error */
    char complaint[256];    /* of the child; empty: none */
};

static struct findings *findings;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The first complaint of a child counts. */
static void complain(const char *format, ...)
{
    if (findings->complaint[0]) return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(findings->complaint, sizeof findings->complaint, format, arguments);
    va_end(arguments);
}

static int count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return -1;
    int count = 0;
    while (readdir(folder))
        count++;
    (void)closedir(folder); /* only read */
    return count;
}

/* ---- in a child ---- */

static void check_balance(const char *when, int fds_before)
{
    if (fault_blocks() != 0) complain("%s: %ld blocks of memory leak", when, fault_blocks());
    int fds = count_fds();
    if (fds != fds_before) complain("%s: %d descriptors, %d before", when, fds, fds_before);
    if (fault_mapped() > findings->mapped) {
        complain("%s: %lld bytes mapped, %lld after a clean run",
                 when,
                 (long long)fault_mapped(),
                 (long long)findings->mapped);
    }
}

static void run_clean(const struct scenario *scenario)
{
    int fds = count_fds();
    faults_open(0, 0, false);
    int result = scenario->run();
    (void)faults_close();
    if (result != 0) complain("the clean run gives %d", result);
    for (int i = 0; i < FAULT_COUNT; i++)
        findings->calls[i] = fault_calls((enum fault)i);
    findings->mapped = fault_mapped();
    check_balance("after the clean run", fds);
}

static void run_failing(const struct scenario *scenario, enum fault fault, int number, bool lasts)
{
    int fds = count_fds();
    faults_open(fault, number, lasts);
    int result = scenario->run();
    bool failed = faults_close();
    if (result == WRONG) complain("the result is wrong, and no call said so");
    if (result == -EDEADLK) complain("a task sleeps for ever");
    if (result > 0) complain("the result is %d", result);
    if (result < 0) findings->errors++;
    if (!failed && result != 0) complain("nothing failed, and the result is %d", result);
    check_balance("after the failure", fds);

    result = scenario->run();
    if (result != 0) complain("the next run gives %d", result);
    check_balance("after the next run", fds);
}

/* ---- in the parent ---- */

/* Number 0: the clean run. True if there was nothing to complain about. */
static bool run_in_child(const struct scenario *scenario, enum fault fault, int number, bool lasts)
{
    findings->complaint[0] = '\0';
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        complain("no child");
        return false;
    }
    if (pid == 0) {
        (void)alarm(LIMIT_SECONDS);
        if (number == 0) {
            run_clean(scenario);
        } else {
            run_failing(scenario, fault, number, lasts);
        }
        exit(0); /* sanitizers report at exit */
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) complain("the child is lost");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) complain("it hangs");
    if (WIFSIGNALED(status)) complain("it crashes with signal %d", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        complain("exit status %d", WEXITSTATUS(status));
    }
    return findings->complaint[0] == '\0';
}

static int row_number;
static int rows_failed;

/* One row of TAP; a row that failed is followed by what was found. */
static void begin_row(bool holds, const char *scenario, const char *call)
{
    rows_failed += !holds;
    printf("%sok %d - %s_%s", holds ? "" : "not ", ++row_number, scenario, call);
}

/* Interrupted for ever, the library may try for ever. */
static bool can_last(enum fault fault)
{
    return fault != FAULT_epoll_wait && fault != FAULT_ppoll && fault != FAULT_poll;
}

static void run_scenario(const struct scenario *scenario, bool lasts)
{
    findings->mapped = INT64_MAX;
    bool is_clean = run_in_child(scenario, 0, 0, false);
    begin_row(is_clean, scenario->name, "clean");
    printf("\n");
    if (!is_clean) {
        printf("# %s\n", findings->complaint);
        return;
    }
    for (int i = 0; i < FAULT_COUNT; i++) {
        enum fault fault = (enum fault)i;
        int calls = findings->calls[fault];
        if (calls == 0 || (lasts && !can_last(fault))) continue;
        int survived = 0;
        findings->errors = 0;
        char report[4096] = "";
        size_t used = 0;
        for (int number = 1; number <= calls; number++) {
            if (run_in_child(scenario, fault, number, lasts)) {
                survived++;
            } else if (used < sizeof report - 320) {
                used += (size_t)snprintf(report + used,
                                         sizeof report - used,
                                         "# call %d: %s\n",
                                         number,
                                         findings->complaint);
            }
        }
        begin_row(survived == calls, scenario->name, fault_name(fault));
        printf(" %d of %d failures survived, %d of them told\n%s",
               survived,
               calls,
               findings->errors,
               report);
    }
}

static bool is_wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) return true;
    }
    return count == 0;
}

int main(int argc, char **argv)
{
    bool lasts = argc > 1 && strcmp(argv[1], "--lasting") == 0;
    findings =
        mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (findings == MAP_FAILED) return EXIT_FAILURE;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < scenario_count; i++) {
        if (!is_wanted(scenarios[i].name, argc - 1 - lasts, argv + 1 + lasts)) continue;
        run_scenario(&scenarios[i], lasts);
    }
    printf("1..%d\n", row_number);
    return rows_failed > 0 || row_number == 0;
}
