-- What `time.schedule` is to do later. An action is claimed in a transaction of its own before it runs, under the lease of
-- the tenant's context: it runs at most once, whatever dies in between.
--
-- All times are this server's, so that nodes' clocks are never compared.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.agentese_actions (
  tenant_id     uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  id            bigint NOT NULL,
  path          text NOT NULL,
  kwargs        json NOT NULL,  -- not jsonb: it is handed on as it came in
  is_strict     boolean NOT NULL,
  -- As whom it runs.
  archetype     text NOT NULL,
  observer_id   text NOT NULL,
  capabilities  text[] NOT NULL DEFAULT '{}',
  caller_user   text NOT NULL,
  caller_key    uuid,
  caller_tier   text NOT NULL,
  caller_scopes text[] NOT NULL CONSTRAINT valid_caller_scopes CHECK (caller_scopes <@ '{read,write,admin}'::text[]),
  scheduled_for timestamptz NOT NULL,
  status        text NOT NULL DEFAULT 'pending' CONSTRAINT valid_action_status CHECK (
                  status IN ('pending', 'running', 'executed', 'failed', 'cancelled')),
  result        json,  -- of an executed one
  truncated     boolean NOT NULL DEFAULT false,  -- the result was too large and is null
  error         text,  -- of a failed one
  claimed_at    timestamptz,
  ended_at      timestamptz,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);

CREATE INDEX IF NOT EXISTS idx_agentese_actions_pending ON kg.agentese_actions (tenant_id, scheduled_for, id)
  WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS idx_agentese_actions_running ON kg.agentese_actions (tenant_id, claimed_at)
  WHERE status = 'running';

-- One row a tenant: what the nodes look at to know whose actions are due, and the numbers of the actions.
CREATE TABLE IF NOT EXISTS kg.agentese_schedules (
  tenant_id     uuid PRIMARY KEY REFERENCES kg.tenants (id) ON DELETE CASCADE,
  last_action   bigint NOT NULL DEFAULT 0,
  next_due      timestamptz,  -- NULL: nothing is pending or running
  -- Something runs, under this lease; when the lease has moved, who ran it is gone.
  running_shard smallint,
  running_epoch bigint
) WITH (fillfactor = 50);

CREATE INDEX IF NOT EXISTS idx_agentese_schedules_due ON kg.agentese_schedules (next_due) WHERE next_due IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_agentese_schedules_running ON kg.agentese_schedules (running_shard)
  WHERE running_shard IS NOT NULL;

ALTER TABLE kg.agentese_actions ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_actions FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_actions_tenant_isolation ON kg.agentese_actions;
CREATE POLICY agentese_actions_tenant_isolation ON kg.agentese_actions FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_schedules FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_schedules_tenant_isolation ON kg.agentese_schedules;
CREATE POLICY agentese_schedules_tenant_isolation ON kg.agentese_schedules FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT, INSERT, DELETE ON kg.agentese_actions TO kg_app;
GRANT UPDATE (status, result, truncated, error, claimed_at, ended_at) ON kg.agentese_actions TO kg_app;
GRANT SELECT, INSERT, UPDATE (last_action, next_due, running_shard, running_epoch) ON kg.agentese_schedules TO kg_app;

-- Says in the tenant's row when there is something to do next: the first pending one's time, or when one that runs must
-- have come to its end. To be called in each transaction that changes an action.
CREATE OR REPLACE FUNCTION kg.reschedule_agentese() RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  v_running timestamptz := (SELECT min(claimed_at) FROM kg.agentese_actions WHERE status = 'running');
BEGIN
  UPDATE kg.agentese_schedules
     SET next_due = least((SELECT min(scheduled_for) FROM kg.agentese_actions WHERE status = 'pending'),
                          v_running + interval '150 s'),  -- no aspect may take as long
         running_shard = CASE WHEN v_running IS NOT NULL THEN running_shard END,
         running_epoch = CASE WHEN v_running IS NOT NULL THEN running_epoch END;
END $$;

-- A new action, p_delay microseconds from now or at p_at (microseconds since 1970). No row: p_most are pending already.
CREATE OR REPLACE FUNCTION kg.defer_agentese_action(
    p_path text, p_kwargs text, p_strict boolean, p_archetype text, p_observer text, p_capabilities text[],
    p_user text, p_key uuid, p_tier text, p_scopes text[], p_delay bigint, p_at bigint, p_most bigint)
  RETURNS TABLE (id bigint, scheduled_for timestamptz)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_id bigint;
  v_at timestamptz := coalesce(timestamptz 'epoch' + p_at * interval '1 microsecond',
                               now() + p_delay * interval '1 microsecond');
BEGIN
  IF (SELECT count(*) FROM kg.agentese_actions a WHERE a.status = 'pending') >= p_most THEN
    RETURN;
  END IF;
  INSERT INTO kg.agentese_schedules AS s (tenant_id, last_action, next_due) VALUES (v_tenant, 1, v_at)
  ON CONFLICT (tenant_id) DO UPDATE SET last_action = s.last_action + 1, next_due = least(s.next_due, v_at)
  RETURNING last_action INTO v_id;
  INSERT INTO kg.agentese_actions (tenant_id, id, path, kwargs, is_strict, archetype, observer_id, capabilities,
                                   caller_user, caller_key, caller_tier, caller_scopes, scheduled_for)
  VALUES (v_tenant, v_id, p_path, p_kwargs::json, p_strict, p_archetype, p_observer, p_capabilities, p_user, p_key,
          p_tier, p_scopes, v_at);
  RETURN QUERY SELECT v_id, v_at;
END $$;

