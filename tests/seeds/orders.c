/* SPDX-License-Identifier: MIT */
/*
 * Is the shuffle of WEFT_TEST_SHUFFLE one? A hundred seeds give at least fifty different orders, of
 * tasks that start and of tasks that were woken; one seed gives one order; without a seed the order
 * is the scheduler's own. Prints TAP.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

#define TASKS  8
#define SEEDS  100
#define ENOUGH 50

/* Who came when, a hexadecimal digit each. */
struct orders {
    uint32_t started;
    uint32_t resumed;
    unsigned next;
};

static struct orders orders;

static int notes(void *arg)
{
    unsigned number = *(const unsigned *)arg;
    orders.started = orders.started << 4 | number;
    int result = weft_yield();
    orders.resumed = orders.resumed << 4 | number;
    return result;
}

static int root(void *arg)
{
    static unsigned numbers[TASKS];
    (void)arg;
    weft_task tasks[TASKS];
    for (unsigned i = 0; i < TASKS; i++) {
        numbers[i] = i;
        if (weft_spawn(&tasks[i], notes, &numbers[i]) < 0) return -1;
    }
    for (unsigned i = 0; i < TASKS; i++) {
        if (weft_join(tasks[i], NULL) < 0) return -1;
    }
    return 0;
}

/* Seed 0: none. */
static struct orders run(int seed)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%d", seed);
    if (seed == 0 ? unsetenv("WEFT_TEST_SHUFFLE") : setenv("WEFT_TEST_SHUFFLE", text, 1)) abort();
    orders = (struct orders){0};
    if (weft_run(NULL, root, NULL) != 0) abort();
    return orders;
}

static int count_different(const uint32_t *values, int count)
{
    int different = 0;
    for (int i = 0; i < count; i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++) {
            if (values[k] == values[i]) is_new = false;
        }
        different += is_new;
    }
    return different;
}

static int failed;

static void tell(int number, bool holds, const char *what, int count)
{
    failed += !holds;
    printf("%sok %d - %s (%d)\n", holds ? "" : "not ", number, what, count);
}

int main(void)
{
    uint32_t started[SEEDS];
    uint32_t resumed[SEEDS];
    int same = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        struct orders first = run(seed);
        struct orders again = run(seed);
        same += memcmp(&first, &again, sizeof first) == 0;
        started[seed - 1] = first.started;
        resumed[seed - 1] = first.resumed;
    }
    struct orders plain = run(0);

    printf("1..4\n");
    int count = count_different(started, SEEDS);
    tell(1, count >= ENOUGH, "orders_of_starting", count);
    count = count_different(resumed, SEEDS);
    tell(2, count >= ENOUGH, "orders_of_resuming", count);
    tell(3, same == SEEDS, "seeds_that_repeat", same);
    tell(4, plain.started == 0x01234567, "order_without_a_seed", (int)plain.started);
    return failed > 0;
}
