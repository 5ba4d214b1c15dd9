-- Requests are counted in groups and summed as they are written; thresholds of the month's tokens.

SET LOCAL ROLE kg_owner;

-- How often it happened: a request is too small to be a row, equal ones of a moment are one.
ALTER TABLE kg.usage_events ADD COLUMN IF NOT EXISTS quantity integer NOT NULL DEFAULT 1
  CONSTRAINT valid_quantity CHECK (quantity > 0);

-- For reading a tenant's events page by page, and for summing those that are work rather than mere requests.
CREATE INDEX IF NOT EXISTS idx_usage_tenant_time ON kg.usage_events (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS idx_usage_work ON kg.usage_events (tenant_id, billing_period, created_at)
  WHERE NOT (event_type = 'api_call' AND source = 'api');

-- The sums of `api_call` rows of source `api`: there are too many of them to be added up when somebody asks. No foreign
-- keys: rows come from credentials that were checked.
CREATE TABLE IF NOT EXISTS kg.request_counts (
  tenant_id  uuid NOT NULL,
  day        date NOT NULL,  -- UTC
  api_key_id uuid NOT NULL,
  endpoint   text NOT NULL,  -- the route's template
  method     text NOT NULL,
  requests   bigint NOT NULL,
  first_at   timestamptz NOT NULL,
  last_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, day, api_key_id, endpoint, method)
) WITH (fillfactor = 50);  -- the rows of today change all the time and stay in their pages

ALTER TABLE kg.request_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.request_counts FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS request_counts_tenant_isolation ON kg.request_counts;
CREATE POLICY request_counts_tenant_isolation ON kg.request_counts FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

-- Which part of its month's tokens a tenant has used up, each once a month.
CREATE TABLE IF NOT EXISTS kg.usage_thresholds (
  tenant_id    uuid NOT NULL,
  period       text NOT NULL,
  percent      smallint NOT NULL CONSTRAINT valid_percent CHECK (percent IN (50, 80, 100)),
  id           uuid NOT NULL DEFAULT gen_random_uuid(),  -- of the event that tells of it
  tokens_used  bigint NOT NULL,
  tokens_limit bigint NOT NULL,
  crossed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  told_at      timestamptz,
  PRIMARY KEY (tenant_id, period, percent)
);
CREATE INDEX IF NOT EXISTS idx_usage_thresholds_untold ON kg.usage_thresholds (crossed_at) WHERE told_at IS NULL;

ALTER TABLE kg.usage_thresholds ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.usage_thresholds FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS usage_thresholds_tenant_isolation ON kg.usage_thresholds;
CREATE POLICY usage_thresholds_tenant_isolation ON kg.usage_thresholds FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT ON kg.request_counts, kg.usage_thresholds TO kg_app;  -- rows come through the functions only

-- As before, but a row counts as often as it says.
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
         coalesce(sum(u.compute_ms), 0), coalesce(sum(u.quantity), 0)
    INTO total_tokens_in, total_tokens_out, total_storage_bytes, total_compute_ms, event_count
    FROM kg.usage_events u
   WHERE u.tenant_id = p_tenant AND u.billing_period = p_period;
END $$;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.request_counts, kg.usage_thresholds TO kg_definer;
SET LOCAL ROLE kg_definer;

-- The group commit of counted requests, of many tenants. What an earlier try has written, whose answer was lost, is
-- neither written nor summed again. Times in microseconds since 1970. Rows are locked in the order of their key.
CREATE OR REPLACE FUNCTION kg.record_requests(
    p_ids uuid[], p_tenants uuid[], p_keys uuid[], p_methods text[], p_endpoints text[], p_statuses integer[],
    p_quantities integer[], p_first bigint[], p_last bigint[])
  RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH counted AS MATERIALIZED (
    SELECT u.id, u.tenant, u.key, u.method, u.endpoint, u.status, u.quantity,
           timestamptz 'epoch' + u.first * interval '1 microsecond' AS first_at,
           timestamptz 'epoch' + u.last * interval '1 microsecond' AS last_at
      FROM unnest(p_ids, p_tenants, p_keys, p_methods, p_endpoints, p_statuses, p_quantities, p_first, p_last)
             AS u (id, tenant, key, method, endpoint, status, quantity, first, last)
     WHERE EXISTS (SELECT FROM kg.tenants t WHERE t.id = u.tenant)
  ), written AS (
    INSERT INTO kg.usage_events (id, tenant_id, event_type, source, api_key_id, endpoint, method, status_code, quantity,
                                 billing_period, created_at)
    SELECT c.id, c.tenant, 'api_call', 'api', c.key, c.endpoint, c.method, c.status, c.quantity,
           to_char(c.first_at AT TIME ZONE 'UTC', 'YYYY-MM'), c.first_at
      FROM counted c
    ON CONFLICT DO NOTHING
    RETURNING id
  )
  INSERT INTO kg.request_counts AS r (tenant_id, day, api_key_id, endpoint, method, requests, first_at, last_at)
  SELECT c.tenant, (c.first_at AT TIME ZONE 'UTC')::date AS day, c.key, c.endpoint, c.method, sum(c.quantity),
         min(c.first_at), max(c.last_at)
    FROM counted c JOIN written w ON w.id = c.id
   GROUP BY c.tenant, day, c.key, c.endpoint, c.method
   ORDER BY c.tenant, day, c.key, c.endpoint, c.method
  ON CONFLICT (tenant_id, day, api_key_id, endpoint, method) DO UPDATE
     SET requests = r.requests + excluded.requests,
         first_at = least(r.first_at, excluded.first_at),
         last_at = greatest(r.last_at, excluded.last_at)
$$;
GRANT EXECUTE ON FUNCTION kg.record_requests(
    uuid[], uuid[], uuid[], text[], text[], integer[], integer[], bigint[], bigint[]) TO kg_control;

-- Notes the thresholds that tenants have come to, and returns those, at most p_most, that nobody has been told of.
CREATE OR REPLACE FUNCTION kg.cross_usage_thresholds(p_most integer)
  RETURNS TABLE (id uuid, tenant uuid, period text, percent smallint, tokens_used bigint, tokens_limit bigint,
                 crossed_at timestamptz)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO kg.usage_thresholds (tenant_id, period, percent, tokens_used, tokens_limit)
  SELECT t.id, t.usage_period, p.percent, t.tokens_used_month, t.tokens_limit_month
    FROM kg.tenants t, (VALUES (50::smallint), (80::smallint), (100::smallint)) p (percent)
   WHERE t.tokens_limit_month > 0 AND t.usage_period = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
     AND t.tokens_used_month * 100 >= t.tokens_limit_month::bigint * p.percent
   ORDER BY t.id, p.percent
  ON CONFLICT DO NOTHING;
  RETURN QUERY
  SELECT x.id, x.tenant_id, x.period, x.percent, x.tokens_used, x.tokens_limit, x.crossed_at
    FROM kg.usage_thresholds x
   WHERE x.told_at IS NULL
   ORDER BY x.crossed_at, x.tenant_id, x.percent
   LIMIT p_most;
END $$;
GRANT EXECUTE ON FUNCTION kg.cross_usage_thresholds(integer) TO kg_control;

CREATE OR REPLACE FUNCTION kg.usage_thresholds_told(p_ids uuid[]) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.usage_thresholds SET told_at = clock_timestamp() WHERE told_at IS NULL AND id = ANY (p_ids)
$$;
GRANT EXECUTE ON FUNCTION kg.usage_thresholds_told(uuid[]) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
