/* SPDX-License-Identifier: MIT */
/*
 * How a private object becomes everybody's: nobody is in it beside its owner, and all get through.
 *
 * Models, line by line: core_enter(), core_leave(), weft__share_wait(), ask(), settle() and
 * weft__share_chan() of core/share.c and share.h; begin() and find_way() of core/chan.c, which
 * choose between the private operation and the one under weft__shared_lock.
 * Covered: every interleaving of OWNERS workers that own an object each and do OPS operations on
 * it, and of SHARERS that use the object of worker 0: plain workers, or (CROSS) the two owners
 * themselves, each of which also uses the object of the other.
 * Assumed: stores of a thread become visible in order (TSO), but late; or (PSO) stores to different
 * words in any order, except that a release store waits for those before it. The store buffer is
 * explicit: it is written to memory one by one at any time, and as a whole by the owner's own
 * locked instructions and by membarrier(). A load is not delayed (membarrier is a full barrier in
 * the instruction stream of the other thread, also for its loads).
 * The object is two words which an operation makes equal again: who finds them different is not
 * alone.
 *
 * run one_sharer: -DOWNERS=1 -DSHARERS=1 -DOPS=3
 * run two_sharers: -DOWNERS=1 -DSHARERS=2 -DOPS=2
 * run two_sharers_weak_order: -DOWNERS=1 -DSHARERS=2 -DOPS=2 -DPSO
 * run each_others: -DOWNERS=2 -DSHARERS=0 -DOPS=2 -DCROSS
 * mutant no_barrier: one_sharer -DM_NO_BARRIER
 * mutant barrier_before_flag: one_sharer -DM_BARRIER_FIRST
 * mutant looks_before_entering: one_sharer -DM_LOOKS_FIRST
 * mutant does_not_wait: one_sharer -DM_NO_WAIT
 * mutant second_does_not_wait: two_sharers -DM_SECOND_NO_WAIT
 * mutant leave_is_no_release: two_sharers_weak_order -DM_RELAXED_LEAVE
 * mutant waits_with_lock: one_sharer -DM_WAITS_WITH_LOCK
 * mutant waits_in_operation: each_others -DM_WAITS_IN_OPERATION
 */

#define THREADS (OWNERS + SHARERS)
#define DEPTH 6 /* of a store buffer */
#define PRIVATE 0
#define ASKED 1
#define SHARED 2

/* Words that owners write with plain stores: of each owner in_core, and the two of its object. */
#define IN_CORE(o) (3 * (o))
#define LEFT(o) (3 * (o) + 1)
#define RIGHT(o) (3 * (o) + 2)
#define RELEASE 16 /* added to a word: a release store */

typedef store_buffer {
    byte count;
    byte word[DEPTH];
    byte value[DEPTH]
};

byte memory[3 * OWNERS];
store_buffer buffer[THREADS];
byte sharing[OWNERS];      /* chan->sharing, and chan->home: its owner while PRIVATE */
bool is_locked;            /* weft__shared_lock */

/* ---- the machine ---- */

inline store(what, number)
{
    atomic {
        buffer[me].count < DEPTH ->
        buffer[me].word[buffer[me].count] = what;
        buffer[me].value[buffer[me].count] = number;
        buffer[me].count++
    }
}

/* What the thread itself sees: its own newest store, or memory. */
inline load(what, ret)
{
    d_step {
        ret = memory[what];
        k = 0;
        do
        :: k < buffer[me].count ->
           if
           :: buffer[me].word[k] % RELEASE == what -> ret = buffer[me].value[k]
           :: else
           fi;
           k++
        :: else -> break
        od;
        k = 0
    }
}

/* Writes the k-th store to memory. */
inline write_back(whose, k)
{
    memory[buffer[whose].word[k] % RELEASE] = buffer[whose].value[k];
    j = k;
    do
    :: j + 1 < buffer[whose].count ->
       buffer[whose].word[j] = buffer[whose].word[j + 1];
       buffer[whose].value[j] = buffer[whose].value[j + 1];
       j++
    :: else -> break
    od;
    buffer[whose].count--;
    buffer[whose].word[buffer[whose].count] = 0;
    buffer[whose].value[buffer[whose].count] = 0;
    j = 0
}

inline drain(whose)
{
    do
    :: buffer[whose].count > 0 -> write_back(whose, 0)
    :: else -> break
    od
}

