/* SPDX-License-Identifier: MIT */
/*
 * Runs tests without Criterion: under qemu-user, ThreadSanitizer, Valgrind. Prints TAP.
 *
 *     program [--list | --stop] [GLOB ...]       globs match "suite/name"
 *
 * --stop ends the run after the first test that fails.
 *
 * Each test runs in a forked child and a process group of its own, which is killed at its
 * time-out. WEFT_TEST_TIMEOUT_FACTOR multiplies the time-outs, for slow machines.
 */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/harness.h"

static struct harness_test *first;
static struct harness_test **last = &first;

static bool test_is_wanted(const struct harness_test *test, int glob_count, char **globs);
static bool test_run(const struct harness_test *test, int number, double timeout_factor);
static void test_print(const struct harness_test *test, int number, bool passed);
static bool test_wait(pid_t pid, double timeout, int *ret_status);

void harness_register(struct harness_test *test)
{
    *last = test;
    last = &test->next;
}

int main(int argc, char **argv)
{
    bool only_list = argc > 1 && strcmp(argv[1], "--list") == 0;
    bool stops = argc > 1 && strcmp(argv[1], "--stop") == 0;
    char **globs = argv + 1 + (only_list || stops);
    int glob_count = argc - 1 - (only_list || stops);
    const char *factor_text = getenv("WEFT_TEST_TIMEOUT_FACTOR");
    double factor = factor_text ? strtod(factor_text, NULL) : 1;

    int planned = 0;
    for (struct harness_test *test = first; test; test = test->next) {
        if (!test_is_wanted(test, glob_count, globs)) continue;
        planned++;
        if (only_list) printf("%s/%s\n", test->suite, test->name);
    }
    if (only_list) return 0;

    printf("1..%d\n", planned);
    int number = 0;
    int failed = 0;
    for (struct harness_test *test = first; test; test = test->next) {
        if (!test_is_wanted(test, glob_count, globs)) continue;
        number++;
        if (test_run(test, number, factor > 0 ? factor : 1)) continue;
        failed++;
        if (stops) break;
    }
    printf("# %d passed, %d failed\n", number - failed, failed);
    return failed > 0 || planned == 0;
}

static bool test_is_wanted(const struct harness_test *test, int glob_count, char **globs)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", test->suite, test->name);
    for (int i = 0; i < glob_count; i++) {
        if (fnmatch(globs[i], path, 0) == 0) return true;
    }
    return glob_count == 0;
}

static bool test_run(const struct harness_test *test, int number, double timeout_factor)
{
    (void)fflush(NULL);
    harness_begin(); /* before the fork: the child's failures are read here */
    pid_t pid = fork();
    if (pid == 0) {
        (void)setpgid(0, 0);
        test->body();
        (void)fflush(NULL);
        exit(harness_failures() != 0); /* not _exit: sanitizers report at exit */
    }
    if (pid < 0) {
        printf("not ok %d - %s/%s # fork: errno %d\n", number, test->suite, test->name, errno);
        return false;
    }

    (void)setpgid(pid, pid);
    int status = 0;
    bool in_time = test_wait(pid, test->timeout * timeout_factor, &status);
    (void)kill(-pid, SIGKILL); /* what it left behind */

    bool passed =
        in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0 && harness_failures() == 0;
    test_print(test, number, passed);
    if (!in_time) printf("# timed out after %.1f s\n", test->timeout * timeout_factor);
    if (in_time && WIFSIGNALED(status)) printf("# killed by signal %d\n", WTERMSIG(status));
    if (in_time && WIFEXITED(status) && WEXITSTATUS(status) != 0 && harness_failures() == 0) {
        printf("# exit status %d\n", WEXITSTATUS(status));
    }
    char *rest = NULL;
    char *report = strdup(harness_report());
    for (char *line = strtok_r(report, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        printf("# %s\n", line);
    }
    free(report);
    return passed;
}

static void test_print(const struct harness_test *test, int number, bool passed)
{
    const char *word = passed ? "ok" : "not ok";
    const char *reason = passed ? harness_skipped() : NULL;
    printf("%s %d - %s/%s", word, number, test->suite, test->name);
    if (reason) printf(" # SKIP %s", reason);
    printf("\n");
}

/* False: it was killed because its time was over. */
static bool test_wait(pid_t pid, double timeout, int *ret_status)
{
    int64_t deadline = harness_now_ns() + (int64_t)(timeout * (double)NS_PER_SEC);
    while (harness_now_ns() < deadline) {
        if (waitpid(pid, ret_status, WNOHANG) == pid) return true;
        harness_sleep_ms(1);
    }
    (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, ret_status, 0);
    return false;
}
