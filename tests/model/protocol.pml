/* How threads wait in channels and are woken: the protocol of the channel
   engine, for the model checker SPIN.

   A scenario (scenarios/<name>.pml) says how many threads and channels there
   are and what each thread does, then includes this file.  SPIN tries every
   order of all steps.  README.md says what is checked and what is left out.

   The size of a step.  An `atomic` or `d_step` block is one step.  It uses at
   most one thing that other threads use without holding the same lock: a
   waiter's `claimed` or `state`, a semaphore, a flag.  What is covered by a
   lock that the thread holds may be done in the same step: nobody can look.
   That goes for unlocking, too, and for locking unless the thread has another
   lock already. */

/* ---- What a scenario defines: THREADS, STEPS, ITEMS, the inline program(),
        and what of this differs ---- */

#ifndef CHANNELS
#define CHANNELS 1              /* 1 or 2 */
#endif
#ifndef CASES
#define CASES 1                 /* the most cases of one select: 1 or 2 */
#endif
#ifdef UNBOUNDED
#define CAPACITY ITEMS          /* there is always room, */
#define FRONT 1                 /* and receivers take items in batches */
#else
#define FRONT 0
#endif
#ifndef CAPACITY
#define CAPACITY 0              /* of each channel */
#endif
#ifndef MOST_WAKING
#define MOST_WAKING 1           /* of receivers; more are left asleep */
#endif
#ifndef SENDING_ENDS
#define SENDING_ENDS 1          /* of each channel, open at the start: 1 or 2 */
#endif
#ifndef RECEIVING_ENDS
#define RECEIVING_ENDS 1
#endif
#ifndef ASYNCS
#define ASYNCS 0                /* asyncio receives, all by one event loop */
#endif
#ifndef MAY_BEGIN
#define MAY_BEGIN true          /* when the loop may begin the next receive */
#endif
#ifndef MAY_COMPLETE
#define MAY_COMPLETE true       /* when it may look at what has finished */
#endif
#ifndef MAY_CANCEL
#define MAY_CANCEL(nr) true     /* may it cancel receive nr? */
#endif
#ifndef MAY_CANCEL_DONE
#define MAY_CANCEL_DONE false   /* also if it found its item at once? */
#endif
#ifndef ALWAYS_CANCELLED
#define ALWAYS_CANCELLED(nr) false
#endif
#ifndef SENDER
#define SENDER(item) 0          /* who sends it; one sender's items ascend */
#endif
#ifndef MAY_TIME_OUT
#define MAY_TIME_OUT(t) false   /* may the waits of thread t have a deadline? */
#endif
#ifndef BREAKER
#define BREAKER 0               /* is there a breaker, and */
#endif
#ifndef BREAKABLE
#define BREAKABLE(t) false      /* does it stop thread t? */
#endif
#ifndef SIGNALS
#define SIGNALS 0               /* how many signals arrive */
#endif
#ifndef IS_MAIN
#define IS_MAIN(t) false        /* is t the thread with the static semaphore? */
#endif
#ifndef DRAINS
#define DRAINS 0                /* does a thread drain a channel, or take out? */
#endif

/* ---- Mistakes that -DBUG=... puts in, to show that they are found ---- */

#define NO_CLAIM_WHEN_GIVING_UP     1   /* a deadline ends a wait unclaimed */
#define LOST_CLAIM_IGNORED          2   /* claims, but gives up all the same */
#define RETURNS_WHEN_FIRED          3   /* lost the claim: not until POSTED */
#define RETURNS_WHEN_POSTED         4   /* ... not until the semaphore is */
#define NOT_TAKEN_OFF               5   /* gave up, operation still queued */
#define SELECT_NOT_TAKEN_OFF        6   /* fired, other operations queued */
#define UNLOCKS_BEFORE_ENQUEUE      7
#define DEAD_OPERATIONS_USED        8   /* does not claim the other party */
#define FIRED_BEFORE_HANDOVER       9
#define SEMAPHORE_READ_LATE         10  /* after POSTED */
#define EVERY_POST_IS_OURS          11  /* does not look at the state */
#define NO_REFILL                   12  /* no waiting sender's item moves up */
#define SENDER_BEFORE_BUFFER        13  /* takes from a waiting sender first */
#define OTHER_SIDE_NOT_WOKEN        14  /* last end of a side closed */
#define OWN_SIDE_NOT_WOKEN          15  /* an end closed */
#define CLOSED_END_NOT_CHECKED      16
#define STOP_NOT_CHECKED_AGAIN      17
#define STOP_SET_AFTER_WALK         18
#define BREAKER_DOES_NOT_CLAIM      19
#define STAYS_IN_PARKED_LIST        20
#define SIGNAL_NOT_LOOKED_FOR       21  /* when the semaphore was posted */
#define LOCKS_UNSORTED              22
#define GIVEN_BACK_TO_TAIL          23
#define GIVEN_BACK_PAST_WAITERS     24
#define NO_SLOT_RESERVED            25
#define CANCEL_FORGETS_ITEM         26
#define CANCEL_DOES_NOT_CLAIM       27
#define REPORTS_TIMEOUT_WHEN_FIRED  28  /* lost the claim, waited for POSTED */
#define LATE_GIVE_BACK              29  /* when the loop comes to it */
#define BACK_WITHOUT_HANDING_OVER   30
#define BACK_NOT_COUNTED            31
#define SELECT_NOT_BACK             32
#define WAKING_WHEN_AWAKE           33  /* counted though it never parked */
#define ASYNC_WAKING                34  /* counted though it is a task's */
#define LEFT_ASLEEP_WITHOUT_WAKING  35  /* as if none might be woken */
#define LEFT_ASLEEP_WHEN_FULL       36
#define PREFERRED_UNCLAIMED         37
#define NEW_ITEM_FIRST              38  /* handed over before older ones */
#define CLOSED_WITHOUT_HANDING_OVER 39  /* the last sending end */
#define CLOSED_BUT_FEW_WOKEN        40  /* ... handing over up to the limit */
#define NOT_TRIED_AGAIN             41  /* after the deadline */
#define SELECT_TRIES_ONE_AGAIN      42  /* only one of the cases */
#define BATCH_PAST_WAITERS          43
#define BATCH_WHEN_RESERVED         44
#define GIVEN_BACK_BEHIND_FRONT     45  /* to the buffer */
#define FRONT_NOT_DESTROYED         46  /* last receiving end closed */
#define CLOSED_UNDER_BACK_LOCK      47  /* without the front's */
#define FRONT_SEEN_UNLOCKED         48  /* locked only when it has an item */
#define CLOSED_SEEN_UNLOCKED        49
#define FRONT_LOOKED_AT_ONCE        50  /* then unlocked, and the back locked */
#define SELECT_PAST_FRONT           51
#define FRONT_LOCKED_LAST           52  /* after the back, to close an end */
#define TRIED_AGAIN_PAST_FRONT      53

#ifndef BUG
#define BUG 0
#endif

/* ---- Names ---- */

#define WAITERS (THREADS + ASYNCS)      /* the first are the threads' */
#define OPS (WAITERS * CASES)
#define NONE 255

#define SEND 0
#define RECV 1
#define OTHER(side) (1 - (side))
#define END(c, side, nr) (4 * (c) + 2 * (side) + (nr))
#define QUEUE(c, side) (2 * (c) + (side))
#define OP(w, k) ((w) * CASES + (k))
#define WAITER_OF(o) ((o) / CASES)
#define BIT(n) (1 << (n))

/* States of a waiter. */
mtype = { WAITING, PARKED, FIRED, POSTED };

