// The list of models.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotFoundError } from 'openai';
import { client, failure, forEachKind, gather } from './gateway.mjs';

forEachKind('all models are listed', async (kind) => {
  const models = new Map((await gather(client.models.list())).map((model) => [model.id, model]));
  for (const name of [kind.chat, kind.embed, kind.busy, kind.missing]) {
    assert.equal(models.get(name)?.object, 'model', name);
  }
});

forEachKind('a model is found by name', async (kind) => {
  for (const name of [kind.chat, kind.embed]) {
    const model = await client.models.retrieve(name);
    assert.deepEqual([model.id, model.object], [name, 'model']);
    assert.ok(model.owned_by && Number.isInteger(model.created));
  }
});

test('an unknown model is not found', async () => {
  const error = await failure(NotFoundError, () => client.models.retrieve('no-such-model'));
  assert.match(error.message, /no-such-model/);
});
