// Turns: begun once, fenced by their epoch, ended once, with every durable chunk in its place.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { count, denied, openDatabase, sqlstate, value } from './database.mjs';

let db;
let session;
before(async () => { db = await openDatabase(); });
after(() => db.close());
beforeEach(async () => {
  session = await value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [db.a.id]);
});

async function begin(options = {}, client = db.app) {
  const o = { turn: randomUUID(), session, message: randomUUID(), answer: randomUUID(), content: 'hi', mode: null,
    budget: 'dialogue', onDisconnect: 'continue', apiKey: null, key: null, hash: null, usage: randomUUID(), tokens: 0,
    limit: 8, ifBusy: 'queue', need: 0, least: 0, history: 20, answering: 0, tenant: db.a, ...options };
  const { rows } = await db.as(o.tenant, (app) => app.query(
    'SELECT * FROM kg.begin_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)',
    [o.turn, o.session, o.message, o.answer, o.content, o.mode, o.budget, o.onDisconnect, o.apiKey, o.key, o.hash, o.usage,
      o.tokens, o.limit, o.ifBusy, o.need, o.least, o.history, o.answering]), client);
  assert.equal(rows.length, 1);
  return rows[0];
}

const claim = (turn, tenant = db.a) => db.as(tenant, (app) => value(app, 'SELECT kg.claim_turn($1)', [turn]));

async function end(turn, epoch, status, content, options = {}) {
  const o = { ends: null, tokensIn: 0, tokensOut: 0, finish: 'stop', errorType: null, error: null, model: 'embedded',
    latency: 5, usage: randomUUID(), tenant: db.a, ...options };
  const { rows } = await db.as(o.tenant, (app) => app.query(
    'SELECT * FROM kg.end_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)',
    [turn, epoch, status, content, o.ends, o.tokensIn, o.tokensOut, o.finish, o.errorType, o.error, o.model, o.latency, o.usage]));
  assert.equal(rows.length, 1);
  return rows[0];
}

/** Each chunk is [turn, epoch, index, text] with the shard and the epoch of its lease, by default those of a free one. */
async function append(chunks, client = db.control) {
  const column = (i) => chunks.map((c) => c[i] ?? 0);
  const { rows } = await client.query('SELECT * FROM kg.append_chunks($1, $2, $3, $4, $5, $6) AS turn',
    [column(0), column(1), column(2), column(3), column(4), column(5)]);
  return rows.map((row) => row.turn);
}

const row = async (text, params) => (await db.admin.query(text, params)).rows[0];
const texts = async (turn) =>
  (await db.admin.query('SELECT text FROM kg.turn_chunks WHERE turn_id = $1 ORDER BY index', [turn])).rows.map((r) => r.text);

test('turns: a message on an idle session starts one and writes all of it', async () => {
  const apiKey = randomUUID();
  const usage = randomUUID();
  const begun = await begin({ content: 'hello', mode: 'advise', apiKey, usage, tokens: 3 });
  assert.equal(begun.outcome, 'started');
  assert.equal(begun.status, 'running');
  assert.equal(begun.mode, 'advise');
  assert.equal(begun.epoch, 1);
  assert.deepEqual(await row('SELECT role, content, turn_id, tokens_in FROM kg.messages WHERE id = $1', [begun.message]),
    { role: 'user', content: 'hello', turn_id: begun.turn, tokens_in: 3 });
  assert.deepEqual(
    await row('SELECT message_count, tokens_used, context, last_message_at IS NOT NULL AS dated FROM kg.sessions WHERE id = $1', [session]),
    { message_count: 1, tokens_used: 0, context: { mode: 'advise' }, dated: true });
  assert.deepEqual(await row('SELECT event_type, source, tokens_in, api_key_id, endpoint, method FROM kg.usage_events WHERE id = $1', [usage]),
    { event_type: 'api_call', source: 'kgent', tokens_in: 0, api_key_id: apiKey, endpoint: '/v1/kgent/sessions/{id}/messages', method: 'POST' });
  assert.ok((await row('SELECT started_at FROM kg.turns WHERE id = $1', [begun.turn])).started_at);
});

