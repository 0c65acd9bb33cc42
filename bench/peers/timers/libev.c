/* SPDX-License-Identifier: MIT */
/* libev: an ev_timer each. */
#include <ev.h>

#include "bench/peers/timers/timers.h"

static struct ev_loop *loop;

static void never(struct ev_loop *its_loop, ev_timer *timer, int events)
{
    (void)its_loop, (void)timer, (void)events;
    BENCH_CHECK(!"the loop does not run");
}

static void prepare(void *timer, int64_t delay_ms)
{
    ev_timer *one = timer;
    ev_timer_init(one, never, (double)delay_ms / 1e3, 0.0);
}

static void arm(void *timer, int64_t delay_ms)
{
    (void)delay_ms;
    ev_timer_start(loop, timer);
}

static void cancel(void *timer)
{
    ev_timer_stop(loop, timer);
}

int main(int argc, char **argv)
{
    loop = ev_loop_new(0);
    BENCH_CHECK(loop);
    struct timers_loop mine = {sizeof(ev_timer), prepare, arm, cancel};
    return timers_main(&mine, argc, argv);
}
