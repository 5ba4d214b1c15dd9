// A migrated database for a test file: tests/support/with-postgres must run around it.
import { readdirSync, readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import pg from 'pg';

pg.types.setTypeParser(20, Number); // bigint: the counts of these tests fit a double

const server = process.env.KGENTS_TEST_PG;
if (!server) throw new Error('KGENTS_TEST_PG is not set: run this under tests/support/with-postgres');
const { PGHOST, PGPORT } = process.env;
const folder = new URL('../../../sql/migrations/', import.meta.url);

async function connect(database, user) {
  const client = new pg.Client({ host: PGHOST, port: Number(PGPORT), database, user });
  await client.connect();
  return client;
}

/** Migrates once a server, then copies: test files run at the same time and roles are shared by all databases. */
async function create(name) {
  const client = await connect('postgres', 'postgres');
  try {
    await client.query('SELECT pg_advisory_lock(4711)');
    const known = await client.query(`SELECT FROM pg_database WHERE datname = 'kg_template'`);
    if (known.rowCount === 0) {
      await client.query('CREATE DATABASE kg_template');
      const target = await connect('kg_template', 'postgres');
      for (const file of readdirSync(folder).sort()) {
        if (!file.endsWith('.sql')) continue;
        await target.query('BEGIN');
        await target.query(readFileSync(new URL(file, folder), 'utf8'));
        await target.query('COMMIT');
      }
      await target.end();
    }
    await client.query(`CREATE DATABASE ${name} TEMPLATE kg_template`);
  } finally {
    await client.end();
  }
}

/**
 * `admin` is a superuser, `app` kg_app, `control` kg_control; `a` and `b` are two tenants with `owner` and `session`.
 * `as(tenant, work)` runs `work(client)` as kg_app in one transaction with that tenant's context.
 */
export async function openDatabase() {
  const name = `data_${randomUUID().replaceAll('-', '')}`;
  await create(name);
  const clients = [];
  const db = {
    async connect(user) {
      const client = await connect(name, user);
      clients.push(client);
      return client;
    },
    async as(tenant, work, client = db.app) {
      await client.query('BEGIN');
      try {
        await client.query('SELECT kg.set_tenant_context($1)', [tenant.id ?? tenant]);
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      }
    },
    async tenant(slug, tier = 'pro') {
      const id = await value(db.admin, 'SELECT kg.provision_tenant($1, $2, $3, $4)', [slug, slug, tier, `o@${slug}.test`]);
      const owner = await value(db.admin, 'SELECT id FROM kg.users WHERE tenant_id = $1', [id]);
      const session = await value(db.admin, 'INSERT INTO kg.sessions (tenant_id) VALUES ($1) RETURNING id', [id]);
      return { id, owner, session };
    },
    async close() {
      for (const client of clients) await client.end();
    },
  };
  db.admin = await db.connect('postgres');
  db.app = await db.connect('kg_app');
  db.control = await db.connect('kg_control');
  db.a = await db.tenant('tenant-a');
  db.b = await db.tenant('tenant-b');
  return db;
}

export async function value(client, text, params) {
  const { rows } = await client.query({ text, values: params, rowMode: 'array' });
  return rows.length === 0 ? undefined : rows[0][0];
}

export const count = async (client, table, where = 'true', params = []) =>
  value(client, `SELECT count(*) FROM ${table} WHERE ${where}`, params);

/** For assert.rejects: the server's error code. */
export const sqlstate = (code) => (error) => {
  if (error.code === code) return true;
  throw error;
};

export const denied = sqlstate('42501');