/* Whom an attempt has to look for. */
mtype = { NOBODY, A_RECEIVER, SENDERS, A_SENDER };

/* How an attempt, a wait or an operation ends. */
mtype = { OK, CLOSED, END_CLOSED, TIMEOUT, INTR, BROKEN, BLOCKS };

/* ---- Properties ----

   must(condition, name) stops the search with a message that has the name in
   it.  The names are variables that are always 0. */

#define must(condition, name) assert((condition) || name)

hidden byte touched_after_return, fate_differs_from_report, out_of_order,
            lost_wake_up, left_queued, unlocked_in_disorder, lock_kept,
            post_left_over, no_slot, item_after_closed, fired_twice, not_fired,
            timed_out_beside_item, through_closed_end;

/* ---- What the threads share ---- */

/* One blocked thread, or one asyncio operation.  A thread's waiter and its
   operations live on its stack: they are gone when the call has returned. */
typedef Waiter {
    bit claimed;                /* who sets it decides how the wait ends */
    mtype state = WAITING;
    byte fired_op = NONE;
    bit broken;                 /* fired by the breaker */
    byte sema;
    bit gone = 1
};

typedef Op {
    byte channel;
    bit side;
    byte end;
    byte item;                  /* to send, or received */
    mtype status = BLOCKS;
    bit queued;                 /* covered by the channel's lock */
    bit waking;                 /* got its item asleep, and is not back */
    bit reserved                /* a place, to give its item back to */
};

Waiter waiter[WAITERS];
Op op[OPS];

/* Our channels.  Promela's own channels serve as their queues. */
bit locked[CHANNELS];                                   /* the back */
chan buffer[CHANNELS] = [ITEMS] of { byte };            /* items */
chan queue[2 * CHANNELS] = [OPS] of { byte };           /* waiting operations */
byte open[2 * CHANNELS];                                /* ends open, per side */
bit closed[4 * CHANNELS];                               /* for each end */
byte waking[CHANNELS];                                  /* receivers */

#if FRONT
/* What receivers took out of the buffer in one go, and what they lock for it. */
bit front_locked[CHANNELS];
chan front[CHANNELS] = [ITEMS] of { byte };
#endif

#if BREAKER
bit stop;                       /* the flag */
bit parked_lock;
bit parked[THREADS];            /* the list of parked waiters */
#else
#define stop false
#endif

#if SIGNALS
bit signalled;                  /* the flag */
#else
#define signalled false
#endif

#if ASYNCS
chan completions = [ASYNCS] of { byte };                /* fired waiters */
byte reserved[CHANNELS];        /* operations that may give an item back */
byte ring[CHANNELS];            /* how many items there is memory for */
#if FRONT
byte front_ring[CHANNELS];
#endif
byte begun;                     /* how many receives were begun */
#endif

byte finished;                  /* threads that have done all they had to */

/* What became of an item, and what its sender was told. */
#define NOBODYS 0
#define TAKEN_BY(t) ((t) + 1)
#define DESTROYED 254
#define IN_CHANNEL 255          /* in the end */
byte fate[ITEMS + 1];
bit told_sent[ITEMS + 1];

#ifdef CLOSED_IS_FINAL
bit told_closed;                /* a receiver was told that nothing will come */
#endif

/* ---- What the channel has ---- */

#if FRONT
#define FRONT_LEN(c) len(front[c])
#define IN_FRONT(c, item) (front[c]??[eval(item)])
#else
#define FRONT_LEN(c) 0
#define IN_FRONT(c, item) false
#endif

#if ASYNCS
#define RESERVED(c) (reserved[c])
#define RING_IS_FULL(c) (len(buffer[c]) + reserved[c] >= ring[c])
#else
#define RESERVED(c) 0
#define RING_IS_FULL(c) false
#endif

/* ---- Checks, all in d_step: they use i and j ---- */

#define LIVE(o) (op[o].queued && !waiter[WAITER_OF(o)].claimed)

inline touch(w_)
{
    must(!waiter[w_].gone, touched_after_return)
}

/* What holds while nobody has the back's lock. */
inline check_channel(c_, name_)
{
    must(open[QUEUE(c_, RECV)] > 0 || len(buffer[c_]) + FRONT_LEN(c_) == 0, name_);
#if ASYNCS
    must(open[QUEUE(c_, RECV)] == 0 || len(buffer[c_]) + reserved[c_] <= ring[c_], no_slot);
#endif
#if FRONT
    check_front(c_, name_);
#endif
    for (i : 0 .. OPS - 1) {
        if
        :: LIVE(i) && op[i].channel == c_ ->
            must(!closed[op[i].end] && open[QUEUE(c_, OTHER(op[i].side))] > 0, name_);
            must(op[i].side == SEND || empty(buffer[c_]) || waking[c_] > 0, name_);
            must(op[i].side == RECV || len(buffer[c_]) >= CAPACITY, name_);
            for (j : 0 .. OPS - 1) {
                must(!LIVE(j) || op[j].channel != c_ || op[j].side == op[i].side ||
                     WAITER_OF(j) == WAITER_OF(i), name_)
            }
        :: else
        fi
    }
    j = waking[c_];
    for (i : 0 .. OPS - 1) {
        if
        :: op[i].waking && op[i].channel == c_ -> must(j > 0, name_); j--
        :: else
        fi
    }
    must(j == 0, name_);
    i = 0;
    j = 0
}

#if FRONT
/* What holds while nobody has the front's lock. */
inline check_front(c_, name_)
{
    must(empty(front[c_]) || empty(queue[QUEUE(c_, RECV)]), name_)
}
#endif

inline check_unlocked(c_)
{
#ifndef NOT_AT_UNLOCK
    check_channel(c_, unlocked_in_disorder)
#else
    skip
#endif
}

/* Process t_ received an item.  One sender's items reach it in order. */
inline received(t_, item_)
{
    must(fate[item_] == NOBODYS, fate_differs_from_report);
#ifndef ANY_ORDER
    for (i : 1 .. ITEMS) {
        must(i <= item_ || SENDER(i) != SENDER(item_) || fate[i] != TAKEN_BY(t_),
             out_of_order)
    }
    i = 0;
#endif
    fate[item_] = TAKEN_BY(t_)
}

/* An item leaves the channel.  One sender's items leave it in order. */
inline leaves(c_, item_)
{
#ifndef ANY_ORDER
    for (i : 1 .. ITEMS) {
        must(i >= item_ || SENDER(i) != SENDER(item_) ||
             !(buffer[c_]??[eval(i)]) && !IN_FRONT(c_, i), out_of_order)
    }
    i = 0
#else
    skip
#endif
}

inline check_items(items_)
{
    do
    :: nempty(items_) ->
        items_?item;
        must(fate[item] == NOBODYS, fate_differs_from_report);
        fate[item] = IN_CHANNEL;
#ifdef CLOSED_IS_FINAL
        must(!told_closed, item_after_closed)
#endif
    :: empty(items_) -> break
    od
}

