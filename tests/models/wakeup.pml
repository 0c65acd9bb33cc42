/* SPDX-License-Identifier: MIT */
/*
 * Mail, sleep and the decision of the last one: no wake-up is lost, and nobody calls it the end (or
 * a deadlock) while something is under way.
 *
 * Models, line by line: push(), weft__inbox_wake(), weft__mail(), weft__inbox_drain() and
 * open_task() of core/post.c; any time may pass between the look at is_asleep and the wake-up, as
 * when the lock is left first (weft__shared_wake() of core/chan_shared.c); weft__idle_poll() of core/idle.c; weft__crew_rest(), is_at_rest(),
 * decide(), weft__crew_rise() and weft__crew_stop() of core/crew.c; weft_runtime_unref().
 * Covered: every interleaving of WORKERS workers with one task each, whose requests come from SENDS
 * sends of any running task to any task and, with FOREIGN, from a thread that posts to worker 0 and
 * to worker 1 and then drops its reference. The first decision is a deadlock, whose cancellation
 * goes to the tasks of other workers as mail; the second is the end, and all stop. No timers.
 * Assumed: sequential consistency of inbox, is_asleep, remote and references (in C the first two
 * are seq_cst); a poll() that returns exactly when a wake-up was signalled before or meanwhile.
 * A lost wake-up is an invalid end state: somebody stays in poll().
 *
 * run two_workers: -DWORKERS=2 -DSENDS=3
 * run two_and_a_thread: -DWORKERS=2 -DSENDS=3 -DFOREIGN
 * run three_workers: -DWORKERS=3 -DSENDS=1
 * mutant looks_then_sleeps: two_workers -DM_LOOKS_THEN_SLEEPS
 * mutant drains_while_counted: two_workers -DM_DRAINS_WHILE_COUNTED
 * mutant last_ignores_inboxes: two_workers -DM_IGNORES_INBOXES
 * mutant inboxes_before_threads: two_and_a_thread -DM_INBOXES_BEFORE_THREADS
 * mutant last_ignores_threads: two_and_a_thread -DM_IGNORES_THREADS
 * mutant unref_without_wake: two_and_a_thread -DM_UNREF_WITHOUT_WAKE
 * mutant rouses_sleepers_only: three_workers -DM_ROUSES_SLEEPERS_ONLY
 * mutant decides_and_stays_counted: two_workers -DM_DECIDES_AND_STAYS_COUNTED
 * mutant pushes_each_request: two_workers -DM_PUSHES_EACH
 * mutant clears_before_next: two_and_a_thread -DM_CLEARS_BEFORE_NEXT
 */

#ifdef FOREIGN
#define POSTS 2
#else
#define POSTS 0
#endif
#define NODES (WORKERS + POSTS)
#define POST (WORKERS + 1) /* the nodes of tasks are 1 to WORKERS: one per worker */
#define WAKE 1             /* REMOTE_WAKE */
#define WALK 2             /* REMOTE_WALK */

byte inbox[WORKERS];         /* newest first; 0: empty */
byte home[NODES + 1];        /* whose mail it is; 0 also for posts */
byte next[NODES + 1];        /* remote_next */
byte remote[NODES + 1];      /* requests that nobody has taken; of a post, is_queued */
bool ready[WORKERS];         /* has a task to run */
bool is_asleep[WORKERS];
bool signalled[WORKERS];     /* the backend's wake(): poll() returns, once */
byte resting;                /* crew.resting */
bool crew_lock;
byte sends = SENDS;          /* how many more there will be */
byte decisions;              /* 1: deadlock, 2: end */
bool is_finished, is_stopping;
byte references = 0;         /* of threads */


inline wake(w)
{
    if
    :: is_asleep[w] -> signalled[w] = true
    :: else
    fi
}

/* weft__crew_rouse(): whether it is asleep or not */
inline rouse(w)
{
#ifdef M_ROUSES_SLEEPERS_ONLY
    wake(w)
#else
    signalled[w] = true
#endif
}

inline push(w, n)
{
    do
    :: head = inbox[w];
       next[n] = head;
       atomic {
           if
           :: inbox[w] == head -> inbox[w] = n; head = 0; break
           :: else
           fi
       }
    od;
    wake(w)
}

/* Who sets the first request pushes the node. */
inline request(n, what)
{
    atomic {
        if
#ifdef M_PUSHES_EACH
        :: (remote[n] & what) == 0 -> is_first = true
#else
        :: remote[n] == 0 -> is_first = true
#endif
        :: else
        fi;
        remote[n] = remote[n] | what
    };
    if
    :: is_first -> is_first = false; push(home[n], n)
    :: else
    fi
}

/* What an entry asks for; from then on the node is free for the next request. */
inline handle()
{
    assert(remote[entry] != 0); /* in the inbox twice, or handled twice */
    assert(home[entry] == w);
    ready[w] = true;
    remote[entry] = 0
}

