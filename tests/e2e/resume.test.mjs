// Reconnecting at every possible cut of an answer, live and afterwards, over SSE and over WebSocket; and cursors that are
// not one's own.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { checkAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { openSocket } from '../support/websocket.mjs';

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

const n = 24;
const path = (session, cursor) => `/v1/kgent/sessions/${session}/stream${cursor ? `?after=${encodeURIComponent(cursor)}` : ''}`;
const frames = (events) => events.map((e) => [e.event, e.id, JSON.stringify(e.data)]);
const plain = (messages) => messages.map((m) => JSON.stringify(m));

// A turn stopped after its chunk `k`, its POST stream still open.
async function halfTold(k) {
  const session = await who.session();
  const script = provider.script({ deltas: words(n), gated: true });
  const post = await who.say(session, `Tell me ${script.token}`);
  script.release(k + 1);
  const seen = await post.chunks(k + 1);
  return { session, script, post, seen };
}

test(`live over SSE: after each index 0..${n - 1} comes exactly the rest`, async () => {
  for (let k = 0; k < n; k++) {
    const { session, script, post, seen } = await halfTold(k);
    post.close();
    const again = await who.stream(path(session, seen.at(-1).id));
    assert.equal(again.status, 200);
    script.release();
    const rest = await again.turnEvents();
    again.close();
    checkAnswer([...seen, ...rest], { turn: post.turn });
    assert.equal(rest.filter((e) => e.event === 'chunk').length, n - 1 - k);
  }
});

test('live over SSE: one reader that loses its connection after every chunk hears each once', async () => {
  const session = await who.session();
  const script = provider.script({ deltas: words(n), gated: true });
  let stream = await who.say(session, `Tell me ${script.token}`);
  const { turn } = stream;
  const seen = [];
  for (let k = 0; k < n; k++) {
    script.release(1);
    seen.push(...(await stream.chunks(1)));
    stream.close();
    stream = await who.stream(path(session), { 'Last-Event-ID': seen.at(-1).id });
  }
  script.release();
  seen.push(...(await stream.turnEvents()));
  stream.close();
  checkAnswer(seen, { turn });
});

test(`live over WebSocket: after each index 0..${n - 1} comes exactly the rest`, async () => {
  for (let k = 0; k < n; k++) {
    const { session, script, post, seen } = await halfTold(k);
    post.close();
    const socket = await openSocket(server, session, { key: who.key });
    socket.send({ type: 'resume', after: seen.at(-1).id });
    script.release();
    // Before `resume` is read the socket follows from the moment it opened, so earlier events may come twice, with the
    // same ids; behind the cursor everything comes.
    const heard = await socket.turn(post.turn);
    const chunks = new Map(heard.filter((m) => m.type === 'chunk').map((m) => [m.index, m.text]));
    for (let i = k + 1; i < n; i++) assert.equal(chunks.get(i), `word${i} `, `chunk ${i} after a cut at ${k}`);
    assert.equal(heard.at(-1).text, script.text);
    await socket.close();
  }
});

test('after the end: every cut gives exactly the rest, over SSE and WebSocket, from PostgreSQL too', async () => {
  const { session, script, post } = await halfTold(0);
  const follower = await who.stream(path(session, `${post.turn}:1:-`));
  script.release();
  const all = await follower.turnEvents();
  follower.close();
  assert.equal(all.filter((e) => e.event === 'chunk').length, n);

  const everyCut = async (where) => {
    for (let k = 0; k < all.length - 1; k++) {
      const stream = await who.stream(path(session, all[k].id));
      assert.deepEqual(frames(await stream.turnEvents()), frames(all.slice(k + 1)), `SSE ${where}, after ${k}`);
      stream.close();
    }
    const socket = await openSocket(server, session, { key: who.key });
    let whole;
    for (let k = 0; k < all.length - 1; k++) {
      socket.send({ type: 'resume', after: all[k].id });
      const rest = await socket.turn(post.turn);
      whole ??= rest;
      assert.deepEqual(plain(rest), plain(whole.slice(k)), `WebSocket ${where}, after ${k}`);
    }
    await socket.close();
  };
  await everyCut('from memory');
  await db.end();
  await server.stop();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  await everyCut('from PostgreSQL');
});

test('a session or turn of another tenant is answered like one that is missing, byte for byte', async () => {
  const { session, script, post, seen } = await halfTold(2);
  script.release();
  await post.rest();
  const stranger = caller(server, (await newTenant(db)).key);
  const own = await stranger.session();
  const shown = ({ status, headers, text }) => {
    const kept = Object.entries(headers).filter(([name]) => !/^(date|x-request-id|x-response-time|x-ratelimit-.*|x-tokens-.*)$/.test(name));
    return { status, text, headers: Object.fromEntries(kept), names: Object.keys(headers) };
  };
  const compare = async (what, open, foreign, missing, status = 404) => {
    const a = shown(await open(foreign));
    const b = shown(await open(missing));
    assert.equal(a.status, status, what);
    assert.deepEqual(a, b, what);
  };
  const index = seen.at(-1).id.split(':').slice(1).join(':');
  await compare('session', (id) => stranger.get(`/v1/kgent/sessions/${id}`), session, randomUUID());
  await compare('stream', (id) => stranger.stream(path(id)), session, randomUUID());
  await compare('socket', (id) => openSocket(server, id, { key: stranger.key }), session, randomUUID());
  await compare('turn', (id) => stranger.get(`/v1/kgent/sessions/${own}/turns/${id}`), post.turn, randomUUID());
  await compare('turn in its session', (id) => stranger.get(`/v1/kgent/sessions/${id}/turns/${post.turn}`), session, randomUUID());
  await compare('cursor', (id) => stranger.stream(path(own, `${id}:${index}`)), post.turn, randomUUID());

  const sibling = await who.session();
  await compare('cursor of another session of one\'s own', (id) => who.stream(path(sibling, `${id}:${index}`)), post.turn, randomUUID());

  const socket = await openSocket(server, own, { key: stranger.key });
  const answers = [];
  for (const turn of [post.turn, randomUUID()]) {
    socket.send({ type: 'resume', after: `${turn}:${index}` });
    answers.push(await socket.of('error'));
  }
  assert.deepEqual(answers[0], answers[1]);
  await socket.close();
});

test('a malformed cursor is 400, in the query and in the header', async () => {
  const session = await who.session();
  for (const bad of [' ', 'x', '0', `${randomUUID()}`, `${randomUUID()}:1`, `${randomUUID()}:1:`, `${randomUUID()}::0`, `${randomUUID()}:1:99999999999999999999`, 'x'.repeat(300), `'; DROP TABLE kg.turns; --`]) {
    assert.equal((await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(bad)}`)).status, 400, `after=${bad}`);
    if (bad.trim()) assert.equal((await who.stream(path(session), { 'Last-Event-ID': bad })).status, 400, `Last-Event-ID: ${bad}`);
  }
});
