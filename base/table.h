/* SPDX-License-Identifier: MIT */
/*
 * A table of equal slots by a small number, such as a descriptor: pages of zeroed slots, made when
 * a number in them is first reserved. A slot never moves and is never given back before close.
 */
#ifndef WEFT_BASE_TABLE_H
#define WEFT_BASE_TABLE_H

#include <stddef.h>
#include <stdlib.h>

#define TABLE_PAGE_SLOTS 256

struct table {
    size_t slot_size; /* bytes; set before the first use, all else zero */
    size_t page_count;
    unsigned char **pages; /* NULL where nothing was ever reserved */
};

/* NULL: nothing was ever reserved near that number. */
static inline void *table_find(const struct table *table, int number)
{
    if (number < 0 || (size_t)number / TABLE_PAGE_SLOTS >= table->page_count) return NULL;

    unsigned char *page = table->pages[number / TABLE_PAGE_SLOTS];
    return page ? page + (size_t)(number % TABLE_PAGE_SLOTS) * table->slot_size : NULL;
}

/* The slot of `number` (0 or above); zeroed if it is new. NULL: no memory. */
static inline void *table_reserve(struct table *table, int number)
{
    size_t index = (size_t)number / TABLE_PAGE_SLOTS;
    if (index >= table->page_count) {
        unsigned char **pages = realloc(table->pages, (index + 1) * sizeof *pages);
        if (!pages) return NULL;
        for (size_t i = table->page_count; i <= index; i++) {
            pages[i] = NULL;
        }
        table->pages = pages;
        table->page_count = index + 1;
    }
    if (!table->pages[index]) {
        table->pages[index] = calloc(TABLE_PAGE_SLOTS, table->slot_size);
    }
    return table_find(table, number);
}

/* One more than the highest number that may have a slot. */
static inline int table_end(const struct table *table)
{
    return (int)(table->page_count * TABLE_PAGE_SLOTS);
}

static inline void table_close(struct table *table)
{
    for (size_t i = 0; i < table->page_count; i++) {
        free(table->pages[i]);
    }
    free(table->pages);
    *table = (struct table){.slot_size = table->slot_size};
}

#endif
