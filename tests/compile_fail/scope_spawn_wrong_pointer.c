/* SPDX-License-Identifier: MIT */
/* What a scope spawns is checked as what weft_go() spawns.
 * expect: incompatible pointer type */
#include <weft/weft.h>

WEFT_TASK(fill, (int *, ret))
{
    *ret = 1;
    return 0;
}

int spawns(struct weft_scope *scope, int *right, double *wrong);
int spawns(struct weft_scope *scope, int *right, double *wrong)
{
#ifdef FAULT
    (void)right;
    return fill_scope_spawn(scope, NULL, wrong);
#else
    (void)wrong;
    return fill_scope_spawn(scope, NULL, right);
#endif
}
