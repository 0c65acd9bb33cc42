/* SPDX-License-Identifier: MIT */
/*
 * Three workers share the jobs of one channel and answer on another. They live in a scope: the
 * first error cancels all the others, and closing the scope waits for them and tells the error.
 *
 *   ./weft run examples/worker_pool.c
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

struct answer {
    int job;
    int square;
};

WEFT_CHAN_TYPE(jobs, int);
WEFT_CHAN_TYPE(answers, struct answer);

static int square(int job, int *ret)
{
    int result = weft_sleep(job * 10 * WEFT_MSEC); /* hard work */
    if (result < 0) return result;
    if (job == 8) return -EIO;
    *ret = job * job;
    return 0;
}

WEFT_TASK(work, (struct jobs, jobs), (struct answers, answers))
{
    int job = 0;
    while (jobs_recv(jobs, &job) == 0) {
        struct answer answer = {.job = job};
        int result = square(job, &answer.square);
        if (result == 0) result = answers_send(answers, answer);
        if (result < 0) return result;
    }
    return 0;
}

WEFT_TASK(hand_out, (struct jobs, jobs), (int, count))
{
    for (int job = 1; job <= count; job++) {
        int result = jobs_send(jobs, job);
        if (result < 0) return result;
    }
    return jobs_close(jobs);
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct jobs jobs;
    struct answers answers;
    if (jobs_open(&jobs, 0) < 0 || answers_open(&answers, 0) < 0) return 1;

    struct weft_scope pool;
    weft_scope_open(&pool);
    hand_out_scope_spawn(&pool, NULL, jobs, 20);
    for (int i = 0; i < 3; i++) {
        work_scope_spawn(&pool, NULL, jobs, answers);
    }

    struct answer answer;
    for (int left = 20; left > 0 && answers_recv(answers, &answer) == 0; left--) {
        printf("%d squared is %d\n", answer.job, answer.square);
    }
    int result = weft_scope_close(&pool);
    printf("the pool ended: %s\n", result < 0 ? strerror(-result) : "all done");

    jobs_unref(jobs);
    answers_unref(answers);
    return 0;
}

WEFT_MAIN(app_main);
