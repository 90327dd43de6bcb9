/* How a thread holds off all others that would take a GIL: the protocol of
   Python/exclusive.c, and of those that take and drop GILs in Python/ceval_gil.c,
   for the model checker SPIN.

   A scenario (scenarios/exclusive_<name>.pml) says how many threads and GILs there
   are and what the threads do, then includes this file.  What a step is, is said in
   protocol.pml.  Threads sleep in the parking lot: on a value, as long as it is what it
   was, until they are woken. */

/* ---- What a scenario defines: THREADS, GILS, and what of this differs ---- */

#ifndef GIL
#define GIL(t) 0                /* that thread t takes, below GILS */
#endif
#ifndef ROUNDS
#define ROUNDS 1                /* how often */
#endif
#ifndef SECTIONS
#define SECTIONS(t) 1           /* in each round, while it has it */
#endif
#ifndef BUSY
#define BUSY(t) false           /* drops it only when asked, as long as others have sections */
#endif
#ifndef CREATES
#define CREATES(t) false        /* its GIL does not exist before */
#endif
#ifndef BLOCKS_INSIDE
#define BLOCKS_INSIDE(t) false  /* may drop it and take it again in a section */
#endif
#ifndef MAY_TIME_OUT
#define MAY_TIME_OUT(t) false
#endif

/* ---- Mistakes that -DBUG=... puts in, to show that they are found ---- */

#define OWNER_SET_LATE              1   /* when the GILs were looked at */
#define OWNER_SEEN_UNLOCKED         2   /* before the mutex of the GIL is held */
#define GILS_SEEN_UNLOCKED          3
#define CREATED_UNSEEN              4   /* taken, then put where others find it */
#define NOT_ASKED                   5
#define STILL_AWAITED               6   /* after a timeout */
#define TIMED_OUT_BUT_OWNER         7
#define LETS_GO_UNWOKEN             8
#define RELEASED_UNWOKEN            9
#define HELD_OFF_BEHIND_ANOTHER     10  /* counted as that when another has the GIL */
#define NOT_PHASE_FAIR              11  /* does not wait for those held off */
#define HOLDS_OFF_ITSELF            12

#ifndef BUG
#define BUG 0
#endif

/* ---- Names ---- */

#define NOBODY 255

mtype = { OK, TIMEOUT };

/* What a thread sleeps on. */
mtype = { OWNER, RUNNING, HELD_OFF };

/* ---- Properties, as in protocol.pml ---- */

#define must(condition, name) assert((condition) || name)

hidden byte not_alone, two_have_gil, miscounted, overtaken, someone_waits, left_behind;

/* ---- What the threads share ---- */

typedef Gil {
    bit exists;                 /* covered by the head lock */
    bit mutex;
    bit locked;                 /* covered by the mutex, as what follows */
    bit awaited;
    byte last_holder
};
Gil gil[GILS];

bit head_lock;
bit turn;
byte owner = NOBODY;            /* atomic, as what follows */
short running;
short held_off;

/* ---- Threads ---- */

bit asked[THREADS];             /* the bit of the eval breaker */
mtype sleeps_on[THREADS];       /* 0 if it is awake */

/* ---- What really holds, for the properties ---- */

byte having[GILS];              /* threads */
byte inside = NOBODY;
byte finished, sections_left;

/* ---- Numbers that are waited for ---- */

/* In an atomic block. */
inline unpark_all(what)
{
    for (t : 0 .. THREADS - 1) {
        if
        :: sleeps_on[t] == what -> sleeps_on[t] = 0
        :: else
        fi
    };
    t = 0
}

inline count_down(number, what)
{
    atomic {
        must(number > 0, miscounted);
        number--;
        last = (number == 0)
    };
    if
    :: last && BUG != RELEASED_UNWOKEN -> atomic { unpark_all(what) }
    :: else
    fi;
    last = 0
}

/* result: OK if it is zero. */
inline wait_for_zero(number, what)
{
    do
    :: atomic { number == 0 -> result = OK }; break
    :: atomic { number != 0 -> sleeps_on[me] = what };
        if
        :: sleeps_on[me] == 0
        :: MAY_TIME_OUT(me) ->
            sleeps_on[me] = 0;
            atomic {
                if
                :: number == 0 -> result = OK
                :: else -> result = TIMEOUT
                fi
            };
            break
        fi
    od
}

/* ---- GILs ---- */

inline lock(mutex_)
{
    atomic { !mutex_ -> mutex_ = 1 }
}

#define HOLDS_OFF (owner != NOBODY && (owner != me || BUG == HOLDS_OFF_ITSELF))

inline wait_outside()
{
    if
    :: !was_held_off -> atomic { held_off++ }
    :: else
    fi;
    do
    :: seen = owner;
        if
        :: seen == NOBODY -> break
        :: else ->
            atomic {
                if
                :: owner == seen -> sleeps_on[me] = OWNER
                :: else
                fi
            };
            sleeps_on[me] == 0
        fi
    od;
    atomic { times++; must(times <= 2, overtaken) };
    seen = 0;
    was_held_off = 1
}

inline take_gil()
{
    times = 0;
    if
    :: BUG == OWNER_SEEN_UNLOCKED -> !HOLDS_OFF                 /* BUG */
    :: else
    fi;
    lock(gil[g].mutex);
    do
    :: HOLDS_OFF && BUG != OWNER_SEEN_UNLOCKED ->
        gil[g].mutex = 0;
        wait_outside();
        lock(gil[g].mutex)
    :: else ->
        if
        :: !gil[g].locked -> break
        :: else ->
            if
            :: was_held_off && BUG != HELD_OFF_BEHIND_ANOTHER ->
                count_down(held_off, HELD_OFF);
                was_held_off = 0;
                times = 0
            :: else
            fi;
            gil[g].mutex = 0;               /* the condition variable does both */
            !gil[g].locked;
            lock(gil[g].mutex)
        fi
    od;
    atomic {
        must(having[g] == 0, two_have_gil);
        must(inside == NOBODY || inside == me, not_alone);
        having[g]++;
        gil[g].locked = 1;
        gil[g].last_holder = me
    };
    if
    :: was_held_off ->
        count_down(held_off, HELD_OFF);
        was_held_off = 0
    :: else
    fi;
    times = 0;
    gil[g].mutex = 0
}

