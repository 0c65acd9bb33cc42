/* SPDX-License-Identifier: MIT */
/*
 * Select: the producer waits for whichever comes first, somebody who wants the next number or
 * somebody who wants it to stop.
 *
 *   ./weft run examples/fibonacci.c
 */
#include <stdio.h>

#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

static int fibonacci(struct ints numbers, struct ints quit)
{
    int x = 0;
    int y = 1;
    for (;;) {
        int next = x + y;
        switch (weft_select(ints_on_send(numbers, &x), ints_on_recv(quit, NULL))) {
        case 0:
            x = y;
            y = next;
            break;
        case 1:
            puts("quit");
            return 0;
        default:
            return 1; /* cancelled */
        }
    }
}

WEFT_TASK(print_ten, (struct ints, numbers), (struct ints, quit))
{
    for (int i = 0; i < 10; i++) {
        int number = 0;
        int result = ints_recv(numbers, &number);
        if (result < 0) return result;
        printf("%d\n", number);
    }
    return ints_send(quit, 0);
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct ints numbers;
    struct ints quit;
    if (ints_open(&numbers, 0) < 0 || ints_open(&quit, 0) < 0) return 1;

    weft_go(print_ten, numbers, quit);
    int result = fibonacci(numbers, quit);

    ints_unref(numbers);
    ints_unref(quit);
    return result;
}

WEFT_MAIN(app_main);
