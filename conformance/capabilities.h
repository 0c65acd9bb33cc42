/* SPDX-License-Identifier: MIT */
/*
 * The one table of what backends truly cannot do alike. A test asks here, never for a name, and
 * asserts both sides; a backend that is not listed can do everything.
 */
#ifndef WEFT_CONFORMANCE_CAPABILITIES_H
#define WEFT_CONFORMANCE_CAPABILITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <weft/runtime.h>

struct capabilities {
    const char *backend;
    bool poll_is_linear; /* each armed descriptor makes every poll dearer (FD-39) */
    bool needs_no_epoll; /* the kernel's limit of watches does not concern it (LIM-04) */
};

static inline const struct capabilities *capabilities(void)
{
    static const struct capabilities exceptions[] = {
        {"poll", .poll_is_linear = true, .needs_no_epoll = true},
        {"fake", .poll_is_linear = true},
    };
    static const struct capabilities everything = {.backend = ""};

    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        if (strcmp(exceptions[i].backend, weft_backend_name()) == 0) return &exceptions[i];
    }
    return &everything;
}

#endif
