-- Silos: how one comes to be, and the way of a tenant's rows into it. The functions are what the operator's routes call;
-- the steps themselves are taken by the one node that is at it, as kg_admin, over a connection of DATABASE_ADMIN_URL.

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.silos
  ADD COLUMN IF NOT EXISTS cancel_requested boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS database_made boolean NOT NULL DEFAULT false,  -- by us, so it is ours to drop
  ADD COLUMN IF NOT EXISTS attempts integer NOT NULL DEFAULT 0,           -- of the present step
  ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN IF NOT EXISTS purge_after_seconds integer NOT NULL DEFAULT 604800  -- data.md section 12: 7 days
    CONSTRAINT valid_purge CHECK (purge_after_seconds >= 0),
  ADD COLUMN IF NOT EXISTS activated_at timestamptz,
  ADD COLUMN IF NOT EXISTS purge_at timestamptz,   -- when the rows that stayed behind go
  ADD COLUMN IF NOT EXISTS purged_at timestamptz;

-- Every table with a tenant_id, parents before the tables that refer to them, and what becomes of a silo tenant's rows:
--   kept    they stay in the shared database: who the tenant is and what it owes
--   copied  they go to the silo too; the shared database has the master
--   moved   they go to the silo and, once that is long enough ago, from here
-- A table that is not named here is moved. `columns` are those that can be written, but for transaction ids, which mean
-- nothing in another server; `compared` leaves out what relays note in a row, also while it is being copied. `condition`
-- narrows the rows: the outbox tells of kept tables too.
DROP FUNCTION IF EXISTS kg.tenant_tables();
CREATE FUNCTION kg.tenant_tables()
  RETURNS TABLE (name text, handling text, columns text[], compared text[], condition text)
  LANGUAGE sql STABLE SET search_path = pg_catalog, kg AS $$
  WITH RECURSIVE tables AS (
    SELECT c.oid, c.relname::text AS name FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
     WHERE c.relnamespace = 'kg'::regnamespace AND c.relkind IN ('r', 'p')),
  depths AS (
    SELECT oid, 0 AS depth FROM tables
    UNION
    SELECT k.conrelid, d.depth + 1
      FROM depths d JOIN pg_constraint k ON k.confrelid = d.oid AND k.conrelid <> k.confrelid AND k.contype = 'f'
     WHERE d.depth < 32 AND k.conrelid IN (SELECT oid FROM tables))
  SELECT t.name,
         CASE WHEN t.name IN ('users', 'api_keys', 'stripe_events', 'billing_events', 'metering_quarantine',
                              'request_counts', 'usage_thresholds', 'silos', 'tenant_moves')
                   OR t.name LIKE 'audit%' OR t.name LIKE 'identity%' THEN 'kept'
              -- The counters of a key's day and month go on in both.
              WHEN t.name IN ('usage_events', 'usage_counters') THEN 'copied'
              ELSE 'moved' END,
         ARRAY(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                  AND a.atttypid <> 'xid8'::regtype
                ORDER BY a.attnum),
         ARRAY(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                  AND a.atttypid <> 'xid8'::regtype
                  AND NOT (t.name = 'usage_events' AND a.attname IN ('exported_at', 'export_attempts'))
                  AND NOT (t.name = 'outbox' AND a.attname IN (
                             'processed', 'processed_at', 'attempts', 'next_attempt_at', 'last_error', 'settled',
                             'published', 'claimed_by', 'claimed_until'))
                ORDER BY a.attnum),
         CASE WHEN t.name IN ('outbox', 'outbox_dlq') THEN 'table_name NOT IN (''tenants'', ''users'', ''api_keys'')'
              ELSE 'true' END
    FROM tables t
   ORDER BY (SELECT max(d.depth) FROM depths d WHERE d.oid = t.oid), t.name
$$;
GRANT EXECUTE ON FUNCTION kg.tenant_tables() TO kg_admin;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON kg.silos, kg.tenant_moves TO kg_definer;
GRANT SELECT ON kg.worker_leases TO kg_definer;
SET LOCAL ROLE kg_definer;

-- Asks for a silo, or once more for one that has failed.
--   accepted  it is under way          exists   it was already, or there is one
--   missing   no such tenant           tier     the tenant's does not include one: `tier` says which it is
CREATE OR REPLACE FUNCTION kg.request_silo(
    p_tenant uuid, p_dsn_ref text, p_purge_after_seconds integer, OUT outcome text, OUT tier text)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_slug text;
