/* SPDX-License-Identifier: MIT */
/*
 * The timer queue against a model: a sorted array that does everything the slow and obvious way.
 * `audit` also looks inside and checks the invariants that are written at the top of timer.c.
 */
#include <criterion/criterion.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/timer.h"

#define NS_PER_MS     INT64_C(1000000)
#define NS_PER_SECOND INT64_C(1000000000)
#define TICK_NS       (INT64_C(1) << WEFT__TIMER_TICK_BITS)
#define ALL           UINT64_MAX /* as `before_sequence` */
#define MODEL_SIZE    300
#define OPERATIONS    100000

struct model {
    struct timers timers;
    struct random random;
    int64_t now_ns;
    int64_t recent_ns; /* a deadline that was used before */
    size_t count;
    struct timer *sorted[MODEL_SIZE]; /* armed ones in the order in which they are due */
    struct timer nodes[MODEL_SIZE];
};

static size_t audit_heap(const struct timers *timers)
{
    size_t count = 0;
    const struct timer *timer = timers->heap;
    cr_assert(!timer || (!timer->next && !timer->previous));
    while (timer) {
        count++;
        cr_assert_eq(timer->place, 1);
        cr_assert_leq(timer->deadline_ns, timers->horizon_ns);
        for (const struct timer *child = timer->child; child; child = child->next) {
            cr_assert(
                timer->deadline_ns < child->deadline_ns ||
                (timer->deadline_ns == child->deadline_ns && timer->sequence < child->sequence));
            cr_assert(child->next == NULL || child->next->previous == child);
        }
        cr_assert(!timer->child || timer->child->previous == timer);

        /* Down, else right, else up to the first ancestor that has a right sibling. */
        if (timer->child) {
            timer = timer->child;
            continue;
        }
        while (timer && !timer->next) {
            while (timer->previous && timer->previous->child != timer) {
                timer = timer->previous;
            }
            timer = timer->previous;
        }
        if (timer) timer = timer->next;
    }
    return count;
}

static size_t audit_lane(const struct timers *timers, unsigned level, unsigned slot, unsigned lane)
{
    unsigned shift = WEFT__TIMER_TICK_BITS + 6 * level;
    const struct timer *previous = NULL;
    size_t count = 0;
    const struct timer *first = timers->lanes[level][slot][lane];
    for (const struct timer *timer = first; timer; timer = timer->next) {
        uint64_t deadline = (uint64_t)timer->deadline_ns;
        uint64_t horizon = (uint64_t)timers->horizon_ns;
        cr_assert_eq(timer->previous, previous);
        cr_assert_eq(timer->place - 3,
                     (level * WEFT__TIMER_SLOTS + slot) * WEFT__TIMER_LANES + lane);
        cr_assert_gt(deadline, horizon);
        cr_assert_eq(deadline >> shift & 63, slot);
        cr_assert_eq(deadline >> shift >> 6, horizon >> shift >> 6);
        cr_assert_neq(deadline >> shift, horizon >> shift);
        previous = timer;
        count++;
    }
    return count;
}

static void audit(const struct timers *timers)
{
    size_t count = audit_heap(timers);
    for (unsigned level = 0; level < WEFT__TIMER_LEVELS; level++) {
        for (unsigned slot = 0; slot < WEFT__TIMER_SLOTS; slot++) {
            size_t in_slot = 0;
            for (unsigned lane = 0; lane < WEFT__TIMER_LANES; lane++) {
                in_slot += audit_lane(timers, level, slot, lane);
            }
            cr_assert_eq(in_slot != 0, timers->occupied[level] >> slot & 1);
            count += in_slot;
        }
        cr_assert_eq(timers->occupied[level] != 0, timers->levels >> level & 1);
    }
    cr_assert_leq(count, timers->count); /* the rest are never due */
    cr_assert_eq(timers->horizon_ns & (TICK_NS - 1), TICK_NS - 1);
}

