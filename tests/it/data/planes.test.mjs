// Which database has a tenant's data: what each of them refuses, what a silo knows of its tenant, and its usage on the way
// to the shared database.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { openDatabase } from './database.mjs';

let shared;
let silo;
before(async () => {
  shared = await openDatabase();
  silo = await openDatabase();
  await silo.admin.query('DELETE FROM kg.usage_events');
  await silo.admin.query('DELETE FROM kg.sessions');
  await silo.admin.query('DELETE FROM kg.tenants');
  await silo.admin.query('INSERT INTO kg.silo (tenant) VALUES ($1)', [shared.a.id]);
});
after(async () => {
  await shared?.close();
  await silo?.close();
});

const code = (expected) => (error) => {
  assert.equal(error.code, expected, error.message);
  return true;
};

const move = (tenant, state) =>
  shared.admin.query(
    'INSERT INTO kg.tenant_moves (tenant_id, state) VALUES ($1, $2) ON CONFLICT (tenant_id) DO UPDATE SET state = excluded.state',
    [tenant.id, state]);
const stays = (tenant) => shared.admin.query('DELETE FROM kg.tenant_moves WHERE tenant_id = $1', [tenant.id]);

async function inControl(tenant, work) {
  await shared.app.query('BEGIN');
  try {
    await shared.app.query('SELECT kg.set_control_context($1)', [tenant.id]);
    return await work(shared.app);
  } finally {
    await shared.app.query('ROLLBACK');
  }
}

const principals = async (user = null, key = null) =>
  inControl(shared.a, async (client) =>
    (await client.query('SELECT kg.principals($1, $2) AS x', [user, key])).rows[0].x);

test('planes: while it is copied a tenant can be read and not written, and others notice nothing', async () => {
  await move(shared.a, 'copying');
  const count = (client) => client.query('SELECT count(*) AS n FROM kg.sessions');
  assert.equal((await shared.as(shared.a, count)).rows[0].n, 1);
  await assert.rejects(
    shared.as(shared.a, (client) => client.query(`UPDATE kg.sessions SET title = 'x'`)), code('25006'));
  await assert.rejects(
    shared.as(shared.a, async (client) => {
      await client.query(`SET LOCAL transaction_read_only = off`);
    }), code('25001'));
  await shared.as(shared.b, (client) => client.query(`UPDATE kg.sessions SET title = 'x'`));
  // Who the tenant is can be changed all the same.
  await inControl(shared.a, (client) => client.query(`UPDATE kg.tenants SET name = 'while it moves'`));
  await stays(shared.a);
  await shared.as(shared.a, (client) => client.query(`UPDATE kg.sessions SET title = 'x'`));
});

test('planes: a tenant that has moved is refused where it was, and any other in a silo', async () => {
  await move(shared.a, 'gone');
  await assert.rejects(shared.as(shared.a, () => {}), code('KG003'));
  await shared.as(shared.b, () => {});
  await assert.rejects(silo.as(shared.b, () => {}), code('KG003'));
  await silo.as(shared.a, () => {});
  await stays(shared.a);
});

test('planes: the group commits of chunks and of events refuse a tenant that moves', async () => {
  const turn = randomUUID();
  const epoch = (await shared.admin.query('UPDATE kg.shard_leases SET epoch = 7 WHERE shard = 3 RETURNING epoch')).rows[0].epoch;
  await shared.admin.query(
    `INSERT INTO kg.messages (id, session_id, tenant_id, role, content) VALUES ($1, $2, $3, 'user', 'x')`,
    [turn, shared.a.session, shared.a.id]);
  await shared.admin.query(
    `INSERT INTO kg.turns (id, tenant_id, session_id, message_id, answer_id, status, mode, on_disconnect)
     VALUES ($1, $2, $3, $1, $1, 'running', 'reflect', 'continue')`, [turn, shared.a.id, shared.a.session]);
  const append = (index, lease = epoch) =>
    shared.control.query('SELECT * FROM kg.append_chunks($1, $2, $3, $4, $5, $6)',
      [[turn], [1], [index], ['x'], [3], [lease]]);
  assert.equal((await append(0)).rowCount, 0);
  assert.equal((await append(1, epoch - 1)).rowCount, 1, 'an older lease is refused');
  await move(shared.a, 'copying');
  await assert.rejects(append(1), code('KG003'));
  const nothing = Array(22).fill("'{}'").join(', ');
  await assert.rejects(
    shared.control.query(`SELECT kg.log_agentese_events($1, ${nothing})`, [[shared.a.id]]), code('KG003'));
  await stays(shared.a);
  assert.equal((await append(1)).rowCount, 0);
});

