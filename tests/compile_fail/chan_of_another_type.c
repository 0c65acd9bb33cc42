/* SPDX-License-Identifier: MIT */
/* One typed channel is not another, even of the same values.
 * expect: (incompatible type|to parameter of incompatible type) */
#include <weft/weft.h>

WEFT_CHAN_TYPE(metres, int);
WEFT_CHAN_TYPE(feet, int);

int sends(struct metres metres, struct feet feet);
int sends(struct metres metres, struct feet feet)
{
#ifdef FAULT
    (void)metres;
    return metres_send(feet, 1);
#else
    (void)feet;
    return metres_send(metres, 1);
#endif
}
