/* SPDX-License-Identifier: MIT */
/* [C-16] attach(): inside a host's loop, which turns as before, and is left as it was. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "conformance/contract/hosted.h"

WEFT_TEST(c16, nothing_found_is_no_turn)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int fds[2];
        harness_pipe(fds);
        fixture_arm(&hosted.fixture, fds[0], READ, 1);
        int64_t cpu_ns = harness_thread_cpu_ns();
        hosted_run_for(loop, 60);
        CHECK_WITHIN(harness_thread_cpu_ns() - cpu_ns, 0, 15 * NS_PER_MS * harness_pace());
        CHECK_EQ(hosted.turns, 0);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c16, what_is_ready_gives_turns_until_it_is_not)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int fds[2];
        harness_pipe(fds);
        fixture_arm(&hosted.fixture, fds[0], READ, 7);
        fixture_put(fds[1], 1);
        CHECK_EQ(hosted.turns, 0); /* not from within a call */
        for (int i = 1; i <= 5; i++) {
            host_adapter.run_once(loop);
            CHECK_EQ(hosted.turns, i); /* level-triggered, and at most once in a pass */
            CHECK_EQ(hosted.found, i);
            CHECK_EQ(hosted.token, 7);
        }
        hosted.drained_fd = fds[0];
        host_adapter.run_once(loop);
        hosted_run_for(loop, 30);
        CHECK_EQ(hosted.turns, 6);
        fixture_disarm(&hosted.fixture, fds[0]);
        fixture_put(fds[1], 1);
        hosted_run_for(loop, 30);
        CHECK_EQ(hosted.turns, 6);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c16, all_that_is_found_in_a_pass_is_one_turn)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        for (uint64_t i = 0; i < 20; i++) {
            int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
            fixture_arm(&hosted.fixture, fd, READ, i);
        }
        weft__backend.wake(hosted.fixture.state);
        hosted_schedule(&hosted, 0);
        host_adapter.run_nowait(loop);
        CHECK_EQ(hosted.turns, 1);
        CHECK_EQ(hosted.found, 20);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

struct waker {
    struct hosted *hosted;
    int64_t woken_ns;
};

static void *wake_later(void *arg)
{
    struct waker *waker = arg;
    harness_sleep_ms(20);
    waker->woken_ns = harness_now_ns();
    for (int i = 0; i < 100; i++)
        weft__backend.wake(waker->hosted->fixture.state);
    return NULL;
}

WEFT_TEST(c16, a_wake_up_gives_a_turn)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        weft__backend.wake(hosted.fixture.state);
        host_adapter.run_nowait(loop);
        CHECK_EQ(hosted.turns, 1);
        host_adapter.run_nowait(loop);
        CHECK_EQ(hosted.turns, 1);

        pthread_t thread;
        struct waker waker = {.hosted = &hosted};
        CHECK_EQ(pthread_create(&thread, NULL, wake_later, &waker), 0);
        for (int i = 0; i < 500 && hosted.turns == 1; i++)
            hosted_run_for(loop, 20);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_WITHIN(hosted.turns, 2, 101);
        CHECK_WITHIN(hosted.turned_ns - waker.woken_ns, 0, harness_slack_ns() + 20 * NS_PER_MS);
        CHECK_EQ(hosted.found, 0);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

/* The host's own timers and watches, which poll() in a turn must not run. */
struct own {
    struct hosted *hosted;
    void *loop;
    int fds[2];
    int fired;
    int heard;
    struct host_watch *watch;
};

static void on_timer(void *arg)
{
    struct own *own = arg;
    CHECK(!own->hosted->in_turn);
    own->fired++;
    fixture_put(own->fds[1], 1);
}

static void on_readable(void *arg)
{
    struct own *own = arg;
    CHECK(!own->hosted->in_turn);
    own->heard++;
    (void)harness_drain(own->fds[0]);
}

WEFT_TEST(c16, the_hosts_own_callbacks_run_as_before_and_outside_of_turns)
{
    struct hosted hosted;
    struct own own = {.hosted = &hosted, .loop = host_adapter.open()};
    harness_pipe(own.fds);
    own.watch = host_adapter.watch_start(own.loop, own.fds[0], on_readable, &own);
    bool is_attached = hosted_open(&hosted, own.loop);
    if (is_attached) {
        /* busy from the first to the last pass */
        int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        fixture_arm(&hosted.fixture, fd, READ, 1);
        hosted.next_ns = 0;
    }
    for (int i = 0; i < 5; i++) {
        CHECK(host_adapter.timer_start(own.loop, 5 + i, on_timer, &own));
    }
    hosted_run_for(own.loop, 50 * harness_pace());
    CHECK_EQ(own.fired, 5);
    CHECK_WITHIN(own.heard, 1, 5);
    host_adapter.watch_stop(own.watch);
    if (is_attached) {
        CHECK(hosted.turns > 5);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(own.loop));
}

static void close_now(void *arg)
{
    hosted_close(arg);
}

WEFT_TEST(c16, after_a_close_in_a_callback_nothing_is_called)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    for (int i = 0; i < 3 && hosted_open(&hosted, loop); i++) {
        int fds[2];
        harness_pipe(fds);
        fixture_arm(&hosted.fixture, fds[0], READ, 1);
        CHECK(host_adapter.timer_start(loop, 5, close_now, &hosted));
        hosted_schedule(&hosted, hosted_now(&hosted) + 6 * NS_PER_MS);
        hosted_run_for(loop, 10);
        CHECK_WITHIN(hosted.turns, 0, 1);
        int turns = hosted.turns;
        fixture_put(fds[1], 1);
        hosted_run_for(loop, 20);
        CHECK_EQ(hosted.turns, turns);
        CHECK_PTR(hosted.fixture.state, NULL);
    }
    CHECK(host_adapter.close(loop));
}

