/* SPDX-License-Identifier: MIT */
/*
 * FD-22 to 26, 28, 29, 31, 35, 43, 50: closing, and numbers that are used again.
 *
 * Closing behind weft's back, with close(2), is misuse; it must not crash, spin or deliver to the
 * wrong owner all the same.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "conformance/runtime/io_support.h"

/* Gives `fd` the number `number`, which must be free. */
static void take_number(int fd, int number)
{
    CHECK_EQ(fcntl(number, F_GETFD), -1);
    CHECK_EQ(dup3(fd, number, O_CLOEXEC), number);
    CHECK_EQ(close(fd), 0);
}

/* ---- 22, 43: closed while others wait ---- */

static int write_much(void *arg)
{
    struct transfer *transfer = arg;
    size_t done = 77;
    transfer->result = weft_write_all(transfer->fd, "abcdefgh", 8, &done);
    CHECK_EQ(done, 0);
    return 0;
}

static int accept_once(void *arg)
{
    struct transfer *transfer = arg;
    transfer->result = weft_accept(transfer->fd, NULL, NULL);
    return 0;
}

static int select_once(void *arg)
{
    struct transfer *transfer = arg;
    int status = 1;
    transfer->result = weft_select(weft_on_readable(transfer->fd, &status), weft_after(WEFT_HOUR));
    if (transfer->result == 0) transfer->result = status;
    return 0;
}

static int closed_root(void *arg)
{
    int *fds = arg;
    harness_fill(fds[0]);
    struct waiter waiters[3] = {{.fd = fds[0], .events = WEFT_READABLE},
                                {.fd = fds[0], .events = WEFT_WRITABLE},
                                {.fd = fds[0], .events = WEFT_READABLE | WEFT_WRITABLE}};
    struct transfer transfers[5];
    static const weft_fn calls[] = {read_once, read_once, write_once, write_much, select_once};
    weft_task tasks[8];
    for (int i = 0; i < 3; i++) {
        tasks[i] = start(wait_once, &waiters[i]);
    }
    for (int i = 0; i < 5; i++) {
        transfers[i] = (struct transfer){.fd = fds[0], .size = 8, .result = 77};
        tasks[3 + i] = start(calls[i], &transfers[i]);
    }
    settle();

    int64_t start_ns = weft_now();
    CHECK_EQ(weft_close(fds[0]), 0);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
        CHECK_EQ(i < 3 ? waiters[i].result : transfers[i - 3].result, -EBADF);
    }
    CHECK_WITHIN(weft_now() - start_ns, 0, WEFT_MINUTE);
    CHECK_EQ(fcntl(fds[0], F_GETFD), -1);
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), -EBADF);
    return 0;
}

WEFT_TEST(fd, 22_a_close_wakes_whoever_waits)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_virtual(closed_root, fds), 0);
}

static int closed_listener_root(void *arg)
{
    struct transfer *transfer = arg;
    weft_task task = start(accept_once, transfer);
    settle();
    CHECK_EQ(weft_close(transfer->fd), 0);
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(transfer->result, -EBADF);
    return 0;
}

WEFT_TEST(fd, 22_a_close_wakes_who_accepts)
{
    uint16_t port;
    struct transfer transfer = {.fd = harness_tcp_listener(&port), .result = 77};
    CHECK_EQ(run_virtual(closed_listener_root, &transfer), 0);
}

static int released_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task task = start(wait_once, &waiter);
    settle();
    CHECK_EQ(weft_release(fds[0]), 0);
    CHECK_EQ(finish(task), 0);
    CHECK_EQ(waiter.result, -EBADF);

    /* It stays open, and may come back. */
    CHECK(fcntl(fds[0], F_GETFD) >= 0);
    CHECK_EQ(stats_now().descriptors, 0);
    put_byte(fds[1], 'r');
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'r');
    return 0;
}

WEFT_TEST(fd, 22_a_release_wakes_whoever_waits_and_leaves_it_open)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(released_root, fds), 0);
}

