/* SPDX-License-Identifier: MIT */
/*
 * What the tests of reports share: a run whose reports go to a file in memory, which is read
 * afterwards into `output`.
 */
#ifndef WEFT_TESTS_CORE_REPORT_SUPPORT_H
#define WEFT_TESTS_CORE_REPORT_SUPPORT_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weft/weft.h>

static char output[1 << 20];

/* A sleep ends when everybody else sleeps. */
static struct weft_config virtual;

/* Runs root with reports to `output`. */
static inline int run_reporting(struct weft_config config, weft_fn root)
{
    config.report_fd = memfd_create("report", MFD_CLOEXEC);
    config.grace_ns = 50 * WEFT_MSEC;
    config.flags |= WEFT_NO_ENVIRONMENT;
    int result = weft_run(&config, root, NULL);
    ssize_t size = pread(config.report_fd, output, sizeof output - 1, 0);
    output[size > 0 ? size : 0] = '\0';
    close(config.report_fd);
    return result;
}

static inline int run_with_flags(unsigned flags, weft_fn root)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = flags;
    return run_reporting(config, root);
}

static inline int count_of(const char *what)
{
    int count = 0;
    for (const char *at = output; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

/* The line that contains `what`; empty if none does. */
static inline const char *line_of(const char *what)
{
    static char line[1024];
    line[0] = '\0';
    const char *at = strstr(output, what);
    if (!at) return line;
    const char *first = at;
    while (first > output && first[-1] != '\n')
        first--;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(first, "\n"), first);
    return line;
}

/* A task that is missing shows in the report. */
static inline weft_task spawn_named_at(const char *name, weft_fn fn, void *arg, const char *site)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    options.name = name;
    weft_task task = {0};
    (void)weft_spawn_with_at(&task, &options, fn, arg, site);
    return task;
}
#define spawn_named(name, fn, arg) spawn_named_at(name, fn, arg, WEFT_SITE)

static inline int sleep_an_hour(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_HOUR);
}

static inline int receive(void *arg)
{
    return weft_chan_recv(arg, NULL);
}

static inline int end_at_once(void *arg)
{
    (void)arg;
    return -7;
}

static inline void open_configuration(void)
{
    virtual = (struct weft_config)WEFT_CONFIG_INIT;
    virtual.flags = WEFT_VIRTUAL_CLOCK;
}

#endif