/* When nothing can happen any more. */
inline check_rest()
{
    for (i : 0 .. CHANNELS - 1) {
        must(!locked[i], lock_kept);
#if FRONT
        must(!front_locked[i], lock_kept);
#endif
        must(waking[i] == 0, lost_wake_up)
    }
#if BREAKER
    must(!parked_lock, lock_kept);
#endif
    /* All are asleep in wait() or have finished. */
    j = finished;
    for (i : 0 .. THREADS - 1) {
        j = j + !waiter[i].gone
    }
    must(j == THREADS, lost_wake_up);
    j = 0;
    for (i : 0 .. WAITERS - 1) {
        /* Who still waits has not been claimed, and not been told to stop. */
        must(waiter[i].gone || !waiter[i].claimed, lost_wake_up);
        must(waiter[i].gone || !BREAKABLE(i) || !stop, lost_wake_up);
        must(waiter[i].gone || !IS_MAIN(i) || !signalled, lost_wake_up)
    }
    for (i : 0 .. OPS - 1) {
        must(!op[i].queued || !waiter[WAITER_OF(i)].gone, left_queued)
    }
    for (c : 0 .. CHANNELS - 1) {
        check_channel(c, lost_wake_up);
#if FRONT
        check_items(front[c]);
#endif
        check_items(buffer[c])
    }
    for (i : 1 .. ITEMS) {
        must((fate[i] != NOBODYS) == told_sent[i], fate_differs_from_report)
    }
}

/* ---- Locks, claims, wake-ups ----

   The lock of a channel is its back's.  An unbounded channel has one for its
   front besides, which is taken first. */

/* What every process needs that works on channels. */
#define LOCALS                                                            \
    byte x;             /* the operation it works on */                   \
    mtype outcome = BLOCKS;                                               \
    mtype look = NOBODY;                                                  \
    byte got;           /* the item received */                           \
    byte o, hit = NONE; /* operations of others */                        \
    byte wake;          /* waiters to wake after unlocking: a set of bits */ \
    byte left, w, i, j;                                                   \
    bit won

inline lock(c_)
{
    atomic { !locked[c_] -> locked[c_] = 1 }
}

inline unlock(c_)
{
    d_step { check_unlocked(c_); locked[c_] = 0 }
}

#if FRONT
inline lock_front(c_)
{
    atomic { !front_locked[c_] -> front_locked[c_] = 1 }
}

#endif

inline lock_both(c_)
{
#if FRONT
    lock_front(c_);
#endif
    lock(c_)
}

inline unlock_both(c_)
{
    d_step {
        check_unlocked(c_);
#if FRONT
        front_locked[c_] = 0;
#endif
        locked[c_] = 0
    }
}

/* Compare and swap, from 0 to 1. */
inline try_claim(w_)
{
    won = !waiter[w_].claimed;
    waiter[w_].claimed = 1
}

/* Find the first operation in a queue whose waiter can be claimed, and take it
   off.  The dead ones before it, claimed by others, are taken off too. */
inline claim_first(q_)
{
    do
    :: atomic { empty(queue[q_]) -> break }
    :: atomic { nempty(queue[q_]) ->
            queue[q_]?o;
            op[o].queued = 0;
            touch(WAITER_OF(o));
            try_claim(WAITER_OF(o));
            if
            :: won || BUG == DEAD_OPERATIONS_USED ->
                printf("    claims waiter %d\n", WAITER_OF(o));
                hit = o;
                o = 0;
                won = 0;
                break
            :: else -> o = 0
            fi
        }
    od
}

/* Fire a claimed waiter: one exchange.  A thread that has not parked may be
   gone right after it. */
inline exchange(w_)
{
    touch(w_);
    if
    :: waiter[w_].state == PARKED -> wake = wake | BIT(w_)
    :: else -> must(waiter[w_].state == WAITING, fired_twice)
    fi;
    printf("    fires waiter %d, which was %e\n", w_, waiter[w_].state);
    waiter[w_].state = FIRED
}

inline fire(o_, status_)
{
    touch(WAITER_OF(o_));
    op[o_].status = status_;
    waiter[WAITER_OF(o_)].fired_op = o_;
    exchange(WAITER_OF(o_))
}

/* Wake those that were parked, after unlocking. */
inline post_all()
{
    do
    :: wake == 0 -> w = 0; break
    :: else ->
        atomic {
            w = 0;
            do
            :: (wake & BIT(w)) == 0 -> w++
            :: else -> break
            od;
            wake = wake & ~BIT(w);
            printf("    sets waiter %d POSTED, will post\n", w);
            touch(w);
#if ASYNCS
            if
            :: w >= THREADS -> completions!w
            :: else -> waiter[w].state = POSTED
            fi
#else
            waiter[w].state = POSTED
#endif
        };
        if
        :: w < THREADS -> post()
        :: else
        fi
    od
}

/* The thread waits for this.  But the main thread, whose semaphore is static,
   may return before, if a signal wakes it: the waiter is not looked at. */
inline post()
{
    atomic {
        if
        :: !IS_MAIN(w) || BUG == SEMAPHORE_READ_LATE -> touch(w)
        :: else
        fi;
        printf("    posts for waiter %d\n", w);
        waiter[w].sema++
    }
}

/* ---- Whom to serve, with the lock held ---- */

#define ENOUGH_WAKING(c) ((waking[c] >= MOST_WAKING || BUG == LEFT_ASLEEP_WITHOUT_WAKING) && \
                          (len(buffer[c]) < CAPACITY || BUG == LEFT_ASLEEP_WHEN_FULL))

/* Find a receiver to hand an item to.  None, if the item is to be buffered: as
   many are waking as may be, and the first that waits would have to be woken. */
inline claim_receiver(c_)
{
    /* The one that came last, if it has not begun to sleep, and if it was not
       preferred too often. */
    atomic {
        if
        :: len(queue[QUEUE(c_, RECV)]) > 1 ->
            j = len(queue[QUEUE(c_, RECV)]);
            do
            :: j > 0 ->
                j--;
                queue[QUEUE(c_, RECV)]?o;
                queue[QUEUE(c_, RECV)]!o        /* in the end they are as before */
            :: else -> break
            od;
            touch(WAITER_OF(o));
            if
            :: waiter[WAITER_OF(o)].state == WAITING -> hit = o
            :: true
            fi;
            o = 0
        :: else
        fi;
        won = hit == NONE && !ENOUGH_WAKING(c_)         /* claim the first? */
    };
    if
    :: hit != NONE ->
        atomic {
            touch(WAITER_OF(hit));
            try_claim(WAITER_OF(hit));
            if
            :: won || BUG == PREFERRED_UNCLAIMED ->
                printf("    claims waiter %d, which came last\n", WAITER_OF(hit));
                queue[QUEUE(c_, RECV)]??eval(hit);
                op[hit].queued = 0
            :: else -> hit = NONE
            fi;
            won = 0
        }
    :: else
    fi;
    if
    :: hit == NONE && !won -> look_at_first(c_)
    :: else
    fi;
    if
    :: won -> won = 0; claim_first(QUEUE(c_, RECV))
    :: else
    fi
}

/* Is the first receiver to be claimed (won), or to be left asleep?  The dead
   ones before it are taken off. */
inline look_at_first(c_)
{
    do
    :: atomic { !ENOUGH_WAKING(c_) || len(queue[QUEUE(c_, RECV)]) == 0 -> won = 1; break }
    :: atomic { ENOUGH_WAKING(c_) && len(queue[QUEUE(c_, RECV)]) > 0 ->
            queue[QUEUE(c_, RECV)]?<o>;
            touch(WAITER_OF(o));
            if
            :: waiter[WAITER_OF(o)].claimed ->
                queue[QUEUE(c_, RECV)]?o;
                op[o].queued = 0;
                o = 0
            :: else -> won = 1
            fi
        };
        if
        :: won ->
            atomic {
                touch(WAITER_OF(o));
                won = waiter[WAITER_OF(o)].state != PARKED || WAITER_OF(o) >= THREADS;
                o = 0;
                break
            }
        :: else
        fi
    od
}

