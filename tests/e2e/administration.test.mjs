// Tenants, people and keys over the API, and the log of what was done to them (http-api.md section 10, data.md 5 to 8).
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { auditOf, makeKey, makePerson, makeTenant, operatorOf, platformKey } from '../support/administration.mjs';
import { call, caller } from '../support/http.mjs';
import { startIdentityProvider } from '../support/identity.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
let operator;
let provider;
before(async () => {
  provider = await startIdentityProvider();
  server = await startDev({ env: provider.env({ KGENTS_PLATFORM_KEY: platformKey }) });
  db = await openDatabase(server.stateDir);
  operator = operatorOf(server);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.stop();
});

const status = async (answer, wanted, detail) => {
  const got = await answer;
  assert.equal(got.status, wanted, got.text);
  if (detail instanceof RegExp) assert.match(got.body.detail, detail);
  else if (detail !== undefined) assert.equal(got.body.detail, detail);
  return got.body;
};
const actions = (entries) => entries.map((x) => x.action);

// --- tenants

test('the operator makes a tenant with an owner and a key that works at once', async () => {
  const slug = `acme-${randomUUID()}`;
  const made = await makeTenant(server, { slug, tier: 'pro', email: 'owner@acme.test' });
  assert.equal(made.answer.headers['cache-control'], 'no-store');
  assert.match(made.owner.key, /^kg_[a-z0-9]{5}_[A-Za-z0-9_-]{43}$/);
  assert.deepEqual([made.record.subscription_tier, made.record.tokens_limit_month, made.record.rate_limit_rpm, made.record.members], ['pro', 100000, 600, 1]);
  const own = await status(made.owner.get('/v1/tenant'), 200);
  assert.equal(own.slug, slug);
  assert.equal(own.tokens_remaining, 100000);
  assert.equal(own.usage_percentage, 0);
  const { items } = await status(made.owner.get('/v1/users'), 200);
  assert.deepEqual(items.map((x) => [x.id, x.email, x.role]), [[made.ownerId, 'owner@acme.test', 'owner']]);
  const { rows } = await db.query('SELECT key_hash, scopes FROM kg.api_keys WHERE id = $1', [made.keyId]);
  assert.deepEqual(rows, [{ key_hash: createHash('sha256').update(made.owner.key).digest('hex'), scopes: ['read', 'write', 'admin', 'billing'] }]);
  await status(operator.post('/v1/tenants', { name: 'x', slug, owner_email: 'a@b' }), 409, `Tenant with slug '${slug}' already exists`);
  const entries = await auditOf(server, made.owner);
  assert.deepEqual(entries.map((x) => [x.action, x.actor.kind, x.object.id]), [['tenant.create', 'platform', made.id]]);
  assert.deepEqual(new Set(entries[0].also), new Set([made.ownerId, made.keyId]));
});

test('what is no slug, tier, status, name or address is refused with what would be right', async () => {
  const good = { name: 'n', slug: `s-${randomUUID()}`, owner_email: 'a@b' };
  for (const slug of ['', 'A', '-a', 'a-', 'a_b', 'ä', 'a'.repeat(64)]) await status(operator.post('/v1/tenants', { ...good, slug }), 400, /slug/);
  for (const owner_email of ['', 'a', '@b', 'a@', 'a@b@c', 'a b@c', `${'a'.repeat(320)}@b`]) await status(operator.post('/v1/tenants', { ...good, owner_email }), 400, /address/);
  for (const name of ['', 'x'.repeat(201), 'a\nb']) await status(operator.post('/v1/tenants', { ...good, name }), 400, /name/);
  await status(operator.post('/v1/tenants', { ...good, tier: 'gold' }), 400, /tier/);
  await status(operator.post('/v1/tenants', {}), 422);
  await status(operator.get('/v1/tenants?status=x'), 400, /status/);
  const { owner } = await makeTenant(server);
  for (const email of ['a', 'a@b@c', 'a\tb@c']) await status(owner.post('/v1/users', { email, name: 'x' }), 400, /email/);
  await status(owner.post('/v1/users', { email: 'a@b', name: 'x', role: 'king' }), 400, /role/);
  await status(owner.post('/v1/users', { email: 'a@b', name: 'a\u0000' }), 422);
  await status(owner.patch('/v1/tenant', { settings: { a: ['\u0000'] } }), 400, /NUL/);
  for (const id of ['x', '%00', '123']) {
    await status(operator.get(`/v1/tenants/${id}`), 400);
    await status(owner.patch(`/v1/users/${id}`, {}), 400);
    await status(owner.delete(`/v1/api-keys/${id}`), 400);
  }
});

