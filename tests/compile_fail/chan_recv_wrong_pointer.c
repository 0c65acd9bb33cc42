/* SPDX-License-Identifier: MIT */
/* A typed channel receives into its type only.
 * expect: incompatible pointer type */
#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

int receives(struct ints ints, int *right, double *wrong);
int receives(struct ints ints, int *right, double *wrong)
{
#ifdef FAULT
    (void)right;
    return ints_recv(ints, wrong);
#else
    (void)wrong;
    return ints_recv(ints, right);
#endif
}
