/* SPDX-License-Identifier: MIT */
/*
 * What a fault does to the process: each case runs in a child, whose end and last words are read.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/arch/switch.h"
#include "core/overflow.h"
#include "core/sanitize.h"
#include "core/stack.h"

#define DEFAULT   ((size_t)64 << 10)
#define TASK_ID   77
#define EXIT_MINE 7 /* of a child whose own handler ran */

#define SKIP_SANITIZED()                                                                           \
    if (WEFT__SANITIZED) cr_skip_test("the sanitizers handle SIGSEGV themselves")

struct end {
    int status;
    char words[1024];
};

static struct stack_cache cache;
static void *outside;
static char *wild;

static struct end run(void (*body)(void))
{
    struct end end = {0};
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(fds[1]);
    size_t length = 0;
    ssize_t count;
    while ((count = read(fds[0], end.words + length, sizeof end.words - 1 - length)) > 0) {
        length += (size_t)count;
    }
    close(fds[0]);
    cr_assert_eq(waitpid(child, &end.status, 0), child);
    return end;
}

static bool died_of(const struct end *end, int signal)
{
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == signal;
}

static bool exited_with(const struct end *end, int code)
{
    return WIFEXITED(end->status) && WEXITSTATUS(end->status) == code;
}

/* Eats its stack in pieces smaller than a guard. */
__attribute__((noinline)) static int eat(int left)
{
    volatile char frame[700];
    frame[0] = (char)left;
    if (left == 0) return frame[0];
    return eat(left - 1) + frame[0];
}

static void overflow_entry(intptr_t value)
{
    (void)value;
    (void)eat(1000000);
    _exit(1);
}

static void wild_entry(intptr_t value)
{
    (void)value;
    *(volatile char *)wild = 1;
    _exit(1);
}

static void deep_entry(intptr_t value)
{
    (void)value;
    (void)eat(80); /* some nine tenths of the stack */
    _exit(0);
}

/* Runs `entry` on a stack that belongs to task TASK_ID. */
static void enter(void (*entry)(intptr_t value))
{
    struct stack *stack = weft__stack_get(&cache, 0);
    stack->task_id = TASK_ID;
    (void)weft__switch(&outside, weft__switch_prepare(stack->top, entry), 0);
}

static void open_all(bool force)
{
    if (weft__stacks_open(&cache, DEFAULT, true) != 0) _exit(2);
    if (weft__overflow_acquire(&cache, force) != 0) _exit(3);
}

static void describe(uint64_t task_id, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "%d \"eater\", spawned at main.c:12", (int)task_id);
}

static void own_handler(int signal)
{
    (void)signal;
    _exit(EXIT_MINE);
}

static void body_overflow(void)
{
    open_all(false);
    weft__overflow_describe_with(describe);
    enter(overflow_entry);
}

Test(overflow, the_report_names_the_task_and_the_signal_kills)
{
    SKIP_SANITIZED();
    struct end end = run(body_overflow);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_str_eq(end.words,
                     "weft: stack overflow in task 77 \"eater\", spawned at main.c:12; its stack "
                     "has 65536 bytes\n");
}

static void body_bare(void)
{
    open_all(false);
    enter(overflow_entry);
}

Test(overflow, without_a_description_the_report_has_the_id)
{
    SKIP_SANITIZED();
    struct end end = run(body_bare);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_str_eq(end.words, "weft: stack overflow in task 77; its stack has 65536 bytes\n");
}

static void body_deep(void)
{
    open_all(false);
    enter(deep_entry);
}

Test(overflow, nine_tenths_of_the_stack_can_be_used)
{
    SKIP_SANITIZED();
    struct end end = run(body_deep);

    cr_assert(exited_with(&end, 0));
}

static void body_wild(void)
{
    open_all(false);
    enter(wild_entry);
}

Test(overflow, other_faults_die_silently)
{
    SKIP_SANITIZED();
    struct end end = run(body_wild);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_str_eq(end.words, "");
}

static void body_outside(void)
{
    open_all(false);
    *(volatile char *)wild = 1;
}

