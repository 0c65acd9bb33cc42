/* SPDX-License-Identifier: MIT */
/* One opened backend and what its last poll reported; no test of its own. */
#include "conformance/contract/fixture.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUIET_NS        (60 * NS_PER_MS)
#define QUIET_POLLS_MAX 8

bool fixture_open(struct fixture *fixture)
{
    *fixture = (struct fixture){.state = calloc(1, weft__backend.state_size)};
    CHECK_OR_RETURN(fixture->state, false);
    if (CHECK_EQ(weft__backend.open(fixture->state), 0)) return true;

    free(fixture->state);
    fixture->state = NULL;
    return false;
}

void fixture_close(struct fixture *fixture)
{
    if (!fixture->state) return;
    weft__backend.close(fixture->state);
    free(fixture->state);
    fixture->state = NULL;
}

void fixture_arm(struct fixture *fixture, int fd, unsigned interest, uint64_t token)
{
    CHECK_EQ(weft__backend.arm(fixture->state, fd, interest, token), 0);
}

void fixture_disarm(struct fixture *fixture, int fd)
{
    weft__backend.disarm(fixture->state, fd);
}

int fixture_poll(struct fixture *fixture, int64_t timeout_ns)
{
    int count = weft__backend.poll(fixture->state, timeout_ns, fixture->events, FIXTURE_EVENTS);
    fixture->event_count = 0;
    if (!CHECK_WITHIN(count, 0, FIXTURE_EVENTS)) return count;

    fixture->event_count = count;
    for (int i = 0; i < count; i++) {
        unsigned found = fixture->events[i].found;
        CHECK(found != 0 && (found & ~(unsigned)HANGUP) == 0);
        if (found & WEFT_IO_HANGUP) CHECK_EQ(found, HANGUP);
        for (int j = 0; j < i; j++) {
            CHECK(fixture->events[i].token != fixture->events[j].token);
        }
    }
    return count;
}

unsigned fixture_found(const struct fixture *fixture, uint64_t token)
{
    for (int i = 0; i < fixture->event_count; i++) {
        if (fixture->events[i].token == token) return fixture->events[i].found;
    }
    return 0;
}

unsigned fixture_wait(struct fixture *fixture, uint64_t token)
{
    int64_t limit = harness_now_ns() + NS_PER_SEC;
    while (harness_now_ns() < limit) {
        if (fixture_poll(fixture, 100 * NS_PER_MS) != 0) break;
    }
    return fixture_found(fixture, token);
}

/* How often this thread has gone to sleep. A loop that spins never does, also where a busy machine
 * gives it too little processor time to be seen. */
static long sleep_count(void)
{
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

/* What it took to wait for QUIET_NS. */
struct effort {
    int polls;
    long sleeps;
    int64_t cpu_ns;
};

/* Records a failure and gives false if something was reported. */
static bool wait_quietly(struct fixture *fixture, const char *file, int line, struct effort *ret)
{
    int64_t start = harness_now_ns();
    *ret = (struct effort){.sleeps = -sleep_count(), .cpu_ns = -harness_thread_cpu_ns()};
    for (int64_t passed = 0; passed < QUIET_NS; passed = harness_now_ns() - start) {
        ret->polls++;
        if (fixture_poll(fixture, QUIET_NS - passed) == 0) continue;

        harness_fail(file,
                     line,
                     "not quiet: token %llu found %#x",
                     (unsigned long long)fixture->events[0].token,
                     fixture->events[0].found);
        return false;
    }
    ret->cpu_ns += harness_thread_cpu_ns();
    ret->sleeps += sleep_count();
    return true;
}

void fixture_check_quiet(struct fixture *fixture, const char *file, int line)
{
    struct effort effort = {0};
    for (int i = 0; i < harness_pace(); i++) { /* a tool is slow at what it meets first */
        if (!wait_quietly(fixture, file, line, &effort)) return;
        if (effort.polls <= QUIET_POLLS_MAX && effort.cpu_ns <= QUIET_NS / 4 && effort.sleeps > 0) {
            return;
        }
    }
    harness_fail(file,
                 line,
                 "%d polls, %ld sleeps, %lld us of CPU",
                 effort.polls,
                 effort.sleeps,
                 (long long)(effort.cpu_ns / NS_PER_US));
}

void fixture_put(int fd, size_t size)
{
    static const char bytes[4096];
    CHECK_EQ(write(fd, bytes, size), size);
}
