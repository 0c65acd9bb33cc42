/* SPDX-License-Identifier: MIT */
/* [C-15] after_fork() releases a child's copies and leaves the parent's loop alone. */
#include <stdlib.h>
#include <unistd.h>

#include "conformance/contract/fixture.h"

struct family {
    struct fixture fixture;
    int fds[2];
    int fd_count_before_open;
};

static bool family_open(struct family *family)
{
    family->fd_count_before_open = harness_fd_count();
    if (!fixture_open(&family->fixture)) return false;
    harness_pipe(family->fds);
    fixture_arm(&family->fixture, family->fds[0], READ, 1);
    CHECK_EQ(fixture_poll(&family->fixture, 0), 0);
    return true;
}

static void check_parent_works(struct family *family)
{
    CHECK_QUIET(&family->fixture);
    fixture_put(family->fds[1], 1);
    CHECK_EQ(fixture_wait(&family->fixture, 1), READ);
    harness_drain(family->fds[0]);
    weft__backend.wake(family->fixture.state);
    CHECK_EQ(fixture_poll(&family->fixture, WEFT_POLL_FOREVER), 0);
    fixture_close(&family->fixture);
}

static int leave_the_loop(void *argument)
{
    struct family *family = argument;
    weft__backend.after_fork(family->fixture.state);
    free(family->fixture.state);
    close(family->fds[0]);
    close(family->fds[1]);
    /* One less: the child's output pipe took the place of the parent's two ends of it. */
    CHECK_EQ(harness_fd_count(), family->fd_count_before_open);
    return 0;
}

WEFT_TEST(c15, the_child_keeps_nothing_and_the_parent_everything)
{
    struct family family;
    if (!family_open(&family)) return;

    struct harness_child child;
    harness_run_child(&child, leave_the_loop, &family);

    CHECK_EQ(child.exit_code, 0);
    check_parent_works(&family);
}

static int run_a_loop_of_its_own(void *argument)
{
    struct family *family = argument;
    struct fixture own;
    weft__backend.after_fork(family->fixture.state);
    if (!fixture_open(&own)) return 1;

    /* The same number under another token; taken away again, with the file left open. */
    fixture_arm(&own, family->fds[0], READ, 2);
    CHECK_EQ(fixture_poll(&own, 0), 0);
    fixture_put(family->fds[1], 1);
    CHECK_EQ(fixture_wait(&own, 2), READ);
    CHECK_EQ(fixture_found(&own, 1), 0);
    harness_drain(family->fds[0]);
    weft__backend.forget(own.state, family->fds[0]);
    weft__backend.wake(own.state);
    CHECK_EQ(fixture_poll(&own, WEFT_POLL_FOREVER), 0);
    CHECK_QUIET(&own);
    fixture_close(&own);
    return 0;
}

WEFT_TEST(c15, the_child_may_open_a_loop_of_its_own)
{
    struct family family;
    if (!family_open(&family)) return;

    struct harness_child child;
    harness_run_child(&child, run_a_loop_of_its_own, &family);

    CHECK_EQ(child.exit_code, 0);
    CHECK_STR(child.output, "");
    check_parent_works(&family);
}

static int close_all_and_end(void *argument)
{
    struct family *family = argument;
    weft__backend.after_fork(family->fixture.state);
    close(family->fds[0]);
    close(family->fds[1]);
    return 0;
}

WEFT_TEST(c15, closing_in_the_child_takes_nothing_from_the_parent)
{
    struct family family;
    if (!family_open(&family)) return;

    for (int i = 0; i < 3; i++) {
        struct harness_child child;
        harness_run_child(&child, close_all_and_end, &family);
        CHECK_EQ(child.exit_code, 0);
    }

    check_parent_works(&family);
}
