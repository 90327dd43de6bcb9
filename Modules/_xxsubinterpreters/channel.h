/* Channels: first-in first-out queues between any threads of the process.

   The engine moves items; what an item holds is not its business.  An item
   belongs to exactly one party at any time: the sender until a send
   succeeds, the channel until it is received, then the receiver.

   No function here needs a thread state or a GIL, and none touches a
   PyObject.  Those named ..._Wait may block: a thread that is attached to an
   interpreter detaches before it calls them.  The others take locks that are
   only ever held for a few instructions. */

#ifndef Py_XXSUBINTERPRETERS_CHANNEL_H
#define Py_XXSUBINTERPRETERS_CHANNEL_H

#include "Python.h"
#include "pycore_llist.h"         // struct llist_node
#include "item.h"
#include "waiter.h"

typedef enum {
    _PyChannel_RECV = 0,
    _PyChannel_SEND = 1,
} _PyChannel_Side;

/* The sides that an end gives access to. */
enum {
    _PyChannel_CAN_RECV = 1 << _PyChannel_RECV,
    _PyChannel_CAN_SEND = 1 << _PyChannel_SEND,
    _PyChannel_CAN_BOTH = _PyChannel_CAN_RECV | _PyChannel_CAN_SEND,
};

/* One handle on one side of a channel, or on both.  Handles are counted: when
   the last open one of a side is closed, the other side sees it. */
typedef struct {
    _PyChannel *channel;
    uint8_t sides;
    uint8_t closed;                 /* covered by the channel's locks */
} _PyChannelEnd;

typedef enum {
    _PyChannel_OK,
    _PyChannel_WOULD_BLOCK,         /* full for a sender, empty for a receiver */
    _PyChannel_CLOSED,              /* nobody is left on the other side */
    _PyChannel_END_CLOSED,          /* this very end is closed */
    _PyChannel_NO_MEMORY,
    _PyChannel_TIMEOUT,
    _PyChannel_SIGNAL,              /* see _PyWaiter_Result */
    _PyChannel_BROKEN,
} _PyChannel_Status;

#define _PyChannel_UNBOUNDED (-1)

/* Create a channel, with one end of both sides, or one of each.  With a
   capacity of zero a send waits for its receiver.  Return 0, or -1 when out of
   memory.  What the tag of a queue says is its users' business. */
extern int _PyChannel_New(Py_ssize_t capacity,
                          _PyChannelEnd **recv, _PyChannelEnd **send);
extern _PyChannelEnd *_PyChannel_NewQueue(Py_ssize_t capacity, int tag);


/* --- ends ----------------------------------------------------------------- */

/* Return another open end like `end`, which must be open; NULL with *status
   set to END_CLOSED or NO_MEMORY. */
extern _PyChannelEnd *_PyChannelEnd_Clone(_PyChannelEnd *end,
                                          _PyChannel_Status *status);

/* Close the end; operations that wait through it get END_CLOSED.  Closing
   twice does nothing. */
extern void _PyChannelEnd_Close(_PyChannelEnd *end);

/* Close and free the end.  Nothing may use it any more. */
extern void _PyChannelEnd_Free(_PyChannelEnd *end);

extern int _PyChannelEnd_IsClosed(_PyChannelEnd *end);

static inline const _PyChannel *
_PyChannelEnd_Channel(const _PyChannelEnd *end)
{
    return end->channel;
}

/* The channel's number in this process; never reused. */
extern int64_t _PyChannelEnd_ID(const _PyChannelEnd *end);
extern Py_ssize_t _PyChannelEnd_Capacity(const _PyChannelEnd *end);
extern int _PyChannelEnd_Tag(const _PyChannelEnd *end);

/* Number of messages waiting, those of blocked senders included. */
extern Py_ssize_t _PyChannelEnd_Length(_PyChannelEnd *end);

/* True if a send would block. */
extern int _PyChannelEnd_IsFull(_PyChannelEnd *end);


/* --- all channels --------------------------------------------------------- */

/* Return an array of all channels that are not queues, oldest first, with a
   reference to each, to be freed with PyMem_RawFree(); NULL when out of
   memory. */
extern _PyChannel **_PyChannel_All(Py_ssize_t *n);
extern void _PyChannel_Decref(_PyChannel *channel);

/* Return a new end of a side; closed, if none is open on that side.  NULL when
   out of memory. */
extern _PyChannelEnd *_PyChannel_NewEnd(_PyChannel *channel,
                                        _PyChannel_Side side);

