/* How threads of several interpreters share a lock: the protocol of sync.c, for
   the model checker SPIN.

   A scenario (scenarios/lock_<name>.pml) says how many threads there are, in which
   interpreters, and what can happen to them, then includes this file.  What a step
   is, is said in protocol.pml; besides waiters, the lock's word and its owner are
   used by others without the mutex.  How a thread sleeps and is woken is there, too:
   here a wait is either fired, or given up by who claims it first. */

/* ---- What a scenario defines: THREADS, and what of this differs ---- */

#ifdef RLOCK                    /* an RLock: it has a thread as its owner */
#define RECURSIVE 1
#else
#define RECURSIVE 0
#endif
#ifndef ROUNDS
#define ROUNDS 1                /* how often each thread acquires the lock */
#endif
#ifndef INTERP
#define INTERP(t) ((t) + 1)     /* where thread t does that, from 1 on */
#endif
#ifndef DYING
#define DYING 0                 /* an interpreter that is closed, or 0 */
#endif
#ifndef VISITS
#define VISITS(t) false         /* it goes there for acquire() only */
#endif
#ifndef RELEASES
#define RELEASES(t) true        /* or it leaves the lock acquired */
#endif
#ifndef TRIES
#define TRIES(t) false          /* it does not wait */
#endif
#ifndef MAY_TIME_OUT
#define MAY_TIME_OUT(t) false
#endif
#ifndef SIGNALS
#define SIGNALS(t) 0            /* for how many it leaves the queue for a while */
#endif

/* ---- Mistakes that -DBUG=... puts in, to show that they are found ---- */

#define HANDED_OVER_UNSEEN          1   /* gave up, was granted before: ignored */
#define CLAIMED_BEFORE_TAKEN_OFF    2   /* nothing is granted if the claim fails */
#define GRANTED_WITHOUT_CLAIM       3
#define QUEUED_WITHOUT_CONTENDED    4
#define CONTENDED_FORGOTTEN         5   /* when there are more that wait */
#define PAST_THE_QUEUE              6   /* released by exchange, then handed over */
#define TAKEN_UNTOLD                7   /* the owner's death */
#define TOLD_AGAIN                  8   /* ... to who comes, after who waited */
#define OWNER_SET_AFTER_GRANT       9
#define OWNER_CLEARED_LATE          10  /* after the lock was released */
#define OWNER_CLEARED_BLINDLY       11  /* by who was the owner once */
#define RELEASED_BLINDLY            12  /* ... another interpreter's, too */
#define ABANDONED_UNLOCKED          13  /* free before the owner was cleared */
#define ABANDONED_LOCKS_KEPT        14

#ifndef BUG
#define BUG 0
#endif

/* ---- Names ---- */

#define NONE 255

/* How an attempt ends, or a wait. */
mtype = { OK, WAITING, DIED, TIMEOUT, REFUSED };

/* ---- Properties, as in protocol.pml ---- */

#define must(condition, name) assert((condition) || name)

hidden byte two_owners, owner_wiped, released_anothers, owner_refused, fired_in_vain,
            not_told_once, lock_waits, lock_left;

/* ---- What the threads share ---- */

/* The lock's word: one access changes all of it. */
byte interp;                    /* whose thread has it; 0 if unlocked */
bit contended;
bit abandoned;

byte owner = NONE;              /* the thread, of an RLock */
bit mutex;
chan queue = [THREADS] of { byte };     /* covered by the mutex */

typedef Wait {
    mtype status;               /* covered by the mutex, until fired */
    bit claimed;
    bit fired
};
Wait wait[THREADS];

bit closing;
byte visitors;

/* ---- What really holds, for the properties ---- */

byte holder = NONE;             /* who may use what the lock guards */
bit lost[THREADS];              /* had it when its interpreter ended */
byte deaths, told;
byte finished, departed;            /* threads; those of the interpreter that is closed */

#define UNLOCKED (interp == 0)
#define SET_OWNER(t)                                                            \
    if                                                                          \
    :: RECURSIVE -> owner = t                                                   \
    :: else                                                                     \
    fi

/* In an atomic block. */
inline becomes_holder(t)
{
    must(holder == NONE, two_owners);
    holder = t
}

inline lock()
{
    !mutex -> mutex = 1
}

inline unlock()
{
    mutex = 0
}

