// Readers that stop reading: nobody else is delayed, memory stays bounded, they are closed and can resume.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { checkAnswer } from '../support/answers.mjs';
import { call, caller, isFinal } from '../support/http.mjs';
import { startProvider } from '../support/providers.mjs';
import { connectRaw } from '../support/raw.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

const mebibyte = 1024 * 1024;
// MiB that the server may grow by: about 100 is usual (the answers themselves, on their way); 500 and more were seen when
// every reader that fell behind was given all that it had missed.
const bound = 256;

let provider;
let server;
let db;
let who;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: { ...provider.openai(), API_WRITE_TIMEOUT: 2 } });
  db = await openDatabase(server.stateDir);
  who = caller(server, (await newTenant(db)).key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

// Almost a mebibyte, the longest answer there is; several of them are more than the kernel holds for a connection on the
// loopback, so that a reader that stops is really felt.
const bulk = (count = 250) => Array.from({ length: count }, (_, i) => `${i}:${'abcdefgh'.repeat(490)} `);

// `count` long answers, one after another: their turns and texts.
async function tellMuch(session, count) {
  const told = [];
  for (let i = 0; i < count; i++) {
    const script = provider.script({ deltas: bulk() });
    const post = await who.say(session, `Tell me ${script.token}`);
    const complete = checkAnswer(await post.rest(), { turn: post.turn });
    assert.equal(complete.text, script.text);
    told.push({ turn: post.turn, text: complete.text });
  }
  return told;
}
const streams = async () => Number(/^kgents_sse_streams(?:\{[^}]*\})? (\S+)$/m.exec((await call(server, 'GET', '/metrics')).text)?.[1]);

async function stoppedReader(path) {
  const connection = await connectRaw(server);
  connection.socket.pause();
  connection.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${who.key}\r\n\r\n`);
  return connection;
}

test('forty readers stop; the others read on, memory is bounded, the forty are closed and can resume', async () => {
  const session = await who.session();
  const path = `/v1/kgent/sessions/${session}/stream`;
  // One answer before, so that what is measured is the readers and not the first use of everything.
  await tellMuch(session, 2);

  const stopped = [];
  for (let i = 0; i < 40; i++) stopped.push(await stoppedReader(path));
  const readers = [];
  for (let i = 0; i < 4; i++) readers.push(await who.stream(path));
  await until(async () => (await streams()) >= 44, '44 open streams');

  const before = server.rss();
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, server.rss())), 20);
  const told = await tellMuch(session, 10);
  const last = told.at(-1).turn;
  const views = await Promise.all(readers.map((reader) => reader.turnEvents(last)));
  clearInterval(watch);
  for (const view of views) assert.deepEqual(view.filter(isFinal).map((e) => e.data.text === told.find((x) => e.id.startsWith(x.turn)).text), told.map(() => true));
  // 20 MB went by each reader (an answer's text comes twice, in chunks and in complete). Forty private backlogs would be
  // 800 MB; what is shared is a log of a few turns.
  const grown = (peak - before) / mebibyte;
  assert.ok(grown < bound, `resident memory grew by ${grown.toFixed(0)} MiB`);

  await until(async () => (await streams()) <= 4, 'the stopped readers to be closed');
  for (const reader of readers) reader.close();

  const one = stopped[0];
  one.socket.resume();
  const bytes = (await one.closed()).toString('latin1');
  const seen = [...bytes.matchAll(/^id: (\S+)\r?\n(?:.*\r?\n)*?\r?\n/gm)].map((m) => m[1]);
  const expected = views[0].map((e) => e.id);
  assert.ok(seen.length < expected.length, 'it was closed before it had everything');
  assert.deepEqual(seen, expected.slice(0, seen.length));
  const again = await who.stream(`${path}?after=${encodeURIComponent(seen.at(-1))}`);
  const rest = await again.turnEvents(last);
  assert.deepEqual(rest.map((e) => e.id), expected.slice(seen.length), 'exactly the rest');
  again.close();
  for (const connection of stopped) connection.destroy();
});

test('forty readers that only trickle fall behind the log, and memory stays bounded', async () => {
  const session = await who.session();
  const path = `/v1/kgent/sessions/${session}/stream`;
  await tellMuch(session, 2);
  const slow = [];
  for (let i = 0; i < 40; i++) {
    const { socket } = await stoppedReader(path);
    slow.push(socket.removeAllListeners('data')); // only what is read below
  }
  await until(async () => (await streams()) >= 40, '40 open streams');

  const before = server.rss();
  let peak = 0;
  let read = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, server.rss());
    for (const socket of slow) read += socket.read()?.length ?? 0;
  }, 20);
  await tellMuch(session, 10);
  await until(() => read > 150 * mebibyte, 'the readers to have been given pages of what they missed');
  clearInterval(watch);
  // Each is several answers behind; it holds a page, never all that it missed.
  const grown = (peak - before) / mebibyte;
  assert.ok(grown < bound, `resident memory grew by ${grown.toFixed(0)} MiB`);
  for (const socket of slow) socket.destroy();
});

test('a WebSocket that stops reading is closed, too, and the session goes on', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { key: who.key });
  socket.ws.pause();
  await tellMuch(session, 10);
  const sockets = async () => Number(/^kgents_ws_streams(?:\{[^}]*\})? (\S+)$/m.exec((await call(server, 'GET', '/metrics')).text)?.[1]);
  await until(async () => (await sockets()) === 0, 'the stopped WebSocket to be closed');
  socket.ws.resume();
  const { code } = await socket.closed;
  assert.ok([1006, 1008].includes(code), `close code ${code}`);
  assert.ok(socket.seen.filter((m) => m.type === 'complete').length < 10);
});

test('a slow reader catches up without a gap when it reads again in time', async () => {
  const session = await who.session();
  const path = `/v1/kgent/sessions/${session}/stream`;
  const reader = await who.stream(path);
  const script = provider.script({ deltas: bulk(250), gated: true });
  const post = await who.say(session, `Tell me ${script.token}`);
  reader.response.pause();
  script.release(240);
  await post.chunks(240);
  reader.response.resume();
  script.release();
  checkAnswer(await reader.turnEvents(post.turn), { turn: post.turn });
  reader.close();
});
