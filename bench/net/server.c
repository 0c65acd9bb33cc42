/* SPDX-License-Identifier: MIT */
/*
 * The echo server with tasks, as the plain ones in bench/peers/plain do it with callbacks: one task
 * for each connection, one read and one write for each request.
 *
 * usage: bench-echo [once | timed]      once: ends when the last connection has ended;
 *                                       timed: a time-out scope of 30 s around each read
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#define BUFFER 4096

static bool is_once, is_timed;
static _Atomic int open_count;
static int listener;

static ssize_t read_timed(int connection, char *buffer)
{
    ssize_t count = 0;
    weft_with_timeout(30 * WEFT_SEC) {
        count = weft_read(connection, buffer, BUFFER);
    }
    return count;
}

WEFT_TASK(echo, (int, connection))
{
    char buffer[BUFFER];
    for (;;) {
        ssize_t count = is_timed ? read_timed(connection, buffer)
                                 : weft_read(connection, buffer, sizeof buffer);
        if (count <= 0) break;
        if (weft_write_all(connection, buffer, (size_t)count, NULL) < 0) break;
    }
    int result = weft_close(connection);
    if (--open_count == 0 && is_once) (void)weft_close(listener);
    return result;
}

static int app_main(int argc, char **argv)
{
    is_once = argc > 1 && strcmp(argv[1], "once") == 0;
    is_timed = argc > 1 && strcmp(argv[1], "timed") == 0;
    int result = weft_tcp_listen(&listener, "127.0.0.1:0", NULL);
    if (result < 0) return 1;
    printf("listening on port %d\n", weft_tcp_port(listener));
    (void)fflush(stdout);

    for (;;) {
        int connection = weft_accept(listener, NULL, NULL);
        if (connection < 0) return is_once ? 0 : 1;
        open_count++;
        if (weft_go(echo, connection) < 0) return 1;
    }
}

WEFT_MAIN(app_main);
