// How a tenant comes to a database of its own: whatever dies on the way, whenever, it ends with every row there or with the
// tenant where it was.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import pg from 'pg';

import { call, caller } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { removeDirectory, startServe, temporaryDirectory } from '../support/server.mjs';
import {
  activeSilo, cancelSilo, databaseOf, leftBehind, listSilos, platformKey, purgedSilo, requestSilo, rowsOf, showSilo, siloThat, writeSecret,
} from '../support/silos.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
let db;
let server;
let secrets;
const settings = () => ({
  KGENTS_PLATFORM_KEY: platformKey,
  KGENTS_SILO_SECRETS: secrets,
  KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0,
  DATABASE_ADMIN_URL: database.url('postgres'),
});

before(async () => {
  secrets = temporaryDirectory('kgents-secrets');
  database = await startMigratedPostgres();
  db = await database.connect();
  server = await startServe(database, { env: settings() });
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await database?.dispose();
  removeDirectory(secrets);
});

// A tenant with something in several tables.
async function livelyTenant(tier = 'enterprise') {
  const tenant = await newTenant(db, { tier });
  const who = caller(server, tenant.key);
  const session = await who.session({ title: 'before' });
  const { status, text } = await who.post(`/v1/kgent/sessions/${session}/messages`, { message: 'hello', stream: false });
  assert.equal(status, 200, text);
  tenant.session = session;
  return tenant;
}

async function client(user, name = 'kgents') {
  const out = new pg.Client({ host: database.socket, user, database: name });
  out.on('error', () => {});
  await out.connect();
  return out;
}

async function checkSilo(tenant, before) {
  const there = await client('postgres', databaseOf(tenant.id));
  try {
    assert.deepEqual(await rowsOf(there, tenant.id), before, 'every row is in the silo');
    const { rows } = await there.query('SELECT DISTINCT tenant_id FROM kg.sessions');
    assert.deepEqual(rows.map((row) => row.tenant_id), [tenant.id], 'and of nobody else');
  } finally {
    await there.end();
  }
}

const canWrite = async (tenant) => (await caller(server, tenant.key).post('/v1/kgent/sessions', {})).status === 200;

test('who asks for what is not to be had is told so', async () => {
  const free = await newTenant(db, { tier: 'pro' });
  const refused = await requestSilo(server, free.id);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, 'silo_not_in_tier');
  assert.match(refused.body.detail, /enterprise or custom.* pro/);
  assert.equal((await requestSilo(server, '00000000-0000-4000-8000-00000000dead')).status, 404);
  assert.equal((await showSilo(server, free.id)).status, 404);
  assert.equal((await cancelSilo(server, free.id)).status, 404);
  for (const dsn_ref of ['../x', 'A', 'a/b', '-a']) {
    const { status } = await requestSilo(server, free.id, { dsn_ref });
    assert.equal(status, 400, dsn_ref);
  }
  const nobody = await call(server, 'GET', '/v1/silos', { key: free.key });
  assert.equal(nobody.status, 404, 'to all but the operator there are no such routes');
});

// Holds the work in `state` with a lock, kills the node there, lets go and starts it again.
async function killedIn(state, { tenant, hold, release, held, purge }) {
  await hold();
  const asked = await requestSilo(server, tenant.id, { purge_after_seconds: purge ? 0 : 604800 });
  assert.equal(asked.status, 202, asked.text);
  await siloThat(server, tenant.id, (x) => x.state === state, `the silo to be ${state}`);
  await until(held, `the work to wait in ${state}`);
  await server.kill();
  await release();
  server = await server.restart();
}

const waitsFor = (text) => async () => {
  const { rows } = await db.query(
    `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'kgentsd%' AND wait_event_type = 'Lock' AND query LIKE $1`, [`%${text}%`]);
  return rows.length > 0;
};

test('killed before anybody is at it', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  await server.stop();
  server = await startServe(database, { port: server.port, env: { ...settings(), DATABASE_ADMIN_URL: undefined } });
  const asked = await requestSilo(server, tenant.id);
  assert.equal(asked.body.state, 'requested');
  const waiting = await siloThat(server, tenant.id, (x) => x.waiting_for, 'the reason why nothing happens');
  assert.match(waiting.waiting_for, /DATABASE_ADMIN_URL/);
  await server.kill();
  server = await startServe(database, { port: server.port, env: settings() });
  await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
});

test('killed while the database is being made', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  const other = await client('postgres');
  await killedIn('creating', {
    tenant,
    hold: () => other.query('BEGIN; LOCK TABLE pg_database IN SHARE MODE'),
    held: waitsFor('CREATE DATABASE'),
    release: () => other.query('ROLLBACK'),
  });
  await other.end();
  await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
});

test('killed while the schema is being made', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  await db.query(`CREATE DATABASE ${databaseOf(tenant.id)}`);
  const other = await client('postgres', databaseOf(tenant.id));
  await killedIn('migrating', {
    tenant,
    hold: () => other.query('SELECT pg_advisory_lock(7165917315840131428)'),
    held: waitsFor('pg_advisory_lock'),
    release: () => other.end(),
  });
  await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
});

