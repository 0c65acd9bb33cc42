/* SPDX-License-Identifier: MIT */
/* The text of reports: numbers, durations, quoting, and what happens at the end of the buffer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"

static char buffer[64];

static struct text *text_open(void)
{
    static struct text text;
    weft__text_open(&text, buffer, sizeof buffer, -1);
    return &text;
}

static const char *duration(int64_t duration_ns)
{
    weft__text_duration(text_open(), duration_ns);
    return buffer;
}

Test(text, numbers_have_all_their_digits)
{
    struct text *text = text_open();

    weft__text_number(text, 0);
    weft__text_put(text, " ");
    weft__text_number(text, UINT64_MAX);
    weft__text_put(text, " ");
    weft__text_signed(text, INT64_MIN);

    cr_assert_str_eq(buffer, "0 18446744073709551615 -9223372036854775808");
}

Test(text, durations_have_the_largest_unit_that_fits)
{
    cr_expect_str_eq(duration(0), "0 ns");
    cr_expect_str_eq(duration(999), "999 ns");
    cr_expect_str_eq(duration(1000), "1.000 us");
    cr_expect_str_eq(duration(12345678), "12.345 ms");
    cr_expect_str_eq(duration(3600000000000), "3600.000 s");
    cr_expect_str_eq(duration(-1500000000), "-1.500 s");
    cr_expect_str_eq(duration(INT64_MIN), "-9223372036.854 s");
}

Test(text, names_cannot_forge_lines)
{
    weft__text_quote(text_open(), "a\nb\"c\x7f");

    cr_assert_str_eq(buffer, "\"a?b?c?\"");
}

Test(text, without_a_descriptor_it_is_cut)
{
    struct text *text = text_open();

    for (int i = 0; i < 10; i++) {
        weft__text_put(text, "0123456789");
    }

    cr_assert_eq(strlen(buffer), sizeof buffer - 1);
    cr_assert_eq(strncmp(buffer, "01234567890", 11), 0);
    cr_assert_eq(weft__text_close(text), 0);
}

Test(text, with_a_descriptor_nothing_is_lost)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct text text;
    weft__text_open(&text, buffer, 16, fds[1]);

    for (int i = 0; i < 10; i++) {
        weft__text_put(&text, "0123456789abcdefghij");
    }
    weft__text_end_line(&text);

    cr_assert_eq(weft__text_close(&text), 0);
    char received[512];
    cr_assert_eq(read(fds[0], received, sizeof received), 201);
    cr_assert_eq(received[199], 'j');
    cr_assert_eq(received[200], '\n');
}

Test(text, the_first_error_stays)
{
    struct text text;
    weft__text_open(&text, buffer, 16, 1000000);

    weft__text_put(&text, "more than fits into the buffer");

    cr_assert_eq(weft__text_close(&text), -EBADF);
}
