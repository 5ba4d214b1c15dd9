-- Tenants with a database of their own, a silo. It has the same schema and roles; the shared database stays the control
-- database: it knows who everybody is and what they owe, and which database has their data.

SET LOCAL ROLE kg_owner;

-- In the shared database: the silos that exist or are being made.
CREATE TABLE IF NOT EXISTS kg.silos (
  tenant_id    uuid PRIMARY KEY REFERENCES kg.tenants (id) ON DELETE RESTRICT,
  slug         text NOT NULL,
  database     text NOT NULL,  -- its name: kg_t_<tenant without dashes>
  silo_dsn_ref text NOT NULL CONSTRAINT valid_dsn_ref CHECK (silo_dsn_ref ~ '^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$'),
  state        text NOT NULL DEFAULT 'requested' CONSTRAINT valid_silo_state CHECK (state IN (
                 'requested', 'creating', 'migrating', 'copying', 'cutover', 'active', 'failed')),
  reason       text,  -- it failed
  details      jsonb NOT NULL DEFAULT '{}',  -- of the step it is at
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE kg.silos ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.silos FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS silos_tenant_isolation ON kg.silos;
CREATE POLICY silos_tenant_isolation ON kg.silos FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
GRANT SELECT ON kg.silos TO kg_app;

-- In the shared database: what a transaction of these tenants meets here. `copying`: it may read. `gone`: nothing, the
-- data is in the silo. A row stays for ever, since a node that has not heard of the move must be refused.
CREATE TABLE IF NOT EXISTS kg.tenant_moves (
  tenant_id uuid PRIMARY KEY REFERENCES kg.tenants (id) ON DELETE RESTRICT,
  state     text NOT NULL CONSTRAINT valid_move CHECK (state IN ('copying', 'gone')),
  since     timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE kg.tenant_moves ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.tenant_moves FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS tenant_moves_tenant_isolation ON kg.tenant_moves;
CREATE POLICY tenant_moves_tenant_isolation ON kg.tenant_moves FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
GRANT SELECT ON kg.tenant_moves TO kg_app, kg_definer;

-- In a silo: whose it is. Empty in the shared database. Not named tenant_id: it is no row of the tenant's.
CREATE TABLE IF NOT EXISTS kg.silo (
  only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT only_row CHECK (only_row),
  tenant   uuid NOT NULL
);
GRANT SELECT ON kg.silo TO kg_app, kg_control, kg_definer;

CREATE INDEX IF NOT EXISTS idx_tenants_silo ON kg.tenants (id) WHERE data_plane = 'silo';

-- The context for who the tenant is and what it owes, which is in the shared database wherever its data lives.
CREATE OR REPLACE FUNCTION kg.set_control_context(p_tenant uuid) RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  present text := nullif(current_setting('app.current_tenant', true), '');
BEGIN
  IF p_tenant IS NULL THEN
    RAISE EXCEPTION 'the tenant of a context may not be null' USING ERRCODE = '22004';
  END IF;
  IF present IS NOT NULL AND present::uuid <> p_tenant THEN
    RAISE EXCEPTION 'this transaction already has the context of another tenant' USING ERRCODE = '42501';
  END IF;
  PERFORM set_config('app.current_tenant', p_tenant::text, true);
END $$;

-- The context for a tenant's data, only where that is: KG003 elsewhere. While it is copied away every write fails
-- (25006), so that what is copied is all there is: who copies waits until the transactions that began before are over.
CREATE OR REPLACE FUNCTION kg.set_tenant_context(p_tenant uuid) RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  present text := nullif(current_setting('app.current_tenant', true), '');
  v_move text;
  v_silo uuid;
BEGIN
  IF p_tenant IS NULL THEN
    RAISE EXCEPTION 'the tenant of a context may not be null' USING ERRCODE = '22004';
  END IF;
  IF present IS NOT NULL AND present::uuid <> p_tenant THEN
    RAISE EXCEPTION 'this transaction already has the context of another tenant' USING ERRCODE = '42501';
  END IF;
  PERFORM set_config('app.current_tenant', p_tenant::text, true);
  SELECT (SELECT m.state FROM kg.tenant_moves m WHERE m.tenant_id = p_tenant), (SELECT s.tenant FROM kg.silo s)
    INTO v_move, v_silo;
  IF v_move = 'gone' OR v_silo <> p_tenant THEN
    RAISE EXCEPTION 'the data of tenant % is in another database', p_tenant USING ERRCODE = 'KG003';
  END IF;
  IF v_move = 'copying' THEN
    PERFORM set_config('transaction_read_only', 'on', true);
  END IF;
END $$;

-- Who the context's tenant is, as its silo needs to know it: limits, users and keys, without addresses and hashes. Of one
-- user and one key, or all of them when both are NULL. The counters only count where the silo has none yet.
CREATE OR REPLACE FUNCTION kg.principals(p_user uuid, p_key uuid) RETURNS jsonb
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_all boolean := p_user IS NULL AND p_key IS NULL;
BEGIN
  RETURN jsonb_build_object(
    'all', v_all,
    'at', now(),
    'tenant', (
      SELECT to_jsonb(x) FROM (
        SELECT t.id, t.name, t.slug, t.subscription_tier, t.subscription_status, t.tokens_used_month,
               t.tokens_limit_month, t.rate_limit_rpm, t.rate_limit_custom, t.rate_limit_rph, t.rate_burst,
               t.requests_per_day, t.usage_period, t.settings, t.created_at, t.deleted_at
          FROM kg.tenants t WHERE t.id = v_tenant) x),
    'users', (
      SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (
        SELECT u.id, u.role, u.is_active, u.created_at, u.deleted_at FROM kg.users u
         WHERE u.tenant_id = v_tenant
           AND (v_all OR u.id = p_user
                OR u.id = (SELECT k.user_id FROM kg.api_keys k WHERE k.tenant_id = v_tenant AND k.id = p_key))) x),
    'keys', (
      SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM (
        SELECT k.id, k.user_id, k.user_ref, k.key_prefix, k.name, k.scopes, k.rate_limit_rpm, k.tokens_limit_request,
               k.tier_override, k.requests_per_day, k.tokens_limit_month, k.expires_at, k.is_active, k.revoked_at,
               k.created_at
          FROM kg.api_keys k WHERE k.tenant_id = v_tenant AND (v_all OR k.id = p_key)) x));
END $$;

GRANT EXECUTE ON FUNCTION kg.set_control_context(uuid) TO kg_app, kg_admin, kg_definer;
GRANT EXECUTE ON FUNCTION kg.principals(uuid, uuid) TO kg_app, kg_admin;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT ON kg.silos TO kg_definer;
GRANT INSERT, UPDATE ON kg.api_keys TO kg_definer;

SET LOCAL ROLE kg_definer;

-- The other half of `principals`, in the silo, under the context of its tenant. Rows change only where something is new.
-- A user has its id for an address and a key the hash of its id, so nobody can come in by what is stored here.
CREATE OR REPLACE FUNCTION kg.mirror_principals(p_from jsonb) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_tenant uuid := (p_from->'tenant'->>'id')::uuid;
BEGIN
  IF v_tenant IS NULL OR v_tenant IS DISTINCT FROM kg.current_tenant_id()
     OR NOT EXISTS (SELECT FROM kg.silo s WHERE s.tenant = v_tenant) THEN
    RAISE EXCEPTION 'principals are mirrored in their tenant''s silo only' USING ERRCODE = '42501';
  END IF;
  INSERT INTO kg.tenants AS t (id, name, slug, subscription_tier, subscription_status, tokens_used_month,
                               tokens_limit_month, rate_limit_rpm, rate_limit_custom, rate_limit_rph, rate_burst,
                               requests_per_day, usage_period, settings, created_at, deleted_at)
  SELECT x.id, x.name, x.slug, x.subscription_tier, x.subscription_status, x.tokens_used_month, x.tokens_limit_month,
         x.rate_limit_rpm, x.rate_limit_custom, x.rate_limit_rph, x.rate_burst, x.requests_per_day, x.usage_period,
         x.settings, x.created_at, x.deleted_at
    FROM jsonb_populate_record(NULL::kg.tenants, p_from->'tenant') x
  ON CONFLICT (id) DO UPDATE
     SET (name, slug, subscription_tier, subscription_status, tokens_limit_month, rate_limit_rpm, rate_limit_custom,
          rate_limit_rph, rate_burst, requests_per_day, settings, deleted_at)
       = (excluded.name, excluded.slug, excluded.subscription_tier, excluded.subscription_status,
          excluded.tokens_limit_month, excluded.rate_limit_rpm, excluded.rate_limit_custom, excluded.rate_limit_rph,
          excluded.rate_burst, excluded.requests_per_day, excluded.settings, excluded.deleted_at)
   WHERE (t.name, t.slug, t.subscription_tier, t.subscription_status, t.tokens_limit_month, t.rate_limit_rpm,
          t.rate_limit_custom, t.rate_limit_rph, t.rate_burst, t.requests_per_day, t.settings, t.deleted_at)
      IS DISTINCT FROM
         (excluded.name, excluded.slug, excluded.subscription_tier, excluded.subscription_status,
          excluded.tokens_limit_month, excluded.rate_limit_rpm, excluded.rate_limit_custom, excluded.rate_limit_rph,
          excluded.rate_burst, excluded.requests_per_day, excluded.settings, excluded.deleted_at);

  INSERT INTO kg.users AS u (id, tenant_id, email, role, is_active, created_at, deleted_at)
  SELECT x.id, v_tenant, x.id::text, x.role, x.is_active, x.created_at, x.deleted_at
    FROM jsonb_populate_recordset(NULL::kg.users, p_from->'users') x ORDER BY x.id
  ON CONFLICT (id) DO UPDATE
     SET (role, is_active, deleted_at) = (excluded.role, excluded.is_active, excluded.deleted_at)
   WHERE u.tenant_id = v_tenant
     AND (u.role, u.is_active, u.deleted_at) IS DISTINCT FROM (excluded.role, excluded.is_active, excluded.deleted_at);

  INSERT INTO kg.api_keys AS k (id, tenant_id, user_id, user_ref, key_prefix, key_hash, name, scopes, rate_limit_rpm,
                                tokens_limit_request, tier_override, requests_per_day, tokens_limit_month, expires_at,
                                is_active, revoked_at, created_at)
  SELECT x.id, v_tenant, x.user_id, x.user_ref, x.key_prefix, encode(sha256(x.id::text::bytea), 'hex'), x.name, x.scopes,
         x.rate_limit_rpm, x.tokens_limit_request, x.tier_override, x.requests_per_day, x.tokens_limit_month,
         x.expires_at, x.is_active, x.revoked_at, x.created_at
    FROM jsonb_populate_recordset(NULL::kg.api_keys, p_from->'keys') x ORDER BY x.id
  ON CONFLICT (id) DO UPDATE
     SET (user_id, name, scopes, rate_limit_rpm, tokens_limit_request, tier_override, requests_per_day,
          tokens_limit_month, expires_at, is_active, revoked_at)
       = (excluded.user_id, excluded.name, excluded.scopes, excluded.rate_limit_rpm, excluded.tokens_limit_request,
          excluded.tier_override, excluded.requests_per_day, excluded.tokens_limit_month, excluded.expires_at,
          excluded.is_active, excluded.revoked_at)
   WHERE k.tenant_id = v_tenant
     AND (k.user_id, k.name, k.scopes, k.rate_limit_rpm, k.tokens_limit_request, k.tier_override, k.requests_per_day,
          k.tokens_limit_month, k.expires_at, k.is_active, k.revoked_at)
      IS DISTINCT FROM
         (excluded.user_id, excluded.name, excluded.scopes, excluded.rate_limit_rpm, excluded.tokens_limit_request,
          excluded.tier_override, excluded.requests_per_day, excluded.tokens_limit_month, excluded.expires_at,
          excluded.is_active, excluded.revoked_at);

  -- Who is new may not have been there yet when `principals` looked.
  IF (p_from->>'all')::boolean THEN
    UPDATE kg.users u SET is_active = false
     WHERE u.tenant_id = v_tenant AND u.is_active AND u.created_at < (p_from->>'at')::timestamptz - interval '1 min'
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_from->'users') x WHERE (x->>'id')::uuid = u.id);
    UPDATE kg.api_keys k SET is_active = false
     WHERE k.tenant_id = v_tenant AND k.is_active AND k.created_at < (p_from->>'at')::timestamptz - interval '1 min'
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_from->'keys') x WHERE (x->>'id')::uuid = k.id);
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION kg.mirror_principals(jsonb) TO kg_app, kg_admin;