/* In an atomic block: fire a receiver that has its item. */
inline finish_receiver(o_)
{
    won = waiter[WAITER_OF(o_)].state == PARKED &&
          (WAITER_OF(o_) < THREADS || BUG == ASYNC_WAKING);
    fire(o_, OK);
    if
    :: won ->
        /* It sleeps, so it is still there. */
        op[o_].waking = 1;
        waking[op[o_].channel]++
    :: else
    fi;
    won = 0
}

/* Hand buffered items to receivers that wait, until so many are waking. */
inline hand_over(c_, limit_)
{
    do
    :: atomic { len(buffer[c_]) == 0 || waking[c_] >= limit_ ||
                len(queue[QUEUE(c_, RECV)]) == 0 -> break }
    :: else ->
        claim_first(QUEUE(c_, RECV));
        atomic {
            if
            :: hit != NONE ->
                buffer[c_]?op[hit].item;
                leaves(c_, op[hit].item);
                finish_receiver(hit);
                hit = NONE
            :: else
            fi
        }
    od
}

/* Move the items of waiting senders into the room that a receiver made. */
inline refill(c_)
{
    do
    :: atomic { len(buffer[c_]) >= CAPACITY || RING_IS_FULL(c_) ||
                len(queue[QUEUE(c_, SEND)]) == 0 -> break }
    :: else ->
        claim_first(QUEUE(c_, SEND));
        atomic {
            if
            :: hit != NONE ->
                buffer[c_]!op[hit].item;
                fire(hit, OK);
                hit = NONE
            :: else
            fi
        }
    od
}

/* ---- The front, with its lock held ---- */

#define CHANNEL (op[x].channel)
#define SIDE (op[x].side)

#define LOOKS_AT_FRONT (BUG != FRONT_LOOKED_AT_ONCE && BUG != SELECT_PAST_FRONT)

#if FRONT
inline pop_front()
{
    front[CHANNEL]?got;
    printf("    takes item %d from the front\n", got);
    must(!closed[op[x].end], through_closed_end);
    leaves(CHANNEL, got);
    outcome = OK;
#if ASYNCS
    /* A large ring is given up when it is empty. */
    if
    :: len(front[CHANNEL]) == 0 -> front_ring[CHANNEL] = 0
    :: else
    fi
#endif
}

/* In an atomic block, with both locks: the rest of the buffer is the new front,
   if that is allowed. */
inline take_batch()
{
    if
    :: len(buffer[CHANNEL]) > 0 &&
       (len(queue[QUEUE(CHANNEL, RECV)]) == 0 || BUG == BATCH_PAST_WAITERS) &&
       (RESERVED(CHANNEL) == 0 || BUG == BATCH_WHEN_RESERVED) ->
        printf("    takes a batch\n");
        do
        :: len(buffer[CHANNEL]) > 0 -> buffer[CHANNEL]?o; front[CHANNEL]!o
        :: else -> break
        od;
#if ASYNCS
        o = ring[CHANNEL];
        ring[CHANNEL] = front_ring[CHANNEL];
        front_ring[CHANNEL] = o;
#endif
        o = 0
    :: else
    fi
}

#define FRONT_HAS_ITEM (len(front[CHANNEL]) > 0 && !closed[op[x].end])

/* Receive x takes an item from the front, under its lock alone.  If it gets none
   it keeps the lock. */
inline take_from_front()
{
#if BUG == FRONT_SEEN_UNLOCKED || BUG == CLOSED_SEEN_UNLOCKED || BUG == CLOSED_UNDER_BACK_LOCK
    if
    :: BUG != CLOSED_UNDER_BACK_LOCK -> won = FRONT_HAS_ITEM
    :: else
    fi;
    lock_front(CHANNEL);
    if
    :: BUG == CLOSED_SEEN_UNLOCKED -> won = won && len(front[CHANNEL]) > 0
    :: BUG == CLOSED_UNDER_BACK_LOCK -> won = FRONT_HAS_ITEM
    :: else
    fi;
    if
    :: won -> won = 0; pop_front(); front_locked[CHANNEL] = 0
    :: else
    fi
#else
    atomic { !front_locked[CHANNEL] ->
        if
        :: FRONT_HAS_ITEM ->
            pop_front();
#ifndef NOT_AT_UNLOCK
            check_front(CHANNEL, unlocked_in_disorder)
#endif
        :: else -> front_locked[CHANNEL] = (BUG != FRONT_LOOKED_AT_ONCE)
        fi
    }
#endif
}
#endif

#if ASYNCS
/* For one item more.  (It is done with the lock free, and then all is tried
   again.) */
inline make_room(c_)
{
    if
    :: RING_IS_FULL(c_) -> ring[c_] = len(buffer[c_]) + reserved[c_] + 1
    :: else
    fi
}
#endif

/* ---- One attempt, with the lock held; a receive has both ---- */

/* Try operation x.  The outcome is OK, CLOSED, END_CLOSED or BLOCKS. */
inline try_op()
{
    atomic { begin_op() };
    finish_op()
}

/* In an atomic block. */
inline begin_op()
{
    printf("    has the lock of channel %d and tries\n", CHANNEL);
    outcome = BLOCKS;
    hit = NONE;
    if
    :: closed[op[x].end] && BUG != CLOSED_END_NOT_CHECKED ->
        outcome = END_CLOSED
    :: else ->
        if
        :: SIDE == SEND && open[QUEUE(CHANNEL, RECV)] == 0 ->
            outcome = CLOSED
#if FRONT
        :: SIDE == RECV && len(front[CHANNEL]) > 0 && LOOKS_AT_FRONT ->
            pop_front()
#endif
        :: SIDE == RECV && (FRONT_LEN(CHANNEL) == 0 || !LOOKS_AT_FRONT) &&
           len(buffer[CHANNEL]) > 0 && BUG != SENDER_BEFORE_BUFFER ->
            buffer[CHANNEL]?got;
            leaves(CHANNEL, got);
            outcome = OK;
#if FRONT
            take_batch();
#endif
            look = (BUG != NO_REFILL -> SENDERS : NOBODY)
        :: else ->
            look = (SIDE == SEND -> A_RECEIVER : A_SENDER)
        fi
    fi;
    if
    :: look != NOBODY && len(queue[QUEUE(CHANNEL, OTHER(SIDE))]) == 0 -> look = NOBODY
    :: else
    fi
}

