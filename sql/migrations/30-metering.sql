-- What leaves the database to be billed: usage and Stripe's events on their way to OpenMeter and to the bus.

SET LOCAL ROLE kg_owner;

-- How many equal requests a row stands for.
ALTER TABLE kg.usage_events ADD COLUMN IF NOT EXISTS quantity integer NOT NULL DEFAULT 1;
-- The transaction that wrote the row. Who reads rows of finished transactions in this order misses none that was
-- committed late, as a reader in the order of time would. Rows from before this migration share its own.
ALTER TABLE kg.usage_events ADD COLUMN IF NOT EXISTS xact xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX IF NOT EXISTS idx_usage_relay ON kg.usage_events (xact, id);

-- Stripe's events in the form in which they are billed, written in the transaction that applies them.
CREATE TABLE IF NOT EXISTS kg.billing_events (
  id          text PRIMARY KEY CONSTRAINT valid_id CHECK (length(id) BETWEEN 1 AND 300),  -- stripe:evt_… or substart:sub_…
  tenant_id   uuid,  -- without foreign key: records outlive their subjects
  type        text NOT NULL CONSTRAINT valid_type CHECK (type ~ '^[a-z_]+(\.[a-z_]+)+$'),
  subject     text NOT NULL,  -- the tenant, or Stripe's customer where no tenant is linked
  time        timestamptz NOT NULL,
  data        jsonb NOT NULL CONSTRAINT valid_data CHECK (jsonb_typeof(data) = 'object'),
  created_at  timestamptz NOT NULL DEFAULT now(),
  exported_at timestamptz,
  attempts    integer NOT NULL DEFAULT 0,
  xact        xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX IF NOT EXISTS idx_billing_events_unexported ON kg.billing_events (created_at, id) WHERE exported_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_billing_events_relay ON kg.billing_events (xact, id);

-- Single events that the provider refuses. Their row counts as exported, so that they hold up nothing.
CREATE TABLE IF NOT EXISTS kg.metering_quarantine (
  source     text NOT NULL,
  event_id   text NOT NULL,
  tenant_id  uuid,
  record_id  text NOT NULL,  -- the row it was made from, in usage_events or billing_events
  reason     text NOT NULL,
  event      jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, event_id)
);
CREATE INDEX IF NOT EXISTS idx_metering_quarantine_record ON kg.metering_quarantine (record_id);

