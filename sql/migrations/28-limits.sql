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
  -- Used now or never, and held back no more: a reservation has the id of its usage event.
  IF EXISTS (SELECT FROM added a WHERE a.event_type <> 'api_call') THEN
    DELETE FROM kg.token_reservations r USING added a WHERE r.id = a.id;
  END IF;
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

-- A turn that may use so many tokens at most. `reserved`: they are held back of a monthly budget until it has ended, in
-- whichever way; so there is nothing to give back and nothing that could be forgotten, by a crash least of all.

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.turns ADD COLUMN IF NOT EXISTS most_tokens bigint CONSTRAINT valid_most_tokens CHECK (most_tokens >= 0);
ALTER TABLE kg.turns ADD COLUMN IF NOT EXISTS reserved boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS idx_turns_reserved ON kg.turns (tenant_id) WHERE reserved AND status IN ('queued', 'running');

-- What else asks a model holds back tokens here until its usage is written, or, when its node is lost, for a while.
CREATE TABLE IF NOT EXISTS kg.token_reservations (
  id         uuid PRIMARY KEY,  -- of the usage event to come
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  api_key_id uuid,
  tokens     bigint NOT NULL CONSTRAINT valid_tokens CHECK (tokens > 0),
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_token_reservations ON kg.token_reservations (tenant_id);
ALTER TABLE kg.token_reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.token_reservations FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS token_reservations_tenant_isolation ON kg.token_reservations;
CREATE POLICY token_reservations_tenant_isolation ON kg.token_reservations FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
GRANT SELECT, INSERT, DELETE, UPDATE (tokens, expires_at) ON kg.token_reservations TO kg_app;
GRANT SELECT, DELETE ON kg.token_reservations TO kg_definer;

-- The monthly budget that this key's tokens come from, its own or the tenant's: `allowed` (0: unlimited, and then nothing
-- else is looked at), what is `used` of it and what is `held` back. Until the commit nobody else can take of it.
-- `a_request`: what the key may use at once, NULL when there is no such limit.
--
-- What is held counts whenever it was reserved: its tokens will be of the month that it ends in.
CREATE OR REPLACE FUNCTION kg.token_room(
    p_key uuid, OUT allowed bigint, OUT used bigint, OUT held bigint, OUT a_request bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_month text := to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM');
  v_own boolean;
BEGIN
  SELECT k.tokens_limit_month, nullif(k.tokens_limit_request, 0) INTO allowed, a_request
    FROM kg.api_keys k WHERE k.id = p_key AND k.tenant_id = v_tenant;
  v_own := allowed IS NOT NULL;
  IF NOT v_own THEN
    SELECT t.tokens_limit_month INTO allowed FROM kg.tenants t WHERE t.id = v_tenant;
  END IF;
  IF coalesce(allowed, 0) = 0 THEN
    allowed := 0;
    RETURN;
  END IF;
  -- The lock in a statement of its own: the next one sees what was committed while it waited. There used and held come
  -- from one snapshot, so that a turn which ends meanwhile is in one of them.
  IF v_own THEN
    PERFORM FROM kg.api_keys k WHERE k.id = p_key FOR NO KEY UPDATE;
    SELECT coalesce((SELECT c.tokens FROM kg.usage_counters c
                      WHERE c.tenant_id = v_tenant AND c.api_key_id = p_key AND c.period = v_month), 0),
           coalesce((SELECT sum(t.most_tokens) FROM kg.turns t
                      WHERE t.tenant_id = v_tenant AND t.api_key_id = p_key
                        AND t.reserved AND t.status IN ('queued', 'running')), 0)
             + coalesce((SELECT sum(r.tokens) FROM kg.token_reservations r
                          WHERE r.tenant_id = v_tenant AND r.api_key_id = p_key AND r.expires_at > now()), 0)
      INTO used, held;
  ELSE
    PERFORM FROM kg.tenants t WHERE t.id = v_tenant FOR NO KEY UPDATE;
    -- Not =, for this transaction may have waited from one month into the next.
    SELECT CASE WHEN t.usage_period >= v_month THEN t.tokens_used_month ELSE 0 END,
           coalesce((SELECT sum(x.most_tokens) FROM kg.turns x
                      WHERE x.tenant_id = v_tenant AND x.reserved AND x.status IN ('queued', 'running')), 0)
             + coalesce((SELECT sum(r.tokens) FROM kg.token_reservations r
                          WHERE r.tenant_id = v_tenant AND r.expires_at > now()), 0)
      INTO used, held
      FROM kg.tenants t WHERE t.id = v_tenant;
  END IF;
END $$;

-- Holds back p_tokens of that budget, or what is left of it if that is p_least at least, for so many seconds: how many
-- `granted` (NULL: there is no limit and nothing is held, 0: refused). Repeating it holds nothing more.
CREATE OR REPLACE FUNCTION kg.reserve_tokens(
    p_id uuid, p_key uuid, p_tokens bigint, p_least bigint, p_seconds integer,
    OUT granted bigint, OUT allowed bigint, OUT used bigint, OUT held bigint, OUT a_request bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  SELECT r.allowed, r.used, r.held, r.a_request INTO allowed, used, held, a_request FROM kg.token_room(p_key) r;
  IF p_least > a_request THEN
    granted := 0;
    RETURN;
  END IF;
  granted := least(p_tokens, a_request);
  IF allowed = 0 THEN
    IF a_request IS NULL THEN
      granted := NULL;
    END IF;
    RETURN;
  END IF;
  SELECT r.tokens INTO granted FROM kg.token_reservations r WHERE r.id = p_id;
  IF FOUND THEN
    RETURN;
  END IF;
  granted := least(p_tokens, a_request, allowed - used - held);
  IF granted < p_least OR granted < 1 THEN
    granted := 0;
    RETURN;
  END IF;
  -- Those of nodes that are lost.
  -- Not those that are being settled: whoever does that may wait for the budget we hold.
  DELETE FROM kg.token_reservations r
   WHERE r.id IN (SELECT x.id FROM kg.token_reservations x
                   WHERE x.tenant_id = kg.current_tenant_id() AND x.expires_at < now() - interval '1 minute'
                     FOR UPDATE SKIP LOCKED);
  INSERT INTO kg.token_reservations (id, tenant_id, api_key_id, tokens, expires_at)
  VALUES (p_id, kg.current_tenant_id(), p_key, granted, now() + make_interval(secs => p_seconds));
END $$;

GRANT EXECUTE ON FUNCTION kg.token_room(uuid), kg.reserve_tokens(uuid, uuid, bigint, bigint, integer) TO kg_app;

-- As before, and takes p_tokens of the budget of the key for the turn, or what is left of it if that is p_least_tokens at
-- least. p_tokens is without the p_history messages that the prompt carries besides. 0: the turn costs nothing. Further
-- outcomes:
--   exhausted  the budget of the month does not hold that many: `allowed`, `used` and `held` back by others
--   oversized  it needs more than the key may use at once: `allowed`
--   crowded    p_most_answering sessions of the tenant answer already (0: as many as like)
-- `most_tokens` of one that is begun: what it may use, NULL when there is no limit.
DROP FUNCTION IF EXISTS kg.begin_turn(uuid, uuid, uuid, uuid, text, text, text, text, uuid, text, text, uuid, integer, integer, text);
CREATE OR REPLACE FUNCTION kg.begin_turn(
    p_turn uuid, p_session uuid, p_message uuid, p_answer uuid, p_content text, p_mode text, p_budget text,
    p_on_disconnect text, p_api_key uuid, p_key text, p_hash text, p_usage uuid, p_tokens_in_message integer,
    p_limit integer, p_if_busy text, p_tokens bigint, p_least_tokens bigint, p_history integer, p_most_answering integer)
  RETURNS TABLE (outcome text, turn uuid, message uuid, answer uuid, mode text, epoch bigint, status text,
                 most_tokens bigint, allowed bigint, used bigint, held bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_status text;
  v_mode text;
  v_started boolean;
  v_session record;
  v_known record;
  v_joined boolean;
  v_running bigint;
  v_waiting bigint;
  v_room record;
BEGIN
  -- Serialises the turns of a session. Not FOR UPDATE, which would also stop the foreign key checks of others.
  SELECT s.tenant_id, s.status, s.context INTO v_session
    FROM kg.sessions s WHERE s.id = p_session AND s.deleted_at IS NULL AND s.status <> 'deleted'
    FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'missing';
    RETURN NEXT;
    RETURN;
  END IF;

  -- Sent again, maybe by another node, since the first answer was lost on its way. Under the session's lock, so the first
  -- one has come to its end.
  SELECT t.* INTO v_known FROM kg.turns t WHERE t.id = p_turn AND t.session_id = p_session;
  v_joined := FOUND;
  -- Before `closed`: who repeats a request of before the closing is owed its answer.
  IF NOT v_joined AND p_key IS NOT NULL THEN
    SELECT t.* INTO v_known FROM kg.turns t WHERE t.session_id = p_session AND t.idempotency_key = p_key;
    v_joined := FOUND;
  END IF;
  IF v_joined THEN
    outcome := CASE WHEN v_known.id = p_turn OR v_known.request_hash IS NOT DISTINCT FROM p_hash THEN 'joined'
                    ELSE 'mismatch' END;
    turn := v_known.id;
    message := v_known.message_id;
    answer := v_known.answer_id;
    mode := v_known.mode;
    epoch := v_known.epoch;
    status := v_known.status;
    RETURN NEXT;
    RETURN;
  END IF;

  IF v_session.status = 'closed' THEN
    outcome := 'closed';
    RETURN NEXT;
    RETURN;
  END IF;

  SELECT count(*) FILTER (WHERE t.status = 'running'), count(*) FILTER (WHERE t.status = 'queued')
    INTO v_running, v_waiting
    FROM kg.turns t WHERE t.session_id = p_session AND t.status IN ('queued', 'running');
  IF v_running + v_waiting > 0 THEN
    IF p_if_busy = 'reject' THEN
      outcome := 'busy';
    ELSIF v_waiting >= p_limit THEN
      outcome := 'full';
    ELSE
      outcome := 'queued';
    END IF;
  ELSE
    outcome := 'started';
  END IF;
  IF outcome IN ('busy', 'full') THEN
    RETURN NEXT;
    RETURN;
  END IF;

  -- Behind the session's lock, as late as may be: the turns of a tenant with a limit wait for each other from here to the
  -- commit.
  SELECT * INTO v_room FROM kg.token_room(p_api_key);
  IF v_room.a_request IS NOT NULL AND p_least_tokens > v_room.a_request THEN
    outcome := 'oversized';
    allowed := v_room.a_request;
    RETURN NEXT;
    RETURN;
  END IF;
  IF p_tokens > 0 AND (v_room.allowed > 0 OR v_room.a_request IS NOT NULL) THEN
    -- The prompt carries the conversation so far: half a token a byte, as the caller counts.
    most_tokens := least(v_room.a_request, p_tokens + (
      SELECT coalesce(sum(octet_length(h.content)), 0) / 2
        FROM (SELECT m.content FROM kg.messages m WHERE m.session_id = p_session
               ORDER BY m.seq DESC LIMIT p_history) h));
  END IF;
  IF v_room.allowed > 0 THEN
    IF outcome = 'started' AND p_most_answering > 0 AND p_most_answering <= (
         SELECT count(DISTINCT t.session_id) FROM kg.turns t
          WHERE t.tenant_id = v_session.tenant_id AND t.reserved AND t.status IN ('queued', 'running')) THEN
      outcome := 'crowded';
      RETURN NEXT;
      RETURN;
    END IF;
    IF p_tokens > 0 AND v_room.used + v_room.held + p_least_tokens > v_room.allowed THEN
      outcome := 'exhausted';
      most_tokens := NULL;
      allowed := v_room.allowed;
      used := v_room.used;
      held := v_room.held;
      RETURN NEXT;
      RETURN;
    END IF;
    -- What is left, when it is less than the worst case: the answer is made to fit into it.
    most_tokens := CASE WHEN p_tokens = 0 THEN 0
                        ELSE least(most_tokens, v_room.allowed - v_room.used - v_room.held) END;
  END IF;

  turn := p_turn;
  message := p_message;
  answer := p_answer;
  epoch := 1;
  v_started := outcome = 'started';
  v_mode := coalesce(p_mode, v_session.context->>'mode', 'reflect');
  v_status := CASE WHEN v_started THEN 'running' ELSE 'queued' END;
  mode := v_mode;
  status := v_status;

  INSERT INTO kg.messages (id, session_id, tenant_id, role, content, tokens_in, turn_id)
  VALUES (p_message, p_session, v_session.tenant_id, 'user', p_content, coalesce(p_tokens_in_message, 0), p_turn);
  INSERT INTO kg.turns (id, tenant_id, session_id, message_id, answer_id, status, mode, budget, on_disconnect,
                        api_key_id, idempotency_key, request_hash, started_at, most_tokens, reserved)
  VALUES (p_turn, v_session.tenant_id, p_session, p_message, p_answer, v_status, v_mode, p_budget,
          coalesce(p_on_disconnect, 'continue'), p_api_key, p_key, p_hash,
          CASE WHEN v_started THEN now() END, most_tokens, v_room.allowed > 0);
  INSERT INTO kg.usage_events (id, tenant_id, event_type, source, session_id, api_key_id, endpoint, method)
  VALUES (p_usage, v_session.tenant_id, 'api_call', 'kgent', p_session, p_api_key,
          '/v1/kgent/sessions/{id}/messages', 'POST');
  UPDATE kg.sessions s
     SET message_count = s.message_count + 1,
         last_message_at = now(),
         context = CASE WHEN p_mode IS NULL THEN s.context
                        ELSE s.context || jsonb_build_object('mode', p_mode) END
   WHERE s.id = p_session;
  RETURN NEXT;
END $$;
GRANT EXECUTE ON FUNCTION kg.begin_turn(uuid, uuid, uuid, uuid, text, text, text, text, uuid, text, text, uuid, integer,
                                        integer, text, bigint, bigint, integer, integer) TO kg_app;

DROP FUNCTION IF EXISTS kg.unfinished_turns_of(uuid);
-- Its turns that have not ended, in their order, with the durable part of each answer up to the first hole: its text, and
-- the bytes of each chunk.
CREATE OR REPLACE FUNCTION kg.turns_to_take_up(p_session uuid)
  RETURNS TABLE (id uuid, seq bigint, status text, message_id uuid, answer_id uuid, content text, mode text, budget text,
                 on_disconnect text, api_key_id uuid, epoch bigint, answer text, lengths text,
                 most_tokens bigint)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT t.id, t.seq, t.status, t.message_id, t.answer_id, m.content, t.mode, t.budget, t.on_disconnect, t.api_key_id,
         t.epoch, durable.text, durable.lengths, t.most_tokens
    FROM kg.turns t
    JOIN kg.messages m ON m.id = t.message_id
    CROSS JOIN LATERAL (
      SELECT string_agg(text, '' ORDER BY index) AS text,
             string_agg(octet_length(text)::text, ',' ORDER BY index) AS lengths
        FROM (SELECT index, text, row_number() OVER (ORDER BY index) - 1 AS place
                FROM kg.turn_chunks WHERE turn_id = t.id) numbered
       WHERE index = place) durable
   WHERE t.session_id = p_session AND t.status IN ('queued', 'running')
   ORDER BY t.seq;
END $$;
GRANT EXECUTE ON FUNCTION kg.turns_to_take_up(uuid) TO kg_app;
