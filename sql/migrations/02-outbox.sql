-- Outbox: every change of a tracked table, written in the same transaction, read by the CDC worker.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.outbox (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id       uuid,
  event_type      text NOT NULL CONSTRAINT valid_event_type CHECK (event_type IN ('INSERT', 'UPDATE', 'DELETE')),
  table_name      text NOT NULL,
  row_id          text NOT NULL,
  payload         jsonb NOT NULL,
  processed       boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL DEFAULT now(),
  processed_at    timestamptz,
  attempts        integer NOT NULL DEFAULT 0 CONSTRAINT valid_attempts CHECK (attempts >= 0),
  next_attempt_at timestamptz,
  last_error      text CONSTRAINT short_error CHECK (length(last_error) <= 2000)
);

-- By id, not by time: created_at is the transaction's start, and a slow transaction commits behind a quick one.
CREATE INDEX IF NOT EXISTS idx_outbox_unprocessed ON kg.outbox (id) WHERE NOT processed;
CREATE INDEX IF NOT EXISTS idx_outbox_processed ON kg.outbox (processed_at) WHERE processed;
CREATE INDEX IF NOT EXISTS idx_outbox_row ON kg.outbox (table_name, row_id, id);

CREATE TABLE IF NOT EXISTS kg.outbox_dlq (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  outbox_id   bigint NOT NULL,
  tenant_id   uuid,
  table_name  text NOT NULL,
  operation   text NOT NULL CONSTRAINT valid_operation CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
  row_id      text NOT NULL,
  payload     jsonb NOT NULL,
  target      text NOT NULL CONSTRAINT valid_target CHECK (target IN ('qdrant', 'redis')),
  error       text,
  reason      text NOT NULL CONSTRAINT valid_reason CHECK (reason IN (
                'max_retries_exceeded', 'circuit_open', 'invalid_payload', 'embedding_failed', 'manual_nack')),
  retry_count integer NOT NULL DEFAULT 0,
  failed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_outbox_dlq_failed ON kg.outbox_dlq (failed_at);

ALTER TABLE kg.outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE kg.outbox_dlq ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.outbox_dlq FORCE ROW LEVEL SECURITY;

CREATE OR REPLACE VIEW kg.outbox_stats WITH (security_invoker = true) AS
  SELECT count(*) FILTER (WHERE NOT processed) AS pending_events,
         count(*) FILTER (WHERE processed) AS processed_events,
         min(created_at) FILTER (WHERE NOT processed) AS oldest_pending,
         (avg(extract(epoch FROM processed_at - created_at) * 1000) FILTER (WHERE processed))::double precision
           AS avg_processing_lag_ms
    FROM kg.outbox;

CREATE OR REPLACE FUNCTION kg.update_updated_at() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

-- kg_definer may create functions for the length of this transaction only.
GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT INSERT, SELECT, DELETE ON kg.outbox TO kg_definer;

SET LOCAL ROLE kg_definer;

-- Definer, because the tenant's role must not be able to read or write the outbox itself.
-- Arguments: columns to leave out of the payload (credentials, embeddings).
CREATE OR REPLACE FUNCTION kg.outbox_trigger() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  changed jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
  INSERT INTO kg.outbox (tenant_id, event_type, table_name, row_id, payload)
  VALUES ((CASE TG_TABLE_NAME WHEN 'tenants' THEN changed->>'id' ELSE changed->>'tenant_id' END)::uuid,
          TG_OP, TG_TABLE_NAME, changed->>'id', changed - coalesce(TG_ARGV, '{}')::text[]);
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION kg.outbox_trigger() TO kg_owner;

-- Deletes processed rows older than the window and returns how many. In chunks, so that one statement's row locks and
-- memory stay small; the caller's transaction still ends as one.
CREATE OR REPLACE FUNCTION kg.outbox_cleanup(retention_days integer DEFAULT 7) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  total integer := 0;
  deleted integer;
BEGIN
  IF retention_days IS NULL OR retention_days < 0 THEN
    RAISE EXCEPTION 'retention_days is %, it must be 0 or more', retention_days
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  LOOP
    DELETE FROM kg.outbox WHERE id IN (
      SELECT id FROM kg.outbox
       WHERE processed AND processed_at < now() - make_interval(days => retention_days)
       LIMIT 10000);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted;
    EXIT WHEN deleted < 10000;
  END LOOP;
  RETURN total;
END $$;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
