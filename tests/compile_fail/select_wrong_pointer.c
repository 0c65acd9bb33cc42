/* SPDX-License-Identifier: MIT */
/* The typed builder of a select case is checked as a receive is.
 * expect: incompatible pointer type */
#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

int selects(struct ints ints, int *right, double *wrong);
int selects(struct ints ints, int *right, double *wrong)
{
#ifdef FAULT
    (void)right;
    return weft_select(ints_on_recv(ints, wrong));
#else
    (void)wrong;
    return weft_select(ints_on_recv(ints, right));
#endif
}