test('planes: a silo knows its tenant, its users and its keys without addresses and hashes', async () => {
  const all = await principals();
  await assert.rejects(
    silo.as(shared.a, (client) => client.query('SELECT kg.mirror_principals($1)', [{ tenant: { id: shared.b.id } }])),
    code('42501'), 'not another tenant');
  await assert.rejects(
    shared.as(shared.a, (client) => client.query('SELECT kg.mirror_principals($1)', [all])), code('42501'),
    'not in the shared database');
  assert.equal(all.all, true);
  const mirror = (what) => silo.as(shared.a, (client) => client.query('SELECT kg.mirror_principals($1)', [what]));
  await mirror(all);
  const outbox = async () => (await silo.admin.query('SELECT count(*) AS n FROM kg.outbox')).rows[0].n;
  const before = await outbox();
  await mirror(all);
  assert.equal(await outbox(), before, 'nothing new changes nothing');
  const users = (await silo.admin.query('SELECT id, email, role FROM kg.users')).rows;
  assert.deepEqual(users.map((x) => x.email), users.map((x) => x.id));
  const [tenant] = (await silo.admin.query('SELECT * FROM kg.tenants')).rows;
  assert.equal(tenant.id, shared.a.id);
  const active = async () => (await silo.admin.query('SELECT FROM kg.users WHERE is_active')).rowCount;
  await mirror({ ...all, users: [] });
  assert.equal(await active(), 1, 'a user may be newer than what is told');
  await silo.admin.query(`UPDATE kg.users SET created_at = created_at - interval '1 hour'`);
  await mirror({ ...all, users: [] });
  assert.equal(await active(), 0);
  await mirror(all);
  await silo.as(shared.a, (client) =>
    client.query('INSERT INTO kg.sessions (id, tenant_id, user_id, title) VALUES ($1, $2, $3, $4)',
      [randomUUID(), shared.a.id, shared.a.owner, 'here']));
});

test('planes: in a silo a later lease shuts out the earlier ones', async () => {
  const check = (epoch) =>
    silo.as(shared.a, (client) => client.query('SELECT kg.check_lease($1, $2)', [9, epoch]));
  await check(5);
  await check(5);
  await check(6);
  await assert.rejects(check(5), code('KG001'));
  const there = (epoch) =>
    shared.as(shared.a, (client) => client.query('SELECT kg.check_lease($1, $2)', [9, epoch]));
  await assert.rejects(there(5), code('KG001'), 'nobody announces a lease in the shared database');
});

test('planes: usage of a silo is counted once in each database', async () => {
  const insert = (id, tokens) => silo.as(shared.a, (client) => client.query(
    `INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in, tokens_out) VALUES ($1, $2, 'llm_call', 'kgent', $3, 1)`,
    [id, shared.a.id, tokens]));
  const used = async (db) =>
    (await db.admin.query('SELECT tokens_used_month AS n FROM kg.tenants WHERE id = $1', [shared.a.id])).rows[0].n;
  const [before, there] = [await used(shared), await used(silo)];
  await insert(randomUUID(), 10);
  await insert(randomUUID(), 20);
  await shared.admin.query(`UPDATE kg.tenants SET data_plane = 'silo', silo_dsn_ref = 'x' WHERE id = $1`, [shared.a.id]);
  const [{ x: events }] = (await silo.control.query('SELECT kg.unrelayed_usage(100) AS x')).rows;
  assert.equal(events.length, 2);
  const take = async () =>
    (await shared.control.query('SELECT kg.take_relayed_usage($1, $2) AS n', [shared.a.id, JSON.stringify(events)])).rows[0].n;
  assert.equal(await take(), 2);
  assert.equal(await take(), 0);
  await silo.control.query('SELECT kg.usage_relayed($1)', [events.map((x) => x.id)]);
  assert.equal((await silo.control.query('SELECT kg.unrelayed_usage(100) AS x')).rows[0].x, null);
  assert.equal(await used(shared), before + 32);
  assert.equal(await used(silo), there + 32);
  assert.equal((await shared.control.query('SELECT kg.unrelayed_usage(100) AS x')).rows[0].x, null, 'only a silo relays');
  const row = (await shared.control.query('SELECT tenant, state, database, dsn_ref FROM kg.silo_directory()')).rows;
  assert.deepEqual(row, [
    { tenant: shared.a.id, state: 'silo', database: `kg_t_${shared.a.id.replaceAll('-', '')}`, dsn_ref: 'x' }]);
});
