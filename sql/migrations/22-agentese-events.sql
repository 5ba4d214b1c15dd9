-- What was invoked and what changed, by tenant: the log that subscriptions are fed from and that `time.trace` and `witness`
-- read.
--
-- A seq is given out under the lock of the tenant's row in agentese_clock, which is held until the commit. So a tenant's
-- seqs have no holes and are committed in their order: who has read up to seq n has missed nothing below.
--
-- Locks are always taken in the order tenants (the counters of usage), agentese_clock, each by tenant.

SET LOCAL ROLE kg_owner;

-- No foreign keys: log_agentese_events is given tenants that a credential was checked for, and the check would be a good
-- part of an insert's cost.
CREATE TABLE IF NOT EXISTS kg.agentese_events (
  tenant_id          uuid NOT NULL,
  seq                bigint NOT NULL,
  event_id           uuid NOT NULL,
  event_type         text NOT NULL CONSTRAINT valid_event_type CHECK (
                       event_type IN ('invoked', 'changed', 'error', 'refused')),
  path               text NOT NULL,  -- of the node
  aspect             text NOT NULL,
  observer_archetype text NOT NULL,
  observer_id        text,
  data               json,  -- not jsonb: nobody looks into it, and it goes out as it came in
  data_truncated     boolean NOT NULL DEFAULT false,  -- it was larger than 64 KiB and is null
  status             text NOT NULL,  -- ok, or an error's code
  duration_ms        integer NOT NULL DEFAULT 0,
  tokens             integer NOT NULL DEFAULT 0,
  trace_id           text,
  span_id            text,
  parent_span_id     text,
  origin             text NOT NULL,
  caller_path        text,  -- node path of the aspect that invoked this one
  created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5);  -- old rows go all the time

CREATE UNIQUE INDEX IF NOT EXISTS idx_agentese_events_id ON kg.agentese_events (tenant_id, event_id);
CREATE INDEX IF NOT EXISTS idx_agentese_events_path ON kg.agentese_events (tenant_id, path, seq);

-- Half of each page is left free: the row changes with every batch and stays in its page.
CREATE TABLE IF NOT EXISTS kg.agentese_clock (
  tenant_id   uuid PRIMARY KEY,
  last_seq    bigint NOT NULL DEFAULT 0,
  trimmed_seq bigint NOT NULL DEFAULT 0,  -- events up to this one are no longer retained …
  trimmed_at  timestamptz                 -- … the newest of which happened then
) WITH (fillfactor = 50);

ALTER TABLE kg.agentese_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_events FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_events_tenant_isolation ON kg.agentese_events;
CREATE POLICY agentese_events_tenant_isolation ON kg.agentese_events FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_clock ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_clock FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_clock_tenant_isolation ON kg.agentese_clock;
CREATE POLICY agentese_clock_tenant_isolation ON kg.agentese_clock FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT ON kg.agentese_events, kg.agentese_clock TO kg_app;  -- rows come through the functions only

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, DELETE ON kg.agentese_events TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.agentese_clock TO kg_definer;
GRANT SELECT, INSERT ON kg.usage_events TO kg_definer;

SET LOCAL ROLE kg_definer;

