/* SPDX-License-Identifier: MIT */
/* A fault on purpose: a write past an array on a task's own stack, which ASan must report. */
#include <string.h>

#include <weft/weft.h>

static volatile size_t size = 17;

static int root(void *arg)
{
    (void)arg;
    char text[16];
    if (weft_yield() < 0) return 1;

    memset(text, 0, size);
    return text[0];
}

int main(void)
{
    return weft_run(NULL, root, NULL);
}
