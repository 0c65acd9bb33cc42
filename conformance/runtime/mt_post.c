/* SPDX-License-Identifier: MIT */
/*
 * What threads hand to a runtime of several workers: its order, how it fares when the runtime ends,
 * and that it is looked at however busy the workers are: MT-09 to 11, 16.
 */
#include "conformance/runtime/mt_support.h"

#define THREADS 3
#define POSTS   1000

/* ---- 09 ---- */

struct queue {
    struct weft_runtime *runtime;
    struct producer {
        struct queue *queue;
        struct weft_post posts[POSTS];
        struct item {
            struct producer *producer;
            int number;
        } items[POSTS];
        int next;
    } producers[THREADS];
    int ran;
};

static void run_item(void *arg)
{
    struct item *item = arg;
    CHECK_EQ(item->number, item->producer->next);
    CHECK_EQ(weft_worker_index(), 0);
    CHECK_EQ(weft_self().id, 0);
    item->producer->next++;
    item->producer->queue->ran++;
}

static void *post_items(void *arg)
{
    struct producer *producer = arg;
    for (int i = 0; i < POSTS; i++) {
        producer->items[i] = (struct item){producer, i};
        producer->posts[i] = (struct weft_post){.fn = run_item, .arg = &producer->items[i]};
        CHECK_EQ(weft_post(producer->queue->runtime, &producer->posts[i]), 0);
    }
    return NULL;
}

static int root_of_queue(void *arg)
{
    struct queue *queue = arg;
    pthread_t threads[THREADS];
    queue->runtime = weft_runtime_current();
    for (int i = 0; i < THREADS; i++) {
        queue->producers[i].queue = queue;
        threads[i] = start_thread(post_items, &queue->producers[i]);
    }
    while (queue->ran < THREADS * POSTS) {
        CHECK_EQ(weft_sleep(100 * WEFT_USEC), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    return 0;
}

MT_TEST(mt, 09_posts_of_one_thread_run_in_order)
{
    struct queue *queue = calloc(1, sizeof *queue);
    CHECK_OR_RETURN(queue, );
    CHECK_EQ(run_with(workers, root_of_queue, queue), 0);
    CHECK_EQ(queue->ran, THREADS * POSTS);
    free(queue);
}

/* ---- 10, 11 ---- */

struct ending {
    struct weft_runtime *runtime; /* a reference, until the threads have been joined */
    atomic_int is_published;
    atomic_int accepted;
    atomic_int ran;
};

struct poster {
    struct ending *ending;
    struct weft_post posts[POSTS];
};

static void ending_posted(void *arg)
{
    count_up(&((struct ending *)arg)->ran);
}

static int ending_spawned(void *arg)
{
    CHECK_EQ(weft_sleep(WEFT_FOREVER), -ECANCELED);
    ending_posted(arg);
    return 0;
}

/* What one call has told, the next ones tell, too: an ended runtime stays so. */
static void *post_to_the_end(void *arg)
{
    struct poster *poster = arg;
    struct ending *ending = poster->ending;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    bool has_ended = false;
    options.placement = WEFT_SPREAD;
    CHECK(compute_until(&ending->is_published, 1));
    for (int i = 0; i < POSTS; i++) {
        poster->posts[i] = (struct weft_post){.fn = ending_posted, .arg = ending};
        int status =
            i % 4 ? weft_post(ending->runtime, &poster->posts[i])
                  : weft_runtime_spawn(ending->runtime, NULL, &options, ending_spawned, ending);
        CHECK(status == -ESRCH || (status == 0 && !has_ended));
        has_ended = status == -ESRCH;
        if (status == 0) count_up(&ending->accepted);
    }
    return NULL;
}

static int root_ends(void *arg)
{
    struct ending *ending = arg;
    ending->runtime = weft_runtime_current();
    CHECK_EQ(weft_runtime_ref(ending->runtime), 0);
    count_up(&ending->is_published);
    while (atomic_load(&ending->accepted) < POSTS / 8) {
        CHECK_EQ(weft_sleep(10 * WEFT_USEC), 0);
    }
    return 0;
}

static void end_once(unsigned workers)
{
    static struct poster posters[THREADS];
    struct ending ending = {.runtime = NULL};
    struct weft_post late = {.fn = ending_posted, .arg = &ending};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        posters[i].ending = &ending;
        threads[i] = start_thread(post_to_the_end, &posters[i]);
    }
    CHECK_EQ(run_with(workers, root_ends, &ending), 0);
    CHECK_EQ(weft_post(ending.runtime, &late), -ESRCH);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(atomic_load(&ending.ran), atomic_load(&ending.accepted));
    CHECK_EQ(weft_runtime_unref(ending.runtime), 0);
}

MT_TEST(mt, 10_what_was_accepted_has_run_when_the_runtime_has_ended)
{
    end_once(workers);
}

MT_TEST(mt, 11_threads_may_call_while_a_runtime_ends)
{
    for (int i = 0; i < 20; i++) {
        end_once(workers);
    }
}

/* ---- 16 ---- */

struct busy {
    struct weft_runtime *runtime;
    atomic_int reached;
};

static int yield_all_the_time(void *arg)
{
    int status = 0;
    (void)arg;
    while (status == 0) {
        status = weft_yield();
    }
    CHECK_EQ(status, -ECANCELED);
    return 0;
}

static int reach(void *arg)
{
    count_up(&((struct busy *)arg)->reached);
    return 0;
}

static void *spawn_into_busy(void *arg)
{
    struct busy *busy = arg;
    struct weft_spawn_options options = WEFT_SPAWN_OPTIONS_INIT;
    for (int i = 0; i < 40; i++) {
        options.placement = i % 2 ? WEFT_SPREAD : WEFT_ANYWHERE;
        CHECK_EQ(weft_runtime_spawn(busy->runtime, NULL, &options, reach, busy), 0);
        CHECK(compute_until(&busy->reached, i + 1));
    }
    return NULL;
}

/* The queues of all workers are never empty. */
static int root_is_busy(void *arg)
{
    struct busy *busy = arg;
    struct weft_scope scope;
    busy->runtime = weft_runtime_current();
    CHECK_EQ(weft_scope_open(&scope), 0);
    for (unsigned i = 0; i < 3 * weft_worker_count(); i++) {
        (void)spawn_spread(&scope, yield_all_the_time, NULL);
    }
    pthread_t thread = start_thread(spawn_into_busy, busy);
    while (atomic_load(&busy->reached) < 40) {
        CHECK_EQ(weft_yield(), 0);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(weft_scope_cancel(&scope), 0);
    CHECK_EQ(weft_scope_close(&scope), -ECANCELED);
    return 0;
}

MT_TEST(mt, 16_what_comes_from_outside_runs_although_all_are_busy)
{
    struct busy busy = {.runtime = NULL};
    CHECK_EQ(run_with(workers, root_is_busy, &busy), 0);
}
