/* SPDX-License-Identifier: MIT */
/* libevent: an event with a time-out each. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "bench/peers/timers/timers.h"

static struct event_base *base;

static void never(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events, (void)arg;
    BENCH_CHECK(!"the loop does not run");
}

static void prepare(void *timer, int64_t delay_ms)
{
    (void)delay_ms;
    BENCH_CHECK(event_assign(timer, base, -1, 0, never, NULL) == 0);
}

static void arm(void *timer, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};
    BENCH_CHECK(event_add(timer, &delay) == 0);
}

static void cancel(void *timer)
{
    BENCH_CHECK(event_del(timer) == 0);
}

int main(int argc, char **argv)
{
    base = event_base_new();
    BENCH_CHECK(base);
    struct timers_loop mine = {sizeof(struct event), prepare, arm, cancel};
    return timers_main(&mine, argc, argv);
}
