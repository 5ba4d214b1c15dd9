// Tenants and keys made beside the API, as an operator's provisioning job would make them.
import { createHash, randomBytes, randomUUID } from 'node:crypto';

/// A key in the generated form of http-api.md 2.2.
export function newKey() {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  const prefix = [...randomBytes(5)].map((byte) => alphabet[byte % 36]).join('');
  return `kg_${prefix}_${randomBytes(32).toString('base64url')}`;
}

export const hashOf = (key) => createHash('sha256').update(key, 'utf8').digest('hex');

/// Adds a key to a tenant. `extra` names further columns of kg.api_keys.
export async function addKey(db, tenant, { scopes = ['read', 'write'], key = newKey(), ...extra } = {}) {
  const row = { tenant_id: tenant, key_prefix: key.slice(0, 8), key_hash: hashOf(key), name: 'test', scopes, ...extra };
  const id = await insert(db, 'kg.api_keys', row);
  return { id, key };
}

/// A tenant whose limits do not get in the way (unless the test says so) and one key: `{id, key, keyId}`.
export async function newTenant(db, { tier = 'enterprise', scopes, limits = {}, key = {} } = {}) {
  const name = `t-${randomUUID()}`;
  const row = {
    name,
    slug: name,
    subscription_tier: tier,
    tokens_limit_month: 0,
    rate_limit_custom: true,
    rate_limit_rpm: 1000000,
    rate_limit_rph: 10000000,
    rate_burst: 1000000,
    requests_per_day: 10000000,
    ...limits,
  };
  const id = await insert(db, 'kg.tenants', row);
  const made = await addKey(db, id, { ...(scopes ? { scopes } : {}), ...key });
  return { id, key: made.key, keyId: made.id };
}

async function insert(db, table, row) {
  const names = Object.keys(row);
  const slots = names.map((_, i) => `$${i + 1}`);
  const { rows } = await db.query(
    `INSERT INTO ${table} (${names.join(', ')}) VALUES (${slots.join(', ')}) RETURNING id`,
    Object.values(row),
  );
  return rows[0].id;
}