test('the operator lists, changes, pauses and removes tenants, and nobody else knows of these routes', async () => {
  const made = await makeTenant(server, { tier: 'free' });
  const path = `/v1/tenants/${made.id}`;
  assert.deepEqual((await status(operator.get(`/v1/tenants?slug=${made.slug}`), 200)).items.map((x) => x.id), [made.id]);
  const page = await status(operator.get('/v1/tenants?limit=1'), 200);
  assert.equal(page.items.length, 1);
  assert.ok(page.total >= 2);
  assert.deepEqual((await status(operator.get(`/v1/tenants?slug=${made.slug}&tier=pro`), 200)), { items: [], total: 0 });

  const raised = await status(operator.patch(path, { tier: 'enterprise' }), 200);
  assert.deepEqual([raised.tokens_limit_month, raised.rate_limit_rpm], [1000000, 6000]);
  const custom = await status(operator.patch(path, { rate_limit_rpm: 77, tokens_limit_month: 0, requests_per_day: 5 }), 200);
  assert.deepEqual([custom.rate_limit_rpm, custom.rate_limit_custom, custom.tokens_limit_month, custom.tokens_remaining, custom.requests_per_day], [77, true, 0, null, 5]);
  const back = await status(operator.patch(path, { rate_limit_rpm: null, tokens_limit_month: null, requests_per_day: null }), 200);
  assert.deepEqual([back.rate_limit_rpm, back.rate_limit_custom, back.tokens_limit_month, back.requests_per_day], [6000, false, 1000000, null]);
  await status(operator.patch(path, { rate_limit_rpm: 0 }), 422);
  await status(operator.patch(path, { tier: 'gold' }), 400);
  const before = (await auditOf(server, made.owner)).length;
  await status(operator.patch(path, {}), 200);
  assert.equal((await auditOf(server, made.owner)).length, before, 'nothing was changed');

  for (const [method, at] of [['GET', '/v1/tenants'], ['POST', '/v1/tenants'], ['GET', path], ['PATCH', path], ['DELETE', path]]) {
    const foreign = await call(server, method, at, { key: made.owner.key, body: method === 'GET' ? undefined : {} });
    assert.deepEqual([foreign.status, foreign.text], [404, '{"detail":"Not Found"}'], `${method} ${at}`);
  }

  await status(operator.patch(path, { status: 'paused' }), 200);
  await status(made.owner.get('/v1/tenant'), 403, 'Tenant subscription is not active');
  await status(operator.patch(path, { status: 'active' }), 200);
  await status(made.owner.get('/v1/tenant'), 200);
  await status(operator.delete(path), 204);
  await status(operator.delete(path), 404, 'Tenant not found');
  await status(operator.get(path), 404, 'Tenant not found');
  await status(made.owner.get('/v1/tenant'), 401);
  const again = await makeTenant(server, { slug: made.slug });
  assert.notEqual(again.id, made.id);
  const { rows } = await db.query(`SELECT action, actor_kind FROM kg.audit_log WHERE tenant_id = $1 ORDER BY id`, [made.id]);
  assert.deepEqual(rows.map((x) => x.action), ['tenant.create', ...Array(5).fill('tenant.update'), 'tenant.delete']);
  assert.ok(rows.every((x) => x.actor_kind === 'platform'));
});

