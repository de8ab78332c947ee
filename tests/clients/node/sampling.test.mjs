// Fields that shape the answer: each acts, or is refused by its name. None is passed over in silence.

import assert from 'node:assert/strict';
import { BadRequestError } from 'openai';
import { ask, assertNames, failure, forEachKind, outcome } from './gateway.mjs';

const TEXT = 'alpha bravo charlie';

for (const field of ['temperature', 'top_p']) {
  forEachKind(`${field} is accepted`, async (kind) => {
    assert.equal((await ask(kind, TEXT, { [field]: 0.7 })).choices[0].message.content, kind.says(TEXT));
  });
}

for (const field of ['max_completion_tokens', 'max_tokens']) {
  forEachKind(`${field} cuts the answer`, async (kind) => {
    const completion = await ask(kind, TEXT, { [field]: 3 });
    assert.deepEqual(completion.choices[0].message.content.trim().split(/\s+/), ['SIM', kind.cloud, 'heard:']);
    assert.equal(completion.choices[0].finish_reason, 'length');
    assert.equal(completion.usage.completion_tokens, 3);
  });
}

for (const [title, stop, rest] of [
  ['a string', 'bravo', 'alpha'],
  ['a list', ['zulu', 'charlie'], 'alpha bravo'],
]) {
  forEachKind(`stop as ${title} cuts the answer`, async (kind) => {
    const [choice] = (await ask(kind, TEXT, { stop })).choices;
    assert.equal(choice.message.content.trim(), kind.says(rest));
    assert.equal(choice.finish_reason, 'stop');
  });
}

for (const [feature, field, value] of [
  ['seed', 'seed', 7],
  ['penalties', 'presence_penalty', 0.5],
  ['penalties', 'frequency_penalty', 0.5],
  ['logit_bias', 'logit_bias', { 50256: -100 }],
  ['reasoning_effort', 'reasoning_effort', 'low'],
]) {
  forEachKind(`${field} is honoured or refused by name`, async (kind) => {
    const completion = await outcome(kind, feature, field, () => ask(kind, TEXT, { [field]: value }));
    if (completion) assert.equal(completion.choices[0].message.content, kind.says(TEXT));
  });
}

forEachKind('several choices are given or n is refused', async (kind) => {
  const completion = await outcome(kind, 'n', 'n', () => ask(kind, 'alpha', { n: 2 }));
  if (!completion) return;
  assert.deepEqual(
    completion.choices.map((choice) => [choice.index, choice.message.content]),
    [
      [0, kind.says('alpha')],
      [1, kind.says('alpha #1')],
    ],
  );
});

forEachKind('n of one is no wish at all', async (kind) => {
  assert.equal((await ask(kind, 'alpha', { n: 1 })).choices.length, 1);
});

forEachKind('log probabilities are given or refused', async (kind) => {
  const completion = await outcome(kind, 'logprobs', 'logprobs', () => ask(kind, 'alpha', { logprobs: true }));
  if (!completion) return;
  const tokens = completion.choices[0].logprobs.content;
  assert.deepEqual(tokens.map(({ token }) => token.trim()), kind.says('alpha').split(' '));
  assert.ok(tokens.every(({ logprob }) => Math.abs(logprob + 0.5) < 1e-6));
  const [choice] = (await ask(kind, 'alpha', { logprobs: true, top_logprobs: 2 })).choices;
  for (const token of choice.logprobs.content) assert.equal(token.top_logprobs[0]?.token, token.token);
});

forEachKind('a field that nobody knows is refused by name', async (kind) => {
  const error = await failure(BadRequestError, () => ask(kind, 'alpha', { top_k: 3 }));
  assert.match(error.message, /top_k/);
  assertNames(error, 'top_k', { byAigate: kind.translated });
});