static int64_t saturating_add(int64_t time_ns, int64_t duration_ns)
{
    int64_t sum;
    return __builtin_add_overflow(time_ns, duration_ns, &sum) ? INT64_MAX : sum;
}

/* Of any order of magnitude, so that each level of the wheel gets its share. */
static int64_t random_duration(struct model *model, unsigned bits_max)
{
    unsigned bits = weft__random_below(&model->random, bits_max);
    return (int64_t)(weft__random_next(&model->random) & ((UINT64_C(1) << bits) - 1));
}

static int64_t random_deadline(struct model *model)
{
    switch (weft__random_below(&model->random, 10)) {
    case 0:
        return INT64_MAX;
    case 1:
        return model->now_ns - random_duration(model, 63);
    case 2:
        return INT64_MIN + random_duration(model, 20);
    case 3:
    case 4:
        return model->recent_ns;
    case 5: /* around the border of a tick or of a slot of any level */
        return saturating_add(model->now_ns | random_duration(model, 63),
                              random_duration(model, 2));
    case 6:
    case 7:
        return saturating_add(model->now_ns, random_duration(model, 63));
    default:
        return saturating_add(model->now_ns, random_duration(model, 36));
    }
}

static void model_add(struct model *model)
{
    size_t free_index = 0;
    while (free_index < MODEL_SIZE && weft__timer_is_armed(&model->nodes[free_index])) {
        free_index++;
    }
    if (free_index == MODEL_SIZE) return;

    struct timer *timer = &model->nodes[free_index];
    timer->deadline_ns = random_deadline(model);
    if (weft__random_below(&model->random, 3) == 0) model->recent_ns = timer->deadline_ns;
    weft__timer_add(&model->timers, timer);

    size_t index = model->count++;
    while (index > 0 && model->sorted[index - 1]->deadline_ns > timer->deadline_ns) {
        model->sorted[index] = model->sorted[index - 1];
        index--;
    }
    model->sorted[index] = timer;
}

static void model_forget(struct model *model, size_t index)
{
    model->count--;
    memmove(&model->sorted[index],
            &model->sorted[index + 1],
            (model->count - index) * sizeof model->sorted[0]);
}

static void model_remove(struct model *model)
{
    if (model->count == 0) return;

    size_t index = weft__random_below(&model->random, (uint32_t)model->count);
    if (weft__random_below(&model->random, 4) == 0) index = 0;
    struct timer *timer = model->sorted[index];
    weft__timer_remove(&model->timers, timer);
    cr_assert_not(weft__timer_is_armed(timer));
    model_forget(model, index);
}

static void model_pop(struct model *model, uint64_t before_sequence)
{
    struct timer *expected = model->count > 0 ? model->sorted[0] : NULL;
    if (expected && expected->deadline_ns > model->now_ns) expected = NULL;
    if (expected && expected->sequence >= before_sequence) expected = NULL;

    struct timer *timer = weft__timers_pop_due(&model->timers, model->now_ns, before_sequence);

    cr_assert_eq(timer, expected);
    if (!timer) return;
    cr_assert_not(weft__timer_is_armed(timer));
    model_forget(model, 0);
}

static void model_check_next(struct model *model)
{
    int64_t expected_ns = model->count > 0 ? model->sorted[0]->deadline_ns : INT64_MAX;
    cr_assert_eq(weft__timers_next(&model->timers), expected_ns);
}

static void model_advance(struct model *model)
{
    unsigned bits_max = weft__random_below(&model->random, 20) == 0 ? 58 : 26;
    int64_t now_ns = saturating_add(model->now_ns, random_duration(model, bits_max));
    if (model->count > 0 && weft__random_below(&model->random, 2) == 0) {
        int64_t next_ns = model->sorted[0]->deadline_ns;
        if (next_ns > model->now_ns && next_ns < now_ns) now_ns = next_ns;
    }
    if (now_ns < INT64_MAX) model->now_ns = now_ns;
}

