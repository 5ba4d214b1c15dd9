// A tenant with a database of its own: an answer goes on across the move, everything of it is there afterwards, and when its
// database stops nobody else notices.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { aboutWords, checkAnswer, wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { removeDirectory, startServe } from '../support/server.mjs';
import { Move, secretsFor } from '../support/silo.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let shared;
let silo;
let secrets;
let server;
let db;
let own;
before(async () => {
  shared = await startMigratedPostgres();
  silo = await startMigratedPostgres({ environment: 'production' });
  secrets = secretsFor({ alpha: silo });
  server = await startServe(shared, {
    env: { KGENTS_SILO_SECRETS: secrets, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 40 },
  });
  db = await shared.connect();
  own = await silo.connect();
});
after(async () => {
  await db?.end();
  await own?.end().catch(() => {});
  await server?.dispose();
  await shared?.dispose();
  await silo?.dispose();
  if (secrets) removeDirectory(secrets);
});

const count = async (client, table, tenant) =>
  Number((await client.query(`SELECT count(*) AS n FROM kg.${table} WHERE tenant_id = $1`, [tenant])).rows[0].n);
const tokensOf = async (client, tenant) =>
  Number((await client.query(
    'SELECT coalesce(sum(tokens_in + tokens_out), 0) AS n FROM kg.usage_events WHERE tenant_id = $1', [tenant])).rows[0].n);

let alpha;
let beta;
let who;
let other;
let observer;
let session;

test('an answer that is being written while its tenant moves is one answer', async () => {
  alpha = await newTenant(db);
  beta = await newTenant(db);
  who = caller(server, alpha.key);
  other = caller(server, beta.key);
  session = await who.session({ title: 'before' });
  await wholeAnswer(who, session, aboutWords(10));
  observer = new Observer(server, alpha.key);
  await observer.ok('self.memory.engram', { key: 'boat', data: 'Ariel' });

  const turn = await who.say(session, aboutWords(60));
  const first = await turn.take((e) => e.data.index === 8);
  const move = new Move(db, own, alpha.id);
  await move.copying();
  // Who is moved can be read and not written; nobody else notices.
  assert.equal((await who.get('/v1/kgent/sessions')).body.sessions.length, 1);
  const refused = await who.post('/v1/kgent/sessions', {});
  assert.equal(refused.status, 503, refused.text);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  assert.match(refused.body.detail, /being moved/);
  const beside = await other.session();
  await wholeAnswer(other, beside, aboutWords(10));
  const copied = await move.copy();
  assert.equal(copied.sessions, 1);
  assert.equal(copied.turns, 2);
  await move.gone('alpha');

  const events = [...first, ...(await turn.rest())];
  const complete = checkAnswer(events, { turn: turn.turn });
  const messages = (await who.get(`/v1/kgent/sessions/${session}/messages`)).body.messages;
  assert.equal(messages.length, 4);
  assert.ok(messages.some((m) => m.content === complete.text));
  const stored = await own.query('SELECT status FROM kg.turns WHERE id = $1', [turn.turn]);
  assert.equal(stored.rows[0].status, 'completed');
  const behind = await db.query('SELECT status FROM kg.turns WHERE id = $1', [turn.turn]);
  assert.equal(behind.rows[0].status, 'running', 'the shared database has not heard of its end');
});

