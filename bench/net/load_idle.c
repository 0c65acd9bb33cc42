/* SPDX-License-Identifier: MIT */
/*
 * Connections that have been used once and say nothing more, so that somebody can look at what the
 * server needs for them.
 */
#include "bench/net/load.h"

void load_idle(const struct load *load)
{
    int *fds = calloc(load->connections, sizeof *fds);
    BENCH_CHECK(fds);
    for (size_t i = 0; i < load->connections; i++) {
        char message[MESSAGE_SIZE];
        fds[i] = load_connect(load->port);
        load_send(fds[i]);
        BENCH_CHECK(recv(fds[i], message, sizeof message, MSG_WAITALL) == MESSAGE_SIZE);
    }
    printf("ready\n");
    BENCH_CHECK(fflush(stdout) == 0);
    char byte;
    BENCH_CHECK(read(STDIN_FILENO, &byte, 1) == 0);
    for (size_t i = 0; i < load->connections; i++) {
        close(fds[i]);
    }
    free(fds);
}
