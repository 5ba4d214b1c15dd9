-- What tenants define and change under AGENTESE's paths: nodes with their state, each state they have had, and the jobs that
-- were asked of them.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.agentese_nodes (
  tenant_id   uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  path        text NOT NULL CONSTRAINT valid_node_path CHECK (
                path ~ '^(world|self|concept|void|time)(\.[a-z][a-z0-9_]*)+$' AND length(path) <= 512),
  context     text NOT NULL GENERATED ALWAYS AS (split_part(path, '.', 1)) STORED,
  entity_type text NOT NULL DEFAULT 'entity',
  state       jsonb NOT NULL DEFAULT '{}',
  definition  jsonb NOT NULL DEFAULT '{}',  -- how it came to be: spec, lineage, what was done to it
  relations   jsonb NOT NULL DEFAULT '{}',  -- relation → list of what it leads to
  version     bigint NOT NULL DEFAULT 1,
  created_by  text,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, path)
);
CREATE INDEX IF NOT EXISTS idx_agentese_nodes_context ON kg.agentese_nodes (tenant_id, context);

-- Written with every change of a state, in its transaction. No foreign key: other contexts keep states of their own here.
CREATE TABLE IF NOT EXISTS kg.agentese_snapshots (
  tenant_id uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  target    text NOT NULL,  -- node path
  version   bigint NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  state     jsonb NOT NULL,
  PRIMARY KEY (tenant_id, target, version)
);
CREATE INDEX IF NOT EXISTS idx_agentese_snapshots_time ON kg.agentese_snapshots (tenant_id, target, at);

CREATE TABLE IF NOT EXISTS kg.agentese_jobs (
  tenant_id    uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  job_id       uuid NOT NULL DEFAULT gen_random_uuid(),
  node         text NOT NULL,
  aspect       text NOT NULL,
  kwargs       jsonb NOT NULL DEFAULT '{}',
  status       text NOT NULL DEFAULT 'queued' CONSTRAINT valid_job_status CHECK (
                 status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  note         text,
  requested_by text,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, job_id)
);
CREATE INDEX IF NOT EXISTS idx_agentese_jobs_created ON kg.agentese_jobs (tenant_id, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_agentese_jobs_open ON kg.agentese_jobs (tenant_id, created_at)
  WHERE status IN ('queued', 'running');

ALTER TABLE kg.agentese_nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_nodes FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_nodes_tenant_isolation ON kg.agentese_nodes;
CREATE POLICY agentese_nodes_tenant_isolation ON kg.agentese_nodes FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_snapshots FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_snapshots_tenant_isolation ON kg.agentese_snapshots;
CREATE POLICY agentese_snapshots_tenant_isolation ON kg.agentese_snapshots FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_jobs FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_jobs_tenant_isolation ON kg.agentese_jobs;
CREATE POLICY agentese_jobs_tenant_isolation ON kg.agentese_jobs FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT, DELETE ON kg.agentese_nodes, kg.agentese_snapshots TO kg_app;
GRANT INSERT (tenant_id, path, entity_type, state, definition, relations, created_by) ON kg.agentese_nodes TO kg_app;
GRANT UPDATE (entity_type, state, definition, relations, version, updated_at) ON kg.agentese_nodes TO kg_app;
GRANT INSERT ON kg.agentese_snapshots TO kg_app;  -- what was is not changed
GRANT SELECT, INSERT, DELETE ON kg.agentese_jobs TO kg_app;
GRANT UPDATE (status, note, updated_at) ON kg.agentese_jobs TO kg_app;
