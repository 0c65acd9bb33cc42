/* SPDX-License-Identifier: MIT */
/*
 * What the tests of C-16 and C-17 share: a backend inside a host's loop, and what its turns found.
 */
#ifndef WEFT_CONFORMANCE_CONTRACT_HOSTED_H
#define WEFT_CONFORMANCE_CONTRACT_HOSTED_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "conformance/contract/fixture.h"
#include "conformance/hosts/host.h"

struct hosted {
    struct weft_host hook;
    void *loop;
    struct fixture fixture; /* its state is attached, not opened */
    int turns;
    int64_t turned_ns; /* the latest turn, on the backend's clock */
    int64_t next_ns;   /* what each turn asks for; INT64_MAX at first */
    int found;         /* events of all turns */
    uint64_t token;    /* of the latest event */
    int drained_fd;    /* emptied in each turn; -1: none */
    bool in_turn;
    bool in_call; /* in a function of the backend */
};

static inline void hosted_turn(struct weft_host *hook)
{
    struct hosted *self = container_of(hook, struct hosted, hook);
    CHECK(!self->in_turn && !self->in_call);
    self->in_turn = true;
    self->turns++;
    self->turned_ns = weft__backend.now_ns(self->fixture.state);
    int count = fixture_poll(&self->fixture, 0);
    if (count > 0) {
        self->found += count;
        self->token = self->fixture.events[count - 1].token;
    }
    if (self->drained_fd >= 0) (void)harness_drain(self->drained_fd);
    weft__backend.schedule(self->fixture.state, self->next_ns);
    self->in_turn = false;
}

/* False also for a backend that lives in no host's loop: it has neither function, but a descriptor
 * or the honest answer that it has none. */
static inline __attribute__((unused)) bool hosted_open(struct hosted *self, void *loop)
{
    *self = (struct hosted){
        .hook = {.turn = hosted_turn}, .loop = loop, .next_ns = INT64_MAX, .drained_fd = -1};
    if (!weft__backend.attach) {
        CHECK(!weft__backend.schedule);
        if (!fixture_open(&self->fixture)) return false;
        CHECK_PTR(weft__backend.native(self->fixture.state), NULL);
        int fd = weft__backend.native_fd(self->fixture.state);
        CHECK(fd >= 0 || fd == -ENOSYS);
        fixture_close(&self->fixture);
        return false;
    }
    CHECK_OR_RETURN(weft__backend.schedule, false);
    self->fixture.state = calloc(1, weft__backend.state_size);
    CHECK_OR_RETURN(self->fixture.state, false);
    if (CHECK_EQ(weft__backend.attach(self->fixture.state, loop, &self->hook), 0)) return true;
    free(self->fixture.state);
    self->fixture.state = NULL;
    return false;
}

static inline __attribute__((unused)) void hosted_close(struct hosted *self)
{
    fixture_close(&self->fixture);
}

static inline __attribute__((unused)) void hosted_schedule(struct hosted *self, int64_t deadline_ns)
{
    self->in_call = true;
    weft__backend.schedule(self->fixture.state, deadline_ns);
    self->in_call = false;
}

static inline __attribute__((unused)) int64_t hosted_now(const struct hosted *self)
{
    return weft__backend.now_ns(self->fixture.state);
}

static inline void hosted_stop(void *loop)
{
    host_adapter.stop(loop);
}

/* Turns the loop for `delay_ms`, whatever keeps it alive besides. */
static inline __attribute__((unused)) void hosted_run_for(void *loop, int delay_ms)
{
    CHECK(host_adapter.timer_start(loop, delay_ms, hosted_stop, loop));
    host_adapter.run(loop);
}

#endif
