// What leaves to be billed: in order, once settled never again, and nothing that was committed late is passed over.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const insert = (client, id, columns = {}) => {
  const all = { id, tenant_id: db.a.id, event_type: 'llm_call', source: 'kgent', ...columns };
  const names = Object.keys(all);
  return client.query(`INSERT INTO kg.usage_events (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)})`, Object.values(all));
};
const list = async (client, text, params = []) => (await client.query(text, params)).rows;
const pending = async (limit = 1000) =>
  (await list(db.control, 'SELECT id FROM kg.metering_usage($1)', [limit])).map((row) => row.id);
const settle = (usage, billing = [], failed = []) =>
  db.control.query('SELECT kg.metering_settle($1, $2, $3, $4)', [usage, billing, failed, []]);

test('the oldest come first and what was settled does not come again', async () => {
  const ids = [randomUUID(), randomUUID(), randomUUID()].sort();
  await insert(db.admin, ids[1], { created_at: '2026-01-02' });
  await insert(db.admin, ids[2], { created_at: '2026-01-01' });
  await insert(db.admin, ids[0], { created_at: '2026-01-02' });
  assert.deepEqual(await pending(), [ids[2], ids[0], ids[1]]);
  assert.deepEqual(await pending(2), [ids[2], ids[0]]);
  await settle([ids[2]], [], [ids[0]]);
  assert.deepEqual(await pending(), [ids[0], ids[1]]);
  const [first] = await list(db.control, 'SELECT * FROM kg.metering_backlog(1)');
  assert.equal(first.pending, 1, 'counted only so far');
  assert.ok(first.age_seconds > 86400);
  assert.equal(await value(db.admin, 'SELECT export_attempts FROM kg.usage_events WHERE id = $1', [ids[0]]), 1);
  await settle([ids[0], ids[1]]);
  assert.deepEqual(await pending(), []);
  assert.deepEqual((await list(db.control, 'SELECT * FROM kg.metering_backlog(10)'))[0], { age_seconds: 0, pending: 0 });
});

test('the length of the message that a row counts is told', async () => {
  const id = randomUUID();
  await db.as(db.a, async (app) => {
    await app.query(`INSERT INTO kg.messages (session_id, tenant_id, role, content) VALUES ($1, $2, 'assistant', 'vier ä')`,
      [db.a.session, db.a.id]);
    await insert(app, id, { session_id: db.a.session });
  });
  await db.as(db.a, (app) => app.query(
    `INSERT INTO kg.messages (session_id, tenant_id, role, content) VALUES ($1, $2, 'assistant', 'another')`, [db.a.session, db.a.id]));
  const [row] = await list(db.control, 'SELECT message_length FROM kg.metering_usage(10)');
  assert.equal(row.message_length, 6);
  await settle([id]);
});

test('a refused event can be sent again', async () => {
  const id = randomUUID();
  await insert(db.admin, id);
  await db.control.query('SELECT kg.metering_refuse($1, $2, $3, $4, $5, $6)', ['kgents-api', id, db.a.id, id, 'why', '{}']);
  await settle([id]);
  assert.deepEqual(await pending(), []);
  assert.equal(await value(db.control, 'SELECT kg.metering_requeue($1)', [id]), true);
  assert.equal(await value(db.control, 'SELECT kg.metering_requeue($1)', [id]), false);
  assert.deepEqual(await pending(), [id]);
  await settle([id]);
});

test("Stripe's events are queued once and settled like usage", async () => {
  const queue = () => value(db.control, 'SELECT kg.queue_billing_event($1, $2, $3, $4, now(), $5)',
    ['substart:sub_1', db.a.id, 'subscription.started', db.a.id, { plan_id: 'price_1' }]);
  assert.equal(await queue(), true);
  assert.equal(await queue(), false);
  const [row] = await list(db.control, 'SELECT id, type, data FROM kg.metering_billing(10)');
  assert.deepEqual(row, { id: 'substart:sub_1', type: 'subscription.started', data: { plan_id: 'price_1' } });
  await settle([], ['substart:sub_1']);
  assert.deepEqual(await list(db.control, 'SELECT id FROM kg.metering_billing(10)'), []);
});

