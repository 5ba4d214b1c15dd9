// The acts of administration and their log, as the roles of the database see them (migration 34).
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { denied, openDatabase, sqlstate, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const hash = (text) => createHash('sha256').update(text).digest('hex');
const all = ['read', 'write', 'admin', 'billing'];

/// A key made by the operator, and the `p_who` of an act with it.
async function actor(tenant, user, scopes = all) {
  const key = await value(db.admin, `INSERT INTO kg.api_keys (tenant_id, user_id, key_prefix, key_hash, name, scopes)
    VALUES ($1, $2, 'kg_abcde', $3, 'key', $4) RETURNING id`, [tenant.id, user, hash(randomUUID()), scopes]);
  return { key, who: JSON.stringify({ key, scopes, request_id: 'r-1', address: '127.0.0.1' }) };
}
const addUser = (tenant, role, more = '') => value(db.admin, `INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, $2, $3) RETURNING id${more}`, [tenant.id, `${randomUUID()}@x`, role]);
const act = (tenant, text, params) => db.as(tenant, (app) => value(app, `SELECT ${text}`, params));
const entries = async (tenant, where = 'true') => (await db.admin.query(`SELECT * FROM kg.audit_log WHERE tenant_id = $1 AND ${where} ORDER BY id`, [tenant.id])).rows;

test('audit: nobody changes or removes an entry, and only acts make one', async () => {
  const tenant = await db.tenant('audit-closed');
  assert.ok((await entries(tenant)).length > 0, 'provisioning is in it');
  const kgAdmin = await db.connect('kg_admin');
  for (const [who, client] of [['kg_app', db.app], ['kg_admin', kgAdmin], ['a superuser', db.admin], ['kg_control', db.control]])
    for (const text of [`UPDATE kg.audit_log SET outcome = 'x'`, 'DELETE FROM kg.audit_log', 'TRUNCATE kg.audit_log'])
      await assert.rejects(db.as(tenant, (c) => c.query(text), client), denied, `${who}: ${text}`);
  for (const client of [db.app, kgAdmin])
    await assert.rejects(db.as(tenant, (c) => c.query(`INSERT INTO kg.audit_log (tenant_id, actor_kind, action, object_type)
      VALUES ($1, 'platform', 'tenant.update', 'tenant')`, [tenant.id]), client), denied);
});

test('audit: a tenant sees its own entries alone', async () => {
  const seen = await db.as(db.a, async (app) => (await app.query('SELECT DISTINCT tenant_id FROM kg.audit_log')).rows);
  assert.deepEqual(seen, [{ tenant_id: db.a.id }]);
  assert.equal(await value(db.app, 'SELECT count(*) FROM kg.audit_log'), 0);
});

test('audit: what is changed beside the API is there too, once for each row, and use is no act', async () => {
  const tenant = await db.tenant('audit-beside');
  const { key } = await actor(tenant, tenant.owner);
  const from = (await entries(tenant)).at(-1).id;
  await db.admin.query(`UPDATE kg.tenants SET subscription_tier = 'free' WHERE id = $1`, [tenant.id]);
  await db.admin.query('UPDATE kg.tenants SET tokens_used_month = 7 WHERE id = $1', [tenant.id]);
  await db.admin.query('UPDATE kg.users SET last_login_at = now() WHERE id = $1', [tenant.owner]);
  await db.as(tenant, (app) => app.query('SELECT kg.update_api_key_usage($1, 3)', [key]));
  await db.as(tenant, (app) => app.query('UPDATE kg.api_keys SET is_active = false WHERE id = $1', [key]));
  const made = (await entries(tenant)).filter((x) => x.id > from);
  assert.deepEqual(made.map((x) => [x.action, x.actor_kind, x.actor_name, x.details]), [
    ['tenant.update', 'database', 'postgres', { subscription_tier: { from: 'pro', to: 'free' } }],
    ['api_key.update', 'database', 'kg_app', { is_active: { from: true, to: false } }],
  ]);
});

test('audit: roles set in SQL leave an entry whatever else the transaction did', async () => {
  const tenant = await db.tenant('audit-cover');
  const member = await addUser(tenant, 'member');
  const { who } = await actor(tenant, tenant.owner);
  await db.as(tenant, async (app) => {
    assert.equal(await value(app, 'SELECT kg.update_tenant($1, $2, NULL)', [who, 'Covered']), 'done');
    await app.query('SELECT kg.set_user_role($1, $2)', [member, 'admin']);
  });
  const made = await entries(tenant, `object_id = '${member}' AND action = 'user.update'`);
  assert.deepEqual(made.map((x) => [x.actor_kind, x.details]), [['database', { role: { from: 'member', to: 'admin' } }]]);
});

test('acts: the application cannot write rights around them', async () => {
  const tenant = await db.tenant('acts-around');
  const { key } = await actor(tenant, tenant.owner, ['read']);
  const dead = await value(db.admin, `INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name, is_active, revoked_at)
    VALUES ($1, 'kg_abcde', $2, 'x', false, now()) RETURNING id`, [tenant.id, hash('dead')]);
  const tries = [
    [`UPDATE kg.api_keys SET scopes = '{read,admin}' WHERE id = $1`, key],
    [`UPDATE kg.api_keys SET is_active = true WHERE id = $1`, dead],
    [`UPDATE kg.api_keys SET revoked_at = NULL WHERE id = $1`, dead],
    [`UPDATE kg.api_keys SET rate_limit_rpm = 100000 WHERE id = $1`, key],
    [`UPDATE kg.users SET is_active = false WHERE id = $1`, tenant.owner],
    [`UPDATE kg.users SET deleted_at = now() WHERE id = $1`, tenant.owner],
    [`INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name, scopes) VALUES ($1, 'kg_abcde', '${hash('n')}', 'x', '{admin}')`, tenant.id],
    [`INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name, tier_override) VALUES ($1, 'kg_abcde', '${hash('n')}', 'x', 'custom')`, tenant.id],
    [`INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, 'e@x', 'admin')`, tenant.id],
  ];
  for (const [text, id] of tries) await assert.rejects(db.as(tenant, (app) => app.query(text, [id])), denied, text);
  for (const text of ['kg.platform_delete_tenant($1, $2)', "kg.platform_update_tenant($1, $2, '{}')"])
    await assert.rejects(db.as(tenant, (app) => app.query(`SELECT ${text}`, ['{}', tenant.id])), denied, text);
});

test('acts: what the caller says of its scopes only narrows them', async () => {
  const tenant = await db.tenant('acts-scopes');
  const member = await addUser(tenant, 'member');
  const person = await actor(tenant, member);
  const invite = (who) => act(tenant, 'kg.create_user($1, $2, $3, $4, $5)', [who, randomUUID(), `${randomUUID()}@x`, 'n', 'member']);
  assert.equal(await invite(person.who), 'forbidden', 'the role has no admin');
  const reader = await actor(tenant, tenant.owner, ['read']);
  assert.equal(await invite(JSON.stringify({ key: reader.key, scopes: all })), 'forbidden', 'nor has the key');
  const owner = await actor(tenant, tenant.owner);
  assert.equal(await invite(JSON.stringify({ key: owner.key, scopes: ['read'] })), 'forbidden', 'nor the request');
  assert.equal(await invite(JSON.stringify({ key: (await actor(db.b, db.b.owner)).key, scopes: all })), 'unauthorized', "another tenant's");
  assert.equal(await invite(owner.who), 'done');
  await db.admin.query('UPDATE kg.users SET is_active = false WHERE id = $1', [tenant.owner]);
  assert.equal(await invite(owner.who), 'unauthorized');
});

test('acts: a number of members is not passed by two at once', async () => {
  const tenant = await db.tenant('acts-members'); // pro: 5
  const { who } = await actor(tenant, tenant.owner);
  const clients = await Promise.all(Array.from({ length: 8 }, () => db.connect('kg_app')));
  const words = await Promise.all(clients.map((client, i) => db.as(tenant, (app) =>
    value(app, 'SELECT kg.create_user($1, $2, $3, $4, $5)', [who, randomUUID(), `m${i}@x`, 'n', 'member']), client)));
  assert.equal(words.filter((x) => x === 'done').length, 4);
  assert.equal(words.filter((x) => x === 'max_members 5').length, 4);
  assert.equal(await value(db.admin, 'SELECT count(*) FROM kg.users WHERE tenant_id = $1', [tenant.id]), 5);
});

test('acts: two owners who remove each other at once leave one', async () => {
  for (const text of ['kg.delete_user($1, $2)', `kg.update_user($1, $2, '{"role": "member"}')`, `kg.update_user($1, $2, '{"is_active": false}')`]) {
    const tenant = await db.tenant(`acts-owners-${randomUUID()}`);
    const second = await addUser(tenant, 'owner');
    const [one, two] = [await actor(tenant, tenant.owner), await actor(tenant, second)];
    const other = await db.connect('kg_app');
    const words = await Promise.all([
      db.as(tenant, (app) => value(app, `SELECT ${text}`, [one.who, second])),
      db.as(tenant, (app) => value(app, `SELECT ${text}`, [two.who, tenant.owner]), other),
    ]);
    assert.equal(words.filter((x) => x === 'done').length, 1, `${text}: ${words}`);
    assert.equal(await value(db.admin, `SELECT count(*) FROM kg.users WHERE tenant_id = $1 AND role = 'owner' AND is_active AND deleted_at IS NULL`, [tenant.id]), 1);
  }
});

test('acts: a refused act leaves no entry, and an address that was removed can be invited again', async () => {
  const tenant = await db.tenant('acts-again');
  const { who } = await actor(tenant, tenant.owner);
  const invite = (id) => act(tenant, 'kg.create_user($1, $2, $3, $4, $5)', [who, id, 'Ann@x', 'Ann', 'member']);
  const [first, second] = [randomUUID(), randomUUID()];
  assert.equal(await invite(first), 'done');
  assert.equal(await invite(randomUUID()), 'duplicate');
  await db.admin.query(`UPDATE kg.users SET external_auth_provider = 'p', external_auth_id = $2 WHERE id = $1`, [first, first]);
  assert.equal(await act(tenant, 'kg.delete_user($1, $2)', [who, first]), 'done');
  assert.equal(await act(tenant, 'kg.delete_user($1, $2)', [who, first]), 'not_found');
  assert.equal(await act(tenant, 'kg.delete_user($1, $2)', [who, tenant.owner]), 'last_owner');
  assert.equal(await invite(second), 'done');
  assert.equal(await value(db.admin, 'SELECT external_auth_id FROM kg.users WHERE id = $1', [first]), null);
  const made = await entries(tenant, `actor_kind = 'user'`);
  assert.deepEqual(made.map((x) => [x.action, x.object_id]), [['user.create', first], ['user.delete', first], ['user.create', second]]);
  await assert.rejects(db.as(tenant, (app) => app.query(`INSERT INTO kg.users (tenant_id, email) VALUES ($1, 'ANN@X')`, [tenant.id])), sqlstate('23505'));
});

test('acts: of two rotations of one key one wins, and one key lives', async () => {
  const tenant = await db.tenant('acts-rotate');
  const { who } = await actor(tenant, tenant.owner);
  const { key } = await actor(tenant, tenant.owner, ['read', 'billing']);
  await db.as(tenant, (app) => app.query('SELECT * FROM kg.take_operations($1, 3, 0)', [key]));
  const clients = await Promise.all(Array.from({ length: 4 }, () => db.connect('kg_app')));
  const fresh = clients.map(() => randomUUID());
  const words = await Promise.all(clients.map((client, i) => db.as(tenant, (app) =>
    value(app, 'SELECT kg.rotate_api_key($1, $2, $3, $4, $5)', [who, key, fresh[i], 'kg_bcdef', hash(fresh[i])]), client)));
  assert.deepEqual([...words].sort(), ['done', 'revoked', 'revoked', 'revoked']);
  const made = fresh[words.indexOf('done')];
  const { rows } = await db.admin.query(`SELECT id, scopes, is_active FROM kg.api_keys WHERE id = $1 OR key_prefix = 'kg_bcdef' ORDER BY is_active`, [key]);
  assert.deepEqual(rows, [{ id: key, scopes: ['read', 'billing'], is_active: false }, { id: made, scopes: ['read', 'billing'], is_active: true }]);
  assert.equal(await db.as(tenant, (app) => value(app, 'SELECT kg.ops_today($1)', [made])), 3, 'the operations of the day go along');
  assert.equal((await entries(tenant, `action = 'api_key.rotate'`)).length, 1);
  assert.equal((await entries(tenant, `'${made}' IN (object_id::text) AND actor_kind = 'database'`)).length, 0);
});