inline finish_op()
{
    if
    :: look == A_RECEIVER -> claim_receiver(CHANNEL)
    :: look == SENDERS -> refill(CHANNEL)
    :: look == A_SENDER -> claim_first(QUEUE(CHANNEL, SEND))
    :: look == NOBODY
    fi;
    look = NOBODY;
    atomic {
        if
        :: hit != NONE && SIDE == SEND ->               /* hand it over */
            if
            :: BUG == FIRED_BEFORE_HANDOVER -> exchange(WAITER_OF(hit))
            :: else ->
                if
                :: len(buffer[CHANNEL]) == 0 || BUG == NEW_ITEM_FIRST ->
                    op[hit].item = op[x].item
                :: else ->      /* those that came earlier go first */
                    buffer[CHANNEL]?op[hit].item;
                    buffer[CHANNEL]!op[x].item
                fi;
                leaves(CHANNEL, op[hit].item);
                finish_receiver(hit)
            fi
        :: hit != NONE && SIDE == RECV ->               /* rendezvous */
            got = op[hit].item;
            leaves(CHANNEL, got);
            fire(hit, OK)
        :: hit == NONE && SIDE == SEND && outcome == BLOCKS &&
           len(buffer[CHANNEL]) < CAPACITY ->
#if ASYNCS
            make_room(CHANNEL);
#endif
            buffer[CHANNEL]!op[x].item;
            outcome = OK
        :: hit == NONE && SIDE == RECV && outcome == BLOCKS &&
           len(buffer[CHANNEL]) > 0 ->
            assert(BUG == SENDER_BEFORE_BUFFER);
            buffer[CHANNEL]?got;                        /* BUG */
            outcome = OK
        :: hit == NONE && SIDE == RECV && outcome == BLOCKS &&
           len(buffer[CHANNEL]) == 0 && open[QUEUE(CHANNEL, SEND)] == 0 ->
            outcome = CLOSED
        :: else
        fi;
        if
        :: hit != NONE -> outcome = OK
        :: else
        fi;
#if ASYNCS
        if                          /* a large ring is given up when it is empty */
        :: SIDE == RECV && len(buffer[CHANNEL]) + reserved[CHANNEL] == 0 ->
            ring[CHANNEL] = 0
        :: else
        fi;
#endif
        must(outcome != OK || !closed[op[x].end], through_closed_end);
        printf("    tried: %e\n", outcome)
    };
#if BUG == FIRED_BEFORE_HANDOVER
    if
    :: hit != NONE && SIDE == SEND ->
        atomic {
            touch(WAITER_OF(hit));
            op[hit].item = op[x].item;
            op[hit].status = OK;
            waiter[WAITER_OF(hit)].fired_op = hit
        }
    :: else
    fi;
#endif
#if BUG == WAKING_WHEN_AWAKE
    if
    :: hit != NONE && SIDE == SEND ->
        atomic {
            touch(WAITER_OF(hit));
            if
            :: !op[hit].waking -> op[hit].waking = 1; waking[CHANNEL]++
            :: else
            fi
        }
    :: else
    fi;
#endif
    hit = NONE
}

/* Take an operation off its queue, unless others have.  The flag is covered
   by the lock; all that is done under the lock is one step. */
inline take_off(o_)
{
    d_step { !locked[op[o_].channel] ->
        if
        :: op[o_].queued ->
            op[o_].queued = 0;
            queue[QUEUE(op[o_].channel, op[o_].side)]??eval(o_)
        :: else
        fi;
        check_unlocked(op[o_].channel)
    }
}

/* ---- Waiting ---- */

#define ITEM_FOR(o) (op[o].side == RECV && \
                     len(buffer[op[o].channel]) + FRONT_LEN(op[o].channel) > 0)

/* Is there an item that the thread could receive?  To be known in the end. */
inline look_beside()
{
    beside = ITEM_FOR(OP(me, 0)) || ITEM_FOR(OP(me, CASES - 1))
}

/* The thread wants to give up, and may if it can claim its own waiter.  If
   not, somebody is about to fire it, and it waits for that alone. */
inline give_up(why_)
{
    atomic {
        if
        :: BUG == NO_CLAIM_WHEN_GIVING_UP -> won = 1
        :: else -> try_claim(me)
        fi;
        if
        :: won || BUG == LOST_CLAIM_IGNORED ->
            printf("thread %d gives up: %e\n", me, why_);
            outcome = why_;
            if
            :: outcome == TIMEOUT -> look_beside()
            :: else
            fi
        :: else ->
            printf("thread %d cannot give up\n", me);
            lost = 1
        fi;
        won = 0
    }
}

/* The outcome is FIRED, TIMEOUT, INTR or BROKEN. */
inline wait()
{
    /* Look for a while. */
    if
    :: waiter[me].state == FIRED -> outcome = FIRED
    :: true
    fi;

    /* What is set before the thread sleeps does not wake it. */
#if BREAKER
    if
    :: outcome == BLOCKS && BREAKABLE(me) && stop -> give_up(BROKEN)
    :: else
    fi;
#endif
#if SIGNALS
    if
    :: outcome == BLOCKS && IS_MAIN(me) && signalled && !lost -> give_up(INTR)
    :: else
    fi;
#endif

    if
    :: outcome == BLOCKS -> park()
    :: else
    fi;
    if
    :: outcome == BLOCKS -> sleep()
    :: else
    fi;
#if BUG == REPORTS_TIMEOUT_WHEN_FIRED
    if
    :: outcome == FIRED && lost -> outcome = TIMEOUT
    :: else
    fi;
#endif
    lost = 0
}

inline park()
{
    atomic {
        if
        :: waiter[me].state == WAITING ->
            printf("thread %d parks\n", me);
            waiter[me].state = PARKED
        :: else -> assert(waiter[me].state == FIRED); outcome = FIRED
        fi
    }
}

inline sleep()
{
#if BREAKER
    /* From here on the breaker finds us.  It sets the flag first. */
    if
    :: BREAKABLE(me) ->
        atomic { !parked_lock ->
            parked[me] = 1;
            won = stop && !lost && BUG != STOP_NOT_CHECKED_AGAIN
        };
        if
        :: won -> give_up(BROKEN)
        :: else
        fi
    :: else
    fi;
#endif

    do
    :: outcome != BLOCKS -> break
    :: else ->
        if
        :: atomic { waiter[me].sema > 0 -> waiter[me].sema-- };
            if
            :: waiter[me].state == POSTED || BUG == EVERY_POST_IS_OURS -> outcome = FIRED
            :: else ->
                /* A signal handler, or the late post of an earlier wait. */
                assert(IS_MAIN(me));
                if
                :: signalled && !lost && BUG != SIGNAL_NOT_LOOKED_FOR -> give_up(INTR)
                :: else
                fi
            fi
        :: timed && !lost -> give_up(TIMEOUT)
#if SIGNALS
        :: timed && !lost && IS_MAIN(me) && signalled ->
            give_up(INTR)               /* EINTR, before the semaphore is posted */
#endif
#if BUG == RETURNS_WHEN_FIRED
        :: lost && waiter[me].state == FIRED -> outcome = FIRED
#endif
#if BUG == RETURNS_WHEN_POSTED
        :: lost && waiter[me].state == POSTED -> outcome = FIRED
#endif
        fi
    od;

#if BREAKER
    if
    :: BREAKABLE(me) && BUG != STAYS_IN_PARKED_LIST ->
        atomic { !parked_lock -> parked[me] = 0 }
    :: else
    fi
#endif
}

/* ---- What a thread does ---- */

/* For program(): the next operation is a send, a receive or, with two cases, a
   select; or all that is there is received; or an item is taken out, if it is
   there, and destroyed; or an end is closed. */
inline sends(c_, nr_, item_)
{
    new_case(c_, SEND, nr_);
    op[OP(me, n - 1)].item = item_;
    printf("thread %d begins to send item %d\n", me, item_)
}

inline receives(c_, nr_)
{
    new_case(c_, RECV, nr_);
    printf("thread %d begins to receive from channel %d\n", me, c_)
}

#if DRAINS
inline drains(c_, nr_)
{
    new_case(c_, RECV, nr_);
    drain = 1;
    printf("thread %d begins to drain channel %d\n", me, c_)
}

inline takes_out(c_, item_)
{
    x = c_;
    out = item_;
    printf("thread %d begins to take item %d out\n", me, item_)
}
#endif

inline new_case(c_, side_, nr_)
{
    op[OP(me, n)].channel = c_;
    op[OP(me, n)].side = side_;
    op[OP(me, n)].end = END(c_, side_, nr_);
    involved = involved | BIT(c_);
    n++
}

inline closes_sending(c_, nr_)
{
    end = END(c_, SEND, nr_);
    printf("thread %d begins to close end %d\n", me, end)
}

