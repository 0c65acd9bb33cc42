/* SPDX-License-Identifier: MIT */
/* A typed task wants all of its arguments.
 * expect: too few arguments */
#include <weft/weft.h>

WEFT_TASK(say, (const char *, word), (int, times))
{
    return word ? times : 0;
}

int spawns(void);
int spawns(void)
{
#ifdef FAULT
    return weft_go(say, "world");
#else
    return weft_go(say, "world", 5);
#endif
}
