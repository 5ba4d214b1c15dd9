-- The cluster: who is a member, who may act on which shard, and the fence that keeps everyone else from writing.
--
-- All times are this server's, so that nodes' clocks are never compared. Locks are always taken in the order leases,
-- version, nodes. kg_control calls the functions and sees no table.

-- A transaction whose second half never comes, since the network fails in between, keeps its lease from moving until the
-- server sees that the connection is dead; and in the midst of a pipeline no timeout of PostgreSQL's runs. TCP's own
-- probes find it in five seconds.
DO $settings$
DECLARE
  command text;
BEGIN
  FOREACH command IN ARRAY ARRAY[
    'ALTER ROLE kg_app SET tcp_keepalives_idle = 2',
    'ALTER ROLE kg_app SET tcp_keepalives_interval = 1',
    'ALTER ROLE kg_app SET tcp_keepalives_count = 3',
    'ALTER ROLE kg_control SET tcp_keepalives_idle = 2',
    'ALTER ROLE kg_control SET tcp_keepalives_interval = 1',
    'ALTER ROLE kg_control SET tcp_keepalives_count = 3'
  ] LOOP
    BEGIN
      EXECUTE command;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'role % may not run: %', session_user, command;
    END;
  END LOOP;
END
$settings$;

SET LOCAL ROLE kg_owner;

CREATE SEQUENCE IF NOT EXISTS kg.cluster_incarnations;

