-- FORCE keeps even kg_owner blind; kg_admin and kg_definer bypass RLS by attribute. The sub-select in each predicate is
-- evaluated once per statement instead of once per row.

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.tenants FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS tenants_select_own ON kg.tenants;
CREATE POLICY tenants_select_own ON kg.tenants FOR SELECT TO kg_app
  USING (id = (SELECT kg.current_tenant_id()) AND deleted_at IS NULL);
DROP POLICY IF EXISTS tenants_update_own ON kg.tenants;
CREATE POLICY tenants_update_own ON kg.tenants FOR UPDATE TO kg_app
  USING (id = (SELECT kg.current_tenant_id()))
  WITH CHECK (id = (SELECT kg.current_tenant_id()));

ALTER TABLE kg.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.users FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS users_select_tenant ON kg.users;
CREATE POLICY users_select_tenant ON kg.users FOR SELECT TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()));
DROP POLICY IF EXISTS users_insert_tenant ON kg.users;
CREATE POLICY users_insert_tenant ON kg.users FOR INSERT TO kg_app
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()) AND role <> 'owner');
DROP POLICY IF EXISTS users_update_tenant ON kg.users;
CREATE POLICY users_update_tenant ON kg.users FOR UPDATE TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
DROP POLICY IF EXISTS users_delete_tenant ON kg.users;
CREATE POLICY users_delete_tenant ON kg.users FOR DELETE TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()) AND role <> 'owner');

ALTER TABLE kg.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.api_keys FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS api_keys_tenant_isolation ON kg.api_keys;
CREATE POLICY api_keys_tenant_isolation ON kg.api_keys FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
