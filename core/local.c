/* SPDX-License-Identifier: MIT */
/*
 * Task-local values: an array per task that uses them, indexed by key.
 *
 * Keys are process-wide and never freed. A destructor is published before its key's number is
 * handed out, and is never changed after that.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <weft/local.h>

#include "core/runtime.h"
#include "core/task.h"
#include "core/worker.h"

typedef void (*destructor_fn)(void *value);

static atomic_uint key_count;
static _Atomic(destructor_fn) destructors[WEFT_LOCAL_KEYS_MAX];

int weft_local_open(struct weft_local_key *ret, void (*destructor)(void *value))
{
    unsigned count = atomic_load_explicit(&key_count, memory_order_relaxed);
    do {
        if (count >= WEFT_LOCAL_KEYS_MAX) return -ENOSPC;
    } while (!atomic_compare_exchange_weak_explicit(
        &key_count, &count, count + 1, memory_order_relaxed, memory_order_relaxed));

    /* Whoever hands the key to another thread synchronises with it; release suits the reader in
     * weft__locals_free(), which may see the slot before that. */
    atomic_store_explicit(&destructors[count], destructor, memory_order_release);
    ret->number = count + 1;
    return 0;
}

static bool key_is_valid(struct weft_local_key key)
{
    return key.number >= 1 && key.number <= atomic_load_explicit(&key_count, memory_order_relaxed);
}

int weft_local_set(struct weft_local_key key, void *value)
{
    if (!key_is_valid(key)) return -EINVAL;
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return weft__not_in_task();

    struct task_body *body = task_body(worker->current);
    if (!body->locals) {
        if (!value) return 0;
        body->locals = calloc(WEFT_LOCAL_KEYS_MAX, sizeof *body->locals);
        if (!body->locals) return -ENOMEM;
        task_set_flag(worker->current, TASK_OWES);
    }
    body->locals[key.number - 1] = value;
    return 0;
}

void *weft_local_get(struct weft_local_key key)
{
    if (!key_is_valid(key)) return NULL;
    struct worker *worker = weft__worker();
    if (!worker || !worker->current) return NULL;

    void **locals = task_body(worker->current)->locals;
    return locals ? locals[key.number - 1] : NULL;
}

void weft__locals_free(struct task_body *body)
{
    if (!body->locals) return;
    for (unsigned i = 0; i < WEFT_LOCAL_KEYS_MAX; i++) {
        void *value = body->locals[i];
        body->locals[i] = NULL;
        destructor_fn destructor = atomic_load_explicit(&destructors[i], memory_order_acquire);
        if (value && destructor) destructor(value);
    }
    free(body->locals);
    body->locals = NULL;
}