static void close_on_readable(void *arg)
{
    struct own *own = arg;
    own->heard = own->hosted->turns;
    hosted_close(own->hosted);
    host_adapter.watch_stop(own->watch);
}

/* What was recorded in this very pass is forgotten. */
WEFT_TEST(c16, closed_in_a_pass_that_has_found_something)
{
    struct hosted hosted;
    struct own own = {.hosted = &hosted, .loop = host_adapter.open()};
    harness_pipe(own.fds);
    int duplicate = dup(own.fds[0]);
    own.watch = host_adapter.watch_start(own.loop, own.fds[0], close_on_readable, &own);
    if (hosted_open(&hosted, own.loop)) {
        fixture_arm(&hosted.fixture, duplicate, READ, 1);
        hosted_schedule(&hosted, 0);
        weft__backend.wake(hosted.fixture.state);
        fixture_put(own.fds[1], 1);
        hosted_run_for(own.loop, 20);
        CHECK_EQ(hosted.turns, own.heard);
    } else {
        host_adapter.watch_stop(own.watch);
    }
    CHECK(host_adapter.close(own.loop));
}

WEFT_TEST(c16, attached_again_it_starts_anew)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    int fds[2];
    harness_pipe(fds);
    fixture_put(fds[1], 1);
    int fd_count = 0;
    for (int i = 0; i < 10 && hosted_open(&hosted, loop); i++) {
        host_adapter.run_nowait(loop);
        CHECK_EQ(hosted.turns, 0); /* armed before, but not by this one */
        fixture_arm(&hosted.fixture, fds[0], READ, (uint64_t)i);
        hosted_schedule(&hosted, hosted_now(&hosted) + NS_PER_SEC);
        host_adapter.run_once(loop);
        CHECK_EQ(hosted.token, i);
        hosted_close(&hosted);
        host_adapter.run_nowait(loop); /* some loops free their handles then */
        if (i == 0) fd_count = harness_fd_count();
        CHECK_EQ(harness_fd_count(), fd_count);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c16, two_in_one_loop_do_not_know_each_other)
{
    void *loop = host_adapter.open();
    struct hosted one, other;
    if (hosted_open(&one, loop) && hosted_open(&other, loop)) {
        int fds[2], others[2];
        harness_pipe(fds);
        harness_pipe(others);
        fixture_arm(&one.fixture, fds[0], READ, 1);
        fixture_arm(&other.fixture, others[0], READ, 2);
        fixture_put(fds[1], 1);
        host_adapter.run_once(loop);
        CHECK_EQ(one.found, 1);
        CHECK_EQ(other.turns, 0);
        weft__backend.wake(other.fixture.state);
        host_adapter.run_nowait(loop);
        CHECK_EQ(other.turns, 1);
        CHECK_EQ(one.found, 2);

        hosted_close(&one);
        fixture_put(others[1], 1);
        hosted_schedule(&other, hosted_now(&other) + NS_PER_SEC);
        host_adapter.run_once(loop);
        CHECK_EQ(other.token, 2);
        hosted_close(&other);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c16, the_native_loop_is_the_hosts)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        CHECK_PTR(weft__backend.native(hosted.fixture.state), loop);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c16, being_attached_keeps_no_loop_alive)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int64_t start_ns = harness_now_ns();
        host_adapter.run(loop);
        CHECK_WITHIN(harness_now_ns() - start_ns, 0, harness_slack_ns());

        int fds[2];
        harness_pipe(fds);
        fixture_arm(&hosted.fixture, fds[0], READ, 1);
        fixture_disarm(&hosted.fixture, fds[0]);
        host_adapter.run(loop);
        CHECK_WITHIN(harness_now_ns() - start_ns, 0, harness_slack_ns());
        CHECK_EQ(hosted.turns, 0);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

static void disarm_later(void *arg)
{
    struct own *own = arg;
    own->fired++;
    fixture_disarm(&own->hosted->fixture, own->fds[0]);
}

static void put_later(void *arg)
{
    struct own *own = arg;
    fixture_put(own->fds[1], 1);
    CHECK(host_adapter.timer_start(own->loop, 10 * harness_pace(), disarm_later, own));
}

WEFT_TEST(c16, what_is_armed_keeps_the_loop_alive)
{
    struct hosted hosted;
    struct own own = {.hosted = &hosted, .loop = host_adapter.open()};
    harness_pipe(own.fds);
    if (hosted_open(&hosted, own.loop)) {
        fixture_arm(&hosted.fixture, own.fds[0], READ, 1);
        CHECK(host_adapter.timer_start(own.loop, 10, put_later, &own));
        hosted.drained_fd = own.fds[0];
        host_adapter.run(own.loop); /* until it is disarmed */
        CHECK_EQ(own.fired, 1);
        CHECK_EQ(hosted.found, 1);

        fixture_arm(&hosted.fixture, own.fds[0], READ, 1);
        host_adapter.run_nowait(own.loop);
        hosted_close(&hosted);
        host_adapter.run(own.loop); /* closed with something armed: nothing is left of it */
    }
    CHECK(host_adapter.close(own.loop));
}