test('a tenant renames itself and merges settings, up to their bound', async () => {
  const { owner, id } = await makeTenant(server);
  assert.deepEqual((await status(owner.patch('/v1/tenant', { settings: { a: 1, b: { c: 2 } } }), 200)).settings, { a: 1, b: { c: 2 } });
  const merged = await status(owner.patch('/v1/tenant', { name: 'Renamed', settings: { b: null, d: 'x' } }), 200);
  assert.deepEqual([merged.name, merged.settings], ['Renamed', { a: 1, d: 'x' }]);
  await status(owner.patch('/v1/tenant', { settings: { big: 'x'.repeat(65536) } }), 400, /65536/);
  await status(owner.patch('/v1/tenant', { name: '' }), 400);
  assert.deepEqual((await status(owner.get('/v1/tenant'), 200)).settings, { a: 1, d: 'x' });
  assert.deepEqual(actions(await auditOf(server, owner)), ['tenant.create', 'tenant.update', 'tenant.update']);
  const { rows } = await db.query('SELECT details FROM kg.audit_log WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1', [id]);
  assert.deepEqual(rows[0].details, { name: 'changed', settings: 'changed' });
  await status(owner.patch('/v1/tenant', { subscription_tier: 'custom', tokens_limit_month: 0 }), 200);
  assert.equal((await status(owner.get('/v1/tenant'), 200)).tokens_limit_month, 1000000);
});

// --- people

test('members are invited, listed, changed and removed, with one entry for each act and none for a refused one', async () => {
  const { owner } = await makeTenant(server);
  const ann = await status(owner.post('/v1/users', { email: 'Ann@x.test', name: 'Ann' }), 201);
  assert.deepEqual([ann.email, ann.name, ann.role, ann.is_active, ann.email_verified, ann.last_login_at], ['Ann@x.test', 'Ann', 'member', true, false, null]);
  await status(owner.post('/v1/users', { email: 'aNN@X.test', name: 'again' }), 409, "User with email 'aNN@X.test' already exists");
  const changed = await status(owner.patch(`/v1/users/${ann.id}`, { role: 'admin', name: 'Anna', is_active: true }), 200);
  assert.deepEqual([changed.role, changed.name], ['admin', 'Anna']);
  assert.deepEqual(await status(owner.get(`/v1/users/${ann.id}`), 200), changed);
  await status(owner.patch(`/v1/users/${ann.id}`, { role: 'owner' }), 409, /transfer-ownership/);
  await status(owner.patch(`/v1/users/${ann.id}`, { role: 'admin' }), 200);
  const all = await status(owner.get('/v1/users?limit=1&offset=1'), 200);
  assert.deepEqual([all.items.map((x) => x.id), all.total], [[ann.id], 2]);
  await status(owner.delete(`/v1/users/${ann.id}`), 204);
  await status(owner.delete(`/v1/users/${ann.id}`), 404, 'User not found');
  await status(owner.get(`/v1/users/${ann.id}`), 404, 'User not found');
  await status(owner.post('/v1/users', { email: 'ann@x.test', name: 'New Ann' }), 201);
  const entries = await auditOf(server, owner);
  assert.deepEqual(actions(entries), ['tenant.create', 'user.create', 'user.update', 'user.delete', 'user.create']);
  assert.deepEqual(entries[2].details, { name: 'changed', role: { from: 'member', to: 'admin' } });
  assert.equal(entries[2].actor.kind, 'user');
  assert.equal(entries[2].actor.key_prefix, owner.key.slice(0, 8));
  assert.ok(!JSON.stringify(entries).includes('x.test'), 'no addresses in the log');
});

test('another tenant’s people and keys answer as those that do not exist', async () => {
  const [mine, other] = [await makeTenant(server), await makeTenant(server)];
  const person = await makePerson(server, other.owner);
  for (const [method, path, body] of [
    ['GET', '/v1/users/'], ['PATCH', '/v1/users/', { name: 'x' }], ['DELETE', '/v1/users/'], ['POST', '/v1/users/{}/transfer-ownership'],
    ['GET', '/v1/api-keys/'], ['DELETE', '/v1/api-keys/'], ['POST', '/v1/api-keys/{}/rotate'],
  ]) {
    const target = path.includes('api-keys') ? person.keyId : person.id;
    const at = (id) => (path.includes('{}') ? path.replace('{}', id) : path + id);
    const [foreign, absent] = [await call(server, method, at(target), { key: mine.owner.key, body }), await call(server, method, at(randomUUID()), { key: mine.owner.key, body })];
    assert.equal(foreign.status, 404, `${method} ${path}`);
    assert.equal(foreign.text, absent.text);
  }
  await status(mine.owner.post('/v1/api-keys', { name: 'x', user_id: person.id }), 404, 'User not found');
  await status(person.as.get('/v1/tenant'), 200);
});

