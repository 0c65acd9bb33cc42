/* SPDX-License-Identifier: MIT */
/*
 * A clock that stands still, preloaded while instructions are counted: only counts decide then when
 * a worker looks around, and two runs are the same. WEFT_CLOCK=virtual moves time where tasks
 * sleep.
 */
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    (void)clock;
    *ret = (struct timespec){.tv_sec = 1000};
    return 0;
}