inline closes_receiving(c_, nr_)
{
    end = END(c_, RECV, nr_);
    printf("thread %d begins to close end %d\n", me, end)
}

#define IS_LONE_RECEIVE (n == 1 && op[OP(me, 0)].side == RECV)

/* A lone send needs the back's lock only; a lone receive has that of the front. */
inline lock_channel(c_)
{
#if FRONT
    if
    :: n > 1 -> lock_front(c_)
    :: else
    fi;
#endif
    lock(c_);
    held = held | BIT(c_)
}

inline unlock_channel(c_)
{
#if FRONT && BUG != FRONT_LOOKED_AT_ONCE
    if
    :: n > 1 || IS_LONE_RECEIVE -> unlock_both(c_)
    :: else -> unlock(c_)
    fi;
#else
    unlock(c_);
#endif
    held = held & ~BIT(c_)
}

inline lock_involved()
{
    /* In the order of their numbers. */
    do
    :: held == involved -> break
    :: (involved & ~held) == BIT(0) -> lock_channel(0)
#if CHANNELS > 1
    :: (involved & ~held) == BIT(1) -> lock_channel(1)
    :: (involved & ~held) == (BIT(0) | BIT(1)) ->
        if
        :: BUG != LOCKS_UNSORTED || me % 2 == 0 -> lock_channel(0)
        :: else -> lock_channel(1)                      /* BUG */
        fi
#endif
    od
}

inline unlock_held()
{
    do
    :: held == 0 -> break
    :: (held & BIT(0)) != 0 -> unlock_channel(0)
#if CHANNELS > 1
    :: (held & BIT(0)) == 0 && (held & BIT(1)) != 0 -> unlock_channel(1)
#endif
    od
}

/* Lock, and try so many of the cases, starting with any.  For a lone operation both
   are one step. */
inline try_cases(most_)
{
    if
    :: n > 1 -> lock_involved()
    :: else
    fi;
    do
    :: atomic { n > 1 || !locked[op[OP(me, 0)].channel] ->
            if
            :: n == 1 -> k = 0; locked[op[OP(me, 0)].channel] = 1; held = involved
            :: n > 1 && left == 0 -> k = 0
            :: n > 1 && left == 0 -> k = 1
            :: n > 1 && left > 0 -> k = 1 - k
            fi;
            left = left + 1;
            x = OP(me, k);
            begin_op()
        };
        finish_op();
        if
        :: outcome != BLOCKS || left == most_ -> break
        :: else
        fi
    od;
    left = 0;
    k = 0
}

/* Try them, and keep the locks, unless an item was in the front. */
inline attempt(most_)
{
#if FRONT
    if
    :: IS_LONE_RECEIVE -> x = OP(me, 0); take_from_front()
    :: else
    fi;
    if
    :: outcome == BLOCKS -> try_cases(most_)
    :: else
    fi
#else
    try_cases(most_)
#endif
}

inline operate()
{
    attempt(n);

#if BUG == UNLOCKS_BEFORE_ENQUEUE
    if
    :: outcome == BLOCKS -> unlock_held(); lock_involved()
    :: else
    fi;
#endif

    /* If none could be completed, all of them wait, with one waiter. */
    atomic {
        if
        :: outcome == BLOCKS ->
            waiter[me].gone = 0;
            for (k : 0 .. n - 1) {
                op[OP(me, k)].queued = 1;
                queue[QUEUE(op[OP(me, k)].channel, op[OP(me, k)].side)]!OP(me, k);
                printf("thread %d waits in channel %d\n", me, op[OP(me, k)].channel)
            }
            k = 0;
            if
            :: MAY_TIME_OUT(me) -> timed = 1
            :: true
            fi
        :: else
        fi;
        unlock_held()
    };
    if
    :: outcome == BLOCKS ->
        wait();
        read_outcome();
        take_off_others();
        if
        :: outcome == TIMEOUT && BUG != NOT_TRIED_AGAIN -> try_again()
        :: else
        fi;
        if
        :: slept && (n == 1 || BUG != SELECT_NOT_BACK) -> is_back()
        :: else
        fi
    :: else -> post_all()
    fi
}

/* A receiver that got its item asleep sees to those that still sleep. */
inline is_back()
{
    atomic {
        lock(CHANNEL);
        printf("thread %d is back\n", me);
        op[x].waking = 0;
        if
        :: BUG != BACK_NOT_COUNTED -> waking[CHANNEL]--
        :: else
        fi
    };
    if
    :: BUG != BACK_WITHOUT_HANDING_OVER -> hand_over(CHANNEL, MOST_WAKING)
    :: else
    fi;
    unlock(CHANNEL);
    post_all()
}

/* After the deadline, once more, without waiting: the thread may have been left
   asleep beside an item. */
inline try_again()
{
    outcome = BLOCKS;
    printf("thread %d tries again\n", me);
#if BUG == TRIED_AGAIN_PAST_FRONT
    if
    :: len(buffer[op[OP(me, 0)].channel]) > 0 -> attempt(n)
    :: else
    fi;
#else
    attempt((BUG == SELECT_TRIES_ONE_AGAIN -> 1 : n));
#endif
    atomic {
        if
        :: outcome == BLOCKS -> outcome = TIMEOUT; look_beside()
        :: else -> beside = 0
        fi;
        unlock_held()
    };
    post_all()
}

inline read_outcome()
{
    d_step {
        x = NONE;
        if
        :: outcome == FIRED && waiter[me].broken ->
            outcome = BROKEN
        :: outcome == FIRED && !waiter[me].broken ->
            x = waiter[me].fired_op;
            must(x != NONE, not_fired);
            outcome = op[x].status;
            slept = op[x].waking;
            if
            :: SIDE == RECV -> got = op[x].item
            :: else
            fi
        :: else
        fi
    }
}

/* The one that was fired is off its queue already. */
inline take_off_others()
{
    do
    :: k == n -> break
    :: k < n && (OP(me, k) == x ||
                 BUG == NOT_TAKEN_OFF && x == NONE ||
                 BUG == SELECT_NOT_TAKEN_OFF && x != NONE) ->
        k++
    :: else -> take_off(OP(me, k)); k++
    od
}

#if DRAINS
/* Receive until nothing is left, without unlocking in between. */
inline drain_channel()
{
    x = OP(me, 0);
    lock_both(CHANNEL);
    do
    :: try_op();
        if
        :: outcome == OK -> d_step { received(me, got); got = 0 }
        :: else -> break
        fi
    od;
    unlock_both(CHANNEL);
    post_all()
}

inline take_out()
{
    lock_both(x);
    atomic {
#if FRONT
        take_out_of(front[x]);
#endif
        take_out_of(buffer[x]);
        out = 0
    };
    refill(x);
    unlock_both(x);
    x = 0;
    post_all()
}

inline take_out_of(items_)
{
    won = items_??[eval(out)];
    if
    :: won -> items_??eval(out); destroy(out); won = 0
    :: else
    fi
}
#endif

inline destroy(item_)
{
    must(fate[item_] == NOBODYS, fate_differs_from_report);
    fate[item_] = DESTROYED
}

