-- The CDC worker and the outbox relay: claiming changes, what became of them, dead letters, rebuilding the index.

SET LOCAL ROLE kg_owner;

-- A change goes two ways, which fail on their own: into the vector index (settled: applied, superseded or dead-lettered)
-- and onto the bus (published). It is processed when both are over.
ALTER TABLE kg.outbox ADD COLUMN IF NOT EXISTS settled boolean NOT NULL DEFAULT false;
ALTER TABLE kg.outbox ADD COLUMN IF NOT EXISTS published boolean NOT NULL DEFAULT false;
ALTER TABLE kg.outbox ADD COLUMN IF NOT EXISTS claimed_by uuid;  -- one life of a worker
ALTER TABLE kg.outbox ADD COLUMN IF NOT EXISTS claimed_until timestamptz;

-- A rebuild of one table's part of the index: where it has come to. First all rows are upserted, then points without a row
-- are swept.
CREATE TABLE IF NOT EXISTS kg.cdc_rebuilds (
  table_name   text PRIMARY KEY CONSTRAINT valid_table CHECK (table_name IN ('memories', 'persona_garden', 'messages')),
  run          uuid NOT NULL,
  phase        text NOT NULL DEFAULT 'upsert' CONSTRAINT valid_phase CHECK (phase IN ('upsert', 'sweep', 'done')),
  after_tenant uuid,  -- where the next page begins; while sweeping after_row is the index's own offset
  after_row    text,
  upserted     bigint NOT NULL DEFAULT 0,
  swept        bigint NOT NULL DEFAULT 0,
  requested_at timestamptz NOT NULL DEFAULT now(),
  finished_at  timestamptz
);
ALTER TABLE kg.cdc_rebuilds ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.cdc_rebuilds FORCE ROW LEVEL SECURITY;

DO $tables$
BEGIN
  IF to_regclass('kg.memories') IS NOT NULL THEN
    GRANT SELECT ON kg.memories TO kg_definer;
  END IF;
  IF to_regclass('kg.persona_garden') IS NOT NULL THEN
    GRANT SELECT ON kg.persona_garden TO kg_definer;
  END IF;
END
$tables$;
GRANT SELECT ON kg.messages TO kg_definer;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT UPDATE ON kg.outbox TO kg_definer;
GRANT SELECT, INSERT, DELETE ON kg.outbox_dlq TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.cdc_rebuilds TO kg_definer;
SET LOCAL ROLE kg_definer;

-- The oldest changes that are due, for p_seconds. p_index: those that the index waits for; p_relay: those that the bus
-- waits for. At most p_limit, and no more of them than have p_bytes of payload (but one always).
CREATE OR REPLACE FUNCTION kg.cdc_claim(p_owner uuid, p_index boolean, p_relay boolean, p_limit integer, p_bytes bigint,
                                        p_seconds integer)
  RETURNS TABLE (id bigint, tenant_id uuid, operation text, table_name text, row_id text, payload text, attempts integer,
                 settled boolean, published boolean, due boolean, superseded boolean, created_at timestamptz)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  -- One claim at a time, so that each sees the others'; finishing does not wait for it.
  PERFORM pg_advisory_xact_lock(hashtext('kg.cdc_claim'));
  RETURN QUERY
  WITH open AS (
    SELECT o.id, length(o.payload::text) AS bytes
      FROM kg.outbox o
     WHERE NOT o.processed
       AND ((p_index AND NOT o.settled AND coalesce(o.next_attempt_at <= clock_timestamp(), true))
            OR (p_relay AND NOT o.published))
       AND (o.claimed_until IS NULL OR o.claimed_until <= clock_timestamp() OR o.claimed_by = p_owner)
       -- An older change of the row in another's hands might be applied after this one.
       AND NOT EXISTS (SELECT FROM kg.outbox e
                        WHERE e.table_name = o.table_name AND e.row_id = o.row_id AND e.id < o.id
                          AND e.tenant_id IS NOT DISTINCT FROM o.tenant_id AND NOT e.processed
                          AND e.claimed_until > clock_timestamp() AND e.claimed_by <> p_owner)
     ORDER BY o.id
     LIMIT p_limit
       FOR UPDATE OF o SKIP LOCKED),
  wanted AS (
    SELECT c.id FROM (SELECT open.id, sum(open.bytes) OVER (ORDER BY open.id) - open.bytes AS before FROM open) c
     WHERE c.before < p_bytes),
  claimed AS (
    UPDATE kg.outbox o
       SET claimed_by = p_owner, claimed_until = clock_timestamp() + make_interval(secs => p_seconds)
      FROM wanted WHERE o.id = wanted.id
    RETURNING o.*)
  SELECT c.id, c.tenant_id, c.event_type, c.table_name, c.row_id, c.payload::text, c.attempts, c.settled, c.published,
         coalesce(c.next_attempt_at <= clock_timestamp(), true),
         EXISTS (SELECT FROM kg.outbox l
                  WHERE l.table_name = c.table_name AND l.row_id = c.row_id AND l.id > c.id
                    AND l.tenant_id IS NOT DISTINCT FROM c.tenant_id AND (l.settled OR l.processed)),
         c.created_at
    FROM claimed c ORDER BY c.id;