inline drop_gil()
{
    lock(gil[g].mutex);
    atomic { gil[g].locked = 0; having[g]-- };
    if
    :: gil[g].awaited ->
        gil[g].awaited = 0;
        count_down(running, RUNNING)
    :: else
    fi;
    asked[me] = 0;
    gil[g].mutex = 0
}

/* ---- Sections ---- */

inline look_at_gils()
{
    lock(head_lock);
    for (other : 0 .. GILS - 1) {
        if
        :: gil[other].exists && other != g ->
            if
            :: BUG != GILS_SEEN_UNLOCKED -> lock(gil[other].mutex)
            :: else
            fi;
            if
            :: gil[other].locked && !gil[other].awaited ->
                gil[other].awaited = 1;
                atomic { running++ };
                asked[gil[other].last_holder] = (BUG != NOT_ASKED)
            :: else
            fi;
            if
            :: BUG != GILS_SEEN_UNLOCKED -> gil[other].mutex = 0
            :: else
            fi
        :: else
        fi
    };
    other = 0;
    head_lock = 0
}

inline give_up_waiting()
{
    lock(head_lock);
    for (other : 0 .. GILS - 1) {
        if
        :: gil[other].exists ->
            lock(gil[other].mutex);
            if
            :: gil[other].awaited && BUG != STILL_AWAITED ->
                gil[other].awaited = 0;
                atomic { running-- };
                laggards++
            :: gil[other].awaited && BUG == STILL_AWAITED ->
                laggards++                                      /* BUG */
            :: else
            fi;
            gil[other].mutex = 0
        :: else
        fi
    };
    other = 0;
    head_lock = 0
}

inline let_go_on()
{
    owner = NOBODY;
    if
    :: BUG != LETS_GO_UNWOKEN -> atomic { unpark_all(OWNER) }
    :: else
    fi;
    turn = 0
}

inline begin()
{
    /* Detached only if it has to wait, or to let others run for a while. */
    result = OK;
    if
    :: atomic { !turn -> turn = 1 }
    :: drop_gil();
        if
        :: atomic { !turn -> turn = 1 }
        :: MAY_TIME_OUT(me) -> result = TIMEOUT
        fi;
        take_gil()
    fi;
    if
    :: result == OK && BUG != NOT_PHASE_FAIR ->
        wait_for_zero(held_off, HELD_OFF);
        if
        :: result == TIMEOUT -> turn = 0
        :: else
        fi
    :: else
    fi;
    if
    :: result == OK ->
        if
        :: BUG != OWNER_SET_LATE -> owner = me
        :: else
        fi;
        running = 1;
        look_at_gils();
        if
        :: BUG == OWNER_SET_LATE -> owner = me                  /* BUG */
        :: else
        fi;
        atomic { running-- };
        wait_for_zero(running, RUNNING);
        if
        :: result == TIMEOUT ->
            give_up_waiting();
            must(running == 0, miscounted);
            if
            :: laggards == 0 || BUG == TIMED_OUT_BUT_OWNER -> result = OK
            :: else -> let_go_on()
            fi;
            laggards = 0
        :: else
        fi
    :: else
    fi
}

inline section()
{
    begin();
    if
    :: result == OK ->
        atomic {
            must(inside == NOBODY, not_alone);
            inside = me;
            for (t : 0 .. GILS - 1) {
                must(having[t] == (t == g), not_alone)
            };
            t = 0
        };
        if
        :: BLOCKS_INSIDE(me) -> drop_gil(); take_gil()
        :: true
        fi;
        inside = NOBODY;
        let_go_on()
    :: else
    fi
}

/* ---- Threads ---- */

proctype Thread(byte me)
{
    mtype result;
    byte round, n, t, other, seen, laggards, times;
    byte g = GIL(me);
    bit was_held_off, last;

    if
    :: CREATES(me) && BUG != CREATED_UNSEEN ->
        lock(head_lock);
        gil[g].exists = 1;
        head_lock = 0
    :: else
    fi;
    do
    :: round == ROUNDS -> break
    :: else ->
        take_gil();
        if
        :: CREATES(me) -> gil[g].exists = 1
        :: else
        fi;
        do
        :: n == SECTIONS(me) -> break
        :: else ->
            section();
            atomic { n++; sections_left-- }
        od;
        n = 0;
        if
        :: BUSY(me) ->
            do
            :: asked[me] -> drop_gil(); take_gil()
            :: sections_left == 0 -> break
            od
        :: else
        fi;
        drop_gil();
        round++
    od;
    atomic { finished++ }
}

/* ---- All of it ---- */

init
{
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            sections_left = sections_left + ROUNDS * SECTIONS(i);
            if
            :: !CREATES(i) -> gil[GIL(i)].exists = 1
            :: else
            fi
        }
        for (i : 0 .. THREADS - 1) {
            run Thread(i)
        }
        i = 0
    };
    timeout -> d_step {
        must(finished == THREADS, someone_waits);
        must(owner == NOBODY && !turn && !head_lock && running == 0 && held_off == 0, left_behind);
        for (i : 0 .. GILS - 1) {
            must(!gil[i].mutex && !gil[i].locked && !gil[i].awaited, left_behind)
        }
    }
}
