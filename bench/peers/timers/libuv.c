/* SPDX-License-Identifier: MIT */
/* libuv: a uv_timer_t each. */
#include <uv.h>

#include "bench/peers/timers/timers.h"

static uv_loop_t loop;

static void never(uv_timer_t *timer)
{
    (void)timer;
    BENCH_CHECK(!"the loop does not run");
}

static void prepare(void *timer, int64_t delay_ms)
{
    (void)delay_ms;
    uv_timer_t *one = timer;
    if (!one->loop) BENCH_CHECK(uv_timer_init(&loop, one) == 0);
}

static void arm(void *timer, int64_t delay_ms)
{
    BENCH_CHECK(uv_timer_start(timer, never, (uint64_t)delay_ms, 0) == 0);
}

static void cancel(void *timer)
{
    BENCH_CHECK(uv_timer_stop(timer) == 0);
}

int main(int argc, char **argv)
{
    BENCH_CHECK(uv_loop_init(&loop) == 0);
    struct timers_loop mine = {sizeof(uv_timer_t), prepare, arm, cancel};
    return timers_main(&mine, argc, argv);
}
