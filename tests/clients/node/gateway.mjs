// aigate judged by the official OpenAI SDK for Node, unchanged.
//
// `cargo xtask test` runs this suite against a gateway whose providers are the simulated clouds:
//
//     cd tests/clients/node && npm ci
//     AIGATE_URL=http://127.0.0.1:4000 AIGATE_KEY=... \
//     AIGATE_MODELS=google=chat-google/embed-google,aws=chat-aws/embed-aws \
//     AIGATE_SIM_STATS=http://127.0.0.1:4900/stats \
//         npm test
//
// `AIGATE_MODELS` names a chat and an embedding model for each kind of provider (google, gemini, aws, azure,
// azure-dated, foundry, openai); every test of `forEachKind` runs for each. Beside each chat model the config has
// `NAME-busy` (throttled every time) and `NAME-missing` (unknown to the provider). `AIGATE_SIM_STATS` answers what the
// simulated clouds see of cancelled requests. What each kind can do stands in `../kinds.json`.
//
// The files run one after the other: the cancellation tests watch what the providers have in flight.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import OpenAI, { BadRequestError } from 'openai';

const unset = ['AIGATE_URL', 'AIGATE_KEY', 'AIGATE_MODELS'].filter((name) => !process.env[name]);
if (unset.length > 0) {
  throw new Error(`set ${unset.join(', ')}: see the top of tests/clients/node/gateway.mjs`);
}

export const key = process.env.AIGATE_KEY;

export const url = (path) => process.env.AIGATE_URL.replace(/\/+$/, '') + path;

// A client as callers make it, but without retries: they would hide failures.
export const client = new OpenAI({ baseURL: url('/v1'), apiKey: key, maxRetries: 0, timeout: 10_000 });

// The kinds of `AIGATE_MODELS`: `KIND=chatmodel/embedmodel`, separated by commas.
export const kinds = readKinds();

function readKinds() {
  const { about, ...known } = JSON.parse(readFileSync(new URL('../kinds.json', import.meta.url), 'utf8'));
  return process.env.AIGATE_MODELS.split(',').map((entry) => {
    const [, name, chat, embed] = /^([^=]+)=([^/]+)\/(.+)$/.exec(entry.trim()) ?? [];
    if (!known[name]) {
      const names = Object.keys(known).join(', ');
      throw new Error(`AIGATE_MODELS: '${entry}' is not KIND=chatmodel/embedmodel with KIND of ${names}`);
    }
    const facts = { ...known[known[name].same_as], ...known[name] };
    return {
      name,
      chat,
      embed,
      busy: `${chat}-busy`,
      missing: `${chat}-missing`,
      ...facts,
      // The simulated model's answer to `text`.
      says: (text) => `SIM ${facts.cloud} heard: ${text}`,
    };
  });
}

// A test that runs once for each kind of provider that `only` accepts.
export function forEachKind(title, body, { only = () => true, ...options } = {}) {
  for (const kind of kinds.filter(only)) {
    test(`${title} [${kind.name}]`, options, () => body(kind));
  }
}

// A question of one user message.
export const question = (kind, content, fields = {}) => ({
  model: kind.chat,
  messages: [{ role: 'user', content }],
  ...fields,
});

export const ask = (kind, content, fields) => client.chat.completions.create(question(kind, content, fields));

// All chunks of a streamed answer.
export async function chunks(kind, content, fields) {
  return gather(await ask(kind, content, { ...fields, stream: true }));
}

export async function gather(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

export const joined = (parts, index = 0) =>
  parts
    .flatMap((chunk) => chunk.choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta.content ?? '')
    .join('');

export const finishes = (parts) =>
  parts.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).filter(Boolean);

export const words = (text) => text.split(/\s+/).filter(Boolean).length;

// The error that `call` must end with.
export async function failure(errorClass, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof errorClass, `expected ${errorClass.name}, got ${error?.stack ?? error}`);
    return error;
  }
  assert.fail(`expected ${errorClass.name}, got an answer`);
}

// The error names the field at fault: in `param` when aigate wrote it, else at least in the provider's message.
export function assertNames(error, field, { byAigate = true } = {}) {
  const param = error.param ?? '';
  let named = param === field || param.startsWith(`${field}.`) || param.startsWith(`${field}[`);
  if (!byAigate) named ||= param === '' && error.message.includes(field);
  assert.ok(named, `param is '${param}', expected '${field}': ${error.message}`);
}

// The answer when the kind honours the feature; undefined when it properly refuses the field by name.
export async function outcome(kind, feature, field, call) {
  const expected = kind[feature];
  let answer;
  try {
    answer = await call();
  } catch (error) {
    if (!(error instanceof BadRequestError)) throw error;
    assert.notEqual(expected, 'honoured', `${kind.name} honours ${feature}, but refused: ${error.message}`);
    assertNames(error, field, { byAigate: kind.translated });
    return undefined;
  }
  assert.notEqual(expected, 'refused', `${kind.name} cannot honour ${feature}, but answered as if it had`);
  return answer;
}

// Posts text without any SDK, for what an SDK cannot send or does not show.
export async function rawPost(path, body) {
  const answer = await fetch(url(path), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}
