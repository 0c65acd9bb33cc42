/* SPDX-License-Identifier: MIT */
/*
 * The exchange of stacks where no folder fits the machine, by the functions of <ucontext.h>.
 *
 * A suspended context is a record on its own stack. Each switch costs a system call, as the
 * signal mask is exchanged, too.
 */
#include "core/arch/switch.h"

#include <fenv.h>
#include <ucontext.h>

#include "base/assert.h"

struct context {
    ucontext_t machine;
    intptr_t value; /* what the pending weft__switch() returns, or the entry gets */
    void (*entry)(intptr_t value);
};

/*
 * makecontext() wants to know where a stack begins; it only ever uses the end. All stacks have
 * more than that.
 */
#define STACK_SIZE_TOLD 4096

static void make(ucontext_t *machine, char *top, const struct context *context);
static void start(unsigned high, unsigned low);

int weft__switch(void **ret_from, void *to, intptr_t value)
{
    struct context from;
    struct context *target = to;
    target->value = value;
    *ret_from = &from;

    int failed = swapcontext(&from.machine, &target->machine);
    WEFT_ASSERT(!failed); /* fails only if it cannot read its arguments */
    return (int)from.value;
}

void weft__switch_leave(void *to, intptr_t value)
{
    struct context *target = to;
    target->value = value;
    (void)setcontext(&target->machine);
    WEFT_UNREACHABLE();
}

int weft__switch_start(void **ret_from, void *top, intptr_t value, void (*entry)(intptr_t value))
{
    return weft__switch(ret_from, weft__switch_prepare(top, entry), value);
}

void *weft__switch_prepare(void *top, void (*entry)(intptr_t value))
{
    char *place = (char *)top - (sizeof(struct context) + 63) / 64 * 64;
    struct context *context = (void *)place;
    context->entry = entry;
    make(&context->machine, place, context);
    return context;
}

/* The record may not lie at the top here: that is where the frames of the callers are. */
void weft__switch_restart(void *top, void (*entry)(intptr_t value), intptr_t value)
{
    struct context context = {.entry = entry, .value = value};
    make(&context.machine, top, &context);

    (void)setcontext(&context.machine);
    WEFT_UNREACHABLE();
}

/* makecontext() passes ints only. */
static void make(ucontext_t *machine, char *top, const struct context *context)
{
    int failed = getcontext(machine);
    WEFT_ASSERT(!failed); /* fails only if it cannot write its argument */
    machine->uc_stack.ss_sp = top - STACK_SIZE_TOLD;
    machine->uc_stack.ss_size = STACK_SIZE_TOLD;
    machine->uc_link = NULL;

    uint64_t address = (uintptr_t)context;
    makecontext(machine, (void (*)(void))start, 2, (unsigned)(address >> 32), (unsigned)address);
}

/* Reads the record before its first call: after a restart it lies in the part of no owner. */
static void start(unsigned high, unsigned low)
{
    const struct context *context = (const void *)(uintptr_t)((uint64_t)high << 32 | low);
    void (*entry)(intptr_t value) = context->entry;
    intptr_t value = context->value;
    (void)fesetenv(FE_DFL_ENV); /* cannot fail for the default */
    entry(value);
    WEFT_UNREACHABLE();
}
