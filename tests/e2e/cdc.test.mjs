// From changes in PostgreSQL to a vector index: the worker of role cdc against a stand-in for Qdrant (data.md 11, D17).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startEmbeddings, startQdrant } from '../support/qdrant.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const key = 'the-operators-own-secret';
const dimension = 8;
// Below those that the kernel gives to clients.
const clusterPort = 20000 + (process.pid % 5000) * 2;

let database;
let db;
let qdrant;
let alice;
let bob;
const servers = [];

before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  alice = await newTenant(db);
  bob = await newTenant(db);
});
after(async () => {
  for (const server of servers) await server.kill();
  await qdrant?.close();
  await db?.end();
  await database?.dispose();
});

// Each test has an index of its own and an outbox that is empty.
beforeEach(async () => {
  for (const server of servers.splice(0)) await server.kill();
  await qdrant?.close();
  qdrant = await startQdrant({ apiKey: 'qdrant-key' });
  await db.query('DELETE FROM kg.memories');
  await db.query('DELETE FROM kg.persona_garden');
  await db.query('TRUNCATE kg.outbox, kg.outbox_dlq, kg.cdc_rebuilds, kg.worker_leases');
});

async function start(env = {}) {
  const server = await startServe(database, {
    env: {
      KGENTS_PLATFORM_KEY: key,
      QDRANT_URL: qdrant.url,
      QDRANT_API_KEY: 'qdrant-key',
      EMBEDDING_DIMENSION: dimension,
      SYNAPSE_POLL_INTERVAL_MS: 50,
      SYNAPSE_MAX_RETRIES: 3,
      NATS_ENABLED: 'false',
      ...env,
    },
  });
  servers.push(server);
  return server;
}

