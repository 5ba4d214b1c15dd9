// The outbox relay: every change of a tracked table on NATS JetStream, once and in its row's order, before it counts as
// processed (events-and-billing.md 2).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startNats, stored } from '../support/nats.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startQdrant } from '../support/qdrant.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
let db;
let nats;
let tenant;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  nats = await startNats();
  tenant = await newTenant(db);
});
after(async () => {
  await db?.end();
  await nats?.dispose();
  await database?.dispose();
});

const start = (env = {}) =>
  startServe(database, { env: { NATS_ENABLED: 'true', NATS_SERVERS: nats.url, SYNAPSE_POLL_INTERVAL_MS: 50, EMBEDDING_DIMENSION: 4, ...env } });
const changes = async (where = 'true') => (await db.query(`SELECT * FROM kg.outbox WHERE ${where} ORDER BY id`)).rows;
const processed = (what = 'the outbox to be processed') => until(async () => (await changes('NOT processed')).length === 0, what, 90000);

// Each change is there once, and those of a row in their order.
async function agree() {
  const said = (await stored(nats.url, 'EVENTS', 'events.>')).map((x) => ({ ...x, event: x.data }));
  const made = await changes();
  assert.deepEqual(said.map((x) => Number(x.event.id)).sort((a, b) => a - b), made.map((x) => Number(x.id)));
  assert.ok(said.every((x) => x.id === `outbox:${x.event.id}`));
  const last = new Map();
  for (const { event } of said) {
    const row = `${event.tenant_id} ${event.table} ${event.row_id}`;
    assert.ok(Number(event.id) > (last.get(row) ?? 0), `${row} in order`);
    last.set(row, Number(event.id));
  }
  return said;
}

test('each change is announced, without secrets, and then processed', async () => {
  const server = await start();
  try {
    await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('m', $1, 'a', 'text')`, [tenant.id]);
    await db.query(`UPDATE kg.memories SET content = 'other'`);
    await db.query('DELETE FROM kg.memories');
    await db.query(`INSERT INTO kg.users (tenant_id, email, name) VALUES ($1, 'ana@example.test', 'Ana')`, [tenant.id]);
    await processed();
    const said = await agree();
    const subjects = said.map((x) => x.subject);
    for (const operation of ['insert', 'update', 'delete']) assert.ok(subjects.includes(`events.memories.${operation}`));
    const user = said.find((x) => x.subject === 'events.users.insert' && x.data.tenant_id === tenant.id).event;
    assert.deepEqual([user.tenant_id, user.operation, user.data.name], [tenant.id, 'INSERT', 'Ana']);
    const everything = said.map((x) => JSON.stringify(x.event)).join();
    for (const secret of ['ana@example.test', 'key_hash', 'stripe_customer_id']) assert.ok(!everything.includes(secret), secret);
    assert.equal((await changes('processed_at IS NULL OR NOT published')).length, 0);
  } finally {
    await server.stop();
  }
});

test('while the broker is away the index goes on, and afterwards nothing is missing', async () => {
  const qdrant = await startQdrant();
  const server = await start({ QDRANT_URL: qdrant.url });
  try {
    await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('before', $1, 'a', 'text')`, [tenant.id]);
    await processed();
    await nats.kill();
    for (let i = 0; i < 120; ++i)
      await db.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ($2, $1, 'a', $3)
        ON CONFLICT (tenant_id, id) DO UPDATE SET content = excluded.content`, [tenant.id, `m${i % 40}`, `text ${i}`]);
    await until(() => qdrant.points('memories').filter((x) => x.payload.row_id.startsWith('m')).length === 40, 'the index', 60000);
    await until(async () => (await changes('settled AND NOT published')).length === 120, 'the changes to be in the index');
    assert.equal((await changes('NOT processed')).length, 120, 'the bus has none of them');
    await nats.start();
    await processed('the broker to get them');
    await agree();
  } finally {
    await server.stop();
    await qdrant.close();
  }
});
