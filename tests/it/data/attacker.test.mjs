// Whoever has the application's own connection, by an injected statement or a stolen credential: what it can reach beyond
// the tenant of its transaction, and what the other roles can reach beyond their work. Tables and functions come from the
// catalogue, so what a later migration adds is attacked too.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { denied, openDatabase, sqlstate, value } from './database.mjs';

const secret = `secret${randomUUID().slice(0, 8)}`;
let db, attacker, tables;
before(async () => {
  db = await openDatabase();
  // Grants on a database are not copied with it.
  await db.admin.query(`REVOKE TEMPORARY ON DATABASE ${db.admin.database} FROM PUBLIC`);
  attacker = await db.connect('kg_app');
  tables = (await db.admin.query(`
    SELECT c.oid, c.relname AS name FROM pg_class c
     WHERE c.relnamespace = 'kg'::regnamespace AND c.relkind IN ('r', 'p')
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
     ORDER BY 2`)).rows;
  for (const tenant of [db.a, db.b]) for (const table of tables) await plant(table, tenant, tenant === db.b ? secret : 'own');
  await db.admin.query('ANALYZE');
});
after(() => db.close());

/// A row of that tenant, with `word` wherever a text may be. Nobody asks for its rows to make sense, so checks, triggers and
/// foreign keys look away for the moment.
async function plant({ oid, name }, tenant, word) {
  const { rows: columns } = await db.admin.query(`
    SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS needed, a.atthasdef AS has
      FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attgenerated = ''`, [oid]);
  const { rows: checks } = await db.admin.query(`SELECT conname AS name, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = $1 AND contype = 'c'`, [oid]);
  const chosen = columns.filter((c) => c.name === 'tenant_id' || (c.needed && !c.has) || /^(text|jsonb?)$/.test(c.type));
  const made = { text: `'${word}'`, uuid: 'gen_random_uuid()', json: `'{"word": "${word}"}'`, jsonb: `'{"word": "${word}"}'`, boolean: 'false', date: 'current_date', interval: `'1 hour'`, 'timestamp with time zone': 'now()', bytea: `'x'`, xid8: `'1'` };
  const of = (c) => {
    if (c.name === 'tenant_id') return `'${tenant.id}'`;
    if (c.name === 'session_id') return `'${tenant.session}'`;
    if (c.name === 'key_hash') return `encode(sha256(gen_random_uuid()::text::bytea), 'hex')`;
    return /\[\]$/.test(c.type) ? `'{}'` : (made[c.type] ?? `'1'`);
  };
  await db.admin.query('BEGIN; SET LOCAL session_replication_role = replica');
  for (const check of checks) await db.admin.query(`ALTER TABLE kg.${name} DROP CONSTRAINT ${check.name}`);
  await db.admin.query(`INSERT INTO kg.${name} (${chosen.map((c) => c.name)}) VALUES (${chosen.map(of)}) ON CONFLICT DO NOTHING`);
  for (const check of checks) await db.admin.query(`ALTER TABLE kg.${name} ADD CONSTRAINT ${check.name} ${check.text.replace(/ NOT VALID$/, '')} NOT VALID`);
  await db.admin.query('COMMIT');
}

/// All that is the tenant's, as one number: whether anything of it was changed, whoever changed it.
async function digestOf(tenant) {
  const parts = [];
  for (const { name } of [...tables, { name: 'tenants' }])
    parts.push(`${name} ${await value(db.admin, `SELECT count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM kg.${name} t WHERE ${name === 'tenants' ? 'id' : 'tenant_id'} = $1`, [tenant.id])}`);
  return parts.join('\n');
}

/// Nothing of the other tenant's in what came back, be it rows or an error.
function discreet(found, what) {
  const text = JSON.stringify(found.rows ?? [found.message, found.detail, found.hint, found.where]);
  for (const word of [secret, db.b.session, db.b.owner]) assert.ok(!text.includes(word), `${what} tells ${word}: ${text.slice(0, 400)}`);
}

