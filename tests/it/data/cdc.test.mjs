// The outbox as its worker sees it: claims, acknowledgements, dead letters, pages of a rebuild (acceptance test D17).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { count, denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());
beforeEach(() => db.admin.query('TRUNCATE kg.outbox, kg.outbox_dlq, kg.cdc_rebuilds; DELETE FROM kg.memories; TRUNCATE kg.outbox'));

const one = randomUUID();
const other = randomUUID();

async function remember(tenant, id, content) {
  await db.admin.query(
    `INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ($2, $1, 'a', $3)
     ON CONFLICT (tenant_id, id) DO UPDATE SET content = excluded.content`, [tenant.id, id, content]);
  return value(db.admin, 'SELECT max(id) FROM kg.outbox');
}

const claim = async (owner, { index = true, relay = false, limit = 100, bytes = 1e9, seconds = 30 } = {}, client = db.control) =>
  (await client.query('SELECT * FROM kg.cdc_claim($1, $2, $3, $4, $5, $6)', [owner, index, relay, limit, bytes, seconds])).rows;

const finish = async (owner, results, relay = false) =>
  (await db.control.query('SELECT * FROM kg.cdc_finish($1, $2, $3)', [owner, relay, JSON.stringify(results.map((x) =>
    ({ settled: false, published: false, counted: false, wait_ms: null, error: null, reason: null, ...x })))])).rows;

const ids = (changes) => changes.map((x) => x.id);
const change = async (id) => (await db.admin.query('SELECT * FROM kg.outbox WHERE id = $1', [id])).rows[0];

test('D17 what one worker has claimed the other does not get, until the claim expires', async () => {
  const first = await remember(db.a, 'm1', 'x');
  const second = await remember(db.a, 'm2', 'x');
  assert.deepEqual(ids(await claim(one)), [first, second]);
  assert.deepEqual(await claim(other), []);
  assert.deepEqual(ids(await claim(one)), [first, second], 'a worker that lost an answer goes on');
  await db.admin.query(`UPDATE kg.outbox SET claimed_until = now() - interval '1 second'`);
  assert.deepEqual(ids(await claim(other)), [first, second]);
  assert.deepEqual(await finish(one, [{ id: first, settled: true }]), [], 'it is another\'s by now');
  assert.equal((await change(first)).processed, false);
});

test('D17 claims at one moment share nothing', async () => {
  for (let i = 0; i < 40; ++i) await remember(db.a, `m${i}`, 'x');
  const second = await db.connect('kg_control');
  const [a, b] = await Promise.all([claim(one, { limit: 30 }), claim(other, { limit: 30 }, second)]);
  const all = [...ids(a), ...ids(b)];
  assert.equal(all.length, 40);
  assert.equal(new Set(all).size, 40);
});

test('D17 a later change of a row waits for an earlier one in another\'s hands', async () => {
  const first = await remember(db.a, 'm', 'old');
  assert.deepEqual(ids(await claim(one)), [first]);
  const second = await remember(db.a, 'm', 'new');
  const elsewhere = await remember(db.b, 'm', 'of another tenant');
  assert.deepEqual(ids(await claim(other)), [elsewhere]);
  await finish(one, [{ id: first, settled: true }]);
  assert.deepEqual(ids(await claim(other)), [second, elsewhere]);
});

test('D17 an older change that is tried again is known to be superseded', async () => {
  const first = await remember(db.a, 'm', 'old');
  await claim(one);
  await finish(one, [{ id: first, counted: true, wait_ms: 60000, error: 'broken' }]);
  assert.equal((await change(first)).attempts, 1);
  assert.equal((await change(first)).last_error, 'broken');
  const second = await remember(db.a, 'm', 'new');
  assert.deepEqual(ids(await claim(one)), [second], 'the first one backs off');
  await finish(one, [{ id: second, settled: true }]);
  await db.admin.query('UPDATE kg.outbox SET next_attempt_at = now() WHERE id = $1', [first]);
  assert.deepEqual((await claim(one)).map((x) => [x.id, x.superseded]), [[first, true]]);
  await remember(db.b, 'm', 'of another tenant');
  assert.deepEqual((await claim(one)).map((x) => x.superseded), [true, false]);
});

