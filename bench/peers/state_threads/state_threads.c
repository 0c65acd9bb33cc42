/* SPDX-License-Identifier: MIT */
/*
 * The questions of bench/, answered by State Threads. It has no channels: here is one of its
 * condition variables, where a receiver that waits counts as a free slot.
 *
 * usage: state_threads list; or QUESTION [-n COUNT] [-w WARM_COUNT] [PARAMETER]
 */
#include <st.h>

#include "bench/bench.h"

#define RECEIVERS_MOST 16
#define BRANCHES       10
#define EACH           4
#define LONGEST_MS     1000

struct chan {
    int64_t capacity;
    int64_t count;
    int64_t first;
    int64_t mask;
    int64_t receivers; /* that wait */
    int64_t senders;
    bool closed;
    st_cond_t readable;
    st_cond_t writable;
    int64_t values[];
};

static struct chan *chan_open(int64_t capacity)
{
    int64_t size = RECEIVERS_MOST;
    while (size < capacity + RECEIVERS_MOST) {
        size *= 2;
    }
    struct chan *chan = calloc(1, sizeof *chan + (size_t)size * sizeof chan->values[0]);
    BENCH_CHECK(chan);
    chan->capacity = capacity;
    chan->mask = size - 1;
    chan->readable = st_cond_new();
    chan->writable = st_cond_new();
    return chan;
}

static void chan_free(struct chan *chan)
{
    st_cond_destroy(chan->readable);
    st_cond_destroy(chan->writable);
    free(chan);
}

static bool chan_send(struct chan *chan, int64_t value)
{
    while (!chan->closed && chan->count >= chan->capacity + chan->receivers) {
        chan->senders++;
        st_cond_wait(chan->writable);
        chan->senders--;
    }
    if (chan->closed) return false;
    chan->values[(chan->first + chan->count++) & chan->mask] = value;
    if (chan->receivers > 0) st_cond_signal(chan->readable);
    return true;
}

static bool chan_recv(struct chan *chan, int64_t *ret)
{
    while (chan->count == 0) {
        if (chan->closed) return false;
        chan->receivers++;
        if (chan->senders > 0) st_cond_signal(chan->writable);
        st_cond_wait(chan->readable);
        chan->receivers--;
    }
    *ret = chan->values[chan->first++ & chan->mask];
    chan->count--;
    if (chan->senders > 0 && chan->capacity > 0) st_cond_signal(chan->writable);
    return true;
}

static void chan_close(struct chan *chan)
{
    chan->closed = true;
    st_cond_broadcast(chan->readable);
    st_cond_broadcast(chan->writable);
}

static st_thread_t spawn(void *(*fn)(void *arg), void *arg, bool joinable)
{
    st_thread_t thread = st_thread_create(fn, arg, joinable, 0);
    BENCH_CHECK(thread);
    return thread;
}

static void join(st_thread_t thread)
{
    BENCH_CHECK(st_thread_join(thread, NULL) == 0);
}

/* ---- yield, spawn_join, spawn_many ---- */

static void *yield_times(void *arg)
{
    int64_t times = *(int64_t *)arg;
    for (int64_t i = 0; i < times; i++) {
        st_usleep(0);
    }
    return NULL;
}

static int64_t yield_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t half = count / 2;
    st_thread_t other = spawn(yield_times, &half, true);
    int64_t start_ns = bench_ns();
    yield_times(&half);
    int64_t elapsed_ns = bench_ns() - start_ns;
    join(other);
    return elapsed_ns;
}

static void *empty(void *arg)
{
    return arg;
}

static int64_t spawn_join_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        join(spawn(empty, NULL, true));
    }
    return bench_ns() - start_ns;
}

static int64_t running;
static struct chan *all_done;

static void *count_down(void *arg)
{
    if (--running == 0) chan_close(all_done);
    return arg;
}

static int64_t spawn_many_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t none = 0;
    all_done = chan_open(0);
    running = count;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        spawn(count_down, NULL, false);
    }
    BENCH_CHECK(!chan_recv(all_done, &none));
    int64_t elapsed_ns = bench_ns() - start_ns;
    chan_free(all_done);
    return elapsed_ns;
}

/* ---- ping_pong, pipe, crowd ---- */

struct pair {
    struct chan *in;
    struct chan *out;
    int64_t count;
};

static void *answer(void *arg)
{
    struct pair *pair = arg;
    int64_t number = 0;
    while (chan_recv(pair->in, &number)) {
        BENCH_CHECK(chan_send(pair->out, number + 1));
    }
    return NULL;
}

static int64_t ping_pong_round(int64_t count, int64_t capacity)
{
    struct pair pair = {chan_open(capacity), chan_open(capacity), 0};
    st_thread_t other = spawn(answer, &pair, true);
    int64_t number = 0;
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        BENCH_CHECK(chan_send(pair.in, number) && chan_recv(pair.out, &number));
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(number == count);
    chan_close(pair.in);
    join(other);
    chan_free(pair.in);
    chan_free(pair.out);
    return elapsed_ns;
}

