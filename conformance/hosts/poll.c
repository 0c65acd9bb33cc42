/* SPDX-License-Identifier: MIT */
/*
 * A host that knows poll(2) and nothing else: own timers, own watches, and runtimes of which
 * it watches the descriptor. For every backend whose library has no loop to live in.
 */
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "conformance/hosts/host.h"

enum { RUNTIMES_MAX = 8, POLLS_MAX = 64 };

struct host_timer {
    struct host_timer *next;
    struct loop *loop;
    int64_t due_ms;
    unsigned long pass; /* in which it was started */
    void (*fn)(void *arg);
    void *arg;
};

struct host_watch {
    struct host_watch *next;
    struct loop *loop;
    int fd;
    bool is_stopped; /* freed at the end of the pass */
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    struct host_timer *timers;
    struct host_watch *watches;
    struct weft_runtime *runtimes[RUNTIMES_MAX];
    int runtime_count;
    unsigned long pass;
    bool in_pass;
    bool stops;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *loop_open(void)
{
    return calloc(1, sizeof(struct loop));
}

static bool loop_close(void *native)
{
    struct loop *loop = native;
    bool is_clean = !loop->timers && !loop->watches && loop->runtime_count == 0;
    free(loop);
    return is_clean;
}

static int loop_attach(void *native, struct weft_runtime **ret, const struct weft_config *config)
{
    struct loop *loop = native;
    int result = weft_attach(ret, config, NULL);
    if (result == 0) loop->runtimes[loop->runtime_count++] = *ret;
    return result;
}

static int loop_detach(void *native, struct weft_runtime *runtime)
{
    struct loop *loop = native;
    int result = weft_detach_loop(runtime);
    for (int i = 0; i < loop->runtime_count; i++) {
        if (loop->runtimes[i] != runtime) continue;
        loop->runtimes[i] = loop->runtimes[--loop->runtime_count];
        break;
    }
    return result;
}

/* ---- one pass ---- */

static int earlier(int timeout_ms, int other_ms)
{
    if (timeout_ms < 0) return other_ms;
    return other_ms >= 0 && other_ms < timeout_ms ? other_ms : timeout_ms;
}

static int how_long(const struct loop *loop)
{
    int timeout_ms = -1;
    for (const struct host_timer *timer = loop->timers; timer; timer = timer->next) {
        int64_t left_ms = timer->due_ms - now_ms();
        timeout_ms = earlier(timeout_ms, left_ms > 0 ? (int)left_ms : 0);
    }
    for (int i = 0; i < loop->runtime_count; i++) {
        timeout_ms = earlier(timeout_ms, weft_host_timeout_ms(loop->runtimes[i]));
    }
    return timeout_ms;
}

static void fire_timers(struct loop *loop)
{
    struct host_timer **link = &loop->timers;
    while (*link) {
        struct host_timer *timer = *link;
        if (timer->pass == loop->pass || timer->due_ms > now_ms()) {
            link = &timer->next;
            continue;
        }
        *link = timer->next;
        timer->fn(timer->arg);
        free(timer);
        link = &loop->timers; /* the list may be another one now */
    }
}

static void free_stopped(struct loop *loop)
{
    struct host_watch **link = &loop->watches;
    while (*link) {
        struct host_watch *watch = *link;
        if (!watch->is_stopped) {
            link = &watch->next;
            continue;
        }
        *link = watch->next;
        free(watch);
    }
}

static bool has_runtime(const struct loop *loop, const struct weft_runtime *runtime)
{
    for (int i = 0; i < loop->runtime_count; i++) {
        if (loop->runtimes[i] == runtime) return true;
    }
    return false;
}

static void pass(struct loop *loop, bool may_sleep)
{
    struct pollfd polls[POLLS_MAX];
    struct host_watch *watches[POLLS_MAX];
    struct weft_runtime *runtimes[RUNTIMES_MAX];
    nfds_t watch_count = 0, count = 0;

    loop->pass++;
    for (struct host_watch *watch = loop->watches; watch; watch = watch->next) {
        watches[watch_count] = watch;
        polls[watch_count++] = (struct pollfd){.fd = watch->fd, .events = POLLIN};
    }
    count = watch_count;
    for (int i = 0; i < loop->runtime_count; i++) {
        runtimes[i] = loop->runtimes[i];
        polls[count++] = (struct pollfd){.fd = weft_host_fd(runtimes[i]), .events = POLLIN};
    }
    if (poll(polls, count, may_sleep ? how_long(loop) : 0) < 0) return; /* a signal */

    loop->in_pass = true;
    fire_timers(loop);
    for (nfds_t i = 0; i < watch_count; i++) {
        if (polls[i].revents && !watches[i]->is_stopped) watches[i]->fn(watches[i]->arg);
    }
    for (nfds_t i = watch_count; i < count; i++) {
        struct weft_runtime *runtime = runtimes[i - watch_count];
        if (!has_runtime(loop, runtime)) continue; /* detached by a callback */
        if (polls[i].revents || weft_host_timeout_ms(runtime) == 0) {
            (void)weft_host_dispatch(runtime);
        }
    }
    loop->in_pass = false;
    free_stopped(loop);
}

static bool is_alive(const struct loop *loop)
{
    if (loop->timers || loop->watches) return true;
    for (int i = 0; i < loop->runtime_count; i++) {
        if (weft_host_is_alive(loop->runtimes[i])) return true;
    }
    return false;
}

static void loop_run(void *native)
{
    struct loop *loop = native;
    while (!loop->stops && is_alive(loop))
        pass(loop, true);
    loop->stops = false;
}

static void loop_run_once(void *native)
{
    struct loop *loop = native;
    if (is_alive(loop)) pass(loop, true);
    loop->stops = false;
}

static void loop_run_nowait(void *native)
{
    struct loop *loop = native;
    pass(loop, false);
    loop->stops = false;
}

static void loop_stop(void *native)
{
    struct loop *loop = native;
    loop->stops = true;
}

/* ---- timers and watches ---- */

static struct host_timer *timer_start(void *native, int delay_ms, void (*fn)(void *arg), void *arg)
{
    struct loop *loop = native;
    struct host_timer *timer = malloc(sizeof *timer);
    if (!timer) return NULL;
    /* one more, because this millisecond has begun already */
    *timer = (struct host_timer){loop->timers, loop, now_ms() + delay_ms + 1, loop->pass, fn, arg};
    loop->timers = timer;
    return timer;
}

static void timer_stop(struct host_timer *timer)
{
    struct host_timer **link = &timer->loop->timers;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    free(timer);
}

static struct host_watch *watch_start(void *native, int fd, void (*fn)(void *arg), void *arg)
{
    struct loop *loop = native;
    struct host_watch *watch = malloc(sizeof *watch);
    if (!watch) return NULL;
    *watch = (struct host_watch){loop->watches, loop, fd, false, fn, arg};
    loop->watches = watch;
    return watch;
}

static void watch_stop(struct host_watch *watch)
{
    watch->is_stopped = true;
    if (!watch->loop->in_pass) free_stopped(watch->loop);
}

const struct host_adapter host_adapter = {
    .name = "poll",
    .open = loop_open,
    .close = loop_close,
    .attach = loop_attach,
    .detach = loop_detach,
    .run = loop_run,
    .run_once = loop_run_once,
    .run_nowait = loop_run_nowait,
    .stop = loop_stop,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .watch_start = watch_start,
    .watch_stop = watch_stop,
};
