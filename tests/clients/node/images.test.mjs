// Images in messages: data URIs for every provider; URLs that the gateway would have to fetch are refused.

import assert from 'node:assert/strict';
import { BadRequestError } from 'openai';
import { ask as askPlain, assertNames, failure, forEachKind, gather, joined } from './gateway.mjs';

// One white pixel.
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==';
const SEEN = ` [image/png ${Buffer.from(PNG, 'base64').length} bytes]`;

const DATA_URI = `data:image/png;base64,${PNG}`;

const ask = (kind, urls, fields) => {
  const pictures = urls.map((url) => ({ type: 'image_url', image_url: { url } }));
  return askPlain(kind, [{ type: 'text', text: 'what is this' }, ...pictures], fields);
};

forEachKind('a picture reaches the model', async (kind) => {
  const completion = await ask(kind, [DATA_URI]);
  assert.equal(completion.choices[0].message.content, kind.says('what is this') + SEEN);
});

forEachKind('several pictures reach the model', async (kind) => {
  const completion = await ask(kind, [DATA_URI, DATA_URI]);
  assert.equal(completion.choices[0].message.content, kind.says('what is this') + SEEN + SEEN);
});

forEachKind('a picture reaches a model that streams', async (kind) => {
  const parts = await gather(await ask(kind, [DATA_URI], { stream: true }));
  assert.equal(joined(parts), kind.says('what is this') + SEEN);
});

// Providers that speak OpenAI get the URL itself, so only the others are asked.
for (const url of [
  'http://example.com/picture.png',
  'https://127.0.0.1/picture.png',
  'https://localhost/picture.png',
  'https://[::1]/picture.png',
  'file:///etc/hostname',
  'data:image/png;base64,@@@',
  'data:image/png,plain',
]) {
  forEachKind(
    `no picture is to be had from ${url}`,
    async (kind) => assertNames(await failure(BadRequestError, () => ask(kind, [url])), 'messages'),
    { only: (kind) => kind.translated },
  );
}
