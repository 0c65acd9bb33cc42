/* SPDX-License-Identifier: MIT */
/*
 * [C-1] This executable holds the backend that the build asked for: by its name, by the libraries
 * in the process, by what the loaded library says of itself, and by what it can do.
 */
#include <errno.h>

#include "conformance/capabilities.h"
#include "conformance/contract/fixture.h"

WEFT_TEST(c01, it_is_the_backend_that_was_asked_for)
{
    char fault[256];
    struct fixture fixture;
    CHECK_STR(weft__backend.name, WEFT_ASKED_BACKEND);
    if (!fixture_open(&fixture)) return;
    if (capabilities_find_fault(WEFT_ASKED_BACKEND, fault, sizeof fault)) CHECK_FAIL("%s", fault);
    /* Whoever asks for another one is told. */
    if (strcmp(WEFT_ASKED_BACKEND, "libuv") != 0) {
        CHECK(capabilities_find_fault("libuv", fault, sizeof fault));
    } else {
        CHECK(capabilities_find_fault("epoll", fault, sizeof fault));
    }
    fixture_close(&fixture);
}

WEFT_TEST(c01, facts_name_the_library_that_is_loaded_with_its_version)
{
    char library[256];
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    if (capabilities_library(WEFT_ASKED_BACKEND, library, sizeof library)) {
        CHECK_STR(weft__backend.facts().library, library);
    } else {
        CHECK(!capabilities_of(WEFT_ASKED_BACKEND)); /* from outside of the tree */
    }
    fixture_close(&fixture);
}

WEFT_TEST(c01, it_can_do_what_the_table_says_and_no_more)
{
    const struct capabilities *row = capabilities_of(WEFT_ASKED_BACKEND);
    struct fixture fixture;
    if (!fixture_open(&fixture)) return;
    bool has_loop = weft__backend.native(fixture.state) != NULL;
    int native_fd = weft__backend.native_fd(fixture.state);
    if (native_fd < 0) CHECK_EQ(native_fd, -ENOSYS);
    if (row) {
        CHECK_EQ(has_loop, row->has_native_loop);
        CHECK_EQ(native_fd >= 0, row->has_native_fd);
        CHECK_EQ(weft__backend.facts().tells_hangup, row->tells_hangup);
        CHECK_EQ(weft__backend.attach != NULL, row->can_attach);
    }
    fixture_close(&fixture);
}
