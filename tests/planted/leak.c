/* SPDX-License-Identifier: MIT */
/* A fault on purpose: memory that a task allocates and nobody can reach any more, which
 * LeakSanitizer and Valgrind must report. */
#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

static int lose(void *arg)
{
    (void)arg;
    char *volatile lost = malloc(1234);
    if (!lost) return 1;

    memset(lost, 1, 1234);
    lost = NULL;
    return 0;
}

static int root(void *arg)
{
    (void)arg;
    weft_task task;
    if (weft_spawn(&task, lose, NULL) < 0) return 1;

    return weft_join(task, NULL) < 0;
}

int main(void)
{
    return weft_run(NULL, root, NULL);
}
