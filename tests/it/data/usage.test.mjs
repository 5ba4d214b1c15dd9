// What is counted (acceptance test D20).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const month = new Date().toISOString().slice(0, 7);

const record = (tenant, columns) => db.as(tenant, (app) => {
  const all = { tenant_id: tenant.id, event_type: 'llm_call', source: 'kgent', ...columns };
  const names = Object.keys(all);
  return app.query(`INSERT INTO kg.usage_events (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)}) ON CONFLICT DO NOTHING`, Object.values(all));
});
const usage = async (tenant, period) =>
  (await db.as(tenant, (app) => app.query('SELECT * FROM kg.get_tenant_usage($1, $2)', [tenant.id, period]))).rows[0];
const counter = async (tenant) =>
  (await db.admin.query({ text: 'SELECT tokens_used_month, usage_period FROM kg.tenants WHERE id = $1', values: [tenant.id], rowMode: 'array' })).rows[0];

test('D20 the summary of a month is the sum of its events', async () => {
  const none = { total_tokens_in: 0, total_tokens_out: 0, total_storage_bytes: 0, total_compute_ms: 0, event_count: 0 };
  assert.deepEqual(await usage(db.a, month), none);
  await record(db.a, { tokens_in: 10, tokens_out: 5, compute_ms: 7 });
  await record(db.a, { tokens_in: 1, tokens_out: 2, storage_bytes: 9 });
  await record(db.a, { event_type: 'api_call', source: 'api' });
  await record(db.b, { tokens_in: 1000 });
  assert.deepEqual(await usage(db.a, month),
    { total_tokens_in: 11, total_tokens_out: 7, total_storage_bytes: 9, total_compute_ms: 7, event_count: 3 });
  assert.deepEqual(await usage(db.a, '2020-01'), none);
  assert.deepEqual(await counter(db.a), [18, month]);
});

test('D20 another tenants usage is refused and not empty', async () => {
  await assert.rejects(db.as(db.a, (app) => app.query('SELECT * FROM kg.get_tenant_usage($1, $2)', [db.b.id, month])), denied);
  await assert.rejects(db.app.query('SELECT * FROM kg.get_tenant_usage($1, $2)', [db.b.id, month]), denied);
});

test('D20 an event that comes twice counts once', async () => {
  const tenant = await db.tenant('tenant-twice');
  const id = randomUUID();
  await record(tenant, { id, tokens_in: 3 });
  await record(tenant, { id, tokens_in: 3 });
  assert.deepEqual(await counter(tenant), [3, month]);
});

test('D20 a new month starts the counter again and an old one does not disturb it', async () => {
  const tenant = await db.tenant('tenant-rollover');
  await db.admin.query(`UPDATE kg.tenants SET tokens_used_month = 999, usage_period = '2020-01' WHERE id = $1`, [tenant.id]);
  await record(tenant, { tokens_in: 4, tokens_out: 3 });
  assert.deepEqual(await counter(tenant), [7, month]);
  await record(tenant, { tokens_in: 50, billing_period: '2020-01' });
  assert.deepEqual(await counter(tenant), [7, month]);
  assert.equal((await usage(tenant, '2020-01')).total_tokens_in, 50);
});

test('D20 limit 0 blocks nothing however much was used', async () => {
  const tenant = await db.tenant('tenant-unlimited', 'custom');
  await record(tenant, { tokens_in: 2000000000, tokens_out: 2000000000 });
  await record(tenant, { tokens_in: 2000000000 });
  assert.deepEqual(await counter(tenant), [6000000000, month]);
  assert.equal(await value(db.admin, 'SELECT tokens_limit_month FROM kg.tenants WHERE id = $1', [tenant.id]), 0);
});

test('D20 events of many connections at once are all counted', async () => {
  const tenant = await db.tenant('tenant-many');
  const clients = await Promise.all(Array.from({ length: 8 }, () => db.connect('kg_app')));
  await Promise.all(clients.map(async (client) => {
    for (let i = 0; i < 25; ++i)
      await db.as(tenant, (app) => app.query(
        `INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in) VALUES ($1, 'llm_call', 'kgent', 1)`, [tenant.id]), client);
  }));
  assert.deepEqual(await counter(tenant), [200, month]);
});

test('D20 operations of today are those of this key that are metered', async () => {
  const key = randomUUID();
  const operation = { event_type: 'api_call', source: 'kgent', api_key_id: key };
  await record(db.a, operation);
  await record(db.a, { ...operation, source: 'soul' });
  await record(db.a, { ...operation, source: 'agentese' });
  await record(db.a, { ...operation, source: 'api' });
  await record(db.a, { ...operation, event_type: 'llm_call' });
  await record(db.a, { ...operation, api_key_id: randomUUID() });
  await record(db.a, { ...operation, created_at: new Date(Date.now() - 86400000) });
  const today = (tenant) => db.as(tenant, (app) => value(app, 'SELECT kg.ops_today($1)', [key]));
  assert.equal(await today(db.a), 3);
  assert.equal(await today(db.b), 0);
});