/* The mutex is held, and the record is off the queue. */
inline grant(t, status_)
{
    atomic {
        if
        :: BUG == CLAIMED_BEFORE_TAKEN_OFF && wait[t].claimed
        :: BUG == GRANTED_WITHOUT_CLAIM ->
            must(!wait[t].claimed, fired_in_vain);
            wait[t].status = status_;                           /* BUG */
            wait[t].fired = 1                                   /* BUG */
        :: else ->
            wait[t].status = status_;
            wait[t].fired = !wait[t].claimed;
            wait[t].claimed = 1
        fi
    }
}

/* ---- Acquiring ---- */

inline acquire()
{
    atomic {
        if
        :: UNLOCKED && !contended && !abandoned ->
            interp = INTERP(me);
            becomes_holder(me);
            got = OK
        :: else -> got = WAITING
        fi
    };
    if
    :: got == OK -> SET_OWNER(me)
    :: got == WAITING && TRIES(me) ->
        atomic { take() };          /* not under the mutex */
        if
        :: got == OK -> SET_OWNER(me)
        :: else
        fi
    :: else ->
        do
        :: begin_wait();
            if
            :: got != WAITING -> break
            :: else -> end_wait()
            fi;
            if
            :: got != WAITING -> break
            :: else -> again = 1    /* a signal was handled */
            fi
        od
    fi
}

/* In an atomic block. */
inline take()
{
    if
    :: UNLOCKED && abandoned ->
        abandoned = 0;
        if
        :: BUG == TAKEN_UNTOLD -> interp = INTERP(me); becomes_holder(me); got = OK
        :: else -> told++; got = DIED
        fi
    :: UNLOCKED && !abandoned ->
        interp = INTERP(me);
        becomes_holder(me);
        got = OK
    :: else -> got = WAITING
    fi
}

inline begin_wait()
{
    atomic {
        lock();
        wait[me].status = WAITING;
        wait[me].claimed = 0;
        wait[me].fired = 0
    };
    atomic {
        take();
        if
        :: got == WAITING ->
            if
            :: BUG != QUEUED_WITHOUT_CONTENDED -> contended = 1
            :: else
            fi;
            enqueue()
        :: else
        fi
    };
    if
    :: got == OK -> SET_OWNER(me)
    :: else
    fi;
    unlock()
}

/* Last; or first again, after a signal. */
inline enqueue()
{
    n = len(queue);
    queue!me;
    do
    :: again && n > 0 -> n--; queue?next; queue!next
    :: else -> break
    od;
    n = 0;
    next = NONE
}

inline end_wait()
{
    if
    :: wait[me].fired -> got = wait[me].status
    :: MAY_TIME_OUT(me) || (closing && INTERP(me) == DYING) ->
        got = TIMEOUT;
        give_up()
    :: signals < SIGNALS(me) ->
        signals++;
        give_up()
    fi;
    if
    :: got == DIED -> atomic { told++ }
    :: else
    fi
}

inline give_up()
{
    atomic {
        won = !wait[me].claimed;
        wait[me].claimed = 1
    };
    if
    :: !won ->
        wait[me].fired -> got = wait[me].status
    :: else ->
        atomic {
            lock();
            if
            :: queue??[eval(me)] ->
                queue??eval(me);
                contended = contended && len(queue) > 0
            :: else
            fi;
            if
            :: wait[me].status != WAITING && BUG != HANDED_OVER_UNSEEN ->
                got = wait[me].status
            :: else
            fi;
            unlock()
        }
    fi;
    won = 0
}

/* ---- Releasing ---- */

/* In an atomic block: the lock passes on, or is free. */
inline passes_on(t)
{
    must(holder == me, released_anothers);
    holder = t
}

/* The mutex is held, and the lock is contended. */
inline hand_over(from_)
{
    if
    :: len(queue) == 0 ->
        SET_OWNER(NONE);
        atomic {
            must(holder == from_, released_anothers);
            interp = 0;
            contended = 0;
            holder = NONE
        }
    :: else ->
        atomic {
            queue?next;
            if
            :: BUG != OWNER_SET_AFTER_GRANT -> SET_OWNER(next)
            :: else
            fi
        };
        atomic {
            must(holder == from_, released_anothers);
            interp = INTERP(next);
            contended = len(queue) > 0 && BUG != CONTENDED_FORGOTTEN;
            holder = next
        };
        grant(next, OK);
        if
        :: BUG == OWNER_SET_AFTER_GRANT -> SET_OWNER(next)      /* BUG */
        :: else
        fi;
        next = NONE
    fi
}