test('nobody grants a role above the own one, and only owners and admins manage people', async () => {
  const { owner, ownerId } = await makeTenant(server);
  const wide = ['read', 'write', 'admin', 'billing'];
  const admin = await makePerson(server, owner, { role: 'admin', scopes: wide });
  const member = await makePerson(server, owner, { role: 'member' });
  await status(admin.as.post('/v1/users', { email: 'b@x', name: 'B', role: 'owner' }), 409);
  await status(admin.as.patch(`/v1/users/${ownerId}`, { name: 'X' }), 403, /role/);
  await status(admin.as.patch(`/v1/users/${ownerId}`, { role: 'member' }), 409, /last owner/);
  await status(admin.as.delete(`/v1/users/${ownerId}`), 409, /last owner/);
  await status(owner.delete(`/v1/users/${ownerId}`), 409, /last owner/);
  await status(owner.patch(`/v1/users/${ownerId}`, { is_active: false }), 409, /last owner/);
  await status(admin.as.post(`/v1/users/${member.id}/transfer-ownership`), 403, /owner/);
  await status(admin.as.post('/v1/api-keys', { name: 'x', user_id: ownerId }), 403, /role/);
  const ownersKeys = (await status(admin.as.get('/v1/api-keys?limit=100'), 200)).items.filter((x) => x.user_id === ownerId);
  await status(admin.as.delete(`/v1/api-keys/${ownersKeys[0].id}`), 403, /role/);
  for (const [method, path] of [['GET', '/v1/users'], ['POST', '/v1/users'], ['GET', '/v1/audit'], ['GET', '/v1/usage/events'], ['POST', '/v1/api-keys']])
    await status(call(server, method, path, { key: member.key, body: method === 'POST' ? { email: 'c@x', name: 'C' } : undefined }), 403, "API key requires 'admin' scope");
  await status(admin.as.patch(`/v1/users/${member.id}`, { role: 'readonly' }), 200);
});

test('the ownership is handed over by the owner alone, who becomes an admin', async () => {
  const { owner, ownerId } = await makeTenant(server);
  const next = await makePerson(server, owner, { role: 'member' });
  const off = await makePerson(server, owner);
  await status(owner.patch(`/v1/users/${off.id}`, { is_active: false }), 200);
  await status(owner.post(`/v1/users/${off.id}/transfer-ownership`), 409, 'User is not active');
  const handed = await status(owner.post(`/v1/users/${next.id}/transfer-ownership`), 200);
  assert.equal(handed.role, 'owner');
  assert.equal((await status(owner.get(`/v1/users/${ownerId}`), 200)).role, 'admin');
  await status(owner.post(`/v1/users/${next.id}/transfer-ownership`), 403);
  const entry = (await auditOf(server, owner)).at(-1);
  assert.deepEqual([entry.action, entry.object.id, entry.also], ['user.transfer_ownership', next.id, [ownerId]]);
});

test('a plan has a number of members', async () => {
  const { owner } = await makeTenant(server, { tier: 'pro' });
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => owner.post('/v1/users', { email: `m${i}@x`, name: 'm' })));
  assert.deepEqual(answers.map((x) => x.status).sort(), [201, 201, 201, 201, 403, 403, 403, 403]);
  assert.match(answers.find((x) => x.status === 403).body.detail, /5 members \(max_members\)/);
  assert.equal((await auditOf(server, owner, '&action=user.create')).length, 4);
});