inline drain(w)
{
    if
    :: inbox[w] == 0
    :: else ->
       d_step { /* the exchange, and turning round what nobody else writes */
           entry = inbox[w];
           inbox[w] = 0;
           do
           :: entry != 0 ->
              after = next[entry];
              next[entry] = first;
              first = entry;
              entry = after
           :: else -> break
           od;
           entry = first;
           first = 0;
           after = 0
       };
       do
       :: entry != 0 ->
#ifdef M_CLEARS_BEFORE_NEXT
          d_step { handle() };
          d_step { after = next[entry]; next[entry] = 0; entry = after; after = 0 }
#else
          d_step { after = next[entry]; next[entry] = 0 };
          d_step { handle(); entry = after; after = 0 }
#endif
       :: else -> break
       od
    fi
}

inline look_at_threads()
{
    if
    :: references > 0 -> quiet = false
    :: else
    fi
}

inline look_at_inboxes()
{
#ifdef M_IGNORES_INBOXES
    skip
#else
    do
    :: i < WORKERS ->
       if
       :: inbox[i] != 0 -> quiet = false
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
#endif
}

/* is_at_rest() and decide(), with crew.lock held, by the last one. */
inline decide()
{
#if POSTS && !defined M_IGNORES_THREADS
#ifdef M_INBOXES_BEFORE_THREADS
    look_at_inboxes();
    look_at_threads()
#else
    look_at_threads(); /* first: who drops its reference has posted before */
    look_at_inboxes()
#endif
#else
    look_at_inboxes()
#endif
    ;
    if
    :: quiet ->
       d_step {
           for (i : 0 .. WORKERS - 1) {
               assert(!ready[i])
           };
           for (i : 1 .. NODES) {
               assert(remote[i] == 0)
           };
           i = 0;
           decisions++
       };
       if
       :: decisions == 1 -> /* the cancellation: its own task at once, others by mail */
          for (i : 1 .. WORKERS) {
              if
              :: home[i] == w -> ready[w] = true
              :: else -> request(i, WALK)
              fi
          };
          i = 0
       :: else -> is_finished = true; rouse(0)
       fi
    :: else
    fi
}

inline rest()
{
    atomic {
        !crew_lock -> /* held on only by the last one */
        resting++;
        quiet = resting == WORKERS && !is_finished;
        crew_lock = quiet
    };
    if
    :: quiet ->
       decide();
#ifndef M_DECIDES_AND_STAYS_COUNTED
       if
       :: quiet -> resting-- /* it has something to do, which is not to be seen in an inbox */
       :: else
       fi;
#endif
       crew_lock = false
    :: else
    fi
}

inline rise()
{
    atomic { !crew_lock -> resting-- }
}

proctype worker(byte w)
{
    byte entry, first, after, head, i, to;
    bool quiet, is_first;

    do
    :: (w == 0 -> is_finished : is_stopping) -> break
    :: else ->
       drain(w);
       do
       :: atomic { /* a task wakes another one, or its own neighbour through the inbox */
              ready[w] && sends > 0 ->
              sends--;
              to = 1;
              do
              :: to < WORKERS -> to++
              :: break
              od
          };
          request(to, WAKE);
          to = 0
       :: ready[w] = false -> break
       od;
       if
       :: inbox[w] != 0
       :: else ->
          rest();
          if
#ifdef M_DECIDES_AND_STAYS_COUNTED
          :: quiet && decisions == 1 -> quiet = false; rise(); goto again
#else
          :: quiet -> quiet = false; goto again
#endif
          :: else
          fi;
          quiet = false;

#ifdef M_LOOKS_THEN_SLEEPS
          if
          :: inbox[w] == 0 -> is_asleep[w] = true; signalled[w]; signalled[w] = false
          :: else
          fi;
#else
          is_asleep[w] = true;
          if
          :: inbox[w] != 0
          :: else -> signalled[w]; signalled[w] = false /* poll() */
          fi;
#endif
          is_asleep[w] = false;
#ifdef M_DRAINS_WHILE_COUNTED
          drain(w);
#endif
          rise()
       fi;
again: skip
    od;
    if
    :: w == 0 -> /* weft__crew_stop() */
       is_stopping = true;
       for (i : 1 .. WORKERS - 1) {
           rouse(i)
       }
    :: else
    fi;
    assert(decisions == 2 && inbox[w] == 0 && !ready[w])
}

#ifdef FOREIGN
proctype thread()
{
    byte head, n;
    bool is_first;
    for (n : POST .. NODES) {
        request(n, WAKE)
    };
    references--;
#ifndef M_UNREF_WITHOUT_WAKE
    signalled[0] = true
#endif
}
#endif

init
{
    atomic {
        ready[0] = true; /* the root */
#ifdef FOREIGN
        references = 1;
        run thread();
#endif
        byte w;
        for (w : 1 .. WORKERS) {
            home[w] = w - 1
        };
#ifdef FOREIGN
        home[POST + 1] = 1;
#endif
        for (w : 0 .. WORKERS - 1) {
            run worker(w)
        }
    }
}
