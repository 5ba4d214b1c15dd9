// Changes on their way to other systems (acceptance tests D6, D7, D11 and D13).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { count, denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const last = async () => value(db.admin, 'SELECT coalesce(max(id), 0) FROM kg.outbox');
const since = async (id) =>
  (await db.admin.query('SELECT * FROM kg.outbox WHERE id > $1 ORDER BY id', [id])).rows;

test('D6 a new session makes one event of its tenant', async () => {
  const from = await last();
  const id = await db.as(db.a, (app) => value(app, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [db.a.id]));
  const events = await since(from);
  assert.equal(events.length, 1);
  assert.equal(events[0].tenant_id, db.a.id);
  assert.equal(events[0].event_type, 'INSERT');
  assert.equal(events[0].table_name, 'sessions');
  assert.equal(events[0].row_id, id);
  assert.equal(events[0].payload.status, 'active');
});

test('D6 what is rolled back makes no event', async () => {
  const from = await last();
  await assert.rejects(db.as(db.a, async (app) => {
    await app.query('INSERT INTO kg.sessions (tenant_id) VALUES ($1)', [db.a.id]);
    await app.query('SELECT 1 / 0');
  }));
  assert.deepEqual(await since(from), []);
});

test('D6 counters of use make no event and changes of meaning do', async () => {
  const key = await value(db.admin, `INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name)
    VALUES ($1, 'kg_abcde', repeat('3', 64), 'key') RETURNING id`, [db.a.id]);
  let from = await last();
  await db.as(db.a, async (app) => {
    await app.query('SELECT kg.update_api_key_usage($1, 3)', [key]);
    await app.query('UPDATE kg.sessions SET message_count = message_count + 1, last_message_at = now()');
    await app.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in)
                     VALUES ($1, 'llm_call', 'kgent', 5)`, [db.a.id]);
  });
  assert.deepEqual(await since(from), []);
  await db.as(db.a, async (app) => {
    await app.query('UPDATE kg.api_keys SET is_active = false WHERE id = $1', [key]);
    await app.query(`UPDATE kg.sessions SET title = 'new' WHERE id = $1`, [db.a.session]);
    await app.query(`UPDATE kg.tenants SET name = 'Renamed'`);
  });
  assert.deepEqual((await since(from)).map((event) => event.table_name), ['api_keys', 'sessions', 'tenants']);
  assert.equal((await since(from))[2].tenant_id, db.a.id);
});

test('D7 a key leaves no hash in the outbox and none for the application', async () => {
  const from = await last();
  await db.as(db.a, (app) => app.query(`INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name)
    VALUES ($1, 'kg_abcde', repeat('4', 64), 'key')`, [db.a.id]));
  const [event] = await since(from);
  assert.equal(event.table_name, 'api_keys');
  assert.ok(!('key_hash' in event.payload));
  assert.ok(!JSON.stringify(event.payload).includes('4'.repeat(64)));
  await assert.rejects(db.as(db.a, (app) => app.query('SELECT key_hash FROM kg.api_keys')), denied);
  await assert.rejects(db.as(db.a, (app) => app.query('SELECT * FROM kg.api_keys')), denied);
});

test('D7 an embedding stays out of the outbox', async () => {
  const from = await last();
  await db.as(db.a, (app) => app.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('m', $1, 'a', 'x')`, [db.a.id]));
  const [event] = await since(from);
  assert.equal(event.row_id, 'm');
  assert.ok(!('embedding' in event.payload));
});

test('D11 an entry of the garden can be changed and tells when', async () => {
  const id = await db.as(db.a, (app) => value(app, `INSERT INTO kg.persona_garden (tenant_id, content) VALUES ($1, 'seed') RETURNING id`, [db.a.id]));
  const { rows: [entry] } = await db.as(db.a, (app) => app.query(
    `UPDATE kg.persona_garden SET lifecycle = 'sapling' WHERE id = $1 RETURNING lifecycle, updated_at > planted_at AS moved`, [id]));
  assert.deepEqual(entry, { lifecycle: 'sapling', moved: true });
  assert.equal(await db.as(db.a, (app) => value(app, 'SELECT saplings FROM kg.garden_stats')), 1);
  assert.equal(await db.as(db.b, (app) => value(app, 'SELECT total_entries FROM kg.garden_stats')), 0);
});

test('D13 the statistics are for operators and name the oldest pending event', async () => {
  await assert.rejects(db.app.query('SELECT * FROM kg.outbox_stats'), denied);
  await db.admin.query(`UPDATE kg.outbox SET created_at = '2020-01-01T00:00:00Z' WHERE id = (SELECT min(id) FROM kg.outbox)`);
  for (const role of ['kg_cdc', 'kg_metrics']) {
    const client = await db.connect(role);
    const { rows: [stats] } = await client.query('SELECT * FROM kg.outbox_stats');
    assert.equal(stats.pending_events, await count(db.admin, 'kg.outbox', 'NOT processed'));
    assert.equal(stats.oldest_pending.toISOString(), '2020-01-01T00:00:00.000Z');
  }
  await assert.rejects((await db.connect('kg_metrics')).query('SELECT payload FROM kg.outbox'), denied);
});

test('D13 cleaning up removes what was processed long ago and nothing else', async () => {
  const cdc = await db.connect('kg_cdc');
  await cdc.query(`UPDATE kg.outbox SET processed = true, processed_at = now() - interval '8 days'
                    WHERE id = (SELECT min(id) FROM kg.outbox)`);
  await cdc.query('UPDATE kg.outbox SET processed = true, processed_at = now() WHERE id = (SELECT max(id) FROM kg.outbox)');
  const total = await count(db.admin, 'kg.outbox');
  assert.equal(await value(cdc, 'SELECT kg.outbox_cleanup()'), 1);
  assert.equal(await count(db.admin, 'kg.outbox'), total - 1);
  await assert.rejects(db.app.query('SELECT kg.outbox_cleanup()'), denied);
});
