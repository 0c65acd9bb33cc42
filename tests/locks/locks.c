/* SPDX-License-Identifier: MIT */
/*
 * What stays on one worker executes no atomic read-modify-write instruction: a child runs each
 * operation between two breakpoints, and its parent steps through it instruction by instruction and
 * looks for a lock prefix, and for an exchange with memory. Prints TAP.
 *
 * With one worker and with two, of which the other one rests; on objects that are private. A shared
 * channel shows that the parent finds what there is to be found.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/weft.h>

enum {
    ROUNDS = 24,    /* of one operation, more than the 16 spawns after which tasks become public */
    SEEN = 1 << 16, /* addresses of instructions, of which a run has a few thousand */
    INSTRUCTION_MAX = 15,
    LIMIT_SECONDS = 60,
    BREAKPOINT = 0xcc,
};

/* Shared with the child. */
static struct {
    const char *name; /* of the operation that comes next; the child's strings are the parent's */
    bool has_locks;   /* it is the one that must have some */
} * next;

/* ---- in the child ---- */

static struct weft_chan *there; /* to the partner */
static struct weft_chan *back;

static void must(int result)
{
    if (result == 0) return;
    (void)fprintf(stderr, "locks: %s: %s\n", next->name, strerror(-result));
    _exit(3);
}

static void buffered(void)
{
    uint64_t word = 1;
    for (int i = 0; i < ROUNDS; i++) {
        must(weft_chan_send(there, &word));
        must(weft_chan_recv(there, &word));
    }
}

/* The partner sends back what it gets: each side sleeps once per round. */
static void rendezvous(void)
{
    uint64_t word = 1;
    for (int i = 0; i < ROUNDS; i++) {
        must(weft_chan_send(there, &word));
        must(weft_chan_recv(back, &word));
    }
}

static void rendezvous_once(void)
{
    uint64_t word = 1;
    must(weft_chan_send(there, &word));
    must(weft_chan_recv(back, &word));
}

static void selects(void)
{
    uint64_t word = 1;
    for (int i = 0; i < ROUNDS; i++) {
        int sent = -1;
        int received = -1;
        struct weft_case to_send[] = {weft_case_send(there, &word, &sent),
                                      weft_case_recv(back, &word, &received)};
        must(weft_select_from(to_send, 2, 0));
        must(sent);
        struct weft_case to_receive[] = {weft_case_recv(back, &word, &received)};
        must(weft_select_from(to_receive, 1, 0));
        must(received);
    }
}

static void yields(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(weft_yield());
    }
}

static struct weft_mutex mutex;

static void locks_alone(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(weft_mutex_lock(&mutex));
        must(weft_mutex_unlock(&mutex));
        must(weft_mutex_try_lock(&mutex));
        must(weft_mutex_unlock(&mutex));
    }
}

/* The partner holds it whenever this one comes, and the other way round. */
static void locks_in_turn(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(weft_mutex_lock(&mutex));
        must(weft_yield());
        must(weft_mutex_unlock(&mutex));
    }
}

static int lock_back(void *arg)
{
    (void)arg;
    while (weft_chan_len(there) == 0) {
        must(weft_mutex_lock(&mutex));
        must(weft_yield());
        must(weft_mutex_unlock(&mutex));
    }
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void spawns(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        weft_task task;
        must(weft_spawn(&task, nothing, NULL));
        must(weft_join(task, NULL));
    }
}

static int send_back(void *arg)
{
    uint64_t word = 0;
    (void)arg;
    while (weft_chan_recv(there, &word) == 0) {
        if (weft_chan_send(back, &word) < 0) break;
    }
    return 0;
}

static int yield_back(void *arg)
{
    (void)arg;
    while (weft_yield() == 0) {
        if (weft_chan_len(there) > 0) break;
    }
    return 0;
}

/* Once before, so that symbols are bound and pools filled; the second time counts. */
static void measure(const char *name, bool has_locks, void (*operation)(void))
{
    operation();
    next->name = name;
    next->has_locks = has_locks;
#ifdef __x86_64__
    __asm__ volatile("int3" ::: "memory");
    operation();
    __asm__ volatile("int3" ::: "memory");
#endif
}