inline release()
{
    got = OK;
#if RECURSIVE
    if
    :: owner != me -> got = REFUSED
    :: else
    fi;
#endif
    if
    :: got == OK ->
        mine = interp;
#if RECURSIVE
        atomic {
            if
            :: BUG == OWNER_CLEARED_LATE
            :: BUG == OWNER_CLEARED_BLINDLY -> owner = NONE
            :: owner == me && BUG != OWNER_CLEARED_LATE && BUG != OWNER_CLEARED_BLINDLY ->
                owner = NONE
            :: else -> got = REFUSED
            fi
        };
#endif
        if
        :: got == OK ->
            release_word();
            if
            :: BUG == OWNER_CLEARED_LATE -> SET_OWNER(NONE)     /* BUG */
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    mine = 0;
    must(got == OK || lost[me], owner_refused)
}

inline release_word()
{
    atomic {
        if
        :: !UNLOCKED && (interp == mine || BUG == RELEASED_BLINDLY) &&
           (!contended || BUG == PAST_THE_QUEUE) ->
            passes_on(NONE);
            interp = 0
        :: else -> got = WAITING
        fi
    };
    if
    :: got == WAITING ->
        atomic { lock() };
        if
        :: UNLOCKED || (RECURSIVE && interp != mine && BUG != RELEASED_BLINDLY) ->
            got = REFUSED
        :: else ->
            got = OK;
            if
            :: contended -> hand_over(me)
            :: else -> atomic { passes_on(NONE); interp = 0 }   /* they gave up */
            fi
        fi;
        unlock()
    :: else
    fi
}

/* ---- Threads ---- */

proctype Thread(byte me)
{
    mtype got;
    byte round, signals, n, mine;
    byte next = NONE;
    bit again, won;

    do
    :: round == ROUNDS -> break
    :: else ->
        if
        :: VISITS(me) ->
            atomic {
                if
                :: closing -> got = REFUSED
                :: else -> visitors++
                fi
            }
        :: else
        fi;
        if
        :: got != REFUSED -> acquire()
        :: else
        fi;
        if
        :: VISITS(me) && got != REFUSED -> visitors--
        :: else
        fi;
        if
        :: got == OK && RELEASES(me) ->
            /* It uses what the lock guards. */
            atomic {
                must(holder == me || lost[me], two_owners);
                must(!RECURSIVE || owner == me || lost[me], owner_wiped)
            };
            release()
        :: else
        fi;
        atomic {
            got = 0;
            again = 0;
            signals = 0;
            round++
        }
    od;
    atomic {
        finished++;
        if
        :: INTERP(me) == DYING && !VISITS(me) -> departed++
        :: else
        fi
    }
}

#if DYING
/* In an atomic block. */
inline dies()
{
    deaths++;
    must(holder != NONE, two_owners);
    lost[holder] = 1;
    holder = NONE
}

/* The mutex is held, and the lock belongs to the interpreter, or did just now. */
inline abandon()
{
    do
    :: interp != DYING -> break
    :: else ->
        if
        :: contended ->
            atomic { dies(); queue?next };
            grant(next, DIED);
            next = NONE;
            hand_over(NONE);
            if
            :: BUG == TOLD_AGAIN && UNLOCKED -> abandoned = 1
            :: else
            fi;
            break
        :: else ->
            atomic {
                if
                :: interp == DYING && !contended ->
                    dies();
                    if
                    :: BUG == ABANDONED_UNLOCKED -> interp = 0; abandoned = 1
                    :: else -> contended = 1
                    fi;
                    next = 0
                :: else
                fi
            };
            if
            :: next == 0 ->
                SET_OWNER(NONE);
                atomic {
                    if
                    :: BUG != ABANDONED_UNLOCKED ->
                        interp = 0;
                        contended = 0;
                        abandoned = 1
                    :: else
                    fi
                };
                break
            :: else
            fi
        fi
    od
}

proctype Closer()
{
    byte next = NONE;

    atomic { visitors == 0 -> closing = 1 };
    departed == THREADS_OF_DYING;
    atomic { lock() };
    if
    :: interp != DYING || BUG == ABANDONED_LOCKS_KEPT
    :: else -> abandon()
    fi;
    unlock();
    finished++
}
#endif

/* ---- All of it ---- */

init
{
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            run Thread(i)
        }
        i = 0;
#if DYING
        run Closer()
#endif
    };
    timeout -> d_step {
        must(finished == THREADS + (DYING != 0), lock_waits);
        must(UNLOCKED && !contended && !mutex && holder == NONE && owner == NONE, lock_left);
        must(told + abandoned == deaths, not_told_once)
    }
}