const remember = (tenant, id, content) =>
  db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ($2, $1, 'a', $3)
    ON CONFLICT (tenant_id, id) DO UPDATE SET content = excluded.content`, [tenant.id, id, content]);
const pending = async () => Number((await db.query('SELECT count(*) FROM kg.outbox WHERE NOT processed')).rows[0].count);
const settled = () => until(async () => (await pending()) === 0, 'the outbox to be processed');
const operator = (server, method, path, body) => call(server, method, `/v1/platform/cdc${path}`, { key, body });
const writes = () => qdrant.requests.filter((x) => x.path.endsWith('/batch') && x.done);
// What is in a collection, in an order of its own; times differ with each test and count for nothing.
const state = (name) =>
  qdrant.points(name).map(({ id, vector, payload }) => ({ id, vector, payload })).sort((a, b) => (a.id < b.id ? -1 : 1));
// The previous worker's claims and lease run out, as they would with time.
const timePasses = () => db.query(`UPDATE kg.outbox SET claimed_until = now(); UPDATE kg.worker_leases SET expires = now() - interval '1 second'`);

const hash = (text) => createHash('sha256').update(text).digest('hex');
function uuid5(name) {
  const space = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex');
  const bytes = createHash('sha1').update(space).update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 15) | 80;
  bytes[8] = (bytes[8] & 63) | 128;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
function mock(text) {
  let sum = 14695981039346656037n;
  for (const byte of Buffer.from(text)) sum = ((sum ^ BigInt(byte)) * 1099511628211n) & 0xffffffffffffffffn;
  return Array.from({ length: dimension }, (_, i) => Math.fround((Number(sum % 1000n) + i) / 1000));
}

test('D17 an insert, an update and a delete arrive in the index', async () => {
  await start();
  await remember(alice, 'mem-1', 'the grüße of the sea');
  await settled();
  const [point] = qdrant.points('memories');
  assert.equal(point.id, uuid5(`${alice.id}/memories/mem-1`));
  assert.deepEqual(point.vector.map(Math.fround), mock('the grüße of the sea'));
  const { source, table, tenant_id, row_id, content, content_sha256, agent_id } = point.payload;
  assert.deepEqual({ source, table, tenant_id, row_id, content, content_sha256, agent_id }, {
    source: 'postgres', table: 'memories', tenant_id: alice.id, row_id: 'mem-1', content: 'the grüße of the sea',
    content_sha256: hash('the grüße of the sea'), agent_id: 'a',
  });
  const { size, distance, indexes } = qdrant.collections.get('memories');
  assert.deepEqual([size, distance, indexes.get('tenant_id')], [dimension, 'Cosine', 'keyword']);
  assert.ok(writes().every(({ query }) => query.get('wait') === 'true'));

  await remember(alice, 'mem-1', 'another text');
  await settled();
  assert.equal(qdrant.points('memories').length, 1);
  assert.equal(qdrant.points('memories')[0].payload.content, 'another text');
  assert.deepEqual(qdrant.points('memories')[0].vector.map(Math.fround), mock('another text'));

  await db.query('DELETE FROM kg.memories');
  await settled();
  assert.deepEqual(qdrant.points('memories'), []);
});

test('the garden has a collection of its own, and no other table has one', async () => {
  await start();
  await db.query('INSERT INTO kg.persona_garden (tenant_id, content) VALUES ($1, $2)', [alice.id, 'a seed']);
  await remember(alice, '1', 'a memory');
  await remember(bob, '1', 'of another tenant');
  await db.query('INSERT INTO kg.sessions (tenant_id, title) VALUES ($1, $2)', [alice.id, 'a title']);
  await db.query(`INSERT INTO kg.messages (tenant_id, session_id, role, content)
    SELECT tenant_id, id, 'user', 'what was said' FROM kg.sessions WHERE tenant_id = $1 LIMIT 1`, [alice.id]);
  await settled();
  assert.deepEqual([...qdrant.collections.keys()].sort(), ['memories', 'memories_persona_garden']);
  assert.deepEqual(qdrant.points('memories_persona_garden').map((x) => x.payload.content), ['a seed']);
  assert.equal(qdrant.points('memories').length, 2, 'the same id in two tenants is two points');
});

test('messages are vectorised where that is asked for', async () => {
  await start({ SYNAPSE_MESSAGES: 'true', SYNAPSE_COLLECTION: 'mine' });
  const { rows: [{ id }] } = await db.query('INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [alice.id]);
  await db.query(`INSERT INTO kg.messages (tenant_id, session_id, role, content) VALUES ($1, $2, 'user', 'what was said')`, [alice.id, id]);
  await settled();
  assert.deepEqual(qdrant.points('mine_messages').map((x) => x.payload.content), ['what was said']);
});

test('D17 a change that is delivered twice changes nothing', async () => {
  await start();
  await remember(alice, 'm', 'text');
  await settled();
  const before = state('memories');
  await db.query('UPDATE kg.outbox SET processed = false, processed_at = NULL, settled = false');
  await settled();
  assert.deepEqual(state('memories'), before);
});

test('a text that has not changed is not embedded again', async () => {
  const embeddings = await startEmbeddings({ dimension });
  try {
    await start({ EMBEDDING_PROVIDER: 'openai', OPENAI_BASE_URL: embeddings.url, OPENAI_API_KEY: 'k', EMBEDDING_MODEL: 'some-model' });
    await remember(alice, 'm', 'text');
    await settled();
    await db.query('UPDATE kg.memories SET importance = 0.75');
    await settled();
    assert.equal(qdrant.points('memories')[0].payload.importance, 0.75);
    assert.deepEqual(qdrant.points('memories')[0].vector.map(Math.fround), embeddings.vectorOf('text').map(Math.fround));
    assert.deepEqual(embeddings.requests.map((x) => [x.path, x.key, x.model, x.input]), [['/v1/embeddings', 'Bearer k', 'some-model', ['text']]]);
    await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'x' || i, $1, 'a', 'text ' || i FROM generate_series(1, 100) i`, [alice.id]);
    await settled();
    assert.deepEqual(embeddings.requests.slice(1).map((x) => x.input.length), [64, 36]);
    for (const { payload, vector } of qdrant.points('memories')) assert.deepEqual(vector.map(Math.fround), embeddings.vectorOf(payload.content).map(Math.fround));
  } finally {
    await embeddings.close();
  }
});