test('turns: without a mode the sessions own is taken', async () => {
  assert.equal((await begin()).mode, 'reflect');
  await begin({ mode: 'challenge' });
  assert.equal((await begin()).mode, 'challenge');
});

test('turns: a session that is missing, deleted, closed or of another tenant takes none', async () => {
  assert.equal((await begin({ session: randomUUID() })).outcome, 'missing');
  assert.equal((await begin({ tenant: db.b })).outcome, 'missing');
  await db.admin.query(`UPDATE kg.sessions SET status = 'closed' WHERE id = $1`, [session]);
  assert.equal((await begin()).outcome, 'closed');
  await db.admin.query('UPDATE kg.sessions SET deleted_at = now() WHERE id = $1', [session]);
  assert.equal((await begin()).outcome, 'missing');
  assert.equal(await count(db.admin, 'kg.turns', 'session_id = $1', [session]), 0);
  assert.equal(await count(db.admin, 'kg.messages', 'session_id = $1', [session]), 0);
});

test('turns: a busy session queues, refuses when asked to and refuses when full', async () => {
  assert.equal((await begin()).outcome, 'started');
  assert.equal((await begin({ ifBusy: 'reject' })).outcome, 'busy');
  assert.equal((await begin({ limit: 2 })).outcome, 'queued');
  assert.equal((await begin({ limit: 2, ifBusy: 'interrupt' })).outcome, 'queued');
  assert.equal((await begin({ limit: 2 })).outcome, 'full');
  assert.equal(await count(db.admin, 'kg.messages', 'session_id = $1', [session]), 3);
  assert.equal((await row('SELECT message_count FROM kg.sessions WHERE id = $1', [session])).message_count, 3);
});

test('turns: two messages at once start one turn and queue the other', async () => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => db.connect('kg_app')));
  const outcomes = await Promise.all(clients.map(async (client) => (await begin({}, client)).outcome));
  assert.deepEqual(outcomes.sort(), ['queued', 'queued', 'queued', 'queued', 'queued', 'started']);
});

test('turns: a repeated key joins its turn, also after the session was closed', async () => {
  const first = await begin({ key: 'k', hash: 'h' });
  const again = await begin({ key: 'k', hash: 'h' });
  assert.equal(again.outcome, 'joined');
  assert.deepEqual([again.turn, again.message, again.answer, again.status], [first.turn, first.message, first.answer, 'running']);
  assert.equal((await begin({ key: 'k', hash: 'other' })).outcome, 'mismatch');
  await end(first.turn, 1, 'completed', 'done', { ends: [4] });
  await db.admin.query(`UPDATE kg.sessions SET status = 'closed' WHERE id = $1`, [session]);
  const late = await begin({ key: 'k', hash: 'h' });
  assert.deepEqual([late.outcome, late.status], ['joined', 'completed']);
  assert.equal(await count(db.admin, 'kg.turns', 'session_id = $1', [session]), 1);
});

test('turns: one that is sent again joins itself, whatever has come since', async () => {
  const turn = randomUUID();
  const first = await begin({ turn, key: 'again', hash: 'h', mode: 'advise' });
  const again = await begin({ turn, key: 'again', hash: 'h', message: randomUUID(), answer: randomUUID() });
  assert.deepEqual([again.outcome, again.turn, again.message, again.answer, again.mode, again.epoch, again.status],
    ['joined', turn, first.message, first.answer, 'advise', 1, 'running']);
  const other = await begin();
  assert.equal((await begin({ turn: other.turn, limit: 0, ifBusy: 'reject' })).outcome, 'joined');
  await claim(turn);
  await end(turn, 2, 'completed', 'done', { ends: [4] });
  await db.admin.query(`UPDATE kg.sessions SET status = 'closed' WHERE id = $1`, [session]);
  const late = await begin({ turn });
  assert.deepEqual([late.outcome, late.epoch, late.status], ['joined', 2, 'completed']);
  assert.equal(await count(db.admin, 'kg.turns', 'session_id = $1', [session]), 2);
  assert.equal(await count(db.admin, 'kg.usage_events', `session_id = $1 AND event_type = 'api_call'`, [session]), 2);
});

