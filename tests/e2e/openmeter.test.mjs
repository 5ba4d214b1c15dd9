// Usage on its way to OpenMeter (events-and-billing.md 3, E7): nothing lost, nothing counted twice, whatever it answers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { OpenMeter as Client } from '@openmeter/sdk';

import { wholeAnswer } from '../support/answers.mjs';
import { call, caller } from '../support/http.mjs';
import { startOpenMeter } from '../support/openmeter.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
let db;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
});
after(async () => {
  await db?.end();
  await database?.dispose();
});

/// A stand-in of its own and a server that exports to it; only what is recorded from now on is exported.
async function start(t, { env = {}, configured = true, before = () => {} } = {}) {
  await db.query('UPDATE kg.usage_events SET exported_at = now() WHERE exported_at IS NULL');
  await before();
  const meter = await startOpenMeter();
  t.after(() => meter.close());
  const server = await startServe(database, { env: { ...(configured ? meter.env() : {}), ...env } });
  t.after(() => server.dispose());
  const tenant = await newTenant(db);
  return { meter, server, tenant, who: caller(server, tenant.key) };
}

const own = (meter, tenant) => meter.all.filter((event) => event.subject === tenant.id);
const unexported = async (tenant) =>
  (await db.query('SELECT count(*)::int AS n FROM kg.usage_events WHERE tenant_id = $1 AND exported_at IS NULL', [tenant.id])).rows[0].n;
const exported = (tenant) => until(async () => (await unexported(tenant)) === 0, 'everything to be exported');
const health = async (server) => (await call(server, 'GET', '/health/saas')).body.openmeter;
const status = (server, wanted) => until(async () => (await health(server)).status === wanted, `the status ${wanted}`);
const metric = async (server, name) =>
  Number(new RegExp(`^${name}(?:{.*})? (.*)$`, 'm').exec((await call(server, 'GET', '/metrics')).text)?.[1]);
const insert = (tenant, columns = {}) => {
  const row = { tenant_id: tenant.id, event_type: 'llm_call', source: 'kgent', tokens_in: 1, tokens_out: 2, ...columns };
  const names = Object.keys(row);
  return db.query(`INSERT INTO kg.usage_events (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)})`, Object.values(row));
};

test('a conversation arrives as events, and the row ids are theirs', async (t) => {
  const { meter, server, tenant, who } = await start(t);
  const session = await who.session();
  const said = 'Wie tief ist die Ostsee?';
  const { text, complete } = await wholeAnswer(who, session, said);
  await exported(tenant);
  const told = (type) => own(meter, tenant).filter((event) => event.type === type);
  assert.deepEqual(told('session.create').map((event) => event.data), [{ session_id: session, agent_type: 'kgent' }]);
  const [tokens] = told('llm.tokens');
  assert.equal(tokens.data.tokens_total, complete.tokens_used);
  assert.equal(tokens.data.tokens_in + tokens.data.tokens_out, tokens.data.tokens_total);
  assert.equal(tokens.data.session_id, session);
  assert.equal(tokens.source, 'kgents-api');
  assert.deepEqual(
    told('session.message').map((event) => event.data).sort((a, b) => (a.role < b.role ? 1 : -1)),
    [
      { session_id: session, message_length: [...said].length, role: 'user' },
      { session_id: session, message_length: [...text].length, role: 'assistant' },
    ],
  );
  const ids = (await db.query(`SELECT id FROM kg.usage_events WHERE tenant_id = $1 AND event_type = 'llm_call'`, [tenant.id])).rows;
  assert.deepEqual([tokens.id], ids.map((row) => row.id));
  for (const event of own(meter, tenant)) assert.equal(event.specversion, '1.0');
  await status(server, 'healthy');
  const seen = await health(server);
  assert.equal(seen.mode, 'cloud');
  assert.ok(seen.metrics.events_sent >= own(meter, tenant).length);
  assert.ok(Date.parse(seen.metrics.last_flush) > 0);
  assert.ok((await metric(server, 'kgents_openmeter_events_sent_total{event_type="llm.tokens"}'.replace(/[{}]/g, '\\$&'))) >= 1);
});