test('what the embeddings endpoint will not take becomes a dead letter, and the others go on', async () => {
  const embeddings = await startEmbeddings({ dimension });
  try {
    embeddings.fault = ({ input }) => input.includes('too long') && { status: 400 };
    const server = await start({ EMBEDDING_PROVIDER: 'openai', OPENAI_BASE_URL: embeddings.url, OPENAI_API_KEY: 'k' });
    await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT t, $1, 'a', t FROM unnest('{one,too long,two}'::text[]) t`, [alice.id]);
    await settled();
    assert.deepEqual(qdrant.points('memories').map((x) => x.payload.content).sort(), ['one', 'two']);
    const { body } = await operator(server, 'GET', '/dead-letters');
    assert.deepEqual(body.dead_letters.map((x) => [x.row_id, x.reason, x.retry_count, x.table, x.operation]), [['too long', 'embedding_failed', 3, 'memories', 'INSERT']]);
    assert.match(body.dead_letters[0].error, /embeddings endpoint answered 400/);
  } finally {
    await embeddings.close();
  }
});

test('D17 the newest of a row wins, whatever failed before', async () => {
  await start({ SYNAPSE_MAX_RETRIES: 100 });
  const failing = new Set(['version 1']);
  qdrant.fault = ({ path, body }) => path.endsWith('/batch') && body.operations.some((x) => x.upsert?.points.some((p) => failing.has(p.payload.content))) && { status: 500 };
  await remember(alice, 'm', 'version 1');
  await until(async () => (await db.query('SELECT 1 FROM kg.outbox WHERE attempts > 0')).rowCount === 1, 'the first attempt to fail');
  // The older one backs off for long, so that the newer one is certainly first.
  await db.query(`UPDATE kg.outbox SET next_attempt_at = now() + interval '1 hour'`);
  await remember(alice, 'm', 'version 3');
  await until(() => qdrant.points('memories')[0]?.payload.content === 'version 3', 'the newer one');
  failing.clear();
  await db.query('UPDATE kg.outbox SET next_attempt_at = now()');
  await settled();
  assert.equal(qdrant.points('memories')[0].payload.content, 'version 3');
  assert.equal((await db.query('SELECT 1 FROM kg.outbox_dlq')).rowCount, 0);
});

test('of a batch only the newest change of a row is applied', async () => {
  for (const version of ['one', 'two', 'three']) await remember(alice, 'm', version);
  await remember(alice, 'gone', 'x');
  await db.query(`DELETE FROM kg.memories WHERE id = 'gone'`);
  await start();
  await settled();
  assert.equal(writes().length, 1);
  assert.deepEqual(writes()[0].body.operations.flatMap((x) => x.upsert?.points.map((p) => p.payload.content) ?? []), ['three']);
  assert.deepEqual(writes()[0].body.operations.flatMap((x) => x.delete?.points ?? []), [uuid5(`${alice.id}/memories/gone`)]);
});

test('D17 kill -9 between upsert and acknowledgement leaves the change pending', async () => {
  const first = await start();
  qdrant.fault = ({ path }) => path.endsWith('/batch') && { hang: true, after: true };
  await remember(alice, 'm', 'text');
  await until(() => writes().length === 1, 'the upsert');
  await first.kill();
  const before = state('memories');
  assert.equal(before.length, 1);
  assert.equal(await pending(), 1);
  qdrant.fault = () => undefined;
  await timePasses();
  await start();
  await settled();
  assert.deepEqual(state('memories'), before);
});

test('D17 what fails too often becomes a dead letter, and comes back when it is tried again', async () => {
  const server = await start();
  qdrant.fault = ({ path, body }) => path.endsWith('/batch') && JSON.stringify(body).includes('poison') && { status: 422 };
  await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT t, $1, 'a', t FROM unnest('{one,poison,two}'::text[]) t`, [alice.id]);
  await settled();
  assert.deepEqual(qdrant.points('memories').map((x) => x.payload.content).sort(), ['one', 'two']);
  const { body } = await operator(server, 'GET', '/dead-letters?table=memories&reason=max_retries_exceeded&limit=1');
  const [letter] = body.dead_letters;
  assert.deepEqual([letter.row_id, letter.tenant_id, letter.retry_count, letter.target], ['poison', alice.id, 3, 'qdrant']);
  assert.match(letter.error, /Qdrant answered 422/);
  assert.ok(!('payload' in letter), 'tenants\' texts do not concern the operator');
  assert.deepEqual((await operator(server, 'GET', '')).body.dead_letters, { size: 1, by_reason: { max_retries_exceeded: 1 }, by_table: { memories: 1 } });
  const { text } = await call(server, 'GET', '/metrics');
  assert.match(text, /^synapse_events_failed_total 1$/m);
  assert.match(text, /^synapse_events_retried_total [1-9]/m);
  assert.match(text, /^synapse_circuit_state\{state="closed"\} 1$/m);

  qdrant.fault = () => undefined;
  assert.deepEqual((await operator(server, 'POST', `/dead-letters/retry?id=${letter.id}`)).body, { retried: 1 });
  await settled();
  assert.equal(qdrant.points('memories').length, 3);
  assert.equal((await operator(server, 'POST', `/dead-letters/retry?id=${letter.id}`)).status, 404);
  assert.deepEqual((await operator(server, 'DELETE', '/dead-letters')).body, { removed: 0 });
});

