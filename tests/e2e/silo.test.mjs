// A tenant in a database of its own, on a server of its own: it gets there in mid-sentence, works there as it did, and its
// outage is nobody else's (data.md section 12, D21).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import pg from 'pg';

import { aboutWords, checkAnswer, wholeAnswer } from '../support/answers.mjs';
import { Observer } from '../support/agentese.mjs';
import { call, caller } from '../support/http.mjs';
import { startMigratedPostgres, startPostgres } from '../support/postgres.mjs';
import { removeDirectory, startServe, temporaryDirectory } from '../support/server.mjs';
import { activeSilo, databaseOf, leftBehind, platformKey, purgedSilo, requestSilo, rowsOf, writeSecret } from '../support/silos.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let shared;
let own;
let db;
let server;
let secrets;
let acme;
let other;

before(async () => {
  secrets = temporaryDirectory('kgents-secrets');
  shared = await startMigratedPostgres();
  own = await startPostgres();
  db = await shared.connect();
  writeSecret(secrets, 'acme', own);
  server = await startServe(shared, {
    env: {
      KGENTS_PLATFORM_KEY: platformKey,
      KGENTS_SILO_SECRETS: secrets,
      KGENTS_EMBEDDED_TOKENS_PER_SECOND: 30,
      DATABASE_ADMIN_URL: shared.url('postgres'),
    },
  });
  acme = await newTenant(db);
  other = await newTenant(db);
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await own?.dispose();
  await shared?.dispose();
  removeDirectory(secrets);
});

const history = async (who, session) =>
  (await who.get(`/v1/kgent/sessions/${session}/messages`)).body.messages.map(({ id, role, content }) => ({ id, role, content }));

// What is refused because of the move is asked again, as Retry-After says.
async function patiently(work, what) {
  let given;
  await until(async () => {
    given = await work();
    if (given.status !== 503) return true;
    assert.ok(Number(given.headers['retry-after']) > 0, `${what}: a 503 says when to come back`);
    return false;
  }, what);
  return given;
}

