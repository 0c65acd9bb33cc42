/* SPDX-License-Identifier: MIT */
/*
 * Host mode: our watchers in a loop that the host turns.
 *
 * What looks odd: the hook is a watcher that is never started. It is fed to the loop when something
 * was found, at the lowest priority, so that it runs once, after everything else of that pass, and
 * costs nothing in all other passes. A timer of no time makes the next pass not sleep; unlike an
 * idle watcher it also has its turn when the host is always busy.
 */
#include "backends/libev/loop.h"

#define OWN_WATCHERS 4 /* active as long as we are attached */

static void hold_loop(struct loop *self, bool holds);
static void on_soon(struct ev_loop *native, ev_timer *watch, int events);
static void on_turn(struct ev_loop *native, ev_prepare *watch, int events);

int weft__libev_attach(void *state, void *native, struct weft_host *host)
{
    struct loop *self = state;

    int result = weft__libev_prepare(self);
    if (result < 0) return result;

    self->native = native;
    self->side = (struct host_side){.host = host, .deadline_ns = NEVER};
    ev_timer_init(&self->side.soon_watch, on_soon, 0., 0.);
    ev_prepare_init(&self->side.turn_watch, on_turn);
    ev_set_priority(&self->side.turn_watch, EV_MINPRI);
    self->side.soon_watch.data = self->side.turn_watch.data = self;

    weft__libev_enter(self);
    for (int i = 0; i < OWN_WATCHERS; i++) {
        weft__ev.unref(native);
    }
    return 0;
}

void weft__libev_detach(struct loop *self)
{
    hold_loop(self, false);
    for (int i = 0; i < OWN_WATCHERS; i++) {
        weft__ev.ref(self->native);
    }
    weft__ev.timer_stop(self->native, &self->side.soon_watch);
    weft__ev.clear_pending(self->native, &self->side.turn_watch);
    weft__libev_leave(self);
}

void weft__libev_schedule(void *state, int64_t deadline_ns)
{
    struct loop *self = state;
    ev_timer *soon_watch = &self->side.soon_watch;

    self->side.deadline_ns = deadline_ns;
    hold_loop(self, deadline_ns != NEVER);
    weft__ev.timer_stop(self->native, soon_watch);
    int64_t now_ns = weft__libev_now(self);
    if (deadline_ns > now_ns) {
        weft__libev_alarm(self, deadline_ns, now_ns);
        return;
    }
    ev_timer_set(soon_watch, 0., 0.);
    weft__ev.timer_start(self->native, soon_watch);
}

void weft__libev_turn(struct loop *self)
{
    if (self->side.host) weft__ev.feed_event(self->native, &self->side.turn_watch, EV_CUSTOM);
}

void weft__libev_alarmed(struct loop *self)
{
    if (!self->side.host) return;
    int64_t now_ns = weft__libev_now(self);
    if (self->side.deadline_ns <= now_ns) {
        weft__libev_turn(self);
    } else {
        /* it was set for an earlier request */
        weft__libev_alarm(self, self->side.deadline_ns, now_ns);
    }
}

/* Armed descriptors keep the host's loop alive by themselves, as any ev_io does. */
static void hold_loop(struct loop *self, bool holds)
{
    if (holds == self->side.holds_loop) return;

    self->side.holds_loop = holds;
    if (holds) {
        weft__ev.ref(self->native);
    } else {
        weft__ev.unref(self->native);
    }
}

static void on_soon(struct ev_loop *native, ev_timer *watch, int events)
{
    (void)native;
    (void)events;
    weft__libev_turn(watch->data);
}

/* Nothing is done with `self` afterwards: the turn may end the runtime. */
static void on_turn(struct ev_loop *native, ev_prepare *watch, int events)
{
    (void)native;
    (void)events;
    struct loop *self = watch->data;
    self->side.host->turn(self->side.host);
}
