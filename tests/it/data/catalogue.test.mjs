// Rules that hold for every table and function, also for those of migrations to come (design.md section 6).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());

const list = async (text) => (await db.admin.query({ text, rowMode: 'array' })).rows.map((row) => row.join(' '));

test('catalogue: every table with a tenant_id has RLS, FORCE, a policy for each command and WITH CHECK', async () => {
  const tables = `
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
     WHERE c.relnamespace = 'kg'::regnamespace AND c.relkind IN ('r', 'p')
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)`;
  assert.ok((await list(tables)).length >= 12);
  assert.deepEqual(await list(`SELECT relname FROM (${tables}) t WHERE NOT relrowsecurity OR NOT relforcerowsecurity`), []);
  assert.deepEqual(await list(`
    SELECT t.relname, cmd FROM (${tables}) t, unnest('{r,a,w,d}'::"char"[]) cmd
     WHERE NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.oid AND p.polcmd IN (cmd, '*')
                          AND (cmd IN ('r', 'd') OR p.polwithcheck IS NOT NULL))`), []);
});

test('catalogue: tenants themselves are forced too, and no policy is for PUBLIC', async () => {
  assert.deepEqual(await list(`SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'kg.tenants'::regclass`),
    ['true true']);
  assert.deepEqual(await list('SELECT polname FROM pg_policy WHERE 0 = ANY (polroles)'), []);
});

test('catalogue: every policy of the application compares with the context', async () => {
  assert.deepEqual(await list(`
    SELECT tablename, policyname FROM pg_policies
     WHERE 'kg_app' = ANY (roles) AND tablename <> 'tier_limits'
       AND (coalesce(qual, with_check) !~ 'current_tenant_id' OR coalesce(with_check, qual) !~ 'current_tenant_id')`), []);
});

test('catalogue: every foreign key between tenant tables carries the tenant', async () => {
  assert.deepEqual(await list(`
    SELECT k.conname FROM pg_constraint k
     WHERE k.contype = 'f' AND k.connamespace = 'kg'::regnamespace AND k.confrelid <> 'kg.tenants'::regclass
       AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
                          AND a.attname = 'tenant_id')`), []);
});

const ours = `p.pronamespace = 'kg'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')`;

test('catalogue: every function has a pinned search_path and none is for PUBLIC', async () => {
  assert.deepEqual(await list(`
    SELECT p.proname FROM pg_proc p
     WHERE ${ours} AND p.prosqlbody IS NULL -- whose names are bound when it is made
       -- pg_temp last: where it is not named it comes first.
       AND NOT coalesce('search_path=pg_catalog, kg, pg_temp' = ANY (p.proconfig), false)`), []);
  assert.deepEqual(await list(`
    SELECT p.proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
     WHERE ${ours} AND acl.grantee = 0`), []);
});

test('catalogue: definer functions are those of kg_definer', async () => {
  assert.deepEqual(await list(`
    SELECT p.proname FROM pg_proc p WHERE ${ours} AND p.prosecdef <> (p.proowner = 'kg_definer'::regrole)`), []);
});

test('catalogue: no role gets TRUNCATE, REFERENCES or TRIGGER, and PUBLIC gets nothing', async () => {
  assert.deepEqual(await list(`
    SELECT c.relname, acl.grantee::regrole, acl.privilege_type
      FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
     WHERE c.relnamespace = 'kg'::regnamespace AND acl.grantee <> c.relowner
       AND (acl.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') OR acl.grantee = 0)`), []);
  assert.deepEqual(await list(`
    SELECT n.nspname, acl.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) acl
     WHERE n.nspname IN ('kg', 'public') AND acl.grantee = 0`), []);
});

test('catalogue: kg_definer may create nothing once a migration is over', async () => {
  assert.deepEqual(await list(`SELECT has_schema_privilege('kg_definer', 'kg', 'CREATE')`), ['false']);
});

test('catalogue: views run with the rights of whoever asks', async () => {
  assert.deepEqual(await list(`
    SELECT relname FROM pg_class WHERE relnamespace = 'kg'::regnamespace AND relkind = 'v'
       AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)`), []);
});

test('catalogue: the application sees neither outbox, ledger, Stripe events nor hashes', async () => {
  for (const table of ['outbox', 'outbox_dlq', 'stripe_events', 'schema_migrations'])
    assert.deepEqual(await list(`
      SELECT privilege FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege
       WHERE has_table_privilege('kg_app', 'kg.${table}', privilege)`), [], table);
  assert.deepEqual(await list(`SELECT has_column_privilege('kg_app', 'kg.api_keys', 'key_hash', 'SELECT')`), ['false']);
});
