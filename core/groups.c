/* SPDX-License-Identifier: MIT */
/*
 * A summary for dumps of many tasks: how many are in the same state, in the same kind of wait, and
 * come from the same place. Kept in a table of fixed size, so that a signal handler can make it.
 */
#include <stdint.h>

#include "core/dump.h"
#include "core/park.h"
#include "core/runtime.h"

enum {
    GROUPS_MAX = 24,  /* further ones are counted as one */
    GROUPS_FROM = 16, /* fewer tasks are seen at a glance */
};

struct group {
    const char *site;
    const char *wait; /* the name of the kind of wait; NULL: not asleep */
    unsigned state;
    size_t count;
};

struct groups {
    dump_filter_fn *shows;
    size_t used;
    size_t others; /* tasks that found no place */
    size_t all;
    struct group group[GROUPS_MAX];
};

static void add_task(struct task *task, void *arg)
{
    struct groups *groups = arg;
    unsigned state = task->state;
    if (state == TASK_FREE || (groups->shows && !groups->shows(task))) return;
    groups->all++;

    const struct wait_kind *kind = state == TASK_PARKED ? task->wait.kind : NULL;
    const char *wait = kind ? kind->name : NULL;
    for (size_t i = 0; i < groups->used; i++) {
        struct group *group = &groups->group[i];
        if (group->site != task->site || group->wait != wait || group->state != state) continue;
        group->count++;
        return;
    }
    if (groups->used == GROUPS_MAX) {
        groups->others++;
        return;
    }
    groups->group[groups->used++] =
        (struct group){.site = task->site, .wait = wait, .state = state, .count = 1};
}

static struct group *largest(struct groups *groups)
{
    struct group *found = &groups->group[0];
    for (size_t i = 1; i < groups->used; i++) {
        if (groups->group[i].count > found->count) found = &groups->group[i];
    }
    return found;
}

static void put_group(struct text *text, const struct group *group)
{
    weft__text_put(text, "weft: ");
    weft__text_number(text, group->count);
    weft__text_put(text, " ");
    weft__text_put(text, weft__dump_state(group->state));
    if (group->wait) {
        weft__text_put(text, " in ");
        weft__text_put(text, group->wait);
    }
    weft__text_put(text, ", spawned at ");
    weft__text_put(text, group->site ? group->site : "an unknown place");
    weft__text_end_line(text);
}

void weft__dump_groups(struct dump *dump, dump_filter_fn *shows)
{
    struct groups groups = {.shows = shows};
    weft__view_tasks(&dump->view, add_task, &groups);
    if (groups.all < GROUPS_FROM) return;

    for (size_t i = 0; i < groups.used; i++) {
        struct group *group = largest(&groups);
        put_group(&dump->text, group);
        group->count = 0;
    }
    if (groups.others == 0) return;
    weft__text_put(&dump->text, "weft: ");
    weft__text_number(&dump->text, groups.others);
    weft__text_put(&dump->text, " others");
    weft__text_end_line(&dump->text);
}
