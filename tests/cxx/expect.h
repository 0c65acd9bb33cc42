/* SPDX-License-Identifier: MIT */
/* What the C++ test programs share: expectations that count, and what a task handles. */
#ifndef WEFT_TESTS_CXX_EXPECT_H
#define WEFT_TESTS_CXX_EXPECT_H

#include <cstdio>
#include <exception>

#define EXPECT(condition) expect((condition), __LINE__, #condition)

static int failures; /* in the current test */

static bool expect(bool holds, int line, const char *text)
{
    if (!holds) {
        failures++;
        (void)std::fprintf(stderr, "# line %d: %s\n", line, text);
    }
    return holds;
}

static bool handles_nothing()
{
    return std::current_exception() == nullptr && std::uncaught_exceptions() == 0;
}

#endif