-- How far the bus was told: everything of older transactions, and of this one up to that id.
CREATE TABLE IF NOT EXISTS kg.metering_marks (
  name text PRIMARY KEY CONSTRAINT valid_name CHECK (name IN ('usage', 'billing')),
  xact xid8 NOT NULL DEFAULT '0',
  id   text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
ALTER TABLE kg.metering_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.metering_marks FORCE ROW LEVEL SECURITY;

DO $isolation$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['billing_events', 'metering_quarantine'] LOOP
    EXECUTE format('ALTER TABLE kg.%I ENABLE ROW LEVEL SECURITY', v_table);
    EXECUTE format('ALTER TABLE kg.%I FORCE ROW LEVEL SECURITY', v_table);
    EXECUTE format('DROP POLICY IF EXISTS %I ON kg.%I', v_table || '_billing', v_table);
    EXECUTE format('CREATE POLICY %I ON kg.%I FOR ALL TO kg_billing USING (true) WITH CHECK (true)',
                   v_table || '_billing', v_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON kg.%I TO kg_billing, kg_definer', v_table);
  END LOOP;
END $isolation$;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, UPDATE (exported_at, export_attempts) ON kg.usage_events TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.metering_marks TO kg_definer;
GRANT SELECT ON kg.messages, kg.sessions TO kg_definer;
SET LOCAL ROLE kg_definer;

INSERT INTO kg.metering_marks (name) VALUES ('usage'), ('billing') ON CONFLICT DO NOTHING;

-- For the transaction that applies Stripe's event. False when it is there already.
CREATE OR REPLACE FUNCTION kg.queue_billing_event(
    p_id text, p_tenant uuid, p_type text, p_subject text, p_time timestamptz, p_data jsonb) RETURNS boolean
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH queued AS (
    INSERT INTO kg.billing_events (id, tenant_id, type, subject, time, data)
    VALUES (p_id, p_tenant, p_type, p_subject, p_time, p_data)
    ON CONFLICT DO NOTHING RETURNING 1)
  SELECT EXISTS (SELECT FROM queued)
$$;

-- The oldest that were not exported. A message is found by its time: it was written in the transaction that counts it.
CREATE OR REPLACE FUNCTION kg.metering_usage(p_limit integer)
  RETURNS TABLE (id uuid, tenant_id uuid, event_type text, source text, tokens_in integer, tokens_out integer,
                 storage_bytes bigint, compute_ms integer, quantity integer, session_id uuid, agentese_path text,
                 model text, endpoint text, method text, status_code integer, created_at timestamptz,
                 agent_type text, message_length integer)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH batch AS (
    SELECT * FROM kg.usage_events u WHERE u.exported_at IS NULL ORDER BY u.created_at, u.id LIMIT p_limit)
  SELECT b.id, b.tenant_id, b.event_type, b.source, b.tokens_in, b.tokens_out, b.storage_bytes, b.compute_ms,
         b.quantity, b.session_id, b.agentese_path, b.model, b.endpoint, b.method, b.status_code, b.created_at,
         s.agent_type, m.characters
    FROM batch b
    LEFT JOIN kg.sessions s ON b.event_type = 'session_create' AND s.id = b.session_id
    LEFT JOIN LATERAL (
      SELECT length(m.content) AS characters FROM kg.messages m
       WHERE b.session_id IS NOT NULL AND b.event_type IN ('api_call', 'llm_call', 'kgent_message')
         AND m.session_id = b.session_id AND m.created_at = b.created_at
         AND m.role = CASE b.event_type WHEN 'api_call' THEN 'user' ELSE 'assistant' END
       ORDER BY m.seq DESC LIMIT 1) m ON true
   ORDER BY b.created_at, b.id
$$;

CREATE OR REPLACE FUNCTION kg.metering_billing(p_limit integer)
  RETURNS TABLE (id text, tenant_id uuid, type text, subject text, "time" timestamptz, data jsonb)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT b.id, b.tenant_id, b.type, b.subject, b.time, b.data FROM kg.billing_events b
   WHERE b.exported_at IS NULL ORDER BY b.created_at, b.id LIMIT p_limit
$$;

-- After a round: `p_failed` were tried in vain, the others have left. Repeating it changes nothing but attempts.
CREATE OR REPLACE FUNCTION kg.metering_settle(
    p_usage uuid[], p_billing text[], p_failed_usage uuid[], p_failed_billing text[]) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.usage_events SET exported_at = clock_timestamp(), export_attempts = export_attempts + 1
   WHERE id = ANY (p_usage) AND exported_at IS NULL;
  UPDATE kg.billing_events SET exported_at = clock_timestamp(), attempts = attempts + 1
   WHERE id = ANY (p_billing) AND exported_at IS NULL;
  UPDATE kg.usage_events SET export_attempts = export_attempts + 1
   WHERE id = ANY (p_failed_usage) AND exported_at IS NULL;
  UPDATE kg.billing_events SET attempts = attempts + 1
   WHERE id = ANY (p_failed_billing) AND exported_at IS NULL;
$$;

CREATE OR REPLACE FUNCTION kg.metering_refuse(
    p_source text, p_event text, p_tenant uuid, p_record text, p_reason text, p_body jsonb) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  INSERT INTO kg.metering_quarantine (source, event_id, tenant_id, record_id, reason, event)
  VALUES (p_source, p_event, p_tenant, p_record, p_reason, p_body) ON CONFLICT DO NOTHING
$$;

-- An operator's second try, once the provider would take it: what was made from that record is sent again, under its
-- old ids. False when nothing of it is in quarantine.
CREATE OR REPLACE FUNCTION kg.metering_requeue(p_record text) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  DELETE FROM kg.metering_quarantine WHERE record_id = p_record;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE kg.usage_events SET exported_at = NULL WHERE id::text = p_record;
  UPDATE kg.billing_events SET exported_at = NULL WHERE id = p_record;
  RETURN true;
END $$;

-- The age of the oldest that was not exported, and how many there are: counted up to p_most of each kind.
CREATE OR REPLACE FUNCTION kg.metering_backlog(p_most integer, OUT age_seconds double precision, OUT pending bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - least(
           (SELECT min(u.created_at) FROM kg.usage_events u WHERE u.exported_at IS NULL),
           (SELECT min(b.created_at) FROM kg.billing_events b WHERE b.exported_at IS NULL))), 0))::double precision,
         (SELECT count(*) FROM (SELECT FROM kg.usage_events u WHERE u.exported_at IS NULL LIMIT p_most) x)
           + (SELECT count(*) FROM (SELECT FROM kg.billing_events b WHERE b.exported_at IS NULL LIMIT p_most) x)
