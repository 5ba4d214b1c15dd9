// What is counted and shown of it (events-and-billing.md 9, http-api.md 10 and 13.7, data.md D20).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { call } from '../support/http.mjs';
import { startProvider } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
let provider;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: provider.openai() });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

const all = ['read', 'write', 'admin'];
const get = (key, path) => call(server, 'GET', path, { key });
const ok = async (key, path) => {
  const { status, body, text } = await get(key, path);
  assert.equal(status, 200, text);
  return body;
};
const month = () => new Date().toISOString().slice(0, 7);
const rows = async (tenant, where = 'true') => (await db.query(`SELECT * FROM kg.usage_events WHERE tenant_id = $1 AND ${where} ORDER BY created_at, id`, [tenant])).rows;
const requests = async (tenant) => (await rows(tenant, `event_type = 'api_call' AND source = 'api'`)).map((x) => ({ endpoint: x.endpoint, method: x.method, status: x.status_code, quantity: x.quantity, key: x.api_key_id }));
const total = (list) => list.reduce((sum, x) => sum + x.quantity, 0);

const session = async (key) => {
  const { status, body, text } = await call(server, 'POST', '/v1/kgent/sessions', { key, body: {} });
  assert.equal(status, 200, text);
  return body.id;
};
const say = (key, id, content, headers) => call(server, 'POST', `/v1/kgent/sessions/${id}/messages`, { key, headers, body: { message: content, content, stream: false } });

test('every authenticated request is counted once under its route, whatever its status', async () => {
  const who = await newTenant(db, { scopes: ['read'] });
  for (let i = 0; i < 7; i++) await get(who.key, '/v1/kgent/sessions?limit=1');
  for (let i = 0; i < 3; i++) assert.equal((await get(who.key, `/v1/kgent/sessions/${randomUUID()}`)).status, 404);
  assert.equal((await call(server, 'POST', '/v1/kgent/sessions', { key: who.key, body: {} })).status, 403);
  await get('kg_unknown_key', '/v1/kgent/sessions');
  await call(server, 'GET', '/health');
  await get(who.key, '/v1/no/such/route');
  const seen = await until(async () => {
    const now = await requests(who.id);
    return total(now) >= 11 && now;
  }, 'the requests to be written');
  const of = (endpoint, method, status) => total(seen.filter((x) => x.endpoint === endpoint && x.method === method && x.status === status));
  assert.equal(of('/v1/kgent/sessions', 'GET', 200), 7);
  assert.equal(of('/v1/kgent/sessions/{id}', 'GET', 404), 3);
  assert.equal(of('/v1/kgent/sessions', 'POST', 403), 1);
  assert.equal(total(seen), 11);
  assert.ok(seen.every((x) => x.key === who.keyId));
  const shown = await ok(who.key, '/v1/usage');
  assert.equal(shown.events.api_call, 11);
  assert.equal(shown.user.requests_today, 0, 'mere requests are no operations');
  assert.equal(shown.user.api_requests_today, 11);
  assert.deepEqual(shown.user.endpoints_hit, { '/v1/kgent/sessions': 8, '/v1/kgent/sessions/{id}': 3 });
  assert.ok(shown.user.first_request_today <= shown.user.last_request);
});

test('a thousand requests are few rows', async () => {
  const who = await newTenant(db);
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 100 }, () => get(who.key, '/v1/kgent/sessions?limit=1')));
  const seen = await until(async () => {
    const now = await requests(who.id);
    return total(now) >= 1000 && now;
  }, 'the requests to be written');
  assert.equal(total(seen), 1000);
  assert.ok(seen.length < 200, `${seen.length} rows`);
});

