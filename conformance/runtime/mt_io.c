/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of several workers: events while all ends, one event for one resumption, a worker
 * that computes and one that never rests, and closes that reach everybody: MT-12 to 15.
 */
#include <sys/socket.h>

#include "conformance/runtime/mt_support.h"

#define PAIRS 16

struct lines {
    int fds[PAIRS][2];
    atomic_int next;
    atomic_int woken;
    atomic_int is_over;
};

static void lines_open(struct lines *lines)
{
    for (int i = 0; i < PAIRS; i++) {
        harness_socket_pair(lines->fds[i]);
    }
}

static void lines_close(struct lines *lines)
{
    for (int i = 0; i < PAIRS; i++) {
        (void)close(lines->fds[i][0]);
        (void)close(lines->fds[i][1]);
    }
}

/* ---- 12 ---- */

static int read_to_the_end(void *arg)
{
    struct lines *lines = arg;
    int fd = lines->fds[atomic_fetch_add(&lines->next, 1) % PAIRS][0];
    ssize_t size = 1;
    while (size > 0) {
        char bytes[16];
        size = weft_read(fd, bytes, sizeof bytes);
        if (size > 0) count_up(&lines->woken);
    }
    CHECK_EQ(size, -ECANCELED);
    return 0;
}

static void *write_all_the_time(void *arg)
{
    struct lines *lines = arg;
    for (unsigned i = 0; atomic_load(&lines->is_over) == 0; i++) {
        ssize_t size = write(lines->fds[i % PAIRS][1], "x", 1);
        CHECK(size == 1 || errno == EAGAIN);
    }
    return NULL;
}

/* Returns while bytes come for tasks of all workers. */
static int root_leaves_readers(void *arg)
{
    struct lines *lines = arg;
    for (int i = 0; i < 2 * PAIRS; i++) {
        CHECK_EQ(weft_detach(spawn_spread(NULL, read_to_the_end, lines)), 0);
    }
    while (atomic_load(&lines->woken) < 100) {
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    }
    return 0;
}

MT_TEST(mt, 12_events_while_a_runtime_ends_do_no_harm)
{
    for (int i = 0; i < 10; i++) {
        struct lines lines = {.next = 0};
        lines_open(&lines);
        pthread_t thread = start_thread(write_all_the_time, &lines);
        CHECK_EQ(run_with(workers, root_leaves_readers, &lines), 0);
        count_up(&lines.is_over);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        lines_close(&lines);
    }
}

/* ---- 13 ---- */

#define TOKENS 300

static int read_tokens(void *arg)
{
    struct lines *lines = arg;
    int fd = lines->fds[atomic_fetch_add(&lines->next, 1) % PAIRS][0];
    char byte = 0;
    unsigned worker = weft_worker_index();
    while (weft_read(fd, &byte, 1) == 1) {
        CHECK_EQ(weft_worker_index(), worker);
        count_up(&lines->woken);
    }
    return 0;
}

/* Several readers of each line, on several workers: each byte resumes one of them. */
static int root_counts_resumptions(void *arg)
{
    struct lines *lines = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < 3 * PAIRS; i++) {
        (void)spawn_spread(&scope, read_tokens, lines);
    }
    for (int i = 0; i < TOKENS; i++) {
        CHECK_EQ(weft_write(lines->fds[i * 7 % PAIRS][1], "x", 1), 1);
        if (i % 5 == 0) CHECK_EQ(weft_yield(), 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(weft_shutdown(lines->fds[i][1], SHUT_WR), 0);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(atomic_load(&lines->woken), TOKENS);
    return 0;
}

MT_TEST(mt, 13_a_byte_resumes_one_task_on_its_own_worker)
{
    struct lines lines = {.next = 0};
    lines_open(&lines);
    CHECK_EQ(run_with(workers, root_counts_resumptions, &lines), 0);
    lines_close(&lines);
}

/* All tasks wait for one descriptor, of which worker 0 is told that it goes. */
static int wait_for_bad(void *arg)
{
    struct lines *lines = arg;
    CHECK_EQ(weft_wait_fd(lines->fds[0][0], WEFT_READABLE), -EBADF);
    count_up(&lines->woken);
    return 0;
}

static int root_closes(void *arg)
{
    struct lines *lines = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < 12; i++) {
        (void)spawn_spread(&scope, wait_for_bad, lines);
    }
    CHECK_EQ(weft_sleep(5 * WEFT_MSEC), 0);
    CHECK_EQ(atomic_load(&lines->woken), 0);
    CHECK_EQ(weft_close(lines->fds[0][0]), 0);
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(atomic_load(&lines->woken), 12);
    CHECK_EQ(weft_close(lines->fds[0][0]), -EBADF);
    return 0;
}

