// Tenants' own databases: asking for one as the operator does, and what a client of PostgreSQL's finds in it.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { call } from './http.mjs';
import { patience, until } from './wait.mjs';

export const platformKey = 'the-operators-own-key-of-silos';

/// Longer than a lease of 10 s and five attempts take together.
const ms = 2 * patience.ms;

export const databaseOf = (tenant) => `kg_t_${tenant.replaceAll('-', '')}`;

const asOperator = (server, method, path, body) => call(server, method, path, { key: platformKey, body });

export const requestSilo = (server, tenant, body) => asOperator(server, 'POST', `/v1/tenants/${tenant}/silo`, body);
export const showSilo = (server, tenant) => asOperator(server, 'GET', `/v1/tenants/${tenant}/silo`);
export const cancelSilo = (server, tenant) => asOperator(server, 'DELETE', `/v1/tenants/${tenant}/silo`);
export const listSilos = (server) => asOperator(server, 'GET', '/v1/silos');

/// The silo's record once `accept(record)` says so.
export async function siloThat(server, tenant, accept, what) {
  let last;
  try {
    return await until(async () => {
      const { status, body } = await showSilo(server, tenant).catch(() => ({}));
      last = body ?? last;
      return status === 200 && accept(body) && body;
    }, what, ms);
  } catch (late) {
    throw new Error(`${late.message}; last seen: ${JSON.stringify(last)}`);
  }
}

export const activeSilo = (server, tenant) => siloThat(server, tenant, (x) => x.state === 'active', 'the silo to be active');
export const purgedSilo = (server, tenant) => siloThat(server, tenant, (x) => x.purged_at, 'the rows that stayed behind to go');

/// The secret of a silo on a server of its own, as Kubernetes mounts it.
export function writeSecret(directory, name, database, of = 'acme', admin = 'postgres') {
  const to = join(directory, name);
  mkdirSync(to, { recursive: true });
  for (const [file, user] of [['DATABASE_URL', 'kg_app'], ['DATABASE_CONTROL_URL', 'kg_control'], ['DATABASE_ADMIN_URL', admin]])
    writeFileSync(join(to, file), `${database.url(user, of)}\n`);
}

/// Rows of the tenant in every table of it, by table: `{sessions: 3, …}`. `db` is a superuser's connection.
export async function rowsOf(db, tenant, handling = ['moved']) {
  const { rows: tables } = await db.query('SELECT name, condition FROM kg.tenant_tables() WHERE handling = ANY ($1)', [handling]);
  const out = {};
  for (const { name, condition } of tables) {
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM kg.${name} WHERE tenant_id = $1 AND ${condition}`, [tenant]);
    out[name] = rows[0].n;
  }
  return out;
}

/// Tables of the shared database that have rows of the tenant although they say what a silo tenant makes. The list is the
/// test's own: who the tenant is, what it owes and how it is moved stays.
export async function leftBehind(db, tenant) {
  const control = ['users', 'api_keys', 'usage_events', 'usage_counters', 'request_counts', 'usage_thresholds', 'billing_events', 'stripe_events',
    'metering_quarantine', 'audit_log', 'silos', 'tenant_moves'];
  const { rows: tables } = await db.query(`
    SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
     WHERE c.relnamespace = 'kg'::regnamespace AND c.relkind = 'r' AND c.relname <> ALL ($1)`, [control]);
  assert.ok(tables.length > 25, `${tables.length} tables are looked at`);
  const out = {};
  for (const { name } of tables) {
    const only = name === 'outbox' ? "AND table_name NOT IN ('tenants', 'users', 'api_keys')" : '';
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM kg.${name} WHERE tenant_id = $1 ${only}`, [tenant]);
    if (rows[0].n > 0) out[name] = rows[0].n;
  }
  return out;
}