test('13.7: tokens are in the day, the month and the limit; another user has counters of its own', async () => {
  const who = await newTenant(db, { limits: { tokens_limit_month: 100000 }, key: { user_ref: 'anna' } });
  const second = await addKey(db, who.id, { user_ref: 'anna' });
  const other = await addKey(db, who.id, { user_ref: 'ben' });
  const script = provider.script({ deltas: ['Hold ', 'on.'] });
  const id = await session(who.key);
  const answer = await say(who.key, id, `What holds a small team of sailors together? ${script.token}`);
  assert.equal(answer.status, 200, answer.text);
  const used = answer.body.tokens_used;
  assert.ok(used > 0);
  const shown = await ok(second.key, '/v1/usage');
  assert.equal(shown.billing_period, month());
  assert.equal(shown.total_tokens, used);
  assert.equal(shown.tokens_in + shown.tokens_out, used);
  assert.equal(shown.tokens_limit, 100000);
  assert.equal(shown.tokens_remaining, 100000 - used);
  assert.equal(shown.events.session_create, 1);
  assert.equal(shown.events.llm_call, 1);
  assert.equal(shown.user.user_id, 'anna');
  assert.equal(shown.user.tokens_today, used);
  assert.equal(shown.user.tokens_month, used);
  const bens = (await ok(other.key, '/v1/usage')).user;
  assert.equal(bens.tokens_month, 0);
  assert.equal(bens.user_id, 'ben');
  assert.equal((await ok(who.key, '/v1/usage?metric=sessions')).event_count, 1);
  assert.equal((await ok(who.key, '/v1/usage?metric=tokens')).event_count, 1);
  for (const period of ['day', 'week', 'month', 'current', month()]) assert.equal((await ok(who.key, `/v1/usage?period=${period}`)).total_tokens, used, period);
  const before = await ok(who.key, '/v1/usage?period=previous');
  assert.equal(before.total_tokens, 0);
  assert.notEqual(before.billing_period, month());
});

test('D20: the sum over the events is what is shown; a past month is its own; unlimited stays unlimited', async () => {
  const who = await newTenant(db, { scopes: all });
  const past = '2025-02';
  await db.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, tokens_out, api_key_id, billing_period, created_at) VALUES ($1, 'llm_call', 'kgent', 70, 30, $2, $3, '2025-02-10T12:00:00Z')`, [who.id, who.keyId, past]);
  await db.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, tokens_out, api_key_id) VALUES ($1, 'llm_call', 'kgent', 1000000, 1, $2)`, [who.id, who.keyId]);
  const [{ total_tokens_in: sum }] = (await db.query('SELECT * FROM kg.get_tenant_usage($1, $2)', [who.id, month()])).rows;
  const now = await ok(who.key, '/v1/usage');
  assert.equal(now.tokens_in, Number(sum));
  assert.equal(now.tokens_remaining, null);
  assert.equal(now.usage_percentage, 0);
  assert.equal((await ok(who.key, `/v1/usage?period=${past}`)).total_tokens, 100);
  assert.equal((await db.query('SELECT tokens_used_month FROM kg.tenants WHERE id = $1', [who.id])).rows[0].tokens_used_month, '1000001');
  const id = await session(who.key);
  assert.equal((await say(who.key, id, 'hello')).status, 200);
});

test('a key sent again, a replay and a resume cost nothing', async () => {
  const who = await newTenant(db, { scopes: all });
  const script = provider.script({ deltas: ['Hold ', 'on ', 'fast.'] });
  const id = await session(who.key);
  const idempotency = { 'Idempotency-Key': randomUUID() };
  const message = `What holds a small team of sailors together? ${script.token}`;
  const first = await say(who.key, id, message, idempotency);
  assert.equal(first.status, 200, first.text);
  const work = () => rows(who.id, `NOT (event_type = 'api_call' AND source = 'api')`);
  const once = await work();
  for (let i = 0; i < 3; i++) assert.equal((await say(who.key, id, message, idempotency)).body.id, first.body.id);
  await ok(who.key, `/v1/kgent/sessions/${id}/messages`);
  const turn = first.headers['x-turn-id'];
  if (turn) await ok(who.key, `/v1/kgent/sessions/${id}/turns/${turn}`);
  const replay = await fetch(`${server.url}/v1/kgent/sessions/${id}/stream?after=${turn}:0:-`, { headers: { 'X-API-Key': who.key } });
  await replay.body.getReader().read();
  await replay.body.cancel().catch(() => {});
  assert.deepEqual((await work()).map((x) => x.id), once.map((x) => x.id));
  assert.equal(once.filter((x) => x.event_type === 'llm_call').length, 1);
  assert.equal(script.requests.length, 1);
});

