/* SPDX-License-Identifier: MIT */
/*
 * TCP-10, 11, 15, 17, 26, 33, 34, 36: much data, many tasks, and none at all.
 */
#include "conformance/runtime/tcp_support.h"

/* ---- 10, 11: data ---- */

#define MEBIBYTE (1 << 20)

struct flow {
    int fd;
    unsigned seed;
    bool *failed;
};

static unsigned char flow_next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned char)(*state >> 24);
}

static int sends_random(void *arg)
{
    struct flow *flow = arg;
    unsigned state = flow->seed;
    unsigned char chunk[1024];
    for (int sent = 0; sent < MEBIBYTE; sent += (int)sizeof chunk) {
        for (size_t i = 0; i < sizeof chunk; i++) {
            chunk[i] = flow_next(&state);
        }
        CHECK_EQ(weft_write_all(flow->fd, chunk, sizeof chunk, NULL), 0);
    }
    return weft_shutdown(flow->fd, SHUT_WR);
}

static int receives_random(void *arg)
{
    struct flow *flow = arg;
    unsigned state = flow->seed;
    unsigned char chunk[1000];
    int received = 0;
    int wrong = 0;
    ssize_t size;
    while ((size = weft_read(flow->fd, chunk, sizeof chunk)) > 0) {
        for (ssize_t i = 0; i < size; i++) {
            wrong += chunk[i] != flow_next(&state);
        }
        received += (int)size;
    }
    CHECK_EQ(size, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(received, MEBIBYTE);
    return 0;
}

static int both_ways_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    struct flow flows[4] = {{.fd = fds[0], .seed = 1},
                            {.fd = fds[1], .seed = 1},
                            {.fd = fds[1], .seed = 2},
                            {.fd = fds[0], .seed = 2}};
    weft_task tasks[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = start(i % 2 ? receives_random : sends_random, &flows[i]);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 10_a_mebibyte_each_way_arrives_intact)
{
    CHECK_EQ(run_real(both_ways_root, NULL), 0);
}

#define BLOCK  (256 * 1024)
#define BLOCKS 256

struct pressure {
    int fds[2];
    size_t sent;
    size_t received;
    size_t lead; /* how far the sender was ahead at most */
};

static int sends_blocks(void *arg)
{
    struct pressure *pressure = arg;
    static const char block[BLOCK];
    for (int i = 0; i < BLOCKS; i++) {
        CHECK_EQ(weft_write_all(pressure->fds[0], block, BLOCK, NULL), 0);
        pressure->sent += BLOCK;
        size_t lead = pressure->sent - pressure->received;
        if (lead > pressure->lead) pressure->lead = lead;
    }
    return weft_shutdown(pressure->fds[0], SHUT_WR);
}

static int pressure_root(void *arg)
{
    struct pressure *pressure = arg;
    weft_pair(pressure->fds);
    int small = 256 * 1024;
    CHECK_EQ(setsockopt(pressure->fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_EQ(setsockopt(pressure->fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    size_t resident = harness_resident_size();
    weft_task sender = start(sends_blocks, pressure);
    static char bytes[BLOCK];
    ssize_t size;
    size_t rest_at = 1 << 20;
    while ((size = weft_read(pressure->fds[1], bytes, sizeof bytes)) > 0) {
        pressure->received += (size_t)size;
        if (pressure->received >= rest_at) {
            CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
            rest_at += 4 << 20;
        }
    }
    CHECK_EQ(size, 0);
    CHECK_EQ(finish(sender), 0);
    CHECK_EQ(pressure->received, (size_t)BLOCK * BLOCKS);
    CHECK_WITHIN(pressure->lead, 1, 4 << 20);
    CHECK_WITHIN(harness_resident_size(), 0, resident + (4 << 20));
    close_both(pressure->fds);
    return 0;
}

WEFT_TEST(tcp, 11_a_slow_reader_holds_the_sender_back, .timeout = 60)
{
    struct pressure pressure = {.sent = 0};
    CHECK_EQ(run_real(pressure_root, &pressure), 0);
}

/* ---- 15, 17: many tasks on one connection ---- */

struct shared {
    int fds[2];
    bool stop;
    int done;
    int timed_out;
    unsigned dice;
};

static void count_result(struct shared *shared, ssize_t result)
{
    if (result == -ETIMEDOUT) {
        shared->timed_out++;
    } else if (result >= 0) {
        shared->done++;
    } else {
        CHECK(result == -EBADF || result == -EPIPE || result == -ECONNRESET);
        shared->stop = true;
    }
}

static int reads_with_random_deadlines(void *arg)
{
    struct shared *shared = arg;
    while (!shared->stop) {
        char bytes[64];
        ssize_t result = 0;
        weft_with_timeout(flow_next(&shared->dice) * 4 * WEFT_USEC) {
            result = weft_read(shared->fds[1], bytes, sizeof bytes);
        }
        count_result(shared, result);
        CHECK(weft_yield() <= 0);
    }
    return 0;
}

static int writes_with_random_deadlines(void *arg)
{
    struct shared *shared = arg;
    static const char bytes[512];
    while (!shared->stop) {
        struct weft_scope scope;
        CHECK_EQ(weft_scope_open_timeout(&scope, WEFT_MSEC), 0);
        int64_t moved = weft_now() + flow_next(&shared->dice) * 4 * WEFT_USEC;
        CHECK_EQ(weft_scope_set_deadline(&scope, moved), 0);
        count_result(shared, weft_write(shared->fds[0], bytes, sizeof bytes));
        int closed = weft_scope_close(&scope);
        CHECK(closed == 0 || closed == -ETIMEDOUT);
        CHECK(weft_yield() <= 0);
    }
    return 0;
}

static int deadlines_root(void *arg)
{
    struct shared *shared = arg;
    weft_pair(shared->fds);
    weft_task tasks[10];
    for (int i = 0; i < 10; i++) {
        weft_fn fn = i < 8 ? reads_with_random_deadlines : writes_with_random_deadlines;
        tasks[i] = start(fn, shared);
    }
    CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    CHECK_EQ(weft_close(shared->fds[1]), 0);
    shared->stop = true;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(finish(tasks[i]), 0);
    }
    CHECK(shared->done > 10);
    CHECK_EQ(stats_now().timers, 0);
    CHECK_EQ(weft_close(shared->fds[0]), 0);
    return 0;
}

WEFT_TEST(tcp, 15_readers_writers_and_moving_deadlines_share_a_connection)
{
    struct shared shared = {.dice = 7};
    CHECK_EQ(run_real(deadlines_root, &shared), 0);
}

/* One of the calls that there are, with a short deadline. */
static int calls_something(void *arg)
{
    struct shared *shared = arg;
    int fd = shared->fds[0];
    unsigned choice = flow_next(&shared->dice) % 8;
    char bytes[64] = "";
    struct msghdr message = {0};
    ssize_t result = 0;
    weft_with_timeout(flow_next(&shared->dice) * WEFT_USEC) {
        switch (choice) {
        case 0:
            result = weft_read(fd, bytes, sizeof bytes);
            break;
        case 1:
            result = weft_write(fd, bytes, sizeof bytes);
            break;
        case 2:
            result = weft_wait_fd(fd, WEFT_READABLE);
            break;
        case 3:
            result = weft_wait_fd(fd, WEFT_READABLE | WEFT_WRITABLE);
            break;
        case 4:
            result = weft_recvmsg(fd, &message, MSG_PEEK);
            break;
        case 5:
            result = weft_write_all(fd, bytes, sizeof bytes, NULL);
            break;
        case 6:
            result = weft_shutdown(fd, SHUT_WR);
            break;
        default:
            result = weft_tcp_port(fd);
            break;
        }
    }
    CHECK(result >= 0 || result == -ETIMEDOUT || result == -EBADF || result == -EPIPE);
    return 0;
}

static int methods_root(void *arg)
{
    struct shared *shared = arg;
    for (int round = 0; round < 100; round++) {
        harness_tcp_pair(shared->fds);
        weft_task tasks[12];
        for (int i = 0; i < 12; i++) {
            tasks[i] = start(calls_something, shared);
        }
        if (round % 2) CHECK_EQ(weft_yield(), 0);
        CHECK_EQ(weft_write(shared->fds[1], "data", 4), 4);
        if (round % 3 == 0) CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
        CHECK_EQ(weft_close(shared->fds[0]), 0);
        for (int i = 0; i < 12; i++) {
            CHECK_EQ(finish(tasks[i]), 0);
        }
        CHECK_EQ(weft_close(shared->fds[1]), 0);
    }
    CHECK_EQ(stats_now().descriptors, 0);
    return 0;
}

WEFT_TEST(tcp, 17_all_calls_at_once_and_a_close_do_no_harm)
{
    struct shared shared = {.dice = 11};
    CHECK_EQ(run_real(methods_root, &shared), 0);
}

/* ---- 26: whole writes ---- */

#define PIECE (64 * 1024)

struct piece {
    int fd;
    char letter;
};

static int writes_pieces(void *arg)
{
    struct piece *piece = arg;
    char *bytes = malloc(PIECE);
    CHECK_OR_RETURN(bytes, 1);
    memset(bytes, piece->letter, PIECE);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_write_all(piece->fd, bytes, PIECE, NULL), 0);
    }
    free(bytes);
    return 0;
}

static int whole_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    int small = 16 * 1024;
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    struct piece pieces[8];
    weft_task tasks[8];
    for (int i = 0; i < 8; i++) {
        pieces[i] = (struct piece){.fd = fds[0], .letter = (char)('a' + i)};
        tasks[i] = start(writes_pieces, &pieces[i]);
    }
    static char bytes[PIECE];
    int counts[8] = {0};
    for (int i = 0; i < 8 * 4; i++) {
        CHECK_EQ(weft_read_exactly(fds[1], bytes, PIECE, NULL), 0);
        int strange = 0;
        for (int j = 1; j < PIECE; j++) {
            strange += bytes[j] != bytes[0];
        }
        CHECK_EQ(strange, 0);
        CHECK_WITHIN(bytes[0], 'a', 'h');
        counts[(bytes[0] - 'a') & 7]++;
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(counts[i], 4);
        CHECK_EQ(finish(tasks[i]), 0);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 26_no_write_comes_in_between_a_write_all)
{
    CHECK_EQ(run_real(whole_root, NULL), 0);
}

#define LONG_PIECE (700 * 1024)

/* The first one writes more than a slice's budget of small pieces, the second one less. */
static size_t long_size(char letter)
{
    return letter == 'a' ? LONG_PIECE : LONG_PIECE / 4;
}

static int writes_long(void *arg)
{
    struct piece *piece = arg;
    size_t size = long_size(piece->letter);
    char *bytes = malloc(size);
    CHECK_OR_RETURN(bytes, 1);
    memset(bytes, piece->letter, size);
    CHECK_EQ(weft_write_all(piece->fd, bytes, size, NULL), 0);
    free(bytes);
    return 0;
}

/* A blocking pipe takes it in small pieces, without ever being full: the writers take turns with
 * the worker in between, but not with the pipe. */
static int whole_pipe_root(void *arg)
{
    (void)arg;
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    CHECK_EQ(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    struct piece pieces[2] = {{.fd = fds[1], .letter = 'a'}, {.fd = fds[1], .letter = 'b'}};
    weft_task tasks[2] = {start(writes_long, &pieces[0]), start(writes_long, &pieces[1])};
    CHECK_EQ(finish(tasks[0]), 0);
    CHECK_EQ(finish(tasks[1]), 0);
    static char bytes[LONG_PIECE];
    for (int i = 0; i < 2; i++) {
        size_t size = long_size(pieces[i].letter);
        CHECK_EQ(weft_read_exactly(fds[0], bytes, size, NULL), 0);
        int strange = 0;
        for (size_t j = 0; j < size; j++) {
            strange += bytes[j] != pieces[i].letter;
        }
        CHECK_EQ(strange, 0);
    }
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 26_a_write_all_in_many_pieces_is_whole_too)
{
    CHECK_EQ(run_real(whole_pipe_root, NULL), 0);
}

/* ---- 33, 34, 36 ---- */

#define REQUESTS     10000
#define REQUEST_SIZE 512

static int answers_requests(void *arg)
{
    const int *fd = arg;
    char bytes[REQUEST_SIZE];
    for (;;) {
        int result = weft_read_exactly(*fd, bytes, sizeof bytes, NULL);
        if (result < 0) return result;
        CHECK_EQ(weft_write_all(*fd, bytes, sizeof bytes, NULL), 0);
    }
}

static int asks(void *arg)
{
    const int *fd = arg;
    char bytes[REQUEST_SIZE];
    int64_t longest_ns = 0;
    for (int i = 0; i < REQUESTS; i++) {
        memset(bytes, i, sizeof bytes);
        int64_t start_ns = harness_now_ns();
        CHECK_EQ(weft_write_all(*fd, bytes, sizeof bytes, NULL), 0);
        memset(bytes, 0, sizeof bytes);
        CHECK_EQ(weft_read_exactly(*fd, bytes, sizeof bytes, NULL), 0);
        CHECK_EQ(bytes[REQUEST_SIZE - 1], (char)i);
        int64_t passed_ns = harness_now_ns() - start_ns;
        if (passed_ns > longest_ns) longest_ns = passed_ns;
    }
    CHECK_WITHIN(longest_ns, 0, WEFT_SEC);
    return 0;
}

static int requests_root(void *arg)
{
    (void)arg;
    int fds[2][2];
    weft_task servers[2];
    weft_task clients[2];
    for (int i = 0; i < 2; i++) {
        weft_pair(fds[i]);
        servers[i] = start(answers_requests, &fds[i][0]);
        clients[i] = start(asks, &fds[i][1]);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(finish(clients[i]), 0);
        CHECK_EQ(weft_close(fds[i][1]), 0);
        CHECK_EQ(finish(servers[i]), -EPIPE);
        CHECK_EQ(weft_close(fds[i][0]), 0);
    }
    return 0;
}

WEFT_TEST(tcp, 33_twenty_thousand_requests_are_answered_without_a_stall, .timeout = 60)
{
    CHECK_EQ(run_real(requests_root, NULL), 0);
}

static int accepts(void *arg)
{
    const int *listener = arg;
    return weft_accept(*listener, NULL, NULL);
}

static int pauses_root(void *arg)
{
    (void)arg;
    struct address address;
    int fds[2];
    int listener = listen_on_loopback(&address);
    weft_pair(fds);
    weft_task server = start(answers_requests, &fds[0]);
    weft_task acceptor = start(accepts, &listener);
    char bytes[REQUEST_SIZE] = "";
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_write_all(fds[1], bytes, sizeof bytes, NULL), 0);
        CHECK_EQ(weft_read_exactly(fds[1], bytes, sizeof bytes, NULL), 0);
        check_idle(100);
    }
    CHECK_EQ(weft_close(fds[1]), 0);
    CHECK_EQ(finish(server), -EPIPE);
    CHECK_EQ(weft_close(fds[0]), 0);
    CHECK_EQ(weft_close(listener), 0);
    CHECK_EQ(finish(acceptor), -EBADF);
    return 0;
}

WEFT_TEST(tcp, 34_between_two_messages_the_worker_sleeps)
{
    CHECK_EQ(run_real(pauses_root, NULL), 0);
}

static int unread_root(void *arg)
{
    (void)arg;
    int fds[2];
    weft_pair(fds);
    char bytes[8];
    CHECK_EQ(weft_write(fds[0], "ab", 2), 2);
    CHECK_EQ(weft_read(fds[1], bytes, 1), 1); /* it is watched now, and half read */
    check_idle(100);
    CHECK_EQ(weft_write(fds[0], "cd", 2), 2);
    check_idle(100);
    fill_connection(fds[0]);
    check_idle(100);
    CHECK_EQ(weft_read(fds[1], bytes, 3), 3);
    CHECK(memcmp(bytes, "bcd", 3) == 0);
    close_both(fds);
    return 0;
}

WEFT_TEST(tcp, 36_data_that_nobody_reads_wakes_nobody)
{
    CHECK_EQ(run_real(unread_root, NULL), 0);
}