END $$;
GRANT EXECUTE ON FUNCTION kg.cdc_claim(uuid, boolean, boolean, integer, bigint, integer) TO kg_control;

-- What became of claimed changes: acknowledges, backs off and dead-letters as one. p_results: a list of
-- {id, settled, published, counted, wait_ms, error, reason}; with a reason the change is dead for the index. What is no
-- longer this owner's is left alone. p_relay: there is a bus, so a change that it has not got is not processed. Returns
-- the milliseconds from change to acknowledgement of what is processed now.
CREATE OR REPLACE FUNCTION kg.cdc_finish(p_owner uuid, p_relay boolean, p_results jsonb)
  RETURNS TABLE (id bigint, lag_ms double precision)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH x AS (
    SELECT * FROM jsonb_to_recordset(p_results)
      AS r (id bigint, settled boolean, published boolean, counted boolean, wait_ms integer, error text, reason text)),
  mine AS (
    SELECT o.id FROM kg.outbox o JOIN x ON x.id = o.id
     WHERE o.claimed_by = p_owner AND NOT o.processed ORDER BY o.id FOR UPDATE OF o),
  dead AS (
    INSERT INTO kg.outbox_dlq (outbox_id, tenant_id, table_name, operation, row_id, payload, target, error, reason,
                               retry_count)
    SELECT o.id, o.tenant_id, o.table_name, o.event_type, o.row_id, o.payload, 'qdrant', left(x.error, 2000), x.reason,
           o.attempts + x.counted::integer
      FROM mine JOIN x ON x.id = mine.id JOIN kg.outbox o ON o.id = mine.id
     WHERE x.reason IS NOT NULL),
  done AS (
    UPDATE kg.outbox o
       SET settled = o.settled OR x.settled OR x.reason IS NOT NULL,
           published = o.published OR x.published,
           processed = (o.settled OR x.settled OR x.reason IS NOT NULL) AND (o.published OR x.published OR NOT p_relay),
           processed_at = CASE WHEN (o.settled OR x.settled OR x.reason IS NOT NULL)
                                    AND (o.published OR x.published OR NOT p_relay) THEN clock_timestamp() END,
           attempts = o.attempts + x.counted::integer,
           next_attempt_at = CASE WHEN x.wait_ms IS NULL THEN o.next_attempt_at
                                  ELSE clock_timestamp() + make_interval(secs => x.wait_ms / 1000.0) END,
           last_error = CASE WHEN x.settled THEN NULL ELSE coalesce(left(x.error, 2000), o.last_error) END,
           claimed_by = NULL, claimed_until = NULL
      FROM mine JOIN x ON x.id = mine.id
     WHERE o.id = mine.id
    RETURNING o.id, o.processed, o.processed_at, o.created_at)
  SELECT done.id, (extract(epoch FROM done.processed_at - done.created_at) * 1000)::double precision
    FROM done WHERE done.processed ORDER BY done.id
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_finish(uuid, boolean, jsonb) TO kg_control;