test("what OpenMeter's own client sends has the same shape, and it sees ours as sent already", async (t) => {
  const { meter, tenant, who } = await start(t);
  await wholeAnswer(who, await who.session(), 'Hello!');
  await exported(tenant);
  const ours = meter.requests.find((request) => request.status === 204);
  const count = meter.events.size;
  const client = new Client({ baseUrl: meter.url, apiKey: meter.key });
  await client.events.ingest(meter.all.map((event) => ({ ...event, time: new Date(event.time) })));
  assert.equal(meter.requests.at(-1).status, 204);
  assert.equal(meter.events.size, count, 'the provider counts (source, id) once');
  await client.events.ingest([{ type: 'llm.tokens', subject: tenant.id, data: { tokens_total: 1 } }]);
  const theirs = meter.requests.at(-1);
  for (const name of ['content-type', 'authorization']) assert.equal(ours.headers[name], theirs.headers[name], name);
  for (const [name, value] of Object.entries(theirs.events[0])) assert.equal(typeof ours.events[0][name], typeof value, name);
});

for (const [name, faults] of [
  ['500, 429 and cuts', [{ status: 500 }, { cut: 'before' }, { status: 429, headers: { 'Retry-After': '1' } }, { cut: 'after' }]],
  ['silence and 503', [{ hold: true }, { status: 503 }]],
])
  test(`${name}: everything arrives once, with the same ids`, async (t) => {
    const { meter, server, tenant, who } = await start(t);
    meter.faults.push(...faults);
    await wholeAnswer(who, await who.session(), 'Hello!');
    await exported(tenant);
    assert.equal(meter.faults.length, 0, 'each was met');
    const rows = (await db.query('SELECT id, event_type, export_attempts FROM kg.usage_events WHERE tenant_id = $1', [tenant.id])).rows;
    assert.ok(rows.some((row) => row.export_attempts > 1));
    const ids = own(meter, tenant).map((event) => event.id);
    for (const { id } of rows.filter((row) => row.event_type === 'llm_call')) assert.ok(ids.includes(id));
    const tried = meter.requests.filter((request) => request.events).map((request) => request.events[0].id);
    assert.ok(tried.some((id, i) => i > 0 && id === tried[0]), 'the same was sent again');
    assert.ok((await metric(server, 'kgents_openmeter_flush_errors_total')) >= faults.length);
    await status(server, 'healthy');
  });

test('one bad event is put away, the others arrive; once it would be taken it can be sent', async (t) => {
  const { meter, server, tenant } = await start(t);
  meter.refuse = (event) => (event.data.tokens_total === 666 ? 'tokens_total: no' : undefined);
  for (let i = 0; i < 30; i += 1) await insert(tenant, { tokens_in: i === 17 ? 600 : 1, tokens_out: 66 });
  await exported(tenant);
  assert.equal(own(meter, tenant).filter((event) => event.type === 'llm.tokens').length, 29);
  const bad = (await db.query('SELECT * FROM kg.metering_quarantine WHERE tenant_id = $1', [tenant.id])).rows;
  assert.equal(bad.length, 1);
  assert.match(bad[0].reason, /^status 400: .*tokens_total: no/);
  assert.equal(bad[0].event.data.tokens_total, 666);
  assert.equal(await metric(server, 'kgents_openmeter_events_refused_total'), 1);
  meter.refuse = () => undefined;
  await db.query('SELECT kg.metering_requeue($1)', [bad[0].record_id]);
  await exported(tenant);
  assert.equal(own(meter, tenant).filter((event) => event.type === 'llm.tokens').length, 30);
});

test('a wrong key stops the export, not the answers; with the right one nothing is missing', async (t) => {
  const { meter, server, tenant, who } = await start(t, { env: { OPENMETER_API_KEY: 'om_wrong' } });
  const { complete } = await wholeAnswer(who, await who.session(), 'Hello!');
  await status(server, 'unhealthy');
  const seen = await call(server, 'GET', '/health/saas');
  assert.equal(seen.status, 200);
  assert.equal(seen.body.status, 'degraded');
  assert.equal(seen.body.openmeter.error, 'status 401');
  assert.ok((await unexported(tenant)) > 0);
  assert.equal(meter.events.size, 0);
  assert.ok(!server.log.includes('om_wrong'), 'the key is in no log');
  await server.stop();
  const again = await startServe(database, { env: meter.env() });
  t.after(() => again.dispose());
  await exported(tenant);
  assert.equal(meter.tokens(tenant.id), complete.tokens_used);
});

