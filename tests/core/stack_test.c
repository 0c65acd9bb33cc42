/* SPDX-License-Identifier: MIT */
/*
 * The pool of stacks, without tasks: what a stack is, where it goes, what the system sees of it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/arch/switch.h"
#include "core/random.h"
#include "core/sanitize.h"
#include "core/stack.h"

#define KIB             ((size_t)1024)
#define DEFAULT         (64 * KIB)
#define PAGE            ((size_t)sysconf(_SC_PAGESIZE))
#define HOT_MIN         64   /* what a trim always keeps */
#define HOT_MAX         1024 /* what it keeps of recent ones */
#define MANY            5000
#define VERY_MANY       100000
#define GUARDS_TOO_MANY 40000 /* more than the kernel's default allows by mprotect() */

static struct stack_cache cache;
static struct stack *stacks[VERY_MANY];

static void open_cache(void)
{
    cr_assert_eq(weft__stacks_open(&cache, DEFAULT, false), 0);
}

static void get_many(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stacks[i] = weft__stack_get(&cache, 0);
        cr_assert(stacks[i]);
    }
}

static void put_many(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        weft__stack_put(&cache, stacks[i]);
    }
}

/* Lets all that was put so far become old, and trims. */
static void trim_later(void)
{
    for (int i = 0; i < 3; i++) {
        cache.epoch_start_ms -= 1000;
        weft__stacks_trim(&cache);
    }
}

/* What the kernel says of reading one byte: 0 or the errno. */
static int probe(const void *address)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    ssize_t written = write(fds[1], address, 1);
    int result = written == 1 ? 0 : errno;
    close(fds[0]);
    close(fds[1]);
    return result;
}

static const char *guard_of(const struct stack *stack)
{
    return (const char *)stack->bottom - 1;
}

static size_t status_kib(const char *name)
{
    char line[256];
    size_t value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    cr_assert(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) value = strtoul(line + strlen(name), NULL, 10);
    }
    fclose(file);
    return value;
}

static size_t mapping_count(void)
{
    size_t count = 0;
    int letter;
    FILE *file = fopen("/proc/self/maps", "r");
    cr_assert(file);
    while ((letter = getc(file)) != EOF) {
        count += letter == '\n';
    }
    fclose(file);
    return count;
}

Test(stack, all_bytes_between_bottom_and_top_are_usable)
{
    open_cache();
    struct stack *stack = weft__stack_get(&cache, 0);
    size_t usable = (size_t)((char *)stack->top - (char *)stack->bottom);

    memset(stack->bottom, 0x5a, usable);

    cr_assert_eq(stack->size, DEFAULT);
    cr_assert_geq(usable, DEFAULT);
    cr_assert_leq(usable, DEFAULT + PAGE);
    cr_assert_eq((uintptr_t)stack->top % 64, 0);
    weft__stack_put(&cache, stack);
    weft__stacks_close(&cache);
}

Test(stack, tops_lie_in_different_cache_sets)
{
    open_cache();
    uint64_t offsets = 0;

    get_many(64);

    for (int i = 0; i < 64; i++) {
        offsets |= UINT64_C(1) << ((uintptr_t)stacks[i]->top % 4096 / 64);
    }
    cr_assert_geq(__builtin_popcountll(offsets), 8);
    put_many(64);
    weft__stacks_close(&cache);
}

Test(stack, a_guard_lies_below_the_bottom)
{
    open_cache();

    get_many(200);

    for (int i = 0; i < 200; i++) {
        cr_assert(stacks[i]->guarded);
        cr_assert_eq(probe(guard_of(stacks[i])), EFAULT);
        cr_assert_eq(probe(guard_of(stacks[i]) - PAGE + 1), EFAULT);
        cr_assert_eq(probe(stacks[i]->bottom), 0);
    }
    put_many(200);
    weft__stacks_close(&cache);
}

Test(stack, guards_by_mprotect_work_too)
{
    open_cache();
    weft__stacks_close(&cache);
    cr_assert_eq(weft__stacks_open(&cache, DEFAULT, true), 0);
    cache.guards = STACK_GUARDS_MPROTECT;

    get_many(200); /* the first slab still has what the probe found */

    for (int i = 0; i < 200; i++) {
        cr_assert(stacks[i]->guarded);
        cr_assert_eq(probe(guard_of(stacks[i])), EFAULT);
    }
    put_many(200);
    trim_later();
    get_many(200);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(probe(guard_of(stacks[i])), EFAULT);
    }
    put_many(200);
    weft__stacks_close(&cache);
}

