/* SPDX-License-Identifier: MIT */
/*
 * Opens libev, and hears of its errors.
 *
 * Invariant: the table is complete if `is_open`. The library is never closed again.
 */
#include "backends/libev/library.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY_FILE "libev.so.4"

struct library weft__ev;

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all but the errors */
static bool is_open;
static char name[32];
static _Thread_local int pass_error;

static int open_locked(void);
static int why_not(void);
static bool functions_find(void *library);
static void on_error(const char *message);

int weft__libev_open(void)
{
    pthread_mutex_lock(&library_lock);
    int result = is_open ? 0 : open_locked();
    pthread_mutex_unlock(&library_lock);
    return result;
}

const char *weft__libev_name(void)
{
    return weft__libev_open() == 0 ? name : "libev (not found)";
}

int weft__libev_error(void)
{
    int result = -pass_error;
    pass_error = 0;
    return result;
}

static int open_locked(void)
{
    bool is_used_by_others = dlopen(LIBRARY_FILE, RTLD_NOW | RTLD_NOLOAD);
    void *library = dlopen(LIBRARY_FILE, RTLD_NOW | RTLD_LOCAL);
    if (!library) return why_not();
    if (!functions_find(library) || weft__ev.version_major() != EV_VERSION_MAJOR) {
        dlclose(library);
        return -ELIBACC;
    }

    /* Without a callback libev prints and ends the process. There is one for the process, and it
     * cannot be asked for: who loaded the library before us may have set it, and keeps it. */
    if (!is_used_by_others) weft__ev.set_syserr_cb(on_error);
    (void)snprintf(
        name, sizeof name, "libev %d.%d", weft__ev.version_major(), weft__ev.version_minor());
    is_open = true;
    return 0;
}

/* dlopen() does not tell the lack of a descriptor from that of the file. */
static int why_not(void)
{
    int spare_fd = open("/", O_PATH | O_CLOEXEC);
    if (spare_fd < 0 && (errno == EMFILE || errno == ENFILE)) return -errno;
    if (spare_fd >= 0) close(spare_fd);
    return -ELIBACC;
}

static bool functions_find(void *library)
{
#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "ev_" #name, offsetof(struct library, name)                                                \
    }
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
        FUNCTION(version_major),
        FUNCTION(version_minor),
        FUNCTION(set_syserr_cb),
        FUNCTION(loop_new),
        FUNCTION(loop_destroy),
        FUNCTION(run),
        FUNCTION(ref),
        FUNCTION(unref),
        FUNCTION(feed_event),
        FUNCTION(clear_pending),
        FUNCTION(io_start),
        FUNCTION(io_stop),
        FUNCTION(timer_start),
        FUNCTION(timer_stop),
        FUNCTION(prepare_start),
        FUNCTION(prepare_stop),
        FUNCTION(fork_start),
        FUNCTION(fork_stop),
    };
#undef FUNCTION

    static_assert(sizeof functions / sizeof *functions == sizeof(struct library) / sizeof(void *),
                  "each member is looked for");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (!symbol) return false;
        memcpy((char *)&weft__ev + functions[i].offset, &symbol, sizeof symbol);
    }
    return true;
}

static void on_error(const char *message)
{
    (void)message;
    pass_error = errno;
}