test('D17 a dead letter is written with the acknowledgement', async () => {
  const id = await remember(db.a, 'm', 'x');
  await claim(one);
  const done = await finish(one, [{ id, counted: true, error: 'e'.repeat(3000), reason: 'max_retries_exceeded' }]);
  assert.deepEqual(ids(done), [id]);
  assert.equal((await change(id)).processed, true);
  const { rows: [letter] } = await db.admin.query('SELECT * FROM kg.outbox_dlq');
  assert.deepEqual([letter.outbox_id, letter.tenant_id, letter.row_id, letter.retry_count, letter.error.length, letter.target],
    [id, db.a.id, 'm', 1, 2000, 'qdrant']);
  assert.equal(letter.payload.content, 'x');
  const { rows: [stats] } = await db.control.query('SELECT * FROM kg.cdc_stats()');
  assert.equal(stats.pending, 0);
  assert.equal(stats.dead, 1);
  assert.deepEqual([stats.by_reason, stats.by_table], [{ max_retries_exceeded: 1 }, { memories: 1 }]);
});

test('D17 a dead letter is tried again as the change it was, or as the row is now', async () => {
  const id = await remember(db.a, 'm', 'x');
  await claim(one);
  await finish(one, [{ id, counted: true, error: 'e', reason: 'embedding_failed' }]);
  assert.equal(await value(db.control, 'SELECT kg.cdc_retry_dead_letters(NULL, 10)'), 1);
  const [again] = await claim(one);
  assert.deepEqual([again.id, again.attempts, again.superseded], [id, 0, false]);
  await finish(one, [{ id, counted: true, error: 'e', reason: 'embedding_failed' }]);
  await db.admin.query(`UPDATE kg.memories SET content = 'newer'; TRUNCATE kg.outbox`);
  assert.equal(await value(db.control, 'SELECT kg.cdc_retry_dead_letters(NULL, 10)'), 1);
  assert.equal(await count(db.admin, 'kg.outbox_dlq'), 0);
  const [fresh] = await claim(one);
  assert.deepEqual([fresh.operation, JSON.parse(fresh.payload).content], ['UPDATE', 'newer']);
  assert.ok(!('words' in JSON.parse(fresh.payload)));
});

test('with a bus a change is processed once both have it', async () => {
  const id = await remember(db.a, 'm', 'x');
  await claim(one, { relay: true });
  assert.deepEqual(await finish(one, [{ id, settled: true }], true), []);
  assert.deepEqual(await claim(one), [], 'the index has it');
  assert.deepEqual(ids(await claim(one, { index: false, relay: true })), [id]);
  const [done] = await finish(one, [{ id, published: true }], true);
  assert.equal(done.id, id);
  assert.ok(done.lag_ms >= 0);
});

test('a claim is bounded in bytes and takes one change at least', async () => {
  for (let i = 0; i < 5; ++i) await remember(db.a, `m${i}`, 'x'.repeat(10000));
  assert.equal((await claim(one, { bytes: 1 })).length, 1);
  assert.equal((await claim(one, { bytes: 25000 })).length, 3);
});

test('what is kept no longer is deleted, and nothing else', async () => {
  const old = await remember(db.a, 'm1', 'x');
  const young = await remember(db.a, 'm2', 'x');
  const open = await remember(db.a, 'm3', 'x');
  await db.admin.query(`UPDATE kg.outbox SET processed = true, processed_at = now() - interval '8 days' WHERE id = $1`, [old]);
  await db.admin.query(`UPDATE kg.outbox SET processed = true, processed_at = now() - interval '6 days' WHERE id = $1`, [young]);
  await db.admin.query(`UPDATE kg.outbox SET created_at = now() - interval '90 days' WHERE id = $1`, [open]);
  await db.admin.query(`INSERT INTO kg.outbox_dlq (outbox_id, table_name, operation, row_id, payload, target, reason, failed_at)
    SELECT 1, 'memories', 'INSERT', 'm', '{}', 'qdrant', 'manual_nack', now() - d * interval '1 day' FROM unnest('{29,31}'::int[]) d`);
  assert.equal(await value(db.control, 'SELECT kg.cdc_expire(100)'), 2);
  assert.deepEqual((await db.admin.query('SELECT id FROM kg.outbox ORDER BY id')).rows.map((x) => x.id), [young, open]);
  assert.equal(await count(db.admin, 'kg.outbox_dlq'), 1);
});

