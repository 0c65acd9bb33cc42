/* SPDX-License-Identifier: MIT */
/*
 * A chunk of unstarted tasks goes to a thief while its owner joins, cancels and takes it back: each
 * task runs once, a cancellation reaches it, who joins it is woken once, its record is given up
 * once and not while it is in an inbox.
 *
 * Models, line by line: make_remote(), push_chunk(), pop_oldest_chunk(), weft__ready_take_back(),
 * share(), adopt(), for_each() and take_over() of core/steal.c; weft__share_task() and task_step()
 * of core/share.c; weft_join(), begin_join() and join_shared() of core/join.c; finish() and
 * finish_shared(), weft__task_release() and leaves_inbox() of core/task.c; weft__scope_cancel() and
 * visit() of core/cancel.c; weft__mail() and take_requests() of core/post.c.
 * Covered: every interleaving of an owner that publishes CHUNKS chunks of PER tasks, takes chunks
 * back, joins the first task and cancels the scope, all in any order; THIEVES thieves; and, with
 * JOINER, another worker that joins the first task; with CANCELLER, the scope is of another worker,
 * which cancels it, too (two causes: it, and something above it), and sends mail for it; with DUE,
 * thieves have asked for the chunks, so that their owner shares them, and no thief waits for it.
 * Each task runs until its cancellation reaches it: one that is forgotten is an invalid end state.
 * Assumed: sequential consistency; the barrier as in share.pml; the oldest chunk is taken whenever
 * a thief likes (when it looks is in watch.pml).
 *
 * run one_thief: -DCHUNKS=1 -DPER=2 -DTHIEVES=1
 * run two_chunks: -DCHUNKS=2 -DPER=1 -DTHIEVES=1
 * run thief_and_joiner: -DCHUNKS=1 -DPER=1 -DTHIEVES=1 -DJOINER
 * run two_thieves: -DCHUNKS=2 -DPER=1 -DTHIEVES=2
 * run far_canceller: -DCHUNKS=1 -DPER=1 -DTHIEVES=1 -DCANCELLER
 * run far_canceller_two_tasks: -DCHUNKS=1 -DPER=2 -DTHIEVES=1 -DCANCELLER
 * run due_two_tasks: -DCHUNKS=1 -DPER=2 -DTHIEVES=1 -DDUE
 * run due_two_chunks: -DCHUNKS=2 -DPER=1 -DTHIEVES=1 -DDUE
 * run due_joiner: -DCHUNKS=1 -DPER=1 -DTHIEVES=1 -DJOINER -DDUE
 * run due_two_thieves: -DCHUNKS=2 -DPER=1 -DTHIEVES=2 -DDUE
 * mutant due_is_not_shared: due_two_tasks -DM_DUE_IS_PRIVATE
 * mutant takes_without_lock: two_chunks -DM_DEQUE_WITHOUT_LOCK
 * mutant does_not_wait: one_thief -DM_NO_WAIT
 * mutant mail_is_not_passed_on: far_canceller -DM_NOT_PASSED_ON
 * mutant released_in_inbox: far_canceller -DM_NO_ZOMBIE
 * mutant private_in_shared_scope: far_canceller -DM_PRIVATE_IN_SHARED_SCOPE
 * mutant private_end_is_not_seen: thief_and_joiner -DM_PRIVATE_END_UNSEEN
 * mutant private_before_stale: thief_and_joiner -DM_PRIVATE_BEFORE_STALE
 */

#if defined JOINER || defined CANCELLER
#define WORKERS (2 + THIEVES)
#else
#define WORKERS (1 + THIEVES)
#endif
#define TASKS (CHUNKS * PER)
#define OWNER 0
#define NOBODY 255

#define PRIVATE 0
#define ASKED 1
#define SHARED 2

/* The deque: chunk k is the tasks k * PER to k * PER + PER - 1. */
byte first, count;       /* what is public is the chunks first .. first + count - 1 */
bool deque_lock;

bool in_core;            /* of the owner */
bool is_locked;          /* weft__shared_lock */
bool is_cancelled;       /* the scope's flag */

typedef task_record {
    byte worker;
    byte sharing;
    bool busy;           /* somebody touches its end or its joiners */
    byte runs;           /* how often it was started */
    bool interrupt;
    bool is_walk;        /* REMOTE_WALK */
    byte inbox;          /* whose inbox the node is in, or NOBODY */
    bool is_zombie;
    bool is_ended;       /* task.state */
    bool is_ended_fact;  /* REMOTE_ENDED */
    bool is_stale;       /* its id is 0: released */
    bool joiners[WORKERS]
};

task_record task[TASKS];
byte woken[WORKERS];     /* how often the worker's joiner was woken, or found the task ended */
byte ended;

inline lock()
{
    atomic { !is_locked -> is_locked = true }
}

inline let_go()
{
    is_locked = false
}

inline lock_deque()
{
#ifndef M_DEQUE_WITHOUT_LOCK
    atomic { !deque_lock -> deque_lock = true }
#else
    skip
#endif
}