test('without a provider nothing leaves and everything waits', async (t) => {
  const { meter, server, tenant, who } = await start(t, { configured: false });
  const { complete } = await wholeAnswer(who, await who.session(), 'Hello!');
  const seen = await health(server);
  assert.deepEqual(seen, { configured: false, status: 'disabled', mode: 'local' });
  await server.stop();
  assert.ok((await unexported(tenant)) > 0);
  assert.equal(meter.requests.length, 0);
  const again = await startServe(database, { env: meter.env() });
  t.after(() => again.dispose());
  await exported(tenant);
  assert.equal(meter.tokens(tenant.id), complete.tokens_used);
});

test('a stop exports what is left', async (t) => {
  const earlier = await newTenant(db);
  const { meter, server, tenant, who } = await start(t, { env: { OPENMETER_FLUSH_INTERVAL: '60' }, before: () => insert(earlier) });
  await exported(earlier); // its only round before the stop
  const { complete } = await wholeAnswer(who, await who.session(), 'Hello!');
  assert.ok((await unexported(tenant)) > 0);
  await server.stop();
  assert.equal(await unexported(tenant), 0);
  assert.equal(meter.tokens(tenant.id), complete.tokens_used);
});

test('the backlog and its age are shown, and leave at full speed', async (t) => {
  const { meter, server, tenant } = await start(t, { env: { OPENMETER_BATCH_SIZE: '50' } });
  meter.faults.push({ status: 503, headers: { 'Retry-After': '8' } });
  await db.query(
    `INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, created_at)
     SELECT $1, 'llm_call', 'kgent', 1, now() - interval '10 minutes' FROM generate_series(1, 5000)`, [tenant.id]);
  await until(async () => (await metric(server, 'kgents_metering_lag_seconds')) >= 600, 'the lag');
  assert.ok((await metric(server, 'kgents_openmeter_events_buffered')) >= 4900);
  await exported(tenant);
  assert.equal(meter.tokens(tenant.id), 5000);
  await until(async () => (await metric(server, 'kgents_metering_lag_seconds')) === 0, 'the lag to be over');
  for (const request of meter.requests) assert.ok((request.events?.length ?? 0) <= 50);
});

test('what OpenMeter has counted is compared with what was recorded', async (t) => {
  const { meter, server, tenant } = await start(t);
  await insert(tenant, { tokens_in: 100, tokens_out: 300, created_at: new Date(Date.now() - 3600 * 1000) });
  await exported(tenant);
  const compared = async (which) => {
    await until(async () => (await metric(which, 'kgents_usage_reconciliations_total')) >= 1, 'a reconciliation');
    return metric(which, 'kgents_usage_discrepancy_ratio');
  };
  // Rows of other tests are not in this provider, so they must not be compared.
  for (const table of ['usage_events', 'usage_counters']) await db.query(`DELETE FROM kg.${table} WHERE tenant_id <> $1`, [tenant.id]);
  await db.query(`UPDATE kg.tenants t SET tokens_used_month = coalesce((SELECT sum(tokens_in + tokens_out) FROM kg.usage_events u
    WHERE u.tenant_id = t.id AND u.billing_period = t.usage_period), 0)`);
  await server.stop();
  const agreed = await startServe(database, { env: meter.env() });
  assert.equal(await compared(agreed), 0);
  assert.ok(meter.queries.some((query) => query.subject === tenant.id), 'it was asked');
  await agreed.stop();
  meter.scale = 0.5;
  const doubted = await startServe(database, { env: meter.env() });
  t.after(() => doubted.dispose());
  assert.equal(await compared(doubted), -0.5);
  assert.match(doubted.log, /usage differs from what was counted/);
});