test('while Qdrant is away nothing is lost and nothing becomes a dead letter', async () => {
  const server = await start();
  await remember(alice, 'm', 'before');
  await settled();
  const { port, collections } = qdrant;
  await qdrant.close();
  await remember(alice, 'm', 'after');
  await remember(alice, 'n', 'new');
  await until(async () => /^synapse_circuit_state\{state="open"\} 1$/m.test((await call(server, 'GET', '/metrics')).text), 'the breaker to open');
  assert.equal((await call(server, 'GET', '/ready')).status, 200, 'readiness does not depend on it');
  assert.equal(await pending(), 2);
  qdrant = await startQdrant({ port, apiKey: 'qdrant-key' });
  qdrant.collections = collections;
  await until(async () => (await pending()) === 0, 'the breaker to let through', 90000);
  assert.deepEqual(qdrant.points('memories').map((x) => x.payload.content).sort(), ['after', 'new']);
  assert.equal((await db.query('SELECT 1 FROM kg.outbox_dlq')).rowCount, 0);
});

test('a collection that is dropped is made anew', async () => {
  await start();
  await remember(alice, 'm', 'one');
  await settled();
  qdrant.collections.clear();
  await remember(alice, 'n', 'two');
  await settled();
  assert.deepEqual(qdrant.points('memories').map((x) => x.payload.content), ['two']);
  assert.equal(qdrant.collections.get('memories').indexes.get('tenant_id'), 'keyword');
});

test('D17 a rebuild comes to what the changes came to', async () => {
  const server = await start();
  await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'm' || i, $1, 'a', 'text ' || i FROM generate_series(1, 150) i`, [alice.id]);
  await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'm' || i, $1, 'a', 'text ' || i FROM generate_series(1, 10) i`, [bob.id]);
  await db.query(`INSERT INTO kg.persona_garden (tenant_id, content) SELECT $1, 'seed ' || i FROM generate_series(1, 70) i`, [alice.id]);
  await db.query(`UPDATE kg.memories SET content = 'changed ' || id WHERE id LIKE '%7'`);
  await db.query(`DELETE FROM kg.memories WHERE id LIKE '%9'`);
  await settled();
  const memories = state('memories');
  const garden = state('memories_persona_garden');
  assert.equal(garden.length, 70);

  const rebuilt = async () => {
    assert.deepEqual((await operator(server, 'POST', '/rebuild')).body, { status: 'requested', tables: ['memories', 'persona_garden'] });
    return until(async () => {
      const { rebuilds } = (await operator(server, 'GET', '')).body;
      return rebuilds.length === 2 && rebuilds.every((x) => x.phase === 'done') && rebuilds;
    }, 'the rebuild');
  };
  qdrant.collections.clear();
  const [first] = await rebuilt();
  assert.equal(first.upserted, memories.length);
  assert.deepEqual(state('memories'), memories);
  assert.deepEqual(state('memories_persona_garden'), garden);

  // What should not be there goes, what is wrong is put right, what is right is not embedded again.
  const { points } = qdrant.collections.get('memories');
  const stray = uuid5('stray');
  points.set(stray, { id: stray, vector: mock('x'), payload: { tenant_id: alice.id, row_id: 'no such row' } });
  points.get(memories[0].id).payload = { content_sha256: 'wrong' };
  points.delete(memories[1].id);
  qdrant.requests.length = 0;
  const [second] = await rebuilt();
  assert.equal(second.swept, 1);
  assert.deepEqual(state('memories'), memories);
  assert.equal(writes().flatMap((x) => x.body.operations).flatMap((x) => x.upsert?.points ?? []).length, 2);
});