-- The journal's group commit: marks of many tenants in one statement, each an event and, where p_usages names one, a row of
-- usage. What is there already, from an earlier try whose answer was lost, stays as it is. Returns the tenants whose log
-- has grown, and tells every node of them. p_times: when it was invoked, in microseconds since 1970.
CREATE OR REPLACE FUNCTION kg.log_agentese_events(
    p_tenants uuid[], p_events uuid[], p_types text[], p_paths text[], p_aspects text[], p_archetypes text[],
    p_observers text[], p_data text[], p_truncated boolean[], p_statuses text[], p_durations integer[],
    p_tokens integer[], p_traces text[], p_spans text[], p_parents text[], p_origins text[], p_callers text[],
    p_times bigint[], p_usages uuid[], p_keys uuid[], p_tokens_in integer[], p_tokens_out integer[],
    p_sources text[])
  RETURNS TABLE (tenant uuid, seq bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in, tokens_out, compute_ms, api_key_id,
                               agentese_path)
  SELECT u.usage, u.tenant, 'agentese_invoke', u.source, u.tokens_in, u.tokens_out, u.duration, u.key,
         u.path || '.' || u.aspect
    FROM unnest(p_tenants, p_paths, p_aspects, p_durations, p_usages, p_keys, p_tokens_in, p_tokens_out, p_sources)
           AS u (tenant, path, aspect, duration, usage, key, tokens_in, tokens_out, source)
   WHERE u.usage IS NOT NULL
   ORDER BY u.tenant
  ON CONFLICT DO NOTHING;

  INSERT INTO kg.agentese_clock (tenant_id)
  SELECT DISTINCT t FROM unnest(p_tenants) t ORDER BY t
  ON CONFLICT DO NOTHING;
  PERFORM FROM kg.agentese_clock c WHERE c.tenant_id = ANY (p_tenants) ORDER BY c.tenant_id FOR NO KEY UPDATE;

  -- Its own statement, since only then it sees what was committed while it waited for the locks.
  RETURN QUERY
  WITH fresh AS MATERIALIZED (
    SELECT i.*, row_number() OVER (PARTITION BY i.tenant ORDER BY i.n) AS place
      FROM unnest(p_tenants, p_events, p_types, p_paths, p_aspects, p_archetypes, p_observers, p_data, p_truncated,
                  p_statuses, p_durations, p_tokens, p_traces, p_spans, p_parents, p_origins, p_callers, p_times)
             WITH ORDINALITY
             AS i (tenant, event, type, path, aspect, archetype, observer, data, truncated, status, duration, tokens,
                   trace, span, parent, origin, caller, time, n)
      -- LATERAL and LIMIT keep it a look-up for each mark, whatever the statistics say.
      LEFT JOIN LATERAL (
        SELECT true AS there FROM kg.agentese_events e
         WHERE e.tenant_id = i.tenant AND e.event_id = i.event LIMIT 1) e ON true
     WHERE e.there IS NULL
  ), written AS (
    INSERT INTO kg.agentese_events (tenant_id, seq, event_id, event_type, path, aspect, observer_archetype, observer_id,
                                    data, data_truncated, status, duration_ms, tokens, trace_id, span_id,
                                    parent_span_id, origin, caller_path, created_at)
    SELECT f.tenant, c.last_seq + f.place, f.event, f.type, f.path, f.aspect, f.archetype, f.observer, f.data::json,
           f.truncated, f.status, f.duration, f.tokens, f.trace, f.span, f.parent, f.origin, f.caller,
           timestamptz 'epoch' + f.time * interval '1 microsecond'
      FROM fresh f JOIN kg.agentese_clock c ON c.tenant_id = f.tenant
  ), grown AS (
    UPDATE kg.agentese_clock c SET last_seq = c.last_seq + x.events
      FROM (SELECT f.tenant, count(*) AS events FROM fresh f GROUP BY f.tenant) x
     WHERE c.tenant_id = x.tenant
    RETURNING c.tenant_id, c.last_seq
  ), told AS MATERIALIZED (
    SELECT g.tenant_id, g.last_seq, pg_notify('kg_agentese', g.tenant_id || ' ' || g.last_seq) FROM grown g
  )
  SELECT t.tenant_id, t.last_seq FROM told t;
END $$;
GRANT EXECUTE ON FUNCTION kg.log_agentese_events(
    uuid[], uuid[], text[], text[], text[], text[], text[], text[], boolean[], text[], integer[], integer[], text[],
    text[], text[], text[], text[], bigint[], uuid[], uuid[], integer[], integer[], text[])
  TO kg_control;

