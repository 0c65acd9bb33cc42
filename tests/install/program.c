/* SPDX-License-Identifier: MIT */
/* What a program outside of the tree may look like: only installed headers, only pkg-config. */
#include <stdio.h>

#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

WEFT_TASK(answer, (struct ints, ret))
{
    return ints_send(ret, 42);
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct ints answers;
    if (ints_open(&answers, 0) < 0) return 1;
    if (weft_go(answer, answers) < 0) return 1;

    int value = 0;
    if (ints_recv(answers, &value) < 0) return 1;
    printf("%d %s %d\n", value, weft_backend_name(), weft_version() == WEFT_VERSION);
    ints_unref(answers);
    return 0;
}

WEFT_MAIN(app_main);
