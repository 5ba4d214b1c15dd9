// Monthly budgets of tokens: held back before the work, used after it, and never more than there are.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { count, openDatabase, value } from './database.mjs';

let db;
let tenant;
let tenants = 0;
before(async () => { db = await openDatabase(); });
after(() => db.close());
beforeEach(async () => {
  tenant = await db.tenant(`tenant-${++tenants}`);
  await limit(1000);
});

const limit = (tokens) => db.admin.query('UPDATE kg.tenants SET tokens_limit_month = $2 WHERE id = $1', [tenant.id, tokens]);
const used = () => value(db.admin, 'SELECT tokens_used_month FROM kg.tenants WHERE id = $1', [tenant.id]);
const newSession = () => value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [tenant.id]);
const room = (key = null) => db.as(tenant, async (app) =>
  (await app.query('SELECT allowed, used, held, a_request FROM kg.token_room($1)', [key])).rows[0]);

async function newKey(limits = {}) {
  const id = randomUUID();
  await db.admin.query(
    `INSERT INTO kg.api_keys (id, tenant_id, key_prefix, key_hash, name, tokens_limit_month, tokens_limit_request)
     VALUES ($1, $2, 'kg_abcde', $3, 'k', $4, $5)`,
    [id, tenant.id, id.replaceAll('-', '').padEnd(64, '0'), limits.month ?? null, limits.request ?? null]);
  return id;
}

async function begin({ session, key = null, need = 100, least = need, history = 20, answering = 0, id = randomUUID() } = {}, client = db.app) {
  const { rows } = await db.as(tenant, async (app) => app.query(
    `SELECT * FROM kg.begin_turn($1, $2, $3, $4, 'hello there', NULL, 'dialogue', 'continue', $5, NULL, NULL, $6, 0, 8, 'queue', $7, $8, $9, $10)`,
    [id, session, randomUUID(), randomUUID(), key, randomUUID(), need, least, history, answering]), client);
  return rows[0];
}

async function end(turn, tokens, status = 'completed', client = db.app) {
  const { rows } = await db.as(tenant, (app) => app.query(
    `SELECT outcome FROM kg.end_turn($1, 1, $2, 'said', '{4}', $3, 0, 'stop', NULL, NULL, 'm', 1, $4)`,
    [turn, status, tokens, randomUUID()]), client);
  assert.equal(rows[0].outcome, 'ended');
}

test('budget: a turn holds back what it may use and gives back the rest at its end, whatever that is', async () => {
  for (const status of ['completed', 'failed', 'canceled']) {
    const before = (await room()).used;
    const turn = await begin({ session: await newSession(), need: 300 });
    assert.equal(turn.outcome, 'started');
    assert.equal(turn.most_tokens, 300);
    assert.deepEqual(await room(), { allowed: 1000, used: before, held: 300, a_request: null });
    await end(turn.turn, 40, status);
    assert.deepEqual(await room(), { allowed: 1000, used: before + 40, held: 0, a_request: null });
  }
});

test('budget: used, held and least together may reach the limit and not pass it', async () => {
  await begin({ session: await newSession(), need: 400 });
  const fits = await begin({ session: await newSession(), need: 5000, least: 600 });
  assert.deepEqual([fits.outcome, fits.most_tokens], ['started', 600], 'it gets what is left');
  await end(fits.turn, 10);
  const over = await begin({ session: await newSession(), need: 591 });
  assert.deepEqual([over.outcome, over.allowed, over.used, over.held, over.turn], ['exhausted', 1000, 10, 400, null]);
  assert.equal((await begin({ session: await newSession(), need: 590 })).outcome, 'started');
  assert.equal((await begin({ session: await newSession(), need: 0 })).outcome, 'started', 'what costs nothing still fits');
});

test('budget: a refused message leaves nothing', async () => {
  const session = await newSession();
  assert.equal((await begin({ session, need: 1001 })).outcome, 'exhausted');
  for (const table of ['kg.messages', 'kg.turns', 'kg.usage_events'])
    assert.equal(await count(db.admin, table, 'session_id = $1', [session]), 0, table);
});

