/* Channels: first-in first-out queues between any threads of the process.

   The engine moves items; what an item holds is not its business.  An item
   belongs to exactly one party at any time: the sender until a send
   succeeds, the channel until it is received, then the receiver.

   No function here needs a thread state or a GIL, and none touches a
   PyObject.  The ones that may block are named ..._Wait: a thread that is
   attached to an interpreter detaches before it calls them.  The others take
   the channel's lock, which is only ever held for a few instructions.

   An end inside a message counts as open, so a channel whose only ends are in
   its own messages is never collected. */

#ifndef Py_XXSUBINTERPRETERS_CHANNEL_H
#define Py_XXSUBINTERPRETERS_CHANNEL_H

#include "Python.h"

/* An item is embedded in whatever it carries. */
typedef struct _PyChannelItem {
    struct _PyChannelItem *next;                /* used by the owner */
    void (*destroy)(struct _PyChannelItem *);   /* for items never received */
} _PyChannelItem;

typedef struct _PyChannel _PyChannel;

typedef enum {
    _PyChannel_RECV = 0,
    _PyChannel_SEND = 1,
} _PyChannel_Side;

/* One handle on one side of a channel.  Handles are counted: when the last
   open one of a side is closed, the other side sees it. */
typedef struct {
    _PyChannel *channel;
    _PyChannel_Side side;
    int closed;                     /* covered by the channel's lock */
} _PyChannelEnd;

typedef enum {
    _PyChannel_OK,
    _PyChannel_WOULD_BLOCK,         /* full for a sender, empty for a receiver */
    _PyChannel_CLOSED,              /* nobody is left on the other side */
    _PyChannel_END_CLOSED,          /* this very end is closed */
    _PyChannel_TIMEOUT,
    _PyChannel_INTR,                /* a signal arrived; nothing happened */
} _PyChannel_Status;

#define _PyChannel_UNBOUNDED (-1)

/* Create a channel and its first two ends.  With a capacity of zero a send
   waits for its receiver.  Return 0, or -1 when out of memory. */
extern int _PyChannel_New(Py_ssize_t capacity,
                          _PyChannelEnd **recv, _PyChannelEnd **send);

/* Return another open end like `end`, which must be open; NULL with *status
   set to END_CLOSED, or to OK when out of memory. */
extern _PyChannelEnd *_PyChannelEnd_Clone(_PyChannelEnd *end,
                                          _PyChannel_Status *status);

/* Close the end; threads that wait through it return END_CLOSED.  Closing
   twice does nothing. */
extern void _PyChannelEnd_Close(_PyChannelEnd *end);

/* Close and free the end.  No other thread may use it any more. */
extern void _PyChannelEnd_Free(_PyChannelEnd *end);

extern int _PyChannelEnd_IsClosed(_PyChannelEnd *end);

/* The channel's number in this process; never reused. */
extern int64_t _PyChannelEnd_ID(const _PyChannelEnd *end);
extern Py_ssize_t _PyChannelEnd_Capacity(const _PyChannelEnd *end);

/* Number of messages waiting, those of blocked senders included. */
extern Py_ssize_t _PyChannelEnd_Length(_PyChannelEnd *end);

/* Send `item`: OK means that it is no longer the caller's.  The deadline is
   on PyTime_Monotonic's clock, negative for none; for `interrupted` see
   _PyWaiter_Wait(). */
extern _PyChannel_Status _PyChannel_Send(_PyChannelEnd *end,
                                         _PyChannelItem *item);
extern _PyChannel_Status _PyChannel_SendWait(_PyChannelEnd *end,
                                             _PyChannelItem *item,
                                             PyTime_t deadline,
                                             const int *interrupted);

/* Receive into *item: on OK it is the caller's. */
extern _PyChannel_Status _PyChannel_Recv(_PyChannelEnd *end,
                                         _PyChannelItem **item);
extern _PyChannel_Status _PyChannel_RecvWait(_PyChannelEnd *end,
                                             _PyChannelItem **item,
                                             PyTime_t deadline,
                                             const int *interrupted);

#endif /* !Py_XXSUBINTERPRETERS_CHANNEL_H */