$$;

-- What the bus was not told of, in the order of transactions. Only finished ones, so nothing appears behind the mark
-- later; only those of the last 30 days, which is how long the stream keeps them. When there is none the mark goes to
-- the present, or the next search would pass over the same old rows.
CREATE OR REPLACE FUNCTION kg.metering_relay_usage(p_limit integer)
  RETURNS TABLE (id uuid, xact text, event_type text, body jsonb)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_mark kg.metering_marks;
BEGIN
  SELECT * INTO v_mark FROM kg.metering_marks WHERE name = 'usage';
  IF v_mark.xact > v_horizon THEN  -- another cluster's numbers, from a restored dump
    v_mark.xact := '0';
  END IF;
  RETURN QUERY
  SELECT u.id, u.xact::text, u.event_type, jsonb_strip_nulls(jsonb_build_object(
           'id', u.id, 'tenant_id', u.tenant_id, 'event_type', u.event_type, 'source', u.source,
           'tokens_in', u.tokens_in, 'tokens_out', u.tokens_out, 'storage_bytes', u.storage_bytes,
           'compute_ms', u.compute_ms, 'quantity', u.quantity, 'session_id', u.session_id,
           'agentese_path', u.agentese_path, 'model', u.model, 'endpoint', u.endpoint, 'method', u.method,
           'status_code', u.status_code, 'billing_period', u.billing_period, 'timestamp', u.created_at))
    FROM kg.usage_events u
   WHERE (u.xact, u.id) > (v_mark.xact, coalesce(nullif(v_mark.id, ''), '00000000-0000-0000-0000-000000000000')::uuid)
     AND u.xact < v_horizon AND u.created_at > now() - interval '720 hours'
   ORDER BY u.xact, u.id LIMIT p_limit;
  IF NOT FOUND THEN
    UPDATE kg.metering_marks m SET xact = v_horizon, id = '' WHERE m.name = 'usage' AND m.xact <> v_horizon;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION kg.metering_relay_billing(p_limit integer)
  RETURNS TABLE (id text, xact text, event_type text, body jsonb)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_mark kg.metering_marks;
BEGIN
  SELECT * INTO v_mark FROM kg.metering_marks WHERE name = 'billing';
  IF v_mark.xact > v_horizon THEN
    v_mark.xact := '0';
  END IF;
  RETURN QUERY
  SELECT b.id, b.xact::text, b.type, jsonb_strip_nulls(jsonb_build_object(
           'id', b.id, 'tenant_id', b.tenant_id, 'event_type', b.type, 'subject', b.subject, 'data', b.data,
           'timestamp', b.time))
    FROM kg.billing_events b
   WHERE (b.xact, b.id) > (v_mark.xact, v_mark.id)
     AND b.xact < v_horizon AND b.created_at > now() - interval '720 hours'
   ORDER BY b.xact, b.id LIMIT p_limit;
  IF NOT FOUND THEN
    UPDATE kg.metering_marks m SET xact = v_horizon, id = '' WHERE m.name = 'billing' AND m.xact <> v_horizon;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION kg.metering_relayed(p_name text, p_xact text, p_id text) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.metering_marks SET xact = p_xact::xid8, id = p_id WHERE name = p_name