-- Something of this tenant was written: one event in the transaction that wrote it, so that there is an event for every
-- change that is committed and for no other. To be called last: it locks the tenant's clock until the commit.
--
-- It tells nobody. Commits that notify go one after the other, in the whole database; and the invocation that wrote is
-- logged right after, which wakes whoever waits.
CREATE OR REPLACE FUNCTION kg.log_change(p_path text, p_data text, p_archetype text, p_trace text) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_seq bigint;
BEGIN
  IF v_tenant IS NULL THEN
    RAISE EXCEPTION 'a change belongs to a tenant, and there is no tenant context' USING ERRCODE = '42501';
  END IF;
  INSERT INTO kg.agentese_clock AS c (tenant_id, last_seq) VALUES (v_tenant, 1)
  ON CONFLICT (tenant_id) DO UPDATE SET last_seq = c.last_seq + 1
  RETURNING c.last_seq INTO v_seq;
  INSERT INTO kg.agentese_events (tenant_id, seq, event_id, event_type, path, aspect, observer_archetype, data,
                                  data_truncated, status, trace_id, origin)
  VALUES (v_tenant, v_seq, gen_random_uuid(), 'changed', p_path, 'state', coalesce(p_archetype, 'system'),
          CASE WHEN octet_length(p_data) <= 65536 THEN p_data::json END, coalesce(octet_length(p_data) > 65536, false),
          'ok', p_trace, 'state');
  RETURN v_seq;
END $$;
GRANT EXECUTE ON FUNCTION kg.log_change(text, text, text, text) TO kg_app;

-- Drops the oldest events of a tenant, at most p_chunk of them, as long as more than p_keep are there or they are older than
-- p_age. Returns how many; p_chunk: there may be more.
CREATE OR REPLACE FUNCTION kg.trim_agentese_events(p_tenant uuid, p_keep bigint, p_age interval, p_chunk integer)
  RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_clock kg.agentese_clock;
  v_first_kept bigint;
  v_trimmed_at timestamptz;
  v_dropped bigint;
BEGIN
  -- Without its lock, which writers wait for: what is dropped is below whatever they add.
  SELECT * INTO v_clock FROM kg.agentese_clock c WHERE c.tenant_id = p_tenant;
  IF NOT FOUND OR v_clock.last_seq = v_clock.trimmed_seq THEN
    RETURN 0;
  END IF;
  v_first_kept := least(v_clock.trimmed_seq + p_chunk, v_clock.last_seq) + 1;
  v_first_kept := coalesce((
    SELECT min(e.seq) FROM kg.agentese_events e
     WHERE e.tenant_id = p_tenant AND e.seq > v_clock.trimmed_seq AND e.seq < v_first_kept
       AND e.seq > v_clock.last_seq - p_keep AND e.created_at >= now() - p_age), v_first_kept);
  WITH dropped AS (
    DELETE FROM kg.agentese_events e WHERE e.tenant_id = p_tenant AND e.seq < v_first_kept RETURNING e.created_at)
  SELECT count(*), max(created_at) INTO v_dropped, v_trimmed_at FROM dropped;
  IF v_dropped > 0 THEN
    UPDATE kg.agentese_clock c
       SET trimmed_seq = greatest(c.trimmed_seq, v_first_kept - 1),
           trimmed_at = greatest(c.trimmed_at, v_trimmed_at)
     WHERE c.tenant_id = p_tenant;
  END IF;
  RETURN v_dropped;
END $$;
GRANT EXECUTE ON FUNCTION kg.trim_agentese_events(uuid, bigint, interval, integer) TO kg_control;

-- Where the logs of these tenants end, for a node that feeds their subscribers.
CREATE OR REPLACE FUNCTION kg.agentese_last_seqs(p_tenants uuid[]) RETURNS TABLE (tenant uuid, seq bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT c.tenant_id, c.last_seq FROM kg.agentese_clock c WHERE c.tenant_id = ANY (p_tenants);
END $$;
GRANT EXECUTE ON FUNCTION kg.agentese_last_seqs(uuid[]) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