test('killed while it waits for those who began to write before, and in the middle of the rows', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  const writer = await client('kg_app');
  const moves = async () => (await db.query('SELECT 1 FROM kg.tenant_moves WHERE tenant_id = $1', [tenant.id])).rowCount === 1;
  await killedIn('copying', {
    tenant,
    hold: () => writer.query(`BEGIN; SELECT kg.set_tenant_context('${tenant.id}')`),
    held: moves,
    release: async () => {},
  });
  await siloThat(server, tenant.id, (x) => x.state === 'copying', 'the copy to be taken up again');
  const reader = await client('postgres');
  await reader.query('BEGIN; LOCK TABLE kg.agents IN ACCESS EXCLUSIVE MODE');
  await writer.query('ROLLBACK');
  await until(waitsFor('kg."agents"'), 'the copy to come to a table');
  await server.kill();
  await reader.query('ROLLBACK');
  server = await server.restart();
  await writer.end();
  await reader.end();
  await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
});

test('killed between the copy and the cut-over', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  const writer = await client('kg_app');
  const other = await client('postgres');
  await writer.query(`BEGIN; SELECT kg.set_tenant_context('${tenant.id}')`);
  assert.equal((await requestSilo(server, tenant.id)).status, 202);
  await siloThat(server, tenant.id, (x) => x.state === 'copying', 'the copy to begin');
  await other.query(`BEGIN; SELECT FROM kg.tenants WHERE id = '${tenant.id}' FOR UPDATE`);
  await writer.query('ROLLBACK');
  await siloThat(server, tenant.id, (x) => x.state === 'cutover', 'the copy to be complete');
  await until(waitsFor('UPDATE kg.tenants'), 'the cut-over to wait');
  await server.kill();
  await other.query('ROLLBACK');
  server = await server.restart();
  await writer.end();
  await other.end();
  const silo = await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
  const counted = Object.fromEntries(silo.details.tables.map((x) => [x.table, x.rows]));
  for (const [table, rows] of Object.entries(before)) assert.equal(counted[table], rows, table);
});

test('killed while what stayed behind is removed', async () => {
  const tenant = await livelyTenant();
  const before = await rowsOf(db, tenant.id);
  const other = await client('postgres');
  await killedIn('active', {
    tenant,
    purge: true,
    hold: () => other.query(`BEGIN; SELECT FROM kg.sessions WHERE tenant_id = '${tenant.id}' FOR UPDATE`),
    held: waitsFor('DELETE FROM kg."sessions"'),
    release: () => other.query('ROLLBACK'),
  });
  await other.end();
  await purgedSilo(server, tenant.id);
  assert.deepEqual(await leftBehind(db, tenant.id), {}, 'no row of it is in the shared database');
  await checkSilo(tenant, before);
});

test('a server that does not let us in: failed, with the reason, and the tenant writes where it did', async () => {
  const tenant = await livelyTenant();
  writeSecret(secrets, 'locked', database, 'acme', 'who_is_nobody');
  assert.equal((await requestSilo(server, tenant.id, { dsn_ref: 'locked' })).status, 202);
  const failed = await siloThat(server, tenant.id, (x) => x.state === 'failed', 'the silo to fail');
  assert.match(failed.reason, /who_is_nobody/);
  assert.ok(await canWrite(tenant));
  // Once it is put right, asking again goes on from there.
  writeSecret(secrets, 'locked', database, databaseOf(tenant.id));
  const before = await rowsOf(db, tenant.id);
  assert.equal((await requestSilo(server, tenant.id)).status, 202);
  await activeSilo(server, tenant.id);
  await checkSilo(tenant, before);
});

test('a database with something else in it: failed, and nothing there is touched', async () => {
  const tenant = await livelyTenant();
  await db.query(`CREATE DATABASE ${databaseOf(tenant.id)}`);
  const there = await client('postgres', databaseOf(tenant.id));
  await there.query('CREATE SCHEMA kg; CREATE TABLE kg.sessions (id int); INSERT INTO kg.sessions VALUES (7)');
  assert.equal((await requestSilo(server, tenant.id)).status, 202);
  const failed = await siloThat(server, tenant.id, (x) => x.state === 'failed', 'the silo to fail');
  assert.match(failed.reason, /migration .* failed/);
  assert.deepEqual((await there.query('SELECT id FROM kg.sessions')).rows, [{ id: 7 }]);
  await there.end();
  assert.ok(await canWrite(tenant));
  assert.equal((await db.query('SELECT FROM kg.tenant_moves WHERE tenant_id = $1', [tenant.id])).rowCount, 0);
});

test('one that is given up leaves nothing, and one in use is not given up', async () => {
  const tenant = await livelyTenant();
  const writer = await client('kg_app');
  await writer.query(`BEGIN; SELECT kg.set_tenant_context('${tenant.id}')`);
  assert.equal((await requestSilo(server, tenant.id)).status, 202);
  await siloThat(server, tenant.id, (x) => x.state === 'copying', 'the copy to begin');
  assert.equal((await cancelSilo(server, tenant.id)).status, 202);
  await writer.query('ROLLBACK');
  await writer.end();
  await until(async () => (await showSilo(server, tenant.id)).status === 404, 'the silo to be gone');
  const { rowCount } = await db.query('SELECT FROM pg_database WHERE datname = $1', [databaseOf(tenant.id)]);
  assert.equal(rowCount, 0, 'the database that was made for it is dropped');
  assert.ok(await canWrite(tenant));

  const { body } = await listSilos(server);
  const active = body.silos.find((x) => x.state === 'active');
  const refused = await cancelSilo(server, active.tenant_id);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, 'silo_active');
});

test('what the operator sees of it in the metrics', async () => {
  const { text } = await call(server, 'GET', '/metrics');
  assert.match(text, /^kgents_silo_state\{state="active"\} \d+$/m);
  assert.match(text, /^kgents_silo_copied_rows_total \d+$/m);
  assert.match(text, /^kgents_silo_steps_total\{outcome="done"\} [1-9]/m);
});
