/* SPDX-License-Identifier: MIT */
/*
 * C++ programs on weft: exceptions stay with the task that threw them, scopes close when a throw
 * leaves them, and the macros of the public headers work. A plain program that prints TAP.
 *
 * The C++ runtime keeps the exceptions that are being handled, and how many are on their way, per
 * thread: without the core's help, tasks that switch inside a catch block would trade them.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/weft.h>

#include "tests/cxx/expect.h"

/* What the exception that is being handled says. */
static std::string handled()
{
    try {
        std::exception_ptr current = std::current_exception();
        if (!current) return "nothing";
        std::rethrow_exception(current);
    } catch (const std::exception &error) {
        return error.what();
    } catch (int number) {
        return std::to_string(number);
    }
}

/* Time stands still unless all sleep, and the order of tasks is the usual one. */
static int run(weft_fn root)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_VIRTUAL_CLOCK | WEFT_NO_ENVIRONMENT;
    return weft_run(&config, root, nullptr);
}

/* ---- throw and catch ---- */

__attribute__((noinline)) static int fail_deeply(int depth)
{
    std::string on_the_way("destroyed by the unwinder");
    if (depth == 0) throw std::runtime_error("from below");
    return fail_deeply(depth - 1) + (int)on_the_way.size();
}

static int catch_deep_throw(void *)
{
    EXPECT(handles_nothing());

    try {
        (void)fail_deeply(20);
        return 1;
    } catch (const std::runtime_error &error) {
        EXPECT(std::strcmp(error.what(), "from below") == 0);
    }

    EXPECT(handles_nothing());
    return 7;
}

static void throws_and_catches_in_a_task()
{
    int result = run(catch_deep_throw);

    EXPECT(result == 7);
}

static int throw_out_of_the_root(void *)
{
    throw std::runtime_error("nobody catches it");
}

/* As from a thread's function: there is nobody to give it to. */
static void terminates_when_a_throw_leaves_a_task()
{
    (void)std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        std::set_terminate([] { _exit(42); });
        (void)run(throw_out_of_the_root);
        _exit(1);
    }

    int status = 0;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* ---- whose exception ---- */

WEFT_CHAN_TYPE(numbers, int);

static struct numbers there, back; /* rendezvous */
static int handling;               /* tasks inside their outer catch block */
static int most_handling;

static void enter_handler()
{
    handling++;
    if (handling > most_handling) most_handling = handling;
}

/* Gives the peer a turn inside of its handler. */
static void trade(bool is_first, int turn)
{
    int got = -1;
    if (is_first) {
        EXPECT(numbers_send(there, turn) == 0);
        EXPECT(numbers_recv(back, &got) == 0);
    } else {
        EXPECT(numbers_recv(there, &got) == 0);
        EXPECT(numbers_send(back, turn) == 0);
    }
    EXPECT(got == turn);
}

static void handle_and_rethrow(const std::string &name, bool is_first)
{
    try {
        throw std::runtime_error(name);
    } catch (const std::runtime_error &) {
        enter_handler();
        EXPECT(weft_yield() == 0);
        EXPECT(handled() == name);
        trade(is_first, 1);
        try {
            throw is_first ? 1 : 2;
        } catch (int) {
            EXPECT(weft_yield() == 0);
            trade(is_first, 2);
            EXPECT(handled() == (is_first ? "1" : "2"));
        }
        trade(is_first, 3);
        EXPECT(handled() == name);
        EXPECT(std::uncaught_exceptions() == 0);
        handling--;
        throw;
    }
}

WEFT_TASK(handler, (const char *, name), (bool, is_first))
{
    bool is_mine = false;
    EXPECT(handles_nothing());

    try {
        handle_and_rethrow(name, is_first);
    } catch (const std::exception &error) {
        EXPECT(weft_yield() == 0);
        is_mine = std::strcmp(error.what(), name) == 0;
    }

    EXPECT(handles_nothing());
    return is_mine ? 1 : 0;
}

static int rethrow_interleaved(void *)
{
    EXPECT(numbers_open(&there, 0) == 0);
    EXPECT(numbers_open(&back, 0) == 0);
    weft_task first, second;
    int first_result = -1, second_result = -1;

    EXPECT(handler_spawn(&first, "the first task's", true) == 0);
    EXPECT(handler_spawn(&second, "the second task's", false) == 0);
    EXPECT(weft_join(first, &first_result) == 0);
    EXPECT(weft_join(second, &second_result) == 0);

    EXPECT(first_result == 1);
    EXPECT(second_result == 1);
    EXPECT(most_handling == 2);
    EXPECT(handles_nothing());
    numbers_unref(there);
    numbers_unref(back);
    return 0;
}

static void rethrows_its_own_exception()
{
    EXPECT(run(rethrow_interleaved) == 0);
}

/* Leaves nested handlers in an order that is no task's own: each sleeps as long as it wants. */
WEFT_TASK(sleeper, (int, number))
{
    try {
        try {
            throw number;
        } catch (int) {
            EXPECT(weft_sleep(((number * 7) % 13) * WEFT_MSEC) == 0);
            EXPECT(handled() == std::to_string(number));
            throw std::to_string(number);
        }
    } catch (const std::string &text) {
        EXPECT(weft_sleep(((number * 5) % 11) * WEFT_MSEC) == 0);
        EXPECT(text == std::to_string(number));
    }
    EXPECT(handles_nothing());
    return 0;
}

