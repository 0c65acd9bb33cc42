/* SPDX-License-Identifier: MIT */
/*
 * Text for reports: characters into a buffer, the buffer into write(2).
 */
#include "core/text.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

static void put_character(struct text *text, char character);
static void write_out(struct text *text);
static void write_out_most(struct text *text);

void weft__text_open(struct text *text, char *buffer, size_t size, int fd)
{
    *text = (struct text){.buffer = buffer, .size = size, .fd = fd};
    buffer[0] = '\0';
}

int weft__text_close(struct text *text)
{
    if (text->fd >= 0) write_out(text);
    return text->error;
}

void weft__text_put(struct text *text, const char *string)
{
    while (*string) {
        put_character(text, *string++);
    }
}

void weft__text_quote(struct text *text, const char *string)
{
    put_character(text, '"');
    for (; *string; string++) {
        unsigned char character = (unsigned char)*string;
        bool is_printable = character >= ' ' && character != 0x7f && character != '"';
        put_character(text, is_printable ? *string : '?');
    }
    put_character(text, '"');
}

/* Writes at least `digits_min` digits. */
static void put_digits(struct text *text, uint64_t number, int digits_min)
{
    char digits[20];
    int count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || count < digits_min);
    while (count > 0) {
        put_character(text, digits[--count]);
    }
}

void weft__text_number(struct text *text, uint64_t number)
{
    put_digits(text, number, 1);
}

void weft__text_signed(struct text *text, int64_t number)
{
    if (number < 0) put_character(text, '-');
    put_digits(text, number < 0 ? -(uint64_t)number : (uint64_t)number, 1);
}

void weft__text_duration(struct text *text, int64_t duration_ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{1000000000, " s"}, {1000000, " ms"}, {1000, " us"}};

    if (duration_ns < 0) put_character(text, '-');
    uint64_t size_ns = duration_ns < 0 ? -(uint64_t)duration_ns : (uint64_t)duration_ns;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (size_ns < units[i].ns) continue;
        put_digits(text, size_ns / units[i].ns, 1);
        put_character(text, '.');
        put_digits(text, size_ns % units[i].ns / (units[i].ns / 1000), 3);
        weft__text_put(text, units[i].name);
        return;
    }
    put_digits(text, size_ns, 1);
    weft__text_put(text, " ns");
}

void weft__text_end_line(struct text *text)
{
    put_character(text, '\n');
    if (!text->is_held) write_out_most(text);
}

void weft__text_hold(struct text *text)
{
    text->is_held = true;
}

void weft__text_release(struct text *text)
{
    text->is_held = false;
    if (text->used > 0 && text->buffer[text->used - 1] == '\n') write_out_most(text);
}

static void write_out_most(struct text *text)
{
    if (text->fd >= 0 && text->used >= text->size / 2) write_out(text);
}

static void put_character(struct text *text, char character)
{
    if (text->used + 1 >= text->size) { /* one byte is the zero's */
        if (text->fd < 0) return;
        write_out(text);
    }
    text->buffer[text->used++] = character;
    text->buffer[text->used] = '\0';
}

static void write_out(struct text *text)
{
    size_t done = 0;
    while (done < text->used && text->error == 0) {
        ssize_t count = write(text->fd, text->buffer + done, text->used - done);
        if (count > 0) {
            done += (size_t)count;
        } else if (count == 0 || errno != EINTR) {
            text->error = count == 0 ? -EIO : -errno;
        }
    }
    text->used = 0;
}