const tryAs = (tenant, text, params) => db.as(tenant, (app) => app.query(text, params), attacker).catch((error) => error);
const readable = async (name) => (await db.admin.query(`
  SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute a
   WHERE a.attrelid = ('kg.' || $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege('kg_app', a.attrelid, a.attnum, 'SELECT')`, [name])).rows;

test('attacker: of every table there are the rows of the context and no others, and none without one', async () => {
  let looked = 0;
  for (const { name } of tables) {
    const columns = (await readable(name)).map((c) => c.name);
    if (columns.length === 0) continue;
    looked += 1;
    const text = `SELECT ${columns} FROM kg.${name}`;
    assert.equal((await attacker.query(text)).rowCount, 0, name);
    const mine = await db.as(db.a, (app) => app.query(text), attacker);
    assert.equal(mine.rowCount, await value(db.admin, `SELECT count(*) FROM kg.${name} WHERE tenant_id = $1`, [db.a.id]), name);
    discreet(mine, name);
    if (name !== 'cluster_nodes') assert.ok(await value(db.admin, `SELECT count(*) FROM kg.${name} WHERE tenant_id = $1`, [db.b.id]) > 0, `${name} has something to hide`);
  }
  assert.ok(looked > 30, `${looked} tables`);
});

test('attacker: no row of another tenant is changed, taken or made, by any table', async () => {
  const before = await digestOf(db.b);
  for (const { name } of tables) {
    const columns = await readable(name);
    for (const text of [`DELETE FROM kg.${name}`, `DELETE FROM kg.${name} WHERE tenant_id = '${db.b.id}'`, `TRUNCATE kg.${name}`,
      ...columns.map((c) => `UPDATE kg.${name} SET ${c.name} = ${c.name} WHERE tenant_id = '${db.b.id}'`), `UPDATE kg.${name} SET tenant_id = '${db.b.id}'`,
      `INSERT INTO kg.${name} (tenant_id) VALUES ('${db.b.id}') ON CONFLICT DO NOTHING`, `SELECT * FROM kg.${name} WHERE tenant_id = '${db.b.id}' FOR UPDATE`]) {
      // One round trip, whose last result but one is that of the statement.
      const all = await attacker.query(`BEGIN; SELECT kg.set_tenant_context('${db.a.id}'); ${text}; ROLLBACK`).catch((error) => error);
      if (all instanceof Error) await attacker.query('ROLLBACK');
      const found = all instanceof Error ? all : all.at(-2);
      discreet(found, text);
      if (/tenant_id = '/.test(text) && !(found instanceof Error) && !text.includes('SET tenant_id')) assert.equal(found.rowCount, 0, text);
      if (/^(TRUNCATE|INSERT|UPDATE kg\.\w+ SET tenant_id)/.test(text) && !(found instanceof Error)) assert.equal(found.rowCount, 0, text);
    }
  }
  assert.equal(await digestOf(db.b), before);
});

// Functions that look across tenants by a credential's hash or subject: that is how a tenant is found in the first place.
const lookUps = ['resolve_api_key', 'resolve_user'];

test('attacker: every function it may call does nothing to another tenant, whatever it is told', async (t) => {
  const { rows: functions } = await db.admin.query(`
    SELECT p.proname AS name, p.oid::regprocedure::text AS signature, coalesce((SELECT array_agg(format_type(x, NULL) ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (x, n)), '{}') AS types
      FROM pg_proc p WHERE p.pronamespace = 'kg'::regnamespace AND has_function_privilege('kg_app', p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY 1`);
  assert.ok(functions.length > 30);
  const before = await digestOf(db.b);
  const ids = async (table) => value(db.admin, `SELECT id FROM kg.${table} WHERE tenant_id = $1 LIMIT 1`, [db.b.id]);
  const theirs = { tenant: db.b.id, session: db.b.session, user: db.b.owner, key: await ids('api_keys'), turn: await ids('turns'), message: await ids('messages'), usage: await ids('usage_events') };
  let called = 0;
  let refused = 0;
  for (const { name, signature, types } of functions)
    for (const id of Object.values(theirs))
      for (const word of [secret, 'member']) {
        const argument = (type) => {
          if (type === 'uuid') return id;
          if (type === 'uuid[]') return [id];
          if (/\[\]$/.test(type)) return `{${/^(text|character)/.test(type) ? `"${word}"` : '1'}}`;
          if (/^json/.test(type)) return JSON.stringify({ key: theirs.key, tenant: { id: db.b.id }, all: true, users: [], keys: [], scopes: ['read', 'write', 'admin', 'billing'], request_id: word });
          if (/^(text|character)/.test(type)) return word;
          if (type === 'boolean') return true;
          if (/^timestamp/.test(type)) return new Date();
          if (type === 'interval') return '1 hour';
          if (/^kg\.|^actor$/.test(type)) return null;
          return 1;
        };
        try {
          // A context of its own, but for what sets one.
          await attacker.query(`BEGIN; ${/^set_.*context$/.test(name) ? '' : `SELECT kg.set_tenant_context('${db.a.id}')`}`);
          const found = await attacker.query(`SELECT * FROM ${/^kg\./.test(signature) ? '' : 'kg.'}${signature.split('(')[0]}(${types.map((type, i) => `$${i + 1}::${type}`)})`, types.map(argument));
          called += 1;
          if (!lookUps.includes(name)) discreet(found, `${signature} of ${id}`);
          // Committed, so that what it did would be seen.
          await attacker.query(/^set_.*context$/.test(name) ? 'ROLLBACK' : 'COMMIT');
        } catch (error) {
          refused += 1;
          if (error instanceof assert.AssertionError) throw error;
          if (error.code?.startsWith('XX')) throw error;
          const said = { ...error, message: error.message.replaceAll(word, '<word>').replaceAll(id, '<id>') };
          if (word !== secret) discreet({ message: said.message, detail: error.detail?.replaceAll(id, '<id>') }, `${signature} of ${id}`);
          await attacker.query('ROLLBACK');
        }
      }
  t.diagnostic(`${functions.length} functions, ${called} calls answered, ${refused} refused`);
  assert.ok(called > 200 && refused > 100);
  assert.equal(await digestOf(db.b), before);
});

test('attacker: no setting, role, object or language gives more rights', async () => {
  const client = await db.connect('kg_app');
  const roles = (await db.admin.query(`SELECT rolname FROM pg_roles WHERE rolname <> 'kg_app'`)).rows.map((x) => x.rolname);
  const attempts = [
    ...roles.flatMap((role) => [`SET ROLE ${role}`, `SET SESSION AUTHORIZATION ${role}`, `GRANT ${role} TO kg_app`, `REASSIGN OWNED BY ${role} TO kg_app`]),
    'SET session_replication_role = replica', `SET log_statement = 'all'`, `ALTER SYSTEM SET fsync = off`, 'ALTER ROLE kg_app BYPASSRLS', 'ALTER ROLE kg_app SUPERUSER',
    'ALTER ROLE kg_definer LOGIN', 'CREATE ROLE x SUPERUSER',
    'ALTER TABLE kg.sessions DISABLE ROW LEVEL SECURITY', 'ALTER TABLE kg.sessions NO FORCE ROW LEVEL SECURITY', 'CREATE POLICY x ON kg.sessions USING (true)',
    'DROP POLICY sessions_tenant_isolation ON kg.sessions', 'DROP TRIGGER sessions_outbox_trigger ON kg.sessions',
    'ALTER TABLE kg.sessions DISABLE TRIGGER ALL', 'CREATE TABLE kg.x (y int)', 'CREATE TABLE public.x (y int)', 'CREATE SCHEMA x', 'CREATE TEMP TABLE x (y int)',
    'CREATE TEMP VIEW x AS SELECT 1', 'CREATE DOMAIN pg_temp.text AS varchar', 'CREATE EXTENSION dblink', 'CREATE EXTENSION file_fdw',
    `CREATE FUNCTION kg.x() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE FUNCTION public.x() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
    `CREATE FUNCTION pg_temp.x() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
    `CREATE OR REPLACE FUNCTION kg.current_tenant_id() RETURNS uuid LANGUAGE sql AS $$ SELECT '${db.b.id}'::uuid $$`,
    'DROP FUNCTION kg.current_tenant_id() CASCADE', 'CREATE VIEW public.x AS SELECT * FROM kg.sessions',
    'CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION kg.update_updated_at()', 'CREATE SUBSCRIPTION x CONNECTION $$dbname=x$$ PUBLICATION y',
    'CREATE PUBLICATION x FOR ALL TABLES',
    `COPY kg.sessions TO '/tmp/x'`, `COPY kg.sessions TO PROGRAM 'cat'`, `COPY kg.sessions FROM PROGRAM 'id'`, `SELECT pg_read_file('/etc/passwd')`,
    `SELECT pg_ls_dir('/')`, `SELECT lo_import('/etc/passwd')`, `SELECT lo_export(1, '/tmp/x')`, 'SELECT * FROM pg_authid', 'SELECT * FROM pg_statistic',
    'SELECT * FROM pg_shadow', 'SELECT * FROM pg_hba_file_rules', 'SELECT pg_reload_conf()', `SELECT pg_switch_wal()`,
    `SELECT pg_create_logical_replication_slot('x', 'test_decoding')`, 'SELECT * FROM pg_largeobject', 'CREATE SERVER x FOREIGN DATA WRAPPER y',
    'VACUUM FULL kg.sessions', 'REINDEX TABLE kg.sessions', 'CLUSTER kg.sessions USING sessions_pkey', 'COMMENT ON TABLE kg.sessions IS $$x$$',
    'SECURITY LABEL ON TABLE kg.sessions IS $$x$$',
    'SELECT kg.clear_tenant_context()', 'CREATE RULE x AS ON SELECT TO kg.sessions DO INSTEAD SELECT 1', 'CREATE STATISTICS x ON id, tenant_id FROM kg.sessions',
    'CREATE INDEX ON kg.sessions ((1))', 'DROP DATABASE postgres', 'CREATE DATABASE x', `ALTER DATABASE ${db.admin.database} SET row_security = off`,
  ];
  for (const text of attempts) {
    await client.query('BEGIN');
    const found = await client.query(text).catch((error) => error);
    await client.query('ROLLBACK');
    const harmless = /^(VACUUM|REINDEX|CLUSTER)/.test(text); // a warning, or a refusal inside a transaction
    assert.ok(found instanceof Error || harmless, `${text} was done`);
    discreet(found, text);
  }
  // PostgreSQL lets anybody set this: it turns what would be hidden into an error.
  await client.query('SET row_security = off');
  for (const { name } of tables) await assert.rejects(client.query(`SELECT 1 FROM kg.${name}`), denied, name);
  // In whichever database, a connection may be somebody else's next: nothing may be left in it.
  await client.query('RESET ALL');
});

test('attacker: types and tables of its own are not taken for those of a definer function', async () => {
  // As where the migrator does not own the database, and could not take TEMPORARY away.
  await db.admin.query(`GRANT TEMPORARY ON DATABASE ${db.admin.database} TO kg_app`);
  const client = await db.connect('kg_app');
  try {
    await client.query(`CREATE FUNCTION pg_temp.run(x varchar) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
      IF current_user <> 'kg_app' THEN RAISE EXCEPTION 'runs as %', current_user; END IF; RETURN true; END $$`);
    for (const [type, base] of [['text', 'varchar'], ['uuid', 'pg_catalog.uuid'], ['bool', 'pg_catalog.bool'], ['int8', 'pg_catalog.int8'], ['int4', 'pg_catalog.int4'], ['jsonb', 'pg_catalog.jsonb'], ['timestamptz', 'pg_catalog.timestamptz']])
      await client.query(`CREATE DOMAIN pg_temp.${type} AS ${base} CHECK (pg_temp.run(VALUE::varchar))`);
    for (const { name } of tables.slice(0, 60)) await client.query(`CREATE TEMP TABLE ${name} (id pg_catalog.uuid, tenant_id pg_catalog.uuid CHECK (pg_temp.run('x')))`);
    await client.query('SET search_path = pg_temp, kg, pg_catalog');
    const { rows } = await db.admin.query(`SELECT p.oid::regprocedure::text AS signature, coalesce((SELECT array_agg('pg_catalog.' || quote_ident(t.typname) ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (x, n) JOIN pg_type t ON t.oid = u.x), '{}') AS types
      FROM pg_proc p WHERE p.pronamespace = 'kg'::regnamespace AND p.prosecdef AND has_function_privilege('kg_app', p.oid, 'EXECUTE')`);
    assert.ok(rows.length > 8);
    for (const { signature, types } of rows) {
      await client.query('BEGIN');
      const values = types.map((type) => (/uuid$/.test(type) ? `'${db.a.owner}'` : /json/.test(type) ? `'{"key": "${db.a.owner}", "scopes": ["admin"]}'` : /\._/.test(type) ? `'{}'` : /(text|varchar)$/.test(type) ? `'member'` : /bool$/.test(type) ? 'true' : /timestamp/.test(type) ? `'now'` : `'1'`));
      try {
        await client.query(`SELECT pg_catalog.set_config('app.current_tenant', '${db.a.id}', true)`);
        await client.query(`SELECT kg.${signature.replace(/^kg\./, '').split('(')[0]}(${types.map((type, i) => `${values[i]}::${type}`)})`);
      } catch (error) {
        assert.doesNotMatch(error.message, /runs as/, signature);
      }
      await client.query('ROLLBACK');
    }
  } finally {
    await db.admin.query(`REVOKE TEMPORARY ON DATABASE ${db.admin.database} FROM kg_app`);
  }
});

test('attacker: nothing of a transaction\'s tenant is left for the next', async () => {
  const client = await db.connect('kg_app');
  const begin = async (tenant) => {
    await client.query('BEGIN');
    if (tenant) await client.query('SELECT kg.set_tenant_context($1)', [tenant.id]);
  };
  await client.query('PREPARE mine AS SELECT tenant_id FROM kg.sessions');
  await begin(db.b);
  assert.deepEqual(new Set((await client.query('EXECUTE mine')).rows.map((x) => x.tenant_id)), new Set([db.b.id]));
  await client.query('DECLARE open CURSOR FOR SELECT * FROM kg.sessions');
  await client.query('COMMIT');
  assert.equal((await client.query('EXECUTE mine')).rowCount, 0, 'without a context');
  await begin(db.a);
  assert.deepEqual(new Set((await client.query('EXECUTE mine')).rows.map((x) => x.tenant_id)), new Set([db.a.id]));
  await assert.rejects(client.query('FETCH ALL FROM open'), sqlstate('34000'));
  await client.query('ROLLBACK');
  for (const setter of ['set_tenant_context', 'set_control_context']) {
    await begin(db.a);
    await assert.rejects(client.query(`SELECT kg.${setter}($1)`, [db.b.id]), denied);
    await client.query('ROLLBACK');
    await begin(db.a);
    await client.query('SAVEPOINT s');
    await assert.rejects(client.query(`SELECT kg.${setter}($1)`, [db.b.id]), denied);
    await client.query('ROLLBACK TO s');
    assert.equal(await value(client, 'SELECT kg.current_tenant_id()'), db.a.id, 'a savepoint is no way out');
    await client.query('ROLLBACK');
  }
  // Whoever writes the setting itself for the session locks the next tenant out rather than letting it in (data.md 14, 15).
  await client.query(`SELECT set_config('app.current_tenant', $1, false)`, [db.b.id]);
  await client.query('BEGIN');
  await assert.rejects(client.query('SELECT kg.set_tenant_context($1)', [db.a.id]), denied);
  await client.query('ROLLBACK');
  await client.query(`SELECT set_config('app.current_tenant', 'no uuid', false)`);
  await assert.rejects(client.query('SELECT * FROM kg.sessions'), sqlstate('22P02'));
});

test('attacker: an error says nothing of rows that are hidden, and no predicate looks at them', async () => {
  const nobody = randomUUID();
  for (const { name } of tables)
    for (const { name: column, type } of await readable(name)) {
      if (!/text|json/.test(type)) continue;
      for (const test of [`(${column})::text::pg_catalog.int4 > 0`, `1 / (CASE WHEN ${column}::text LIKE '%${secret}%' THEN 0 ELSE 1 END) > 0`]) {
        const found = await tryAs(nobody, `SELECT 1 FROM kg.${name} WHERE ${test}`);
        assert.equal(found.rowCount, 0, `${name}.${column}: ${found.message}`);
      }
    }
  // A value that is taken by somebody else is told of by its own text alone.
  const key = (await db.admin.query(`SELECT id, key_hash FROM kg.api_keys WHERE tenant_id = $1`, [db.b.id])).rows[0];
  await db.admin.query(`UPDATE kg.users SET external_auth_provider = 'idp', external_auth_id = 'subject' WHERE id = $1`, [db.b.owner]);
  for (const [text, params] of [
    ['INSERT INTO kg.sessions (id, tenant_id) VALUES ($1, $2)', [db.b.session, db.a.id]],
    [`INSERT INTO kg.users (id, tenant_id, email) VALUES ($1, $2, 'x@x')`, [db.b.owner, db.a.id]],
    [`INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name) VALUES ($1, 'kg_abcde', $2, 'x')`, [db.a.id, key.key_hash]],
    [`INSERT INTO kg.users (tenant_id, email, external_auth_provider, external_auth_id) VALUES ($1, 'y@x', 'idp', 'subject')`, [db.a.id]],
  ]) {
    const found = await tryAs(db.a, text, params);
    assert.equal(found.code, '23505', text);
    assert.ok(!found.detail || params.concat('subject').some((x) => found.detail.includes(x)), found.detail);
    assert.ok(![secret, db.b.id, key.id].some((word) => `${found.message} ${found.detail}`.includes(word)));
    // Nor can it be taken over.
    const upsert = await tryAs(db.a, `${text} ON CONFLICT ${/external/.test(text) ? '(external_auth_provider, external_auth_id)' : /key_hash/.test(text) ? '(key_hash)' : '(id)'} DO UPDATE SET ${/sessions/.test(text) ? 'title' : 'name'} = 'mine' RETURNING *`, params);
    assert.ok(upsert instanceof Error, text);
    discreet({ message: upsert.message }, text);
  }
});

test('attacker: the catalogue tells of no tenant', async () => {
  const stats = await attacker.query(`SELECT tablename, attname FROM pg_stats WHERE schemaname = 'kg' AND tablename = ANY ($1)`, [tables.map((x) => x.name)]);
  assert.deepEqual(stats.rows, [], 'values that statistics sample');
  assert.deepEqual((await attacker.query(`SELECT * FROM pg_stats_ext WHERE schemaname = 'kg'`)).rows, []);
  const sequences = (await db.admin.query(`SELECT c.relname FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace = 'kg'::regnamespace`)).rows;
  for (const { relname } of sequences) await assert.rejects(attacker.query(`SELECT last_value FROM kg.${relname}`), denied, relname);
  assert.deepEqual((await attacker.query(`SELECT sequencename FROM pg_sequences WHERE schemaname = 'kg' AND last_value IS NOT NULL`)).rows, []);
  // The statements of its own role's other sessions are there to see: values go beside them, as parameters.
  const other = await db.connect('kg_app');
  await db.as(db.b, (app) => app.query('SELECT $1::text', [secret]), other);
  discreet(await attacker.query(`SELECT query, application_name FROM pg_stat_activity`), 'pg_stat_activity');
  assert.deepEqual((await attacker.query(`SELECT statement FROM pg_prepared_statements`)).rows, []);
  assert.equal((await attacker.query('SELECT * FROM pg_largeobject_metadata')).rowCount, 0);
  for (const view of ['kg.garden_stats']) if ((await attacker.query(`SELECT to_regclass('${view}') AS here`)).rows[0].here) discreet(await tryAs(db.a, `SELECT * FROM ${view}`), view);
});

test('attacker: usage is of now and only added; keys, roles and counters are not written around', async () => {
  for (const [columns, values] of [['billing_period', `'9999-12'`], ['billing_period', `'2020-01'`], ['created_at', `'2020-01-01'`], ['exported_at', 'now()'], ['export_attempts', '9'], ['quantity', '0'], ['xact', `'0'`]])
    assert.equal((await tryAs(db.a, `INSERT INTO kg.usage_events (tenant_id, event_type, source, ${columns}) VALUES ('${db.a.id}', 'api_call', 'api', ${values})`)).code, '42501', columns);
  for (const column of ['tokens_in', 'tokens_out', 'storage_bytes', 'compute_ms'])
    assert.equal((await tryAs(db.a, `INSERT INTO kg.usage_events (tenant_id, event_type, source, ${column}) VALUES ('${db.a.id}', 'api_call', 'api', -1)`)).code, '23514', column);
  const mine = `tenant_id, key_prefix, key_hash, name`;
  const row = `'${db.a.id}', 'kg_abcde', encode(sha256(gen_random_uuid()::text::bytea), 'hex'), 'x'`;
  for (const text of [
    `INSERT INTO kg.api_keys (${mine}, scopes) VALUES (${row}, '{read,write,admin,billing}')`,
    `INSERT INTO kg.api_keys (${mine}, tier_override) VALUES (${row}, 'enterprise')`, `INSERT INTO kg.api_keys (${mine}, tokens_limit_month) VALUES (${row}, 0)`,
    `UPDATE kg.api_keys SET scopes = '{read,write,admin,billing}'`, 'UPDATE kg.api_keys SET key_hash = key_hash', 'SELECT key_hash FROM kg.api_keys',
    'SELECT * FROM kg.api_keys', `SELECT 1 FROM kg.api_keys WHERE key_hash LIKE 'a%'`, 'SELECT api_keys FROM kg.api_keys',
    'INSERT INTO kg.api_keys (tenant_id) VALUES (NULL) RETURNING key_hash',
    `INSERT INTO kg.users (tenant_id, email, role) VALUES ('${db.a.id}', 'z@x', 'admin')`, `UPDATE kg.users SET role = 'admin'`,
    'UPDATE kg.usage_counters SET operations = 0', 'DELETE FROM kg.usage_counters', 'UPDATE kg.tier_limits SET rpm = 0',
    'INSERT INTO kg.audit_log (tenant_id) VALUES (NULL)', 'DELETE FROM kg.audit_log', 'UPDATE kg.audit_log SET outcome = outcome',
  ])
    assert.ok((await tryAs(db.a, text)) instanceof Error, text);
});

/// What a role may do beyond the catalogue's public part: tables by command, columns, and functions.
async function rightsOf(role) {
  const { rows } = await db.admin.query(`
    SELECT c.relname || ' ' || string_agg(DISTINCT p, ',' ORDER BY p) AS x FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped, unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) p
     WHERE c.relnamespace = 'kg'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND has_column_privilege($1, c.oid, a.attnum, p) GROUP BY c.relname ORDER BY 1`, [role]);
  return rows.map((x) => x.x);
}

test('attacker: the other roles reach what their work needs', async () => {
  const allowed = {
    kg_control: [/^usage_(events|counters) /, /^silo SELECT$/],
    kg_cdc: [/^outbox(_dlq|_stats)? /, /^(memories|persona_garden) SELECT$/],
    kg_billing: [/^(billing_events|metering_quarantine|stripe_events) /, /^tier_limits SELECT$/, /^usage_events SELECT,UPDATE$/],
    kg_metrics: [/^outbox(_stats)? SELECT$/],
  };
  for (const [role, patterns] of Object.entries(allowed)) {
    const rights = await rightsOf(role);
    assert.deepEqual(rights.filter((x) => !patterns.some((p) => p.test(x))), [], role);
    const client = await db.connect(role);
    for (const other of ['kg_owner', 'kg_definer', 'kg_admin', 'kg_app', 'kg_migrator', 'postgres']) await assert.rejects(client.query(`SET ROLE ${other}`), denied, `${role} as ${other}`);
    for (const text of [
      'SELECT content FROM kg.messages', 'SELECT * FROM kg.sessions', 'SELECT key_hash FROM kg.api_keys', 'SELECT * FROM kg.users', 'SELECT * FROM kg.tenants', 'SELECT * FROM kg.audit_log',
      `UPDATE kg.tenants SET subscription_tier = 'custom'`, `SELECT * FROM kg.resolve_api_key('x')`, `SELECT kg.set_tenant_context('${db.b.id}')`,
      'CREATE TEMP TABLE x (y int)', 'CREATE TABLE kg.x (y int)', 'DELETE FROM kg.usage_events', 'TRUNCATE kg.outbox',
    ])
      await assert.rejects(client.query(text), denied, `${role}: ${text}`);
    // A context is nothing to them: no policy is theirs.
    await client.query(`SELECT set_config('app.current_tenant', $1, false)`, [db.b.id]);
    await assert.rejects(client.query('SELECT title FROM kg.sessions'), denied, role);
  }
  const definers = (await db.admin.query(`SELECT p.proname FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'kg'::regnamespace AND has_function_privilege('kg_app', p.oid, 'EXECUTE') AND has_function_privilege('kg_control', p.oid, 'EXECUTE')`)).rows.map((x) => x.proname);
  assert.deepEqual(definers.sort(), ['development_keys_exist', 'schema_version'], 'what both may call tells of no tenant');
});

test('attacker: what every role can listen to names no tenant', async () => {
  const channels = (await db.admin.query(`SELECT DISTINCT x[1] AS name FROM pg_proc p, regexp_matches(p.prosrc, 'pg_notify\\(''(\\w+)''', 'g') x WHERE p.pronamespace = 'kg'::regnamespace`)).rows.map((x) => x.name);
  assert.ok(channels.includes('kg_agentese'));
  const other = await db.tenant('tenant-heard');
  const key = `INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name) VALUES ($1, 'kg_abcde', encode(sha256($1::uuid::text::bytea), 'hex'), 'x')`;
  await db.admin.query(key, [other.id]);
  const heard = [];
  attacker.on('notification', (x) => heard.push(x));
  for (const name of channels) await attacker.query(`LISTEN ${name}`);
  const texts = ['changed', 'world.house', 'state', 'guest', null, '{}', false, 'ok', 1, 0, null, null, null, 'state', null, Date.now() * 1000, null, null, 0, 0, 'api'].map((x) => [x]);
  await db.control.query(`SELECT * FROM kg.log_agentese_events(${Array.from({ length: 23 }, (_, i) => `$${i + 1}`)})`, [[other.id], [randomUUID()], ...texts]);
  await db.admin.query('UPDATE kg.api_keys SET is_active = NOT is_active WHERE tenant_id = $1', [other.id]);
  await db.admin.query(`UPDATE kg.tenants SET subscription_status = 'paused' WHERE id = $1`, [other.id]);
  await attacker.query('SELECT 1'); // what was told comes with the answer at the latest
  assert.ok(heard.some((x) => x.channel === 'kg_agentese'), JSON.stringify(heard));
  for (const { channel, payload } of heard) for (const word of [other.id, other.id.replaceAll('-', ''), other.owner]) assert.ok(!payload.includes(word), `${channel}: ${payload}`);
});