-- A row for each life of a node. The heartbeat is also what its leases expire with: one row every two seconds and node,
-- where a column in each lease would be hundreds.
CREATE TABLE IF NOT EXISTS kg.cluster_nodes (
  node            bigint PRIMARY KEY,
  name            text NOT NULL CONSTRAINT valid_name CHECK (length(name) BETWEEN 1 AND 253),
  host            text NOT NULL CONSTRAINT valid_host CHECK (length(host) <= 253),  -- '': a cluster of one
  port            integer NOT NULL CONSTRAINT valid_port CHECK (port BETWEEN 0 AND 65535),
  roles           text[] NOT NULL,
  protocol        integer NOT NULL,
  state           text NOT NULL DEFAULT 'joining' CONSTRAINT valid_state CHECK (
                    state IN ('joining', 'up', 'leaving', 'dead')),
  beat            bigint NOT NULL DEFAULT 0,
  heartbeat       timestamptz NOT NULL DEFAULT clock_timestamp(),
  suspects        bigint[] NOT NULL DEFAULT '{}',  -- nodes that have lost their link to it
  drain_requested boolean NOT NULL DEFAULT false,
  joined_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at        timestamptz,
  why             text,  -- it is dead: superseded, suspected, silent or left
  CONSTRAINT ended CHECK ((state = 'dead') = (ended_at IS NOT NULL))
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX IF NOT EXISTS idx_cluster_nodes_alive ON kg.cluster_nodes (name) WHERE state <> 'dead';

-- Half of each page is left free: a lease that moves stays in its page, and so does its index entry.
CREATE TABLE IF NOT EXISTS kg.shard_leases (
  shard    smallint PRIMARY KEY CONSTRAINT valid_shard CHECK (shard BETWEEN 0 AND 1023),
  owner    bigint,  -- a node; NULL: free
  epoch    bigint NOT NULL DEFAULT 0,  -- grows whenever the owner changes hands
  taken_at timestamptz
) WITH (fillfactor = 50);

INSERT INTO kg.shard_leases (shard) SELECT generate_series(0, 1023) ON CONFLICT DO NOTHING;

-- Grows with each change of a member's state or of a lease. Its lock is what puts those changes in one order.
CREATE TABLE IF NOT EXISTS kg.cluster_version (
  only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT only_row CHECK (only_row),
  version  bigint NOT NULL
);

INSERT INTO kg.cluster_version (version) VALUES (1) ON CONFLICT DO NOTHING;

GRANT USAGE ON SEQUENCE kg.cluster_incarnations TO kg_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON kg.cluster_nodes TO kg_definer;
GRANT SELECT, UPDATE ON kg.shard_leases, kg.cluster_version TO kg_definer;

GRANT CREATE ON SCHEMA kg TO kg_definer;

SET LOCAL ROLE kg_definer;

-- Others that change the view wait here until this transaction has ended: take it late, or hold it briefly.
CREATE OR REPLACE FUNCTION kg.cluster_lock() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM FROM kg.cluster_version FOR NO KEY UPDATE;
END $$;

CREATE OR REPLACE FUNCTION kg.cluster_changed() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_version bigint;
BEGIN
  UPDATE kg.cluster_version SET version = version + 1 RETURNING version INTO v_version;
  PERFORM pg_notify('kg_cluster', v_version::text);
END $$;

-- Whether a node's word counts. Ask under cluster_lock, or two nodes could each declare the other one dead.
CREATE OR REPLACE FUNCTION kg.cluster_counts(p_node bigint) RETURNS boolean
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  RETURN EXISTS (SELECT FROM kg.cluster_nodes WHERE node = p_node AND state IN ('up', 'leaving'));
END $$;

CREATE OR REPLACE FUNCTION kg.cluster_bury(p_node bigint, p_why text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  UPDATE kg.cluster_nodes SET state = 'dead', ended_at = clock_timestamp(), why = p_why
   WHERE node = p_node AND state <> 'dead';
  IF FOUND THEN
    PERFORM kg.cluster_changed();
  END IF;
END $$;

-- A new life of the node `p_name`; the one before is dead from now on. KG002 when one of the two has no address by which
-- the other could reach it: they would not see each other's crash, and each would serve half of the shards.
CREATE OR REPLACE FUNCTION kg.cluster_join(p_name text, p_host text, p_port integer, p_roles text[], p_protocol integer)
  RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_now timestamptz;
  v_node bigint;
  v_other record;
BEGIN
  PERFORM kg.cluster_lock();
  v_now := clock_timestamp();
  SELECT n.name, n.host INTO v_other FROM kg.cluster_nodes n
   WHERE n.state <> 'dead' AND n.name <> p_name AND n.heartbeat > v_now - interval '6 s'
     AND (p_host = '' OR n.host = '')
   LIMIT 1;
  IF FOUND AND v_other.host = '' THEN
    RAISE EXCEPTION 'node % serves this database alone and has no address for others', v_other.name
      USING ERRCODE = 'KG002', HINT = 'Give every node of a cluster an address for its peers, or stop that one first.';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'this node has no address for others, and node % at % already serves this database',
        v_other.name, v_other.host
      USING ERRCODE = 'KG002', HINT = 'Give every node of a cluster an address for its peers, or stop the others first.';
  END IF;
  FOR v_other IN SELECT node FROM kg.cluster_nodes WHERE name = p_name AND state <> 'dead' LOOP
    PERFORM kg.cluster_bury(v_other.node, 'superseded');
  END LOOP;
  DELETE FROM kg.cluster_nodes WHERE state = 'dead' AND ended_at < v_now - interval '1 day';
  -- Under the lock: so a later life has the larger number.
  INSERT INTO kg.cluster_nodes (node, name, host, port, roles, protocol)
  VALUES (nextval('kg.cluster_incarnations'), p_name, p_host, p_port, p_roles, p_protocol)
  RETURNING node INTO v_node;
  PERFORM kg.cluster_changed();
  RETURN v_node;
END $$;

-- All of one moment: members that are not dead or died within two minutes, one a row, none of its columns set when there
-- is none. The leases, by shard, come in the first row only, and only when p_known is not the version.
CREATE OR REPLACE FUNCTION kg.cluster_view(p_node bigint, p_known bigint)
  RETURNS TABLE (self_state text, version bigint, owners bigint[], epochs bigint[], node bigint, name text, host text,
                 port integer, roles text[], state text, beat bigint, suspects bigint[], drain_requested boolean)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT coalesce((SELECT n.state FROM kg.cluster_nodes n WHERE n.node = p_node), 'dead'), v.version,
         CASE WHEN m.place = 1 OR m.place IS NULL THEN l.owners END,
         CASE WHEN m.place = 1 OR m.place IS NULL THEN l.epochs END,
         m.node, m.name, m.host, m.port, m.roles, m.state, m.beat, m.suspects, m.drain_requested
    FROM kg.cluster_version v
    LEFT JOIN LATERAL (
      SELECT array_agg(s.owner ORDER BY s.shard) AS owners, array_agg(s.epoch ORDER BY s.shard) AS epochs
        FROM kg.shard_leases s) l ON v.version IS DISTINCT FROM p_known
    LEFT JOIN (
      SELECT n.*, row_number() OVER (ORDER BY n.node) AS place
        FROM kg.cluster_nodes n
       WHERE n.state <> 'dead' OR n.ended_at > clock_timestamp() - interval '2 min') m ON true
   ORDER BY m.place;
END $$;

-- The heartbeat, then the view. The state only moves on; a dead node stays dead.
CREATE OR REPLACE FUNCTION kg.cluster_beat(p_node bigint, p_state text, p_known bigint)
  RETURNS TABLE (self_state text, version bigint, owners bigint[], epochs bigint[], node bigint, name text, host text,
                 port integer, roles text[], state text, beat bigint, suspects bigint[], drain_requested boolean)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_order constant text[] := '{joining,up,leaving}';
  v_wanted integer := array_position(v_order, p_state);
  v_moves boolean;
BEGIN
  IF v_wanted IS NULL THEN
    RAISE EXCEPTION 'a node does not beat as %', coalesce(p_state, 'null') USING ERRCODE = '22023';
  END IF;
  SELECT n.state <> 'dead' AND array_position(v_order, n.state) < v_wanted INTO v_moves
    FROM kg.cluster_nodes n WHERE n.node = p_node;
  IF v_moves THEN
    PERFORM kg.cluster_lock();
    UPDATE kg.cluster_nodes n SET state = p_state
     WHERE n.node = p_node AND n.state <> 'dead' AND array_position(v_order, n.state) < v_wanted;
    IF FOUND THEN
      PERFORM kg.cluster_changed();
    END IF;
  END IF;
  UPDATE kg.cluster_nodes n SET beat = n.beat + 1, heartbeat = clock_timestamp()
   WHERE n.node = p_node AND n.state <> 'dead';
  RETURN QUERY SELECT * FROM kg.cluster_view(p_node, p_known);
END $$;

-- p_node has lost its link to p_target. Two whose word counts are enough, or the only other one. True: p_target is dead.
CREATE OR REPLACE FUNCTION kg.cluster_suspect(p_node bigint, p_target bigint) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_suspecters bigint;
  v_members bigint;
BEGIN
  PERFORM kg.cluster_lock();
  IF p_node <> p_target AND kg.cluster_counts(p_node) THEN
    UPDATE kg.cluster_nodes SET suspects = suspects || p_node
     WHERE node = p_target AND state <> 'dead' AND p_node <> ALL (suspects);
    SELECT count(*) FILTER (WHERE n.node = ANY (t.suspects)), count(*) INTO v_suspecters, v_members
      FROM kg.cluster_nodes t JOIN kg.cluster_nodes n ON n.state IN ('up', 'leaving')
     WHERE t.node = p_target;
    IF v_suspecters >= 2
       OR v_suspecters = 1 AND v_members = 2 AND kg.cluster_counts(p_target) THEN
      PERFORM kg.cluster_bury(p_target, 'suspected');
    END IF;
  END IF;
  RETURN NOT EXISTS (SELECT FROM kg.cluster_nodes WHERE node = p_target AND state <> 'dead');
END $$;

CREATE OR REPLACE FUNCTION kg.cluster_trust(p_node bigint, p_target bigint) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  UPDATE kg.cluster_nodes SET suspects = array_remove(suspects, p_node)
   WHERE node = p_target AND state <> 'dead' AND p_node = ANY (suspects);
END $$;

-- p_node has seen p_target's beat stand at p_beat for too long. True: p_target is dead.
CREATE OR REPLACE FUNCTION kg.cluster_declare_dead(p_node bigint, p_target bigint, p_beat bigint) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM kg.cluster_lock();
  -- Also of one that is joining: when all others have crashed, nobody else could bury them.
  IF p_node <> p_target AND EXISTS (SELECT FROM kg.cluster_nodes WHERE node = p_node AND state <> 'dead') THEN
    -- Locked, since a beat does not take the cluster's lock.
    PERFORM FROM kg.cluster_nodes WHERE node = p_target AND beat = p_beat FOR NO KEY UPDATE;
    IF FOUND THEN
      PERFORM kg.cluster_bury(p_target, 'silent');
    END IF;
  END IF;
  RETURN NOT EXISTS (SELECT FROM kg.cluster_nodes WHERE node = p_target AND state <> 'dead');
END $$;

-- Locks those of the leases that could be locked within a fifth of a second, and says which. p_owner: of that owner;
-- NULL: free, or a dead node's.
--
-- SKIP LOCKED, not a wait in order: a transaction that is stuck under its fence then keeps back its own shard only, not
-- the thousand others of a node that has died, nor any other taker. And who skips cannot deadlock.
CREATE OR REPLACE FUNCTION kg.lock_leases(p_shards smallint[], p_owner bigint) RETURNS smallint[]
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_locked smallint[] := '{}';
  v_more smallint[];
  v_wanted bigint;
BEGIN
  FOR attempt IN 1..11 LOOP
    SELECT coalesce(array_agg(shard), '{}') INTO v_more FROM (
      SELECT l.shard FROM kg.shard_leases l
       WHERE l.shard = ANY (p_shards) AND l.shard <> ALL (v_locked)
         AND CASE WHEN p_owner IS NULL THEN NOT EXISTS (
               SELECT FROM kg.cluster_nodes n WHERE n.node = l.owner AND n.state <> 'dead')
             ELSE l.owner = p_owner END
       ORDER BY l.shard FOR UPDATE OF l SKIP LOCKED) free;
    v_locked := v_locked || v_more;
    SELECT count(*) INTO v_wanted FROM kg.shard_leases l
     WHERE l.shard = ANY (p_shards)
       AND CASE WHEN p_owner IS NULL THEN NOT EXISTS (
             SELECT FROM kg.cluster_nodes n WHERE n.node = l.owner AND n.state <> 'dead')
           ELSE l.owner = p_owner END;
    EXIT WHEN cardinality(v_locked) >= v_wanted OR attempt = 11;
    PERFORM pg_sleep(0.02);
  END LOOP;
  RETURN v_locked;
END $$;

-- Those that are free or a dead node's are p_node's from now on, if it is up. Here and in give_leases the wait for a lock
-- is short, so that who gave up waiting for the answer is not surprised long afterwards.
CREATE OR REPLACE FUNCTION kg.take_leases(p_node bigint, p_shards smallint[])
  RETURNS TABLE (shard smallint, epoch bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
  v_locked smallint[] := kg.lock_leases(p_shards, NULL);
BEGIN
  IF v_locked = '{}' THEN
    RETURN;
  END IF;
  PERFORM kg.cluster_lock();
  IF NOT EXISTS (SELECT FROM kg.cluster_nodes n WHERE n.node = p_node AND n.state = 'up') THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH taken AS (
    UPDATE kg.shard_leases l SET owner = p_node, epoch = l.epoch + 1, taken_at = clock_timestamp()
     WHERE l.shard = ANY (v_locked)
       -- Again: who owns it may have joined after the lock was asked for.
       AND NOT EXISTS (SELECT FROM kg.cluster_nodes n WHERE n.node = l.owner AND n.state <> 'dead')
    RETURNING l.shard, l.epoch)
  SELECT * FROM taken ORDER BY shard;
  IF FOUND THEN
    PERFORM kg.cluster_changed();
  END IF;
END $$;

-- p_node's own go to p_to, if that is up.
CREATE OR REPLACE FUNCTION kg.give_leases(p_node bigint, p_to bigint, p_shards smallint[])
  RETURNS TABLE (shard smallint, epoch bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
  v_locked smallint[] := kg.lock_leases(p_shards, p_node);
BEGIN
  IF v_locked = '{}' OR p_node = p_to THEN
    RETURN;
  END IF;
  PERFORM kg.cluster_lock();
  IF NOT kg.cluster_counts(p_node)
     OR NOT EXISTS (SELECT FROM kg.cluster_nodes n WHERE n.node = p_to AND n.state = 'up') THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH given AS (
    UPDATE kg.shard_leases l SET owner = p_to, epoch = l.epoch + 1, taken_at = clock_timestamp()
     WHERE l.shard = ANY (v_locked)
    RETURNING l.shard, l.epoch)
  SELECT * FROM given ORDER BY shard;
  PERFORM kg.cluster_changed();
END $$;

-- The end of a life that went as planned. A lease that is still being written under stays with the dead node, and so is
-- anybody's as well.
CREATE OR REPLACE FUNCTION kg.cluster_leave(p_node bigint) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_locked smallint[] := kg.lock_leases(ARRAY(SELECT shard FROM kg.shard_leases WHERE owner = p_node), p_node);
BEGIN
  PERFORM kg.cluster_lock();
  UPDATE kg.shard_leases SET owner = NULL WHERE shard = ANY (v_locked);
  PERFORM kg.cluster_bury(p_node, 'left');
END $$;

CREATE OR REPLACE FUNCTION kg.cluster_request_drain(p_name text) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM kg.cluster_lock();
  UPDATE kg.cluster_nodes SET drain_requested = true
   WHERE name = p_name AND state <> 'dead' AND NOT drain_requested;
  IF FOUND THEN
    PERFORM kg.cluster_changed();
  END IF;
  RETURN EXISTS (SELECT FROM kg.cluster_nodes WHERE name = p_name AND state <> 'dead');
END $$;

GRANT EXECUTE ON FUNCTION
  kg.cluster_join(text, text, integer, text[], integer),
  kg.cluster_view(bigint, bigint),
  kg.cluster_beat(bigint, text, bigint),
  kg.cluster_suspect(bigint, bigint),
  kg.cluster_trust(bigint, bigint),
  kg.cluster_declare_dead(bigint, bigint, bigint),
  kg.take_leases(bigint, smallint[]),
  kg.give_leases(bigint, bigint, smallint[]),
  kg.cluster_leave(bigint),
  kg.cluster_request_drain(text)
  TO kg_control;

-- The fence: call it first in a transaction that writes an entity. KG001 unless the shard's lease has that epoch; when it
-- does, it cannot move before the transaction has ended. One that comes while the lease moves waits, then is refused.
CREATE OR REPLACE FUNCTION kg.check_lease(p_shard smallint, p_epoch bigint) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM FROM kg.shard_leases WHERE shard = p_shard AND epoch = p_epoch FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease of shard % has moved on from epoch %', p_shard, p_epoch USING ERRCODE = 'KG001';
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION kg.check_lease(smallint, bigint) TO kg_app;

DROP FUNCTION IF EXISTS kg.append_chunks(uuid[], bigint[], integer[], text[]);

-- The log writer's group commit: chunks of many turns and tenants in one statement. Returns the turns it refused, whose
-- own epoch or whose shard's is old, or which do not run; their chunks are not written. A chunk that is there already
-- stays as it is.
--
-- FOR SHARE is the fence. claim_turn and end_turn wait for the commit of a batch under way, and a batch that waited for
-- them sees the new epoch; so what a new owner reads back is all there will ever be of the old one. Rows are locked in
-- the order of ids, so that two writers do not deadlock.
--
-- The leases are only read. A batch may so commit just after one of them has moved; but a new owner claims a turn before
-- it reads its chunks, and the claim waits for the batch. A lock on each lease would be paid for with every batch.
CREATE OR REPLACE FUNCTION kg.append_chunks(
    p_turns uuid[], p_epochs bigint[], p_indices integer[], p_texts text[], p_shards smallint[], p_leases bigint[])
  RETURNS SETOF uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg SET enable_seqscan = off AS $$
BEGIN
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
        SELECT FROM kg.shard_leases s WHERE s.shard = named.shard AND s.epoch = named.lease LIMIT 1) s
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
GRANT EXECUTE ON FUNCTION kg.append_chunks(uuid[], bigint[], integer[], text[], smallint[], bigint[]) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;

-- Takes a message: stores it, its turn and the billable operation, or says why not.
--   joined    the turn is there already, or its key was used before with the same request: that turn, as it is now
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
  v_joined boolean;
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