static void open_both(size_t capacity, int shared)
{
    struct weft_chan_options options = WEFT_CHAN_OPTIONS_INIT;
    options.value_size = sizeof(uint64_t);
    options.capacity = capacity;
    options.shared = shared;
    must(weft_chan_open_with(&there, &options));
    must(weft_chan_open_with(&back, &options));
}

/* Ends the partner, too. */
static void close_both(weft_task partner)
{
    must(weft_chan_close(there));
    must(weft_chan_close(back));
    must(weft_join(partner, NULL));
    weft_chan_unref(there);
    weft_chan_unref(back);
}

static void with_partner(const char *name, bool has_locks, void (*operation)(void))
{
    weft_task partner;
    open_both(0, has_locks);
    must(weft_spawn(&partner, send_back, NULL));
    measure(name, has_locks, operation);
    close_both(partner);
}

static int root(void *arg)
{
    weft_task partner;
    uint64_t word = 0;
    (void)arg;
    open_both(2, 0);
    measure("send and receive, stored", false, buffered);
    must(weft_spawn(&partner, yield_back, NULL));
    measure("yield", false, yields);
    must(weft_chan_send(there, &word));
    close_both(partner);
    measure("a mutex", false, locks_alone);
    open_both(1, 0);
    must(weft_spawn(&partner, lock_back, NULL));
    must(weft_yield());
    measure("a mutex, handed over", false, locks_in_turn);
    must(weft_chan_send(there, &word));
    close_both(partner);
    with_partner("send and receive, handed over", false, rendezvous);
    with_partner("select", false, selects);
    measure("spawn and join", false, spawns);
    with_partner("a shared channel", true, rendezvous_once);
    return 0;
}

static int run(unsigned workers)
{
    struct weft_config config = WEFT_CONFIG_INIT;
    config.workers = workers;
    config.flags = WEFT_NO_ENVIRONMENT;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) return 2;
    (void)alarm(LIMIT_SECONDS);
    return weft_run(&config, root, NULL) == 0 ? 0 : 1;
}

/* ---- in the parent ---- */

/* What was stepped through between two breakpoints. */
struct steps {
    long count;
    long locked;
    uint64_t first_locked; /* where */
};

#ifdef __x86_64__

static bool is_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {
        0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x66, 0x67};
    return memchr(prefixes, byte, sizeof prefixes) != NULL;
}

/* Intel's manual, volume 2, 2.1 and XCHG: an exchange with memory is locked without the prefix. */
static bool is_locked(const uint8_t *code)
{
    int i = 0;
    for (; i < INSTRUCTION_MAX - 2 && is_prefix(code[i]); i++) {
        if (code[i] == 0xf0) return true;
    }
    if ((code[i] & 0xf0) == 0x40) i++; /* REX */
    bool is_exchange = code[i] == 0x86 || code[i] == 0x87;
    return is_exchange && code[i + 1] >> 6 != 3; /* not of two registers */
}

static uint64_t where(pid_t child)
{
    errno = 0;
    long address = ptrace(PTRACE_PEEKUSER, child, offsetof(struct user_regs_struct, rip), NULL);
    return errno ? 0 : (uint64_t)address;
}

/* The instruction there; the end of a page may cut it short. */
static void read_code(pid_t child, uint64_t address, uint8_t ret_code[INSTRUCTION_MAX])
{
    memset(ret_code, 0, INSTRUCTION_MAX);
    struct iovec local = {ret_code, INSTRUCTION_MAX};
    struct iovec remote[] = {{(void *)address, INSTRUCTION_MAX}};
    size_t left = 4096 - address % 4096;
    if (process_vm_readv(child, &local, 1, remote, 1, 0) >= 0) return;
    remote[0].iov_len = left < INSTRUCTION_MAX ? left : INSTRUCTION_MAX;
    (void)process_vm_readv(child, &local, 1, remote, 1, 0); /* zeros are no locked instruction */
}