test('a rebuild reads a table page by page, and begins anew when it is asked for again', async () => {
  for (const id of ['b', 'a', 'ä"\\', 'c']) await remember(db.a, id, `text of ${id}`);
  await remember(db.b, 'a', 'of another');
  await db.control.query('SELECT kg.cdc_rebuild($1)', [['memories']]);
  const state = async () => (await db.control.query('SELECT * FROM kg.cdc_rebuild_state()')).rows[0];
  const seen = [];
  for (let at = await state(); ; at = await state()) {
    const { rows } = await db.control.query('SELECT * FROM kg.cdc_rebuild_page($1, $2, $3, 2, 1000000)', ['memories', at.after_tenant, at.after_row]);
    if (rows.length === 0) break;
    assert.ok(rows.length <= 2);
    seen.push(...rows.map((row) => `${row.tenant_id} ${row.row_id} ${JSON.parse(row.payload).content}`));
    const last = rows.at(-1);
    await db.control.query('SELECT kg.cdc_rebuild_step($1, $2, $3, $4, $5, 0)', [at.run, 'upsert', last.tenant_id, last.row_id, rows.length]);
  }
  assert.deepEqual(seen.sort(), [...['a', 'b', 'c', 'ä"\\'].map((id) => `${db.a.id} ${id} text of ${id}`), `${db.b.id} a of another`].sort());
  const { run, upserted } = await state();
  assert.equal(upserted, 5);
  await db.control.query('SELECT kg.cdc_rebuild($1)', [['memories']]);
  await db.control.query('SELECT kg.cdc_rebuild_step($1, $2, NULL, NULL, 1, 1)', [run, 'done']);
  assert.deepEqual([(await state()).phase, (await state()).upserted, (await state()).after_row], ['upsert', 0, null]);
});

test('the other tables are read in pages too', async () => {
  for (const content of ['one', 'two', 'three'])
    await db.admin.query('INSERT INTO kg.persona_garden (tenant_id, content) VALUES ($1, $2)', [db.a.id, content]);
  const page = async (table, tenant, row) =>
    (await db.control.query('SELECT * FROM kg.cdc_rebuild_page($1, $2, $3, 2, 1000000)', [table, tenant, row])).rows;
  const first = await page('persona_garden', null, null);
  const second = await page('persona_garden', first[1].tenant_id, first[1].row_id);
  assert.deepEqual([...first, ...second].map((row) => JSON.parse(row.payload).content), ['one', 'two', 'three']);
  const message = await value(db.admin, `INSERT INTO kg.messages (tenant_id, session_id, role, content) VALUES ($1, $2, 'user', 'hello') RETURNING id`,
    [db.a.id, db.a.session]);
  assert.deepEqual((await page('messages', null, null)).map((row) => row.row_id), [message]);
  const gone = async (table, rows) =>
    (await db.control.query({ text: 'SELECT * FROM kg.cdc_rows_gone($1, $2, $3)', values: [table, rows.map(() => db.a.id), rows], rowMode: 'array' })).rows.flat();
  assert.deepEqual(await gone('messages', [randomUUID(), message, 'no id']), [1, 3]);
  assert.deepEqual(await gone('persona_garden', ['999999', first[0].row_id, 'no number']), [1, 3]);
  assert.deepEqual(await gone('memories', ['nothing']), [1]);
});

test('the application can use none of it', async () => {
  await assert.rejects(claim(one, {}, db.app), denied);
  await assert.rejects(db.app.query('SELECT kg.cdc_stats()'), denied);
  await assert.rejects(db.control.query(`SELECT kg.cdc_rows('memories', '{}', '{}')`), denied);
});
