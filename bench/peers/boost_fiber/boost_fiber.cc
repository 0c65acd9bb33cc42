/* SPDX-License-Identifier: MIT */
/*
 * The questions of bench/, answered by boost.fiber with its own channels. A buffered one holds one
 * value less than it is made for, and is made for powers of two.
 *
 * usage: boost_fiber list; or QUESTION [-n COUNT] [-w WARM_COUNT] [PARAMETER]
 */
#include <boost/fiber/all.hpp>
#include <memory>
#include <vector>

#include "bench/bench.h"

namespace fibers = boost::fibers;
using Unbuffered = fibers::unbuffered_channel<int64_t>;
using Buffered = fibers::buffered_channel<int64_t>;
static const auto SUCCESS = fibers::channel_op_status::success;
static const int EACH = 4;

static size_t made_for(int64_t capacity)
{
    size_t size = 2;
    while (size < static_cast<size_t>(capacity)) {
        size *= 2;
    }
    return size;
}

static int64_t yield_round(int64_t count, int64_t)
{
    auto yield_times = [count] {
        for (int64_t i = 0; i < count / 2; i++) {
            boost::this_fiber::yield();
        }
    };
    fibers::fiber other(yield_times);
    int64_t start_ns = bench_ns();
    yield_times();
    int64_t elapsed_ns = bench_ns() - start_ns;
    other.join();
    return elapsed_ns;
}

static int64_t spawn_join_round(int64_t count, int64_t)
{
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        fibers::fiber([] {}).join();
    }
    return bench_ns() - start_ns;
}

static int64_t ping_pong_round(int64_t count, int64_t)
{
    Unbuffered questions;
    Unbuffered answers;
    fibers::fiber other([&] {
        int64_t number = 0;
        while (questions.pop(number) == SUCCESS) {
            BENCH_CHECK(answers.push(number + 1) == SUCCESS);
        }
    });
    int64_t number = 0;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(questions.push(number) == SUCCESS && answers.pop(number) == SUCCESS);
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(number == count);
    questions.close();
    other.join();
    return elapsed_ns;
}

template <class Channel> static int64_t items_round(Channel &channel, int64_t count, int each)
{
    int producing = each;
    int64_t received = 0;
    std::vector<fibers::fiber> fibers;
    int64_t start_ns = bench_ns();
    for (int i = 0; i < each; i++) {
        fibers.emplace_back([&] {
            for (int64_t number = 0; number < count / each; number++) {
                BENCH_CHECK(channel.push(number) == SUCCESS);
            }
            if (--producing == 0) channel.close();
        });
        fibers.emplace_back([&] {
            int64_t number = 0;
            while (channel.pop(number) == SUCCESS) {
                received++;
            }
        });
    }
    for (auto &fiber : fibers) {
        fiber.join();
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(received == count / each * each);
    return elapsed_ns;
}

static int64_t pipe_round(int64_t count, int64_t capacity)
{
    if (capacity > 0) {
        Buffered channel(made_for(capacity));
        return items_round(channel, count, 1);
    }
    Unbuffered channel;
    return items_round(channel, count, 1);
}

static int64_t crowd_round(int64_t count, int64_t capacity)
{
    if (capacity == 0) {
        Unbuffered channel;
        return items_round(channel, count, EACH);
    }
    Buffered channel(made_for(capacity));
    return items_round(channel, count, EACH);
}

static int64_t ring_round(int64_t count, int64_t tasks)
{
    std::vector<std::unique_ptr<Unbuffered>> links;
    std::vector<fibers::fiber> fibers;
    Buffered end(2);
    for (int64_t i = 0; i < tasks; i++) {
        links.emplace_back(new Unbuffered);
    }
    for (int64_t i = 0; i < tasks; i++) {
        Unbuffered &in = *links[static_cast<size_t>(i)];
        Unbuffered &out = *links[static_cast<size_t>((i + 1) % tasks)];
        fibers.emplace_back([&] {
            int64_t hops = 0;
            while (in.pop(hops) == SUCCESS) {
                auto status = hops > 0 ? out.push(hops - 1) : end.push(hops - 1);
                BENCH_CHECK(status == SUCCESS);
            }
        });
    }
    int64_t hops = 0;
    BENCH_CHECK(links[0]->push(tasks - 1) == SUCCESS && end.pop(hops) == SUCCESS);

    int64_t start_ns = bench_ns();
    BENCH_CHECK(links[0]->push(count - 1) == SUCCESS && end.pop(hops) == SUCCESS);
    int64_t elapsed_ns = bench_ns() - start_ns;

    for (auto &link : links) {
        link->close();
    }
    for (auto &fiber : fibers) {
        fiber.join();
    }
    return elapsed_ns;
}

static int64_t mutex_round(int64_t count, int64_t tasks)
{
    fibers::mutex mutex;
    std::vector<fibers::fiber> fibers;
    int64_t counter = 0;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < tasks; i++) {
        fibers.emplace_back([&mutex, &counter, share = (count + i) / tasks] {
            for (int64_t j = 0; j < share; j++) {
                mutex.lock();
                counter++;
                mutex.unlock();
            }
        });
    }
    for (auto &fiber : fibers) {
        fiber.join();
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(counter == count);
    return elapsed_ns;
}

static int64_t startup_round(int64_t, int64_t)
{
    fibers::fiber([] {}).join();
    return 0;
}

static struct bench questions[] = {
    {"startup", BENCH_MS, 1, 0, -1, startup_round},
    {"yield", BENCH_NS, 2000000, -1, -1, yield_round},
    {"spawn_join", BENCH_NS, 500000, -1, -1, spawn_join_round},
    {"ping_pong", BENCH_NS, 500000, -1, 0, ping_pong_round},
    {"pipe", BENCH_NS, 1000000, -1, 0, pipe_round},
    {"crowd", BENCH_NS, 1000000, -1, 64, crowd_round},
    {"ring", BENCH_NS, 500000, -1, 1000, ring_round},
    {"mutex", BENCH_NS, 5000000, -1, 8, mutex_round},
};

int main(int argc, char **argv)
{
    for (auto &question : questions) {
        if (argc > 1 && strcmp(argv[1], "list") == 0) puts(question.name);
        if (argc > 1 && strcmp(argv[1], question.name) == 0) {
            return bench_run(&question, argc - 1, argv + 1);
        }
    }
    return argc > 1 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
