/* SPDX-License-Identifier: MIT */
/*
 * Who looks for public chunks: at most one idle worker, and some idle worker whenever there are any.
 *
 * Models, line by line: call_watcher(), becomes_watcher(), resign(), weft__steal() and
 * weft__steal_must_watch() of core/steal.c; what weft__crew_rest() and weft__crew_rise() of
 * core/crew.c do for them; that a worker which was idle and has got a task hands its office on.
 * Covered: every interleaving of a worker that publishes CHUNKS chunks, and then runs its own task
 * for ever; and of IDLE workers, of which the first may also get a task by mail at any time, which
 * runs for ever, too. A chunk that is taken runs for ever.
 * Assumed: sequential consistency; a look takes the oldest chunk (that it was there at the look
 * before only makes it later), or nothing, if somebody was faster; the watcher's time-out passes.
 * At the end all sleep or run for ever: public work beside a worker that sleeps is a failed
 * assertion of the auditor, who looks when nothing moves any more.
 *
 * run one_idle: -DIDLE=1 -DCHUNKS=1
 * run two_idle: -DIDLE=2 -DCHUNKS=2
 * run two_idle_and_mail: -DIDLE=2 -DCHUNKS=2 -DMAIL
 * run three_idle: -DIDLE=3 -DCHUNKS=1
 * mutant publishes_after_look: one_idle -DM_LOOKS_FIRST
 * mutant rests_without_look: one_idle -DM_NO_LOOK_AT_REST
 * mutant office_is_kept: two_idle_and_mail -DM_KEEPS_OFFICE
 * mutant call_is_not_handed_on: two_idle_and_mail -DM_CALL_NOT_HANDED_ON
 */

#define NOBODY 255
#define PUBLISHER IDLE /* the idle workers are 0 to IDLE - 1 */

byte public;            /* chunks in the deque of the publisher */
byte watcher = NOBODY;  /* crew.watcher */
byte resting;           /* crew.resting; crew.lock is not held for long: see the atomic steps */
bool is_resting[IDLE];
bool signalled[IDLE];   /* poll() returns, once */
bool has_mail;          /* in the inbox of worker 0 */
byte busy;              /* idle workers that have got a task */
byte looking;

/* Somebody who rests shall watch, if nobody does. */
inline call_watcher()
{
    if
    :: watcher != NOBODY
    :: else ->
       if
       :: resting == 0
       :: else ->
          do
          :: other < IDLE && other != me && is_resting[other] -> signalled[other] = true; break
          :: other < IDLE && (other == me || !is_resting[other]) -> other++
          :: other == IDLE -> break
          od;
          other = 0
       fi
    fi
}

/* Stores in is_mine whether this worker has the office. */
inline become_watcher()
{
    atomic {
        if
        :: watcher == NOBODY -> watcher = me
        :: else
        fi;
        is_mine = watcher == me
    }
}

/* pop_oldest_chunk(): somebody may have been faster. */
inline look()
{
    atomic { looking++; assert(looking == 1 && watcher == me) };
    atomic {
        looking--;
        if
        :: public > 0 -> public--; has_task = true
        :: else
        fi
    }
}

/* weft__steal() */
inline steal()
{
    is_public = public > 0;
    if
    :: is_public || watcher == me -> become_watcher()
    :: else
    fi;
    if
    :: is_mine -> /* its time has come */
       look();
       if
       :: has_task ->
          watcher = NOBODY; /* and calls the next one: see the end of idle() */
       :: !has_task && !is_public -> /* in vain, for the last time or not */
          if
          :: watcher = NOBODY
          :: true
          fi
       :: else
       fi
    :: is_mine /* not yet */
    :: else
    fi;
    is_mine = false;
    is_public = false
}

/* weft__crew_rest(), poll(), weft__crew_rise() */
inline rest()
{
    atomic { is_resting[me] = true; resting++ };
#ifndef M_NO_LOOK_AT_REST
    if
    :: public > 0 -> become_watcher()
    :: else
    fi;
#endif
    is_mine = false;
end_poll:
    if
    :: signalled[me] -> signalled[me] = false
    :: watcher == me /* its time-out */
    fi;
    atomic { is_resting[me] = false; resting-- }
}

proctype idle(byte me)
{
    byte other;
    bool has_task, is_public, is_mine;
end:
    do
    :: me == 0 && has_mail -> has_task = true; has_mail = false; break
    :: !(me == 0 && has_mail) ->
       steal();
       if
       :: has_task -> break
       :: else -> rest()
       fi
    od;
    /* It runs a task from now on, and hands its office on: also the one to which it was called. */
#ifndef M_KEEPS_OFFICE
    if
    :: watcher == me -> watcher = NOBODY
    :: else
    fi;
#endif
#ifndef M_CALL_NOT_HANDED_ON
    if
    :: public > 0 -> call_watcher()
    :: else
    fi;
#endif
    busy++
}

proctype publisher()
{
    byte me = PUBLISHER;
    byte other, done_with;
    do
    :: done_with < CHUNKS ->
       done_with++;
#ifdef M_LOOKS_FIRST
       call_watcher();
       public++
#else
       public++;
       call_watcher()
#endif
    :: else -> break
    od
}

#ifdef MAIL
proctype partner()
{
    has_mail = true;
    signalled[0] = true
}
#endif

/* Nothing moves any more: whoever could take what is public has something else to do. */
proctype auditor()
{
    timeout;
    assert(public == 0 || busy == IDLE)
}

init
{
    byte w;
    atomic {
        for (w : 0 .. IDLE - 1) {
            run idle(w)
        };
        run publisher();
#ifdef MAIL
        run partner();
#endif
        run auditor()
    }
}