test('turns: in another session the same id is an error and shows nothing', async () => {
  const { turn } = await begin();
  const elsewhere = await value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [db.a.id]);
  await assert.rejects(begin({ turn, session: elsewhere }), sqlstate('23505'));
  await assert.rejects(begin({ turn, session: db.b.session, tenant: db.b }), sqlstate('23505'));
});

test('turns: sent twice at once it is begun once', async () => {
  const turn = randomUUID();
  const clients = await Promise.all(Array.from({ length: 6 }, () => db.connect('kg_app')));
  const outcomes = await Promise.all(clients.map(async (client) => (await begin({ turn }, client)).outcome));
  assert.deepEqual(outcomes.sort(), ['joined', 'joined', 'joined', 'joined', 'joined', 'started']);
});

test('turns: the same key at once makes one turn', async () => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => db.connect('kg_app')));
  const begun = await Promise.all(clients.map((client) => begin({ key: 'once', hash: 'h' }, client)));
  assert.equal(new Set(begun.map((b) => b.turn)).size, 1);
  assert.deepEqual(begun.map((b) => b.outcome).sort(), ['joined', 'joined', 'joined', 'joined', 'joined', 'started']);
});

test('turns: claiming raises the epoch until the turn has ended', async () => {
  const { turn } = await begin();
  assert.equal(await claim(turn), 2);
  assert.equal(await claim(turn), 3);
  assert.equal(await claim(turn, db.b), null);
  await end(turn, 3, 'failed', '');
  assert.equal(await claim(turn), null);
  assert.equal(await claim(randomUUID()), null);
});

test('turns: a completed one leaves its message with chunk ends and takes its chunks away', async () => {
  const { turn, answer } = await begin();
  assert.deepEqual(await append([[turn, 1, 0, 'Two '], [turn, 1, 1, 'thïngs']]), []);
  const usage = randomUUID();
  const ended = await end(turn, 1, 'completed', 'Two thïngs', { ends: [4, 11], tokensIn: 5, tokensOut: 3, usage });
  assert.equal(ended.outcome, 'ended');
  assert.equal(ended.tokens, 8);
  assert.deepEqual(
    await row('SELECT role, content, chunk_ends, tokens_in, tokens_out, model, latency_ms, turn_id, created_at FROM kg.messages WHERE id = $1', [answer]),
    { role: 'assistant', content: 'Two thïngs', chunk_ends: [4, 11], tokens_in: 5, tokens_out: 3, model: 'embedded', latency_ms: 5,
      turn_id: turn, created_at: ended.created_at });
  assert.deepEqual(await texts(turn), []);
  assert.deepEqual(await row('SELECT status, chunks, tokens_in, tokens_out, finish_reason FROM kg.turns WHERE id = $1', [turn]),
    { status: 'completed', chunks: 2, tokens_in: 5, tokens_out: 3, finish_reason: 'stop' });
  assert.deepEqual(await row('SELECT message_count, tokens_used FROM kg.sessions WHERE id = $1', [session]), { message_count: 2, tokens_used: 8 });
  assert.deepEqual(await row('SELECT event_type, source, tokens_in, tokens_out, session_id FROM kg.usage_events WHERE id = $1', [usage]),
    { event_type: 'llm_call', source: 'kgent', tokens_in: 5, tokens_out: 3, session_id: session });
});

test('turns: ending twice or under an old epoch changes nothing', async () => {
  const { turn } = await begin();
  assert.equal(await claim(turn), 2);
  assert.equal((await end(turn, 1, 'completed', 'old', { tokensOut: 9 })).outcome, 'fenced');
  assert.equal((await end(turn, 2, 'completed', 'new', { tokensOut: 1 })).outcome, 'ended');
  assert.equal((await end(turn, 2, 'failed', '')).outcome, 'fenced');
  assert.equal((await end(randomUUID(), 1, 'completed', 'x')).outcome, 'fenced');
  assert.deepEqual(await row('SELECT message_count, tokens_used FROM kg.sessions WHERE id = $1', [session]), { message_count: 2, tokens_used: 1 });
  assert.equal(await count(db.admin, 'kg.usage_events', `session_id = $1 AND event_type = 'llm_call'`, [session]), 1);
  await assert.rejects(end(turn, 2, 'running', ''), sqlstate('22023'));
});

