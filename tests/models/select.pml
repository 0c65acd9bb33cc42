/* SPDX-License-Identifier: MIT */
/*
 * Who completes a select: exactly one, the others without any effect, and nothing is lost.
 *
 * Models, line by line: weft__select_claim(), weft__select_withdraw(), weft__select_withdraw_shared()
 * and weft__select_timer() of core/select.c; weft__waiter_claim() and weft__waiter_complete() of
 * core/park.h; weft__shared_send_now(), weft__shared_complete() and weft__shared_arrived() of
 * core/chan_shared.c; the private send and find_way() of core/chan.c; open_task() of core/post.c.
 * Covered: every interleaving of a task of worker 0 that does SELECTS selects, each of which
 * receives from three channels of capacity 2: MINE, private to worker 0; TURNING, private at first
 * and shared by another worker at any time; PUBLIC, shared from the beginning. One value is sent
 * to each by worker 0 (which looks at its inbox, sends, and fires the select's timer in any order)
 * to MINE and TURNING, by a second worker to TURNING, and by a third to PUBLIC.
 * Assumed: sequential consistency; that the barrier does what share.pml shows, so that an ask is
 * followed by a wait for in_core = 0.
 * Whoever touches a channel marks it as busy meanwhile: two at a time are a failed assertion.
 *
 * run one_select: -DSELECTS=1
 * run two_selects: -DSELECTS=2
 * run two_selects_with_timer: -DSELECTS=2 -DTIMER
 * mutant claims_without_look: two_selects -DM_NO_LOOK
 * mutant does_not_claim: one_select -DM_NO_CLAIM
 * mutant timer_does_not_claim: two_selects_with_timer -DM_TIMER_NO_CLAIM
 * mutant claim_leaves_what_is_asked_for: one_select -DM_LEAVES_ASKED
 * mutant pop_takes_what_is_done: one_select -DM_POPS_DONE
 * mutant wake_is_forgotten_early: two_selects -DM_FORGETS_EARLY
 * mutant is_not_exposed: one_select -DM_NOT_EXPOSED
 * mutant withdraws_what_is_private: one_select -DM_WITHDRAWS_PRIVATE
 */

#define MINE 0
#define TURNING 1
#define PUBLIC 2
#define CHANS 3
#define TIMED_OUT 3 /* as the index of a case */
#define NONE 4
#define VALUES 5 /* 1 to 4: who sent it */

#define PRIVATE 0
#define ASKED 1
#define SHARED 2

byte sharing[CHANS];
bool busy[CHANS];      /* somebody touches it now */
byte stored[CHANS];    /* the values in the channel, a bit for each */
bool in_core;          /* of worker 0 */
bool is_exposed;       /* of worker 0 */
bool is_locked;        /* weft__shared_lock */

/* The task of worker 0 and its select. */
bool is_linked[CHANS]; /* its waiters */
byte slot[CHANS];      /* where the cases' values go to */
bool is_woken;         /* REMOTE_WAKE */
bool is_mailed;        /* in the inbox */
byte wake_result;
bool is_parked, is_ready;
byte got[VALUES];      /* how often the task received each */

inline lock()
{
    atomic { !is_locked -> is_locked = true }
}

inline let_go()
{
    is_locked = false
}

inline touch(c)
{
    atomic { assert(!busy[c]); busy[c] = true }
}

inline leave(c)
{
    busy[c] = false
}

/* Takes the task's waiter out of the queue of c, if it stands there. */
inline withdraw(c)
{
    if
    :: is_linked[c] -> touch(c); is_linked[c] = false; leave(c)
    :: else
    fi
}

/* ---- with the lock held ---- */

/* weft__select_withdraw_shared(): by another worker what is settled; by the task's own also what
 * was only asked for, which nobody else touches. */
inline withdraw_shared(from)
{
    c = 0;
    do
    :: c < CHANS ->
       if
#ifdef M_WITHDRAWS_PRIVATE
       :: true -> withdraw(c)
#else
       :: sharing[c] >= from -> withdraw(c)
       :: else
#endif
       fi;
       c++
    :: else -> break
    od;
    c = 0
}

/* weft__shared_send_now(): a value to whoever waits, or into the channel, which has room. */
inline send_shared(to, value)
{
    touch(to);
    if
    :: is_linked[to] -> is_linked[to] = false; found = true
    :: else
    fi;
#ifndef M_POPS_DONE
    if
    :: is_woken -> found = false
    :: else
    fi;
#endif
    if
    :: found -> slot[to] = value
    :: else -> stored[to] = stored[to] | (1 << value)
    fi;
    leave(to);
    if
    :: found ->
       withdraw_shared(SHARED);
       wake_result = to;
       d_step { is_woken = true; is_mailed = true; found = false }
    :: else
    fi
}

/* ---- worker 0, in an operation ---- */

inline claim()
{
    is_claimed = true;
    if
#ifdef M_NO_LOOK
    :: true
#else
    :: !is_exposed
#endif
    :: else ->
       lock();
       is_claimed = !is_woken;
       if
#ifdef M_LEAVES_ASKED
       :: is_claimed -> withdraw_shared(SHARED)
#else
       :: is_claimed -> withdraw_shared(ASKED)
#endif
       :: else
       fi;
       let_go()
    fi
}

