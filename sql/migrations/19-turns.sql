-- Turns of a session and the durable chunks of those that still run.
--
-- The functions of the application are plpgsql, so that the server caches their plans while the client sends unnamed
-- statements only (a pooler in transaction mode may stand between), and one round trip does a whole step.
-- Locks are always taken in the order session, turn.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.turns (
  id              uuid PRIMARY KEY,
  tenant_id       uuid NOT NULL,
  session_id      uuid NOT NULL,
  seq             bigint GENERATED ALWAYS AS IDENTITY,
  message_id      uuid NOT NULL,  -- of the user's message
  answer_id       uuid NOT NULL,  -- the assistant message's, fixed at the start so that every node names the same one
  status          text NOT NULL CONSTRAINT valid_status CHECK (
                    status IN ('queued', 'running', 'completed', 'canceled', 'failed')),
  mode            text NOT NULL,
  budget          text,
  on_disconnect   text NOT NULL DEFAULT 'continue' CONSTRAINT valid_on_disconnect CHECK (
                    on_disconnect IN ('continue', 'cancel')),
  api_key_id      uuid,
  idempotency_key text,
  request_hash    text,
  epoch           bigint NOT NULL DEFAULT 1,  -- the fence: only its present holder may append or end
  inherited       integer NOT NULL DEFAULT 0,  -- chunks that were durable when the present epoch began
  chunks          integer NOT NULL DEFAULT 0,
  tokens_in       integer NOT NULL DEFAULT 0,
  tokens_out      integer NOT NULL DEFAULT 0,
  finish_reason   text,
  error_type      text,
  error           text,
  model           text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  started_at      timestamptz,
  ended_at        timestamptz,
  CONSTRAINT turns_tenant_key UNIQUE (tenant_id, id),
  CONSTRAINT turns_session_fkey FOREIGN KEY (tenant_id, session_id)
    REFERENCES kg.sessions (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX IF NOT EXISTS idx_turns_idempotency ON kg.turns (session_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_turns_session ON kg.turns (session_id, seq);
CREATE INDEX IF NOT EXISTS idx_turns_unfinished ON kg.turns (session_id, seq) WHERE status IN ('queued', 'running');

-- No foreign key: at tens of thousands of rows a second its check would cost more than the insert. append_chunks is the
-- only writer and takes turn and tenant from kg.turns itself.
CREATE TABLE IF NOT EXISTS kg.turn_chunks (
  turn_id   uuid NOT NULL,
  index     integer NOT NULL,
  tenant_id uuid NOT NULL,
  text      text NOT NULL,
  PRIMARY KEY (turn_id, index)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5,
        autovacuum_vacuum_cost_delay = 0);  -- every row is deleted within minutes: clean up early and at full speed

ALTER TABLE kg.messages ADD COLUMN IF NOT EXISTS turn_id uuid;
-- Byte offset in the UTF-8 content where each chunk ends, so that a replay gives the very chunks that were shown.
ALTER TABLE kg.messages ADD COLUMN IF NOT EXISTS chunk_ends integer[];

ALTER TABLE kg.turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.turns FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS turns_tenant_isolation ON kg.turns;
CREATE POLICY turns_tenant_isolation ON kg.turns FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.turn_chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.turn_chunks FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS turn_chunks_tenant_isolation ON kg.turn_chunks;
CREATE POLICY turn_chunks_tenant_isolation ON kg.turn_chunks FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT, INSERT ON kg.turns TO kg_app;
GRANT UPDATE (status, epoch, inherited, chunks, tokens_in, tokens_out, finish_reason, error_type, error, model, started_at,
              ended_at) ON kg.turns TO kg_app;
GRANT SELECT, DELETE ON kg.turn_chunks TO kg_app;  -- rows come through append_chunks only

-- Takes a message: stores it, its turn and the billable operation, or says why not.
--   joined    the key was used before with the same request: that turn, as it is now
--   mismatch  the key was used before with another request
--   missing   no such live session          closed  it takes no more messages
--   busy      p_if_busy is 'reject' and a turn is unfinished
--   full      p_limit turns wait already
--   started   running from now              queued  waits for those before it
-- p_mode NULL is the session's mode; one that is given becomes the session's.
CREATE OR REPLACE FUNCTION kg.begin_turn(
    p_turn uuid, p_session uuid, p_message uuid, p_answer uuid, p_content text, p_mode text, p_budget text,
    p_on_disconnect text, p_api_key uuid, p_key text, p_hash text, p_usage uuid, p_tokens_in_message integer,
    p_limit integer, p_if_busy text)
  RETURNS TABLE (outcome text, turn uuid, message uuid, answer uuid, mode text, epoch bigint, status text)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_status text;
  v_mode text;
  v_started boolean;
  v_session record;
  v_known record;
  v_running bigint;
  v_waiting bigint;
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

  -- Before `closed`: who repeats a request of before the closing is owed its answer.
  IF p_key IS NOT NULL THEN
    SELECT t.* INTO v_known FROM kg.turns t WHERE t.session_id = p_session AND t.idempotency_key = p_key;
    IF FOUND THEN
      outcome := CASE WHEN v_known.request_hash IS NOT DISTINCT FROM p_hash THEN 'joined' ELSE 'mismatch' END;
      turn := v_known.id;
      message := v_known.message_id;
      answer := v_known.answer_id;
      mode := v_known.mode;
      epoch := v_known.epoch;
      status := v_known.status;
      RETURN NEXT;
      RETURN;
    END IF;
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
                        api_key_id, idempotency_key, request_hash, started_at)
  VALUES (p_turn, v_session.tenant_id, p_session, p_message, p_answer, v_status, v_mode, p_budget,
          coalesce(p_on_disconnect, 'continue'), p_api_key, p_key, p_hash,
          CASE WHEN v_started THEN now() END);
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

-- Takes a turn over: raises its epoch, so that whoever had it before can write no more. Returns the new epoch, NULL when
-- the turn is missing or has ended.
CREATE OR REPLACE FUNCTION kg.claim_turn(p_turn uuid) RETURNS bigint
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  v_epoch bigint;
BEGIN
  UPDATE kg.turns
     SET status = 'running', epoch = epoch + 1, started_at = coalesce(started_at, now()),
         inherited = (SELECT count(*)::integer FROM kg.turn_chunks c WHERE c.turn_id = p_turn)
   WHERE id = p_turn AND status IN ('queued', 'running')
  RETURNING epoch INTO v_epoch;
  RETURN v_epoch;
END $$;

-- Ends a turn: 'ended', or 'fenced' when it has ended before, is missing or has another epoch. A completed or canceled
-- one with text leaves the assistant message and its chunk rows go; a failed one keeps them, for who reads on. Repeating
-- the call is harmless.
CREATE OR REPLACE FUNCTION kg.end_turn(
    p_turn uuid, p_epoch bigint, p_status text, p_content text, p_chunk_ends integer[], p_tokens_in integer,
    p_tokens_out integer, p_finish text, p_error_type text, p_error text, p_model text, p_latency_ms integer,
    p_usage uuid)
  RETURNS TABLE (outcome text, created_at timestamptz, tokens bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_turn kg.turns;
  v_tokens bigint := coalesce(p_tokens_in, 0)::bigint + coalesce(p_tokens_out, 0);
  v_answered boolean := p_status IN ('completed', 'canceled') AND coalesce(p_content, '') <> '';
BEGIN
  IF p_status IS NULL OR p_status NOT IN ('completed', 'canceled', 'failed') THEN
    RAISE EXCEPTION 'a turn does not end as %', coalesce(p_status, 'null') USING ERRCODE = '22023';
  END IF;
  SELECT t.* INTO v_turn FROM kg.turns t WHERE t.id = p_turn;
  IF FOUND THEN
    PERFORM FROM kg.sessions s WHERE s.id = v_turn.session_id FOR NO KEY UPDATE;
    UPDATE kg.turns t
       SET status = p_status,
           -- What can be read afterwards: the message's chunks, or the rows that a failed turn leaves.
           chunks = CASE WHEN v_answered AND p_chunk_ends IS NOT NULL THEN cardinality(p_chunk_ends)
                         ELSE (SELECT count(*)::integer FROM kg.turn_chunks c WHERE c.turn_id = p_turn) END,
           tokens_in = coalesce(p_tokens_in, 0),
           tokens_out = coalesce(p_tokens_out, 0),
           finish_reason = p_finish,
           error_type = p_error_type,
           error = p_error,
           model = p_model,
           ended_at = now()
     WHERE t.id = p_turn AND t.epoch = p_epoch AND t.status IN ('queued', 'running');
  END IF;
  IF NOT FOUND THEN
    outcome := 'fenced';
    RETURN NEXT;
    RETURN;
  END IF;

  IF v_answered THEN
    INSERT INTO kg.messages (id, session_id, tenant_id, role, content, tokens_in, tokens_out, model, latency_ms,
                             turn_id, chunk_ends)
    VALUES (v_turn.answer_id, v_turn.session_id, v_turn.tenant_id, 'assistant', p_content, coalesce(p_tokens_in, 0),
            coalesce(p_tokens_out, 0), p_model, p_latency_ms, p_turn, p_chunk_ends);
    UPDATE kg.sessions s
       SET message_count = s.message_count + 1, tokens_used = s.tokens_used + v_tokens, last_message_at = now()
     WHERE s.id = v_turn.session_id;
  END IF;
  IF p_status <> 'failed' THEN
    DELETE FROM kg.turn_chunks c WHERE c.turn_id = p_turn;
  END IF;
  -- Last, since it locks the tenant's row until the commit.
  IF v_tokens > 0 THEN
    INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in, tokens_out, session_id, api_key_id,
                                 model, compute_ms)
    VALUES (p_usage, v_turn.tenant_id, 'llm_call', 'kgent', coalesce(p_tokens_in, 0), coalesce(p_tokens_out, 0),
            v_turn.session_id, v_turn.api_key_id, p_model, coalesce(p_latency_ms, 0))
    ON CONFLICT DO NOTHING;
  END IF;
  outcome := 'ended';
  created_at := now();
  tokens := v_tokens;
  RETURN NEXT;
END $$;

GRANT EXECUTE ON FUNCTION
  kg.begin_turn(uuid, uuid, uuid, uuid, text, text, text, text, uuid, text, text, uuid, integer, integer, text),
  kg.claim_turn(uuid),
  kg.end_turn(uuid, bigint, text, text, integer[], integer, integer, text, text, text, text, integer, uuid)
  TO kg_app;

GRANT CREATE ON SCHEMA kg TO kg_definer;
-- UPDATE (status) only because FOR SHARE asks for it.
GRANT SELECT, UPDATE (status) ON kg.turns TO kg_definer;
GRANT SELECT, INSERT, DELETE ON kg.turn_chunks TO kg_definer;

SET LOCAL ROLE kg_definer;

-- The log writer's group commit: chunks of many turns and tenants in one statement. Returns the turns it refused, whose
-- epoch is old or which do not run; their chunks are not written. A chunk that is there already stays as it is.
--
-- FOR SHARE is the fence. claim_turn and end_turn wait for the commit of a batch under way, and a batch that waited for
-- them sees the new epoch; so what a new owner reads back is all there will ever be of the old one. Rows are locked in
-- the order of ids, so that two writers do not deadlock.
CREATE OR REPLACE FUNCTION kg.append_chunks(p_turns uuid[], p_epochs bigint[], p_indices integer[], p_texts text[])
  RETURNS SETOF uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
  WITH live AS MATERIALIZED (
    SELECT t.id, t.tenant_id, t.epoch
      FROM (SELECT DISTINCT u AS id FROM unnest(p_turns) u ORDER BY u) named
      -- By primary key, turn by turn, whatever the statistics say: a batch names few of the table's rows. IS TRUE keeps
      -- the planner from idx_turns_unfinished, where it would read every turn that has ended since the last vacuum. Only
      -- here: without hash joins the rest would compare every row with every turn.
      CROSS JOIN LATERAL (
        SELECT t.id, t.tenant_id, t.epoch FROM kg.turns t
         WHERE t.id = named.id AND (t.status = 'running') IS TRUE FOR SHARE) t
  ), input AS MATERIALIZED (
    SELECT * FROM unnest(p_turns, p_epochs, p_indices, p_texts) AS u (turn_id, epoch, index, text)
  ), written AS (
    INSERT INTO kg.turn_chunks (turn_id, index, tenant_id, text)
    SELECT i.turn_id, i.index, l.tenant_id, i.text
      FROM input i JOIN live l ON l.id = i.turn_id AND l.epoch = i.epoch
    ON CONFLICT DO NOTHING
  )
  SELECT DISTINCT i.turn_id FROM input i
   WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = i.turn_id AND l.epoch = i.epoch);
END $$;
GRANT EXECUTE ON FUNCTION kg.append_chunks(uuid[], bigint[], integer[], text[]) TO kg_control;

-- Sessions with work left over, for a node that takes their shards.
CREATE OR REPLACE FUNCTION kg.unfinished_turns() RETURNS TABLE (tenant_id uuid, session_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT DISTINCT t.tenant_id, t.session_id FROM kg.turns t WHERE t.status IN ('queued', 'running')
$$;
GRANT EXECUTE ON FUNCTION kg.unfinished_turns() TO kg_control;

-- Chunks go with their turn, also when a session is deleted: what a foreign key would do. Definer, because a cascade
-- runs with the rights of the table's owner, whom FORCE keeps from seeing the chunks.
CREATE OR REPLACE FUNCTION kg.drop_chunks_trigger() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  DELETE FROM kg.turn_chunks WHERE turn_id = OLD.id;
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION kg.drop_chunks_trigger() TO kg_owner;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;

CREATE OR REPLACE TRIGGER turns_drop_chunks AFTER DELETE ON kg.turns
  FOR EACH ROW EXECUTE FUNCTION kg.drop_chunks_trigger();
