-- Roles, schema and ledger. Runs as whoever connected: a superuser, or kg_migrator when the roles exist already.
-- Roles get no password here; how they log in is the operator's affair.

DO $roles$
DECLARE
  wanted record;
  missing text[] := '{}';
  wrong text[] := '{}';
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      -- name, can log in, bypasses RLS, inherits
      ('kg_owner',    false, false, true),   -- owns schema and tables; used through SET ROLE only
      ('kg_definer',  false, true,  true),   -- owns the SECURITY DEFINER functions; nobody logs in as it
      ('kg_migrator', true,  false, true),   -- applies migrations
      ('kg_app',      true,  false, false),  -- the API: tenant-scoped DML through RLS
      ('kg_control',  true,  false, false),  -- leases, membership, turn recovery, relays
      ('kg_cdc',      true,  false, false),  -- reads and acknowledges the outbox
      ('kg_billing',  true,  false, false),  -- exports usage, applies Stripe events
      ('kg_admin',    true,  true,  false),  -- operators and provisioning: all data, no DDL
      ('kg_metrics',  true,  false, true)    -- statistics; inherits pg_monitor
    ) AS r (name, login, bypass, inherits)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION %s %s %s',
          wanted.name,
          CASE WHEN wanted.login THEN 'LOGIN' ELSE 'NOLOGIN' END,
          CASE WHEN wanted.bypass THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
          CASE WHEN wanted.inherits THEN 'INHERIT' ELSE 'NOINHERIT' END);
      EXCEPTION
        WHEN insufficient_privilege THEN
          missing := missing || wanted.name;
        WHEN duplicate_object OR unique_violation THEN
          NULL;  -- roles are global: a migration of another database created it just now
      END;
    END IF;
  END LOOP;
  IF missing <> '{}' THEN
    RAISE EXCEPTION 'role % may not create the missing roles: %',
        session_user, array_to_string(missing, ', ')
      USING ERRCODE = 'insufficient_privilege',
            HINT = 'Create them as a superuser (attributes: sql/migrations/00-roles.sql) or let'
                   ' DATABASE_ADMIN_URL connect as a superuser once.';
  END IF;

  -- A role that bypasses RLS by mistake would make isolation a fiction, silently.
  SELECT coalesce(array_agg(rolname::text ORDER BY rolname), '{}') INTO wrong
    FROM pg_roles
   WHERE (rolname LIKE 'kg\_%' AND rolsuper
          AND rolname IN ('kg_owner', 'kg_definer', 'kg_migrator', 'kg_app', 'kg_control', 'kg_cdc',
                          'kg_billing', 'kg_admin', 'kg_metrics'))
      OR (rolbypassrls AND rolname IN ('kg_owner', 'kg_migrator', 'kg_app', 'kg_control', 'kg_cdc',
                                       'kg_billing', 'kg_metrics'))
      OR (NOT rolbypassrls AND rolname IN ('kg_definer', 'kg_admin'));
  IF wrong <> '{}' THEN
    RAISE EXCEPTION 'roles with wrong attributes: %', array_to_string(wrong, ', ')
      USING HINT = 'None may be SUPERUSER; only kg_definer and kg_admin may, and must, be BYPASSRLS.';
  END IF;
END
$roles$;

-- Memberships and limits of sessions. A migrator that may not alter roles finds them set up by whoever created them.
DO $settings$
DECLARE
  command text;
BEGIN
  FOREACH command IN ARRAY ARRAY[
    -- kg_definer too: its functions are created under SET ROLE. BYPASSRLS is not inherited by members.
    'GRANT kg_owner, kg_admin, kg_definer TO kg_migrator',
    'GRANT pg_monitor TO kg_metrics',
    'ALTER ROLE kg_app SET statement_timeout = ''15s''',
    'ALTER ROLE kg_app SET idle_in_transaction_session_timeout = ''30s''',
    'ALTER ROLE kg_app SET lock_timeout = ''3s''',
    'ALTER ROLE kg_app SET timezone = ''UTC''',
    'ALTER ROLE kg_control SET statement_timeout = ''15s''',
    'ALTER ROLE kg_control SET idle_in_transaction_session_timeout = ''30s''',
    'ALTER ROLE kg_control SET lock_timeout = ''3s''',
    'ALTER ROLE kg_control SET timezone = ''UTC''',
    'ALTER ROLE kg_cdc SET timezone = ''UTC''',
    'ALTER ROLE kg_billing SET timezone = ''UTC'''
  ] LOOP
    BEGIN
      EXECUTE command;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'role % may not run: %', session_user, command;
    END;
  END LOOP;
  IF NOT pg_has_role('kg_owner', 'MEMBER') OR NOT pg_has_role('kg_definer', 'MEMBER')
     OR NOT pg_has_role('kg_admin', 'MEMBER') THEN
    RAISE EXCEPTION 'role % is not a member of kg_owner, kg_admin and kg_definer', session_user
      USING ERRCODE = 'insufficient_privilege',
            HINT = 'Let DATABASE_ADMIN_URL connect as kg_migrator and run, as a superuser:'
                   ' GRANT kg_owner, kg_admin, kg_definer TO kg_migrator';
  END IF;
END
$settings$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS kg AUTHORIZATION kg_owner;

SET LOCAL ROLE kg_owner;

GRANT USAGE ON SCHEMA kg TO kg_definer, kg_app, kg_control, kg_cdc, kg_billing, kg_admin, kg_metrics;

CREATE TABLE IF NOT EXISTS kg.schema_migrations (
  version    text PRIMARY KEY,
  checksum   text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

-- After the ledger, which stays the migrator's alone.
ALTER DEFAULT PRIVILEGES FOR ROLE kg_owner IN SCHEMA kg
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO kg_admin;
-- Not limited to a schema: only the global default can take PUBLIC's EXECUTE away.
ALTER DEFAULT PRIVILEGES FOR ROLE kg_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SET LOCAL ROLE kg_definer;
ALTER DEFAULT PRIVILEGES FOR ROLE kg_definer REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
