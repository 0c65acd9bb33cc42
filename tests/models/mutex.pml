/* SPDX-License-Identifier: MIT */
/*
 * A shared mutex: one holder, no lost wake-up, nobody overtaken more often than the bound says.
 *
 * Models, line by line: take(), take_or_mark(), answer_call(), weft__mutex_called(),
 * weft__mutex_lock_shared(), unlock_and_call() and weft__mutex_unlock_shared() of
 * core/mutex_shared.c; weft__shared_abandon() of core/chan_shared.c.
 * Covered: every interleaving of LOCKERS tasks on as many threads that lock and unlock ROUNDS times
 * each, and, with CANCELS, of cancellations that come while a task sleeps, is called, or has
 * neither happened to it; BOUND stands for BARGES_MAX.
 * Assumed: a called task runs at some time (wakeup.pml), and sequential consistency of the word,
 * which is one. Spinning is left out: it is take() again.
 * A lost wake-up is an invalid end state: somebody sleeps for ever.
 *
 * run two: -DLOCKERS=2 -DROUNDS=3 -DBOUND=1
 * run three: -DLOCKERS=3 -DROUNDS=2 -DBOUND=1
 * run two_cancelled: -DLOCKERS=2 -DROUNDS=3 -DBOUND=1 -DCANCELS=2
 * run three_cancelled: -DLOCKERS=3 -DROUNDS=1 -DBOUND=1 -DCANCELS=2
 * mutant unlock_calls_nobody: two -DM_CALLS_NOBODY
 * mutant marks_a_stale_word: two -DM_MARKS_STALE
 * mutant marks_after_queueing_without_lock: two -DM_MARKS_UNLOCKED
 * mutant no_bound: two -DM_NO_BOUND
 * mutant vain_call_is_forgotten: two -DM_VAIN_FORGOTTEN
 * mutant refused_keeps_the_call: two_cancelled -DM_REFUSED_KEEPS
 * mutant cancel_keeps_the_entry: two_cancelled -DM_KEEPS_ENTRY
 * mutant rest_is_forgotten: three -DM_REST_FORGOTTEN
 */

#ifndef CANCELS
#define CANCELS 0
#endif

#define WAITERS 1
#define CALLED 2
#define BARGE 4
#define BARGES 28
#define HELD 32 /* one step of the holder's number */

#define NOT_YET 0 /* of woken: asleep, or not in the queue */
#define CALL 1    /* MUTEX_CALLED */
#define REFUSED 2 /* a cancellation took it out of the queue */

byte word;
bool lock;                   /* weft__shared_lock */
byte queue[LOCKERS];
byte length;
byte woken[LOCKERS];
bool interrupt[LOCKERS];     /* task.interrupt */
byte overtaken[LOCKERS];     /* how often since it was called first */
bool was_called[LOCKERS];
byte inside;
byte cancels = CANCELS;

#define IS_HELD(w) (w >= HELD)
#ifdef M_NO_BOUND
#define IS_TAKEABLE(w) (!IS_HELD(w))
#else
#define IS_TAKEABLE(w) (!IS_HELD(w) && (w & BARGES) < BOUND * BARGE)
#endif

/* Somebody got it: whoever is called meanwhile was overtaken. */
inline note_taken(i)
{
    for (k : 0 .. LOCKERS - 1) {
        if
        :: k != i && was_called[k] ->
           overtaken[k]++;
           assert(overtaken[k] <= BOUND)
        :: else
        fi
    };
    was_called[i] = false;
    overtaken[i] = 0;
    k = 0
}

inline take(i)
{
    w = word;
    got = false;
    do
    :: !got && IS_TAKEABLE(w) ->
       d_step {
           if
           :: word == w ->
              word = (w & CALLED -> w + (i + 1) * HELD + BARGE : w + (i + 1) * HELD);
              got = true;
              note_taken(i)
           :: else -> w = word
           fi
       }
    :: else -> break
    od
}

/* With the lock. */
inline take_or_mark(i)
{
    do
    :: take(i);
       if
       :: got -> break
       :: else
       fi;
       w = word;
       if
       :: IS_TAKEABLE(w)
       :: else ->
#ifdef M_MARKS_STALE
          word = w | WAITERS;
          break
#else
          d_step {
              if
              :: word == w -> word = w | WAITERS; marked = true
              :: else
              fi
          };
          if
          :: marked -> marked = false; break
          :: else
          fi
#endif
       fi
    od
}

inline push_back(i)
{
    d_step { queue[length] = i; length++ }
}

inline push_front(i)
{
    d_step {
        for (k : 0 .. LOCKERS - 2) {
            queue[LOCKERS - 1 - k] = queue[LOCKERS - 2 - k]
        };
        k = 0;
        queue[0] = i;
        length++
    }
}