test('a search finds the rows of its tenant alone', async () => {
  const server = await start();
  for (const [tenant, id] of [[alice, 'a1'], [alice, 'a2'], [bob, 'b1']]) await remember(tenant, id, `text ${id}`);
  await settled();
  const found = await operator(server, 'POST', '/search', { tenant_id: alice.id, text: 'text b1', limit: 10 });
  assert.equal(found.status, 200, found.text);
  assert.deepEqual(found.body.points.map((x) => x.payload.row_id).sort(), ['a1', 'a2']);
  const [search] = qdrant.requests.filter((x) => x.path.endsWith('/search'));
  assert.deepEqual(search.body.filter, { must: [{ key: 'tenant_id', match: { value: alice.id } }] });
  assert.equal((await operator(server, 'POST', '/search', { tenant_id: 'x', text: 'y' })).status, 400);
  assert.equal((await operator(server, 'POST', '/search', { tenant_id: alice.id, text: 'y', table: 'users' })).status, 400);
  assert.equal((await call(server, 'POST', '/v1/platform/cdc/search', { key: alice.key, body: { tenant_id: bob.id, text: 'y' } })).status, 404);
});

test('D17 of two workers one does the work, and the other goes on when it is killed', async () => {
  const node = (i) => start({ KGENTS_NODE_NAME: `node-${i}`, KGENTS_CLUSTER_HOST: '127.0.0.1', KGENTS_CLUSTER_PORT: clusterPort + i, SYNAPSE_BATCH_SIZE: 20 });
  const nodes = [await node(0), await node(1)];
  const many = (from, to) =>
    db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'm' || i, $1, 'a', 'text ' || i FROM generate_series($2::int, $3::int) i`, [alice.id, from, to]);
  await many(1, 300);
  await settled();
  const written = writes().flatMap((x) => x.body.operations).flatMap((x) => x.upsert?.points.map((p) => p.payload.row_id) ?? []);
  assert.equal(written.length, 300, 'each once');
  assert.equal(new Set(written).size, 300);
  const done = async (server) => Number(/^synapse_events_processed_total (\S+)$/m.exec((await call(server, 'GET', '/metrics')).text)[1]);
  const counts = await Promise.all(nodes.map(done));
  assert.ok(counts.includes(0), `one of them alone: ${counts}`);

  await many(301, 600);
  await until(() => qdrant.points('memories').length > 350, 'it to be in the middle');
  await nodes[counts[0] > 0 ? 0 : 1].kill();
  await timePasses();
  await settled();
  assert.equal(qdrant.points('memories').length, 600);
  assert.equal((await db.query('SELECT 1 FROM kg.outbox_dlq')).rowCount, 0);
});

test('at its end the server finishes the batch', async () => {
  const server = await start();
  let held;
  qdrant.fault = ({ path }) => {
    if (path.endsWith('/points') && !held) held = path;
  };
  await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'm' || i, $1, 'a', 'text ' || i FROM generate_series(1, 60) i`, [alice.id]);
  await until(() => held, 'the batch to be under way');
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.equal(await pending(), 0);
  assert.equal(qdrant.points('memories').length, 60);
  assert.equal((await db.query(`SELECT 1 FROM kg.worker_leases WHERE worker = 'cdc'`)).rowCount, 0, 'another need not wait');
});

test('without an index the operator is told so, and changes stay', async () => {
  const server = await start({ QDRANT_URL: '', QDRANT_API_KEY: '' });
  await remember(alice, 'm', 'text');
  assert.equal((await operator(server, 'POST', '/rebuild')).status, 409);
  assert.equal((await operator(server, 'GET', '')).body.pending, 1);
  assert.equal((await call(server, 'GET', '/v1/platform/cdc', { key: alice.key })).status, 404);
});
