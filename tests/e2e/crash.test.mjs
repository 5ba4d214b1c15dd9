// kill -9 in mid-answer, start again, reconnect: one uninterrupted answer. Kill points are counted in chunks seen.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { aboutWords, checkAnswer, wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev, startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

const prompt = aboutWords(60, 'glaciers');

// One assistant message with the whole text, one usage record with the turn's tokens, nothing left over.
async function checkStored(db, tenant, session, turn, complete) {
  const messages = (await db.query('SELECT role, content FROM kg.messages WHERE session_id = $1 ORDER BY seq', [session])).rows;
  assert.deepEqual(messages.map((m) => m.role), ['user', 'assistant']);
  assert.equal(messages[1].content, complete.text);
  const usage = (
    await db.query(`SELECT tokens_in + tokens_out AS n FROM kg.usage_events WHERE tenant_id = $1 AND session_id = $2 AND tokens_in + tokens_out > 0`, [tenant, session])
  ).rows.map((row) => Number(row.n));
  assert.deepEqual(usage, [complete.tokens_used], 'usage is counted once');
  const left = (await db.query('SELECT count(*)::int AS n FROM kg.turn_chunks WHERE turn_id = $1', [turn])).rows[0].n;
  assert.equal(left, 0);
  const row = (await db.query('SELECT status, chunks FROM kg.turns WHERE id = $1', [turn])).rows[0];
  assert.deepEqual(row, { status: 'completed', chunks: complete.chunks });
}

// Kills `server` when `seen` chunks were read (0: when the headers are there), starts it again, reads the rest.
async function killAfter(seen, { server, who, session, message, before = () => {}, between = () => {} }) {
  const post = await who.say(session, message);
  assert.equal(post.status, 200);
  before();
  const head = seen > 0 ? await post.chunks(seen) : [];
  await server.kill();
  const lost = await post.rest();
  assert.ok(!lost.some((e) => e.event === 'complete' || e.event === 'error'), 'it was killed in mid-answer');
  head.push(...lost);
  between();
  const again = await server.restart();
  const last = head.length > 0 ? head.at(-1).id : `${post.turn}:1:-`;
  const stream = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(last)}`);
  assert.equal(stream.status, 200, stream.text);
  const tail = await stream.turnEvents(post.turn);
  stream.close();
  return { server: again, turn: post.turn, complete: checkAnswer([...head, ...tail], { turn: post.turn }), seen: head.length };
}

test('the embedded provider: killed after 0, 1, 2 … 19 chunks and near the end, every answer equals the undisturbed one', async (t) => {
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  let server = await startServe(database, { env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 100 } });
  t.after(() => server.dispose());

  const calm = await newTenant(db);
  const { text, complete: expected } = await wholeAnswer(caller(server, calm.key), await caller(server, calm.key).session(), prompt);
  assert.ok(expected.chunks >= 30, `${expected.chunks} chunks are enough to cut at 20 places`);

  const points = new Set();
  // A few more than 20: on a busy machine two chunks may come in one read, and a point then falls on its neighbour.
  for (const seen of [...Array(20).keys(), 22, 25, 28, expected.chunks - 15]) {
    const tenant = await newTenant(db);
    const who = caller(server, tenant.key);
    const session = await who.session();
    const outcome = await killAfter(seen, { server, who, session, message: prompt });
    server = outcome.server;
    points.add(outcome.seen);
    assert.equal(outcome.complete.text, text, `killed after ${outcome.seen} chunks`);
    assert.equal(outcome.complete.chunks, expected.chunks, 'the same chunk boundaries');
    assert.equal(outcome.complete.tokens_used, expected.tokens_used, 'the same tokens');
    await checkStored(db, tenant.id, session, outcome.turn, outcome.complete);
  }
  assert.ok(points.size >= 20, `${points.size} different kill points`);
});

test('an OpenAI-compatible provider is asked to continue from the durable prefix', async (t) => {
  const provider = await startProvider();
  t.after(() => provider.close());
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  for (const wire of ['openai', 'anthropic']) {
    let server = await startServe(database, { env: provider[wire]() });
    for (const seen of [0, 1, 5, 11]) {
      const tenant = await newTenant(db);
      const who = caller(server, tenant.key);
      const session = await who.session();
      const script = provider.script({ deltas: words(12), gated: true });
      const outcome = await killAfter(seen, {
        server,
        who,
        session,
        message: `Tell me ${script.token}`,
        before: () => script.release(seen),
        between: () => script.release(),
      });
      server = outcome.server;
      assert.equal(outcome.complete.text, script.text, `${wire}, killed after ${seen}`);
      const { prefix } = script.requests.at(-1);
      assert.ok(script.text.startsWith(prefix));
      assert.equal(prefix.trimEnd(), words(outcome.seen).join('').trimEnd(), 'asked to go on behind what is durable');
      await checkStored(db, tenant.id, session, outcome.turn, outcome.complete);
    }
    await server.stop();
    assert.deepEqual(provider.violations, []);
  }
});

test('one long answer survives five kills, with a follower on SSE and one on WebSocket that reconnect each time', async (t) => {
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  let server = await startServe(database, { env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 100 } });
  t.after(() => server.dispose());
  const tenant = await newTenant(db);
  const who = caller(server, tenant.key);
  const session = await who.session();

  const post = await who.say(session, aboutWords(150, 'harbours'));
  const sse = [];
  const socketHeard = new Map();
  let last = `${post.turn}:1:-`;
  post.close();
  for (let kill = 0; kill <= 5; kill++) {
    const stream = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(last)}`);
    const socket = await openSocket(server, session, { key: who.key });
    socket.send({ type: 'resume', after: last });
    if (kill < 5) {
      await stream.chunks(6);
      await socket.take((m) => m.type === 'chunk');
      await server.kill();
      await stream.rest();
      await socket.closed;
    } else {
      await stream.turnEvents();
      await socket.turn(post.turn);
      stream.close();
    }
    sse.push(...stream.seen);
    for (const m of socket.seen) if (m.type === 'chunk' || m.type === 'complete') socketHeard.set(m.id.split(':')[2], m.text);
    last = sse.at(-1).id;
    if (kill < 5) server = await server.restart();
    else await socket.close();
  }
  const complete = checkAnswer(sse, { turn: post.turn });
  for (let i = 0; i < complete.chunks; i++)
    if (socketHeard.has(String(i))) assert.equal(socketHeard.get(String(i)), sse.find((e) => e.data.index === i).data.text);
  assert.equal(socketHeard.get(String(complete.chunks)), complete.text);
  await checkStored(db, tenant.id, session, post.turn, complete);
});