BEGIN
  SELECT t.slug, t.subscription_tier INTO v_slug, tier
    FROM kg.tenants t WHERE t.id = p_tenant AND t.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'missing';
    RETURN;
  END IF;
  IF tier NOT IN ('enterprise', 'custom') THEN
    outcome := 'tier';
    RETURN;
  END IF;
  INSERT INTO kg.silos AS s (tenant_id, slug, database, silo_dsn_ref, purge_after_seconds)
  VALUES (p_tenant, v_slug, 'kg_t_' || replace(p_tenant::text, '-', ''),
          coalesce(p_dsn_ref, 'kgents-silo-' || v_slug), coalesce(p_purge_after_seconds, 604800))
  ON CONFLICT (tenant_id) DO UPDATE
     SET state = 'requested', reason = NULL, details = '{}', attempts = 0, next_attempt_at = now(), updated_at = now(),
         silo_dsn_ref = coalesce(p_dsn_ref, s.silo_dsn_ref),
         purge_after_seconds = coalesce(p_purge_after_seconds, s.purge_after_seconds)
   WHERE s.state = 'failed' AND NOT s.cancel_requested;
  outcome := CASE WHEN FOUND THEN 'accepted' ELSE 'exists' END;
END $$;

-- Gives up a silo that is not in use yet. Whatever exists of it is removed by who makes silos.
--   canceled  it is gone, there was nothing but the request     accepted  it is being removed
--   missing   there is none                                     active    it is in use
CREATE OR REPLACE FUNCTION kg.cancel_silo(p_tenant uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_state text;
BEGIN
  SELECT s.state INTO v_state FROM kg.silos s WHERE s.tenant_id = p_tenant FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  ELSIF v_state = 'active' THEN
    RETURN 'active';
  ELSIF v_state = 'requested' THEN
    DELETE FROM kg.silos s WHERE s.tenant_id = p_tenant AND NOT s.database_made;
    IF FOUND THEN
      RETURN 'canceled';
    END IF;
  END IF;
  UPDATE kg.silos s SET cancel_requested = true, next_attempt_at = now() WHERE s.tenant_id = p_tenant;
  RETURN 'accepted';
END $$;

-- One silo, or all of them; `worked_on`: a node that can make silos is at it.
CREATE OR REPLACE FUNCTION kg.show_silos(p_tenant uuid)
  RETURNS TABLE (tenant uuid, slug text, database text, dsn_ref text, state text, reason text, details text,
                 cancel_requested boolean, attempts integer, purge_after_seconds integer, created_at timestamptz,
                 updated_at timestamptz, activated_at timestamptz, purge_at timestamptz, purged_at timestamptz,
                 worked_on boolean)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT s.tenant_id, s.slug, s.database, s.silo_dsn_ref, s.state, s.reason, s.details::text, s.cancel_requested,
         s.attempts, s.purge_after_seconds, s.created_at, s.updated_at, s.activated_at, s.purge_at, s.purged_at,
         EXISTS (SELECT FROM kg.worker_leases l WHERE l.worker = 'silos' AND l.expires > clock_timestamp())
    FROM kg.silos s WHERE p_tenant IS NULL OR s.tenant_id = p_tenant
   ORDER BY s.created_at, s.tenant_id LIMIT 1000
$$;

-- What there is to do next, if anything: a silo that is on its way, to be given up, to be purged from here, or whose
-- schema is older than p_schema, the newest migration of the program that asks.
CREATE OR REPLACE FUNCTION kg.due_silo(p_schema text) RETURNS uuid
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT s.tenant_id FROM kg.silos s
   WHERE s.next_attempt_at <= now()
     AND (s.cancel_requested OR s.state NOT IN ('active', 'failed')
          OR (s.state = 'active' AND ((s.purged_at IS NULL AND s.purge_at <= now()) OR s.details->>'schema' < p_schema)))
   ORDER BY s.next_attempt_at, s.tenant_id LIMIT 1
$$;

-- Gives a tenant back its writes when whoever copied its rows is gone for good and nobody took over. Who makes silos holds
-- this advisory lock in this database as long as it lives.
CREATE OR REPLACE FUNCTION kg.back_out_stale_moves(p_seconds integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_count integer;
BEGIN
  WITH stale AS (
    UPDATE kg.silos s SET state = 'migrating', details = '{}', updated_at = now()
     WHERE s.state IN ('copying', 'cutover') AND s.updated_at < now() - make_interval(secs => p_seconds)
       AND NOT EXISTS (SELECT FROM pg_locks l
                        WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.objid = 36 AND l.classid = 7165917
                          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
    RETURNING s.tenant_id)
  DELETE FROM kg.tenant_moves m USING stale WHERE m.tenant_id = stale.tenant_id AND m.state = 'copying';
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

GRANT EXECUTE ON FUNCTION kg.request_silo(uuid, text, integer), kg.cancel_silo(uuid), kg.show_silos(uuid),
  kg.due_silo(text), kg.back_out_stale_moves(integer) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