-- Deletes what is kept no longer: changes 7 days after they were processed, dead letters after 30. At most p_limit of
-- each; returns how many.
CREATE OR REPLACE FUNCTION kg.cdc_expire(p_limit integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  changes integer;
  letters integer;
BEGIN
  DELETE FROM kg.outbox WHERE id IN (
    SELECT o.id FROM kg.outbox o WHERE o.processed AND o.processed_at < now() - interval '7 days' LIMIT p_limit);
  GET DIAGNOSTICS changes = ROW_COUNT;
  DELETE FROM kg.outbox_dlq WHERE id IN (
    SELECT d.id FROM kg.outbox_dlq d WHERE d.failed_at < now() - interval '30 days' LIMIT p_limit);
  GET DIAGNOSTICS letters = ROW_COUNT;
  RETURN changes + letters;
END $$;
GRANT EXECUTE ON FUNCTION kg.cdc_expire(integer) TO kg_control;

-- pending stops counting at 100,000.
CREATE OR REPLACE FUNCTION kg.cdc_stats()
  RETURNS TABLE (pending bigint, oldest_ms double precision, dead bigint, by_reason jsonb, by_table jsonb)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT (SELECT count(*) FROM (SELECT FROM kg.outbox WHERE NOT processed LIMIT 100000) p),
         coalesce((SELECT extract(epoch FROM clock_timestamp() - o.created_at) * 1000
                     FROM kg.outbox o WHERE NOT o.processed ORDER BY o.id LIMIT 1), 0)::double precision,
         (SELECT count(*) FROM kg.outbox_dlq),
         (SELECT coalesce(jsonb_object_agg(reason, n), '{}')
            FROM (SELECT reason, count(*) AS n FROM kg.outbox_dlq GROUP BY reason) r),
         (SELECT coalesce(jsonb_object_agg(table_name, n), '{}')
            FROM (SELECT table_name, count(*) AS n FROM kg.outbox_dlq GROUP BY table_name) t)
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_stats() TO kg_control;

-- Dead letters, newest first, without their payload: they are for the operator, whom tenants' texts do not concern.
CREATE OR REPLACE FUNCTION kg.cdc_dead_letters(p_before bigint, p_table text, p_reason text, p_limit integer)
  RETURNS TABLE (id bigint, outbox_id bigint, tenant_id uuid, table_name text, operation text, row_id text, target text,
                 error text, reason text, retry_count integer, failed_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT d.id, d.outbox_id, d.tenant_id, d.table_name, d.operation, d.row_id, d.target, d.error, d.reason, d.retry_count,
         d.failed_at
    FROM kg.outbox_dlq d
   WHERE (p_before IS NULL OR d.id < p_before) AND (p_table IS NULL OR d.table_name = p_table)
     AND (p_reason IS NULL OR d.reason = p_reason)
   ORDER BY d.id DESC LIMIT p_limit
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_dead_letters(bigint, text, text, integer) TO kg_control;

CREATE OR REPLACE FUNCTION kg.cdc_drop_dead_letters(p_id bigint, p_limit integer) RETURNS integer
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH gone AS (
    DELETE FROM kg.outbox_dlq WHERE id IN (
      SELECT d.id FROM kg.outbox_dlq d WHERE p_id IS NULL OR d.id = p_id ORDER BY d.id LIMIT p_limit)
    RETURNING 1)
  SELECT count(*)::integer FROM gone
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_drop_dead_letters(bigint, integer) TO kg_control;

-- The rows of a vectorised table by key, as the trigger would put them into the outbox; those that are gone are missing.
CREATE OR REPLACE FUNCTION kg.cdc_rows(p_table text, p_tenants uuid[], p_rows text[])
  RETURNS TABLE (tenant_id uuid, row_id text, payload jsonb)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  IF p_table = 'memories' AND to_regclass('kg.memories') IS NOT NULL THEN
    RETURN QUERY SELECT m.tenant_id, m.id, to_jsonb(m) - '{embedding,words}'::text[]
      FROM unnest(p_tenants, p_rows) AS k (tenant, row) JOIN kg.memories m ON m.tenant_id = k.tenant AND m.id = k.row;
  ELSIF p_table = 'persona_garden' AND to_regclass('kg.persona_garden') IS NOT NULL THEN
    RETURN QUERY SELECT g.tenant_id, g.id::text, to_jsonb(g)
      FROM unnest(p_tenants, p_rows) AS k (tenant, row)
      JOIN kg.persona_garden g ON g.tenant_id = k.tenant
       AND g.id = CASE WHEN k.row ~ '^[0-9]{1,18}$' THEN k.row::bigint END;
  ELSIF p_table = 'messages' THEN
    RETURN QUERY SELECT m.tenant_id, m.id::text, to_jsonb(m) - 'chunk_ends'
      FROM unnest(p_tenants, p_rows) AS k (tenant, row)
      JOIN kg.messages m ON m.tenant_id = k.tenant
       AND m.id = CASE WHEN k.row ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN k.row::uuid END;
  END IF;
END $$;

-- Has a dead letter (or the oldest p_limit) tried again, as the change it was: it stays older than later changes of its
-- row. Where the change itself is kept no longer, a new one is made of the row as it is now.
CREATE OR REPLACE FUNCTION kg.cdc_retry_dead_letters(p_id bigint, p_limit integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  letter kg.outbox_dlq;
  current_row jsonb;
  retried integer := 0;
BEGIN
  FOR letter IN
    DELETE FROM kg.outbox_dlq WHERE id IN (
      SELECT d.id FROM kg.outbox_dlq d WHERE p_id IS NULL OR d.id = p_id ORDER BY d.id LIMIT p_limit)
    RETURNING *
  LOOP
    retried := retried + 1;
    UPDATE kg.outbox SET settled = false, processed = false, processed_at = NULL, attempts = 0, next_attempt_at = NULL
     WHERE id = letter.outbox_id;
    CONTINUE WHEN FOUND;
    SELECT r.payload INTO current_row
      FROM kg.cdc_rows(letter.table_name, ARRAY[letter.tenant_id], ARRAY[letter.row_id]) r;
    INSERT INTO kg.outbox (tenant_id, event_type, table_name, row_id, payload, published)
    VALUES (letter.tenant_id, CASE WHEN current_row IS NULL THEN 'DELETE' ELSE 'UPDATE' END, letter.table_name,
            letter.row_id, coalesce(current_row, letter.payload), true);
  END LOOP;
  RETURN retried;
END $$;
GRANT EXECUTE ON FUNCTION kg.cdc_retry_dead_letters(bigint, integer) TO kg_control;

-- Asks for a rebuild of these tables' parts of the index; one under way begins anew.
CREATE OR REPLACE FUNCTION kg.cdc_rebuild(p_tables text[]) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  INSERT INTO kg.cdc_rebuilds (table_name, run) SELECT DISTINCT t, gen_random_uuid() FROM unnest(p_tables) t
  ON CONFLICT (table_name) DO UPDATE
    SET run = excluded.run, phase = 'upsert', after_tenant = NULL, after_row = NULL, upserted = 0, swept = 0,
        requested_at = now(), finished_at = NULL
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_rebuild(text[]) TO kg_control;

CREATE OR REPLACE FUNCTION kg.cdc_rebuild_state()
  RETURNS TABLE (table_name text, run uuid, phase text, after_tenant uuid, after_row text, upserted bigint, swept bigint,
                 requested_at timestamptz, finished_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT b.table_name, b.run, b.phase, b.after_tenant, b.after_row, b.upserted, b.swept, b.requested_at, b.finished_at
    FROM kg.cdc_rebuilds b ORDER BY b.phase = 'done', b.table_name
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_rebuild_state() TO kg_control;

-- A page of a table after a key, in the order of its primary key; bounded like a claim.
CREATE OR REPLACE FUNCTION kg.cdc_rebuild_page(p_table text, p_after_tenant uuid, p_after_row text, p_limit integer,
                                               p_bytes bigint)
  RETURNS TABLE (tenant_id uuid, row_id text, payload text)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  tenants uuid[];
  ids text[];
BEGIN
  IF p_table = 'memories' AND to_regclass('kg.memories') IS NOT NULL THEN
    SELECT array_agg(m.tenant_id), array_agg(m.id) INTO tenants, ids FROM (
      SELECT tenant_id, id FROM kg.memories
       WHERE p_after_row IS NULL OR (tenant_id, id) > (p_after_tenant, p_after_row)
       ORDER BY tenant_id, id LIMIT p_limit) m;
  ELSIF p_table = 'persona_garden' AND to_regclass('kg.persona_garden') IS NOT NULL THEN
    SELECT array_agg(g.tenant_id), array_agg(g.id::text) INTO tenants, ids FROM (
      SELECT tenant_id, id FROM kg.persona_garden
       WHERE p_after_row IS NULL OR id > p_after_row::bigint ORDER BY id LIMIT p_limit) g;
  ELSIF p_table = 'messages' THEN
    SELECT array_agg(m.tenant_id), array_agg(m.id::text) INTO tenants, ids FROM (
      SELECT tenant_id, id FROM kg.messages
       WHERE p_after_row IS NULL OR id > p_after_row::uuid ORDER BY id LIMIT p_limit) m;
  END IF;
  RETURN QUERY
  SELECT s.tenant_id, s.row_id, s.payload FROM (
    SELECT r.tenant_id, r.row_id, r.payload::text AS payload, k.place,
           sum(length(r.payload::text)) OVER (ORDER BY k.place) - length(r.payload::text) AS before
      FROM unnest(tenants, ids) WITH ORDINALITY AS k (tenant, row, place)
      JOIN kg.cdc_rows(p_table, tenants, ids) r ON r.tenant_id = k.tenant AND r.row_id = k.row) s
   WHERE s.before < p_bytes ORDER BY s.place;
END $$;
GRANT EXECUTE ON FUNCTION kg.cdc_rebuild_page(text, uuid, text, integer, bigint) TO kg_control;

-- Which of these points, by place from 1, have no row.
CREATE OR REPLACE FUNCTION kg.cdc_rows_gone(p_table text, p_tenants uuid[], p_rows text[]) RETURNS SETOF integer
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT k.place::integer FROM unnest(p_tenants, p_rows) WITH ORDINALITY AS k (tenant, row, place)
    LEFT JOIN kg.cdc_rows(p_table, p_tenants, p_rows) r ON r.tenant_id = k.tenant AND r.row_id = k.row
   WHERE r.row_id IS NULL ORDER BY k.place
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_rows_gone(text, uuid[], text[]) TO kg_control;

-- A page is in the index; nothing when another rebuild has been asked for since.
CREATE OR REPLACE FUNCTION kg.cdc_rebuild_step(p_run uuid, p_phase text, p_after_tenant uuid, p_after_row text,
                                               p_upserted bigint, p_swept bigint) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.cdc_rebuilds
     SET phase = p_phase, after_tenant = p_after_tenant, after_row = p_after_row, upserted = upserted + p_upserted,
         swept = swept + p_swept, finished_at = CASE WHEN p_phase = 'done' THEN clock_timestamp() END
   WHERE run = p_run
$$;
GRANT EXECUTE ON FUNCTION kg.cdc_rebuild_step(uuid, text, uuid, text, bigint, bigint) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
