// Who a credential belongs to and what it may use (acceptance test D12), and the functions of billing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const hash = (key) => createHash('sha256').update(key).digest('hex');
const resolve = async (key) => (await db.app.query('SELECT * FROM kg.resolve_api_key($1)', [hash(key)])).rows;

async function key(tenant, literal, columns = {}) {
  const all = { tenant_id: tenant.id, key_prefix: 'kg_abcde', key_hash: hash(literal), name: literal, ...columns };
  const names = Object.keys(all);
  return value(db.admin, `INSERT INTO kg.api_keys (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)}) RETURNING id`, Object.values(all));
}

test('D12 an active key resolves to its tenant and limits without any context', async () => {
  const id = await key(db.a, 'active', { user_id: db.a.owner });
  const [found, ...more] = await resolve('active');
  assert.deepEqual(more, []);
  assert.equal(found.key_id, id);
  assert.equal(found.tenant_id, db.a.id);
  assert.equal(found.user_id, db.a.owner);
  assert.equal(found.user_ref, db.a.owner);
  assert.deepEqual(found.scopes, ['read', 'write']);
  assert.equal(found.tier, 'pro');
  assert.equal(found.status, 'active');
  // The tier's traffic numbers; the tenant's own month of tokens.
  assert.deepEqual([found.rpm, found.burst, found.rph, found.ops_per_day], [1000, 200, 50000, 1000]);
  assert.deepEqual([found.tokens_limit_month, found.tokens_used_month, found.tokens_limit_request], [100000, 0, null]);
  assert.equal(found.data_plane, 'pool');
});

test('D12 revoked, expired, unknown and orphaned keys resolve to nothing', async () => {
  await key(db.a, 'inactive', { is_active: false });
  await key(db.a, 'revoked', { revoked_at: new Date() });
  await key(db.a, 'expired', { expires_at: new Date(Date.now() - 1000) });
  const gone = await db.tenant('tenant-gone');
  await key(gone, 'orphaned');
  await key(db.a, 'later', { expires_at: new Date(Date.now() + 60000) });
  assert.equal((await resolve('orphaned')).length, 1);
  await db.admin.query('UPDATE kg.tenants SET deleted_at = now() WHERE id = $1', [gone.id]);
  for (const literal of ['inactive', 'revoked', 'expired', 'unknown', 'orphaned'])
    assert.deepEqual(await resolve(literal), [], literal);
  assert.equal((await resolve('later')).length, 1);
});

test('D12 a key of a paused tenant is found, so that the refusal can say why', async () => {
  const tenant = await db.tenant('tenant-paused');
  await key(tenant, 'paused');
  await db.admin.query(`UPDATE kg.tenants SET subscription_status = 'paused' WHERE id = $1`, [tenant.id]);
  assert.equal((await resolve('paused'))[0].status, 'paused');
});

test('D12 limits: the keys override, then the tenants, then the tiers', async () => {
  const tenant = await db.tenant('tenant-limits', 'enterprise');
  await key(tenant, 'plain');
  await key(tenant, 'special', { tier_override: 'free', rate_limit_rpm: 7, requests_per_day: 8, tokens_limit_month: 0, tokens_limit_request: 9 });
  const limits = async (literal) => {
    const [k] = await resolve(literal);
    return [k.tier, k.rpm, k.burst, k.rph, k.ops_per_day, k.tokens_limit_month, k.tokens_limit_request];
  };
  assert.deepEqual(await limits('plain'), ['enterprise', 6000, 1200, 0, 10000, 1000000, null]);
  assert.deepEqual(await limits('special'), ['free', 7, 10, 1000, 8, 0, 9]);
  await db.admin.query('UPDATE kg.tenants SET rate_limit_rpm = 50, rate_burst = 60, rate_limit_rph = 70, requests_per_day = 80 WHERE id = $1', [tenant.id]);
  assert.deepEqual(await limits('plain'), ['enterprise', 6000, 60, 70, 80, 1000000, null]);
  await db.admin.query('UPDATE kg.tenants SET rate_limit_custom = true WHERE id = $1', [tenant.id]);
  assert.deepEqual((await limits('plain')).slice(0, 2), ['enterprise', 50]);
  await db.admin.query(`UPDATE kg.tenants SET subscription_tier = 'custom', rate_limit_custom = false, rate_limit_rpm = 10000,
    rate_burst = NULL, rate_limit_rph = NULL, requests_per_day = NULL, tokens_limit_month = 0 WHERE id = $1`, [tenant.id]);
  assert.deepEqual(await limits('plain'), ['custom', 10000, 2000, 0, 0, 0, null]);
});