-- Whose data is not, or will soon not be, in the shared database: few.
CREATE OR REPLACE FUNCTION kg.silo_directory() RETURNS TABLE (tenant uuid, state text, database text, dsn_ref text)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN QUERY
  SELECT t.id, 'silo', coalesce(s.database, 'kg_t_' || replace(t.id::text, '-', '')), t.silo_dsn_ref
    FROM kg.tenants t LEFT JOIN kg.silos s ON s.tenant_id = t.id
   WHERE t.data_plane = 'silo'
  UNION ALL
  SELECT m.tenant_id, m.state, '', '' FROM kg.tenant_moves m WHERE m.state = 'copying';
END $$;
GRANT EXECUTE ON FUNCTION kg.silo_directory() TO kg_control;

-- The check of set_tenant_context for what writes for many tenants at once.
CREATE OR REPLACE FUNCTION kg.refuse_moved(p_tenants uuid[]) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_moved uuid;
BEGIN
  SELECT m.tenant_id INTO v_moved FROM kg.tenant_moves m WHERE m.tenant_id = ANY (p_tenants) LIMIT 1;
  IF NOT FOUND THEN
    SELECT x INTO v_moved FROM kg.silo s, unnest(p_tenants) x WHERE x <> s.tenant LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'the data of tenant % is in another database', v_moved USING ERRCODE = 'KG003';
  END IF;
