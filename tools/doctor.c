/* SPDX-License-Identifier: MIT */
/*
 * What `./weft doctor` asks the library itself: what its loop is, and which guards task stacks
 * get here.
 */
#include <stdio.h>

#include <weft/weft.h>

#include "backends/contract.h"
#include "core/stack.h"

int main(void)
{
    printf("%-16s %d.%d.%d (%s)\n",
           "weft",
           weft_version() / 10000,
           weft_version() / 100 % 100,
           weft_version() % 100,
           weft_backend_name());
    printf("%-16s %s\n", "loop", weft__backend.facts().library);
    switch (weft__stack_guards()) {
    case STACK_GUARDS_MARKER:
        printf("%-16s marker: a million guarded stacks need few mappings\n", "stack guards");
        break;
    case STACK_GUARDS_MPROTECT:
        printf("%-16s mprotect: about vm.max_map_count / 2 stacks are guarded\n", "stack guards");
        break;
    case STACK_GUARDS_NONE:
        printf("%-16s none: an overflow is not noticed\n", "stack guards");
        break;
    }
    return 0;
}
