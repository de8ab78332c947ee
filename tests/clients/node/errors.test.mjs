// Errors: each arrives as the SDK's own class, names the field at fault, and says when to come back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from 'openai';
import { client, failure, finishes, forEachKind, gather, key, rawPost } from './gateway.mjs';

const HELLO = [{ role: 'user', content: 'alpha' }];

const chat = (model, fields, { by = client, ...options } = {}) =>
  by.chat.completions.create({ model, messages: HELLO, ...fields }, options);

forEachKind('a wrong key is refused', async (kind) => {
  const by = client.withOptions({ apiKey: 'sk-wrong' });
  for (const call of [
    () => chat(kind.chat, {}, { by }),
    () => chat(kind.chat, { stream: true }, { by }),
    () => by.embeddings.create({ model: kind.embed, input: 'alpha' }),
    () => by.models.list(),
  ]) {
    const error = await failure(AuthenticationError, call);
    assert.ok(error.requestID);
    assert.ok(!JSON.stringify(error.error).includes('sk-wrong'));
  }
});

forEachKind('no key is refused', async (kind) => {
  await failure(AuthenticationError, () => chat(kind.chat, {}, { headers: { Authorization: null } }));
});

forEachKind('an unknown model is not found and the nearest name is told', async (kind) => {
  const misspelt = kind.chat.slice(0, 2) + kind.chat.slice(1);
  const error = await failure(NotFoundError, () => chat(misspelt));
  assert.ok(error.message.includes(misspelt));
  assert.ok(error.message.includes(kind.chat), `a hint at the nearest name: ${error.message}`);
  await failure(NotFoundError, () => chat(misspelt, { stream: true }));
});

for (const stream of [false, true]) {
  const how = stream ? 'streamed' : 'whole';

  forEachKind(`a busy provider says when to come back, ${how}`, async (kind) => {
    const error = await failure(RateLimitError, () => chat(kind.busy, { stream }));
    assert.ok(Number(error.headers.get('retry-after')) > 0);
    assert.ok(error.requestID);
  });

  forEachKind(`a model that the provider does not know is the operator's fault, ${how}`, async (kind) => {
    const error = await failure(InternalServerError, () => chat(kind.missing, { stream }));
    assert.equal(error.status, 503);
    assert.ok(error.error.message);
  });

  forEachKind(`a filtered question is refused as such, ${how}`, async (kind) => {
    const call = () => chat(kind.chat, { stream, messages: [{ role: 'user', content: 'filter-me alpha' }] });
    if (kind.filtered_input === 'finish') {
      // Bedrock answers, and says in the stop reason that its guardrail stepped in.
      const answers = stream ? await gather(await call()) : [await call()];
      assert.deepEqual(finishes(answers), ['content_filter']);
    } else {
      const { code } = await failure(BadRequestError, call);
      assert.ok(kind.filter_codes.includes(code), code);
    }
  });
}

for (const [fields, param] of [
  [{ temperature: 3 }, 'temperature'],
  [{ temperature: 'hot' }, 'temperature'],
  [{ top_p: 1.5 }, 'top_p'],
  [{ presence_penalty: -3 }, 'presence_penalty'],
  [{ frequency_penalty: 3 }, 'frequency_penalty'],
  [{ n: 0 }, 'n'],
  [{ seed: 'seven' }, 'seed'],
  [{ stop: [1] }, 'stop'],
  [{ max_completion_tokens: -1 }, 'max_completion_tokens'],
  [{ max_tokens: 5, max_completion_tokens: 5 }, 'max_tokens'],
  [{ logprobs: true, top_logprobs: 30 }, 'top_logprobs'],
  [{ stream_options: { include_usage: true } }, 'stream_options'],
  [{ functions: [{ name: 'old' }] }, 'functions'],
  [{ messages: [] }, 'messages'],
  [{ messages: 'alpha' }, 'messages'],
  [{ messages: [{ role: 'boss', content: 'alpha' }] }, 'messages[0].role'],
  [{ messages: [...HELLO, { role: 'user' }] }, 'messages[1].content'],
  [{ messages: [...HELLO, { role: 'user', content: 3 }] }, 'messages[1].content'],
  [{ messages: [...HELLO, { role: 'tool', content: 'sunny' }] }, 'messages[1].tool_call_id'],
]) {
  forEachKind(`an invalid value is refused by name: ${JSON.stringify(fields)}`, async (kind) => {
    const error = await failure(BadRequestError, () => chat(kind.chat, fields));
    assert.equal(error.param, param);
    assert.ok(error.type);
  });
}

test('a missing field is named', async () => {
  const answer = await rawPost('/v1/chat/completions', JSON.stringify({ messages: HELLO }));
  assert.equal(answer.status, 400);
  assert.equal(JSON.parse(answer.text).error.param, 'model');
});

for (const path of ['/v1/chat/completions', '/v1/embeddings']) {
  test(`invalid JSON is refused with its position at ${path}`, async () => {
    const answer = await rawPost(path, '{"model": "a",\n  oops}');
    assert.equal(answer.status, 400);
    assert.match(JSON.parse(answer.text).error.message, /line 2 column 3/);
  });
}

test("an error has the documented form and the caller's request id, and never the key", async () => {
  const error = await failure(NotFoundError, () =>
    chat('no-such-model', {}, { headers: { 'x-request-id': 'suite-error' } }),
  );
  assert.equal(error.requestID, 'suite-error');
  assert.equal(error.headers.get('x-request-id'), 'suite-error');
  for (const field of ['message', 'type', 'param', 'code']) assert.ok(field in error.error, field);
  assert.match(error.headers.get('content-type'), /^application\/json/);
  assert.ok(!JSON.stringify(error.error).includes(key));
});