inline unlock_deque()
{
    deque_lock = false
}

inline touch(t)
{
    atomic { assert(!task[t].busy && !task[t].is_stale); task[t].busy = true }
}

inline leave(t)
{
    task[t].busy = false
}

/* By the worker that runs the task, or will: nobody else touches what it sleeps in. */
inline refresh(t)
{
    assert(task[t].worker == me);
    task[t].interrupt = is_cancelled
}

/* ---- release ---- */

inline release_shared(t)
{
    if
#ifndef M_NO_ZOMBIE
    :: task[t].is_walk -> task[t].is_zombie = true
#endif
    :: else ->
#ifdef M_PRIVATE_BEFORE_STALE
       task[t].sharing = PRIVATE;
#endif
       task[t].is_stale = true
    fi
}

/* ---- inbox ---- */

/* With the lock held. */
inline mail_walk(t)
{
    d_step {
        if
        :: task[t].is_walk
        :: else -> task[t].is_walk = true; task[t].inbox = task[t].worker
        fi
    }
}

/* A task has come out of the worker's inbox. */
inline take_requests(t)
{
    assert(!task[t].is_stale);
    if
    :: me == OWNER -> in_core = true
    :: else
    fi;
    locks = task[t].sharing != PRIVATE;
    if
    :: locks -> lock()
    :: else
    fi;
    if
#ifndef M_NOT_PASSED_ON
    :: task[t].worker != me -> task[t].inbox = task[t].worker
#endif
    :: else ->
       d_step { task[t].is_walk = false; task[t].inbox = NOBODY };
       if
       :: task[t].is_zombie -> task[t].is_zombie = false; release_shared(t)
       :: !task[t].is_zombie && !task[t].is_ended -> refresh(t)
       :: else
       fi
    fi;
    if
    :: locks -> locks = false; let_go()
    :: else
    fi;
    if
    :: me == OWNER -> in_core = false
    :: else
    fi
}

/* ---- the end of a task ---- */

inline wake_joiners(t)
{
    d_step {
        j = 0;
        do
        :: j < WORKERS ->
           if
           :: task[t].joiners[j] -> task[t].joiners[j] = false; woken[j]++; is_given = true
           :: else
           fi;
           j++
        :: else -> break
        od;
        j = 0
    }
}

inline finish(t)
{
    if
    :: me == OWNER -> in_core = true
    :: else
    fi;
    if
    :: me == OWNER && task[t].sharing == PRIVATE ->
       touch(t);
       task[t].is_ended = true;
       wake_joiners(t);
       leave(t);
       if
       :: is_given || t != 0 -> task[t].is_stale = true
       :: else
       fi
    :: else ->
       lock();
       touch(t);
       task[t].is_ended = true;
       wake_joiners(t);
       task[t].is_ended_fact = true;
       leave(t);
       if
       :: is_given || t != 0 -> release_shared(t) /* but the first task, all are detached */
       :: else
       fi;
       let_go()
    fi;
    d_step { is_given = false; ended++ };
    if
    :: me == OWNER -> in_core = false
    :: else
    fi
}

/* Tasks of this worker that have started, and were reached by the cancellation; and its mail. */
inline serve(t)
{
    if
    :: atomic { task[t].inbox == me -> t_now = t }; take_requests(t_now)
    :: atomic {
           task[t].worker == me && task[t].runs == 1 && task[t].interrupt && !task[t].is_ended ->
           t_now = t
       };
       finish(t_now)
    fi;
    t_now = 0
}

/* ---- join ---- */

/* begin_join(), of a private task or with the lock held. Shared ones: a fact, since others may not
 * look at the state. */
inline begin_join(t, has_ended)
{
    touch(t);
    if
    :: has_ended ->
       d_step { woken[me]++; is_given = true }
    :: else -> task[t].joiners[me] = true
    fi;
    leave(t)
}

/* join_shared() */
inline join_shared(t)
{
    lock();
    do
    :: task[t].is_stale || task[t].sharing == SHARED -> break
    :: else ->
       if
       :: task[t].sharing == PRIVATE -> task[t].sharing = ASKED
       :: else
       fi;
       if
       :: me == OWNER ->
#ifndef M_PRIVATE_END_UNSEEN
          task[t].is_ended_fact = task[t].is_ended;
#endif
          break
       :: else -> let_go(); !in_core; lock();
          /* the same task still: settled */
          if
          :: task[t].is_stale
          :: else ->
             task[t].sharing = SHARED;
#ifndef M_PRIVATE_END_UNSEEN
             task[t].is_ended_fact = task[t].is_ended
#endif
          fi
       fi
    od;
    if
    :: task[t].is_stale || task[t].is_zombie -> woken[me]++ /* -ESRCH */
    :: else ->
       begin_join(t, task[t].is_ended_fact);
       if
       :: is_given -> is_given = false; release_shared(t)
       :: else
       fi
    fi;
    let_go()
}

