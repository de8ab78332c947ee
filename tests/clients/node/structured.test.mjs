// Answers in JSON: some object, or one that follows a schema, parsed by the SDK.

import assert from 'node:assert/strict';
import { BadRequestError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { ask, client, failure, forEachKind, outcome, question } from './gateway.mjs';

const TEXT = 'Report in JSON, please.';

const Report = z.object({
  title: z.string(),
  pages: z.number().int(),
  score: z.number(),
  final: z.boolean(),
  tags: z.array(z.string()),
  mood: z.enum(['good', 'bad']),
});
const REPORT = { title: 'simulated', pages: 1, score: 0.5, final: true, tags: ['simulated'], mood: 'good' };

const Plan = z.object({ goal: z.string(), steps: z.array(z.object({ text: z.string() })) });
const PLAN = { goal: 'simulated', steps: [{ text: 'simulated' }] };

for (const [title, schema, expected] of [
  ['flat', Report, REPORT],
  ['nested', Plan, PLAN],
]) {
  forEachKind(`an answer follows a ${title} schema`, async (kind) => {
    const completion = await client.chat.completions.parse(
      question(kind, TEXT, { response_format: zodResponseFormat(schema, 'answer') }),
    );
    assert.deepEqual(completion.choices[0].message.parsed, expected);
    assert.equal(completion.choices[0].finish_reason, 'stop');
  });
}

forEachKind('a streamed answer follows the schema', async (kind) => {
  const stream = client.chat.completions.stream(
    question(kind, TEXT, { response_format: zodResponseFormat(Report, 'report') }),
  );
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices[0].message.parsed, REPORT);
});

forEachKind('a schema by hand is followed', async (kind) => {
  const schema = {
    type: 'object',
    properties: { count: { type: 'integer' } },
    required: ['count'],
    additionalProperties: false,
  };
  const completion = await ask(kind, TEXT, {
    response_format: { type: 'json_schema', json_schema: { name: 'count', schema } },
  });
  assert.deepEqual(JSON.parse(completion.choices[0].message.content), { count: 1 });
});

forEachKind('some JSON object is given or refused', async (kind) => {
  const call = () => ask(kind, TEXT, { response_format: { type: 'json_object' } });
  const completion = await outcome(kind, 'json_object', 'response_format', call);
  if (completion) assert.deepEqual(JSON.parse(completion.choices[0].message.content), { heard: TEXT });
});

forEachKind('plain text may be asked for', async (kind) => {
  const completion = await ask(kind, 'alpha', { response_format: { type: 'text' } });
  assert.equal(completion.choices[0].message.content, kind.says('alpha'));
});

forEachKind('an unknown form is refused by name', async (kind) => {
  const error = await failure(BadRequestError, () => ask(kind, TEXT, { response_format: { type: 'yaml' } }));
  assert.match(error.param, /^response_format/);
});