test('budget: the conversation so far is part of what a turn needs', async () => {
  const session = await newSession();
  for (let i = 0; i < 3; ++i)
    await db.admin.query(`INSERT INTO kg.messages (session_id, tenant_id, role, content) VALUES ($1, $2, 'user', repeat('x', 200))`, [session, tenant.id]);
  assert.equal((await begin({ session, need: 100, history: 2 })).most_tokens, 300);
});

test('budget: waiting turns hold theirs too', async () => {
  const session = await newSession();
  await begin({ session, need: 300, history: 0 });
  assert.equal((await begin({ session, need: 300, history: 0 })).outcome, 'queued');
  assert.equal((await room()).held, 600);
});

test('budget: a repeated message holds nothing more', async () => {
  const session = await newSession();
  const { turn } = await begin({ session, need: 600 });
  const again = await begin({ session, need: 600, id: turn });
  assert.equal(again.outcome, 'joined');
  assert.equal((await room()).held, 600);
});

test('budget: a deleted session holds nothing', async () => {
  const session = await newSession();
  await begin({ session, need: 600 });
  await db.admin.query('DELETE FROM kg.sessions WHERE id = $1', [session]);
  assert.equal((await room()).held, 0);
});

test('budget: without a limit nothing is held and nobody waits', async () => {
  await limit(0);
  const turn = await begin({ session: await newSession(), need: 1e9 });
  assert.deepEqual([turn.outcome, turn.most_tokens], ['started', null]);
  assert.equal(await count(db.admin, 'kg.turns', 'tenant_id = $1 AND reserved', [tenant.id]), 0);
  const other = await db.connect('kg_app');
  await db.as(tenant, async (app) => {
    await app.query('SELECT * FROM kg.token_room(NULL)');
    await db.as(tenant, async (second) => {
      await second.query(`SET LOCAL lock_timeout = '2s'`);
      await second.query('SELECT * FROM kg.token_room(NULL)');
    }, other);
  });
});

test('budget: a key with a limit of its own has its own budget, 0 is none', async () => {
  const [small, none] = [await newKey({ month: 200 }), await newKey({ month: 0 })];
  const first = await begin({ session: await newSession(), key: small, need: 150 });
  assert.equal((await begin({ session: await newSession(), key: small, need: 51 })).outcome, 'exhausted');
  await end(first.turn, 120);
  assert.deepEqual(await room(small), { allowed: 200, used: 120, held: 0, a_request: null });
  assert.equal((await begin({ session: await newSession(), key: small, need: 80 })).outcome, 'started');
  assert.deepEqual(await room(), { allowed: 1000, used: 120, held: 80, a_request: null }, 'it is of the tenant\'s too');
  const free = await begin({ session: await newSession(), key: none, need: 1e6 });
  assert.deepEqual([free.outcome, free.most_tokens], ['started', null]);
});

test('budget: a key\'s limit of one request holds with and without a limit of the month', async () => {
  const key = await newKey({ request: 250 });
  const capped = await begin({ session: await newSession(), key, need: 400, least: 200 });
  assert.deepEqual([capped.outcome, capped.most_tokens], ['started', 250]);
  const large = await begin({ session: await newSession(), key, need: 400, least: 251 });
  assert.deepEqual([large.outcome, large.allowed], ['oversized', 250]);
  await limit(0);
  const free = await begin({ session: await newSession(), key, need: 400, least: 200 });
  assert.deepEqual([free.outcome, free.most_tokens], ['started', 250]);
  assert.equal((await room()).held, null);
});

test('budget: so many sessions of a tenant answer at once, and a waiting message takes no place', async () => {
  const [a, b] = [await newSession(), await newSession()];
  await begin({ session: a, answering: 2 });
  const second = await begin({ session: b, answering: 2 });
  assert.equal((await begin({ session: await newSession(), answering: 2 })).outcome, 'crowded');
  assert.equal((await begin({ session: a, answering: 2 })).outcome, 'queued');
  await end(second.turn, 1);
  assert.equal((await begin({ session: await newSession(), answering: 2 })).outcome, 'started');
});

