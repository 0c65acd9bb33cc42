/* SPDX-License-Identifier: MIT */
/*
 * weft_serve(): connections are spread evenly and stay so, and whatever ends it ends them, or waits
 * for them: MT-23 and 24.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "conformance/runtime/mt_support.h"

enum {
    OPEN_COUNT = 512,
    CHANGES = 200, /* one ends, another one comes */
    BATCH = 100,   /* that end at once */
    WORKERS_MAX = 4,
    NOT_ENDED = 1,
};

struct server {
    int listener;
    char address[32];
    int64_t duration_ns; /* of the scope around weft_serve() */
    atomic_int handled;  /* handlers that have returned */
    atomic_int cancelled;
    atomic_int result; /* of weft_serve(); NOT_ENDED */
};

static void open_server(struct server *server)
{
    *server = (struct server){.listener = -1, .duration_ns = WEFT_FOREVER, .result = NOT_ENDED};
    CHECK_EQ(weft_tcp_listen(&server->listener, "127.0.0.1:0", NULL), 0);
    (void)snprintf(
        server->address, sizeof server->address, "127.0.0.1:%d", weft_tcp_port(server->listener));
}

/* Says where it is, and waits for the end. */
static void tell_worker(int fd, void *arg)
{
    struct server *server = arg;
    char worker = (char)weft_worker_index();
    char byte = 0;
    CHECK_EQ(weft_write(fd, &worker, 1), 1);
    ssize_t count = weft_read(fd, &byte, 1);
    CHECK_EQ(weft_worker_index(), worker);
    if (count == -ECANCELED) count_up(&server->cancelled);
    count_up(&server->handled);
}

static int run_server(void *arg)
{
    struct server *server = arg;
    weft_with_timeout(server->duration_ns) {
        server->result = weft_serve(server->listener, tell_worker, server);
    }
    return 0;
}

/* ---- 23 ---- */

struct clients {
    struct server server;
    int count;
    int fds[OPEN_COUNT];
    unsigned workers[OPEN_COUNT]; /* that serve them */
    int live[WORKERS_MAX];
    uint64_t random;
};

static void come(struct clients *clients)
{
    signed char worker = -1; /* plain char has no sign on aarch64 */
    int number = clients->count++;
    CHECK_EQ(weft_tcp_dial(&clients->fds[number], clients->server.address), 0);
    CHECK_EQ(weft_read(clients->fds[number], &worker, 1), 1);
    CHECK_OR_RETURN(worker >= 0 && (unsigned)worker < weft_worker_count(), );
    clients->workers[number] = (unsigned)worker;
    clients->live[(unsigned)worker]++;
}

/* One of those that are open; the last one takes its place. */
static void go(struct clients *clients)
{
    clients->random = clients->random * 6364136223846793005u + 1442695040888963407u;
    int number = (int)(clients->random >> 33) % clients->count;
    CHECK_EQ(weft_close(clients->fds[number]), 0);
    clients->live[clients->workers[number]]--;
    clients->count--;
    clients->fds[number] = clients->fds[clients->count];
    clients->workers[number] = clients->workers[clients->count];
}

/* Until their tasks have ended: besides those that serve, there are the root and the server. */
static void await_ends(const struct clients *clients)
{
    int64_t limit = harness_now_ns() + 10 * NS_PER_SEC * harness_pace();
    while (live_tasks() != (size_t)clients->count + 2) {
        CHECK_OR_RETURN(harness_now_ns() < limit, );
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    }
}

static void check_balance(const struct clients *clients)
{
    int fewest = OPEN_COUNT;
    int most = 0;
    for (unsigned i = 0; i < weft_worker_count(); i++) {
        if (clients->live[i] < fewest) fewest = clients->live[i];
        if (clients->live[i] > most) most = clients->live[i];
    }
    CHECK_WITHIN(most - fewest, 0, 2);
}

static void come_and_go(struct clients *clients)
{
    while (clients->count < OPEN_COUNT) {
        come(clients);
        check_balance(clients);
    }
    for (int i = 0; i < CHANGES; i++) {
        go(clients);
        await_ends(clients);
        come(clients);
        check_balance(clients);
    }
    for (int i = 0; i < BATCH; i++) {
        go(clients);
    }
    await_ends(clients);
    while (clients->count < OPEN_COUNT) {
        come(clients);
    }
    check_balance(clients);
}

static int root_of_crowd(void *arg)
{
    struct clients *clients = arg;
    open_server(&clients->server);
    weft_task task = spawn_task(run_server, &clients->server);
    come_and_go(clients);

    CHECK_EQ(weft_close(clients->server.listener), 0);
    CHECK_EQ(weft_sleep(WEFT_MSEC), 0);
    CHECK_EQ(atomic_load(&clients->server.result), NOT_ENDED);
    while (clients->count > 0) {
        go(clients);
    }
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(atomic_load(&clients->server.result), -EBADF);
    CHECK_EQ(atomic_load(&clients->server.handled), OPEN_COUNT + CHANGES + BATCH);
    CHECK_EQ(atomic_load(&clients->server.cancelled), 0);
    return 0;
}

