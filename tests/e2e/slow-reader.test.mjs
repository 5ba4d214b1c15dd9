// Readers that stop reading: nobody else is delayed, memory stays bounded, they are closed and can resume.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { checkAnswer } from '../support/answers.mjs';
import { call, caller } from '../support/http.mjs';
import { startProvider } from '../support/providers.mjs';
import { connectRaw } from '../support/raw.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

const mebibyte = 1024 * 1024;

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

// Larger than what the kernel holds for a connection on the loopback, so that a reader that stops is really felt.
const bulk = (count) => Array.from({ length: count }, (_, i) => `${i}:${'abcdefgh'.repeat(490)} `);
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
  const warm = provider.script({ deltas: bulk(500) });
  await (await who.say(session, `Tell me ${warm.token}`)).rest();

  const stopped = [];
  for (let i = 0; i < 40; i++) stopped.push(await stoppedReader(path));
  const readers = [];
  for (let i = 0; i < 4; i++) readers.push(await who.stream(path));
  await until(async () => (await streams()) >= 44, '44 open streams');

  const before = server.rss();
  const script = provider.script({ deltas: bulk(2000) });
  const post = await who.say(session, `Tell me ${script.token}`);
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, server.rss())), 20);
  const views = await Promise.all(readers.map((reader) => reader.turnEvents(post.turn)));
  clearInterval(watch);
  for (const view of views) assert.equal(checkAnswer(view, { turn: post.turn }).text, script.text);
  checkAnswer(await post.rest(), { turn: post.turn });
  // The answer is 8 MB. Forty private copies would be 320 MB; one shared log, its complete event and the text are five.
  const grown = (peak - before) / mebibyte;
  assert.ok(grown < 160, `resident memory grew by ${grown.toFixed(0)} MiB`);

  await until(async () => (await streams()) <= 4, 'the stopped readers to be closed');
  for (const reader of readers) reader.close();

  const one = stopped[0];
  one.socket.resume();
  const bytes = (await one.closed()).toString('latin1');
  const ids = [...bytes.matchAll(/^id: (\S+)\r?\n(?:.*\r?\n)*?\r?\n/gm)].map((m) => m[1]);
  assert.ok(!bytes.includes('event: complete'), 'it was closed before it had everything');
  const last = ids.at(-1);
  const again = await who.stream(`${path}?after=${encodeURIComponent(last)}`);
  const rest = await again.turnEvents(post.turn);
  const expected = views[0].slice(views[0].findIndex((e) => e.id === last) + 1);
  assert.deepEqual(rest.map((e) => e.id), expected.map((e) => e.id));
  assert.equal(rest.at(-1).data.text, script.text);
  again.close();
  for (const connection of stopped) connection.destroy();
});

test('a WebSocket that stops reading is closed, too, and the session goes on', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { key: who.key });
  socket.ws.pause();
  const script = provider.script({ deltas: bulk(2500) });
  const post = await who.say(session, `Tell me ${script.token}`);
  checkAnswer(await post.rest(), { turn: post.turn });
  const sockets = async () => Number(/^kgents_ws_streams(?:\{[^}]*\})? (\S+)$/m.exec((await call(server, 'GET', '/metrics')).text)?.[1]);
  await until(async () => (await sockets()) === 0, 'the stopped WebSocket to be closed');
  socket.ws.resume();
  const { code } = await socket.closed;
  assert.ok([1006, 1008].includes(code), `close code ${code}`);
  assert.ok(!socket.seen.some((m) => m.type === 'complete'));
});

test('a slow reader catches up without a gap when it reads again in time', async () => {
  const session = await who.session();
  const path = `/v1/kgent/sessions/${session}/stream`;
  const reader = await who.stream(path);
  const script = provider.script({ deltas: bulk(300), gated: true });
  const post = await who.say(session, `Tell me ${script.token}`);
  reader.response.pause();
  script.release(250);
  await post.chunks(250);
  reader.response.resume();
  script.release();
  checkAnswer(await reader.turnEvents(post.turn), { turn: post.turn });
  reader.close();
});
