// What one tenant may see and do (acceptance tests D1 to D5 and D8 to D10).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { count, denied, openDatabase, sqlstate, value } from './database.mjs';

let db;
before(async () => {
  db = await openDatabase();
  for (const tenant of [db.a, db.b]) {
    await db.admin.query(`INSERT INTO kg.api_keys (tenant_id, user_id, key_prefix, key_hash, name)
                          VALUES ($1, $2, 'kg_abcde', encode(sha256($1::uuid::text::bytea), 'hex'), 'key')`, [tenant.id, tenant.owner]);
    await db.admin.query(`INSERT INTO kg.messages (tenant_id, session_id, role, content)
                          VALUES ($1, $2, 'user', 'hello')`, [tenant.id, tenant.session]);
    await db.admin.query(`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('m', $1, 'agent', 'x')`, [tenant.id]);
    await db.admin.query(`INSERT INTO kg.persona_garden (tenant_id, content) VALUES ($1, 'x')`, [tenant.id]);
    await db.admin.query(`INSERT INTO kg.agents (tenant_id, name) VALUES ($1, 'x')`, [tenant.id]);
    await db.admin.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source) VALUES ($1, 'api_call', 'api')`, [tenant.id]);
    await db.admin.query(`INSERT INTO kg.turns (id, tenant_id, session_id, message_id, answer_id, status, mode)
                          VALUES (gen_random_uuid(), $1, $2, gen_random_uuid(), gen_random_uuid(), 'failed', 'reflect')`,
      [tenant.id, tenant.session]);
    await db.admin.query(`INSERT INTO kg.turn_chunks (turn_id, index, tenant_id, text)
                          VALUES (gen_random_uuid(), 0, $1, 'x')`, [tenant.id]);
  }
});
after(() => db.close());

const tables = ['users', 'api_keys', 'sessions', 'messages', 'usage_events', 'memories', 'persona_garden', 'agents',
  'turns', 'turn_chunks'];

test('D1 without a context every table is empty', async () => {
  assert.equal(await count(db.app, 'kg.tenants'), 0);
  for (const table of tables) assert.equal(await count(db.app, `kg.${table}`), 0, table);
});

test('D1 without a context nothing can be inserted', async () => {
  const { id, session } = db.a;
  const inserts = [
    [`INSERT INTO kg.sessions (tenant_id) VALUES ($1)`, [id]],
    [`INSERT INTO kg.messages (tenant_id, session_id, role, content) VALUES ($1, $2, 'user', 'x')`, [id, session]],
    [`INSERT INTO kg.users (tenant_id, email) VALUES ($1, 'x@x')`, [id]],
    [`INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name) VALUES ($1, 'kg_abcde', repeat('0', 64), 'x')`, [id]],
    [`INSERT INTO kg.usage_events (tenant_id, event_type, source) VALUES ($1, 'api_call', 'api')`, [id]],
    [`INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('x', $1, 'x', 'x')`, [id]],
    [`INSERT INTO kg.persona_garden (tenant_id, content) VALUES ($1, 'x')`, [id]],
    [`INSERT INTO kg.agents (tenant_id, name) VALUES ($1, 'y')`, [id]],
    [`INSERT INTO kg.turn_chunks (turn_id, index, tenant_id, text) VALUES (gen_random_uuid(), 0, $1, 'x')`, [id]],
    [`INSERT INTO kg.tenants (name, slug) VALUES ('x', 'x')`, []],
  ];
  for (const [text, params] of inserts) await assert.rejects(db.app.query(text, params), denied, text);
});

test('D2 with a context only that tenant is there', async () => {
  await db.as(db.a, async (app) => {
    assert.deepEqual((await app.query('SELECT id FROM kg.tenants')).rows, [{ id: db.a.id }]);
    for (const table of tables) {
      const { rows } = await app.query(`SELECT DISTINCT tenant_id FROM kg.${table}`);
      assert.deepEqual(rows, [{ tenant_id: db.a.id }], table);
    }
  });
});

test('D2 a row can neither be put into another tenant nor moved there', async () => {
  await assert.rejects(db.as(db.a, (app) => app.query('INSERT INTO kg.sessions (tenant_id) VALUES ($1)', [db.b.id])), denied);
  await assert.rejects(db.as(db.a, (app) => app.query('UPDATE kg.sessions SET tenant_id = $1', [db.b.id])), denied);
  await assert.rejects(db.as(db.a, (app) => app.query('UPDATE kg.memories SET tenant_id = $1', [db.b.id])), denied);
  await db.as(db.a, async (app) => {
    const { rowCount } = await app.query(`UPDATE kg.sessions SET title = 'mine' WHERE id = $1`, [db.b.session]);
    assert.equal(rowCount, 0);
    assert.equal((await app.query('DELETE FROM kg.sessions WHERE id = $1', [db.b.session])).rowCount, 0);
  });
});

test('D3 the context ends with its transaction', async () => {
  await db.as(db.a, async (app) => assert.equal(await count(app, 'kg.sessions'), 1));
  assert.equal(await count(db.app, 'kg.sessions'), 0);
  await assert.rejects(db.as(db.a, (app) => app.query('SELECT 1 / 0')), sqlstate('22012'));
  assert.equal(await count(db.app, 'kg.sessions'), 0);
  assert.equal(await value(db.app, 'SELECT kg.current_tenant_id()'), null);
});

test('D4 no setting of a connection opens another tenant', async () => {
  const app = await db.connect('kg_app');
  await app.query(`SET app.admin_bypass = 'true'`);
  await app.query(`SET app.is_admin = 'on'`);
  await app.query('SET row_security = on');
  assert.equal(await count(app, 'kg.sessions'), 0);
  await db.as(db.a, async () => assert.equal(await count(app, 'kg.sessions'), 1), app);
  // Off does not show more: it turns what would be hidden into an error.
  await app.query('SET row_security = off');
  await assert.rejects(app.query('SELECT * FROM kg.sessions'), denied);
  for (const role of ['kg_owner', 'kg_definer', 'kg_admin', 'postgres'])
    await assert.rejects(app.query(`SET ROLE ${role}`), denied, role);
  const helpers = `SELECT count(*) FROM pg_proc WHERE proname ~ 'admin_bypass'`;
  assert.equal(await value(db.admin, helpers), 0);
});

test('D5 a transaction cannot turn to a second tenant', async () => {
  await assert.rejects(db.as(db.a, (app) => app.query('SELECT kg.set_tenant_context($1)', [db.b.id])), denied);
  await assert.rejects(db.app.query('SELECT kg.set_tenant_context(NULL)'), sqlstate('22004'));
  await db.as(db.a, (app) => app.query('SELECT kg.set_tenant_context($1)', [db.a.id])); // the same again is no change
});

test('D8 a tenant renames itself and changes nothing it pays for', async () => {
  await db.as(db.a, async (app) => {
    assert.equal((await app.query(`UPDATE kg.tenants SET name = 'New', settings = '{"x": 1}'`)).rowCount, 1);
  });
  const forbidden = ["subscription_tier = 'enterprise'", 'tokens_limit_month = 0', 'tokens_used_month = 0',
    'rate_limit_rpm = 9', "subscription_status = 'active'", "stripe_customer_id = 'x'", "data_plane = 'silo'"];
  for (const change of forbidden)
    await assert.rejects(db.as(db.a, (app) => app.query(`UPDATE kg.tenants SET ${change}`)), denied, change);
  await assert.rejects(db.as(db.a, (app) => app.query('DELETE FROM kg.tenants')), denied);
});

test('D8 nobody becomes an owner but by transfer', async () => {
  await assert.rejects(
    db.as(db.a, (app) => app.query(`INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, 'e@x', 'owner')`, [db.a.id])), denied);
  await assert.rejects(db.as(db.a, (app) => app.query(`UPDATE kg.users SET role = 'owner'`)), denied);
  await db.as(db.a, async (app) => {
    const member = await value(app, `INSERT INTO kg.users (tenant_id, email) VALUES ($1, 'm@x') RETURNING id`, [db.a.id]);
    assert.equal(await value(app, `SELECT kg.set_user_role($1, 'admin')`, [member]), true);
    assert.equal(await value(app, `SELECT kg.set_user_role($1, 'admin')`, [db.b.owner]), false);
    assert.equal((await app.query('DELETE FROM kg.users WHERE id = $1', [db.a.owner])).rowCount, 0);
    assert.equal(await value(app, 'SELECT kg.transfer_ownership($1, $2)', [member, db.a.owner]), false);
    assert.equal(await value(app, 'SELECT kg.transfer_ownership($1, $2)', [db.a.owner, db.b.owner]), false);
    assert.equal(await value(app, 'SELECT kg.transfer_ownership($1, $2)', [db.a.owner, member]), true);
    const { rows } = await app.query('SELECT role FROM kg.users ORDER BY id = $1', [member]);
    assert.deepEqual(rows, [{ role: 'admin' }, { role: 'owner' }]);
  });
  const owner = await value(db.admin, `SELECT id FROM kg.users WHERE tenant_id = $1 AND role = 'owner'`, [db.a.id]);
  await assert.rejects(db.as(db.a, (app) => app.query(`SELECT kg.set_user_role($1, 'member')`, [owner])), denied);
  await assert.rejects(db.as(db.a, (app) => app.query(`SELECT kg.set_user_role($1, 'owner')`, [db.a.owner])), denied);
});

test('D9 nothing can point into another tenant', async () => {
  const foreign = sqlstate('23503');
  await assert.rejects(db.as(db.a, (app) => app.query(
    `INSERT INTO kg.messages (tenant_id, session_id, role, content) VALUES ($1, $2, 'user', 'x')`, [db.a.id, db.b.session])), foreign);
  await assert.rejects(db.as(db.a, (app) => app.query(
    `INSERT INTO kg.api_keys (tenant_id, user_id, key_prefix, key_hash, name)
     VALUES ($1, $2, 'kg_abcde', repeat('1', 64), 'x')`, [db.a.id, db.b.owner])), foreign);
  await assert.rejects(db.as(db.a, (app) => app.query(
    'INSERT INTO kg.sessions (tenant_id, user_id) VALUES ($1, $2)', [db.a.id, db.b.owner])), foreign);
  await assert.rejects(db.as(db.a, (app) => app.query(
    `INSERT INTO kg.agents (tenant_id, name, created_by) VALUES ($1, 'z', $2)`, [db.a.id, db.b.owner])), foreign);
  await assert.rejects(db.as(db.a, (app) => app.query(
    `INSERT INTO kg.turns (id, tenant_id, session_id, message_id, answer_id, status, mode)
     VALUES (gen_random_uuid(), $1, $2, gen_random_uuid(), gen_random_uuid(), 'queued', 'reflect')`, [db.a.id, db.b.session])), foreign);
});

test('D9 a user that goes takes the keys name with it and not the key', async () => {
  const tenant = await db.tenant('tenant-d9');
  await db.admin.query(`INSERT INTO kg.api_keys (tenant_id, user_id, revoked_by, key_prefix, key_hash, name)
                        VALUES ($1, $2, $2, 'kg_abcde', repeat('2', 64), 'x')`, [tenant.id, tenant.owner]);
  await db.admin.query('DELETE FROM kg.users WHERE id = $1', [tenant.owner]);
  const { rows } = await db.admin.query('SELECT user_id, revoked_by FROM kg.api_keys WHERE tenant_id = $1', [tenant.id]);
  assert.deepEqual(rows, [{ user_id: null, revoked_by: null }]);
});

test('D10 usage is append-only', async () => {
  for (const text of ['UPDATE kg.usage_events SET tokens_in = 0', 'UPDATE kg.usage_events SET exported_at = now()',
    'DELETE FROM kg.usage_events', 'TRUNCATE kg.usage_events'])
    await assert.rejects(db.as(db.a, (app) => app.query(text)), denied, text);
  await db.as(db.a, async (app) => {
    for (const type of ['llm_call', 'session_create', 'gpu_seconds', 'api_call'])
      await app.query(`INSERT INTO kg.usage_events (tenant_id, event_type, source) VALUES ($1, $2, 'api')`, [db.a.id, type]);
  });
  await assert.rejects(db.as(db.a, (app) => app.query(
    `INSERT INTO kg.usage_events (tenant_id, event_type, source) VALUES ($1, 'free_lunch', 'api')`, [db.a.id])), sqlstate('23514'));
  await assert.rejects(db.admin.query('DELETE FROM kg.tenants WHERE id = $1', [db.a.id]), sqlstate('23503'));
});

test('D10 the relay stamps usage of all tenants and changes nothing else', async () => {
  for (const role of ['kg_control', 'kg_billing']) {
    const relay = await db.connect(role);
    assert.ok(await value(relay, 'SELECT count(DISTINCT tenant_id) FROM kg.usage_events') >= 2);
    await relay.query('UPDATE kg.usage_events SET exported_at = now(), export_attempts = export_attempts + 1');
    await assert.rejects(relay.query('UPDATE kg.usage_events SET tokens_in = 0'), denied);
    await assert.rejects(relay.query('DELETE FROM kg.usage_events'), denied);
    await assert.rejects(relay.query('SELECT content FROM kg.messages'), denied);
  }
});
