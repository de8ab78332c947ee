// Whole chat completions: what is said, what it cost, why it ended, and which headers tell of it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ask, client, forEachKind, question, words } from './gateway.mjs';

forEachKind('a question is answered', async (kind) => {
  const completion = await ask(kind, 'alpha bravo charlie');
  assert.equal(completion.object, 'chat.completion');
  assert.ok(completion.id && completion.model);
  assert.ok(completion.created > 1_600_000_000);
  assert.equal(completion.choices.length, 1);
  const [choice] = completion.choices;
  assert.equal(choice.index, 0);
  assert.equal(choice.message.role, 'assistant');
  assert.equal(choice.message.content, kind.says('alpha bravo charlie'));
  assert.equal(choice.message.tool_calls?.length ?? 0, 0);
  assert.equal(choice.finish_reason, 'stop');
});

forEachKind('text beyond ASCII arrives unchanged', async (kind) => {
  const text = 'Grüße, 你好 und "🎉" \\ zum Schluß';
  assert.equal((await ask(kind, text)).choices[0].message.content, kind.says(text));
});

forEachKind('system and developer messages reach the model', async (kind) => {
  const completion = await client.chat.completions.create({
    model: kind.chat,
    messages: [
      { role: 'system', content: 'Answer in one sentence.' },
      { role: 'developer', content: 'Be kind.' },
      { role: 'user', content: 'alpha bravo' },
    ],
  });
  assert.equal(completion.choices[0].message.content, kind.says('alpha bravo'));
  assert.equal(completion.usage.prompt_tokens, 4 + 2 + 2);
});

forEachKind('a conversation of several turns reaches the model', async (kind) => {
  const messages = [{ role: 'user', content: 'first question' }];
  const first = await client.chat.completions.create({ model: kind.chat, messages });
  messages.push(first.choices[0].message, { role: 'user', content: 'second question' });
  const second = await client.chat.completions.create({ model: kind.chat, messages });
  assert.equal(second.choices[0].message.content, kind.says('second question'));
  assert.equal(second.usage.prompt_tokens, 2 + words(kind.says('first question')) + 2);
});

forEachKind('two user messages in a row are allowed', async (kind) => {
  const messages = [
    { role: 'user', content: 'alpha' },
    { role: 'user', content: 'bravo' },
  ];
  const completion = await client.chat.completions.create({ model: kind.chat, messages });
  assert.match(completion.choices[0].message.content, /bravo$/);
  assert.equal(completion.usage.prompt_tokens, 2);
});

forEachKind('text in parts is one message', async (kind) => {
  const parts = [
    { type: 'text', text: 'alpha' },
    { type: 'text', text: 'bravo' },
  ];
  assert.equal((await ask(kind, parts)).choices[0].message.content, kind.says('alpha bravo'));
});

forEachKind('usage counts input and output', async (kind) => {
  const { usage } = await ask(kind, 'alpha bravo');
  assert.equal(usage.prompt_tokens, 2);
  assert.equal(usage.completion_tokens, words(kind.says('alpha bravo')));
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

forEachKind('cached input has its own field and is part of the input', async (kind) => {
  const { usage } = await ask(kind, 'cached-prompt alpha bravo');
  assert.equal(usage.prompt_tokens, 3);
  assert.equal(usage.prompt_tokens_details.cached_tokens, 2);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

forEachKind('reasoning has its own field and is part of the output', async (kind) => {
  const { usage } = await ask(kind, 'think alpha bravo');
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  if (kind.reasoning_tokens === 'absent') {
    assert.equal(usage.completion_tokens_details?.reasoning_tokens ?? null, null, 'unknown is not zero');
  } else {
    assert.equal(usage.completion_tokens_details.reasoning_tokens, 3);
    assert.ok(usage.completion_tokens >= words(kind.says('think alpha bravo')));
  }
});

forEachKind('usage that the provider does not tell is absent', async (kind) => {
  const completion = await ask(kind, 'no-usage alpha');
  assert.equal(completion.choices[0].message.content, kind.says('no-usage alpha'));
  assert.equal(completion.usage ?? undefined, undefined);
});

forEachKind('an answer cut by the limit ends with length', async (kind) => {
  const [choice] = (await ask(kind, 'alpha bravo charlie', { max_completion_tokens: 4 })).choices;
  assert.equal(choice.message.content.trim(), kind.says('alpha'));
  assert.equal(choice.finish_reason, 'length');
});

forEachKind('an answer cut by the filter ends with content_filter', async (kind) => {
  const [choice] = (await ask(kind, 'filter-output alpha bravo charlie')).choices;
  assert.equal(choice.finish_reason, 'content_filter');
  assert.equal(choice.message.content.trim(), `SIM ${kind.cloud}`);
});

forEachKind("a finish reason that OpenAI does not have stays the provider's word", async (kind) => {
  const [choice] = (await ask(kind, 'alpha\nfinish: SOLAR_FLARE')).choices;
  assert.equal(choice.finish_reason, 'SOLAR_FLARE');
});

forEachKind('the request id is made when none was sent', async (kind) => {
  const ids = new Set();
  for (let i = 0; i < 3; i++) ids.add((await ask(kind, 'alpha'))._request_id);
  assert.equal(ids.size, 3);
  assert.ok([...ids].every(Boolean));
});

forEachKind("the request id is the caller's when one was sent", async (kind) => {
  const mine = `suite-${randomUUID()}`;
  const { data, response, request_id } = await client.chat.completions
    .create(question(kind, 'alpha'), { headers: { 'x-request-id': mine } })
    .withResponse();
  assert.equal(response.headers.get('x-request-id'), mine);
  assert.equal(request_id, mine);
  assert.equal(data._request_id, mine);
});

forEachKind('headers tell who answered', async (kind) => {
  const { data, response } = await client.chat.completions.create(question(kind, 'alpha')).withResponse();
  const provider = response.headers.get('x-aigate-provider');
  assert.ok(provider);
  assert.ok(response.headers.get('x-aigate-deployment').startsWith(`${provider}/`));
  assert.equal(response.headers.get('x-aigate-attempts'), '1');
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.equal(data.choices[0].message.content, kind.says('alpha'));
});

forEachKind('a hint that a provider has no use for is left out and named', async (kind) => {
  const request = question(kind, 'alpha', { prompt_cache_key: 'suite' });
  const response = await client.chat.completions.create(request).asResponse();
  const dropped = response.headers.get('x-aigate-dropped');
  await response.body.cancel();
  if (kind.translated) {
    assert.ok((dropped ?? '').split(/, */).includes('prompt_cache_key'), `dropped: ${dropped}`);
  } else {
    assert.equal(dropped, null);
  }
});

forEachKind('many calls at once stay apart', async (kind) => {
  const texts = Array.from({ length: 20 }, (_, number) => `caller ${number}`);
  const answers = await Promise.all(texts.map((text) => ask(kind, text)));
  assert.deepEqual(
    answers.map((answer) => answer.choices[0].message.content),
    texts.map((text) => kind.says(text)),
  );
  assert.equal(new Set(answers.map((answer) => answer._request_id)).size, 20);
});