// Reads the turn to its end, coming back with what it has when the stream is ended.
async function toTheEnd(who, session, post, events) {
  for (let stream = post; ; ) {
    const rest = await stream.rest().catch(() => []);
    events.push(...rest.filter((e) => e.event !== 'turn' && e.event !== 'reconnect'));
    if (events.some((e) => e.event === 'complete' || e.event === 'error')) return events;
    const last = encodeURIComponent(events.at(-1).id);
    stream = await until(async () => {
      const again = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${last}`);
      return again.status === 200 && again;
    }, 'the session to be followed again');
    const more = await stream.turnEvents(post.turn).catch(() => stream.seen);
    events.push(...more.filter((e) => e.event !== 'turn'));
    stream.close();
  }
}

let sessions;
let kept;

test('moved in mid-answer and under load: one answer, nothing lost, nothing twice', async () => {
  const who = caller(server, acme.key);
  const neighbour = caller(server, other.key);
  const observer = new Observer(server, acme.key);
  sessions = [await who.session({ title: 'one' }), await who.session({ title: 'two' }), await who.session({ title: 'three' })];
  await wholeAnswer(who, sessions[0], 'hello');
  await wholeAnswer(who, sessions[1], aboutWords(20));
  await observer.ok('self.memory.engram', { key: 'boat', data: 'Ariel' });
  await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('m-1', $1, 'a', 'the boat is called Ariel')`, [acme.id]);
  await db.query(`INSERT INTO kg.agents (tenant_id, name, agent_type) VALUES ($1, 'scribe', 'kgent')`, [acme.id]);
  kept = await history(who, sessions[0]);

  // An answer of some ten seconds, whose client sees the move as a pause at most.
  const long = await who.say(sessions[2], aboutWords(300, 'harbours'));
  const events = (await long.take((e) => e.data.index === 5)).filter((e) => e.event !== 'turn');
  const answer = toTheEnd(who, sessions[2], long, events);
  let moved = false;
  const others = (async () => {
    for (let n = 0; !moved; n++) {
      const session = await neighbour.session();
      const { status } = await neighbour.get(`/v1/kgent/sessions/${session}`);
      assert.equal(status, 200, 'another tenant notices nothing');
    }
  })();
  const writes = (async () => {
    const made = [];
    while (!moved) {
      const { body } = await patiently(() => who.post('/v1/kgent/sessions', { title: `written ${made.length}` }), 'a session to be made');
      made.push(body.id);
    }
    return made;
  })();
  const asked = await requestSilo(server, acme.id, { dsn_ref: 'acme' });
  assert.equal(asked.status, 202, asked.text);
  await activeSilo(server, acme.id);
  moved = true;
  await others;
  const made = await writes;

  checkAnswer(await answer, { turn: long.turn });
  const there = await own.connect('acme');
  const { rows } = await there.query('SELECT id FROM kg.sessions WHERE tenant_id = $1', [acme.id]);
  assert.deepEqual(rows.map((row) => row.id).sort(), [...sessions, ...made].sort(), 'every session that was confirmed, once');
  const { rows: turns } = await there.query('SELECT id, status FROM kg.turns WHERE session_id = $1', [sessions[2]]);
  assert.deepEqual(turns, [{ id: long.turn, status: 'completed' }]);
  await there.end();
});

test('what was there before is there, and what is new is written to its own database', async () => {
  const who = caller(server, acme.key);
  const observer = new Observer(server, acme.key);
  assert.deepEqual(await history(who, sessions[0]), kept);
  const recalled = await patiently(() => observer.invoke('self.memory.recall', { key: 'boat' }), 'a memory');
  assert.equal(recalled.status, 200, recalled.text);
  assert.match(recalled.text, /Ariel/);
  for (const id of sessions) assert.equal((await who.get(`/v1/kgent/sessions/${id}`)).status, 200);

  await wholeAnswer(who, sessions[0], 'and now?');
  const session = await who.session({ title: 'after' });
  await wholeAnswer(who, session, 'hello');
  const listed = await who.get('/v1/kgent/sessions');
  assert.ok(listed.body.sessions.some((x) => x.id === session));
  const there = await own.connect('acme');
  const written = await there.query('SELECT role FROM kg.messages WHERE session_id = $1 ORDER BY seq', [session]);
  assert.deepEqual(written.rows.map((row) => row.role), ['user', 'assistant']);
  await there.end();
  const here = await db.query('SELECT FROM kg.messages WHERE session_id = $1', [session]);
  assert.equal(here.rowCount, 0);
});

test('no row of it is left in the shared database once that was purged', async () => {
  await db.query(`UPDATE kg.silos SET purge_at = now() WHERE tenant_id = $1`, [acme.id]);
  await purgedSilo(server, acme.id);
  assert.deepEqual(await leftBehind(db, acme.id), {});
  assert.deepEqual(await history(caller(server, acme.key), sessions[1]).then((all) => all.length), 2);
});

test('usage of the silo is counted in the shared database, each once', async () => {
  const who = caller(server, acme.key);
  const there = await own.connect('acme');
  await wholeAnswer(who, sessions[1], 'what does it cost?');
  const sum = `SELECT count(*)::int AS n, coalesce(sum(tokens_in + tokens_out), 0)::int AS tokens FROM kg.usage_events
                WHERE tenant_id = $1 AND event_type = 'llm_call'`;
  const silo = (await there.query(sum, [acme.id])).rows[0];
  assert.ok(silo.n > 0);
  await until(async () => (await db.query(sum, [acme.id])).rows[0].n >= silo.n, 'usage to be taken over');
  assert.deepEqual((await db.query(sum, [acme.id])).rows[0], silo);
  await there.end();
});

test('row-level security holds in the silo: nothing without a context, nothing for another tenant', async () => {
  const app = new pg.Client({ host: own.socket, user: 'kg_app', database: 'acme' });
  await app.connect();
  try {
    for (const table of ['sessions', 'messages', 'turns', 'memories', 'agents', 'tenants'])
      assert.equal((await app.query(`SELECT FROM kg.${table}`)).rowCount, 0, table);
    await assert.rejects(app.query(`SELECT kg.set_tenant_context('${other.id}')`), { code: 'KG003' });
    await app.query(`BEGIN; SELECT kg.set_tenant_context('${acme.id}')`);
    assert.ok((await app.query('SELECT FROM kg.sessions')).rowCount > 0);
    await assert.rejects(app.query(`INSERT INTO kg.sessions (tenant_id) VALUES ('${other.id}')`), { code: '42501' });
    await app.query('ROLLBACK');
  } finally {
    await app.end();
  }
});

test('its database stops: 503 for it alone, and it comes back', async () => {
  const who = caller(server, acme.key);
  const neighbour = caller(server, other.key);
  const observer = new Observer(server, acme.key);
  const session = await neighbour.session();
  const stream = await neighbour.say(session, aboutWords(120));
  const begun = await stream.take((e) => e.data.index === 3);
  await own.stop();
  for (const [what, ask] of [
    ['list', () => who.get('/v1/kgent/sessions')],
    ['create', () => who.post('/v1/kgent/sessions', {})],
    ['history', () => who.get(`/v1/kgent/sessions/${sessions[0]}/messages`)],
    ['message', () => who.post(`/v1/kgent/sessions/${sessions[0]}/messages`, { message: 'hello', stream: false })],
    ['memory', () => observer.invoke('self.memory.recall', { key: 'boat' })],
  ]) {
    const { status, headers, body } = await ask();
    assert.equal(status, 503, `${what}: ${JSON.stringify(body)}`);
    assert.ok(Number(headers['retry-after']) > 0, `${what} says when to come back`);
    assert.equal((await neighbour.get(`/v1/kgent/sessions/${session}`)).status, 200, `${what}: another tenant goes on`);
  }
  assert.equal((await call(server, 'GET', '/ready')).status, 200);
  checkAnswer([...begun, ...(await stream.rest())].filter((e) => e.event !== 'turn'), { turn: stream.turn });

  await own.start();
  await until(async () => (await who.get('/v1/kgent/sessions')).status === 200, 'the tenant to be served again');
  await wholeAnswer(who, sessions[0], 'are you back?');
});

test('a silo beside the shared database, without a secret', async () => {
  const third = await newTenant(db);
  const who = caller(server, third.key);
  const session = await who.session();
  await wholeAnswer(who, session, 'hello');
  const before = await rowsOf(db, third.id);
  assert.equal((await requestSilo(server, third.id, { purge_after_seconds: 0 })).status, 202);
  await purgedSilo(server, third.id);
  assert.deepEqual(await leftBehind(db, third.id), {});
  assert.equal((await history(who, session)).length, 2);
  await wholeAnswer(who, session, 'and again');
  const there = await shared.connect(databaseOf(third.id));
  const now = await rowsOf(there, third.id);
  await there.end();
  assert.equal(now.messages, before.messages + 2);
});
