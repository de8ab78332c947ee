// Embeddings: each form of input, both encodings (the SDK asks for base64 by default), length and usage.

import assert from 'node:assert/strict';
import { BadRequestError, NotFoundError } from 'openai';
import { assertNames, client, failure, forEachKind, outcome, rawPost } from './gateway.mjs';

const TEXTS = ['alpha bravo', 'charlie', 'delta echo foxtrot'];

const create = (kind, fields) => client.embeddings.create({ model: kind.embed, input: 'alpha bravo', ...fields });

async function embed(kind, input, fields) {
  const { data } = await create(kind, { input, ...fields });
  assert.deepEqual(data.map((item) => item.index), [...data.keys()]);
  return data.map((item) => [...item.embedding]);
}

function assertClose(mine, other) {
  assert.equal(mine.length, other.length);
  mine.forEach((number, index) => assert.ok(Math.abs(number - other[index]) < 1e-6, `at ${index}`));
}

// Without the SDK, which hides the encoding.
async function embedRaw(kind, encoding_format) {
  const body = JSON.stringify({ model: kind.embed, input: TEXTS, encoding_format });
  const { data } = JSON.parse((await rawPost('/v1/embeddings', body)).text);
  if (encoding_format === 'float') return data.map((item) => item.embedding);
  return data.map((item) => {
    const bytes = Buffer.from(item.embedding, 'base64');
    return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
  });
}

forEachKind('a text is embedded', async (kind) => {
  const answer = await create(kind);
  assert.equal(answer.object, 'list');
  assert.ok(answer.model);
  assert.equal(answer.data.length, 1);
  const [{ object, index, embedding }] = answer.data;
  assert.deepEqual([object, index, embedding.length], ['embedding', 0, 8]);
  assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
});

forEachKind('texts are embedded in their order', async (kind) => {
  const together = await embed(kind, TEXTS);
  assert.equal(together.length, TEXTS.length);
  for (const [index, text] of TEXTS.entries()) assertClose(together[index], (await embed(kind, text))[0]);
  assert.ok(together[0].some((number, index) => Math.abs(number - together[1][index]) > 1e-3));
});

forEachKind('both encodings give equal vectors', async (kind) => {
  const byDefault = await embed(kind, TEXTS);
  const others = [
    await embed(kind, TEXTS, { encoding_format: 'float' }),
    await embedRaw(kind, 'float'),
    await embedRaw(kind, 'base64'),
  ];
  for (const other of others) {
    assert.equal(other.length, byDefault.length);
    byDefault.forEach((vector, index) => assertClose(vector, other[index]));
  }
});

forEachKind('the length is the one asked for', async (kind) => {
  assert.equal((await embed(kind, 'alpha bravo', { dimensions: 256 }))[0].length, 256);
});

forEachKind('usage counts the input', async (kind) => {
  const { usage } = await create(kind, { input: TEXTS });
  if (kind.embedding_tokens === 'either' && !usage) return;
  assert.deepEqual([usage.prompt_tokens, usage.total_tokens], [6, 6]);
});

for (const [title, tokens, count] of [
  ['a list of tokens', [1, 2, 3], 1],
  ['several lists of tokens', [[1, 2], [3]], 2],
]) {
  forEachKind(`${title} is embedded or refused`, async (kind) => {
    const vectors = await outcome(kind, 'token_arrays', 'input', () => embed(kind, tokens));
    if (vectors) assert.equal(vectors.length, count);
  });
}

forEachKind('headers tell who answered', async (kind) => {
  const { data, response, request_id } = await client.embeddings
    .create({ model: kind.embed, input: 'alpha' }, { headers: { 'x-request-id': 'suite-embed' } })
    .withResponse();
  const provider = response.headers.get('x-aigate-provider');
  assert.ok(provider && response.headers.get('x-aigate-deployment').startsWith(`${provider}/`));
  assert.equal(response.headers.get('x-aigate-attempts'), '1');
  assert.equal(request_id, 'suite-embed');
  assert.equal(data.data.length, 1);
});

for (const [title, fields, param] of [
  ['nothing', { input: [] }, 'input'],
  ['a number', { input: 7 }, 'input'],
  ['no dimensions', { dimensions: 0 }, 'dimensions'],
  ['an unknown encoding', { encoding_format: 'hex' }, 'encoding_format'],
]) {
  forEachKind(`${title} is refused by name`, async (kind) => {
    const error = await failure(BadRequestError, () => create(kind, { encoding_format: 'float', ...fields }));
    assert.equal(error.param, param);
  });
}

forEachKind('a field that nobody knows is refused by name', async (kind) => {
  const error = await failure(BadRequestError, () => create(kind, { pooling: 'mean' }));
  assertNames(error, 'pooling', { byAigate: kind.translated });
});

forEachKind('a chat model does not embed', async (kind) => {
  const call = () => client.embeddings.create({ model: kind.chat, input: 'alpha' });
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof BadRequestError || error instanceof NotFoundError, String(error));
    assert.ok(error.message.includes(kind.chat));
    return true;
  });
});