static int sleep_in_handlers(void *)
{
    weft_timeout_scope(all, WEFT_FOREVER);
    for (int i = 0; i < 50; i++) {
        EXPECT(sleeper_scope_spawn(&all, nullptr, i) == 0);
    }
    EXPECT(weft_scope_close(&all) == 0);
    return 0;
}

static void leaves_handlers_in_any_order()
{
    EXPECT(run(sleep_in_handlers) == 0);
}

/* ---- new tasks, and what is on its way ---- */

static int starts_clean(void *)
{
    EXPECT(handles_nothing());
    try {
        throw 3;
    } catch (int number) {
        EXPECT(weft_yield() == 0);
        EXPECT(handled() == "3");
        return number;
    }
}

/* The second child takes over the first one's stack, without a switch. */
static int spawn_in_handler(void *)
{
    try {
        throw std::runtime_error("the parent's");
    } catch (const std::runtime_error &) {
        weft_task children[2];
        int result = 0;
        EXPECT(weft_spawn(&children[0], starts_clean, nullptr) == 0);
        EXPECT(weft_spawn(&children[1], starts_clean, nullptr) == 0);
        EXPECT(weft_join(children[0], &result) == 0 && result == 3);
        EXPECT(weft_join(children[1], &result) == 0 && result == 3);
        EXPECT(handled() == "the parent's");
    }
    EXPECT(handles_nothing());
    return 0;
}

static void starts_tasks_with_nothing_handled()
{
    EXPECT(run(spawn_in_handler) == 0);
}

struct sleeps_when_destroyed {
    ~sleeps_when_destroyed()
    {
        weft_task child;
        int result = 0;
        EXPECT(std::uncaught_exceptions() == 1);
        EXPECT(weft_spawn(&child, starts_clean, nullptr) == 0);
        EXPECT(weft_join(child, &result) == 0 && result == 3);
        EXPECT(weft_sleep(WEFT_MSEC) == 0);
        EXPECT(std::uncaught_exceptions() == 1);
    }
};

static int sleep_while_unwinding(void *)
{
    try {
        sleeps_when_destroyed guard;
        throw 5;
    } catch (int number) {
        EXPECT(number == 5);
    }
    EXPECT(handles_nothing());
    return 0;
}

static void counts_uncaught_exceptions_per_task()
{
    EXPECT(run(sleep_while_unwinding) == 0);
}

/* ---- the thread that calls weft_run() ---- */

static int fail_and_return(void *)
{
    return starts_clean(nullptr);
}

static void keeps_what_the_thread_handles()
{
    bool is_same = false;
    try {
        try {
            throw std::runtime_error("the thread's");
        } catch (const std::runtime_error &) {
            EXPECT(run(fail_and_return) == 3);
            EXPECT(handled() == "the thread's");
            throw;
        }
    } catch (const std::runtime_error &error) {
        is_same = std::strcmp(error.what(), "the thread's") == 0;
    }

    EXPECT(is_same);
    EXPECT(handles_nothing());
}

static int posted; /* how often */

static void look_from_outside(void *)
{
    posted++;
    EXPECT(handles_nothing());
}

static int post_from_handler(void *)
{
    try {
        throw 9;
    } catch (int) {
        struct weft_post node = {look_from_outside, nullptr, {nullptr, nullptr}};
        EXPECT(weft_post(weft_runtime_current(), &node) == 0);
        EXPECT(weft_sleep(WEFT_MSEC) == 0);
        EXPECT(handled() == "9");
    }
    return 0;
}

static void hides_exceptions_from_posted_functions()
{
    EXPECT(run(post_from_handler) == 0);
    EXPECT(posted == 1);
}

/* ---- scopes ---- */

static int leave_block_by_throw(void *)
{
    int status = 1;
    try {
        weft_with_timeout_into(&status, 10 * WEFT_MSEC) {
            EXPECT(weft_sleep(WEFT_SEC) == -ETIMEDOUT);
            throw std::runtime_error("late");
        }
        EXPECT(false);
    } catch (const std::runtime_error &) {
        EXPECT(status == -ETIMEDOUT);
        EXPECT(weft_scope_status() == 0);
        EXPECT(weft_sleep(WEFT_SEC) == 0);
    }
    return 0;
}

static void closes_blocks_that_a_throw_leaves()
{
    EXPECT(run(leave_block_by_throw) == 0);
}

static int leave_shield_by_throw(void *)
{
    bool is_caught = false;
    weft_with_timeout(10 * WEFT_MSEC) {
        try {
            weft_shielded
            {
                EXPECT(weft_sleep(20 * WEFT_MSEC) == 0);
                throw 1;
            }
        } catch (int) {
            is_caught = true;
        }
        EXPECT(weft_yield() == -ETIMEDOUT);
    }
    EXPECT(is_caught);
    EXPECT(weft_yield() == 0);
    return 0;
}

