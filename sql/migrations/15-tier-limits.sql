-- What each tier allows, and how a key is resolved to its effective limits.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.tier_limits (
  tier                 text PRIMARY KEY,
  rank                 smallint NOT NULL,
  rpm                  integer,  -- in every column 0 is unlimited and NULL is by contract: the tenant's row decides
  rph                  integer,
  burst                integer,
  billable_ops_per_day integer,
  tokens_per_month     bigint,
  sessions_per_month   integer,
  agents               integer,
  storage_bytes        bigint,
  max_members          integer
);

SET LOCAL ROLE kg_admin;  -- FORCE hides the rows from the owner once it is on

INSERT INTO kg.tier_limits VALUES
  ('free',       0,   60,  1000,   10,   100,   10000,   10,   1,    100000000,  1),
  ('starter',    1,  300, 10000,   50,  1000,  100000,  100,   5,   1000000000,  1),
  ('pro',        2, 1000, 50000,  200,  1000,  100000,  500,  25,  10000000000,  5),
  ('team',       3, 1000, 50000,  200,  1000, 2000000, 2000, 100, 100000000000, 10),
  ('enterprise', 4, 6000,  NULL, 1200, 10000, 1000000,    0,   0,            0,  0),
  ('custom',     5, NULL,  NULL, NULL,  NULL,       0,    0,   0,            0,  0)
ON CONFLICT (tier) DO NOTHING;

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.tier_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.tier_limits FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS tier_limits_read ON kg.tier_limits;
CREATE POLICY tier_limits_read ON kg.tier_limits FOR SELECT TO kg_app, kg_billing USING (true);
GRANT SELECT ON kg.tier_limits TO kg_app, kg_billing, kg_definer;

-- The first that is set: the key's override, the tenant's, the tier's; 0 is unlimited. A negotiated rate replaces the
-- tier's only when rate_limit_custom says so; tier `custom` has no numbers of its own.
CREATE OR REPLACE FUNCTION kg.effective_limits(
    p_tenant kg.tenants, p_tier text, p_key_rpm integer, p_key_ops integer, p_key_tokens bigint,
    OUT rpm integer, OUT burst integer, OUT rph integer, OUT ops_per_day integer,
    OUT tokens_limit_month bigint, OUT tokens_used_month bigint)
  LANGUAGE sql STABLE SET search_path = pg_catalog, kg AS $$
  SELECT r.rpm,
         coalesce(p_tenant.rate_burst, l.burst, greatest(10, r.rpm / 5)),
         coalesce(p_tenant.rate_limit_rph, l.rph, 0),
         coalesce(p_key_ops, p_tenant.requests_per_day, l.billable_ops_per_day, 0),
         coalesce(p_key_tokens, p_tenant.tokens_limit_month),
         CASE WHEN p_tenant.usage_period = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
              THEN p_tenant.tokens_used_month ELSE 0 END
    FROM kg.tier_limits l,
         LATERAL (SELECT coalesce(p_key_rpm, CASE WHEN p_tenant.rate_limit_custom THEN p_tenant.rate_limit_rpm END,
                                  l.rpm, p_tenant.rate_limit_rpm) AS rpm) r
   WHERE l.tier = p_tier
$$;
GRANT EXECUTE ON FUNCTION kg.effective_limits(kg.tenants, text, integer, integer, bigint) TO kg_definer;

GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

-- One row for an active, unexpired key of a live tenant, none otherwise. Definer: the tenant is not known before the key
-- is. `tier` is the one limits go by; a paused or canceled tenant is returned, so that the caller can say why it refuses.
CREATE OR REPLACE FUNCTION kg.resolve_api_key(p_hash text)
  RETURNS TABLE (
    key_id uuid, tenant_id uuid, user_id uuid, user_ref text, key_prefix text, scopes text[], tier text, status text,
    rpm integer, burst integer, rph integer, ops_per_day integer, tokens_limit_month bigint,
    tokens_limit_request integer, tokens_used_month bigint, data_plane text, silo_dsn_ref text, expires_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT k.id, t.id, k.user_id, coalesce(k.user_ref, k.user_id::text, k.id::text), k.key_prefix,
         -- A person's key never exceeds the person's role.
         ARRAY(SELECT s FROM unnest(k.scopes) s
                WHERE u.id IS NULL OR u.role IN ('owner', 'admin') OR s = 'read' OR (u.role = 'member' AND s = 'write')),
         e.tier, t.subscription_status, l.rpm, l.burst, l.rph, l.ops_per_day, l.tokens_limit_month,
         k.tokens_limit_request, l.tokens_used_month, t.data_plane, t.silo_dsn_ref, k.expires_at
    FROM kg.api_keys k
    JOIN kg.tenants t ON t.id = k.tenant_id AND t.deleted_at IS NULL
    LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
   CROSS JOIN LATERAL (SELECT coalesce(k.tier_override, t.subscription_tier) AS tier) e
   CROSS JOIN LATERAL kg.effective_limits(t, e.tier, k.rate_limit_rpm, k.requests_per_day, k.tokens_limit_month) l
   WHERE k.key_hash = p_hash AND k.is_active AND k.revoked_at IS NULL
     AND (k.expires_at IS NULL OR now() <= k.expires_at)
     AND (k.user_id IS NULL OR (u.is_active AND u.deleted_at IS NULL))
$$;
GRANT EXECUTE ON FUNCTION kg.resolve_api_key(text) TO kg_app;

-- Of these keys, those that may be used no more: for what outlives the check of its key, open streams and caches.
CREATE OR REPLACE FUNCTION kg.dead_keys(p_keys uuid[]) RETURNS SETOF uuid
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT p.id FROM unnest(p_keys) AS p (id)
   WHERE NOT EXISTS (
     SELECT FROM kg.api_keys k
       JOIN kg.tenants t ON t.id = k.tenant_id AND t.deleted_at IS NULL
        AND t.subscription_status IN ('active', 'trialing', 'past_due')
       LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
      WHERE k.id = p.id AND k.is_active AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR now() <= k.expires_at)
        AND (k.user_id IS NULL OR (u.is_active AND u.deleted_at IS NULL)))
$$;
GRANT EXECUTE ON FUNCTION kg.dead_keys(uuid[]) TO kg_control;

-- The same for the subject of a token: an active user of a live tenant.
CREATE OR REPLACE FUNCTION kg.resolve_user(p_provider text, p_external_id text)
  RETURNS TABLE (
    user_id uuid, tenant_id uuid, user_ref text, role text, tier text, status text, rpm integer, burst integer,
    rph integer, ops_per_day integer, tokens_limit_month bigint, tokens_used_month bigint, data_plane text,
    silo_dsn_ref text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT u.id, t.id, u.id::text, u.role, t.subscription_tier, t.subscription_status, l.rpm, l.burst, l.rph,
         l.ops_per_day, l.tokens_limit_month, l.tokens_used_month, t.data_plane, t.silo_dsn_ref
    FROM kg.users u
    JOIN kg.tenants t ON t.id = u.tenant_id AND t.deleted_at IS NULL
   CROSS JOIN LATERAL kg.effective_limits(t, t.subscription_tier, NULL, NULL, NULL) l
   WHERE u.external_auth_provider = p_provider AND u.external_auth_id = p_external_id
     AND u.is_active AND u.deleted_at IS NULL
$$;
GRANT EXECUTE ON FUNCTION kg.resolve_user(text, text) TO kg_app;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