/* The call returns: its stack frame is gone. */
inline return_from_operation()
{
    d_step {
        for (k : 0 .. CASES - 1) {
            must(!op[OP(me, k)].queued, left_queued)
        }
        printf("thread %d returns: %e, item %d\n", me, outcome, got);
#ifndef POST_MAY_BE_LEFT
        must(waiter[me].sema == 0 || IS_MAIN(me), post_left_over);
#endif
        must(outcome != TIMEOUT || !beside, timed_out_beside_item);
        waiter[me].gone = 1;
        if
        :: outcome == OK && SIDE == SEND -> told_sent[op[x].item] = 1
        :: outcome == OK && SIDE == RECV -> received(me, got)
#ifdef CLOSED_IS_FINAL
        :: outcome == CLOSED && SIDE == RECV -> told_closed = 1
#endif
        :: else
        fi;

        /* Next time all begins anew; this also saves states. */
        waiter[me].claimed = 0;
        waiter[me].state = WAITING;
        waiter[me].fired_op = NONE;
        waiter[me].broken = 0;
        for (k : 0 .. CASES - 1) {
            op[OP(me, k)].channel = 0;
            op[OP(me, k)].side = 0;
            op[OP(me, k)].end = 0;
            op[OP(me, k)].item = 0;
            op[OP(me, k)].status = BLOCKS;
            op[OP(me, k)].waking = 0
        }
        got = 0;
        x = 0;
        k = 0;
        timed = 0;
        lost = 0;
        slept = 0;
        beside = 0;
#if DRAINS
        drain = 0;
#endif
        involved = 0;
        n = 0
    }
}

/* Wake those that wait in a queue: all of them, or only those that wait
   through this end. */
inline close_queue(q_, all_, status_)
{
    left = len(queue[q_]);
    do
    :: left == 0 -> break
    :: left > 0 ->
        atomic {
            left--;
            queue[q_]?o;
            if
            :: all_ || op[o].end == end ->
                op[o].queued = 0;
                touch(WAITER_OF(o));
                try_claim(WAITER_OF(o))
            :: else ->
                queue[q_]!o             /* in the end they are as before */
            fi
        };
        atomic {
            if
            :: won -> fire(o, status_)
            :: else
            fi;
            won = 0;
            o = 0
        }
    od
}

inline close_end()
{
    x = end / 4;
#if BUG == FRONT_LOCKED_LAST
    lock(x);
    lock_front(x);
#elif BUG == CLOSED_UNDER_BACK_LOCK
    lock(x);
#else
    lock_both(x);
#endif
    d_step {
        assert(!closed[end]);
        closed[end] = 1;
        open[QUEUE(x, (end / 2) % 2)]--
    };
    if
    :: BUG != OWN_SIDE_NOT_WOKEN -> close_queue(QUEUE(x, (end / 2) % 2), false, END_CLOSED)
    :: else
    fi;
    if
    :: open[QUEUE(x, (end / 2) % 2)] == 0 && BUG != OTHER_SIDE_NOT_WOKEN ->
        if
        :: BUG == CLOSED_BUT_FEW_WOKEN -> hand_over(x, MOST_WAKING)
        :: BUG != CLOSED_BUT_FEW_WOKEN && BUG != CLOSED_WITHOUT_HANDING_OVER ->
            hand_over(x, NONE)          /* no limit */
        :: else
        fi;
        close_queue(QUEUE(x, OTHER((end / 2) % 2)), true, CLOSED)
    :: else
    fi;
    atomic {
        if
        :: open[QUEUE(x, RECV)] == 0 ->
#if FRONT && BUG != FRONT_NOT_DESTROYED
            destroy_all(front[x]);
#endif
            destroy_all(buffer[x]);
            got = 0
        :: else
        fi;
#if BUG == CLOSED_UNDER_BACK_LOCK
        unlock(x);
#else
        unlock_both(x);
#endif
        printf("thread %d closed end %d\n", me, end);
        x = 0;
        end = NONE
    };
    post_all()
}

inline destroy_all(items_)
{
    do
    :: nempty(items_) -> items_?got; destroy(got)
    :: empty(items_) -> break
    od
}

/* In an atomic block: what the thread does next.  Nobody else sees it yet. */
inline begin_step()
{
    outcome = BLOCKS;
    if
    :: step < STEPS -> program()
    :: else -> finished++
    fi
}

proctype Thread(byte me)
{
    LOCALS;
    byte step;
    byte n, k;                  /* cases */
    byte involved, held;        /* channels: sets of bits */
    byte end = NONE;            /* to be closed */
#if DRAINS
    byte out;                   /* an item to be taken out */
    bit drain;                  /* receives all that is there */
#endif
    bit timed;                  /* there is a deadline, or EINTR */
    bit lost;                   /* the claim, when giving up */
    bit slept;                  /* while it was handed its item */
    bit beside;                 /* an item: look_beside() */

    atomic { begin_step() };
    do
    :: step == STEPS -> break
    :: step < STEPS && n > 0 ->
#if DRAINS
        if
        :: drain -> drain_channel()
        :: else -> operate()
        fi;
#else
        operate();
#endif
        atomic {
            return_from_operation();
#if SIGNALS
            if
            :: IS_MAIN(me) -> signalled = 0
            :: else
            fi;
#endif
            if
            :: outcome != INTR -> step++
            :: else             /* handle the signal, then try again */
            fi;
            begin_step()
        }
    :: step < STEPS && n == 0 ->
        if
        :: end != NONE -> close_end()
#if DRAINS
        :: out > 0 -> take_out()
#endif
        :: else
        fi;
        atomic { step++; begin_step() }
    od
}

/* ---- The breaker and the signal handler ---- */

#if BREAKER
proctype Breaker()
{
    byte w, wake;
    bit won;

    if
    :: BUG != STOP_SET_AFTER_WALK -> stop = 1
    :: else
    fi;
    atomic { !parked_lock -> parked_lock = 1 };
    do
    :: w == THREADS -> break
    :: w < THREADS && parked[w] ->
        atomic {
            touch(w);
            try_claim(w);
            won = won || BUG == BREAKER_DOES_NOT_CLAIM
        };
        if
        :: won ->
            atomic { waiter[w].broken = 1; exchange(w) }
        :: else
        fi;
        won = 0;
        w++
    :: w < THREADS && !parked[w] -> w++
    od;
    w = 0;
    parked_lock = 0;
    post_all();
    if
    :: BUG == STOP_SET_AFTER_WALK -> stop = 1
    :: else
    fi
}
#endif

#if SIGNALS
/* The handler runs in whatever thread; it posts for the main thread. */
proctype Signal()
{
    byte count;
    do
    :: count == SIGNALS -> break
    :: count < SIGNALS ->
        signalled = 1;
        waiter[MAIN].sema++;
        count++
    od
}
#endif

/* ---- asyncio ---- */

#if ASYNCS
/* An event loop with some receives from channel 0.  Any of them may be
   cancelled at any time.  When it is too late for that, its item is given
   back at once, before all others or, with FIX_GIVE_BACK_IN_ORDER, to its
   place. */

#define WAITER(nr) (THREADS + (nr))
#define LOOP THREADS            /* as a receiver */

/* A place is reserved first.  (Also if the end is closed: that changes nothing.) */
inline begin_receive()
{
    x = OP(WAITER(begun), 0);
    d_step { !locked[0] ->
        op[x].side = RECV;
        op[x].end = END(0, RECV, 0);
        if
        :: BUG != NO_SLOT_RESERVED ->
            make_room(0);
            reserved[0]++;
            op[x].reserved = 1
        :: else
        fi;
        check_unlocked(0)
    };
#if FRONT
    take_from_front();
    if
    :: outcome == BLOCKS ->
        lock(0);
        try_op();
        leave_pending();
        unlock_both(0)
    :: else -> leave_pending()
    fi;
#else
    lock(0);
    try_op();
    leave_pending();
    unlock(0);
#endif
    post_all();
    outcome = BLOCKS;
    if
    :: (pending & BIT(begun)) == 0 -> forget(begun)
    :: else
    fi;
    begun++
}