Test(stack, the_last_one_put_is_the_first_one_got)
{
    open_cache();
    get_many(3);

    put_many(3);

    cr_assert_eq(weft__stack_get(&cache, 0), stacks[2]);
    cr_assert_eq(weft__stack_get(&cache, 0), stacks[1]);
    cr_assert_eq(weft__stack_get(&cache, 0), stacks[0]);
    cr_assert_eq(stacks_live(&cache), 3);
    put_many(3);
    cr_assert_eq(stacks_live(&cache), 0);
    weft__stacks_close(&cache);
}

Test(stack, the_reserve_is_filled_at_open_and_by_the_next_put)
{
    open_cache();
    struct stack *other = weft__stack_get(&cache, 0);

    struct stack *reserved = weft__stack_get_reserved(&cache);

    cr_assert(reserved);
    cr_assert_null(weft__stack_get_reserved(&cache));
    weft__stack_put(&cache, other);
    cr_assert_eq(cache.free_count, 0);
    cr_assert_eq(weft__stack_get_reserved(&cache), other);
    weft__stack_put(&cache, reserved);
    weft__stack_put(&cache, other);
    weft__stacks_close(&cache);
}

Test(stack, a_smaller_size_gets_the_default)
{
    open_cache();

    struct stack *stack = weft__stack_get(&cache, 20 * KIB);

    cr_assert_eq(stack->size, DEFAULT);
    weft__stack_put(&cache, stack);
    cr_assert_eq(weft__stack_get(&cache, 0), stack);
    weft__stack_put(&cache, stack);
    weft__stacks_close(&cache);
}

Test(stack, a_larger_size_gets_a_mapping_of_its_own)
{
    open_cache();

    struct stack *stack = weft__stack_get(&cache, 1000 * KIB + 1);

    cr_assert_geq(stack->size, 1000 * KIB + 1);
    cr_assert_eq(stack->size % PAGE, 0);
    cr_assert_eq(probe(guard_of(stack)), EFAULT);
    memset(stack->bottom, 1, (size_t)((char *)stack->top - (char *)stack->bottom));
    weft__stack_put(&cache, stack);
    weft__stacks_close(&cache);
}

Test(stack, the_own_mapping_outlives_the_put_by_one_switch)
{
    unsigned char resident;
    open_cache();
    struct stack *stack = weft__stack_get(&cache, 1000 * KIB);
    char *bottom = stack->bottom;

    weft__stack_put(&cache, stack);
    cr_assert_eq(probe(bottom), 0);
    cr_assert_eq(weft__stack_get(&cache, 1000 * KIB), stack);
    weft__stack_put(&cache, stack);

    weft__stacks_trim(&cache);
    cr_assert_eq(mincore(bottom, PAGE, &resident), -1);
    weft__stacks_close(&cache);
}

static void *outside;

/* As a task that ends and finds that the next one asks for a size. */
static void leave(intptr_t value)
{
    struct stack *own = (struct stack *)value;
    void *nowhere;
    weft__stack_put(&cache, own);
    stacks[0] = weft__stack_get(&cache, 20 * KIB);
    stacks[1] = weft__stack_get(&cache, 20 * KIB);
    (void)weft__switch(&nowhere, outside, 0);
}

Test(stack, a_stack_that_is_being_left_is_not_handed_out)
{
    if (WEFT__SANITIZED) cr_skip_test("nothing is announced here");
    open_cache();
    struct stack *stack = weft__stack_get(&cache, 0);

    void *inside = weft__switch_prepare(stack->top, leave);
    (void)weft__switch(&outside, inside, (intptr_t)stack);

    cr_assert(stacks[0] && stacks[0] != stack);
    cr_assert(stacks[1] && stacks[1] != stack && stacks[1] != stacks[0]);
    cr_assert_eq(weft__stack_get(&cache, 0), stack);
    cr_assert_eq(stacks_live(&cache), 3);
    weft__stack_put(&cache, stack);
    put_many(2);
    weft__stacks_close(&cache);
}

