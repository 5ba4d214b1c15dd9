-- What a test that attacks the database with the application's own credentials found (tests/e2e/attacker-pg.test.mjs).

-- As whoever connected, who may own the database or not: nobody makes temporary objects who need not.
DO $temporary$
BEGIN
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO kg_admin, kg_migrator', current_database());
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'role % may not run: REVOKE TEMPORARY ON DATABASE % FROM PUBLIC', session_user, current_database();
END
$temporary$;

-- A path that does not name pg_temp has it first, for tables and types: whoever could make a temporary domain named text
-- with a CHECK of its own had that CHECK run by the next SECURITY DEFINER function, with the rights of kg_definer, which
-- bypasses RLS. Named last, it hides nothing. Every function, since a trigger's runs with the rights of whoever writes.
SET LOCAL ROLE kg_definer;
DO $definer$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
            WHERE p.pronamespace = 'kg'::regnamespace AND p.proowner = 'kg_definer'::regrole
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, kg, pg_temp', f);
  END LOOP;
END
$definer$;

SET LOCAL ROLE kg_owner;
DO $owner$
DECLARE
  f regprocedure;
BEGIN
  -- But those whose names were bound when they were made, which have no path of their own, so that they are inlined.
  FOR f IN SELECT p.oid FROM pg_proc p
            WHERE p.pronamespace = 'kg'::regnamespace AND p.proowner = 'kg_owner'::regrole AND p.proconfig IS NOT NULL
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, kg, pg_temp', f);
  END LOOP;
END
$owner$;

-- With it a transaction could leave its tenant and turn to another one, which set_tenant_context refuses. The application
-- never did; operators' tools may.
REVOKE EXECUTE ON FUNCTION kg.clear_tenant_context() FROM kg_app;

-- An event of the application is of now, has not been exported, and takes nothing back. A period to come would have frozen
-- the tenant's counter of the month; one that is over, or an event marked as exported, would never have been billed.
REVOKE INSERT ON kg.usage_events FROM kg_app;
GRANT INSERT (id, tenant_id, event_type, source, tokens_in, tokens_out, storage_bytes, compute_ms, session_id, api_key_id,
              agentese_path, model, endpoint, method, status_code) ON kg.usage_events TO kg_app;
ALTER TABLE kg.usage_events DROP CONSTRAINT IF EXISTS only_added;
ALTER TABLE kg.usage_events ADD CONSTRAINT only_added
  CHECK (storage_bytes >= 0 AND compute_ms >= 0 AND quantity > 0) NOT VALID;
