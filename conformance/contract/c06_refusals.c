/* SPDX-License-Identifier: MIT */
/* [C-6] What cannot be armed is refused with the right number, and is not armed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

WEFT_TEST(c06, files_that_are_always_ready_are_refused)
{
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/proc/self/exe", "/"};
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        CHECK_EQ(weft__backend.arm(fixture.state, fd, READ, 1), -EPERM);
        CHECK_EQ(weft__backend.arm(fixture.state, fd, BOTH, 1), -EPERM);
    }
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c06, numbers_that_are_not_open_are_refused)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    close(fds[0]);
    if (!fixture_open(&fixture)) return;

    CHECK_EQ(weft__backend.arm(fixture.state, -1, READ, 1), -EBADF);
    CHECK_EQ(weft__backend.arm(fixture.state, INT_MIN, READ, 1), -EBADF);
    CHECK_EQ(weft__backend.arm(fixture.state, 999, READ, 1), -EBADF);
    size_t resident = harness_resident_size();
    CHECK_EQ(weft__backend.arm(fixture.state, INT_MAX, WRITE, 1), -EBADF);
    if (harness_sizes_are_exact()) {
        CHECK_WITHIN(harness_resident_size(), 0, resident + (8 << 20)); /* no table up to there */
    }
    CHECK_QUIET(&fixture);
    fixture_close(&fixture);
}

WEFT_TEST(c06, number_closed_before_arm_is_refused)
{
    struct fixture fixture;
    int fds[2];
    if (!fixture_open(&fixture)) return;
    harness_pipe(fds);
    close(fds[0]);

    CHECK_EQ(weft__backend.arm(fixture.state, fds[0], READ, 1), -EBADF);
    fixture_close(&fixture);
}

WEFT_TEST(c06, on_error_the_old_interest_is_gone_too)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_put(fds[1], 1);
    fixture_arm(&fixture, fds[0], READ, 1);

    /* The number becomes a file that cannot be armed, then one that can. */
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(dup2(file, fds[0]), fds[0]);
    CHECK_EQ(weft__backend.arm(fixture.state, fds[0], READ, 2), -EPERM);
    CHECK_QUIET(&fixture);
    int others[2];
    harness_pipe(others);
    fixture_put(others[1], 1);
    CHECK_EQ(dup2(others[0], fds[0]), fds[0]);
    CHECK_QUIET(&fixture);
    fixture_arm(&fixture, fds[0], READ, 3);
    CHECK_EQ(fixture_wait(&fixture, 3), READ);
    fixture_close(&fixture);
}

WEFT_TEST(c06, the_loop_goes_on_after_refusals)
{
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return;
    fixture_arm(&fixture, fds[0], READ, 1);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft__backend.arm(fixture.state, file, READ, 2), -EPERM);
        CHECK_EQ(weft__backend.arm(fixture.state, 999, READ, 3), -EBADF);
    }

    fixture_put(fds[1], 1);

    CHECK_EQ(fixture_wait(&fixture, 1), READ);
    CHECK_EQ(fixture_found(&fixture, 2), 0);
    fixture_close(&fixture);
}

static int arm_without_room(void *unused)
{
    (void)unused;
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    if (!fixture_open(&fixture)) return 1;
    if (!harness_deny_watching(ENOSPC)) return 0;

    /* A loop may put the system call off to its poll; then it has to be silent about it. */
    int result = weft__backend.arm(fixture.state, fds[0], READ, 1);
    CHECK(result == -ENOSPC || result == 0);
    weft__backend.disarm(fixture.state, fds[0]);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), 0);
    fixture_close(&fixture);
    return 0;
}

WEFT_TEST(c06, no_room_in_the_kernel_is_an_error_and_no_end)
{
    struct harness_child child;
    harness_run_child(&child, arm_without_room, NULL);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}

/* False where the limit is ignored (qemu-user): nobody wants the next function there. */
static bool limit_memory(void)
{
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    void *mapped = mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return true;
    harness_skip("RLIMIT_AS is ignored here");
    return false;
}

/* Takes all memory that the process may still have; the blocks hang from one another. */
static void *take_all_memory(void)
{
    void *taken = NULL;
    for (size_t size = 1 << 16; size >= sizeof(void *); size /= 2) {
        for (void **block = malloc(size); block; block = malloc(size)) {
            *block = taken;
            taken = block;
        }
    }
    return taken;
}

static void give_back(void *taken)
{
    while (taken) {
        void *next = *(void **)taken;
        free(taken);
        taken = next;
    }
}

static int work_without_memory(void *unused)
{
    (void)unused;
    struct fixture fixture;
    int fds[2];
    harness_pipe(fds);
    int high = dup2(fds[0], 900);
    if (!fixture_open(&fixture)) return 1;
    void *other = calloc(1, weft__backend.state_size);
    int fd_count = harness_fd_count();
    if (!limit_memory()) return 0;
    void *taken = take_all_memory();

    int opened = weft__backend.open(other);
    CHECK(opened == 0 || opened == -ENOMEM);
    if (opened == 0) weft__backend.close(other);
    int armed = weft__backend.arm(fixture.state, high, READ, 1);
    CHECK(armed == 0 || armed == -ENOMEM);
    fixture_put(fds[1], 1);
    CHECK_EQ(fixture_poll(&fixture, NS_PER_MS), armed == 0);

    give_back(taken);
    CHECK_EQ(harness_fd_count(), fd_count);
    fixture_arm(&fixture, high, READ, 2);
    CHECK_EQ(fixture_wait(&fixture, 2), READ);
    fixture_close(&fixture);
    free(other);
    return 0;
}

WEFT_TEST(c06, no_memory_is_an_error_and_no_end)
{
    if (!harness_sizes_are_exact()) {
        harness_skip("the tool needs address space of its own");
        return;
    }
    struct harness_child child;
    harness_run_child(&child, work_without_memory, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
}
