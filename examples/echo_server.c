/* SPDX-License-Identifier: MIT */
/*
 * Sends back what it gets: one task for each connection, which reads and writes as if it were
 * alone. Who says nothing for 30 seconds is hung up on.
 *
 *   ./weft run examples/echo_server.c [ADDRESS]        then: nc 127.0.0.1 7777
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

WEFT_TASK(echo, (int, connection))
{
    char buffer[4096];
    for (;;) {
        ssize_t count = 0;
        weft_with_timeout(30 * WEFT_SEC) {
            count = weft_read(connection, buffer, sizeof buffer);
        }
        if (count <= 0) break; /* the end, a time-out, or an error */
        if (weft_write_all(connection, buffer, (size_t)count, NULL) < 0) break;
    }
    return weft_close(connection);
}

static int app_main(int argc, char **argv)
{
    int listener = -1;
    int result = weft_tcp_listen(&listener, argc > 1 ? argv[1] : "127.0.0.1:7777", NULL);
    if (result < 0) {
        fprintf(stderr, "cannot listen: %s\n", strerror(-result));
        return 1;
    }
    printf("listening on port %d\n", weft_tcp_port(listener));
    fflush(stdout);

    for (;;) {
        int connection = weft_accept(listener, NULL, NULL);
        if (connection == -EMFILE) continue; /* weft has paused already: this loop does not spin */
        if (connection < 0) break;
        if (weft_go(echo, connection) < 0) weft_close(connection);
    }
    return weft_close(listener);
}

WEFT_MAIN(app_main);
