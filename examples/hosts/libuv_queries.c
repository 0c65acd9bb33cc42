/* SPDX-License-Identifier: MIT */
/*
 * Asks a server one line at a time: a program on libuv, as one has it already, with its terminal
 * (or a pipe) in a uv_stream_t and a uv_timer_t for what it shows meanwhile. Its callbacks hand
 * each line to a task, which connects, asks, waits for the answer, and tries again after a pause.
 *
 *   LDFLAGS=-luv ./weft run --backend libuv examples/hosts/libuv_queries.c ADDRESS
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <weft/weft.h>

#define TIME_PER_QUERY (2 * WEFT_SEC)
#define PAUSE          (20 * WEFT_MSEC)
#define TRIES_MAX      3
#define TEXT_MAX       256 /* bytes of a line, with the newline */

struct program {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tty_t tty;
        uv_pipe_t pipe;
    } input;
    uv_timer_t display;
    struct weft_runtime *runtime;
    const char *server;
    char line[TEXT_MAX];
    size_t line_size;
    int waiting_count;
    int answered_count;
    int failed_count;
};

/* One line: the callback makes it, its task frees it. */
struct query {
    struct program *program;
    char question[TEXT_MAX]; /* ends with a newline */
    char answer[TEXT_MAX];   /* without */
};

/* ---- tasks: plain code that may wait, on the host's thread, between its callbacks ---- */

static int read_answer(int fd, char *answer)
{
    size_t size = 0;
    while (size < TEXT_MAX - 1) {
        ssize_t count = weft_read(fd, answer + size, TEXT_MAX - 1 - size);
        if (count < 0) return (int)count;
        if (count == 0) return -ECONNRESET;
        size += (size_t)count;
        char *end = memchr(answer, '\n', size);
        if (!end) continue;
        *end = '\0';
        return 0;
    }
    return -EMSGSIZE;
}

static int ask_once(struct query *query)
{
    int fd = -1;
    int result = weft_tcp_dial(&fd, query->program->server);
    if (result < 0) return result;
    result = weft_write_all(fd, query->question, strlen(query->question), NULL);
    if (result == 0) result = read_answer(fd, query->answer);
    (void)weft_close(fd);
    return result;
}

static int ask(void *arg)
{
    struct query *query = arg;
    struct program *program = query->program;
    int result = -ECONNRESET;
    weft_with_timeout(TIME_PER_QUERY) {
        for (int i = 0; i < TRIES_MAX && result == -ECONNRESET; i++) {
            if (i > 0) (void)weft_sleep(PAUSE); /* a time-out is what the next call says */
            result = ask_once(query);
        }
    }

    query->question[strcspn(query->question, "\n")] = '\0';
    printf("%s: %s\n", query->question, result == 0 ? query->answer : strerror(-result));
    (void)fflush(stdout);
    program->waiting_count--;
    program->answered_count += result == 0;
    program->failed_count += result < 0;
    free(query);
    return 0;
}

/* ---- the host: callbacks, which never wait ---- */

static void on_line(struct program *program, const char *line, size_t size)
{
    struct query *query = calloc(1, sizeof *query);
    if (!query) return;
    query->program = program;
    memcpy(query->question, line, size);
    if (weft_runtime_spawn(program->runtime, NULL, NULL, ask, query) < 0) {
        free(query);
        return;
    }
    program->waiting_count++;
}

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct program *program = handle->data;
    (void)suggested;
    *ret = uv_buf_init(program->line + program->line_size,
                       (unsigned)(TEXT_MAX - 1 - program->line_size));
}

static void on_input(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct program *program = stream->data;
    (void)buffer;
    if (size < 0) { /* the end, or too long a line */
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }

    program->line_size += (size_t)size;
    char *start = program->line;
    char *end = program->line + program->line_size;
    for (char *stop; (stop = memchr(start, '\n', (size_t)(end - start))); start = stop + 1) {
        if (stop > start) on_line(program, start, (size_t)(stop + 1 - start));
    }
    program->line_size = (size_t)(end - start);
    memmove(program->line, start, program->line_size);
}

static void on_display(uv_timer_t *timer)
{
    const struct program *program = timer->data;
    fprintf(stderr, "%d answered, %d waiting\n", program->answered_count, program->waiting_count);
}

static int open_input(struct program *program, uv_loop_t *loop)
{
    int result = UV_EINVAL;
    uv_handle_type type = uv_guess_handle(0);
    if (type == UV_TTY) {
        result = uv_tty_init(loop, &program->input.tty, 0, 0);
    } else if (type == UV_NAMED_PIPE) {
        result = uv_pipe_init(loop, &program->input.pipe, 0);
        if (result == 0) result = uv_pipe_open(&program->input.pipe, 0);
    }
    if (result < 0) return result;
    program->input.handle.data = program;
    return uv_read_start(&program->input.stream, on_buffer, on_input);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct program program = {.server = argc > 1 ? argv[1] : "127.0.0.1:7777"};
    int result = weft_attach(&program.runtime, NULL, loop);
    if (result == 0) result = open_input(&program, loop);
    if (result < 0) {
        fprintf(stderr, "cannot begin: %s\n", uv_strerror(result));
        return 1;
    }

    (void)uv_timer_init(loop, &program.display);
    program.display.data = &program;
    (void)uv_timer_start(&program.display, on_display, 100, 100);
    uv_unref((uv_handle_t *)&program.display); /* what it shows is no reason to go on */

    (void)uv_run(loop, UV_RUN_DEFAULT); /* until the input has ended and no task waits */

    printf("%d answered, %d not\n", program.answered_count, program.failed_count);
    result = weft_detach_loop(program.runtime);
    uv_close((uv_handle_t *)&program.display, NULL);
    (void)uv_run(loop, UV_RUN_DEFAULT); /* handles are given back in the next pass */
    return uv_loop_close(loop) == 0 && result == 0 ? 0 : 1;
}
