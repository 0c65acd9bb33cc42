/* SPDX-License-Identifier: MIT */
/* A fault on purpose: a task and a thread write one word without any order, which TSan must
 * report. */
#include <pthread.h>

#include <weft/weft.h>

static int shared_word;

static void *thread_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        shared_word++;
    return NULL;
}

static int root(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        shared_word++;
        if (weft_yield() < 0) return 1;
    }
    return 0;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_main, NULL) != 0) return 1;

    int result = weft_run(NULL, root, NULL);
    pthread_join(thread, NULL);
    return result;
}