/* Return a new end of the queue with that number; NULL with *status set to
   CLOSED, if there is none, or to NO_MEMORY. */
extern _PyChannelEnd *_PyChannel_OpenQueue(int64_t id,
                                           _PyChannel_Status *status);


/* Offer every buffered item of every queue to `take`, which returns true for
   those that it takes out, and then owns.  Called under locks, it calls
   nothing of the engine, and neither allocates nor frees. */
extern void _PyChannel_TakeItems(int (*take)(_PyChannelItem item, void *arg),
                                 void *arg);

/* To be called around a fork, with no lock taken but of a lower rank.  The child
   has all channels, and nobody waits. */
extern void _PyChannel_BeforeFork(void);
extern void _PyChannel_AfterForkParent(void);
extern void _PyChannel_AfterForkChild(void);


/* --- sending and receiving ------------------------------------------------ */

/* One send or one receive.  Set `end`, `side` and, to send, `item`; the rest
   is the engine's.  When it is done `status` says how; on OK an item that was
   sent is no longer the caller's, and one that was received is. */
typedef struct _PyChannelOp {
    _PyChannelEnd *end;
    _PyChannel_Side side;
    _PyChannel_Status status;
    _PyChannelItem item;

    struct llist_node node;             /* among those waiting; covered by the
                                           lock of the channel's back */
    _PyWaiter *waiter;
    uint8_t alone;                      /* not a case of a select */
    uint8_t reserved;                   /* has a place in the ring reserved */
    uint8_t waking;                     /* was handed an item in its sleep */
} _PyChannelOp;

/* Do it if it can be done at once; else the status is WOULD_BLOCK. */
extern _PyChannel_Status _PyChannel_Try(_PyChannelOp *op);

/* Do it, or leave it waiting with `waiter`, which is initialised.  Return true
   if it is done. */
extern int _PyChannel_Begin(_PyChannelOp *op, _PyWaiter *waiter);

/* Wait for what is left waiting. */
extern _PyChannel_Status _PyChannel_Wait(_PyChannelOp *op, PyTime_t deadline,
                                         const _PyWaiter_Breakers *breakers);

/* Receive up to `n` items that are there, in one go.  Return how many; zero
   with *status set as by a single receive. */
extern Py_ssize_t _PyChannel_Drain(_PyChannelEnd *end, _PyChannelItem *items,
                                   Py_ssize_t n, _PyChannel_Status *status);


/* --- the first of several ------------------------------------------------- */

/* Several operations, of which exactly one is to be done. */
typedef struct {
    Py_ssize_t n;
    _PyChannelOp *ops;
    /* Their channels, each once, ordered by number.  Room for n, filled by
       _PyChannel_SelectInit(). */
    _PyChannel **channels;
    Py_ssize_t n_channels;
    /* In which order to try them.  Room for n, likewise. */
    _PyChannelOp **order;
} _PyChannelSelect;

extern void _PyChannel_SelectInit(_PyChannelSelect *select);

/* As for one operation; they return the one that is done, NULL for none.  The
   choice among those that can be done at once is random.  After an
   unsuccessful wait *status says why. */
extern _PyChannelOp *_PyChannel_SelectTry(_PyChannelSelect *select);
extern _PyChannelOp *_PyChannel_SelectBegin(_PyChannelSelect *select,
                                            _PyWaiter *waiter);
extern _PyChannelOp *_PyChannel_SelectWait(_PyChannelSelect *select,
                                           PyTime_t deadline,
                                           const _PyWaiter_Breakers *breakers,
                                           _PyChannel_Status *status);


/* --- operations of event loops -------------------------------------------- */

/* Do the operation, or leave it waiting until it is posted to a port; `waiter`
   is set up for that.  Return true if it is done.  A receive reserves a place in
   the channel, for _PyChannel_GiveBack(); one of the functions below must
   release it, unless the first one returns false. */
extern int _PyChannel_BeginAsync(_PyChannelOp *op, _PyWaiter *waiter);

/* Take the operation back if it is not done; return true if that was possible. */
extern int _PyChannel_CancelAsync(_PyChannelOp *op);

/* Say that the operation is done with: its item, if any, has another owner. */
extern void _PyChannel_EndAsync(_PyChannelOp *op);

/* Return the item that a receive got to the front of the channel; if nobody is
   left to receive it, destroy it. */
extern void _PyChannel_GiveBack(_PyChannelOp *op);

#endif /* !Py_XXSUBINTERPRETERS_CHANNEL_H */
