// Who signs in with a token: kg.resolve_sign_in (migration 33).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const issuer = 'https://id.example.org';
const resolve = async (subject, { tenant = db.a, email = null, name = null, role = 'member', provision = true, as = db.control } = {}) =>
  (await as.query('SELECT * FROM kg.resolve_sign_in($1, $2, $3, $4, $5, $6, $7)',
    [issuer, subject, tenant?.id ?? null, email, name, role, provision])).rows;

test('the application can neither vouch for anybody nor be its own provider', async () => {
  await assert.rejects(resolve('eve', { as: db.app }), denied);
  await assert.rejects(db.app.query('SELECT kg.admit_person($1, $2, $3, $4, $5, $6, $7)', [issuer, 'eve', db.a.id, null, null, 'admin', true]), denied);
  await assert.rejects(resolve('eve', { role: 'owner' }), { code: '42501' });
});

test('a person has the limits of the tenant and the scopes of the role', async () => {
  const [ada, ...more] = await resolve('ada', { email: 'ada@example.org', name: 'Ada' });
  assert.deepEqual(more, []);
  assert.equal(ada.tenant_id, db.a.id);
  assert.equal(ada.user_ref, ada.user_id);
  assert.equal(ada.key_prefix, 'kg_token');
  assert.deepEqual(ada.scopes, ['read', 'write']);
  assert.deepEqual([ada.rpm, ada.burst, ada.rph, ada.ops_per_day, ada.tokens_limit_month], [1000, 200, 50000, 1000, 100000]);
  for (const [role, scopes] of [['readonly', ['read']], ['admin', ['read', 'write', 'admin', 'billing']], ['owner', ['read', 'write', 'admin', 'billing']]]) {
    await db.admin.query('UPDATE kg.users SET role = $1 WHERE id = $2', [role, ada.user_id]);
    assert.deepEqual((await resolve('ada'))[0].scopes, scopes, role);
  }
  assert.equal((await resolve('ada', { tenant: null }))[0].key_id, ada.key_id, 'the same key each time');
  assert.deepEqual(await resolve('ada', { tenant: db.b }), [], 'in no other tenant');
});

test('two connections that see a person at once make one user with one key', async () => {
  const more = await Promise.all([...Array(6)].map(() => db.connect('kg_control')));
  const found = (await Promise.all(more.map((as) => resolve('crowd', { as })))).flat();
  assert.equal(found.length, 6);
  assert.equal(new Set(found.map((x) => `${x.user_id} ${x.key_id}`)).size, 1);
});

test('a revoked sign-in stays revoked; the next one is another key', async () => {
  const [first] = await resolve('back');
  await db.admin.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [first.key_id]);
  const [second] = await resolve('back');
  assert.equal(second.user_id, first.user_id);
  assert.notEqual(second.key_id, first.key_id);
});

test('nobody is made where that is off, in no tenant, or in one that is not active', async () => {
  assert.deepEqual(await resolve('new', { provision: false }), []);
  assert.deepEqual(await resolve('new', { tenant: null }), []);
  const paused = await db.tenant('sign-in-paused');
  await db.admin.query(`UPDATE kg.tenants SET subscription_status = 'paused' WHERE id = $1`, [paused.id]);
  assert.deepEqual(await resolve('new', { tenant: paused }), []);
  assert.equal(await value(db.admin, `SELECT count(*) FROM kg.users WHERE external_auth_id = 'new'`), 0);
});

test('when somebody was last here is stamped and no event', async () => {
  const [ada] = await resolve('ada');
  const events = () => value(db.admin, `SELECT count(*) FROM kg.outbox WHERE row_id = $1`, [ada.user_id]);
  const before = await events();
  await db.admin.query(`UPDATE kg.users SET last_login_at = now() - interval '1 hour' WHERE id = $1`, [ada.user_id]);
  await resolve('ada');
  assert.equal(await value(db.admin, `SELECT last_login_at > now() - interval '1 minute' FROM kg.users WHERE id = $1`, [ada.user_id]), true);
  assert.equal(await events(), before);
});

test('what a person who signed in has deferred runs with what the role still allows', async () => {
  const [me] = await resolve('later', { tenant: db.b });
  const defer = () => db.as(db.b, (app) => value(app,
    'SELECT id FROM kg.defer_agentese_action($1, $2, false, $3, $4, $5, $6, $7, $8, $9, 0, NULL, 10)',
    ['world.house.manifest', '{}', 'developer', 'me', '{}', me.user_ref, me.key_id, 'pro', ['read', 'write']]));
  const claim = (id) => db.as(db.b, async (app) =>
    (await app.query('SELECT caller_scopes, denied FROM kg.claim_agentese_action($1, 7, 1)', [id])).rows[0]);
  assert.deepEqual(await claim(await defer()), { caller_scopes: ['read', 'write'], denied: null });
  await db.admin.query(`UPDATE kg.users SET role = 'readonly' WHERE id = $1`, [me.user_id]);
  assert.deepEqual((await claim(await defer())).caller_scopes, ['read']);
  await db.admin.query('UPDATE kg.users SET is_active = false WHERE id = $1', [me.user_id]);
  assert.notEqual((await claim(await defer())).denied, null);
});
