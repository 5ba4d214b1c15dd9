SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.users (
  id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id              uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  email                  text NOT NULL,
  name                   text,
  external_auth_id       text,
  external_auth_provider text,
  role                   text NOT NULL DEFAULT 'member' CONSTRAINT valid_role CHECK (
                           role IN ('owner', 'admin', 'member', 'readonly')),
  is_active              boolean NOT NULL DEFAULT true,
  email_verified         boolean NOT NULL DEFAULT false,
  last_login_at          timestamptz,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  deleted_at             timestamptz,
  -- What composite foreign keys point to: a plain id would let a row of one tenant reference another tenant's user.
  CONSTRAINT users_tenant_key UNIQUE (tenant_id, id),
  CONSTRAINT unique_external_auth UNIQUE (external_auth_provider, external_auth_id)
);

CREATE UNIQUE INDEX IF NOT EXISTS unique_email_per_tenant ON kg.users (tenant_id, lower(email));
CREATE INDEX IF NOT EXISTS idx_users_tenant ON kg.users (tenant_id) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_users_email ON kg.users (email) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_users_external_auth ON kg.users (external_auth_provider, external_auth_id)
  WHERE external_auth_id IS NOT NULL;

CREATE OR REPLACE TRIGGER users_updated_at BEFORE UPDATE ON kg.users
  FOR EACH ROW EXECUTE FUNCTION kg.update_updated_at();
CREATE OR REPLACE TRIGGER users_outbox_trigger AFTER INSERT OR UPDATE OR DELETE ON kg.users
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger();
