/* SPDX-License-Identifier: MIT */
/*
 * What the tests of host mode share: a host's loop with a runtime in it.
 *
 * A backend that can live in no loop at all, or only in its own kind, says so: -ENOTSUP, exactly
 * where the table of capabilities has no entry.
 */
#ifndef WEFT_CONFORMANCE_RUNTIME_EMB_SUPPORT_H
#define WEFT_CONFORMANCE_RUNTIME_EMB_SUPPORT_H

#include "conformance/capabilities.h"
#include "conformance/hosts/host.h"
#include "conformance/runtime/support.h"

struct emb {
    void *loop;
    struct weft_runtime *runtime;
};

/* After weft_attach() gave `result`: may the test go on? */
static inline bool emb_is_able(int result, bool is_expected)
{
    if (result != -ENOTSUP) return CHECK_EQ(result, 0);
    CHECK(!is_expected);
    return false;
}

/* As above, through the host's adapter. */
static inline __attribute__((unused)) bool emb_attach(void *loop,
                                                      struct weft_runtime **ret,
                                                      const struct weft_config *config)
{
    bool is_expected = capabilities()->can_attach || capabilities()->has_native_fd;
    return emb_is_able(host_adapter.attach(loop, ret, config), is_expected);
}

static inline __attribute__((unused)) bool emb_open_with(struct emb *emb,
                                                         const struct weft_config *config)
{
    *emb = (struct emb){.loop = host_adapter.open()};
    CHECK_OR_RETURN(emb->loop, false);
    if (emb_attach(emb->loop, &emb->runtime, config)) return true;
    CHECK(host_adapter.close(emb->loop));
    return false;
}

static inline __attribute__((unused)) bool emb_open(struct emb *emb)
{
    return emb_open_with(emb, NULL);
}

static inline __attribute__((unused)) void emb_close(struct emb *emb)
{
    CHECK_EQ(host_adapter.detach(emb->loop, emb->runtime), 0);
    CHECK(host_adapter.close(emb->loop));
}

static inline __attribute__((unused)) void emb_spawn(struct emb *emb, weft_fn fn, void *arg)
{
    CHECK_EQ(weft_runtime_spawn(emb->runtime, NULL, NULL, fn, arg), 0);
}

static inline __attribute__((unused)) void emb_run(struct emb *emb)
{
    host_adapter.run(emb->loop);
}

/* A callback of the host that stops its loop. */
static inline __attribute__((unused)) void emb_stop(void *arg)
{
    host_adapter.stop(((struct emb *)arg)->loop);
}

/* Turns the loop for `delay_ms`, whatever keeps it alive besides. */
static inline __attribute__((unused)) void emb_run_for(struct emb *emb, int delay_ms)
{
    CHECK(host_adapter.timer_start(emb->loop, delay_ms, emb_stop, emb));
    host_adapter.run(emb->loop);
}

#endif
