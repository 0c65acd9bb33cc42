/* SPDX-License-Identifier: MIT */
/*
 * A prime sieve: one task for each prime, each passes on what its prime does not divide.
 *
 *   ./weft run examples/sieve.c
 *
 * The sender of a channel closes it when it has no more; the receiver drains it and frees it.
 */
#include <stdio.h>

#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

WEFT_TASK(count_up, (struct ints, out), (int, limit))
{
    for (int number = 2; number <= limit; number++) {
        if (ints_send(out, number) < 0) break;
    }
    return ints_close(out);
}

WEFT_TASK(filter, (struct ints, in), (struct ints, out), (int, prime))
{
    int number = 0;
    while (ints_recv(in, &number) == 0) {
        if (number % prime == 0) continue;
        if (ints_send(out, number) < 0) break;
    }
    ints_unref(in);
    return ints_close(out);
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct ints numbers;
    if (ints_open(&numbers, 0) < 0) return 1;
    weft_go(count_up, numbers, 100);

    int prime = 0;
    while (ints_recv(numbers, &prime) == 0) {
        printf("%d\n", prime);
        struct ints filtered;
        if (ints_open(&filtered, 0) < 0) return 1;
        weft_go(filter, numbers, filtered, prime);
        numbers = filtered;
    }
    ints_unref(numbers);
    return 0;
}

WEFT_MAIN(app_main);
