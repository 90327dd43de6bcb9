// Round trips between the main thread and a worker thread of Node.js.
//
//     node node_ping_pong.js message_port CAPACITY hot WARMUP BATCHES BATCH PLACE
//     node node_ping_pong.js message_port CAPACITY parked WARMUP COUNT PAUSE_US HOLD_US PLACE
//
// CAPACITY and PLACE are ignored.  Prints microseconds, a line for each batch
// (the mean of its round trips) or each round trip; measure/loops.py says what
// exactly is measured.  A thread between messages is blocked in its event loop.

'use strict';

const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const now = () => process.hrtime.bigint();

function echo({ count, hold, parked }) {
  const held = [];
  let answered = 0;
  const answer = (message, start) => {
    if (parked)
      held.push(Number(now() - start));
    parentPort.postMessage(message);
    if (++answered === count) {
      parentPort.postMessage(held);
      parentPort.close();
    }
  };
  parentPort.on('message', (message) => {
    const start = parked ? now() : 0n;
    if (hold)
      setTimeout(answer, hold, message, start);
    else
      answer(message, start);
  });
}

// Calls done(durations, held), in nanoseconds; the durations are of batches.
function ping(worker, count, batch, pause, done) {
  const durations = [];
  let start, sent = 0, received = 0;
  const send = () => {
    if (sent % batch === 0)
      start = now();
    worker.postMessage(sent++);
  };
  const next = () => {
    if (pause)
      setTimeout(send, pause);
    else
      send();
  };
  worker.on('message', (message) => {
    if (Array.isArray(message))
      return done(durations, message);
    if (message !== received++)
      throw new Error('not what was sent');
    if (received % batch === 0)
      durations.push(Number(now() - start));
    if (received < count)
      next();
  });
  next();
}

function main() {
  const [, , mode, ...numbers] = process.argv.slice(2);
  const [warmup, n, third, fourth] = numbers.map(Number);
  const parked = mode === 'parked';
  if (!parked && mode !== 'hot')
    throw new Error('arguments: message_port CAPACITY hot|parked NUMBER...');
  const batch = parked ? 1 : third;
  const count = (warmup + n) * batch;
  const hold = parked ? fourth / 1000 : 0;
  const worker = new Worker(__filename, { workerData: { count, hold, parked } });
  worker.on('error', (error) => { throw error; });
  worker.on('online', () => ping(worker, count, batch, parked ? third / 1000 : 0,
                                 (durations, held) => {
    for (let i = warmup; i < durations.length; i++)
      console.log((durations[i] - (parked ? held[i] : 0)) / 1000 / batch);
  }));
}

if (isMainThread)
  main();
else
  echo(workerData);