static int peer_sees_end_root(void *arg)
{
    (void)arg;
    int fds[2];
    harness_tcp_pair(fds);
    struct transfer own = {.fd = fds[0], .size = 8, .result = 77};
    struct transfer peer = {.fd = fds[1], .size = 8, .result = 77};
    weft_task reading = start(read_once, &own);
    weft_task peer_reading = start(read_once, &peer);
    settle();

    int64_t start_ns = harness_now_ns();
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(finish(peer_reading), 0);
    CHECK_WITHIN(harness_now_ns() - start_ns, 0, harness_slack_ns());
    CHECK_EQ(peer.result, 0);
    CHECK_EQ(finish(reading), 0);
    CHECK_EQ(own.result, -EBADF);
    CHECK_EQ(weft_close(fds[1]), 0);
    return 0;
}

WEFT_TEST(fd, 43_the_peer_sees_the_end_though_a_read_was_in_flight)
{
    CHECK_EQ(run_real(peer_sees_end_root, NULL), 0);
}

/* ---- 23, 24: the number is used again ---- */

static int reused_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task old = start(wait_once, &waiter);
    settle();

    /* The old one's event happened, and was not looked at. */
    put_byte(fds[1], 'o');
    CHECK_EQ(weft_close(fds[0]), 0);
    int new_fds[2];
    harness_socket_pair(new_fds);
    if (new_fds[0] != fds[0]) take_number(new_fds[0], fds[0]);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 20 * WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(finish(old), 0);
    CHECK_EQ(waiter.result, -EBADF);

    weft_task new = start(wait_once, &waiter);
    settle();
    put_byte(new_fds[1], 'n');
    CHECK_EQ(finish(new), 0);
    CHECK_EQ(waiter.result, WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'n');
    return 0;
}

WEFT_TEST(fd, 23_a_number_that_is_used_again_sees_nothing_of_its_past)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_real(reused_root, fds), 0);
}

struct batch {
    int first[2];
    int second[2];
    int third[2];
    int second_result;
};

static int closes_second(void *arg)
{
    struct batch *batch = arg;
    CHECK_EQ(weft_wait_fd(batch->first[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(weft_close(batch->second[0]), 0);
    take_number(batch->third[0], batch->second[0]);
    return wait_for(batch->second[0], WEFT_READABLE, 20 * WEFT_MSEC);
}

static int waits_for_second(void *arg)
{
    struct batch *batch = arg;
    batch->second_result = weft_wait_fd(batch->second[0], WEFT_READABLE);
    return 0;
}

static int batch_root(void *arg)
{
    struct batch *batch = arg;
    weft_task closer = start(closes_second, batch);
    weft_task waiter = start(waits_for_second, batch);
    settle();
    put_byte(batch->first[1], '1');
    put_byte(batch->second[1], '2');
    CHECK_EQ(finish(closer), -ETIMEDOUT);
    CHECK_EQ(finish(waiter), 0);
    CHECK(batch->second_result == WEFT_READABLE || batch->second_result == -EBADF);
    put_byte(batch->third[1], '3');
    CHECK_EQ(weft_wait_fd(batch->second[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(batch->second[0]), '3');
    return 0;
}

WEFT_TEST(fd, 24_a_number_used_again_within_one_batch_of_events_gets_no_stale_one)
{
    struct batch batch;
    harness_pipe(batch.first);
    harness_pipe(batch.second);
    harness_socket_pair(batch.third);

    CHECK_EQ(run_real(batch_root, &batch), 0);
}

/* ---- 25, 26, 31: close(2) behind weft's back ---- */

static int wait_60_ms(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = wait_for(waiter->fd, waiter->events, 60 * WEFT_MSEC);
    waiter->wakes++;
    return 0;
}

static int raw_close_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task task = start(wait_60_ms, &waiter);
    settle();
    CHECK_EQ(close(fds[0]), 0);

    check_idle(30);
    CHECK_EQ(finish(task), 0);
    CHECK(waiter.result == -ETIMEDOUT || waiter.result == -EBADF);

    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), -EBADF);
    check_idle(30);
    return 0;
}

WEFT_TEST(fd, 25_a_wait_on_what_was_closed_with_close_2_ends_at_its_deadline)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_real(raw_close_root, fds), 0);
}

