-- What the context `self` remembers for its tenant.

SET LOCAL ROLE kg_owner;

-- Keys and values (self.memory.recall, engram, forget, …): rows of kg.memories whose agent is `self`; those of other agents
-- are not its business. `value` is what was stored, `content` its text, which is searched.
DO $memories$
DECLARE
  trgm text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                 WHERE e.extname = 'pg_trgm');
BEGIN
  IF to_regclass('kg.memories') IS NULL THEN
    RETURN;
  END IF;
  ALTER TABLE kg.memories ADD COLUMN IF NOT EXISTS value jsonb;
  ALTER TABLE kg.memories ADD COLUMN IF NOT EXISTS relevance double precision NOT NULL DEFAULT 1.0
    CONSTRAINT valid_relevance CHECK (relevance BETWEEN 0 AND 1);
  ALTER TABLE kg.memories ADD COLUMN IF NOT EXISTS words tsvector
    GENERATED ALWAYS AS (to_tsvector('english'::regconfig, id || ' ' || content)) STORED;
  CREATE INDEX IF NOT EXISTS idx_memories_words ON kg.memories USING gin (words);
  -- pg_trgm may stand in another schema when an operator installed it.
  EXECUTE format('CREATE INDEX IF NOT EXISTS idx_memories_text ON kg.memories USING gin (id %1$I.gin_trgm_ops,'
                 ' content %1$I.gin_trgm_ops)', trgm);
  GRANT UPDATE (value, relevance) ON kg.memories TO kg_app;
  GRANT SELECT ON kg.memories TO kg_definer;
  -- Derived columns are no news to whoever follows the changes.
  CREATE OR REPLACE TRIGGER memories_outbox_trigger AFTER INSERT OR UPDATE OR DELETE ON kg.memories
    FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger('embedding', 'words');
END
$memories$;

-- Working contexts that were put aside (crystallize, resume, cherish, reap).
CREATE TABLE IF NOT EXISTS kg.agentese_crystals (
  tenant_id        uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  crystal_id       uuid NOT NULL,
  agent            text NOT NULL,
  task_id          text NOT NULL,
  task_description text NOT NULL,
  task_status      text NOT NULL,
  progress         double precision NOT NULL CONSTRAINT valid_progress CHECK (progress BETWEEN 0 AND 1),
  window_turns     jsonb NOT NULL,  -- what was preserved, oldest first
  working_memory   jsonb NOT NULL,
  summary          text NOT NULL,  -- of what was dropped
  preserved_count  integer NOT NULL,
  dropped_count    integer NOT NULL,
  parent           uuid,
  pinned           boolean NOT NULL DEFAULT false,
  created_at       timestamptz NOT NULL DEFAULT now(),
  expires_at       timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, crystal_id)
);
CREATE INDEX IF NOT EXISTS idx_agentese_crystals_expiry ON kg.agentese_crystals (tenant_id, expires_at) WHERE NOT pinned;

-- Contents that are found by likeness (store, retrieve, compress, promote, demote, evaluate). Vectors have length 1, so that
-- their product is their cosine. `text_vector` is always there, made from the words of the content; `embedding` is the
-- caller's, of whatever model.
CREATE TABLE IF NOT EXISTS kg.agentese_concept_memories (
  tenant_id   uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  concept_id  text NOT NULL,
  content     text NOT NULL,
  words       integer NOT NULL,  -- distinct ones in the content
  text_vector real[] NOT NULL,
  embedding   real[],
  resolution  double precision NOT NULL DEFAULT 1.0 CONSTRAINT valid_resolution CHECK (resolution > 0),
  relevance   double precision NOT NULL DEFAULT 0.5
              CONSTRAINT valid_relevance CHECK (relevance BETWEEN 0 AND 1),
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, concept_id)
);

