// Monthly budgets of tokens under concurrency (events-and-billing.md 8.2 L3): what a turn may cost is held back before the
// model is asked, and settled when it ends, however it ends.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startProvider } from '../support/providers.mjs';
import { startServe } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
let db;
let provider;
let server;

before(async () => {
  provider = await startProvider();
  database = await startMigratedPostgres();
  db = await database.connect();
  // The model keeps silent for as long as a test likes.
  server = await startServe(database, { env: { ...provider.openai(), KGENTS_LLM_FIRST_CHUNK_TIMEOUT: 240, KGENTS_LLM_CHUNK_TIMEOUT: 240 } });
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await database?.dispose();
  await provider?.close();
});

const one = async (text, params) => Object.values((await db.query(text, params)).rows[0])[0];
const number = async (text, params) => Number(await one(text, params));
const limit = (tenant, tokens) => db.query('UPDATE kg.tenants SET tokens_limit_month = $2 WHERE id = $1', [tenant.id, tokens]);
const used = (tenant) => number('SELECT tokens_used_month FROM kg.tenants WHERE id = $1', [tenant.id]);
const counted = (tenant) => number('SELECT coalesce(sum(tokens_in + tokens_out), 0) FROM kg.usage_events WHERE tenant_id = $1', [tenant.id]);
const held = (tenant) =>
  number(
    `SELECT (SELECT coalesce(sum(most_tokens), 0) FROM kg.turns WHERE tenant_id = $1 AND reserved AND status IN ('queued', 'running'))
       + (SELECT coalesce(sum(tokens), 0) FROM kg.token_reservations WHERE tenant_id = $1 AND expires_at > now())`,
    [tenant.id],
  );
const sessions = async (tenant, count) =>
  (await db.query('INSERT INTO kg.sessions (tenant_id) SELECT $1 FROM generate_series(1, $2) RETURNING id', [tenant.id, count])).rows.map((x) => x.id);
/// Asked again when a busy database gave it up; by its key it is begun once.
async function say(tenant, session, message) {
  const headers = { 'Idempotency-Key': randomUUID() };
  for (;;) {
    const x = await call(server, 'POST', `/v1/kgent/sessions/${session}/messages`, { key: tenant.key, headers, body: { message, stream: false } });
    if (x.status !== 503 && x.status !== 504) return x;
  }
}

test('1,000 parallel turns against a budget for 100 start 100 and end within it', async () => {
  const tenant = await newTenant(db, { limits: { tokens_limit_month: 1_000_000 } });
  const script = provider.script({ deltas: ['Hold ', 'on ', 'to ', 'the ', 'doubts.'], gated: true });
  const message = `What holds a small team of sailors together? ${script.token}`;
  const [first, ...rest] = await sessions(tenant, 1001);
  const alone = say(tenant, first, message);
  await script.arrived();
  const most = await held(tenant);
  assert.ok(most > 4000, `a turn may cost ${most}`);
  // Whatever of its prompt is not counted by the provider yet, the longest answer fits into what is held.
  assert.ok(script.requests[0].body.max_tokens <= most);
  await limit(tenant, 101 * most); // 100 beside the one that holds its place until all have asked
  const statuses = {};
  const answers = Promise.all(rest.map(async (session) => {
    const x = await say(tenant, session, message);
    statuses[x.status] = (statuses[x.status] ?? 0) + 1;
    return x;
  }));
  await until(() => statuses[429] === 900 || Object.keys(statuses).some((x) => x !== '429'), 'the refusals', 240_000);
  assert.deepEqual(statuses, { 429: 900 });
  await until(() => script.requests.length === 101, '101 questions to the model');
  assert.equal(await held(tenant), 101 * most);
  script.release();
  const all = [await alone, ...(await answers)];
  const done = all.filter((x) => x.status === 200);
  const refused = all.filter((x) => x.status === 429);
  assert.deepEqual([done.length, refused.length], [101, 900]);
  for (const x of refused) {
    assert.match(x.body.detail, /^Monthly token quota exceeded\. \d+ tokens per month allowed, \d+ used\.$/);
    assert.equal(x.body.code, 'quota_exceeded');
    assert.match(x.headers['retry-after'], /^[1-9]\d*$/);
  }
  assert.equal(script.requests.length, 101, 'no model was asked for the others');
  const tokens = done.reduce((sum, x) => sum + x.body.tokens_used, 0);
  assert.equal(await used(tenant), tokens);
  assert.equal(await counted(tenant), tokens);
  assert.ok(tokens <= 101 * most);
  assert.equal(await held(tenant), 0);
});

