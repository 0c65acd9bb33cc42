/* SPDX-License-Identifier: MIT */
/* A typed task without parameters takes none.
 * expect: too many arguments */
#include <weft/weft.h>

WEFT_TASK(tick)
{
    return 0;
}

int spawns(void);
int spawns(void)
{
#ifdef FAULT
    return weft_go(tick, 1);
#else
    return weft_go(tick);
#endif
}