test('D12 the month of tokens used starts again at zero', async () => {
  const tenant = await db.tenant('tenant-month');
  await key(tenant, 'month');
  await db.admin.query('UPDATE kg.tenants SET tokens_used_month = 42 WHERE id = $1', [tenant.id]);
  assert.equal((await resolve('month'))[0].tokens_used_month, 42);
  await db.admin.query(`UPDATE kg.tenants SET usage_period = '2020-01' WHERE id = $1`, [tenant.id]);
  assert.equal((await resolve('month'))[0].tokens_used_month, 0);
});

test('D12 the development keys carry their names, tiers and scopes', async () => {
  const found = [];
  for (const name of ['alice', 'bob', 'carol']) {
    const [k] = await resolve(`kg_dev_${name}`);
    found.push([k.user_ref, k.key_prefix, k.tier, k.scopes.join(), k.ops_per_day, k.tokens_limit_month]);
  }
  assert.deepEqual(found, [
    ['user_alice', 'kg_alice', 'free', 'read', 100, 10000],
    ['user_bob', 'kg_bob00', 'pro', 'read,write', 1000, 100000],
    ['user_carol', 'kg_carol', 'enterprise', 'read,write,admin,billing', 10000, 0]]);
});

test('D12 the subject of a token resolves to an active user of a live tenant', async () => {
  const resolveUser = async () => (await db.app.query(`SELECT * FROM kg.resolve_user('auth0', 'sub|1')`)).rows;
  assert.deepEqual(await resolveUser(), []);
  await db.admin.query(`UPDATE kg.users SET external_auth_provider = 'auth0', external_auth_id = 'sub|1' WHERE id = $1`, [db.b.owner]);
  const [user] = await resolveUser();
  assert.deepEqual([user.user_id, user.tenant_id, user.role, user.rpm], [db.b.owner, db.b.id, 'owner', 1000]);
  await db.admin.query('UPDATE kg.users SET is_active = false WHERE id = $1', [db.b.owner]);
  assert.deepEqual(await resolveUser(), []);
});

test('D12 use of a key is stamped within its own tenant only', async () => {
  const id = await key(db.a, 'used');
  await db.as(db.b, (app) => app.query('SELECT kg.update_api_key_usage($1, 5)', [id]));
  assert.equal(await value(db.admin, 'SELECT use_count FROM kg.api_keys WHERE id = $1', [id]), 0);
  await db.as(db.a, (app) => app.query('SELECT kg.update_api_key_usage($1, 5)', [id]));
  assert.equal(await value(db.admin, 'SELECT use_count FROM kg.api_keys WHERE id = $1 AND last_used_at IS NOT NULL', [id]), 5);
});

test('billing: an older event never undoes a newer one', async () => {
  const billing = await db.connect('kg_billing');
  const tenant = await db.tenant('tenant-billing', 'free');
  const apply = (tier, status, at) => value(billing, 'SELECT kg.apply_subscription($1, $2, $3, $4, NULL, $5)', [tenant.id, tier, status, 'sub_1', at]);
  const row = async () => (await db.admin.query({
    text: 'SELECT subscription_tier, subscription_status, tokens_limit_month, rate_limit_rpm FROM kg.tenants WHERE id = $1',
    values: [tenant.id], rowMode: 'array' })).rows[0];
  assert.equal(await apply('team', 'active', '2024-01-02T00:00:00Z'), true);
  assert.deepEqual(await row(), ['team', 'active', 2000000, 600]);
  assert.equal(await apply('free', 'canceled', '2024-01-01T00:00:00Z'), false);
  assert.deepEqual(await row(), ['team', 'active', 2000000, 600]);
  assert.equal(await apply(null, 'past_due', '2024-01-03T00:00:00Z'), true);
  assert.deepEqual(await row(), ['team', 'past_due', 2000000, 600]);
  assert.equal(await value(billing, `SELECT kg.link_stripe_customer($1, 'cus_1', NULL)`, [tenant.id]), true);
  assert.equal(await value(billing, `SELECT kg.tenant_for_stripe_customer('cus_1')`), tenant.id);
  assert.equal(await value(billing, `SELECT kg.tenant_for_stripe_customer('cus_2')`), null);
  await assert.rejects(db.app.query(`SELECT kg.tenant_for_stripe_customer('cus_1')`), denied);
  await assert.rejects(db.as(db.a, (app) => app.query(`SELECT kg.apply_subscription($1, 'enterprise', 'active', 'x', NULL, now())`, [db.a.id])), denied);
});