static int ghost_root(void *arg)
{
    int *fds = arg;
    int copy = dup(fds[0]);
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task old = start(wait_60_ms, &waiter);
    settle();
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(finish(old), 0);
    CHECK(waiter.result == -ETIMEDOUT || waiter.result == -EBADF);

    /* The copy is readable, and epoll remembers the number that it was registered with. */
    int new_fds[2];
    harness_pipe(new_fds);
    if (new_fds[0] != fds[0]) take_number(new_fds[0], fds[0]);
    put_byte(fds[1], 'g');
    check_idle(60);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 30 * WEFT_MSEC), -ETIMEDOUT);
    check_idle(60);

    put_byte(new_fds[1], 'n');
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 2 * WEFT_SEC), WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'n');
    CHECK_EQ(take_byte(copy), 'g');
    return 0;
}

WEFT_TEST(fd, 26_a_ghost_of_a_closed_number_neither_spins_nor_reaches_its_next_owner)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_real(ghost_root, fds), 0);
}

static int reopened_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int fds[2];
        harness_pipe(fds);
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
        int number = fds[0];
        CHECK_EQ(close(number), 0);

        int new_fds[2];
        harness_socket_pair(new_fds);
        if (new_fds[0] != number) take_number(new_fds[0], number);
        struct waiter waiter = {.fd = number, .events = WEFT_READABLE | WEFT_WRITABLE};
        CHECK_EQ(wait_for(number, WEFT_WRITABLE, 2 * WEFT_SEC), WEFT_WRITABLE);
        waiter.events = WEFT_READABLE;
        weft_task task = start(wait_once, &waiter);
        settle();
        put_byte(new_fds[1], 'n');
        struct weft_scope scope;
        CHECK_EQ(weft_scope_open_timeout(&scope, 2 * WEFT_SEC), 0);
        CHECK_EQ(weft_join(task, NULL), 0);
        CHECK_EQ(weft_scope_close(&scope), 0);
        CHECK_EQ(waiter.result, WEFT_READABLE);
        CHECK_EQ(weft_close(number), 0);
        CHECK_EQ(weft_close(new_fds[1]), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(fd, 31_a_number_reopened_outside_of_weft_is_watched_anew)
{
    CHECK_EQ(run_real(reopened_root, NULL), 0);
}

/* ---- 28, 35: nothing stays in the kernel ---- */

/* How many descriptors the backend's epoll instance watches; -1 if it has none to look at. */
static int kernel_registrations(void)
{
    char path[64];
    char line[256];
    int epoll_fd = weft_native_fd();
    if (epoll_fd < 0) return -1;
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll_fd);
    FILE *file = fopen(path, "re");
    CHECK_OR_RETURN(file, -1);
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        count += strncmp(line, "tfd:", 4) == 0;
    }
    (void)fclose(file);
    return count;
}

static int no_registration_root(void *arg)
{
    (void)arg;
    int before = kernel_registrations();
    for (int close_instead = 0; close_instead < 2; close_instead++) {
        int fds[2];
        harness_pipe(fds);
        int copy = dup(fds[0]);
        CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
        CHECK_EQ(stats_now().descriptors, 1);
        if (close_instead) {
            CHECK_EQ(weft_close(fds[0]), 0);
        } else {
            CHECK_EQ(weft_release(fds[0]), 0);
            CHECK_EQ(close(fds[0]), 0);
        }
        CHECK_EQ(kernel_registrations(), before);
        CHECK_EQ(stats_now().descriptors, 0);
        put_byte(fds[1], 'k');
        check_idle(40);
        CHECK_EQ(close(copy), 0);
        CHECK_EQ(weft_close(fds[1]), 0);
    }
    return 0;
}

