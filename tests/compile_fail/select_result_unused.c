/* SPDX-License-Identifier: MIT */
/* Which case a select took must be looked at.
 * flags: -Werror=unused-result */
/* expect: (unused-result|ignoring return value) */
#include <weft/weft.h>

int selects(void);
int selects(void)
{
#ifdef FAULT
    weft_select(weft_after(WEFT_SEC));
    return 0;
#else
    return weft_select(weft_after(WEFT_SEC));
#endif
}
