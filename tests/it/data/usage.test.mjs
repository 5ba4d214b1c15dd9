// What is counted (acceptance test D20).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, sqlstate, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const month = new Date().toISOString().slice(0, 7);

// The application's events are of now: one of another month comes from a silo, or from an operator.
const record = (tenant, columns) => db.as(tenant, (app) => {
  const all = { tenant_id: tenant.id, event_type: 'llm_call', source: 'kgent', ...columns };
  const names = Object.keys(all);
  return (columns.billing_period ? db.admin : app).query(`INSERT INTO kg.usage_events (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)}) ON CONFLICT DO NOTHING`, Object.values(all));
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

const take = (tenant, key, wanted, limit, client) => db.as(tenant, async (app) =>
  (await app.query('SELECT granted, today FROM kg.take_operations($1, $2, $3)', [key, wanted, limit])).rows[0], client);
const counters = async (tenant, key) => (await db.admin.query({
  text: 'SELECT period, operations, tokens FROM kg.usage_counters WHERE tenant_id = $1 AND api_key_id = $2 ORDER BY period', values: [tenant.id, key], rowMode: 'array',
})).rows;
const day = new Date().toISOString().slice(0, 10);

test('D20 a key has counters of its day and its month, an event of the past counts in its own', async () => {
  const tenant = await db.tenant('tenant-counters');
  const key = randomUUID();
  await record(tenant, { tokens_in: 4, tokens_out: 3, api_key_id: key });
  await record(tenant, { tokens_in: 1, api_key_id: key });
  await record(tenant, { tokens_in: 1000, api_key_id: randomUUID() });
  await record(tenant, { event_type: 'api_call', api_key_id: key });
  await record(tenant, { tokens_in: 50, api_key_id: key, billing_period: '2020-01', created_at: '2020-01-31T23:59:59Z' });
  assert.deepEqual(await counters(tenant, key), [['2020-01', 0, 50], ['2020-01-31', 0, 50], [month, 0, 8], [day, 0, 8]]);
});

test('D20 one statement with the events of many keys, tenants and months counts each', async () => {
  const tenants = [await db.tenant('tenant-batch-a'), await db.tenant('tenant-batch-b')];
  const keys = [randomUUID(), randomUUID()];
  await db.admin.query(
    `INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, api_key_id, billing_period)
     SELECT t, 'llm_call', 'kgent', 1, k, p FROM unnest($1::uuid[]) t, unnest($2::uuid[]) k, unnest($3::text[]) p, generate_series(1, 50)`,
    [tenants.map((x) => x.id), keys, ['2020-01', month]]);
  for (const tenant of tenants) {
    assert.deepEqual(await counter(tenant), [100, month]);
    for (const key of keys)
      assert.deepEqual(await counters(tenant, key), [['2020-01', 0, 50], [month, 0, 50], [day, 0, 100]]);
  }
});

test('D20 operations of today are taken up to the limit and a refused one counts once', async () => {
  const key = randomUUID();
  assert.deepEqual(await take(db.a, key, 1, 3), { granted: 1, today: 1 });
  assert.deepEqual(await take(db.a, key, 5, 3), { granted: 2, today: 3 });
  assert.deepEqual(await take(db.a, key, 5, 3), { granted: 0, today: 4 });
  assert.deepEqual(await take(db.a, key, 1, 3), { granted: 0, today: 5 });
  assert.deepEqual(await take(db.a, key, 2, 0), { granted: 2, today: 7 });
  assert.deepEqual(await take(db.a, key, 1, 8), { granted: 1, today: 8 }, 'a limit that was raised counts on');
  const today = (tenant) => db.as(tenant, (app) => value(app, 'SELECT kg.ops_today($1)', [key]));
  assert.equal(await today(db.a), 8);
  assert.equal(await today(db.b), 0);
  assert.deepEqual(await take(db.b, key, 1, 3), { granted: 1, today: 1 }, 'another tenant cannot use it up');
  await assert.rejects(take(db.a, key, 0, 3), sqlstate('22023'));
  await assert.rejects(db.app.query('SELECT kg.take_operations($1, 1, 1)', [key]), denied);
  await assert.rejects(db.as(db.a, (app) => app.query('UPDATE kg.usage_counters SET operations = 0')), denied);
});

test('D20 operations of many connections at once are granted exactly as often as the limit says', async () => {
  const key = randomUUID();
  const clients = await Promise.all(Array.from({ length: 8 }, () => db.connect('kg_app')));
  const granted = await Promise.all(clients.map(async (client) => {
    let mine = 0;
    for (let i = 0; i < 25; ++i) mine += (await take(db.a, key, 1 + i % 2, 100, client)).granted;
    return mine;
  }));
  assert.equal(granted.reduce((a, b) => a + b), 100);
});

test('D20 yesterdays operations do not count today', async () => {
  const key = randomUUID();
  await db.admin.query('INSERT INTO kg.usage_counters (tenant_id, api_key_id, period, operations) VALUES ($1, $2, $3, 99)',
    [db.a.id, key, new Date(Date.now() - 86400000).toISOString().slice(0, 10)]);
  assert.deepEqual(await take(db.a, key, 1, 3), { granted: 1, today: 1 });
});