static int probe_in_child(const void *address)
{
    pid_t child = fork();
    if (child == 0) _exit(probe(address));
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(stack, guards_survive_a_fork)
{
    open_cache();
    get_many(100);

    for (int i = 0; i < 100; i += 33) {
        cr_assert_eq(probe_in_child(guard_of(stacks[i])), EFAULT);
        cr_assert_eq(probe_in_child(stacks[i]->bottom), 0);
    }
    put_many(100);
    weft__stacks_close(&cache);
}

Test(stack, absurd_sizes_are_refused)
{
    open_cache();

    cr_assert_null(weft__stack_get(&cache, SIZE_MAX));
    cr_assert_null(weft__stack_get(&cache, SIZE_MAX / 2));
    cr_assert_eq(weft__stacks_open(&(struct stack_cache){0}, SIZE_MAX, false), -ENOMEM);

    cr_assert_eq(stacks_live(&cache), 0);
    weft__stacks_close(&cache);
}

Test(stack, tiny_defaults_are_raised)
{
    cr_assert_eq(weft__stacks_open(&cache, 1, false), 0);

    cr_assert_eq(cache.default_size, 16 * KIB);

    weft__stacks_close(&cache);
}

Test(stack, a_trim_keeps_recent_stacks_and_a_few_old_ones)
{
    open_cache();
    get_many(500);
    put_many(500);

    weft__stacks_trim(&cache);
    cr_assert_eq(cache.free_count, 500);

    trim_later();
    cr_assert_eq(cache.free_count, HOT_MIN);
    weft__stacks_close(&cache);
}

Test(stack, a_trim_takes_more_than_enough_at_once)
{
    open_cache();
    get_many(MANY);
    put_many(MANY);

    weft__stacks_trim(&cache);

    cr_assert_eq(cache.free_count, HOT_MAX);
    cr_assert_eq(cache.free, stacks[MANY - 1]);
    weft__stacks_close(&cache);
}

Test(stack, stacks_come_back_after_a_trim_with_their_guards)
{
    open_cache();
    for (int round = 0; round < 3; round++) {
        get_many(1000);
        for (int i = 0; i < 1000; i++) {
            const char *untouched = stacks[i]->bottom;
            if (round == 0 || i >= HOT_MIN) cr_assert_eq(*untouched, 0);
            cr_assert_eq(probe(guard_of(stacks[i])), EFAULT);
            memset(stacks[i]->bottom, 0xff, 100);
        }
        put_many(1000);
        trim_later();
    }
    cr_assert_eq(stacks_live(&cache), 0);
    weft__stacks_close(&cache);
}

Test(stack, live_stacks_keep_what_is_on_them_through_trims)
{
    struct random random = {.state = 7};
    static bool live[MANY];
    open_cache();

    for (int i = 0; i < 60000; i++) {
        size_t at = weft__random_below(&random, MANY);
        if (live[at]) {
            size_t *mark = stacks[at]->bottom;
            cr_assert_eq(*mark, at);
            cr_assert_eq(((size_t *)stacks[at]->top)[-1], at);
            weft__stack_put(&cache, stacks[at]);
        } else {
            stacks[at] = weft__stack_get(&cache, 0);
            *(size_t *)stacks[at]->bottom = at;
            ((size_t *)stacks[at]->top)[-1] = at;
        }
        live[at] = !live[at];
        if (i % 1000 == 999) trim_later();
    }

    size_t expected = 0;
    for (size_t i = 0; i < MANY; i++) {
        expected += live[i];
        if (live[i]) weft__stack_put(&cache, stacks[i]);
    }
    cr_assert_gt(expected, 0);
    cr_assert_eq(stacks_live(&cache), 0);
    weft__stacks_close(&cache);
}

Test(stack, many_stacks_cost_a_page_each_and_few_mappings)
{
    if (WEFT__SANITIZED) cr_skip_test("shadow memory counts, too");
    if (weft__stack_guards() != STACK_GUARDS_MARKER) cr_skip_test("no guard markers here");
    open_cache();
    memset(stacks, 0, sizeof stacks);
    size_t before_kib = status_kib("VmRSS:");
    size_t mappings_before = mapping_count();

    get_many(VERY_MANY);
    for (size_t i = 0; i < VERY_MANY; i++) {
        memset((char *)stacks[i]->top - 512, 1, 512);
    }

    size_t each = (status_kib("VmRSS:") - before_kib) * KIB / VERY_MANY;
    cr_assert_leq(each, PAGE + 64, "%zu bytes each", each);
    cr_assert_leq(mapping_count(), mappings_before + 20);

    put_many(VERY_MANY);
    trim_later();

    size_t left_kib = status_kib("VmRSS:") - before_kib;
    cr_assert_leq(left_kib, 2 * KIB, "%zu KiB left", left_kib);
    weft__stacks_close(&cache);
}

Test(stack, too_many_guards_are_refused_if_required)
{
    cr_assert_eq(weft__stacks_open(&cache, DEFAULT, true), 0);
    cache.guards = STACK_GUARDS_MPROTECT;
    size_t count = 0;

    while (count < GUARDS_TOO_MANY) {
        stacks[count] = weft__stack_get(&cache, 0);
        if (!stacks[count]) break;
        count++;
    }
    if (count == GUARDS_TOO_MANY) cr_skip_test("vm.max_map_count is raised here");

    cr_assert_gt(count, 20000);
    cr_assert_eq(cache.unguarded_count, 0);
    weft__stack_put(&cache, stacks[--count]);
    stacks[count] = weft__stack_get(&cache, 0);
    cr_assert(stacks[count]);
    put_many(count + 1);
    weft__stacks_close(&cache);
}

Test(stack, too_many_guards_leave_the_rest_unguarded_and_counted)
{
    open_cache();
    cache.guards = STACK_GUARDS_MPROTECT;

    get_many(GUARDS_TOO_MANY);
    if (cache.unguarded_count == 0) cr_skip_test("vm.max_map_count is raised here");

    cr_assert_lt(cache.unguarded_count, 20000);
    cr_assert_not(stacks[GUARDS_TOO_MANY - 1]->guarded);
    void *others = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(others, MAP_FAILED, "nothing is left for the rest of the process");

    put_many(GUARDS_TOO_MANY);
    trim_later();
    cr_assert_leq(cache.unguarded_count, 8 * 64); /* of the few slabs that are kept */
    weft__stacks_close(&cache);
}

Test(stack, no_address_space_gives_null_and_recovers)
{
    if (WEFT__SANITIZED) cr_skip_test("the sanitizers need address space themselves");
    open_cache();
    get_many(63); /* what the first slab has left */
    struct rlimit old;
    cr_assert_eq(getrlimit(RLIMIT_AS, &old), 0);
    struct rlimit tight = {.rlim_cur = 1 << 20, .rlim_max = old.rlim_max};

    cr_assert_eq(setrlimit(RLIMIT_AS, &tight), 0);
    struct stack *none = weft__stack_get(&cache, 0);
    struct stack *none_large = weft__stack_get(&cache, 1000 * KIB);
    cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);

    cr_assert_null(none);
    cr_assert_null(none_large);
    struct stack *stack = weft__stack_get(&cache, 0);
    cr_assert(stack);
    cr_assert_eq(stacks_live(&cache), 64);
    weft__stack_put(&cache, stack);
    put_many(63);
    weft__stacks_close(&cache);
}