test('turns: a canceled one keeps what was said, a failed one keeps its chunks and says nothing', async () => {
  const canceled = await begin();
  await append([[canceled.turn, 1, 0, 'part']]);
  await end(canceled.turn, 1, 'canceled', 'part', { ends: [4] });
  assert.equal((await row('SELECT content FROM kg.messages WHERE id = $1', [canceled.answer])).content, 'part');
  assert.deepEqual(await texts(canceled.turn), []);

  const silent = await begin();
  await end(silent.turn, 1, 'canceled', '');
  assert.equal(await count(db.admin, 'kg.messages', 'id = $1', [silent.answer]), 0);

  const failed = await begin();
  await append([[failed.turn, 1, 0, 'half'], [failed.turn, 1, 1, ' an answer']]);
  await end(failed.turn, 1, 'failed', 'half an answer', { ends: [4, 14], tokensOut: 2, errorType: 'provider_timeout', error: 'no chunk in 30 s' });
  assert.equal(await count(db.admin, 'kg.messages', 'id = $1', [failed.answer]), 0);
  assert.deepEqual(await texts(failed.turn), ['half', ' an answer']);
  assert.deepEqual(await row('SELECT status, chunks, error_type, error FROM kg.turns WHERE id = $1', [failed.turn]),
    { status: 'failed', chunks: 2, error_type: 'provider_timeout', error: 'no chunk in 30 s' });
  // Metered, though no message carries the tokens.
  assert.equal((await row('SELECT tokens_used FROM kg.sessions WHERE id = $1', [session])).tokens_used, 0);
  assert.equal(await value(db.admin, `SELECT sum(tokens_out) FROM kg.usage_events WHERE session_id = $1`, [session]), 2);
});

test('turns: a waiting one can be canceled before it ever ran', async () => {
  await begin();
  const waiting = await begin();
  assert.equal((await end(waiting.turn, 1, 'canceled', '')).outcome, 'ended');
  assert.equal(await claim(waiting.turn), null);
});

test('turns: chunks of many turns and tenants go in one call and only under the present epoch', async () => {
  const one = await begin();
  const other = await begin({ tenant: db.b, session: db.b.session });
  const waiting = await begin();
  const old = await begin({ session: await value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [db.a.id]) });
  await claim(old.turn);
  const unknown = randomUUID();
  const refused = await append([[one.turn, 1, 0, 'a'], [other.turn, 1, 0, 'b'], [waiting.turn, 1, 0, 'c'], [old.turn, 1, 0, 'd'],
    [old.turn, 1, 1, 'e'], [unknown, 1, 0, 'f'], [one.turn, 1, 1, 'g']]);
  assert.deepEqual(refused.sort(), [waiting.turn, old.turn, unknown].sort());
  assert.deepEqual(await texts(one.turn), ['a', 'g']);
  assert.deepEqual(await texts(old.turn), []);
  assert.equal(await value(db.admin, 'SELECT tenant_id FROM kg.turn_chunks WHERE turn_id = $1', [other.turn]), db.b.id);
  assert.deepEqual(await append([[old.turn, 2, 0, 'D']]), []);
  assert.deepEqual(await append([[one.turn, 1, 1, 'changed'], [one.turn, 1, 2, 'h']]), []);
  assert.deepEqual(await texts(one.turn), ['a', 'g', 'h']); // a repeated batch doubles and changes nothing
  assert.deepEqual(await append([]), []);
});

