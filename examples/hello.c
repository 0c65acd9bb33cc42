/* SPDX-License-Identifier: MIT */
/*
 * Two tasks talk at the same time.
 *
 *   ./weft run examples/hello.c
 */
#include <stdio.h>

#include <weft/weft.h>

WEFT_TASK(say, (const char *, word))
{
    for (int i = 0; i < 5; i++) {
        puts(word);
        weft_sleep(100 * WEFT_MSEC);
    }
    return 0;
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    weft_go(say, "world");
    return say("hello");
}

WEFT_MAIN(app_main);
