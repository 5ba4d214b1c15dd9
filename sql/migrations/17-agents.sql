SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.agents (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  name       text NOT NULL,
  agent_type text NOT NULL DEFAULT 'custom',
  config     jsonb NOT NULL DEFAULT '{}',
  is_active  boolean NOT NULL DEFAULT true,
  created_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT agents_tenant_key UNIQUE (tenant_id, id),
  CONSTRAINT unique_agent_name UNIQUE (tenant_id, name),
  CONSTRAINT agents_creator_fkey FOREIGN KEY (tenant_id, created_by)
    REFERENCES kg.users (tenant_id, id) ON DELETE SET NULL (created_by)
);

CREATE OR REPLACE TRIGGER agents_updated_at BEFORE UPDATE ON kg.agents
  FOR EACH ROW EXECUTE FUNCTION kg.update_updated_at();

ALTER TABLE kg.agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agents FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agents_tenant_isolation ON kg.agents;
CREATE POLICY agents_tenant_isolation ON kg.agents FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
