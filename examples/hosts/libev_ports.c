/* SPDX-License-Identifier: MIT */
/*
 * Says which TCP ports are open: a program on libev, as one has it already, with an ev_io on
 * standard input and an ev_timer for what it shows meanwhile. Its callbacks hand each address to a
 * task, which connects and waits as if it were alone.
 *
 *   printf '127.0.0.1:22\n127.0.0.1:80\n' | libev_ports
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/weft.h>

#define TIME_PER_PORT (2 * WEFT_SEC)
#define LINE_MAX      256 /* bytes of input up to the end of a line */

struct program {
    ev_io input;
    ev_timer display;
    struct weft_runtime *runtime;
    char line[LINE_MAX];
    size_t line_size;
    int waiting_count;
    int open_count;
    int closed_count;
};

/* One address: the callback makes it, its task frees it. */
struct job {
    struct program *program;
    char address[LINE_MAX];
};

/* ---- a task: plain code that may wait, on the host's thread, between its callbacks ---- */

static int check_port(void *arg)
{
    struct job *job = arg;
    struct program *program = job->program;
    int fd = -1;
    int result = 0;
    weft_with_timeout(TIME_PER_PORT) {
        result = weft_tcp_dial(&fd, job->address);
    }

    printf("%s %s\n", job->address, result == 0 ? "open" : strerror(-result));
    (void)fflush(stdout);
    if (result == 0) {
        program->open_count++;
        (void)weft_close(fd);
    } else {
        program->closed_count++;
    }
    program->waiting_count--;
    free(job);
    return 0;
}

/* ---- the host: callbacks, which never wait ---- */

static void on_line(struct program *program, const char *line)
{
    struct job *job = malloc(sizeof *job);
    if (!job) return;
    job->program = program;
    (void)snprintf(job->address, sizeof job->address, "%s", line);
    if (weft_runtime_spawn(program->runtime, NULL, NULL, check_port, job) < 0) {
        free(job);
        return;
    }
    program->waiting_count++;
}

/* Hands on every whole line; what is left of the last one waits for more. */
static void take_lines(struct program *program)
{
    char *start = program->line;
    char *end = program->line + program->line_size;
    for (char *stop; (stop = memchr(start, '\n', (size_t)(end - start))); start = stop + 1) {
        *stop = '\0';
        if (stop > start) on_line(program, start);
    }
    program->line_size = (size_t)(end - start);
    if (program->line_size == LINE_MAX) program->line_size = 0; /* no address is that long */
    memmove(program->line, start, program->line_size);
}

static void on_input(struct ev_loop *loop, ev_io *watch, int events)
{
    (void)events;
    struct program *program = watch->data;
    char *end = program->line + program->line_size;
    ssize_t size = read(watch->fd, end, LINE_MAX - program->line_size);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        ev_io_stop(loop, watch);
        return;
    }
    program->line_size += (size_t)size;
    take_lines(program);
}

static void on_display(struct ev_loop *loop, ev_timer *watch, int events)
{
    (void)loop;
    (void)events;
    const struct program *program = watch->data;
    fprintf(stderr, "%d open, %d waiting\n", program->open_count, program->waiting_count);
}

int main(void)
{
    struct ev_loop *loop = ev_default_loop(0);
    struct program program = {0};
    if (!loop || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0) return 1;

    int result = weft_attach(&program.runtime, NULL, loop);
    if (result < 0) {
        fprintf(stderr, "cannot attach: %s\n", strerror(-result));
        return 1;
    }

    ev_io_init(&program.input, on_input, STDIN_FILENO, EV_READ);
    program.input.data = &program;
    ev_io_start(loop, &program.input);
    ev_timer_init(&program.display, on_display, 0.1, 0.1);
    program.display.data = &program;
    ev_timer_start(loop, &program.display);
    ev_unref(loop); /* what it shows is no reason to go on */

    ev_run(loop, 0); /* until the input has ended and no task waits for a connection */

    printf("%d open, %d not\n", program.open_count, program.closed_count);
    ev_ref(loop);
    ev_timer_stop(loop, &program.display);
    result = weft_detach_loop(program.runtime);
    ev_loop_destroy(loop);
    return result == 0 ? 0 : 1;
}
