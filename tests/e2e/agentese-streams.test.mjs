// agentese.md 19 line 28, http-api.md 11, 12 and 13.8/56: answers that come piece by piece, and go on where they broke off.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { EventSource } from 'eventsource';

import { Observer } from '../support/agentese.mjs';
import { aboutWords } from '../support/answers.mjs';
import { openStream } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { Inbox, until, within } from '../support/wait.mjs';

let server;
let db;
let ana;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  ana = new Observer(server, (await newTenant(db)).key, 'developer');
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const isEnd = (e) => e.event === 'done' || e.event === 'error';

/// Checks a stream of the universal dialect from chunk `first` on; returns its text.
function checkStream(events, { first = 0, before = '' } = {}) {
  const end = events.at(-1);
  assert.equal(end.event, 'done', JSON.stringify(end));
  assert.equal(events.filter(isEnd).length, 1, 'one terminal event');
  let text = before;
  events.slice(0, -1).forEach((e, i) => {
    assert.equal(e.event, 'chunk');
    assert.equal(e.data.index, first + i, 'indexes are contiguous');
    assert.ok(['thinking', 'response', 'metadata'].includes(e.data.type));
    assert.equal(typeof e.data.partial, 'boolean');
    text += e.data.content;
  });
  assert.equal(end.data.chunks_count, first + events.length - 1);
  assert.match(end.data.span_id, /^[0-9a-f]{16}$/);
  assert.ok(end.data.duration_ms >= 0);
  return { text, end };
}

test('13.8/56: an aspect that does not stream is one chunk and done', async () => {
  const stream = await ana.stream('world.field.manifest');
  assert.equal(stream.status, 200);
  assert.match(stream.headers['content-type'], /^text\/event-stream/);
  const events = await stream.rest();
  const { end } = checkStream(events);
  assert.equal(events.length, 2);
  assert.equal(events[0].data.partial, false);
  assert.deepEqual(JSON.parse(events[0].data.content), end.data.result);
  assert.equal(end.data.result.type, 'developer');
});

test('19.28: a challenge streams: contiguous indexes, one end, the whole text', async () => {
  const stream = await ana.stream('self.soul.challenge', { message: aboutWords(120) });
  assert.equal(stream.status, 200);
  const events = await stream.rest();
  const { text, end } = checkStream(events);
  assert.ok(events.length > 20, `${events.length} events`);
  assert.ok(events.slice(0, -1).every((e) => e.data.partial === true && e.data.type === 'response'));
  assert.equal(end.data.result, text, 'the concatenation is the full text');
  assert.equal(new Set(events.map((e) => e.id)).size, events.length, 'each event has an id of its own');
});

test('19.28: every streaming aspect of the soul; those of no text are refused before they begin', async () => {
  for (const [aspect, kwargs] of [['dialogue', { message: 'What holds a small team together?' }], ['reflect', { input: 'I keep starting over' }], ['why', { topic: 'sailing alone' }], ['tension', { topic: 'speed and safety' }], ['chat', { message: 'What did we say about boats?' }]]) {
    const { text, end } = checkStream(await (await ana.stream(`self.soul.${aspect}`, kwargs)).rest());
    assert.ok(text.length > 0, aspect);
    assert.equal(end.data.result, text, aspect);
  }
  const missing = await ana.stream('self.soul.challenge');
  assert.equal(missing.status, 400);
  assert.match(missing.body.detail.error, /message required/);
  assert.equal((await ana.as('guest').stream('self.soul.challenge', { message: 'x' })).status, 403);
  assert.equal((await ana.stream('self.soul.flying', { message: 'x' })).status, 403);
});

test('19.28: a dialectic thinks twice and answers once', async () => {
  const philosopher = ana.as('philosopher');
  const stream = await philosopher.stream('concept.justice.dialectic', { thesis: 'Justice is equality' });
  const events = await stream.rest();
  const { end } = checkStream(events);
  assert.deepEqual(events.slice(0, -1).map((e) => [e.data.type, e.data.partial]), [['thinking', true], ['thinking', true], ['response', false]]);
  const { thesis, antithesis, synthesis } = end.data.result;
  assert.deepEqual(events.slice(0, -1).map((e) => e.data.content), [thesis, antithesis, synthesis]);
  assert.match(thesis, /^Justice is equality\.?$/);
});

test('12: the gateway streams unnamed items, also to a plain GET of what streams', async () => {
  for (const path of ['/agentese/self/soul/challenge/stream', '/agentese/self/soul/challenge']) {
    const stream = await openStream(server, `${path}?message=${encodeURIComponent(aboutWords(60))}&api_key=${ana.key}`, { headers: { 'X-Observer-Archetype': 'developer' } });
    assert.equal(stream.status, 200, stream.text);
    const events = await stream.rest();
    assert.ok(events.every((e) => e.event === undefined), 'unnamed');
    const chunks = events.slice(0, -1);
    chunks.forEach((e, i) => assert.equal(e.data.index, i));
    assert.equal(events.at(-1).data.type, 'done');
    assert.equal(events.at(-1).data.result, chunks.map((e) => e.data.content).join(''));
  }
});

