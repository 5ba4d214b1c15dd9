// What a node asks every second about the keys in use, and what tells it to ask at once.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const key = (tenant, columns = {}) => {
  const all = { tenant_id: tenant.id, key_prefix: 'kg_abcde', key_hash: randomBytes(32).toString('hex'), name: 'a key', ...columns };
  const names = Object.keys(all);
  return value(db.admin, `INSERT INTO kg.api_keys (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)}) RETURNING id`, Object.values(all));
};
const person = (tenant, columns = {}) => {
  const all = { tenant_id: tenant.id, email: `${randomUUID()}@example.org`, ...columns };
  const names = Object.keys(all);
  return value(db.admin, `INSERT INTO kg.users (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)}) RETURNING id`, Object.values(all));
};
const unfit = async (...keys) => {
  const { rows } = await db.control.query('SELECT key_id, reason FROM kg.unfit_keys($1)', [keys]);
  return Object.fromEntries(rows.map((x) => [x.key_id, x.reason]));
};

test('each reason is told, the widest first, and nothing of a key that is well', async () => {
  const paused = await db.tenant('paused');
  const gone = await db.tenant('gone');
  const left = await person(db.a, { is_active: false });
  const well = await key(db.a, { user_id: db.a.owner, expires_at: new Date(Date.now() + 60_000) });
  const expected = {
    [await key(db.a, { is_active: false })]: 'key_revoked',
    [await key(db.a, { revoked_at: new Date() })]: 'key_revoked',
    [randomUUID()]: 'key_revoked',
    [await key(db.a, { expires_at: new Date(Date.now() - 1000) })]: 'key_expired',
    [await key(db.a, { user_id: left, revoked_at: new Date() })]: 'user_deactivated',
    [await key(paused)]: 'tenant_inactive',
    [await key(gone)]: 'tenant_inactive',
  };
  await db.admin.query("UPDATE kg.tenants SET subscription_status = 'paused' WHERE id = $1", [paused.id]);
  await db.admin.query('UPDATE kg.tenants SET deleted_at = now() WHERE id = $1', [gone.id]);
  assert.deepEqual(await unfit(well, ...Object.keys(expected)), expected);
  assert.deepEqual(await unfit(), {});
});

test('what grants or takes something is told for as long as a capability token lives, what only counts is not', async () => {
  const tenant = await db.tenant('changing');
  const user = await person(tenant, { role: 'member' });
  const id = await key(tenant, { user_id: user });
  const forgotten = async () => {
    for (const [table, row] of [['tenants', tenant.id], ['users', user], ['api_keys', id]])
      await db.admin.query(`UPDATE kg.${table} SET authority_changed_at = now() - interval '26 hours' WHERE id = $1`, [row]);
  };
  await db.admin.query('UPDATE kg.tenants SET tokens_used_month = tokens_used_month + 1 WHERE id = $1', [tenant.id]);
  await db.admin.query('UPDATE kg.users SET last_login_at = now() WHERE id = $1', [user]);
  await db.admin.query('SELECT kg.update_api_key_usage($1)', [id]);
  await db.admin.query("UPDATE kg.users SET role = 'member' WHERE id = $1", [user]);
  assert.deepEqual(await unfit(id), {});
  for (const change of [
    `UPDATE kg.users SET role = 'readonly' WHERE id = '${user}'`,
    `UPDATE kg.tenants SET subscription_tier = 'free' WHERE id = '${tenant.id}'`,
    `UPDATE kg.api_keys SET rate_limit_rpm = 7 WHERE id = '${id}'`,
    `UPDATE kg.api_keys SET scopes = '{}' WHERE id = '${id}'`,
  ]) {
    await db.admin.query(change);
    assert.deepEqual(await unfit(id), { [id]: 'changed' }, change);
    await forgotten();
    assert.deepEqual(await unfit(id), {});
  }
  await db.admin.query(`UPDATE kg.api_keys SET scopes = '{write,admin}' WHERE id = $1`, [id]);
  assert.deepEqual(await unfit(id), { [id]: 'unreadable' });
});

test('those who listen are told at the commit, once, and only the control role may ask', async () => {
  const listener = await db.connect('kg_control');
  const heard = [];
  listener.on('notification', (x) => heard.push(x.channel));
  await listener.query('LISTEN kg_access');
  const id = await key(db.b);
  await db.as(db.b, (client) => client.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [id]));
  await listener.query('SELECT 1');
  assert.deepEqual(heard, ['kg_access']);
  await db.admin.query('SELECT kg.update_api_key_usage($1)', [id]);
  await db.admin.query('DELETE FROM kg.api_keys WHERE id = $1', [id]);
  await listener.query('SELECT 1');
  assert.deepEqual(heard, ['kg_access', 'kg_access']);
  await assert.rejects(db.app.query('SELECT kg.unfit_keys($1)', [[id]]), denied);
});

test('ten thousand keys are looked at in one go', async (t) => {
  const tenant = await db.tenant('crowd');
  const user = await person(tenant);
  // Made beside what keeps books of single acts.
  await db.admin.query('SET session_replication_role = replica');
  const { rows } = await db.admin.query(
    `INSERT INTO kg.api_keys (tenant_id, user_id, key_prefix, key_hash, name)
     SELECT $1, $2, 'kg_abcde', encode(sha256(n::text::bytea), 'hex'), 'one of many' FROM generate_series(1, 10000) n RETURNING id`,
    [tenant.id, user],
  );
  await db.admin.query('SET session_replication_role = origin');
  await db.admin.query('ANALYZE kg.api_keys, kg.users, kg.tenants');
  const keys = rows.map((x) => x.id);
  const plan = await db.admin.query('EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM kg.unfit_keys($1)', [keys]);
  t.diagnostic(`${keys.length} keys: ${plan.rows[0]['QUERY PLAN'][0]['Execution Time']} ms`);
  assert.deepEqual(await unfit(...keys), {});
});