inline pop_first()
{
    d_step {
        first = queue[0];
        for (k : 0 .. LOCKERS - 2) {
            queue[k] = queue[k + 1]
        };
        k = 0;
        queue[LOCKERS - 1] = 0;
        length--
    }
}

/* With the lock: 0 in `result` if it got the mutex, CALL if it goes to the queue again. */
inline answer_call(i)
{
    refused = interrupt[i];
    rest = (length == 0 -> 0 : WAITERS);
#ifdef M_REST_FORGOTTEN
    rest = 0;
#endif
    w = word;
    result = 3;
    do
    :: result == 3 ->
       d_step {
           if
           :: word != w -> w = word
           :: word == w && !IS_HELD(w) ->
              word = (i + 1) * HELD + rest;
              note_taken(i);
              result = 0
           :: word == w && IS_HELD(w) && refused ->
#ifdef M_REFUSED_KEEPS
              word = (w / HELD) * HELD | CALLED | WAITERS;
#else
              word = (w / HELD) * HELD | rest;
#endif
              was_called[i] = false;
              overtaken[i] = 0;
              result = REFUSED
           :: word == w && IS_HELD(w) && !refused ->
#ifdef M_VAIN_FORGOTTEN
              word = (w / HELD) * HELD | WAITERS;
#else
              word = (w / HELD) * HELD | WAITERS | BOUND * BARGE;
#endif
              result = CALL
           fi
       }
    :: else -> break
    od
}

/* The sleep of weft__park(): until called, or cancelled. */
inline sleep(i)
{
    atomic { woken[i] != NOT_YET -> result = woken[i]; woken[i] = NOT_YET }
}

inline lock_mutex(i)
{
    result = 0;
    if
    :: interrupt[i] -> result = REFUSED /* weft__enter() */
    :: else ->
       take(i);
       if
       :: got
       :: else ->
#ifdef M_MARKS_UNLOCKED
          take_or_mark(i);
#endif
          atomic { !lock -> lock = true };
#ifndef M_MARKS_UNLOCKED
          take_or_mark(i);
#endif
          if
          :: got -> lock = false
          :: else ->
             push_back(i);
             lock = false;
             sleep(i);
             do
             :: result == CALL ->
                atomic { !lock -> lock = true };
                answer_call(i);
                if
                :: result == CALL -> push_front(i); lock = false; sleep(i)
                :: else -> lock = false
                fi
             :: else -> break
             od
          fi
       fi
    fi
}

inline unlock_mutex(i)
{
    w = word;
    done = false;
    do
    :: done -> break
#ifdef M_CALLS_NOBODY
    :: else ->
#else
    :: !done && (w & (WAITERS | CALLED)) == WAITERS ->
       atomic { !lock -> lock = true };
       if
       :: length > 0 ->
          pop_first();
          d_step {
              word = (word & BARGES) | CALLED | WAITERS;
              was_called[first] = true
          };
          assert(woken[first] == NOT_YET);
          woken[first] = CALL
       :: else -> word = 0
       fi;
       lock = false;
       done = true
    :: !done && (w & (WAITERS | CALLED)) != WAITERS ->
#endif
       d_step {
           if
           :: word == w -> word = w & (HELD - 1); done = true
           :: else -> w = word
           fi
       }
    od
}

proctype locker(byte i)
{
    byte w, first, rest, result, round, k;
    bool got, marked, refused, done;

    for (round : 1 .. ROUNDS) {
        lock_mutex(i);
        if
        :: result == 0 ->
           inside++;
           assert(inside == 1 && word / HELD == i + 1);
           inside--;
           unlock_mutex(i)
        :: else -> interrupt[i] = false /* the scope has ended */
        fi
    }
}

/* weft__scope_refresh(), on the thread of the task: never while the task runs. */
proctype canceller()
{
    byte i, k, at;
    do
    :: cancels > 0 ->
       cancels--;
       i = 0;
       do
       :: i < LOCKERS - 1 -> i++
       :: break
       od;
       atomic { !lock -> lock = true };
       d_step {
           at = LOCKERS;
           for (k : 0 .. LOCKERS - 1) {
               if
               :: k < length && queue[k] == i -> at = k
               :: else
               fi
           };
           if
           :: at < LOCKERS -> /* weft__shared_abandon() */
#ifndef M_KEEPS_ENTRY
              for (k : 0 .. LOCKERS - 2) {
                  if
                  :: k >= at -> queue[k] = queue[k + 1]
                  :: else
                  fi
              };
              queue[LOCKERS - 1] = 0;
              length--;
#endif
              was_called[i] = false;
              overtaken[i] = 0;
              woken[i] = REFUSED
           :: else
           fi;
           interrupt[i] = true;
           k = 0;
           at = 0
       };
       lock = false
    :: else -> break
    od
}

init
{
    atomic {
        byte n;
        for (n : 0 .. LOCKERS - 1) {
            run locker(n)
        };
#if CANCELS
        run canceller();
#endif
    }
}
