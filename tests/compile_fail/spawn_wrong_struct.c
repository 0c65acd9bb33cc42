/* SPDX-License-Identifier: MIT */
/* A typed task takes no other struct than its own.
 * expect: (incompatible type|to parameter of incompatible type) */
#include <weft/weft.h>

struct apple {
    int weight;
};
struct pear {
    int weight;
};

WEFT_TASK(eat, (struct apple, apple))
{
    return apple.weight;
}

int spawns(void);
int spawns(void)
{
    weft_task task;
#ifdef FAULT
    return eat_spawn(&task, (struct pear){1});
#else
    return eat_spawn(&task, (struct apple){1});
#endif
}