END $$;

-- The fence. In the shared database as before: KG001 unless the shard's lease has that epoch; when it does, it cannot
-- move before the transaction has ended. In a silo leases do not move by themselves: whoever comes with a later epoch
-- shuts out the earlier ones from then on. An entity announces its own before it reads what it will go on from.
CREATE OR REPLACE FUNCTION kg.check_lease(p_shard smallint, p_epoch bigint) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM FROM kg.shard_leases WHERE shard = p_shard AND epoch = p_epoch FOR SHARE;
  IF FOUND THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM kg.silo) THEN
    UPDATE kg.shard_leases SET epoch = p_epoch WHERE shard = p_shard AND epoch < p_epoch;
    IF FOUND THEN
      RETURN;
    END IF;
    -- Another may have announced the same epoch while this one waited.
    PERFORM FROM kg.shard_leases WHERE shard = p_shard AND epoch = p_epoch FOR SHARE;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  RAISE EXCEPTION 'the lease of shard % has moved on from epoch %', p_shard, p_epoch USING ERRCODE = 'KG001';
END $$;

-- As before, but KG003 when the data of one of the turns' tenants is not here, or is being copied away; and in a silo
-- a lease is old only when it is less than what that knows: it does not hear of every lease that moves.
CREATE OR REPLACE FUNCTION kg.append_chunks(
    p_turns uuid[], p_epochs bigint[], p_indices integer[], p_texts text[], p_shards smallint[], p_leases bigint[])
  RETURNS SETOF uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM kg.tenant_moves) THEN
    PERFORM kg.refuse_moved(ARRAY(SELECT DISTINCT t.tenant_id FROM unnest(p_turns) u (id) CROSS JOIN LATERAL (
      SELECT t.tenant_id FROM kg.turns t WHERE t.id = u.id LIMIT 1) t));
  END IF;
  RETURN QUERY
  WITH live AS MATERIALIZED (
    SELECT t.id, t.tenant_id, t.epoch, named.shard, named.lease
      FROM (SELECT DISTINCT u.* FROM unnest(p_turns, p_epochs, p_shards, p_leases) AS u (id, epoch, shard, lease)
             ORDER BY u.id) named
      -- By primary key, turn by turn, whatever the statistics say: a batch names few of the table's rows. IS TRUE keeps
      -- the planner from idx_turns_unfinished, where it would read every turn that has ended since the last vacuum. Only
      -- here: without hash joins the rest would compare every row with every turn.
      CROSS JOIN LATERAL (
        SELECT t.id, t.tenant_id, t.epoch FROM kg.turns t
         WHERE t.id = named.id AND (t.status = 'running') IS TRUE FOR SHARE) t
      -- LIMIT keeps it a look-up for each turn; as a join, all leases would be read for every batch.
      CROSS JOIN LATERAL (
        SELECT FROM kg.shard_leases s
         WHERE s.shard = named.shard
           AND (s.epoch = named.lease OR (s.epoch < named.lease AND EXISTS (SELECT FROM kg.silo))) LIMIT 1) s
     WHERE t.epoch = named.epoch
  ), input AS MATERIALIZED (
    SELECT * FROM unnest(p_turns, p_epochs, p_indices, p_texts, p_shards, p_leases)
      AS u (id, epoch, index, text, shard, lease)
  ), written AS (
    INSERT INTO kg.turn_chunks (turn_id, index, tenant_id, text)
    SELECT i.id, i.index, l.tenant_id, i.text
      FROM input i JOIN live l ON (l.id, l.epoch, l.shard, l.lease) = (i.id, i.epoch, i.shard, i.lease)
    ON CONFLICT DO NOTHING
  )
  SELECT DISTINCT i.id FROM input i
   WHERE NOT EXISTS (
     SELECT FROM live l WHERE (l.id, l.epoch, l.shard, l.lease) = (i.id, i.epoch, i.shard, i.lease));