static void model_step(struct model *model)
{
    uint32_t choice = weft__random_below(&model->random, 16);
    if (choice < 6) {
        model_add(model);
    } else if (choice < 9) {
        model_remove(model);
    } else if (choice < 11) {
        model_advance(model);
    } else if (choice < 12) {
        model_check_next(model);
    } else if (choice < 13) {
        uint32_t age = weft__random_below(&model->random, 8);
        model_pop(model, model->timers.sequence > age ? model->timers.sequence - age : 0);
    } else {
        model_pop(model, ALL);
    }
    cr_assert_eq(model->timers.count, model->count);
}

static void run_model(uint64_t seed, int64_t start_ns)
{
    struct model *model = calloc(1, sizeof *model);
    cr_assert_not_null(model);
    model->random.state = seed;
    model->now_ns = start_ns;
    model->recent_ns = start_ns;
    weft__timers_open(&model->timers, start_ns);

    for (int i = 0; i < OPERATIONS; i++) {
        model_step(model);
        if (i % 64 == 0) audit(&model->timers);
    }
    while (model->count > 0) {
        model_remove(model);
    }

    model_check_next(model);
    audit(&model->timers);
    free(model);
}

Test(timer, agrees_with_a_sorted_array)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run_model(seed, (int64_t)seed * 1234567890123);
    }
}

Test(timer, agrees_with_a_sorted_array_from_time_zero)
{
    run_model(101, 0);
    run_model(102, 1);
}

Test(timer, agrees_with_a_sorted_array_near_the_end_of_time)
{
    run_model(201, INT64_MAX - 100 * NS_PER_SECOND);
    run_model(202, INT64_MAX - NS_PER_MS);
    run_model(203, INT64_MAX / 2);
}

/* `kind` belongs to the owner; here it numbers the timers. */
static void arm(struct timers *timers, struct timer *timer, uint16_t kind, int64_t deadline_ns)
{
    timer->kind = kind;
    timer->deadline_ns = deadline_ns;
    weft__timer_add(timers, timer);
}

Test(timer, has_no_next_deadline_when_empty)
{
    struct timers timers;

    weft__timers_open(&timers, 5 * NS_PER_SECOND);

    cr_assert_eq(weft__timers_next(&timers), INT64_MAX);
    cr_assert_null(weft__timers_pop_due(&timers, INT64_MAX, ALL));
}

Test(timer, is_due_at_its_deadline_and_not_before)
{
    struct timers timers;
    struct timer timer = {0};
    weft__timers_open(&timers, 0);
    arm(&timers, &timer, 0, 30 * NS_PER_SECOND + 7);

    cr_assert_null(weft__timers_pop_due(&timers, 30 * NS_PER_SECOND + 6, ALL));
    cr_assert_eq(weft__timers_next(&timers), 30 * NS_PER_SECOND + 7);
    cr_assert_eq(weft__timers_pop_due(&timers, 30 * NS_PER_SECOND + 7, ALL), &timer);
    cr_assert_not(weft__timer_is_armed(&timer));
    cr_assert_eq(timers.count, 0);
}

Test(timer, is_due_at_the_very_beginning_of_a_slot)
{
    struct timers timers;
    struct timer timer = {0};
    for (unsigned bit = WEFT__TIMER_TICK_BITS; bit < 63; bit++) {
        weft__timers_open(&timers, 0);
        arm(&timers, &timer, 0, INT64_C(1) << bit);

        cr_assert_null(weft__timers_pop_due(&timers, (INT64_C(1) << bit) - 1, ALL));
        cr_assert_eq(weft__timers_pop_due(&timers, INT64_C(1) << bit, ALL), &timer);
    }
}