test('parallel turns never spend more than the month holds, whatever they give back', async () => {
  const tenant = await newTenant(db, { limits: { tokens_limit_month: 20_000 } });
  const script = provider.script({ deltas: Array.from({ length: 200 }, (_, i) => `word${i} `) });
  const message = `What holds a small team of sailors together? ${script.token}`;
  const waiting = await sessions(tenant, 300);
  let tokens = 0;
  let refusals = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let session = waiting.pop(); session !== undefined; session = waiting.pop()) {
        const x = await say(tenant, session, message);
        if (x.status === 200) tokens += x.body.tokens_used;
        else refusals += x.status === 429 ? 1 : 1000;
        assert.ok((await used(tenant)) <= 20_000);
      }
    }),
  );
  assert.equal(await used(tenant), tokens);
  assert.ok(tokens <= 20_000 && tokens > 5_000, `${tokens} of 20000`);
  assert.ok(refusals > 0 && refusals < 1000, `${refusals} refused`);
  assert.equal(await held(tenant), 0);
});

test('a key that may use so many tokens at once gets a shorter answer, and is told when that is impossible', async () => {
  const tenant = await newTenant(db, { limits: { tokens_limit_month: 0 } });
  const small = await addKey(db, tenant.id, { tokens_limit_request: 700 });
  const script = provider.script({ deltas: ['Yes.'] });
  const [session, other] = await sessions(tenant, 2);
  const short = await say({ key: small.key }, session, `What holds a small team of sailors together? ${script.token}`);
  assert.equal(short.status, 200, short.text);
  assert.ok(script.requests[0].body.max_tokens < 700);
  const long = await say({ key: small.key }, other, `${'What holds a small team of sailors together? '.repeat(60)}${script.token}`);
  assert.equal(long.status, 413, long.text);
  assert.match(long.body.detail, /allows 700 tokens per request/);
  const soul = await call(server, 'POST', '/v1/soul/dialogue', { key: small.key, body: { prompt: `What holds them? ${script.token} `.repeat(80), budget: 'dialogue' } });
  assert.equal(soul.status, 413, soul.text);
});

test('so many sessions of a tenant answer at once, and the message of one that answers takes no place', async () => {
  const tenant = await newTenant(db, { tier: 'pro', limits: { tokens_limit_month: 10_000_000 } });
  const script = provider.script({ deltas: ['Hold ', 'on.'], gated: true });
  const message = `What holds a small team of sailors together? ${script.token}`;
  const all = await sessions(tenant, 65);
  const answers = all.slice(0, 64).map((session) => say(tenant, session, message));
  await until(() => script.requests.length === 64, '64 questions to the model', 60_000);
  const over = await say(tenant, all[64], message);
  assert.deepEqual([over.status, over.body.code], [429, 'concurrency']);
  const waits = say(tenant, all[0], message);
  await until(async () => (await number(`SELECT count(*) FROM kg.turns WHERE tenant_id = $1 AND status = 'queued'`, [tenant.id])) === 1, 'the message to wait');
  script.release();
  for (const x of await Promise.all([...answers, waits])) assert.equal(x.status, 200, x.text);
  assert.equal((await say(tenant, all[64], message)).status, 200);
});

