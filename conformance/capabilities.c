/* SPDX-License-Identifier: MIT */
/* What backends differ in, and the facts by which a process shows its loop: no test of its own. */
#include "conformance/capabilities.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <weft/runtime.h>

/* What the folder of a backend from outside of the tree admits, as initialisers. */
#ifndef WEFT_OUTSIDE_CAPABILITIES
#define WEFT_OUTSIDE_CAPABILITIES
#endif

static void libuv_version(void *library, char *ret_text, size_t size);
static void libev_version(void *library, char *ret_text, size_t size);
static void libevent_version(void *library, char *ret_text, size_t size);

static const struct capabilities table[] = {
    {.backend = "epoll", .has_native_fd = true, .tells_hangup = true},
    {.backend = "libuv",
     .library = "libuv.so",
     .version = libuv_version,
     .has_native_loop = true,
     .has_native_fd = true,
     .can_attach = true},
    {.backend = "libev",
     .library = "libev.so",
     .version = libev_version,
     .has_native_loop = true,
     .can_attach = true},
    {.backend = "libevent",
     .library = "libevent_core-",
     .version = libevent_version,
     .has_native_loop = true,
     .can_attach = true},
    {.backend = "poll", .tells_hangup = true, .poll_is_linear = true, .needs_no_epoll = true},
    {.backend = "fake", .has_native_fd = true, .tells_hangup = true, .poll_is_linear = true},
};

#define ROWS (sizeof table / sizeof *table)

const struct capabilities *capabilities(void)
{
    static const struct capabilities unknown = {.backend = "", WEFT_OUTSIDE_CAPABILITIES};
    const struct capabilities *row = capabilities_of(weft_backend_name());
    return row ? row : &unknown;
}

const struct capabilities *capabilities_of(const char *backend)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(table[i].backend, backend) == 0) return &table[i];
    }
    return NULL;
}

bool capabilities_is_mapped(const char *file, char *ret_path, size_t size)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return false;
    bool found = false;
    char line[512];
    while (!found && fgets(line, sizeof line, maps)) {
        line[strcspn(line, "\n")] = '\0';
        char *path = strchr(line, '/');
        if (!path || strncmp(strrchr(path, '/') + 1, file, strlen(file)) != 0) continue;
        found = true;
        if (ret_path) (void)snprintf(ret_path, size, "%s", path);
    }
    (void)fclose(maps);
    return found;
}

bool capabilities_find_fault(const char *backend, char *ret_text, size_t size)
{
    const struct capabilities *own = capabilities_of(backend);
    if (!own) return false;
    for (size_t i = 0; i < ROWS; i++) {
        const char *library = table[i].library;
        if (!library) continue;
        bool is_own = own->library && strcmp(own->library, library) == 0;
        if (capabilities_is_mapped(library, NULL, 0) == is_own) continue;
        (void)snprintf(ret_text,
                       size,
                       "on %s, but %s is %s this process",
                       backend,
                       library,
                       is_own ? "not in" : "in");
        return true;
    }
    return false;
}

bool capabilities_library(const char *backend, char *ret_text, size_t size)
{
    const struct capabilities *own = capabilities_of(backend);
    if (!own) return false;
    if (!own->library) {
        (void)snprintf(ret_text, size, "Linux");
        return true;
    }
    char path[512];
    char version[64] = "";
    if (!capabilities_is_mapped(own->library, path, sizeof path)) return false;
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD); /* what is here, nothing new */
    if (!library) return false;
    own->version(library, version, sizeof version);
    (void)dlclose(library);
    (void)snprintf(ret_text, size, "%s %s", backend, version);
    return version[0] != '\0';
}

/* ISO C does not turn an object pointer into a function's; POSIX says how. */
#define FIND(function, library, name) (*(void **)&(function) = dlsym((library), (name)))

static void libuv_version(void *library, char *ret_text, size_t size)
{
    const char *(*version)(void);
    if (FIND(version, library, "uv_version_string")) {
        (void)snprintf(ret_text, size, "%s", version());
    }
}

static void libev_version(void *library, char *ret_text, size_t size)
{
    int (*major)(void);
    int (*minor)(void);
    if (FIND(major, library, "ev_version_major") && FIND(minor, library, "ev_version_minor")) {
        (void)snprintf(ret_text, size, "%d.%d", major(), minor());
    }
}

static void libevent_version(void *library, char *ret_text, size_t size)
{
    const char *(*version)(void);
    if (FIND(version, library, "event_get_version")) {
        (void)snprintf(ret_text, size, "%s", version());
    }
}