-- Traces that fade (deposit, sense).
CREATE TABLE IF NOT EXISTS kg.agentese_traces (
  tenant_id    uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  trace_id     uuid NOT NULL,
  concept      text NOT NULL,
  intensity    double precision NOT NULL CONSTRAINT valid_intensity CHECK (intensity > 0),
  depositor    text NOT NULL,
  metadata     jsonb NOT NULL DEFAULT '{}',
  deposited_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, trace_id)
);
CREATE INDEX IF NOT EXISTS idx_agentese_traces_concept ON kg.agentese_traces (tenant_id, concept);
CREATE INDEX IF NOT EXISTS idx_agentese_traces_age ON kg.agentese_traces (tenant_id, deposited_at);

ALTER TABLE kg.agentese_crystals ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_crystals FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_crystals_tenant_isolation ON kg.agentese_crystals;
CREATE POLICY agentese_crystals_tenant_isolation ON kg.agentese_crystals FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_concept_memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_concept_memories FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_concept_memories_tenant_isolation ON kg.agentese_concept_memories;
CREATE POLICY agentese_concept_memories_tenant_isolation ON kg.agentese_concept_memories FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_traces ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_traces FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_traces_tenant_isolation ON kg.agentese_traces;
CREATE POLICY agentese_traces_tenant_isolation ON kg.agentese_traces FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT, INSERT, DELETE ON kg.agentese_crystals, kg.agentese_concept_memories, kg.agentese_traces TO kg_app;
GRANT UPDATE (pinned) ON kg.agentese_crystals TO kg_app;
GRANT UPDATE (content, words, text_vector, embedding, resolution, relevance, updated_at)
  ON kg.agentese_concept_memories TO kg_app;

-- Of two vectors of length 1; null when they are not of the same space.
CREATE OR REPLACE FUNCTION kg.product_of_vectors(a real[], b real[]) RETURNS double precision
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN cardinality(a) = cardinality(b)
              THEN (SELECT sum(x::double precision * y) FROM unnest(a, b) AS both_of (x, y)) END;

-- What is left of a trace: a tenth is lost each hour.
CREATE OR REPLACE FUNCTION kg.faded_intensity(p_intensity double precision, p_since timestamptz) RETURNS double precision
  LANGUAGE sql STABLE PARALLEL SAFE
  RETURN p_intensity * power(0.9::double precision, extract(epoch FROM now() - p_since)::double precision / 3600);

GRANT EXECUTE ON FUNCTION kg.product_of_vectors(real[], real[]), kg.faded_intensity(double precision, timestamptz)
  TO kg_app;

GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

-- The keys of memories that have the pattern (of ILIKE) in key or value, newest first; where there are none, of those that
-- have the words of the query, best first. Definer, since under row-level security PostgreSQL uses no index for operators
-- that are not leakproof, and neither ILIKE nor @@ is: the tenant is asked for here, and the values are read by who asks.
CREATE OR REPLACE FUNCTION kg.search_memories(p_agent text, p_pattern text, p_query text, p_limit integer)
  RETURNS TABLE (id text, place bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := kg.current_tenant_id();
BEGIN
  RETURN QUERY
  SELECT m.id, row_number() OVER (ORDER BY m.updated_at DESC, m.id) AS place FROM kg.memories m
   WHERE m.tenant_id = v_tenant AND m.agent_id = p_agent AND (m.id ILIKE p_pattern OR m.content ILIKE p_pattern)
   ORDER BY place LIMIT p_limit;
  IF NOT FOUND THEN
    RETURN QUERY
    SELECT m.id, row_number() OVER (ORDER BY ts_rank(m.words, q) DESC, m.id) AS place
      FROM kg.memories m, websearch_to_tsquery('english'::regconfig, p_query) q
     WHERE m.tenant_id = v_tenant AND m.agent_id = p_agent AND m.words @@ q
     ORDER BY place LIMIT p_limit;
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION kg.search_memories(text, text, text, integer) TO kg_app;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