/* What is known of an address, so that each is looked at once. */
enum kind { UNKNOWN, PLAIN, LOCKED, BREAK };

static enum kind kind_of(pid_t child, uint64_t address)
{
    static struct {
        uint64_t address;
        enum kind kind;
    } seen[SEEN];
    size_t i = address % SEEN;
    if (seen[i].address == address && seen[i].kind != UNKNOWN) return seen[i].kind;
    uint8_t code[INSTRUCTION_MAX];
    read_code(child, address, code);
    seen[i].address = address;
    seen[i].kind = code[0] == BREAKPOINT ? BREAK : is_locked(code) ? LOCKED : PLAIN;
    return seen[i].kind;
}

/* From a breakpoint to the next one, which is passed. False: the child did something else. */
static bool step_through(pid_t child, struct steps *ret)
{
    *ret = (struct steps){.count = 0};
    for (;;) {
        uint64_t address = where(child);
        if (address == 0) return false;
        enum kind kind = kind_of(child, address);
        if (kind == BREAK) {
            const size_t place = offsetof(struct user_regs_struct, rip);
            return ptrace(PTRACE_POKEUSER, child, place, address + 1) == 0;
        }
        ret->count++;
        if (kind == LOCKED && ret->locked++ == 0) ret->first_locked = address;
        int status = 0;
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0) return false;
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return false;
        if (WSTOPSIG(status) != SIGTRAP) return false;
    }
}

/* Where in which file: what addr2line needs. */
static void print_place(pid_t child, uint64_t address)
{
    char name[64];
    char line[512];
    (void)snprintf(name, sizeof name, "/proc/%d/maps", (int)child);
    FILE *maps = fopen(name, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long long low = 0;
        unsigned long long high = 0;
        unsigned long long offset = 0;
        char file[256] = "";
        if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %255s", &low, &high, &offset, file) < 3) break;
        if (address < low || address >= high) continue;
        printf("# the first at offset 0x%llx of %s\n",
               (unsigned long long)address - low + offset,
               file);
    }
    if (maps) (void)fclose(maps);
}

static int number;

static void report(pid_t child, unsigned workers, const struct steps *steps)
{
    bool holds = next->has_locks ? steps->locked > 0 : steps->locked == 0;
    bool is_work = steps->count > ROUNDS;
    number++;
    printf("%s %d - %u worker%s: %s: %ld of %ld instructions are locked\n",
           holds && is_work ? "ok" : "not ok",
           number,
           workers,
           workers == 1 ? "" : "s",
           next->name,
           steps->locked,
           steps->count);
    if (!holds && steps->locked > 0) print_place(child, steps->first_locked);
    (void)fflush(stdout);
}

/* False: nothing may be traced here. */
static bool watch(pid_t child, unsigned workers)
{
    int status = 0;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        struct steps steps;
        if (WSTOPSIG(status) == SIGTRAP) {
            if (!step_through(child, &steps)) break;
            report(child, workers, &steps);
            (void)ptrace(PTRACE_CONT, child, NULL, NULL);
        } else { /* a signal of its own */
            (void)ptrace(PTRACE_CONT, child, NULL, (void *)(intptr_t)WSTOPSIG(status));
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        number++;
        printf("not ok %d - %u workers: the run ends well (status %x)\n", number, workers, status);
        if (!WIFEXITED(status)) (void)kill(child, SIGKILL);
    }
    return true;
}

int main(void)
{
    next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (next == MAP_FAILED) return 1;
    for (unsigned workers = 1; workers <= 2; workers++) {
        pid_t child = fork();
        if (child == 0) _exit(run(workers));
        if (child < 0) return 1;
        if (!watch(child, workers)) {
            printf("1..0 # SKIP nothing may be traced here\n");
            return 0;
        }
    }
    printf("1..%d\n", number);
    return 0;
}

#else

int main(void)
{
    (void)run;
    printf("1..0 # SKIP the instructions of this machine are not known\n");
    return 0;
}

#endif
