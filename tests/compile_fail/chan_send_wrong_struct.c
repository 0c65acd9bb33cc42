/* SPDX-License-Identifier: MIT */
/* A typed channel sends nothing but its type.
 * expect: (incompatible type|to parameter of incompatible type) */
#include <weft/weft.h>

struct order {
    int id;
};
struct refund {
    int id;
};
WEFT_CHAN_TYPE(orders, struct order);

int sends(struct orders orders);
int sends(struct orders orders)
{
#ifdef FAULT
    return orders_send(orders, (struct refund){7});
#else
    return orders_send(orders, (struct order){7});
#endif
}