test('owners who demote, switch off or remove each other at once leave one', async () => {
  for (const [method, body] of [['PATCH', { role: 'member' }], ['PATCH', { is_active: false }], ['DELETE']]) {
    const { owner, ownerId, id } = await makeTenant(server);
    const second = await makePerson(server, owner, { role: 'admin', scopes: ['read', 'admin'] });
    await db.query(`UPDATE kg.users SET role = 'owner' WHERE id = $1`, [second.id]);
    const answers = await Promise.all([
      call(server, method, `/v1/users/${second.id}`, { key: owner.key, body }),
      call(server, method, `/v1/users/${ownerId}`, { key: second.key, body }),
    ]);
    assert.equal(answers.filter((x) => x.status < 300).length, 1, answers.map((x) => x.text).join());
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM kg.users WHERE tenant_id = $1 AND role = 'owner' AND is_active AND deleted_at IS NULL`, [id]);
    assert.equal(rows[0].n, 1);
  }
});

// --- keys

test('a key is shown once, works at once, and is listed without its secret', async () => {
  const { owner, ownerId } = await makeTenant(server);
  const made = await makeKey(server, owner, { name: 'ci', scopes: ['read', 'read'], expires_in_days: 30, rate_limit_rpm: 50 });
  const record = made.answer.body;
  assert.equal(made.answer.headers['cache-control'], 'no-store');
  assert.match(made.key, /^kg_[a-z0-9]{5}_[A-Za-z0-9_-]{43}$/);
  assert.deepEqual([record.key_prefix, record.scopes, record.user_id, record.rate_limit_rpm, record.is_active, record.use_count], [made.key.slice(0, 8), ['read'], ownerId, 50, true, 0]);
  assert.ok(Math.abs(Date.parse(record.expires_at) - Date.now() - 30 * 86_400_000) < 60_000);
  const answer = await made.as.get('/v1/tenant');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['x-ratelimit-limit-minute'], '50');
  const listed = await owner.get('/v1/api-keys');
  const { key, ...shown } = record;
  assert.deepEqual(listed.body.items.find((x) => x.id === made.id), { ...shown, last_used_at: listed.body.items.find((x) => x.id === made.id).last_used_at, use_count: listed.body.items.find((x) => x.id === made.id).use_count });
  assert.ok(!listed.text.includes(key.slice(9)) && !/hash/.test(listed.text));
  assert.equal((await status(owner.get(`/v1/api-keys/${made.id}`), 200)).id, made.id);
  await status(owner.get(`/v1/api-keys/${randomUUID()}`), 404, 'API key not found');
  assert.ok(!server.log.includes(key.slice(9)), 'nor is it in the log');
});

test('keys with less than admin see the own ones', async () => {
  const { owner, keyId } = await makeTenant(server);
  const person = await makePerson(server, owner);
  const { items, total } = await status(person.as.get('/v1/api-keys'), 200);
  assert.deepEqual([items.map((x) => x.id), total], [[person.keyId], 1]);
  await status(person.as.get(`/v1/api-keys/${person.keyId}`), 200);
  await status(person.as.get(`/v1/api-keys/${keyId}`), 404);
  const writer = await makeKey(server, owner, { scopes: ['write'] });
  await status(writer.as.get('/v1/api-keys'), 403, "API key requires 'admin' scope");
  const admin = await makeKey(server, owner, { scopes: ['admin'] });
  assert.ok((await status(admin.as.get('/v1/api-keys'), 200)).total >= 4);
});

test('no key gives scopes that its maker lacks, or that its person’s role does not reach', async () => {
  const { owner } = await makeTenant(server, { tier: 'pro' });
  await status(owner.post('/v1/api-keys', { name: 'x', scopes: ['read', 'root'] }), 400, /scope 'root'/);
  await status(owner.post('/v1/api-keys', { name: 'x', scopes: [1] }), 422);
  await status(owner.post('/v1/api-keys', { name: 'x', scopes: 'read' }), 422);
  await status(owner.post('/v1/api-keys', { name: '' }), 400, /name/);
  await status(owner.post('/v1/api-keys', { name: 'x', expires_in_days: 0 }), 422);
  await status(owner.post('/v1/api-keys', { name: 'x', rate_limit_rpm: 1001 }), 400, /1000/);
  const admin = await makeKey(server, owner, { scopes: ['read', 'admin'] });
  await status(admin.as.post('/v1/api-keys', { name: 'x', scopes: ['write'] }), 403, /scope 'write'/);
  await status(admin.as.post('/v1/api-keys', { name: 'x' }), 403, /scope 'write'/);
  const rich = await makeKey(server, owner, { scopes: ['read', 'billing'] });
  await status(admin.as.post(`/v1/api-keys/${rich.id}/rotate`), 403, /scope 'billing'/);
  const member = await makePerson(server, owner, { role: 'member' });
  await status(owner.post('/v1/api-keys', { name: 'x', user_id: member.id, scopes: ['read', 'admin'] }), 403, /'member'.*scope 'admin'/);
  assert.deepEqual(actions(await auditOf(server, owner, '&action=api_key')), ['api_key.create', 'api_key.create', 'api_key.create']);
});

test('a demotion narrows the keys a person has, and an end of it widens them again', async () => {
  const { owner } = await makeTenant(server);
  const person = await makePerson(server, owner, { role: 'admin', scopes: ['read', 'write', 'admin'] });
  const may = async () => [(await person.as.get('/v1/tenant')).status, (await person.as.patch('/v1/tenant', {})).status, (await person.as.post('/v1/kgent/sessions', {})).status];
  assert.deepEqual(await may(), [200, 200, 200]);
  for (const [change, wanted] of [[{ role: 'member' }, [200, 403, 200]], [{ role: 'readonly' }, [200, 403, 403]], [{ is_active: false }, [401, 401, 401]]]) {
    await status(owner.patch(`/v1/users/${person.id}`, change), 200);
    assert.deepEqual(await may(), wanted, JSON.stringify(change));
  }
  // That a key is none is known for five seconds.
  await status(owner.patch(`/v1/users/${person.id}`, { is_active: true, role: 'admin' }), 200);
  await until(async () => (await may()).every((x) => x === 200), 'the key to open again');
  await status(owner.delete(`/v1/users/${person.id}`), 204);
  await status(person.as.get('/v1/tenant'), 401);
  const { items } = await status(owner.get('/v1/api-keys'), 200);
  assert.equal(items.find((x) => x.id === person.keyId).is_active, false);
});

test('a revoked key is dead at once, and revoking it again is no error and no second entry', async () => {
  const { owner } = await makeTenant(server);
  const made = await makeKey(server, owner);
  await status(made.as.get('/v1/tenant'), 200);
  await status(owner.delete(`/v1/api-keys/${made.id}`), 204);
  await status(made.as.get('/v1/tenant'), 401, 'Invalid API key. Please check your credentials.');
  await status(owner.delete(`/v1/api-keys/${made.id}`), 204);
  await status(owner.post(`/v1/api-keys/${made.id}/rotate`), 409, 'API key is revoked');
  assert.deepEqual(actions(await auditOf(server, owner, `&object_id=${made.id}`)), ['api_key.create', 'api_key.revoke']);
});

test('rotation: the new key has all of the old one but its secret; of many at once one wins', async () => {
  const { owner, ownerId, id } = await makeTenant(server);
  const made = await makeKey(server, owner, { name: 'ci', scopes: ['read', 'billing'], expires_in_days: 9, rate_limit_rpm: 70 });
  await status(made.as.get('/v1/tenant'), 200);
  const answers = await Promise.all(Array.from({ length: 6 }, () => owner.post(`/v1/api-keys/${made.id}/rotate`)));
  assert.deepEqual(answers.map((x) => x.status).sort(), [201, 409, 409, 409, 409, 409]);
  const { body, headers } = answers.find((x) => x.status === 201);
  assert.equal(headers['cache-control'], 'no-store');
  const old = made.answer.body;
  assert.deepEqual([body.name, body.scopes, body.user_id, body.rate_limit_rpm, body.expires_at], [old.name, old.scopes, ownerId, 70, old.expires_at]);
  assert.notEqual(body.key, made.key);
  await status(made.as.get('/v1/tenant'), 401);
  await status(caller(server, body.key).get('/v1/tenant'), 200);
  const { rows } = await db.query(`SELECT id FROM kg.api_keys WHERE tenant_id = $1 AND name = 'ci' AND is_active`, [id]);
  assert.deepEqual(rows, [{ id: body.id }]);
  assert.equal((await auditOf(server, owner, '&action=api_key.rotate')).length, 1);
  const own = await status(owner.post(`/v1/api-keys/${(await status(owner.get('/v1/api-keys?limit=100'), 200)).items.find((x) => x.name === 'owner').id}/rotate`), 201);
  await status(owner.get('/v1/tenant'), 401);
  await status(caller(server, own.key).get('/v1/tenant'), 200);
});

test('an act with a key that dies meanwhile is not done', async () => {
  const { owner, id } = await makeTenant(server);
  const admin = await makeKey(server, owner, { scopes: ['admin', 'read'] });
  await status(admin.as.get('/v1/tenant'), 200);
  // Behind the node's back, so that its cache still has the key.
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [admin.id]);
  await status(admin.as.post('/v1/users', { email: 'late@x', name: 'late' }), 401);
  const { rows } = await db.query(`SELECT count(*)::int AS n FROM kg.users WHERE tenant_id = $1`, [id]);
  assert.equal(rows[0].n, 1);
});

test('an invited admin who signs in acts with the token, as far as it goes, and has no key to be listed', async () => {
  const { owner, id } = await makeTenant(server);
  const ann = await status(owner.post('/v1/users', { email: 'ann@sso.test', name: 'Ann', role: 'admin' }), 201);
  const tokenOf = (more) => provider.issue({ tenant_id: id, sub: ann.id, email: 'ann@sso.test', email_verified: true, roles: ['admin'], ...more });
  const invite = async (token) => call(server, 'POST', '/v1/users', { headers: { Authorization: `Bearer ${token}` }, body: { email: `${randomUUID()}@x`, name: 'n' } });
  await status(invite(await tokenOf()), 201);
  const entry = (await auditOf(server, owner, '&action=user.create')).at(-1);
  assert.deepEqual([entry.actor.kind, entry.actor.user_id, entry.actor.key_prefix], ['user', ann.id, 'kg_token']);
  await status(invite(await tokenOf({ roles: ['member'] })), 403);
  const { rows } = await db.query(`SELECT id FROM kg.api_keys WHERE user_id = $1 AND kind = 'sign_in'`, [ann.id]);
  assert.equal(rows.length, 1);
  assert.ok(!(await status(owner.get('/v1/api-keys'), 200)).items.some((x) => x.id === rows[0].id));
  await status(owner.get(`/v1/api-keys/${rows[0].id}`), 404);
  await status(owner.delete(`/v1/api-keys/${rows[0].id}`), 404);
  await status(owner.patch(`/v1/users/${ann.id}`, { role: 'member' }), 200);
  await status(invite(await tokenOf()), 403);
  await status(owner.delete(`/v1/users/${ann.id}`), 204);
  await status(invite(await tokenOf()), 401, 'Invalid token');
});

// --- the log

test('the audit log is paged and filtered, and each tenant has its own', async () => {
  const { owner, ownerId, keyId } = await makeTenant(server);
  for (let i = 0; i < 5; i++) await status(owner.post('/v1/users', { email: `u${i}@x`, name: 'u' }), 201);
  const key = await makeKey(server, owner);
  const first = await status(owner.get('/v1/audit?limit=3'), 200);
  assert.deepEqual([first.items.length, first.total, first.items[0].action], [3, 7, 'api_key.create']);
  const next = await status(owner.get(`/v1/audit?limit=100&before=${first.next_before}`), 200);
  assert.deepEqual([next.items.length, next.next_before], [4, null]);
  assert.equal((await auditOf(server, owner, '&action=user')).length, 5);
  assert.equal((await auditOf(server, owner, `&user_id=${ownerId}`)).length, 6);
  assert.equal((await auditOf(server, owner, `&api_key_id=${keyId}`)).length, 6);
  assert.deepEqual(actions(await auditOf(server, owner, `&object_id=${key.id}`)), ['api_key.create']);
  assert.deepEqual(await auditOf(server, owner, `&object_id=${randomUUID()}`), []);
  assert.equal((await auditOf(server, owner, '&object_type=tenant')).length, 1);
  await status(owner.get('/v1/audit?object_id=x'), 400);
  await status(owner.get('/v1/audit?before=x'), 422);
  const sent = await owner.post('/v1/users', { email: 'named@x', name: 'n' }, { 'X-Request-ID': 'ticket-42' });
  assert.equal(sent.status, 201);
  const entry = (await auditOf(server, owner)).at(-1);
  assert.deepEqual([entry.request_id, entry.address, entry.outcome], ['ticket-42', '127.0.0.1', 'done']);
});

test('decisions of governance are in it, without the text of the action', async () => {
  const { owner } = await makeTenant(server);
  const action = 'delete the production database of the marmalade department';
  const answer = await status(owner.post('/v1/soul/governance', { action, context: { severity: 0.9 } }), 200);
  const found = await auditOf(server, owner, '&action=governance');
  assert.equal(found.length, 1);
  assert.equal(found[0].outcome, answer.recommendation);
  assert.deepEqual([found[0].details.action_sha256, found[0].details.severity], [createHash('sha256').update(action).digest('hex'), 0.9]);
  assert.equal(found[0].actor.kind, 'user');
  assert.ok(!JSON.stringify(found).includes('marmalade'));
  await status(owner.post('/agentese/self/soul/governance', { action }, { 'X-Observer-Archetype': 'developer' }), 200);
  await until(async () => (await auditOf(server, owner, '&action=governance')).length === 2, 'the second decision');
});

test('what is written beside the API is in it as well', async () => {
  const { owner, id } = await makeTenant(server);
  await db.query(`UPDATE kg.tenants SET subscription_tier = 'custom' WHERE id = $1`, [id]);
  const entry = (await auditOf(server, owner)).at(-1);
  assert.deepEqual([entry.actor.kind, entry.action, entry.details], ['database', 'tenant.update', { subscription_tier: { from: 'enterprise', to: 'custom' } }]);
  for (const text of [`UPDATE kg.audit_log SET outcome = 'x'`, 'DELETE FROM kg.audit_log', 'TRUNCATE kg.audit_log'])
    await assert.rejects(db.query(text), /append-only/);
});

// --- traces

test('traces show invocations and compositions with their spans, and nobody else’s', async () => {
  const [{ owner }, stranger] = [await makeTenant(server), await makeTenant(server)];
  await status(owner.get('/agentese/self/soul/manifest'), 200);
  await owner.post('/agentese/self/no_such_node/manifest', {});
  const composed = await owner.post('/api/v1/compose', { paths: ['self.soul.manifest', 'self.soul.manifest'] });
  assert.equal(composed.status, 200, composed.text);
  const traces = await until(async () => {
    const now = (await status(owner.get('/v1/traces'), 200)).traces;
    return now.some((x) => x.spans >= 2) && now.length >= 2 && now;
  }, 'the traces to be written');
  const composition = traces.find((x) => x.spans >= 2);
  assert.equal(composition.path, 'self.soul.manifest >> self.soul.manifest');
  assert.deepEqual([composition.status, typeof composition.duration_ms, composition.trace_id.length], ['success', 'number', 32]);
  const whole = await status(owner.get(`/v1/traces/${composition.trace_id}`), 200);
  assert.deepEqual([whole.path, whole.spans.length, whole.spans[0].path, whole.spans[0].status], [composition.path, composition.spans, 'self.soul.manifest', 'ok']);
  assert.equal(new Set(whole.spans.map((x) => x.span_id)).size, whole.spans.length);
  assert.ok((await status(owner.get('/v1/traces?path=self.soul&status=success'), 200)).traces.length >= 2);
  assert.deepEqual((await status(owner.get('/v1/traces?path=self.sou'), 200)).traces, []);
  assert.equal((await status(owner.get('/v1/traces?limit=1'), 200)).traces.length, 1);
  assert.deepEqual((await status(owner.get('/v1/traces?end=2020-01-01'), 200)).traces, []);
  assert.ok((await status(owner.get('/v1/traces?status=error'), 200)).traces.every((x) => x.status === 'error'));
  await status(owner.get('/v1/traces?start=yesterday'), 400, /ISO 8601/);
  await status(owner.get('/v1/traces?status=maybe'), 400, /status/);
  await status(owner.get(`/v1/traces/${'0'.repeat(32)}`), 404, 'Trace not found');
  await status(stranger.owner.get(`/v1/traces/${composition.trace_id}`), 404, 'Trace not found');
  assert.deepEqual((await status(stranger.owner.get('/v1/traces'), 200)).traces, []);
});

test('usage and its events are the tenant’s own', async () => {
  const { owner } = await makeTenant(server);
  await status(owner.post('/v1/kgent/sessions', {}), 200);
  const usage = await status(owner.get('/v1/usage'), 200);
  assert.equal(usage.tokens_limit, 1000000);
  const events = await until(async () => {
    const now = await status(owner.get('/v1/usage/events?type=session_create'), 200);
    return now.total === 1 && now;
  }, 'the session to be counted');
  assert.equal(events.items[0].event_type, 'session_create');
});
