-- What a key has used up, kept beside the events so that nobody sums a month to answer a request.
--
-- Locks are always taken in the order session, turn, tenant, counter.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.usage_counters (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  api_key_id uuid NOT NULL,  -- without foreign key: what was used outlives the key
  period     text NOT NULL CONSTRAINT valid_period CHECK (period ~ '^\d{4}-(0[1-9]|1[0-2])(-\d\d)?$'),  -- UTC
  operations bigint NOT NULL DEFAULT 0,  -- metered ones, by take_operations; of days only
  tokens     bigint NOT NULL DEFAULT 0,  -- of the usage events with this key
  PRIMARY KEY (tenant_id, api_key_id, period)
) WITH (fillfactor = 50);  -- rewritten with every answer

ALTER TABLE kg.usage_counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.usage_counters FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS usage_counters_tenant_isolation ON kg.usage_counters;
CREATE POLICY usage_counters_tenant_isolation ON kg.usage_counters FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
GRANT SELECT ON kg.usage_counters TO kg_app, kg_control, kg_admin;
DROP POLICY IF EXISTS usage_counters_relay_read ON kg.usage_counters;
CREATE POLICY usage_counters_relay_read ON kg.usage_counters FOR SELECT TO kg_control USING (true);

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.usage_counters TO kg_definer;

-- One statement instead of one row at a time: the journal writes hundreds of events in one insert.
DROP TRIGGER IF EXISTS usage_counter ON kg.usage_events;
-- The counter has its operations since then.
DROP INDEX IF EXISTS kg.idx_usage_operations;

SET LOCAL ROLE kg_definer;
DROP FUNCTION IF EXISTS kg.usage_counter_trigger();

-- What was used before there were counters. Once: nothing is counted yet, since the trigger comes after it.
INSERT INTO kg.usage_counters (tenant_id, api_key_id, period, operations, tokens)
SELECT u.tenant_id, u.api_key_id, p.period,
       count(*) FILTER (WHERE p.day AND (u.event_type = 'agentese_invoke'
                                         OR u.event_type = 'api_call' AND u.source IN ('kgent', 'soul', 'agentese'))),
       sum(u.tokens_in::bigint + u.tokens_out)
  FROM kg.usage_events u
 CROSS JOIN LATERAL (VALUES (u.billing_period, false),
                            (to_char(u.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), true)) AS p (period, day)
 WHERE u.api_key_id IS NOT NULL
 GROUP BY u.tenant_id, u.api_key_id, p.period
ON CONFLICT DO NOTHING;

-- Keeps the tenant's counter of the month and the keys' counters of day and month. Definer, because a tenant may not
-- write its own counters. An event of a month already past does not change the tenant's: it is in usage_events, and the
-- counter is of the newer month.
CREATE OR REPLACE FUNCTION kg.count_usage() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_added record;
BEGIN
  IF NOT EXISTS (SELECT FROM added a WHERE a.tokens_in > 0 OR a.tokens_out > 0) THEN
    RETURN NULL;
  END IF;
  -- One after the other, so that two batches lock tenants in the same order.
  FOR v_added IN
    SELECT DISTINCT ON (a.tenant_id) a.tenant_id, a.billing_period, sum(a.tokens_in::bigint + a.tokens_out) AS tokens
      FROM added a WHERE a.tokens_in > 0 OR a.tokens_out > 0
     GROUP BY a.tenant_id, a.billing_period
     ORDER BY a.tenant_id, a.billing_period DESC
  LOOP
    UPDATE kg.tenants t
       SET tokens_used_month = v_added.tokens
             + CASE WHEN t.usage_period = v_added.billing_period THEN t.tokens_used_month ELSE 0 END,
           usage_period = v_added.billing_period
     WHERE t.id = v_added.tenant_id AND t.usage_period <= v_added.billing_period;
  END LOOP;
  INSERT INTO kg.usage_counters AS c (tenant_id, api_key_id, period, tokens)
  SELECT a.tenant_id, a.api_key_id, p.period, sum(a.tokens_in::bigint + a.tokens_out)
    FROM added a
   CROSS JOIN LATERAL (VALUES (a.billing_period),
                              (to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'))) AS p (period)
   WHERE a.api_key_id IS NOT NULL AND (a.tokens_in > 0 OR a.tokens_out > 0)
   GROUP BY a.tenant_id, a.api_key_id, p.period
   ORDER BY a.tenant_id, a.api_key_id, p.period
  ON CONFLICT (tenant_id, api_key_id, period) DO UPDATE SET tokens = c.tokens + excluded.tokens;
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION kg.count_usage() TO kg_owner;

-- Takes up to p_wanted metered operations of the key's day (UTC) at a limit, 0 for none: how many were granted, and the
-- day's count with them. Who is granted nothing is counted once all the same.
CREATE OR REPLACE FUNCTION kg.take_operations(
    p_key uuid, p_wanted integer, p_limit integer, OUT granted integer, OUT today bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_day text := to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD');
BEGIN
  IF v_tenant IS NULL THEN
    RAISE EXCEPTION 'operations belong to a tenant, and there is no tenant context' USING ERRCODE = '42501';
  END IF;
  IF p_wanted < 1 OR p_limit < 0 THEN
    RAISE EXCEPTION 'cannot take % operations at a limit of %', p_wanted, p_limit USING ERRCODE = '22023';
  END IF;
  LOOP
    SELECT c.operations INTO today FROM kg.usage_counters c
     WHERE c.tenant_id = v_tenant AND c.api_key_id = p_key AND c.period = v_day FOR NO KEY UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO kg.usage_counters (tenant_id, api_key_id, period) VALUES (v_tenant, p_key, v_day) ON CONFLICT DO NOTHING;
  END LOOP;
  granted := CASE WHEN p_limit = 0 THEN p_wanted ELSE greatest(0, least(p_wanted, p_limit - today)) END;
  UPDATE kg.usage_counters c SET operations = c.operations + greatest(1, granted)
   WHERE c.tenant_id = v_tenant AND c.api_key_id = p_key AND c.period = v_day
  RETURNING c.operations INTO today;
END $$;
GRANT EXECUTE ON FUNCTION kg.take_operations(uuid, integer, integer) TO kg_app;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;

CREATE OR REPLACE FUNCTION kg.ops_today(p_api_key uuid) RETURNS bigint
  LANGUAGE sql STABLE SET search_path = pg_catalog, kg AS $$
  SELECT coalesce(sum(c.operations), 0)::bigint FROM kg.usage_counters c
   WHERE c.tenant_id = kg.current_tenant_id() AND c.api_key_id = p_api_key
     AND c.period = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
$$;

CREATE OR REPLACE TRIGGER usage_counter AFTER INSERT ON kg.usage_events
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION kg.count_usage();
