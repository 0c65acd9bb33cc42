/* SPDX-License-Identifier: MIT */
/*
 * Living in a host's uv_loop_t: three hooks around each pass of the host's.
 *
 * Before it waits (prepare) we settle; the callbacks only record; after it waited (check) the core
 * has its turn, if there is a reason. What must not keep the host's loop alive is unreferenced: all
 * but armed descriptors, the alarm while a turn is due some time, and idle, which is active while
 * one is due now.
 */
#include "backends/libuv/loop.h"

static void on_prepare(uv_prepare_t *handle)
{
    weft__libuv_settle(handle->data);
}

/* The core's turn may close us; libuv keeps the memory until it has left its hooks. */
static void on_check(uv_check_t *handle)
{
    struct loop *self = handle->data;

    int64_t now_ns = weft__backend.now_ns(&self);
    bool is_due = self->turn_ns < LOOP_NEVER && self->turn_ns <= now_ns;
    if (is_due || self->is_woken || !list_is_empty(&self->fired)) {
        self->is_woken = false;
        self->host->turn(self->host);
    } else if (self->is_ringing) {
        /* it rang for an earlier request */
        (void)weft__libuv_set_alarm(self, self->turn_ns, now_ns);
    }
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle; /* being there is enough: libuv does not sleep */
}

int weft__libuv_attach(void *state, void *native, struct weft_host *host)
{
    struct loop *self;
    int result = weft__libuv_open(&self, native, host);
    if (result < 0) return result;

    /* None of these can fail. */
    (void)uv_prepare_init(self->uv, &self->prepare);
    (void)uv_check_init(self->uv, &self->check);
    (void)uv_idle_init(self->uv, &self->idle);
    uv_handle_t *const hooks[] = {
        (uv_handle_t *)&self->prepare, (uv_handle_t *)&self->check, (uv_handle_t *)&self->idle};
    for (int i = 0; i < 3; i++) {
        weft__libuv_count_handle(self, hooks[i]);
    }
    (void)uv_prepare_start(&self->prepare, on_prepare);
    (void)uv_check_start(&self->check, on_check);
    uv_unref((uv_handle_t *)&self->prepare);
    uv_unref((uv_handle_t *)&self->check);
    uv_unref((uv_handle_t *)&self->wake);
    uv_unref((uv_handle_t *)&self->alarm);
    *(struct loop **)state = self;
    return 0;
}

void weft__libuv_schedule(void *state, int64_t deadline_ns)
{
    struct loop *self = loop_of(state);

    int64_t now_ns = weft__backend.now_ns(state);
    self->turn_ns = deadline_ns;
    if (deadline_ns <= now_ns) {
        (void)uv_idle_start(&self->idle, on_idle);
        return;
    }
    (void)uv_idle_stop(&self->idle);
    (void)weft__libuv_set_alarm(self, deadline_ns, now_ns);
    if (deadline_ns < LOOP_NEVER) {
        uv_ref((uv_handle_t *)&self->alarm);
    } else {
        uv_unref((uv_handle_t *)&self->alarm);
    }
}