WEFT_TEST(fd, 28_after_release_or_close_no_registration_is_left)
{
    CHECK_EQ(run_real(no_registration_root, NULL), 0);
}

static int shared_with_child_root(void *arg)
{
    int *fds = arg;
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    pid_t pid = fork();
    if (pid == 0) {
        pause(); /* its copy stays open */
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(weft_release(fds[0]), 0);
    CHECK_EQ(close(fds[0]), 0);
    put_byte(fds[1], 'c');

    int new_fds[2];
    harness_pipe(new_fds);
    if (new_fds[0] != fds[0]) take_number(new_fds[0], fds[0]);
    check_idle(60);
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, 30 * WEFT_MSEC), -ETIMEDOUT);
    put_byte(new_fds[1], 'n');
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);

    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    return 0;
}

WEFT_TEST(fd, 35_a_copy_in_a_child_sends_no_ghosts_to_the_parent)
{
    int fds[2];
    harness_socket_pair(fds);

    CHECK_EQ(run_real(shared_with_child_root, fds), 0);
}

/* ---- 29, 50: closing what is not there ---- */

static int twice_root(void *arg)
{
    int *fds = arg;
    CHECK_EQ(wait_for(fds[0], WEFT_READABLE, WEFT_MSEC), -ETIMEDOUT);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(fds[0]), -EBADF);

    int new_fds[2];
    harness_pipe(new_fds);
    if (new_fds[0] != fds[0]) take_number(new_fds[0], fds[0]);
    put_byte(new_fds[1], 'n');
    CHECK_EQ(weft_wait_fd(fds[0], WEFT_READABLE), WEFT_READABLE);
    CHECK_EQ(take_byte(fds[0]), 'n');
    return 0;
}

WEFT_TEST(fd, 29_the_second_close_fails_and_the_next_owner_is_unharmed)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(twice_root, fds), 0);
}

static int close_number(void *arg)
{
    const int *fd = arg;
    return weft_close(*fd);
}

static int concurrent_root(void *arg)
{
    int *fds = arg;
    struct waiter waiter = {.fd = fds[0], .events = WEFT_READABLE};
    weft_task waiting = start(wait_once, &waiter);
    settle();
    weft_task closers[2] = {start(close_number, &fds[0]), start(close_number, &fds[0])};
    int results = finish(closers[0]);
    results += finish(closers[1]);
    CHECK_EQ(results, -EBADF); /* the one 0, the other -EBADF */
    CHECK_EQ(finish(waiting), 0);
    CHECK_EQ(waiter.result, -EBADF);
    return 0;
}

WEFT_TEST(fd, 29_of_two_concurrent_closes_one_fails)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(concurrent_root, fds), 0);
}

static int unknown_root(void *arg)
{
    int *fds = arg;
    CHECK_EQ(weft_release(-1), -EBADF);
    CHECK_EQ(weft_release(INT32_MIN), -EBADF);
    CHECK_EQ(weft_release(9999), -EBADF);
    CHECK_EQ(weft_release(INT32_MAX), -EBADF);
    CHECK_EQ(weft_close(-1), -EBADF);
    CHECK_EQ(weft_close(9999), -EBADF);
    CHECK_EQ(weft_close(INT32_MAX), -EBADF);
    CHECK_EQ(weft_release(fds[1]), 0); /* open, and never waited on */

    int count = harness_fd_count();
    close_both(fds);
    CHECK_EQ(harness_fd_count(), count - 2);
    return 0;
}

WEFT_TEST(fd, 50_what_weft_never_saw_is_closed_plainly_and_released_harmlessly)
{
    int fds[2];
    harness_pipe(fds);

    CHECK_EQ(run_virtual(unknown_root, fds), 0);
}
