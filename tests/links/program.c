/* SPDX-License-Identifier: MIT */
/*
 * Uses an event library for something else before weft runs, inside of a task while others wait,
 * and afterwards. Exit status 0: all of it worked; 80: weft_run() gave -ELIBBAD.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <weft/weft.h>

#include "tests/links/use.h"

#define ROUNDS   20
#define REFUSED  80
#define SOME_KIB (256 * 1024) /* of stack: another library's loop runs on it */

static int echoes(void *arg)
{
    const int *fds = arg;
    char byte = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (weft_read(fds[1], &byte, 1) != 1 || weft_write(fds[1], &byte, 1) != 1) return -EIO;
    }
    return 0;
}

static int root(void *arg)
{
    int *fds = arg;
    char byte = 'a';
    weft_task task;
    int result = weft_spawn(&task, echoes, fds);
    if (result < 0) return result;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 10 == 5 && use_loop() != 0) return -ECANCELED;
        if (weft_write(fds[0], &byte, 1) != 1 || weft_read(fds[0], &byte, 1) != 1) return -EIO;
        if (weft_sleep(WEFT_MSEC) < 0) return -ETIMEDOUT;
    }
    return weft_join(task, NULL);
}

int main(void)
{
    int fds[2];
    struct weft_config config = WEFT_CONFIG_INIT;
    config.stack_size = SOME_KIB;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) return 1;
    int result = use_loop();
    if (result != 0) {
        fprintf(stderr, "the library alone: %d\n", result);
        return 1;
    }
    int status = weft_run(&config, root, fds);
    if (status < 0 && status != -ELIBBAD) {
        fprintf(stderr, "weft_run: %s\n", strerror(-status));
        return 1;
    }
    result = use_loop();
    if (result != 0) {
        fprintf(stderr, "the library afterwards: %d\n", result);
        return 1;
    }
    return status == -ELIBBAD ? REFUSED : 0;
}