test('turns: chunks are refused under an old lease, and only those', async () => {
  const [shard, other] = [17, 18];
  await db.admin.query('UPDATE kg.shard_leases SET epoch = 5 WHERE shard = ANY ($1)', [[shard, other]]);
  const elsewhere = await value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [db.b.id]);
  const one = await begin();
  const two = await begin({ tenant: db.b, session: elsewhere });
  assert.deepEqual(await append([[one.turn, 1, 0, 'a', shard, 5], [one.turn, 1, 1, 'b', shard, 5], [two.turn, 1, 0, 'c', other, 5]]), []);
  await db.admin.query('UPDATE kg.shard_leases SET epoch = 6 WHERE shard = $1', [shard]);
  assert.deepEqual(await append([[one.turn, 1, 2, 'old', shard, 5], [two.turn, 1, 1, 'd', other, 5]]), [one.turn]);
  assert.deepEqual(await append([[one.turn, 1, 2, 'next', shard, 7]]), [one.turn]);
  assert.deepEqual(await append([[one.turn, 1, 2, 'nowhere', 1024, 0]]), [one.turn]);
  // Of two leases in one batch the present one counts.
  assert.deepEqual(await append([[one.turn, 1, 2, 'old', shard, 5], [one.turn, 1, 3, 'new', shard, 6]]), [one.turn]);
  // A present lease does not make up for an old epoch of the turn.
  assert.equal(await claim(one.turn), 2);
  assert.deepEqual(await append([[one.turn, 1, 4, 'zombie', shard, 6], [one.turn, 2, 4, 'heir', shard, 6]]), [one.turn]);
  assert.deepEqual(await texts(one.turn), ['a', 'b', 'new', 'heir']);
  assert.deepEqual(await texts(two.turn), ['c', 'd']);
});

test('turns: an append under way holds back a claim, and one that comes later is refused', async () => {
  const { turn } = await begin();
  const writer = await db.connect('kg_control');
  await writer.query('BEGIN');
  assert.deepEqual(await append([[turn, 1, 0, 'before']], writer), []);
  const claimed = claim(turn);
  assert.equal(await waits('claim_turn'), true);
  await writer.query('COMMIT');
  assert.equal(await claimed, 2);
  // What the new owner reads is all there will ever be of the old one.
  assert.deepEqual(await texts(turn), ['before']);
  assert.deepEqual(await append([[turn, 1, 1, 'after']], writer), [turn]);
  assert.deepEqual(await texts(turn), ['before']);
});

test('turns: an append that waited for a claim sees the new epoch', async () => {
  const { turn } = await begin();
  const owner = await db.connect('kg_app');
  await owner.query('BEGIN');
  await owner.query('SELECT kg.set_tenant_context($1)', [db.a.id]);
  assert.equal(await value(owner, 'SELECT kg.claim_turn($1)', [turn]), 2);
  const appended = append([[turn, 1, 0, 'late']]);
  assert.equal(await waits('append_chunks'), true);
  await owner.query('COMMIT');
  assert.deepEqual(await appended, [turn]);
  assert.deepEqual(await texts(turn), []);
});

/** Whether a statement that mentions `name` comes to wait for a lock, asked until it does or five seconds are over. */
async function waits(name) {
  const until = Date.now() + 5000;
  while (Date.now() < until)
    if (await count(db.admin, 'pg_stat_activity', `wait_event_type = 'Lock' AND query LIKE $1`, [`%kg.${name}%`])) return true;
  return false;
}

test('turns: chunks go with a deleted session', async () => {
  const { turn } = await begin();
  await append([[turn, 1, 0, 'x']]);
  await db.as(db.a, (app) => app.query('DELETE FROM kg.sessions WHERE id = $1', [session]));
  assert.equal(await count(db.admin, 'kg.turns', 'id = $1', [turn]), 0);
  assert.deepEqual(await texts(turn), []);
});

test('turns: the control role learns of unfinished ones and reads no text', async () => {
  await begin();
  await begin();
  const { rows } = await db.control.query('SELECT * FROM kg.unfinished_turns() WHERE session_id = $1', [session]);
  assert.deepEqual(rows, [{ tenant_id: db.a.id, session_id: session }]);
  for (const table of ['turns', 'turn_chunks', 'messages', 'sessions', 'api_keys', 'users'])
    await assert.rejects(db.control.query(`SELECT * FROM kg.${table}`), denied, table);
  await assert.rejects(db.app.query('SELECT * FROM kg.unfinished_turns()'), denied);
  await assert.rejects(append([], db.app), denied);
});