Test(stack, high_water_is_the_deepest_page)
{
    open_cache();
    get_many(2);
    struct stack *stack = stacks[1];
    char *page = (char *)stack->bottom + stack->size; /* the one of the struct */
    size_t first = (size_t)((char *)stack->top - page);
    cr_assert_eq(weft__stack_high_water(stack), first);

    *(volatile char *)(page - 4 * PAGE) = 1;
    cr_assert_eq(weft__stack_high_water(stack), first + 4 * PAGE);

    *(volatile char *)stack->bottom = 1;
    cr_assert_eq(weft__stack_high_water(stack), first + stack->size);
    put_many(2);
    weft__stacks_close(&cache);
}

Test(stack, a_guard_tells_its_stack)
{
    open_cache();
    get_many(300);
    struct stack *large = weft__stack_get(&cache, 1000 * KIB);

    for (int i = 0; i < 300; i++) {
        cr_assert_eq(weft__stack_by_guard(&cache, guard_of(stacks[i])), stacks[i]);
        cr_assert_eq(weft__stack_by_guard(&cache, guard_of(stacks[i]) - PAGE + 1), stacks[i]);
        cr_assert_null(weft__stack_by_guard(&cache, stacks[i]->bottom));
        cr_assert_null(weft__stack_by_guard(&cache, stacks[i]->top));
    }
    cr_assert_eq(weft__stack_by_guard(&cache, guard_of(large)), large);
    cr_assert_null(weft__stack_by_guard(&cache, NULL));
    cr_assert_null(weft__stack_by_guard(&cache, &cache));
    weft__stack_put(&cache, large);
    put_many(300);
    weft__stacks_close(&cache);
}

Test(stack, survivors_keep_their_stacks_after_close)
{
    open_cache();
    get_many(500);
    struct stack *survivor = stacks[499];
    struct stack *large = weft__stack_get(&cache, 1000 * KIB);
    memset(survivor->bottom, 7, 1000);
    memset(large->bottom, 8, 1000);

    put_many(499);
    weft__stacks_close(&cache);

    cr_assert_eq(*(char *)survivor->bottom, 7);
    cr_assert_eq(*(char *)large->bottom, 8);
    cr_assert_eq(probe(guard_of(survivor)), EFAULT);
}

Test(stack, a_closed_cache_can_be_opened_again)
{
    for (int round = 0; round < 3; round++) {
        open_cache();
        get_many(200);
        put_many(200);
        weft__stacks_close(&cache);
    }
}