$$;

-- What the provider must have by now: tokens by tenant of the rows that were exported and not refused, as the events
-- llm.tokens tell them.
CREATE OR REPLACE FUNCTION kg.metering_totals(p_from timestamptz, p_to timestamptz, p_limit integer)
  RETURNS TABLE (tenant_id uuid, tokens bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT u.tenant_id, sum(u.tokens_in::bigint + u.tokens_out)::bigint
    FROM kg.usage_events u
   WHERE u.created_at >= p_from AND u.created_at < p_to AND (u.tokens_in > 0 OR u.tokens_out > 0)
     AND u.exported_at IS NOT NULL AND u.event_type IN ('llm_call', 'kgent_message', 'agentese_invoke')
     AND NOT EXISTS (SELECT FROM kg.metering_quarantine q WHERE q.record_id = u.id::text)
   GROUP BY u.tenant_id ORDER BY 2 DESC, 1 LIMIT p_limit
$$;

-- Tenants whose counter of the month, or whose keys' counters together, are not the sum of what was recorded. One
-- snapshot: counters are kept in the transaction that records, so there are none.
CREATE OR REPLACE FUNCTION kg.metering_drift(p_period text, p_limit integer)
  RETURNS TABLE (tenant_id uuid, counted bigint, recorded bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH usage AS (
    SELECT u.tenant_id, sum(u.tokens_in::bigint + u.tokens_out)::bigint AS tokens,
           coalesce(sum(u.tokens_in::bigint + u.tokens_out) FILTER (WHERE u.api_key_id IS NOT NULL), 0)::bigint AS of_keys
      FROM kg.usage_events u
     WHERE u.billing_period = p_period AND (u.tokens_in > 0 OR u.tokens_out > 0)
     GROUP BY u.tenant_id),
  keys AS (
    SELECT c.tenant_id, sum(c.tokens)::bigint AS tokens FROM kg.usage_counters c
     WHERE c.period = p_period GROUP BY c.tenant_id)
  SELECT x.* FROM (
    SELECT t.id, t.tokens_used_month AS counted, coalesce(u.tokens, 0) AS recorded
      FROM kg.tenants t LEFT JOIN usage u ON u.tenant_id = t.id
     WHERE t.usage_period = p_period
    UNION ALL
    SELECT coalesce(k.tenant_id, u.tenant_id), coalesce(k.tokens, 0), coalesce(u.of_keys, 0)
      FROM keys k FULL JOIN usage u ON u.tenant_id = k.tenant_id) x
   WHERE x.counted <> x.recorded
   ORDER BY abs(x.counted - x.recorded) DESC, x.id LIMIT p_limit
$$;

GRANT EXECUTE ON FUNCTION
  kg.queue_billing_event(text, uuid, text, text, timestamptz, jsonb), kg.metering_usage(integer),
  kg.metering_billing(integer), kg.metering_settle(uuid[], text[], uuid[], text[]),
  kg.metering_refuse(text, text, uuid, text, text, jsonb), kg.metering_requeue(text), kg.metering_backlog(integer),
  kg.metering_relay_usage(integer), kg.metering_relay_billing(integer), kg.metering_relayed(text, text, text),
  kg.metering_totals(timestamptz, timestamptz, integer), kg.metering_drift(text, integer)
  TO kg_control;
GRANT EXECUTE ON FUNCTION kg.queue_billing_event(text, uuid, text, text, timestamptz, jsonb),
  kg.metering_requeue(text), kg.metering_backlog(integer) TO kg_admin;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
