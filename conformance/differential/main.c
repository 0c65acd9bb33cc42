/* SPDX-License-Identifier: MIT */
/*
 * differential [--clock virtual|real] [--seeds FROM..TO] [--drop G,G-G] [--trace] [--show]
 *
 * Runs the programs of these seeds, one after the other, on the backend that it is linked with. One
 * line per program: seed, kind, hash of each task's trace, hash of the whole order, and `ok` or
 * what was violated. Then how many programs hit each outcome of each call. Ends after a violation,
 * because what is left of that program may disturb the next one. tools/differential.py compares.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "conformance/differential/run.h"

static struct program program;
static struct run run;
static unsigned hit_counts[CALL_COUNT][OUT_COUNT]; /* programs */

struct options {
    bool is_virtual, traces, shows;
    unsigned long long first, last;
    const char *dropped; /* a list of groups */
};

static const char *const kind_names[] = {"confluent", "racing", "lines"};

/* ---- what a trace is ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

static uint64_t mix_event(uint64_t hash, const struct event *event)
{
    hash = mix(hash,
               (uint64_t)event->task << 24 | (uint64_t)event->op << 16 |
                   (uint64_t)event->call << 8 | event->outcome);
    return mix(hash, (uint32_t)event->detail);
}

uint64_t run_tasks_hash(const struct run *it)
{
    uint64_t hash = 0;
    for (int task = 0; task < it->program->task_count; task++) {
        for (int i = 0; i < it->event_count; i++) {
            if (it->events[i].task == task) hash = mix_event(hash, &it->events[i]);
        }
    }
    return hash;
}

uint64_t run_order_hash(const struct run *it)
{
    uint64_t hash = 0;
    for (int i = 0; i < it->event_count; i++)
        hash = mix(mix_event(hash, &it->events[i]), (uint64_t)it->events[i].slot);
    return hash;
}

static void print_event(const struct event *event, bool with_slot)
{
    printf("  t%u.%u %s %s %d",
           event->task,
           event->op,
           call_names[event->call],
           outcome_names[event->outcome],
           event->detail);
    if (with_slot) printf(" @%d", event->slot);
    printf("\n");
}

/* In the order that counts: of the tasks one by one if the program is confluent. */
void run_print_events(const struct run *it)
{
    bool by_task = it->program->kind == CONFLUENT;
    for (int task = 0; task < (by_task ? it->program->task_count : 1); task++) {
        for (int i = 0; i < it->event_count; i++) {
            if (!by_task || it->events[i].task == task) print_event(&it->events[i], !by_task);
        }
    }
}

/* ---- a program that does not end ---- */

static void on_alarm(int number)
{
    static const char text[] = "hangs\n";
    (void)number;
    (void)!write(STDOUT_FILENO, text, sizeof text - 1);
    _exit(3);
}

static void limit_time(int seconds)
{
    const struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    (void)setitimer(ITIMER_REAL, &limit, NULL);
}

static int patience_seconds(void)
{
    const char *text = getenv("DIFFERENTIAL_PATIENCE");
    int seconds = text ? (int)strtol(text, NULL, 10) : 0;
    return seconds > 0 ? seconds : 30;
}

/* ---- the runs ---- */

static void drop_groups(const char *list)
{
    while (list && *list) {
        char *end = NULL;
        long first = strtol(list, &end, 10);
        long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        for (long group = first; group <= last && group < GROUPS_MAX; group++) {
            if (group >= 0) program.dropped[group] = true;
        }
        list = *end == ',' ? end + 1 : NULL;
    }
}

/* What is left out may have been what the rest was expected to see: only invariants count then. */
static void run_seed(const struct options *options, unsigned long long seed)
{
    program_generate(&program, seed);
    drop_groups(options->dropped);
    if (options->shows) program_show(&program);
    if (options->shows && !options->traces) return;
    printf("%llu %s ", seed, kind_names[program.kind]);
    (void)fflush(stdout);
    limit_time(patience_seconds());
    run_program(&run, &program, options->is_virtual);
    limit_time(0);
    printf("%016llx %016llx %s\n",
           (unsigned long long)run_tasks_hash(&run),
           (unsigned long long)run_order_hash(&run),
           run.violation[0] != '\0' ? run.violation : "ok");
    if (options->traces) run_print_events(&run);
    if (run.violation[0] != '\0') {
        (void)fflush(stdout);
        _exit(1);
    }
    for (int call = 0; call < CALL_COUNT; call++) {
        for (int outcome = 0; outcome < OUT_COUNT; outcome++)
            hit_counts[call][outcome] += run.hits[call][outcome];
    }
}

static void print_hits(void)
{
    for (int call = 0; call < CALL_COUNT; call++) {
        for (int outcome = 0; outcome < OUT_COUNT; outcome++) {
            bool is_required = call_required((enum call)call) >> outcome & 1;
            if (!is_required && hit_counts[call][outcome] == 0) continue;
            printf("hits %s %s %u %s\n",
                   call_names[call],
                   outcome_names[outcome],
                   hit_counts[call][outcome],
                   is_required ? "required" : "rare");
        }
    }
}

static bool read_options(int argc, char **argv, struct options *ret)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0) {
            ret->traces = true;
        } else if (strcmp(argv[i], "--show") == 0) {
            ret->shows = true;
        } else if (strcmp(argv[i], "--clock") == 0) {
            ret->is_virtual = strcmp(value, "real") != 0;
            i++;
        } else if (strcmp(argv[i], "--drop") == 0) {
            ret->dropped = value;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            char *end = NULL;
            ret->first = ret->last = strtoull(value, &end, 10);
            if (strncmp(end, "..", 2) == 0) ret->last = strtoull(end + 2, NULL, 10);
            i++;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.is_virtual = true, .first = 1, .last = 100};
    if (!read_options(argc, argv, &options)) {
        (void)fprintf(stderr,
                      "usage: differential [--clock virtual|real] [--seeds FROM..TO]"
                      " [--drop GROUPS] [--trace] [--show]\n");
        return 2;
    }
    const struct sigaction action = {.sa_handler = on_alarm};
    (void)sigaction(SIGALRM, &action, NULL);
    printf("backend %s\n", weft_backend_name());
    for (unsigned long long seed = options.first; seed <= options.last; seed++)
        run_seed(&options, seed);
    if (!options.shows) print_hits();
    return 0;
}
