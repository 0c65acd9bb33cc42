/* SPDX-License-Identifier: MIT */
/*
 * An exception that is being handled goes along when its task changes workers. The C++ runtime
 * keeps it per thread, so the core has to take it there. A plain program that prints TAP.
 */
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include <weft/weft.h>

#include "tests/cxx/expect.h"

/* What the exception that is being handled says. */
static std::string handled()
{
    try {
        std::exception_ptr current = std::current_exception();
        if (!current) return "nothing";
        std::rethrow_exception(current);
    } catch (const std::exception &error) {
        return error.what();
    }
}

/* Until the task has left the worker that it was on; false if it never does. */
static bool move()
{
    unsigned before = weft_worker_index();
    int64_t limit = weft_now() + 10 * WEFT_SEC;
    while (weft_worker_index() == before && weft_now() < limit) {
        int64_t end = weft_now() + 20 * WEFT_USEC;
        while (weft_now() < end) {
        }
        (void)weft_yield();
    }
    return weft_worker_index() != before;
}

static int move_in_a_handler(void *)
{
    bool rethrown = false;
    try {
        try {
            throw std::runtime_error("goes along");
        } catch (const std::runtime_error &error) {
            EXPECT(move());
            EXPECT(handled() == "goes along");
            throw;
        }
    } catch (const std::runtime_error &error) {
        rethrown = std::strcmp(error.what(), "goes along") == 0;
    }
    EXPECT(rethrown);
    EXPECT(handles_nothing());
    return 0;
}

static bool is_over;

static int keep_busy(void *)
{
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        int64_t end = weft_now() + 20 * WEFT_USEC;
        while (weft_now() < end) {
        }
        (void)weft_yield();
    }
    return 0;
}

static int move_beside_another(void *)
{
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    weft_task busy, traveller;
    is_over = false;
    options.placement = WEFT_HERE;
    EXPECT(weft_spawn_with(&busy, &options, keep_busy, nullptr) == 0);
    options.placement = WEFT_MIGRATABLE;
    EXPECT(weft_spawn_with(&traveller, &options, move_in_a_handler, nullptr) == 0);
    EXPECT(weft_join(traveller, nullptr) == 0);
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    EXPECT(weft_join(busy, nullptr) == 0);
    EXPECT(handles_nothing());
    return 0;
}

int main()
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.flags = WEFT_NO_ENVIRONMENT;
    config.workers = 2;
    EXPECT(weft_run(&config, move_beside_another, nullptr) == 0);
    std::printf("1..1\n%s 1 - takes its exceptions to another worker\n",
                failures ? "not ok" : "ok");
    return failures > 0;
}
