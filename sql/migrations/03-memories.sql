SET LOCAL ROLE kg_owner;

-- The key starts with the tenant, so that tenants can neither collide on ids nor probe each other's.
CREATE TABLE IF NOT EXISTS kg.memories (
  id          text NOT NULL,
  tenant_id   uuid NOT NULL,
  agent_id    text NOT NULL,
  content     text NOT NULL,
  memory_type text NOT NULL DEFAULT 'episodic'
              CONSTRAINT valid_memory_type CHECK (memory_type IN ('episodic', 'semantic', 'procedural')),
  importance  double precision NOT NULL DEFAULT 0.5
              CONSTRAINT valid_importance CHECK (importance BETWEEN 0 AND 1),
  metadata    jsonb NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);

CREATE INDEX IF NOT EXISTS idx_memories_agent ON kg.memories (tenant_id, agent_id);
CREATE INDEX IF NOT EXISTS idx_memories_type ON kg.memories (memory_type);
CREATE INDEX IF NOT EXISTS idx_memories_tenant ON kg.memories (tenant_id);

DO $embedding$
DECLARE
  ext_schema text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                       WHERE e.extname = 'vector');
BEGIN
  IF ext_schema IS NULL THEN
    ALTER TABLE kg.memories ADD COLUMN IF NOT EXISTS embedding real[];
    RETURN;
  END IF;
  EXECUTE format('ALTER TABLE kg.memories ADD COLUMN IF NOT EXISTS embedding %I.vector(1536)', ext_schema);
  -- hnsw, not ivfflat: an ivfflat index built on an empty table has useless centroids.
  IF EXISTS (SELECT FROM pg_am WHERE amname = 'hnsw') THEN
    EXECUTE format('CREATE INDEX IF NOT EXISTS idx_memories_embedding ON kg.memories'
                   ' USING hnsw (embedding %I.vector_cosine_ops)', ext_schema);
  END IF;
END
$embedding$;

CREATE OR REPLACE TRIGGER memories_updated_at BEFORE UPDATE ON kg.memories
  FOR EACH ROW EXECUTE FUNCTION kg.update_updated_at();
CREATE OR REPLACE TRIGGER memories_outbox_trigger AFTER INSERT OR UPDATE OR DELETE ON kg.memories
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger('embedding');
