// A caller who leaves takes the provider's work along: before the answer, before the first chunk, and mid-stream.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { APIConnectionTimeoutError, APIUserAbortError } from 'openai';
import { chunks, client, failure, forEachKind, question } from './gateway.mjs';

const STATS = process.env.AIGATE_SIM_STATS;

const options = {
  skip: STATS ? false : 'AIGATE_SIM_STATS is not set: nobody tells what the providers see of a cancelled request',
};

// 20 ms between chunks: a stream of eight seconds, if nobody stops it.
const LONG = `slowly ${'word '.repeat(400)}`.trim();
// Two seconds before the answer begins.
const LATE = 'wait-first alpha';

async function seen(kind) {
  const stats = await (await fetch(STATS, { signal: AbortSignal.timeout(5_000) })).json();
  return stats[kind.cloud];
}

// Waits, five seconds at most, until the provider sees what is expected.
async function until(kind, holds, what) {
  const end = Date.now() + 5_000;
  for (;;) {
    const now = await seen(kind);
    if (holds(now)) return now;
    assert.ok(Date.now() < end, `the provider never saw ${what}: ${JSON.stringify(now)}`);
    await pause(10);
  }
}

const quiet = (kind) => until(kind, (stats) => stats.in_flight === 0, 'the end of earlier requests');

const abandoned = (stats) => stats.abandoned_streams + stats.abandoned_calls;

const givenUp = (kind, count, before) =>
  until(kind, (stats) => count(stats) > count(before) && stats.in_flight === 0, 'that the request was given up');

const streams = (stats) => stats.abandoned_streams;
const calls = (stats) => stats.abandoned_calls;

const streamed = (kind) => client.chat.completions.create(question(kind, LONG, { stream: true }));

forEachKind('a stream left midway is given up', async (kind) => {
  const before = await quiet(kind);
  let count = 0;
  for await (const _ of await streamed(kind)) {
    count += 1;
    if (count === 3) {
      assert.equal((await seen(kind)).in_flight, 1);
      break;
    }
  }
  await givenUp(kind, streams, before);
}, options);

forEachKind('a stream aborted by its controller is given up', async (kind) => {
  const before = await quiet(kind);
  const stream = await streamed(kind);
  for await (const _ of stream) stream.controller.abort();
  await givenUp(kind, streams, before);
}, options);

forEachKind('a stream helper aborted midway is given up', async (kind) => {
  const before = await quiet(kind);
  const stream = client.chat.completions.stream(question(kind, LONG));
  stream.once('content', () => stream.abort());
  await failure(APIUserAbortError, () => stream.done());
  await givenUp(kind, streams, before);
}, options);

forEachKind('a stream read to its end is not given up', async (kind) => {
  const before = await quiet(kind);
  await chunks(kind, 'alpha bravo');
  assert.equal(abandoned(await quiet(kind)), abandoned(before));
}, options);

for (const stream of [false, true]) {
  forEachKind(`a call aborted before the ${stream ? 'first chunk' : 'answer'} is given up`, async (kind) => {
    const before = await quiet(kind);
    const controller = new AbortController();
    const call = client.chat.completions.create(question(kind, LATE, { stream }), { signal: controller.signal });
    const failed = failure(APIUserAbortError, () => call);
    await until(kind, (stats) => stats.in_flight === 1, 'the call');
    controller.abort();
    await failed;
    await givenUp(kind, stream ? abandoned : calls, before);
  }, options);
}

forEachKind("a call that the caller's timeout ends is given up", async (kind) => {
  const before = await quiet(kind);
  const call = () => client.chat.completions.create(question(kind, LATE), { timeout: 500 });
  await failure(APIConnectionTimeoutError, call);
  await givenUp(kind, calls, before);
}, options);