-- Takes an action if it is due: from then on it runs, and never again. What its caller may do is what its credential
-- allowed when it was deferred and still allows; `denied` says why it may do nothing any more.
CREATE OR REPLACE FUNCTION kg.claim_agentese_action(p_id bigint, p_shard integer, p_epoch bigint)
  RETURNS TABLE (id bigint, path text, kwargs text, is_strict boolean, archetype text, observer_id text,
                 capabilities text[], caller_user text, caller_key uuid, caller_tier text, caller_scopes text[],
                 denied text)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_action kg.agentese_actions;
  v_scopes text[];
  v_role text;
  v_denied text;
BEGIN
  SELECT * INTO v_action FROM kg.agentese_actions a
   WHERE a.id = p_id AND a.status = 'pending' AND a.scheduled_for <= now() FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  v_scopes := v_action.caller_scopes;
  IF NOT EXISTS (SELECT FROM kg.tenants t WHERE t.subscription_status IN ('active', 'trialing', 'past_due')) THEN
    v_denied := 'the tenant''s subscription is not active';
  ELSIF v_action.caller_key IS NOT NULL THEN
    -- As for a request with that key: see resolve_api_key.
    SELECT ARRAY(SELECT s FROM unnest(v_action.caller_scopes) s
                  WHERE s = ANY (k.scopes)
                    AND (u.id IS NULL OR u.role IN ('owner', 'admin') OR s = 'read' OR (u.role = 'member' AND s = 'write')))
      INTO v_scopes
      FROM kg.api_keys k LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
     WHERE k.id = v_action.caller_key AND k.is_active AND k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR now() <= k.expires_at)
       AND (k.user_id IS NULL OR (u.is_active AND u.deleted_at IS NULL));
    IF NOT FOUND THEN
      v_denied := 'the API key that scheduled it is revoked or has expired';
    END IF;
  ELSE
    SELECT u.role INTO v_role FROM kg.users u
     WHERE u.id::text = v_action.caller_user AND u.is_active AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
      v_denied := 'the user who scheduled it is not active any more';
    ELSE
      v_scopes := ARRAY(SELECT s FROM unnest(v_action.caller_scopes) s
                         WHERE v_role IN ('owner', 'admin') OR s = 'read' OR (v_role = 'member' AND s = 'write'));
    END IF;
  END IF;
  UPDATE kg.agentese_actions a SET status = 'running', claimed_at = now() WHERE a.id = v_action.id;
  UPDATE kg.agentese_schedules SET running_shard = p_shard, running_epoch = p_epoch;
  PERFORM kg.reschedule_agentese();
  RETURN QUERY
  SELECT v_action.id, v_action.path, v_action.kwargs::text, v_action.is_strict, v_action.archetype, v_action.observer_id,
         v_action.capabilities, v_action.caller_user, v_action.caller_key, v_action.caller_tier, v_scopes, v_denied;
END $$;

-- What became of one that ran. Of those that have ended, the newest p_keep numbers are kept. False: it did not run.
CREATE OR REPLACE FUNCTION kg.end_agentese_action(p_id bigint, p_status text, p_result text, p_truncated boolean,
                                                  p_error text, p_keep bigint) RETURNS boolean
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  UPDATE kg.agentese_actions
     SET status = p_status, result = p_result::json, truncated = p_truncated, error = p_error, ended_at = now()
   WHERE id = p_id AND status = 'running';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM kg.agentese_actions
   WHERE status IN ('executed', 'failed', 'cancelled')
     AND id <= (SELECT last_action FROM kg.agentese_schedules) - p_keep;
  PERFORM kg.reschedule_agentese();
  RETURN true;
END $$;

-- Those that run according to the table but by nobody (p_alive: what the tenant's context does run): it died in between.
-- Never run again, since they may have been done.
CREATE OR REPLACE FUNCTION kg.fail_interrupted_actions(p_alive bigint[]) RETURNS SETOF bigint
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN QUERY
  UPDATE kg.agentese_actions
     SET status = 'failed', error = 'interrupted: it may or may not have been done', ended_at = now()
   WHERE status = 'running' AND id <> ALL (p_alive) RETURNING id;
  PERFORM kg.reschedule_agentese();
END $$;

GRANT EXECUTE ON FUNCTION
    kg.reschedule_agentese(),
    kg.defer_agentese_action(text, text, boolean, text, text, text[], text, uuid, text, text[], bigint, bigint, bigint),
    kg.claim_agentese_action(bigint, integer, bigint),
    kg.end_agentese_action(bigint, text, text, boolean, text, bigint),
    kg.fail_interrupted_actions(bigint[])
  TO kg_app;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT ON kg.agentese_schedules TO kg_definer;

SET LOCAL ROLE kg_definer;

-- Whose actions are due, for the nodes, which run those of the tenants that live on them. The last row has no tenant: in
-- how many microseconds the next becomes due, of those that are not yet.
CREATE OR REPLACE FUNCTION kg.due_agentese_tenants(p_limit integer) RETURNS TABLE (tenant uuid, due_in bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN QUERY
  (SELECT s.tenant_id, 0::bigint FROM kg.agentese_schedules s
    WHERE s.next_due <= now() ORDER BY s.next_due LIMIT p_limit)
  UNION
  (SELECT s.tenant_id, 0::bigint
     FROM kg.agentese_schedules s JOIN kg.shard_leases l ON l.shard = s.running_shard
    WHERE s.running_shard IS NOT NULL AND l.epoch <> s.running_epoch LIMIT p_limit);
  RETURN QUERY
  SELECT NULL::uuid, ceil(extract(epoch FROM s.next_due - now()) * 1000000)::bigint FROM kg.agentese_schedules s
   WHERE s.next_due > now() ORDER BY s.next_due LIMIT 1;
END $$;
GRANT EXECUTE ON FUNCTION kg.due_agentese_tenants(integer) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
