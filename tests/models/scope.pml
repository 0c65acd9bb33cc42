/* SPDX-License-Identifier: MIT */
/*
 * The two parts of a scope: children beside its owner end without the lock, others under it, and
 * the owner, which sleeps until all have ended, is woken. It may be woken for nothing, but never
 * sleeps for ever, and never goes on while a child lives.
 *
 * Models, line by line: close_slowly(), wait_on(), child_ended() and tell_owner() of core/scope.c;
 * weft__scope_make_remote(); enter_scope_remote() of core/spawn.c, with weft__share_remote() of
 * core/share.c; weft__mail() and open_task() of core/post.c as far as they wake the owner.
 * Covered: every interleaving of an owner's worker with LOCAL children, of which any may become
 * public at any time before it has run; THIEVES other workers, which take what is public and end
 * it; and, with GUEST, another worker that spawns one child of its own into the scope and ends it,
 * before which it must make the owner's worker take the lock.
 * Assumed: sequential consistency; the barrier as in share.pml: who waits for `in_core` after the
 * flag sees the worker in no operation, or in one that has seen the flag.
 *
 * run all_local: -DLOCAL=2 -DTHIEVES=1
 * run three_children: -DLOCAL=3 -DTHIEVES=1
 * run two_thieves: -DLOCAL=3 -DTHIEVES=2
 * run guest: -DLOCAL=2 -DTHIEVES=1 -DGUEST
 * mutant local_looks_at_its_part_only: all_local -DM_SLEEPS_ON_LOCAL
 * mutant remote_tells_nobody: all_local -DM_REMOTE_SILENT
 * mutant last_local_takes_no_lock: two_thieves -DM_NO_LOCK
 * mutant guest_does_not_wait: guest -DM_GUEST_NO_WAIT
 * mutant goes_on_when_woken: two_thieves -DM_NO_SECOND_LOOK
 */

bool in_core;       /* that worker is in an operation */
bool is_locked;
bool has_remote;    /* scope.has_remote is not PRIVATE */
byte near = LOCAL; /* children in the local part */
byte far;        /* in the remote part */
byte public;        /* of those, who waits for a thief */
bool is_waiting;    /* the owner stands in scope.waiters */
bool is_touched;    /* somebody is at scope.waiters */
bool is_mailed;     /* REMOTE_WAKE of the owner */
bool is_closed;
bool is_guest_done;

inline lock()
{
    atomic { !is_locked -> is_locked = true }
}

inline let_go()
{
    is_locked = false
}

/* scope.waiters is one thread's at a time. */
inline touch()
{
    atomic { assert(!is_touched); is_touched = true }
}

inline leave()
{
    is_touched = false
}

/* Of a child on the owner's worker; tell_owner() there wakes without mail. */
inline end_local()
{
    in_core = true;
    near--;
    if
    :: !has_remote ->
       touch();
       if
       :: is_waiting && near == 0 -> is_waiting = false; is_ready = true
       :: else
       fi;
       leave()
    :: has_remote && near > 0
    :: has_remote && near == 0 ->
#ifndef M_NO_LOCK
       lock();
#endif
       touch();
       if
       :: is_waiting -> is_waiting = false; is_ready = true
       :: else
       fi;
       leave();
#ifndef M_NO_LOCK
       let_go()
#endif
    fi;
    in_core = false
}

inline end_remote()
{
    lock();
    far--;
#ifndef M_REMOTE_SILENT
    touch();
    if
    :: is_waiting && far == 0 -> is_waiting = false; is_mailed = true
    :: else
    fi;
    leave();
#endif
    let_go()
}

/* weft__publish() */
inline publish()
{
    in_core = true;
    lock();
    has_remote = true;
    near--;
    far++;
    public++;
    let_go();
    in_core = false
}

#ifdef GUEST
#define IS_PINNED (!is_guest_done) /* the child that has called the guest, and joins it */
#else
#define IS_PINNED 0
#endif

#ifdef M_SLEEPS_ON_LOCAL
#define LIVES (near > 0)
#else
#define LIVES (near + far > 0)
#endif

/* One pass of close_slowly(). */
inline close()
{
    in_core = true;
    locks = has_remote;
    if
    :: locks -> lock()
    :: else
    fi;
    if
#ifdef M_NO_SECOND_LOOK
    :: LIVES && !has_slept ->
#else
    :: LIVES ->
#endif
       touch();
       is_waiting = true;
       is_ready = false;
       has_slept = true;
       leave()
    :: else -> assert(near + far == 0); is_closed = true
    fi;
    if
    :: locks -> let_go()
    :: else
    fi;
    in_core = false
}

proctype owners_worker()
{
    bool is_ready = true, locks, has_slept;
    do
    :: is_closed -> break
    :: !is_closed && is_ready -> close()
    :: near > IS_PINNED -> end_local()
    :: near > IS_PINNED -> publish()
    :: is_mailed -> is_mailed = false; is_ready = true
    od
}

proctype thief()
{
    do
    :: atomic { public > 0 -> public-- }; end_remote()
    :: is_closed -> break
    od
}

#ifdef GUEST
/* Spawns into the scope, and ends what it spawned. */
proctype guest()
{
    lock();
    has_remote = true;
    let_go();
#ifndef M_GUEST_NO_WAIT
    !in_core;
#endif
    lock();
    far++;
    let_go();
    end_remote();
    is_guest_done = true
}
#endif

init
{
    byte n;
    atomic {
#ifdef GUEST
        run guest();
#endif
        run owners_worker();
        for (n : 1 .. THIEVES) {
            run thief()
        }
    }
}
