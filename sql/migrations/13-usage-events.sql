-- What is billed: append-only for the application, exported by the relay.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.usage_events (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),  -- UUIDv7 from the application; the CloudEvents id
  -- RESTRICT: billing records outlive their tenant, which is only ever marked deleted.
  tenant_id       uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE RESTRICT,
  event_type      text NOT NULL CONSTRAINT valid_event_type CHECK (event_type IN (
                    'agentese_invoke', 'kgent_message', 'storage_write', 'storage_read', 'embedding', 'api_call',
                    'session_create', 'llm_call', 'gpu_seconds')),
  source          text NOT NULL,
  tokens_in       integer NOT NULL DEFAULT 0 CONSTRAINT valid_tokens_in CHECK (tokens_in >= 0),
  tokens_out      integer NOT NULL DEFAULT 0 CONSTRAINT valid_tokens_out CHECK (tokens_out >= 0),
  storage_bytes   bigint NOT NULL DEFAULT 0,
  compute_ms      integer NOT NULL DEFAULT 0,
  session_id      uuid,  -- this and the next without foreign key: records outlive their subjects
  api_key_id      uuid,
  agentese_path   text,
  model           text,
  endpoint        text,  -- the route's template, never the raw path
  method          text,
  status_code     integer,
  billing_period  text NOT NULL DEFAULT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
                  CONSTRAINT valid_billing_period CHECK (billing_period ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  created_at      timestamptz NOT NULL DEFAULT now(),
  exported_at     timestamptz,
  export_attempts integer NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS idx_usage_tenant_period ON kg.usage_events (tenant_id, billing_period);
CREATE INDEX IF NOT EXISTS idx_usage_type ON kg.usage_events (event_type, created_at);
CREATE INDEX IF NOT EXISTS idx_usage_recent ON kg.usage_events (created_at DESC);
CREATE INDEX IF NOT EXISTS idx_usage_unexported ON kg.usage_events (created_at) WHERE exported_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_usage_operations ON kg.usage_events (api_key_id, created_at)
  WHERE event_type = 'api_call' AND source IN ('kgent', 'soul', 'agentese');

ALTER TABLE kg.usage_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.usage_events FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS usage_tenant_isolation ON kg.usage_events;
CREATE POLICY usage_tenant_isolation ON kg.usage_events FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

-- Zeros when there is nothing. A tenant other than the context's is an error of the caller, not an empty month.
CREATE OR REPLACE FUNCTION kg.get_tenant_usage(
    p_tenant uuid, p_period text,
    OUT total_tokens_in bigint, OUT total_tokens_out bigint, OUT total_storage_bytes bigint,
    OUT total_compute_ms bigint, OUT event_count bigint)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
BEGIN
  IF p_tenant IS DISTINCT FROM kg.current_tenant_id() AND row_security_active('kg.usage_events') THEN
    RAISE EXCEPTION 'usage of a tenant other than the context''s' USING ERRCODE = '42501';
  END IF;
  SELECT coalesce(sum(u.tokens_in), 0), coalesce(sum(u.tokens_out), 0), coalesce(sum(u.storage_bytes), 0),
         coalesce(sum(u.compute_ms), 0), count(*)
    INTO total_tokens_in, total_tokens_out, total_storage_bytes, total_compute_ms, event_count
    FROM kg.usage_events u
   WHERE u.tenant_id = p_tenant AND u.billing_period = p_period;
END $$;
GRANT EXECUTE ON FUNCTION kg.get_tenant_usage(uuid, text) TO kg_app, kg_admin;

-- Billable operations of a key since midnight UTC. The marker: the runtime writes exactly one `api_call` per metered
-- operation, with the source of what was asked for (`kgent` a session message, `soul` a dialogue or governance,
-- `agentese` a path). An `api_call` of source `api` is a mere request and counts for nothing here.
CREATE OR REPLACE FUNCTION kg.ops_today(p_api_key uuid) RETURNS bigint
  LANGUAGE sql STABLE SET search_path = pg_catalog, kg AS $$
  SELECT count(*) FROM kg.usage_events
   WHERE api_key_id = p_api_key
     AND event_type = 'api_call' AND source IN ('kgent', 'soul', 'agentese')
     AND created_at >= date_trunc('day', now(), 'UTC')
$$;
GRANT EXECUTE ON FUNCTION kg.ops_today(uuid) TO kg_app;

GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

-- Keeps the tenant's counter of the month. Definer, because a tenant may not write its own counters.
-- An event of a month already past changes nothing: it is in usage_events, and the counter is of the newer month.
CREATE OR REPLACE FUNCTION kg.usage_counter_trigger() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  UPDATE kg.tenants
     SET tokens_used_month = NEW.tokens_in::bigint + NEW.tokens_out
           + CASE WHEN usage_period = NEW.billing_period THEN tokens_used_month ELSE 0 END,
         usage_period = NEW.billing_period
   WHERE id = NEW.tenant_id AND usage_period <= NEW.billing_period;
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION kg.usage_counter_trigger() TO kg_owner;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;

CREATE OR REPLACE TRIGGER usage_counter AFTER INSERT ON kg.usage_events
  FOR EACH ROW WHEN (NEW.tokens_in > 0 OR NEW.tokens_out > 0)
  EXECUTE FUNCTION kg.usage_counter_trigger();
