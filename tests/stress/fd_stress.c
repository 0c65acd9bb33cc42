/* SPDX-License-Identifier: MIT */
/*
 * Descriptors between threads: two runtimes that talk, a server whose clients are plain threads,
 * and closes from outside under the feet of who waits.
 *
 * usage: fd_stress [ROUNDS]
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/stress/stress.h"

/* ---- a stream from one runtime to another ---- */

#define STREAM_BYTES 100000

struct stream {
    int fd;
    uint64_t random;
};

static unsigned char stream_byte(size_t position)
{
    return (unsigned char)(position * 37 + position / 256);
}

/* Random blocks under random deadlines; what did not go is sent again. */
static int stream_write(void *arg)
{
    struct stream *stream = arg;
    static unsigned char bytes[STREAM_BYTES];
    size_t sent = 0;
    for (size_t i = 0; i < STREAM_BYTES; i++) {
        bytes[i] = stream_byte(i);
    }
    while (sent < STREAM_BYTES) {
        size_t size = 1 + stress_random(&stream->random) % 8000;
        size_t done = 0;
        int status = 0;
        if (size > STREAM_BYTES - sent) size = STREAM_BYTES - sent;
        weft_with_timeout(stress_random(&stream->random) % 200 * WEFT_USEC) {
            status = weft_write_all(stream->fd, &bytes[sent], size, &done);
        }
        EXPECT(status == -ETIMEDOUT || (status == 0 && done == size));
        sent += done;
    }
    EXPECT(weft_close(stream->fd) == 0);
    return 0;
}

static int stream_read(void *arg)
{
    struct stream *stream = arg;
    unsigned char bytes[4096];
    size_t received = 0;
    ssize_t size = 1;
    while (size != 0) {
        weft_with_timeout(stress_random(&stream->random) % 200 * WEFT_USEC) {
            size = weft_read(stream->fd, bytes, 1 + stress_random(&stream->random) % sizeof bytes);
        }
        if (!EXPECT(size >= 0 || size == -ETIMEDOUT)) break;
        for (ssize_t i = 0; i < size; i++) {
            EXPECT(bytes[i] == stream_byte(received + (size_t)i));
        }
        if (size > 0) received += (size_t)size;
    }
    EXPECT(received == STREAM_BYTES);
    EXPECT(weft_close(stream->fd) == 0);
    return 0;
}

static void *stream_reader(void *arg)
{
    EXPECT(weft_run(NULL, stream_read, arg) == 0);
    return NULL;
}

static void run_stream(unsigned round)
{
    int fds[2];
    if (!EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0)) {
        return;
    }
    struct stream from = {.fd = fds[0], .random = round};
    struct stream to = {.fd = fds[1], .random = round + 1};
    pthread_t thread = stress_thread(stream_reader, &to);
    EXPECT(weft_run(NULL, stream_write, &from) == 0);
    stress_join(thread);
}

/* ---- closed from outside ---- */

/* Nothing else opens a descriptor meanwhile, so who comes late finds the number closed. */
struct closing {
    int fd;
    atomic_int waiting;
    atomic_int closed; /* by how many calls with result 0 */
    atomic_uint seed;
};

static int wait_for_the_close(void *arg)
{
    struct closing *closing = arg;
    char byte = 0;
    int status = 0;
    int index = 0;
    unsigned choice = atomic_fetch_add(&closing->seed, 1) % 3;
    atomic_fetch_add(&closing->waiting, 1);
    switch (choice) {
    case 0:
        EXPECT(weft_wait_fd(closing->fd, WEFT_READABLE) == -EBADF);
        break;
    case 1:
        EXPECT(weft_read(closing->fd, &byte, 1) == -EBADF);
        break;
    default:
        index = weft_select(weft_on_readable(closing->fd, &status), weft_after(WEFT_HOUR));
        EXPECT(index == -EBADF || (index == 0 && status == -EBADF));
        break;
    }
    return 0;
}

static int spawn_and_wait_for_the_close(void *arg)
{
    weft_task task;
    EXPECT(weft_spawn(&task, wait_for_the_close, arg) == 0);
    EXPECT(wait_for_the_close(arg) == 0);
    EXPECT(weft_join(task, NULL) == 0);
    return 0;
}

static void *waiting_runtime(void *arg)
{
    EXPECT(weft_run(NULL, spawn_and_wait_for_the_close, arg) == 0);
    return NULL;
}