test('budget: a new month begins with what is still held', async () => {
  await db.admin.query(`UPDATE kg.tenants SET tokens_used_month = 999, usage_period = '2020-01' WHERE id = $1`, [tenant.id]);
  assert.deepEqual(await room(), { allowed: 1000, used: 0, held: 0, a_request: null });
  const turn = await begin({ session: await newSession(), need: 700 });
  // Begun in the old month, it ends in the new one: there its tokens are counted, and there they were held.
  await db.admin.query(`UPDATE kg.turns SET created_at = '2020-01-31T23:59:59Z', started_at = '2020-01-31T23:59:59Z' WHERE id = $1`, [turn.turn]);
  assert.equal((await begin({ session: await newSession(), need: 301 })).outcome, 'exhausted');
  await end(turn.turn, 30);
  assert.deepEqual(await room(), { allowed: 1000, used: 30, held: 0, a_request: null });
});

const reserve = (id, tokens, least = tokens, key = null, seconds = 60, client = db.app) => db.as(tenant, async (app) =>
  (await app.query('SELECT granted, used, held FROM kg.reserve_tokens($1, $2, $3, $4, $5)', [id, key, tokens, least, seconds])).rows[0], client);

test('budget: a reservation is held until it is settled or has expired', async () => {
  const id = randomUUID();
  assert.equal((await reserve(id, 5000, 800)).granted, 1000);
  assert.equal((await reserve(id, 5000, 800)).granted, 1000, 'repeated');
  assert.deepEqual(await reserve(randomUUID(), 10), { granted: 0, used: 0, held: 1000 });
  assert.equal((await begin({ session: await newSession(), need: 1 })).outcome, 'exhausted');
  await db.admin.query(`UPDATE kg.token_reservations SET expires_at = now() - interval '2 minutes' WHERE id = $1`, [id]);
  assert.equal((await room()).held, 0);
  const second = randomUUID();
  assert.equal((await reserve(second, 400)).granted, 400);
  assert.equal(await count(db.admin, 'kg.token_reservations', 'tenant_id = $1', [tenant.id]), 1, 'the lost one is gone');
  // Its usage has its id: written, it is used and held no more, in one step.
  await db.as(tenant, (app) => app.query(
    `INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in) VALUES ($1, $2, 'llm_call', 'kgent', 30)`, [second, tenant.id]));
  assert.deepEqual(await room(), { allowed: 1000, used: 30, held: 0, a_request: null });
  const key = await newKey({ request: 50 });
  assert.equal((await reserve(randomUUID(), 60, 51, key)).granted, 0);
  assert.equal((await reserve(randomUUID(), 60, 50, key)).granted, 50);
  await limit(0);
  assert.equal((await reserve(randomUUID(), 60)).granted, null);
});

test('budget: a thousand turns that begin at once on many connections never overspend', async () => {
  await limit(10_000);
  const clients = await Promise.all(Array.from({ length: 16 }, () => db.connect('kg_app')));
  const sessions = await Promise.all(Array.from({ length: 1000 }, newSession));
  const begun = [];
  let running = true;
  const watcher = await db.connect('kg_app');
  const watch = (async () => {
    let seen = 0;
    for (; running; ++seen) {
      const now = (await db.as(tenant, (app) => app.query('SELECT used + held AS sum FROM kg.token_room(NULL)'), watcher)).rows[0];
      assert.ok(now.sum <= 10_000, `${now.sum} used and held`);
    }
    return seen;
  })();
  await Promise.all(clients.map(async (client, i) => {
    for (let at = i; at < sessions.length; at += clients.length) {
      const x = await begin({ session: sessions[at], need: 100 }, client);
      if (x.outcome === 'started') begun.push(x.turn);
      else assert.equal(x.outcome, 'exhausted');
    }
  }));
  assert.equal(begun.length, 100);
  // They end with less than they held, while others begin again.
  const more = [];
  await Promise.all(clients.map(async (client, i) => {
    for (let at = i; at < 400; at += clients.length) {
      if (at < begun.length) await end(begun[at], 90, at % 3 === 0 ? 'failed' : 'completed', client);
      const x = await begin({ session: await newSession(), need: 100 }, client);
      if (x.outcome === 'started') more.push(x.turn);
    }
  }));
  for (const turn of more) await end(turn, 100);
  running = false;
  assert.ok(await watch > 0);
  assert.deepEqual([more.length, await used()], [10, 10_000]);
});