/* The memory system: stores reach memory at any time. */
proctype flusher(byte whose)
{
    byte j, k;
end:
    do
    :: d_step { buffer[whose].count > 0 -> write_back(whose, 0) }
#ifdef PSO
    :: d_step { /* the second one overtakes: another word, and no release */
           buffer[whose].count > 1 && buffer[whose].word[1] < RELEASE &&
           buffer[whose].word[0] % RELEASE != buffer[whose].word[1] ->
           write_back(whose, 1)
       }
#endif
    od
}

/* Locked instructions: the thread's own stores come first. */
inline lock()
{
    d_step { !is_locked -> drain(me); is_locked = true }
}

inline let_go()
{
    d_step { drain(me); is_locked = false }
}

inline membarrier()
{
#ifndef M_NO_BARRIER
    d_step {
        i = 0;
        do
        :: i < THREADS -> drain(i); i++
        :: else -> break
        od;
        i = 0
    }
#else
    d_step { drain(me) }
#endif
}

/* ---- the code ---- */

#ifdef M_RELAXED_LEAVE
#define core_leave() store(IN_CORE(me), 0)
#else
#define core_leave() store(IN_CORE(me) + RELEASE, 0)
#endif

/* Nobody else is in the object. */
inline operate(o)
{
    load(LEFT(o), left);
    load(RIGHT(o), right);
    assert(left == right);
    store(LEFT(o), 1 - left);
    store(RIGHT(o), 1 - right);
    d_step { left = 0; right = 0 }
}

/* weft__share_wait() */
inline share_wait(o)
{
#ifndef M_BARRIER_FIRST
    membarrier();
#endif
#ifndef M_NO_WAIT
    memory[IN_CORE(o)] == 0
#else
    skip
#endif
}

/* weft__share_chan(): afterwards the lock gives access to it. */
inline share(o)
{
    if
    :: sharing[o] == SHARED
    :: else ->
#ifdef M_BARRIER_FIRST
       membarrier();
#endif
       lock();
       must_wait = sharing[o] != SHARED && o != me;
#ifdef M_SECOND_NO_WAIT
       must_wait = sharing[o] == PRIVATE && o != me;
#endif
       if
       :: sharing[o] == PRIVATE -> sharing[o] = ASKED
       :: else
       fi;
#ifdef M_WAITS_WITH_LOCK
       if
       :: must_wait -> share_wait(o); sharing[o] = SHARED
       :: else
       fi;
       let_go();
#else
       let_go();
       if
       :: must_wait ->
          share_wait(o);
          lock();
          sharing[o] = SHARED;
          let_go()
       :: else
       fi;
#endif
       must_wait = false
    fi
}

inline operate_shared(o)
{
    share(o);
    lock();
    operate(o);
    let_go()
}

/* A call of worker `me`, which owns an object, on its own. */
inline call_own()
{
#ifdef M_LOOKS_FIRST
    is_private = sharing[me] == PRIVATE;
    store(IN_CORE(me), 1);
#else
    store(IN_CORE(me), 1);
    is_private = sharing[me] == PRIVATE;
#endif
    if
    :: is_private -> operate(me); core_leave()
    :: else -> core_leave(); operate_shared(me)
    fi;
    is_private = false
}

/* An operation on something private, in which it wants the lock besides: select_claim() does. */
inline call_claim()
{
    store(IN_CORE(me), 1);
    lock();
    let_go();
    core_leave()
}

proctype owner(byte me)
{
    byte i, j, k, left, right, calls;
    bool must_wait, is_private;
    do
    :: calls < OPS -> calls++; call_own()
    :: else -> break
    od;
#ifdef CROSS
#ifdef M_WAITS_IN_OPERATION
    store(IN_CORE(me), 1);
    operate_shared(1 - me);
    core_leave()
#else
    operate_shared(1 - me);
    call_own()
#endif
#else
    call_claim()
#endif
}

proctype sharer(byte me)
{
    byte i, j, k, left, right;
    bool must_wait;
    operate_shared(0);
    operate_shared(0)
}

init
{
    byte n;
    atomic {
        for (n : 0 .. THREADS - 1) {
            if
            :: n < OWNERS -> run owner(n)
            :: else -> run sharer(n)
            fi;
            run flusher(n)
        }
    }
}
