/* SPDX-License-Identifier: MIT */
/* A typed task takes no int where it wants a string.
 * expect: (integer without a cast|integer to pointer conversion) */
#include <weft/weft.h>

WEFT_TASK(say, (const char *, word), (int, times))
{
    return word ? times : 0;
}

int spawns(void);
int spawns(void)
{
#ifdef FAULT
    return weft_go(say, 5, 5);
#else
    return weft_go(say, "world", 5);
#endif
}