/** Until other tests' transactions, which hold the horizon back, have ended. */
async function relayed(wanted) {
  for (let i = 0; i < 2000; i += 1) {
    const rows = await list(db.control, 'SELECT id, xact FROM kg.metering_relay_usage(100)');
    if (rows.some((row) => row.id === wanted)) return rows;
  }
  throw new Error(`${wanted} does not come`);
}

test('the bus is told of what was committed late', async () => {
  const [early, late] = [randomUUID(), randomUUID()];
  const other = await db.connect('postgres');
  await other.query('BEGIN');
  await insert(other, early);
  await insert(db.admin, late);
  const before = (await list(db.control, 'SELECT id FROM kg.metering_relay_usage(100)')).map((row) => row.id);
  assert.ok(!before.includes(late) && !before.includes(early), 'one before it is still open');
  await other.query('COMMIT');
  const rows = await relayed(late);
  assert.deepEqual(rows.map((row) => row.id).filter((id) => [early, late].includes(id)), [early, late]);
  const last = rows.at(-1);
  await db.control.query('SELECT kg.metering_relayed($1, $2, $3)', ['usage', last.xact, last.id]);
  assert.deepEqual(await list(db.control, 'SELECT id FROM kg.metering_relay_usage(100)'), []);
  const next = randomUUID();
  await insert(db.admin, next);
  assert.deepEqual((await relayed(next)).map((row) => row.id), [next]);
});

test('totals are of what was exported and drift is none', async () => {
  const tenant = await db.tenant('tenant-totals');
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
  for (const id of [a, b, c]) await insert(db.admin, id, { tenant_id: tenant.id, tokens_in: 3, tokens_out: 4 });
  await settle([a, b]);
  await db.control.query('SELECT kg.metering_refuse($1, $2, $3, $4, $5, $6)', ['kgents-api', b, tenant.id, b, 'why', '{}']);
  const totals = async () => (await list(db.control,
    `SELECT tokens FROM kg.metering_totals(now() - interval '1 hour', now() + interval '1 hour', 100) WHERE tenant_id = $1`,
    [tenant.id])).map((row) => row.tokens);
  assert.deepEqual(await totals(), [7]);
  const month = new Date().toISOString().slice(0, 7);
  const drift = () => list(db.control, 'SELECT tenant_id, counted, recorded FROM kg.metering_drift($1, 100)', [month]);
  assert.deepEqual((await drift()).filter((row) => row.tenant_id === tenant.id), []);
  await db.admin.query('UPDATE kg.tenants SET tokens_used_month = 20 WHERE id = $1', [tenant.id]);
  assert.deepEqual((await drift()).filter((row) => row.tenant_id === tenant.id),
    [{ tenant_id: tenant.id, counted: 20, recorded: 21 }]);
  await db.admin.query('UPDATE kg.tenants SET tokens_used_month = 21 WHERE id = $1', [tenant.id]);
  await insert(db.admin, randomUUID(), { tenant_id: tenant.id, tokens_in: 9, api_key_id: randomUUID() });
  assert.deepEqual((await drift()).filter((row) => row.tenant_id === tenant.id), []);
  await db.admin.query(`UPDATE kg.usage_counters SET tokens = 4 WHERE tenant_id = $1`, [tenant.id]);
  assert.deepEqual((await drift()).filter((row) => row.tenant_id === tenant.id),
    [{ tenant_id: tenant.id, counted: 4, recorded: 9 }]);
});

test('none of it is the application\'s', async () => {
  for (const table of ['billing_events', 'metering_quarantine', 'metering_marks'])
    await assert.rejects(db.app.query(`SELECT FROM kg.${table}`), denied);
  await assert.rejects(db.app.query('SELECT kg.metering_usage(1)'), denied);
});
