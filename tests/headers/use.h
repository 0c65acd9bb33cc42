/* SPDX-License-Identifier: MIT */
/*
 * Every macro of the public headers, used once; compiled as C11 and as C++17 with -pedantic.
 *
 * Nothing here runs. WEFT_CHAN_TYPE, select and the scopes have one spelling in both languages.
 */
#ifndef WEFT_TESTS_HEADERS_USE_H
#define WEFT_TESTS_HEADERS_USE_H

#include <weft/weft.h>

WEFT_CHAN_TYPE(ints, int);

WEFT_TASK(none)
{
    return 0;
}

WEFT_TASK(one, (int, a))
{
    return a;
}

WEFT_TASK(say, (const char *, word), (int, times))
{
    return word ? times : 0;
}

WEFT_TASK(eight, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h))
{
    return a + b + c + d + e + f + g + h;
}

static int selects(struct ints numbers, struct weft_chan *quit, weft_task task, int fd)
{
    int value = 0;
    int status = 0;
    switch (weft_select(weft_on_send(numbers.chan, &value),
                        weft_on_recv(quit, NULL),
                        weft_on_recv(quit, NULL, &status),
                        ints_on_recv(numbers, &value),
                        ints_on_send(numbers, &value),
                        weft_on_readable(fd),
                        weft_on_writable(fd),
                        weft_on_joined(task, &value),
                        weft_after(WEFT_SEC),
                        weft_at(weft_now() + WEFT_SEC))) {
    case 0:
        return value;
    default:
        return status;
    }
}

static int looks(struct ints numbers)
{
    int value = 0;
    return weft_select(ints_on_recv(numbers, &value), weft_default());
}

static int scopes(int fd)
{
    int status = 0;
    weft_timeout_scope(limit, WEFT_SEC);
    weft_with_timeout(2 * WEFT_SEC) {
        if (weft_wait_fd(fd, WEFT_READABLE) < 0) return 1;
    }
    weft_with_timeout_into(&status, WEFT_MSEC) {
        if (weft_yield() < 0) return 2;
    }
    weft_shielded
    {
        if (weft_sleep(WEFT_MSEC) < 0) return 3;
    }
    return status;
}

static struct weft_mutex mutex = WEFT_MUTEX_INIT;

static int mutexes(void)
{
    struct weft_mutex local = WEFT_MUTEX_INIT;
    if (weft_mutex_lock(&mutex) < 0 || weft_mutex_try_lock(&local) < 0) return 1;
    return weft_mutex_unlock(&mutex) + weft_mutex_unlock(&local) + weft_mutex_close(&local);
}

static int app_main(int argc, char **argv)
{
    (void)argv;
    struct ints numbers;
    if (ints_open(&numbers, 1) < 0) return 1;

    weft_task task = {0, NULL};
    if (weft_go(none) < 0 || weft_go(one, 1) < 0 || weft_go(say, "world", 5) < 0) return 1;
    if (weft_go(eight, 1, 2, 3, 4, 5, 6, 7, 8) < 0) return 1;
    if (say_spawn(&task, "world", 5) < 0) return 1;

    return selects(numbers, numbers.chan, task, argc) + looks(numbers) + scopes(argc) + mutexes();
}

WEFT_MAIN(app_main);

#endif
