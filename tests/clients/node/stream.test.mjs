// Streamed chat completions: raw chunks, usage at the end, and the SDK's own stream helper.

import assert from 'node:assert/strict';
import {
  chunks,
  client,
  finishes,
  forEachKind,
  gather,
  joined,
  outcome,
  question,
  rawPost,
  words,
} from './gateway.mjs';

const withUsage = { stream_options: { include_usage: true } };

forEachKind('chunks join to the answer', async (kind) => {
  const parts = await chunks(kind, 'alpha bravo charlie');
  assert.equal(joined(parts), kind.says('alpha bravo charlie'));
  const spoken = parts.filter((chunk) => chunk.choices.some((choice) => choice.delta.content));
  assert.ok(spoken.length >= 3, 'the answer is to be streamed, not kept and sent at once');
});

forEachKind('chunks have the documented order', async (kind) => {
  const parts = (await chunks(kind, 'alpha bravo')).filter((chunk) => chunk.choices.length > 0);
  assert.ok(parts.every((chunk) => chunk.object === 'chat.completion.chunk'));
  assert.ok(parts[0].id && parts.every((chunk) => chunk.id === parts[0].id));
  assert.equal(parts[0].choices[0].delta.role, 'assistant');
  assert.ok(!parts.slice(1).some((chunk) => chunk.choices[0].delta.role));
  assert.ok(parts.slice(0, -1).every((chunk) => chunk.choices[0].finish_reason === null));
  assert.equal(parts.at(-1).choices[0].finish_reason, 'stop');
});

forEachKind('text beyond ASCII arrives unchanged', async (kind) => {
  const text = 'Grüße, 你好 und "🎉" \\ zum Schluß';
  assert.equal(joined(await chunks(kind, text)), kind.says(text));
});

forEachKind('usage comes once and last when asked for', async (kind) => {
  const parts = await chunks(kind, 'alpha bravo', withUsage);
  assert.deepEqual(parts.filter((chunk) => chunk.usage), [parts.at(-1)]);
  const { choices, usage } = parts.at(-1);
  assert.deepEqual(choices, []);
  assert.equal(usage.prompt_tokens, 2);
  assert.equal(usage.completion_tokens, words(kind.says('alpha bravo')));
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

for (const [title, fields] of [
  ['not asked for', {}],
  ['declined', { stream_options: { include_usage: false } }],
]) {
  forEachKind(`usage does not come when ${title}`, async (kind) => {
    assert.deepEqual((await chunks(kind, 'alpha', fields)).filter((chunk) => chunk.usage), []);
  });
}

forEachKind('usage that the provider does not tell is absent', async (kind) => {
  const parts = await chunks(kind, 'no-usage alpha', withUsage);
  assert.equal(joined(parts), kind.says('no-usage alpha'));
  assert.deepEqual(parts.filter((chunk) => chunk.usage), []);
});

forEachKind('cached and reasoning tokens have their own fields', async (kind) => {
  const { usage } = (await chunks(kind, 'cached-prompt think alpha', withUsage)).at(-1);
  assert.equal(usage.prompt_tokens, 3);
  assert.equal(usage.prompt_tokens_details.cached_tokens, 2);
  const expected = kind.reasoning_tokens === 'absent' ? null : 3;
  assert.equal(usage.completion_tokens_details?.reasoning_tokens ?? null, expected);
});

forEachKind('finish reasons are those of whole answers', async (kind) => {
  assert.deepEqual(finishes(await chunks(kind, 'alpha bravo charlie', { max_completion_tokens: 4 })), ['length']);
  assert.deepEqual(finishes(await chunks(kind, 'filter-output alpha bravo charlie')), ['content_filter']);
  assert.deepEqual(finishes(await chunks(kind, 'alpha\nfinish: SOLAR_FLARE')), ['SOLAR_FLARE']);
});

forEachKind('several choices are streamed or n is refused', async (kind) => {
  const parts = await outcome(kind, 'n', 'n', () => chunks(kind, 'alpha', { n: 2 }));
  if (!parts) return;
  assert.equal(joined(parts, 0), kind.says('alpha'));
  assert.equal(joined(parts, 1), kind.says('alpha #1'));
  assert.deepEqual(finishes(parts), ['stop', 'stop']);
});

forEachKind('log probabilities are streamed or refused', async (kind) => {
  const parts = await outcome(kind, 'logprobs', 'logprobs', () => chunks(kind, 'alpha', { logprobs: true }));
  if (!parts) return;
  const tokens = parts.flatMap((chunk) => chunk.choices.flatMap((choice) => choice.logprobs?.content ?? []));
  assert.deepEqual(tokens.map(({ token }) => token.trim()), kind.says('alpha').split(' '));
  assert.ok(tokens.every(({ logprob }) => Math.abs(logprob + 0.5) < 1e-6));
});

forEachKind('headers tell who answers', async (kind) => {
  const { data, response, request_id } = await client.chat.completions
    .create(question(kind, 'alpha', { stream: true }), { headers: { 'x-request-id': 'suite-stream' } })
    .withResponse();
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  assert.equal(request_id, 'suite-stream');
  const provider = response.headers.get('x-aigate-provider');
  assert.ok(provider && response.headers.get('x-aigate-deployment').startsWith(`${provider}/`));
  assert.equal(response.headers.get('x-aigate-attempts'), '1');
  assert.equal(joined(await gather(data)), kind.says('alpha'));
});

forEachKind('the stream ends with [DONE]', async (kind) => {
  const answer = await rawPost('/v1/chat/completions', JSON.stringify(question(kind, 'alpha', { stream: true })));
  const events = answer.text.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  assert.equal(events.at(-1), 'data: [DONE]');
  assert.equal(events.filter((line) => line === 'data: [DONE]').length, 1);
});

forEachKind('the stream helper gathers the completion', async (kind) => {
  const stream = client.chat.completions.stream(question(kind, 'alpha bravo', withUsage));
  const deltas = [];
  stream.on('content', (delta) => deltas.push(delta));
  const final = await stream.finalChatCompletion();
  assert.equal(deltas.join(''), kind.says('alpha bravo'));
  assert.equal(await stream.finalContent(), kind.says('alpha bravo'));
  assert.equal(final.choices[0].message.role, 'assistant');
  assert.equal(final.choices[0].message.content, kind.says('alpha bravo'));
  assert.equal(final.choices[0].finish_reason, 'stop');
  assert.equal((await stream.totalUsage()).prompt_tokens, 2);
});
