/* SPDX-License-Identifier: MIT */
/*
 * The one table of what backends truly differ in, and by which facts a process shows the loop that
 * it runs on. The suite asserts both sides of every column.
 */
#ifndef WEFT_CONFORMANCE_CAPABILITIES_H
#define WEFT_CONFORMANCE_CAPABILITIES_H

#include <stdbool.h>
#include <stddef.h>

struct capabilities {
    const char *backend; /* as in backends/list.txt */
    const char *library; /* how its file's name begins; NULL: the kernel is all it needs */
    /* What the loaded library itself calls its version. */
    void (*version)(void *library, char *ret_text, size_t size);
    bool has_native_loop; /* weft_native_loop() is not NULL */
    bool has_native_fd;   /* weft_native_fd() is a descriptor, not -ENOSYS */
    bool tells_hangup;    /* facts.tells_hangup */
    bool can_attach;      /* lives in a host's loop, by weft_attach() */
    bool poll_is_linear;  /* each armed descriptor makes every poll dearer (FD-39) */
    bool needs_no_epoll;  /* the kernel's limit of watches does not concern it (LIM-04) */
};

/* The row of the backend that this process runs on. One from outside of the tree is taken to be as
 * good as any, but for the last columns that its capabilities.txt names. A test asks here, never
 * for a name. */
const struct capabilities *capabilities(void);

/* The row of a backend; NULL for one from outside of the tree, of which nothing is known. */
const struct capabilities *capabilities_of(const char *backend);

/* Is a file mapped into this process whose name begins so? ret_path: where it lies; may be NULL. */
bool capabilities_is_mapped(const char *file, char *ret_path, size_t size);

/*
 * Writes why this process does not run on the loop that `backend` stands for, and on no other:
 * libraries are missing or too many. False (and nothing is written) if all is well.
 */
bool capabilities_find_fault(const char *backend, char *ret_text, size_t size);

/* Writes what facts.library must say: "libuv 1.44.2", or "Linux". False: the row is not known, or
 * its library does not tell. */
bool capabilities_library(const char *backend, char *ret_text, size_t size);

#endif