Test(timer, fires_equal_deadlines_in_the_order_armed_through_both_tiers)
{
    struct timers timers;
    struct timer nodes[6] = {0};
    int64_t deadline_ns = 10 * NS_PER_SECOND;
    weft__timers_open(&timers, 0);

    /* Two from afar, two after their slot was cascaded once, two straight into the heap. */
    arm(&timers, &nodes[0], 0, deadline_ns);
    arm(&timers, &nodes[1], 1, deadline_ns);
    cr_assert_null(weft__timers_pop_due(&timers, deadline_ns - NS_PER_SECOND, ALL));
    arm(&timers, &nodes[2], 2, deadline_ns);
    arm(&timers, &nodes[3], 3, deadline_ns);
    cr_assert_eq(weft__timers_next(&timers), deadline_ns);
    cr_assert_geq(timers.horizon_ns, deadline_ns);
    arm(&timers, &nodes[4], 4, deadline_ns);
    arm(&timers, &nodes[5], 5, deadline_ns);

    for (uint16_t i = 0; i < 6; i++) {
        struct timer *timer = weft__timers_pop_due(&timers, deadline_ns, ALL);
        cr_assert_not_null(timer);
        cr_assert_eq(timer->kind, i);
    }
    cr_assert_null(weft__timers_pop_due(&timers, deadline_ns, ALL));
}

Test(timer, counts_a_new_arming_as_the_latest_of_its_deadline)
{
    struct timers timers;
    struct timer first = {0};
    struct timer second = {0};
    int64_t deadline_ns = 40 * NS_PER_MS;
    weft__timers_open(&timers, 0);
    arm(&timers, &first, 0, deadline_ns);
    arm(&timers, &second, 0, deadline_ns);

    weft__timer_remove(&timers, &first);
    arm(&timers, &first, 0, deadline_ns);

    cr_assert_eq(weft__timers_pop_due(&timers, deadline_ns, ALL), &second);
    cr_assert_eq(weft__timers_pop_due(&timers, deadline_ns, ALL), &first);
}

Test(timer, takes_deadlines_before_the_horizon_and_in_the_past)
{
    struct timers timers;
    struct timer nodes[4] = {0};
    weft__timers_open(&timers, 100 * NS_PER_SECOND);
    arm(&timers, &nodes[0], 0, 200 * NS_PER_SECOND);
    cr_assert_eq(weft__timers_next(&timers), 200 * NS_PER_SECOND);
    cr_assert_geq(timers.horizon_ns, 200 * NS_PER_SECOND);

    arm(&timers, &nodes[1], 0, 150 * NS_PER_SECOND);
    arm(&timers, &nodes[2], 0, 1);
    arm(&timers, &nodes[3], 0, INT64_MIN);

    cr_assert_eq(weft__timers_next(&timers), INT64_MIN);
    for (size_t i = 4; i-- > 0;) {
        cr_assert_eq(weft__timers_pop_due(&timers, 200 * NS_PER_SECOND, ALL), &nodes[i]);
    }
}

Test(timer, leaves_what_was_armed_during_a_round_for_the_next)
{
    struct timers timers;
    struct timer nodes[3] = {0};
    weft__timers_open(&timers, 0);
    arm(&timers, &nodes[0], 0, 10);
    arm(&timers, &nodes[1], 0, 30);

    uint64_t round = timers.sequence;
    cr_assert_eq(weft__timers_pop_due(&timers, 50, round), &nodes[0]);
    arm(&timers, &nodes[0], 0, 40);
    cr_assert_eq(weft__timers_pop_due(&timers, 50, round), &nodes[1]);
    cr_assert_null(weft__timers_pop_due(&timers, 50, round));
    arm(&timers, &nodes[2], 0, 20);

    /* It is due, so the worker does not sleep, and in the next round it comes in its turn. */
    cr_assert_leq(weft__timers_next(&timers), 50);
    round = timers.sequence;
    cr_assert_eq(weft__timers_pop_due(&timers, 50, round), &nodes[2]);
    cr_assert_eq(weft__timers_pop_due(&timers, 50, round), &nodes[0]);
}

