/* SPDX-License-Identifier: MIT */
/*
 * Mail, sleep and the decision of the last one: no wake-up is lost, and nobody calls it the end (or
 * a deadlock) while something is under way.
 *
 * Models, line by line: weft__inbox_push(), wake(), weft__inbox_drain() and run_entry() of
 * core/post.c, the request words of task.remote, weft__idle_poll() and the accounting of
 * core/idle.c (idle_lock, idle_count), the wake-up of weft_runtime_unref().
 * Covered: every interleaving of WORKERS workers with one task each, whose requests come from SENDS
 * sends of any running task to any other and, with FOREIGN, from two posts of a thread that then
 * drops its reference. The first decision is a deadlock, whose cancellation goes to all tasks as
 * mail; the second is the end.
 * Assumed: sequential consistency of inbox, is_asleep and remote (in C they are seq_cst); a poll
 * that returns exactly when the wake-up was signalled before or meanwhile.
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
 * mutant end_is_not_looked_for: three_workers -DM_END_NOT_LOOKED_FOR
 * mutant acts_while_counted: two_workers -DM_ACTS_WHILE_COUNTED
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
byte idle_count;
bool idle_lock;
byte sends = SENDS;          /* how many more there will be */
byte decisions;              /* 1: deadlock, 2: end */
bool is_over;
byte references = 0;         /* of threads */


inline wake(w)
{
    if
    :: is_asleep[w] -> signalled[w] = true
    :: else
    fi
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

/* With idle_lock held, by the last one: nothing may be under way. Releases the lock. */
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
    d_step {
        if
        :: quiet ->
           for (i : 0 .. WORKERS - 1) {
               assert(!ready[i])
           };
           for (i : 1 .. NODES) {
               assert(remote[i] == 0)
           };
           decisions++;
           is_over = decisions == 2;
#ifndef M_ACTS_WHILE_COUNTED
           idle_count-- /* not idle any more: what it sends now is under way */
#endif
        :: else
        fi;
        i = 0;
        idle_lock = false
    }
}

proctype worker(byte w)
{
    byte entry, first, after, head, i, to;
    bool quiet, is_first;

    do
    :: is_over -> break
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
          atomic {
              !idle_lock -> /* held on only by the last one */
              idle_count++;
              quiet = idle_count == WORKERS && !is_over;
              idle_lock = quiet
          };
          if
          :: quiet -> decide()
          :: else
          fi;
          if
          :: quiet && is_over ->
             for (i : 0 .. WORKERS - 1) {
                 wake(i)
             }
          :: quiet && !is_over -> /* the cancellation, by mail */
             for (i : 1 .. WORKERS) {
                 if
                 :: home[i] == w -> ready[w] = true
                 :: else -> request(i, WALK)
                 fi
             }
          :: else
          fi;
          i = 0;
#ifdef M_ACTS_WHILE_COUNTED
          quiet = false;
#endif
          if
          :: quiet -> quiet = false; goto again
          :: else
          fi;

#ifdef M_LOOKS_THEN_SLEEPS
          if
          :: inbox[w] == 0 && !is_over -> is_asleep[w] = true; signalled[w]; signalled[w] = false
          :: else
          fi;
#else
          is_asleep[w] = true;
          if
#ifdef M_END_NOT_LOOKED_FOR
          :: inbox[w] != 0
#else
          :: inbox[w] != 0 || is_over
#endif
          :: else ->
in_poll:     signalled[w]; signalled[w] = false
          fi;
#endif
          is_asleep[w] = false;
#ifdef M_DRAINS_WHILE_COUNTED
          drain(w);
#endif
          atomic { !idle_lock -> idle_count-- } /* under the lock */
       fi;
again: skip
    od;
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
        for (w : 0 .. WORKERS - 1) {
            run worker(w)
        }
    }
}