test('the events are paged by a cursor that nothing new shifts, filtered, and nobody else sees them', async () => {
  const who = await newTenant(db, { scopes: all });
  const other = await newTenant(db, { scopes: all });
  for (let i = 0; i < 25; i++)
    await db.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, created_at) VALUES ($1, $2, 'kgent', $3, now() - make_interval(secs => $4))`, [who.id, i % 5 ? 'llm_call' : 'embedding', i, Math.floor(i / 3)]);
  const path = (more = '') => `/v1/usage/events?limit=10&source=kgent${more}`;
  const first = await ok(who.key, path());
  assert.equal(first.items.length, 10);
  assert.equal(first.total, 25);
  const seen = [...first.items];
  await db.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source) VALUES ($1, 'llm_call', 'kgent')`, [who.id]);
  for (let next = first.next_cursor; next; ) {
    const page = await ok(who.key, path(`&cursor=${next}`));
    assert.equal(page.total, null);
    seen.push(...page.items);
    next = page.next_cursor;
  }
  assert.equal(seen.length, 25);
  assert.equal(new Set(seen.map((x) => x.id)).size, 25);
  const times = seen.map((x) => x.created_at);
  assert.deepEqual(times, [...times].sort().reverse());
  assert.equal((await ok(who.key, path('&type=embedding'))).total, 5);
  assert.equal((await ok(who.key, path(`&period=${month()}&offset=20`))).items.length, 6);
  assert.equal((await ok(who.key, path('&period=2020-01'))).total, 0);
  assert.equal((await ok(other.key, path())).total, 0);
  const foreign = await get(other.key, path(`&cursor=${first.next_cursor}`));
  const missing = await get(other.key, path(`&cursor=${randomUUID()}`));
  assert.deepEqual([foreign.status, foreign.body], [404, missing.body]);
  for (const bad of ['&cursor=x', '&type=nonsense', '&period=2020-13', '&period=day', '&session_id=1']) assert.equal((await get(who.key, path(bad))).status, 400, bad);
  assert.equal((await get(who.key, '/v1/usage?period=yesterday')).status, 400);
  assert.equal((await get(who.key, '/v1/usage?metric=smiles')).status, 400);
  const reader = await addKey(db, who.id, { scopes: ['read'] });
  const refused = await get(reader.key, '/v1/usage/events');
  assert.equal(refused.status, 403);
  assert.match(refused.text, /admin/);
});

test('8.4: half, most and all of the month\'s tokens are told once each', async () => {
  const who = await newTenant(db, { limits: { tokens_limit_month: 1000 } });
  const use = (tokens) => db.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, api_key_id) VALUES ($1, 'llm_call', 'kgent', $2, $3)`, [who.id, tokens, who.keyId]);
  const told = async () => (await db.query('SELECT percent FROM kg.usage_thresholds WHERE tenant_id = $1 AND told_at IS NOT NULL ORDER BY percent', [who.id])).rows.map((x) => x.percent);
  await use(499);
  await use(1);
  await until(async () => (await told()).length === 1, 'the first threshold');
  await use(600);
  await until(async () => (await told()).length === 3, 'the others');
  assert.deepEqual(await told(), [50, 80, 100]);
  const shown = await ok(who.key, '/v1/usage');
  assert.deepEqual(shown.thresholds.map((x) => [x.period, x.percent]), [[month(), 50], [month(), 80], [month(), 100]]);
  assert.equal(shown.usage_percentage, 100);
  assert.equal(shown.tokens_remaining, 0);
});

test('what an invocation cost is written before its answer is given: a kill -9 makes nothing free', async () => {
  const who = await newTenant(db);
  const observer = new Observer(server, who.key);
  const script = provider.script({ deltas: ['Hold ', 'on.'] });
  const said = await observer.v1('self.soul.dialogue', { message: `What holds a small team of sailors together? ${script.token}` });
  assert.ok(said.body.tokens_used > 0);
  await db.end();
  await server.kill();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  const billed = await rows(who.id, `event_type = 'agentese_invoke'`);
  assert.deepEqual(billed.map((x) => x.tokens_in + x.tokens_out), [said.body.tokens_used]);
});

test('requests are counted across a stop of the server, none twice', async () => {
  const who = await newTenant(db);
  const observer = new Observer(server, who.key);
  for (let i = 0; i < 5; i++) await observer.ok('void.entropy.sample');
  await db.end();
  await server.stop();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  assert.equal(total(await requests(who.id)), 5);
  assert.equal((await rows(who.id, `event_type = 'agentese_invoke'`)).length, 5);
});
