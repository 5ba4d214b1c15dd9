-- What each role may do. RLS narrows rows, these narrow commands and columns. Nobody gets TRUNCATE (RLS does not govern
-- it), REFERENCES or TRIGGER.

SET LOCAL ROLE kg_owner;

-- The application. No tenant can raise its own tier, limits or counters, nor write a role.
GRANT SELECT, UPDATE (name, settings) ON kg.tenants TO kg_app;
GRANT SELECT, INSERT, DELETE ON kg.users TO kg_app;
GRANT UPDATE (email, name, is_active, email_verified, last_login_at, external_auth_id, external_auth_provider,
              deleted_at) ON kg.users TO kg_app;
-- All but key_hash: it may be written once and never be read.
GRANT SELECT (id, tenant_id, user_id, user_ref, key_prefix, name, scopes, rate_limit_rpm, tokens_limit_request,
              tier_override, requests_per_day, tokens_limit_month, expires_at, last_used_at, use_count, is_active,
              revoked_at, revoked_by, created_at) ON kg.api_keys TO kg_app;
GRANT INSERT ON kg.api_keys TO kg_app;
GRANT UPDATE (name, scopes, is_active, revoked_at, revoked_by, expires_at, rate_limit_rpm, tokens_limit_request,
              last_used_at, use_count) ON kg.api_keys TO kg_app;
GRANT EXECUTE ON FUNCTION kg.update_api_key_usage(uuid, bigint) TO kg_app;
GRANT SELECT, INSERT, DELETE ON kg.sessions TO kg_app;
GRANT UPDATE (title, status, context, message_count, tokens_used, last_message_at, deleted_at)
  ON kg.sessions TO kg_app;
GRANT SELECT, INSERT, DELETE ON kg.messages TO kg_app;
GRANT SELECT, INSERT ON kg.usage_events TO kg_app;
GRANT SELECT, INSERT, DELETE ON kg.agents TO kg_app;
GRANT UPDATE (name, agent_type, config, is_active, created_by) ON kg.agents TO kg_app;

-- The CDC worker.
DROP POLICY IF EXISTS outbox_cdc ON kg.outbox;
CREATE POLICY outbox_cdc ON kg.outbox FOR ALL TO kg_cdc USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS outbox_dlq_cdc ON kg.outbox_dlq;
CREATE POLICY outbox_dlq_cdc ON kg.outbox_dlq FOR ALL TO kg_cdc USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (processed, processed_at, attempts, next_attempt_at, last_error) ON kg.outbox TO kg_cdc;
GRANT SELECT, INSERT, DELETE ON kg.outbox_dlq TO kg_cdc;

-- Statistics: the columns the view aggregates, nothing of the payload.
DROP POLICY IF EXISTS outbox_metrics ON kg.outbox;
CREATE POLICY outbox_metrics ON kg.outbox FOR SELECT TO kg_metrics USING (true);
GRANT SELECT (processed, created_at, processed_at) ON kg.outbox TO kg_metrics;
GRANT SELECT ON kg.outbox_stats TO kg_cdc, kg_metrics;

-- Export of usage: the worker of kg_billing, or the relay that kgentsd runs as kg_control.
DROP POLICY IF EXISTS usage_billing ON kg.usage_events;
CREATE POLICY usage_billing ON kg.usage_events FOR ALL TO kg_billing USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS usage_relay_read ON kg.usage_events;
CREATE POLICY usage_relay_read ON kg.usage_events FOR SELECT TO kg_control USING (true);
DROP POLICY IF EXISTS usage_relay_stamp ON kg.usage_events;
CREATE POLICY usage_relay_stamp ON kg.usage_events FOR UPDATE TO kg_control USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (exported_at, export_attempts) ON kg.usage_events TO kg_billing, kg_control;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT ON kg.schema_migrations TO kg_definer;
SET LOCAL ROLE kg_definer;

GRANT EXECUTE ON FUNCTION kg.outbox_cleanup(integer) TO kg_cdc, kg_admin;

-- For the start-up check and /ready: the ledger itself is the migrator's.
CREATE OR REPLACE FUNCTION kg.schema_version() RETURNS TABLE (version text, checksum text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT m.version, m.checksum FROM kg.schema_migrations m ORDER BY m.version
$$;
GRANT EXECUTE ON FUNCTION kg.schema_version() TO kg_app, kg_control, kg_admin, kg_metrics;

-- Whether one of the published development keys of 14-default-tenant would be accepted.
CREATE OR REPLACE FUNCTION kg.development_keys_exist() RETURNS boolean
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT EXISTS (SELECT FROM kg.api_keys WHERE key_hash IN (
    '78d873d604704d61cb530a6c2f86877c5a9d84579ae87757081d13582489babe',
    '8ba14d641577b376b0a0d87b80fb1e3eebd96d7bb6bb0c29b2903abe1dd1cdb9',
    '3ad9504a6094c5208c9d08a2f8344701c255ee4a92195418a2a55da52c6c140e'))
$$;
GRANT EXECUTE ON FUNCTION kg.development_keys_exist() TO kg_app, kg_control, kg_admin;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