test('questions to the soul and to paths are held to the same budget', async () => {
  const tenant = await newTenant(db, { limits: { tokens_limit_month: 1_000_000 } });
  const script = provider.script({ deltas: ['Hold ', 'on.'], gated: true });
  const prompt = `What holds a small team of sailors together? ${script.token}`;
  const ask = () => call(server, 'POST', '/v1/soul/dialogue', { key: tenant.key, body: { prompt, budget: 'dialogue' } });
  const first = ask();
  await script.arrived();
  const most = await held(tenant);
  assert.ok(most > 500, `a dialogue may cost ${most}`);
  await limit(tenant, 5 * most);
  let refused = 0;
  const others = Array.from({ length: 40 }, async () => {
    const x = await ask();
    refused += x.status === 429 ? 1 : 0;
    return x;
  });
  await until(() => refused === 36 && script.requests.length === 5, 'all but five to be refused');
  assert.equal(await held(tenant), 5 * most);
  script.release();
  const statuses = (await Promise.all([first, ...others])).map((x) => x.status).sort();
  assert.deepEqual(statuses, [...Array(5).fill(200), ...Array(36).fill(429)]);
  assert.equal(await held(tenant), 0);
  assert.equal(await used(tenant), await counted(tenant));

  const path = await newTenant(db, { limits: { tokens_limit_month: 3 * most } });
  const gated = provider.script({ deltas: ['Hold ', 'on.'], gated: true });
  const invoke = () =>
    call(server, 'POST', '/v1/agentese/invoke', { key: path.key, body: { path: 'self.soul.dialogue', observer: { archetype: 'developer' }, kwargs: { message: `What holds a small team of sailors together? ${gated.token}` } } });
  const invoked = Array.from({ length: 20 }, invoke);
  await until(async () => gated.requests.length >= 2 && (await held(path)) > 3 * most - 500, 'what fits to be asked');
  assert.ok((await held(path)) <= 3 * most);
  gated.release();
  const seen = (await Promise.all(invoked)).map((x) => x.status);
  assert.ok(seen.includes(200) && seen.includes(429), seen.join());
  await until(async () => (await held(path)) === 0, 'what was used to be counted', 60_000);
  assert.ok((await used(path)) <= 3 * most);
});

test('kill -9 in mid-answer leaves nothing held back', async () => {
  const tenant = await newTenant(db, { limits: { tokens_limit_month: 50_000 } });
  const script = provider.script({ deltas: ['Hold ', 'on ', 'to ', 'the ', 'doubts.'], gated: true });
  const message = `What holds a small team of sailors together? ${script.token}`;
  const three = await sessions(tenant, 3);
  const answers = three.map((session) => say(tenant, session, message).catch(() => null));
  const asked = call(server, 'POST', '/v1/soul/dialogue', { key: tenant.key, body: { prompt: message, budget: 'dialogue' } }).catch(() => null);
  await until(() => script.requests.length === 4, 'four questions to the model');
  const most = await held(tenant);
  await server.kill();
  await Promise.all([...answers, asked]);
  assert.equal(await held(tenant), most, 'unfinished turns keep what they hold');
  script.release();
  server = await server.restart();
  await until(async () => (await number(`SELECT count(*) FROM kg.turns WHERE tenant_id = $1 AND status = 'completed'`, [tenant.id])) === 3, 'the turns to be taken up and ended', 60_000);
  // What the soul's question held is nobody's now: it expires, at the latest when a model would have had to answer.
  const left = await held(tenant);
  assert.ok(left > 0 && left < most);
  const seconds = await number('SELECT max(extract(epoch FROM expires_at - now())) FROM kg.token_reservations WHERE tenant_id = $1', [tenant.id]);
  assert.ok(seconds <= 330);
  await db.query(`UPDATE kg.token_reservations SET expires_at = now() - interval '2 minutes' WHERE tenant_id = $1`, [tenant.id]);
  assert.equal(await held(tenant), 0);
  assert.equal(await used(tenant), await counted(tenant));
  assert.equal(await counted(tenant), await number('SELECT sum(tokens_in + tokens_out) FROM kg.turns WHERE tenant_id = $1', [tenant.id]));
});