Test(timer, is_never_due_at_the_end_of_time)
{
    struct timers timers;
    struct timer never = {0};
    struct timer almost = {0};
    weft__timers_open(&timers, 0);
    arm(&timers, &never, 0, INT64_MAX);
    cr_assert_eq(weft__timers_next(&timers), INT64_MAX);
    arm(&timers, &almost, 0, INT64_MAX - 1);

    cr_assert_eq(weft__timers_next(&timers), INT64_MAX - 1);
    cr_assert_eq(weft__timers_pop_due(&timers, INT64_MAX, ALL), &almost);
    cr_assert_null(weft__timers_pop_due(&timers, INT64_MAX, ALL));
    cr_assert(weft__timer_is_armed(&never));
    cr_assert_eq(timers.count, 1);
    weft__timer_remove(&timers, &never);
    cr_assert_eq(timers.count, 0);
}

Test(timer, ignores_the_removal_of_what_is_not_armed)
{
    struct timers timers;
    struct timer timer = {0};
    weft__timers_open(&timers, 0);

    weft__timer_remove(&timers, &timer);

    cr_assert_eq(timers.count, 0);
    cr_assert_not(weft__timer_is_armed(&timer));
}

Test(timer, refuses_to_arm_twice, .signal = SIGABRT)
{
    struct timers timers;
    struct timer timer = {.deadline_ns = NS_PER_SECOND};
    weft__timers_open(&timers, 0);
    weft__timer_add(&timers, &timer);

    weft__timer_add(&timers, &timer);
}

/* Else each time-out after one distant timer would be sorted although most are never due. */
Test(timer, files_far_timers_in_the_wheel_again_after_a_distant_one_was_removed)
{
    struct timers timers;
    struct timer distant = {0};
    struct timer usual = {0};
    weft__timers_open(&timers, 0);
    arm(&timers, &distant, 0, 3600 * NS_PER_SECOND);
    cr_assert_eq(weft__timers_next(&timers), 3600 * NS_PER_SECOND);

    weft__timer_remove(&timers, &distant);
    cr_assert_null(weft__timers_pop_due(&timers, NS_PER_SECOND, ALL));
    arm(&timers, &usual, 0, 31 * NS_PER_SECOND);

    cr_assert_lt(timers.horizon_ns, 2 * NS_PER_SECOND);
    cr_assert_neq(timers.levels, 0);
    cr_assert_eq(weft__timers_next(&timers), 31 * NS_PER_SECOND);
}

Test(timer, pops_many_in_order_after_a_long_sleep)
{
    enum { COUNT = 20000 };
    static struct timer nodes[COUNT];
    struct timers timers;
    struct random random = {.state = 42};
    weft__timers_open(&timers, NS_PER_SECOND);
    for (size_t i = 0; i < COUNT; i++) {
        int64_t delay_ns = weft__random_below(&random, 1000) * NS_PER_MS;
        arm(&timers, &nodes[i], 0, NS_PER_SECOND + delay_ns);
    }

    const struct timer *previous = NULL;
    size_t count = 0;
    struct timer *timer = weft__timers_pop_due(&timers, 5 * NS_PER_SECOND, ALL);
    while (timer) {
        cr_assert(
            !previous || previous->deadline_ns < timer->deadline_ns ||
            (previous->deadline_ns == timer->deadline_ns && previous->sequence < timer->sequence));
        previous = timer;
        count++;
        timer = weft__timers_pop_due(&timers, 5 * NS_PER_SECOND, ALL);
    }

    cr_assert_eq(count, COUNT);
    cr_assert_eq(timers.count, 0);
}

Test(timer, allocates_nothing)
{
    static struct timer nodes[1000];
    struct timers timers;
    struct mallinfo2 before = mallinfo2();

    weft__timers_open(&timers, 0);
    for (uint16_t i = 0; i < 1000; i++) {
        arm(&timers, &nodes[i], i, (i * INT64_C(7919) % 1000) * NS_PER_MS);
    }
    for (size_t i = 0; i < 1000; i += 2) {
        weft__timer_remove(&timers, &nodes[i]);
    }
    while (weft__timers_pop_due(&timers, NS_PER_SECOND, ALL)) {
    }
    struct mallinfo2 after = mallinfo2();

    cr_assert_eq(timers.count, 0);
    cr_assert_eq(before.uordblks, after.uordblks);
    cr_assert_eq(before.hblkhd, after.hblkhd);
}