static int64_t producing;
static int64_t received;

static void *produce(void *arg)
{
    struct pair *pair = arg;
    for (int64_t i = 0; i < pair->count; i++) {
        BENCH_CHECK(chan_send(pair->out, i));
    }
    if (--producing == 0) chan_close(pair->out);
    return NULL;
}

static void *consume(void *arg)
{
    struct chan *in = arg;
    int64_t number = 0;
    int64_t count = 0;
    while (chan_recv(in, &number)) {
        count++;
    }
    received += count;
    return NULL;
}

static int64_t items_round(int64_t count, int64_t capacity, int each)
{
    struct chan *chan = chan_open(capacity);
    struct pair pair = {NULL, chan, count / each};
    st_thread_t threads[2 * EACH];
    producing = each;
    received = 0;
    int64_t start_ns = bench_ns();
    for (int i = 0; i < each; i++) {
        threads[2 * i] = spawn(produce, &pair, true);
        threads[2 * i + 1] = spawn(consume, chan, true);
    }
    for (int i = 0; i < 2 * each; i++) {
        join(threads[i]);
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(received == count / each * each);
    chan_free(chan);
    return elapsed_ns;
}

static int64_t pipe_round(int64_t count, int64_t capacity)
{
    return items_round(count, capacity, 1);
}

static int64_t crowd_round(int64_t count, int64_t capacity)
{
    return items_round(count, capacity, EACH);
}

/* ---- ring, sieve, skynet ---- */

static struct chan *ring_end;

static void *pass_on(void *arg)
{
    struct pair *pair = arg;
    int64_t hops = 0;
    while (chan_recv(pair->in, &hops)) {
        BENCH_CHECK(chan_send(hops > 0 ? pair->out : ring_end, hops - 1));
    }
    return NULL;
}

static int64_t ring_round(int64_t count, int64_t tasks)
{
    struct pair *pairs = calloc((size_t)tasks, sizeof *pairs);
    st_thread_t *threads = calloc((size_t)tasks, sizeof(st_thread_t));
    BENCH_CHECK(pairs && threads);
    ring_end = chan_open(1);
    for (int64_t i = 0; i < tasks; i++) {
        pairs[i].in = chan_open(0);
        pairs[(i + tasks - 1) % tasks].out = pairs[i].in;
    }
    for (int64_t i = 0; i < tasks; i++) {
        threads[i] = spawn(pass_on, &pairs[i], true);
    }
    int64_t hops = 0;
    BENCH_CHECK(chan_send(pairs[0].in, tasks - 1) && chan_recv(ring_end, &hops));

    int64_t start_ns = bench_ns();
    BENCH_CHECK(chan_send(pairs[0].in, count - 1) && chan_recv(ring_end, &hops));
    int64_t elapsed_ns = bench_ns() - start_ns;

    for (int64_t i = 0; i < tasks; i++) {
        chan_close(pairs[i].in);
        join(threads[i]);
        chan_free(pairs[i].in);
    }
    chan_free(ring_end);
    free(threads);
    free(pairs);
    return elapsed_ns;
}

static void *count_up(void *arg)
{
    int64_t number = 2;
    while (chan_send(arg, number)) {
        number++;
    }
    return NULL;
}

static void *filter(void *arg)
{
    struct pair *pair = arg;
    int64_t number = 0;
    while (chan_recv(pair->in, &number)) {
        if (number % pair->count != 0 && !chan_send(pair->out, number)) break;
    }
    chan_close(pair->in);
    return NULL;
}

static int64_t sieve_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    struct pair *pairs = calloc((size_t)count, sizeof *pairs);
    st_thread_t *threads = calloc((size_t)count + 1, sizeof(st_thread_t));
    BENCH_CHECK(pairs && threads);
    int64_t start_ns = bench_ns();
    struct chan *in = chan_open(0);
    threads[count] = spawn(count_up, in, true);
    for (int64_t i = 0; i < count; i++) {
        int64_t prime = 0;
        BENCH_CHECK(chan_recv(in, &prime));
        pairs[i] = (struct pair){in, chan_open(0), prime};
        threads[i] = spawn(filter, &pairs[i], true);
        in = pairs[i].out;
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    chan_close(in);
    for (int64_t i = 0; i <= count; i++) {
        join(threads[i]);
    }
    for (int64_t i = 0; i < count; i++) {
        chan_free(pairs[i].in);
    }
    chan_free(in);
    free(threads);
    free(pairs);
    return elapsed_ns;
}

struct node {
    struct chan *out;
    int64_t first;
    int64_t size;
};

static void *skynet(void *arg)
{
    struct node node = *(struct node *)arg;
    free(arg);
    if (node.size == 1) {
        BENCH_CHECK(chan_send(node.out, node.first));
        return NULL;
    }
    struct chan *below = chan_open(0);
    for (int64_t i = 0; i < BRANCHES; i++) {
        struct node *child = malloc(sizeof *child);
        BENCH_CHECK(child);
        int64_t part = node.size / BRANCHES;
        *child = (struct node){below, node.first + i * part, part};
        spawn(skynet, child, false);
    }
    int64_t sum = 0;
    for (int64_t i = 0; i < BRANCHES; i++) {
        int64_t number = 0;
        BENCH_CHECK(chan_recv(below, &number));
        sum += number;
    }
    chan_free(below);
    BENCH_CHECK(chan_send(node.out, sum));
    return NULL;
}

static int64_t skynet_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    struct chan *top = chan_open(0);
    struct node *root = malloc(sizeof *root);
    BENCH_CHECK(root);
    *root = (struct node){top, 0, count};
    int64_t sum = 0;
    int64_t start_ns = bench_ns();
    spawn(skynet, root, false);
    BENCH_CHECK(chan_recv(top, &sum));
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(sum == count * (count - 1) / 2);
    chan_free(top);
    return elapsed_ns;
}

