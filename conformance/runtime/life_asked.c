/* SPDX-License-Identifier: MIT */
/*
 * Row LIFE-18: tasks of this executable really run on the backend that the build asked for. Name,
 * libraries in the process, capabilities; and its polls are counted while a task waits.
 */
#include <errno.h>
#include <unistd.h>

#include <weft/weft.h>

#include "conformance/capabilities.h"
#include "conformance/harness.h"

#define ROUNDS 10

static int answers(void *arg)
{
    const int *fd = arg;
    char byte = 0;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_read(*fd, &byte, 1), 1);
        CHECK_EQ(weft_write(*fd, &byte, 1), 1);
    }
    return 0;
}

/* Both ends sleep in each round: no byte can pass without a poll. */
static int asks(void *arg)
{
    const int *fds = arg;
    struct weft_stats before = {.size = sizeof before};
    struct weft_stats after = {.size = sizeof after};
    char byte = 'a';
    weft_task task;
    CHECK_EQ(weft_spawn(&task, answers, &((int *)arg)[1]), 0);
    CHECK_EQ(weft_stats(&before), 0);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(weft_write(fds[0], &byte, 1), 1);
        CHECK_EQ(weft_read(fds[0], &byte, 1), 1);
    }
    CHECK_EQ(weft_stats(&after), 0);
    CHECK(after.polls >= before.polls + ROUNDS);

    char fault[256];
    CHECK_STR(weft_backend_name(), WEFT_ASKED_BACKEND);
    if (capabilities_find_fault(WEFT_ASKED_BACKEND, fault, sizeof fault)) CHECK_FAIL("%s", fault);
    const struct capabilities *row = capabilities_of(WEFT_ASKED_BACKEND);
    if (row) {
        CHECK_EQ(weft_native_loop() != NULL, row->has_native_loop);
        CHECK_EQ(weft_native_fd() >= 0, row->has_native_fd);
    }
    if (weft_native_fd() < 0) CHECK_EQ(weft_native_fd(), -ENOSYS);
    return weft_join(task, NULL);
}

WEFT_TEST(life, 18c_tasks_run_on_the_backend_that_was_asked_for)
{
    int fds[2];
    harness_socket_pair(fds);
    CHECK_EQ(weft_run(NULL, asks, fds), 0);
    close(fds[0]);
    close(fds[1]);
}