test('waiting turns survive as well, in their order', async (t) => {
  const provider = await startProvider();
  t.after(() => provider.close());
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  let server = await startServe(database, { env: provider.openai() });
  t.after(() => server.dispose());
  const who = caller(server, (await newTenant(db)).key);
  const session = await who.session();
  const scripts = [1, 2, 3].map((i) => provider.script({ deltas: words(i + 2), gated: true }));
  const posts = [];
  for (const script of scripts) posts.push(await who.say(session, `Tell me ${script.token}`));
  scripts[0].release(1);
  await posts[0].chunks(1);
  await server.kill();
  server = await server.restart();
  const stream = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(`${posts[0].turn}:1:-`)}`);
  for (const script of scripts) script.release();
  for (const [i, post] of posts.entries()) {
    const events = await stream.turnEvents();
    assert.equal(checkAnswer(events, { turn: post.turn }).text, scripts[i].text);
  }
  stream.close();
  assert.equal((await who.get(`/v1/kgent/sessions/${session}/messages`)).body.total, 6);
});

test('in memory mode what was shown may be lost with the node, and then a gap says so', async (t) => {
  const provider = await startProvider();
  t.after(() => provider.close());
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  let db = await database.connect();
  t.after(() => db.end());
  let server = await startServe(database, { env: { ...provider.openai(), KGENTS_STREAM_DURABILITY: 'memory' } });
  t.after(() => server.dispose());
  const who = caller(server, (await newTenant(db)).key);
  for (const frozen of [false, true]) {
    const session = await who.session();
    const script = provider.script({ deltas: words(12), gated: true });
    const post = await who.say(session, `Tell me ${script.token}`);
    script.release(2);
    await post.chunks(2);
    await until(async () => (await db.query('SELECT 1 FROM kg.turn_chunks WHERE turn_id = $1', [post.turn])).rowCount === 2, 'two durable chunks');
    // With the database frozen three more are shown and cannot be stored, and it dies with what it was told.
    if (frozen) database.signalAll('SIGSTOP');
    script.release(3);
    const [last] = (await post.chunks(3)).slice(-1);
    await server.kill();
    if (frozen) {
      database.signalAll('SIGKILL');
      await database.exited;
      await database.start();
      db = await database.connect();
    }
    // What the dead server had sent may still be stored until its connections end.
    const connections = `SELECT 1 FROM pg_stat_activity WHERE usename IN ('kg_app', 'kg_control')`;
    await until(async () => (await db.query(connections)).rowCount === 0, 'its connections to end');
    const { rowCount: durable } = await db.query('SELECT 1 FROM kg.turn_chunks WHERE turn_id = $1', [post.turn]);
    script.release();
    server = await server.restart();
    const stream = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(last.id)}`);
    const events = await stream.turnEvents(post.turn);
    stream.close();
    const gaps = events.filter((e) => e.event === 'gap').length;
    if (frozen) assert.equal(durable, 2);
    assert.equal(gaps > 0, durable < 5, `${durable} of 5 chunks had been stored, ${gaps} gaps were told`);
    const first = gaps > 0 ? durable : 5;
    assert.deepEqual(events.filter((e) => e.event === 'chunk').map((e) => e.data.index), Array.from({ length: 12 - first }, (_, i) => first + i));
    assert.equal(events.at(-1).data.text, script.text);
  }
});

test('kgentsd dev, killed with its database: the same promise', async (t) => {
  let server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 100 } });
  t.after(() => server.dispose());
  let db = await openDatabase(server.stateDir);
  const calm = caller(server, (await newTenant(db)).key);
  const { text } = await wholeAnswer(calm, await calm.session(), prompt);
  for (const seen of [0, 7, 23]) {
    const tenant = await newTenant(db);
    const who = caller(server, tenant.key);
    const session = await who.session();
    const outcome = await killAfter(seen, { server, who, session, message: prompt });
    server = outcome.server;
    assert.equal(outcome.complete.text, text);
    db = await openDatabase(server.stateDir);
    await checkStored(db, tenant.id, session, outcome.turn, outcome.complete);
  }
  await db.end();
});
