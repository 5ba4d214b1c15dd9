SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.api_keys (
  id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id            uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  user_id              uuid,
  user_ref             text CONSTRAINT valid_user_ref CHECK (length(user_ref) BETWEEN 1 AND 200),
  key_prefix           text NOT NULL CONSTRAINT key_prefix_format CHECK (key_prefix ~ '^kg_[a-z0-9]{5}$'),
  key_hash             text NOT NULL CONSTRAINT key_hash_format CHECK (key_hash ~ '^[0-9a-f]{64}$'),
  name                 text NOT NULL,
  scopes               text[] NOT NULL DEFAULT '{read,write}' CONSTRAINT valid_scopes CHECK (
                         scopes <@ '{read,write,admin,billing}'::text[]),
  -- Overrides: NULL takes the tenant's or the tier's value.
  rate_limit_rpm       integer CONSTRAINT valid_rpm CHECK (rate_limit_rpm > 0),
  tokens_limit_request integer CONSTRAINT valid_request_tokens CHECK (tokens_limit_request >= 0),
  tier_override        text CONSTRAINT valid_tier_override CHECK (tier_override IN (
                         'free', 'starter', 'pro', 'team', 'enterprise', 'custom')),
  requests_per_day     integer CONSTRAINT valid_requests_per_day CHECK (requests_per_day >= 0),
  tokens_limit_month   bigint CONSTRAINT valid_month_tokens CHECK (tokens_limit_month >= 0),
  expires_at           timestamptz,
  last_used_at         timestamptz,
  use_count            bigint NOT NULL DEFAULT 0,
  is_active            boolean NOT NULL DEFAULT true,
  revoked_at           timestamptz,
  revoked_by           uuid,
  created_at           timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT api_keys_user_fkey FOREIGN KEY (tenant_id, user_id)
    REFERENCES kg.users (tenant_id, id) ON DELETE SET NULL (user_id),
  CONSTRAINT api_keys_revoker_fkey FOREIGN KEY (tenant_id, revoked_by)
    REFERENCES kg.users (tenant_id, id) ON DELETE SET NULL (revoked_by)
);

CREATE UNIQUE INDEX IF NOT EXISTS idx_api_keys_hash ON kg.api_keys (key_hash);
CREATE INDEX IF NOT EXISTS idx_api_keys_prefix ON kg.api_keys (key_prefix);
CREATE INDEX IF NOT EXISTS idx_api_keys_tenant ON kg.api_keys (tenant_id) WHERE is_active;
CREATE INDEX IF NOT EXISTS idx_api_keys_user ON kg.api_keys (user_id) WHERE user_id IS NOT NULL;

DROP TRIGGER IF EXISTS api_keys_outbox_trigger ON kg.api_keys;
CREATE TRIGGER api_keys_outbox_trigger AFTER INSERT OR DELETE ON kg.api_keys
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger('key_hash');
-- Use of a key is no event for anybody downstream.
DROP TRIGGER IF EXISTS api_keys_outbox_update_trigger ON kg.api_keys;
CREATE TRIGGER api_keys_outbox_update_trigger AFTER UPDATE ON kg.api_keys
  FOR EACH ROW WHEN (
    (to_jsonb(OLD) - '{last_used_at,use_count}'::text[])
      IS DISTINCT FROM (to_jsonb(NEW) - '{last_used_at,use_count}'::text[]))
  EXECUTE FUNCTION kg.outbox_trigger('key_hash');

-- Stamps the use of a key. Callers sum up in process and flush at most every 10 s per key: a write per request would
-- make one hot row of it.
CREATE OR REPLACE FUNCTION kg.update_api_key_usage(p_key uuid, p_uses bigint DEFAULT 1) RETURNS void
  LANGUAGE sql SET search_path = pg_catalog, kg AS $$
  UPDATE kg.api_keys SET last_used_at = now(), use_count = use_count + p_uses WHERE id = p_key
$$;