static void *closing_thread(void *arg)
{
    struct closing *closing = arg;
    uint64_t random = atomic_fetch_add(&closing->seed, 1);
    while (atomic_load(&closing->waiting) < 4) {
        (void)sched_yield();
    }
    stress_delay(&random);
    int status = weft_close(closing->fd);
    EXPECT(status == 0 || status == -EBADF);
    if (status == 0) atomic_fetch_add(&closing->closed, 1);
    return NULL;
}

static void run_closing(unsigned round)
{
    int fds[2];
    if (!EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0)) {
        return;
    }
    struct closing closing = {.fd = fds[0]};
    atomic_init(&closing.seed, round);
    pthread_t threads[] = {
        stress_thread(waiting_runtime, &closing),
        stress_thread(waiting_runtime, &closing),
        stress_thread(closing_thread, &closing),
        stress_thread(closing_thread, &closing),
    };
    for (int i = 0; i < 4; i++) {
        stress_join(threads[i]);
    }
    EXPECT(atomic_load(&closing.closed) == 1);
    (void)close(fds[1]);
}

/* ---- a server and its clients ---- */

#define CLIENTS     3
#define CONNECTIONS 10 /* of each client */

struct server {
    struct sockaddr_in address;
    int listener;
    int64_t received; /* the runtime's */
    int served;
    atomic_llong sent;
};

WEFT_TASK(serve_one, (struct server *, server), (int, fd))
{
    char bytes[512];
    ssize_t size = 0;
    do {
        size = weft_read(fd, bytes, sizeof bytes);
        EXPECT(size >= 0);
        if (size > 0) server->received += size;
    } while (size > 0);
    EXPECT(weft_close(fd) == 0);
    server->served++;
    return 0;
}

static int serve_all(void *arg)
{
    struct server *server = arg;
    struct weft_scope scope;
    EXPECT(weft_scope_open(&scope) == 0);
    for (int i = 0; i < CLIENTS * CONNECTIONS; i++) {
        int fd = weft_accept(server->listener, NULL, NULL);
        if (!EXPECT(fd >= 0)) break;
        EXPECT(serve_one_scope_spawn(&scope, NULL, server, fd) == 0);
    }
    EXPECT(weft_scope_close(&scope) == 0);
    EXPECT(weft_close(server->listener) == 0);
    return 0;
}

static void *client_thread(void *arg)
{
    struct server *server = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random;
    for (int i = 0; i < CONNECTIONS; i++) {
        char bytes[512] = {0};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT(connect(fd, (struct sockaddr *)&server->address, sizeof server->address) == 0);
        for (unsigned j = stress_random(&random) % 8; j > 0; j--) {
            size_t size = 1 + stress_random(&random) % sizeof bytes;
            ssize_t sent = write(fd, bytes, size);
            EXPECT(sent > 0);
            if (sent > 0) atomic_fetch_add(&server->sent, sent);
            stress_delay(&random);
        }
        (void)close(fd);
    }
    return NULL;
}

static void run_server(void)
{
    struct server server = {
        .address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    struct sockaddr *address = (struct sockaddr *)&server.address;
    socklen_t size = sizeof server.address;
    pthread_t threads[CLIENTS];
    EXPECT(bind(server.listener, address, size) == 0);
    EXPECT(listen(server.listener, CLIENTS * CONNECTIONS) == 0);
    EXPECT(getsockname(server.listener, address, &size) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        threads[i] = stress_thread(client_thread, &server);
    }
    EXPECT(weft_run(NULL, serve_all, &server) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        stress_join(threads[i]);
    }
    EXPECT(server.served == CLIENTS * CONNECTIONS);
    EXPECT(server.received == atomic_load(&server.sent));
}

int main(int argc, char **argv)
{
    int rounds = stress_rounds(argc, argv, 40);

    for (int i = 0; i < rounds; i++) {
        run_stream((unsigned)i);
    }
    stress_report("a stream between two runtimes is exact");
    for (int i = 0; i < 5 * rounds; i++) {
        run_closing((unsigned)i);
    }
    stress_report("a close from outside wakes everybody, once");
    for (int i = 0; i < rounds; i++) {
        run_server();
    }
    stress_report("a server reads what plain threads send");
    return stress_end();
}
