// PostgreSQL goes away under load and comes back: 503 meanwhile, nothing that was shown is lost, no restart needed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { aboutWords, partsOf } from '../support/answers.mjs';
import { call, caller, isFinal } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { newKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
let server;
before(async () => {
  database = await startMigratedPostgres();
  server = await startServe(database, { env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 30 } });
});
after(async () => {
  await server?.dispose();
  await database?.dispose();
});

const ready = async () => (await call(server, 'GET', '/ready')).status;

// Reads one turn to its final event whatever happens to the connection; everything that was shown, in order.
async function readToTheEnd(who, session, post) {
  const shown = [];
  let stream = post;
  for (;;) {
    const part = await stream.rest();
    shown.push(...part.filter((e) => e.event !== 'turn'));
    if (shown.some(isFinal)) return shown.slice(0, shown.findIndex(isFinal) + 1);
    const last = shown.at(-1)?.id ?? `${post.turn}:1:-`;
    stream = await until(async () => {
      const again = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(last)}`);
      return again.status === 200 && again;
    }, 'the session to be followed again');
    const rest = await stream.turnEvents(post.turn).catch(() => stream.seen);
    shown.push(...rest.filter((e) => e.event !== 'turn'));
    stream.close();
    if (shown.some(isFinal)) return shown.slice(0, shown.findIndex(isFinal) + 1);
  }
}

async function outage({ down, up, name }) {
  const db = await database.connect();
  const tenant = await newTenant(db);
  await db.end();
  const who = caller(server, tenant.key);
  const sessions = [];
  for (let i = 0; i < 6; i++) sessions.push(await who.session());
  const posts = await Promise.all(sessions.map((session, i) => who.say(session, aboutWords(90, `harbour ${i}`))));
  // What was taken, not what was seen: more may have come with the last of them, and the reader below takes that.
  const before = await Promise.all(posts.map((post) => post.take((e) => e.data.index === 5)));
  const readers = posts.map((post, i) => readToTheEnd(who, sessions[i], post));

  await down();
  await until(async () => (await ready()) === 503, `/ready to notice that PostgreSQL is ${name}`);
  assert.equal((await call(server, 'GET', '/live')).status, 200);
  assert.equal((await call(server, 'GET', '/health')).status, 200);
  for (const [what, answer] of [
    ['list', () => who.get('/v1/kgent/sessions')],
    ['create', () => who.post('/v1/kgent/sessions', {})],
    ['message', () => who.post(`/v1/kgent/sessions/${sessions[0]}/messages`, { message: 'hello', stream: false })],
    ['a key never seen before', () => caller(server, newKey()).get('/v1/kgent/sessions')],
  ]) {
    const { status, body } = await answer();
    assert.equal(status, 503, `${what} while PostgreSQL is ${name}`);
    assert.equal(typeof body.detail, 'string');
  }

  await up();
  await until(async () => (await ready()) === 200, '/ready to recover');
  const views = await Promise.all(readers);
  for (const [i, rest] of views.entries()) {
    const chunks = [...before[i], ...rest].filter((e) => e.event === 'chunk');
    assert.deepEqual(chunks.map((e) => e.data.index), chunks.map((_, k) => k), 'no gap and no double');
    for (const e of chunks) assert.equal(partsOf(e.id).turn, posts[i].turn);
    const text = chunks.map((e) => e.data.text).join('');
    const turn = (await who.get(`/v1/kgent/sessions/${sessions[i]}/turns/${posts[i].turn}`)).body;
    assert.equal(turn.text, text, 'all that was shown, and only that, is the answer');
    const final = rest.at(-1);
    assert.equal(turn.status, final.event === 'complete' ? 'completed' : 'failed');
    if (final.event === 'complete') assert.equal(final.data.text, text);
  }
  const messages = (await who.get(`/v1/kgent/sessions/${sessions[0]}/messages`)).body.messages;
  assert.ok(messages.filter((m) => m.role === 'user').length <= 1, 'what was answered with 503 was not done');
  const fresh = await who.session();
  assert.equal((await who.post(`/v1/kgent/sessions/${fresh}/messages`, { message: 'hello', stream: false })).status, 200);
}

test('killed and started again under load', () =>
  outage({ name: 'gone', down: () => database.stop('SIGQUIT'), up: () => database.start() }));

test('frozen and thawed under load: requests do not hang', () =>
  outage({ name: 'frozen', down: async () => database.signalAll('SIGSTOP'), up: async () => database.signalAll('SIGCONT') }));

test('a server that starts before its database says so and ends', async () => {
  await database.stop();
  await assert.rejects(startServe(database), /"code":69/);
  await database.start();
  await until(async () => (await ready()) === 200, '/ready to recover');
});