/* ---- workers ---- */

inline start(chunk)
{
    i = 0;
    do
    :: i < PER ->
       d_step {
           assert(task[chunk * PER + i].runs == 0 && task[chunk * PER + i].worker == me);
           task[chunk * PER + i].runs++
       };
       i++
    :: else -> break
    od;
    i = 0
}

/* The owner takes the newest back when it has nothing else. */
inline take_back()
{
    lock_deque();
    if
    :: count > 0 -> chunk = first + count - 1; count = count - 1
    :: else -> chunk = NOBODY
    fi;
    unlock_deque();
    if
    :: chunk != NOBODY -> start(chunk)
    :: else
    fi;
    chunk = 0
}

inline cancel()
{
    if
    :: me == OWNER -> in_core = true
    :: else
    fi;
    lock();
    is_cancelled = true;
    i = 0;
    do
    :: i < TASKS ->
       if
       :: task[i].is_ended
       :: !task[i].is_ended && task[i].worker == me -> refresh(i)
       :: else -> mail_walk(i)
       fi;
       i++
    :: else -> break
    od;
    i = 0;
    let_go();
    if
    :: me == OWNER -> in_core = false
    :: else
    fi
}

inline join()
{
    if
    :: task[0].is_stale -> woken[me]++
    :: else ->
       in_core = true;
       if
       :: task[0].sharing == PRIVATE ->
          begin_join(0, task[0].is_ended);
          if
          :: is_given -> is_given = false; task[0].is_stale = true
          :: else
          fi;
          in_core = false
       :: else -> in_core = false; join_shared(0)
       fi
    fi
}

/* Its owner may share a task as it likes, in an operation. */
inline make_remote(chunk)
{
#if defined DUE && !defined M_DUE_IS_PRIVATE
    in_core = true;
    lock();
    i = 0;
    do
    :: i < PER -> task[chunk * PER + i].sharing = SHARED; i++
    :: else -> break
    od;
    i = 0;
    let_go();
    in_core = false
#else
    skip
#endif
}

proctype owner()
{
    byte i, j, chunk, published, t_now;
    byte me = OWNER;
    bool is_given, locks, has_joined, has_cancelled;
    do
    :: published < CHUNKS ->
       make_remote(published);
       published++;
       lock_deque();
       count++;
       unlock_deque()
    :: count > 0 && published == CHUNKS -> take_back()
    :: !has_joined -> has_joined = true; join()
    :: !has_cancelled -> has_cancelled = true; cancel()
    :: serve(0)
#if TASKS > 1
    :: serve(1)
#endif
    :: ended == TASKS && woken[me] > 0 && has_cancelled -> break
    od;
    assert(woken[me] == 1)
}

/* share() */
inline share(chunk)
{
    lock();
    i = 0;
    do
    :: i < PER ->
       if
       :: task[chunk * PER + i].sharing == PRIVATE -> task[chunk * PER + i].sharing = ASKED
       :: else
       fi;
       i++
    :: else -> break
    od;
    let_go();
#ifndef M_NO_WAIT
    !in_core
#endif
}

/* adopt(), and what it calls for each task */
inline adopt(chunk)
{
#ifndef DUE
    share(chunk);
#endif
    lock();
    i = 0;
    do
    :: i < PER ->
       task[chunk * PER + i].sharing = SHARED;
       task[chunk * PER + i].worker = me;
       refresh(chunk * PER + i);
       i++
    :: else -> break
    od;
    i = 0;
    let_go()
}

proctype thief(byte me)
{
    byte i, j, chunk, t_now;
    bool is_given, locks;
    do
    :: count > 0 ->
       lock_deque();
       if
       :: count > 0 -> chunk = first; first++; count = count - 1
       :: else -> chunk = NOBODY
       fi;
       unlock_deque();
       if
       :: chunk != NOBODY -> adopt(chunk); start(chunk)
       :: else
       fi;
       chunk = 0
    :: serve(0)
#if TASKS > 1
    :: serve(1)
#endif
    :: ended == TASKS -> break
    od
}

#ifdef JOINER
proctype joiner(byte me)
{
    byte i, j;
    bool is_given;
    join_shared(0);
    woken[me] > 0;
    assert(woken[me] == 1)
}
#endif

#ifdef CANCELLER
proctype canceller(byte me)
{
    byte i;
    cancel()
}
#endif

init
{
    byte n;
    atomic {
        for (n : 0 .. TASKS - 1) {
#if defined CANCELLER && !defined M_PRIVATE_IN_SHARED_SCOPE
            task[n].sharing = SHARED; /* since it is spawned into a shared scope */
#endif
            task[n].inbox = NOBODY
        };
        run owner();
        for (n : 1 .. THIEVES) {
            run thief(n)
        };
#ifdef JOINER
        run joiner(WORKERS - 1);
#endif
#ifdef CANCELLER
        run canceller(WORKERS - 1);
#endif
    }
}
