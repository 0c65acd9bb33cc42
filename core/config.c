/* SPDX-License-Identifier: MIT */
/*
 * Settings of a run: the defaults, then the caller's configuration, then WEFT_* variables.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <weft/time.h>

#include "core/runtime.h"
#include "core/sanitize.h"

enum {
    WORKERS_MAX = 256,
    STACK_SIZE_DEFAULT = 64 * 1024,
    STACK_SIZE_SANITIZED = 256 * 1024,
    FLAGS_KNOWN = WEFT_NO_ENVIRONMENT * 2 - 1, /* the last flag and all below it */
};

static int read_environment(struct settings *settings);
static int read_number(const char *name, uint64_t *ret);
static uint64_t seed_from_system(void);
static unsigned count_processors(void);

int weft__settings_load(struct settings *ret, const struct weft_config *config)
{
    struct settings settings = {.config = WEFT_CONFIG_INIT};
    if (config) {
        if (config->size < sizeof *config) return -EINVAL;
        settings.config = *config;
    }
    struct weft_config *made = &settings.config;
    if (made->grace_ns < 0 || made->watchdog_ns < 0 || made->spin_ns < 0) return -EINVAL;
    if (made->flags & ~(unsigned)FLAGS_KNOWN) return -EINVAL;
    if (made->dump_signal < 0 || made->dump_signal > NSIG) return -EINVAL;

    if (!(made->flags & WEFT_NO_ENVIRONMENT)) {
        int result = read_environment(&settings);
        if (result < 0) return result;
    }
    if (made->workers == 0) made->workers = count_processors();
    if (made->workers > WORKERS_MAX) return -EINVAL;
    if (made->stack_size == 0) {
        made->stack_size = WEFT__SANITIZED ? STACK_SIZE_SANITIZED : STACK_SIZE_DEFAULT;
    }
    if (made->stack_size > SIZE_MAX / 4) return -EINVAL;
    if (made->grace_ns == 0) made->grace_ns = 5 * WEFT_SEC;
    if (made->seed == 0) made->seed = seed_from_system();
    if (made->report_fd == 0) made->report_fd = 2;
    settings.is_virtual = made->flags & WEFT_VIRTUAL_CLOCK;
    settings.guards_required = made->flags & WEFT_GUARDS_REQUIRED;
    settings.reports_leaks = made->flags & WEFT_REPORT_LEAKS;
    *ret = settings;
    return 0;
}

/* A variable that cannot be understood is an error: nothing is silently ignored. */
static int read_environment(struct settings *settings)
{
    struct weft_config *config = &settings->config;
    uint64_t number = 0;
    int result = read_number("WEFT_STACK_SIZE", &number);
    if (result < 0) return result;
    if (result > 0) config->stack_size = number;

    result = read_number("WEFT_SEED", &number);
    if (result < 0) return result;
    if (result > 0) config->seed = number;

    result = read_number("WEFT_TEST_SHUFFLE", &number);
    if (result < 0) return result;
    if (result > 0) settings->shuffle_seed = number;

    result = read_number("WEFT_DUMP_SIGNAL", &number);
    if (result < 0 || (result > 0 && number > NSIG)) return -EINVAL;
    if (result > 0) config->dump_signal = (int)number;

    result = read_number("WEFT_WATCHDOG_MS", &number);
    if (result < 0 || (result > 0 && number > INT_MAX)) return -EINVAL;
    if (result > 0) config->watchdog_ns = (int64_t)number * WEFT_MSEC;

    result = read_number("WEFT_SPIN_US", &number);
    if (result < 0 || (result > 0 && number > INT_MAX)) return -EINVAL;
    if (result > 0) config->spin_ns = (int64_t)number * WEFT_USEC;

    result = read_number("WEFT_LEAKS", &number);
    if (result < 0) return result;
    if (result > 0 && number) config->flags |= WEFT_REPORT_LEAKS;

    result = read_number("WEFT_WORKERS", &number);
    if (result < 0 || (result > 0 && number > WORKERS_MAX)) return -EINVAL;
    if (result > 0) config->workers = (unsigned)number;

    const char *clock = getenv("WEFT_CLOCK");
    if (clock && strcmp(clock, "virtual") == 0) config->flags |= WEFT_VIRTUAL_CLOCK;
    if (clock && *clock && strcmp(clock, "virtual") != 0 && strcmp(clock, "real") != 0) {
        return -EINVAL;
    }
    const char *guards = getenv("WEFT_GUARDS");
    if (guards && strcmp(guards, "require") == 0) config->flags |= WEFT_GUARDS_REQUIRED;
    if (guards && *guards && strcmp(guards, "require") != 0 && strcmp(guards, "auto") != 0) {
        return -EINVAL;
    }
    return 0;
}

/* 1: it is set and stored; 0: it is not set; -EINVAL: it is no number. */
static int read_number(const char *name, uint64_t *ret)
{
    const char *text = getenv(name);
    if (!text || !*text) return 0;

    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0') return -EINVAL;
    *ret = number;
    return 1;
}

/* That the process may use. */
static unsigned count_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1; /* more than a set can hold */
    int count = CPU_COUNT(&set);
    return count < WORKERS_MAX ? (unsigned)count : WORKERS_MAX;
}

static uint64_t seed_from_system(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed && seed != 0) {
        return seed;
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec * 2 + 1;
}