inline withdraw_all()
{
    c = 0;
    do
    :: c < CHANS -> withdraw(c); c++
    :: else -> break
    od;
    c = 0
}

inline make_ready(result)
{
    d_step {
        assert(is_parked);
        is_parked = false;
        is_ready = true;
        wake_result = result
    }
}

/* The private send: weft__chan_send_now() */
inline send_private(to, value)
{
    touch(to);
    if
    :: is_linked[to] -> is_linked[to] = false; found = true
    :: else
    fi;
    leave(to);
    is_claimed = found;
#ifndef M_NO_CLAIM
    if
    :: found -> claim()
    :: else
    fi;
#endif
    touch(to);
    if
    :: is_claimed -> slot[to] = value
    :: else -> stored[to] = stored[to] | (1 << value)
    fi;
    leave(to);
    if
    :: is_claimed -> withdraw_all(); make_ready(to)
    :: else
    fi;
    found = false;
    is_claimed = false
}

inline send(to, value)
{
    in_core = true;
    if
    :: sharing[to] == PRIVATE -> send_private(to, value); in_core = false
    :: else ->
       in_core = false;
       lock();
       send_shared(to, value);
       let_go()
    fi
}

inline fire_timer()
{
    in_core = true;
    is_claimed = is_parked;
#ifndef M_TIMER_NO_CLAIM
    if
    :: is_parked -> claim()
    :: else
    fi;
#endif
    if
    :: is_claimed -> withdraw_all(); make_ready(TIMED_OUT)
    :: else
    fi;
    is_claimed = false;
    in_core = false
}

/* open_task() and weft__shared_arrived(): the node is out of the inbox */
inline drain()
{
    in_core = true;
    is_mailed = false;
#ifdef M_FORGETS_EARLY
    is_woken = false;
#endif
    lock();
    withdraw_all(); /* a channel may have become shared since */
    is_woken = false;
    let_go();
    make_ready(wake_result);
    in_core = false
}

/* select_any() under the lock, since PUBLIC is among them: takes a value, or goes to sleep. */
inline select_once()
{
    in_core = true;
    lock();
#ifndef M_NOT_EXPOSED
    is_exposed = true;
#endif
    c = 0;
    do
    :: c < CHANS && !found ->
       touch(c);
       if
       :: stored[c] != 0 ->
          d_step {
              value = 1;
              do
              :: stored[c] & (1 << value) -> break
              :: else -> value++
              od;
              got[value]++;
              stored[c] = stored[c] - (1 << value);
              value = 0;
              found = true;
              selects++
          }
       :: else
       fi;
       leave(c);
       c++
    :: else -> break
    od;
    c = 0;
    if
    :: found
    :: else ->
       do
       :: c < CHANS -> touch(c); is_linked[c] = true; leave(c); c++
       :: else -> break
       od;
       c = 0;
       is_parked = true
    fi;
    let_go();
    found = false;
    in_core = false
}

/* The task goes on: one case has its value, no other has. */
inline resume()
{
    d_step {
        is_ready = false;
        c = 0;
        do
        :: c < CHANS ->
           assert(!is_linked[c]);
           assert((slot[c] != 0) == (c == wake_result));
           got[slot[c]]++;
           slot[c] = 0;
           c++
        :: else -> break
        od;
        c = 0;
        wake_result = NONE;
        selects++
    }
}

proctype worker_0()
{
    byte c, selects, value;
    bool found, is_claimed, sent_mine, sent_turning, has_fired;
#ifndef TIMER
    has_fired = true;
#endif
    do
    :: !is_parked && !is_ready && selects < SELECTS -> select_once()
    :: is_ready -> resume()
    :: is_mailed -> drain()
    :: !sent_mine -> sent_mine = true; send(MINE, 1)
    :: !sent_turning -> sent_turning = true; send(TURNING, 2)
    :: !has_fired && is_parked -> has_fired = true; fire_timer()
    :: selects == SELECTS && sent_mine && sent_turning -> break
    od;
    /* what comes later stays in the channels: nobody waits there */
    for (c : 0 .. CHANS - 1) {
        assert(!is_linked[c] && slot[c] == 0)
    };
    assert(!is_parked && !is_mailed && !is_woken)
}

proctype worker_1()
{
    byte c;
    bool found;
    /* weft__share_chan() */
    lock();
    sharing[TURNING] = ASKED;
#ifndef M_NOT_EXPOSED
    is_exposed = true;
#endif
    let_go();
    !in_core;
    lock();
    sharing[TURNING] = SHARED;
    let_go();

    lock();
    send_shared(TURNING, 3);
    let_go()
}

proctype worker_2()
{
    byte c;
    bool found;
    lock();
    send_shared(PUBLIC, 4);
    let_go()
}

init
{
    atomic {
        sharing[PUBLIC] = SHARED;
        wake_result = NONE;
        run worker_0();
        run worker_1();
        run worker_2()
    };
    _nr_pr == 1;
    byte v, kept;
    for (v : 0 .. CHANS - 1) {
        kept = kept | stored[v]
    };
    for (v : 1 .. VALUES - 1) { /* each either arrived, once, or is in its channel */
        assert(got[v] + ((kept >> v) & 1) == 1)
    }
}
