// Clients nobody here wrote: npm eventsource, eventsource-parser over fetch, ws, undici.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { EventSource } from 'eventsource';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { Client, EventSource as UndiciEventSource, Pool, WebSocket as UndiciWebSocket, request } from 'undici';
import WebSocket from 'ws';

import { checkAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { Inbox, within } from '../support/wait.mjs';

let provider;
let server;
let db;
let who;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: provider.openai() });
  db = await openDatabase(server.stateDir);
  who = caller(server, (await newTenant(db)).key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

const url = (path) => `${server.url}${path}`;
const streamUrl = (session) => url(`/v1/kgent/sessions/${session}/stream?api_key=${who.key}`);
const tell = (script) => `Tell me ${script.token}`;

// What a browser's EventSource hears, as `{event, id, data}`.
function listen(source) {
  const inbox = new Inbox();
  for (const name of ['turn', 'chunk', 'complete', 'error', 'gap'])
    source.addEventListener(name, (e) => e.data !== undefined && inbox.push({ event: name, id: e.lastEventId, data: JSON.parse(e.data) }));
  const opened = () => within(new Promise((resolve) => source.addEventListener('open', resolve, { once: true })), 'the EventSource to open');
  const untilFinal = async () => {
    const events = [];
    for (let e; (e = await inbox.next('an event of the EventSource')); ) {
      events.push(e);
      if (e.event === 'complete' || e.event === 'error') return events;
    }
    throw new Error('the EventSource ended');
  };
  return { inbox, opened, untilFinal };
}

test('eventsource follows a session', async (t) => {
  const session = await who.session();
  const source = new EventSource(streamUrl(session));
  t.after(() => source.close());
  const ears = listen(source);
  await ears.opened();
  const script = provider.script({ deltas: words(8) });
  const post = await who.say(session, tell(script));
  assert.equal(checkAnswer(await ears.untilFinal(), { turn: post.turn }).text, script.text);
});

test('eventsource with a header instead of a query', async (t) => {
  const session = await who.session();
  const source = new EventSource(url(`/v1/kgent/sessions/${session}/stream`), {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, 'X-API-Key': who.key } }),
  });
  t.after(() => source.close());
  const ears = listen(source);
  await ears.opened();
  await who.say(session, tell(provider.script({ deltas: words(2) })));
  checkAnswer(await ears.untilFinal());
});

test('eventsource reconnects by itself after a restart and misses nothing', async (t) => {
  const session = await who.session();
  const source = new EventSource(streamUrl(session));
  t.after(() => source.close());
  const ears = listen(source);
  await ears.opened();
  const script = provider.script({ deltas: words(12), gated: true });
  const post = await who.say(session, tell(script));
  script.release(5);
  await post.chunks(5);
  const seen = [];
  while (seen.filter((e) => e.event === 'chunk').length < 5) seen.push(await ears.inbox.next());
  const reopened = ears.opened();
  await server.kill();
  script.release();
  server = await server.restart();
  await reopened;
  seen.push(...(await ears.untilFinal()));
  assert.equal(checkAnswer(seen, { turn: post.turn }).text, script.text);

  const next = await who.say(session, tell(provider.script({ deltas: words(3) })));
  checkAnswer(await ears.untilFinal(), { turn: next.turn });
});

test('eventsource reconnects after an orderly stop, too', async (t) => {
  const session = await who.session();
  const source = new EventSource(streamUrl(session));
  t.after(() => source.close());
  const ears = listen(source);
  await ears.opened();
  const reopened = ears.opened();
  await server.stop();
  server = await server.restart();
  await reopened;
  const post = await who.say(session, tell(provider.script({ deltas: words(3) })));
  checkAnswer(await ears.untilFinal(), { turn: post.turn });
});

test('undici\'s EventSource follows a session', async (t) => {
  const session = await who.session();
  const source = new UndiciEventSource(streamUrl(session));
  t.after(() => source.close());
  const ears = listen(source);
  await ears.opened();
  const post = await who.say(session, tell(provider.script({ deltas: words(4) })));
  checkAnswer(await ears.untilFinal(), { turn: post.turn });
});

test('eventsource-parser over fetch reads a posted answer', async () => {
  const session = await who.session();
  const script = provider.script({ deltas: ['Ünï', 'cödé ', '– 🌊 ', 'line\nbreak', '\r\n', '"quotes" '] });
  const response = await fetch(url(`/v1/kgent/sessions/${session}/messages`), {
    method: 'POST',
    headers: { 'X-API-Key': who.key, 'Content-Type': 'application/json' },
    body: JSON.stringify({ message: tell(script) }),
  });
  assert.equal(response.status, 200);
  const events = [];
  for await (const e of response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream({ onError: 'terminate' })))
    events.push({ ...e, data: JSON.parse(e.data) });
  assert.equal(checkAnswer(events, { turn: response.headers.get('x-turn-id') }).text, script.text);
});