END $$;

-- As before, but KG003 when the data of one of the tenants is not here, or is being copied away.
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
  PERFORM kg.refuse_moved(p_tenants);
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
    -- Not the id itself: every role may listen.
    SELECT g.tenant_id, g.last_seq,
           pg_notify('kg_agentese', left(encode(sha256(uuid_send(g.tenant_id)), 'hex'), 32) || ' ' || g.last_seq)
      FROM grown g
  )
  SELECT t.tenant_id, t.last_seq FROM told t;
END $$;

-- As before, without those whose data is not here, or is being copied away.
CREATE OR REPLACE FUNCTION kg.due_agentese_tenants(p_limit integer) RETURNS TABLE (tenant uuid, due_in bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN QUERY
  (SELECT s.tenant_id, 0::bigint FROM kg.agentese_schedules s
    WHERE s.next_due <= now()
      AND NOT EXISTS (SELECT FROM kg.tenant_moves m WHERE m.tenant_id = s.tenant_id)
    ORDER BY s.next_due LIMIT p_limit)
  UNION
  (SELECT s.tenant_id, 0::bigint
     FROM kg.agentese_schedules s JOIN kg.shard_leases l ON l.shard = s.running_shard
    WHERE s.running_shard IS NOT NULL AND l.epoch <> s.running_epoch
      AND NOT EXISTS (SELECT FROM kg.tenant_moves m WHERE m.tenant_id = s.tenant_id)
    LIMIT p_limit);
  RETURN QUERY
  SELECT NULL::uuid, ceil(extract(epoch FROM s.next_due - now()) * 1000000)::bigint FROM kg.agentese_schedules s
   WHERE s.next_due > now()
     AND NOT EXISTS (SELECT FROM kg.tenant_moves m WHERE m.tenant_id = s.tenant_id)
   ORDER BY s.next_due LIMIT 1;
END $$;

CREATE OR REPLACE FUNCTION kg.unfinished_turns() RETURNS TABLE (tenant_id uuid, session_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT DISTINCT t.tenant_id, t.session_id FROM kg.turns t
   WHERE t.status IN ('queued', 'running')
     AND NOT EXISTS (SELECT FROM kg.tenant_moves m WHERE m.tenant_id = t.tenant_id AND m.state = 'gone')
$$;

-- Usage is counted in the silo, and from there taken over into the shared database, where it is metered and billed. In the
-- silo `exported_at` says that it was taken over. First in the silo: what was not yet, as one JSON array.
CREATE OR REPLACE FUNCTION kg.unrelayed_usage(p_limit integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN (
    SELECT jsonb_agg(to_jsonb(x) - '{exported_at,export_attempts}'::text[]) FROM (
      SELECT u.* FROM kg.usage_events u WHERE u.exported_at IS NULL ORDER BY u.created_at, u.id LIMIT p_limit) x
     WHERE EXISTS (SELECT FROM kg.silo));
END $$;

-- Then in the shared database, which keeps each once however often it is told. Returns how many were new.
CREATE OR REPLACE FUNCTION kg.take_relayed_usage(p_tenant uuid, p_events jsonb) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_new bigint;
BEGIN
  INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in, tokens_out, storage_bytes, compute_ms,
                               session_id, api_key_id, agentese_path, model, endpoint, method, status_code,
                               billing_period, created_at, quantity)
  SELECT x.id, p_tenant, x.event_type, x.source, x.tokens_in, x.tokens_out, x.storage_bytes, x.compute_ms,
         x.session_id, x.api_key_id, x.agentese_path, x.model, x.endpoint, x.method, x.status_code,
         x.billing_period, x.created_at, x.quantity
    FROM jsonb_populate_recordset(NULL::kg.usage_events, p_events) x
    JOIN kg.tenants t ON t.id = p_tenant AND t.data_plane = 'silo'
   WHERE x.tenant_id = p_tenant
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_new = ROW_COUNT;
  RETURN v_new;
END $$;

-- And in the silo again.
CREATE OR REPLACE FUNCTION kg.usage_relayed(p_ids uuid[]) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.usage_events SET exported_at = now() WHERE id = ANY (p_ids) AND EXISTS (SELECT FROM kg.silo)
$$;

GRANT EXECUTE ON FUNCTION kg.unrelayed_usage(integer), kg.take_relayed_usage(uuid, jsonb), kg.usage_relayed(uuid[])
  TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
