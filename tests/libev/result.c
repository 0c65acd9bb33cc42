/* SPDX-License-Identifier: MIT */
/* Prints what weft_run() and weft_attach() give. */
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

int main(void)
{
    struct weft_runtime *runtime = NULL;
    int loop = 0; /* never looked at: the library is not there */
    int result = weft_run(NULL, nothing, NULL);
    printf("weft_run: %s\n", result < 0 ? strerrorname_np(-result) : "0");
    if (result == 0) return 0;

    result = weft_attach(&runtime, NULL, &loop);
    printf("weft_attach: %s\n", result < 0 ? strerrorname_np(-result) : "0");
    return 0;
}