/* Both ends of a connection are in this process. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= 2 * OPEN_COUNT + 100) return;
    limit.rlim_cur = 2 * OPEN_COUNT + 100;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void serve_crowd(unsigned workers)
{
    static struct clients clients;
    clients = (struct clients){.random = workers};
    int fds = harness_fd_count();
    CHECK_EQ(run_with(workers, root_of_crowd, &clients), 0);
    CHECK_EQ(harness_fd_count(), fds);
}

WEFT_TEST(mt, 23_connections_are_as_many_on_each_worker_while_they_come_and_go, .timeout = 60)
{
    allow_descriptors();
    serve_crowd(1);
    serve_crowd(2);
    serve_crowd(4);
}

/* ---- 24 ---- */

static int dial(const struct server *server)
{
    int fd = -1;
    signed char worker = -1; /* plain char has no sign on aarch64 */
    CHECK_EQ(weft_tcp_dial(&fd, server->address), 0);
    CHECK_EQ(weft_read(fd, &worker, 1), 1);
    return fd;
}

/* Four connections, and then the end, which closes them. */
static void serve_until(int64_t duration_ns, int wanted)
{
    struct server server;
    int fds[4];
    char byte = 0;
    open_server(&server);
    server.duration_ns = duration_ns;
    weft_task task = spawn_task(run_server, &server);
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(&server);
    }
    if (wanted == -ECANCELED) CHECK_EQ(weft_cancel(task), 0);
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(atomic_load(&server.result), wanted);
    CHECK_EQ(atomic_load(&server.handled), 4);
    CHECK_EQ(atomic_load(&server.cancelled), 4);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_read(fds[i], &byte, 1), 0);
        CHECK_EQ(weft_close(fds[i]), 0);
    }
    CHECK_EQ(weft_close(server.listener), 0);
}

static int root_of_ends(void *arg)
{
    (void)arg;
    serve_until(WEFT_FOREVER, -ECANCELED);
    serve_until(WEFT_SEC * harness_pace(), -ETIMEDOUT);
    return 0;
}

WEFT_TEST(mt, 24_a_cancellation_or_a_deadline_ends_the_connections_too, .timeout = 60)
{
    CHECK_EQ(run_with(1, root_of_ends, NULL), 0);
    CHECK_EQ(run_with(2, root_of_ends, NULL), 0);
    CHECK_EQ(run_with(4, root_of_ends, NULL), 0);
}

static int root_is_refused(void *arg)
{
    struct server server;
    int pair[2];
    open_server(&server);
    harness_socket_pair(pair);
    CHECK_EQ(weft_serve(server.listener, NULL, NULL), -EINVAL);
    CHECK_EQ(weft_serve(pair[0], tell_worker, &server), -EINVAL);
    CHECK_EQ(weft_serve(-1, tell_worker, &server), -EBADF);
    weft_with_timeout(0) {
        CHECK_EQ(weft_serve(server.listener, tell_worker, &server), -ETIMEDOUT);
    }
    CHECK_EQ(close(pair[0]), 0);
    CHECK_EQ(close(pair[1]), 0);
    CHECK_EQ(weft_close(server.listener), 0);
    (void)arg;
    return 0;
}

MT_TEST(mt, 24b_what_cannot_be_served_is_refused)
{
    CHECK_EQ(weft_serve(0, tell_worker, NULL), -EPERM);
    CHECK_EQ(run_with(workers, root_is_refused, NULL), 0);
}

/* The last descriptor is the client's: the connection waits for one. */
static int root_without_descriptors(void *arg)
{
    struct server server;
    int client = -1;
    char byte = 0;
    (void)arg;
    open_server(&server);
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(weft_tcp_dial(&client, server.address), 0);
    harness_limit_fds(0);
    weft_with_timeout(0) { /* may not pause, and does not ask for ever */
        CHECK_EQ(weft_serve(server.listener, tell_worker, &server), -ETIMEDOUT);
    }
    weft_task task = spawn_task(run_server, &server);

    int64_t cpu_ns = harness_thread_cpu_ns();
    CHECK_EQ(weft_sleep(200 * WEFT_MSEC), 0);
    CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 20 * WEFT_MSEC);
    CHECK_EQ(atomic_load(&server.result), NOT_ENDED);
    CHECK_EQ(weft_close(spare), 0);
    CHECK_EQ(weft_read(client, &byte, 1), 1);
    CHECK_EQ(weft_close(server.listener), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(join_result(task), 0);
    CHECK_EQ(atomic_load(&server.handled), 1);
    return harness_failures();
}

static int child_without_descriptors(void *arg)
{
    return run_with(2, root_without_descriptors, arg);
}

WEFT_TEST(mt, 24c_without_descriptors_it_waits_and_goes_on)
{
    struct harness_child child;
    harness_run_child(&child, child_without_descriptors, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.exit_code, 0);
}