test('ws talks the session protocol', async () => {
  const session = await who.session();
  const ws = new WebSocket(`ws://${server.host}:${server.port}/v1/kgent/sessions/${session}/ws`, 'kgents.v1', { headers: { 'X-API-Key': who.key } });
  const inbox = new Inbox();
  ws.on('message', (data) => inbox.push(JSON.parse(data)));
  await within(new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject)), 'open');
  const script = provider.script({ deltas: words(4) });
  ws.send(JSON.stringify({ type: 'message', message: tell(script), ref: 1 }));
  const types = [];
  for (let m; (m = await inbox.next()); ) {
    types.push(m.type);
    if (m.type === 'complete') break;
  }
  assert.deepEqual(types.filter((t) => t !== 'accepted'), ['turn', 'chunk', 'chunk', 'chunk', 'chunk', 'complete']);
  const closed = new Promise((resolve) => ws.on('close', resolve));
  ws.close(1000);
  assert.equal(await within(closed, 'close'), 1000);
});

test('undici\'s WebSocket, as browsers have it', async () => {
  const session = await who.session();
  const ws = new UndiciWebSocket(`ws://${server.host}:${server.port}/v1/kgent/sessions/${session}/ws?api_key=${who.key}`, ['kgents.v1']);
  const inbox = new Inbox();
  ws.addEventListener('message', (e) => inbox.push(JSON.parse(e.data)));
  await within(new Promise((resolve, reject) => (ws.addEventListener('open', resolve), ws.addEventListener('error', reject))), 'open');
  assert.equal(ws.protocol, 'kgents.v1');
  ws.send(JSON.stringify({ type: 'message', message: tell(provider.script({ deltas: words(3) })) }));
  let last;
  while ((last = await inbox.next()).type !== 'complete');
  assert.equal(last.chunks, 3);
  ws.close();
});

test('undici keeps its connections alive', async () => {
  const session = await who.session();
  const client = new Client(server.url);
  let connections = 0;
  client.on('connect', () => connections++);
  for (let i = 0; i < 50; i++) {
    const { statusCode, body } = await client.request({ method: 'GET', path: `/v1/kgent/sessions/${session}`, headers: { 'x-api-key': who.key } });
    assert.equal(statusCode, 200);
    assert.equal((await body.json()).id, session);
  }
  assert.equal(connections, 1);
  await client.close();
});

test('undici pipelines, and answers come in order', async () => {
  const client = new Client(server.url, { pipelining: 10 });
  const paths = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? '/health' : i % 3 === 1 ? '/live' : `/nowhere/${i}`));
  const answers = await Promise.all(paths.map((path) => client.request({ method: 'GET', path }).then(async ({ statusCode, body }) => [statusCode, await body.json()])));
  answers.forEach(([status, body], i) => {
    assert.equal(status, i % 3 === 2 ? 404 : 200, paths[i]);
    assert.ok(i % 3 === 0 ? body.version === 'v1' : i % 3 === 1 ? body.status === 'ok' : body.detail === 'Not Found');
  });
  await client.close();
});

test('undici sends a chunked body and Expect: 100-continue is honoured', async () => {
  const { statusCode, body } = await request(url('/v1/kgent/sessions'), {
    method: 'POST',
    headers: { 'x-api-key': who.key, 'content-type': 'application/json' },
    body: (async function* () {
      yield '{"title":';
      yield '"in ';
      yield 'pieces"}';
    })(),
  });
  assert.equal(statusCode, 200);
  assert.equal((await body.json()).title, 'in pieces');

  const continued = new Promise((resolve, reject) => {
    const payload = '{"title":"expected"}';
    const headers = { 'X-API-Key': who.key, 'Content-Type': 'application/json', 'Content-Length': payload.length, Expect: '100-continue' };
    const req = http.request(url('/v1/kgent/sessions'), { method: 'POST', headers, agent: false });
    let heard = false;
    req.on('continue', () => {
      heard = true;
      req.end(payload);
    });
    req.on('response', (res) => res.resume().on('end', () => resolve([heard, res.statusCode])));
    req.on('error', reject);
    req.flushHeaders();
  });
  assert.deepEqual(await within(continued, '100 Continue'), [true, 200]);
});

test('a pool of undici connections runs turns in parallel', async () => {
  const pool = new Pool(server.url, { connections: 16 });
  const sessions = await Promise.all(Array.from({ length: 16 }, () => who.session()));
  const answers = await Promise.all(
    sessions.map(async (session, i) => {
      const script = provider.script({ deltas: words(10 + i) });
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: `/v1/kgent/sessions/${session}/messages`,
        headers: { 'x-api-key': who.key, 'content-type': 'application/json' },
        body: JSON.stringify({ message: tell(script), stream: false }),
      });
      return [statusCode, (await body.json()).content === script.text];
    }),
  );
  assert.deepEqual(answers, sessions.map(() => [200, true]));
  await pool.close();
});