// With a model whose words leave one by one.
let provider;
let slow;
let slowDb;
async function withModel() {
  provider ??= await startProvider();
  slow ??= await startDev({ env: provider.openai() });
  slowDb ??= await openDatabase(slow.stateDir);
  return new Observer(slow, (await newTenant(slowDb)).key, 'developer');
}
after(async () => {
  await slowDb?.end();
  await slow?.dispose();
  await provider?.close();
});

test('19.28: a stream that broke off goes on behind the last event, exactly', async () => {
  const who = await withModel();
  const script = provider.script({ deltas: words(30), gated: true });
  const first = await who.stream('self.soul.challenge', { message: `oppose me ${script.token}` });
  assert.equal(first.status, 200, first.text);
  script.release(10);
  const heard = [];
  while (heard.map((e) => e.data.content).join('') !== words(10).join('')) heard.push(await first.next('the first ten words'));
  first.close();
  script.release();
  const last = heard.at(-1);
  for (let i = 0; i < 2; i++) {
    const again = await who.stream('self.soul.challenge', { message: `oppose me ${script.token}` }, { headers: { 'Last-Event-ID': last.id } });
    assert.equal(again.status, 200, again.text);
    const events = await again.rest();
    const { text, end } = checkStream(events, { first: heard.length, before: heard.map((e) => e.data.content).join('') });
    assert.equal(text, script.text, 'nothing lost, doubled or reordered');
    assert.equal(end.data.result, script.text);
    if (i === 1) continue; // a second time, long after the end
    await until(async () => (await slowDb.query(`SELECT 1 FROM kg.turns WHERE status = 'completed'`)).rows.length > 0, 'the turn to end');
  }
  assert.equal(script.requests.length, 1, 'the model was asked once');

  const stranger = await withModel();
  assert.equal((await stranger.stream('self.soul.challenge', { message: 'x' }, { headers: { 'Last-Event-ID': last.id } })).status, 404, "another tenant's cursor");
  assert.equal((await who.stream('self.soul.challenge', { message: 'x' }, { headers: { 'Last-Event-ID': 'nonsense' } })).status, 400);
});

test('19.28: eventsource, cut off in mid-answer, hears all of it once', async () => {
  const who = await withModel();
  const script = provider.script({ deltas: words(24), gated: true });
  const url = `${slow.url}/api/v1/self/soul/challenge/stream?message=${encodeURIComponent(`go on ${script.token}`)}&api_key=${who.key}`;
  let cut;
  let connections = 0;
  const source = new EventSource(url, {
    fetch: async (input, init) => {
      connections++;
      const { status, headers, redirected, body } = await fetch(input, { ...init, headers: { ...init.headers, 'X-Observer-Archetype': 'developer' } });
      const wire = new TransformStream({ start: (ends) => void (cut = () => ends.error(new TypeError('cut off'))) });
      return { status, headers, redirected, body: body?.pipeThrough(wire) };
    },
  });
  const heard = new Inbox();
  source.addEventListener('chunk', (e) => heard.push(JSON.parse(e.data)));
  const done = new Promise((resolve) => source.addEventListener('done', (e) => resolve(JSON.parse(e.data))));
  try {
    script.release(8);
    let text = '';
    while (text !== words(8).join('')) text += (await heard.next('a chunk')).content;
    cut();
    script.release();
    const { result, chunks_count: count } = await within(done, 'the end after the reconnect');
    assert.equal(result, script.text);
    assert.ok(connections >= 2, 'it reconnected');
    const all = heard.seen;
    assert.deepEqual(all.map((x) => x.index), all.map((_, i) => i));
    assert.equal(all.map((x) => x.content).join(''), script.text);
    assert.equal(count, all.length);
    assert.equal(script.requests.length, 1);
  } finally {
    source.close();
  }
});

test('19.28: a model that fails ends the stream with one error', async () => {
  const who = await withModel();
  const script = provider.script({ deltas: words(5), errorAfter: 3 });
  const stream = await who.stream('self.soul.challenge', { message: `fail ${script.token}` });
  const events = stream.status === 200 ? await stream.rest() : [{ event: 'error', data: stream.body.detail }];
  assert.equal(events.filter(isEnd).length, 1);
  assert.equal(events.at(-1).event, 'error');
  assert.ok(events.at(-1).data.error && events.at(-1).data.code && events.at(-1).data.suggestion, JSON.stringify(events.at(-1)));
});