test('what was and what comes is in the silo, and usage is counted once in both', async () => {
  const had = {};
  for (const table of ['sessions', 'messages', 'turns', 'memories', 'agentese_events'])
    had[table] = await count(db, table, alpha.id);
  assert.equal(await observer.ok('self.memory.recall', { key: 'boat' }), 'Ariel');
  await observer.ok('self.memory.engram', { key: 'house', data: 'brick' });
  const second = await who.session({ title: 'after' });
  await wholeAnswer(who, second, aboutWords(20));
  await wholeAnswer(who, session, aboutWords(20));
  const listed = (await who.get('/v1/kgent/sessions')).body.sessions.map((x) => x.title).sort();
  assert.deepEqual(listed, ['after', 'before']);
  // A key that is made now is known there when it is first used.
  const late = await addKey(db, alpha.id);
  const third = await caller(server, late.key).session({ title: 'late' });
  assert.ok(third);
  for (const [table, n] of Object.entries(had))
    assert.equal(await count(db, table, alpha.id), n, `${table} of the shared database stays as it was`);
  assert.equal(await count(own, 'sessions', alpha.id), 3);
  await until(async () => {
    const { rows } = await own.query('SELECT count(*) AS n FROM kg.usage_events WHERE exported_at IS NULL');
    return Number(rows[0].n) === 0 && (await count(own, 'agentese_events', alpha.id)) >= 2;
  }, 'the usage to be taken over');
  const [here, there] = [await tokensOf(db, alpha.id), await tokensOf(own, alpha.id)];
  assert.equal(here, there);
  const { rows: [counted] } = await db.query('SELECT tokens_used_month AS n FROM kg.tenants WHERE id = $1', [alpha.id]);
  assert.equal(Number(counted.n), here);
  const { rows: [stub] } = await own.query('SELECT tokens_used_month AS n FROM kg.tenants WHERE id = $1', [alpha.id]);
  assert.equal(Number(stub.n), here);
});

test('its database stops: 503 for it alone, and afterwards all is back', async () => {
  const beside = await other.session();
  const mine = await who.say(session, aboutWords(80));
  const shown = await mine.take((e) => e.data.index === 5);
  await own.end();
  await silo.stop('SIGQUIT');
  await until(async () => (await who.get('/v1/kgent/sessions')).status === 503, 'the silo to be missed');
  // While chunks of the silo's wait, others' are committed and shown.
  await wholeAnswer(other, beside, aboutWords(30));
  await until(async () => (await who.get(`/v1/kgent/sessions/${session}`)).status === 503, 'what is in memory to be refused too');
  for (const [what, answer] of [
    ['a list', () => who.get('/v1/kgent/sessions')],
    ['a session', () => who.get(`/v1/kgent/sessions/${session}`)],
    ['a new session', () => who.post('/v1/kgent/sessions', {})],
    ['a message', () => who.post(`/v1/kgent/sessions/${session}/messages`, { message: 'hello', stream: false })],
    ['a stream', () => who.stream(`/v1/kgent/sessions/${session}/stream`)],
    ['a path', () => observer.invoke('self.memory.recall', { key: 'boat' })],
  ]) {
    const { status, headers } = await answer();
    assert.equal(status, 503, what);
    assert.ok(Number(headers['retry-after']) > 0, what);
  }
  assert.equal((await other.get('/v1/kgent/sessions')).status, 200);

  await silo.start();
  own = await silo.connect();
  await until(async () => (await who.get('/v1/kgent/sessions')).status === 200, 'the silo to be found again');
  const events = [...shown, ...(await mine.rest())];
  const complete = checkAnswer(events, { turn: mine.turn });
  const { body } = await who.get(`/v1/kgent/sessions/${session}/turns/${mine.turn}`);
  assert.equal(body.text, complete.text);
  await wholeAnswer(who, session, aboutWords(10));
});

test('a new node finds the silo and the turn that was left in it', async () => {
  const left = await who.say(session, aboutWords(60));
  await left.take((e) => e.data.index === 5);
  await server.kill();
  server = await server.restart();
  who = caller(server, alpha.key);
  const again = await until(async () => {
    const stream = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${left.turn}:1:-`);
    return stream.status === 200 && stream;
  }, 'the session to be followed again');
  await again.turnEvents(left.turn);
  again.close();
  const { body } = await who.get(`/v1/kgent/sessions/${session}/turns/${left.turn}`);
  assert.equal(body.status, 'completed');
});
