// Tools: calls, streamed calls, several calls at once, their results, and who decides which tool is called.

import assert from 'node:assert/strict';
import { BadRequestError } from 'openai';
import { zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';
import { ask as askPlain, client, failure, finishes, forEachKind, gather, outcome, question } from './gateway.mjs';

const tool = (name, argument) => ({
  type: 'function',
  function: {
    name,
    description: `Tells by ${argument}.`,
    parameters: { type: 'object', properties: { [argument]: { type: 'string' } }, required: [argument] },
  },
});

const TOOLS = [tool('get_weather', 'city'), tool('get_time', 'zone')];
const PING = { type: 'function', function: { name: 'ping', description: 'Has no parameters.' } };

const BERLIN = 'call: get_weather({"city": "Berlin"})';
const ROME = 'call: get_weather({"city": "Rome"})';
const CLOCK = 'call: get_time({"zone": "CET"})';

const text = (...lines) => ['Please.', ...lines].join('\n');

const ask = (kind, lines, fields) => askPlain(kind, text(...lines), { tools: TOOLS, ...fields });

const callsOf = (message) =>
  (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

// Asks with `lines`, then gives `results` (pairs of the call's index and its result, in that order).
async function answer(kind, lines, results) {
  const request = question(kind, text(...lines), { tools: TOOLS });
  const first = (await client.chat.completions.create(request)).choices[0].message;
  assert.equal(first.tool_calls.length, lines.length);
  request.messages.push(first);
  for (const [index, content] of results) {
    request.messages.push({ role: 'tool', tool_call_id: first.tool_calls[index].id, content });
  }
  return (await client.chat.completions.create(request)).choices[0];
}

forEachKind('a tool is called', async (kind) => {
  const [choice] = (await ask(kind, [BERLIN])).choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.ok(!choice.message.content);
  assert.equal(choice.message.tool_calls[0].type, 'function');
  assert.ok(choice.message.tool_calls[0].id);
  assert.deepEqual(callsOf(choice.message), [['get_weather', { city: 'Berlin' }]]);
});

forEachKind('offered tools need not be called', async (kind) => {
  const [choice] = (await ask(kind, [])).choices;
  assert.equal(choice.message.content, kind.says('Please.'));
  assert.equal(choice.message.tool_calls?.length ?? 0, 0);
  assert.equal(choice.finish_reason, 'stop');
});

forEachKind('a tool without parameters is called', async (kind) => {
  const [choice] = (await ask(kind, ['call: ping({})'], { tools: [PING] })).choices;
  assert.deepEqual(callsOf(choice.message), [['ping', {}]]);
});

forEachKind('several tools are called at once', async (kind) => {
  const { message } = (await ask(kind, [BERLIN, CLOCK, ROME])).choices[0];
  assert.deepEqual(callsOf(message), [
    ['get_weather', { city: 'Berlin' }],
    ['get_time', { zone: 'CET' }],
    ['get_weather', { city: 'Rome' }],
  ]);
  assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 3);
});

for (const [title, lines, results, expected] of [
  ['a result is answered', [BERLIN], [[0, 'sunny']], 'sunny'],
  ['several results are answered together', [BERLIN, ROME], [[0, 'sunny'], [1, 'rainy']], 'sunny; rainy'],
  ['results may come in any order', [BERLIN, CLOCK], [[1, 'noon'], [0, 'sunny']], 'sunny; noon'],
  ['a result may be text parts', [BERLIN], [[0, [{ type: 'text', text: 'sunny' }]]], 'sunny'],
]) {
  forEachKind(title, async (kind) => {
    const choice = await answer(kind, lines, results);
    assert.equal(choice.message.content, `SIM ${kind.cloud} results: ${expected}`);
    assert.equal(choice.finish_reason, 'stop');
  });
}

forEachKind('a conversation goes on after the results', async (kind) => {
  const request = question(kind, BERLIN, { tools: TOOLS });
  const next = async () => (await client.chat.completions.create(request)).choices[0].message;
  const first = await next();
  request.messages.push(first, { role: 'tool', tool_call_id: first.tool_calls[0].id, content: 'sunny' });
  request.messages.push(await next(), { role: 'user', content: 'thanks' });
  assert.equal((await next()).content, kind.says('thanks'));
});

forEachKind('calls are streamed', async (kind) => {
  const parts = await gather(await ask(kind, [BERLIN, CLOCK], { stream: true }));
  assert.deepEqual(finishes(parts), ['tool_calls']);
  const pieces = parts.flatMap((chunk) => chunk.choices.flatMap((choice) => choice.delta.tool_calls ?? []));
  for (const [index, [name, expected]] of [
    ['get_weather', { city: 'Berlin' }],
    ['get_time', { zone: 'CET' }],
  ].entries()) {
    const [first, ...rest] = pieces.filter((piece) => piece.index === index);
    assert.ok(first.id && first.type === 'function' && first.function.name === name);
    assert.ok(!rest.some((piece) => piece.id || piece.function.name));
    const json = [first, ...rest].map((piece) => piece.function.arguments).filter(Boolean);
    assert.ok(json.length >= kind.least_argument_pieces, `${json.length} pieces`);
    assert.deepEqual(JSON.parse(json.join('')), expected);
  }
});

forEachKind('the stream helper gathers calls', async (kind) => {
  const stream = client.chat.completions.stream(question(kind, text(BERLIN, CLOCK), { tools: TOOLS }));
  const done = [];
  stream.on('tool_calls.function.arguments.done', (event) => done.push(event.name));
  const [choice] = (await stream.finalChatCompletion()).choices;
  assert.deepEqual(done, ['get_weather', 'get_time']);
  assert.deepEqual(callsOf(choice.message), [
    ['get_weather', { city: 'Berlin' }],
    ['get_time', { zone: 'CET' }],
  ]);
  assert.equal(choice.finish_reason, 'tool_calls');
});

for (const stream of [false, true]) {
  forEachKind(`the SDK runs the tools and returns the end, ${stream ? 'streamed' : 'whole'}`, async (kind) => {
    const runnable = ({ function: definition }, run) => ({
      type: 'function',
      function: { ...definition, parse: JSON.parse, function: run },
    });
    const runner = client.chat.completions.runTools({
      ...question(kind, text(BERLIN, CLOCK, ROME)),
      stream,
      tools: [
        runnable(TOOLS[0], ({ city }) => `sunny in ${city}`),
        runnable(TOOLS[1], ({ zone }) => `noon in ${zone}`),
      ],
    });
    const expected = `SIM ${kind.cloud} results: sunny in Berlin; noon in CET; sunny in Rome`;
    assert.equal(await runner.finalContent(), expected);
  });
}

forEachKind('a forced tool is called', async (kind) => {
  const forced = { type: 'function', function: { name: 'get_time' } };
  const { message } = (await ask(kind, [], { tool_choice: forced })).choices[0];
  assert.deepEqual(callsOf(message), [['get_time', {}]]);
});

forEachKind('a required call is made', async (kind) => {
  const { message } = (await ask(kind, [CLOCK], { tool_choice: 'required' })).choices[0];
  assert.deepEqual(callsOf(message), [['get_time', { zone: 'CET' }]]);
});

forEachKind("auto is the model's choice", async (kind) => {
  assert.equal(callsOf((await ask(kind, [CLOCK], { tool_choice: 'auto' })).choices[0].message).length, 1);
  assert.equal(callsOf((await ask(kind, [], { tool_choice: 'auto' })).choices[0].message).length, 0);
});

forEachKind('no tool is called when none may be', async (kind) => {
  const call = () => ask(kind, [CLOCK], { tool_choice: 'none' });
  const completion = await outcome(kind, 'tool_choice_none', 'tool_choice', call);
  if (!completion) return;
  const { message } = completion.choices[0];
  assert.deepEqual(callsOf(message), []);
  assert.ok(message.content.startsWith(kind.says('Please.')));
});

forEachKind('one call at a time is honoured or refused', async (kind) => {
  const call = () => ask(kind, [CLOCK], { parallel_tool_calls: false });
  const completion = await outcome(kind, 'parallel_tool_calls_false', 'parallel_tool_calls', call);
  if (completion) assert.deepEqual(callsOf(completion.choices[0].message), [['get_time', { zone: 'CET' }]]);
});

forEachKind('strict arguments are parsed by the SDK or refused', async (kind) => {
  const tools = [zodFunction({ name: 'get_weather', parameters: z.object({ city: z.string() }) })];
  const call = () => client.chat.completions.parse(question(kind, BERLIN, { tools }));
  const completion = await outcome(kind, 'strict_tools', 'tools', call);
  if (!completion) return;
  const [made] = completion.choices[0].message.tool_calls;
  assert.deepEqual(made.function.parsed_arguments, { city: 'Berlin' });
});

for (const [title, choice] of [
  ['an unknown word', 'sometimes'],
  ['no name', { type: 'function', function: {} }],
]) {
  forEachKind(`a tool choice of ${title} is refused by name`, async (kind) => {
    const error = await failure(BadRequestError, () => ask(kind, [], { tool_choice: choice }));
    assert.equal(error.param, 'tool_choice');
  });
}
