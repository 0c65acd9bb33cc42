/* SPDX-License-Identifier: MIT */
/*
 * Which workers have met a number: a table of bits, in pages that are added without a lock.
 */
#include "core/fd_users.h"

#include <errno.h>
#include <stdlib.h>

#include "core/runtime.h"

static _Atomic(uint64_t) *word_of(struct fd_users *users, int fd, bool adds)
{
    size_t index = (size_t)(unsigned)fd / FD_USERS_PAGE;
    if (index >= FD_USERS_PAGES) return NULL;
    /* acquire: the page is seen zeroed; pairs with the exchange below */
    struct fd_users_page *page = atomic_load_explicit(&users->pages[index], memory_order_acquire);
    if (!page && adds) {
        struct fd_users_page *fresh = calloc(1, sizeof *fresh);
        if (!fresh) return NULL;
        if (atomic_compare_exchange_strong(&users->pages[index], &page, fresh)) {
            page = fresh;
        } else {
            free(fresh); /* another worker was faster */
        }
    }
    return page ? &page->words[(unsigned)fd % FD_USERS_PAGE] : NULL;
}

void weft__fd_users_close(struct fd_users *users)
{
    for (int i = 0; i < FD_USERS_PAGES; i++)
        free(atomic_load_explicit(&users->pages[i], memory_order_relaxed));
}

int weft__fd_users_add(struct worker *worker, int fd)
{
    if (!worker->runtime->has_many) return 0;
    _Atomic(uint64_t) *word = word_of(worker->runtime->fd_users, fd, true);
    if (!word) return (unsigned)fd / FD_USERS_PAGE >= FD_USERS_PAGES ? 0 : -ENOMEM;
    /* seq_cst: before the look at the departures */
    atomic_fetch_or_explicit(word, fd_user_bit(worker->index), memory_order_seq_cst);
    return 0;
}

void weft__fd_users_remove(struct worker *worker, int fd)
{
    if (!worker->runtime->has_many || worker->runtime->worker_count > 64) return;
    _Atomic(uint64_t) *word = word_of(worker->runtime->fd_users, fd, false);
    if (word) {
        atomic_fetch_and_explicit(word, ~fd_user_bit(worker->index), memory_order_seq_cst);
    }
}

uint64_t weft__fd_users_of(struct fd_users *users, int fd)
{
    if ((unsigned)fd / FD_USERS_PAGE >= FD_USERS_PAGES) return UINT64_MAX;
    _Atomic(uint64_t) *word = word_of(users, fd, false);
    /* seq_cst: after the number was put on the list of departures */
    return word ? atomic_load_explicit(word, memory_order_seq_cst) : 0;
}
