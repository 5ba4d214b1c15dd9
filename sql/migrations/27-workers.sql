-- Work that one node of the cluster does at a time: exports, relays, reconciliation.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.worker_leases (
  worker  text PRIMARY KEY CONSTRAINT valid_worker CHECK (worker ~ '^[a-z][a-z0-9_-]{0,62}$'),
  owner   uuid NOT NULL,  -- of one life of a process
  expires timestamptz NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE kg.worker_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.worker_leases FORCE ROW LEVEL SECURITY;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON kg.worker_leases TO kg_definer;
SET LOCAL ROLE kg_definer;

-- Takes or renews; true when the caller holds it from now on, for so many seconds of this server's clock.
CREATE OR REPLACE FUNCTION kg.hold_worker(p_worker text, p_owner uuid, p_seconds integer) RETURNS boolean
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH held AS (
    INSERT INTO kg.worker_leases AS l (worker, owner, expires)
    VALUES (p_worker, p_owner, clock_timestamp() + make_interval(secs => p_seconds))
    ON CONFLICT (worker) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
     WHERE l.owner = excluded.owner OR l.expires < clock_timestamp()
    RETURNING 1)
  SELECT EXISTS (SELECT FROM held)
$$;
GRANT EXECUTE ON FUNCTION kg.hold_worker(text, uuid, integer) TO kg_control;

CREATE OR REPLACE FUNCTION kg.release_worker(p_worker text, p_owner uuid) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  DELETE FROM kg.worker_leases WHERE worker = p_worker AND owner = p_owner
$$;
GRANT EXECUTE ON FUNCTION kg.release_worker(text, uuid) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
