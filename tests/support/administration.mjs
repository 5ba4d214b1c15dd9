// Tenants, people and keys made as their administrators make them: over the API.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { call, caller } from './http.mjs';

export const platformKey = 'the-operators-own-secret';

/// The operator: a server started with KGENTS_PLATFORM_KEY = platformKey.
export const operatorOf = (server) => caller(server, platformKey);

/// A tenant with its owner's key: `{id, slug, ownerId, owner, keyId, record}`; `owner` is a caller.
export async function makeTenant(server, { tier = 'enterprise', slug = `t-${randomUUID()}`, email = 'owner@example.org' } = {}) {
  const made = await operatorOf(server).post('/v1/tenants', { name: slug, slug, tier, owner_email: email });
  assert.equal(made.status, 201, made.text);
  const { tenant, owner, api_key: key } = made.body;
  return { id: tenant.id, slug, record: tenant, ownerId: owner.id, owner: caller(server, key.key), keyId: key.id, answer: made };
}

/// A member with a key: `{id, key, keyId, as}`. `by` is a caller that may do this.
export async function makePerson(server, by, { role = 'member', scopes, email = `${randomUUID()}@example.org` } = {}) {
  const user = await by.post('/v1/users', { email, name: role, role });
  assert.equal(user.status, 201, user.text);
  const key = await makeKey(server, by, { user_id: user.body.id, scopes: scopes ?? (role === 'readonly' ? ['read'] : ['read', 'write']) });
  return { id: user.body.id, email, key: key.as.key, keyId: key.id, as: key.as };
}

export async function makeKey(server, by, body = {}) {
  const made = await by.post('/v1/api-keys', { name: 'test', ...body });
  assert.equal(made.status, 201, made.text);
  return { id: made.body.id, key: made.body.key, as: caller(server, made.body.key), answer: made };
}

/// All entries of the audit log, oldest first.
export async function auditOf(server, by, query = '') {
  const all = [];
  for (let before = ''; ; ) {
    const page = await call(server, 'GET', `/v1/audit?limit=100${query}${before}`, { key: by.key });
    assert.equal(page.status, 200, page.text);
    all.push(...page.body.items);
    if (page.body.next_before === null) return all.reverse();
    before = `&before=${page.body.next_before}`;
  }
}