MT_TEST(mt, 13b_a_close_reaches_the_waiters_of_all_workers)
{
    struct lines lines = {.next = 0};
    harness_socket_pair(lines.fds[0]);
    CHECK_EQ(run_with(workers, root_closes, &lines), 0);
    (void)close(lines.fds[0][1]);
}

/* ---- 14 ---- */

struct exchange {
    int fds[2];
    atomic_int places;
    atomic_int done;
};

/* Two tasks beside worker 0; who is on that never starts while it computes. */
static int exchange_bytes(void *arg)
{
    struct exchange *exchange = arg;
    char byte = 'x';
    if (weft_worker_index() == 0) return 0;
    int side = atomic_fetch_add(&exchange->places, 1);
    if (side > 1) return 0;
    for (int i = 0; i < 50; i++) {
        if (side == 0) CHECK_EQ(weft_write(exchange->fds[0], &byte, 1), 1);
        CHECK_EQ(weft_read(exchange->fds[side], &byte, 1), 1);
        if (side == 1) CHECK_EQ(weft_write(exchange->fds[1], &byte, 1), 1);
    }
    count_up(&exchange->done);
    return 0;
}

static int root_computes(void *arg)
{
    struct exchange *exchange = arg;
    struct weft_scope scope;
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < 3 * weft_worker_count(); i++) {
        (void)spawn_spread(&scope, exchange_bytes, exchange);
    }
    CHECK(compute_until(&exchange->done, 2));
    CHECK_EQ(weft_scope_close(&scope), 0);
    return 0;
}

MT_TEST(mt, 14_each_worker_polls_for_itself)
{
    struct exchange exchange = {.places = 0};
    harness_socket_pair(exchange.fds);
    CHECK_EQ(run_with(workers, root_computes, &exchange), 0);
    (void)close(exchange.fds[0]);
    (void)close(exchange.fds[1]);
}

/* ---- 15 ---- */

static int compute_and_yield(void *arg)
{
    int status = 0;
    (void)arg;
    while (status == 0) {
        for (int spin = 0; spin < 10000; spin++) {
            __asm__ volatile("" ::: "memory");
        }
        status = weft_yield();
    }
    CHECK_EQ(status, -ECANCELED);
    return 0;
}

static int answer(void *arg)
{
    const int *fds = arg;
    char byte = 0;
    while (weft_read(fds[1], &byte, 1) == 1) {
        CHECK_EQ(weft_write(fds[1], &byte, 1), 1);
    }
    return 0;
}

/* Round trips of a plain thread through tasks of busy workers. */
static void *ask(void *arg)
{
    struct lines *lines = arg;
    for (int i = 0; i < 50; i++) {
        int64_t start = harness_now_ns();
        int fd = lines->fds[i % 4][0];
        char byte = 'x';
        CHECK_EQ(write(fd, &byte, 1), 1);
        CHECK_EQ(recv(fd, &byte, 1, 0), 1);
        CHECK_WITHIN(harness_now_ns() - start, 0, 20 * harness_slack_ns());
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(shutdown(lines->fds[i][0], SHUT_WR), 0);
    }
    return NULL;
}

static int root_serves(void *arg)
{
    struct lines *lines = arg;
    struct weft_scope scope;
    struct weft_scope busy;
    CHECK_EQ(weft_scope_open(&busy), 0);
    for (unsigned i = 0; i < 2 * weft_worker_count(); i++) {
        (void)spawn_spread(&busy, compute_and_yield, NULL);
    }
    pthread_t thread = start_thread(ask, lines);
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (int i = 0; i < 4; i++) {
        (void)spawn_spread(&scope, answer, lines->fds[i]);
    }
    CHECK_EQ(weft_scope_close(&scope), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_scope_cancel(&busy), 0);
    CHECK_EQ(weft_scope_close(&busy), -ECANCELED);
    return 0;
}

MT_TEST(mt, 15_descriptors_are_served_although_all_compute, .timeout = 60)
{
    struct lines lines = {.next = 0};
    for (int i = 0; i < 4; i++) { /* blocking, for the thread */
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines.fds[i]), 0);
    }
    CHECK_EQ(run_with(workers, root_serves, &lines), 0);
    for (int i = 0; i < 4; i++) {
        (void)close(lines.fds[i][0]);
        (void)close(lines.fds[i][1]);
    }
}
