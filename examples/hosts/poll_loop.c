/* SPDX-License-Identifier: MIT */
/*
 * Reminders: a program with a poll(2) loop of its own, in which tasks live.
 *
 *     (echo 300 tea; echo 100 coffee) | poll_loop
 *
 * The host reads lines and counts ticks, as it always did. What is new: it watches one descriptor
 * more, and each line is handed to a task that simply sleeps as long as the line says.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/weft.h>

#define TICK_MS 10

struct reminder {
    int delay_ms;
    char text[100];
};

struct host {
    struct weft_runtime *tasks;
    char input[4096];
    size_t input_size;
    bool input_ended;
    long long next_tick_ms;
    int ticks;
};

/* ---- the task: it may sleep, read and write sockets, use channels ---- */

static int remind(void *arg)
{
    struct reminder *reminder = arg;
    int result = weft_sleep(reminder->delay_ms * WEFT_MSEC);
    if (result == 0) printf("%s\n", reminder->text);
    free(reminder);
    return result;
}

/* ---- the host's callbacks: they never wait ---- */

static void on_line(struct host *host, const char *line)
{
    struct reminder *reminder = calloc(1, sizeof *reminder);
    if (!reminder) return;
    char *text = NULL;
    reminder->delay_ms = (int)strtol(line, &text, 10);
    snprintf(reminder->text, sizeof reminder->text, "%s", text + (*text == ' '));
    if (weft_runtime_spawn(host->tasks, NULL, NULL, remind, reminder) < 0) free(reminder);
}

static void on_input(struct host *host)
{
    char *at = host->input + host->input_size;
    ssize_t size = read(STDIN_FILENO, at, sizeof host->input - 1 - host->input_size);
    if (size <= 0) host->input_ended = true;
    if (size > 0) host->input_size += (size_t)size;
    host->input[host->input_size] = '\0';

    char *line = host->input;
    char *end = NULL;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        on_line(host, line);
        line = end + 1;
    }
    host->input_size -= (size_t)(line - host->input);
    memmove(host->input, line, host->input_size);
}

static void on_tick(struct host *host)
{
    host->ticks++;
    host->next_tick_ms += TICK_MS;
}

/* ---- the host's loop ---- */

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Until the next tick, or less if the tasks want so. */
static int timeout_ms(const struct host *host)
{
    long long left_ms = host->next_tick_ms - now_ms();
    int own_ms = left_ms > 0 ? (int)left_ms : 0;
    int tasks_ms = weft_host_timeout_ms(host->tasks);
    return tasks_ms >= 0 && tasks_ms < own_ms ? tasks_ms : own_ms;
}

static void run(struct host *host)
{
    host->next_tick_ms = now_ms() + TICK_MS;
    while (!host->input_ended || weft_host_is_alive(host->tasks)) {
        struct pollfd fds[2] = {
            {.fd = weft_host_fd(host->tasks), .events = POLLIN},
            {.fd = host->input_ended ? -1 : STDIN_FILENO, .events = POLLIN},
        };
        poll(fds, 2, timeout_ms(host));
        if (now_ms() >= host->next_tick_ms) on_tick(host);
        if (fds[1].revents) on_input(host);
        weft_host_dispatch(host->tasks); /* at any time: it does what there is to do */
    }
}

int main(void)
{
    struct host host = {0};
    int result = weft_attach(&host.tasks, NULL, NULL);
    if (result < 0) {
        fprintf(stderr, "weft_attach: %s\n", strerror(-result));
        return 1;
    }
    run(&host);
    weft_detach_loop(host.tasks);
    printf("%s\n", host.ticks > 0 ? "the clock ticked meanwhile" : "no tick");
    return 0;
}