/* ---- mutex ---- */

struct counting {
    st_mutex_t mutex;
    int64_t *counter;
    int64_t count;
};

static void *count_locked(void *arg)
{
    struct counting *counting = arg;
    for (int64_t i = 0; i < counting->count; i++) {
        BENCH_CHECK(st_mutex_lock(counting->mutex) == 0);
        (*counting->counter)++;
        BENCH_CHECK(st_mutex_unlock(counting->mutex) == 0);
    }
    return NULL;
}

static int64_t mutex_round(int64_t count, int64_t tasks)
{
    struct counting *all = calloc((size_t)tasks, sizeof *all);
    st_thread_t *threads = calloc((size_t)tasks, sizeof(st_thread_t));
    st_mutex_t mutex = st_mutex_new();
    int64_t counter = 0;
    BENCH_CHECK(all && threads && mutex);
    int64_t start_ns = bench_ns();
    for (int64_t i = 0; i < tasks; i++) {
        all[i] = (struct counting){mutex, &counter, (count + i) / tasks};
        threads[i] = spawn(count_locked, &all[i], true);
    }
    for (int64_t i = 0; i < tasks; i++) {
        join(threads[i]);
    }
    int64_t elapsed_ns = bench_ns() - start_ns;
    BENCH_CHECK(counter == count);
    st_mutex_destroy(mutex);
    free(threads);
    free(all);
    return elapsed_ns;
}

/* ---- sleepers ---- */

static void *sleep_once(void *arg)
{
    st_usleep((st_utime_t)(uintptr_t)arg * 1000);
    return count_down(NULL);
}

static int64_t sleepers_round(int64_t count, int64_t parameter)
{
    (void)parameter;
    int64_t none = 0;
    all_done = chan_open(0);
    running = count;
    int64_t start_ns = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int64_t i = 0; i < count; i++) {
        spawn(sleep_once, (void *)(uintptr_t)(1 + i % LONGEST_MS), false);
    }
    BENCH_CHECK(!chan_recv(all_done, &none));
    int64_t elapsed_ns = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns;
    chan_free(all_done);
    return elapsed_ns;
}

static int64_t startup_round(int64_t count, int64_t parameter)
{
    (void)count, (void)parameter;
    join(spawn(empty, NULL, true));
    return 0;
}

static struct bench questions[] = {
    {"startup", BENCH_MS, 1, 0, -1, startup_round},
    {"yield", BENCH_NS, 500000, -1, -1, yield_round},
    {"spawn_join", BENCH_NS, 1000000, -1, -1, spawn_join_round},
    {"spawn_many", BENCH_NS, 1000000, -1, 0, spawn_many_round},
    {"ping_pong", BENCH_NS, 1000000, -1, 0, ping_pong_round},
    {"pipe", BENCH_NS, 2000000, -1, 0, pipe_round},
    {"crowd", BENCH_NS, 2000000, -1, 64, crowd_round},
    {"ring", BENCH_NS, 1000000, -1, 1000, ring_round},
    {"sieve", BENCH_MS, 2000, -1, -1, sieve_round},
    {"skynet", BENCH_MS, 1000000, 0, -1, skynet_round},
    {"mutex", BENCH_NS, 5000000, -1, 8, mutex_round},
    {"sleepers", BENCH_MS, 100000, 0, -1, sleepers_round},
};

int main(int argc, char **argv)
{
    BENCH_CHECK(st_set_eventsys(ST_EVENTSYS_ALT) == 0 && st_init() == 0);
    for (size_t i = 0; argc > 1 && i < sizeof questions / sizeof questions[0]; i++) {
        if (strcmp(argv[1], "list") == 0) puts(questions[i].name);
        if (strcmp(argv[1], questions[i].name) == 0) {
            return bench_run(&questions[i], argc - 1, argv + 1);
        }
    }
    return argc > 1 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
