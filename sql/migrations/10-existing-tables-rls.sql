-- The tables that are older than tenants. Each may be absent: deployments without memories or persona_garden exist, so
-- everything about these two, grants included, stands behind its guard.

SET LOCAL ROLE kg_owner;

DO $memories$
BEGIN
  IF to_regclass('kg.memories') IS NULL THEN
    RETURN;
  END IF;
  ALTER TABLE kg.memories DROP CONSTRAINT IF EXISTS memories_tenant_fkey;
  ALTER TABLE kg.memories ADD CONSTRAINT memories_tenant_fkey
    FOREIGN KEY (tenant_id) REFERENCES kg.tenants (id) ON DELETE CASCADE;
  ALTER TABLE kg.memories ENABLE ROW LEVEL SECURITY;
  ALTER TABLE kg.memories FORCE ROW LEVEL SECURITY;
  DROP POLICY IF EXISTS memories_tenant_isolation ON kg.memories;
  CREATE POLICY memories_tenant_isolation ON kg.memories FOR ALL TO kg_app
    USING (tenant_id = (SELECT kg.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
  DROP POLICY IF EXISTS memories_cdc_read ON kg.memories;
  CREATE POLICY memories_cdc_read ON kg.memories FOR SELECT TO kg_cdc USING (true);
  GRANT SELECT, INSERT, DELETE ON kg.memories TO kg_app;
  GRANT UPDATE (agent_id, content, embedding, memory_type, importance, metadata) ON kg.memories TO kg_app;
  GRANT SELECT ON kg.memories TO kg_cdc;
END
$memories$;

DO $garden$
BEGIN
  IF to_regclass('kg.persona_garden') IS NULL THEN
    RETURN;
  END IF;
  ALTER TABLE kg.persona_garden DROP CONSTRAINT IF EXISTS garden_tenant_fkey;
  ALTER TABLE kg.persona_garden ADD CONSTRAINT garden_tenant_fkey
    FOREIGN KEY (tenant_id) REFERENCES kg.tenants (id) ON DELETE CASCADE;
  ALTER TABLE kg.persona_garden ENABLE ROW LEVEL SECURITY;
  ALTER TABLE kg.persona_garden FORCE ROW LEVEL SECURITY;
  DROP POLICY IF EXISTS garden_tenant_isolation ON kg.persona_garden;
  CREATE POLICY garden_tenant_isolation ON kg.persona_garden FOR ALL TO kg_app
    USING (tenant_id = (SELECT kg.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
  DROP POLICY IF EXISTS garden_cdc_read ON kg.persona_garden;
  CREATE POLICY garden_cdc_read ON kg.persona_garden FOR SELECT TO kg_cdc USING (true);
  GRANT SELECT, INSERT, DELETE ON kg.persona_garden TO kg_app;
  GRANT UPDATE (content, entry_type, lifecycle, confidence, source, last_nurtured, evidence, occurrences, tags,
                eigenvector_affinities) ON kg.persona_garden TO kg_app;
  GRANT SELECT ON kg.persona_garden TO kg_cdc;
  GRANT SELECT ON kg.garden_stats TO kg_app;
END
$garden$;