/* Unless it is over, and its outcome was looked at. */
inline leave_pending()
{
    atomic {
        if
        :: outcome == BLOCKS ->
            waiter[WAITER(begun)].gone = 0;
            waiter[WAITER(begun)].state = PARKED;       /* it never looks */
            op[x].queued = 1;
            queue[QUEUE(0, RECV)]!x;
            pending = pending | BIT(begun);
            printf("loop: receive %d waits\n", begun);
            if
            :: ALWAYS_CANCELLED(begun) || MAY_CANCEL(begun) ->
                to_cancel = to_cancel | BIT(begun)
            :: !ALWAYS_CANCELLED(begun) -> skip
            fi
        :: outcome == OK && MAY_CANCEL_DONE ->
            printf("loop: receive %d got item %d, and is to be cancelled\n", begun, got);
            op[x].item = got;
            op[x].status = OK;
            pending = pending | BIT(begun);
            to_cancel = to_cancel | BIT(begun)
        :: outcome == OK ->
            printf("loop: receive %d got item %d\n", begun, got);
            received(LOOP, got)
        :: outcome != BLOCKS && outcome != OK ->
            printf("loop: receive %d: %e\n", begun, outcome);
#ifdef CLOSED_IS_FINAL
            told_closed = told_closed || outcome == CLOSED
#endif
        fi;
        got = 0;
        x = 0
    }
}

inline cancel(nr_)
{
    atomic {
        to_cancel = to_cancel & ~BIT(nr_);
        printf("loop: cancels receive %d\n", nr_);
        if
        :: waiter[WAITER(nr_)].gone -> skip         /* it has never waited */
        :: !waiter[WAITER(nr_)].gone && BUG != CANCEL_DOES_NOT_CLAIM ->
            try_claim(WAITER(nr_));
            printf("    won the claim: %d\n", won)
        :: else -> won = 1              /* BUG */
        fi
    };
    if
    :: won ->
        won = 0;
        take_off(OP(WAITER(nr_), 0));
        forget(nr_)
    :: !won && BUG == LATE_GIVE_BACK -> cancelled = cancelled | BIT(nr_)
    :: else ->
        /* Who claimed it is about to post it, and needs nothing of ours. */
        if
        :: waiter[WAITER(nr_)].gone
        :: completions??eval(WAITER(nr_))
        fi;
        lock_both(0);
        give_back(OP(WAITER(nr_), 0));
        unlock_both(0);
        post_all();
        forget(nr_)
    fi
}

/* Its place is free again, unless giving back has seen to that. */
inline forget(nr_)
{
    d_step { !locked[0] ->
        must(!op[OP(WAITER(nr_), 0)].queued, left_queued);
        waiter[WAITER(nr_)].gone = 1;
        waiter[WAITER(nr_)].claimed = 0;
        waiter[WAITER(nr_)].state = WAITING;
        waiter[WAITER(nr_)].fired_op = NONE;
        op[OP(WAITER(nr_), 0)].side = 0;
        op[OP(WAITER(nr_), 0)].end = 0;
        op[OP(WAITER(nr_), 0)].item = 0;
        op[OP(WAITER(nr_), 0)].status = BLOCKS;
        pending = pending & ~BIT(nr_);
        cancelled = cancelled & ~BIT(nr_);
        reserved[0] = reserved[0] - op[OP(WAITER(nr_), 0)].reserved;
        op[OP(WAITER(nr_), 0)].reserved = 0;
        check_unlocked(0)
    }
}

/* Under both locks: an item goes to the first that waits, or in front of those
   in the front, where it came from, or of those in the buffer. */
inline give_back(x_)
{
    if
    :: op[x_].status == OK && BUG != CANCEL_FORGETS_ITEM ->
        if
        :: open[QUEUE(0, RECV)] > 0 && BUG != GIVEN_BACK_PAST_WAITERS ->
            claim_first(QUEUE(0, RECV))
        :: else
        fi;
        atomic {
            got = op[x_].item;
            printf("loop: gives item %d back\n", got);
            op[x_].item = 0;
            op[x_].status = BLOCKS;
            if
            :: open[QUEUE(0, RECV)] == 0 -> destroy(got)
            :: hit != NONE ->
                op[hit].item = got;
                leaves(0, got);
                finish_receiver(hit)
#if FRONT
            :: hit == NONE && len(front[0]) > 0 && BUG != GIVEN_BACK_BEHIND_FRONT ->
                must(len(front[0]) < front_ring[0], no_slot);
                push_front(front[0], got)
#endif
            :: else -> put_back()
            fi;
            hit = NONE;
            got = 0;
            reserved[0] = reserved[0] - op[x_].reserved;
            op[x_].reserved = 0
        }
    :: else
    fi
}

/* In an atomic block. */
inline put_back()
{
    must(len(buffer[0]) < ring[0], no_slot);
#ifdef FIX_GIVE_BACK_IN_ORDER
    buffer[0]!!got              /* before those that were sent later */
#else
    if
    :: BUG == GIVEN_BACK_TO_TAIL -> buffer[0]!got
    :: else -> push_front(buffer[0], got)
    fi
#endif
}

inline push_front(items_, item_)
{
    left = len(items_);
    items_!item_;
    do                          /* turn them until it is in front */
    :: left > 0 -> left--; items_?o; items_!o
    :: else -> break
    od;
    o = 0
}

inline complete(nr_)
{
    if
    :: (cancelled & BIT(nr_)) == 0 ->
        d_step {
            if
            :: op[OP(WAITER(nr_), 0)].status == OK ->
                printf("loop: receive %d got item %d\n", nr_, op[OP(WAITER(nr_), 0)].item);
                received(LOOP, op[OP(WAITER(nr_), 0)].item)
            :: else
            fi;
            to_cancel = to_cancel & ~BIT(nr_)
        }
    :: else ->
        assert(BUG == LATE_GIVE_BACK);
        lock_both(0);                           /* BUG */
        give_back(OP(WAITER(nr_), 0));          /* BUG */
        unlock_both(0);                         /* BUG */
        post_all()                              /* BUG */
    fi;
    forget(nr_)
}

proctype Loop()
{
    LOCALS;
    byte pending, to_cancel, cancelled;         /* receives: sets of bits */
    byte nr;

    do
    :: begun < ASYNCS && MAY_BEGIN -> begin_receive()
    :: (to_cancel & BIT(0)) != 0 -> cancel(0)
#if ASYNCS > 1
    :: (to_cancel & BIT(1)) != 0 -> cancel(1)
#endif
#if ASYNCS > 2
    :: (to_cancel & BIT(2)) != 0 -> cancel(2)
#endif
    :: atomic { MAY_COMPLETE && nempty(completions) ->
            completions?nr;
            nr = nr - THREADS
        };
        complete(nr);
        nr = 0
    :: begun == ASYNCS && pending == 0 -> break
    od
}
#endif

/* ---- All of it ---- */

init
{
    byte i, j, c, item;

    d_step {
        for (c : 0 .. CHANNELS - 1) {
            open[QUEUE(c, SEND)] = SENDING_ENDS;
            open[QUEUE(c, RECV)] = RECEIVING_ENDS
        }
        c = 0
    };
    atomic {
        for (i : 0 .. THREADS - 1) {
            run Thread(i)
        }
        i = 0;
#if BREAKER
        run Breaker();
#endif
#if SIGNALS
        run Signal();
#endif
#if ASYNCS
        run Loop();
#endif
    };
    timeout -> d_step { check_rest() }
}
