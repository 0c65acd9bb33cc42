/* SPDX-License-Identifier: MIT */
/*
 * Text for reports, put together without stdio, memory or locks: usable in a signal handler.
 *
 * A text lies in a buffer of its writer's. With a descriptor it is written out as it grows; without
 * one it is cut at the end of the buffer, and always ends in a zero byte.
 */
#ifndef WEFT_CORE_TEXT_H
#define WEFT_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *buffer;
    size_t size;
    size_t used;
    int fd;       /* -1: none */
    bool is_held; /* the end of a line does not write out */
    int error; /* 0, or the negative errno of the first write() that failed; nothing follows it */
};

void weft__text_open(struct text *text, char *buffer, size_t size, int fd);

/* Writes out what is left: 0, or the first error. */
int weft__text_close(struct text *text);

void weft__text_put(struct text *text, const char *string);
void weft__text_number(struct text *text, uint64_t number);
void weft__text_signed(struct text *text, int64_t number);

/* A string of the user's, in quotes; what is not printable becomes '?'. */
void weft__text_quote(struct text *text, const char *string);

/* "1.500 s", "2.000 ms", "12.345 us" or "7 ns". */
void weft__text_duration(struct text *text, int64_t duration_ns);

/* A line is complete: a good place to write out, so that lines of two writers do not mix. */
void weft__text_end_line(struct text *text);

/* Until the release no line's end writes out: what the caller holds may be needed by the reader. */
void weft__text_hold(struct text *text);
void weft__text_release(struct text *text);

#endif
