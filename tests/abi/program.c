/* SPDX-License-Identifier: MIT */
/*
 * Linked once, run with each library: says which one it got, proves it by what is mapped, and
 * passes structs of the public headers in both directions. loader.sh compares.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/weft.h>

#include "conformance/capabilities.h"

WEFT_CHAN_TYPE(texts, const char *);

WEFT_TASK(reader, (int, fd), (struct texts, lines))
{
    static char text[16];
    ssize_t size = weft_read(fd, text, sizeof text - 1);
    return texts_send(lines, size < 0 ? "failed" : text);
}

static int select_once(struct texts lines, int fd)
{
    const char *line = "nothing";
    int status = 0;
    int index = -1;
    weft_with_timeout(WEFT_SEC) {
        if (weft_write(fd, "over a socket", 13) != 13) return -1;
        index = weft_select(weft_on_recv(lines.chan, &line, &status), weft_after(WEFT_MINUTE));
    }
    printf("select %d %d %s\n", index, status, line);
    return index;
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    int fds[2];
    struct texts lines;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || texts_open(&lines, 0) < 0) return 1;
    if (weft_go(reader, fds[0], lines) < 0 || select_once(lines, fds[1]) < 0) return 1;

    struct weft_stats stats = {.size = sizeof stats};
    if (weft_stats(&stats) < 0) return 1;
    printf("tasks %d, polls %s\n", (int)stats.tasks_total, stats.polls > 0 ? "some" : "none");

    char text[512] = "";
    if (capabilities_find_fault(weft_backend_name(), text, sizeof text)) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    if (!capabilities_is_mapped("libweft", text, sizeof text)) return 1;
    fprintf(stderr, "%s %s\n", weft_backend_name(), text);
    texts_unref(lines);
    (void)weft_close(fds[0]);
    (void)weft_close(fds[1]);
    return 0;
}

WEFT_MAIN(app_main);