static void closes_shields_that_a_throw_leaves()
{
    EXPECT(run(leave_shield_by_throw) == 0);
}

static int child_result;

WEFT_TASK(child_of_scope, (int, number))
{
    try {
        int result = weft_sleep(WEFT_SEC);
        if (result < 0) throw result;
    } catch (int result) {
        EXPECT(std::uncaught_exceptions() == 0);
        EXPECT(handled() == std::to_string(result));
        child_result = number + result;
    }
    return 0;
}

/* The scope waits for its child in the middle of the unwinding. */
static int leave_scope_with_child(void *)
{
    try {
        weft_timeout_scope(scope, WEFT_FOREVER);
        EXPECT(child_of_scope_scope_spawn(&scope, nullptr, 1000) == 0);
        EXPECT(weft_yield() == 0);
        throw std::runtime_error("the owner's");
    } catch (const std::runtime_error &) {
        EXPECT(child_result == 1000 - ECANCELED);
        EXPECT(handled() == "the owner's");
    }
    EXPECT(handles_nothing());
    return 0;
}

static void ends_children_before_a_throw_passes()
{
    EXPECT(run(leave_scope_with_child) == 0);
}

/* ---- the macros ---- */

WEFT_TASK(produce, (struct numbers, out), (int, first), (int, count))
{
    for (int i = 0; i < count; i++) {
        if (numbers_send(out, first + i) < 0) return 1;
    }
    return numbers_close(out);
}

WEFT_TASK(set_flag, (bool *, flag))
{
    *flag = true;
    return 0;
}

static int select_in_loop(void *)
{
    struct numbers in, full;
    EXPECT(numbers_open(&in, 0) == 0);
    EXPECT(numbers_open(&full, 1) == 0);
    EXPECT(weft_go(produce, in, 10, 4) == 0);
    int sum = 0, value = 0, status = 0, sent = 0;

    while (status == 0) {
        switch (weft_select(numbers_on_recv_status(in, &value, &status),
                            numbers_on_send(full, &value),
                            weft_after(WEFT_SEC))) {
        case 0:
            if (status == 0) sum += value;
            break;
        case 1:
            sent++;
            break;
        default:
            return 1;
        }
    }

    EXPECT(sum == 10 + 11 + 12 + 13);
    EXPECT(status == -EPIPE);
    EXPECT(sent <= 1 && (int)numbers_len(full) == sent);
    numbers_unref(in);
    numbers_unref(full);
    return 0;
}

static int select_each_builder(void *)
{
    struct numbers none = {nullptr};
    struct numbers one;
    int value = 4, result = 0, fds[2];
    bool flag = false;
    weft_task task;
    EXPECT(numbers_open(&one, 1) == 0);
    EXPECT(pipe(fds) == 0);
    EXPECT(set_flag_spawn(&task, &flag) == 0);

    EXPECT(weft_select(weft_on_recv(none.chan, &value), weft_default()) == 1);
    EXPECT(weft_select(weft_on_send(one.chan, &value), weft_after(WEFT_SEC)) == 0);
    EXPECT(weft_select_ordered(numbers_on_recv(one, &value), weft_default()) == 0);
    EXPECT(weft_select(weft_on_readable(fds[0]), weft_at(weft_now() + WEFT_MSEC)) == 1);
    EXPECT(weft_select(weft_on_readable(fds[0]), weft_on_writable(fds[1])) == 1);
    EXPECT(weft_select(weft_on_joined(task, &result), weft_after(WEFT_SEC)) == 0);

    EXPECT(value == 4);
    EXPECT(flag);
    (void)close(fds[0]);
    (void)close(fds[1]);
    numbers_unref(one);
    return 0;
}

static void selects_among_typed_channels()
{
    EXPECT(run(select_in_loop) == 0);
}

static void builds_each_kind_of_case()
{
    EXPECT(run(select_each_builder) == 0);
}

/* ---- all of them ---- */

struct test {
    const char *name;
    void (*body)();
};

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct test tests[] = {
    TEST(throws_and_catches_in_a_task),
    TEST(terminates_when_a_throw_leaves_a_task),
    TEST(rethrows_its_own_exception),
    TEST(leaves_handlers_in_any_order),
    TEST(starts_tasks_with_nothing_handled),
    TEST(counts_uncaught_exceptions_per_task),
    TEST(keeps_what_the_thread_handles),
    TEST(hides_exceptions_from_posted_functions),
    TEST(closes_blocks_that_a_throw_leaves),
    TEST(closes_shields_that_a_throw_leaves),
    TEST(ends_children_before_a_throw_passes),
    TEST(selects_among_typed_channels),
    TEST(builds_each_kind_of_case),
};

int main()
{
    int number = 0;
    int failed = 0;
    std::printf("1..%d\n", (int)(sizeof tests / sizeof tests[0]));
    for (const struct test &test : tests) {
        failures = 0;
        test.body();
        if (failures > 0) failed++;
        std::printf("%s %d - %s\n", failures > 0 ? "not ok" : "ok", ++number, test.name);
        (void)std::fflush(stdout);
    }
    return failed > 0;
}