Test(overflow, faults_outside_of_tasks_die_silently)
{
    SKIP_SANITIZED();
    struct end end = run(body_outside);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_str_eq(end.words, "");
}

static void body_sent(void)
{
    open_all(false);
    (void)raise(SIGSEGV);
    _exit(1);
}

Test(overflow, a_sent_signal_kills)
{
    SKIP_SANITIZED();
    struct end end = run(body_sent);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_str_eq(end.words, "");
}

static void body_not_forced(void)
{
    struct sigaction action;
    (void)signal(SIGSEGV, own_handler);
    open_all(false);
    (void)sigaction(SIGSEGV, NULL, &action);
    _exit(action.sa_handler == own_handler ? 0 : 1);
}

Test(overflow, a_handler_of_the_program_is_left_alone)
{
    SKIP_SANITIZED();
    struct end end = run(body_not_forced);

    cr_assert(exited_with(&end, 0));
}

static void body_forced_overflow(void)
{
    (void)signal(SIGSEGV, own_handler);
    open_all(true);
    enter(overflow_entry);
}

Test(overflow, by_force_a_handler_of_the_program_is_overruled)
{
    SKIP_SANITIZED();
    struct end end = run(body_forced_overflow);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_neq(end.words[0], '\0');
}

static void body_forced_wild(void)
{
    (void)signal(SIGSEGV, own_handler);
    open_all(true);
    enter(wild_entry);
}

Test(overflow, by_force_other_faults_still_reach_the_program)
{
    SKIP_SANITIZED();
    struct end end = run(body_forced_wild);

    cr_assert(exited_with(&end, EXIT_MINE));
    cr_assert_str_eq(end.words, "");
}

static void body_restored(void)
{
    struct sigaction action;
    stack_t alternate;
    open_all(false);
    struct stack_cache second;
    if (weft__stacks_open(&second, DEFAULT, true) != 0) _exit(2);
    if (weft__overflow_acquire(&second, false) != 0) _exit(3);

    weft__overflow_release(&cache);
    (void)sigaction(SIGSEGV, NULL, &action);
    if (action.sa_handler == SIG_DFL) _exit(4);

    weft__overflow_release(&second);
    (void)sigaction(SIGSEGV, NULL, &action);
    if (action.sa_handler != SIG_DFL) _exit(5);
    (void)sigaltstack(NULL, &alternate);
    if (!(alternate.ss_flags & SS_DISABLE)) _exit(6);

    weft__overflow_release(&second); /* was not acquired: does nothing */
}

Test(overflow, the_last_release_restores_everything)
{
    SKIP_SANITIZED();
    struct end end = run(body_restored);

    cr_assert(exited_with(&end, 0), "status %x", (unsigned)end.status);
}

static void body_own_alternate(void)
{
    static char memory[1 << 16];
    stack_t own = {.ss_sp = memory, .ss_size = sizeof memory};
    (void)sigaltstack(&own, NULL);
    open_all(false);
    stack_t current;
    (void)sigaltstack(NULL, &current);
    if (current.ss_sp != memory) _exit(4);
    enter(overflow_entry);
}

Test(overflow, the_threads_own_alternate_stack_is_used)
{
    SKIP_SANITIZED();
    struct end end = run(body_own_alternate);

    cr_assert(died_of(&end, SIGSEGV));
    cr_assert_neq(end.words[0], '\0');
}

static struct sigaction below;

static void pass_on(int signal, siginfo_t *info, void *context)
{
    below.sa_sigaction(signal, info, context);
}

static void body_buried(void)
{
    open_all(false);
    struct sigaction above = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigaction(SIGSEGV, &above, &below);
    weft__overflow_release(&cache);
    if (weft__overflow_acquire(&cache, true) != 0) _exit(3);
    enter(wild_entry);
}

Test(overflow, a_handler_that_was_put_over_ours_does_not_loop)
{
    SKIP_SANITIZED();
    struct end end = run(body_buried);

    cr_assert(died_of(&end, SIGSEGV));
}
