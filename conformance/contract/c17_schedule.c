/* SPDX-License-Identifier: MIT */
/* [C-17] schedule(): a turn at a deadline, never earlier; and who keeps the host's loop alive. */
#include "conformance/contract/hosted.h"

/* Turns the loop until the next turn of ours; the loop's end is one of the ways out. */
static void run_until_turn(struct hosted *hosted)
{
    int turns = hosted->turns;
    for (int passes = 0; hosted->turns == turns && passes < 100; passes++) {
        host_adapter.run_once(hosted->loop);
    }
    CHECK_EQ(hosted->turns, turns + 1);
}

WEFT_TEST(c17, the_turn_comes_at_the_deadline_and_once)
{
    static const int64_t delays_ns[] = {
        50 * NS_PER_US, 300 * NS_PER_US, NS_PER_MS, 1500 * NS_PER_US, 20 * NS_PER_MS};
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        for (size_t i = 0; i < sizeof delays_ns / sizeof *delays_ns; i++) {
            int64_t deadline_ns = hosted_now(&hosted) + delays_ns[i];
            hosted_schedule(&hosted, deadline_ns);
            run_until_turn(&hosted);
            CHECK_WITHIN(hosted.turned_ns, deadline_ns, deadline_ns + harness_slack_ns());
        }
        int turns = hosted.turns;
        hosted_run_for(loop, 30);
        CHECK_EQ(hosted.turns, turns);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c17, what_is_past_is_due_in_the_next_pass)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        for (int i = 1; i <= 3; i++) {
            hosted_schedule(&hosted, i == 1 ? 0 : hosted_now(&hosted) - i);
            CHECK_EQ(hosted.turns, i - 1);
            host_adapter.run_nowait(loop);
            CHECK_EQ(hosted.turns, i);
            host_adapter.run_nowait(loop);
            CHECK_EQ(hosted.turns, i);
        }
        /* that pass does not sleep, though it may */
        hosted_schedule(&hosted, 0);
        int64_t start_ns = harness_now_ns();
        host_adapter.run_once(loop);
        CHECK_EQ(hosted.turns, 4);
        CHECK_WITHIN(harness_now_ns() - start_ns, 0, harness_slack_ns());
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c17, a_later_request_replaces_an_earlier_one)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int64_t start_ns = hosted_now(&hosted);
        hosted_schedule(&hosted, start_ns + 5 * NS_PER_MS);
        hosted_schedule(&hosted, start_ns + 25 * NS_PER_MS); /* later */
        run_until_turn(&hosted);
        CHECK(hosted.turned_ns >= start_ns + 25 * NS_PER_MS);

        start_ns = hosted_now(&hosted);
        hosted_schedule(&hosted, start_ns + 5 * NS_PER_SEC);
        hosted_schedule(&hosted, start_ns + 5 * NS_PER_MS); /* earlier */
        run_until_turn(&hosted);
        CHECK_WITHIN(
            hosted.turned_ns - start_ns, 5 * NS_PER_MS, 5 * NS_PER_MS + harness_slack_ns());

        hosted_schedule(&hosted, hosted_now(&hosted) + 5 * NS_PER_MS);
        hosted_schedule(&hosted, INT64_MAX); /* never */
        int turns = hosted.turns;
        hosted_run_for(loop, 20);
        CHECK_EQ(hosted.turns, turns);
        hosted_schedule(&hosted, 0);
        hosted_schedule(&hosted, INT64_MAX);
        hosted_run_for(loop, 20);
        CHECK_EQ(hosted.turns, turns);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

/* An earlier alarm that is still armed wakes the loop at most, and gives no turn. */
WEFT_TEST(c17, a_deadline_that_moves_on_is_kept)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int64_t deadline_ns = 0;
        for (int i = 0; i < 20; i++) {
            deadline_ns = hosted_now(&hosted) + 10 * NS_PER_MS * harness_pace();
            hosted_schedule(&hosted, deadline_ns);
            host_adapter.run_nowait(loop);
            if (hosted_now(&hosted) >= deadline_ns) hosted.turns = 0; /* too slow a machine */
            CHECK_EQ(hosted.turns, 0);
            harness_sleep_ms(2);
        }
        run_until_turn(&hosted);
        CHECK(hosted.turned_ns >= deadline_ns);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

static void note(void *arg)
{
    ++*(int *)arg;
}

WEFT_TEST(c17, always_due_starves_no_timer_of_the_host)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int fired = 0;
        hosted.next_ns = 0;
        hosted_schedule(&hosted, 0);
        CHECK(host_adapter.timer_start(loop, 10, note, &fired));
        hosted_run_for(loop, 40 * harness_pace());
        CHECK_EQ(fired, 1);
        CHECK(hosted.turns > 10);
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}

WEFT_TEST(c17, a_deadline_keeps_the_loop_alive)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    if (hosted_open(&hosted, loop)) {
        int64_t deadline_ns = hosted_now(&hosted) + 20 * NS_PER_MS;
        hosted_schedule(&hosted, deadline_ns);
        host_adapter.run(loop);
        CHECK_EQ(hosted.turns, 1);
        CHECK(hosted_now(&hosted) >= deadline_ns);

        hosted_schedule(&hosted, 0);
        host_adapter.run(loop);
        CHECK_EQ(hosted.turns, 2);
        hosted_schedule(&hosted, hosted_now(&hosted) + 5 * NS_PER_SEC);
        hosted_schedule(&hosted, INT64_MAX);
        host_adapter.run(loop); /* nothing to do any more */
        CHECK(hosted_now(&hosted) < deadline_ns + NS_PER_SEC);
        hosted_schedule(&hosted, hosted_now(&hosted) + 5 * NS_PER_SEC);
        hosted_close(&hosted);
        host_adapter.run(loop);
    }
    CHECK(host_adapter.close(loop));
}

struct asked {
    struct hosted *hosted;
    int64_t deadline_ns;
};

static void schedule_soon(void *arg)
{
    struct asked *asked = arg;
    asked->deadline_ns = hosted_now(asked->hosted) + 5 * NS_PER_MS;
    hosted_schedule(asked->hosted, asked->deadline_ns);
}

WEFT_TEST(c17, asked_for_in_a_callback_of_the_host)
{
    void *loop = host_adapter.open();
    struct hosted hosted;
    struct asked asked = {.hosted = &hosted};
    if (hosted_open(&hosted, loop)) {
        CHECK(host_adapter.timer_start(loop, 10, schedule_soon, &asked));
        host_adapter.run(loop);
        CHECK_EQ(hosted.turns, 1);
        CHECK_WITHIN(hosted.turned_ns, asked.deadline_ns, asked.deadline_ns + harness_slack_ns());
        hosted_close(&hosted);
    }
    CHECK(host_adapter.close(loop));
}
